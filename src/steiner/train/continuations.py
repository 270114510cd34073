"""Which extra rollouts the `montecarlo` reward asks for, and the values they give. Pure."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import NamedTuple

from steiner.train.rewards import MonteCarloReward

Member = tuple[Sequence[int], int]
"""Token ids of a completion, and how many whole steps it has."""


class Wanted(NamedTuple):
    """One continuation that is to be written."""

    member: int
    """Number of a completion that begins so."""
    prefix: tuple[int, ...]
    """Tokens of the completion up to and with a STEP_END."""
    seed: int


def boundaries(completion_ids: Sequence[int], steps: int, step_end: int) -> list[int]:
    """Return the length of the completion up to the end of each of its first `steps` steps."""
    ends = [place + 1 for place, token in enumerate(completion_ids) if token == step_end]
    return ends[:steps]


def choose_boundaries(
    first: int, group: Sequence[Member], step_end: int, settings: MonteCarloReward, rng: random.Random
) -> list[Wanted]:
    """Return the continuations for one group: K from each distinct boundary, or from evenly spread ones.

    Args:
        first: number of the group's first completion.
        group: its completions.
        step_end: id of STEP_END.
        settings: K and the most continuations of a group.
        rng: gives the seeds.
    """
    prefixes: dict[tuple[int, ...], int] = {}
    for offset, (ids, steps) in enumerate(group):
        for end in boundaries(ids, steps, step_end):
            prefixes.setdefault(tuple(ids[:end]), first + offset)
    places = list(prefixes.items())
    room = max(1, settings.most // settings.continuations)
    if len(places) > room:
        places = [places[(2 * i + 1) * len(places) // (2 * room)] for i in range(room)]
    count = min(settings.continuations, settings.most)
    return [Wanted(member, prefix, rng.getrandbits(63)) for prefix, member in places for _ in range(count)]


def values_of(
    completions: Sequence[Member],
    step_end: int,
    right: Sequence[bool],
    group: int,
    wanted: Sequence[Wanted],
    hits: Sequence[bool],
) -> list[tuple[float | None, ...]]:
    """Return the values of question and boundaries for each completion, None where nothing was written.

    The value of the question is the share of right answers of the group.

    Args:
        completions: of all groups, neighbours of a group together.
        step_end: id of STEP_END.
        right: parallel to `completions`.
        group: size of a group.
        wanted: continuations that were written.
        hits: whether each of them came to a right answer.
    """
    found: dict[tuple[int, tuple[int, ...]], list[bool]] = {}
    for one, hit in zip(wanted, hits, strict=True):
        found.setdefault((one.member // group, one.prefix), []).append(hit)
    means = {place: sum(several) / len(several) for place, several in found.items()}
    values = []
    for number, (ids, steps) in enumerate(completions):
        place = number // group
        members = right[place * group : (place + 1) * group]
        at_ends = (means.get((place, tuple(ids[:end]))) for end in boundaries(ids, steps, step_end))
        values.append((sum(members) / len(members), *at_ends))
    return values
