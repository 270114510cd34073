"""An OpenAI-compatible server with seeded faults and scripted models, for tests and benchmarks.

>>> from steiner.testing import Faults, FaultyServer, arithmetic_problems
>>> with FaultyServer(faults=Faults.transport(0.3), seed=1) as server:
...     print(server.base_url, server.stats().delivered_again)

By hand: `python -m steiner.testing --help`.
"""

from steiner.testing.arithmetic import Chain, Operation, arithmetic_problems, find_chain
from steiner.testing.arithmetic_model import ArithmeticModel
from steiner.testing.faults import CONTENT_FAULTS, HARMLESS_FAULTS, Fate, Fault, FaultPlan, Faults
from steiner.testing.models import CannedModel, Completion, EchoModel, ImportedModel, Model
from steiner.testing.server import FaultyServer
from steiner.testing.settings import ServerSettings
from steiner.testing.stats import ServerStats

__all__ = [
    "CONTENT_FAULTS",
    "HARMLESS_FAULTS",
    "ArithmeticModel",
    "CannedModel",
    "Chain",
    "Completion",
    "EchoModel",
    "Fate",
    "Fault",
    "FaultPlan",
    "Faults",
    "FaultyServer",
    "ImportedModel",
    "Model",
    "Operation",
    "ServerSettings",
    "ServerStats",
    "arithmetic_problems",
    "find_chain",
]
