"""Figures of one update, counted by hand."""

from __future__ import annotations

import numpy as np
import pytest

from steiner.core import Move, Step
from steiner.train.monitor import Written, logprob_gap, update_figures
from steiner.train.monitor.figures import SAMPLING_GAP, read
from steiner.train.monitor.text import idle_backtracks, repeats, scripts

GO, BACK = Move.PROCEED, Move.BACKTRACK


def step(thought: str, name: str = "Try", summary: str = "") -> Step:
    return Step(name=name, thought=thought, summary=summary, reflection="go on")


def written(**changes: object) -> Written:
    values: dict[str, object] = {
        "group": 0, "reward": 1.0, "right": True, "well_formed": True, "truncated": False, "signal": True,
        "max_steps": 4, "steps": (step("3 + 5 = 8"), step("8 * 7 = 56")), "moves": (GO,),
    }  # fmt: skip
    return Written(**(values | changes))  # type: ignore[arg-type]


def test_figures_of_two_groups() -> None:
    again = (step("3 + 5 = 8"), step("3 - 5 = -2"), step("3 + 5 = 8"), step("我想三加五"))
    figures = update_figures(
        [
            written(reward=1.5),
            written(reward=0.5, right=False, steps=again, moves=(BACK, BACK, GO)),
            written(group=1, right=False, well_formed=False, truncated=True, signal=False, reward=0.0),
            written(group=1, right=False, truncated=True, signal=False, max_steps=2, reward=0.0),
        ],
        gap=0.02,
    )
    assert figures.reward == 0.5
    assert figures.right == 0.25
    assert figures.well_formed == 0.75
    assert figures.steps == (2 + 4 + 2 + 2) / 4
    assert figures.at_limit == 0.5
    assert figures.repeated == 1 / 10
    assert figures.idle_backtracks == 1 / 2
    assert figures.han == 1.0  # numbers and signs are no letters
    assert (figures.latin, figures.no_signal, figures.truncated) == (0.0, 0.5, 0.5)
    assert read(figures.logged()) == figures


def test_a_group_with_one_completion_that_teaches_is_counted_as_such() -> None:
    figures = update_figures([written(signal=False, truncated=True), written(signal=True)])
    assert (figures.no_signal, figures.truncated) == (0.0, 0.0)


def test_exact_states_are_believed_where_there_are_some() -> None:
    assert update_figures([written(repeated=(False, True))]).repeated == 0.5


def test_what_cannot_be_measured_is_left_out_of_the_log() -> None:
    figures = update_figures([written(steps=(), moves=())])
    assert (figures.repeated, figures.idle_backtracks, figures.latin, figures.logprob_gap) == (None,) * 4
    assert read(figures.logged()) == figures
    assert read({"loss": 1.0, "search/reward": 1.0}) is None


def test_the_gap_that_trl_logs_is_taken() -> None:
    logged = update_figures([written()]).logged()
    assert read(logged | {SAMPLING_GAP: 0.07}) == update_figures([written()], gap=0.07)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (step("3 + 5 = 8"), step("3 + 5 = 8"), True),
        (step("3 + 5 = 8"), step("3 - 5 = 8"), False),
        (step("3 + 5 = 8"), step("5 + 3 = 8"), False),
        (step("3 + 5 = 8", name="From 3 5 7"), step("3 + 5 = 8", name="From 3 5 9"), False),
        (
            step("The price is 12 dollars for each of the boxes, so 3 boxes cost 36 dollars."),
            step("The price is 12 dollars for each of these boxes, so 3 boxes cost 36 dollars"),
            True,
        ),
        (step("add the apples first"), step("count the people who paid twice"), False),
        (step("先算苹果的价格再加起来"), step("先算苹果的价格再加起來"), True),
    ],
)
def test_same_step(one: Step, other: Step, same: bool) -> None:
    assert repeats([one, other]) == [False, same]


def test_a_backtrack_without_a_step_after_it_does_not_count() -> None:
    assert idle_backtracks((step("a"), step("b")), (GO, BACK)) == (0, 0)
    assert idle_backtracks((step("a"), step("b"), step("a")), (GO, BACK)) == (1, 1)


def test_scripts() -> None:
    assert scripts(["ab", "中文", "дя"]) == (1 / 3, 1 / 3, 1 / 3)
    assert scripts(["Ünï"]) == (1, 0, 0)
    assert scripts(["3 + 5 = 8", ""]) is None


def test_logprob_gap_is_the_mean_over_chosen_tokens_that_are_known() -> None:
    trainer, rollout = np.array([-1.0, -2.0, -3.0, -4.0]), np.array([-1.5, -2.0, 9.0, np.nan])
    assert logprob_gap(trainer, rollout, np.array([True, True, False, True])) == 0.25
    assert logprob_gap(trainer, rollout, np.zeros(4, dtype=bool)) is None
