from __future__ import annotations

import math
from functools import cached_property

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from steiner.core import Problem, Record, Step, canonical_json, digest

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


class Counted(Record):
    number: int
    inner: Step | None = None

    @cached_property
    def double(self) -> int:
        return 2 * self.number


def test_a_copy_forgets_what_was_cached():
    one = Counted(number=1)
    assert one.double == 2
    assert "double" in one.__dict__
    two = one.model_copy(update={"number": 2})
    assert two.double == 4
    assert one.double == 2, "the original keeps its own"


def test_a_changed_problem_has_another_id():
    problem = Problem(question="2 + 3?", answer="5")
    before = problem.id, problem.question_key
    copy = problem.model_copy(update={"question": "3 + 3?", "answer": "6"})
    assert copy.id not in before
    assert copy.question_key != before[1]
    assert copy.id == Problem(question="3 + 3?", answer="6").id


@pytest.mark.parametrize("deep", [False, True])
def test_a_copy_without_changes_is_equal_and_keeps_its_fields(deep):
    one = Counted(number=3, inner=Step(name="n", thought="t", summary="s", reflection="r"))
    assert one.double == 6
    copy = one.model_copy(deep=deep)
    assert copy.model_dump() == one.model_dump()
    assert (copy.inner is one.inner) is not deep
    assert copy.double == 6


def test_records_are_frozen_and_know_their_fields():
    with pytest.raises(ValidationError, match="frozen"):
        Counted(number=1).number = 2  # type: ignore[misc]
    with pytest.raises(ValidationError, match="Extra inputs"):
        Counted.model_validate({"number": 1, "numbr": 2})


@given(st.dictionaries(st.text(), JSON, max_size=4), st.randoms())
def test_the_digest_does_not_depend_on_the_order_of_keys(value, rng):
    keys = list(value)
    rng.shuffle(keys)
    assert digest({key: value[key] for key in keys}) == digest(value)


@given(JSON, JSON)
def test_values_of_different_text_have_different_digests(a, b):
    assert (digest(a) == digest(b)) == (canonical_json(a) == canonical_json(b))


def test_what_has_no_json_is_refused():
    with pytest.raises(ValueError, match="not JSON compliant"):
        digest([math.nan])


def test_a_digest_is_short_and_survives_broken_text():
    assert len(digest("x")) == 16
    assert len(digest("x", 40)) == 40
    assert digest("\ud800") != digest("?"), "half a surrogate pair, as broken files bring it"
