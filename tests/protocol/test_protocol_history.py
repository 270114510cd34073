"""Earlier turns of a conversation, and requests in words."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from protocol_material import paths

from steiner.core import InputError, Move, ReasoningPath, Step
from steiner.protocol import (
    EFFORTS,
    ControlIds,
    Effort,
    HistoryPolicy,
    Message,
    carry_history,
    encode_path,
    encode_prompt,
    parse,
    render,
    render_history,
    render_summaries,
    request_text,
    with_request,
)
from steiner.protocol.requests import WORDINGS

PATH = ReasoningPath(
    steps=(
        Step(name="first", thought="long thought", summary="left 7\n 8", reflection="go on"),
        Step(name="second", thought="longer thought", summary="", reflection="go back"),
        Step(name="", thought="thought", summary="", reflection=""),
    ),
    moves=(Move.PROCEED, Move.BACKTRACK),
    answer="the answer",
    parents=(-1, 0, -1),
)


def test_summaries_are_a_line_per_step_and_the_answer():
    assert render_summaries(PATH) == "- left 7 8\n- second\n\nthe answer"
    assert render_history(PATH, HistoryPolicy.SUMMARIES) == Message("assistant", render_summaries(PATH))


def test_drop_carries_the_answer_and_keep_the_whole(tiny):
    assert render_history(PATH, HistoryPolicy.DROP) == Message("assistant", "the answer")
    kept = render_history(PATH, HistoryPolicy.KEEP)
    assert kept == Message("assistant", "the answer", PATH)
    before = encode_prompt(tiny, [Message("user", "question")])
    ids = encode_prompt(tiny, [Message("user", "question"), kept, Message("user", "next")])
    completion = list(encode_path(tiny, PATH).ids[:-1])
    # What the model saw and wrote stays a prefix, so a cache of it stays valid.
    assert ids[: len(before) + len(completion)] == before + completion


def test_broken_output_carries_what_could_be_read():
    cut = parse(render(PATH)[:-40])
    assert not cut.complete
    message = render_history(cut, HistoryPolicy.SUMMARIES)
    assert message.content.startswith("- left 7 8\n- second")
    nothing = parse("only words")
    assert render_history(nothing, HistoryPolicy.KEEP) == Message("assistant", nothing.answer)


@given(paths(), st.sampled_from([HistoryPolicy.SUMMARIES, HistoryPolicy.DROP]))
def test_carried_text_has_no_control_token_whatever_the_fields_hold(tiny, path, policy):
    ids = ControlIds.from_tokenizer(tiny)
    turn = render_history(path, policy)
    assert turn.reasoning is None
    plain = encode_prompt(tiny, [Message("user", "q"), turn, Message("user", "next")])
    assert not set(plain) & set(ids.control)


def test_a_conversation_is_carried_by_policy_with_the_answers_that_were_given():
    turns = [
        Message("system", "be kind"),
        Message("user", "one"),
        Message("assistant", "answer in short", PATH),
        Message("user", "two"),
        Message("assistant", "plain"),
    ]
    carried = carry_history(turns, HistoryPolicy.SUMMARIES)
    assert carried[2].content == "- left 7 8\n- second\n\nanswer in short"
    assert [*carried[:2], *carried[3:]] == [*turns[:2], *turns[3:]]
    assert carry_history(turns, HistoryPolicy.DROP)[2] == Message("assistant", "answer in short")
    kept = carry_history(turns, HistoryPolicy.KEEP)[2]
    assert kept.reasoning is not None
    assert kept.reasoning.steps == PATH.steps
    assert kept.reasoning.answer == "answer in short"


def test_only_an_assistant_carries_reasoning(tiny):
    with pytest.raises(InputError, match="role 'user'"):
        encode_prompt(tiny, [Message("user", "typed", PATH)])


def test_requests_are_named_in_the_language_of_the_question():
    assert request_text() == ""
    assert request_text(min_steps=1) == ""
    assert request_text(max_steps=1) == "Think in one step."
    assert request_text(max_steps=8) == "Think in at most 8 steps."
    assert request_text(min_steps=4) == "Think in at least 4 steps."
    assert request_text(min_steps=4, max_steps=8) == "Think in 4 to 8 steps."
    assert request_text(min_steps=8, max_steps=8) == "Think in exactly 8 steps."
    assert request_text(effort=Effort.LOW, max_steps=3) == "Reasoning effort: low. Think in at most 3 steps."
    assert request_text("zh-CN", effort=Effort.MAX, max_steps=3) == "思考强度：最高。最多思考 3 步。"
    assert request_text("fr", effort=Effort.HIGH) == request_text("en_GB", effort=Effort.HIGH)


def test_no_two_requests_read_the_same():
    for language, words in WORDINGS.items():
        texts = [request_text(language, effort=effort) for effort in EFFORTS]
        bounds = [(None, 2), (2, None), (2, 3), (3, 3), (None, 1), (None, 3)]
        texts += [request_text(language, min_steps=low, max_steps=high) for low, high in bounds]
        assert len(set(texts)) == len(texts)
        assert len(words.levels) == len(EFFORTS)


def test_a_request_joins_the_system_message_or_becomes_one():
    user = Message("user", "q")
    assert with_request([user], "") == [user]
    assert with_request([user], "Think.") == [Message("system", "Think."), user]
    assert with_request([Message("system", "S"), user], "Think.") == [Message("system", "S\n\nThink."), user]
