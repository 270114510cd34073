"""Curves over settings of steps, tokens and seconds, and what the same tokens buy otherwise."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from steiner.core import InputError
from steiner.evaluate import SampleResult
from steiner.evaluate.baselines import Pool
from steiner.evaluate.curves import Axis, ScalingCurve, scaling_curve
from steiner.evaluate.drawing.curve_file import curve_file
from steiner.evaluate.passes import Metric
from steiner.evaluate.trend import Shape


def sample(problem: int, right: bool, max_steps: int | None, **changes: object) -> SampleResult:
    fields: dict[str, object] = {
        "problem_id": f"p{problem}",
        "max_steps": max_steps,
        "right": right,
        "well_formed": True,
        "steps": 4,
        "backtracks": 1,
        "reasoning_tokens": 100 * (max_steps or 10),
        "answer": "a" if right else "b",
    }
    return SampleResult.model_validate({**fields, **changes})


def run(right: dict[int | None, int], n: int = 100, **changes: object) -> list[SampleResult]:
    """Samples of n questions, of which under each limit the first so many are solved."""
    return [sample(i, i < count, limit, **changes) for limit, count in right.items() for i in range(n)]


def pool(right: int, wrong: int, n: int = 100, **changes: object) -> list[SampleResult]:
    """The same completions of every question: so many right, so many wrong, 100 tokens each."""
    return [sample(i, k < right, 1, **changes) for i in range(n) for k in range(right + wrong)]


def test_accuracy_against_allowed_steps() -> None:
    curve = scaling_curve([run({4: 40, 1: 20, 2: 30, None: 41})], Axis.MAX_STEPS, title="sft")
    assert [point.label for point in curve.points] == ["1", "2", "4", "no limit"]
    assert [point.x for point in curve.points] == [1, 2, 4, None]
    assert [point.accuracy for point in curve.points] == [0.2, 0.3, 0.4, 0.41]
    assert all(0 < p.low < p.accuracy < p.high < 1 and p.n == p.samples == 100 for p in curve.points)
    assert (curve.shape, curve.at, curve.peak_low, curve.peak_high) == (Shape.RISES, "4", "4", "no limit")
    assert curve.verdict.startswith("rises to 4 steps allowed at least: +21.0 points from 1 to no limit")
    assert ScalingCurve.model_validate_json(curve.model_dump_json()) == curve


def test_accuracy_against_forced_steps_tokens_and_seconds() -> None:
    runs = [
        run({16: 50}, min_steps=low, reasoning_tokens=tokens, seconds=seconds)
        for low, tokens, seconds in [(0, 300, 2.5), (4, 500, 1.25), (8, 900, 5.0)]
    ]
    labels = {
        axis: [point.label for point in scaling_curve(runs, axis, title="m").points]
        for axis in (Axis.MIN_STEPS, Axis.TOKENS, Axis.SECONDS)
    }
    assert labels == {
        Axis.MIN_STEPS: ["0", "4", "8"],
        Axis.TOKENS: ["300", "500", "900"],
        Axis.SECONDS: ["1.25", "2.5", "5"],
    }


def test_several_samples_of_a_question_count_as_one_question() -> None:
    once = scaling_curve([run({1: 20, 2: 30})], Axis.MAX_STEPS, title="m")
    four = scaling_curve([run({1: 20, 2: 30}) * 4], Axis.MAX_STEPS, title="m")
    assert [p.samples for p in four.points] == [400, 400]
    assert four.p_rise == once.p_rise
    assert [(p.low, p.high) for p in four.points] == [(p.low, p.high) for p in once.points]


def test_what_the_same_tokens_buy_in_votes_and_choices() -> None:
    short = Pool("short", pool(2, 1), graded=True)
    curve = scaling_curve([run({1: 20, 2: 30, 3: 60, 8: 70})], Axis.MAX_STEPS, title="m", pools=[short])
    vote, best = curve.baselines
    assert (vote.metric, best.metric, vote.samples, vote.tokens) == (Metric.MAJORITY, Metric.PASS, 3, 100.0)
    assert vote.points[3] is None, "800 tokens pay for 8 completions, there are 3"
    one, two, three = vote.points[:3]
    assert one is not None
    assert two is not None
    assert three is not None
    assert (one.k, two.k, three.k) == (1, 2, 3)
    # Votes of 2 of {right, right, wrong}: one of three is unanimous, two of three tie.
    assert (one.accuracy, two.accuracy, three.accuracy) == pytest.approx((2 / 3, 2 / 3, 1.0))
    assert [p.accuracy for p in best.points[:3] if p] == pytest.approx([2 / 3, 1.0, 1.0])
    assert three.ahead == pytest.approx(0.6 - 1.0)
    assert three.ahead_low < three.ahead < three.ahead_high < 0


def test_tokens_between_two_whole_numbers_of_completions_are_a_mixture() -> None:
    long = run({1: 20}, reasoning_tokens=50, tokens=150) + run({2: 20}, reasoning_tokens=60, tokens=250)
    scored = Pool("other", pool(1, 1, tokens=100, score=0.5))
    curve = scaling_curve([long], Axis.MAX_STEPS, title="m", pools=[scored])
    vote, best = curve.baselines
    assert best.metric is Metric.BEST
    assert vote.points[0] is not None
    assert vote.points[0].k == 1.5
    assert vote.points[0].accuracy == pytest.approx(0.5)
    assert vote.points[1] is None


@pytest.mark.parametrize(
    ("runs", "axis", "message"),
    [
        ([run({1: 5})], Axis.MAX_STEPS, "at least two settings, there are 1"),
        ([run({1: 5}), run({1: 9})], Axis.MAX_STEPS, "at the same place of the axis max-steps, 1"),
        ([run({1: 5}), run({2: 5}, n=90)], Axis.MAX_STEPS, "100 and 90, 90 of them the same"),
        ([run({1: 5, 2: 5})], Axis.SECONDS, "have no seconds"),
    ],
)
def test_what_makes_no_curve_is_refused(runs: list[list[SampleResult]], axis: Axis, message: str) -> None:
    with pytest.raises(InputError, match=message):
        scaling_curve(runs, axis, title="m")


@pytest.mark.parametrize("samples", [pool(1, 1, n=90), pool(1, 1, n=101), [*pool(1, 1), *run({7: 3})], []])
def test_a_pool_of_other_questions_or_several_settings_is_refused(samples: list[SampleResult]) -> None:
    with pytest.raises(InputError, match="'short' cannot be held against the curve"):
        scaling_curve([run({1: 20, 2: 30})], Axis.MAX_STEPS, title="m", pools=[Pool("short", samples)])


def test_a_curve_as_an_svg_file() -> None:
    short = Pool("short <b>", pool(2, 1), graded=True)
    curve = scaling_curve(
        [run({1: 20, 2: 30, 3: 60, None: 70})], Axis.MAX_STEPS, title="a & b", pools=[short]
    )
    text = curve_file([curve], "Accuracy & steps", trained_to=2)
    root = ElementTree.fromstring(text)
    texts = ["".join(one.itertext()) for one in root.iter("{http://www.w3.org/2000/svg}text")]
    assert texts[0] == "Accuracy & steps"
    assert "trained up to here" in texts
    legend = ["a & b", "majority vote of short <b>, same tokens", "best of N of short <b>, same tokens"]
    assert texts[-3:] == legend
    assert len(root.findall(".//{http://www.w3.org/2000/svg}polygon[@class]")) >= 1
