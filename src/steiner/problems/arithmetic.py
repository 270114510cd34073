"""Arithmetic facts as plain text, for continual pre-training of small models."""

from __future__ import annotations

import random
from collections.abc import Iterator

from steiner.problems.countdown_states import Limits, operations


def arithmetic_documents(
    largest: int, limits: Limits, *, seed: int, lines: int = 16, repeats: int = 4
) -> Iterator[str]:
    """Yield documents of `lines` equations each, such as `3 + 5 = 8`, in seeded order.

    Every operation on two numbers from 0 to `largest` that `limits` allow occurs `repeats` times, sums and
    products in both orders.
    """
    facts: list[str] = []
    for small in range(largest + 1):
        for large in range(small, largest + 1):
            for operation in operations((small, large), limits):
                facts.append(operation.equation)
                if operation.op in "+*" and small != large:
                    facts.append(f"{operation.right} {operation.op} {operation.left} = {operation.result}")
    for repeat in range(repeats):
        order = list(facts)
        random.Random(f"{seed}:arithmetic:{repeat}").shuffle(order)
        for begin in range(0, len(order), lines):
            yield "\n".join(order[begin : begin + lines])
