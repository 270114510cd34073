"""Rewards by name, each a pure function of an attempt with its formula and units in its module."""

from steiner.train.rewards.base import Attempt, Earned, GeneratedStep, RewardFunction
from steiner.train.rewards.dag import DagReward, dag, node_score
from steiner.train.rewards.mix import FUNCTIONS, RewardSettings, earn, total
from steiner.train.rewards.montecarlo import MonteCarloReward, montecarlo, shared_changes
from steiner.train.rewards.outcome import OutcomeReward, outcome
from steiner.train.rewards.progress import ProgressReward, node_value, progress

__all__ = [
    "FUNCTIONS",
    "Attempt",
    "DagReward",
    "Earned",
    "GeneratedStep",
    "MonteCarloReward",
    "OutcomeReward",
    "ProgressReward",
    "RewardFunction",
    "RewardSettings",
    "dag",
    "earn",
    "montecarlo",
    "node_score",
    "node_value",
    "outcome",
    "progress",
    "shared_changes",
    "total",
]
