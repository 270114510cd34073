"""From the text of a reply to steps, however the model wrote them.

Structured replies take the first, quick way. Others are searched for a JSON object, read with patience, and
at last for steps written as labelled text. Nothing here raises on any text.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import orjson

from steiner.core import Step, TraceStep
from steiner.teacher.llm.layout import read_layout
from steiner.teacher.llm.loose_json import read_loose
from steiner.teacher.llm.schemas import FIELDS
from steiner.teacher.llm.templates import Call
from steiner.teacher.llm.types import Rejected, RejectReason

MAX_CHARACTERS = 1_000_000
"""Longer replies are not looked at."""
MAX_STARTS = 16
"""Places where a JSON object may begin that are tried."""

_ALIASES = {
    "title": "name", "step_name": "name",
    "thoughts": "thought", "thinking": "thought", "reasoning": "thought", "content": "thought",
    "conclusion": "summary", "check": "reflection", "backtrack_to": "back_to", "goes_back_to": "back_to",
    "final_answer": "answer", "first_wrong_step": "wrong_step", "reasoning_steps": "steps",
}  # fmt: skip
_BLANK = re.compile(
    r"[<\[](?:(?:your|the|insert|put|enter|write) )*"
    r"[a-z ]{0,40}(?:here|name|thought|summary|reflection)[>\]]",
    re.IGNORECASE,
)
"""A place to be filled in, as templates have it."""
_NO_ANSWER = {"", "null", "none", "n/a", "unfinished", "...", "…", '""', "''"}
_START = re.compile(r'\{(?=\s*["}])|\[(?=\s*\{\s*")')
_SWALLOWED = re.compile(
    r"[\x08\x0c](?=[a-zA-Z])"
    r"|\t(?=(?:imes|ext(?:bf|it|rm)?|heta|frac|an|au|riangle|o|herefore|ilde)(?![a-zA-Z]))"
    r"|\r(?=(?:ight\w*|ho|angle|ceil|floor)(?![a-zA-Z]))|\n(?=(?:eq|abla|eg|otin|mid)(?![a-zA-Z]))"
)
r"""LaTeX whose backslash was not doubled, such as `\frac` in a JSON string, after a JSON reader took it."""
_CONTROL = re.compile(r"[\x00-\x1f]")
_KEYS = frozenset((*FIELDS, "steps", "answer", "back_to", "wrong_step"))
_LETTER = {"\b": "\\b", "\f": "\\f", "\t": "\\t", "\r": "\\r", "\n": "\\n"}


class ParsedStep(NamedTuple):
    """A step as written and where it says that it starts from."""

    step: Step
    back_to: int | None
    """Number, from 1, of the step it goes on from when that is not the one before; 0 is the question."""


class Parsed(NamedTuple):
    """A reply whose steps are all there."""

    steps: tuple[ParsedStep, ...]
    answer: str
    """Empty if it gives none."""
    wrong_step: int | None = None
    """Of `resolve`: as written, not checked against the steps shown."""
    reflection: str = ""
    """Of `resolve`."""


def parse_reply(
    call: Call, text: str, *, shown: int = 0, max_steps: int = 10_000, cut: bool = False
) -> Parsed | Rejected:
    """Read a reply.

    Args:
        call: what the reply is to.
        text: the whole text, `<think>` parts already removed.
        shown: number of steps that the request showed; the first new step has the number after it.
        max_steps: of an attempt, further steps and the answer that came after them are dropped.
        cut: the endpoint stopped at its token limit: always rejected, with the steps that are whole.

    Returns:
        The reply, or why it cannot be used; a `Rejected` made here holds the new steps only and no asks.
    """
    raw, whole = _read(text[:MAX_CHARACTERS])
    if raw is None:
        reason = RejectReason.LENGTH if cut else RejectReason.UNPARSABLE
        detail = "it was cut off at the token limit" if cut else "no JSON object with steps could be found"
        if not text.strip():
            reason, detail = (reason, detail) if cut else (RejectReason.EMPTY, "it was empty")
        return Rejected(call=call, reason=reason, detail=detail, asks=0)
    steps, missing = _steps(raw.get("steps"), shown, drop_last=cut or not whole)
    parsed = Parsed(
        steps, _answer(raw.get("answer")), _number(raw.get("wrong_step")), _text(raw.get("reflection"))
    )
    problem = _problem(call, parsed, missing, cut=cut, whole=whole)
    if problem:
        return Rejected(
            call=call,
            reason=problem[0],
            detail=problem[1],
            asks=0,
            steps=trace_steps(parsed.steps, shown),
            answer=parsed.answer,
        )
    if call == "attempt" and len(steps) > max_steps:
        return parsed._replace(steps=steps[:max_steps], answer="")
    return parsed


def trace_steps(steps: Sequence[ParsedStep], shown: int) -> tuple[TraceStep, ...]:
    """Return new steps as part of a trace that already has `shown` steps."""
    return tuple(
        TraceStep(step=item.step, parent=index - 1 if item.back_to is None else item.back_to - 1)
        for index, item in enumerate(steps, shown)
    )


def clean(text: str) -> str:
    """Restore LaTeX that lost its backslash; drop what no file can carry: NUL and halves of characters."""
    if text.isascii() and text.isprintable():
        return text.strip()
    if _CONTROL.search(text):
        text = _SWALLOWED.sub(lambda match: _LETTER[match.group()], text).replace("\0", "")
    if not text.isascii():
        text = text.encode("utf-8", "ignore").decode("utf-8")
    return text.strip()


def _read(text: str) -> tuple[dict[str, Any] | None, bool]:
    """Return the reply's object and whether it was complete."""
    try:
        found = _unwrapped(orjson.loads(text))
    except ValueError:
        found = None
    if found is not None:
        return found, True
    best: tuple[int, dict[str, Any] | None, bool] = (-1, None, False)
    place = inside = 0
    for _ in range(MAX_STARTS):
        match = _START.search(text, place)
        if match is None:
            break
        loose = read_loose(text, match.start())
        place = max(loose.end if loose.whole else 0, match.start() + 1)
        found = _unwrapped(loose.value)
        if found is None:
            continue
        # Of several objects the last one counts; one inside another does only if the other has less.
        count = _count_steps(found)
        if count > best[0] or (count == best[0] and match.start() >= inside):
            best = (count, found, loose.whole or list(found)[-1] == "answer")
            inside = loose.end
    if best[0] > 0:
        return best[1], best[2]
    layout = read_layout(text)
    return (layout, True) if layout else (best[1], best[2])


def _unwrapped(value: Any, depth: int = 0) -> dict[str, Any] | None:
    """Return the object that has the steps, with the keys that we know by other names renamed."""
    if isinstance(value, list):
        steps = [item for item in value if isinstance(item, dict)]
        return _unwrapped(steps[0] if "steps" in steps[0] else {"steps": steps}, depth + 1) if steps else None
    if not isinstance(value, dict) or depth > 3:
        return None
    renamed = _renamed(value)
    if isinstance(renamed.get("steps"), (list, dict)):
        return renamed
    if "thought" in renamed and "summary" in renamed:
        return {"steps": [renamed]} | {
            key: renamed[key] for key in ("wrong_step", "answer") if key in renamed
        }
    inner = (_unwrapped(item, depth + 1) for item in value.values() if isinstance(item, dict))
    return next((item for item in inner if item), None)


def _renamed(value: dict[str, Any]) -> dict[str, Any]:
    if _KEYS.issuperset(value):
        return value
    renamed: dict[str, Any] = {}
    for key, item in value.items():
        plain = re.sub(r"[\W_]+", "_", key.lower()).strip("_")
        renamed.setdefault(_ALIASES.get(plain, plain), item)
    return renamed


def _step_objects(value: Any) -> list[dict[str, Any]]:
    items = list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else []
    return [_renamed(item) for item in items if isinstance(item, dict)]


def _count_steps(found: dict[str, Any]) -> int:
    """Count the steps with something in every field."""
    return sum(
        all(_is_filled(_text(item.get(field))) for field in FIELDS) for item in _step_objects(found["steps"])
    )


def _is_filled(text: str) -> bool:
    """Tell a text from one that says nothing, such as «…» or `<your answer here>`, copied from a form."""
    return bool(text.strip(".… ")) and not _BLANK.fullmatch(text.strip())


def _steps(value: Any, shown: int, drop_last: bool) -> tuple[tuple[ParsedStep, ...], str]:
    """Return the steps before the first one that lacks a field, and what it lacks.

    With `drop_last` the end may be missing: a last step that lacks something was cut.
    """
    items = _step_objects(value)
    steps: list[ParsedStep] = []
    for index, item in enumerate(items):
        fields = {field: _text(item.get(field)) for field in FIELDS}
        empty = next((field for field, text in fields.items() if not _is_filled(text)), None)
        if empty is not None:
            was_cut = drop_last and index == len(items) - 1
            return tuple(steps), "" if was_cut else f"step {shown + index + 1} has no {empty}"
        steps.append(ParsedStep(Step(**fields), _back_to(item.get("back_to"), shown + index + 1)))
    return tuple(steps), ""


def _problem(
    call: Call, parsed: Parsed, missing: str, *, cut: bool, whole: bool
) -> tuple[RejectReason, str] | None:
    """Say what makes a reply unusable, if anything does."""
    if cut:
        return RejectReason.LENGTH, "it was cut off at the token limit"
    if missing:
        return RejectReason.EMPTY, missing
    if not whole:
        return RejectReason.UNPARSABLE, "the JSON object ends in the middle"
    if not parsed.steps:
        return RejectReason.EMPTY, "it has no steps"
    if call != "attempt" and not parsed.answer:
        return RejectReason.EMPTY, "it has no answer"
    if call == "resolve" and not _is_filled(parsed.reflection):
        return RejectReason.EMPTY, "it has no new reflection for the last step shown"
    return None


def _back_to(value: Any, number: int) -> int | None:
    """Return the step that step `number` goes back to; None for the one before it or for one not there."""
    target = _number(value)
    return target if target is not None and 0 <= target < number - 1 else None


def _number(value: Any) -> int | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, float):
        return int(value) if value.is_integer() else None
    if isinstance(value, int):
        return value if abs(value) < 10**9 else None
    match = re.search(r"-?\d{1,9}", value[:40], re.ASCII) if isinstance(value, str) else None
    return int(match.group()) if match else None


def _text(value: Any) -> str:
    """Return what is written in a field, whether as a text, a number or a list of lines."""
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, list):
        return "\n".join(_text(item) for item in value if not isinstance(item, list))
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return str(value)
    return ""


def _answer(value: Any) -> str:
    text = _text(value)
    return "" if text.casefold() in _NO_ANSWER else text
