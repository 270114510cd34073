"""The three training stages on a tiny run: what they leave, how they resume, what they refuse."""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import tiny_run
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from steiner.cli.common import is_right, reader_for
from steiner.core import InputError, NoProgress, Problem, Progress, ResumeError, Step, parse_settings
from steiner.dataset.tokenise import tokenizer_digest
from steiner.dataset.tokenizer import train_tokenizer
from steiner.protocol import ControlIds
from steiner.train.locate_steps import StepReading
from steiner.train.rewards import DagReward
from steiner.train.rl import StepRewardTrainer, train_rl
from steiner.train.settings import SftSettings
from steiner.train.stage import WHOLE, TrainingRecord
from steiner.train.supervised import train_cpt, train_sft


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_run.make_run(tmp_path_factory.mktemp("tiny") / "run")


@pytest.fixture(scope="module")
def cpt_record(run: Path) -> TrainingRecord:
    return train_cpt(tiny_run.cpt(run, run / "cpt"))


@pytest.fixture(scope="module")
def base(run: Path, cpt_record: TrainingRecord) -> Path:
    return run / "cpt" / "model"


def weights(output: Path) -> dict[str, torch.Tensor]:
    return load_file(output / "model" / "model.safetensors")


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


class StoppedError(Exception):
    """Stands for whatever ends a training from outside."""


class StopsAt(NoProgress):
    """Raises once so many steps are done; remembers where the training began."""

    def __init__(self, step: int | None = None) -> None:
        self.seen: list[float] = []
        self._step = step

    def update(self, done: float, note: str = "") -> None:
        self.seen.append(done)
        if done == self._step:
            raise StoppedError


class OddReader:
    """Calls names of an odd length sound: a model that has learned nothing writes some of both."""

    def start_state(self, problem: Problem) -> str:
        return "start"

    def read(self, problem: Problem, steps: Sequence[Step]) -> list[StepReading]:
        return [StepReading("start", None, len(step.name) % 2 == 1) for step in steps]


def odd_is_right(problem: Problem, answer: str) -> bool:
    return len(answer) % 2 == 1


def train_rl_on(run: Path, output: Path, base: Path, progress: Progress | None = None, **changes: Any):
    return train_rl(tiny_run.rl(run, output, base, **changes), odd_is_right, OddReader(), progress=progress)


def check_plain_model(output: Path, run: Path) -> None:
    """Load the model with transformers alone and let it write."""
    model = AutoModelForCausalLM.from_pretrained(output / "model")
    tokenizer = AutoTokenizer.from_pretrained(output / "model")
    ids = ControlIds.from_tokenizer(tokenizer)
    assert model.get_input_embeddings().weight.shape[0] > max(ids.control)
    assert tokenizer_digest(tokenizer) == tokenizer_digest(AutoTokenizer.from_pretrained(run / "tokenizer"))
    question = [{"role": "user", "content": "Make 8 from 3 5 ."}]
    prompt = tokenizer.apply_chat_template(
        question, add_generation_prompt=True, return_tensors="pt", return_dict=True
    )
    written = model.generate(**prompt, max_new_tokens=4, do_sample=False)
    assert written.shape[1] > prompt["input_ids"].shape[1]
    assert not list(output.glob("checkpoint-*"))


def test_cpt_leaves_a_plain_model_and_a_record(run, cpt_record):
    check_plain_model(run / "cpt", run)
    assert cpt_record.stage == "cpt"
    assert cpt_record.tokens >= 2400
    assert cpt_record.steps == cpt_record.curve[-1].step
    assert cpt_record.parameters == sum(
        p.numel() for p in AutoModelForCausalLM.from_pretrained(run / "cpt" / "model").parameters()
    )
    assert TrainingRecord.model_validate_json((run / "cpt" / "training.json").read_bytes()) == cpt_record


def test_a_second_call_returns_what_the_first_did(run, cpt_record):
    before = (run / "cpt" / "model" / "model.safetensors").stat().st_mtime_ns
    watcher = StopsAt()
    assert train_cpt(tiny_run.cpt(run, run / "cpt"), progress=watcher) == cpt_record
    assert watcher.seen == []
    assert (run / "cpt" / "model" / "model.safetensors").stat().st_mtime_ns == before


def test_changed_settings_are_refused_by_name_and_force_trains_anew(run, base, tmp_path):
    first = train_sft(tiny_run.sft(run, tmp_path / "sft", base, tokens=600))
    changed = tiny_run.sft(run, tmp_path / "sft", base, tokens=600, seed=1)
    with pytest.raises(ResumeError, match="seed was 0, now 1"):
        train_sft(changed)
    old = weights(tmp_path / "sft")
    again = train_sft(changed, force=True)
    assert again.settings["seed"] == 1
    assert again != first
    assert not same(weights(tmp_path / "sft"), old)


@pytest.mark.parametrize("algorithm", ["adamw", "muon"])
def test_sft_goes_on_from_the_last_whole_checkpoint(run, base, tmp_path, algorithm):
    optimiser = tiny_run.OPTIMISER | {"algorithm": algorithm}
    undisturbed = train_sft(tiny_run.sft(run, tmp_path / "whole", base, optimiser=optimiser))
    assert undisturbed.steps >= 6
    settings = tiny_run.sft(run, tmp_path / "sft", base, optimiser=optimiser)
    with pytest.raises(StoppedError):
        train_sft(settings, progress=StopsAt(5))
    assert sorted(folder.name for folder in (tmp_path / "sft").glob("checkpoint-*")) == [
        "checkpoint-2",
        "checkpoint-4",
    ]
    # What a kill in the middle of writing leaves: newer than all others, and not marked as whole.
    half = tmp_path / "sft" / "checkpoint-5"
    shutil.copytree(tmp_path / "sft" / "checkpoint-4", half)
    (half / WHOLE).unlink()
    (half / "model.safetensors").write_bytes(b"half")

    watcher = StopsAt()
    record = train_sft(settings, progress=watcher)
    assert watcher.seen[0] == 4
    assert not half.exists()
    assert record.steps == undisturbed.steps
    assert [point.step for point in record.curve] == [point.step for point in undisturbed.curve]
    assert same(weights(tmp_path / "sft"), weights(tmp_path / "whole"))


def test_force_with_the_same_settings_goes_on(run, base, tmp_path):
    settings = tiny_run.sft(run, tmp_path / "sft", base, tokens=2400)
    with pytest.raises(StoppedError):
        train_sft(settings, progress=StopsAt(3))
    watcher = StopsAt()
    train_sft(settings, progress=watcher, force=True)
    assert watcher.seen[0] == 2


def test_force_with_other_settings_starts_from_nothing(run, base, tmp_path):
    with pytest.raises(StoppedError):
        train_sft(tiny_run.sft(run, tmp_path / "sft", base, tokens=2400), progress=StopsAt(3))
    watcher = StopsAt()
    train_sft(tiny_run.sft(run, tmp_path / "sft", base, tokens=2400, seed=1), progress=watcher, force=True)
    assert watcher.seen[0] == 0


def test_the_same_settings_give_the_same_model(run, base, tmp_path):
    for name in ("one", "two"):
        train_sft(tiny_run.sft(run, tmp_path / name, base, tokens=600))
    assert same(weights(tmp_path / "one"), weights(tmp_path / "two"))


def test_a_loss_that_is_no_number_ends_the_training(run, base, tmp_path):
    broken = tmp_path / "broken"
    shutil.copytree(base, broken)
    stored = load_file(broken / "model.safetensors")
    next(iter(stored.values())).fill_(float("nan"))
    save_file(stored, broken / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(InputError, match=r"sft: the loss is nan at step 1.*learning rate"):
        train_sft(tiny_run.sft(run, tmp_path / "sft", broken))
    assert not (tmp_path / "sft" / "model").exists()


def test_a_dataset_of_another_tokenizer_is_refused(run, tmp_path):
    train_tokenizer(["other words"], 512, 99).save_pretrained(tmp_path / "tokenizer")
    model = {"architecture": tiny_run.ARCHITECTURE, "tokenizer": str(tmp_path / "tokenizer")}
    with pytest.raises(InputError, match="token ids of the tokenizer"):
        train_cpt(tiny_run.cpt(run, tmp_path / "cpt", model=model))


def test_sequences_longer_than_the_context_are_refused(run, base, tmp_path):
    with pytest.raises(InputError, match=r"longer than the context of 64 tokens"):
        train_sft(tiny_run.sft(run, tmp_path / "sft", base, context=64))


def test_rl_with_the_reader_and_the_grader_of_countdown(run, base, tmp_path):
    settings = tiny_run.rl(run, tmp_path / "rl", base, steps=1)
    record = train_rl(settings, is_right, reader_for("countdown"))
    # A model that has learned nothing writes nothing that is sound, and each step costs what `broken` says.
    assert record.curve[-1].values["search/sound"] == 0
    assert record.curve[-1].values["search/step_reward"] == -0.5 * DagReward().broken


def test_rl_leaves_a_plain_model_and_its_figures(run, base, tmp_path):
    record = train_rl_on(run, tmp_path / "rl", base)
    check_plain_model(tmp_path / "rl", run)
    assert record.steps == 2
    assert record.tokens > 0
    last = record.curve[-1].values
    assert {"search/steps", "search/step_reward", "search/sound", "reward"} <= last.keys()
    assert 1 <= last["search/steps"] <= 4
    assert not same(weights(tmp_path / "rl"), weights(base.parent))


def test_rl_goes_on_from_a_checkpoint(run, base, tmp_path):
    train_rl_on(run, tmp_path / "whole", base)
    with pytest.raises(StoppedError):
        train_rl_on(run, tmp_path / "rl", base, StopsAt(2))
    watcher = StopsAt()
    train_rl_on(run, tmp_path / "rl", base, watcher)
    assert watcher.seen[0] == 1
    assert same(weights(tmp_path / "rl"), weights(tmp_path / "whole"))


def test_rl_uses_an_advantage_per_token_and_leaves_forced_tokens_out(run, base, tmp_path, monkeypatch):
    seen: list[tuple[torch.Size, torch.Size, bool, float, float, float]] = []
    compute = StepRewardTrainer._compute_loss

    def watch(trainer, model, inputs):
        advantages, ids, mask = inputs["advantages"], inputs["completion_ids"], inputs["tool_mask"]
        masked = (mask * inputs["completion_mask"]) == 0
        with torch.no_grad():
            loss = float(compute(trainer, model, inputs))
            hidden = float(
                compute(trainer, model, inputs | {"advantages": advantages + 1e3 * masked.float()})
            )
            shown = float(compute(trainer, model, inputs | {"advantages": advantages + 1e3}))
        seen.append((advantages.shape, ids.shape, bool((mask == 0).any()), loss, hidden, shown))
        assert max(len(set(row.tolist())) for row in advantages) > 1
        return compute(trainer, model, inputs)

    monkeypatch.setattr(StepRewardTrainer, "_compute_loss", watch)
    train_rl_on(run, tmp_path / "rl", base)
    assert len(seen) == 2
    for advantages, ids, some_masked, loss, hidden, shown in seen:
        assert advantages == ids
        assert some_masked
        assert hidden == pytest.approx(loss, abs=1e-6)
        assert abs(shown - loss) > 1


def test_rl_without_a_reader_finds_steps_by_what_they_say(run, base, tmp_path):
    record = train_rl(tiny_run.rl(run, tmp_path / "rl", base, steps=1), is_right, None)
    assert record.curve[-1].values["search/new"] == 1  # a model that has learned nothing says nothing known


def test_groups_that_were_all_cut_off_leave_the_loss(run, base, tmp_path):
    settings = tiny_run.rl(run, tmp_path / "rl", base, steps=1, mask_truncated=True)
    last = train_rl(settings, is_right, None).curve[-1].values
    assert last["search/truncated"] == last["search/masked"] == 1
    assert last["loss"] == last["grad_norm"] == 0


def test_rl_batches_must_divide(run, base, tmp_path):
    optimiser = tiny_run.OPTIMISER | {"batch_size": 3}
    with pytest.raises(InputError, match=re.escape("prompts × group = 8")):
        train_rl_on(run, tmp_path / "rl", base, optimiser=optimiser)


def test_an_unknown_key_is_answered_with_the_nearest():
    with pytest.raises(InputError, match=r"unknown key 'optimiser\.learning_rat' .*'learning_rate'"):
        parse_settings(
            SftSettings,
            {"output": "o", "dataset": "d", "model": {"path": "m"}, "optimiser": {"learning_rat": 1}},
            "sft.toml",
        )
