"""What the command line says, and models that cannot be served."""

from __future__ import annotations

import shutil

import pytest
from tiny_server import make_model
from typer.testing import CliRunner

from steiner.cli.main import app
from steiner.cli.serve import _efforts, _key, read_settings
from steiner.core import InputError
from steiner.decode import Mode
from steiner.serve.asks import read_ask
from steiner.serve.bodies import ChatBody
from steiner.serve.errors import ApiError
from steiner.serve.settings import EFFORTS, Display, Effort, EffortRange, ServeSettings
from tiny_model import chat_tokenizer


def test_options_go_before_the_file(tmp_path):
    config = tmp_path / "serve.toml"
    config.write_text(
        'host = "::1"\nport = 1\n[engine]\nbatch = 3\nflush_seconds = 0\n[limits]\nchoices = 2\n'
    )
    found = read_settings(config, {"port": 2, "name": None}, {"batch": 4, "kind": None})
    assert (found.host, found.port, found.engine.batch, found.engine.flush_seconds) == ("::1", 2, 4, 0)
    assert found.limits.choices == 2


def test_a_misspelt_setting_is_named(tmp_path):
    config = tmp_path / "serve.toml"
    config.write_text("[limits]\nboddy_bytes = 1\n")
    with pytest.raises(InputError, match="did you mean 'body_bytes'"):
        read_settings(config, {}, {})


def test_efforts_of_the_command_line():
    assert _efforts(["low", "high=8..32", "max=9.."]) == (
        "low",
        {"high": {"min_steps": 8, "max_steps": 32}, "max": {"min_steps": 9}},
    )
    for wrong in ("high=8", "high=a..b", "high=..4"):
        with pytest.raises(InputError, match=r"MIN\.\.MAX"):
            _efforts([wrong])


def test_the_key_comes_from_a_file_or_the_environment(tmp_path, monkeypatch):
    file = tmp_path / "key"
    file.write_text("abc\n")
    monkeypatch.setenv("STEINER_API_KEY", "other")
    assert (_key(file), _key(None)) == ("abc", "other")
    assert "abc" not in repr(ServeSettings(api_key="abc"))
    file.write_text("")
    with pytest.raises(InputError, match="holds no key"):
        _key(file)


def ask(settings: ServeSettings | None = None, **body):
    messages = [{"role": "user", "content": "x"}]
    return read_ask(
        ChatBody.model_validate({"messages": messages, **body}), settings or ServeSettings(), max_tokens=None
    )


@pytest.mark.parametrize("effort", Effort)
def test_an_effort_is_a_range_of_steps(effort):
    steps = ask(reasoning_effort=effort).steps
    assert (steps.min_steps, steps.max_steps) == (EFFORTS[effort].min_steps, EFFORTS[effort].max_steps)
    assert ask(reasoning={"effort": effort}).steps == steps


def test_what_is_said_goes_before_the_effort():
    assert ask(reasoning_effort="high", max_steps=2).steps.min_steps == 2
    assert ask(reasoning_effort="low", min_steps=9).steps.max_steps == 9
    none = ask(reasoning_effort="none")
    assert none.steps.max_reasoning_tokens == 16
    assert ask(reasoning_effort="none", max_steps=3).steps.max_reasoning_tokens is None


def test_the_servers_own_defaults():
    settings = ServeSettings(
        effort="high",
        efforts={"high": EffortRange(min_steps=3, max_steps=4)},
        reasoning="hidden",
        control="off",
        temperature=0.3,
    )
    found = ask(settings)
    assert (found.steps.min_steps, found.steps.max_steps) == (3, 4)
    assert (found.display, found.steps.control, found.temperature) == (Display.HIDDEN, Mode.OFF, 0.3)


@pytest.mark.parametrize(
    ("asked", "shown"),
    [
        ("summaries", Display.SUMMARIES),
        ({"exclude": True}, Display.HIDDEN),
        ({"summary": "auto"}, Display.SUMMARIES),
        ({"summary": "detailed"}, Display.FULL),
        ({}, Display.FULL),
    ],
)
def test_how_much_is_shown(asked, shown):
    assert ask(reasoning=asked).display is shown


def test_a_soft_end_without_a_budget_is_refused():
    with pytest.raises((ApiError, ValueError), match="soft end needs"):
        ask(soft_end={"start": 1})


@pytest.fixture
def folder(tmp_path):
    place = tmp_path / "tiny"
    tokenizer = chat_tokenizer()
    make_model(tokenizer).save_pretrained(place)
    tokenizer.save_pretrained(place)
    return place


def refused(*arguments: str) -> str:
    done = CliRunner().invoke(app, ["serve", *arguments, "--port", "0"])
    assert done.exit_code == 2, done.output
    return done.stderr


def test_a_model_without_the_tokens(folder):
    from transformers import PreTrainedTokenizerFast

    plain = PreTrainedTokenizerFast.from_pretrained(folder)
    text = plain.backend_tokenizer.to_str().replace("reasoning_", "another_")
    (folder / "tokenizer.json").write_text(text)
    config = folder / "tokenizer_config.json"
    config.write_text(config.read_text().replace("reasoning_", "another_"))
    said = refused(str(folder))
    assert "lacks 14 of the 14 control tokens" in said
    assert "steiner train" in said


def test_a_tokenizer_with_other_ids(folder):
    from transformers import PreTrainedTokenizerFast

    larger = PreTrainedTokenizerFast.from_pretrained(folder)
    larger.add_tokens([f"word{number}" for number in range(50)])
    larger.add_special_tokens({"additional_special_tokens": ["<|more|>"]})
    larger.pad_token = "<|more|>"
    larger.save_pretrained(folder)
    assert "vocabulary is too small" in refused(str(folder))


def test_a_pickled_model(folder):
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    assert "safetensors" in refused(str(folder))


def test_sliding_windows_are_for_vllm(folder):
    text = (folder / "config.json").read_text()
    (folder / "config.json").write_text(
        text.replace("full_attention", "sliding_attention").replace(
            '"use_sliding_window": false', '"use_sliding_window": true'
        )
    )
    assert "--engine vllm" in refused(str(folder))


def test_a_missing_folder_and_a_taken_port(folder, tmp_path):
    assert "no model folder" in refused(str(tmp_path / "none"))
    shutil.rmtree(folder)
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = CliRunner().invoke(app, ["serve", "x", "--port", str(port)])
        assert done.exit_code == 2
        assert f"cannot listen on 127.0.0.1:{port}" in done.stderr


def test_vllm_where_it_is_not_installed(folder):
    assert "environment of its own" in refused(str(folder), "--engine", "vllm")
