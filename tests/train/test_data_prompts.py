"""Prompts of fine-tuning: limits that the path keeps, efforts by length, earlier turns that fit."""

from __future__ import annotations

import random
import re
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steiner.core import InputError, Move, ReasoningPath, Step, parse_settings
from steiner.protocol import EFFORTS, ControlIds, HistoryPolicy, encode_path, render
from steiner.train.prompt_settings import PromptSettings
from steiner.train.prompts import (
    SampleFacts,
    draw_limits,
    effort_thresholds,
    make_prompts,
    messages_of,
    plan_prompts,
)


def sample(number: int, tokenizer=None, **changes) -> SampleFacts:
    """Return a sample of 1 to 6 steps; every fifth is of another family."""
    steps = number % 6 + 1
    path = ReasoningPath(
        steps=tuple(
            Step(name=f"From {n}", thought="3 + 5 = 8", summary=f"left {n}", reflection="go on")
            for n in range(steps)
        ),
        moves=(Move.PROCEED,) * (steps - 1),
        answer="(3 * 5) + 7 = 22",
    )
    length = len(encode_path(tokenizer, path).ids) if tokenizer else 10 * steps
    values = {
        "prompt": f"Make {number} from 3 5 7 .",
        "completion": render(path),
        "language": "en",
        "family": "other" if number % 5 == 0 else "countdown",
        "steps": steps,
        "reasoning_tokens": 10 * steps + number,
        "completion_tokens": length,
    }
    return SampleFacts(**(values | changes))


SAMPLES = [sample(number) for number in range(400)]


@given(st.integers(1, 200), st.floats(0, 4), st.integers(0, 1000))
def test_limits_hold_for_the_path_and_are_not_far_off(steps, slack, seed):
    low, high = draw_limits(steps, slack, random.Random(seed))
    assert low is not None or high is not None
    if low is not None:
        assert 1 < low <= steps
        assert low * (1 + slack) >= steps - 1e-6
    if high is not None:
        assert steps <= high <= steps * (1 + slack)


def test_all_kinds_of_limits_come_and_most_are_upper_ones():
    drawn = [draw_limits(9, 0.5, random.Random(seed)) for seed in range(1000)]
    kinds = Counter((low is not None, high is not None) for low, high in drawn)
    assert set(kinds) == {(False, True), (True, True), (True, False)}
    assert kinds[False, True] > 600


def test_shares_are_met():
    settings = PromptSettings(
        systems=("one", "two"),
        no_system_share=0.25,
        effort_share=0.5,
        limit_share=0.3,
        turns_share=0.4,
        history=(HistoryPolicy.SUMMARIES, HistoryPolicy.DROP),
    )
    plans = plan_prompts(SAMPLES, settings, system="default", seed=0)
    systems = Counter(plan.system for plan in plans)
    assert set(systems) == {"", "one", "two"}
    # Binomial: four standard deviations around the share.
    assert abs(systems[""] - 100) < 35
    assert abs(sum(plan.effort is not None for plan in plans) - 200) < 40
    assert abs(sum(plan.min_steps is not None or plan.max_steps is not None for plan in plans) - 120) < 37
    turned = [plan for plan in plans if plan.earlier]
    assert abs(len(turned) - 160) < 40
    assert {len(plan.earlier) for plan in turned} == {1, 2, 3}
    assert {plan.history for plan in plans} == set(settings.history)
    assert plans == plan_prompts(SAMPLES, settings, system="default", seed=0)
    assert plans != plan_prompts(SAMPLES, settings, system="default", seed=1)


def test_a_sample_s_prompt_does_not_depend_on_other_shares_being_drawn_for_others():
    settings = PromptSettings(limit_share=1.0)
    whole = plan_prompts(SAMPLES, settings, system="", seed=0)
    assert plan_prompts(SAMPLES[:10], settings, system="", seed=0) == whole[:10]


def test_efforts_divide_the_samples_into_fifths_by_length():
    settings = PromptSettings(effort_share=1.0)
    plans = plan_prompts(SAMPLES, settings, system="", seed=0)
    assert Counter(plan.effort for plan in plans) == dict.fromkeys(EFFORTS, 80)
    ranked = sorted(zip(SAMPLES, plans, strict=True), key=lambda pair: pair[0].reasoning_tokens)
    levels = [EFFORTS.index(plan.effort) for _, plan in ranked if plan.effort]
    assert levels == sorted(levels)


def test_earlier_turns_are_other_questions_each_once_and_of_the_family_if_asked():
    settings = PromptSettings(turns_share=1.0, turns_from="family", max_turns=6)
    plans = plan_prompts(SAMPLES, settings, system="", seed=0)
    for index, plan in enumerate(plans):
        asked = [SAMPLES[other].prompt for other in plan.earlier]
        assert plan.earlier
        assert SAMPLES[index].prompt not in asked
        assert len(set(asked)) == len(asked)
        assert {SAMPLES[other].family for other in plan.earlier} == {SAMPLES[index].family}


def test_a_conversation_reads_as_it_would_be_served():
    settings = PromptSettings(systems=("Be brief.",), no_system_share=0, limit_share=1.0, turns_share=1.0)
    (index, plan) = next(
        (i, p)
        for i, p in enumerate(plan_prompts(SAMPLES, settings, system="", seed=0))
        if len(p.earlier) == 2
    )
    messages = messages_of(SAMPLES, index, plan._replace(min_steps=None, max_steps=7))
    assert [m.role for m in messages] == ["system", "user", "assistant", "user", "assistant", "user"]
    assert messages[0].content == "Be brief.\n\nThink in at most 7 steps."
    earlier = SAMPLES[plan.earlier[0]]
    lines = "\n".join(f"- left {n}" for n in range(earlier.steps))
    assert messages[2].content == f"{lines}\n\n(3 * 5) + 7 = 22"
    assert messages[-1].content == SAMPLES[index].prompt


def test_requests_are_in_the_language_of_the_question():
    chinese = [sample(n, language="zh") for n in range(20)]
    plans = plan_prompts(chinese, PromptSettings(limit_share=1.0), system="", seed=0)
    assert all("思考" in messages_of(chinese, i, plan)[0].content for i, plan in enumerate(plans))


def test_prompts_fit_the_context_by_leaving_out_the_earliest_turns(tokenizer):
    samples = [sample(number, tokenizer) for number in range(60)]
    settings = PromptSettings(turns_share=1.0, max_turns=8)
    make = {"system": "", "seed": 0}
    wide = make_prompts(samples, settings, tokenizer, context=100_000, **make)
    assert max(map(len, wide)) > 300
    tight = make_prompts(samples, settings, tokenizer, context=400, **make)
    cut = 0
    for one, other, facts in zip(wide, tight, samples, strict=True):
        assert len(other) + facts.completion_tokens <= 400
        if one != other:
            # What is left is the end of the conversation.
            assert one[-len(other) :] == other
            cut += 1
    assert cut
    with pytest.raises(
        InputError, match=r"turns_share = 1.0 asks for 60 conversations.*context of 60 tokens"
    ):
        make_prompts(samples, settings, tokenizer, context=60, **make)


def test_kept_history_holds_the_control_tokens_and_summaries_do_not(tokenizer):
    samples = [sample(number, tokenizer) for number in range(20)]
    control = set(ControlIds.from_tokenizer(tokenizer).control)
    for policy, found in ((HistoryPolicy.KEEP, True), (HistoryPolicy.SUMMARIES, False)):
        settings = PromptSettings(turns_share=1.0, history=(policy,))
        prompts = make_prompts(samples, settings, tokenizer, context=9999, system="", seed=0)
        assert all(bool(control & set(prompt)) is found for prompt in prompts)


def test_without_shares_the_dataset_s_prompts_are_enough():
    assert not PromptSettings().changes_prompts
    for name in ("effort_share", "limit_share", "turns_share"):
        assert PromptSettings.model_validate({name: 0.1}).changes_prompts
    assert PromptSettings(systems=("one",)).changes_prompts


def test_shares_that_cannot_be_met_are_refused():
    alike = [sample(n, reasoning_tokens=50) for n in range(20)]
    with pytest.raises(InputError, match=re.escape("20 paths of the dataset are too few or too alike")):
        effort_thresholds(alike)
    with pytest.raises(InputError, match="too few"):
        effort_thresholds(SAMPLES[:4])
    settings = PromptSettings(turns_share=0.5)
    with pytest.raises(InputError, match="needs two questions, and"):
        plan_prompts([sample(1)] * 5, settings, system="", seed=0)
    families = [sample(n, family=str(n)) for n in range(5)]
    with pytest.raises(InputError, match=r'of the same family.*turns_from = "any"'):
        plan_prompts(families, PromptSettings(turns_share=0.5, turns_from="family"), system="", seed=0)


def test_a_misspelt_share_is_answered_with_the_nearest():
    with pytest.raises(InputError, match="did you mean 'effort_share'"):
        parse_settings(PromptSettings, {"efort_share": 0.1}, "sft.toml")
