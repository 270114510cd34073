"""How the columns of a table become problems, as data: no function per dataset."""

from __future__ import annotations

import ast
import json
import random
import re
from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from pydantic import ValidationError

from steiner.core import Grading, Problem, Record, digest
from steiner.problems.answer_text import after_hashes, boxed
from steiner.problems.choice import reference_letter
from steiner.problems.game24 import make_game24
from steiner.problems.numeric import single_quantity


class AnswerForm(StrEnum):
    """What the answer column holds."""

    TEXT = "text"
    """The answer itself. For multiple choice: a letter, an index, or the text of the right option."""
    HASHES = "hashes"
    """A solution with the answer after `####`."""
    BOXED = "boxed"
    r"""A solution with the answer in `\boxed{…}`."""
    LETTER = "letter"
    """The letter of the right option."""
    INDEX = "index"
    """The number of the right option, from 0."""


class Layout(Record):
    """Which column is what."""

    question: str = "question"
    answer: str = "answer"
    answer_form: AnswerForm = AnswerForm.TEXT
    choices: tuple[str, ...] = ()
    """One column that holds a list of options, or one column per option."""
    wrong_choices: tuple[str, ...] = ()
    """Columns of the wrong options where `answer` holds the right one; all are shuffled by the seed."""
    grading: Grading | None = None
    """None: choice where there are choices; else by the look of each answer: numeric, math or exact."""
    language: str = "en"
    language_column: str = ""
    language_in_name: str = ""
    """Regular expression whose group 1 is the language, in the name of the file or hub configuration."""
    category: str = ""
    """Column with a subject or the like, kept in the problem's facts."""
    header: tuple[str, ...] = ()
    """Column names of files that have none."""
    member: str = "*"
    """Which files of an archive."""
    game24: bool = False
    """The question column holds four numbers for the Game of 24; there is no answer column."""

    def columns(self) -> dict[str, str]:
        """Return the columns that must exist, by the command-line option that names them."""
        named = {"--question-column": self.question}
        if not self.game24:
            named["--answer-column"] = self.answer
        for place, column in enumerate((*self.choices, *self.wrong_choices), 1):
            named[f"--choices-column {place}"] = column
        if self.language_column:
            named["--language-column"] = self.language_column
        return named


class RowError(Exception):
    """A row is no problem; the message says why and shows nothing of the row."""


class HiddenProblem(Problem):
    """A problem whose text must not get into logs: `repr` and `str` show its id alone."""

    def __repr__(self) -> str:
        return f"<problem {self.id} of {self.source}, text not shown>"

    __str__ = __repr__


def build_problem(
    values: Mapping[str, Any],
    layout: Layout,
    source: str,
    *,
    file_name: str = "",
    seed: int = 0,
    hidden: bool = False,
) -> Problem:
    """Make a problem of one row.

    Args:
        values: the row.
        layout: which column is what.
        source: the problem's `source`.
        file_name: name of the file, where the language is part of it.
        seed: decides the order of shuffled options, together with the question alone.
        hidden: make a problem that never shows its text.

    Raises:
        RowError: if the row has no question or answer, or they do not fit the layout.
    """
    question = _text(values, layout.question, "question")
    if layout.game24:
        return _game24(question, source)
    raw = values.get(layout.answer)
    choices, letter = _options(values, layout, question, seed)
    answer = letter or _answer(raw, layout.answer_form, choices)
    category = str(values.get(layout.category) or "").strip() if layout.category else ""
    grading = layout.grading or guess_grading(answer, choices)
    try:
        return (HiddenProblem if hidden else Problem)(
            question=question,
            answer=reference_letter(answer) if grading is Grading.CHOICE else answer,
            grading=grading,
            choices=choices,
            facts={"category": category} if category else {},
            source=source,
            language=_language(values, layout, file_name),
        )
    except ValidationError as error:
        # The error itself would show the row.
        raise RowError(
            "cannot be used: "
            + "; ".join(item["msg"].removeprefix("Value error, ") for item in error.errors())
        ) from None


def guess_grading(answer: str, choices: tuple[str, ...] = ()) -> Grading:
    """Return the grading that fits the look of an answer."""
    if choices or re.fullmatch(r"\(([A-Z])\)", answer):
        return Grading.CHOICE
    if single_quantity(answer) is not None:
        return Grading.NUMERIC
    return Grading.MATH if re.search(r"[\\^$]", answer) else Grading.EXACT


def _text(values: Mapping[str, Any], column: str, what: str) -> str:
    value = values.get(column)
    text = "" if value is None else str(value).strip()
    if not text:
        raise RowError(f"has no {what} (column '{column}' is empty)")
    return text


def _options(
    values: Mapping[str, Any], layout: Layout, question: str, seed: int
) -> tuple[tuple[str, ...], str]:
    """Return the options, and the letter of the right one where the layout tells it apart."""
    if layout.wrong_choices:
        right = _text(values, layout.answer, "answer")
        options = [right, *(_text(values, column, "option") for column in layout.wrong_choices)]
        # Not by the row's number: the order of a question's options must survive a reordered file.
        random.Random(f"{seed}:{digest(question)}:choices").shuffle(options)
        return tuple(options), _letter(options.index(right))
    if len(layout.choices) == 1:
        return tuple(_listed(values.get(layout.choices[0]))), ""
    return tuple(_text(values, column, "option") for column in layout.choices), ""


def _listed(value: Any) -> list[str]:
    """Read a list of options: a list, the text of one in JSON or Python, or a mapping with the key `text`."""
    if isinstance(value, str):
        for parse in (json.loads, ast.literal_eval):
            try:
                value = parse(value)
                break
            except (ValueError, SyntaxError, MemoryError, RecursionError):
                continue
    if isinstance(value, Mapping):
        value = value.get("text")
    if not isinstance(value, (list, tuple)) or not value:
        raise RowError("has no list of options")
    return [str(item).strip() for item in value]


def _answer(raw: Any, form: AnswerForm, choices: tuple[str, ...]) -> str:
    text = "" if raw is None else str(raw).strip()
    if not text:
        raise RowError("has no answer")
    match form:
        case AnswerForm.HASHES:
            found = after_hashes(text)
            if not found:
                raise RowError("has no answer after ####")
            return _plain_number(found)
        case AnswerForm.BOXED:
            found = boxed(text)
            if not found:
                raise RowError(r"has no answer in \boxed{}")
            return found
        case AnswerForm.INDEX:
            return _checked_letter(_letter(int(text)) if text.isdecimal() else "", choices)
        case AnswerForm.LETTER:
            return _checked_letter(reference_letter(text), choices)
        case AnswerForm.TEXT:
            return _choice_answer(raw, text, choices) if choices else _plain_number(text)


def _choice_answer(raw: Any, text: str, choices: tuple[str, ...]) -> str:
    if text in choices:
        return _letter(choices.index(text))
    if isinstance(raw, int) or text.isdecimal():
        return _checked_letter(_letter(int(text)), choices)
    return _checked_letter(reference_letter(text), choices)


def _checked_letter(letter: str, choices: tuple[str, ...]) -> str:
    if (
        len(letter) != 1
        or not letter.isalpha()
        or (choices and not 0 <= ord(letter) - ord("A") < len(choices))
    ):
        raise RowError(f"has an answer that is none of its {len(choices)} options")
    return letter


def _letter(index: int) -> str:
    return chr(ord("A") + index) if 0 <= index < 26 else ""


def _plain_number(text: str) -> str:
    """Remove the commas of a number in English notation: other languages would read them otherwise."""
    return text.replace(",", "") if re.fullmatch(r"-?\d{1,3}(?:,\d{3})+(?:\.\d+)?", text) else text


def _language(values: Mapping[str, Any], layout: Layout, file_name: str) -> str:
    if layout.language_column:
        return str(values.get(layout.language_column) or layout.language).strip()
    match = re.search(layout.language_in_name, file_name) if layout.language_in_name else None
    return match.group(1) if match else layout.language


def _game24(text: str, source: str) -> Problem:
    numbers = re.findall(r"\d+", text)
    if len(numbers) != 4:
        raise RowError("does not hold four numbers")
    return make_game24(map(int, numbers), source)
