/** Making elements. Text only ever becomes text: nothing here or elsewhere parses HTML. */

type Child = Node | string;

export function h<K extends keyof HTMLElementTagNameMap>(
  name: K,
  attributes: Record<string, string> = {},
  ...children: Child[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

/** Set the text of an element, leaving its node alone where nothing changes or text is only added. */
export function setText(element: Element, text: string): void {
  const first = element.firstChild;
  if (!(first instanceof Text) || first.nextSibling) {
    if (element.textContent !== text) element.textContent = text;
  } else if (first.data !== text) {
    if (text.startsWith(first.data)) first.appendData(text.slice(first.data.length));
    else first.data = text;
  }
}

export function setClass(element: Element, name: string, on: boolean): void {
  element.classList.toggle(name, on);
}
