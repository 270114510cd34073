"""Which steps are dead ends, and what training needs to make prompts of its own."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steiner.core import (
    InputError,
    Move,
    NodeKind,
    Problem,
    ReasoningPath,
    Settings,
    Step,
    StepEdge,
    StepGraph,
    StepNode,
)
from steiner.dataset import DatasetSettings, load_statistics
from steiner.dataset.read import load_samples
from steiner.dataset.rows import dead_ends
from steiner.dataset.tokenise import load_tokenizer
from steiner.dataset.write import write_dataset
from steiner.store import RunDir, Stage, StoredRecord


def step(name: str) -> Step:
    return Step(name=name, thought="t", summary="s", reflection="r")


def node(name: str, kind: NodeKind = NodeKind.STEP) -> StepNode:
    texts = {"wordings": (step(name),)} if kind is NodeKind.STEP else {"answers": ("22",)}
    return StepNode(id=name, kind=kind, **({} if kind is NodeKind.QUESTION else texts))


PROBLEM = Problem(question="which", answer="B", choices=("one", "two"), source="quiz", task="game")
# question -> a -> b (dead end), a -> c -> right, question -> d -> right
GRAPH = StepGraph(
    problem_id=PROBLEM.id,
    nodes=(
        node("q", NodeKind.QUESTION),
        *(node(name) for name in "abcd"),
        node("right", NodeKind.RIGHT),
    ),
    edges=tuple(
        StepEdge(source=a, target=b, wordings=(0,))
        for a, b in ((0, 1), (1, 2), (1, 3), (0, 4), (3, 5), (4, 5))
    ),
)


def path_over(names: str, parents: tuple[int, ...]) -> ReasoningPath:
    return ReasoningPath(
        problem_id=PROBLEM.id,
        steps=tuple(step(name) for name in names),
        moves=tuple(Move.PROCEED if parent == i else Move.BACKTRACK for i, parent in enumerate(parents[1:])),
        answer="22",
        parents=parents,
        nodes=tuple(names),
    )


def test_a_step_is_a_dead_end_where_the_graph_cannot_reach_the_answer():
    # d is given up although it leads to the answer: that is a longer way, no mistake.
    path = path_over("abdc", (-1, 0, -1, 0))
    assert dead_ends(path, GRAPH) == [False, True, False, False]


def test_without_a_graph_what_was_given_up_is_a_dead_end():
    path = path_over("abdc", (-1, 0, -1, 0))
    assert dead_ends(path, None) == [False, True, True, False]
    unknown = ReasoningPath(steps=path.steps, moves=path.moves, answer="22")
    assert dead_ends(unknown, None) == [False] * 4


@given(st.integers(1, 12), st.randoms(use_true_random=False))
def test_steps_on_the_way_to_the_answer_are_never_dead_ends(count, rng):
    parents = (-1, *(rng.randint(-1, i - 1) for i in range(1, count)))
    path = path_over("a" * count, parents)
    dead = dead_ends(path, None)
    at = count - 1
    while at >= 0:
        assert not dead[at]
        at = parents[at]


def test_a_graph_of_other_paths_is_refused():
    with pytest.raises(InputError, match=r"no node x, which a path visits.*steiner sample"):
        dead_ends(path_over("ax", (-1, 0)), GRAPH)


class Upstream(Settings):
    seed: int = 0


def test_rows_carry_dead_ends_prompt_and_family(tmp_path, tokenizer_folder):
    path = path_over("abc", (-1, 0, 0))
    with RunDir(tmp_path / "run") as run:
        bodies = {
            "problems": PROBLEM.model_dump_json(),
            "graphs": GRAPH.model_dump_json(),
            "paths": f"[{path.model_dump_json()}]",
        }
        for name, body in bodies.items():
            stage = Stage(run, name, Upstream())
            stage.put([StoredRecord(PROBLEM.id, 0, body.encode())])
            stage.finish({})
        write_dataset(run, DatasetSettings(tokenizer=str(tokenizer_folder), system_prompt="be kind"))
    folder = tmp_path / "run" / "dataset"
    (row,) = load_samples(folder, "train", load_tokenizer(str(tokenizer_folder)))
    assert row["dead_ends"] == [False, True, False]
    assert row["prompt"] == "which\nA. one\nB. two"
    assert row["family"] == "game"
    assert load_statistics(folder).system_prompt == "be kind"
