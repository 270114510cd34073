"""Entry point of the `steiner` command.

Command modules are imported only when they run, so that `steiner --help` stays light. Each has a module-level
`app`, a `typer.Typer` with one command or, for `steiner train`, several.
"""

from __future__ import annotations

import importlib
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

COMMANDS: dict[str, tuple[str, str]] = {
    "quickstart": ("steiner.cli.quickstart", "Run the whole pipe on small Countdown problems, in minutes."),
    "problems": ("steiner.cli.problems", "Generate or load problems into a run directory."),
    "synthesize": ("steiner.cli.synthesize", "Let a teacher write reasoning traces for a run's problems."),
    "import": ("steiner.cli.import_traces", "Import existing reasoning traces into a run directory."),
    "graph": ("steiner.cli.graph", "Build one step graph per question from a run's traces."),
    "sample": ("steiner.cli.sample", "Sample reasoning paths with backtracking from a run's graphs."),
    "tokenizer": ("steiner.cli.tokenizer", "Build a small tokenizer for a model trained from scratch."),
    "dataset": ("steiner.cli.dataset", "Tokenise a run's paths into Parquet for training."),
    "plan": ("steiner.cli.plan", "Say what a training will take: memory, hours, cost."),
    "train": ("steiner.cli.train", "Train a causal language model: cpt, sft or rl."),
    "generate": ("steiner.cli.generate", "Answer questions with a trained model under step control."),
    "models": ("steiner.cli.models", "List the models that come with steiner, by name."),
    "chat": ("steiner.cli.chat", "Talk to a model, steps shown as they come."),
    "serve": ("steiner.cli.serve", "Serve a model to OpenAI clients, steps shown and bounded."),
    "grammar": ("steiner.cli.grammar", "Print the grammar of a completion for other engines."),
    "eval": ("steiner.cli.eval", "Measure a model or an endpoint on benchmarks."),
    "evaluate": ("steiner.cli.evaluate", "Measure a model: accuracy against allowed steps."),
    "compare": ("steiner.cli.compare", "Compare two evaluations question by question."),
    "curve": ("steiner.cli.curve", "Say if accuracy rises, falls or has a hump with more thinking."),
    "report": ("steiner.cli.report", "Write an evaluation as one page, with a model-card section."),
    "probe": ("steiner.cli.probe", "Say if an endpoint works serially or in parallel."),
}
"""Name → (module, one line of help), in the order of the pipe."""


class LazyGroup(TyperGroup):
    """Lists its commands from `COMMANDS` and imports the one that is to run.

    Help, suggestions for misspelt names and completion read the listed commands, which know their name and
    help and nothing else; only resolving a command, the step before running it, loads its module.
    """

    def __init__(self, **attributes: Any) -> None:
        """Take what typer hands to a group."""
        super().__init__(**attributes)
        for name, (_, help_line) in COMMANDS.items():
            self.add_command(TyperCommand(name, help=help_line))

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        """Return name, command and remaining arguments, with the command's module imported."""
        name, listed, rest = super().resolve_command(ctx, args)
        return name, listed if name is None else load_command(name), rest

    def invoke(self, ctx: Any) -> Any:
        """Run; what a user can put right becomes one paragraph and an exit code."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            typer.echo("\nStopped. Finished work is kept; run the same command again to go on.", err=True)
            raise typer.Exit(130) from None
        except Exception as error:
            # Imported late: help does without it, and pydantic takes its time.
            from steiner.core.errors import SteinerError

            if not isinstance(error, SteinerError):
                raise
            typer.echo(f"error: {error}", err=True)
            raise typer.Exit(error.exit_code) from error


def load_command(name: str) -> Any:
    """Import the module of one of `COMMANDS` and return its command, with its help as plain text."""
    command = typer.main.get_command(importlib.import_module(COMMANDS[name][0]).app)
    command.name = name
    for part in (command, *getattr(command, "commands", {}).values()):
        part.rich_markup_mode = None
    return command


app = typer.Typer(
    cls=LazyGroup,
    help=(
        "Language models that search while they write.\n\n"
        "Start with:  steiner quickstart\n\n"
        "Every command has --help with examples, and goes on where it stopped when run again."
    ),
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # rich takes longer to import than all the rest and cuts long option names
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback(invoke_without_command=True)
def _root(
    version: bool = typer.Option(False, "--version", help="Print the version and exit."),
) -> None:
    if version:
        from steiner import __version__

        typer.echo(f"steiner {__version__}")
        raise typer.Exit


def main() -> None:
    """Run the command line."""
    app()


if __name__ == "__main__":
    main()
