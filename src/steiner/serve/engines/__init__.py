"""Who writes the tokens: `base` is the interface, the others are imported by name.

>>> from steiner.serve.engines.local import LocalEngine
"""

from steiner.serve.engines.base import (
    Engine,
    EngineError,
    EngineState,
    EngineStats,
    Finish,
    Generation,
    TokenChunk,
    TokenLogprob,
)

__all__ = [
    "Engine",
    "EngineError",
    "EngineState",
    "EngineStats",
    "Finish",
    "Generation",
    "TokenChunk",
    "TokenLogprob",
]
