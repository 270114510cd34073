"""A made-up report that looks like a real one: Countdown with three numbers, four models."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

import numpy as np

from steiner.core import Move, NodeKind, ReasoningPath, Step, StepEdge, StepGraph, StepNode
from steiner.evaluate import (
    DatasetFigures,
    GraphExample,
    Headline,
    ModelResult,
    PathExample,
    Report,
    SampleResult,
    StageTime,
    TrainingCurve,
)
from steiner.evaluate.metrics import compare, histogram, model_result
from steiner.evaluate.wording import interval, percent, summary_sentence

NUMBERS, TARGET = (3, 5, 7), 22
LIMITS = (2, 3, 4, 6, 8, 12, 16)
MODELS = (
    ("cpt", "CPT", 0.02, 0.11),
    ("sft", "SFT", 0.17, 0.745),
    ("rl", "RL", 0.165, 0.758),
)


def samples(low: float, high: float, n: int = 500) -> list[SampleResult]:
    """Results of a model whose accuracy rises from `low` at 2 steps to `high` at 16, on the same problems."""
    made = []
    for limit in LIMITS:
        accuracy = low + (high - low) * (math.log2(limit / 2) / 3) ** 0.8
        for problem in range(n):
            hardness = np.random.default_rng(problem).random()
            luck = np.random.default_rng([problem, limit, int(1e4 * high)]).normal(0, 0.03)
            steps = min(limit, 2 + problem % 9)
            made.append(
                SampleResult(
                    problem_id=f"p{problem}",
                    max_steps=limit,
                    right=bool(hardness + luck < accuracy),
                    well_formed=problem % 70 != 3,
                    steps=steps,
                    backtracks=max(0, steps - 2) // 2,
                    reasoning_tokens=27 * steps,
                    answer="(3 * 5) + 7 = 22",
                    repeated_steps=int(problem % 5 == 0),
                )
            )
    return made


def operations(state: tuple[int, ...]) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Each Countdown operation on a state: its text and the numbers left."""
    for i, j in itertools.combinations(range(len(state)), 2):
        a, b = state[j], state[i]
        rest = [value for k, value in enumerate(state) if k not in (i, j)]
        results = [(f"{a} + {b}", a + b), (f"{a} - {b}", a - b), (f"{a} * {b}", a * b)]
        if b and a % b == 0:
            results.append((f"{a} / {b}", a // b))
        for text, value in results:
            yield f"{text} = {value}", tuple(sorted([*rest, value]))


def step(state: tuple[int, ...], text: str, left: tuple[int, ...]) -> Step:
    """One step in the wording of the symbolic teacher."""
    verdict = (
        "go on" if len(left) > 1 else f"target {TARGET} , got {left[0]} , off by {abs(TARGET - left[0])}"
    )
    return Step(
        name="From " + " ".join(map(str, state)),
        thought=text,
        summary="left " + " ".join(map(str, left)),
        reflection=verdict,
    )


def countdown_graph() -> StepGraph:
    """All states of the example, identical states merged."""
    wordings: dict[tuple[int, ...], list[Step]] = {}
    edges: dict[tuple[tuple[int, ...], tuple[int, ...]], list[int]] = {}
    frontier = [NUMBERS]
    while frontier:
        following = []
        for state in frontier:
            for text, left in operations(state):
                if left not in wordings:
                    wordings[left] = []
                    following.append(left)
                wordings[left].append(step(state, text, left))
                edges.setdefault((state, left), []).append(len(wordings[left]) - 1)
        frontier = following
    states = sorted(wordings, key=lambda s: (-len(s), s))
    index: dict[tuple[int, ...], int] = {NUMBERS: 0, **{s: i for i, s in enumerate(states, start=1)}}
    nodes = [StepNode(id="q", kind=NodeKind.QUESTION, traces=40, right=9)]
    for s in states:
        passed = 2 + (sum(s) * 7) % 13 if len(s) > 1 else 1 + sum(s) % 4
        text = ",".join(map(str, s))
        nodes.append(
            StepNode(id=text, kind=NodeKind.STEP, wordings=tuple(wordings[s]), state=text, traces=passed)
        )
    stored = [
        StepEdge(source=index[a], target=index[b], wordings=tuple(w), traces=len(w))
        for (a, b), w in edges.items()
    ]
    nodes.append(
        StepNode(id="right", kind=NodeKind.RIGHT, answers=(f"(3 * 5) + 7 = {TARGET}",), traces=9, right=9)
    )
    stored.append(StepEdge(source=index[(TARGET,)], target=len(nodes) - 1, wordings=(0,), traces=9))
    for wrong in ((15,), (56,)):
        if wrong in index:
            nodes.append(
                StepNode(id=f"wrong{wrong}", kind=NodeKind.WRONG, answers=(f"{wrong[0]}",), traces=3)
            )
            stored.append(StepEdge(source=index[wrong], target=len(nodes) - 1, wordings=(0,), traces=3))
    return StepGraph(problem_id="p0", nodes=tuple(nodes), edges=tuple(stored))


def path(
    walk: list[tuple[tuple[int, ...], str, tuple[int, ...]]], parents: tuple[int, ...], answer: str
) -> ReasoningPath:
    """A path from (state, operation, numbers left) triples and the step each continues."""
    moves = tuple(
        Move.PROCEED if parent == index - 1 else Move.BACKTRACK
        for index, parent in enumerate(parents)
        if index
    )
    nodes = tuple(",".join(map(str, left)) for _, _, left in walk)
    return ReasoningPath(
        problem_id="p0",
        steps=tuple(step(*item) for item in walk),
        moves=moves,
        answer=answer,
        parents=parents,
        nodes=nodes,
    )


RIGHT_PATH = path(
    [
        ((3, 5, 7), "5 + 3 = 8", (7, 8)),
        ((7, 8), "8 + 7 = 15", (15,)),
        ((7, 8), "8 * 7 = 56", (56,)),
        ((3, 5, 7), "7 - 5 = 2", (2, 3)),
        ((2, 3), "3 * 2 = 6", (6,)),
        ((3, 5, 7), "5 * 3 = 15", (7, 15)),
        ((7, 15), "15 + 7 = 22", (22,)),
    ],
    (-1, 0, 0, -1, 3, -1, 5),
    f"(3 * 5) + 7 = {TARGET}",
)
WRONG_PATH = path(
    [
        ((3, 5, 7), "5 + 3 = 8", (7, 8)),
        ((7, 8), "8 + 7 = 15", (15,)),
        ((3, 5, 7), "5 + 3 = 8", (7, 8)),
        ((7, 8), "8 - 7 = 1", (1,)),
    ],
    (-1, 0, -1, 2),
    "(3 + 5) + 7 = 15",
)
PROSE_PATH = ReasoningPath(
    problem_id="p9",
    steps=(
        Step(
            name="Recall the definition",
            thought="A group is abelian if every two of its elements commute. The question asks for the "
            "smallest order at which that fails, so small orders are checked one by one. Every group of "
            "prime order is cyclic, hence abelian; that leaves orders 4 and 6 below 8.",
            summary="Only orders 4 and 6 need to be checked.",
            reflection="This narrows it down well. 阶为四的群都是交换群。 Going on with order 4.",
        ),
        Step(
            name="Try order 8 directly",
            thought="The quaternion group has order 8 and is not abelian, so the answer might be 8.",
            summary="Q8 is not abelian.",
            reflection="That skips order 6, where S3 lives. Going back.",
        ),
        Step(
            name="Check order 6",
            thought="The symmetric group on three letters has order 6: (1 2)(1 3) differs from (1 3)(1 2).",
            summary="S3 is not abelian.",
            reflection="Order 4 has only the cyclic and the Klein group, both abelian. The answer is 6.",
        ),
    ),
    moves=(Move.PROCEED, Move.BACKTRACK),
    answer="**6**",
)


def example_report() -> Report:
    """The whole report."""
    results = {name: samples(low, high) for name, _, low, high in MODELS}
    models: tuple[ModelResult, ...] = tuple(
        model_result(name, title, results[name], final=16, minimum=2, seconds=31.4 + i)
        for i, (name, title, _, _) in enumerate(MODELS)
    )
    comparisons = tuple(
        compare(results[a[0]], results[b[0]], max_steps=16, titles=(a[1], b[1]))
        for a, b in itertools.pairwise(MODELS)
    )
    last = models[-1]
    question = "Use 3, 5 and 7, each once, with + - * / to make 22."
    generator = np.random.default_rng(0)
    steps = tuple(range(0, 1500, 5))
    loss = tuple(
        float(v) for v in 0.35 + 2.6 * np.exp(-np.array(steps) / 260) + generator.normal(0, 0.03, len(steps))
    )
    return Report(
        title="Quickstart: Countdown with three numbers",
        verdict=summary_sentence(models, comparisons),
        created="2026-11-22T15:04:05+00:00",
        command="steiner quickstart --run runs/quickstart --seed 7",
        commit="280a9e7c1f",
        seed=7,
        machine="2 cores (x86_64), 8 GiB memory, no accelerator",
        settings={
            "problems": {"numbers": 3, "high": 9},
            "train": {"learning_rate": 0.003, "hidden": 128, "layers": 4},
        },
        headline=(
            Headline(
                label="solved with up to 16 steps",
                value=percent(last.final.accuracy),
                note=interval(last.final.low, last.final.high),
            ),
            Headline(
                label="with only the 2 it needs",
                value=percent(last.minimum.accuracy),
                note=interval(last.minimum.low, last.minimum.high),
            ),
            Headline(label="added by RL", value="+1.4 points", note="−0.2…+3.0: no clear difference"),
            Headline(label="time", value="9 min 12 s", note="17 core-minutes"),
        ),
        models=models,
        comparisons=comparisons,
        examples=(
            PathExample(
                title="Finds it on the third branch",
                question=question,
                path=RIGHT_PATH,
                right=True,
                dead_ends=(True, True, True, True, True, False, False),
            ),
            PathExample(
                title="Repeats a branch and stops at a wrong result",
                question=question,
                path=WRONG_PATH,
                right=False,
                reference="(3 * 5) + 7 = 22",
            ),
            PathExample(
                title="Prose of a model: no parents known",
                question="What is the smallest order of a group that is not abelian?",
                path=PROSE_PATH,
                right=True,
            ),
        ),
        graph=GraphExample(question=question, graph=countdown_graph(), path_nodes=RIGHT_PATH.nodes),
        times=(
            StageTime(name="problems", seconds=1.2, cpu_seconds=1.1),
            StageTime(name="synthesize", seconds=8.4, cpu_seconds=15.1, note="80,000 paths in two processes"),
            StageTime(name="graph and paths", seconds=21, cpu_seconds=39),
            StageTime(name="train cpt", seconds=95, cpu_seconds=171, note="1.4M tokens"),
            StageTime(name="train sft", seconds=260, cpu_seconds=492, note="4.1M tokens"),
            StageTime(name="train rl", seconds=88, cpu_seconds=160, note="40 updates"),
            StageTime(name="evaluate", seconds=78, cpu_seconds=140),
        ),
        training_curves=(
            TrainingCurve(stage="cpt", metric="loss", steps=steps[:90], values=loss[:90]),
            TrainingCurve(stage="sft", metric="loss", steps=steps, values=loss),
            TrainingCurve(
                stage="rl",
                metric="reward",
                steps=tuple(range(40)),
                values=tuple(
                    float("nan") if i == 22 else 0.6 + 0.15 * (i / 40) + 0.02 * math.sin(i) for i in range(40)
                ),
            ),
        ),
        dataset=DatasetFigures(
            problems=20_000,
            paths=80_000,
            histograms=(
                histogram(2 + generator.poisson(3.2, 5000), "steps per path"),
                histogram(generator.poisson(1.4, 5000), "backtracks per path"),
                histogram(30 + 27 * generator.poisson(4.2, 5000), "reasoning tokens per path"),
            ),
            dropped={"paths over 4,096 reasoning tokens": 12, "questions without a solution": 431},
            languages={"en": 80_000},
        ),
        notes=("Held-out problems share no target with the training problems.",),
    )
