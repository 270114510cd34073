"""The nouns every room shares. Standard library and pydantic only: no I/O, no torch.

>>> from steiner.core import Problem, Trace, StepGraph, ReasoningPath
"""

from steiner.core.budget import Ramp, SoftEnd, StepBudget
from steiner.core.errors import (
    BusyError,
    InputError,
    ResumeError,
    SteinerError,
    SteinerWarning,
    StorageError,
)
from steiner.core.graph import NodeFacts, NodeKind, StepEdge, StepGraph, StepNode
from steiner.core.path import ReasoningPath
from steiner.core.problem import Grading, Problem, Question
from steiner.core.progress import NoProgress, Progress
from steiner.core.record import SCHEMA_VERSION, Record, canonical_json, digest
from steiner.core.sample import TokenSample
from steiner.core.settings import Settings, parse_settings
from steiner.core.step import Move, Step
from steiner.core.trace import Provenance, Trace, TraceStep, Verdict

__all__ = [
    "SCHEMA_VERSION",
    "BusyError",
    "Grading",
    "InputError",
    "Move",
    "NoProgress",
    "NodeFacts",
    "NodeKind",
    "Problem",
    "Progress",
    "Provenance",
    "Question",
    "Ramp",
    "ReasoningPath",
    "Record",
    "ResumeError",
    "Settings",
    "SoftEnd",
    "SteinerError",
    "SteinerWarning",
    "Step",
    "StepBudget",
    "StepEdge",
    "StepGraph",
    "StepNode",
    "StorageError",
    "TokenSample",
    "Trace",
    "TraceStep",
    "Verdict",
    "canonical_json",
    "digest",
    "parse_settings",
]
