/** What a conversation is made of. Plain data: it is kept in the tab's storage as it is. */

export type Move = "proceed" | "backtrack";
export type Field = "name" | "thought" | "summary" | "reflection";
export const FIELDS: readonly Field[] = ["name", "thought", "summary", "reflection"];

export interface Step {
  /** What led here; null for the first step. */
  move: Move | null;
  name: string;
  thought: string;
  summary: string;
  reflection: string;
  whole: boolean;
}

export type Phase = "waiting" | "thinking" | "answering" | "done" | "stopped" | "failed";

export interface Turn {
  question: string;
  steps: Step[];
  answer: string;
  /** The reasoning as text, as the server sent it; earlier turns are sent back with it. */
  reasoning: string;
  phase: Phase;
  error: string;
  /** The answer was cut by a limit of tokens or time. */
  cut: boolean;
  /** Tokens of reasoning, null while unknown. */
  tokens: number | null;
  /** From sending to the last token; null while unknown. */
  seconds: number | null;
}

export type Effort = "steps" | "none" | "minimal" | "low" | "medium" | "high" | "max";
export const EFFORTS: readonly Effort[] = ["steps", "none", "minimal", "low", "medium", "high", "max"];
export type History = "keep" | "summaries" | "drop";
export const HISTORIES: readonly History[] = ["summaries", "keep", "drop"];

export interface Settings {
  /** "steps": the two sliders decide. */
  effort: Effort;
  minSteps: number;
  /** `NO_LIMIT` or more means none. */
  maxSteps: number;
  temperature: number;
  /** Key of `LANGUAGES`; "" leaves it to the model. */
  language: string;
  history: History;
  system: string;
}

export const MOST_STEPS = 32;
export const NO_LIMIT = MOST_STEPS + 1;

export const DEFAULTS: Settings = {
  effort: "steps",
  minSteps: 1,
  maxSteps: NO_LIMIT,
  temperature: 0,
  language: "",
  history: "summaries",
  system: "",
};

export const newTurn = (question: string): Turn => ({
  question,
  steps: [],
  answer: "",
  reasoning: "",
  phase: "waiting",
  error: "",
  cut: false,
  tokens: null,
  seconds: null,
});

export const isRunning = (turn: Turn): boolean =>
  turn.phase === "waiting" || turn.phase === "thinking" || turn.phase === "answering";

export const returnsOf = (turn: Turn): number => turn.steps.filter((step) => step.move === "backtrack").length;
