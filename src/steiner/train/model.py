"""Load or create the model that a stage trains, with the control tokens in its vocabulary."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from steiner.core import InputError
from steiner.protocol import CONTROL_TOKENS, ControlIds, add_control_tokens, ensure_chat_template
from steiner.store import disk_errors
from steiner.train.checks import check_loadable, check_tokenizer, has_tokenizer, own_tokenizer
from steiner.train.lora import adapt, adapter_base, load_adapter
from steiner.train.settings import Architecture, ModelSettings, Precision
from steiner.train.tokens import fit_tables, fresh_ids, table_rows

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

ROW_MULTIPLE = 64
"""The vocabulary of a new model is a multiple of this, which matrix units like."""


def load_tokenizer(settings: ModelSettings) -> PreTrainedTokenizerBase:
    """Return the tokenizer with the 14 control tokens and a chat template.

    Raises:
        InputError: if it cannot be loaded, or has no end-of-text or padding token.
    """
    from transformers import AutoTokenizer

    place = settings.tokenizer or settings.path
    assert place is not None  # the settings see to it
    if not has_tokenizer(place):
        raise InputError(
            f"The tokenizer {place} cannot be loaded: the folder has no tokenizer.json or the like. "
            "Name the folder or hub id of the model's tokenizer as 'tokenizer' under [model]."
        )
    try:
        tokenizer = AutoTokenizer.from_pretrained(place, trust_remote_code=settings.trust_remote_code)
    except (OSError, ValueError) as error:
        raise InputError(f"The tokenizer {place} cannot be loaded: {_first_line(error)}") from error
    add_control_tokens(tokenizer)
    ensure_chat_template(tokenizer)
    ControlIds.from_tokenizer(tokenizer)
    return tokenizer


def load_model(
    settings: ModelSettings, tokenizer: PreTrainedTokenizerBase, seed: int, precision: Precision = "auto"
) -> Any:
    """Return the model to train, every token of the tokenizer with a row, adapters on it if it has any.

    transformers loads a checkpoint in the precision that it was saved in. Training one in bf16 throughout
    loses every update below 1/256 of a weight, so that weights are kept in fp32 unless the settings say
    otherwise; the matrices are multiplied in bf16 all the same (autocast).

    Args:
        settings: which model, and how its weights are kept.
        tokenizer: from `load_tokenizer`.
        seed: of a new model's weights, of random rows, and of adapters.
        precision: that the stage computes in.

    Returns:
        A `PreTrainedModel`, or a `PeftModel` around one.

    Raises:
        InputError: if it cannot be loaded, is quantised, or does not belong to the tokenizer.
    """
    if settings.architecture is not None:
        return new_model(settings.architecture, tokenizer, seed)
    assert settings.path is not None
    dtype = _weights(settings, precision)
    base = adapter_base(Path(settings.path))
    if base is None:
        model, rows = _load_base(settings, settings.path, tokenizer, dtype, seed)
        if settings.lora is None:
            return model
        return adapt(model, settings.lora, rows, settings.path, seed)
    model, _ = _load_base(settings, base, tokenizer, dtype, seed)
    return load_adapter(model, Path(settings.path), settings.lora)


def _load_base(
    settings: ModelSettings, place: str, tokenizer: PreTrainedTokenizerBase, dtype: torch.dtype, seed: int
) -> tuple[PreTrainedModel, list[int]]:
    """Return an ordinary model with its rows in place, and the ids whose rows LoRA trains."""
    from transformers import AutoModelForCausalLM

    check_loadable(place, settings.trust_remote_code)
    try:
        model = AutoModelForCausalLM.from_pretrained(
            place, trust_remote_code=settings.trust_remote_code, use_safetensors=True, dtype=dtype
        )
    except (OSError, ValueError) as error:
        raise InputError(f"The model {place} cannot be loaded: {_first_line(error)}") from error
    own = own_tokenizer(place, settings.trust_remote_code)
    rows = table_rows(model)
    check_tokenizer(tokenizer, own, rows, place)
    fresh = fresh_ids(tokenizer, own, rows)
    fit_tables(
        model, tokenizer, fresh, init=settings.token_init, row_multiple=settings.row_multiple, seed=seed
    )
    control = tokenizer.convert_tokens_to_ids([str(token) for token in CONTROL_TOKENS])
    return model, sorted({*control, *fresh})


def _weights(settings: ModelSettings, precision: Precision) -> torch.dtype:
    """Return the precision in which weights are kept."""
    if settings.weights == "bf16" and precision == "fp32":
        raise InputError(
            'weights = "bf16" and precision = "fp32" contradict each other: what is stored in bf16 is '
            'computed in bf16. Set weights = "fp32", or precision = "bf16".'
        )
    frozen = settings.lora is not None and settings.weights == "auto"
    half = settings.weights == "bf16" or (frozen and use_bf16(precision))
    return torch.bfloat16 if half else torch.float32


def merge_adapter(folder: Path, output: Path) -> None:
    """Write the ordinary model that an adapter and its base make together, in fp32.

    Raises:
        InputError: if there is no adapter in `folder`, its base is missing, or `output` is not empty.
    """
    if adapter_base(folder) is None:
        raise InputError(f"{folder} holds no adapter: it has no adapter_config.json.")
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise InputError(f"{output} exists and is not empty: name another folder for the merged model.")
    settings = ModelSettings(path=str(folder))
    tokenizer = load_tokenizer(settings)
    model = load_model(settings, tokenizer, seed=0)
    with disk_errors("The model", output):
        model.save_pretrained(output)
        tokenizer.save_pretrained(output)


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


def use_bf16(precision: Precision) -> bool:
    """Tell whether a stage computes in bfloat16."""
    if precision != "auto":
        return precision == "bf16"
    if torch.cuda.is_available():
        return bool(torch.cuda.is_bf16_supported())
    return True


def model_digest(path: str) -> str:
    """Return a hash that changes when the weights of a local folder do; the id itself for a hub id.

    It covers names, sizes and modification times, not the bytes: hashing many gigabytes at each start would
    be felt, and a stage writes its model once.
    """
    from steiner.core import digest

    folder = Path(path)
    if not folder.is_dir():
        return path
    files = sorted(folder.glob("*.safetensors")) + sorted(folder.glob("*config.json"))
    base = adapter_base(folder)
    own = [[f.name, f.stat().st_size, f.stat().st_mtime_ns] for f in files]
    return digest(own if base is None else [own, model_digest(base)])


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0]
