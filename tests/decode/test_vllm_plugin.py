"""What vLLM's entry points lead to, with stand-ins for vLLM's classes; and how little they need."""

from __future__ import annotations

import importlib
import subprocess
import sys
import tomllib
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
import torch
from engines import V2Runner, config, params, stand_in_vllm

from steiner.decode import vllm_setup, vllm_v1, vllm_v2

ROOT = Path(__file__).resolve().parents[2]


class V1Base:
    pass


class V2Base:
    pass


@pytest.fixture
def plugin(monkeypatch, tokenizer):
    """The module, imported on stand-ins."""
    stand_in_vllm(monkeypatch, tokenizer)

    class InputBatch:
        def __init__(self, logitsprocs, logitsprocs_need_output_token_ids):
            self.logitsprocs = logitsprocs
            self.logitsprocs_need_output_token_ids = logitsprocs_need_output_token_ids

    contents = {
        "vllm.v1.sample.logits_processor": {"LogitsProcessor": V1Base},
        "vllm.v1.worker.gpu.sample.logits_processor": {"LogitsProcessor": V2Base},
        "vllm.v1.worker.gpu_input_batch": {"InputBatch": InputBatch},
    }
    for name in contents:
        parts = name.split(".")
        for end in range(2, len(parts) + 1):
            monkeypatch.setitem(sys.modules, ".".join(parts[:end]), ModuleType(".".join(parts[:end])))
    for name, values in contents.items():
        vars(sys.modules[name]).update(values)
    sys.modules.pop("steiner.decode.vllm_plugin", None)
    yield importlib.import_module("steiner.decode.vllm_plugin")
    sys.modules.pop("steiner.decode.vllm_plugin", None)


def test_the_entry_points_lead_to_what_is_there(plugin):
    points = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"]
    module, name = points["vllm.logits_processors"]["steiner"].split(":")
    assert getattr(importlib.import_module(module), name) is plugin.StepControlPlugin
    module, name = points["vllm.general_plugins"]["steiner"].split(":")
    assert getattr(importlib.import_module(module), name) is vllm_setup.register


def test_each_runner_gets_its_own_processor(plugin, ids):
    assert issubclass(plugin.StepControlPlugin, (V1Base, V2Base))
    assert V1Base in plugin.StepControlPlugin.__mro__
    assert V2Base in plugin.StepControlPlugin.__mro__
    one = plugin.StepControlPlugin(config(ids.size), "cpu", False)
    assert isinstance(one, vllm_v1.StepControlLogitsProcessor)
    states = V2Runner(ids.size, slots=2).processor._states
    two = plugin.StepControlPlugin(config(ids.size), states)
    assert isinstance(two, vllm_v2.StepControlLogitsProcessor)
    with pytest.raises(ValueError, match="more than max_steps"):
        plugin.StepControlPlugin.validate_params(params(min_steps=3, max_steps=1))


@pytest.mark.parametrize("runner", [("cpu", False), ("states",)])
@pytest.mark.parametrize("why", ["named", "no tokens"])
def test_otherwise_nothing_is_touched(plugin, monkeypatch, tokenizer, runner, why):
    given = config(273)
    if why == "named":
        given.model_config.logits_processors = ["steiner.decode.vllm_v1:StepControlLogitsProcessor"]
    else:
        bare = SimpleNamespace(
            all_special_ids=[], added_tokens_decoder={}, unk_token_id=None, eos_token_id=1, pad_token_id=1,
            convert_tokens_to_ids=lambda names: [None for _ in names], name_or_path="bare",
        )  # fmt: skip
        stand_in_vllm(monkeypatch, bare)
    processor = plugin.StepControlPlugin(given, *runner)
    logits = torch.randn(2, 273)
    processor.update_state(None)
    processor.apply_staged_writes()
    assert processor.add_request(0, params()) is False
    assert torch.equal(processor.apply(logits.clone()), logits)
    assert torch.equal(processor.apply(logits.clone(), None), logits)


def test_the_v1_runner_is_asked_for_tokens_where_nobody_else_does(plugin, ids):
    batch = sys.modules["vllm.v1.worker.gpu_input_batch"].InputBatch
    processors = [plugin.StepControlPlugin(config(ids.size), "cpu", False) for _ in range(2)]
    assert batch(SimpleNamespace(all=processors), False).logitsprocs_need_output_token_ids
    assert not batch(SimpleNamespace(all=[object()]), False).logitsprocs_need_output_token_ids


def test_vllms_environment_needs_nothing_else_of_ours():
    """It has numpy, pydantic and torch; what training, serving and the command line need is not there."""
    code = """
import sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split('.')[0] in {'aiohttp', 'datasets', 'fastapi', 'filelock', 'orjson', 'peft', 'psutil',
                                  'pyarrow', 'rich', 'scipy', 'sklearn', 'transformers', 'trl', 'typer'}:
            raise ImportError(name + ' is not there')
sys.meta_path.insert(0, Refuse())
import steiner.core, steiner.protocol, steiner.decode, steiner.protocol.outline
import steiner.decode.vllm_setup, steiner.decode.vllm_v1, steiner.decode.vllm_v2, steiner.decode.sglang
"""
    subprocess.run([sys.executable, "-c", code], check=True)
