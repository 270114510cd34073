/** The server that this page came from, by the OpenAI API and the events of `docs/serving.md`. */

import { events } from "./sse";
import { languageHint } from "./strings";
import { NO_LIMIT, type Field, type Move, type Settings, type Turn } from "./types";

export type StepEvent =
  | { type: "step"; step: number; move: Move | null }
  | { type: "text"; step: number; field: Field; text: string }
  | { type: "field_end"; step: number; field: Field }
  | { type: "step_end"; step: number }
  | { type: "move"; move: Move }
  | { type: "answer" }
  | { type: "violation"; kind: string; message: string }
  | { type: "end"; complete: boolean; steps: number; backtracks: number; reasoning_tokens: number };

interface Delta {
  content?: string | null;
  reasoning_content?: string | null;
  steiner?: { events?: StepEvent[] };
}

export interface Chunk {
  choices?: { delta?: Delta; finish_reason?: string | null }[];
  error?: { message?: string };
}

interface Message {
  role: "system" | "user" | "assistant";
  content: string;
  reasoning_content?: string;
}

/** An error that the server explained, or a connection that broke (status 0). */
export class ApiError extends Error {
  constructor(
    readonly status: number,
    message: string,
  ) {
    super(message);
  }
}

/** The body of a request: the earlier turns that have an answer, then the question. */
export function requestBody(model: string, turns: readonly Turn[], question: string, settings: Settings): object {
  const messages: Message[] = [];
  const system = [settings.system.trim(), languageHint(settings.language)].filter(Boolean).join("\n\n");
  if (system) messages.push({ role: "system", content: system });
  for (const turn of turns) {
    if (!turn.answer) continue;
    messages.push({ role: "user", content: turn.question });
    const reasoning = turn.reasoning ? { reasoning_content: turn.reasoning } : {};
    messages.push({ role: "assistant", content: turn.answer, ...reasoning });
  }
  messages.push({ role: "user", content: question });
  return {
    ...(model ? { model } : {}),
    messages,
    stream: true,
    temperature: settings.temperature,
    history: settings.history,
    ...limits(settings),
  };
}

function limits(settings: Settings): object {
  if (settings.effort !== "steps") return { reasoning_effort: settings.effort };
  const most = settings.maxSteps < NO_LIMIT ? { max_steps: settings.maxSteps } : {};
  return { min_steps: settings.minSteps, ...most };
}

/** Ask, and yield what comes. Throws `ApiError`, and an AbortError after `signal`. */
export async function* complete(body: object, key: string, signal: AbortSignal): AsyncGenerator<Chunk> {
  const response = await ask("v1/chat/completions", key, {
    method: "POST",
    headers: { "Content-Type": "application/json", Accept: "text/event-stream" },
    body: JSON.stringify(body),
    signal,
  });
  if (!response.body) throw new ApiError(0, "");
  try {
    for await (const data of events(response.body)) {
      if (data === "[DONE]") return;
      const chunk = JSON.parse(data) as Chunk;
      if (chunk.error) throw new ApiError(response.status, chunk.error.message ?? "");
      yield chunk;
    }
  } catch (error) {
    throw explained(error);
  }
  throw new ApiError(0, "");
}

/** A model, and questions that it can answer. */
export interface Model {
  id: string;
  examples?: string[];
}

/** The models that the server has. */
export async function models(key: string): Promise<Model[]> {
  const response = await ask("v1/models", key, {});
  const body = (await response.json()) as { data?: Model[] };
  return body.data ?? [];
}

/** What `fetch` and its body throw, as an `ApiError` unless it was aborted. */
function explained(error: unknown): unknown {
  if (error instanceof ApiError) return error;
  if (error instanceof DOMException && error.name === "AbortError") return error;
  return new ApiError(0, "");
}

async function ask(path: string, key: string, init: RequestInit): Promise<Response> {
  const headers = { ...(init.headers ?? {}), ...(key ? { Authorization: `Bearer ${key}` } : {}) };
  let response: Response;
  try {
    response = await fetch(path, { ...init, headers, cache: "no-store" });
  } catch (error) {
    throw explained(error);
  }
  if (response.ok) return response;
  const body = (await response.json().catch(() => ({}))) as Chunk;
  throw new ApiError(response.status, body.error?.message ?? response.statusText);
}
