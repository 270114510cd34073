"""Models that come with the package, loaded by name.

Each is a folder `steiner/models/NAME` with weights (safetensors, bf16), config, tokenizer, a card (README.md)
and a record of how it was made and checked (training.json). `dev/ship_model.py` writes it.
"""

from __future__ import annotations

import os
from pathlib import Path

from pydantic import Field, ValidationError

from steiner.core import InputError, Record

SHIPPED = Path(__file__).resolve().parents[1] / "models"
VARIABLE = "STEINER_MODELS"
"""Environment variable that names another folder of named models."""
RECORD = "training.json"


class TrainedStage(Record):
    """One stage of a model's training."""

    stage: str
    """cpt, sft or rl."""
    config: str
    """Digest of the stage's settings."""
    inputs: dict[str, str] = Field(default_factory=dict)
    """Digests of what it read, by name: dataset, text, model, …"""
    seed: int
    steps: int
    tokens: int


class Check(Record):
    """What a model did with problems that it was not trained on, as it is shipped."""

    problems: str
    """Where they come from."""
    n: int
    max_steps: int
    temperature: float
    seed: int
    accuracy: float
    low: float
    """Lower end of the 95% interval of `accuracy`."""
    high: float
    """Upper end of the 95% interval of `accuracy`."""
    well_formed: float
    """Share of the completions that follow the grammar, under strict control."""
    language: str = ""
    """Of the questions; empty for all."""


class ShippedModel(Record):
    """The record of a shipped model."""

    name: str
    summary: str
    """What it can do, in one sentence."""
    cannot: tuple[str, ...]
    """What it cannot do, a sentence each."""
    parameters: int
    size: int
    """Bytes of its weights."""
    commit: str
    """Of the code that shipped it."""
    data: str
    """Digest of the dataset of its last supervised stage."""
    stages: tuple[TrainedStage, ...]
    """In the order of training."""
    checks: tuple[Check, ...]
    examples: tuple[str, ...] = ()
    """Questions of its checks that it answered rightly at temperature 0, after going back at least twice."""

    @property
    def seeds(self) -> tuple[int, ...]:
        """Seeds of the stages, in order."""
        return tuple(stage.seed for stage in self.stages)


def models_folder() -> Path:
    """Return the folder of named models."""
    return Path(os.environ.get(VARIABLE) or SHIPPED)


def find_model(place: str | Path) -> str:
    """Return the folder of a shipped model if `place` is the name of one, else `place`.

    A folder of the same name in the working directory is meant only if it is written as a path (`./NAME`, or
    a `Path`).
    """
    text = str(place)
    if isinstance(place, Path) or not text or text.startswith((".", "~")) or set(text) & {"/", "\\"}:
        return text
    folder = models_folder() / text
    return str(folder) if (folder / RECORD).is_file() else text


def list_models() -> list[ShippedModel]:
    """Return the records of all named models, by name.

    Raises:
        InputError: if a record cannot be read.
    """
    return [read_record(path.parent) for path in sorted(models_folder().glob(f"*/{RECORD}"))]


def read_record(folder: Path) -> ShippedModel:
    """Return the record in a model's folder.

    Raises:
        InputError: if it cannot be read.
    """
    try:
        return ShippedModel.model_validate_json((folder / RECORD).read_bytes())
    except (OSError, ValidationError) as error:
        reason = str(error).strip().split("\n")[0]
        raise InputError(
            f"the record {folder / RECORD} of a shipped model cannot be read: {reason}"
        ) from error
