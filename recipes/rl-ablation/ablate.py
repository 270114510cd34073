"""Train the same model from the same fine-tuned checkpoint with each reward, and write the table.

    python recipes/rl-ablation/ablate.py --size small --output runs/rl-ablation

Stopped at any moment, the same command goes on where it was. README.md says what the sizes are.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import typer

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent)]

from countdown_common import OUTCOME, changed, steiner  # noqa: E402
from countdown_common import REWARDS as BY_NAME  # noqa: E402

LIMIT = 24
"""Steps allowed in the evaluation."""

REWARDS = BY_NAME | {"all": [OUTCOME, {"name": "dag", "weight": 0.25}, {"name": "progress", "weight": 0.25}]}
NO_RL = "none"


class Size(NamedTuple):
    """How big an ablation is."""

    problems: int
    heldout: int
    cpt_tokens: int
    sft_tokens: int
    updates: int
    prompts: int
    group: int
    seeds: int
    reasoning: int = 720
    """Most tokens of reasoning."""


SIZES = {
    "tiny": Size(20, 4, 2_000, 4_000, 2, 2, 4, 2, reasoning=120),
    "small": Size(4000, 500, 500_000, 1_500_000, 20, 8, 8, 3),
    "full": Size(4000, 500, 500_000, 2_800_000, 100, 16, 16, 5),
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Make what is missing, then the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--size", choices=SIZES, default="small")
    parser.add_argument("--output", type=Path, default=Path("runs/rl-ablation"))
    parser.add_argument("--rewards", nargs="+", choices=REWARDS, default=list(REWARDS))
    parser.add_argument("--seeds", type=int, help="number of seeds per reward; the size's by default")
    parser.add_argument("--updates", type=int, help="updates per training; the size's by default")
    parser.add_argument("--learning-rate", type=float, default=5e-5)
    parser.add_argument("--model", type=Path, help="start from this fine-tuned model instead of making one")
    given = parser.parse_args(arguments)
    size = SIZES[given.size]
    size = size._replace(seeds=given.seeds or size.seeds, updates=given.updates or size.updates)
    out: Path = given.output
    make_data(out, size)
    start = given.model or make_start(out, size)
    evaluate(start, out / "test", out / NO_RL / "evaluation.json", size)
    for seed in range(size.seeds):
        for name in given.rewards:
            folder = out / name / f"seed-{seed}"
            train(folder / "rl", out / "data", start, REWARDS[name], seed, size, given.learning_rate)
            evaluate(folder / "rl" / "model", out / "test", folder / "evaluation.json", size)
    text = table(out, given.rewards, size)
    (out / "table.md").write_text(text)
    typer.echo(text)


def make_data(out: Path, size: Size) -> None:
    """Make the problems, graphs and paths of the quickstart, and held-out problems."""
    out.mkdir(parents=True, exist_ok=True)
    data, test = str(out / "data"), str(out / "test")
    game = ["--numbers", "3", "--high", "20", "--target-high", "30", "--max-result", "30", "--heldout", "0"]
    steiner("problems", "countdown", "--run", data, "--count", str(size.problems), *game)
    steiner("synthesize", "--run", data, "--truncations", "24", "--cut", "early", "--max-attempt-steps", "16")
    steiner("graph", "--run", data)
    steiner(
        "sample", "--run", data, "--per-question", "1", "--order", "sorted", "--detours", "all",
        "--no-traces", "--max-steps", str(LIMIT),
    )  # fmt: skip
    if not (out / "data" / "tokenizer").is_dir():
        steiner("tokenizer", "--run", data, "--numbers-to", "30")
    steiner("dataset", "--run", data, "--tokenizer", str(out / "data" / "tokenizer"))
    steiner(
        "problems", "countdown", "--run", test, "--count", str(size.heldout), "--split", "new-inputs", *game
    )


def make_start(out: Path, size: Size) -> Path:
    """Pre-train and fine-tune the model that every training starts from."""
    from steiner.cli.train import load_toml
    from steiner.cli.ui import RichProgress
    from steiner.problems.arithmetic import arithmetic_documents
    from steiner.problems.countdown import Limits
    from steiner.train.settings import CptSettings, SftSettings
    from steiner.train.supervised import train_cpt, train_sft

    facts = out / "arithmetic.txt"
    if not facts.exists():
        facts.write_text("\n\n".join(arithmetic_documents(30, Limits(max_result=30), seed=0)))
    dataset = str(out / "data" / "dataset")
    base = load_toml(CptSettings, HERE / "cpt.toml")
    cpt = changed(
        base,
        output=str(out / "cpt"),
        dataset=dataset,
        text=[str(facts)],
        tokens=size.cpt_tokens,
        model={
            "architecture": base.model.architecture,
            "tokenizer": str(out / "data" / "tokenizer"),
        },
    )
    train_cpt(cpt, progress=RichProgress())
    sft = changed(
        load_toml(SftSettings, HERE / "sft.toml"),
        output=str(out / "sft"),
        dataset=dataset,
        tokens=size.sft_tokens,
        model={"path": str(out / "cpt" / "model")},
    )
    train_sft(sft, progress=RichProgress())
    return out / "sft" / "model"


def train(
    folder: Path,
    data: Path,
    start: Path,
    rewards: list[dict[str, Any]],
    seed: int,
    size: Size,
    learning_rate: float,
) -> None:
    """Train once, or go on, or find it done."""
    from steiner.cli.common import is_right, reader_for
    from steiner.cli.train import load_toml
    from steiner.cli.ui import RichProgress
    from steiner.train.rl import train_rl
    from steiner.train.settings import RlSettings

    base = load_toml(RlSettings, HERE / "rl.toml")
    completions = size.prompts * size.group
    settings = changed(
        base,
        output=str(folder),
        run=str(data),
        steps=size.updates,
        prompts=size.prompts,
        group=size.group,
        max_reasoning_tokens=size.reasoning,
        rewards=rewards,
        seed=seed,
        model={"path": str(start)},
        optimiser=base.optimiser.model_dump()
        | {"learning_rate": learning_rate, "batch_size": min(base.optimiser.batch_size, completions)},
    )
    train_rl(settings, is_right, reader_for("countdown"), progress=RichProgress())


def evaluate(model: Path, test: Path, output: Path, size: Size) -> None:
    """Measure a model greedily on the held-out problems, unless that was done."""
    output.parent.mkdir(parents=True, exist_ok=True)
    if not output.exists():
        steiner(
            "evaluate", str(model), "--run", str(test), "--limits", f"2,{LIMIT}", "--n", str(size.heldout),
            "--max-reasoning-tokens", str(size.reasoning), "--output", str(output),
        )  # fmt: skip


def table(out: Path, rewards: Sequence[str], size: Size) -> str:
    """Return the results as a Markdown table.

    Intervals are 95% bootstrap intervals over problems, all seeds of a problem together (of one seed alone
    Wilson's); the spread over seeds is what the training itself adds.
    """
    rows = [
        "| reward | accuracy (95%) | against no RL (95%) | by seed | steps | backtracks | repeated | "
        "seconds of training |",
        "|---|--:|--:|--:|--:|--:|--:|--:|",
    ]
    none = samples(out / NO_RL / "evaluation.json")
    for name in [NO_RL, *rewards]:
        folders = [out / NO_RL] if name == NO_RL else [out / name / f"seed-{s}" for s in range(size.seeds)]
        rows.append(row(name, folders, none))
    title = (
        f"{len(none)} held-out problems, greedy, at most {LIMIT} steps; {size.updates} updates of "
        f"{size.prompts} × {size.group} completions, {size.seeds} seeds.\n\n"
    )
    return title + "\n".join(rows) + "\n"


def row(name: str, folders: Sequence[Path], none: Sequence[Any]) -> str:
    """Return the line of one reward, whose seeds lie in `folders`."""
    import numpy as np

    from steiner.evaluate.metrics import bootstrap_mean, paired_difference, wilson_interval
    from steiner.train.stage import TrainingRecord

    seeds = [samples(folder / "evaluation.json") for folder in folders]
    right = np.array([[float(one.right) for one in results] for results in seeds])
    problems = [one.problem_id for results in seeds for one in results]
    alone = len(folders) == 1
    ends = (
        bootstrap_mean(right.flatten(), problems)
        if not alone
        else wilson_interval(int(right.sum()), right.size)
    )
    cells = [name, f"{right.mean():.1%} ({ends.low:.1%}–{ends.high:.1%})"]
    if name == NO_RL:
        cells += ["–", "–"]
    else:
        gain = paired_difference([float(one.right) for one in none], right.mean(axis=0))
        cells.append(f"{gain.value * 100:+.1f} ({gain.low * 100:+.1f} … {gain.high * 100:+.1f})")
        cells.append(" ".join(f"{share:.1%}" for share in right.mean(axis=1)))
    every = [one for results in seeds for one in results]
    steps = sum(one.steps for one in every)
    cells.append(f"{steps / len(every):.1f}")
    cells.append(f"{sum(one.backtracks for one in every) / len(every):.2f}")
    cells.append(f"{sum(one.repeated_steps for one in every) / max(1, steps):.1%}")
    records = [folder / "rl" / "training.json" for folder in folders]
    seconds = [TrainingRecord.model_validate_json(r.read_bytes()).seconds for r in records if r.exists()]
    cells.append(f"{np.mean(seconds):,.0f}" if seconds else "–")
    return f"| {' | '.join(cells)} |"


def samples(path: Path) -> list[Any]:
    """Return the samples of an evaluation that were allowed all steps, in the order of the problems."""
    from steiner.evaluate.saved import load

    chosen = [one for one in load(path).samples if one.max_steps == LIMIT]
    return sorted(chosen, key=lambda one: one.problem_id)


if __name__ == "__main__":
    main()
