"""Chains of operations: written, found again, and calculated."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steiner.cli.common import is_right
from steiner.testing import Chain, Operation, arithmetic_problems, find_chain

OPERATIONS = st.builds(Operation, st.sampled_from("+-*"), st.integers(0, 10**6))
CHAINS = st.builds(Chain, st.integers(0, 10**6), st.lists(OPERATIONS, min_size=2, max_size=12).map(tuple))
# Letters only: digits and signs beside the chain would belong to it.
WORDS = st.text(st.characters(categories=["Lu", "Ll", "Lo"]), min_size=1, max_size=20)


@given(CHAINS, WORDS, WORDS)
def test_a_chain_is_found_in_any_words(chain, before, after):
    assert find_chain(f"{before} {chain} {after}") == chain
    assert find_chain(f"{before}: {chain}?") == chain
    assert find_chain(f"{before}：{chain}，{after}") == chain


@given(CHAINS)
def test_typographic_signs_mean_the_same(chain):
    assert find_chain(str(chain).replace("*", "×").replace("-", "−")) == chain


@given(CHAINS)
def test_values_are_those_of_the_expression_in_brackets(chain):
    text = str(chain.start)
    for operation in chain.operations:
        text = f"({text} {operation.sign} {operation.operand})"
    # Made of integers and + - * only.
    assert chain.values[-1] == eval(text)
    assert len(chain.values) == len(chain.operations) + 1


@given(st.text())
def test_no_text_breaks_the_search(text):
    chain = find_chain(text)
    assert chain is None or len(chain.operations) >= 2


@pytest.mark.parametrize(
    "text",
    [
        "17 + 25 = 42",
        "from 2024-10-12 on",
        "1 + 2",
        "3.5 + 2 * 4",
        "pages 3 - 4",
        "1 + 2 + 3 = 6",
        "",
        "a + b",
    ],
)
def test_what_is_no_question(text):
    assert find_chain(text) is None


def test_problems_are_distinct_and_can_be_answered():
    problems = arithmetic_problems(500, 4, chinese=0.3)
    assert len({problem.id for problem in problems}) == 500
    assert {problem.language for problem in problems} == {"en", "zh"}
    for problem in problems:
        chain = find_chain(problem.question)
        assert chain is not None
        assert 3 <= len(chain.operations) <= 6
        assert is_right(problem, str(chain.values[-1]))
        assert not is_right(problem, str(chain.values[-1] + 1))


def test_the_answer_stands_nowhere_before_the_end():
    for problem in arithmetic_problems(500, 5):
        chain = find_chain(problem.question)
        assert chain is not None
        assert problem.answer not in problem.question
        assert not any(problem.answer in str(value) for value in chain.values[:-1])


def test_the_seed_decides():
    assert arithmetic_problems(20, 1) == arithmetic_problems(30, 1)[:20]
    assert arithmetic_problems(20, 1) != arithmetic_problems(20, 2)
