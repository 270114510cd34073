"""Run directories: a journal of settings and finished work, atomic files, parallel resumable stages."""

from steiner.store.atomic import atomic_write, disk_errors
from steiner.store.beside import Beside, read_beside
from steiner.store.engine import Engine, Workers
from steiner.store.journal import CallTotals, Journal, StageState, StoredCall, StoredRecord
from steiner.store.parallel import map_bounded
from steiner.store.rundir import RunDir
from steiner.store.stage import Stage, StageReport, run_stage

__all__ = [
    "Beside",
    "CallTotals",
    "Engine",
    "Journal",
    "RunDir",
    "Stage",
    "StageReport",
    "StageState",
    "StoredCall",
    "StoredRecord",
    "Workers",
    "atomic_write",
    "disk_errors",
    "map_bounded",
    "read_beside",
    "run_stage",
]
