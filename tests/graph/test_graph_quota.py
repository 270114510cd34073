from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from steiner.graph.quota import share_out

LISTS = st.lists(st.text("01", max_size=12), max_size=8)


def taken(lists: list[str], slots: list[int]) -> int:
    return sum(row[:n].count("1") for row, n in zip(lists, slots, strict=True))


@given(LISTS, st.integers(1, 60))
def test_the_total_is_met_exactly_wherever_it_can_be(lists: list[str], wanted: int) -> None:
    quotas = share_out(lists, wanted)
    assert quotas.total == taken(lists, quotas.slots) == min(wanted, sum(row.count("1") for row in lists))


@given(LISTS, st.integers(1, 60))
def test_no_question_is_asked_for_more_than_one_slot_beyond_another(lists: list[str], wanted: int) -> None:
    quotas = share_out(lists, wanted)
    assert set(quotas.slots) <= {quotas.level, quotas.level - 1}
    if quotas.level:
        assert taken(lists, [quotas.level - 1] * len(lists)) < wanted, "the level is as low as it can be"


def test_the_first_questions_get_what_is_left_over() -> None:
    assert share_out(["111", "111", "111"], 7).slots == [3, 2, 2]
    assert share_out(["1", "0111", "1111"], 7).slots == [4, 4, 3]


@given(LISTS, st.integers(1, 60), st.lists(st.text("01", max_size=5), min_size=8, max_size=8))
def test_looking_further_than_the_level_changes_nothing(
    lists: list[str], wanted: int, further: list[str]
) -> None:
    """A killed run may have looked further at some questions than an undisturbed one."""
    quotas = share_out(lists, wanted)
    if quotas.total == wanted:
        longer = [row.ljust(quotas.level, "0") + more for row, more in zip(lists, further, strict=False)]
        assert share_out(longer, wanted) == quotas
