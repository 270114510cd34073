"""What does each part of the method add? Train with and without it, measure, and write one table.

    python recipes/countdown-parts/parts.py --size small --output runs/countdown-parts

Every row is trained with several seeds on the same number of tokens, from the same problems and step graphs,
and measured on problems with number sets that training never saw. Stopped at any moment, the same command
goes on where it was. README.md says what the rows and sizes are.
"""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import typer

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

from countdown_common import REWARDS as BY_NAME  # noqa: E402
from countdown_common import TEXTS, Ask, Job, changed, measure, rehearsed, run_jobs, timed  # noqa: E402
from parts_data import BOTH, DAG, SHORTCUT, TRACES, TRAINED_STEPS, make_data  # noqa: E402

SFT, NONE = "sft", "none"
"""The row that others are held against, and the one of decoding without a limit."""
LIMIT = 24
"""Steps allowed in the evaluation of trained models."""
LIMITS = (2, 4, 8, 12, 16, LIMIT)
FREE = 48
"""Steps that stand for no limit: `Size.reasoning` tokens end a completion before that."""
HALF = 0.5
"""Share of plain text in pre-training."""


class Variant(NamedTuple):
    """A model that differs from the reference in one thing."""

    title: str
    data: str = DAG
    cpt: bool = True
    sft: bool = True
    text_share: float = HALF
    rehearsal: bool = True


VARIANTS = {
    SFT: Variant("SFT after CPT with paths, on paths with backtracking sampled from graphs"),
    "shortcut": Variant("shortcut paths: no failed branch", data=SHORTCUT),
    "traces": Variant("truncate-and-reveal traces", data=TRACES),
    "both": Variant("half traces, half sampled paths", data=BOTH),
    # 0 paths cannot be asked for: one path is read, for the share to be below 1.
    "cpt-text": Variant("CPT on plain text alone, then SFT", text_share=0.999),
    "no-cpt": Variant("no CPT: all tokens to SFT", cpt=False),
    "no-sft": Variant("no SFT: all tokens to CPT", sft=False),
    "no-rehearsal": Variant("no plain text in SFT", rehearsal=False),
}
REWARDS = {f"rl-{name}": rewards for name, rewards in BY_NAME.items()}
SFT_MORE = "sft-more"
"""Fine-tuning goes on for as many tokens as `rl-outcome` wrote: what RL has to beat."""
LIMITS_ROW = "limits"
GROUPS: dict[str, tuple[str, ...]] = {
    "paths": ("shortcut", "traces", "both"),
    "cpt": ("cpt-text", "no-cpt", "no-sft", "no-rehearsal"),
    "rl": (*REWARDS, SFT_MORE),
    LIMITS_ROW: (LIMITS_ROW,),
}
MAXIMA = (2, 4, 6, 8, 12, 16, 24, 32)
MINIMA = (4, 8, 12, 16)
SOFT = ((-4.0, 4.0, 12), (-4.0, 4.0, 24), (-8.0, 0.0, 24), (0.0, 4.0, 16))
"""START, STOP, STEPS of `steiner evaluate --soft-end`."""


class Size(NamedTuple):
    """How big a comparison is."""

    problems: int
    heldout: int
    cpt_tokens: int
    sft_tokens: int
    updates: int
    prompts: int
    group: int
    seeds: int
    reasoning: int = 1600
    """Most tokens of reasoning."""


SIZES = {
    "tiny": Size(20, 4, 2_000, 4_000, 1, 2, 4, 1, reasoning=200),
    "small": Size(4000, 500, 500_000, 2_500_000, 40, 8, 8, 3),
    "full": Size(4000, 1000, 1_000_000, 9_000_000, 100, 16, 16, 5),
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Make what is missing, then the page."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", choices=SIZES, default="small")
    parser.add_argument("--output", type=Path, default=Path("runs/countdown-parts"))
    parser.add_argument("--groups", nargs="+", choices=GROUPS, default=list(GROUPS), help="rows to make")
    parser.add_argument("--seeds", type=int, help="trainings of each row; the size's by default")
    parser.add_argument(
        "--workers", type=int, default=os.cpu_count() or 1, help="processes, one training each"
    )
    parser.add_argument("--job", help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    size = SIZES[given.size]
    size = size._replace(seeds=given.seeds or size.seeds)
    out: Path = given.output
    if given.job:
        name, seed = given.job.split(":")
        run_job(out, size, name, int(seed))
        return
    with timed(out / "minutes.txt"):
        make_data(out, size.problems, size.heldout, given.workers)
        for names in phases(given.groups):
            jobs = [job(out, given.size, size, name, s) for s in range(size.seeds) for name in names]
            run_jobs(jobs, given.workers)
    note_call(out, arguments)
    from parts_page import write_page

    typer.echo(write_page(out, size, given.groups))


def phases(groups: Sequence[str]) -> list[list[str]]:
    """Return the rows to make: all of a phase can be made at once, after the phases before it."""
    wanted = [name for group in GROUPS if group in groups for name in GROUPS[group]]
    supervised = [SFT, *(name for name in wanted if name in VARIANTS)]
    after_sft = [name for name in wanted if name in REWARDS or name == LIMITS_ROW]
    return [supervised, after_sft, [name for name in wanted if name == SFT_MORE]]


def job(out: Path, size_name: str, size: Size, name: str, seed: int) -> Job:
    """Return the call of this script that makes one row with one seed."""
    command = (
        *(sys.executable, str(HERE / "parts.py"), "--job", f"{name}:{seed}", "--size", size_name),
        *("--output", str(out), "--seeds", str(size.seeds)),
    )
    return Job(f"{name}, seed {seed}", command, folder(out, name, seed) / "log.txt")


def note_call(out: Path, arguments: Sequence[str] | None) -> None:
    """Keep the command, for the page."""
    words = sys.argv[1:] if arguments is None else list(arguments)
    with (out / "calls.txt").open("a") as file:
        file.write(f"{shlex.join(['python', 'recipes/countdown-parts/parts.py', *words])}\n")


def folder(out: Path, name: str, seed: int) -> Path:
    """Return where a row's training and evaluation with one seed lie."""
    return out / name / f"seed-{seed}"


def sft_model(out: Path, seed: int) -> Path:
    """Return the reference model of a seed."""
    return folder(out, SFT, seed) / "sft" / "model"


def run_job(out: Path, size: Size, name: str, seed: int) -> None:
    """Train one row with one seed, and measure it."""
    if name == LIMITS_ROW:
        measure_limits(out, size, seed)
        return
    if name in VARIANTS:
        model = train_variant(out, size, name, seed)
    elif name == SFT_MORE:
        model = train_more(out, size, seed)
    else:
        model = train_reward(out, size, name, seed)
    ask = Ask(LIMITS, size.heldout, size.reasoning)
    measure(model, out / "test", folder(out, name, seed) / "evaluation.json", ask)


def train_variant(out: Path, size: Size, name: str, seed: int) -> Path:
    """Pre-train and fine-tune as the row says, on as many tokens as any other row; return the model."""
    from steiner.cli.train import load_toml
    from steiner.cli.ui import RichProgress
    from steiner.train.settings import CptSettings, SftSettings
    from steiner.train.supervised import train_cpt, train_sft

    variant, place = VARIANTS[name], folder(out, name, seed)
    recipe = HERE.parent / "countdown-cpu"  # the same model and optimiser
    base = load_toml(CptSettings, recipe / "cpt.toml")
    total = size.cpt_tokens + size.sft_tokens
    dataset = str(out / "data" / variant.data / "dataset")
    new = {"architecture": base.model.architecture, "tokenizer": str(out / "tokenizer")}
    if variant.cpt:
        # Without SFT the plain text stays as much as it is in the reference; the paths take the rest.
        kept = variant.text_share if variant.sft else HALF * size.cpt_tokens / total
        cpt = changed(
            base, output=str(place / "cpt"), dataset=dataset, text=[str(out / name) for name in TEXTS],
            text_share=kept, tokens=size.cpt_tokens if variant.sft else total, max_steps=TRAINED_STEPS,
            seed=seed, model=new,
        )  # fmt: skip
        train_cpt(cpt, progress=RichProgress())
    if not variant.sft:
        return place / "cpt" / "model"
    tuning = load_toml(SftSettings, recipe / "sft.toml")
    sft = changed(
        tuning, output=str(place / "sft"), dataset=dataset,
        tokens=size.sft_tokens if variant.cpt else total, max_steps=TRAINED_STEPS, seed=seed,
        rehearsal=rehearsed(tuning, out) if variant.rehearsal else None,
        model={"path": str(place / "cpt" / "model")} if variant.cpt else new,
    )  # fmt: skip
    train_sft(sft, progress=RichProgress())
    return place / "sft" / "model"


def train_reward(out: Path, size: Size, name: str, seed: int) -> Path:
    """Train with a reward from the reference model of the same seed; return the model."""
    from steiner.cli.common import is_right, reader_for
    from steiner.cli.train import load_toml
    from steiner.cli.ui import RichProgress
    from steiner.train.rl import train_rl
    from steiner.train.settings import RlSettings

    base = load_toml(RlSettings, HERE / "rl.toml")
    place = folder(out, name, seed) / "rl"
    batch = min(base.optimiser.batch_size, size.prompts * size.group)
    settings = changed(
        base, output=str(place), run=str(out / "data" / DAG), steps=size.updates, prompts=size.prompts,
        group=size.group, max_reasoning_tokens=min(base.max_reasoning_tokens, size.reasoning),
        rewards=REWARDS[name], seed=seed, model={"path": str(sft_model(out, seed))},
        optimiser=base.optimiser.model_dump() | {"batch_size": batch},
    )  # fmt: skip
    train_rl(settings, is_right, reader_for("countdown"), progress=RichProgress())
    return place / "model"


def train_more(out: Path, size: Size, seed: int) -> Path:
    """Go on with fine-tuning for as many tokens as RL wrote; return the model."""
    from steiner.cli.train import load_toml
    from steiner.cli.ui import RichProgress
    from steiner.train.settings import SftSettings
    from steiner.train.stage import TrainingRecord
    from steiner.train.supervised import train_sft

    written = folder(out, "rl-outcome", seed) / "rl" / "training.json"
    tokens = TrainingRecord.model_validate_json(written.read_bytes()).tokens
    base = load_toml(SftSettings, HERE.parent / "countdown-cpu" / "sft.toml")
    place = folder(out, SFT_MORE, seed) / "sft"
    # A tenth of the rates: what fine-tuning ended with has fallen to 0.
    slower = {
        "learning_rate": base.optimiser.learning_rate / 10,
        "matrix_learning_rate": base.optimiser.matrix_learning_rate / 10,
    }
    settings = changed(
        base, output=str(place), dataset=str(out / "data" / DAG / "dataset"), tokens=max(1, tokens),
        seed=seed + 1000, model={"path": str(sft_model(out, seed))}, rehearsal=rehearsed(base, out),
        optimiser=base.optimiser.model_dump() | slower,
    )  # fmt: skip
    train_sft(settings, progress=RichProgress())
    return place / "model"


def measure_limits(out: Path, size: Size, seed: int) -> None:
    """Measure the reference model of a seed with every kind of limit at decoding."""
    from steiner.core import SoftEnd, StepBudget

    model, place, test = sft_model(out, seed), folder(out, LIMITS_ROW, seed), out / "test"
    free = Ask((FREE,), size.heldout, size.reasoning)
    measure(model, test, place / "max.json", free._replace(limits=(*MAXIMA, FREE)))
    for least in MINIMA:
        measure(model, test, place / f"min-{least}.json", free, StepBudget(min_steps=least))
    for number, (start, stop, steps) in enumerate(SOFT):
        soft = SoftEnd(start=start, stop=stop, steps=steps)
        measure(model, test, place / f"soft-{number}.json", free, StepBudget(soft_end=soft))


if __name__ == "__main__":
    main()
