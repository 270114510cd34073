"""The plan of requests: lengths spread evenly on a logarithmic scale, in random order."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator

from steiner.probe.records import Ask, Kind, ProbeSettings

WORDS_PER_TOKEN = 0.75
"""Of English prose in the usual tokenizers."""
TOKENS_PER_TERM = 12
"""Of reasoning that adds one number after another."""
ROOM = 4
"""A reply may have so many times the tokens that it should have …"""
SPARE = 200
"""… and so many more, before it is cut off."""
TOPICS = (
    "how bread is baked", "the life of a river", "a walk through an old town", "why ships float",
    "a day in a library", "how bees keep a hive", "the history of paper", "a storm at sea",
    "how a clock works", "planting an orchard", "the work of a lighthouse keeper", "learning to swim",
    "a railway journey in winter", "how glass is made", "the seasons on a farm", "building a stone bridge",
    "a market in the morning", "how maps are drawn", "the moon and the tides", "restoring a violin",
)  # fmt: skip


def make_plan(settings: ProbeSettings) -> list[Ask]:
    """Return all requests in the order of sending: the warm-up, then the measured ones shuffled.

    The same settings give the same plan. Each prompt has a number of its own, so that no endpoint can answer
    from a cache of replies.
    """
    rng = random.Random(f"{settings.seed}:probe")
    measured = list(_measured(settings))
    rng.shuffle(measured)
    middle = _length(settings, 0.3)
    first: list[tuple[Kind, int, str]] = [
        ("prose" if settings.prompts != "puzzle" else "puzzle", middle, rng.choice(TOPICS))
        for _ in range(settings.warmup)
    ]
    asks = []
    for number, (kind, target, topic) in enumerate([*first, *measured]):
        asks.append(
            Ask(
                number=number,
                kind=kind,
                target=target,
                prompt=_prompt(kind, target, topic, number, rng),
                max_tokens=target if settings.exact else ROOM * target + SPARE,
                warmup=number < settings.warmup,
            )
        )
    return asks


def _measured(settings: ProbeSettings) -> Iterator[tuple[Kind, int, str]]:
    lengths = -(-settings.requests // settings.repeats)
    for number in range(settings.requests):
        place = number // settings.repeats
        share = place / (lengths - 1) if lengths > 1 else 0.5
        puzzle = settings.prompts == "puzzle" or (settings.prompts == "mixed" and place % 3 == 2)
        yield "puzzle" if puzzle else "prose", _length(settings, share), TOPICS[place % len(TOPICS)]


def _length(settings: ProbeSettings, share: float) -> int:
    ratio: float = settings.longest / settings.shortest
    return round(settings.shortest * math.pow(ratio, share))


def _prompt(kind: Kind, target: int, topic: str, number: int, rng: random.Random) -> str:
    if kind == "prose":
        words = max(5, round(target * WORDS_PER_TOKEN))
        return (
            f"(Request {number}.) Write plain prose in English about {topic}. Write about {words} words, not "
            "fewer and not many more, and nothing else: no title, no list, no remarks."
        )
    terms = [str(rng.randint(11, 99)) for _ in range(max(2, round(target / TOKENS_PER_TERM)))]
    signed = " ".join(f"{rng.choice('+-')} {term}" for term in terms)
    return (
        f"(Request {number}.) Work this out one number after another, carefully and in your head: 500 "
        f"{signed}. Then write only the result."
    )
