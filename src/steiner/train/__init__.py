"""The three training stages on TRL: continual pre-training, fine-tuning, RL with step-level reward.

Settings, rewards and advantages are light; the stages themselves import torch and are found in
`steiner.train.cpt`, `steiner.train.sft` and `steiner.train.rl`.
"""

from steiner.train.advantages import (
    group_advantages,
    outcome_advantages,
    process_advantages,
    token_advantages,
)
from steiner.train.rewards import (
    Attempt,
    DagReward,
    Earned,
    GeneratedStep,
    MonteCarloReward,
    OutcomeReward,
    ProgressReward,
    earn,
)
from steiner.train.settings import (
    Architecture,
    CptSettings,
    LoraSettings,
    ModelSettings,
    OptimiserSettings,
    RlSettings,
    SftSettings,
)

__all__ = [
    "Architecture",
    "Attempt",
    "CptSettings",
    "DagReward",
    "Earned",
    "GeneratedStep",
    "LoraSettings",
    "ModelSettings",
    "MonteCarloReward",
    "OptimiserSettings",
    "OutcomeReward",
    "ProgressReward",
    "RlSettings",
    "SftSettings",
    "earn",
    "group_advantages",
    "outcome_advantages",
    "process_advantages",
    "token_advantages",
]
