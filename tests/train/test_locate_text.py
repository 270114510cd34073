"""Steps of tasks without exact states are found by the rules that clustered the graph."""

from __future__ import annotations

import pytest

from steiner.core import Move, Problem, Step, Trace, Verdict
from steiner.core.trace import Provenance, TraceStep
from steiner.graph import build_graph, locate
from steiner.graph.cluster import ClusterSettings, cluster_steps
from steiner.train.locate_steps import by_states, question_value
from steiner.train.locate_text import TextPlaces

PROBLEM = Problem(question="Tom has 4 bags of 6 apples and eats 5. How many are left?", answer="19")
ALL = "Each of the 4 bags holds 6 apples, so there are 4 * 6 = 24 apples."
ALL_AGAIN = "4 bags with 6 apples each are 4 * 6 = 24 apples in all."
LEFT = "Tom eats 5 of them, so 24 - 5 = 19 apples are left."
WRONG = "The bags and the apples together are 4 + 6 = 10 apples."
WRONG_LEFT = "After eating 5 there are 10 - 5 = 5 apples left."
UNHEARD = "The price of a bag is not given, so money does not matter here."


def step(thought: str) -> Step:
    return Step(name="n", thought=thought, summary="s", reflection="r")


def trace(thoughts: list[str], parents: list[int], answer: str, verdict: Verdict, name: str) -> Trace:
    return Trace(
        problem_id=PROBLEM.id,
        steps=tuple(TraceStep(step=step(t), parent=p) for t, p in zip(thoughts, parents, strict=True)),
        answer=answer,
        verdict=verdict,
        provenance=Provenance(teacher=name, method="import"),
    )


TRACES = [
    trace([ALL, LEFT], [-1, 0], "19", Verdict.RIGHT, "a"),
    trace([ALL_AGAIN, LEFT], [-1, 0], "19", Verdict.RIGHT, "b"),
    trace([WRONG, WRONG_LEFT], [-1, 0], "5", Verdict.WRONG, "c"),
]


@pytest.fixture(scope="module")
def graph():
    return build_graph(PROBLEM, TRACES, cluster_steps(PROBLEM, TRACES, ClusterSettings()))


@pytest.fixture(scope="module")
def places(graph):
    return TextPlaces(PROBLEM, graph, ClusterSettings())


def found(places: TextPlaces, thoughts: list[str], moves: str = ""):
    named = [Move.BACKTRACK if letter == "b" else Move.PROCEED for letter in moves]
    named += [Move.PROCEED] * (len(thoughts) - 1 - len(named))
    (steps,) = places.locate([([step(t) for t in thoughts], named)])
    return steps


def test_the_steps_of_the_graph_are_found_where_they_are(graph, places):
    written = [([item.step for item in one.steps], [Move.PROCEED] * (len(one.steps) - 1)) for one in TRACES]
    for one, steps in zip(TRACES, places.locate(written), strict=True):
        assert [s.facts for s in steps] == [graph.facts[node] for node in locate(graph, one)]


def test_a_new_wording_of_a_known_step_belongs_to_its_node(places):
    known = found(places, [ALL, LEFT])
    other = found(
        places, ["In the 4 bags with 6 apples there are 6 * 4 = 24 apples.", "24 - 5 = 19 are left."]
    )
    assert [s.facts for s in other] == [s.facts for s in known]
    assert (other[0].traces, other[0].right) == (2, 2)
    assert other[1].start == other[0].facts


def test_a_wrong_sum_in_the_same_words_is_another_step(places):
    (wrong,) = found(places, [ALL.replace("24", "28")])
    assert wrong.facts is None
    assert (wrong.traces, wrong.right) == (0, 0)


def test_what_nobody_has_said_is_new(places):
    new, after = found(places, [UNHEARD, ALL])
    assert new.facts is None
    assert not new.repeated
    assert after.start is None
    assert after.facts is not None


def test_going_back_from_a_dead_end(places):
    steps = found(places, [WRONG, WRONG_LEFT, ALL, LEFT], "pb")
    assert [s.backtracks for s in steps] == [False, False, True, False]
    assert steps[2].left == steps[1].facts
    assert steps[2].left.d_e is None
    assert steps[2].start == places.question  # its node follows the question
    assert steps[3].facts.d_e == 1


@pytest.mark.parametrize("again", [ALL, ALL_AGAIN])
def test_saying_a_known_step_again_is_a_repeat(places, again):
    assert [s.repeated for s in found(places, [ALL, again])] == [False, True]


def test_saying_a_new_step_again_is_a_repeat(places):
    assert [s.repeated for s in found(places, [UNHEARD, ALL, UNHEARD.replace("given", "stated")])] == [
        False,
        False,
        True,
    ]


def test_an_empty_thought_is_not_sound(places):
    assert [s.sound for s in found(places, [ALL, "  "])] == [True, False]


def test_completions_do_not_see_each_other(places):
    one, other = places.locate([([step(ALL)], []), ([step(ALL_AGAIN)], [])])
    assert not one[0].repeated
    assert not other[0].repeated
    assert places.locate([([], [])]) == [()]
    assert places.locate([]) == []


def test_a_graph_without_steps_knows_nothing(graph):
    empty = build_graph(PROBLEM, [], ())
    (steps,) = TextPlaces(PROBLEM, empty, ClusterSettings()).locate([([step(ALL)], [])])
    assert steps[0].facts is None
    assert question_value(empty) == 0


def test_facts_of_the_graph_as_a_whole(graph, places):
    assert places.chance == pytest.approx(2 / 3)
    assert places.question == graph.facts[0]
    assert not by_states(graph)
