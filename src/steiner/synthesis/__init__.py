"""Draft → truncate → attempt blind → reveal → resolve; and the import of existing traces."""

from steiner.synthesis.pipeline import (
    IsRight,
    Outcome,
    SynthesisSettings,
    SynthesisYield,
    cut_point,
    synthesise,
)
from steiner.synthesis.stage import synthesise_run

__all__ = [
    "IsRight",
    "Outcome",
    "SynthesisSettings",
    "SynthesisYield",
    "cut_point",
    "synthesise",
    "synthesise_run",
]
