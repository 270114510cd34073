"""Where the steps of a completion stand in their problem's graph."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steiner.core import Move, NodeFacts, ReasoningPath, Step, StepEdge, StepGraph, StepNode
from steiner.core.graph import NodeKind
from steiner.problems.countdown import make_problem
from steiner.teacher import SymbolicCountdownTeacher
from steiner.teacher.countdown_reader import CountdownReader
from steiner.train.locate_steps import NodeIndex, locate_steps

PROBLEM = make_problem([3, 5, 7], 22)
START = CountdownReader().start_state(PROBLEM)


def wording(name: str, thought: str, summary: str, reflection: str = "go on") -> Step:
    return Step(name=name, thought=thought, summary=summary, reflection=reflection)


PRODUCT = wording("From 3 5 7", "3 * 5 = 15", "left 7 15")
SUM = wording("From 3 5 7", "3 + 5 = 8", "left 7 8")
SOLVED = wording("From 7 15", "15 + 7 = 22", "left 22", "target 22 , got 22 , off by 0")
MISS = wording("From 7 8", "7 + 8 = 15", "left 15", "target 22 , got 15 , off by 7")
UNKNOWN = wording("From 7 15", "15 - 7 = 8", "left 8", "target 22 , got 8 , off by 14")


@pytest.fixture(scope="module")
def nodes() -> NodeIndex:
    """Question → product → solved → right answer, and question → sum → miss, a dead end."""
    states = {"product": "7,15", "sum": "7,8", "solved": "22", "miss": "15"}
    made = [
        StepNode(id="question", kind=NodeKind.QUESTION),
        *(
            StepNode(id=name, kind=NodeKind.STEP, wordings=(step,), state=states[name])
            for name, step in (("product", PRODUCT), ("sum", SUM), ("solved", SOLVED), ("miss", MISS))
        ),
        StepNode(id="right", kind=NodeKind.RIGHT, answers=("(3 * 5) + 7 = 22",)),
    ]
    edges = [(0, 1), (0, 2), (1, 3), (2, 4), (3, 5)]
    graph = StepGraph(
        problem_id=PROBLEM.id,
        nodes=tuple(made),
        edges=tuple(StepEdge(source=a, target=b, wordings=(0,)) for a, b in edges),
    )
    return NodeIndex(graph, START)


def locate(nodes: NodeIndex, steps: list[Step], moves: list[Move]):
    return locate_steps(PROBLEM, steps, moves, nodes, CountdownReader())


def test_facts_of_start_and_end(nodes):
    product, solved = locate(nodes, [PRODUCT, SOLVED], [Move.PROCEED])
    assert product.start == NodeFacts(e_i=0, e_o=2, d_s=0, d_e=3)
    assert product.facts == solved.start == NodeFacts(e_i=1, e_o=1, d_s=1, d_e=2)
    assert solved.facts == NodeFacts(e_i=1, e_o=1, d_s=2, d_e=1)
    assert not any(step.backtracks or step.repeated or step.left for step in (product, solved))


def test_what_a_backtrack_left(nodes):
    steps = [SUM, MISS, PRODUCT, SUM, SOLVED]
    moves = [Move.PROCEED, Move.BACKTRACK, Move.BACKTRACK, Move.BACKTRACK]
    located = locate(nodes, steps, moves)
    assert [step.backtracks for step in located] == [False, False, True, True, True]
    assert [step.repeated for step in located] == [False, False, False, True, False]
    assert located[2].left == nodes.facts("15")
    assert located[2].left.d_e is None  # the miss is a dead end
    assert located[3].left == nodes.facts("7,15")
    assert located[3].left.d_e == 2  # the product still led to the answer
    assert located[4].left == nodes.facts("7,8")


def test_a_node_that_the_graph_lacks_is_new_and_sound(nodes):
    located = locate(nodes, [PRODUCT, UNKNOWN, SOLVED], [Move.PROCEED, Move.BACKTRACK])[1:]
    assert located[0].facts is None
    assert located[0].sound
    assert located[1].backtracks
    assert located[1].left is None


def test_an_unsound_step_stands_nowhere(nodes):
    wrong = PRODUCT.model_copy(update={"thought": "3 * 5 = 16"})
    located = locate(nodes, [wrong, SUM], [Move.BACKTRACK])
    assert not located[0].sound
    assert located[0].facts is None
    assert not located[0].repeated
    assert located[1].left is None
    assert located[1].sound


def test_reaching_the_same_state_again_is_a_repeat_whatever_the_words(nodes):
    again = PRODUCT.model_copy(update={"thought": "5 * 3 = 15"})
    assert locate(nodes, [PRODUCT, again], [Move.BACKTRACK])[1].repeated


def test_a_last_step_that_was_cut_off_leaves_a_move_too_many(nodes):
    located = locate(nodes, [SUM], [Move.BACKTRACK])
    assert len(located) == 1
    assert not located[0].backtracks


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6))
def test_a_search_of_the_teacher_is_found_whole(seed):
    teacher, rng = SymbolicCountdownTeacher(temperature=2.0), random.Random(seed)
    attempt = teacher.attempt(PROBLEM.blind(), (), 5, rng)
    trace = teacher.resolve(PROBLEM, attempt, rng)
    path = ReasoningPath.from_trace(trace)
    index = _graph_of(path, [item.state or "" for item in trace.steps])
    located = locate_steps(PROBLEM, path.steps, path.moves, index, CountdownReader())
    assert all(step.sound and step.facts is not None and step.start is not None for step in located)
    assert sum(step.backtracks for step in located) == path.backtracks
    assert [step.left is not None for step in located] == [step.backtracks for step in located]
    # A blind attempt takes no state twice.
    assert not any(step.repeated for step in located[: len(attempt.steps)])


def _graph_of(path: ReasoningPath, states: list[str]) -> NodeIndex:
    """Return the graph of one path: one node per state."""
    unique = list(dict.fromkeys(states))
    order = sorted(unique, key=lambda state: -state.count(","))
    number = {START: 0} | {state: place for place, state in enumerate(order, 1)}
    edges = {
        (number[START if parent == -1 else states[parent]], number[states[index]])
        for index, parent in enumerate(path.parents)
    }
    nodes = (
        StepNode(id="question", kind=NodeKind.QUESTION),
        *(StepNode(id=s, kind=NodeKind.STEP, wordings=(path.steps[0],), state=s) for s in order),
    )
    made = tuple(StepEdge(source=a, target=b, wordings=(0,)) for a, b in sorted(edges))
    return NodeIndex(StepGraph(problem_id=PROBLEM.id, nodes=nodes, edges=made), START)
