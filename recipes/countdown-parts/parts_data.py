"""Data of the comparison: the same problems and step graphs, and four ways to take paths from them."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from countdown_common import TEXTS, number_sets, steiner

from steiner.core import Settings

if TYPE_CHECKING:
    from steiner.core import Problem, ReasoningPath, Trace

GAME = ("--numbers", "3", "--high", "20", "--target-high", "30", "--max-result", "30")
TRAINED_STEPS = 24
"""Most steps of a path in training."""
PER_QUESTION = 8
DAG, SHORTCUT, TRACES, BOTH = "dag", "shortcut", "traces", "both"
KINDS = (DAG, SHORTCUT, TRACES, BOTH)


class TakenPaths(Settings):
    """How the paths of `traces` and `both` are taken."""

    kind: Literal["traces", "both"]
    per_question: int = PER_QUESTION
    max_steps: int = TRAINED_STEPS


def make_data(out: Path, problems: int, heldout: int, workers: int) -> None:
    """Make problems, traces, graphs, the four kinds of paths, a tokenizer, plain text and the test set."""
    from steiner.problems.arithmetic import arithmetic_documents, sweep_documents
    from steiner.problems.countdown import Limits

    base = out / "data" / DAG
    base.parent.mkdir(parents=True, exist_ok=True)
    steiner("problems", "countdown", "--run", base, "--count", problems, "--heldout", 0, *GAME)
    side = ("--workers", workers)
    words = ("--truncations", 64, "--cut", "early", "--max-attempt-steps", 16, "--temperature", 5)
    steiner("synthesize", "--run", base, *words, *side)
    steiner("graph", "build", "--run", base, *side)
    for kind in KINDS[1:]:
        _copy(base, out / "data" / kind)
    order = ("--order", "operands", "--rotate", "--revisit")
    sweep = ("--per-question", PER_QUESTION, *order, "--no-traces", *side)
    for kind, detours in ((DAG, "all"), (SHORTCUT, "1")):
        run = out / "data" / kind
        steiner("sample", "--run", run, *sweep, "--detours", detours, "--max-steps", TRAINED_STEPS)
    take_paths(out / "data" / TRACES, None)
    take_paths(out / "data" / BOTH, base)
    if not (out / "tokenizer").is_dir():
        steiner("tokenizer", "--run", base, "--numbers-to", 30, "--output", out / "tokenizer")
    for kind in KINDS:
        steiner("dataset", "--run", out / "data" / kind, "--tokenizer", out / "tokenizer", *side)
    steiner(
        "problems", "countdown", "--run", out / "test", "--count", heldout, "--split", "new-inputs",
        "--heldout", 0, *GAME,
    )  # fmt: skip
    limits = Limits(max_result=30)
    facts, ways = (out / name for name in TEXTS)
    if not facts.exists():
        facts.write_text("\n\n".join(arithmetic_documents(30, limits, seed=0, same_target=True)))
    if not ways.exists():
        ways.write_text("\n\n".join(sweep_documents(number_sets(base), limits, seed=0, by_operands=True)))


def _copy(source: Path, target: Path) -> None:
    """Copy a run directory, wholly or not at all."""
    if not target.is_dir():
        part = target.with_name(f"{target.name}.part")
        shutil.rmtree(part, ignore_errors=True)
        # Only what all kinds share: a copy that is made late must not bring paths along.
        shutil.copytree(source, part, ignore=shutil.ignore_patterns("lock*", "dataset"))
        part.rename(target)


def take_paths(path: Path, sweeps: Path | None) -> None:
    """Write the stage `paths` of a run: its traces alone, or half of them and half of another run's paths.

    Args:
        path: run directory with problems, traces and graphs.
        sweeps: run directory with sampled paths of the same problems; None for traces alone.
    """
    from pydantic import TypeAdapter

    from steiner.core import Problem, ReasoningPath
    from steiner.graph.join import parse_traces
    from steiner.store import RunDir, Stage, StoredRecord
    from steiner.store.stage import stage_digest

    listed: TypeAdapter[list[ReasoningPath]] = TypeAdapter(list[ReasoningPath])
    with RunDir(path) as run:
        settings = TakenPaths(kind=BOTH if sweeps else TRACES)
        stage = Stage(run, "paths", settings, {"graphs": stage_digest(run, "graphs")}, force=True)
        if stage.is_complete:
            return
        problems = {one.key: Problem.model_validate_json(one.body) for one in run.journal.records("problems")}
        traces = {one.key: parse_traces(one.body) for one in run.journal.records("traces")}
        others = _paths_of(sweeps) if sweeps else {}
        records, counts = [], [0, 0]
        for record in run.journal.records("graphs"):
            own = list(trace_paths(problems[record.key], record.body, traces[record.key]))
            if sweeps:
                own = own[: PER_QUESTION // 2]
                more = listed.validate_json(others[record.key])[: PER_QUESTION // 2]
            else:
                own, more = own[:PER_QUESTION], []
            counts[0] += len(own)
            counts[1] += len(more)
            records.append(StoredRecord(record.key, record.ordinal, listed.dump_json([*own, *more])))
        stage.put(records)
        stage.finish({"from_traces": counts[0], "from_graphs": counts[1]})


def _paths_of(path: Path) -> dict[str, bytes]:
    from steiner.store import RunDir

    with RunDir(path, read_only=True) as run:
        return {one.key: one.body for one in run.journal.records("paths")}


def trace_paths(problem: Problem, graph: bytes, traces: Sequence[Trace]) -> Iterator[ReasoningPath]:
    """Yield a problem's truncate-and-reveal traces that ended right and backtrack, as paths over its graph.

    Args:
        problem: the problem.
        graph: its stored step graph.
        traces: all of its traces.
    """
    from steiner.graph import PathSampler, SampleSettings
    from steiner.graph.join import parse_graph
    from steiner.teacher import CountdownWriter

    settings = SampleSettings(
        paths_per_question=PER_QUESTION, max_steps=TRAINED_STEPS, min_backtracks=1, include_traces=True
    )
    sampler = PathSampler(problem, parse_graph(problem.id, graph), settings, traces)
    for slot, draft in enumerate(sampler.slots()):
        if draft is None or draft.trace is None:  # traces come before all walks
            return
        yield sampler.write(slot, draft, CountdownWriter())
