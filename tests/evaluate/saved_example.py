"""Made-up saved evaluations on «Make 22 from 3 5 7.» and its like, with the planted failures in them."""

from __future__ import annotations

import random

from planted import PLANTED, PROBLEM

from steiner.core import Move, Step
from steiner.evaluate.failures import failure_of, repeated_steps
from steiner.evaluate.metrics import curve_point
from steiner.evaluate.records import SampleResult
from steiner.evaluate.saved import AskedQuestion, Circumstances, SavedEvaluation, WrittenPath

LIMITS = (2, 4, 8)
ATTEMPTS = tuple(PLANTED.values())


def saved(
    n: int = 60,
    *,
    model: str = "runs/a/rl/model",
    skill: float = 0.6,
    limits: tuple[int | None, ...] = LIMITS,
    seed: int = 0,
    epochs: int = 1,
    prompt: str = "",
    steps: tuple[Step, ...] | None = None,
    answer: str = "(3 * 5) + 7 = 22",
    kept: bool = True,
) -> SavedEvaluation:
    """Return an evaluation in which larger limits solve more, and wrong ones are planted failures."""
    samples: list[SampleResult] = []
    written: list[WrittenPath] = []
    for place, limit in enumerate(limits):
        for epoch in range(epochs):
            for number in range(n):
                draw = random.Random(f"{seed}:{number}:{epoch}").random()
                right = draw < skill * (place + 1) / len(limits)
                _, attempt = ATTEMPTS[number % len(ATTEMPTS)]
                shown = attempt.steps if steps is None else steps
                count = len(shown) if limit is None else min(limit, len(shown))
                failure = None if right else failure_of(PROBLEM, attempt)
                samples.append(
                    SampleResult(
                        problem_id=f"p{number:05}", max_steps=limit, right=right, well_formed=True,
                        steps=count,
                        backtracks=sum(m is Move.BACKTRACK for m in attempt.moves[: max(0, count - 1)]),
                        reasoning_tokens=27 * count + number % 7,
                        answer=answer if right else f"answer {number}",
                        repeated_steps=repeated_steps(shown[:count]), failure=failure,
                    )
                )  # fmt: skip
                if place == len(limits) - 1 and kept:
                    moves = attempt.moves if steps is None else (Move.BACKTRACK,) * (len(steps) - 1)
                    written.append(WrittenPath(problem_id=f"p{number:05}", steps=shown, moves=moves))
    return SavedEvaluation(
        model=model,
        run="runs/test",
        stage="heldout",
        temperature=0.0,
        seed=seed,
        max_reasoning_tokens=None,
        seconds=12.5,
        curve=tuple(curve_point(samples, limit, seed) for limit in limits),
        samples=tuple(samples),
        questions=tuple(
            AskedQuestion(
                problem_id=f"p{number:05}",
                prompt=prompt or f"Make 22 from 3 5 7, question {number}.",
                reference="(3 * 5) + 7",
            )
            for number in range(n)
        ) if kept else (),
        written=tuple(written),
        circumstances=Circumstances(
            created="2026-11-22T15:04:05+00:00",
            command="steiner evaluate runs/a/rl/model --run runs/test",
            commit="280a9e7",
            machine="2 cores",
        ),
    )  # fmt: skip
