"""`steiner generate`: ask a trained model, one question or a file of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from steiner.core import InputError, SoftEnd, StepBudget
from steiner.models import DEFAULT_MODEL

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from steiner.cli.answers import AnswerSettings, Asked
    from steiner.decode.engine import Thought

app = typer.Typer(add_completion=False)

EXAMPLES = """
\b
Examples:
  steiner generate "Make 22 from 3 5 7."
  steiner generate --model runs/quickstart/rl/model "Make 22 from 3 5 7."
  steiner generate --model MODEL --min-steps 4 --max-steps 12 --temperature 0.7 --seed 1 "…"
  steiner generate --model MODEL --soft-end=-4,6,12 --backtrack-bias 1 --ban-repeats "…"
  steiner generate --model MODEL --file questions.jsonl --output answers.jsonl
  steiner generate --model MODEL --file questions.txt --json > answers.jsonl
"""


@app.command(epilog=EXAMPLES)
def generate(
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            "-m",
            help=f"Model folder, hub id, or name in `steiner models`. Default: {DEFAULT_MODEL}.",
        ),
    ] = None,
    questions: Annotated[
        list[str] | None, typer.Argument(help="What to ask; each is asked by itself.")
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option(
            help="Text file with one question a line; or .jsonl: objects with question or messages, and "
            "perhaps id and limits."
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(help="File of answers, JSON lines. Stopped, the same command goes on where it was."),
    ] = None,
    min_steps: Annotated[int, typer.Option(help="Fewest steps before an answer.")] = 1,
    max_steps: Annotated[int | None, typer.Option(help="Most steps.")] = None,
    max_reasoning_tokens: Annotated[int | None, typer.Option(help="Most tokens of reasoning.")] = None,
    max_step_tokens: Annotated[int | None, typer.Option(help="Most tokens of a step.")] = None,
    backtrack_bias: Annotated[
        float, typer.Option(help="Makes going back more likely, or less if negative; in logits.")
    ] = 0.0,
    ban_repeats: Annotated[
        bool, typer.Option("--ban-repeats", help="No thought twice, word for word.")
    ] = False,
    soft_end: Annotated[
        str | None,
        typer.Option(
            help="START,STOP,STEPS: logits added to the end of thinking, from START at no step to STOP at "
            "STEPS. With «,exponential» behind it hardly at first and steeply at the end."
        ),
    ] = None,
    max_answer_tokens: Annotated[int, typer.Option(min=1, help="Most tokens of the answer.")] = 256,
    temperature: Annotated[float, typer.Option(help="0 takes the most likely token.")] = 0.0,
    seed: Annotated[int, typer.Option(help="Makes drawing repeatable.")] = 0,
    mode: Annotated[
        str, typer.Option(help="strict (whole grammar), report (three rules) or off.")
    ] = "strict",
    system: Annotated[str, typer.Option(help="System prompt.")] = "",
    batch_size: Annotated[int, typer.Option(min=1, help="Questions at once.")] = 32,
    live: Annotated[
        bool, typer.Option("--live", help="One question after the other, steps shown as they come.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a question.")] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Discard answers in --output made with other settings.")
    ] = False,
) -> None:
    """Answer questions with a trained model under step control; shows each step and the move before it.

    The first step is marked ●, a step that goes on ↓, a step after a backtrack ↩. A single question is shown
    as it is thought.
    """
    from steiner.cli.answers import AnswerSettings, read_questions

    asked = read_questions(questions or [], file)
    budget = make_budget(
        min_steps=min_steps,
        max_steps=max_steps,
        max_reasoning_tokens=max_reasoning_tokens,
        max_step_tokens=max_step_tokens,
        backtrack_bias=backtrack_bias,
        ban_repeats=ban_repeats,
        soft_end=read_soft_end(soft_end),
    )
    budgets = [item.budget(budget) for item in asked]
    check_mode(mode, [budget, *budgets])
    if live and (as_json or output is not None):
        raise InputError("--live shows steps on the terminal; leave out --json and --output, or --live")
    from steiner.cli.common import named_model
    from steiner.decode.load import load_model
    from steiner.decode.shipped import find_model
    from steiner.train.model import model_digest

    model = named_model(model, "steiner generate --model MODEL …")
    network, tokenizer = load_model(model)
    settings = AnswerSettings(
        model=model_digest(find_model(model)),
        budget=budget,
        mode=mode,
        temperature=temperature,
        seed=seed,
        system=system,
        max_answer_tokens=max_answer_tokens,
        batch_size=1 if live else batch_size,
    )
    if output is not None:
        to_file(network, tokenizer, settings, asked, output, force)
    elif live or (len(asked) == 1 and not as_json):
        show_live(network, tokenizer, settings, asked)
    else:
        show_all(network, tokenizer, settings, asked, as_json)


def to_file(
    network: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    settings: AnswerSettings,
    asked: Sequence[Asked],
    output: Path,
    force: bool,
) -> None:
    """Answer into a file, going on where an earlier run was stopped."""
    from steiner.cli.answers import Writer, write_answers
    from steiner.cli.ui import RichProgress, err

    writer = Writer(network, tokenizer, settings)
    new = write_answers(asked, writer, output, force, RichProgress())
    err.print(f"{output}: {len(asked):,} answers, {new:,} of them new.", soft_wrap=True)


def show_live(
    network: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    settings: AnswerSettings,
    asked: Sequence[Asked],
) -> None:
    """Answer one question after the other; each token is shown as it is written."""
    from rich.text import Text

    from steiner.cli.answers import Writer
    from steiner.cli.live import LivePrinter, printable
    from steiner.cli.ui import out

    writer = Writer(network, tokenizer, settings)
    for index, item in enumerate(asked):
        out.print(Text(printable(item.text), "bold"))
        printer = LivePrinter(out, tokenizer)
        try:
            (thought,) = writer.write([item], index, printer.watch)
        finally:
            printer.finish()
        print_end(thought)


def show_all(
    network: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    settings: AnswerSettings,
    asked: Sequence[Asked],
    as_json: bool,
) -> None:
    """Answer in batches, then print everything."""
    import json

    from steiner.cli.answers import Writer, answer_line
    from steiner.cli.ui import RichProgress

    writer, progress = Writer(network, tokenizer, settings), RichProgress()
    progress.start("Thinking", len(asked))
    thoughts: list[Thought] = []
    try:
        for index, batch in enumerate(writer.batches(asked)):
            thoughts += writer.write(batch, index)
            progress.update(len(thoughts))
    finally:
        progress.finish()
    for item, thought in zip(asked, thoughts, strict=True):
        if as_json:
            typer.echo(json.dumps(answer_line(item, thought), ensure_ascii=False))
        else:
            print_thought(item.text, thought)


def check_mode(mode: str, budgets: Sequence[StepBudget]) -> None:
    """Refuse an unknown mode, and limits that a mode does not keep.

    Raises:
        InputError: says which.
    """
    from steiner.decode.control import Mode

    if mode not in list(Mode):
        raise InputError(f"unknown mode '{mode}'; choose from {', '.join(Mode)}")
    strict = (budget.max_step_tokens or budget.backtrack_bias or budget.ban_repeats or budget.soft_end
              for budget in budgets)  # fmt: skip
    if mode != Mode.STRICT and any(strict):
        raise InputError(
            "--max-step-tokens, --backtrack-bias, --ban-repeats and --soft-end work in strict mode only; "
            f"leave them out or use --mode strict instead of {mode}."
        )


def read_soft_end(text: str | None) -> SoftEnd | None:
    """Read START,STOP,STEPS[,exponential].

    Raises:
        InputError: if the text does not say that.
    """
    if text is None:
        return None
    from pydantic import ValidationError

    parts = [part.strip() for part in text.split(",")]
    try:
        if len(parts) not in (3, 4):
            raise ValueError("three or four parts are needed")
        extra = {"ramp": parts[3]} if len(parts) > 3 else {}
        return SoftEnd.model_validate({"start": parts[0], "stop": parts[1], "steps": parts[2], **extra})
    except (ValueError, ValidationError) as error:
        raise InputError(
            f"--soft-end takes START,STOP,STEPS and perhaps ,exponential or ,linear; START and STOP are "
            f"logits between -100 and 100, STEPS a number of steps: for example -4,6,12. Got '{text}'."
        ) from error


def make_budget(**limits: Any) -> StepBudget:
    """Return the limits, fields of `StepBudget`, as a budget.

    Raises:
        InputError: if they contradict each other.
    """
    from pydantic import ValidationError

    try:
        return StepBudget(**limits)
    except ValidationError as error:
        complaints = [
            " ".join(
                (
                    *(f"--{str(part).replace('_', '-')}:" for part in item["loc"]),
                    item["msg"].removeprefix("Value error, "),
                )
            )
            for item in error.errors()
        ]
        raise InputError("; ".join(complaints)) from error


def print_thought(question: str, thought: Thought) -> None:
    """Print the steps, coloured by move, the answer, and what was wrong with the form."""
    from rich.text import Text

    from steiner.cli.live import StepPrinter, events_of, printable
    from steiner.cli.ui import out

    out.print(Text(printable(question), "bold"))
    printer = StepPrinter(out)
    for event in events_of(thought.parsed):
        printer.feed(event)
    printer.finish()
    print_end(thought)


def print_end(thought: Thought) -> None:
    """Print what follows the answer."""
    from rich.text import Text

    from steiner.cli.live import print_note
    from steiner.cli.ui import out

    if not thought.parsed.answer.strip():
        out.print(Text.assemble(("Answer: ", "bold"), ("none", "red")))
    print_note(out, thought.parsed, thought.reasoning_tokens)
