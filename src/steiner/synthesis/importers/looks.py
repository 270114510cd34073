"""What tells the records of the formats apart, for the hint in errors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

Look = Callable[[Mapping[str, Any]], bool]


def _has(*names: str) -> Look:
    return lambda record: all(name in record for name in names)


def _is_chat(record: Mapping[str, Any]) -> bool:
    asked = any(name in record for name in ("question", "problem", "prompt", "messages"))
    return asked and any(
        name in record for name in ("response", "completion", "completions", "generated_text")
    )


LOOKS: dict[str, Look] = {
    "prm800k": lambda record: isinstance(record.get("label"), dict) and "steps" in record["label"],
    "omegaprm": _has("question", "reasoning_steps"),
    "tot24": _has("ys", "infos"),
    "bbm": _has("input", "steps", "mistake_index"),
    "mmlu-pro": _has("question_id", "options", "pred"),
    "native": _has("problem", "traces"),
    "chat": _is_chat,
}
