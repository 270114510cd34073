/** The little Markdown that answers use: paragraphs, lists, headings, fences, code, bold, italics. */

import { h } from "./dom";

const FENCE = /^```/;
const ITEM = /^\s*(?:[-*+]|\d+[.)])\s+/;
const HEADING = /^#{1,6}\s+/;
/** Marks stand at the outside of words, so that 3*5*7 and 2**3 + 2**4 stay as they are. */
const INLINE = /(`[^`\n]+`|(?<![\w*])\*\*[^*\s](?:[^*\n]*[^*\s])?\*\*(?![\w*])|(?<![\w*])\*[^*\s](?:[^*\n]*[^*\s])?\*(?![\w*]))/;

export function markdown(text: string): DocumentFragment {
  const page = document.createDocumentFragment();
  const lines = text.trim().split("\n");
  let at = 0;
  const take = (wanted: (line: string) => boolean): string[] => {
    const taken: string[] = [];
    for (let line = lines[at]; line !== undefined && wanted(line); line = lines[++at]) taken.push(line);
    return taken;
  };
  while (at < lines.length) {
    const line = lines[at] ?? "";
    if (FENCE.test(line)) {
      at++;
      const code = take((inner) => !FENCE.test(inner));
      at++;
      page.append(h("pre", { tabindex: "0" }, h("code", {}, code.join("\n"))));
    } else if (ITEM.test(line)) {
      const items = take((next) => ITEM.test(next));
      const list = /^\s*\d/.test(line) ? h("ol") : h("ul");
      for (const item of items) list.append(h("li", {}, ...inline(item.replace(ITEM, ""))));
      page.append(list);
    } else if (HEADING.test(line)) {
      at++;
      page.append(h("p", {}, h("strong", {}, ...inline(line.replace(HEADING, "")))));
    } else if (!line.trim()) {
      at++;
    } else {
      const plain = take((next) => !!next.trim() && ![FENCE, ITEM, HEADING].some((kind) => kind.test(next)));
      page.append(h("p", {}, ...inline(plain.join("\n"))));
    }
  }
  return page;
}

function inline(text: string): (Node | string)[] {
  return text.split(INLINE).map((part, index) => {
    if (index % 2 === 0) return part;
    if (part.startsWith("`")) return h("code", {}, part.slice(1, -1));
    if (part.startsWith("**")) return h("strong", {}, part.slice(2, -2));
    return h("em", {}, part.slice(1, -1));
  });
}
