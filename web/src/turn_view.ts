/** One question with its steps, tree and answer on the page. */

import { h, setClass, setText } from "./dom";
import { markdown } from "./markdown";
import type { Strings } from "./strings";
import { drawTree, type Rows } from "./tree";
import { isRunning, returnsOf, type Step, type Turn } from "./types";

const SIGNS = { first: "●", proceed: "↓", backtrack: "↩" } as const;
const TAIL = 120;

interface StepView {
  item: HTMLElement;
  details: HTMLDetailsElement;
  name: HTMLElement;
  gist: HTMLElement;
  thought: HTMLElement;
  summary: HTMLElement;
  reflection: HTMLElement;
}

export class TurnView {
  readonly element: HTMLElement;
  private readonly status: HTMLElement;
  private readonly openAll: HTMLButtonElement;
  private readonly body: HTMLElement;
  private readonly column: HTMLElement;
  private readonly tree: SVGSVGElement;
  private readonly list: HTMLOListElement;
  private readonly answerBlock: HTMLElement;
  private readonly answer: HTMLElement;
  private readonly note: HTMLElement;
  private readonly noteText: HTMLElement;
  private readonly stats: HTMLElement;
  private readonly steps: StepView[] = [];
  private shownAnswer: string | null = null;

  constructor(
    private turn: Turn,
    private readonly t: Strings,
    tryAgain: () => void,
  ) {
    this.status = h("span", { class: "status" });
    this.openAll = h("button", { type: "button", class: "quiet" }, t.openAll);
    this.openAll.addEventListener("click", () => this.toggleAll());
    this.tree = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    this.tree.setAttribute("class", "tree");
    this.tree.setAttribute("role", "img");
    this.tree.addEventListener("click", (event) => this.openFromTree(event));
    this.list = h("ol", { class: "steps" });
    this.answer = h("div", { class: "answer-text" });
    const copy = h("button", { type: "button", class: "quiet" }, t.copy);
    copy.addEventListener("click", () => void this.copy(copy));
    const head = h("div", { class: "answer-head" }, h("h3", {}, t.answer), copy);
    this.answerBlock = h("div", { class: "answer" }, head, this.answer);
    this.noteText = h("span");
    const again = h("button", { type: "button", class: "quiet" }, t.again);
    again.addEventListener("click", tryAgain);
    this.note = h("p", { class: "note" }, this.noteText, again);
    this.stats = h("p", { class: "stats" });
    this.column = h("div", { class: "column" }, this.list, this.answerBlock);
    this.body = h("div", { class: "search" });
    this.body.append(this.tree, this.column);
    const head2 = h("div", { class: "thinking-head" }, this.status, this.openAll);
    const question = h("h2", { class: "question" }, turn.question);
    this.element = h("article", { class: "turn" }, question, head2, this.body, this.note, this.stats);
    // Rows move when a step is opened or the window changes; the tree follows.
    new ResizeObserver(() => this.draw()).observe(this.column);
    this.update(turn);
  }

  update(turn: Turn): void {
    this.turn = turn;
    const running = isRunning(turn);
    turn.steps.forEach((step, index) => this.updateStep(step, index, running));
    setClass(this.element, "running", running);
    setText(this.status, this.statusText());
    this.openAll.hidden = turn.steps.length === 0;
    this.answerBlock.hidden = !turn.answer;
    if (turn.answer !== this.shownAnswer) {
      this.answer.replaceChildren(markdown(turn.answer));
      this.shownAnswer = turn.answer;
    }
    const note = this.noteLine();
    this.note.hidden = !note;
    setText(this.noteText, note);
    setClass(this.note, "bad", turn.phase === "failed");
    this.stats.hidden = running || turn.seconds === null;
    setText(this.stats, turn.seconds === null ? "" : this.t.seconds(turn.seconds));
    this.draw();
  }

  private statusText(): string {
    const { t, turn } = this;
    if (turn.phase === "waiting") return t.waiting;
    if (turn.phase === "thinking") return t.thinking(Math.max(1, turn.steps.length));
    if (turn.steps.length) return t.thought(turn.steps.length, returnsOf(turn), turn.tokens);
    return turn.answer ? t.noThought : "";
  }

  private noteLine(): string {
    if (this.turn.phase === "failed") return this.turn.error;
    if (this.turn.phase === "stopped") return this.t.stopped;
    return this.turn.cut && this.turn.phase === "done" ? this.t.cut : "";
  }

  private updateStep(step: Step, index: number, running: boolean): void {
    const view = (this.steps[index] ??= this.addStep(step, index));
    const live = running && !step.whole;
    setText(view.name, step.name || "…");
    // Until there is a summary, the end of the thought shows that something happens.
    const tail = live && !step.summary ? step.thought.slice(-TAIL).replace(/\s+/g, " ") : "";
    setText(view.gist, step.summary || tail);
    setClass(view.gist, "tail", tail !== "");
    setClass(view.item, "live", live);
    setText(view.thought, step.thought);
    setText(view.summary, step.summary);
    setText(view.reflection, step.reflection);
    for (const part of [view.thought, view.summary, view.reflection]) {
      if (part.parentElement) part.parentElement.hidden = !part.textContent;
    }
  }

  private addStep(step: Step, index: number): StepView {
    const { t } = this;
    const kind = step.move ?? "first";
    const words = { first: t.first, proceed: t.on, backtrack: t.back }[kind];
    const name = h("span", { class: "name" });
    const gist = h("span", { class: "gist" });
    const thought = h("div", { class: "thought" });
    const summary = h("div", { class: "summary-text" });
    const reflection = h("div", { class: "reflection" });
    const sign = h("span", { class: "sign", "aria-hidden": "true" }, SIGNS[kind]);
    const line = h("summary", {}, sign, h("span", { class: "unseen" }, `${index + 1}, ${words}: `), name, " ", gist);
    const details = h(
      "details",
      {},
      line,
      h("div", { class: "part" }, thought),
      h("div", { class: "part" }, h("span", { class: "label" }, t.summary), summary),
      h("div", { class: "part" }, h("span", { class: "label" }, t.reflection), reflection),
    );
    details.addEventListener("toggle", () => this.nameToggle());
    const item = h("li", { class: `step ${kind}` }, details);
    this.list.append(item);
    return { item, details, name, gist, thought, summary, reflection };
  }

  private toggleAll(): void {
    const open = !this.allOpen();
    for (const step of this.steps) step.details.open = open;
  }

  private allOpen(): boolean {
    return this.steps.every((step) => step.details.open);
  }

  private nameToggle(): void {
    setText(this.openAll, this.allOpen() ? this.t.closeAll : this.t.openAll);
  }

  private openFromTree(event: Event): void {
    const index = event.target instanceof SVGElement ? event.target.dataset.step : undefined;
    const step = index === undefined ? undefined : this.steps[Number(index)];
    if (!step) return;
    step.details.open = !step.details.open;
    step.item.scrollIntoView({ block: "nearest" });
  }

  private async copy(button: HTMLButtonElement): Promise<void> {
    await navigator.clipboard.writeText(this.turn.answer);
    setText(button, this.t.copied);
    setTimeout(() => setText(button, this.t.copy), 1500);
  }

  private draw(): void {
    const { turn } = this;
    this.tree.toggleAttribute("hidden", turn.steps.length === 0);
    setClass(this.body, "bare", turn.steps.length === 0);
    if (!turn.steps.length) return;
    const { top, height } = this.column.getBoundingClientRect();
    const middle = (element: Element): number => {
      const box = element.getBoundingClientRect();
      return Math.round(box.top - top + Math.min(box.height / 2, 20));
    };
    const rows: Rows = {
      question: 6,
      steps: turn.steps.map((_, index) => middle(this.steps[index]?.details.firstElementChild ?? this.body)),
      answer: turn.answer ? middle(this.answerBlock) : null,
      height: Math.round(height),
    };
    this.tree.setAttribute("aria-label", this.t.tree(turn.steps.length, returnsOf(turn)));
    drawTree(this.tree, turn.steps, rows, isRunning(turn));
  }
}
