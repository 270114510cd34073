"""The check for reasoning whose writer was told the answer, on labelled sentences."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steiner.teacher.llm.checks import mentions_told, told_phrase

FILE = Path(__file__).with_name("told_sentences.txt")


class Labelled(NamedTuple):
    language: str
    tells: bool
    text: str


def sentences() -> list[Labelled]:
    lines = [line for line in FILE.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    rows = [line.split(" ", 2) for line in lines]
    return [Labelled(language, sign == "+", text) for language, sign, text in rows]


KNOWN_MISTAKES = {"The reference solution has a pH of 7, a buffer."}
"""Chemistry has reference solutions, too."""


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_sentences_are_told_apart(language, capsys):
    rows = [row for row in sentences() if row.language == language]
    told = [row for row in rows if row.tells]
    assert len(told) >= 60
    assert len(rows) - len(told) >= 60
    found = [row for row in rows if mentions_told(row.text, language)]
    right = sum(row.tells for row in found)
    with capsys.disabled():
        precision, recall = right / len(found), right / len(told)
        sys.stdout.write(f"\n{language}: precision {precision:.3f}, recall {recall:.3f}\n")
    assert {row.text for row in rows if row.tells != (row in found)} <= KNOWN_MISTAKES


def test_sentences_are_found_inside_long_texts():
    prose = "We add the numbers of the two boxes and get a total, as the question says. " * 40
    for row in sentences():
        wanted = row.tells or row.text in KNOWN_MISTAKES
        assert mentions_told(f"{prose}{row.text} {prose}", row.language) == wanted, row.text


def test_case_and_line_breaks_do_not_matter():
    assert told_phrase("SO GIVEN THE\nANSWER, step 2 is wrong") == "given the answer"


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("de", "Laut der richtigen Antwort sind es 12."),
        ("es", "Según la respuesta correcta, son 12."),
        ("fr", "La réponse fournie est 12."),
        ("ja", "与えられた答えは12です。"),
    ],
)
def test_other_languages_have_a_few_phrases(language, text):
    assert mentions_told(text, language)
    assert not mentions_told("3 + 4 = 7", language)


@given(st.text(), st.sampled_from(["en", "zh", "de", "xx"]))
def test_no_text_breaks_it(text, language):
    assert mentions_told(text, language) == (told_phrase(text, language) is not None)
