"""`steiner problems`: where every run begins."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from steiner.problems.source import ProblemSource, ProblemsSummary

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    help="Generate or load problems into a run directory.",
)

Run = Annotated[Path, typer.Option(help="Run directory; created if missing.")]
Exclude = Annotated[
    Path | None, typer.Option(help="Run whose questions must not occur, such as the training run.")
]
Force = Annotated[
    bool, typer.Option("--force", help="Discard problems made with other settings, and make them anew.")
]
Seed = Annotated[int, typer.Option(help="The same seed gives the same problems.")]
Count = Annotated[int, typer.Option(min=1, help="How many problems.")]
QuestionColumn = Annotated[str | None, typer.Option(help="Column with the question. Default: question.")]
AnswerColumn = Annotated[str | None, typer.Option(help="Column with the answer. Default: answer.")]
AnswerForm = Annotated[
    str | None,
    typer.Option(
        help="What the answer column holds: text; hashes (the answer follows ####); boxed (it stands in "
        "\\boxed{}); letter or index (of the right option)."
    ),
]
ChoicesColumn = Annotated[
    list[str] | None,
    typer.Option(help="Column with the list of options, or, given several times, one column per option."),
]
LanguageColumn = Annotated[str | None, typer.Option(help="Column with the language (en, zh, …).")]
Language = Annotated[str | None, typer.Option(help="Language of all questions. Default: en.")]
Grading = Annotated[
    str | None,
    typer.Option(help="exact, numeric, choice or math. Default: by the look of each answer."),
]
Limit = Annotated[int | None, typer.Option(min=1, help="Keep the first so many problems.")]
SkipBad = Annotated[
    bool,
    typer.Option("--skip-bad", help="Count and leave out rows that cannot be used, instead of stopping."),
]
PresetName = Annotated[
    str | None,
    typer.Option(
        help="A known set: gsm8k, math, math500, aime24, mmlu, mmlu-pro, gpqa, mgsm, game24 or "
        "big-bench-mistake."
    ),
]

COUNTDOWN_EXAMPLES = """\b
Examples:
  steiner problems countdown --run runs/first
  steiner problems countdown --run runs/small --numbers 3 --high 9 --max-result 60 --count 500
  steiner problems countdown --run runs/test --split heldout-targets --count 500
  steiner problems countdown --run runs/talk --numbers 3 --high 20 --language mixed --siblings 3
"""
GYM_EXAMPLES = """\b
Examples:
  steiner problems gym zebra_puzzles --run runs/zebra --count 200
  steiner problems gym chain_sum --run runs/sums --set min_terms=2 --set max_terms=4
"""
FILE_EXAMPLES = """\b
Examples:
  steiner problems file gsm8k/train.jsonl --preset gsm8k --run runs/gsm8k
  steiner problems file mmlu.zip --preset mmlu --run runs/mmlu --limit 1000
  steiner problems file my.csv --question-column prompt --answer-column solution --grading numeric
"""
HUB_EXAMPLES = """\b
Examples:
  steiner problems hub openai/gsm8k --split test --run runs/gsm8k-test
  steiner problems hub someone/quiz --question-column q --answer-column a --choices-column options
"""


@app.command(epilog=COUNTDOWN_EXAMPLES)
def countdown(
    run: Run = Path("runs/default"),
    count: Count = 1000,
    numbers: Annotated[int, typer.Option(min=2, max=6, help="Numbers per problem.")] = 4,
    low: Annotated[int, typer.Option(help="Smallest number.")] = 1,
    high: Annotated[int, typer.Option(help="Largest number.")] = 99,
    target_low: Annotated[int, typer.Option(help="Smallest target.")] = 10,
    target_high: Annotated[int, typer.Option(help="Largest target.")] = 100,
    max_result: Annotated[int | None, typer.Option(help="Limit for every intermediate result.")] = None,
    operators: Annotated[str, typer.Option(help="Some of +-*/.")] = "+-*/",
    heldout: Annotated[float, typer.Option(help="Share of targets that training never sees.")] = 0.1,
    split: Annotated[str, typer.Option(help="train, heldout-targets or new-inputs.")] = "train",
    language: Annotated[
        str, typer.Option(help="Of the questions: en, zh, or mixed, by the numbers and the seed.")
    ] = "en",
    chinese_share: Annotated[
        float, typer.Option(help="Share of the number sets whose questions are Chinese, if mixed.")
    ] = 0.5,
    siblings: Annotated[
        int,
        typer.Option(help="After each problem up to so many with the same numbers, for conversations."),
    ] = 0,
    seed: Seed = 0,
    force: Force = False,
) -> None:
    """Generate Countdown problems, by default those of Stream of Search.

    Reach a target from a few numbers with + - * /, every number used once, all results whole and not
    negative. The splits share no problem, whatever the seeds.
    """
    from steiner.core import parse_settings
    from steiner.problems.source import CountdownProblems, countdown_source

    sizes = {
        "count": numbers,
        "low": low,
        "high": high,
        "target_low": target_low,
        "target_high": target_high,
        "max_result": max_result,
        "operators": operators,
        "heldout_target_share": heldout,
        "seed": seed,
        "language": language,
        "chinese_share": chinese_share,
        "siblings": siblings,
    }
    values = {"n": count, "split": split, "countdown": sizes}
    settings = parse_settings(CountdownProblems, values, "steiner problems countdown")
    _write(run, countdown_source(settings), None, force)


@app.command("gym", epilog=GYM_EXAMPLES)
def gym_command(
    name: Annotated[str, typer.Argument(help="Name of a reasoning-gym dataset, for example zebra_puzzles.")],
    run: Run = Path("runs/default"),
    count: Count = 1000,
    seed: Seed = 0,
    start: Annotated[int, typer.Option(min=0, help="Index of the first entry.")] = 0,
    option: Annotated[
        list[str] | None, typer.Option("--set", help="Option of the dataset, as key=value; repeatable.")
    ] = None,
    exclude: Exclude = None,
    force: Force = False,
) -> None:
    """Generate problems of one reasoning-gym dataset, graded by its own scorer."""
    from steiner.core import parse_settings
    from steiner.problems import gym
    from steiner.problems.source import GymProblems, gym_source

    values = {
        "name": gym.check_name(name),
        "n": count,
        "seed": seed,
        "start": start,
        "config": _key_values(option or []),
    }
    settings = parse_settings(GymProblems, values, "steiner problems gym")
    _write(run, gym_source(settings), exclude, force)


@app.command(epilog=FILE_EXAMPLES)
def file(
    paths: Annotated[list[Path], typer.Argument(help="JSONL, JSON, CSV, TSV, Parquet; also .gz and .zip.")],
    run: Run = Path("runs/default"),
    preset: PresetName = None,
    question_column: QuestionColumn = None,
    answer_column: AnswerColumn = None,
    answer_form: AnswerForm = None,
    choices_column: ChoicesColumn = None,
    language_column: LanguageColumn = None,
    language: Language = None,
    grading: Grading = None,
    member: Annotated[str | None, typer.Option(help="Which files of an archive, with * and ?.")] = None,
    password: Annotated[str | None, typer.Option(help="Password of a ZIP archive.")] = None,
    limit: Limit = None,
    skip_bad: SkipBad = False,
    seed: Annotated[int, typer.Option(help="Decides the order of options where a set has none.")] = 0,
    exclude: Exclude = None,
    force: Force = False,
) -> None:
    """Load problems from files: a known set by its preset, any other by the names of its columns."""
    from steiner.core import parse_settings
    from steiner.problems.files import FileSettings
    from steiner.problems.source import file_source

    values = {
        "files": [path.name for path in paths],
        "preset": preset,
        "question_column": question_column,
        "answer_column": answer_column,
        "answer_form": answer_form,
        "choices_columns": choices_column,
        "language_column": language_column,
        "language": language,
        "grading": grading,
        "member": member,
        "limit": limit,
        "skip_bad": skip_bad,
        "seed": seed,
    }
    given = {name: value for name, value in values.items() if value is not None}
    settings = parse_settings(FileSettings, given, "steiner problems file")
    _write(run, file_source(paths, settings, password=password), exclude, force)


@app.command(epilog=HUB_EXAMPLES)
def hub(
    dataset: Annotated[str, typer.Argument(help="Hub id such as openai/gsm8k, or a local dataset folder.")],
    run: Run = Path("runs/default"),
    config: Annotated[str | None, typer.Option(help="Configuration of the dataset.")] = None,
    split: Annotated[str | None, typer.Option(help="Split. Default: train, or that of the preset.")] = None,
    revision: Annotated[str | None, typer.Option(help="Branch, tag or commit of the dataset.")] = None,
    preset: PresetName = None,
    question_column: QuestionColumn = None,
    answer_column: AnswerColumn = None,
    answer_form: AnswerForm = None,
    choices_column: ChoicesColumn = None,
    language_column: LanguageColumn = None,
    language: Language = None,
    grading: Grading = None,
    limit: Limit = None,
    skip_bad: SkipBad = False,
    seed: Annotated[int, typer.Option(help="Decides the order of options where a set has none.")] = 0,
    exclude: Exclude = None,
    force: Force = False,
) -> None:
    """Load problems from a dataset on the Hugging Face hub. Known sets need nothing but their id."""
    from steiner.core import parse_settings
    from steiner.problems.files import HubSettings, hub_settings
    from steiner.problems.source import hub_source

    values = {
        "config": config,
        "split": split,
        "revision": revision,
        "preset": preset,
        "question_column": question_column,
        "answer_column": answer_column,
        "answer_form": answer_form,
        "choices_columns": choices_column,
        "language_column": language_column,
        "language": language,
        "grading": grading,
        "limit": limit,
        "skip_bad": skip_bad,
        "seed": seed,
    }
    settings = parse_settings(HubSettings, hub_settings(dataset, values), "steiner problems hub")
    _write(run, hub_source(settings), exclude, force)


def _write(run: Path, source: ProblemSource, exclude: Path | None, force: bool) -> None:
    from contextlib import ExitStack

    from steiner.cli.ui import RichProgress
    from steiner.problems.source import write_problems
    from steiner.store import RunDir

    with ExitStack() as stack:
        # The other run first: nothing is created where it is missing.
        other = stack.enter_context(RunDir(exclude, read_only=True)) if exclude else None
        held = stack.enter_context(RunDir(run))
        summary = write_problems(held, source, exclude=other, force=force, progress=RichProgress())
    _print(run, summary)


def _key_values(options: list[str]) -> dict[str, str | int | float | bool]:
    """Read `key=value` pairs; values that look like JSON numbers, true or false are taken as such."""
    import json

    from steiner.core import InputError

    pairs: dict[str, str | int | float | bool] = {}
    for option in options:
        key, sign, text = option.partition("=")
        if not sign:
            raise InputError(f"--set {option}: give it as key=value.")
        try:
            value = json.loads(text)
        except ValueError:
            value = text
        pairs[key] = value if isinstance(value, (int, float, bool)) else text
    return pairs


def _print(run: Path, summary: ProblemsSummary) -> None:
    from rich.table import Table

    from steiner.cli.ui import out

    table = Table(title=f"Problems in {run}", show_header=False)
    table.add_column()
    table.add_column(justify="right")
    table.add_row("problems", f"{summary.count:,}")
    for title, counts in (
        ("graded by", summary.gradings),
        ("task", summary.tasks),
        ("language", summary.languages),
        ("left out", summary.dropped),
    ):
        for name, count in counts.items():
            table.add_row(f"  {title}: {name}", f"{count:,}")
    for name, count in (
        ("left out: repeated", summary.duplicates),
        ("left out: same question, other answer", summary.conflicts),
        ("left out: in the excluded run", summary.excluded),
    ):
        if count:
            table.add_row(f"  {name}", f"{count:,}")
    out.print(table)
