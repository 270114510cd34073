"""Grade an arithmetic expression: find it in Markdown, parse it safely, evaluate it exactly.

Nothing is ever evaluated by Python: the expression is parsed with `ast` and only integers and + - * / are
read.
"""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Sequence
from fractions import Fraction
from typing import NamedTuple

from steiner.problems.answer_text import final_answers, normalize

MAX_CHARACTERS = 500
MAX_DIGITS = 12

_SIGNS = str.maketrans({
    "×": "*", "·": "*", "∗": "*", "⋅": "*", "∙": "*", "÷": "/", "∕": "/", "⁄": "/",
    "−": "-", "–": "-", "—": "-", "[": "(", "]": ")", "{": "(", "}": ")",
})  # fmt: skip
_FRACTION = re.compile(r"\\[dt]?frac\s*\{([^{}]*)\}\s*\{([^{}]*)\}")
_MAX_NESTING = 4
"""Fractions within fractions; more than three operations do not occur in what is asked."""
_LATEX = {r"\times": "*", r"\cdot": "*", r"\ast": "*", r"\div": "/"}
_LAYOUT = re.compile(r"\\(?:left|right|quad|qquad|[,;:! ()\[\]])|\*\*|__|[`$]")
_TOKEN = re.compile(r"\d+|[-+*/()]|=|\s+|.", re.DOTALL)


class Verdict(NamedTuple):
    """What an expression is worth."""

    right: bool
    expression: str
    """As found; empty if there is none."""
    reason: str


def grade_expression(text: str, numbers: Sequence[int], target: int, *, whole: bool = True) -> Verdict:
    """Say whether the last expression of an answer uses each number exactly once and reaches the target.

    Args:
        text: the answer, for example ``**(3 * 5) + 7 = 22**``.
        numbers: numbers to use, each exactly once.
        target: value to reach.
        whole: every intermediate result must be whole and not negative (Countdown); otherwise fractions and
            negative results may occur on the way (Game of 24).
    """
    found = find_expression(text, numbers)
    if found is None:
        return Verdict(False, "", "no expression found")
    try:
        tree = _parse(found)
        used = Counter(_leaves(tree))
    except ValueError as error:
        return Verdict(False, found, str(error))
    given = Counter(numbers)
    if used != given:
        extra, missing = used - given, given - used
        parts = [f"does not use {_listed(missing)}"] if missing else []
        parts += [f"uses {_listed(extra)} too often"] if extra else []
        return Verdict(False, found, " and ".join(parts))
    try:
        value = _evaluate(tree, whole)
    except ValueError as error:
        return Verdict(False, found, str(error))
    if value != target:
        return Verdict(False, found, f"reaches {value}, not {target}")
    return Verdict(True, found, "reaches the target")


def find_expression(text: str, numbers: Sequence[int] = ()) -> str | None:
    """Return the last arithmetic expression of an answer, None if it has none.

    A marked final answer is believed before the rest of the text. Within one place the last expression that
    uses just `numbers` goes before others: a check such as «15 + 7 = 22» may follow the answer.
    """
    wanted = sorted(map(str, numbers))
    text = normalize(text)
    for place in [*final_answers(text), text]:
        expressions = _expressions(place)
        if expressions:
            fitting = [e for e in expressions if sorted(re.findall(r"\d+", e)) == wanted]
            return (fitting or expressions)[-1]
    return None


def _expressions(text: str) -> list[str]:
    """Return all runs of numbers, operators and brackets that contain an operator between operands."""
    for command, sign in _LATEX.items():
        text = text.replace(command, sign)
    for _ in range(_MAX_NESTING):
        text = _FRACTION.sub(r"((\1)/(\2))", text)
    text = _LAYOUT.sub(" ", text).translate(_SIGNS)
    runs: list[list[str]] = [[]]
    for token in _TOKEN.findall(text):
        if token.isspace():
            if "\n" in token:
                runs.append([])
            continue
        if not (token[0].isascii() and token.isdigit()) and token not in set("+-*/()"):
            runs.append([])
            continue
        operand_ended = bool(runs[-1]) and (runs[-1][-1].isdigit() or runs[-1][-1] == ")")
        if operand_ended and (token.isdigit() or token == "("):
            runs.append([])
        runs[-1].append(token)
    candidates = (_trimmed(run) for run in runs)
    return [" ".join(c).replace("( ", "(").replace(" )", ")") for c in candidates if c]


def _trimmed(run: list[str]) -> list[str]:
    """Cut bullets and dangling operators off both ends; empty if no operation is left."""
    start, end = 0, len(run)
    while start < end and run[start] in "+-*/)":
        start += 1
    while end > start and run[end - 1] in "+-*/(":
        end -= 1
    run = run[start:end]
    while run.count(")") > run.count("(") and run and run[-1] == ")":
        run = run[:-1]
    while run.count("(") > run.count(")") and run and run[0] == "(":
        run = run[1:]
    has_operation = any(token in "+-*/" for token in run) and any(token.isdigit() for token in run)
    return run if has_operation else []


def _parse(text: str) -> ast.expr:
    if len(text) > MAX_CHARACTERS:
        raise ValueError(f"the expression is longer than {MAX_CHARACTERS} characters")
    if re.search(rf"\d{{{MAX_DIGITS + 1}}}", text):
        raise ValueError(f"a number has more than {MAX_DIGITS} digits")
    try:
        return ast.parse(text, mode="eval").body
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        raise ValueError("not a well-formed expression") from None


def _leaves(tree: ast.expr) -> list[int]:
    if isinstance(tree, ast.BinOp):
        return _leaves(tree.left) + _leaves(tree.right)
    if isinstance(tree, ast.UnaryOp) and isinstance(tree.op, ast.USub):
        return _leaves(tree.operand)
    if isinstance(tree, ast.Constant) and type(tree.value) is int:
        return [tree.value]
    raise ValueError("only whole numbers, + - * / and brackets may be used")


def _evaluate(tree: ast.expr, whole: bool) -> Fraction:
    if isinstance(tree, ast.Constant):
        assert isinstance(tree.value, int)
        return Fraction(tree.value)
    if isinstance(tree, ast.UnaryOp):
        value = -_evaluate(tree.operand, whole)
    else:
        assert isinstance(tree, ast.BinOp)
        value = _apply(tree.op, _evaluate(tree.left, whole), _evaluate(tree.right, whole))
    if whole and (value < 0 or value.denominator != 1):
        raise ValueError(f"an intermediate result, {value}, is {'negative' if value < 0 else 'not whole'}")
    return value


def _apply(operator: ast.operator, left: Fraction, right: Fraction) -> Fraction:
    match operator:
        case ast.Add():
            return left + right
        case ast.Sub():
            return left - right
        case ast.Mult():
            return left * right
        case ast.Div():
            if right == 0:
                raise ValueError("divides by zero")
            return left / right
    raise ValueError("only + - * / may be used")


def _listed(numbers: Counter[int]) -> str:
    return " ".join(map(str, sorted(numbers.elements())))
