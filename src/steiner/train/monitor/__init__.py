"""Watches training and says when something goes wrong quietly; formulas and thresholds: docs/training.md.

All but `callback` is pure and free of torch: figures of each update go in, alarms come out, so that a
finished training is judged from its `training.json` as it was while it ran.
"""

from steiner.train.monitor.alarms import Alarm, find_alarms, find_loss_alarms
from steiner.train.monitor.figures import UpdateFigures, Written, logprob_gap, update_figures

__all__ = [
    "Alarm",
    "UpdateFigures",
    "Written",
    "find_alarms",
    "find_loss_alarms",
    "logprob_gap",
    "update_figures",
]
