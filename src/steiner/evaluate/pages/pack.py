"""Samples as the page carries them: a small index at once, the texts in parts that are unpacked when wanted.

Everything is JSON, compressed and written in base64. Model text can so never be taken for markup, and a page
with 10,000 samples opens without reading their texts.
"""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from steiner.core import Move, Step
from steiner.evaluate.failures import TITLES
from steiner.evaluate.gather import limits_of
from steiner.evaluate.pages.records import SampleSet
from steiner.evaluate.records import FailureKind, SampleResult
from steiner.evaluate.saved import AskedQuestion, WrittenPath
from steiner.evaluate.wording import without_controls

PART = 100
"""Texts in one part."""
SHORT = 140
"""Characters of a question or an answer in the index."""
MOST_CHARACTERS = 4_000
"""Of one field on the page; the JSON twin has all of it."""
MOST_TEXT = 20_000
"""Of reasoning that has no steps."""
MOST_STEPS = 400
KINDS = tuple(FailureKind)
SIGNS = {Move.PROCEED: "p", Move.BACKTRACK: "b"}


class Packed(NamedTuple):
    """What goes into the page, each as base64 text."""

    overview: str
    parts: tuple[str, ...]


class Entry(NamedTuple):
    """One completion of one question, under all limits."""

    question: AskedQuestion
    written: WrittenPath
    samples: tuple[SampleResult | None, ...]
    """Parallel to the limits."""


def pack(samples: SampleSet) -> Packed:
    """Return the samples as the page's script reads them."""
    every = entries(samples)
    limits = limits_of(samples.samples)
    index = {
        "part": PART,
        "limits": limits,
        "kinds": [[kind.value, TITLES[kind]] for kind in KINDS],
        "id": [entry.question.problem_id for entry in every],
        "question": [_clean(entry.question.prompt, SHORT) for entry in every],
        "moves": ["".join(SIGNS[m] for m in entry.written.moves) for entry in every],
        "other": [[solved.get(e.question.problem_id) for e in every] for solved in samples.other_solved],
        "results": [[_result(sample) for sample in entry.samples] for entry in every],
    }
    parts = (every[start : start + PART] for start in range(0, len(every), PART))
    return Packed(_packed(index), tuple(_packed([_text(entry) for entry in part]) for part in parts))


def entries(samples: SampleSet) -> list[Entry]:
    """Join what belongs together: the i-th completion of a question under one limit and under another."""
    limits = limits_of(samples.samples)
    if not limits:
        return []
    questions = {question.problem_id: question for question in samples.questions}
    by_key: dict[tuple[str, int], list[SampleResult | None]] = {}
    order: list[tuple[str, int]] = []
    for column, limit in enumerate(limits):
        for key, sample in _numbered([s for s in samples.samples if s.max_steps == limit]):
            by_key.setdefault(key, [None] * len(limits))[column] = sample
            if column == len(limits) - 1:
                order.append(key)
    written = dict(zip(order, samples.written, strict=False)) if samples.written else {}
    known = set(order)
    order += [key for key in by_key if key not in known]
    return [
        Entry(
            questions.get(key[0]) or AskedQuestion(problem_id=key[0]),
            written.get(key) or WrittenPath(problem_id=key[0]),
            tuple(by_key[key]),
        )
        for key in order
    ]


def _numbered(samples: Sequence[SampleResult]) -> Iterator[tuple[tuple[str, int], SampleResult]]:
    """Yield each sample with its problem and its number among the samples of that problem."""
    seen: dict[str, int] = {}
    for sample in samples:
        number = seen.get(sample.problem_id, 0)
        seen[sample.problem_id] = number + 1
        yield (sample.problem_id, number), sample


def _result(sample: SampleResult | None) -> list[Any] | None:
    """Return right, class, steps, reasoning tokens, answer, evidence and its step."""
    if sample is None:
        return None
    failure = None if sample.right else sample.failure
    return [
        int(sample.right),
        -1 if failure is None else KINDS.index(failure.kind),
        sample.steps,
        sample.reasoning_tokens,
        _clean(sample.answer, SHORT),
        "" if failure is None else _clean(failure.evidence, 300),
        0 if failure is None else failure.step or 0,
    ]


def _text(entry: Entry) -> dict[str, Any]:
    steps = entry.written.steps
    return {
        "question": _clean(entry.question.prompt, MOST_CHARACTERS),
        "reference": _clean(entry.question.reference, MOST_CHARACTERS),
        "steps": [_step(step) for step in steps[:MOST_STEPS]],
        "more": max(0, len(steps) - MOST_STEPS),
        "text": _clean(entry.written.text, MOST_TEXT),
        "answers": [None if s is None else _clean(s.answer, MOST_CHARACTERS) for s in entry.samples],
    }


def _step(step: Step) -> list[str]:
    fields = (step.name, step.thought, step.summary, step.reflection)
    return [_clean(field, MOST_CHARACTERS) for field in fields]


def _clean(text: str, most: int) -> str:
    text = without_controls(text)
    return text if len(text) <= most else f"{text[:most]}… ({len(text) - most:,} more characters)"


def _packed(value: Any) -> str:
    # Lone surrogates have no place in UTF-8; a fixed time keeps equal reports equal.
    body = json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
    return base64.b64encode(gzip.compress(body, compresslevel=6, mtime=0)).decode()
