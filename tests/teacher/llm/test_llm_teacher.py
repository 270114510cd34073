"""The teacher, driven by replies as endpoints give them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable

import pytest

from steiner.core import Grading, InputError, Problem, Step, Trace, TraceStep, parse_settings
from steiner.teacher import Attempt
from steiner.teacher.chat.types import (
    ChatFailure,
    ChatRequest,
    Endpoint,
    FailureKind,
    Finish,
    Reply,
    Usage,
    request_key,
)
from steiner.teacher.llm.teacher import LlmSettings, LlmTeacher
from steiner.teacher.llm.templates import load_prompts
from steiner.teacher.llm.types import Rejected, RejectReason

ENDPOINT = Endpoint(model="small-model")
PROMPTS = load_prompts()
EGGS = Problem(
    question="Janet's ducks lay 16 eggs per day. She eats three for breakfast and bakes muffins with four. "
    "She sells the rest for $2 per egg. How much does she make every day?",
    answer="18",
    grading=Grading.NUMERIC,
)


def step(name: str, thought: str, back_to: int | None = None, **fields: str) -> dict:
    return {
        "back_to": back_to,
        "name": name,
        "thought": thought,
        "summary": fields.get("summary", f"We have found that {thought}."),
        "reflection": fields.get("reflection", "I have checked this against the question, and it is right."),
    }


DRAFT = {
    "steps": [
        step("Count what she uses", "She eats 3 eggs and bakes with 4, and 3 + 4 = 7"),
        step("Count what is left", "There are 16 eggs, and 16 - 7 = 9"),
        step("Work out the money", "Each egg is sold for $2, and 9 * 2 = 18"),
    ],
    "answer": "18",
}
ATTEMPT = {
    "steps": [
        step("Count what is left", "There are 16 eggs, and 16 - 3 = 13"),
        step("Work out the money", "Each egg is sold for $2, and 13 * 2 = 26"),
    ],
    "answer": "26",
}
RESOLVE = {
    "wrong_step": 2,
    "reflection": "Reading the question once more, the muffins take four eggs, which step 2 left out. Back.",
    "steps": [
        step("Count what is left", "She uses 7 eggs, and 16 - 7 = 9"),
        step("Work out the money", "Each egg is sold for $2, and 9 * 2 = 18"),
    ],
    "answer": "18",
}
CHINESE = {
    "steps": [
        {
            "back_to": None,
            "name": "计算剩余",
            "thought": "她用掉3加4等于7个鸡蛋，16减7等于9，9乘2等于18。",
            "summary": "还剩9个鸡蛋，卖18美元。",
            "reflection": "检查过了，符合题目的条件，继续。",
        },
    ],
    "answer": "18",
}


def reply(content: dict | str, finish: Finish = Finish.STOP) -> Reply:
    text = content if isinstance(content, str) else json.dumps(content, ensure_ascii=False)
    usage = Usage(prompt_tokens=900, completion_tokens=300)
    return Reply(text=text, finish=finish, usage=usage, seconds=0.1, tries=1, model="small-model-2024")


class Endless:
    """Answers with recorded replies, one after the other, and keeps what it was asked."""

    def __init__(self, *replies: Reply) -> None:
        self.replies = list(replies)
        self.requests: list[ChatRequest] = []

    async def __call__(self, request: ChatRequest) -> Reply:
        self.requests.append(request)
        return self.replies[min(len(self.requests), len(self.replies)) - 1]


def teacher(complete: Callable, **settings: object) -> LlmTeacher:
    return LlmTeacher(complete, ENDPOINT, LlmSettings.model_validate(settings), PROMPTS)


def draft(
    *replies: Reply, language: str = "en", draw: int = 0, **settings: object
) -> tuple[Trace | Rejected, Endless]:
    endpoint = Endless(*replies)
    return asyncio.run(teacher(endpoint, **settings).draft(EGGS, language, draw)), endpoint


def first_step() -> TraceStep:
    fields = {key: value for key, value in DRAFT["steps"][0].items() if key != "back_to"}
    return TraceStep(step=Step(**fields), parent=-1)


def failed_attempt() -> Attempt:
    result = asyncio.run(teacher(Endless(reply(ATTEMPT))).attempt(EGGS.blind(), (first_step(),), 4, "en", 0))
    assert isinstance(result, Attempt)
    return result


def resolve(attempt: Attempt, *replies: Reply) -> tuple[Trace | Rejected, Endless]:
    endpoint = Endless(*replies)
    return asyncio.run(teacher(endpoint).resolve(EGGS, attempt, "en", 0)), endpoint


def test_a_draft_becomes_a_trace():
    trace, endpoint = draft(reply(DRAFT))
    assert [item.parent for item in trace.steps] == [-1, 0, 1]
    assert (trace.answer, trace.problem_id) == ("18", EGGS.id)
    assert trace.provenance.teacher == "small-model"
    assert trace.provenance.details == {
        "asks": 1,
        "model": "small-model-2024",
        "finish": "stop",
        "language": "en",
    }
    (request,) = endpoint.requests
    assert (request.kind, request.max_tokens, request.temperature, request.draw) == ("draft", 3000, 0.7, 0)
    assert request.schema_name == "steiner_draft"
    assert request.response_schema["properties"]["steps"]["maxItems"] == 10
    assert "<reference_answer>\n18\n</reference_answer>" in request.messages[1].content


def test_the_answer_of_a_choice_is_shown_with_its_text():
    problem = Problem(question="Which?", answer="B", grading=Grading.CHOICE, choices=("a cat", "a dog"))
    endpoint = Endless(reply(DRAFT))
    asyncio.run(teacher(endpoint).draft(problem, "en", 0))
    assert "<reference_answer>\nB. a dog\n</reference_answer>" in endpoint.requests[0].messages[1].content


def test_an_attempt_goes_on_from_its_prefix():
    attempt = failed_attempt()
    assert (attempt.prefix_length, attempt.answer) == (1, "26")
    assert [item.parent for item in attempt.steps] == [-1, 0, 1]
    assert attempt.steps[0] == first_step()


def test_an_attempt_may_go_back_by_itself():
    steps = [ATTEMPT["steps"][0], step("Count again", "3 + 4 = 7 eggs are used", back_to=0)]
    endpoint = Endless(reply({"steps": steps, "answer": ""}))
    attempt = asyncio.run(teacher(endpoint).attempt(EGGS.blind(), (first_step(),), 4, "en", 0))
    assert [item.parent for item in attempt.steps] == [-1, 0, -1]
    assert attempt.answer == ""


def test_an_attempt_keeps_no_more_steps_than_asked():
    endpoint = Endless(reply(ATTEMPT))
    attempt = asyncio.run(teacher(endpoint).attempt(EGGS.blind(), (), 1, "en", 0))
    assert (len(attempt.steps), attempt.answer) == (1, "")
    assert endpoint.requests[0].response_schema["properties"]["steps"]["maxItems"] == 1


def test_a_resolve_goes_back_behind_the_wrong_step():
    attempt = failed_attempt()
    trace, endpoint = resolve(attempt, reply(RESOLVE))
    # Step 2 (index 1) is wrong, and continued step 1 (index 0): the new way starts there.
    assert [item.parent for item in trace.steps] == [-1, 0, 1, 0, 3]
    assert list(trace.backtracks()) == [3]
    assert trace.steps[2].step == attempt.steps[2].step.model_copy(
        update={"reflection": RESOLVE["reflection"]}
    )
    assert trace.steps[:2] == attempt.steps[:2]
    assert (trace.answer, trace.provenance.method) == ("18", "truncate-reveal")
    assert "<right_answer>\n18\n</right_answer>" in endpoint.requests[0].messages[1].content


def test_a_wrong_step_that_itself_went_back_is_left_for_where_it_came_from():
    steps = tuple(first_step().model_copy(update={"parent": parent}) for parent in (-1, 0, 0))
    trace, _ = resolve(
        Attempt(prefix_length=1, steps=steps, answer="26"), reply({**RESOLVE, "wrong_step": 3})
    )
    assert trace.steps[3].parent == 0


@pytest.mark.parametrize("wrong", [None, 0, 4, -1])
def test_a_wrong_attempt_must_be_left(wrong):
    attempt = failed_attempt()
    result, endpoint = resolve(attempt, reply({**RESOLVE, "wrong_step": wrong}))
    assert (result.reason, result.asks, len(endpoint.requests)) == (RejectReason.NO_BACKTRACK, 3, 3)
    assert len(result.steps) == 5


def test_an_unfinished_attempt_may_be_continued():
    attempt = failed_attempt().model_copy(update={"answer": ""})
    trace, _ = resolve(attempt, reply({**RESOLVE, "wrong_step": None}))
    assert [item.parent for item in trace.steps] == [-1, 0, 1, 2, 3]


TOLD = {**DRAFT, "steps": [*DRAFT["steps"][:2], step("Compare", "The reference answer is 18, so 9 * 2 = 18")]}


@pytest.mark.parametrize(
    ("bad", "reason", "note"),
    [
        (reply(TOLD), RejectReason.TOLD, "«reference answer»"),
        (reply("I'm sorry, I can't do that."), RejectReason.UNPARSABLE, "exactly one JSON object"),
        (reply(""), RejectReason.EMPTY, "it was empty"),
        (reply({**DRAFT, "answer": ""}), RejectReason.EMPTY, "it has no answer"),
        (reply(json.dumps(DRAFT)[:-150], Finish.LENGTH), RejectReason.LENGTH, "Be shorter"),
        (reply(DRAFT, Finish.LENGTH), RejectReason.LENGTH, "Be shorter"),
        (reply("", Finish.REFUSAL), RejectReason.REFUSED, "ordinary exercise"),
        (reply(DRAFT, Finish.FILTER), RejectReason.REFUSED, "ordinary exercise"),
        (reply(DRAFT, Finish.OTHER), RejectReason.UNPARSABLE, "stopped in the middle"),
        (reply(CHINESE), RejectReason.LANGUAGE, "must be written in English"),
    ],
    ids=lambda value: str(value) if isinstance(value, RejectReason) else "",
)
def test_a_bad_reply_is_asked_for_again_with_what_was_wrong(bad, reason, note):
    trace, endpoint = draft(bad, reply(DRAFT))
    assert isinstance(trace, Trace)
    assert trace.provenance.details["asks"] == 2
    first, second = endpoint.requests
    assert second.messages[0] == first.messages[0]
    assert second.messages[1].content.startswith(first.messages[1].content)
    assert note in second.messages[1].content
    rejected, endpoint = draft(bad)
    assert (rejected.reason, rejected.asks, rejected.call) == (reason, 3, "draft")
    assert len({request_key(ENDPOINT, request) for request in endpoint.requests}) == 3


def test_reasoning_in_the_language_asked_is_taken():
    trace, endpoint = draft(reply(CHINESE), language="zh")
    assert isinstance(trace, Trace)
    assert "Write every field in Chinese (中文)" in endpoint.requests[0].messages[1].content
    rejected, _ = draft(reply(DRAFT), language="zh")
    assert rejected.reason is RejectReason.LANGUAGE


def test_one_step_in_another_language_is_enough():
    mixed = {**DRAFT, "steps": [*DRAFT["steps"], *CHINESE["steps"]]}
    rejected, _ = draft(reply(mixed))
    assert rejected.reason is RejectReason.LANGUAGE


def test_the_last_rejection_keeps_the_steps_that_could_be_read():
    rejected, _ = draft(reply(TOLD), asks=1)
    assert (len(rejected.steps), rejected.answer, rejected.asks) == (3, "18", 1)


def test_equal_calls_make_equal_requests_and_draws_differ():
    bad = reply("no")
    keys = []
    for draw in (0, 0, 1):
        _, endpoint = draft(bad, draw=draw, seed=5)
        keys.append([request_key(ENDPOINT, request) for request in endpoint.requests])
        assert len({request.seed for request in endpoint.requests}) == 3
    assert keys[0] == keys[1]
    assert not set(keys[0]) & set(keys[2])


def test_no_seed_is_sent_unless_one_is_set():
    _, endpoint = draft(reply(DRAFT))
    assert endpoint.requests[0].seed is None


def test_failures_of_the_endpoint_are_passed_on():
    async def fail(request: ChatRequest) -> Reply:
        raise ChatFailure(FailureKind.AUTH, "no key", tries=1)

    with pytest.raises(ChatFailure):
        asyncio.run(teacher(fail).draft(EGGS, "en", 0))


def test_unknown_settings_and_languages_are_refused():
    with pytest.raises(InputError, match="draft_temperature"):
        parse_settings(LlmSettings, {"draft_temprature": 1}, "llm.toml")
    with pytest.raises(InputError, match="no language"):
        draft(reply(DRAFT), language="klingon")


def test_what_is_copied_from_the_instructions_is_asked_for_again():
    copied = DRAFT | {"steps": [*DRAFT["steps"]]}
    sentence = PROMPTS.instructions("draft")[4]
    copied["steps"][1] = step("Count what is left", "There are 16 eggs, and 16 - 7 = 9", reflection=sentence)
    trace, endpoint = draft(reply(copied), reply(DRAFT))
    assert isinstance(trace, Trace)
    assert sentence in endpoint.requests[1].messages[1].content
    assert "must be about this question" in endpoint.requests[1].messages[1].content
    example = "Tom before Ida fits the first sentence, Ida before Sam the second."
    resolved, _ = resolve(failed_attempt(), reply(RESOLVE | {"reflection": f"{example} Back to step 1."}))
    assert isinstance(resolved, Rejected)
    assert resolved.reason is RejectReason.ECHO
    assert example in resolved.detail


def test_an_answer_that_no_step_arrives_at_is_asked_for_again():
    short = DRAFT | {"steps": DRAFT["steps"][:2]}
    trace, endpoint = draft(reply(short), reply(DRAFT))
    assert isinstance(trace, Trace)
    assert "must arrive at the answer" in endpoint.requests[1].messages[1].content
    rejected, _ = resolve(failed_attempt(), reply(RESOLVE | {"steps": RESOLVE["steps"][:1]}))
    assert isinstance(rejected, Rejected)
    assert rejected.reason is RejectReason.UNFOUNDED
    spelled = [*DRAFT["steps"][:2], step("Work out the money", "Nine times two is eighteen dollars a day")]
    assert isinstance(draft(reply(DRAFT | {"steps": spelled}))[0], Trace)
    # A number in words that we cannot read, a number of the question, and a text are all let through.
    thought = "Von den sieben Eiern bleiben am Ende noch fünf Eier übrig."
    check = "Das passt gut zu der Frage, wie sie gestellt ist."
    fields = {"name": "Zählen", "thought": thought, "summary": "Es bleiben fünf Eier.", "reflection": check}
    german = {"steps": [{"back_to": None} | fields], "answer": "5"}
    assert isinstance(draft(reply(german), language="de")[0], Trace)
    for answer in ("16", "no money at all"):
        assert isinstance(draft(reply(short | {"answer": answer}))[0], Trace)


def test_a_blind_attempt_may_guess():
    guess = ATTEMPT | {"steps": ATTEMPT["steps"][:1]}
    result = asyncio.run(teacher(Endless(reply(guess))).attempt(EGGS.blind(), (), 4, "en", 0))
    assert isinstance(result, Attempt)


def test_every_sentence_of_the_instructions_is_known_whole():
    for call in ("attempt", "resolve"):
        assert "Both are used, nobody is missing." in PROMPTS.instructions(call)
    every = {sentence for call in ("draft", "attempt", "resolve") for sentence in PROMPTS.instructions(call)}
    assert "This answers the question." not in every
    assert min(map(len, every)) >= 30
