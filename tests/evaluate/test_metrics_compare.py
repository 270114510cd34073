"""Points of a curve, comparisons, and the words they are given."""

from __future__ import annotations

import pytest

from steiner.core import InputError
from steiner.evaluate import Outcome, SampleResult
from steiner.evaluate.metrics import compare, curve_point, model_result, wilson_interval
from steiner.evaluate.wording import interval, percent, points, steps_allowed, summary_sentence


def sample(problem: int, right: bool, max_steps: int | None = 8, **changes: object) -> SampleResult:
    fields: dict[str, object] = {
        "problem_id": f"p{problem}",
        "max_steps": max_steps,
        "right": right,
        "well_formed": True,
        "steps": 4,
        "backtracks": 1,
        "reasoning_tokens": 100,
        "answer": "1 + 2",
    }
    return SampleResult.model_validate({**fields, **changes})


def results(right: int, n: int, max_steps: int | None = 8, first: int = 0) -> list[SampleResult]:
    """Samples of n questions of which `right` consecutive ones, from `first` on, are solved."""
    return [sample(i, first <= i < first + right, max_steps) for i in range(n)]


def test_point_takes_its_limit_only_and_uses_wilson() -> None:
    point = curve_point([*results(30, 100), *results(90, 100, max_steps=16)], 8)
    assert (point.accuracy, point.n, point.max_steps) == (0.3, 100, 8)
    assert (point.low, point.high) == pytest.approx(wilson_interval(30, 100))
    assert (point.mean_steps, point.mean_reasoning_tokens, point.well_formed) == (4.0, 100.0, 1.0)


def test_point_of_repeated_questions_counts_questions() -> None:
    once = results(30, 100)
    four = curve_point(once * 4, 8)
    assert (four.accuracy, four.n) == (pytest.approx(0.3), 100)
    low, high = wilson_interval(30, 100)
    assert four.high - four.low == pytest.approx(high - low, rel=0.1)


def test_point_of_repeated_questions_that_all_agree_keeps_its_width() -> None:
    point = curve_point(results(5, 5) * 3, 8)
    assert (point.accuracy, point.high) == (1.0, 1.0)
    assert point.low < 0.6


def test_point_without_samples_says_which_limit() -> None:
    with pytest.raises(InputError, match="16 steps"):
        curve_point(results(3, 5), 16)


def test_model_result_orders_its_curve_and_counts_repeats_at_the_final_limit() -> None:
    samples = [
        *results(9, 10, None),
        *results(2, 10, 2),
        *(sample(i, i < 5, 8, steps=10, repeated_steps=3) for i in range(10)),
    ]
    result = model_result("sft", "after fine-tuning", samples, final=8, minimum=2, seconds=1.5)
    assert [point.max_steps for point in result.curve] == [2, 8, None]
    assert (result.final.accuracy, result.minimum.accuracy, result.repeats) == (0.5, 0.2, 0.3)


def test_comparison_finds_a_clear_gain() -> None:
    result = compare(results(250, 500), results(300, 500), max_steps=8, titles=("SFT", "RL"))
    assert (result.outcome, result.gained, result.lost) == (Outcome.BETTER, 50, 0)
    assert result.verdict.startswith("better: +10.0 points, 95% interval +")
    assert result.low > 0
    assert result.mcnemar_p < 1e-9


def test_comparison_finds_a_clear_loss() -> None:
    result = compare(results(300, 500), results(250, 500), max_steps=8)
    assert result.outcome is Outcome.WORSE
    assert result.verdict.startswith("worse: −10.0 points")


def test_comparison_admits_noise_and_what_it_could_have_missed() -> None:
    result = compare(results(250, 500), results(250, 500, first=6), max_steps=8)
    assert (result.gained, result.lost, result.difference) == (6, 6, 0.0)
    assert result.outcome is Outcome.UNCLEAR
    assert result.verdict.startswith("no difference beyond noise: 0.0 points, 95% interval −1.")
    assert result.verdict.endswith("points could be missed")
    assert 0.01 < result.detectable < 0.03


def test_comparison_does_not_depend_on_the_order_of_samples() -> None:
    before, after = results(20, 50), results(25, 50)
    assert compare(before, after, max_steps=8) == compare(before[::-1], after[::-1], max_steps=8)


def test_comparison_refuses_other_questions() -> None:
    with pytest.raises(InputError, match="5 and 6 questions, 5 of them the same"):
        compare(results(2, 5), results(2, 6), max_steps=8)


def test_summary_says_what_search_is_worth_and_that_the_last_stage_added_nothing() -> None:
    samples = [*results(370, 500), *results(60, 500, 2)]
    model = model_result("rl", "RL", samples, final=8, minimum=2, seconds=1.0)
    noise = compare(samples, [*results(370, 500, first=1)], max_steps=8, titles=("fine-tuning", "RL"))
    text = summary_sentence([model], [noise])
    assert "The final model (RL) solves 74.0% of 500 problems with up to 8 steps" in text
    assert "against 12.0% when it may take only 2 steps, 6.2 times as many" in text
    assert "From fine-tuning to RL: no difference beyond noise: 0.0 points" in text


def test_summary_does_not_claim_that_search_helps_when_it_does_not() -> None:
    samples = [*results(62, 500), *results(60, 500, 2)]
    model = model_result("rl", "RL", samples, final=8, minimum=2, seconds=1.0)
    assert "more steps do not clearly help" in summary_sentence([model], [])


def test_summary_of_nothing_is_a_sentence() -> None:
    assert summary_sentence([], []) == "No model has been evaluated yet."


def test_numbers_read_well() -> None:
    assert (percent(0.742), points(0.0123), points(-0.0001), points(-0.05)) == (
        "74.2%",
        "+1.2",
        "0.0",
        "−5.0",
    )
    assert (interval(0.701, 0.779), steps_allowed(None), steps_allowed(1)) == (
        "70.1–77.9%",
        "no limit",
        "1 step",
    )
