"""What the Countdown recipes share: commands, jobs side by side, evaluations, estimates over seeds.

Accuracies are fractions. Values of a row are an array of shape (S, P): seeds × problems, 1 where the answer
is right.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import typer

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from steiner.core import StepBudget
    from steiner.evaluate.baselines import Baseline
    from steiner.evaluate.curves import ScalingCurve
    from steiner.evaluate.intervals import Estimate
    from steiner.evaluate.records import SampleResult
    from steiner.protocol.history import HistoryPolicy
    from steiner.train.settings import SftSettings

    Values = NDArray[np.float64]


OUTCOME: dict[str, Any] = {"name": "outcome", "weight": 1.0}
REWARDS: dict[str, list[dict[str, Any]]] = {
    "outcome": [OUTCOME],
    "dag": [OUTCOME, {"name": "dag", "weight": 0.5}],
    "progress": [OUTCOME, {"name": "progress", "weight": 0.5}],
    "montecarlo": [OUTCOME, {"name": "montecarlo", "weight": 0.5, "continuations": 2, "most": 32}],
}
"""What RL is rewarded for, by the name of the reward beside the outcome."""


SUMS = "arithmetic.txt"
"""Plain text of a run: sums and comparisons."""
TEXTS = (SUMS, "ways.txt")
"""Beside them what can be done with the number sets of training."""


class Job(NamedTuple):
    """A piece of work for a process of its own."""

    name: str
    command: tuple[str, ...]
    log: Path


class Aim(NamedTuple):
    """What was to be reached, and what was."""

    wanted: str
    found: str
    holds: bool


class Ask(NamedTuple):
    """How a model is measured."""

    limits: tuple[int, ...]
    problems: int
    reasoning: int
    """Most tokens of reasoning."""
    samples: int = 1
    temperature: float = 0.0
    seed: int = 0
    batch: int = 64
    """Completions that are written at once."""
    system: str = ""
    """System prompt."""
    turns: int = 1
    """Above 1 each problem is the last of so many turns of a conversation, which carries what `history`
    says."""
    history: HistoryPolicy | None = None


def steiner(*words: object) -> None:
    """Run one command of `steiner`; one that is done returns at once."""
    from steiner.cli.main import app

    code = app([str(word) for word in words], standalone_mode=False)
    if code:
        raise SystemExit(code)


def changed(settings: Any, **changes: Any) -> Any:
    """Return settings with some values changed, checked anew."""
    return type(settings).model_validate(settings.model_dump() | changes)


def rehearsed(settings: SftSettings, run: Path) -> dict[str, Any]:
    """Return the rehearsal of fine-tuning's settings, on the sums of a run."""
    if settings.rehearsal is None:
        raise TypeError("The settings have no [rehearsal].")
    return settings.rehearsal.model_dump() | {"text": [str(run / SUMS)]}


def run_jobs(jobs: Sequence[Job], workers: int) -> None:
    """Run jobs, `workers` at a time, each on one thread; say now and then how far they are.

    Raises:
        SystemExit: at the first that fails; no further one is begun.
    """
    running: dict[str, Path] = {}
    over = threading.Event()
    threading.Thread(target=_watch, args=(running, over), daemon=True).start()

    def one(job: Job) -> None:
        job.log.parent.mkdir(parents=True, exist_ok=True)
        started = time.monotonic()
        running[job.name] = job.log
        with job.log.open("ab") as log:
            # One thread each: two small trainings side by side do more than one on two cores.
            variables = os.environ | {"OMP_NUM_THREADS": "1"}
            code = subprocess.run(job.command, stdout=log, stderr=log, env=variables, check=False).returncode
        del running[job.name]
        if code:
            raise SystemExit(f"{job.name} failed with exit code {code}; see {job.log}")
        typer.echo(f"{job.name}: done after {time.monotonic() - started:,.0f} s")

    with ThreadPoolExecutor(workers) as pool:
        futures = [pool.submit(one, job) for job in jobs]
        try:
            for future in futures:
                future.result()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
        finally:
            over.set()


def _watch(running: dict[str, Path], over: threading.Event) -> None:
    """Print the last line of each running job's log twice a minute."""
    while not over.wait(30):
        for name, log in sorted(running.items()):
            said = log.read_text(errors="replace").replace("\r", "\n").split("\n")
            last = next((line.strip() for line in reversed(said) if line.strip()), "")
            typer.echo(f"  {name}: {last[:90]}")


@contextmanager
def timed(path: Path) -> Iterator[None]:
    """Keep the time of this call in a line of a file, in minutes, below those of earlier calls.

    The line is renewed every few seconds, so that a call that is killed counts too.
    """
    from steiner.store import atomic_write

    earlier, begin, over = call_minutes(path), time.monotonic(), threading.Event()

    def write() -> None:
        minutes = [*earlier, (time.monotonic() - begin) / 60]
        with atomic_write(path) as file:
            file.write("".join(f"{one:.1f}\n" for one in minutes).encode())

    def renew() -> None:
        while not over.wait(10):
            write()

    path.parent.mkdir(parents=True, exist_ok=True)
    thread = threading.Thread(target=renew, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        write()


def call_minutes(path: Path) -> list[float]:
    """Return the minutes that each call took, as `timed` wrote them."""
    return [float(line) for line in path.read_text().split()] if path.exists() else []


def worded_minutes(path: Path) -> str:
    """Word the time of all calls: `80.5 minutes in 2 calls`."""
    calls = call_minutes(path)
    return f"{sum(calls):.1f} minutes in {'one call' if len(calls) == 1 else f'{len(calls)} calls'}"


def measure(model: Path, test: Path, output: Path, ask: Ask, budget: StepBudget | None = None) -> None:
    """Measure a model on a run's problems and save every graded sample, unless that was done.

    Args:
        model: folder of the model.
        test: run directory with the problems.
        output: JSON file to write.
        ask: limits and sizes.
        budget: further limits, such as `min_steps` or `soft_end`.
    """
    from steiner.cli.evaluate import read_problems
    from steiner.cli.measure import Asking, measure_model
    from steiner.core import StepBudget
    from steiner.evaluate import saved

    if output.exists():
        return
    output.parent.mkdir(parents=True, exist_ok=True)
    problems, stage = read_problems(test, None, ask.problems)
    asking = Asking(
        limits=tuple(sorted(ask.limits)),
        temperature=ask.temperature,
        seed=ask.seed,
        max_reasoning_tokens=ask.reasoning,
        other_limits=budget or StepBudget(),
        batch=ask.batch,
        system=ask.system,
        turns=ask.turns,
        history=ask.history,
    )
    repeated = [problem for problem in problems for _ in range(ask.samples)]
    found = measure_model(str(model), repeated, asking, run=test, stage=stage)
    where = found.circumstances.model_copy(update={"command": shlex.join(["python", *sys.argv])})
    saved.save(found.model_copy(update={"circumstances": where}), output)


def under(path: Path, limit: int) -> list[SampleResult]:
    """Return the samples of an evaluation under one limit of steps, in the order of the problems' ids."""
    from steiner.evaluate.saved import load

    chosen = [one for one in load(path).samples if one.max_steps == limit]
    return sorted(chosen, key=lambda one: one.problem_id)


def right(rows: Sequence[Sequence[SampleResult]]) -> Values:
    """Return what is right, shape (S, P), of the samples of S seeds, which answered the same P problems.

    Raises:
        InputError: if they did not.
    """
    import numpy as np

    from steiner.core import InputError

    asked = [[one.problem_id for one in row] for row in rows]
    if any(ids != asked[0] for ids in asked):
        raise InputError("The seeds answered different problems: remove the evaluations and run again.")
    return np.array([[float(one.right) for one in row] for row in rows])


def accuracy(values: Values) -> Estimate:
    """Return the mean with its 95% bootstrap interval over problems, all seeds of a problem together."""
    from steiner.evaluate.intervals import bootstrap_share

    return bootstrap_share(values.mean(axis=0))


def gain(before: Values, after: Values) -> Estimate:
    """Return mean(after) - mean(before), paired by problem; seeds of a problem are averaged first."""
    from steiner.evaluate.intervals import paired_difference

    return paired_difference(before.mean(axis=0), after.mean(axis=0))


def signed(one: Estimate) -> str:
    """Word a difference in points: `+3.1 (+0.4 … +5.8)`."""
    return f"{100 * one.value:+.1f} ({100 * one.low:+.1f} … {100 * one.high:+.1f})"


def share(one: Estimate) -> str:
    """Word an accuracy: `93.1% (91.0–94.9)`."""
    return f"{one.value:.1%} ({100 * one.low:.1f}–{100 * one.high:.1f})"


def by_seed(values: Values) -> str:
    """Word the accuracy of each seed."""
    return " ".join(f"{100 * one:.1f}" for one in values.mean(axis=1))


def check_split(train: Sequence[Path], tests: Sequence[Path]) -> str:
    """Say that no test problem occurs in training, by the hash of the normalised question.

    Args:
        train: run directories that were trained on.
        tests: run directories that are measured on.

    Raises:
        InputError: if one does occur.
    """
    from steiner.problems.source import check_disjoint, read_problems
    from steiner.store import RunDir

    known = []
    for path in train:
        with RunDir(path, read_only=True) as run:
            known += list(read_problems(run))
    counts = []
    for path in tests:
        with RunDir(path, read_only=True) as run:
            asked = list(read_problems(run))
        check_disjoint(known, asked)
        counts.append(f"{len(asked):,} of {path.name}")
    return (
        f"None of the test problems ({', '.join(counts)}) is among the {len(known):,} of the training "
        "(checked by the hash of the normalised question)."
    )


def number_sets(run: Path) -> list[tuple[int, ...]]:
    """Return the sets of numbers that a run's problems ask about, sorted."""
    from steiner.problems import countdown_words
    from steiner.problems.source import read_problems
    from steiner.store import RunDir

    with RunDir(run, read_only=True) as opened:
        return countdown_words.number_sets(problem.blind().prompt for problem in read_problems(opened))


def circumstances(files: Sequence[Path]) -> str:
    """Word when, where and from which commits evaluations were made."""
    from steiner.evaluate.saved import load

    found = [load(path).circumstances for path in files]
    commits = ", ".join(sorted({f"`{one.commit}`" for one in found}))
    machines = "; ".join(sorted({one.machine for one in found}))
    days = sorted({one.created[:10] for one in found})
    return f"Commit {commits}; {' to '.join(dict.fromkeys((days[0], days[-1])))}; {machines}."


def votes(found: ScalingCurve) -> list[str]:
    """Return what the tokens of each point of a curve buy otherwise, as Markdown."""
    lines = [
        "The same tokens spent on several short completions at temperature 1 (N of them; best of N is chosen "
        "by the grader itself, which is allowed here: anyone can check a result).",
        "",
        "| instead of | " + " | ".join(_title(one) for one in found.baselines) + " |",
        "|--:|" + "---|" * len(found.baselines),
    ]
    for place, point in enumerate(found.points):
        cells = []
        for baseline in found.baselines:
            bought = baseline.points[place]
            if bought is None:
                cells.append("–")
            else:
                low, high = 100 * bought.ahead_low, 100 * bought.ahead_high
                ahead = f"{100 * bought.ahead:+.1f} ({low:+.1f} … {high:+.1f})"
                cells.append(f"N={bought.k:.1f}: {bought.accuracy:.1%}; ahead by {ahead}")
        lines.append(f"| {point.label} | {' | '.join(cells)} |")
    return lines


def aims_table(aims: Sequence[Aim]) -> list[str]:
    """Return the aims as Markdown; differences are in points."""
    return [
        "",
        "| aim | found | |",
        "|---|---|---|",
        *(f"| {one.wanted} | {one.found} | {'holds' if one.holds else '**missed**'} |" for one in aims),
    ]


def _title(baseline: Baseline) -> str:
    kind = "majority vote" if baseline.metric.value == "maj" else "best of N"
    return f"{kind}, {baseline.title} ({baseline.tokens:,.0f} tokens each)"
