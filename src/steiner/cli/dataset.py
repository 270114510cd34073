"""`steiner dataset`: sampled paths → Parquet for training."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from steiner.cli.engine import EngineOption, RayAddressOption, engine_for

if TYPE_CHECKING:
    from steiner.dataset.statistics import DatasetStatistics

app = typer.Typer(add_completion=False)

EPILOG = """
Examples:

\b
  steiner dataset --run runs/countdown --tokenizer runs/countdown/tokenizer
  steiner dataset --run runs/mmlu-pro --tokenizer Qwen/Qwen2.5-0.5B
  steiner dataset --run runs/long --tokenizer models/base --max-total-tokens 32768
"""


@app.command(epilog=EPILOG)
def dataset(
    run: Annotated[Path, typer.Option(help="Run directory with sampled paths.")],
    tokenizer: Annotated[str, typer.Option(help="Folder or hub id of the tokenizer to train with.")],
    max_reasoning_tokens: Annotated[
        int, typer.Option(min=2, help="Keep paths with fewer tokens of reasoning.")
    ] = 4096,
    max_total_tokens: Annotated[
        int, typer.Option(min=3, help="Keep paths with fewer tokens of prompt, reasoning and answer.")
    ] = 8192,
    system_prompt: Annotated[str, typer.Option(help="Open every prompt with this system message.")] = "",
    validation_share: Annotated[
        float, typer.Option(min=0.0, max=0.99, help="Share of the questions kept for validation.")
    ] = 0.02,
    seed: Annotated[int, typer.Option(help="Decides which questions are kept for validation.")] = 0,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes; all cores by default.")] = None,
    engine: EngineOption = "local",
    ray_address: RayAddressOption = "",
    force: Annotated[
        bool, typer.Option("--force", help="Make the dataset anew if settings or paths have changed.")
    ] = False,
) -> None:
    """Tokenise a run's sampled paths into RUN/dataset: Parquet files, a dataset card and statistics.

    Paths over a token budget are left out and counted. The folder opens with datasets.load_dataset.
    Stopped at any moment, the same command goes on and writes the same bytes.
    """
    from steiner.cli.ui import RichProgress
    from steiner.core import parse_settings
    from steiner.dataset.settings import DatasetSettings
    from steiner.dataset.write import STAGE, write_dataset
    from steiner.store import RunDir

    settings = parse_settings(
        DatasetSettings,
        {
            "tokenizer": tokenizer,
            "budget": {"max_reasoning_tokens": max_reasoning_tokens, "max_total_tokens": max_total_tokens},
            "system_prompt": system_prompt,
            "validation_share": validation_share,
            "seed": seed,
        },
        "steiner dataset",
    )
    RunDir(run, read_only=True).close()  # refuses what is no run directory, which the next line would create
    with RunDir(run) as held:
        statistics = write_dataset(
            held,
            settings,
            workers=engine_for(engine, workers, ray_address),
            force=force,
            progress=RichProgress(),
        )
    _show(statistics, run / STAGE)


def _show(statistics: DatasetStatistics, folder: Path) -> None:
    from rich.table import Table

    from steiner.cli.ui import out

    table = Table(title=f"Dataset {folder}", title_justify="left")
    table.add_column("")
    for name in statistics.splits:
        table.add_column(name, justify="right")
    splits = statistics.splits.values()
    table.add_row("questions", *(f"{split.questions:,}" for split in splits))
    table.add_row("paths", *(f"{split.samples:,}" for split in splits))
    table.add_row("steps, mean", *(f"{split.steps.mean:.1f}" for split in splits))
    table.add_row("backtracks, mean", *(f"{split.backtracks.mean:.1f}" for split in splits))
    table.add_row("reasoning tokens, mean", *(f"{split.reasoning_tokens.mean:,.0f}" for split in splits))
    table.add_row("reasoning tokens, max", *(f"{split.reasoning_tokens.max:,}" for split in splits))
    out.print(table)
    for reason, count in statistics.dropped.items():
        out.print(f"left out: {count:,} paths, {reason}")
    out.print(f"card: {folder / 'README.md'}")
