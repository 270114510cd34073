"""What run.py measured, as a page with figures: page.md, new-inputs.svg, heldout-targets.svg.

python recipes/countdown-cpu/page.py runs/countdown-cpu [docs/results/countdown-cpu.md]
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import mean
from typing import TYPE_CHECKING, Any

sys.path[:0] = [str(Path(__file__).resolve().parents[1])]

from countdown_common import check_split, votes  # noqa: E402

if TYPE_CHECKING:
    from steiner.evaluate.curves import ScalingCurve
    from steiner.evaluate.records import SampleResult
    from steiner.evaluate.saved import SavedEvaluation
    from steiner.train.stage import TrainingRecord

NAMES = {
    "new-inputs": "number sets that training never saw",
    "heldout-targets": "targets that training never saw",
}


def write_page(out: Path, size: Any) -> str:
    """Write the page and its figures; return its text."""
    from run import SPLITS, TRAINED_STEPS

    from steiner.evaluate.drawing.curve_file import curve_file
    from steiner.store import atomic_write

    parts = [heading(out, size)]
    for split in SPLITS:
        found = curve(out, split, size)
        with atomic_write(out / f"{split}.json") as file:
            file.write(found.model_dump_json(indent=1).encode())
        title = f"Countdown, three numbers, {NAMES[split]}"
        (out / f"{split}.svg").write_text(curve_file([found], title, trained_to=TRAINED_STEPS))
        parts.append(section(out, split, found, size))
    parts.append(training(out, size))
    text = "\n".join(parts)
    (out / "page.md").write_text(text)
    return text


def heading(out: Path, size: Any) -> str:
    """Return what was done, where and how long it took."""
    from run import LIMITS, SPLITS, TRAINED_STEPS

    evaluation = load(out, "search", 0, "new-inputs")
    where = evaluation.circumstances
    took = out / "minutes.txt"
    minutes = f"{took.read_text().strip()} minutes in the last call" if took.exists() else "several calls"
    return (
        "# Accuracy against steps, on two cores\n\n"
        f"`python recipes/countdown-cpu/run.py`, commit `{where.commit}`, {where.created[:10]}, "
        f"{where.machine}; {minutes}, {core_minutes(out, size):.0f} core-minutes of training in all, seeds 0 "
        f"to {size.seeds - 1}.\n\n"
        "Countdown with three numbers from 1 to 20, targets from 1 and results to 30. Trained on the "
        f"first {TRAINED_STEPS} steps of paths, measured with up to {max(LIMITS)}, greedily, under strict "
        "step control. Intervals are 95% bootstrap intervals over problems, all seeds of a problem together. "
        f"{check_split([out / 'search' / 'data'], [out / split for split in SPLITS])}\n"
    )


def curve(out: Path, split: str, size: Any) -> ScalingCurve:
    """Return the curve of all seeds, with what the same tokens buy as votes."""
    from steiner.evaluate.baselines import Pool
    from steiner.evaluate.curves import Axis, scaling_curve

    return scaling_curve(
        [samples(out, "search", split, size)],
        Axis.MAX_STEPS,
        title="one long search",
        pools=[
            Pool("short searches", samples(out, "search", f"{split}-pool", size), graded=True),
            Pool("a model of shortcuts", samples(out, "shortcut", f"{split}-pool", size), graded=True),
        ],
    )


def section(out: Path, split: str, found: ScalingCurve, size: Any) -> str:
    """Return one test set: figure, verdict, tables."""
    lines = [
        f"\n## {NAMES[split].capitalize()}\n",
        f"![accuracy against steps]({split}.svg)\n",
        f"{found.verdict}.",
    ]
    if found.warning:
        lines.append(f"Mind: {found.warning}")
    lines += [
        "",
        "| steps allowed | accuracy | 95% interval | by seed | steps taken | tokens |",
        "|--:|--:|--:|---|--:|--:|",
    ]
    evaluations = [load(out, "search", seed, split) for seed in range(size.seeds)]
    for point in found.points:
        by_seed = [
            mean(one.right for one in results.samples if one.max_steps == point.max_steps)
            for results in evaluations
        ]
        lines.append(
            f"| {point.label} | {point.accuracy:.1%} | {point.low:.1%}–{point.high:.1%} | "
            f"{' '.join(f'{share:.1%}' for share in by_seed)} | {point.steps:.1f} | {point.tokens:,.0f} |"
        )
    lines += ["", *votes(found), "", "Completions of all seeds are mixed, which favours the votes."]
    return "\n".join(lines) + "\n"


def training(out: Path, size: Any) -> str:
    """Return what each training took."""
    lines = [
        "\n## Training\n",
        "| model | seed | stage | parameters | tokens | CPU seconds | last loss |",
        "|---|--:|---|--:|--:|--:|--:|",
    ]
    for kind, seed, stage, record in records(out, size):
        loss = record.curve[-1].values.get("loss") if record.curve else None
        last = "–" if loss is None else f"{loss:.4f}"
        lines.append(
            f"| {kind} | {seed} | {stage.upper()} | {record.parameters:,} | {record.tokens:,} | "
            f"{record.cpu_seconds:,.0f} | {last} |"
        )
    return "\n".join(lines) + "\n"


def core_minutes(out: Path, size: Any) -> float:
    """Return the CPU time of all trainings, in minutes."""
    return sum(record.cpu_seconds for _, _, _, record in records(out, size)) / 60


def records(out: Path, size: Any) -> Iterator[tuple[str, int, str, TrainingRecord]]:
    """Yield kind, seed, stage and record of each training."""
    from run import KINDS

    from steiner.train.stage import TrainingRecord

    for kind in KINDS:
        for seed in range(size.seeds):
            for stage in ("cpt", "sft"):
                path = out / kind / f"seed-{seed}" / stage / "training.json"
                yield kind, seed, stage, TrainingRecord.model_validate_json(path.read_bytes())


def load(out: Path, kind: str, seed: int, name: str) -> SavedEvaluation:
    """Return one evaluation."""
    from steiner.evaluate import saved

    return saved.load(out / kind / f"seed-{seed}" / f"{name}.json")


def samples(out: Path, kind: str, name: str, size: Any) -> list[SampleResult]:
    """Return the samples of all seeds."""
    return [one for seed in range(size.seeds) for one in load(out, kind, seed, name).samples]


def main(arguments: Sequence[str]) -> None:
    """Write the page anew from a finished run, and copy it with its figures where asked."""
    from run import SIZES, SPLITS

    out = Path(arguments[0])
    seeds = len(list((out / "search").glob("seed-*")))
    write_page(out, SIZES["full"]._replace(seeds=seeds))
    if len(arguments) > 1:
        target = Path(arguments[1])
        text = (out / "page.md").read_text()
        for split in SPLITS:
            figure = f"{target.stem}-{split}.svg"
            shutil.copy(out / f"{split}.svg", target.parent / figure)
            text = text.replace(f"({split}.svg)", f"({figure})")
        target.write_text(text)


if __name__ == "__main__":
    main(sys.argv[1:])
