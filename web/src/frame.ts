/** The fixed parts of the page. */

import { field } from "./controls";
import { h } from "./dom";
import type { Strings } from "./strings";

/** From this width on the settings stand beside the conversation. */
const WIDE = "(min-width: 1080px)";

export interface Frame {
  element: HTMLElement;
  model: HTMLSelectElement;
  newChat: HTMLButtonElement;
  empty: HTMLElement;
  offer: (questions: readonly string[]) => void;
  turns: HTMLElement;
  form: HTMLFormElement;
  input: HTMLTextAreaElement;
  send: HTMLButtonElement;
  stop: HTMLButtonElement;
  key: HTMLInputElement;
  keyField: HTMLElement;
  announcer: HTMLElement;
  openSettings: (open: boolean) => void;
}

export function buildFrame(t: Strings, controls: HTMLElement, useExample: (text: string) => void): Frame {
  const model = h("select", { "aria-label": t.model, class: "model" });
  model.disabled = true;
  const newChat = h("button", { type: "button", class: "quiet" }, t.newChat);
  const toggle = h("button", { type: "button", class: "quiet", "aria-controls": "settings" }, t.settings);
  const brand = h("div", { class: "brand" }, logo(), h("h1", {}, "steiner"), h("p", {}, t.tagline));
  const header = h("header", {}, brand, h("div", { class: "tools" }, model, newChat, toggle));

  const examples = h("ul", { class: "examples", "aria-label": t.examplesTitle });
  const offer = (questions: readonly string[]): void => {
    const items = questions.map((text) => {
      const button = h("button", { type: "button", class: "example" }, text);
      button.addEventListener("click", () => useExample(text));
      return h("li", {}, button);
    });
    examples.replaceChildren(...items);
    examples.hidden = items.length === 0;
  };
  offer([]);
  const empty = h("div", { class: "empty" }, logo(), h("h2", {}, t.empty), h("p", {}, t.emptyHint), examples);
  const turns = h("section", { class: "turns", "aria-label": t.conversation });

  const input = h("textarea", { id: "question", rows: "1", placeholder: t.placeholder });
  input.setAttribute("aria-describedby", "keys");
  input.setAttribute("enterkeyhint", "send");
  const send = h("button", { type: "submit", class: "send" }, t.send);
  const stop = h("button", { type: "button", class: "stop" }, t.stop);
  const label = h("label", { for: "question", class: "unseen" }, t.question);
  const box = h("div", { class: "box" }, label, input, send, stop);
  const form = h("form", { class: "composer" }, box, h("p", { id: "keys", class: "keys" }, t.keys));

  const key = h("input", { type: "password", autocomplete: "off", spellcheck: "false" });
  const keyField = field(t.key, key);
  keyField.append(h("p", { class: "hint" }, t.keyHint));
  keyField.hidden = true;
  const aside = h("aside", { id: "settings", "aria-label": t.settings }, keyField, controls);
  const openSettings = (open: boolean): void => {
    aside.hidden = !open;
    toggle.setAttribute("aria-expanded", String(open));
  };
  toggle.addEventListener("click", () => openSettings(Boolean(aside.hidden)));
  openSettings(matchMedia(WIDE).matches);

  const announcer = h("div", { role: "status", class: "unseen" });
  const main = h("main", {}, empty, turns, form);
  const element = h("div", { class: "page" }, header, main, aside, announcer);
  return {
    element, model, newChat, empty, offer, turns, form, input, send, stop, key, keyField, announcer,
    openSettings,
  };
}

/** A trunk, a branch given up, and the one that led there. */
function logo(): SVGSVGElement {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  svg.setAttribute("class", "logo");
  const parts: [string, Record<string, string>][] = [
    ["path", { d: "M5 4v11q0 4 4 4h7M5 8q0 3 4 3h4", class: "branch" }],
    ["circle", { cx: "5", cy: "4", r: "2.2", class: "knot on" }],
    ["circle", { cx: "15", cy: "11", r: "2.2", class: "knot abandoned" }],
    ["circle", { cx: "18", cy: "19", r: "2.8", class: "knot found" }],
  ];
  for (const [name, attributes] of parts) {
    const part = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) part.setAttribute(key, value);
    svg.append(part);
  }
  return svg;
}
