"""Which tokens a model chose, which step a token belongs to, and the advantages of a group."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steiner.core import InputError, Step, StepBudget
from steiner.decode.control import Mode, Rest, StepControl
from steiner.decode.generate import Completion
from steiner.protocol import ControlIds, ControlToken, parse_ids
from steiner.protocol.tokens import CONTROL_TOKENS
from steiner.train.rewards import Earned, GeneratedStep
from steiner.train.rollout import (
    Rollout,
    chosen_tokens,
    group_lesson,
    is_truncated,
    local_share,
    step_index,
)
from steiner.train.settings import ModelSettings, RlSettings

T = ControlToken
IDS = ControlIds(control=tuple(range(10, 24)), eos=30, pad=31, special=frozenset({30, 31}), size=32)
WORD = 1
FIELDS = (
    (T.NAME_START, T.NAME_END),
    (T.THOUGHT_START, T.THOUGHT_END),
    (T.SUMMARY_START, T.SUMMARY_END),
    (T.REFLECTION_START, T.REFLECTION_END),
)


def step_ids(words: int) -> list[int]:
    """Return a whole step with `words` words in each field."""
    inner = [part for a, b in FIELDS for part in (IDS[a], *[WORD] * words, IDS[b])]
    return [IDS[T.STEP_START], *inner, IDS[T.STEP_END]]


def completion_ids(steps: int, words: int, answer: int) -> list[int]:
    """Return a completion that follows the grammar."""
    written = [IDS[T.START]]
    for number in range(steps):
        written += [IDS[T.PROCEED]] * (number > 0) + step_ids(words)
    return [*written, IDS[T.END], *[WORD] * answer, IDS.eos]


def slowly(completion: list[int], budget: StepBudget, control: StepControl) -> list[bool]:
    """Ask step control about every prefix, one at a time."""
    answers = []
    for place in range(len(completion)):
        allowed = control.allowed(completion[:place], budget)
        answers.append(not (allowed.rest is Rest.NOTHING and len(allowed.ids) == 1))
    return answers


@st.composite
def budgets(draw: st.DrawFn) -> StepBudget:
    least = draw(st.integers(1, 3))
    more = draw(st.one_of(st.none(), st.integers(0, 3)))
    tokens = draw(st.one_of(st.none(), st.integers(0, 60)))
    return StepBudget(
        min_steps=least,
        max_steps=None if more is None else least + more,
        max_reasoning_tokens=None if tokens is None else 16 + 12 * least + tokens,
    )


@settings(max_examples=60, deadline=None)
@given(
    st.one_of(
        st.builds(completion_ids, st.integers(1, 4), st.integers(0, 3), st.integers(1, 4)),
        st.lists(st.sampled_from([*IDS.control, IDS.eos, WORD]), max_size=30),
    ),
    budgets(),
    st.sampled_from([Mode.STRICT, Mode.REPORT]),
)
def test_chosen_tokens_equals_asking_for_every_prefix(completion, budget, mode):
    control = StepControl(IDS, mode, max_answer_tokens=3)
    assert chosen_tokens(completion, budget, control).tolist() == slowly(completion, budget, control)


def test_what_step_control_forces_is_not_chosen():
    control = StepControl(IDS, Mode.STRICT, max_answer_tokens=2)
    completion = completion_ids(steps=2, words=1, answer=2)
    chosen = chosen_tokens(completion, StepBudget(max_steps=2), control)
    names = dict(zip(IDS.control, CONTROL_TOKENS, strict=True))
    forced = [
        names.get(n, "eos" if n == IDS.eos else "word")
        for n, free in zip(completion, chosen, strict=True)
        if not free
    ]
    assert forced[0] == T.START
    assert forced[-2:] == [T.END, "eos"]  # the step limit and the answer limit were reached
    assert chosen[completion.index(IDS[T.PROCEED])]
    assert "word" not in forced


def test_an_empty_completion():
    assert chosen_tokens([], StepBudget(), StepControl(IDS)).shape == (0,)


def test_step_index_by_hand():
    a, b, word = IDS[T.STEP_START], IDS[T.STEP_END], WORD
    ids = [IDS[T.START], a, word, b, IDS[T.BACKTRACK], a, b, IDS[T.END], word, IDS.eos]
    assert step_index(ids, 2, IDS) == [-1, 0, 0, 0, -1, 1, 1, -1, -1, -1]


def test_a_step_that_was_cut_off_before_it_could_be_read_has_no_number():
    a, b = IDS[T.STEP_START], IDS[T.STEP_END]
    assert step_index([a, b, IDS[T.PROCEED], a, WORD], 1, IDS) == [0, 0, -1, -1, -1]


@given(st.integers(1, 5), st.integers(0, 3), st.integers(1, 4))
def test_step_index_covers_each_step_once_and_in_order(steps, words, answer):
    index = np.array(step_index(completion_ids(steps, words, answer), steps, IDS))
    for number in range(steps):
        assert (index == number).sum() == len(step_ids(words))
    inside = index[index >= 0]
    assert (np.diff(inside) >= 0).all()


def rl_settings(**values: object) -> RlSettings:
    return RlSettings.model_validate(
        {"output": "o", "run": "r", "steps": 1, "model": ModelSettings(path="m"), **values}
    )


ANYWHERE = GeneratedStep(None, None, None, False, False, True)


def rollout(
    steps: int, rewards: tuple[float, ...], *, right: bool, words: int = 1, truncated: bool = False
) -> Rollout:
    ids = tuple(completion_ids(steps, words, 1))
    parsed = parse_ids(FakeTokenizer(), ids, IDS)
    assert (
        parsed.steps
        == (Step(**dict.fromkeys(("name", "thought", "summary", "reflection"), "w" * words)),) * steps
    )
    return Rollout(
        group=0,
        completion=Completion((0,), ids, parsed),
        budget=StepBudget(),
        right=right,
        steps=(ANYWHERE,) * steps,
        earned=(Earned(whole=float(right)), Earned(steps=rewards)),
        chosen=np.ones(len(ids), dtype=np.bool_),
        truncated=truncated,
    )


class FakeTokenizer:
    """Every word is a `w`."""

    def decode(self, ids: list[int], **_: object) -> str:
        return "w" * len(ids)


def rewards(outcome: float, steps: float) -> list[dict[str, object]]:
    return [{"name": "outcome", "weight": outcome}, {"name": "dag", "weight": steps}]


def test_advantages_of_a_group_have_the_length_of_their_completions():
    group = [
        rollout(1, (0.5,), right=True),
        rollout(3, (0.0, -1.0, 0.25), right=False, words=2),
        rollout(2, (1.0, 0.0), right=False),
    ]
    advantages = group_lesson(group, rl_settings(), IDS).advantages
    assert [len(one) for one in advantages] == [len(r.completion.completion_ids) for r in group]
    # END and the answer are followed by no step: they get the outcome, by which only the first was right.
    assert [np.sign(one[-1]) for one in advantages] == [1, -1, -1]


def test_a_group_that_does_equally_well_teaches_nothing_and_is_masked():
    group = [rollout(2, (0.25, 0.25), right=True) for _ in range(4)]
    lesson = group_lesson(group, rl_settings(), IDS)
    assert not np.concatenate(lesson.advantages).any()
    assert (lesson.flat, lesson.truncated, lesson.masked) == (True, False, True)
    assert not group_lesson(group, rl_settings(mask_flat=False), IDS).masked


def test_a_group_is_truncated_if_all_of_it_is():
    cut = [rollout(1, (0.5,), right=True, truncated=True), rollout(1, (0.0,), right=False, truncated=True)]
    lesson = group_lesson(cut, rl_settings(), IDS)
    assert (lesson.flat, lesson.truncated, lesson.masked) == (False, True, True)
    assert not group_lesson(cut, rl_settings(mask_truncated=False), IDS).masked
    lesson = group_lesson([*cut, rollout(1, (0.0,), right=False)], rl_settings(), IDS)
    assert (lesson.truncated, lesson.masked) == (False, False)


def test_weights_of_outcome_and_steps():
    group = [rollout(2, (1.0, 0.0), right=True), rollout(2, (0.0, 0.0), right=False)]
    both = group_lesson(group, rl_settings(rewards=rewards(2.0, 3.0)), IDS).advantages
    outcome = group_lesson(group, rl_settings(rewards=rewards(1.0, 0.0)), IDS).advantages
    steps = group_lesson(group, rl_settings(rewards=rewards(0.0, 1.0)), IDS).advantages
    for total, by_outcome, by_steps in zip(both, outcome, steps, strict=True):
        assert total == pytest.approx(2 * by_outcome + 3 * by_steps)
        assert len(set(by_outcome)) == 1
        assert len(set(by_steps)) > 1


def truncated(completion: list[int], budget: StepBudget, answer: int = 9) -> bool:
    control = StepControl(IDS, Mode.STRICT, max_answer_tokens=answer)
    return is_truncated(completion, chosen_tokens(completion, budget, control), budget, IDS)


def test_what_a_token_limit_cuts_is_truncated_and_what_a_step_limit_ends_is_not():
    whole = completion_ids(steps=2, words=1, answer=2)
    assert not truncated(whole, StepBudget(max_steps=5))
    assert not truncated(whole, StepBudget(max_steps=2))
    assert truncated(whole, StepBudget(max_steps=5), answer=2)
    reasoning = whole.index(IDS[T.END]) + 1
    # So many tokens that a third step has no room: the end is forced, not by the number of steps.
    assert truncated(whole, StepBudget(max_steps=5, max_reasoning_tokens=reasoning))
    assert not truncated(whole, StepBudget(max_steps=5, max_reasoning_tokens=reasoning + 20))


def test_a_field_that_had_to_close_is_truncated():
    ids = [IDS[T.START], IDS[T.STEP_START], IDS[T.NAME_START], *[WORD] * 4, IDS[T.NAME_END]]
    ids += [part for a, b in FIELDS[1:] for part in (IDS[a], IDS[b])]
    ids += [IDS[T.STEP_END], IDS[T.END], WORD, IDS.eos]
    reasoning = ids.index(IDS[T.END]) + 1
    assert truncated(ids, StepBudget(max_steps=1, max_reasoning_tokens=reasoning))
    assert not truncated(ids, StepBudget(max_steps=1, max_reasoning_tokens=reasoning + 4))


def test_a_group_stays_on_one_process():
    assert local_share(24, 4, 2) == 12
    assert local_share(24, 4, 1) == 24
    with pytest.raises(InputError, match="6 prompts cannot be shared by 4 processes"):
        local_share(24, 4, 4)
