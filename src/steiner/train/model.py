"""Load or create the model that a stage trains, with the control tokens in its vocabulary."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch

from steiner.core import InputError
from steiner.protocol import CONTROL_TOKENS, ControlIds, add_control_tokens, ensure_chat_template
from steiner.train.settings import Architecture, ModelSettings, Precision

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

ROW_MULTIPLE = 64
"""A vocabulary that must grow grows to a multiple of this, which matrix units like."""


def load_tokenizer(settings: ModelSettings) -> PreTrainedTokenizerBase:
    """Return the tokenizer with the 14 control tokens and a chat template.

    Raises:
        InputError: if it cannot be loaded, or has no end-of-text or padding token.
    """
    from transformers import AutoTokenizer

    place = settings.tokenizer or settings.path
    assert place is not None  # the settings see to it
    try:
        tokenizer = AutoTokenizer.from_pretrained(place, trust_remote_code=settings.trust_remote_code)
    except (OSError, ValueError) as error:
        raise InputError(f"The tokenizer {place} cannot be loaded: {_first_line(error)}") from error
    add_control_tokens(tokenizer)
    ensure_chat_template(tokenizer)
    ControlIds.from_tokenizer(tokenizer)
    return tokenizer


def load_model(settings: ModelSettings, tokenizer: PreTrainedTokenizerBase, seed: int) -> PreTrainedModel:
    """Return the model in float32 or its own precision, every control token with an embedding row.

    Raises:
        InputError: if it cannot be loaded.
    """
    if settings.architecture is not None:
        return new_model(settings.architecture, tokenizer, seed)
    from transformers import AutoModelForCausalLM

    assert settings.path is not None
    try:
        model = AutoModelForCausalLM.from_pretrained(
            settings.path, trust_remote_code=settings.trust_remote_code, use_safetensors=True
        )
    except (OSError, ValueError) as error:
        raise InputError(f"The model {settings.path} cannot be loaded: {_first_line(error)}") from error
    fit_embeddings(model, tokenizer, fresh=_untrained_rows(settings, tokenizer))
    return model


def new_model(architecture: Architecture, tokenizer: PreTrainedTokenizerBase, seed: int) -> PreTrainedModel:
    """Return a randomly initialised Qwen2 model whose weights depend on the seed alone."""
    from transformers import Qwen2Config, Qwen2ForCausalLM

    rows = -(-len(tokenizer) // ROW_MULTIPLE) * ROW_MULTIPLE
    config = Qwen2Config(
        vocab_size=rows,
        hidden_size=architecture.hidden_size,
        intermediate_size=architecture.intermediate_size,
        num_hidden_layers=architecture.layers,
        num_attention_heads=architecture.heads,
        num_key_value_heads=architecture.kv_heads,
        max_position_embeddings=architecture.context,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Qwen2ForCausalLM(config)


def fit_embeddings(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, *, fresh: tuple[int, ...]
) -> None:
    """Give every token of the tokenizer a row, and start the `fresh` rows at the mean of all trained rows.

    A model with spare rows (Qwen2.5 has some) is not resized. Spare rows are near zero or random, and a token
    that starts there is hard to emit; the mean is where one belongs that the model knows nothing about.
    """
    rows = model.get_input_embeddings().weight.shape[0]
    if len(tokenizer) > rows:
        model.resize_token_embeddings(len(tokenizer), pad_to_multiple_of=ROW_MULTIPLE, mean_resizing=False)
    if not fresh:
        return
    known = [row for row in range(min(rows, len(tokenizer))) if row not in set(fresh)]
    with torch.no_grad():
        for module in {model.get_input_embeddings(), model.get_output_embeddings()}:
            if module is not None:
                module.weight[list(fresh)] = module.weight[known].mean(dim=0)


def use_bf16(precision: Precision) -> bool:
    """Tell whether a stage computes in bfloat16."""
    if precision != "auto":
        return precision == "bf16"
    if torch.cuda.is_available():
        return bool(torch.cuda.is_bf16_supported())
    return True


def _untrained_rows(settings: ModelSettings, tokenizer: PreTrainedTokenizerBase) -> tuple[int, ...]:
    """Return the control ids, or none if the model's own tokenizer has them: then they are trained."""
    from transformers import AutoTokenizer

    ids = tuple(tokenizer.convert_tokens_to_ids(list(CONTROL_TOKENS)))
    try:
        own = AutoTokenizer.from_pretrained(settings.path, trust_remote_code=settings.trust_remote_code)
    except (OSError, ValueError):
        return ids
    return () if set(CONTROL_TOKENS) <= own.get_vocab().keys() else ids


def model_digest(path: str) -> str:
    """Return a hash that changes when the weights of a local folder do; the id itself for a hub id.

    It covers names, sizes and modification times, not the bytes: hashing many gigabytes at each start would
    be felt, and a stage writes its model once.
    """
    from steiner.core import digest

    folder = Path(path)
    if not folder.is_dir():
        return path
    files = sorted(folder.glob("*.safetensors")) + sorted(folder.glob("config.json"))
    return digest([[f.name, f.stat().st_size, f.stat().st_mtime_ns] for f in files])


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0]
