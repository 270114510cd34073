/** The settings: every control is a native one with a label. */

import { h } from "./dom";
import { languageOptions, type Locale, type Strings } from "./strings";
import { DEFAULTS, EFFORTS, HISTORIES, MOST_STEPS, NO_LIMIT, type Settings } from "./types";

export class Controls {
  readonly element: HTMLElement;
  private readonly effort: HTMLSelectElement;
  private readonly fewest: Slider;
  private readonly most: Slider;
  private readonly temperature: Slider;
  private readonly language: HTMLSelectElement;
  private readonly history: HTMLSelectElement;
  private readonly system: HTMLTextAreaElement;

  /** `changed` is called with the settings whenever one was changed. */
  constructor(
    t: Strings,
    locale: Locale,
    private settings: Settings,
    private readonly changed: (settings: Settings) => void,
  ) {
    this.effort = select(EFFORTS.map((effort) => [effort, t.efforts[effort]]));
    this.fewest = slider(1, MOST_STEPS, 1, String);
    this.most = slider(1, NO_LIMIT, 1, (value) => (value >= NO_LIMIT ? t.noLimit : String(value)));
    this.temperature = slider(0, 2, 0.05, (value) => value.toFixed(2));
    this.language = select(languageOptions(locale));
    this.history = select(HISTORIES.map((history) => [history, t.histories[history]]));
    this.system = h("textarea", { rows: "3", placeholder: t.systemPlaceholder, maxlength: "20000" });
    const defaults = h("button", { type: "button", class: "quiet" }, t.defaults);
    defaults.addEventListener("click", () => this.set({ ...DEFAULTS }));
    this.element = h(
      "div",
      { class: "controls" },
      field(t.effort, this.effort),
      field(t.minSteps, this.fewest.input, this.fewest.output),
      field(t.maxSteps, this.most.input, this.most.output),
      field(t.temperature, this.temperature.input, this.temperature.output),
      field(t.language, this.language),
      field(t.history, this.history),
      field(t.system, this.system),
      defaults,
    );
    this.element.addEventListener("input", (event) => this.read(event.target));
    this.show();
  }

  private set(settings: Settings): void {
    this.settings = settings;
    this.show();
    this.changed(settings);
  }

  private read(source: EventTarget | null): void {
    let minSteps = Number(this.fewest.input.value);
    let maxSteps = Number(this.most.input.value);
    // The limit that is being moved takes the other one along.
    if (source === this.fewest.input) maxSteps = Math.max(minSteps, maxSteps);
    else minSteps = Math.min(minSteps, maxSteps);
    this.set({
      effort: this.effort.value as Settings["effort"],
      minSteps,
      maxSteps,
      temperature: Number(this.temperature.input.value),
      language: this.language.value,
      history: this.history.value as Settings["history"],
      system: this.system.value,
    });
  }

  private show(): void {
    const { settings } = this;
    this.effort.value = settings.effort;
    this.fewest.show(settings.minSteps);
    this.most.show(settings.maxSteps);
    this.temperature.show(settings.temperature);
    this.language.value = settings.language;
    this.history.value = settings.history;
    if (this.system.value !== settings.system) this.system.value = settings.system;
    for (const each of [this.fewest, this.most]) each.input.disabled = settings.effort !== "steps";
  }
}

interface Slider {
  input: HTMLInputElement;
  output: HTMLOutputElement;
  show: (value: number) => void;
}

function slider(min: number, max: number, step: number, text: (value: number) => string): Slider {
  const input = h("input", { type: "range", min: String(min), max: String(max), step: String(step) });
  const output = h("output");
  const show = (value: number): void => {
    input.value = String(value);
    output.textContent = text(value);
    input.setAttribute("aria-valuetext", text(value));
  };
  return { input, output, show };
}

function select(options: readonly (readonly [string, string])[]): HTMLSelectElement {
  return h("select", {}, ...options.map(([value, label]) => h("option", { value }, label)));
}

let fields = 0;

function field(label: string, control: HTMLElement, output?: HTMLOutputElement): HTMLElement {
  control.id = `control-${++fields}`;
  const line = h("span", { class: "field-head" }, h("label", { for: control.id }, label));
  if (output) {
    output.setAttribute("for", control.id);
    // Screen readers already hear the slider's own value.
    output.setAttribute("aria-hidden", "true");
    line.append(output);
  }
  return h("div", { class: "field" }, line, control);
}

export { field };
