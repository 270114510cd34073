"""The symbolic teacher: many processes, no network."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any


def synthesize(
    path: Path,
    teacher: str,
    plan: Mapping[str, Any],
    temperature: float | None,
    *,
    workers: int | None,
    force: bool,
) -> None:
    """Write the traces of a run and print what came of them."""
    from steiner.cli.synthesize.tables import yield_table
    from steiner.cli.ui import RichProgress, out
    from steiner.core import parse_settings
    from steiner.store import RunDir
    from steiner.store.parallel import default_workers
    from steiner.synthesis import SynthesisSettings, synthesise_run

    values = {"teacher": teacher, **plan}
    if temperature is not None:
        values["temperature"] = temperature
    settings = parse_settings(SynthesisSettings, values, "steiner synthesize")
    RunDir(path, read_only=True).close()  # refuses what is no run directory, which the next line would create
    with RunDir(path) as run:
        total, _ = synthesise_run(
            run, settings, workers=workers or default_workers(), force=force, progress=RichProgress()
        )
    out.print(yield_table(total, str(path)))
