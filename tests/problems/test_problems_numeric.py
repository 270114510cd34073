"""Numbers as people and models write them."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steiner.core import Grading, Problem
from steiner.problems.grading import grade
from steiner.problems.numeric import final_quantity, quantities, single_quantity

RIGHT = [
    ("72", "#### 72"),
    ("72", "The answer is **72** clips."),
    ("72", "So \\boxed{72}."),
    ("72", "48 + 24 = 72 in 2 months\nThe answer: $72"),
    ("72", "７２"),
    ("72", "七十二"),
    ("72", "答案是 72 美元，2 天"),
    ("3005", "三千零五"),
    ("12.5", "十二点五"),
    ("70000", "$70,000"),
    ("70000", "\\$70{,}000.00"),
    ("70000", "70\u202f000"),
    ("70000", "7万"),
    ("70000", "7 \\times 10^4"),
    ("70000", "7 × 10⁴"),
    ("3000000", "3 million"),
    ("0.75", "3/4"),
    ("0.75", "¾"),
    ("0.75", "75%"),
    ("0.75", "\\dfrac34"),
    ("1.75", "1¾"),
    ("1.75", "1\\frac{3}{4}"),
    ("12", "12 m²"),
    ("12", "x = 12"),
    ("12", "5-12"),
    ("12", "The answer is 3 * 4 = 12 apples"),
    ("-3", "-3 °C"),
    ("-3", "−3"),
    ("#### 18", "18.0"),
    ("25%", "0.25"),
    ("25%", "25"),
]
WRONG = [
    ("72", "seventy"),
    ("72", "720"),
    ("72", "-72"),
    ("12", "12 million"),
    ("25%", "0.25%"),
    ("1234567", "1234568"),
    ("0.5", "5"),
    ("70000", "70.000"),
    ("3", "3/0"),
]


@pytest.mark.parametrize(("reference", "text"), RIGHT)
def test_right(reference: str, text: str) -> None:
    problem = Problem(question="q", answer=reference, grading=Grading.NUMERIC)
    assert grade(problem, text).right


@pytest.mark.parametrize(("reference", "text"), WRONG)
def test_wrong(reference: str, text: str) -> None:
    problem = Problem(question="q", answer=reference, grading=Grading.NUMERIC)
    assert not grade(problem, text).right


@pytest.mark.parametrize(("language", "right"), [("de", True), ("en", False)])
def test_a_point_between_thousands_is_a_matter_of_language(language: str, right: bool) -> None:
    problem = Problem(question="q", answer="70000", grading=Grading.NUMERIC, language=language)
    assert grade(problem, "Antwort: 70.000").right is right


@given(st.integers(-(10**12), 10**12))
def test_thousands_separators_do_not_matter(number: int) -> None:
    for text in (f"{number}", f"{number:,}", f"The answer is {number:,}.", f"\\boxed{{{number:,}}} g"):
        found = final_quantity(text)
        assert found is not None
        assert Fraction(number) in found.values


@given(st.decimals(-(10**6), 10**6, places=3))
def test_decimals_are_exact(number: object) -> None:
    found = single_quantity(str(number))
    assert found is not None
    assert Fraction(str(number)) in found.values


@given(st.integers(1, 10**9))
def test_chinese_numerals(number: int) -> None:
    digits = "零一二三四五六七八九"
    text = "".join(digits[int(d)] for d in str(number))
    assert [q.values for q in quantities(text)] == [(Fraction(number),)]


def test_a_text_with_more_than_a_number_is_no_single_quantity() -> None:
    for text in ("x + 5", "2x", "(3, 4)", "3 or 4", "\\sqrt{2}", "", "no number"):
        assert single_quantity(text) is None


@pytest.mark.parametrize(
    ("text", "language", "value"),
    [
        ("小明一共有72个苹果。", "zh", 72),
        ("她每天赚18美元", "zh", 18),
        ("合計は1,234円です", "ja", 1234),
        ("結果は-5", "ja", -5),
        ("답은12", "ko", 12),
    ],
)
def test_a_number_may_follow_unspaced_writing(text, language, value):
    found = final_quantity(text, language)
    assert found is not None
    assert found.values[0] == value


def test_a_number_that_is_part_of_a_name_is_none():
    assert [q.text for q in quantities("x2 and a3 make 72")] == ["72"]
