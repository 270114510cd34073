from __future__ import annotations

import sys
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from pydantic import TypeAdapter
from typer.testing import CliRunner

from steiner.cli.graph import same_answer
from steiner.cli.sample import app as sample_app
from steiner.cli.sample import writer_for
from steiner.core import (
    Grading,
    InputError,
    Move,
    Problem,
    Provenance,
    ReasoningPath,
    ResumeError,
    Settings,
    Step,
    StepGraph,
    Trace,
    TraceStep,
    Verdict,
)
from steiner.graph import SampleSettings, build_graph, path_stage, sample_paths, state_labels
from steiner.graph.path_stage import PathsSummary, make_paths
from steiner.graph.stage import Clustering, GraphSettings, GraphsSummary, make_graphs
from steiner.problems.countdown import CountdownSettings, generate
from steiner.store import RunDir, Stage, StoredRecord
from steiner.synthesis import SynthesisSettings, synthesise
from steiner.teacher import make_teacher

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from killing import journal_content, run_with_kills, steiner, stored

_PATHS = TypeAdapter(list[ReasoningPath])
_TRACES = TypeAdapter(list[Trace])
SMALL = CountdownSettings(count=3, high=9, target_low=1, target_high=60, max_result=60)


def is_right(problem: Problem, answer: str) -> bool:
    """Evaluate the expression before the equals sign."""
    expression = answer.partition("=")[0]
    return bool(expression) and eval(expression) == problem.facts["target"]


def write_traces(path: Path, count: int) -> None:
    """Make a run with Countdown problems and the symbolic teacher's traces of them."""
    teacher = make_teacher("countdown")
    with RunDir(path) as run:
        problems = Stage(run, "problems", Settings())
        traces = Stage(run, "traces", Settings(), {"problems": "x"})
        rows = list(enumerate(generate(SMALL, count)))
        problems.put([StoredRecord(p.id, i, p.model_dump_json().encode()) for i, p in rows])
        for i, problem in rows:
            written = synthesise(problem, teacher, is_right, SynthesisSettings(), Random(problem.id))
            traces.put([StoredRecord(problem.id, i, _TRACES.dump_json(written))])
        problems.finish({})
        traces.finish({})


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a run with graphs and 300 paths of 30 problems; only to be read."""
    path = tmp_path_factory.mktemp("finished")
    write_traces(path, 30)
    with RunDir(path) as run:
        make_graphs(run, GraphSettings())
        make_paths(run, SampleSettings(paths=300), writer_for=writer_for)
    return path


def rows(run: RunDir) -> list[tuple[Problem, list[Trace], StepGraph, list[ReasoningPath]]]:
    journal = run.journal
    found = []
    for record in journal.records("problems"):
        bodies = [journal.get(stage, record.key) for stage in ("traces", "graphs", "paths")]
        traces, graph, paths = (body.body for body in bodies if body is not None)
        found.append(
            (
                Problem.model_validate_json(record.body),
                _TRACES.validate_json(traces),
                StepGraph.model_validate_json(graph),
                _PATHS.validate_json(paths),
            )
        )
    return found


def test_the_total_is_met_and_every_path_solves_its_problem(finished: Path) -> None:
    with RunDir(finished, read_only=True) as run:
        found = rows(run)
    paths = [(problem, path) for problem, _, _, own in found for path in own]
    assert len(paths) == 300
    assert len({path.id for _, path in paths}) == 300
    assert all(path.problem_id == problem.id and is_right(problem, path.answer) for problem, path in paths)


def check_reasons(path: ReasoningPath) -> None:
    """A step reads as a dead end where the path leaves it with numbers to spare, and nowhere else."""
    for i, step in enumerate(path.steps):
        goes_back = i < len(path.moves) and path.moves[i] is Move.BACKTRACK
        more_than_one_left = len(step.summary.split()) > 2
        assert (step.reflection == "dead end , go back") == (goes_back and more_than_one_left)
        assert (step.reflection == "go on") == (more_than_one_left and not goes_back)


def test_countdown_paths_say_why_they_go_back(finished: Path) -> None:
    with RunDir(finished, read_only=True) as run:
        sampled = [path for *_, own in rows(run) for path in own]
    for path in sampled:
        check_reasons(path)
    assert sum(path.backtracks > 0 for path in sampled) > 200


@hypothesis_settings(max_examples=12, deadline=None)
@given(
    seed=st.integers(0, 10**6), longer_ways=st.sampled_from([0.0, 1.0]), depths=st.sampled_from([(), (1, 1)])
)
def test_any_countdown_path_says_why_it_goes_back(
    seed: int, longer_ways: float, depths: tuple[float, ...]
) -> None:
    """Search traces leave wordings of both kinds at one node; a path must not mix them up."""
    problem = next(generate(CountdownSettings(high=12, seed=seed), 1))
    plan = SynthesisSettings(truncations=12, max_attempt_steps=24)
    traces = synthesise(problem, make_teacher("countdown", 2.0), is_right, plan, Random(seed))
    graph = build_graph(problem, traces, state_labels(traces))
    wish = SampleSettings(
        paths_per_question=30, detours=(1, 1, 1), longer_ways=longer_ways, depths=depths, include_traces=False
    )
    for path in sample_paths(problem, graph, wish, count=30, writer=writer_for(problem)).paths:
        check_reasons(path)


def test_traces_that_backtrack_and_end_right_are_among_the_paths(finished: Path) -> None:
    with RunDir(finished, read_only=True) as run:
        found = rows(run)
    assert any(
        tuple(item.step for item in trace.steps) in {path.steps for path in own}
        for _, traces, _, own in found
        for trace in traces
        if trace.verdict is Verdict.RIGHT and any(trace.backtracks())
    )


def test_the_summaries_say_what_the_journal_holds(finished: Path) -> None:
    with RunDir(finished, read_only=True) as run:
        found = rows(run)
        states = [run.journal.stage(name) for name in ("graphs", "paths")]
    graphs, paths = (state.summary for state in states if state is not None)
    built = GraphsSummary.model_validate(graphs)
    assert (built.graphs, built.answered) == (30, 30)
    assert built.edges == sum(len(graph.edges) for _, _, graph, _ in found)
    drawn = PathsSummary.model_validate(paths)
    counts = sorted(len(own) for *_, own in found)
    assert (drawn.wanted, drawn.paths, drawn.questions) == (300, 300, 30)
    assert drawn.per_question == (counts[0], counts[14], counts[-1])
    assert drawn.backtracks[0] == sum(not path.backtracks for *_, own in found for path in own)
    assert sum(drawn.backtracks.values()) == 300


def test_a_question_of_the_run_gives_what_it_gives_alone(finished: Path) -> None:
    """What other questions have to give decides how many paths are taken, never which."""
    with RunDir(finished, read_only=True) as run:
        problem, traces, graph, paths = rows(run)[3]
    wish = SampleSettings(paths=300)
    alone = sample_paths(
        problem, graph, wish, count=len(paths), writer=writer_for(problem), traces=traces[::-1]
    )
    assert list(alone.paths) == paths


def test_workers_change_nothing(tmp_path: Path) -> None:
    contents = []
    for workers in (1, 2):
        path = tmp_path / str(workers)
        write_traces(path, 8)
        with RunDir(path) as run:
            make_graphs(run, GraphSettings(), workers=workers)
            make_paths(run, SampleSettings(paths=60), writer_for=writer_for, workers=workers)
        contents.append(journal_content(path))
    assert contents[0] == contents[1]


def test_more_than_there_is_gives_all_there_is_and_says_so(tmp_path: Path) -> None:
    write_traces(tmp_path, 3)
    with RunDir(tmp_path) as run:
        make_graphs(run, GraphSettings())
        summary = make_paths(
            run, SampleSettings(paths=10**6, detours=(1,), include_traces=False), writer_for=writer_for
        )
        routes = sum(1 for *_, own in rows(run) for _ in own)
    assert summary.paths == routes < 100
    assert sum(summary.shortfalls.values()) == 3


def test_each_question_gives_as_many_as_asked(tmp_path: Path) -> None:
    write_traces(tmp_path, 5)
    with RunDir(tmp_path) as run:
        make_graphs(run, GraphSettings())
        summary = make_paths(run, SampleSettings(paths_per_question=4), writer_for=writer_for)
        assert run.journal.stage("capacity") is None
    assert summary.per_question == (4, 4, 4)
    assert summary.shortfalls == {}


def test_other_settings_are_refused_unless_forced(tmp_path: Path) -> None:
    write_traces(tmp_path, 3)
    with RunDir(tmp_path) as run:
        make_graphs(run, GraphSettings())
        make_paths(run, SampleSettings(paths=9), writer_for=writer_for)
        with pytest.raises(ResumeError, match="seed was 0, now 1"):
            make_paths(run, SampleSettings(paths=9, seed=1), writer_for=writer_for)
        before = journal_content(tmp_path)
        make_paths(run, SampleSettings(paths=9, seed=1), writer_for=writer_for, force=True)
        assert journal_content(tmp_path) != before
        make_graphs(run, GraphSettings(cluster=Clustering.STATE), force=True)
        with pytest.raises(ResumeError, match="input 'graphs' has changed"):
            make_paths(run, SampleSettings(paths=9, seed=1), writer_for=writer_for)


def test_a_stage_needs_the_one_before(tmp_path: Path) -> None:
    with RunDir(tmp_path) as run:
        with pytest.raises(InputError, match="no stage 'traces'"):
            make_graphs(run, GraphSettings())
        with pytest.raises(InputError, match="no stage 'graphs'"):
            make_paths(run, SampleSettings(paths=9))


def test_a_trace_without_its_problem_is_named(tmp_path: Path) -> None:
    write_traces(tmp_path, 1)
    with RunDir(tmp_path) as run:
        run.journal.put("traces", [StoredRecord("stray", 7, b"[]")])
        with pytest.raises(InputError, match=r"no record stray in its stage 'problems'"):
            make_graphs(run, GraphSettings())


def test_an_interrupted_probe_of_what_questions_can_give_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stop in the second round, when some questions are known further than others."""
    wish = SampleSettings(paths=200)
    expected = tmp_path / "expected"
    write_traces(expected, 6)
    with RunDir(expected) as run:
        make_graphs(run, GraphSettings())
        make_paths(run, wish, writer_for=writer_for)
    broken = tmp_path / "broken"
    write_traces(broken, 6)
    probe = path_stage._Probe.__call__
    limits: list[int] = []

    def stumble(self: path_stage._Probe, record: StoredRecord) -> StoredRecord:
        limits.append(self._limit)
        if len(set(limits)) == 2 and limits.count(self._limit) == 3:
            raise KeyboardInterrupt
        return probe(self, record)

    monkeypatch.setattr(path_stage._Probe, "__call__", stumble)
    monkeypatch.setattr(path_stage, "COMMIT_RECORDS", 1)
    with RunDir(broken) as run:
        make_graphs(run, GraphSettings())
        with pytest.raises(KeyboardInterrupt):
            make_paths(run, wish, writer_for=writer_for)
    monkeypatch.setattr(path_stage._Probe, "__call__", probe)
    with RunDir(broken) as run:
        make_paths(run, wish, writer_for=writer_for)
    assert journal_content(broken) == journal_content(expected)


@pytest.mark.slow
def test_killed_commands_finish_with_the_same_journal(tmp_path: Path) -> None:
    calm, killed = tmp_path / "calm", tmp_path / "killed"
    for path in (calm, killed):
        write_traces(path, 300)
    for name, stage in (("graph", "graphs"), ("sample", "paths")):
        extra = ["--paths", "3000"] if name == "sample" else []
        steiner(name, "--run", calm, "--workers", "1", *extra)
        argv = [name, "--run", killed, "--workers", "2", *extra]
        kills = run_with_kills(argv, 1, 3, lambda stage=stage: stored(killed, stage), 300)
        assert kills
    assert journal_content(killed) == journal_content(calm)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ([], "--paths N"),
        (["--paths", "5", "--per-question", "1"], "--paths N"),
        (["--paths", "5", "--detours", "1,x"], "numbers separated by commas"),
        (["--paths", "5", "--detours", "0,0"], "more than 0"),
        (["--paths", "5", "--routes", "shortest"], "'uniform', 'traces'"),
        (["--paths", "0"], "greater than or equal to 1"),
    ],
)
def test_the_sample_command_explains_bad_options(
    arguments: list[str], complaint: str, tmp_path: Path
) -> None:
    result = CliRunner().invoke(sample_app, ["--run", str(tmp_path / "run"), *arguments])
    assert isinstance(result.exception, InputError)
    assert complaint in str(result.exception)
    assert not (tmp_path / "run").exists(), "nothing is made before the options are known to be good"


def test_equivalent_wrong_answers_are_one_node_of_a_runs_graph(tmp_path: Path) -> None:
    problem = Problem(question="How many?", answer="42", grading=Grading.NUMERIC)
    step = TraceStep(step=Step(name="a", thought="a", summary="a", reflection="a"), parent=-1)
    traces = [
        Trace(
            problem_id=problem.id, steps=(step,), answer=answer, verdict=Verdict.WRONG,
            provenance=Provenance(teacher="test", method="test"),
        )
        for answer in ("41", "41.0", "It is 41.", "40", "none")
    ]  # fmt: skip
    with RunDir(tmp_path) as run:
        for name, body in (
            ("problems", problem.model_dump_json().encode()),
            ("traces", _TRACES.dump_json(traces)),
        ):
            stage = Stage(run, name, Settings(), {"problems": "x"} if name == "traces" else None)
            stage.put([StoredRecord(problem.id, 0, body)])
            stage.finish({})
        assert make_graphs(run, GraphSettings(), equivalent=same_answer).wrong_answers == 3
        assert make_graphs(run, GraphSettings(merging="depth"), force=True).wrong_answers == 5
