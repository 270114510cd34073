"""What the arithmetic model makes out of a prompt: which call it is, the chain, the steps already there.

Everything is found by marks that survive rewording of the prompts: the schema's name, tags around what is
shown, equations, and the words of the steps that the model itself writes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from steiner.testing.arithmetic import Chain, Operation, find_chain
from steiner.testing.models import schema, schema_name, texts

Call = Literal["draft", "attempt", "resolve"]

_CALLS: tuple[Call, ...] = ("draft", "attempt", "resolve")
_MARKS: dict[Call, tuple[str, ...]] = {
    "resolve": ("wrong_step", "right_answer"),
    "draft": ("reference_answer", "reference answer"),
    "attempt": ('"steps"',),
}
_STEP_TAG = re.compile(r'<step number="(\d+)"[^>]*>(.*?)</step>', re.DOTALL)
_STEP_NAME = re.compile(r"Operation \d+:|第 ?\d+ ?步运算：")
_ORDINAL = re.compile(r"Operation (\d+):|第 ?(\d+) ?步运算：")
_EQUATION = re.compile(r"(?<![\w.])(-?\d+) ([-+*]) (\d+) = (-?\d+)")
_SOLVER = re.compile(r"<answer_of_the_solver>\s*(.*?)\s*</answer_of_the_solver>", re.DOTALL)
_LIMITS = (
    re.compile(r"(?:at most|up to|no more than|maximum of)\s+(\d+)\s+(?:\w+\s+)?steps?\b", re.IGNORECASE),
    re.compile(r"between\s+\d+\s+and\s+(\d+)\s+steps?\b", re.IGNORECASE),
    re.compile(r"(?:最多|至多|不超过)\s*(\d+)\s*个?步"),
)
_CHINESE = re.compile(
    r"\b(?:in|language:?)\s+(?:simplified\s+)?(?:chinese|zh)\b|用中文|使用中文", re.IGNORECASE
)
_LANGUAGE = re.compile(r"\bevery field in (\w+)", re.IGNORECASE)


class ShownStep(NamedTuple):
    """A step that the prompt shows."""

    number: int
    """As the prompt counts, from 1."""
    ordinal: int
    """Which operation of the chain it carries out, from 1."""
    before: int
    operation: Operation
    after: int
    """What it says that the operation gives, right or wrong."""

    @property
    def holds(self) -> bool:
        """Say whether its own calculation is right."""
        return self.operation.apply(self.before) == self.after


class Asked(NamedTuple):
    """What a request asks for."""

    call: Call
    chain: Chain
    shown: tuple[ShownStep, ...]
    """All steps shown, in order, abandoned ones included."""
    answered: bool
    """The steps shown end with an answer of their writer; only in `resolve`."""
    max_steps: int
    language: str
    """`en` or `zh`."""
    structured: bool
    """The endpoint was told to return JSON."""


def read_request(body: Mapping[str, Any]) -> Asked | None:
    """Return what one of the three calls asks for; None where a request is none of them."""
    spoken = texts(body)
    call = find_call(body, spoken)
    found = next(
        ((text, chain) for role, text in reversed(spoken) if role == "user" and (chain := find_chain(text))),
        None,
    )
    if call is None or found is None:
        return None
    text, chain = found
    everything = "\n".join(said for _, said in spoken)
    return Asked(
        call=call,
        chain=chain,
        shown=tuple(shown_steps(text)),
        answered=bool((match := _SOLVER.search(text)) and match[1]),
        max_steps=_max_steps(body, text),
        language=find_language(everything),
        structured=(body.get("response_format") or {}).get("type") in ("json_schema", "json_object"),
    )


def find_call(body: Mapping[str, Any], spoken: Sequence[tuple[str, str]]) -> Call | None:
    """Return which call it is: by the schema's name, else by words of the prompts."""
    name = schema_name(body)
    for call in _CALLS:
        if name.endswith(call):
            return call
    everything = "\n".join(text for role, text in spoken if role != "assistant")
    return next((call for call, marks in _MARKS.items() if any(mark in everything for mark in marks)), None)


def shown_steps(text: str) -> Iterator[ShownStep]:
    """Yield the steps of a prompt that carry out an operation, in order.

    Steps in `<step number="…">` tags are taken by their number; without tags steps begin at the names that
    `ArithmeticModel` gives them and are counted from 1.
    """
    parts = [(int(number), inner) for number, inner in _STEP_TAG.findall(text)]
    if not parts:
        begins = [match.start() for match in _STEP_NAME.finditer(text)]
        ends = [*begins[1:], len(text)]
        parts = [(i, text[a:b]) for i, (a, b) in enumerate(zip(begins, ends, strict=False), start=1)]
    for number, inner in parts:
        ordinal, equation = _ORDINAL.search(inner), _EQUATION.search(inner)
        if ordinal and equation:
            before, sign, operand, after = equation.groups()
            operation = Operation(sign, int(operand))
            yield ShownStep(number, int(ordinal[1] or ordinal[2]), int(before), operation, int(after))


def route(shown: Sequence[ShownStep]) -> list[ShownStep]:
    """Return the steps that the last one builds on: a step for an earlier operation takes back later ones."""
    kept: list[ShownStep] = []
    for step in shown:
        while kept and kept[-1].ordinal >= step.ordinal:
            kept.pop()
        kept.append(step)
    return kept


def find_language(text: str) -> str:
    """Return the language that a prompt asks for: `zh` for Chinese, `en` for anything else."""
    asked = _LANGUAGE.findall(text)
    if asked:
        return "zh" if asked[-1].lower().startswith(("chinese", "zh", "mandarin", "simplified")) else "en"
    return "zh" if _CHINESE.search(text) else "en"


def _max_steps(body: Mapping[str, Any], text: str) -> int:
    most = ((schema(body).get("properties") or {}).get("steps") or {}).get("maxItems")
    if isinstance(most, int):
        return most
    return next((int(match[1]) for pattern in _LIMITS if (match := pattern.search(text))), 1_000)
