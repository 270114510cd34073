"""Who writes steps.

>>> from steiner.teacher import make_teacher
>>> make_teacher("countdown").name
'symbolic-countdown'
"""

from __future__ import annotations

from collections.abc import Callable

from steiner.core import InputError
from steiner.teacher.base import Attempt, Teacher
from steiner.teacher.countdown import SymbolicCountdownTeacher
from steiner.teacher.countdown_writer import CountdownWriter

__all__ = [
    "TEACHERS",
    "Attempt",
    "CountdownWriter",
    "SymbolicCountdownTeacher",
    "Teacher",
    "make_teacher",
]

TEACHERS: dict[str, Callable[[float], Teacher]] = {"countdown": SymbolicCountdownTeacher}
"""Name on the command line → what makes the teacher, given its temperature."""


def make_teacher(name: str, temperature: float = 1.0) -> Teacher:
    """Return the teacher of that name.

    Raises:
        InputError: if there is none; the message lists the names.
    """
    if name not in TEACHERS:
        raise InputError(f"There is no teacher '{name}': choose from {', '.join(sorted(TEACHERS))}.")
    return TEACHERS[name](temperature)
