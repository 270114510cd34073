"""The slash commands of `steiner chat`."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steiner.cli.chat.options import COMMANDS, ChatOptions, change, described
from steiner.core import InputError


@pytest.mark.parametrize(
    ("argument", "least", "most"),
    [("2..8", 2, 8), ("5", 5, 5), ("..8", 1, 8), ("3..", 3, None), ("any", 1, None)],
)
def test_steps(argument, least, most):
    budget = change(ChatOptions(), "steps", argument).budget
    assert (budget.min_steps, budget.max_steps) == (least, most)


def test_steps_and_effort_replace_each_other():
    options = change(change(ChatOptions(), "steps", "2..8"), "effort", "low")
    assert (options.effort, options.budget.min_steps, options.budget.max_steps) == ("low", 1, None)
    assert change(options, "steps", "4").effort is None


def test_each_command_changes_what_it_says():
    said = {
        "tokens": "400", "step-tokens": "80", "answer-tokens": "99", "backtrack": "1.5", "repeats": "off",
        "temperature": "0.7", "seed": "7", "system": "Be brief.", "language": "zh", "history": "keep",
        "show": "summaries",
    }  # fmt: skip
    options = ChatOptions()
    for name, argument in said.items():
        options = change(options, name, argument)
    budget = options.budget
    assert (budget.max_reasoning_tokens, budget.max_step_tokens) == (400, 80)
    assert (budget.backtrack_bias, budget.ban_repeats) == (1.5, True)
    assert (options.max_answer_tokens, options.temperature, options.seed) == (99, 0.7, 7)
    assert options.system_prompt == "Be brief.\n\n请用中文思考。"
    assert (options.history, options.show) == ("keep", ("summary",))
    assert described(options) == (
        "steps 1..any, at most 400 reasoning tokens, at most 80 tokens a step, backtrack +1.5, no repeats, "
        "temperature 0.7, history keep, seed 7, language zh, a system prompt"
    )


@pytest.mark.parametrize(
    ("name", "argument"),
    [
        ("steps", "8..2"), ("steps", ""), ("steps", "few"), ("steps", "0"), ("effort", "huge"),
        ("tokens", "3"), ("tokens", "many"), ("answer-tokens", "any"), ("temperature", "3"),
        ("temperature", "hot"), ("temperature", "nan"), ("history", "all"), ("language", "xx"),
        ("show", "me"), ("repeats", "yes"), ("seed", "-1"), ("backtrack", "1000"),
    ],
)  # fmt: skip
def test_nonsense_is_refused_with_the_usage(name, argument):
    with pytest.raises(InputError, match="Use it like this: /" + name):
        change(ChatOptions(), name, argument)


@given(st.sampled_from(sorted(COMMANDS)), st.text(max_size=12))
def test_whatever_is_typed_the_options_stay_valid(name, argument):
    try:
        changed = change(ChatOptions(), name, argument)
    except InputError:
        return
    assert ChatOptions.model_validate(changed.model_dump()) == changed
