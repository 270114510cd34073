"""Mathematical equivalence: cheap comparisons first, math-verify in a child process for the rest."""

from __future__ import annotations

import importlib.util
import re
from functools import lru_cache

from steiner.core import InputError
from steiner.problems.answer_text import boxed, final_answers, last_line, normalize, strip_markup
from steiner.problems.numeric import single_quantity
from steiner.problems.scoring_process import SHARED

SECONDS = 5.0
"""CPU time that one comparison may take; longer counts as not equivalent."""
MAX_CHARACTERS = 2_000
_FRACTION_SHORT = re.compile(r"\\frac\s*(\\[a-zA-Z]+|[0-9a-z])\s*(\\[a-zA-Z]+|[0-9a-z])")
_MATHEMATICAL = re.compile(r"[\\^_=+*/<>\d()\[\]]|(?<![a-z])[a-z](?![a-z])", re.IGNORECASE)


def extract_math(text: str) -> str:
    r"""Return the final expression of an answer: boxed, stated, or its last line."""
    text = normalize(text)
    for place in final_answers(text):
        inner = boxed(place)
        return (inner if inner is not None else place).strip().rstrip(".")
    return last_line(text).rstrip(".")


def math_equal(reference: str, answer: str) -> bool:
    """Say whether two expressions are equivalent; False where that cannot be found out within `SECONDS`.

    Raises:
        InputError: if math-verify is needed and not installed.
    """
    quick = quickly_equal(reference, answer)
    if quick is not None:
        return quick
    require_math_verify()
    if len(answer) > MAX_CHARACTERS:
        return False
    delimited = answer if "$" in answer or "\\boxed" in answer else f"${answer}$"
    return _verified(reference, delimited)


@lru_cache(maxsize=1 << 14)
def _verified(reference: str, answer: str) -> bool:
    reply = SHARED.call("math", {"reference": reference, "answer": answer}, SECONDS)
    return reply.get("right") is True


def quickly_equal(a: str, b: str) -> bool | None:
    """Compare without computer algebra; None where that does not decide."""
    left, right = canonical_latex(a), canonical_latex(b)
    if left == right:
        return True
    if not left or not right:
        return False
    one, two = single_quantity(left), single_quantity(right)
    if one is not None and two is not None:
        return two.equals(one)
    if not (_MATHEMATICAL.search(left) and _MATHEMATICAL.search(right)):
        return False
    return None


def canonical_latex(text: str) -> str:
    """Return a spelling that many ways to write the same LaTeX share; for comparing only."""
    text = strip_markup(normalize(text)).rstrip(".")
    text = re.sub(r"\\[dt]frac", r"\\frac", text)
    text = _FRACTION_SHORT.sub(r"\\frac{\1}{\2}", text)
    text = re.sub(r"\^\{?\\circ\}?|\\%|\\\$", lambda m: {"%": "%", "$": ""}.get(m.group()[-1], ""), text)
    return re.sub(r"\s+", "", text) if _MATHEMATICAL.search(text) else " ".join(text.casefold().split())


def require_math_verify() -> None:
    """Check that math-verify is installed.

    Raises:
        InputError: if it is not.
    """
    if importlib.util.find_spec("math_verify") is None:
        raise InputError(
            "Grading 'math' needs the package math-verify: install it with pip install 'steiner[problems]'."
        )
