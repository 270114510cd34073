"""What the clustering reads off a text: numbers, true equations, what is left."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steiner.graph.arithmetic import computations, evaluate, tokens_of
from steiner.graph.numerals import canonical, digits, plain
from steiner.graph.remainders import remainder_of
from steiner.graph.text_facts import read_facts


def reached(text: str) -> list[tuple[str, tuple[str, ...]]]:
    return [(one.result, one.operands) for one in computations(tokens_of(digits(plain(text))))]


@pytest.mark.parametrize(
    ("text", "result", "operands"),
    [
        ("She has 16 - 3 - 4 = 9 eggs left", "9", ("16", "3", "4")),
        ("They have 13 players + 7 players = 20 players.", "20", ("13", "7")),
        ("He earns $25/month * 11 months = $275.", "275", ("25", "11")),
        ("The interest is $300 * 2% = $6.0", "6", ("300", "2")),
        ("A cow eats \\frac{1}{2} \\times 60 = 30 kg.", "30", ("1", "2", "60")),
        ("So 2(3 + 4) = 14.", "14", ("2", "3", "4")),
        ("He runs 100 / 3 = 33.33 km.", "33.33", ("100", "3")),
        ("Twelve plus thirty-one is forty-three.", "43", ("12", "31")),
        ("Adding 3 and 5 gives 8.", "8", ("3", "5")),
        ("Subtracting three from eight gives five.", "5", ("8", "3")),
        ("I take 3 away from 8 to get 5.", "5", ("8", "3")),
        ("The product of 4 and 6 is 24.", "24", ("4", "6")),
        ("24 divided by 6 makes 4", "4", ("24", "6")),
        ("5 - 8 = -3", "-3", ("5", "8")),
    ],
)
def test_true_equations_are_read(text: str, result: str, operands: tuple[str, ...]) -> None:
    assert reached(text)[-1:] == [(result, operands)]


@pytest.mark.parametrize(
    "text",
    [
        "She has 16 - 3 - 4 = 8 eggs left",
        "He runs 100 / 3 = 34 km.",
        "It is 7 * 2 * 5 m long.",
        "Then x = 12.",
        "5 / 0 = 0",
        "2 ^ 99999 = 3",
        "The sum of 3 and 5 is 9.",
        "",
    ],
)
def test_what_is_not_true_is_not_computed(text: str) -> None:
    assert reached(text) == []


def test_a_chain_of_equations_counts_each() -> None:
    assert [result for result, _ in reached("It is 2 + 3 = 5 * 4 = 20.")] == ["20"]
    assert [result for result, _ in reached("First 2 + 3 = 5, then 5 * 4 = 20.")] == ["5", "20"]


@settings(deadline=None)
@given(st.integers(-99, 99), st.integers(-99, 99), st.integers(1, 99), st.sampled_from("+-*"))
def test_arithmetic_is_exact(a: int, b: int, c: int, sign: str) -> None:
    expected = {"+": a + b, "-": a - b, "*": a * b}[sign]
    assert evaluate(tokens_of(f"({a} {sign} ({b})) / {c}")) == Fraction(expected, c)


@settings(deadline=None)
@given(st.text(max_size=60))
def test_any_text_can_be_read(text: str) -> None:
    facts = read_facts(text)
    assert facts.computed in ("", facts.result)
    assert evaluate(tokens_of(text)) is None or any(token.kind == "n" for token in tokens_of(text))


@settings(deadline=None)
@given(st.integers(2, 99))
def test_words_are_digits(number: int) -> None:
    ones = """
        zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen
        seventeen eighteen nineteen
        """.split()  # noqa: SIM905
    tens = "twenty thirty forty fifty sixty seventy eighty ninety".split()  # noqa: SIM905
    unit = f"-{ones[number % 10]}" if number % 10 else ""
    word = ones[number] if number < 20 else tens[number // 10 - 2] + unit
    assert digits(f"There are {word} of them") == f"There are {number} of them"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("One adds the salary.", "One adds the salary."),
        ("This one is right.", "This one is right."),
        ("Three minus two is one.", "3 minus 2 is 1."),
        ("That leaves one, five and eight.", "That leaves 1, 5 and 8."),
        ("One and four together make five.", "1 and 4 together make 5."),
    ],
)
def test_one_is_a_number_only_among_numbers(text: str, shown: str) -> None:
    assert digits(text) == shown


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("3 + 5 = 8, which leaves 8 and 7.", "7,8"),
        ("Remaining numbers: 8, 7, 2.", "2,7,8"),
        ("3 + 5 = 8 (left: 7 8)", "7,8"),
        ("so 7, 8 and 2 are left.", "2,7,8"),
        ("Now I have twenty-four and one.", "1,24"),
        ("The pool becomes 7, 7, 8.", "7,7,8"),
        ("That leaves $54.00 - $3.00 = $51.00", ""),
        ("leaving 20 pounds of feed", ""),
        ("He turned left at 5 o'clock.", ""),
        ("Nothing to see.", ""),
    ],
)
def test_what_is_left(text: str, left: str) -> None:
    assert remainder_of(digits(plain(text))) == left


def test_a_true_equation_counts_as_its_result() -> None:
    a, b = read_facts("He has 16 - 3 - 4 = 9 eggs"), read_facts("He has 16 - 7 = 9 eggs")
    assert a.marks == b.marks
    assert a.wording == b.wording
    assert a.free == b.free == frozenset()


def test_spellings() -> None:
    assert canonical("1,000.0") == canonical("$1000") == "1000"
    assert canonical("none") == ""
    assert canonical("-0") == "0"
