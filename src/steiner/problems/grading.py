"""Grade answers: exact, numeric, multiple choice, mathematical equivalence, or a task's own scorer."""

from __future__ import annotations

from collections.abc import Callable

from steiner.core import Grading, Problem
from steiner.problems.answer_text import comparable, final_answers, last_line, normalize
from steiner.problems.choice import chosen_letter, reference_letter
from steiner.problems.math_equal import extract_math, math_equal
from steiner.problems.numeric import final_quantity, sentence_quantity, single_quantity
from steiner.problems.tasks import Grade, register, scorer_of

__all__ = ["Grade", "answers_equivalent", "grade", "register"]


def grade(problem: Problem, answer_text: str) -> Grade:
    """Compare the text of an answer (Markdown, as a model writes it) with the problem's reference.

    Never raises on any text: what cannot be read is wrong, with the reason.

    Raises:
        InputError: if the problem's task has no scorer, or the grader's package is not installed.
    """
    if not answer_text.strip():
        return Grade(False, "", "empty answer")
    return _GRADERS[problem.grading](problem, _encodable(answer_text))


def answers_equivalent(problem: Problem, a: str, b: str) -> bool:
    """Say whether two answers to one problem say the same, right or wrong; cheap enough to merge nodes.

    Computer algebra is used only for `Grading.MATH`, and there only where spelling and numbers do not decide.
    """
    a, b = _encodable(a), _encodable(b)
    if comparable(a) == comparable(b):
        return True
    match problem.grading:
        case Grading.CHOICE:
            one, two = chosen_letter(a, problem.choices), chosen_letter(b, problem.choices)
            return one is not None and one == two
        case Grading.NUMERIC:
            left, right = final_quantity(a, problem.language), final_quantity(b, problem.language)
            return left is not None and right is not None and left.values[0] == right.values[0]
        case Grading.MATH:
            return math_equal(extract_math(a), extract_math(b))
        case Grading.TASK:
            return _squeezed(a) == _squeezed(b)
        case Grading.EXACT:
            return _exact_text(a) == _exact_text(b)


def _exact(problem: Problem, text: str) -> Grade:
    wanted = comparable(problem.answer)
    cleaned = normalize(text)
    for place in (cleaned, *final_answers(cleaned), last_line(cleaned)):
        if comparable(place) == wanted:
            return Grade(True, place, "equal")
    return Grade(False, _exact_text(text), f"differs from '{problem.answer}'")


def _exact_text(text: str) -> str:
    cleaned = normalize(text)
    return comparable(next(final_answers(cleaned), cleaned))


def _numeric(problem: Problem, text: str) -> Grade:
    reference = final_quantity(problem.answer)
    found = final_quantity(text, problem.language)
    if found is None:
        return Grade(False, "", "no number found")
    if reference is None:
        return Grade(False, found.text, f"the reference '{problem.answer}' is no number")
    right = found.equals(reference)
    return Grade(right, found.text, "equal" if right else f"differs from {reference.text}")


def _choice(problem: Problem, text: str) -> Grade:
    wanted = reference_letter(problem.answer)
    letter = chosen_letter(text, problem.choices)
    if letter is None:
        return Grade(False, "", "no single option found")
    if letter == wanted or _same_text(problem.choices, letter, wanted):
        return Grade(True, letter, "the right option")
    return Grade(False, letter, f"the right option is {wanted}")


def _same_text(choices: tuple[str, ...], one: str, two: str) -> bool:
    """Say whether two letters stand for options of equal text."""
    i, j = ord(one) - ord("A"), (ord(two) - ord("A") if len(two) == 1 else -1)
    return 0 <= j < len(choices) and i < len(choices) and comparable(choices[i]) == comparable(choices[j])


def _math(problem: Problem, text: str) -> Grade:
    extracted = extract_math(text)
    reference = extract_math(problem.answer)
    if (wanted := single_quantity(reference)) and (found := sentence_quantity(extracted, problem.language)):
        # A number in a sentence, such as «The length is 7 cm», is no case for computer algebra.
        right = found.equals(wanted)
        return Grade(right, found.text, "equal" if right else f"differs from {wanted.text}")
    right = math_equal(reference, extracted)
    return Grade(right, extracted, "equivalent" if right else "not equivalent")


def _task(problem: Problem, text: str) -> Grade:
    return scorer_of(problem.task)(problem, text)


def _encodable(text: str) -> str:
    """Replace lone surrogates, which no file or pipe can carry."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _squeezed(text: str) -> str:
    return "".join(comparable(text).split())


_GRADERS: dict[Grading, Callable[[Problem, str], Grade]] = {
    Grading.EXACT: _exact,
    Grading.NUMERIC: _numeric,
    Grading.CHOICE: _choice,
    Grading.MATH: _math,
    Grading.TASK: _task,
}
