"""What decides the content of a dataset."""

from __future__ import annotations

from pydantic import Field

from steiner.core import Settings
from steiner.dataset.budget import TokenBudget


class DatasetSettings(Settings):
    """Settings of the stage `dataset`."""

    tokenizer: str
    """Folder of the tokenizer that training will use, or its id on the hub."""
    budget: TokenBudget = TokenBudget()
    system_prompt: str = ""
    """Opens every prompt; no system turn where it is empty."""
    validation_share: float = Field(default=0.02, ge=0, lt=1)
    """Share of the questions whose paths are kept for validation."""
    questions_per_file: int = Field(default=2000, ge=1)
    seed: int = 0
    """Decides which questions are kept for validation."""
