/** Folds the chunks of a reply into a turn. */

import type { Chunk, StepEvent } from "./api";
import type { Step, Turn } from "./types";

/** What is worth saying aloud: a step got its name, or the answer begins. */
export type Happening = { kind: "named"; step: number } | { kind: "answer" };

/** Change `turn` by a chunk; returns what happened. */
export function apply(turn: Turn, chunk: Chunk): Happening[] {
  const choice = chunk.choices?.[0];
  if (!choice) return [];
  const happened: Happening[] = [];
  const { delta } = choice;
  for (const event of delta?.steiner?.events ?? []) happened.push(...applyEvent(turn, event));
  if (delta?.reasoning_content) {
    turn.reasoning += delta.reasoning_content;
    if (turn.phase === "waiting") turn.phase = "thinking";
  }
  if (delta?.content) {
    happened.push(...beginAnswer(turn));
    turn.answer += delta.content;
  }
  if (choice.finish_reason) {
    turn.cut = choice.finish_reason === "length";
    for (const step of turn.steps) step.whole = true;
  }
  return happened;
}

function applyEvent(turn: Turn, event: StepEvent): Happening[] {
  switch (event.type) {
    case "step":
      turn.phase = "thinking";
      turn.steps[event.step] = emptyStep(event.move);
      return [];
    case "text": {
      const step = turn.steps[event.step];
      if (step) step[event.field] += event.text;
      return [];
    }
    case "field_end":
      return event.field === "name" ? [{ kind: "named", step: event.step }] : [];
    case "step_end": {
      const step = turn.steps[event.step];
      if (step) step.whole = true;
      return [];
    }
    case "answer":
      return beginAnswer(turn);
    case "end":
      turn.tokens = event.reasoning_tokens;
      return [];
    default:
      return [];
  }
}

function beginAnswer(turn: Turn): Happening[] {
  if (turn.phase === "answering") return [];
  turn.phase = "answering";
  return [{ kind: "answer" }];
}

const emptyStep = (move: Step["move"]): Step => ({
  move,
  name: "",
  thought: "",
  summary: "",
  reflection: "",
  whole: false,
});
