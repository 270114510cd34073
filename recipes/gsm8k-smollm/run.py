r"""Can a small language model learn to search in words? SmolLM2-135M-Instruct on GSM8K, with LoRA, on a CPU.

    python recipes/gsm8k-smollm/run.py --model DIR --solutions example_model_solutions.jsonl \
        --train train.jsonl --output runs/gsm8k

Trains the model on paths with backtracking and, with as many tokens, on shortcut paths of the same graphs,
and measures both beside the model as it was published. Stopped at any moment, the same command goes on where
it was. README.md says what the sizes are.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import typer

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

from countdown_common import Ask, Job, changed, measure, run_jobs, steiner, timed  # noqa: E402
from gsm_data import read_rows, write_files, write_terse  # noqa: E402
from gsm_measure import measure_free, measure_plain  # noqa: E402

PATHS, SHORTCUT, UNTOUCHED = "paths", "shortcut", "untouched"
KINDS = (PATHS, SHORTCUT)
LIMITS = (2, 4, 8, 12)
"""Steps that are allowed; training shows at most the 8 of sft.toml."""
SEED = 0
DETOURS = {PATHS: "1,2,1", SHORTCUT: "1"}
"""Weights of 0, 1, 2 detours in a path."""
MOST_STEPS = 16
"""Of a path that is sampled; training cuts longer ones than sft.toml says."""


class Size(NamedTuple):
    """How big a run is."""

    test: int
    """Questions that are measured."""
    branching: int | None
    """Questions with four models' solutions, test questions included; None: all."""
    straight: int
    """Questions with the human solution alone."""
    tokens: int
    """Of each training."""
    context: int
    """Longest path that is trained on, in tokens with its prompt."""
    free: int
    """Questions that are answered without step control, too."""
    reasoning: int
    """Most tokens of reasoning in the measurements."""
    plain: int
    """Most tokens of an answer of the untouched model."""
    batch: int
    """Completions that are written at once."""


SIZES = {
    "tiny": Size(3, 15, 4, 3_000, 4096, 2, 200, 16, 3),
    "full": Size(200, None, 1000, 220_000, 1024, 50, 800, 256, 100),
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Make what is missing, then the page."""
    given = parse(arguments)
    size = SIZES[given.size]
    if given.job:
        run_job(given.model, given.output, size, given.job)
        return
    with timed(given.output / "minutes.txt"):
        make_data(given, size)
        run_jobs(jobs_of(given), given.workers)
    from page import write_page

    typer.echo(write_page(given.output))


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", type=Path, required=True, help="folder of SmolLM2-135M-Instruct")
    parser.add_argument("--solutions", type=Path, required=True, help="GSM8K's example_model_solutions.jsonl")
    parser.add_argument("--train", type=Path, required=True, help="GSM8K's train.jsonl")
    parser.add_argument("--size", choices=SIZES, default="full")
    parser.add_argument("--output", type=Path, default=Path("runs/gsm8k"))
    parser.add_argument("--workers", type=int, default=2, help="processes at a time, one thread each")
    parser.add_argument("--job", choices=(UNTOUCHED, *KINDS), help=argparse.SUPPRESS)
    return parser.parse_args(arguments)


def make_data(given: argparse.Namespace, size: Size) -> None:
    """Split the questions and make step graphs, paths of both kinds, data sets and the test problems."""
    out, workers = given.output, ("--workers", given.workers)
    solutions = read_rows(given.solutions, "ground_truth")[: size.branching]
    files = write_files(
        out / "files", solutions, read_rows(given.train, "answer"), test=size.test, straight=size.straight,
        seed=SEED,
    )  # fmt: skip
    steiner("import", "--format", "chat", files.test, "--run", out / "test", *workers)
    steiner(
        "import", "--format", "chat", files.solutions, files.straight, "--run", out / "imported", *workers
    )
    if not (out / "files" / "terse.jsonl").exists():
        write_terse(out / "imported", out / "files" / "terse.jsonl")
    paths = out / PATHS / "data"
    steiner("import", "--format", "native", out / "files" / "terse.jsonl", "--run", paths, *workers)
    steiner("graph", "--run", paths, *workers)
    if not (out / SHORTCUT / "data").is_dir():
        part = out / SHORTCUT / "part"
        shutil.rmtree(part, ignore_errors=True)
        shutil.copytree(paths, part, ignore=shutil.ignore_patterns("lock*"))
        part.rename(out / SHORTCUT / "data")
    for kind in KINDS:
        data = out / kind / "data"
        steiner(
            "sample", "--run", data, "--per-question", 4, "--detours", DETOURS[kind],
            "--max-steps", MOST_STEPS, "--seed", SEED, *workers,
        )  # fmt: skip
        steiner(
            "dataset", "--run", data, "--tokenizer", given.model, "--max-total-tokens", size.context,
            "--max-reasoning-tokens", size.context, *workers,
        )  # fmt: skip


def jobs_of(given: argparse.Namespace) -> list[Job]:
    """Return one job for each model; those that train come first."""
    words = {
        "--model": given.model, "--solutions": given.solutions, "--train": given.train, "--size": given.size,
        "--output": given.output,
    }  # fmt: skip
    return [
        Job(
            name,
            (
                *(sys.executable, str(HERE / "run.py"), "--job", name),
                *(str(word) for pair in words.items() for word in pair),
            ),
            given.output / name / "log.txt",
        )
        for name in (*KINDS, UNTOUCHED)
    ]


def run_job(model: Path, out: Path, size: Size, name: str) -> None:
    """Train one model, unless it stays untouched, and measure it."""
    test, folder = out / "test", out / name
    if name == UNTOUCHED:
        measure_plain(model, test, folder / "plain.json", size.test, size.plain, size.batch)
        return
    trained = train(model, out, name, size)
    ask = Ask(LIMITS, size.test, size.reasoning, seed=SEED, batch=size.batch)
    measure(trained, test, folder / "steps.json", ask)
    measure_free(trained, test, folder / "free.json", size.free, size.reasoning, size.batch)


def train(model: Path, out: Path, kind: str, size: Size) -> Path:
    """Fine-tune, or go on, or find it done; return the model."""
    from steiner.cli.train import load_toml
    from steiner.cli.ui import RichProgress
    from steiner.train.settings import SftSettings
    from steiner.train.supervised import train_sft

    base = load_toml(SftSettings, HERE / "sft.toml")
    settings = changed(
        base, output=str(out / kind / "sft"), dataset=str(out / kind / "data" / "dataset"), seed=SEED,
        tokens=size.tokens, context=size.context, model=base.model.model_dump() | {"path": str(model)},
    )  # fmt: skip
    train_sft(settings, progress=RichProgress())
    return out / kind / "sft" / "model"


if __name__ == "__main__":
    main()
