"""Data of the GPU recipe, made by processor cores: Countdown by the protocol of Stream of Search.

Four numbers from 1 to 99, targets from 10 to 100, no bound on results; a tenth of the targets and a tenth of
the number sets never occur in training. These are the defaults of `steiner problems countdown`.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from countdown_common import steiner

from steiner.core import Settings

if TYPE_CHECKING:
    from steiner.core import Problem
    from steiner.store import RunDir

SEARCH, SHORTCUT, RL = "search", "shortcut", "rl"
KINDS = (SEARCH, SHORTCUT)
SPLITS = ("new-inputs", "heldout-targets")
GAME24 = "game24"
TRAINED_STEPS = 48
"""Most steps of a path in training."""
NUMBERS_TO = 999
"""Each number up to this is one token; larger results are written in several."""
WORDS = {
    SEARCH: ("--per-question", "2", "--detours", "all"),
    SHORTCUT: ("--per-question", "2", "--detours", "1"),
}


class DataSize(NamedTuple):
    """How much data."""

    problems: int
    rl_problems: int
    heldout: int
    shards: int
    """Pieces that the problems are drawn in, side by side."""
    facts_to: int
    """Plain text has the sums of all numbers up to this."""


class DrawnProblems(Settings):
    """Problems drawn in shards: shard i takes seed 1000 × `seed` + i."""

    problems: int
    shards: int
    seed: int


def make_data(out: Path, size: DataSize, workers: int) -> None:
    """Make everything that training and evaluation read; what is there already is left.

    With one worker all work is done in this process, so that its processor time is known exactly.
    """
    from steiner.problems.arithmetic import arithmetic_documents
    from steiner.problems.countdown import Limits

    data = out / "data"
    data.mkdir(parents=True, exist_ok=True)
    for name, problems, seed in ((SEARCH, size.problems, 0), (RL, size.rl_problems, 1)):
        run = data / name
        with timed(out, f"problems of {name}", problems, workers):
            drawn = DrawnProblems(problems=problems, shards=size.shards, seed=seed)
            draw_problems(run, drawn, workers)
        with timed(out, f"traces of {name}", problems, workers):
            words = ("--truncations", 16, "--cut", "early", "--max-attempt-steps", 16)
            steiner("synthesize", "--run", run, *words, "--workers", workers)
        with timed(out, f"graphs of {name}", problems, workers):
            steiner("graph", "build", "--run", run, "--workers", workers)
    if not (data / SHORTCUT).is_dir():
        part = data / "part"
        shutil.rmtree(part, ignore_errors=True)
        shutil.copytree(data / SEARCH, part, ignore=shutil.ignore_patterns("lock*", "dataset"))
        part.rename(data / SHORTCUT)
    for kind in KINDS:
        with timed(out, f"paths of {kind}", size.problems, workers):
            steiner(
                "sample", "--run", data / kind, *WORDS[kind], "--order", "sorted", "--rotate", "--no-traces",
                "--max-steps", TRAINED_STEPS, "--workers", workers,
            )  # fmt: skip
    if not (out / "tokenizer").is_dir():
        words = ("--numbers-to", NUMBERS_TO, "--vocab-size", 2600)
        steiner("tokenizer", "--run", data / SEARCH, *words, "--output", out / "tokenizer")
    for kind in KINDS:
        with timed(out, f"dataset of {kind}", size.problems, workers):
            steiner(
                "dataset", "--run", data / kind, "--tokenizer", out / "tokenizer",
                "--max-reasoning-tokens", 3500, "--max-total-tokens", 4096, "--workers", workers,
            )  # fmt: skip
    for split in SPLITS:
        steiner("problems", "countdown", "--run", out / split, "--count", size.heldout, "--split", split)
    facts = out / "arithmetic.txt"
    if not facts.exists():
        facts.write_text("\n\n".join(arithmetic_documents(size.facts_to, Limits(), seed=0)))


@contextmanager
def timed(out: Path, what: str, problems: int, workers: int) -> Iterator[None]:
    """Note how long a piece of work took; what is done already takes no time and is not noted again."""
    started, before = time.monotonic(), time.process_time()
    yield
    file = out / "times.jsonl"
    known = {json.loads(line)["what"] for line in file.read_text().splitlines()} if file.exists() else set()
    if what not in known:
        seconds = time.monotonic() - started
        busy = time.process_time() - before if workers == 1 else seconds * workers
        entry = {"what": what, "problems": problems, "seconds": seconds, "core_seconds": busy}
        with file.open("a") as lines:
            lines.write(json.dumps(entry) + "\n")


def draw_problems(path: Path, settings: DrawnProblems, workers: int) -> None:
    """Draw training problems with several processes; questions that two shards drew count once."""
    from steiner.problems.source import ProblemSource, write_problems
    from steiner.store import RunDir

    each = -(-settings.problems // settings.shards)
    seeds = [1000 * settings.seed + shard for shard in range(settings.shards)]
    with RunDir(path) as run:
        known = run.journal.stage("problems")
        if known is not None and known.complete:
            write_problems(run, ProblemSource((), settings))  # refuses other settings
            return
        if workers == 1:
            _write_shards(run, settings, map(partial(_shard, each), seeds))
            return
        with ProcessPoolExecutor(min(settings.shards, workers)) as pool:
            _write_shards(run, settings, pool.map(partial(_shard, each), seeds))


def _write_shards(run: RunDir, settings: DrawnProblems, shards: Iterable[list[Problem]]) -> None:
    from steiner.problems.source import ProblemSource, write_problems

    problems = (problem for shard in shards for problem in shard)
    write_problems(run, ProblemSource(problems, settings, limit=settings.problems))


def _shard(count: int, seed: int) -> list[Problem]:
    from steiner.problems.countdown import CountdownSettings, generate

    return list(generate(CountdownSettings(seed=seed), count))


class Game24Log(Settings):
    """The puzzles of a tree-of-thought log."""

    kind: str = "puzzles of a log of tree-of-thought-llm"


class Puzzles(NamedTuple):
    """What a log of tree-of-thought-llm says of its puzzles."""

    numbers: list[list[int]]
    solved: int
    """By the log's own search: a right answer among those kept at the end."""


def read_log(log: Path) -> Puzzles:
    """Read `logs/game24/*.json` of princeton-nlp/tree-of-thought-llm (Yao et al. 2023, arXiv 2305.10601).

    Raises:
        InputError: if it is no such log.
    """
    from steiner.core import InputError

    try:
        records = json.loads(log.read_bytes())
        numbers = [[int(n) for n in record["steps"][0]["x"].split()] for record in records]
        solved = sum(any(info["r"] == 1 for info in record["infos"]) for record in records)
    except (OSError, ValueError, KeyError, IndexError, TypeError) as error:
        raise InputError(
            f"{log} is no log of a tree-of-thought search of the Game of 24 ({error!r}): give the JSON file "
            "from logs/game24 of princeton-nlp/tree-of-thought-llm."
        ) from error
    return Puzzles(numbers, solved)


def make_game24_run(out: Path, log: Path) -> None:
    """Make the run directory with the puzzles of a log, and note what its search solved."""
    from steiner.problems.countdown import make_state, solve
    from steiner.problems.game24 import TARGET, make_game24
    from steiner.problems.source import ProblemSource, write_problems
    from steiner.store import RunDir

    found = read_log(log)
    problems = [make_game24(numbers) for numbers in found.numbers]
    with RunDir(out / GAME24) as run:
        write_problems(run, ProblemSource(problems, Game24Log()))
    whole = sum(solve(make_state(numbers), TARGET) is not None for numbers in found.numbers)
    note = {"puzzles": len(problems), "solved": found.solved, "whole": whole}
    (out / "game24.json").write_text(json.dumps(note))
