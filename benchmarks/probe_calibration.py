"""How often `steiner probe` is right: verdicts on simulated endpoints, over many seeds.

    python benchmarks/probe_calibration.py --runs 400

Prints the table of docs/probe.md. Nothing is sent and nothing sleeps: the times come from the same models
that the simulated servers use (`steiner.testing.latency`). Deterministic for given options.
"""

from __future__ import annotations

import argparse
import json
import math
import random
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from steiner.probe import Ask, Measurement, ProbeSettings, VerdictKind
from steiner.probe.analyse import analyse
from steiner.probe.prompts import make_plan
from steiner.testing.latency import (
    BestOfServer,
    LoadedServer,
    SerialServer,
    SimulatedServer,
    SpeculativeServer,
    TreeServer,
    replies,
)

LINEAR, SUBLINEAR = VerdictKind.LINEAR, VerdictKind.SUBLINEAR
OBEDIENCE = 0.15
"""How far answers miss the length that is asked for: standard deviation on the scale of logarithms."""
BYTES_PER_TOKEN = 4.3


class Case(NamedTuple):
    """A simulated endpoint, and what it does in truth."""

    name: str
    server: SimulatedServer
    truth: VerdictKind
    bundled: bool = False
    """It sends several tokens an event."""


_BEST_AT_ONCE = BestOfServer(n=32, adaptive=True, at_once=True, spread=0.15)
CASES = (
    Case("serial", SerialServer(), LINEAR),
    Case("serial, several tokens an event", SerialServer(), LINEAR, bundled=True),
    Case("serial, 90% hidden reasoning", SerialServer(hidden=0.9), LINEAR),
    Case("speculative decoding", SpeculativeServer(), LINEAR),
    Case("noisy load, serial", LoadedServer(), LINEAR),
    Case("noisy load, serial, 90% hidden", LoadedServer(inner=SerialServer(hidden=0.9)), LINEAR),
    Case("noisy load, speculative", LoadedServer(inner=SpeculativeServer()), LINEAR),
    Case("best of 8, all billed, one shown", BestOfServer(), SUBLINEAR),
    Case("best of 2, all billed, one shown", BestOfServer(n=2), SUBLINEAR),
    Case("best of 2 to 32 by length, sent at the end", _BEST_AT_ONCE, SUBLINEAR),
    Case("tree search with cache reuse", TreeServer(), SUBLINEAR),
    Case("noisy load, best of 8", LoadedServer(inner=BestOfServer()), SUBLINEAR),
    Case("noisy load, tree search", LoadedServer(inner=TreeServer()), SUBLINEAR),
)
HARD = (
    Case(
        "best of 2 to 32 by length, lengths spread by 25%",
        BestOfServer(n=32, adaptive=True, at_once=True),
        SUBLINEAR,
    ),
    Case("best of 8, all billed, sent at the end", BestOfServer(at_once=True), SUBLINEAR),
    Case(
        "the same, declared as reasoning, no limit exceeded",
        BestOfServer(n=3, at_once=True, declared=True),
        SUBLINEAR,
    ),
)
"""What is told less often or never: a fixed number of branches of which nothing is seen being written."""


class Row(NamedTuple):
    """What came out for a case."""

    case: Case
    verdicts: Counter[VerdictKind]
    covered: int
    """Runs whose interval of p holds 1."""
    mean_power: float
    runs: int

    @property
    def right(self) -> float:
        """Share of right verdicts: the power."""
        return self.verdicts[self.case.truth] / self.runs

    @property
    def false(self) -> float:
        """Share of verdicts that are wrong, not merely inconclusive."""
        wrong = SUBLINEAR if self.case.truth is LINEAR else LINEAR
        return self.verdicts[wrong] / self.runs


def simulate(asks: Sequence[Ask], case: Case, seed: int) -> list[Measurement]:
    """Return what a client would measure."""
    answer, rng = replies(case.server, seed), random.Random(f"{seed}:lengths")
    found = []
    for ask in asks:
        reply = answer(max(4, round(ask.target * math.exp(rng.gauss(0, OBEDIENCE)))))
        found.append(
            Measurement(
                number=ask.number,
                kind=ask.kind,
                target=ask.target,
                max_tokens=ask.max_tokens,
                warmup=ask.warmup,
                started=0.0,
                first_s=reply.first_s,
                last_s=reply.last_s,
                total_s=reply.total_s,
                events=max(1, math.ceil(reply.visible / 6)) if case.bundled else reply.visible,
                text_bytes=round(BYTES_PER_TOKEN * reply.visible),
                prompt_tokens=40,
                completion_tokens=reply.billed,
                reasoning_tokens=reply.reasoning,
                finish="stop",
            )
        )
    return found


def calibrate(case: Case, runs: int, requests: int = 60, samples: int = 400, first_seed: int = 0) -> Row:
    """Return how often each verdict comes over `runs` seeds."""
    verdicts: Counter[VerdictKind] = Counter()
    covered, powers = 0, []
    for seed in range(first_seed, first_seed + runs):
        settings = ProbeSettings(seed=seed, requests=requests)
        fits, _, verdict = analyse(simulate(make_plan(settings), case, seed), settings, samples)
        verdicts[verdict.kind] += 1
        if fits is not None:
            powers.append(fits.curve_power.value)
            covered += fits.curve_power.low <= 1 <= fits.curve_power.high
    return Row(case, verdicts, covered, sum(powers) / max(1, len(powers)), runs)


def line_of(row: Row) -> str:
    """Return a row of the table."""
    counts = [f"{100 * row.verdicts[kind] / row.runs:.1f}%" for kind in VerdictKind]
    covered = f"{100 * row.covered / row.runs:.0f}%" if row.case.truth is LINEAR else "–"
    cells = [row.case.name, row.case.truth.value, *counts, f"{row.mean_power:.2f}", covered]
    return "| " + " | ".join(cells) + " |"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=20, help="seeds of each case")
    parser.add_argument("--requests", type=int, default=60)
    parser.add_argument("--samples", type=int, default=400, help="bootstrap samples")
    parser.add_argument(
        "--first-seed", type=int, default=20_000, help="boundaries were set on others below 20,000"
    )
    parser.add_argument("--json", action="store_true", help="one line of JSON a case in place of the table")
    given = parser.parse_args()
    if not given.json:
        print("| endpoint | truth | linear | sub-linear | inconclusive | mean p | interval holds 1 |")
        print("|---|---|--:|--:|--:|--:|--:|")
    for case in (*CASES, *HARD):
        row = calibrate(case, given.runs, given.requests, given.samples, given.first_seed)
        if given.json:
            print(json.dumps({"case": case.name, "right": row.right, "false": row.false}), flush=True)
        else:
            print(line_of(row), flush=True)


if __name__ == "__main__":
    main()
