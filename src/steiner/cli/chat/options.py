"""What a conversation is held with, and the slash commands that change it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from pydantic import Field, ValidationError

from steiner.core import InputError, Settings, StepBudget
from steiner.protocol.history import HistoryPolicy
from steiner.protocol.requests import Effort

FIELDS = ("thought", "summary", "reflection")
LANGUAGE_HINTS: Mapping[str, str] = {
    "en": "Think in English.",
    "zh": "请用中文思考。",
    "de": "Denke auf Deutsch.",
    "es": "Piensa en español.",
    "fr": "Réfléchis en français.",
    "ja": "日本語で考えてください。",
}
"""What the system prompt says to ask for a language; the chat page has the same table."""


class ChatOptions(Settings):
    """How the next answer is made and shown."""

    budget: StepBudget = StepBudget()
    effort: Effort | None = None
    """A word instead of step limits; the budget's are then the plain ones."""
    temperature: float = Field(default=0.0, ge=0, le=2)
    seed: int | None = None
    """None draws anew each time."""
    max_answer_tokens: int = Field(default=512, ge=1)
    system: str = ""
    language: str = ""
    """Key of `LANGUAGE_HINTS`; empty leaves it to the model."""
    history: HistoryPolicy = HistoryPolicy.SUMMARIES
    show: tuple[str, ...] = FIELDS
    """Fields of a step that are printed beside its name."""

    @property
    def system_prompt(self) -> str:
        """The system prompt with the hint of the language."""
        return "\n\n".join(part for part in (self.system, LANGUAGE_HINTS.get(self.language, "")) if part)


class Command(NamedTuple):
    """A slash command that changes the options."""

    usage: str
    help: str
    change: Callable[[ChatOptions, str], ChatOptions]


def change(options: ChatOptions, name: str, argument: str) -> ChatOptions:
    """Return the options after a slash command.

    Args:
        options: as they are.
        name: key of `COMMANDS`.
        argument: what stands behind the name.

    Raises:
        InputError: if the argument makes no sense; says how the command is used.
    """
    command = COMMANDS[name]
    try:
        return command.change(options, argument)
    except ValidationError as error:
        reason = error.errors(include_url=False)[0]["msg"].removeprefix("Value error, ")
    except ValueError as error:
        reason = str(error)
    raise InputError(f"{reason}. Use it like this: {command.usage}")


def _with(options: ChatOptions, **values: Any) -> ChatOptions:
    """Copy with some values replaced, and validated."""
    kept = {name: getattr(options, name) for name in ChatOptions.model_fields}
    return ChatOptions.model_validate({**kept, **values})


def _with_limits(options: ChatOptions, **limits: Any) -> ChatOptions:
    return _with(options, budget=StepBudget.model_validate({**options.budget.model_dump(), **limits}))


def _steps(options: ChatOptions, text: str) -> ChatOptions:
    if text == "any":
        return _with(_with_limits(options, min_steps=1, max_steps=None), effort=None)
    match = re.fullmatch(r"(\d+)?\s*(\.\.)?\s*(\d+)?", text)
    if not match or not (match[1] or match[3]):
        raise ValueError(f"'{text}' is no range of steps")
    least, most = match[1] or 1, match[3] if match[2] else match[1]
    return _with(_with_limits(options, min_steps=least, max_steps=most), effort=None)


def _effort(options: ChatOptions, text: str) -> ChatOptions:
    if text not in [*Effort]:
        raise ValueError(f"'{text}' is no effort")
    return _with(_with_limits(options, min_steps=1, max_steps=None), effort=Effort(text))


def _number(text: str) -> int | None:
    if text == "any":
        return None
    if not re.fullmatch(r"\d+", text):
        raise ValueError(f"'{text}' is no whole number")
    return int(text)


def _language(options: ChatOptions, text: str) -> ChatOptions:
    if text and text not in LANGUAGE_HINTS:
        raise ValueError(f"'{text}' is no language that there is a hint for")
    return _with(options, language=text)


def _history(options: ChatOptions, text: str) -> ChatOptions:
    if text not in [*HistoryPolicy]:
        raise ValueError(f"'{text}' is no policy")
    return _with(options, history=text)


def _show(options: ChatOptions, text: str) -> ChatOptions:
    shown = {"all": FIELDS, "summaries": ("summary",), "names": ()}
    if text not in shown:
        raise ValueError(f"'{text}' cannot be shown")
    return _with(options, show=shown[text])


def _flag(text: str) -> bool:
    if text not in ("on", "off"):
        raise ValueError(f"'{text}' is neither on nor off")
    return text == "on"


COMMANDS: Mapping[str, Command] = {
    "steps": Command("/steps 2..8, /steps 5, /steps ..8, /steps any", "fewest and most steps", _steps),
    "effort": Command(f"/effort {'|'.join(Effort)}", "a range of steps by a word", _effort),
    "tokens": Command(
        "/tokens 400, /tokens any",
        "most reasoning tokens",
        lambda options, text: _with_limits(options, max_reasoning_tokens=_number(text)),
    ),
    "step-tokens": Command(
        "/step-tokens 80, /step-tokens any",
        "most tokens of a step",
        lambda options, text: _with_limits(options, max_step_tokens=_number(text)),
    ),
    "answer-tokens": Command(
        "/answer-tokens 256",
        "most tokens of the answer",
        lambda options, text: _with(options, max_answer_tokens=_number(text)),
    ),
    "backtrack": Command(
        "/backtrack 1.5",
        "going back more likely, or less if negative; in logits",
        lambda options, text: _with_limits(options, backtrack_bias=text),
    ),
    "repeats": Command(
        "/repeats on|off",
        "whether a thought may come twice",
        lambda options, text: _with_limits(options, ban_repeats=not _flag(text)),
    ),
    "temperature": Command(
        "/temperature 0.7",
        "0 takes the most likely token, up to 2",
        lambda options, text: _with(options, temperature=text),
    ),
    "seed": Command(
        "/seed 1, /seed any", "repeatable draws", lambda options, text: _with(options, seed=_number(text))
    ),
    "system": Command(
        "/system TEXT, /system", "system prompt", lambda options, text: _with(options, system=text)
    ),
    "language": Command(f"/language {'|'.join(LANGUAGE_HINTS)}, /language", "to reason in", _language),
    "history": Command(
        f"/history {'|'.join(HistoryPolicy)}", "what earlier answers keep of their thoughts", _history
    ),
    "show": Command("/show all|summaries|names", "what is printed of a step", _show),
}
"""Slash commands that change the options, by name."""


def described(options: ChatOptions) -> str:
    """Return the options in a line."""
    budget = options.budget
    steps = f"{budget.min_steps}..{budget.max_steps or 'any'}"
    parts = [f"effort {options.effort}" if options.effort else f"steps {steps}"]
    if budget.max_reasoning_tokens:
        parts.append(f"at most {budget.max_reasoning_tokens} reasoning tokens")
    if budget.max_step_tokens:
        parts.append(f"at most {budget.max_step_tokens} tokens a step")
    if budget.backtrack_bias:
        parts.append(f"backtrack {budget.backtrack_bias:+g}")
    if budget.ban_repeats:
        parts.append("no repeats")
    parts += [f"temperature {options.temperature:g}", f"history {options.history}"]
    if options.seed is not None:
        parts.append(f"seed {options.seed}")
    if options.language:
        parts.append(f"language {options.language}")
    if options.system:
        parts.append("a system prompt")
    return ", ".join(parts)
