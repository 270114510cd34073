"""`steiner chat --base-url` and the real server."""

from __future__ import annotations

import pytest

from steiner.cli.chat.options import ChatOptions, change
from steiner.cli.chat.server import Server
from steiner.core import InputError
from steiner.protocol import AnswerStarted, FieldText, StepStarted


@pytest.mark.slow
def test_two_turns_and_a_refusal(server):
    chat = Server(server)
    assert chat.name == "tiny"
    options = change(change(ChatOptions(), "steps", "2"), "tokens", "60")
    events = []
    first = chat.answer([], "first <|reasoning_end|>", options, events.append)
    kinds = [type(event) for event in events]
    assert (kinds.count(StepStarted), kinds.count(AnswerStarted)) == (2, 1)
    assert len(first.parsed.steps) == 2
    texts = "".join(e.text for e in events if isinstance(e, FieldText) and e.field == "thought")
    assert texts == "".join(step.thought for step in first.parsed.steps)
    assert first.parsed.answer
    assert first.reasoning_tokens is not None
    assert 23 <= first.reasoning_tokens <= 60
    assert "●" in first.reasoning_text
    second = chat.answer([first], "second", change(options, "history", "keep"), events.append)
    assert second.parsed.answer
    with pytest.raises(InputError, match=r"\(400\).*context"):
        chat.answer([], "x" * 5000, options, events.append)
