"""Python's garbage collector while thousands of calls are on their way."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

THRESHOLDS = (20_000, 20, 50)


@contextmanager
def patient_collector() -> Iterator[None]:
    """Have the collector look for cycles less often, and never at what is there now; restore it afterwards.

    With a thousand calls on their way it would look through all their objects every few hundred calls, again
    and again, and through those of all imported modules. Next to nothing of that is ever a cycle.
    """
    thresholds, frozen = gc.get_threshold(), gc.get_freeze_count()
    gc.collect()
    gc.freeze()
    gc.set_threshold(*THRESHOLDS)
    try:
        yield
    finally:
        gc.set_threshold(*thresholds)
        if not frozen:  # else somebody wants it so
            gc.unfreeze()
