"""`steiner compare` and `steiner curve` on saved runs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from steiner.cli import compare, curve
from steiner.core import InputError, StepBudget
from steiner.evaluate import Comparison, SampleResult
from steiner.evaluate.curves import ScalingCurve
from steiner.evaluate.gather import compare_runs, read_run, read_runs
from steiner.evaluate.metrics import curve_point
from steiner.evaluate.saved import SavedEvaluation, save


def write(
    path: Path, right: dict[int | None, list[int]], n: int = 100, model: str = "sft", **limits: int
) -> Path:
    """Save a run in which, under each limit, completion k of each of the first so many questions is right."""
    samples = tuple(
        SampleResult(
            problem_id=f"p{i}", max_steps=limit, right=i < count, well_formed=True, steps=limit or 9,
            backtracks=0, reasoning_tokens=100 * (limit or 10), answer="a" if i < count else "b",
        )
        for limit, counts in right.items()
        for i in range(n)
        for count in counts
    )  # fmt: skip
    points = tuple(curve_point(samples, limit) for limit in right)
    saved = SavedEvaluation(
        model=model, run="r", stage="heldout", temperature=0, seed=0, max_reasoning_tokens=None,
        other_limits=StepBudget(**limits), seconds=1, curve=points, samples=samples,
    )  # fmt: skip
    save(saved, path)
    return path


def run(command, *arguments: object):
    return CliRunner().invoke(command.app, [str(argument) for argument in arguments])


def words(result) -> str:
    assert result.exit_code == 0, result.output
    return " ".join(result.output.split())


def refused(result, message: str) -> None:
    with pytest.raises(InputError, match=message):
        raise result.exception


def test_two_runs_are_compared_under_every_limit_that_both_have(tmp_path):
    old = write(tmp_path / "old.json", {1: [10], 4: [40], None: [45]})
    new = write(tmp_path / "new.json", {1: [12], 4: [60], 8: [70]}, model="rl")
    file = tmp_path / "out.json"
    text = words(run(compare, old, new, "--output", file))
    assert "With 1 step, n=100" in text
    assert "no difference beyond noise: +2.0 points" in text
    assert "Mind: 100 questions show differences from" in text
    assert "With 4 steps, n=100" in text
    assert "B against A: better: +20.0 points" in text
    assert "Better on 20, worse on 0; McNemar's exact p = 1.91e-06" in text
    assert "8 steps" not in text
    found = [Comparison.model_validate(one) for one in json.loads(file.read_bytes())]
    assert [(one.max_steps, one.gained, one.outcome) for one in found] == [
        (1, 2, "unclear"),
        (4, 20, "better"),
    ]
    refused(run(compare, old, new, "--output", file), "exists: give another --output")


def test_several_completions_a_question_show_every_metric(tmp_path):
    file = write(tmp_path / "many.json", {4: [40, 60, 80, 60]})
    text = words(run(compare, file, file))
    for name in ("pass@1", "avg@4", "pass@2", "pass@4", "maj@2", "maj@4"):
        assert name in text
    assert str(file) in text.replace(" ", ""), "two runs of one model are told apart"


def test_two_runs_with_one_limit_each_may_differ_in_it(tmp_path):
    few, many = write(tmp_path / "a.json", {4: [40]}), write(tmp_path / "b.json", {16: [60]})
    (found,) = compare_runs(*read_runs([few, many]))
    assert (found.setting, found.comparison.gained) == ("4 steps → 16 steps", 20)
    both = write(tmp_path / "c.json", {8: [1], 16: [2]})
    refused(
        run(compare, few, both), r"share no step limit: sft .* knows 4 steps and .* knows 8 steps, 16 steps"
    )
    refused(run(compare, few, write(tmp_path / "d.json", {4: [1]}, n=99)), "100 and 99 questions")


def test_a_run_directory_is_read_by_its_benchmark(tmp_path):
    folder = tmp_path / "run" / "benchmarks" / "gsm8k"
    folder.mkdir(parents=True)
    write(folder / "evaluation.json", {4: [4]}, min_steps=3)
    whole = read_run(tmp_path / "run")
    assert whole == read_run(folder) == read_run(folder / "evaluation.json")
    assert {sample.min_steps for sample in whole.samples} == {3}
    (tmp_path / "run" / "benchmarks" / "aime24").mkdir()
    write(tmp_path / "run" / "benchmarks" / "aime24" / "evaluation.json", {4: [4]})
    with pytest.raises(InputError, match=r"holds several evaluations: give one of .*aime24, .*gsm8k"):
        read_run(tmp_path / "run")
    with pytest.raises(InputError, match=r"holds no evaluation\.json"):
        read_run(tmp_path)


def test_a_curve_gets_its_verdict_and_its_baselines(tmp_path):
    long = write(tmp_path / "long.json", {1: [20], 2: [40], 4: [60]})
    short = write(tmp_path / "short.json", {1: [20, 30, 40]}, model="other")
    file = tmp_path / "curve.json"
    text = words(run(curve, long, "--pool", short, "--graded", "--output", file))
    assert "Verdict: rises to 4 steps allowed at least: +40.0 points" in text
    assert "The same tokens, majority vote of other (100 tokens each)" in text
    assert "│ 1 │ 1.0 │ 30.0% │ −10.0 (" in text
    assert "│ 4 │ – │ N beyond 1…3 │" in text
    made = ScalingCurve.model_validate_json(file.read_bytes())
    assert [(b.title, b.metric) for b in made.baselines] == [("other", "maj"), ("other", "pass")]
    assert made.baselines[0].points[2] is None, "four completions would be needed, there are three"
    assert made.baselines[1].points[1].accuracy == pytest.approx((20 + 10 + 10 * 2 / 3) / 100)
    refused(run(curve, long, "--output", file), "exists")


def test_several_runs_make_one_curve(tmp_path):
    files = [write(tmp_path / f"{low}.json", {16: [20]}, n=30, min_steps=low) for low in (1, 4, 8)]
    text = words(run(curve, *files, "--against", "min-steps", "--title", "forced"))
    assert "Verdict: flat within noise: 0.0 points from 1 to 8 steps forced, n=30" in text
    assert "Mind: 30 questions cannot tell a flat curve from a change of" in text
    refused(run(curve, *files), "hold the other limits fixed")
    refused(run(curve, *files, "--against", "steps"), "max-steps, min-steps, tokens, seconds, got 'steps'")
    refused(run(curve, *files, "--against", "seconds"), "have no seconds")


def test_bad_files_are_named(tmp_path):
    refused(run(compare, tmp_path / "a", tmp_path / "b"), "cannot be read")
    (tmp_path / "bad.eval").write_text("{}")
    refused(run(curve, tmp_path / "bad.eval"), "cannot be read as a log of inspect-ai|install inspect-ai")
