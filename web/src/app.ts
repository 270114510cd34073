/** The page: what is asked, what comes back, and what is remembered. */

import { ApiError, complete, models, requestBody, type Model } from "./api";
import { Controls } from "./controls";
import { setText } from "./dom";
import { buildFrame, type Frame } from "./frame";
import { apply, type Happening } from "./reader";
import { load, save, type Saved } from "./store";
import { chosenExamples, type Locale, type Strings } from "./strings";
import { TurnView } from "./turn_view";
import { newTurn, type Turn } from "./types";

const SAVE_MS = 1000;
const HIDDEN_MS = 250;
const NEAR_END = 80;

export class App {
  private readonly saved: Saved = load();
  private readonly frame: Frame;
  private views: TurnView[] = [];
  private models: Model[] = [];
  private running: AbortController | null = null;
  private drawing = false;
  private savedAt = 0;

  constructor(
    root: Element,
    private readonly locale: Locale,
    private readonly t: Strings,
  ) {
    const controls = new Controls(t, locale, this.saved.settings, (settings) => {
      this.saved.settings = settings;
      this.save();
    });
    this.frame = buildFrame(t, controls.element, (example) => void this.ask(example));
    root.replaceChildren(this.frame.element);
  }

  /** Show what was saved, listen, and ask the server for its model. */
  start(): void {
    const { frame, saved } = this;
    for (const turn of saved.turns) this.addView(turn);
    frame.input.value = saved.draft;
    frame.key.value = saved.key;
    frame.form.addEventListener("submit", (event) => {
      event.preventDefault();
      void this.ask(frame.input.value);
    });
    frame.input.addEventListener("input", () => this.grow());
    frame.input.addEventListener("keydown", (event) => {
      // While an input method composes, Enter picks a word.
      if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      void this.ask(frame.input.value);
    });
    document.addEventListener("keydown", (event) => {
      if (event.key === "Escape" && !event.isComposing) this.stop();
    });
    frame.stop.addEventListener("click", () => this.stop());
    frame.newChat.addEventListener("click", () => this.reset());
    frame.key.addEventListener("change", () => {
      saved.key = frame.key.value.trim();
      this.save();
      void this.findModel();
    });
    frame.model.addEventListener("change", () => {
      saved.model = frame.model.value;
      this.save();
      this.offerExamples();
    });
    // Otherwise the browser breaks the connection first, and what was stopped would look like a failure.
    addEventListener("beforeunload", () => this.stop());
    addEventListener("pagehide", () => this.save());
    this.grow();
    this.refresh();
    scrollTo(0, document.documentElement.scrollHeight);
    frame.input.focus();
    void this.findModel();
  }

  private async ask(text: string): Promise<void> {
    const question = text.trim();
    if (!question || this.running) return;
    const { frame, saved } = this;
    const turn = newTurn(question);
    const body = requestBody(saved.model, saved.turns, question, saved.settings);
    const running = new AbortController();
    this.running = running;
    saved.turns.push(turn);
    frame.input.value = "";
    this.grow();
    this.addView(turn);
    this.save();
    this.refresh();
    scrollTo(0, document.documentElement.scrollHeight);
    const began = performance.now();
    try {
      for await (const chunk of complete(body, saved.key, running.signal)) {
        this.say(turn, apply(turn, chunk));
        this.drawSoon();
      }
      turn.phase = "done";
      this.announce(`${this.t.said.answer} ${turn.answer}`);
    } catch (error) {
      this.fail(turn, error);
    }
    turn.seconds = (performance.now() - began) / 1000;
    this.running = null;
    this.save();
    this.draw();
    this.refresh();
  }

  private fail(turn: Turn, error: unknown): void {
    if (error instanceof DOMException && error.name === "AbortError") {
      turn.phase = "stopped";
      this.announce(this.t.said.stopped);
      return;
    }
    turn.phase = "failed";
    turn.error = this.explain(error);
    this.announce(turn.error);
    if (error instanceof ApiError && error.status === 401) this.showKey();
  }

  private explain(error: unknown): string {
    if (!(error instanceof ApiError)) return String(error);
    if (error.status === 401) return this.t.unauthorised;
    if (error.status === 429) return this.t.busy;
    return error.message || this.t.unreachable;
  }

  private stop(): void {
    this.running?.abort();
  }

  private reset(): void {
    this.stop();
    this.saved.turns.length = 0;
    this.views = [];
    this.frame.turns.replaceChildren();
    this.save();
    this.refresh();
    this.frame.input.focus();
  }

  private tryAgain(turn: Turn): void {
    if (this.running) return;
    const index = this.saved.turns.indexOf(turn);
    if (index < 0) return;
    this.saved.turns.splice(index, 1);
    this.views.splice(index, 1)[0]?.element.remove();
    this.frame.input.focus();
    void this.ask(turn.question);
  }

  private addView(turn: Turn): void {
    const view = new TurnView(turn, this.t, () => this.tryAgain(turn));
    this.views.push(view);
    this.frame.turns.append(view.element);
  }

  /** Show the state of the whole page: whether it is empty, and whether something is being written. */
  private refresh(): void {
    const { frame } = this;
    const focused = document.activeElement;
    const running = this.running !== null;
    frame.empty.hidden = this.saved.turns.length > 0;
    frame.send.hidden = running;
    frame.stop.hidden = !running;
    document.body.classList.toggle("running", running);
    // A button that goes away must not take the focus with it.
    if (running && focused === frame.send) frame.stop.focus();
    if (!running && focused === frame.stop) frame.input.focus();
  }

  private drawSoon(): void {
    if (performance.now() - this.savedAt > SAVE_MS) this.save();
    if (this.drawing) return;
    this.drawing = true;
    // A tab in the background gets no frames.
    if (document.hidden) setTimeout(() => this.draw(), HIDDEN_MS);
    else requestAnimationFrame(() => this.draw());
  }

  private draw(): void {
    this.drawing = false;
    const page = document.documentElement;
    const atEnd = page.scrollHeight - scrollY - innerHeight < NEAR_END;
    const turn = this.saved.turns.at(-1);
    if (turn) this.views.at(-1)?.update(turn);
    if (atEnd) scrollTo(0, page.scrollHeight);
  }

  private say(turn: Turn, happened: readonly Happening[]): void {
    for (const event of happened) {
      if (event.kind !== "named") continue;
      const step = turn.steps[event.step];
      if (!step) continue;
      const back = step.move === "backtrack" ? `${this.t.said.back} ` : "";
      this.announce(back + this.t.said.step(event.step + 1, step.name));
    }
  }

  private announce(text: string): void {
    setText(this.frame.announcer, text);
  }

  private async findModel(): Promise<void> {
    const { frame, saved } = this;
    try {
      this.models = await models(saved.key);
      const names = this.models.map((model) => model.id);
      if (!names.includes(saved.model)) saved.model = names[0] ?? "";
      frame.model.replaceChildren(...names.map((name) => new Option(name, name, false, name === saved.model)));
      frame.model.disabled = names.length < 2;
      this.offerExamples();
    } catch (error) {
      frame.model.replaceChildren(new Option(this.t.noServer, ""));
      frame.model.disabled = true;
      if (error instanceof ApiError && error.status === 401) this.showKey();
    }
  }

  private offerExamples(): void {
    const model = this.models.find(({ id }) => id === this.saved.model);
    this.frame.offer(chosenExamples(model?.examples ?? [], this.locale));
  }

  private showKey(): void {
    this.frame.keyField.hidden = false;
    this.frame.openSettings(true);
  }

  private grow(): void {
    const { input } = this.frame;
    input.style.height = "auto";
    input.style.height = `${input.scrollHeight}px`;
  }

  private save(): void {
    this.savedAt = performance.now();
    save({ ...this.saved, draft: this.frame.input.value });
  }
}
