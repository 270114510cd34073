/** What a tab remembers over a reload. Tabs know nothing of each other. */

import { DEFAULTS, isRunning, type Settings, type Turn } from "./types";

const KEY = "steiner.chat.1";

export interface Saved {
  turns: Turn[];
  settings: Settings;
  model: string;
  key: string;
  draft: string;
}

/** What was saved, or a new chat. A turn that was being written counts as stopped. */
export function load(): Saved {
  const fresh: Saved = { turns: [], settings: { ...DEFAULTS }, model: "", key: "", draft: "" };
  try {
    const found = JSON.parse(sessionStorage.getItem(KEY) ?? "{}") as Partial<Saved>;
    const saved = { ...fresh, ...found, settings: { ...DEFAULTS, ...found.settings } };
    for (const turn of saved.turns) if (isRunning(turn)) turn.phase = "stopped";
    return saved;
  } catch {
    return fresh;
  }
}

/** Save; where the storage is full, the oldest turns lose their thoughts first. */
export function save(saved: Saved): void {
  for (let bare = 0; bare <= saved.turns.length; bare++) {
    const turns = saved.turns.map((turn, index) => (index < bare ? withoutThoughts(turn) : turn));
    try {
      sessionStorage.setItem(KEY, JSON.stringify({ ...saved, turns }));
      return;
    } catch {
      continue;
    }
  }
}

const withoutThoughts = (turn: Turn): Turn => ({
  ...turn,
  reasoning: "",
  steps: turn.steps.map((step) => ({ ...step, thought: "" })),
});
