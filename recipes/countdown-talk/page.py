"""What run.py measured, as a page: page.md.

python recipes/countdown-talk/page.py runs/countdown-talk [docs/results/countdown-talk.md]
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

from countdown_common import (  # noqa: E402
    Aim,
    accuracy,
    aims_table,
    by_seed,
    check_split,
    circumstances,
    gain,
    right,
    share,
    signed,
    worded_minutes,
)
from talk import (  # noqa: E402
    NEW_INPUTS,
    SIZES,
    SPLITS,
    STEPS,
    TRAINED_STEPS,
    UNSEEN,
    Measure,
    Size,
    Spoken,
    follow_ups,
    measures,
    plain,
    spoken,
    systems,
    trained_systems,
    warm,
)

if TYPE_CHECKING:
    from countdown_common import Values

    from steiner.evaluate.intervals import Estimate
    from steiner.evaluate.records import SampleResult
    from steiner.train.stage import TrainingRecord

NAMES = {"new-inputs": "new number sets", "heldout-targets": "new targets"}
LANGUAGES = {"en": "English", "zh": "Chinese"}
IN_LANGUAGE = 0.99
"""Share of steps that are to be in the language of the question."""


class Answered(NamedTuple):
    """One completion of one problem."""

    sample: SampleResult
    language: str
    """Of the question."""
    spoken: Spoken


class Row(NamedTuple):
    """One line of a table: one or several measures of all seeds."""

    title: str
    values: Values
    """Shape (S, P): seeds × problems, the share of the measures in which the answer is right."""
    answered: tuple[Answered, ...]

    @property
    def well_formed(self) -> int:
        """Return how many completions follow the grammar to their end."""
        return sum(one.sample.well_formed for one in self.answered)

    @property
    def spoken(self) -> Spoken:
        """Return what language the steps are in."""
        return sum((one.spoken for one in self.answered), Spoken())

    @property
    def steps(self) -> float:
        """Return the mean number of steps."""
        return sum(one.sample.steps for one in self.answered) / len(self.answered)


class Table(NamedTuple):
    """Rows that are held against one of them."""

    title: str
    said: str
    reference: Row
    rows: tuple[Row, ...]
    """Without the reference."""


def write_page(out: Path, size: Size) -> str:
    """Write the page; return its text."""
    alone = [row(out, size, NAMES[split], [plain(split)]) for split in SPLITS]
    conversations = [follow_up_table(out, size, turns) for turns in size.turns]
    prompts = system_table(out, size)
    everything = row(out, size, "everything", measures(size, trained_systems()))
    aims = [
        *follow_up_aims(conversations),
        grammar_aim(everything),
        *language_aims(alone),
        system_aim(prompts),
    ]
    lines = [heading(out, size), *aims_table(aims), *language_table(alone)]
    for table in (temperature_table(out, size), prompts, *conversations):
        lines += comparison_table(table)
    text = "\n".join([*lines, *training(out, size)]) + "\n"
    (out / "page.md").write_text(text)
    return text


def heading(out: Path, size: Size) -> str:
    """Return what was done, where and how long it took."""
    files = [
        out / f"seed-{seed}" / f"{one.name}.json"
        for seed in range(size.seeds)
        for one in measures(size, trained_systems())
    ]
    name, _ = size_of(out)
    shorter = "" if name == "full" else f" --size {name}"
    (parameters,) = {record.parameters for _, _, record in records(out, size)}
    return (
        "# One small model: two languages, several turns, any system prompt, any temperature\n\n"
        f"`python recipes/countdown-talk/run.py{shorter} --seeds {size.seeds}`. {circumstances(files)} "
        f"{worded_minutes(out / 'minutes.txt')}, seeds 0 to {size.seeds - 1}.\n\n"
        "Countdown with three numbers from 1 to 20, targets from 1 and results to 30. Each seed's model has "
        f"{parameters:,} parameters and saw at most {TRAINED_STEPS} steps of a last turn. It is measured "
        f"with {STEPS} steps allowed, under strict step control, greedily and on {NAMES[NEW_INPUTS]} unless "
        "said. "
        "Intervals are 95% bootstrap intervals over problems, all seeds of a problem together; differences "
        f"are paired by problem. {check_split([out / 'data'], [out / split for split in SPLITS])}"
    )


@cache
def read(path: Path) -> tuple[Answered, ...]:
    """Read what a model wrote, in the order of the problems' ids.

    Raises:
        InputError: if the file holds other questions than Countdown's.
    """
    from steiner.core import InputError
    from steiner.evaluate.saved import load
    from steiner.problems.countdown_words import parse_question

    found = load(path)
    questions = {one.problem_id: parse_question(one.prompt) for one in found.questions}
    answered = []
    for sample, written in zip(found.samples, found.written, strict=True):
        question = questions[sample.problem_id]
        if question is None:
            raise InputError(f"{path} holds questions that are not Countdown's: remove it and run again.")
        counts = spoken(written.steps, question.language)
        answered.append(Answered(sample, question.language, counts))
    return tuple(sorted(answered, key=lambda one: one.sample.problem_id))


def row(out: Path, size: Size, title: str, chosen: Sequence[Measure], language: str | None = None) -> Row:
    """Return a line of some measures, of the questions in one language or all.

    Measures of several splits have no values in common: only what is counted over all means something.
    """
    import numpy as np

    per_seed: list[list[list[Answered]]] = []
    for seed in range(size.seeds):
        paths = [out / f"seed-{seed}" / f"{one.name}.json" for one in chosen]
        per_seed.append([[a for a in read(path) if language in (None, a.language)] for path in paths])
    if len({one.split for one in chosen}) == 1:
        seeds = [right([[a.sample for a in answers] for answers in found]) for found in per_seed]
        values = np.array([one.mean(axis=0) for one in seeds])
    else:
        values = np.empty((size.seeds, 0))
    answered = tuple(a for found in per_seed for answers in found for a in answers)
    return Row(title, values, answered)


def temperature_table(out: Path, size: Size) -> Table:
    """Return the table of temperatures."""
    return Table(
        "Temperatures",
        "Drawn once a problem, from all tokens that the grammar allows.",
        row(out, size, "0", [plain(NEW_INPUTS)]),
        tuple(row(out, size, f"{one.temperature:g}", [one]) for one in warm()),
    )


def system_table(out: Path, size: Size) -> Table:
    """Return the table of system prompts; its first row is all unseen ones, the second all trained ones."""
    trained, unseen = systems("trained", trained_systems(), size), systems("unseen", UNSEEN, size)
    return Table(
        "System prompts",
        "Either language of system prompt before questions of both.",
        row(out, size, "none", [plain(NEW_INPUTS)]),
        (
            row(out, size, "**all unseen**", unseen),
            row(out, size, "**all trained**", trained),
            *(row(out, size, f"unseen: {one.system}", [one]) for one in unseen),
            *(row(out, size, f"trained: {one.system}", [one]) for one in trained),
        ),
    )


def follow_up_table(out: Path, size: Size, turns: int) -> Table:
    """Return the table of one turn of a conversation; its second row is that with summaries."""
    return Table(
        f"Follow-ups: turn {turns}",
        "Another target from the same numbers, asked in short (`And 24?`), after answers of the model's own, "
        "right or wrong; by what those carry of their reasoning.",
        row(out, size, "asked alone, in full", [plain(NEW_INPUTS)]),
        tuple(row(out, size, str(one.history), [one]) for one in follow_ups(turns)),
    )


def change(before: Row, after: Row) -> Estimate:
    """Return accuracy after less accuracy before, with its interval."""
    return gain(before.values, after.values)


def follow_up_aims(tables: Sequence[Table]) -> list[Aim]:
    """Say whether follow-ups with summaries are answered as well as questions alone."""
    aims = []
    for table in tables:
        found = change(table.reference, table.rows[1])
        name = table.title.split(": ")[1]
        aims.append(
            Aim(f"no drop beyond the interval with summaries, {name}", signed(found), found.high >= 0)
        )
    return aims


def grammar_aim(everything: Row) -> Aim:
    """Say whether all completions of all tables are well-formed."""
    all_of = len(everything.answered)
    found = f"{everything.well_formed:,} of {all_of:,} completions of all tables"
    return Aim("100% well-formed under strict control", found, everything.well_formed == all_of)


def language_aims(alone: Sequence[Row]) -> list[Aim]:
    """Say for each language whether steps are in it, on all splits together."""
    aims = []
    for language, name in LANGUAGES.items():
        counts = sum((a.spoken for one in alone for a in one.answered if a.language == language), Spoken())
        holds = counts.share is not None and counts.share >= IN_LANGUAGE
        found = f"{percent(counts.share)} of {counts.steps:,}"
        aims.append(Aim(f"at least 99% of steps in the question's language, {name}", found, holds))
    return aims


def system_aim(table: Table) -> Aim:
    """Say whether unseen system prompts do as well as trained ones."""
    unseen, trained = table.rows[:2]
    found = change(trained, unseen)
    wanted = "no drop beyond the interval from trained to unseen system prompts"
    return Aim(wanted, signed(found), found.high >= 0)


def language_table(alone: Sequence[Row]) -> list[str]:
    """Return the table of languages, one row for each split and language."""
    lines = [
        "\n## Languages\n",
        "A step is in a language if its name, summary and reflection are, word for word, what Countdown says "
        "in it; by script, if most words of each field are in that language's script (as `steiner evaluate` "
        "counts).",
        "",
        "| problems | questions | n | accuracy | by seed | steps in the language | by script | of |",
        "|---|---|--:|---|---|--:|--:|--:|",
    ]
    for one in alone:
        for language, name in LANGUAGES.items():
            if not any(answer.language == language for answer in one.answered):
                continue
            own = of_language(one, language)
            counts = own.spoken
            script = counts.by_script / counts.steps if counts.steps else None
            lines.append(
                f"| {one.title} | {name} | {own.values.shape[1]:,} | {share(accuracy(own.values))} | "
                f"{by_seed(own.values)} | {percent(counts.share)} | {percent(script)} | {counts.steps:,} |"
            )
    return lines


def of_language(one: Row, language: str) -> Row:
    """Return a row of a single measure with the questions of one language alone."""
    problems = one.values.shape[1]
    kept = [place for place, answer in enumerate(one.answered[:problems]) if answer.language == language]
    answered = tuple(answer for answer in one.answered if answer.language == language)
    return Row(one.title, one.values[:, kept], answered)


def comparison_table(table: Table) -> list[str]:
    """Return rows held against their reference, as Markdown."""
    lines = [
        f"\n## {table.title}\n",
        table.said,
        "",
        "| | n | accuracy | by seed | difference in points | well-formed | steps in language | mean steps |",
        "|---|--:|---|---|---|--:|--:|--:|",
    ]
    for one in (table.reference, *table.rows):
        difference = "–" if one is table.reference else signed(change(table.reference, one))
        lines.append(
            f"| {one.title} | {one.values.shape[1]:,} | {share(accuracy(one.values))} | "
            f"{by_seed(one.values)} | {difference} | {one.well_formed:,} of {len(one.answered):,} | "
            f"{percent(one.spoken.share)} | {one.steps:.1f} |"
        )
    return lines


def percent(value: float | None) -> str:
    """Word a share with two decimals, cut off, so that 100% is all of them; `–` for None."""
    return "–" if value is None else f"{math.floor(value * 10_000 + 1e-6) / 100:.2f}%"


def training(out: Path, size: Size) -> list[str]:
    """Return what each training took."""
    lines = [
        "\n## Training\n",
        "| seed | stage | tokens | CPU seconds | last loss |",
        "|--:|---|--:|--:|--:|",
    ]
    for seed, stage, record in records(out, size):
        loss = record.curve[-1].values.get("loss") if record.curve else None
        last = "–" if loss is None else f"{loss:.4f}"
        lines.append(f"| {seed} | {stage.upper()} | {record.tokens:,} | {record.cpu_seconds:,.0f} | {last} |")
    return lines


def records(out: Path, size: Size) -> Iterator[tuple[int, str, TrainingRecord]]:
    """Yield seed, stage and record of each training."""
    from steiner.train.stage import TrainingRecord

    for seed in range(size.seeds):
        for stage in ("cpt", "sft"):
            path = out / f"seed-{seed}" / stage / "training.json"
            yield seed, stage, TrainingRecord.model_validate_json(path.read_bytes())


def size_of(out: Path) -> tuple[str, int]:
    """Return the size that a run was last made with, and how many seeds."""
    name, seeds = (out / "size.txt").read_text().split()
    return name, int(seeds)


def main(arguments: Sequence[str]) -> None:
    """Write the page anew from a finished run, and copy it where asked."""
    out = Path(arguments[0])
    name, seeds = size_of(out)
    text = write_page(out, SIZES[name]._replace(seeds=seeds))
    if len(arguments) > 1:
        Path(arguments[1]).write_text(text)


if __name__ == "__main__":
    main(sys.argv[1:])
