"""One small model that talks: two languages, several turns, any system prompt, any temperature.

    python recipes/countdown-talk/run.py --output runs/countdown-talk

Models of 0.8M parameters learn Countdown with three numbers from conversations and are measured on problems
that training never saw. Stopped at any moment, the same command goes on where it was. README.md says what is
measured.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import typer

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

from countdown_common import (  # noqa: E402
    TEXTS,
    Job,
    changed,
    measure,
    number_sets,
    rehearsed,
    run_jobs,
    steiner,
    timed,
)
from talk import GAME, SIZES, SPLITS, TRAINED_STEPS, Size, measures, trained_systems  # noqa: E402

LANGUAGES = ("en", "zh")


def main(arguments: Sequence[str] | None = None) -> None:
    """Make what is missing, then the page."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", choices=SIZES, default="full")
    parser.add_argument("--output", type=Path, default=Path("runs/countdown-talk"))
    parser.add_argument("--seeds", type=int, help="models; the size's by default")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="models at a time")
    parser.add_argument("--job", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    size = SIZES[given.size]
    size = size._replace(seeds=given.seeds or size.seeds)
    if given.job is not None:
        run_job(given.output, size, given.job)
        return
    with timed(given.output / "minutes.txt"):
        make_data(given.output, size)
        run_jobs(jobs_of(given.output, size, given.size), given.workers)
    (given.output / "size.txt").write_text(f"{given.size} {size.seeds}\n")
    from page import write_page

    typer.echo(write_page(given.output, size))


def make_data(out: Path, size: Size) -> None:
    """Make problems in both languages, step graphs, paths, a tokenizer, plain text, held-out problems."""
    data = out / "data"
    out.mkdir(parents=True, exist_ok=True)
    steiner(
        "problems", "countdown", "--run", data, "--count", size.problems, *GAME, "--language", "mixed",
        "--siblings", 3,
    )  # fmt: skip
    steiner(
        "synthesize", "--run", data, "--truncations", 64, "--cut", "early", "--max-attempt-steps", 16,
        "--temperature", 5,
    )  # fmt: skip
    steiner("graph", "--run", data)
    steiner(
        "sample", "--run", data, "--per-question", 8, "--detours", "all", "--order", "operands", "--rotate",
        "--revisit", "--no-traces",
    )  # fmt: skip
    if not (out / "tokenizer").is_dir():
        steiner("tokenizer", "--run", data, "--numbers-to", 30, "--output", out / "tokenizer")
    steiner("dataset", "--run", data, "--tokenizer", out / "tokenizer")
    for split in SPLITS:
        # No siblings: more number sets say more, and conversations bring their own earlier targets.
        steiner(
            "problems", "countdown", "--run", out / split, "--count", size.heldout, "--split", split, *GAME,
            "--language", "mixed",
        )  # fmt: skip
    for name, text in zip(TEXTS, plain_text(number_sets(data)), strict=True):
        if not (out / name).exists():
            (out / name).write_text(text)


def plain_text(states: Sequence[tuple[int, ...]]) -> tuple[str, str]:
    """Return sums and comparisons, and the ways on from each of `states`; documents in both languages."""
    from steiner.problems.arithmetic import arithmetic_documents, sweep_documents
    from steiner.problems.countdown import Limits

    limits = Limits(max_result=30)
    sums = arithmetic_documents(30, limits, seed=0, same_target=True, languages=LANGUAGES)
    # Another order in each language, and the languages by turns.
    sweeps = (
        sweep_documents(states, limits, seed=seed, language=language, by_operands=True)
        for seed, language in enumerate(LANGUAGES)
    )
    ways = (document for both in zip(*sweeps, strict=True) for document in both)
    return "\n\n".join(sums), "\n\n".join(ways)


def jobs_of(out: Path, size: Size, name: str) -> list[Job]:
    """Return one job for each seed: train its model and measure it."""
    return [
        Job(
            f"seed {seed}",
            (
                *(sys.executable, str(HERE / "run.py"), "--job", str(seed)),
                *("--output", str(out), "--size", name, "--seeds", str(size.seeds)),
            ),
            out / f"seed-{seed}" / "log.txt",
        )
        for seed in range(size.seeds)
    ]


def run_job(out: Path, size: Size, seed: int) -> None:
    """Train one model and measure it."""
    folder = out / f"seed-{seed}"
    model = train(out, folder, seed, size)
    for one in measures(size, trained_systems()):
        measure(model, out / one.split, folder / f"{one.name}.json", one.ask(size, seed))


def train(out: Path, folder: Path, seed: int, size: Size) -> Path:
    """Pre-train and fine-tune, or go on, or find it done; return the model."""
    from steiner.cli.common import follow_up
    from steiner.cli.train import load_toml
    from steiner.cli.ui import RichProgress
    from steiner.train.settings import CptSettings, SftSettings
    from steiner.train.supervised import train_cpt, train_sft

    base = load_toml(CptSettings, HERE / "cpt.toml")
    dataset = str(out / "data" / "dataset")
    cpt = changed(
        base, output=str(folder / "cpt"), dataset=dataset, text=[str(out / name) for name in TEXTS],
        tokens=size.cpt_tokens, max_steps=TRAINED_STEPS, seed=seed,
        model={"architecture": base.model.architecture, "tokenizer": str(out / "tokenizer")},
    )  # fmt: skip
    train_cpt(cpt, progress=RichProgress())
    tuning = load_toml(SftSettings, HERE / "sft.toml")
    sft = changed(
        tuning, output=str(folder / "sft"), dataset=dataset, tokens=size.sft_tokens,
        rehearsal=rehearsed(tuning, out), max_steps=TRAINED_STEPS,
        seed=seed,
        model={"path": str(folder / "cpt" / "model")},
    )  # fmt: skip
    train_sft(sft, follow_ups=follow_up, progress=RichProgress())
    return folder / "sft" / "model"


if __name__ == "__main__":
    main()
