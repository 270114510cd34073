"""What run.py measured, as a page with figures: page.md, new-inputs.svg, heldout-targets.svg.

python recipes/countdown-cpu/page.py runs/countdown-cpu [docs/results/countdown-cpu.md]
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import pairwise
from pathlib import Path
from statistics import mean
from typing import TYPE_CHECKING, Any

sys.path[:0] = [str(Path(__file__).resolve().parents[1])]

from countdown_common import (  # noqa: E402
    Aim,
    aims_table,
    call_minutes,
    check_split,
    votes,
    worded_minutes,
)

if TYPE_CHECKING:
    from steiner.evaluate.baselines import BaselinePoint
    from steiner.evaluate.curves import ScalingCurve, ScalingPoint
    from steiner.evaluate.records import SampleResult
    from steiner.evaluate.saved import SavedEvaluation
    from steiner.train.stage import TrainingRecord

NAMES = {
    "new-inputs": "number sets that training never saw",
    "heldout-targets": "targets that training never saw",
}
WANTED = {"new-inputs": 0.95, "heldout-targets": 0.90}
"""Accuracy under the largest budget."""
BUDGETS = 6
"""Fewest budgets of a curve."""
PARAMETERS, MINUTES = 3_000_000, 90
"""Most of a model, and of the whole recipe on two cores."""


def write_page(out: Path, size: Any) -> str:
    """Write the page and its figures; return its text."""
    from run import SPLITS, TRAINED_STEPS

    from steiner.evaluate.drawing.curve_file import curve_file
    from steiner.store import atomic_write

    curves = {split: curve(out, split, size) for split in SPLITS}
    aims = [
        *(rise_aim(split, found) for split, found in curves.items()),
        *(accuracy_aim(out, split, found, size) for split, found in curves.items()),
        *(lead_aim(split, found) for split, found in curves.items()),
        cost_aim(out, size),
    ]
    parts = [heading(out, size), *aims_table(aims), ""]
    for split, found in curves.items():
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
    return (
        "# Accuracy against steps, on two cores\n\n"
        f"`python recipes/countdown-cpu/run.py`, commit `{where.commit}`, {where.created[:10]}, "
        f"{where.machine}; {worded_minutes(out / 'minutes.txt')}, {core_minutes(out, size):.0f} core-minutes "
        "of training (one that was interrupted counts from its checkpoint), seeds 0 "
        f"to {size.seeds - 1}.\n\n"
        "Countdown with three numbers from 1 to 20, targets from 1 and results to 30. Trained on the "
        f"first {TRAINED_STEPS} steps of paths, measured with up to {max(LIMITS)}, greedily, under strict "
        "step control. Intervals are 95% bootstrap intervals over problems, all seeds of a problem together. "
        f"{check_split([out / 'search' / 'data'], [out / split for split in SPLITS])}\n"
    )


def rise_aim(split: str, found: ScalingCurve) -> Aim:
    """Say whether every larger budget solves more, to twice the steps of training."""
    from run import TRAINED_STEPS

    from steiner.evaluate.trend import Shape

    last = found.points[-1]
    rises = all(before.accuracy < after.accuracy for before, after in pairwise(found.points))
    passed = [one for one in (found.points[0], at(found, TRAINED_STEPS), last) if one is not None]
    words = " → ".join(f"{one.accuracy:.1%} ({one.label})" for one in passed)
    enough = len(found.points) >= BUDGETS and (last.max_steps or 0) >= 2 * TRAINED_STEPS
    return Aim(
        f"rises over at least {BUDGETS} budgets, to twice the largest in training: {NAMES[split]}",
        f"{len(found.points)} budgets: {words}; {'each' if rises else 'not each'} above the one before",
        rises and enough and found.shape is Shape.RISES and found.at == last.label,
    )


def accuracy_aim(out: Path, split: str, found: ScalingCurve, size: Any) -> Aim:
    """Say whether the largest budget solves what it should."""
    last, wanted = found.points[-1], WANTED[split]
    seeds = " ".join(f"{100 * one:.1f}" for one in by_seed(out, split, last.max_steps, size))
    return Aim(
        f"at least {wanted:.0%}: {NAMES[split]}",
        f"{last.accuracy:.1%} ({100 * last.low:.1f}–{100 * last.high:.1f}; seeds {seeds})",
        last.accuracy >= wanted,
    )


def lead_aim(split: str, found: ScalingCurve) -> Aim:
    """Say whether one long search beats every other use of its tokens, and from which budget on."""
    leads = [strongest(found, place) for place in range(len(found.points))]
    ahead = [
        point.label
        for point, lead in zip(found.points, leads, strict=True)
        if lead is not None and lead.ahead_low > 0
    ]
    last = leads[-1]
    wanted = f"beats best of N and majority vote of the same model and of shortcuts: {NAMES[split]}"
    if last is None:
        return Aim(wanted, "their completions are too few or too long to compare", False)
    where = f"; ahead of all with {', '.join(ahead)} steps" if ahead else ""
    return Aim(
        wanted,
        f"ahead of the strongest by {100 * last.ahead:.1f} points ({100 * last.ahead_low:.1f}–"
        f"{100 * last.ahead_high:.1f}) with {found.points[-1].label} steps{where}",
        last.ahead_low > 0,
    )


def strongest(found: ScalingCurve, place: int) -> BaselinePoint | None:
    """Return the best other use of the tokens of a point; None if there is none."""
    bought = [point for line in found.baselines if (point := line.points[place]) is not None]
    return min(bought, key=lambda one: one.ahead, default=None)


def cost_aim(out: Path, size: Any) -> Aim:
    """Say whether models and time are as small as they should be."""
    parameters = max(record.parameters for _, _, _, record in records(out, size))
    minutes = out / "minutes.txt"
    return Aim(
        f"at most {PARAMETERS / 1e6:.0f}M parameters and {MINUTES} minutes on two cores",
        f"{parameters / 1e6:.2f}M; {worded_minutes(minutes)}",
        parameters <= PARAMETERS and sum(call_minutes(minutes)) <= MINUTES,
    )


def at(found: ScalingCurve, steps: int) -> ScalingPoint | None:
    """Return the point of a budget."""
    return next((one for one in found.points if one.max_steps == steps), None)


def by_seed(out: Path, split: str, max_steps: int | None, size: Any) -> list[float]:
    """Return the accuracy of each seed under a budget."""
    return [
        mean(one.right for one in load(out, "search", seed, split).samples if one.max_steps == max_steps)
        for seed in range(size.seeds)
    ]


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
    for point in found.points:
        seeds = by_seed(out, split, point.max_steps, size)
        lines.append(
            f"| {point.label} | {point.accuracy:.1%} | {point.low:.1%}–{point.high:.1%} | "
            f"{' '.join(f'{share:.1%}' for share in seeds)} | {point.steps:.1f} | {point.tokens:,.0f} |"
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


@cache
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
