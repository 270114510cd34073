"""What run.py measured, as a page: page.md.

python recipes/gsm8k-smollm/page.py runs/gsm8k [docs/results/gsm8k.md]
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

sys.path[:0] = [str(Path(__file__).resolve().parent), str(Path(__file__).resolve().parents[1])]

from countdown_common import (  # noqa: E402
    accuracy,
    check_split,
    circumstances,
    gain,
    right,
    share,
    signed,
    worded_minutes,
)
from gsm_data import Leaving, known_numbers, leaving, read_rows, sampled_paths  # noqa: E402

if TYPE_CHECKING:
    from steiner.core import Move, Step
    from steiner.evaluate.intervals import Estimate
    from steiner.evaluate.records import SampleResult
    from steiner.evaluate.saved import SavedEvaluation

PATHS, SHORTCUT, UNTOUCHED = "paths", "shortcut", "untouched"
TITLES = {PATHS: "paths with backtracking", SHORTCUT: "shortcut paths", UNTOUCHED: "untouched"}
Known = Mapping[str, frozenset[Fraction]]


def write_page(out: Path) -> str:
    """Write the page; return its text."""
    known = known_numbers(
        row for name in ("solutions", "straight", "test")
        for row in read_rows(out / "files" / f"{name}.jsonl", "ground_truth")
    )  # fmt: skip
    parts = [
        heading(out), verdicts(out), accuracies(out), free(out), backtracks(out, known), example(out),
        training(out),
    ]  # fmt: skip
    text = "\n".join(parts)
    (out / "page.md").write_text(text)
    return text


def heading(out: Path) -> str:
    """Return what was done, where, and what the split is."""
    files = [out / PATHS / "steps.json", out / SHORTCUT / "steps.json", out / UNTOUCHED / "plain.json"]
    return (
        "# Search in words: a model of 135M parameters on GSM8K\n\n"
        f"`python recipes/gsm8k-smollm/run.py`. {circumstances(files)} "
        f"{worded_minutes(out / 'minutes.txt')}.\n\n"
        "One model, fine-tuned with LoRA in two ways with as many tokens: on paths with backtracking, and on "
        "shortcut paths of the same step graphs, beside the model as it was published. One seed; greedy.\n\n"
        "**This is not the usual split of GSM8K, so no figure here compares with published ones.** Only the "
        "questions of its test set have wrong solutions to make dead ends of, so the models are trained on "
        "some of these (and on some of the training set, which have one human solution and no dead end) and "
        "measured on others, drawn by a seed. "
        f"{check_split([out / PATHS / 'data'], [out / 'test'])}\n"
    )


def verdicts(out: Path) -> str:
    """Return what the differences say."""
    limits = limits_of(load(out / PATHS / "steps.json"))
    most, least = limits[-1], limits[0]
    values = {kind: right([under(out, kind, most)]) for kind in (PATHS, SHORTCUT)}
    few = right([under(out, PATHS, least)])
    plain = right([under(out, UNTOUCHED, None)])
    return "\n".join(
        [
            "## What came out\n",
            f"- Paths against the untouched model: {worded(gain(plain, values[PATHS]))}.",
            f"- Shortcuts against the untouched model: {worded(gain(plain, values[SHORTCUT]))}.",
            f"- Paths against shortcuts, {most} steps allowed: "
            f"{worded(gain(values[SHORTCUT], values[PATHS]))}.",
            f"- Paths, {most} steps allowed against {least}: {worded(gain(few, values[PATHS]))}.",
            "",
        ]
    )


def worded(one: Estimate) -> str:
    """Word a difference and whether it shows anything: only an interval that leaves out 0 does."""
    if one.low > 0:
        said = "better"
    elif one.high < 0:
        said = "worse"
    else:
        said = "no difference shown"
    return f"{signed(one)} points, {said}"


def accuracies(out: Path) -> str:
    """Return the accuracies under every limit."""
    stated = under(out, UNTOUCHED, None)
    lines = [
        "## Accuracy\n",
        "Answers are graded by the number that they end with. Step control enforces the "
        "form; what the models do without it is below. Tokens are those of reasoning.\n",
        "| trained on | steps allowed | accuracy (95%) | well-formed | steps | backtracks | repeated steps | "
        "tokens |",
        "|---|--:|--:|--:|--:|--:|--:|--:|",
        f"| {TITLES[UNTOUCHED]}, plain text | – | {share(accuracy(right([stated])))} | – | – | – | – | – |",
    ]
    for kind in (SHORTCUT, PATHS):
        for limit in limits_of(load(out / kind / "steps.json")):
            lines.append(f"| {TITLES[kind]} | {limit} | {figures(under(out, kind, limit))} |")
    lines += [
        "",
        f"Of the untouched model's answers {sum(one.well_formed for one in stated)} of {len(stated)} held a "
        "number.",
    ]
    return "\n".join(lines) + "\n"


def figures(samples: Sequence[SampleResult]) -> str:
    """Return accuracy, well-formed share and means of samples, as cells."""
    count, steps = len(samples), sum(one.steps for one in samples)
    return " | ".join(
        [
            share(accuracy(right([samples]))),
            f"{sum(one.well_formed for one in samples) / count:.0%}",
            f"{steps / count:.1f}",
            f"{sum(one.backtracks for one in samples) / count:.2f}",
            f"{sum(one.repeated_steps for one in samples) / max(1, steps):.0%}",
            f"{sum(one.reasoning_tokens for one in samples) / count:,.0f}",
        ]
    )


def free(out: Path) -> str:
    """Return what the trained models write without step control."""
    lines = [
        "## Without step control\n",
        "The first of the same questions, nothing forced; a completion is cut where its tokens end.\n",
        "| trained on | questions | accuracy (95%) | well-formed | steps | backtracks | repeated steps | "
        "tokens |",
        "|---|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for kind in (SHORTCUT, PATHS):
        samples = load(out / kind / "free.json").samples
        lines.append(f"| {TITLES[kind]} | {len(samples)} | {figures(samples)} |")
    return "\n".join(lines) + "\n"


def backtracks(out: Path, known: Known) -> str:
    """Return how often backtracks leave what was really dead."""
    rows = [("paths of the training", leaving(sampled_paths(out / PATHS / "data", known)))]
    for kind in (SHORTCUT, PATHS):
        most = load(out / kind / "steps.json")
        rows.append((f"written after {TITLES[kind]}", leaving(written(out, most, known))))
    lines = [
        "## Do backtracks leave dead branches?\n",
        "A step counts as dead if it comes to a number (the first after its last `=`, else its last) that "
        "neither the question nor the human solution has. That is a stand-in: another right way may have "
        "numbers of its own, and a known number may be wrong in its place. A model that knows when it is "
        "wrong goes back after dead steps more often than it goes on.\n",
        "| | backtracks | of them from a dead step | proceeds | of them from a dead step |",
        "|---|--:|--:|--:|--:|",
    ]
    for title, found in rows:
        lines.append(
            f"| {title} | {found.backtracks:,} | {part(found.dead_left, found.backtracks)} | "
            f"{found.proceeds:,} | {part(found.dead_kept, found.proceeds)} |"
        )
    lines += ["", knows(rows[-1][1])]
    return "\n".join(lines) + "\n"


def part(some: int, all_of: int) -> str:
    """Word a share with its Wilson interval, a dash of nothing."""
    if not all_of:
        return "–"
    from steiner.evaluate.intervals import Estimate, wilson_interval

    return share(Estimate(some / all_of, *wilson_interval(some, all_of)))


def knows(found: Leaving) -> str:
    """Say whether backtracks follow dead steps more often than proceeds do (Fisher's exact test)."""
    if not found.backtracks or not found.proceeds:
        return "The model of paths never had both kinds of moves, so nothing can be said."
    from scipy.stats import fisher_exact

    table = [
        [found.dead_left, found.backtracks - found.dead_left],
        [found.dead_kept, found.proceeds - found.dead_kept],
    ]
    p = float(fisher_exact(table, alternative="greater").pvalue)
    said = "more often than" if p < 0.05 else "not shown to be more often than"
    return (
        f"After training on paths, backtracks leave a dead step {said} proceeds do (Fisher's exact test, "
        f"one-sided p = {p:.2g}; moves of a completion are taken as independent, which they are not quite)."
    )


def written(
    out: Path, evaluation: SavedEvaluation, known: Known
) -> Iterator[tuple[tuple[Step, ...], tuple[Move, ...], frozenset[Fraction]]]:
    """Yield steps, moves and known numbers of each completion under the largest limit."""
    from steiner.problems.source import read_problems
    from steiner.store import RunDir

    with RunDir(out / "test", read_only=True) as run:
        keys = {problem.id: problem.question_key for problem in read_problems(run)}
    for path in evaluation.written:
        yield path.steps, path.moves, known[keys[path.problem_id]]


def example(out: Path) -> str:
    """Return the first completion with a backtrack of the model of paths; not chosen for being right."""
    evaluation = load(out / PATHS / "steps.json")
    asked = {one.problem_id: one for one in evaluation.questions}
    last = {one.problem_id: one for one in under(out, PATHS, limits_of(evaluation)[-1])}
    path = next((one for one in evaluation.written if "backtrack" in one.moves), None)
    if path is None:
        return "## An example\n\nNo completion has a backtrack.\n"
    question, sample = asked[path.problem_id], last[path.problem_id]
    lines = [f"    {line}" for line in question.prompt.splitlines()]
    for step, move in zip(path.steps, (*path.moves, "end"), strict=False):
        said = " | ".join((step.name, step.thought, step.summary, step.reflection))
        lines.append(f"    - {' '.join(said.split())} [{move}]")
    lines.append(f"    {' '.join(sample.answer.split())} ({'right' if sample.right else 'wrong'})")
    opening = f"The first completion with a backtrack; the right answer is {question.reference}.\n"
    return "\n".join(["## An example\n", opening, *lines]) + "\n"


def training(out: Path) -> str:
    """Return what was trained on and what it took."""
    from steiner.dataset.read import load_statistics
    from steiner.train.stage import TrainingRecord

    lines = [
        "## Training\n",
        "| trained on | questions | paths | steps | backtracks | tokens | CPU seconds | last loss |",
        "|---|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for kind in (SHORTCUT, PATHS):
        record = TrainingRecord.model_validate_json((out / kind / "sft" / "training.json").read_bytes())
        data = load_statistics(out / kind / "data" / "dataset").splits["train"]
        loss = record.curve[-1].values.get("loss") if record.curve else None
        lines.append(
            f"| {TITLES[kind]} | {data.questions:,} | {data.samples:,} | {data.steps.mean:.1f} | "
            f"{data.backtracks.mean:.2f} | {record.tokens:,} | {record.cpu_seconds:,.0f} | "
            f"{'–' if loss is None else f'{loss:.3f}'} |"
        )
    lines += [
        "",
        "Questions, paths and means are those at hand; the tokens are drawn from them, longer paths are cut. "
        "Steps from which the right answer is out of reach carry no loss.",
    ]
    return "\n".join(lines) + "\n"


def load(path: Path) -> SavedEvaluation:
    """Return one evaluation."""
    from steiner.evaluate import saved

    return saved.load(path)


def limits_of(evaluation: SavedEvaluation) -> list[int]:
    """Return the step limits of an evaluation, ascending."""
    return [point.max_steps for point in evaluation.curve if point.max_steps is not None]


def under(out: Path, kind: str, limit: int | None) -> list[SampleResult]:
    """Return a model's samples under one limit of steps (None: without steps) in the order of the ids."""
    path = out / kind / ("plain.json" if limit is None else "steps.json")
    chosen = [one for one in load(path).samples if one.max_steps == limit]
    return sorted(chosen, key=lambda one: one.problem_id)


def main(arguments: Sequence[str]) -> None:
    """Write the page anew from a finished run, and copy it where asked."""
    out = Path(arguments[0])
    write_page(out)
    if len(arguments) > 1:
        shutil.copy(out / "page.md", arguments[1])


if __name__ == "__main__":
    main(sys.argv[1:])
