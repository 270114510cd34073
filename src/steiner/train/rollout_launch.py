"""The command that starts a rollout server for an RL stage."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

import torch

from steiner.core import InputError
from steiner.protocol import CONTROL_TOKENS
from steiner.train.checks import own_tokenizer
from steiner.train.lora import adapter_base
from steiner.train.model import load_model, load_tokenizer
from steiner.train.rollout_weights import sent_dtype, untied, write_weights
from steiner.train.settings import RlSettings

NAME = "policy"
"""Of the model at the server."""
VARIABLES = {"VLLM_SERVER_DEV_MODE": "1"}
"""What the server needs in its environment: without it vLLM lets nobody change weights."""


def server_command(settings: RlSettings, python: str, more: Sequence[str] = ()) -> list[str]:
    """Return the command line of a server for a stage; writes the model that it begins with if need be.

    Args:
        settings: of the stage.
        python: interpreter of the environment that holds vLLM.
        more: options for vLLM; they come last and so win.

    Raises:
        InputError: if the stage asks for no server, or its model cannot be loaded.
    """
    if settings.rollouts.is_local:
        raise InputError(
            'The stage writes rollouts itself: set engine = "vllm" under [rollouts] to let a server do it.'
        )
    address = urlsplit(settings.rollouts.base_url)
    dtype = str(sent_dtype(settings.optimiser.precision)).removeprefix("torch.")
    command = [python, "-m", "vllm.entrypoints.openai.api_server"]
    command += ["--model", str(served_folder(settings)), "--served-model-name", NAME, "--dtype", dtype]
    command += ["--host", address.hostname or "127.0.0.1", "--port", str(address.port or 80)]
    if not torch.cuda.is_available():
        # vLLM 0.32 ends its CPU engine when a request with a seed is prefilled in chunks.
        command += ["--no-enable-chunked-prefill"]
    return [*command, *more]


def served_folder(settings: RlSettings) -> Path:
    """Return a folder with an ordinary model of the stage's shape and its tokenizer.

    The stage's own model if it is one and a GPU is at hand, otherwise one that is written into the folder of
    weights: the weights that count are sent before the first completion.
    """
    path = settings.model.path
    if path is not None and _is_served(settings, Path(path)):
        return Path(path).resolve()
    tokenizer = load_tokenizer(settings.model)
    model = load_model(settings.model, tokenizer, settings.seed, settings.optimiser.precision)
    root = Path(settings.rollouts.weights or Path(settings.output) / "rollout-weights")
    folder = root / "start"
    write_weights(model, folder, settings.optimiser.precision, untie=untied())
    tokenizer.save_pretrained(folder)
    return folder.resolve()


def _is_served(settings: RlSettings, folder: Path) -> bool:
    """Tell whether a model's own folder can be served: it has every control token, and no adapter."""
    if not folder.is_dir() or settings.model.tokenizer is not None or adapter_base(folder) is not None:
        return False
    if untied():
        return False
    own = own_tokenizer(str(folder), settings.model.trust_remote_code)
    return own is not None and {str(token) for token in CONTROL_TOKENS} <= set(own.get_vocab())
