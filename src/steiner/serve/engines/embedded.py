"""Where the embedded engine runs: in a thread of this process, or in a process of its own."""

from __future__ import annotations

import os

from steiner.core import InputError
from steiner.serve.engines.base import Engine
from steiner.serve.settings import EngineSettings


def load_embedded(place: str, settings: EngineSettings) -> Engine:
    """Load a model folder or hub id, safetensors only.

    Raises:
        InputError: if it cannot be loaded or lacks the control tokens.
    """
    if own_process(settings):
        from steiner.serve.engines.process import ProcessEngine

        return ProcessEngine.load(place, settings)
    from steiner.serve.engines.local import LocalEngine

    return LocalEngine.load(place, settings)


def own_process(settings: EngineSettings) -> bool:
    """Tell whether the engine gets a process of its own.

    Raises:
        InputError: if that is asked for where it cannot be done.
    """
    if settings.process is not None:
        if settings.process and os.name != "posix":
            raise InputError(
                "An engine in a process of its own needs Linux or macOS: leave out --engine-process."
            )
        return settings.process
    if os.name != "posix" or _cores() < 2:
        return False
    if settings.device is None:
        import torch

        # Only measured on CPUs; on a GPU the engine's thread waits most of the time, without the lock.
        return not torch.cuda.is_available()
    return settings.device.startswith("cpu")


def _cores() -> int:
    """Return the number of cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
