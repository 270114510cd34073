"""The shipped configurations of accelerate are ones that it understands, and say what their names say."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from accelerate.commands.config.config_args import ClusterConfig, load_config_from_file
from accelerate.commands.launch import _validate_launch_command, launch_command_parser
from accelerate.utils import DistributedType, FullyShardedDataParallelPlugin
from accelerate.utils.launch import prepare_deepspeed_cmd_env, prepare_multi_gpu_env

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted((ROOT / "recipes" / "accelerate").glob("*.yaml"))
STAGE = ["-m", "steiner.cli.main", "train", "sft", "--config", "sft.toml"]


def environment(path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Return what `accelerate launch` would tell each process beyond the present environment."""
    for name in [name for name in os.environ if name.startswith(("FSDP_", "ACCELERATE_"))]:
        monkeypatch.delenv(name)
    parsed = launch_command_parser().parse_args(["--config_file", str(path), *STAGE])
    arguments, config, _ = _validate_launch_command(parsed)
    if arguments.use_deepspeed:
        arguments.deepspeed_fields_from_accelerate_config = ",".join(config.deepspeed_config)
        return dict(prepare_deepspeed_cmd_env(arguments)[1])
    return dict(prepare_multi_gpu_env(arguments))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_accelerate_reads_it(path):
    config = load_config_from_file(str(path))
    assert isinstance(config, ClusterConfig)
    gpus = re.match(r"(\d+)-gpus?", path.stem)
    assert gpus is not None
    assert config.num_processes == int(gpus[1])
    nodes = re.search(r"(\d+)-nodes", path.stem)
    assert config.num_machines == (int(nodes[1]) if nodes else 1)
    assert config.num_processes % config.num_machines == 0
    known = vars(launch_command_parser().parse_args(STAGE))
    for part in (config.fsdp_config, config.deepspeed_config):
        assert set(part) <= set(known), "accelerate launch ignores keys that it does not know"


@pytest.mark.parametrize("path", [p for p in FILES if "fsdp2" in p.stem], ids=lambda path: path.stem)
def test_processes_get_an_fsdp2_plugin(path, monkeypatch):
    for name, value in environment(path, monkeypatch).items():
        monkeypatch.setenv(name, value)
    assert os.environ["ACCELERATE_USE_FSDP"] == "true"
    assert os.environ["ACCELERATE_MIXED_PRECISION"] == "no", "the stage's precision decides"
    plugin = FullyShardedDataParallelPlugin()
    assert plugin.fsdp_version == 2
    assert plugin.reshard_after_forward is True
    assert plugin.cpu_ram_efficient_loading is True
    assert plugin.auto_wrap_policy is not None
    assert not plugin.activation_checkpointing
    assert "SHARDED" in str(plugin.state_dict_type)


def test_deepspeed_gets_stage_3_and_saves_whole_weights(monkeypatch):
    told = environment(ROOT / "recipes" / "accelerate" / "8-gpus-zero3.yaml", monkeypatch)
    assert told["ACCELERATE_USE_DEEPSPEED"] == "true"
    assert told["ACCELERATE_DEEPSPEED_ZERO_STAGE"] == "3"
    assert told["ACCELERATE_DEEPSPEED_ZERO3_SAVE_16BIT_MODEL"] == "true"
    assert told["ACCELERATE_DEEPSPEED_ZERO3_INIT"] == "false"


def test_every_kind_is_there():
    kinds = {load_config_from_file(str(path)).distributed_type for path in FILES}
    assert kinds == {
        DistributedType.NO,
        DistributedType.MULTI_GPU,
        DistributedType.FSDP,
        DistributedType.DEEPSPEED,
    }


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_command_in_it_names_it(path):
    text = " ".join(line.lstrip("# ").rstrip("\\") for line in path.read_text().splitlines())
    assert f"--config_file recipes/accelerate/{path.name}" in text
    config = re.search(r"--config (\S+\.toml)", text)
    assert config is not None
    assert (ROOT / config[1]).is_file()
