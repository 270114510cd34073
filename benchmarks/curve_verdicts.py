"""How often the verdict on a curve is false, and how often it finds what is there.

Run: python benchmarks/curve_verdicts.py [--trials 2000] [--only flat] [--questions 30,100,200,500,1000]

Made-up models with known truth answer the same questions under six budgets. A question has a difficulty
(normal), and the noise of neighbouring budgets is correlated (ρ = 0.7 a step), as when longer reasoning
begins like shorter reasoning. Thresholds are set so that accuracy follows the wanted curve exactly. Prints
Markdown tables with 95% Wilson intervals; all seeds are fixed.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from itertools import pairwise
from statistics import NormalDist

import numpy as np

from steiner.evaluate.intervals import Floats, wilson_interval
from steiner.evaluate.trend import Shape, Trend, trend

BUDGETS, DIFFICULTY, RHO = 6, 1.0, 0.7
TRUTHS: dict[str, tuple[float, ...]] = {
    "flat at 10%": (0.10,) * BUDGETS,
    "flat at 50%": (0.50,) * BUDGETS,
    "flat at 90%": (0.90,) * BUDGETS,
    "rises by 2 points, steadily": tuple(0.5 + 0.02 * i / 5 for i in range(6)),
    "rises by 5 points, steadily": tuple(0.5 + 0.05 * i / 5 for i in range(6)),
    "rises by 10 points, steadily": tuple(0.5 + 0.10 * i / 5 for i in range(6)),
    "rises by 20 points, steadily": tuple(0.5 + 0.20 * i / 5 for i in range(6)),
    "rises by 10 points to budget 3": (0.40, 0.45, 0.50, 0.50, 0.50, 0.50),
    "hump of 5 points at budget 3": (0.50, 0.525, 0.55, 0.535, 0.52, 0.50),
    "hump of 10 points at budget 3": (0.50, 0.55, 0.60, 0.57, 0.53, 0.50),
    "hump of 20 points at budget 3": (0.50, 0.60, 0.70, 0.63, 0.57, 0.50),
    "falls by 10 points, steadily": tuple(0.5 - 0.10 * i / 5 for i in range(6)),
}


def answers(truth: tuple[float, ...], questions: int, generator: np.random.Generator) -> Floats:
    """Return right (1) and wrong (0) answers, shape (questions, budgets), whose expectation is `truth`."""
    difficulty = DIFFICULTY * generator.standard_normal((questions, 1))
    noise = generator.standard_normal((questions, len(truth)))
    for i in range(1, len(truth)):
        noise[:, i] = RHO * noise[:, i - 1] + (1 - RHO**2) ** 0.5 * noise[:, i]
    spread = (1 + DIFFICULTY**2) ** 0.5
    cuts = np.array([spread * NormalDist().inv_cdf(p) for p in truth])
    return (difficulty + noise < cuts).astype(np.float64)


def is_false(truth: tuple[float, ...], found: Trend) -> bool:
    """Whether the verdict says something that is not so; saying too little is not false."""
    pairs = list(pairwise(truth))
    up, down = any(a < b for a, b in pairs), any(a > b for a, b in pairs)
    claims = {Shape.FLAT: (False, False), Shape.RISES: (True, False), Shape.FALLS: (False, True)}
    rise, fall = claims.get(found.shape, (True, True))
    if (rise and not up) or (fall and not down) or (found.shape is Shape.UNEVEN):
        return True
    best = [i for i, p in enumerate(truth) if p == max(truth)]
    # «Rises to k at least» is false only beyond the first best budget; a fall only before the last best one.
    return found.peak_low > best[-1] or found.peak_high < best[0] or (
        found.shape is Shape.RISES and found.peak_low > best[0]
    )  # fmt: skip


def run(truth: tuple[float, ...], questions: int, trials: int, draws: int) -> tuple[Counter[Shape], int]:
    """Return how often each shape was found, and how often falsely."""
    generator = np.random.default_rng([questions, *(round(1000 * p) for p in truth)])
    shapes: Counter[Shape] = Counter()
    false = 0
    for seed in range(trials):
        found = trend(answers(truth, questions, generator), seed, draws)
        shapes[found.shape] += 1
        false += is_false(truth, found)
    return shapes, false


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--trials", type=int, default=2000)
    parser.add_argument("--draws", type=int, default=1000)
    parser.add_argument("--only", default="", help="truths whose name begins so: flat, rises, hump, falls")
    parser.add_argument("--questions", default="30,100,200,500,1000")
    options = parser.parse_args()
    print("| truth | questions | flat | rises | hump | falls | uneven | false verdicts |")
    print("|---|--:|--:|--:|--:|--:|--:|--:|")
    for name, truth in TRUTHS.items():
        if not name.startswith(options.only):
            continue
        for questions in map(int, options.questions.split(",")):
            shapes, false = run(truth, questions, options.trials, options.draws)
            shares = " | ".join(f"{100 * shapes[s] / options.trials:.1f}%" for s in (
                Shape.FLAT, Shape.RISES, Shape.HUMP, Shape.FALLS, Shape.UNEVEN))  # fmt: skip
            low, high = wilson_interval(false, options.trials)
            wrong = f"{100 * false / options.trials:.1f}% ({100 * low:.1f}–{100 * high:.1f})"
            print(f"| {name} | {questions:,} | {shares} | {wrong} |", flush=True)
    values = answers((0.5,) * 12, 1000, np.random.default_rng(0))
    started = time.process_time()
    trend(values, draws=1000)
    seconds = time.process_time() - started
    print(f"\n1,000 draws, 1,000 questions × 12 budgets: {seconds:.3f} s of processor time", file=sys.stderr)


if __name__ == "__main__":
    main()
