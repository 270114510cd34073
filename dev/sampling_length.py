"""Print the table of docs/results/sampling-length.md: mean lengths asked for and reached.

python dev/sampling_length.py RUN TOKENIZER [--paths 1200] [--asked 0 400 600 800 1200 1600 2000]

RUN holds step graphs; its paths and its dataset are made anew for each row.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from steiner.cli.dataset import app as dataset_app
from steiner.cli.sample import app as sample_app
from steiner.dataset.read import load_statistics
from steiner.graph.path_stage import PathsSummary
from steiner.store import RunDir

COLUMNS = (
    "asked", "mean of detours, found", "first pass", "reached", "off", "left out", "kept, mean", "steps",
    "backtracks",
)  # fmt: skip


def command(app: object, *arguments: str) -> None:
    """Run one command as on the command line."""
    app(list(arguments), standalone_mode=False)  # type: ignore[operator]


def row(run: Path, tokenizer: str, paths: int, asked: int) -> str:
    """Sample, tokenise, and return a row of the table."""
    length = ["--mean-tokens", str(asked)] if asked else []
    common = ["--run", str(run), "--tokenizer", tokenizer, "--force"]
    command(sample_app, *common, "--paths", str(paths), *length)
    command(dataset_app, *common)
    with RunDir(run, read_only=True) as opened:
        stage = opened.journal.stage("paths")
    assert stage is not None
    summary = PathsSummary.model_validate(stage.summary)
    statistics = load_statistics(str(run / "dataset"))
    splits = list(statistics.splits.values())
    kept = sum(split.samples for split in splits)
    mean = sum(split.reasoning_tokens.mean * split.samples for split in splits) / kept
    backtracks = sum(k * n for k, n in summary.backtracks.items()) / summary.paths
    tuning = summary.tuning
    found = ("–", "–") if tuning is None else (f"{tuning.detours:.2f}", f"{tuning.expected:,.0f}")
    off = f"{summary.reached / asked - 1:+.1%}" if asked else "–"
    cells = [
        f"{asked:,}" if asked else "default", *found, f"{summary.reached:,.0f}", off,
        f"{1 - kept / summary.paths:.1%}", f"{mean:,.0f}", f"{summary.mean_steps:.1f}", f"{backtracks:.1f}",
    ]  # fmt: skip
    return "| " + " | ".join(cells) + " |"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("tokenizer")
    parser.add_argument("--paths", type=int, default=1200)
    parser.add_argument("--asked", type=int, nargs="+", default=[0, 400, 600, 800, 1200, 1600, 2000])
    options = parser.parse_args()
    rows = [row(options.run, options.tokenizer, options.paths, asked) for asked in options.asked]
    sys.stdout.write("\n".join([f"| {' | '.join(COLUMNS)} |", "|" + "---|" * len(COLUMNS), *rows]) + "\n")


if __name__ == "__main__":
    main()
