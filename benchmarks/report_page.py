"""How long a report with many samples takes to write and to open.

python benchmarks/report_page.py --samples 10000

Made-up samples of random words. Opening is measured in headless Chromium, where there is one: until the list
of samples can be used, and from a click on a sample until its path is there; the median of several times.
"""

from __future__ import annotations

import argparse
import random
import shutil
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from steiner.core import Move, Step
from steiner.evaluate.failures import Attempt, classify
from steiner.evaluate.metrics import curve_point
from steiner.evaluate.pages.build import evaluation_report
from steiner.evaluate.records import SampleResult
from steiner.evaluate.report import write_report
from steiner.evaluate.saved import AskedQuestion, SavedEvaluation, WrittenPath

LIMITS = (2, 4, 6, 8, 12)
WORDS = [
    f"{a}{b}{c}" for a in "bdgklmnprst" for b in ("a", "e", "io", "u") for c in ("n", "ren", "st", "lla")
]


def main() -> None:
    """Make the page, open it, print what it took."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--samples", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        page, twin = Path(folder) / "report.html", Path(folder) / "report.json"
        evaluation = made_up(given.samples)
        started = time.perf_counter()
        write_report(evaluation_report(evaluation, created="2026-01-01T00:00:00+00:00"), page, twin)
        print(f"written in {time.perf_counter() - started:.1f} s")
        print(f"page {page.stat().st_size / 1e6:.1f} MB, JSON {twin.stat().st_size / 1e6:.1f} MB")
        opened(page, given.rounds)


def made_up(count: int) -> SavedEvaluation:
    """Return an evaluation with `count` questions, one path of 12 steps each, under all limits."""
    draw = random.Random(0)

    def text(words: int) -> str:
        return " ".join(draw.choices(WORDS, k=words))

    written = [
        WrittenPath(
            problem_id=str(number),
            steps=tuple(
                Step(name=text(5), thought=text(100), summary=text(15), reflection=text(12))
                for _ in range(LIMITS[-1])
            ),
            moves=tuple(draw.choice((Move.PROCEED, Move.BACKTRACK)) for _ in range(LIMITS[-1] - 1)),
        )
        for number in range(count)
    ]
    samples = [_sample(path, limit, draw) for limit in LIMITS for path in written]
    return SavedEvaluation(
        model="made-up", run="made-up", stage="made-up", temperature=0, seed=0, max_reasoning_tokens=None,
        seconds=0, curve=tuple(curve_point(samples, limit) for limit in LIMITS), samples=tuple(samples),
        questions=tuple(
            AskedQuestion(problem_id=path.problem_id, prompt=text(40), reference=text(3)) for path in written
        ),
        written=tuple(written),
    )  # fmt: skip


def _sample(path: WrittenPath, limit: int, draw: random.Random) -> SampleResult:
    right = draw.random() < limit / 20
    attempt = Attempt(path.steps[:limit], path.moves[: limit - 1], "42", limit=f"all {limit} steps were used")
    return SampleResult(
        problem_id=path.problem_id, max_steps=limit, right=right, well_formed=True, steps=limit, answer="42",
        backtracks=sum(move is Move.BACKTRACK for move in attempt.moves), reasoning_tokens=200 * limit,
        failure=None if right else classify(attempt),
    )  # fmt: skip


def opened(page: Path, rounds: int) -> None:
    """Print how long a browser takes."""
    path = shutil.which("chromium") or shutil.which("google-chrome")
    if path is None:
        print("no Chromium: not opened")
        return
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--headless", "--no-sandbox"])
        times = [_visit(browser, page) for _ in range(rounds)]
        browser.close()
    for name, values in zip(("opened", "a sample", "a filter"), zip(*times, strict=True), strict=True):
        print(f"{name}: {statistics.median(values):.2f} s ({min(values):.2f} to {max(values):.2f})")


def _visit(browser: Any, path: Path) -> tuple[float, float, float]:
    page = browser.new_page()
    marks = [time.perf_counter()]
    page.goto(path.as_uri())
    page.wait_for_selector("#tool:not([hidden])")
    marks.append(time.perf_counter())
    page.locator("#list button").nth(3).click()
    page.wait_for_selector("#shown .steps")
    marks.append(time.perf_counter())
    page.select_option("#outcome", "out-of-budget")
    marks.append(time.perf_counter())
    page.close()
    return marks[1] - marks[0], marks[2] - marks[1], marks[3] - marks[2]


if __name__ == "__main__":
    main()
