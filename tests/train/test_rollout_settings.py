"""Settings of rollouts: what is refused, and what identifies a stage."""

from __future__ import annotations

import pytest

from steiner.core import InputError, parse_settings
from steiner.train.settings import RlSettings

LEAST = {"output": "o", "run": "r", "steps": 1, "model": {"path": "m"}}


def read(**rollouts: object) -> RlSettings:
    return parse_settings(RlSettings, LEAST | {"rollouts": rollouts}, "rl.toml")


def test_stages_that_write_rollouts_themselves_are_what_they_were():
    plain = RlSettings.model_validate(LEAST)
    assert "rollouts" not in plain.model_dump(mode="json")
    assert read(engine="transformers").digest() == plain.digest()
    assert plain.rollouts.is_local


def test_a_server_may_move_while_a_stage_is_resumed():
    one = read(engine="vllm", base_url="http://one:8000", weights="/dev/shm/a", timeout=5)
    two = read(engine="vllm", base_url="http://two:9000/v1/")
    assert one.model_dump(mode="json") == two.model_dump(mode="json")
    assert one.model_dump(mode="json")["rollouts"] == {"engine": "vllm"}
    assert one.digest() != RlSettings.model_validate(LEAST).digest()
    assert two.rollouts.base_url == "http://two:9000"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"engine": "vlm"}, "'transformers' or 'vllm'"),
        ({"engine": "vllm", "base_url": "127.0.0.1:8000"}, "no address of a server"),
        ({"engine": "vllm", "base_url": "http://"}, "no address of a server"),
        ({"engine": "vllm", "timeout": 0}, "greater than 0"),
        ({"engine": "vllm", "url": "http://a"}, "unknown key 'rollouts.url'"),
        ({"base_url": "http://127.0.0.1:8000"}, 'base_url: for engine = "vllm" only'),
    ],
)
def test_what_cannot_be_is_refused(given, said):
    with pytest.raises(InputError, match=r"^rl\.toml: ") as caught:
        read(**given)
    assert said in str(caught.value)
