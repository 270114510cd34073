"""What the nouns promise about themselves."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field, ValidationError, field_validator

from steiner.core import (
    InputError,
    Move,
    NodeFacts,
    NodeKind,
    Provenance,
    ReasoningPath,
    Settings,
    Step,
    StepBudget,
    StepEdge,
    StepGraph,
    StepNode,
    TokenSample,
    Trace,
    TraceStep,
    Verdict,
    parse_settings,
)

PROVENANCE = Provenance(teacher="test", method="test")


def say(text: str) -> Step:
    return Step(name=text, thought="t", summary="s", reflection="r")


def trace(parents: list[int], verdict: Verdict = Verdict.RIGHT, answer: str = "42") -> Trace:
    steps = tuple(TraceStep(step=say(str(i)), parent=parent) for i, parent in enumerate(parents))
    return Trace(problem_id="p", steps=steps, answer=answer, verdict=verdict, provenance=PROVENANCE)


@st.composite
def parents(draw: st.DrawFn) -> list[int]:
    return [draw(st.integers(-1, i - 1)) for i in range(draw(st.integers(1, 8)))]


@given(parents())
def test_a_route_leads_from_the_question_to_its_step(rows):
    one = trace(rows)
    for index in range(len(rows)):
        route = one.route(index)
        assert route[-1] == index
        assert [one.steps[i].parent for i in route] == [-1, *route[:-1]]
    assert one.route(-1) == ()


@given(parents())
def test_a_path_of_a_trace_keeps_its_order_and_its_turns(rows):
    one = trace(rows)
    turns = list(one.backtracks())
    assert turns == [i for i, parent in enumerate(rows) if parent != i - 1]
    path = ReasoningPath.from_trace(one)
    assert path.parents == tuple(rows)
    assert [step.name for step in path.steps] == [str(i) for i in range(len(rows))]
    assert [i for i, move in enumerate(path.moves, 1) if move is Move.BACKTRACK] == turns
    assert path.backtracks == len(turns)
    assert (path.answer, path.problem_id) == ("42", "p")


@given(parents())
def test_stored_traces_and_paths_come_back_equal(rows):
    one = trace(rows)
    path = ReasoningPath.from_trace(one)
    assert Trace.model_validate_json(one.model_dump_json()).id == one.id
    assert ReasoningPath.model_validate_json(path.model_dump_json()).id == path.id


def test_what_a_trace_cannot_be():
    with pytest.raises(ValidationError, match="step 1 names step 1 as its parent"):
        trace([-1, 1])
    with pytest.raises(ValidationError, match="greater than or equal to -1"):
        trace([-2])
    with pytest.raises(ValidationError, match="unfinished trace has no answer"):
        trace([-1], Verdict.UNFINISHED)
    assert trace([-1], Verdict.UNFINISHED, "").answer == ""
    with pytest.raises(ValueError, match="at least one step"):
        ReasoningPath.from_trace(trace([]))


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ({"steps": ()}, "at least one step"),
        ({"moves": ()}, "2 steps need 1 moves, got 0"),
        ({"nodes": ("a",)}, "nodes must be parallel"),
        ({"parents": (-1,)}, "parents must be parallel"),
        ({"parents": (-1, 1)}, "step 1 names step 1"),
        ({"parents": (-1, -1)}, "contradicts its parent -1"),
        ({"parents": (-1, 0), "moves": (Move.BACKTRACK,)}, "contradicts its parent 0"),
    ],
)
def test_what_a_path_cannot_be(values: dict[str, Any], complaint: str):
    sound = {"steps": (say("a"), say("b")), "moves": (Move.PROCEED,), "answer": "1"}
    assert ReasoningPath(**sound).backtracks == 0
    with pytest.raises(ValidationError, match=complaint):
        ReasoningPath(**(sound | values))


QUESTION = StepNode(id="q", kind=NodeKind.QUESTION)
A, B, C, D = (StepNode(id=name, kind=NodeKind.STEP, wordings=(say(name),)) for name in "abcd")
RIGHT = StepNode(id="right", kind=NodeKind.RIGHT, answers=("42",))
WRONG = StepNode(id="wrong", kind=NodeKind.WRONG, answers=("41",))


def graph(nodes: list[StepNode], *edges: tuple[int, int], words: tuple[int, ...] = (0,)) -> StepGraph:
    made = tuple(StepEdge(source=a, target=b, wordings=words) for a, b in edges)
    return StepGraph(problem_id="p", nodes=tuple(nodes), edges=made)


@pytest.mark.parametrize(
    ("nodes", "edges", "complaint"),
    [
        ([], [], "node 0 must be the question"),
        ([A], [], "node 0 must be the question"),
        ([QUESTION, QUESTION.model_copy(update={"id": "q2"})], [], "one question"),
        ([QUESTION, RIGHT, RIGHT.model_copy(update={"id": "r2"})], [], "at most one correct answer"),
        ([QUESTION, A, A], [], "two nodes have the same id"),
        ([QUESTION, A, B], [(0, 1), (1, 2), (2, 1)], "2 → 1 does not point forward: the graph has a cycle"),
        ([QUESTION, A], [(1, 1)], "1 → 1 does not point forward"),
        ([QUESTION, A], [(0, 2)], "0 → 2"),
        ([QUESTION, A], [(-1, 1)], "-1 → 1"),
        ([QUESTION, A], [(0, 1), (0, 1)], "given twice"),
        ([QUESTION, RIGHT, A], [(1, 2)], "leaves an answer"),
        ([QUESTION, WRONG, A], [(1, 2)], "leaves an answer"),
    ],
)
def test_what_a_graph_cannot_be(nodes, edges, complaint):
    with pytest.raises(ValidationError, match=complaint):
        graph(nodes, *edges)


@pytest.mark.parametrize("words", [(), (1,), (0, -1)])
def test_an_edge_names_wordings_that_its_target_has(words):
    for target in (A, RIGHT):
        with pytest.raises(ValidationError, match="names a wording that its target does not have"):
            graph([QUESTION, target], (0, 1), words=words)


def test_facts_of_a_graph_drawn_by_hand():
    """Two ways to the answer, one a step shorter; a dead end; a wrong answer; a node that nothing reaches."""
    #   question ─ a ─ b ─ right      d: no way to it and none from it
    #         └────────┘  a ─ c (dead end), a ─ wrong
    one = graph(
        [QUESTION, A, B, C, D, WRONG, RIGHT], (0, 1), (0, 2), (1, 2), (1, 3), (1, 5), (2, 6)
    )  # fmt: skip
    assert one.facts == (
        NodeFacts(e_i=0, e_o=2, d_s=0, d_e=2),
        NodeFacts(e_i=1, e_o=3, d_s=1, d_e=2),
        NodeFacts(e_i=2, e_o=1, d_s=1, d_e=1),
        NodeFacts(e_i=1, e_o=0, d_s=2, d_e=None),
        NodeFacts(e_i=0, e_o=0, d_s=None, d_e=None),
        NodeFacts(e_i=1, e_o=0, d_s=2, d_e=None),
        NodeFacts(e_i=1, e_o=0, d_s=2, d_e=0),
    )
    assert one.answer_index == 6
    assert one.index_of["c"] == 3
    assert [[edge.target for edge in row] for row in one.out_edges][:2] == [[1, 2], [2, 3, 5]]


def test_facts_of_a_graph_of_nothing_but_its_question():
    one = graph([QUESTION])
    assert one.facts == (NodeFacts(0, 0, 0, None),)
    assert one.answer_index is None


def test_an_answer_that_nothing_leads_to_is_at_no_distance():
    one = graph([QUESTION, A, RIGHT], (0, 1))
    assert [fact.d_e for fact in one.facts] == [None, None, 0]
    assert one.facts[2].d_s is None


def test_budgets():
    assert StepBudget().max_steps is None
    assert StepBudget(min_steps=3, max_steps=3).min_steps == 3
    with pytest.raises(ValidationError, match="min_steps 3 is more than max_steps 2"):
        StepBudget(min_steps=3, max_steps=2)
    for field in ("min_steps", "max_steps", "max_reasoning_tokens"):
        with pytest.raises(ValidationError, match=field):
            StepBudget.model_validate({field: 0})


def test_token_samples():
    sample = TokenSample(
        prompt_ids=(1, 2), completion_ids=(3, 4, 5), step_index=(-1, 0, -1), reasoning_tokens=2
    )
    assert sample.total_tokens == 5
    for values, complaint in (
        ({"step_index": (0,)}, "step_index must be parallel to completion_ids: 1 against 3"),
        ({"reasoning_tokens": 0}, "within the completion"),
        ({"reasoning_tokens": 4}, "within the completion"),
    ):
        with pytest.raises(ValidationError, match=complaint):
            TokenSample.model_validate(sample.model_dump() | values)


class Optimiser(Settings):
    learning_rate: float = Field(default=1e-3, gt=0)
    schedule: str = "cosine"

    @field_validator("schedule")
    @classmethod
    def _known(cls, value: str) -> str:
        if value not in ("cosine", "linear"):
            raise ValueError(f"there is no schedule {value}")
        return value


class Training(Settings):
    output: str
    optimiser: Optimiser = Optimiser()
    later: Optimiser | None = None


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ({}, "run.toml: 'output' is missing"),
        ({"output": "x", "optimizer": {}}, "run.toml: unknown key 'optimizer' (did you mean 'optimiser'?)"),
        (
            {"output": "x", "optimiser": {"learning_rat": 1}},
            "run.toml: unknown key 'optimiser.learning_rat' (did you mean 'learning_rate'?)",
        ),
        (
            {"output": "x", "optimiser": {"zzz": 1}},
            "run.toml: unknown key 'optimiser.zzz' (known keys: learning_rate, schedule)",
        ),
        (
            {"output": "x", "optimiser": {"schedule": "square"}},
            "run.toml: 'optimiser.schedule': there is no schedule square",
        ),
        (
            {"optimiser": {"learning_rate": -1}},
            "run.toml: 'output' is missing; 'optimiser.learning_rate': Input should be greater than 0",
        ),
        (
            {"output": "x", "later": {"learning_rat": 1}},
            "run.toml: unknown key 'later.learning_rat' (did you mean 'learning_rate'?)",
        ),
    ],
)
def test_a_wrong_setting_is_named_in_plain_words(values: dict[str, Any], complaint: str):
    with pytest.raises(InputError) as caught:
        parse_settings(Training, values, "run.toml")
    assert str(caught.value) == complaint


def test_equal_settings_have_equal_digests_whether_given_or_default():
    one = parse_settings(Training, {"output": "x"}, "a")
    other = parse_settings(Training, {"optimiser": {"schedule": "cosine"}, "output": "x"}, "b")
    assert one.digest() == other.digest()
    assert one.digest() != one.model_copy(update={"output": "y"}).digest()
