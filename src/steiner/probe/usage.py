"""Whether a reported usage can be believed, as far as what is shown tells."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from steiner.probe.records import Doubt, Measurement

MOST_BYTES = 8
"""Bytes of text that a token has at most, over a whole reply."""
FEW_BYTES = 3
"""Bytes of text that a token of prose has at least: no tokenizer for words needs more tokens."""
TOKEN_EVENT_BYTES = 5.5
"""Events of at most so many bytes of text on average are taken for a token each."""
BLOCKING_SHARE = 0.1
"""From this share of requests on, a doubt stands in the way of a verdict."""
LEAST_FOR_CONSTANT = 8


def shown_tokens(one: Measurement) -> float:
    """Return how many tokens the shown text has.

    Most endpoints send a token an event. Where events are too long for that the number is rather too high: a
    token for 3 bytes.
    """
    if one.events and one.text_bytes <= TOKEN_EVENT_BYTES * one.events:
        return float(one.events)
    return max(float(one.events), one.text_bytes / FEW_BYTES)


def billed_tokens(one: Measurement) -> float:
    """Return the tokens that were billed; where the endpoint did not say, about those that were shown."""
    if one.completion_tokens:
        return float(one.completion_tokens)
    return max(1.0, float(one.events), one.text_bytes / 4)


class _Rule(NamedTuple):
    kind: str
    holds: Callable[[Measurement, int], bool]
    text: str


_RULES = (
    _Rule(
        "missing",
        lambda one, _: not one.completion_tokens,
        "no usage was reported; tokens are estimated from the text, so that hidden ones are not counted",
    ),
    _Rule(
        "fewer",
        lambda one, _: (
            bool(one.completion_tokens) and one.text_bytes / MOST_BYTES > (one.completion_tokens or 0) + 8
        ),
        "fewer tokens are billed than the text that is shown must have",
    ),
    _Rule(
        "reasoning",
        lambda one, _: one.reasoning_tokens > (one.completion_tokens or 0) > 0,
        "more reasoning tokens are reported than completion tokens",
    ),
    _Rule(
        "undeclared",
        lambda one, n: (
            n == 1
            and one.kind == "prose"
            and (one.completion_tokens or 0) - one.reasoning_tokens > 2 * shown_tokens(one) + 32
        ),
        "far more tokens are billed than are shown or declared as reasoning",
    ),
    _Rule(
        "over_limit",
        lambda one, n: (one.completion_tokens or 0) > n * one.max_tokens * 1.05 + 8,
        "more tokens are billed than max_tokens allows one completion, as when several are written",
    ),
)


def find_doubts(measurements: Sequence[Measurement], branches: int = 1) -> tuple[Doubt, ...]:
    """Return what is strange about the usage of replies.

    Args:
        measurements: replies, without failed requests.
        branches: completions that each request asked for.
    """
    if not measurements:
        return ()
    doubts = []
    for rule in _RULES:
        share = sum(rule.holds(one, branches) for one in measurements) / len(measurements)
        if share:
            doubts.append(Doubt.model_validate({"kind": rule.kind, "share": share, "text": rule.text}))
    if _constant(measurements):
        text = "every reply is billed the same number of tokens, although their texts differ in length"
        doubts.append(Doubt(kind="constant", share=1.0, text=text))
    return tuple(doubts)


def _constant(measurements: Sequence[Measurement]) -> bool:
    billed = {one.completion_tokens for one in measurements}
    lengths = [one.text_bytes for one in measurements]
    return (
        len(measurements) >= LEAST_FOR_CONSTANT
        and len(billed) == 1
        and None not in billed
        and max(lengths) > 2 * min(lengths) + 32
    )
