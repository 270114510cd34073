"""Does accuracy rise with the steps that are allowed? Train, measure and draw it, on two cores in 90 minutes.

    python recipes/countdown-cpu/run.py --output runs/countdown-cpu

Models of 0.8M parameters learn Countdown with three numbers from the first 16 steps of paths and are measured
with up to 32, beside what the same tokens buy as votes of short completions. Stopped at any moment, the same
command goes on where it was. README.md says what the sizes are.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import typer

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

from countdown_common import (  # noqa: E402
    TEXTS,
    Ask,
    Job,
    changed,
    measure,
    number_sets,
    rehearsed,
    run_jobs,
    steiner,
    timed,
)

SEARCH, SHORTCUT = "search", "shortcut"
KINDS = (SEARCH, SHORTCUT)
SPLITS = ("new-inputs", "heldout-targets")
GAME = ("--numbers", "3", "--high", "20", "--target-low", "1", "--target-high", "30", "--max-result", "30")
TRAINED_STEPS = 16
"""Most steps of a path that training shows; longer ones are cut there."""
LIMITS = (2, 4, 6, 8, 12, 16, 20, 24, 32)
SHORT = {SEARCH: 4, SHORTCUT: 2}
"""Steps of the completions that vote: what a model of each kind needs for a try or two."""
WORDS = {
    SEARCH: ("--per-question", "8", "--detours", "all"),
    SHORTCUT: ("--per-question", "8", "--detours", "1"),
}
"""How paths are sampled: every failed branch is kept, or none."""


class Tokens(NamedTuple):
    """What a model is trained on."""

    text: int
    """Plain text in pre-training."""
    paths: int
    """Paths in pre-training, beside the text."""
    sft: int
    """Fine-tuning, with what is rehearsed of the text."""


class Size(NamedTuple):
    """How big a run is."""

    problems: int
    heldout: int
    search: Tokens
    shortcut: Tokens
    """Shortcuts are so short that fewer tokens are more updates."""
    samples: int
    """Completions of each problem that vote."""
    seeds: int
    reasoning: int = 1100
    """Most tokens of reasoning; no trained model comes near them within 32 steps."""


SIZES = {
    "tiny": Size(20, 4, Tokens(1_500, 500, 4_000), Tokens(1_500, 500, 4_000), 2, 2, reasoning=120),
    "full": Size(
        6000, 492, Tokens(1_900_000, 600_000, 11_000_000), Tokens(1_900_000, 600_000, 2_000_000), 6, 3
    ),
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Make what is missing, then the page."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", choices=SIZES, default="full")
    parser.add_argument("--output", type=Path, default=Path("runs/countdown-cpu"))
    parser.add_argument("--seeds", type=int, help="trainings of each kind; the size's by default")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="trainings at a time")
    parser.add_argument("--job", help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    size = SIZES[given.size]
    size = size._replace(seeds=given.seeds or size.seeds)
    if given.job:
        kind, seed = given.job.split(":")
        run_job(given.output, size, kind, int(seed))
        return
    with timed(given.output / "minutes.txt"):
        make_data(given.output, size)
        run_jobs(jobs_of(given.output, size, given.size), given.workers)
    from page import write_page

    typer.echo(write_page(given.output, size))


def make_data(out: Path, size: Size) -> None:
    """Make problems, step graphs, paths of both kinds, a tokenizer and the held-out problems."""
    from steiner.problems.arithmetic import arithmetic_documents, sweep_documents
    from steiner.problems.countdown import Limits

    search = out / SEARCH / "data"
    search.parent.mkdir(parents=True, exist_ok=True)
    steiner("problems", "countdown", "--run", search, "--count", size.problems, *GAME)
    steiner(
        "synthesize",
        "--run",
        search,
        "--truncations",
        64,
        "--cut",
        "early",
        "--max-attempt-steps",
        16,
        "--temperature",
        5,
    )
    steiner("graph", "--run", search)
    if not (out / SHORTCUT / "data").is_dir():
        part = out / SHORTCUT / "part"
        shutil.rmtree(part, ignore_errors=True)
        shutil.copytree(search, part, ignore=shutil.ignore_patterns("lock*"))
        part.rename(out / SHORTCUT / "data")
    for kind in KINDS:
        steiner(
            "sample", "--run", out / kind / "data", *WORDS[kind], "--order", "operands", "--rotate",
            "--revisit", "--no-traces",
        )  # fmt: skip
    if not (out / "tokenizer").is_dir():
        steiner("tokenizer", "--run", search, "--numbers-to", 30, "--output", out / "tokenizer")
    for kind in KINDS:
        steiner("dataset", "--run", out / kind / "data", "--tokenizer", out / "tokenizer")
    for split in SPLITS:
        steiner(
            "problems", "countdown", "--run", out / split, "--count", size.heldout, "--split", split,
            *GAME,
        )  # fmt: skip
    limits = Limits(max_result=30)
    facts, ways = (out / name for name in TEXTS)
    if not facts.exists():
        facts.write_text("\n\n".join(arithmetic_documents(30, limits, seed=0, same_target=True)))
    if not ways.exists():
        ways.write_text("\n\n".join(sweep_documents(number_sets(search), limits, seed=0, by_operands=True)))


def jobs_of(out: Path, size: Size, name: str) -> list[Job]:
    """Return one job for each model: train it and measure it."""
    return [
        Job(
            f"{kind}, seed {seed}",
            (
                *(sys.executable, str(HERE / "run.py"), "--job", f"{kind}:{seed}"),
                *("--output", str(out), "--size", name, "--seeds", str(size.seeds)),
            ),
            out / kind / f"seed-{seed}" / "log.txt",
        )
        for kind in KINDS
        for seed in range(size.seeds)
    ]


def run_job(out: Path, size: Size, kind: str, seed: int) -> None:
    """Train one model and measure it."""
    folder = out / kind / f"seed-{seed}"
    model = train(out, folder, kind, seed, size)
    for split in SPLITS:
        if kind == SEARCH:
            measure(model, out / split, folder / f"{split}.json", Ask(LIMITS, size.heldout, size.reasoning))
        short = Ask(
            (SHORT[kind],), size.heldout, size.reasoning, samples=size.samples, temperature=1.0, seed=seed
        )
        measure(model, out / split, folder / f"{split}-pool.json", short)


def train(out: Path, folder: Path, kind: str, seed: int, size: Size) -> Path:
    """Pre-train and fine-tune, or go on, or find it done; return the model."""
    from steiner.cli.train import load_toml
    from steiner.cli.ui import RichProgress
    from steiner.train.settings import CptSettings, SftSettings
    from steiner.train.supervised import train_cpt, train_sft

    base = load_toml(CptSettings, HERE / "cpt.toml")
    dataset = str(out / kind / "data" / "dataset")
    wanted = size.search if kind == SEARCH else size.shortcut
    both = wanted.text + wanted.paths
    cpt = changed(
        base, output=str(folder / "cpt"), dataset=dataset, text=[str(out / name) for name in TEXTS],
        text_share=wanted.text / both, tokens=both, max_steps=TRAINED_STEPS, seed=seed,
        model={"architecture": base.model.architecture, "tokenizer": str(out / "tokenizer")},
    )  # fmt: skip
    train_cpt(cpt, progress=RichProgress())
    tuning = load_toml(SftSettings, HERE / "sft.toml")
    sft = changed(
        tuning, output=str(folder / "sft"), dataset=dataset, rehearsal=rehearsed(tuning, out),
        tokens=wanted.sft, max_steps=TRAINED_STEPS, seed=seed, model={"path": str(folder / "cpt" / "model")},
    )  # fmt: skip
    train_sft(sft, progress=RichProgress())
    return folder / "sft" / "model"


if __name__ == "__main__":
    main()
