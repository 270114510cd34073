"""`steiner grammar`: the grammar of a completion for engines that take grammars."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from steiner.core import InputError

if TYPE_CHECKING:
    from steiner.protocol import ControlIds

app = typer.Typer(add_completion=False)

EXAMPLES = """
\b
Examples:
  steiner grammar --format gbnf --min-steps 2 --max-steps 8 > steps.gbnf
  steiner grammar --format lark --max-steps 20
  steiner grammar --format structural --model runs/quickstart/rl/model > steps.json
"""


@app.command(epilog=EXAMPLES)
def grammar(
    form: Annotated[
        str,
        typer.Option(
            "--format",
            help="gbnf (llama.cpp), ebnf (the same over characters), lark (llguidance), "
            "structural (xgrammar; needs --model).",
        ),
    ] = "gbnf",
    min_steps: Annotated[int, typer.Option(help="Fewest steps before an answer.")] = 1,
    max_steps: Annotated[int | None, typer.Option(help="Most steps.")] = None,
    model: Annotated[
        str | None,
        typer.Option("--model", "-m", help="Model folder or hub id, whose ids the structural form holds."),
    ] = None,
) -> None:
    """Print the grammar of a completion, with the least and most steps in it.

    For engines other than those with an adapter of ours. Limits of tokens are not part of a grammar.
    """
    from pydantic import ValidationError

    from steiner.decode.export import GrammarForm, export_grammar

    if form not in list(GrammarForm):
        raise InputError(f"unknown format '{form}'; choose from {', '.join(GrammarForm)}")
    if model is not None and form != GrammarForm.STRUCTURAL:
        raise InputError(
            f"--model is for the structural format; {form} names tokens and fits every tokenizer"
        )
    try:
        text = export_grammar(GrammarForm(form), min_steps, max_steps, ids_of(model) if model else None)
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
    typer.echo(text.rstrip("\n"))


def ids_of(model: str) -> ControlIds:
    """Return the ids of a model's tokenizer.

    Raises:
        InputError: if its tokenizer cannot be loaded or lacks the control tokens.
    """
    from transformers import AutoTokenizer

    from steiner.decode.shipped import find_model
    from steiner.protocol import ControlIds

    try:
        tokenizer = AutoTokenizer.from_pretrained(find_model(model))
    except (OSError, ValueError) as error:
        reason = str(error).strip().split("\n")[0]
        raise InputError(f"the tokenizer of '{model}' cannot be loaded: {reason}") from error
    return ControlIds.from_tokenizer(tokenizer)
