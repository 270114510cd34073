from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import get_args, get_type_hints

import orjson
import pytest
from typer.testing import CliRunner

from steiner.cli.synthesize import app
from steiner.cli.synthesize.command import synthesize
from steiner.core import InputError, NoProgress, Problem, ResumeError, Settings, Trace
from steiner.problems.countdown import CountdownSettings, generate
from steiner.store import RunDir, Stage, StoredRecord
from steiner.synthesis import PlanSettings, SynthesisSettings, SynthesisYield, synthesise_run
from steiner.synthesis.llm_stage import LlmSynthesisSettings

SETTINGS = SynthesisSettings(drafts=1, truncations=4)
COUNTDOWN = CountdownSettings(count=3, low=1, high=9, target_low=10, target_high=40)


def put_problems(run: RunDir, problems: list[Problem], settings: Settings = COUNTDOWN) -> None:
    stage = Stage(run, "problems", settings, force=True)
    stage.put(StoredRecord(p.id, i, p.model_dump_json().encode()) for i, p in enumerate(problems))
    stage.finish({})


@pytest.fixture
def run(tmp_path: Path) -> Iterator[RunDir]:
    with RunDir(tmp_path / "run") as run:
        put_problems(run, list(generate(COUNTDOWN, 30)))
        yield run


def traces(run: RunDir) -> list[list[Trace]]:
    return [[Trace.model_validate(t) for t in orjson.loads(r.body)] for r in run.journal.records("traces")]


def test_every_problem_gets_its_traces(run: RunDir) -> None:
    total, report = synthesise_run(run, SETTINGS)
    assert report[:2] == (0, 30)
    stored = traces(run)
    assert [r.key for r in run.journal.records("traces")] == [r.key for r in run.journal.records("problems")]
    assert [{t.problem_id for t in ts} for ts in stored] == [{r.key} for r in run.journal.records("traces")]
    assert total == sum((SynthesisYield.of(ts, SETTINGS) for ts in stored), SynthesisYield())
    assert total.questions == 30
    assert total.traces + total.repeated == 30 * 5
    assert total.lost == 0


def test_a_finished_stage_is_not_made_again_but_its_yield_is_known(run: RunDir) -> None:
    total, _ = synthesise_run(run, SETTINGS)
    again, report = synthesise_run(run, SETTINGS)
    assert again == total
    assert report[:2] == (30, 0)


def test_traces_do_not_depend_on_the_number_of_workers(run: RunDir, tmp_path: Path) -> None:
    total, _ = synthesise_run(run, SETTINGS)
    with RunDir(tmp_path / "other") as other:
        put_problems(other, list(generate(COUNTDOWN, 30)))
        assert synthesise_run(other, SETTINGS, workers=2)[0] == total
        assert traces(other) == traces(run)


def test_a_problems_traces_do_not_depend_on_its_neighbours(run: RunDir, tmp_path: Path) -> None:
    synthesise_run(run, SETTINGS)
    with RunDir(tmp_path / "other") as other:
        put_problems(other, list(generate(COUNTDOWN, 30))[20:10:-1])
        synthesise_run(other, SETTINGS)
        assert traces(other) == traces(run)[20:10:-1]


def test_a_stop_in_the_middle_loses_nothing(run: RunDir, tmp_path: Path) -> None:
    class Stopper(NoProgress):
        def update(self, done: float, note: str = "") -> None:
            if done >= 1:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        synthesise_run(run, SETTINGS, progress=Stopper())
    total, report = synthesise_run(run, SETTINGS)
    assert total.questions == 30
    assert report.done_before >= 1


def test_other_settings_are_refused_and_forced(run: RunDir) -> None:
    first, _ = synthesise_run(run, SETTINGS)
    more = SETTINGS.model_copy(update={"truncations": 9, "cut": "early"})
    with pytest.raises(ResumeError, match=r"cut was 'uniform', now 'early'; truncations was 4, now 9"):
        synthesise_run(run, more)
    second, report = synthesise_run(run, more, force=True)
    assert report.done_before == 0
    assert second.traces > first.traces


def test_other_problems_are_noticed(run: RunDir) -> None:
    synthesise_run(run, SETTINGS)
    put_problems(run, list(generate(COUNTDOWN, 5)), COUNTDOWN.model_copy(update={"seed": 1}))
    with pytest.raises(ResumeError, match="its input 'problems' has changed"):
        synthesise_run(run, SETTINGS)


def test_a_run_without_problems_says_what_to_do(tmp_path: Path) -> None:
    with (
        RunDir(tmp_path / "empty") as run,
        pytest.raises(InputError, match="no stage 'problems' yet: run the command"),
    ):
        synthesise_run(run, SETTINGS)


def test_an_empty_problem_set_says_what_to_do(run: RunDir) -> None:
    put_problems(run, [], COUNTDOWN.model_copy(update={"seed": 1}))
    with pytest.raises(InputError, match="holds no problems: make some"):
        synthesise_run(run, SETTINGS)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_problem_of_another_task_is_named(run: RunDir, workers: int) -> None:
    problem = Problem(question="How many?", answer="3")
    put_problems(run, [problem])
    with pytest.raises(InputError, match=f"problem {problem.id} is of no task"):
        synthesise_run(run, SETTINGS, workers=workers)


def test_the_command_writes_traces_and_prints_their_yield(run: RunDir) -> None:
    run.close()
    result = CliRunner().invoke(app, ["--run", str(run.path), "--truncations", "4", "--workers", "1"])
    assert result.exit_code == 0, result.output
    with RunDir(run.path, read_only=True) as opened:
        summary = opened.journal.stage("traces")
        assert summary is not None
        assert summary.complete
        total = SynthesisYield.model_validate(summary.summary)
        assert len(traces(opened)) == 30
    rows = {line.strip("│ ").rsplit("│")[0].strip(): line for line in result.output.splitlines()}
    assert f" {total.traces:,} " in rows["distinct traces"]
    assert f" {total.recovered / total.traces:.1%} " in rows["recovered after the answer was revealed"]


def test_the_help_names_the_settings_defaults() -> None:
    parameters = inspect.signature(synthesize).parameters
    for name in PlanSettings.model_fields:
        assert parameters[name].default is None
        symbolic = SynthesisSettings.model_fields[name].default
        model = LlmSynthesisSettings.model_fields[name].default
        hint = f"[{symbolic}]" if symbolic == model else f"[{symbolic}; model: {model}]"
        said = get_args(get_type_hints(synthesize, include_extras=True)[name])[1].help
        assert said.endswith(hint), f"{name}: {said!r} should end with {hint}"


def test_a_wrong_option_is_explained(run: RunDir) -> None:
    run.close()
    for option, value, message in [
        ("--cut", "middle", "'cut': Input should be 'uniform', 'early' or 'late'"),
        ("--teacher", "plato", "no teacher 'plato': choose from countdown"),
    ]:
        result = CliRunner().invoke(app, ["--run", str(run.path), option, value])
        assert isinstance(result.exception, InputError)
        assert message in str(result.exception)
