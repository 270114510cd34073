"""The golden curves: data and trainings through the real command line, in a folder of their own.

`python tests/train/golden_run.py` writes the curves anew, after a change that is meant to move them: look at
what `git diff` says about it.
"""

from __future__ import annotations

import json
import re
import sys
import tempfile
from contextlib import chdir
from pathlib import Path

import torch
from typer.testing import CliRunner

from steiner.cli.main import app
from steiner.train.stage import TrainingRecord

GOLDEN = Path(__file__).parent / "golden"
STAGES = ("cpt", "sft", "rl")
KEPT = {
    "cpt": ("loss", "grad_norm"),
    "sft": ("loss", "grad_norm"),
    "rl": ("loss", "grad_norm", "search/reward", "search/right", "search/steps", "search/repeated"),
}
"""Logged numbers that a golden file holds."""

DATA = """
problems countdown --run run --count 16 --numbers 2 --high 9 --target-low 2 --target-high 30 --heldout 0
synthesize --run run --truncations 6 --workers 1
graph --run run --workers 1
sample --run run --per-question 1 --order sorted --detours all --no-traces --max-steps 8 --workers 1
tokenizer --run run --numbers-to 30
dataset --run run --tokenizer run/tokenizer --validation-share 0 --workers 1
"""

Curve = list[dict[str, float]]


def steiner(folder: Path, *arguments: str) -> None:
    """Run a command in `folder`; it must end well."""
    with chdir(folder):
        done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, (arguments, done.output, done.exception)


def make_data(folder: Path) -> None:
    """Make the run, its dataset and plain text."""
    for line in DATA.strip().splitlines():
        steiner(folder, *line.split())
    (folder / "text.txt").write_text("\n\n".join(f"{a} + {b} = {a + b}" for a in range(9) for b in range(9)))


def train(folder: Path, stage: str, **changes: str) -> Curve:
    """Train a stage with its golden settings, some values of which are changed, and return what was logged.

    Args:
        folder: where the data is and the stages before this one.
        stage: its name.
        **changes: TOML values by key, "" to leave the key out; `output` is the folder of the stage.
    """
    torch.set_num_threads(1)
    text = (GOLDEN / f"{stage}.toml").read_text(encoding="utf-8")
    for key, value in changes.items():
        text, count = re.subn(rf"(?m)^{key} = .*$", f"{key} = {value}" if value else "", text)
        assert count == 1, f"{stage}.toml has {count} lines with {key}"
    output = re.search(r'(?m)^output = "(.*)"$', text)
    assert output is not None
    config = folder / f"{output[1]}.toml"
    config.write_text(text, encoding="utf-8")
    steiner(folder, "train", stage, "--config", str(config))
    record = TrainingRecord.model_validate_json((folder / output[1] / "training.json").read_bytes())
    return [{"step": p.step, **{k: p.values[k] for k in KEPT[stage] if k in p.values}} for p in record.curve]


def golden(stage: str) -> Curve:
    """Return the committed curve."""
    curve: Curve = json.loads((GOLDEN / f"{stage}.json").read_text(encoding="utf-8"))
    return curve


def save(folder: Path) -> None:
    """Train all stages and write their curves into `folder`."""
    with tempfile.TemporaryDirectory() as name:
        make_data(Path(name))
        for stage in STAGES:
            lines = [json.dumps(point) for point in train(Path(name), stage)]
            (folder / f"{stage}.json").write_text("[\n" + ",\n".join(lines) + "\n]\n", encoding="utf-8")


if __name__ == "__main__":
    save(Path(sys.argv[1]) if len(sys.argv) > 1 else GOLDEN)
