"""`steiner generate`: ask a trained model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from steiner.core import InputError, SoftEnd, StepBudget

if TYPE_CHECKING:
    from steiner.decode.engine import Thought

app = typer.Typer(add_completion=False)

MOVE_STYLES = {None: "bold cyan", "proceed": "bold green", "backtrack": "bold yellow"}
MOVE_SIGNS = {None: "●", "proceed": "↓", "backtrack": "↩"}
EXAMPLES = """
\b
Examples:
  steiner generate --model runs/quickstart/rl/model "Numbers 3 5 7, target 22"
  steiner generate --model MODEL --min-steps 4 --max-steps 12 --temperature 0.7 --seed 1 "…"
  steiner generate --model MODEL --soft-end=-4,6,12 --backtrack-bias 1 --ban-repeats "…"
  steiner generate --model MODEL --file questions.txt --json > answers.jsonl
"""


@app.command(epilog=EXAMPLES)
def generate(
    model: Annotated[str, typer.Option("--model", "-m", help="Model folder or hub id.")],
    questions: Annotated[
        list[str] | None, typer.Argument(help="What to ask; each is asked by itself.")
    ] = None,
    file: Annotated[Path | None, typer.Option(help="Text file with one question a line.")] = None,
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
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a question.")] = False,
) -> None:
    """Answer questions with a trained model under step control; shows each step and the move before it.

    The first step is marked ●, a step that goes on ↓, a step after a backtrack ↩.
    """
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
    from steiner.decode.control import Mode

    if mode not in list(Mode):
        raise InputError(f"unknown mode '{mode}'; choose from {', '.join(Mode)}")
    if mode != Mode.STRICT and (max_step_tokens or backtrack_bias or ban_repeats or soft_end):
        raise InputError(
            "--max-step-tokens, --backtrack-bias, --ban-repeats and --soft-end work in strict mode only; "
            f"leave them out or use --mode strict instead of {mode}."
        )
    from steiner.cli.ui import RichProgress
    from steiner.decode.engine import LocalEngine
    from steiner.decode.load import load_model

    network, tokenizer = load_model(model)
    engine = LocalEngine(
        network,
        tokenizer,
        mode=Mode(mode),
        temperature=temperature,
        seed=seed,
        system_prompt=system,
        max_answer_tokens=max_answer_tokens,
        batch_size=batch_size,
    )
    progress = RichProgress()
    progress.start("Thinking", len(asked))
    try:
        thoughts = engine.generate(asked, budget, progress)
    finally:
        progress.finish()
    for question, thought in zip(asked, thoughts, strict=True):
        (print_json if as_json else print_thought)(question, thought)


def read_questions(given: list[str], file: Path | None) -> list[str]:
    """Return the questions of the command line, then those of the file.

    Raises:
        InputError: if there is none, or the file cannot be read.
    """
    asked = list(given)
    if file is not None:
        try:
            lines = file.read_text(encoding="utf-8-sig").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"the questions in '{file}' cannot be read: {error}") from error
        asked += [line.strip() for line in lines]
    asked = [question for question in asked if question.strip()]
    if not asked:
        raise InputError("there is no question; give one as an argument, or a file with one a line by --file")
    return asked


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

    from steiner.cli.ui import out

    parsed = thought.parsed
    out.print(Text(printable(question), "bold"))
    for move, step in zip((None, *parsed.moves), parsed.steps, strict=True):
        out.print(Text(f"{MOVE_SIGNS[move]} {printable(step.name)}", MOVE_STYLES[move]))
        for text, style in ((step.thought, ""), (step.summary, "dim"), (step.reflection, "italic")):
            if text.strip():
                out.print(Text("  " + printable(text).replace("\n", "\n  "), style))
    out.print(Text.assemble(("Answer: ", "bold"), printable(parsed.answer.strip()) or ("none", "red")))
    backtracks = sum(move == "backtrack" for move in parsed.moves)
    note = f"{len(parsed.steps)} steps, {backtracks} backtracks, {thought.reasoning_tokens} reasoning tokens"
    if parsed.violations:
        note += f"; form broken {len(parsed.violations)}×, first: {printable(parsed.violations[0].message)}"
    out.print(Text(note + "\n", "dim"))


def print_json(question: str, thought: Thought) -> None:
    """Print one line of JSON."""
    import json

    value = {
        "question": question,
        "reasoning_tokens": thought.reasoning_tokens,
        **thought.parsed.model_dump(mode="json"),
    }
    typer.echo(json.dumps(value, ensure_ascii=False))


def printable(text: str) -> str:
    """Replace control characters, so that what a model wrote cannot steer the terminal."""
    return "".join(c if c.isprintable() or c in "\n\t" else "\ufffd" for c in text)
