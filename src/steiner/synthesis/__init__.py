"""Draft → truncate → attempt blind → reveal → resolve; and the import of existing traces."""

from steiner.synthesis.outcome import Outcome, QuestionOutcome, SynthesisYield
from steiner.synthesis.pipeline import IsRight, cut_point, plan_question, synthesise, synthesise_async
from steiner.synthesis.settings import PlanSettings, SynthesisSettings
from steiner.synthesis.stage import synthesise_run

__all__ = [
    "IsRight",
    "Outcome",
    "PlanSettings",
    "QuestionOutcome",
    "SynthesisSettings",
    "SynthesisYield",
    "cut_point",
    "plan_question",
    "synthesise",
    "synthesise_async",
    "synthesise_run",
]
