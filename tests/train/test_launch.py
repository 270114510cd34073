"""What a launcher's environment says about the processes, without any."""

from __future__ import annotations

import pytest

from steiner.core import InputError
from steiner.train import processes
from steiner.train.settings import LoraSettings, ModelSettings, OptimiserSettings, StageSettings


@pytest.fixture(autouse=True)
def _no_launcher(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*processes.LAUNCHED, "ACCELERATE_USE_FSDP", "ACCELERATE_USE_DEEPSPEED"):
        monkeypatch.delenv(name, raising=False)


def settings(**optimiser: object) -> StageSettings:
    return StageSettings(
        output="out", model=ModelSettings(path="m"), optimiser=OptimiserSettings.model_validate(optimiser)
    )


def test_a_process_without_a_launcher_is_alone(monkeypatch):
    assert processes.world_size() == 1
    assert processes.is_main()
    assert processes.total(3) == 3
    assert processes.decide(lambda: "done") == "done"
    processes.meet()
    monkeypatch.setenv("WORLD_SIZE", "8")  # what some schedulers set besides
    assert processes.world_size() == 1


@pytest.mark.parametrize(("rank", "main"), [("0", True), ("1", False)])
def test_the_first_of_several_writes(monkeypatch, rank, main):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", rank)
    assert processes.world_size() == 2
    assert processes.is_main() is main


def test_gradients_are_reduced_at_once_where_weights_are_in_shares(monkeypatch):
    assert processes.accelerator_config() == {}
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    assert processes.accelerator_config() == {"gradient_accumulation_kwargs": {"sync_each_batch": True}}


@pytest.mark.parametrize("kind", ["ACCELERATE_USE_FSDP", "ACCELERATE_USE_DEEPSPEED"])
def test_lora_in_shares_is_refused(monkeypatch, kind):
    lora = settings().model_copy(update={"model": ModelSettings(path="m", lora=LoraSettings())})
    processes.check_launch(lora)
    monkeypatch.setenv(kind, "true")
    processes.check_launch(settings())
    with pytest.raises(InputError, match=r"8-gpus-ddp\.yaml"):
        processes.check_launch(lora)


def test_muon_under_deepspeed_is_refused(monkeypatch):
    muon = settings(algorithm="muon")
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    processes.check_launch(muon)
    monkeypatch.setenv("ACCELERATE_USE_DEEPSPEED", "true")
    with pytest.raises(InputError, match='algorithm = "adamw"'):
        processes.check_launch(muon)
