/** Every word that the page shows, in English and Chinese. */

import type { Effort, History } from "./types";

export interface Strings {
  tagline: string;
  empty: string;
  emptyHint: string;
  examplesTitle: string;
  question: string;
  placeholder: string;
  keys: string;
  send: string;
  stop: string;
  settings: string;
  newChat: string;
  conversation: string;
  model: string;
  noServer: string;
  effort: string;
  efforts: Record<Effort, string>;
  minSteps: string;
  maxSteps: string;
  noLimit: string;
  temperature: string;
  language: string;
  history: string;
  histories: Record<History, string>;
  system: string;
  systemPlaceholder: string;
  key: string;
  keyHint: string;
  defaults: string;
  waiting: string;
  thinking: (step: number) => string;
  thought: (steps: number, returns: number, tokens: number | null) => string;
  noThought: string;
  tree: (steps: number, returns: number) => string;
  openAll: string;
  closeAll: string;
  first: string;
  on: string;
  back: string;
  summary: string;
  reflection: string;
  answer: string;
  copy: string;
  copied: string;
  stopped: string;
  cut: string;
  again: string;
  unreachable: string;
  busy: string;
  unauthorised: string;
  said: { step: (number: number, name: string) => string; back: string; answer: string; stopped: string };
  seconds: (seconds: number) => string;
}

const en: Strings = {
  tagline: "a language model that searches while it writes",
  empty: "Ask something that takes a search",
  emptyHint: "You will see each step as it is thought, and where the search goes back.",
  examplesTitle: "Examples",
  question: "Question",
  placeholder: "Ask a question …",
  keys: "Enter sends, Shift+Enter begins a new line, Esc stops.",
  send: "Send",
  stop: "Stop",
  settings: "Settings",
  newChat: "New chat",
  conversation: "Conversation",
  model: "Model",
  noServer: "no server",
  effort: "Effort",
  efforts: {
    steps: "as many steps as below",
    none: "none",
    minimal: "minimal",
    low: "low",
    medium: "medium",
    high: "high",
    max: "maximal",
  },
  minSteps: "Fewest steps",
  maxSteps: "Most steps",
  noLimit: "no limit",
  temperature: "Temperature",
  language: "Language of the reasoning",
  history: "Earlier thoughts",
  histories: { summaries: "keep summaries", keep: "keep everything", drop: "drop" },
  system: "System prompt",
  systemPlaceholder: "none",
  key: "API key",
  keyHint: "This server asks for a key. It stays in this tab.",
  defaults: "Back to defaults",
  waiting: "Waiting for the model …",
  thinking: (step) => `Thinking, step ${step} …`,
  thought: (steps, returns, tokens) =>
    [
      `${steps} ${steps === 1 ? "step" : "steps"}`,
      `${returns} ${returns === 1 ? "return" : "returns"}`,
      ...(tokens === null ? [] : [`${tokens} reasoning tokens`]),
    ].join(" · "),
  noThought: "No reasoning",
  tree: (steps, returns) => `Search tree: steps ${steps}, returns ${returns}`,
  openAll: "Open all",
  closeAll: "Close all",
  first: "First step",
  on: "Goes on",
  back: "After a return",
  summary: "Summary",
  reflection: "Reflection",
  answer: "Answer",
  copy: "Copy",
  copied: "Copied",
  stopped: "Stopped.",
  cut: "Cut by the limit of tokens or time.",
  again: "Try again",
  unreachable: "The server cannot be reached, or the connection broke. Is it running?",
  busy: "The server is busy. Try again in a moment.",
  unauthorised: "The server asks for an API key: enter it in the settings.",
  said: {
    step: (number, name) => `Step ${number}: ${name}`,
    back: "Going back.",
    answer: "Answer:",
    stopped: "Stopped.",
  },
  seconds: (seconds) => `${seconds.toFixed(1)} s`,
};

const zh: Strings = {
  tagline: "边写边搜索的语言模型",
  empty: "问一个需要搜索的问题",
  emptyHint: "每一步思考都会实时显示，回溯之处一目了然。",
  examplesTitle: "示例",
  question: "问题",
  placeholder: "请输入问题……",
  keys: "回车发送，Shift+回车换行，Esc 停止。",
  send: "发送",
  stop: "停止",
  settings: "设置",
  newChat: "新对话",
  conversation: "对话",
  model: "模型",
  noServer: "无服务器",
  effort: "思考强度",
  efforts: {
    steps: "按下方步数",
    none: "不思考",
    minimal: "极低",
    low: "低",
    medium: "中",
    high: "高",
    max: "最高",
  },
  minSteps: "最少步数",
  maxSteps: "最多步数",
  noLimit: "不限",
  temperature: "温度",
  language: "推理语言",
  history: "此前的思考",
  histories: { summaries: "保留摘要", keep: "全部保留", drop: "丢弃" },
  system: "系统提示词",
  systemPlaceholder: "无",
  key: "API 密钥",
  keyHint: "此服务器需要密钥。密钥只保存在本标签页中。",
  defaults: "恢复默认",
  waiting: "正在等待模型……",
  thinking: (step) => `思考中，第 ${step} 步……`,
  thought: (steps, returns, tokens) =>
    [`${steps} 步`, `回溯 ${returns} 次`, ...(tokens === null ? [] : [`推理 ${tokens} 个词元`])].join(" · "),
  noThought: "没有推理",
  tree: (steps, returns) => `搜索树：${steps} 步，回溯 ${returns} 次`,
  openAll: "全部展开",
  closeAll: "全部收起",
  first: "第一步",
  on: "继续",
  back: "回溯之后",
  summary: "摘要",
  reflection: "反思",
  answer: "答案",
  copy: "复制",
  copied: "已复制",
  stopped: "已停止。",
  cut: "已达到词元或时间上限，回答被截断。",
  again: "重试",
  unreachable: "无法连接服务器，或连接已中断。服务器在运行吗？",
  busy: "服务器繁忙，请稍后重试。",
  unauthorised: "服务器需要 API 密钥，请在设置中填写。",
  said: {
    step: (number, name) => `第 ${number} 步：${name}`,
    back: "回溯。",
    answer: "答案：",
    stopped: "已停止。",
  },
  seconds: (seconds) => `${seconds.toFixed(1)} 秒`,
};

export type Locale = "en" | "zh";

/** The first language of the browser that the page knows. */
export function localeOf(languages: readonly string[]): Locale {
  for (const language of languages) {
    if (language.toLowerCase().startsWith("zh")) return "zh";
    if (language.toLowerCase().startsWith("en")) return "en";
  }
  return "en";
}

const EXAMPLES = 3;
const HAN = /\p{Script=Han}/u;

/** The questions to offer: those in the language of the page go first. */
export function chosenExamples(all: readonly string[], locale: Locale): string[] {
  const foreign = (text: string): number => Number(HAN.test(text) !== (locale === "zh"));
  return all.toSorted((a, b) => foreign(a) - foreign(b)).slice(0, EXAMPLES);
}

export const stringsOf = (locale: Locale): Strings => (locale === "zh" ? zh : en);

/** Languages to reason in: their own name, and the hint that the system prompt gets. */
const LANGUAGES: Record<string, { name: string; hint: string }> = {
  en: { name: "English", hint: "Think in English." },
  zh: { name: "中文", hint: "请用中文思考。" },
  de: { name: "Deutsch", hint: "Denke auf Deutsch." },
  es: { name: "Español", hint: "Piensa en español." },
  fr: { name: "Français", hint: "Réfléchis en français." },
  ja: { name: "日本語", hint: "日本語で考えてください。" },
};

export const languageHint = (language: string): string => LANGUAGES[language]?.hint ?? "";

export function languageOptions(locale: Locale): [value: string, label: string][] {
  const own: [string, string] = ["", locale === "zh" ? "由模型决定" : "left to the model"];
  return [own, ...Object.entries(LANGUAGES).map(([key, { name }]): [string, string] => [key, name])];
}
