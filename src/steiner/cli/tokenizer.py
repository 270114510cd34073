"""`steiner tokenizer`: a small tokenizer for a model that is trained from scratch."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(add_completion=False)

EXAMPLES = """\b
Examples:
  steiner tokenizer --run runs/countdown
  steiner tokenizer --run runs/countdown --numbers-to 60 --output runs/countdown/tokenizer
"""


@app.command(epilog=EXAMPLES)
def tokenizer(
    run: Annotated[Path, typer.Option(help="Run directory with sampled paths.")],
    output: Annotated[Path | None, typer.Option(help="Folder to write. Default: RUN/tokenizer.")] = None,
    vocab_size: Annotated[
        int, typer.Option(min=1, help="Most entries, 256 bytes and all special tokens included.")
    ] = 512,
    numbers_to: Annotated[int, typer.Option(min=9, help="Each number up to this is one token.")] = 99,
    problems: Annotated[
        int, typer.Option(min=1, help="Read the text of so many problems and of their paths.")
    ] = 200,
) -> None:
    """Build a small tokenizer from a run's questions and paths, for a model trained from scratch.

    An existing model brings its own and needs none. The same run gives the same tokenizer.
    """
    from steiner.cli.ui import out
    from steiner.dataset.corpus import run_texts
    from steiner.dataset.tokenizer import train_tokenizer
    from steiner.store import RunDir, disk_errors

    folder = output or run / "tokenizer"
    with RunDir(run, read_only=True) as held:
        made = train_tokenizer(run_texts(held, problems), vocab_size, numbers_to)
    with disk_errors("The tokenizer", folder):
        made.save_pretrained(folder)
    out.print(f"{len(made):,} tokens: {folder}")
