"""Draw Countdown problems: distinct, solvable, the same for the same seed, in splits that cannot overlap.

A number set and a target belong to a split by their own hash, not by the order of drawing, so problems of
different splits stay apart whatever the seed, the count and the ranges they were made with.
"""

from __future__ import annotations

import hashlib
import itertools
import math
import random
from collections import Counter
from collections.abc import Iterator
from enum import StrEnum
from functools import cached_property
from typing import Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from steiner.core import InputError, Problem, Settings
from steiner.problems.countdown_states import (
    ANY,
    OPERATORS,
    TASK,
    Limits,
    Operation,
    State,
    distance,
    expression,
    expression_from_equations,
    make_problem,
    make_state,
    operations,
    outcomes,
    problem_from,
    reaches,
    solutions,
    solve,
    state_key,
)
from steiner.problems.countdown_words import question_text

__all__ = [
    "ANY",
    "OPERATORS",
    "TASK",
    "CountdownSettings",
    "Limits",
    "Operation",
    "Split",
    "State",
    "distance",
    "expression",
    "expression_from_equations",
    "generate",
    "is_heldout_input",
    "is_heldout_target",
    "make_problem",
    "make_state",
    "operations",
    "outcomes",
    "question_text",
    "reaches",
    "solutions",
    "solve",
    "state_key",
]

ENUMERABLE = {2: 200_000, 3: 20_000, 4: 1_000}
"""Up to this many number sets (by their size) all problems are listed at once: one or two seconds of work."""
COUNTABLE = 200_000
"""Up to this many number sets (of at most three numbers) an exhausted space is listed to its end."""
PATIENCE = 20_000
"""Draws in a row without a new problem after which drawing is given up."""


class Split(StrEnum):
    """Which part of all problems."""

    TRAIN = "train"
    """Number sets and targets that are not held out."""
    HELDOUT_TARGETS = "heldout-targets"
    """Targets that never occur in training, from any numbers."""
    NEW_INPUTS = "new-inputs"
    """Training targets from number sets that never occur in training."""


class CountdownSettings(Settings):
    """Sizes and ranges; the defaults are those of Stream of Search."""

    count: int = Field(default=4, ge=2, le=6)
    """Numbers per problem. Six take about a second a problem to solve."""
    low: int = Field(default=1, ge=0)
    high: int = 99
    """Numbers are drawn from `low` to `high`, both included."""
    target_low: int = Field(default=10, ge=0)
    target_high: int = 100
    max_result: int | None = Field(default=None, ge=1)
    """Limit for every intermediate result; None for no limit."""
    operators: str = OPERATORS
    heldout_target_share: float = Field(default=0.1, ge=0, le=1)
    """Share of the targets that training never sees."""
    heldout_input_share: float = Field(default=0.1, ge=0, le=1)
    """Share of the number sets that training never sees."""
    seed: int = 0
    """Decides which problems are drawn and in which order, never which split they belong to."""
    language: Literal["en", "zh", "mixed"] = "en"
    """Of the questions. `mixed`: each number set has one of both, by the seed."""
    chinese_share: float = Field(default=0.5, ge=0, le=1)
    """Share of the number sets whose questions are Chinese, where `language` is `mixed`."""
    siblings: int = Field(default=0, ge=0)
    """After each problem up to so many others with the same numbers, for conversations."""

    @model_serializer(mode="wrap")
    def _without_later_fields(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out fields that came later, at their defaults, so that older runs can be gone on with."""
        later = {"language": "en", "chinese_share": 0.5, "siblings": 0}
        return {name: v for name, v in handler(self).items() if name not in later or later[name] != v}

    @model_validator(mode="after")
    def _check(self) -> CountdownSettings:
        if self.high < self.low:
            raise ValueError(f"high {self.high} is less than low {self.low}")
        if self.target_high < self.target_low:
            raise ValueError(f"target_high {self.target_high} is less than target_low {self.target_low}")
        if not self.operators or set(self.operators) - set(OPERATORS):
            raise ValueError(f"operators must be some of {OPERATORS}, got {self.operators!r}")
        return self

    @property
    def limits(self) -> Limits:
        """What an operation may be."""
        return Limits(self.max_result, "".join(op for op in OPERATORS if op in self.operators))

    @cached_property
    def input_count(self) -> int:
        """Number of different number sets."""
        return math.comb(self.high - self.low + self.count, self.count)


def generate(settings: CountdownSettings, n: int, split: Split | str = Split.TRAIN) -> Iterator[Problem]:
    """Yield `n` distinct solvable problems of a split; fewer problems are a prefix of more.

    As in Stream of Search the target is drawn first, uniformly, then numbers until they reach it. Every
    language has the same numbers and targets.

    Raises:
        InputError: if the split is unknown or holds fewer than `n` problems; it says how many it holds.
    """
    space = _Space(settings, _parse_split(split))
    found = 0
    pairs = space.with_siblings(space.draw()) if settings.siblings else space.draw()
    for state, target in itertools.islice(pairs, n):
        derivation = solve(state, target, settings.limits)
        assert derivation is not None, "only reachable targets are drawn"
        found += 1
        yield problem_from(
            state,
            target,
            derivation,
            settings.limits,
            source=f"countdown:{space.split}",
            language=language_of(settings, state),
        )
    if found < n:
        raise InputError(
            f"{n:,} problems were asked for, but with these settings the split '{space.split}' holds "
            f"only {found:,} distinct solvable problems: ask for fewer, or widen the ranges of numbers or "
            "targets."
        )


def language_of(settings: CountdownSettings, state: State) -> str:
    """Return the language of all questions with these numbers: a conversation about them stays in it."""
    if settings.language != "mixed":
        return settings.language
    return "zh" if _unit("language", settings.seed, *state) < settings.chinese_share else "en"


def is_heldout_target(target: int, share: float) -> bool:
    """Say whether a target is held out: about `share` of every ten consecutive targets, chosen by hash."""
    block = target // 10
    order = sorted(range(block * 10, block * 10 + 10), key=lambda t: _unit("target", t))
    whole, rest = divmod(share * 10, 1)
    return order.index(target) < whole + (_unit("block", block) < rest)


def is_heldout_input(state: State, share: float) -> bool:
    """Say whether a number set is held out: `share` of all, chosen by hash."""
    return _unit("input", *state) < share


def _unit(*values: object) -> float:
    """Return a number in [0, 1) that depends on `values` alone."""
    raw = hashlib.blake2b(repr(values).encode(), digest_size=8).digest()
    return int.from_bytes(raw, "big") / 2**64


def _parse_split(split: Split | str) -> Split:
    try:
        return Split(split)
    except ValueError:
        raise InputError(f"Unknown split '{split}': choose one of {', '.join(Split)}.") from None


class _Space:
    """All (numbers, target) pairs of one split."""

    def __init__(self, settings: CountdownSettings, split: Split) -> None:
        self.settings = settings
        self.split = split
        wanted = split is Split.HELDOUT_TARGETS
        self.targets = [
            target
            for target in range(settings.target_low, settings.target_high + 1)
            if is_heldout_target(target, settings.heldout_target_share) is wanted
        ]

    def draw(self) -> Iterator[tuple[State, int]]:
        """Yield the solvable pairs, each once, until there are no more."""
        settings = self.settings
        rng = random.Random(f"{settings.seed}:countdown:{self.split}")
        if settings.input_count <= ENUMERABLE.get(settings.count, 0):
            yield from self._shuffled(rng, set())
            return
        seen: set[tuple[State, int]] = set()
        for pair in self._sampled(rng):
            seen.add(pair)
            yield pair
        if settings.count <= 3 and settings.input_count <= COUNTABLE:
            yield from self._shuffled(rng, seen)

    def with_siblings(self, pairs: Iterator[tuple[State, int]]) -> Iterator[tuple[State, int]]:
        """Yield each pair, then other targets that its numbers reach, all of the same split and each once."""
        settings = self.settings
        rng = random.Random(f"{settings.seed}:countdown:{self.split}:siblings")
        seen: set[tuple[State, int]] = set()
        for pair in pairs:
            if pair in seen:
                continue
            seen.add(pair)
            yield pair
            state = pair[0]
            others = [target for target in self.targets if (state, target) not in seen]
            rng.shuffle(others)
            reached = (target for target in others if reaches(state, target, settings.limits))
            for target in itertools.islice(reached, settings.siblings):
                seen.add((state, target))
                yield state, target

    def _has_input(self, state: State) -> bool:
        if self.split is Split.HELDOUT_TARGETS:
            return True
        heldout = is_heldout_input(state, self.settings.heldout_input_share)
        return heldout is (self.split is Split.NEW_INPUTS)

    def _sampled(self, rng: random.Random) -> Iterator[tuple[State, int]]:
        """Draw by rejection, until nothing new turns up for long."""
        settings, limits = self.settings, self.settings.limits
        seen: set[tuple[State, int]] = set()
        misses = 0
        target = None
        while self.targets and misses < PATIENCE:
            # A target is kept until numbers that reach it are found, but not for ever: some have none.
            if target is None or misses % 200 == 199:
                target = rng.choice(self.targets)
            state = make_state(rng.randint(settings.low, settings.high) for _ in range(settings.count))
            misses += 1
            if (state, target) in seen or not self._has_input(state):
                continue
            if solve(state, target, limits) is not None:
                seen.add((state, target))
                yield state, target
                misses, target = 0, None

    def _shuffled(self, rng: random.Random, seen: set[tuple[State, int]]) -> Iterator[tuple[State, int]]:
        """List every pair that is not in `seen`, in the order that drawing without replacement would give."""
        by_target = self._listed(rng, seen)
        left = sorted(by_target)
        while left:
            place = rng.randrange(len(left))
            states = by_target[left[place]]
            yield states.pop(), left[place]
            if not states:
                left[place] = left[-1]
                left.pop()

    def _listed(self, rng: random.Random, seen: set[tuple[State, int]]) -> dict[int, list[State]]:
        """Return the number sets of each target, the next one to be drawn last."""
        settings, limits = self.settings, self.settings.limits
        targets = set(self.targets)
        keyed: dict[int, list[tuple[float, State]]] = {}
        for state in itertools.combinations_with_replacement(
            range(settings.low, settings.high + 1), settings.count
        ):
            if not self._has_input(state):
                continue
            orders = math.factorial(len(state)) // math.prod(map(math.factorial, Counter(state).values()))
            for target in sorted(targets & outcomes(state, limits)):
                if (state, target) not in seen:
                    # Efraimidis-Spirakis keys: a set turns up in proportion to the orders of its numbers.
                    keyed.setdefault(target, []).append((rng.random() ** (1 / orders), state))
        return {target: [state for _, state in sorted(pairs)] for target, pairs in keyed.items()}
