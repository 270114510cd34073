"""What a Countdown search needs to know, as plain text for the continual pre-training of small models."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence

from steiner.problems.countdown_states import Limits, Operation, State, operations
from steiner.problems.countdown_words import comparison, words_of

NEAR = 4
"""Misses by at most this are near ones."""


def arithmetic_documents(
    largest: int,
    limits: Limits,
    *,
    seed: int,
    lines: int = 16,
    repeats: int = 4,
    languages: Sequence[str] = ("en",),
    same_target: bool = False,
) -> Iterator[str]:
    """Yield documents of `lines` lines: equations (`3 + 5 = 8`) and as many comparisons, in seeded order.

    Every operation on two numbers from 0 to `largest` that `limits` allow occurs `repeats` times, sums and
    products in both orders. A quarter of the comparisons are hits: in paths they are so rare that a small
    model first learns how often they come, and claims them at random, long before it learns to compare. Half
    are near misses, which are what it takes for hits last of all. Comparisons are in each of `languages` by
    turns. With `same_target` all comparisons of a document are with one target, as those of a search are: a
    model learns to copy it, also one that no question has.
    """
    facts: list[str] = []
    for small in range(largest + 1):
        for large in range(small, largest + 1):
            for operation in operations((small, large), limits):
                facts.append(operation.equation)
                if operation.op in "+*" and small != large:
                    facts.append(f"{operation.right} {operation.op} {operation.left} = {operation.result}")
    for repeat in range(repeats):
        rng = random.Random(f"{seed}:arithmetic:{repeat}")
        if same_target:
            yield from _with_one_target(facts, largest, rng, lines, languages)
            continue
        said = [
            _comparison(rng.randint(0, largest), largest, rng, languages[i % len(languages)])
            for i in range(len(facts))
        ]
        order = facts + said
        rng.shuffle(order)
        for begin in range(0, len(order), lines):
            yield "\n".join(order[begin : begin + lines])


def sweep_documents(
    states: Sequence[State],
    limits: Limits,
    *,
    seed: int,
    repeats: int = 4,
    language: str = "en",
    by_operands: bool = False,
) -> Iterator[str]:
    """Yield what can be done with each set of numbers, one way after the other, as sorted paths try them.

    A document names the numbers, a way on and what it leaves, then the next; it begins anywhere and goes
    round once and a bit. In a path the ways on from the question are far between: which one comes after
    another is what a small model learns last, and until then it tries one again or leaves one out.

    Args:
        states: sets of numbers; those of training alone, if others are to be new.
        limits: which operations there are.
        seed: of where documents begin, and of their order.
        repeats: documents of each set.
        language: of the words.
        by_operands: pair by pair, as paths of `--order operands`, not by text as those of `--order sorted`.
    """
    words = words_of(language)
    rank = _operands_rank if by_operands else _rank
    for repeat in range(repeats):
        rng = random.Random(f"{seed}:sweeps:{repeat}")
        for state in rng.sample(states, len(states)):
            ways = sorted(_to_different(operations(state, limits)), key=rank)
            if not ways:
                continue
            begin = rng.randrange(len(ways))
            name = words.name.format(numbers=" ".join(map(str, state)))
            lines = []
            for turn in range(len(ways) + 2):
                way = ways[(begin + turn) % len(ways)]
                left = words.summary.format(numbers=" ".join(map(str, way.next_state)))
                lines += [name, way.equation, left]
            yield "\n".join(lines)


def _to_different(ways: Sequence[Operation]) -> Iterable[Operation]:
    """Return the first of the ways to the same numbers, as the symbolic teacher takes it."""
    return {way.next_state: way for way in reversed(ways)}.values()


def _rank(way: Operation) -> tuple[int, str, int]:
    """Return what sorts equations as `steiner.graph.sweep` does: by first number, operator, second number."""
    return way.left, way.op, way.right


def _operands_rank(way: Operation) -> tuple[list[int], int, str, int]:
    return sorted((way.left, way.right)), *_rank(way)


def _with_one_target(
    facts: Sequence[str], largest: int, rng: random.Random, lines: int, languages: Sequence[str]
) -> Iterator[str]:
    order = rng.sample(facts, len(facts))
    half = max(1, lines // 2)
    for number, begin in enumerate(range(0, len(order), half)):
        target = rng.randint(0, largest)
        document = order[begin : begin + half]
        document += [
            _comparison(target, largest, rng, languages[number % len(languages)])
            for _ in range(len(document))
        ]
        rng.shuffle(document)
        yield "\n".join(document)


def _comparison(target: int, largest: int, rng: random.Random, language: str) -> str:
    """Draw a comparison: a hit in four, two misses by at most `NEAR`, and one by whatever comes."""
    kind = rng.randrange(4)
    if kind == 0:
        return comparison(target, target, language)
    if kind == 1:
        return comparison(target, rng.randint(0, largest), language)
    return comparison(target, rng.choice([n for n in _near(target, largest) if n != target]), language)


def _near(target: int, largest: int) -> range:
    return range(max(0, target - NEAR), min(largest, target + NEAR) + 1)
