"""What `steiner.problems.scoring_process` runs: one JSON request a line in, one JSON reply a line out."""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import IO, Any

PACKAGES = {"math": "math_verify", "gym": "reasoning_gym"}
"""What each kind of request imports."""


class _OutOfTime(BaseException):
    """Not an `Exception`: the scorers catch those."""


def main() -> None:
    """Answer requests until the input ends."""
    replies = _private_output()
    _limit_memory(int(sys.argv[1]))
    for line in sys.stdin:
        request = json.loads(line)
        try:
            with _cpu_limit(request["seconds"]):
                reply = _answer(request)
        except _OutOfTime:
            reply = {"error": "out of time"}
        except Exception as error:  # The scorers are other people's code: whatever they raise is their reply.
            reply = {"error": f"{type(error).__name__}: {error}"[:200]}
        replies.write(json.dumps(reply) + "\n")


def _private_output() -> IO[str]:
    """Keep standard output for replies alone: what a scorer prints goes nowhere."""
    copy = os.fdopen(os.dup(1), "w", buffering=1, encoding="utf-8")
    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 1)
    return copy


def _limit_memory(limit: int) -> None:
    with suppress(ImportError, ValueError, OSError):
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


@contextmanager
def _cpu_limit(seconds: float) -> Iterator[None]:
    """Raise `_OutOfTime` after `seconds` of CPU time (0: never); nothing where there are no such timers."""
    if not hasattr(signal, "setitimer"):
        yield
        return
    signal.signal(signal.SIGPROF, _raise)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


def _raise(number: int, frame: FrameType | None) -> None:
    raise _OutOfTime


def _answer(request: dict[str, Any]) -> dict[str, Any]:
    if request["kind"] == "load":
        importlib.import_module(PACKAGES[request["what"]])
        return {"loaded": True}
    if request["kind"] == "math":
        return {"right": _math_equal(request["reference"], request["answer"])}
    if request["kind"] == "gym":
        from steiner.problems.gym import best_score

        return {"score": best_score(request["scoring"], request["answers"])}
    raise ValueError(f"unknown kind {request['kind']!r}")


def _math_equal(reference: str, answer: str) -> bool:
    from math_verify import parse, verify

    # The time limit is ours; math-verify's own would replace it.
    gold = parse(_delimited(reference), parsing_timeout=None)
    given = parse(answer, parsing_timeout=None)
    return bool(gold) and bool(verify(gold, given, timeout_seconds=None, allow_set_relation_comp=True))


def _delimited(reference: str) -> str:
    r"""Mark a bare reference as LaTeX, which math-verify expects between delimiters."""
    return reference if "$" in reference or "\\boxed" in reference else f"${reference}$"


if __name__ == "__main__":
    main()
