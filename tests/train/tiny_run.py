"""A run of twenty problems with its dataset, and settings of stages that take a second each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from steiner.cli.sample import writer_for
from steiner.dataset.corpus import run_texts
from steiner.dataset.settings import DatasetSettings
from steiner.dataset.tokenizer import train_tokenizer
from steiner.dataset.write import write_dataset
from steiner.graph import SampleSettings
from steiner.graph.path_stage import make_paths
from steiner.graph.stage import GraphSettings, make_graphs
from steiner.problems.countdown import CountdownSettings
from steiner.problems.source import CountdownProblems, countdown_source, write_problems
from steiner.store import RunDir
from steiner.synthesis import SynthesisSettings, synthesise_run
from steiner.train.settings import CptSettings, RlSettings, SftSettings

ARCHITECTURE = {
    "hidden_size": 32,
    "layers": 1,
    "heads": 2,
    "kv_heads": 2,
    "intermediate_size": 64,
    "context": 512,
}
OPTIMISER = {"learning_rate": 1e-3, "batch_size": 4, "precision": "fp32", "save_every": 2}


def make_run(path: Path) -> Path:
    """Make problems, traces, graphs, paths, plain text, a tokenizer and the dataset."""
    numbers = CountdownSettings(count=3, low=1, high=5, target_low=5, target_high=30, heldout_target_share=0)
    with RunDir(path) as run:
        write_problems(run, countdown_source(CountdownProblems(n=20, countdown=numbers)))
        synthesise_run(run, SynthesisSettings(truncations=3))
        make_graphs(run, GraphSettings())
        make_paths(run, SampleSettings(paths=100), writer_for=writer_for)
        train_tokenizer(run_texts(run), 512, 30).save_pretrained(path / "tokenizer")
        write_dataset(run, DatasetSettings(tokenizer=str(path / "tokenizer"), validation_share=0.0))
    (path / "text.txt").write_text("\n\n".join(f"{n} + 1 = {n + 1}" for n in range(30)))
    return path


def cpt(run: Path, output: Path, **changes: Any) -> CptSettings:
    """Six updates from random weights."""
    values = {
        "output": str(output),
        "model": {"architecture": ARCHITECTURE, "tokenizer": str(run / "tokenizer")},
        "dataset": str(run / "dataset"),
        "text": [str(run / "text.txt")],
        "text_share": 0.3,
        "tokens": 2400,
        "context": 512,
        "text_block": 64,
        "packing": False,
        "optimiser": OPTIMISER,
    }
    return CptSettings.model_validate(values | changes)


def sft(run: Path, output: Path, model: Path, **changes: Any) -> SftSettings:
    """Some updates from the model that `cpt` made."""
    values = {
        "output": str(output),
        "model": {"path": str(model)},
        "dataset": str(run / "dataset"),
        "tokens": 4800,
        "context": 512,
        "packing": False,
        "optimiser": OPTIMISER,
    }
    return SftSettings.model_validate(values | changes)


def rl(run: Path, output: Path, model: Path, **changes: Any) -> RlSettings:
    """Two updates of two prompts and four completions each."""
    values = {
        "output": str(output),
        "model": {"path": str(model)},
        "run": str(run),
        "steps": 2,
        "prompts": 2,
        "group": 4,
        "max_steps": 4,
        "max_reasoning_tokens": 80,
        "max_answer_tokens": 6,
        # A model that has learned nothing is always cut off.
        "mask_truncated": False,
        "optimiser": OPTIMISER | {"batch_size": 8, "save_every": 1},
    }
    return RlSettings.model_validate(values | changes)
