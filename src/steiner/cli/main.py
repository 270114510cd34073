"""Entry point of the `steiner` command.

Command modules are imported only when they run, so that `steiner --help` stays light. Each has a module-level
`app`, a `typer.Typer` with one command or, for `steiner train`, several.
"""

from __future__ import annotations

import importlib
import sys

import click
import typer
from typer.core import TyperGroup

COMMANDS: dict[str, tuple[str, str]] = {
    "quickstart": ("steiner.cli.quickstart", "Run the whole pipe on small Countdown problems: a laptop, minutes."),
    "problems": ("steiner.cli.problems", "Generate or load problems into a run directory."),
    "synthesize": ("steiner.cli.synthesize", "Let a teacher write reasoning traces for a run's problems."),
    "import": ("steiner.cli.import_traces", "Import existing reasoning traces into a run directory."),
    "graph": ("steiner.cli.graph", "Build one step graph per question from a run's traces."),
    "sample": ("steiner.cli.sample", "Sample reasoning paths with backtracking from a run's graphs."),
    "dataset": ("steiner.cli.dataset", "Tokenise a run's paths into Parquet for training."),
    "train": ("steiner.cli.train", "Train a causal language model: cpt, sft or rl."),
    "generate": ("steiner.cli.generate", "Answer questions with a trained model under step control."),
    "evaluate": ("steiner.cli.evaluate", "Measure a model: accuracy against allowed steps."),
}
"""Name → (module, one line of help), in the order of the pipe."""


class LazyGroup(TyperGroup):
    """A group that knows its commands' names and help without importing them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order of the pipe."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a stand-in while only help is wanted, else the command itself."""
        if cmd_name not in COMMANDS:
            return None
        module, help_line = COMMANDS[cmd_name]
        if ctx.resilient_parsing or _only_help(sys.argv[1:]):
            return click.Command(cmd_name, help=help_line)
        command = typer.main.get_command(importlib.import_module(module).app)
        command.name = cmd_name
        return command


def _only_help(arguments: list[str]) -> bool:
    return not arguments or arguments[0] in ("--help", "-h")


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
    """Run the command line; errors a user can act on become one paragraph and an exit code."""
    from steiner.core.errors import SteinerError

    try:
        app()
    except SteinerError as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        typer.echo("\nStopped. Finished work is kept; run the same command again to go on.", err=True)
        sys.exit(130)


if __name__ == "__main__":
    main()
