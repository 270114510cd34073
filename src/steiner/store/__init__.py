"""Run directories: a journal of settings and finished work, atomic files, parallel resumable stages."""

from steiner.store.atomic import atomic_write, disk_errors
from steiner.store.journal import CallTotals, Journal, StageState, StoredCall, StoredRecord
from steiner.store.parallel import map_bounded
from steiner.store.rundir import RunDir
from steiner.store.stage import Stage, StageReport, run_stage

__all__ = [
    "CallTotals",
    "Journal",
    "RunDir",
    "Stage",
    "StageReport",
    "StageState",
    "StoredCall",
    "StoredRecord",
    "atomic_write",
    "disk_errors",
    "map_bounded",
    "run_stage",
]
