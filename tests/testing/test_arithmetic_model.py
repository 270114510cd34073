"""The scripted model, asked with the package's own prompts."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from bare_client import attempt_body, call_body, chat, draft_body, resolve_body, shown

from steiner.cli.common import is_right
from steiner.core import Problem
from steiner.teacher.llm.checks import mentions_told
from steiner.teacher.llm.parse import Parsed, parse_reply
from steiner.teacher.llm.templates import draft_values
from steiner.testing import ArithmeticModel, arithmetic_problems, find_chain

PROBLEMS = arithmetic_problems(300, 11)
FIELDS = ("name", "thought", "summary", "reflection")


def reply(body: dict[str, Any], **settings: Any) -> Any:
    return json.loads(ArithmeticModel(**settings).complete(body).content)


def attempted(problem: Problem, cut: int, **settings: Any) -> tuple[list[Any], Any]:
    """Return the steps of a draft up to a cut, as shown, and the reply to an attempt from there."""
    prefix = shown(reply(draft_body(problem))["steps"][:cut])
    return prefix, reply(attempt_body(problem, prefix), **settings)


def says(step: dict[str, Any]) -> tuple[int, str, int, int]:
    match = re.search(r"(-?\d+) ([-+*]) (\d+) = (-?\d+)", step["thought"])
    assert match is not None
    return int(match[1]), match[2], int(match[3]), int(match[4])


def holds(step: dict[str, Any]) -> bool:
    before, sign, operand, after = says(step)
    return {"+": before + operand, "-": before - operand, "*": before * operand}[sign] == after


def test_all_drafts_are_right_step_by_step():
    for problem in PROBLEMS:
        said = reply(draft_body(problem))
        chain = find_chain(problem.question)
        assert chain is not None
        assert is_right(problem, said["answer"])
        assert [says(step)[3] for step in said["steps"]] == list(chain.values[1:])
        assert all(step["back_to"] is None and all(step[name] for name in FIELDS) for step in said["steps"])


def test_drafts_of_other_requests_are_worded_otherwise():
    body = draft_body(PROBLEMS[0])
    texts = {ArithmeticModel().complete(body | {"seed": seed}).content for seed in range(10)}
    assert len(texts) > 5
    assert ArithmeticModel().complete(body) == ArithmeticModel().complete(body)
    assert ArithmeticModel(seed=1).complete(body) != ArithmeticModel().complete(body)


def test_streaming_changes_nothing():
    body = draft_body(PROBLEMS[0])
    streamed = body | {"stream": True, "stream_options": {"include_usage": True}}
    assert ArithmeticModel().complete(body) == ArithmeticModel().complete(streamed)


@pytest.mark.parametrize("rate", [0.0, 0.3, 1.0])
def test_attempts_err_as_often_as_asked(rate):
    wrong = 0
    for problem in PROBLEMS:
        _, said = attempted(problem, 1, error_rate=rate, unfinished_rate=0)
        assert said["answer"], "none is unfinished"
        wrong += not is_right(problem, said["answer"])
    # Five standard deviations.
    assert abs(wrong - 300 * rate) <= 5 * (300 * rate * (1 - rate)) ** 0.5


def test_attempts_go_on_from_the_steps_shown():
    for problem in PROBLEMS[:100]:
        prefix, said = attempted(problem, 2, error_rate=0, unfinished_rate=0, self_correction_rate=0)
        chain = find_chain(problem.question)
        assert chain is not None
        assert [says(step)[3] for step in said["steps"]] == list(chain.values[3:])
        assert len(prefix) == 2


def test_unfinished_attempts_have_steps_and_no_answer():
    for problem in PROBLEMS[:100]:
        _, said = attempted(problem, 1, error_rate=0, unfinished_rate=1)
        assert said["steps"]
        assert said["answer"] == ""


def test_no_more_steps_than_may_be_written():
    for problem in PROBLEMS[:50]:
        said = reply(attempt_body(problem, max_steps=2), error_rate=0.5, unfinished_rate=0)
        assert len(said["steps"]) == 2
        assert said["answer"] == ""


def test_attempts_that_correct_themselves_name_where_they_go_on():
    for problem in PROBLEMS[:100]:
        prefix, said = attempted(problem, 1, error_rate=0, unfinished_rate=0, self_correction_rate=1)
        steps = [dict(zip(("number", "back_to", *FIELDS), step, strict=True)) for step in prefix]
        steps += said["steps"]
        (back,) = [i for i, step in enumerate(steps) if step["back_to"] is not None]
        assert steps[back]["back_to"] == back - 1, "the step before the wrong one, counted from 1"
        assert not holds(steps[back - 1])
        assert says(steps[back])[:3] == says(steps[back - 1])[:3]
        assert all(holds(step) for i, step in enumerate(steps) if i != back - 1)
        assert is_right(problem, said["answer"])


def test_resolve_names_the_first_wrong_step_and_reaches_the_answer():
    cuts = set()
    for index, problem in enumerate(PROBLEMS):
        prefix, attempt = attempted(problem, index % 3, error_rate=1)
        steps = prefix + shown(attempt["steps"], len(prefix))
        said = reply(resolve_body(problem, steps, attempt["answer"]))
        wrong = next(step.number for step in steps if not holds(step._asdict()))
        assert said["wrong_step"] == wrong
        cuts.add(wrong)
        assert says(said["steps"][0])[:3] == says(steps[wrong - 1]._asdict())[:3]
        assert all(holds(step) for step in said["steps"])
        assert is_right(problem, said["answer"])
        assert str(problem.answer) not in said["reflection"]
    assert len(cuts) >= 5


def test_resolve_of_a_slip_that_was_already_corrected():
    for problem in PROBLEMS[:100]:
        _, attempt = attempted(problem, 0, error_rate=0, unfinished_rate=0, self_correction_rate=1)
        kept = shown(attempt["steps"][:-1])
        if kept and holds(kept[-1]._asdict()):
            said = reply(resolve_body(problem, kept, ""))
            assert said["wrong_step"] is None
            assert is_right(problem, said["answer"])


def test_resolve_of_an_attempt_that_only_lacks_its_end():
    for problem in PROBLEMS[:100]:
        prefix, attempt = attempted(problem, 1, error_rate=0, unfinished_rate=1, self_correction_rate=0)
        said = reply(resolve_body(problem, prefix + shown(attempt["steps"], 1), ""))
        assert said["wrong_step"] is None
        assert says(said["steps"][0])[0] == says(attempt["steps"][-1])[3]
        assert is_right(problem, said["answer"])


def test_it_never_says_that_it_was_told_unless_asked_to():
    for problem in PROBLEMS[:100]:
        for language in ("English", "Chinese"):
            code = "zh" if language == "Chinese" else "en"
            body = draft_body(problem, language)
            assert not mentions_told(ArithmeticModel().complete(body).content, code)
            assert mentions_told(ArithmeticModel(told_share=1).complete(body).content, code)


def test_shares_of_misbehaviour_are_met():
    told = sum(
        mentions_told(ArithmeticModel(told_share=0.2).complete(draft_body(problem)).content)
        for problem in PROBLEMS
    )
    assert abs(told - 60) <= 5 * (300 * 0.2 * 0.8) ** 0.5


def is_chinese(step: dict[str, Any]) -> bool:
    return all(re.search("[一-鿿]", step[name]) for name in FIELDS)


def test_it_writes_the_language_that_is_asked_for():
    chinese = arithmetic_problems(40, 3, chinese=0.5)
    for problem in chinese:
        for language in ("English", "Chinese"):
            prefix = shown(reply(draft_body(problem, language))["steps"][:1])
            attempt = reply(attempt_body(problem, prefix, language=language), error_rate=1)
            resolved = reply(
                resolve_body(problem, prefix + shown(attempt["steps"], 1), attempt["answer"], language)
            )
            assert is_right(problem, resolved["answer"])
            written = [step._asdict() for step in prefix] + attempt["steps"] + resolved["steps"]
            assert {is_chinese(step) for step in written} == {language == "Chinese"}


def test_another_language_if_asked_to_misbehave():
    for language in ("English", "Chinese"):
        said = reply(draft_body(PROBLEMS[0], language), wrong_language_share=1)
        assert {is_chinese(step) for step in said["steps"]} == {language == "English"}


def test_without_structured_outputs_calls_are_known_by_their_prompts():
    shapes = set()
    for problem in PROBLEMS[:60]:
        values = draft_values(problem.question, (), problem.answer, 12, "English")
        text = ArithmeticModel().complete(call_body("draft", values, structured=False)).content
        parsed = parse_reply("draft", text)
        assert isinstance(parsed, Parsed)
        assert is_right(problem, parsed.answer)
        shapes.add(text[:3])
    assert len(shapes) == 3, "bare, fenced, and fenced after a sentence"


def test_a_note_leaves_it_the_same_call():
    body = call_body(
        "draft",
        draft_values(PROBLEMS[0].question, (), PROBLEMS[0].answer, 12, "English"),
        note="Note: 1 reply to this request could not be used. Be shorter.",
    )
    assert is_right(PROBLEMS[0], reply(body)["answer"])
    assert ArithmeticModel().complete(body) != ArithmeticModel().complete(draft_body(PROBLEMS[0]))


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (chat("What is 2 + 3 * 4 - 1?"), "2 + 3 * 4 - 1 = 19."),
        (chat("Who wrote Faust?"), "only work out chains"),
        ({"messages": []}, "only work out chains"),
        (chat([{"type": "text", "text": "2 + 3 * 4"}]), "= 20."),
    ],
)
def test_anything_else_gets_a_sentence(body, said):
    assert said in ArithmeticModel().complete(body).content
