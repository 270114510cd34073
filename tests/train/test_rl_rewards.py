"""Rollouts and rewards as a training uses them, with a tiny model."""

from __future__ import annotations

import numpy as np
import pytest
import tiny_run
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from steiner.cli.common import reader_for
from steiner.core import InputError, Problem, parse_settings
from steiner.graph.cluster import ClusterSettings
from steiner.protocol import ControlIds, ControlToken
from steiner.store import RunDir
from steiner.train.locate_steps import StatePlaces
from steiner.train.locate_text import TextPlaces
from steiner.train.places import KEPT, PlaceFinder
from steiner.train.rewards import Earned
from steiner.train.rl import StepRewardTrainer, _problems, train_rl
from steiner.train.rollout import RolloutWriter
from steiner.train.settings import RlSettings
from steiner.train.supervised import train_cpt

OUTCOME = {"name": "outcome"}
MONTECARLO = {"name": "montecarlo", "continuations": 2, "most": 6}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return tiny_run.make_run(tmp_path_factory.mktemp("rl-rewards") / "run")


@pytest.fixture(scope="module")
def base(run, tmp_path_factory):
    output = tmp_path_factory.mktemp("rl-rewards") / "cpt"
    train_cpt(tiny_run.cpt(run, output, tokens=600))
    return output / "model"


@pytest.fixture(scope="module")
def model(base):
    return AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)


@pytest.fixture(scope="module")
def tokenizer(base):
    return AutoTokenizer.from_pretrained(base)


@pytest.fixture(scope="module")
def problems(run, base, tokenizer):
    with RunDir(run, read_only=True) as directory:
        return _problems(directory, tiny_run.rl(run, run / "none", base), tokenizer)


def writer(run, base, problems, **changes) -> RolloutWriter:
    settings = tiny_run.rl(run, run / "none", base, **changes)
    return RolloutWriter(settings, problems, lambda problem, answer: len(answer) % 2 == 1, None)


def ids_of(rollouts):
    return [one.completion.completion_ids for one in rollouts]


def test_what_a_group_becomes_depends_on_its_number_alone(run, base, problems, model, tokenizer):
    write = writer(run, base, problems).write
    together = write(model, tokenizer, [0] * 4 + [3] * 4)
    apart = write(model, tokenizer, [3] * 4) + write(model, tokenizer, [0] * 4)
    assert ids_of(together) == ids_of(apart[4:] + apart[:4])
    assert [one.budget for one in together] == [one.budget for one in apart[4:] + apart[:4]]
    assert len(set(ids_of(together))) == 8
    other = writer(run, base, problems, seed=1).write(model, tokenizer, [0] * 4)
    assert ids_of(other) != ids_of(together[:4])


def test_each_prompt_draws_its_limit_of_steps(run, base, problems, model, tokenizer):
    written = writer(run, base, problems, group=2, max_steps=6, max_reasoning_tokens=40).write(
        model, tokenizer, [n for n in range(12) for _ in range(2)]
    )
    limits = [one.budget.max_steps for one in written]
    assert limits[::2] == limits[1::2]
    assert len(set(limits)) >= 4
    assert set(limits) <= set(range(1, 7))


def test_a_problem_comes_again_with_other_draws(run, base, problems, model, tokenizer):
    number = len(problems)
    first, again = (writer(run, base, problems).write(model, tokenizer, [n] * 4) for n in (0, number))
    assert first[0].completion.prompt_ids == again[0].completion.prompt_ids
    assert ids_of(first) != ids_of(again)


def test_prompts_that_are_no_groups_are_refused(run, base, problems, model, tokenizer):
    with pytest.raises(ValueError, match="no groups of 4"):
        writer(run, base, problems).write(model, tokenizer, [0, 0, 1, 1])


def test_values_from_extra_rollouts(run, base, problems, model, tokenizer):
    made = writer(run, base, problems, rewards=[OUTCOME, MONTECARLO], max_reasoning_tokens=160)
    written = made.write(model, tokenizer, [0] * 4 + [1] * 4)
    assert made.extra_tokens > 0
    for begin in (0, 4):
        group = written[begin : begin + 4]
        chance = np.mean([one.right for one in group])
        for one in group:
            outcome, values = one.earned
            assert outcome.whole == one.right
            assert len(values.steps) == len(one.steps) == len(one.completion.parsed.steps)
            assert sum(values.steps) + values.end == pytest.approx(one.right - chance)
    again = writer(run, base, problems, rewards=[OUTCOME, MONTECARLO], max_reasoning_tokens=160)
    assert [one.earned for one in again.write(model, tokenizer, [0] * 4)] == [
        one.earned for one in written[:4]
    ]


def test_no_extra_rollouts_unless_asked_for(run, base, problems, model, tokenizer):
    made = writer(run, base, problems, rewards=[OUTCOME, MONTECARLO | {"weight": 0}])
    written = made.write(model, tokenizer, [0] * 4)
    assert made.extra_tokens == 0
    assert all(one.earned[1] == Earned() for one in written)


def test_places_are_states_where_there_are_some_and_forgotten_in_turn(problems):
    reader = reader_for("countdown")
    finder = PlaceFinder(problems, reader, ClusterSettings())
    assert isinstance(finder[0], StatePlaces)
    assert finder[0] is finder[0]
    assert isinstance(PlaceFinder(problems, None, ClusterSettings())[0], TextPlaces)
    many = PlaceFinder(problems * KEPT, reader, ClusterSettings())
    first = many[0]
    for number in range(1, KEPT):
        many[number]
    assert many[0] is first
    many[KEPT]  # number 1 has waited longest
    assert many[0] is first
    assert len(many._kept) == KEPT


@pytest.mark.parametrize(
    ("rewards", "loss", "high"),
    [([OUTCOME, {"name": "progress"}], "sapo", 0.28), ([MONTECARLO], "cispo", 5.0)],
    ids=["progress", "montecarlo"],
)
def test_a_training_with_each_reward(run, base, tmp_path, rewards, loss, high):
    settings = tiny_run.rl(
        run, tmp_path / "rl", base, rewards=rewards, iterations=2, loss=loss, epsilon_high=high, beta=0.01
    )
    graded: list[str] = []

    def odd(problem: Problem, answer: str) -> bool:
        graded.append(answer)
        return len(answer) % 2 == 1

    record = train_rl(settings, odd, reader_for("countdown"))
    assert record.steps == 2
    last = record.curve[0].values  # the second update is on the same completions
    assert {"search/reward", "search/sound", "search/new", "search/masked", "search/no_signal"} <= last.keys()
    assert last["grad_norm"] > 0
    assert len(graded) > 8 or rewards[0] is OUTCOME  # one batch of 8 for both updates


def test_masked_groups_leave_the_loss_and_its_divisor(run, base, tmp_path, monkeypatch):
    seen = []
    score = StepRewardTrainer._generate_and_score_completions

    def watch(trainer, inputs):
        output = score(trainer, inputs)
        kept = (output["completion_mask"] * output["tool_mask"]).sum(dim=1)
        seen.append((kept.tolist(), int(output["num_items_in_batch"]), output["advantages"].abs().sum(dim=1)))
        return output

    monkeypatch.setattr(StepRewardTrainer, "_generate_and_score_completions", watch)
    # Only the problem of the first prompt is ever solved, and only sometimes.
    with RunDir(run, read_only=True) as directory:
        first = _problems(directory, tiny_run.rl(run, tmp_path, base), AutoTokenizer.from_pretrained(base))[
            0
        ].problem.id
    settings = tiny_run.rl(run, tmp_path / "rl", base, rewards=[OUTCOME], steps=1)
    record = train_rl(settings, lambda p, answer: p.id == first and len(answer) % 2 == 1, None)
    ((kept, divisor, advantages),) = seen
    assert all(kept[:4])
    assert not any(kept[4:])
    assert divisor == sum(kept)
    assert advantages[:4].all()
    assert record.curve[-1].values["search/masked"] == 0.5
    assert record.curve[-1].values["search/no_signal"] == 0.5


def test_only_chosen_tokens_of_a_whole_completion_are_learned_from(run, base, problems, model, tokenizer):
    ids = ControlIds.from_tokenizer(tokenizer)
    for one in writer(run, base, problems).write(model, tokenizer, [0] * 4):
        written = one.completion.completion_ids
        assert not one.chosen[0]  # START
        assert not one.chosen[written.index(ids[ControlToken.STEP_START])]
        assert one.chosen.any()
        assert one.truncated  # a model that has learned nothing comes to no end


@pytest.mark.parametrize(
    ("rewards", "message"),
    [
        ([{"name": "dag", "brokn": 1}], r"unknown key 'rewards\.0\.dag\.brokn' \(did you mean 'broken'"),
        ([{"name": "tag"}], "'tag'.*does not match any of the expected tags: 'outcome', 'dag'"),
        ([{"name": "dag"}, {"name": "dag"}], "names a reward twice"),
        ([{"name": "outcome", "weight": 0}], "no reward has a weight above 0"),
        ([], "no reward has a weight above 0"),
    ],
)
def test_wrong_rewards_are_answered_with_what_is_wrong(rewards, message):
    values = {"output": "o", "run": "r", "steps": 1, "model": {"path": "m"}, "rewards": rewards}
    with pytest.raises(InputError, match=message):
        parse_settings(RlSettings, values, "rl.toml")


def test_cispo_without_its_largest_ratio_is_refused():
    values = {"output": "o", "run": "r", "steps": 1, "model": {"path": "m"}, "loss": "cispo"}
    with pytest.raises(InputError, match="needs epsilon_high"):
        parse_settings(RlSettings, values, "rl.toml")


@pytest.mark.slow
@pytest.mark.parametrize("rewards", [[OUTCOME], [MONTECARLO | {"most": 8}]], ids=["outcome", "montecarlo"])
def test_what_is_rewarded_becomes_more_frequent(run, base, tmp_path, rewards):
    optimiser = {"learning_rate": 0.03, "batch_size": 64, "schedule": "constant"}
    settings = tiny_run.rl(
        run, tmp_path / "rl", base, rewards=rewards, steps=13, group=32, max_steps=1, max_reasoning_tokens=16,
        max_answer_tokens=1, optimiser=tiny_run.OPTIMISER | optimiser,
    )  # fmt: skip
    record = train_rl(settings, lambda _, answer: answer.isascii() and answer.isalpha(), None)
    right = [point.values["search/right"] for point in record.curve]
    assert np.mean(right[:3]) < 0.45
    assert np.mean(right[-3:]) > 0.8
