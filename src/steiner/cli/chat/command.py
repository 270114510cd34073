"""The command itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from steiner.models import DEFAULT_MODEL

if TYPE_CHECKING:
    from steiner.cli.chat.exchange import Answerer

app = typer.Typer(add_completion=False)

EXAMPLES = """\b
Examples:
  steiner chat
  steiner chat runs/quickstart/rl/model
  steiner chat MODEL --min-steps 2 --max-steps 8 --temperature 0.7 --history keep
  steiner chat --base-url http://127.0.0.1:8000/v1
"""


@app.command(epilog=EXAMPLES)
def chat(
    model: Annotated[
        str,
        typer.Argument(
            help="Folder, hub id, or name in `steiner models`; with --base-url its name there. "
            f"Default: {DEFAULT_MODEL}, or the server's.",
        ),
    ] = "",
    base_url: Annotated[str, typer.Option(help="Talk to a running server instead of loading a model.")] = "",
    api_key: Annotated[
        str, typer.Option(envvar="STEINER_API_KEY", help="Key of that server; better in the environment.")
    ] = "",
    min_steps: Annotated[int, typer.Option(help="Fewest steps before an answer.")] = 1,
    max_steps: Annotated[int | None, typer.Option(help="Most steps.")] = None,
    max_reasoning_tokens: Annotated[int | None, typer.Option(help="Most tokens of reasoning.")] = None,
    temperature: Annotated[float, typer.Option(min=0, max=2, help="0 takes the most likely token.")] = 0.0,
    seed: Annotated[int | None, typer.Option(help="Makes drawing repeatable.")] = None,
    max_answer_tokens: Annotated[int, typer.Option(min=1, help="Most tokens of an answer.")] = 512,
    system: Annotated[str, typer.Option(help="System prompt.")] = "",
    language: Annotated[str, typer.Option(help="To reason in: en, zh, de, es, fr or ja.")] = "",
    history: Annotated[
        str, typer.Option(help="What earlier answers keep of their thoughts: keep, summaries or drop.")
    ] = "summaries",
) -> None:
    """Talk to a model; its steps are shown as they come.

    The first step is marked ●, a step that goes on ↓, a step after a backtrack ↩. Lines that begin with / are
    commands, and /help lists them: limits, temperature, system prompt, what earlier turns keep, saving.
    Ctrl-C stops an answer, Ctrl-D leaves.
    """
    from steiner.cli.chat.loop import Chat
    from steiner.cli.chat.options import ChatOptions, change
    from steiner.cli.generate import make_budget
    from steiner.cli.ui import out

    options = ChatOptions(
        budget=make_budget(
            min_steps=min_steps, max_steps=max_steps, max_reasoning_tokens=max_reasoning_tokens
        ),
        temperature=temperature,
        seed=seed,
        max_answer_tokens=max_answer_tokens,
        system=system,
    )
    options = change(change(options, "language", language), "history", history)
    Chat(_answerer(model, base_url, api_key), options, out).run()


def _answerer(model: str, base_url: str, api_key: str) -> Answerer:
    if base_url:
        from steiner.cli.chat.server import Server

        return Server(base_url, api_key, model)
    from steiner.cli.chat.local import LocalModel
    from steiner.cli.common import named_model

    return LocalModel(named_model(model, "steiner chat MODEL"))
