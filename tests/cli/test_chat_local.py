"""`steiner chat MODEL` with a model in the process; its pseudo-terminal is in the slow tests."""

from __future__ import annotations

import io

import pytest
from rich.console import Console
from terminal import CTRL_C, CTRL_D, Terminal

from steiner.cli.chat.local import LocalModel, limits_of
from steiner.cli.chat.loop import Chat
from steiner.cli.chat.options import ChatOptions, change
from steiner.core import StepBudget
from steiner.protocol import ControlToken
from tiny_model import save_tiny_model

SHORT = ChatOptions(budget=StepBudget(max_steps=2, max_reasoning_tokens=60), max_answer_tokens=8)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_tiny_model(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def local(folder):
    return LocalModel(str(folder))


def test_what_is_shown_is_what_was_written(local):
    events = []
    exchange = local.answer([], "q", SHORT, events.append)
    texts = {}
    for event in events:
        if hasattr(event, "field") and hasattr(event, "text"):
            texts[event.step, event.field] = texts.get((event.step, event.field), "") + event.text
    assert texts
    assert texts == {
        (index, field): getattr(step, field)
        for index, step in enumerate(exchange.parsed.steps)
        for field in ("name", "thought", "summary", "reflection")
        if getattr(step, field)
    }
    assert exchange.parsed.complete
    assert exchange.reasoning_tokens is not None
    assert 0 < exchange.reasoning_tokens <= 60


@pytest.mark.parametrize("policy", ["keep", "summaries", "drop"])
def test_earlier_turns_carry_what_the_policy_says(local, policy, monkeypatch):
    prompts = []
    from steiner.cli.chat import local as module

    plain = module.generate

    def generate(model, tokenizer, given, *rest, **options):
        prompts.append(tokenizer.decode(given[0]))
        return plain(model, tokenizer, given, *rest, **options)

    monkeypatch.setattr(module, "generate", generate)
    options = change(SHORT, "history", policy)
    first = local.answer([], "first", options, lambda event: None)
    local.answer([first], "second", options, lambda event: None)
    assert "first" in prompts[1]
    assert "second" in prompts[1]
    assert (ControlToken.STEP_END in prompts[1]) == (policy == "keep")
    assert ("\n- " in prompts[1] or "assistant\n- " in prompts[1]) == (policy == "summaries")


def test_a_seed_repeats_and_no_seed_does_not(local):
    hot = change(SHORT, "temperature", "1.5")

    def thoughts(options):
        return local.answer([], "q", options, lambda event: None).parsed.steps

    assert thoughts(change(hot, "seed", "3")) == thoughts(change(hot, "seed", "3"))
    assert len({thoughts(hot) for _ in range(4)}) > 1


def test_an_effort_is_a_range_of_steps():
    budget = limits_of(change(SHORT, "effort", "high"))
    assert (budget.min_steps, budget.max_steps, budget.max_reasoning_tokens) == (4, 16, 60)


def test_lines_in_and_answers_out(local):
    out = io.StringIO()
    chat = Chat(local, SHORT, Console(file=out, width=80))
    for line in ("/steps 9..2", "/nothing", "/settings", "/help", "hello", "//hello", "/save"):
        chat.take(line)
    text = out.getvalue()
    assert "min_steps 9 is more than max_steps 2. Use it like this: /steps 2..8" in text
    assert "there is no command /nothing" in text
    assert text.count("Answer: ") == 2
    assert "/history keep|summaries|drop" in text
    assert "where to? /save FILE" in text


def test_a_conversation_longer_than_the_context_is_told(tmp_path):
    out = io.StringIO()
    chat = Chat(LocalModel(str(save_tiny_model(tmp_path, context=128))), SHORT, Console(file=out, width=80))
    chat.take("x" * 200)
    assert "Shorten the prompt" in out.getvalue()


@pytest.mark.slow
def test_in_a_terminal(folder, tmp_path):
    with Terminal(["chat", folder, "--max-answer-tokens", "8"]) as terminal:
        terminal.until("\n> ")
        # Untrained and without limits it writes thousands of tokens.
        terminal.send("think long\r")
        terminal.until("●")
        terminal.send(CTRL_C)
        terminal.until("Stopped; the question is forgotten.")
        terminal.until("> ")
        terminal.send("/steps 2\r")
        terminal.until("\n> ")
        terminal.send("/tokens 60\r")
        terminal.until("\n> ")
        terminal.send("think\r")
        terminal.until("Answer:")
        terminal.until("2 steps")
        terminal.until("> ")
        terminal.send(f"/save {tmp_path / 'chat.json'}\r")
        terminal.until("Saved 1 questions and answers")
        terminal.until("> ")
        terminal.send(CTRL_D)
        assert terminal.end() == 0
