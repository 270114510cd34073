"""The sizes of a model, and what follows from them: how many parameters, and where they are."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import Field, model_validator

from steiner.core import InputError, Settings

MODEL_TYPES = ("llama", "mistral", "qwen2", "qwen3")
"""Dense decoders with RMSNorm, gated MLP and rotary positions; values of `model_type` in config.json."""


class ModelShape(Settings):
    """A decoder of Llama's kind; the words are those of transformers' config.json where it has them."""

    name: str = ""
    hidden: int = Field(ge=1)
    layers: int = Field(ge=1)
    heads: int = Field(ge=1)
    kv_heads: int = Field(ge=1)
    head_dim: int = Field(ge=1)
    intermediate: int = Field(ge=1)
    vocabulary: int = Field(ge=1)
    """Rows of the embedding matrix, spare ones included."""
    tied: bool
    """Whether the output matrix is the embedding matrix."""
    qkv_bias: bool = False
    output_bias: bool = False
    """Of the attention's output projection."""
    mlp_bias: bool = False
    qk_norm: bool = False
    """Whether queries and keys pass an RMSNorm per head, as in Qwen3."""
    positions: int = Field(default=0, ge=0)
    """Longest sequence in tokens; 0 if unknown."""
    dtype: str = "bfloat16"
    """Of the stored weights: how transformers loads them."""

    @model_validator(mode="after")
    def _check(self) -> ModelShape:
        if self.heads % self.kv_heads:
            raise ValueError(f"heads {self.heads} must be a multiple of kv_heads {self.kv_heads}")
        return self

    @property
    def query(self) -> int:
        """Width of all query heads together."""
        return self.heads * self.head_dim

    @property
    def key(self) -> int:
        """Width of all key heads together, which is that of the values."""
        return self.kv_heads * self.head_dim

    @property
    def layer_matrices(self) -> int:
        """Parameters of one layer that are matrices: what a token is multiplied with."""
        return self.hidden * (2 * self.query + 2 * self.key + 3 * self.intermediate)

    @property
    def layer_vectors(self) -> int:
        """Parameters of one layer that are norms and biases."""
        norms = 2 * self.hidden + 2 * self.head_dim * self.qk_norm
        biases = self.qkv_bias * (self.query + 2 * self.key) + self.output_bias * self.hidden
        return norms + biases + self.mlp_bias * (2 * self.intermediate + self.hidden)

    @property
    def layer(self) -> int:
        """Parameters of one layer."""
        return self.layer_matrices + self.layer_vectors

    @property
    def table(self) -> int:
        """Parameters of the embedding matrix; the output matrix has as many."""
        return self.vocabulary * self.hidden

    @property
    def embedding(self) -> int:
        """Parameters of embedding and output matrix, a tied one once."""
        return self.table * (1 if self.tied else 2)

    @property
    def parameters(self) -> int:
        """All parameters."""
        return self.embedding + self.layers * self.layer + self.hidden

    @property
    def matrices(self) -> int:
        """Parameters that each token is multiplied with: the layers' matrices and the output matrix."""
        return self.layers * self.layer_matrices + self.table

    def lora(self, rank: int, new_tokens: int) -> int:
        """Parameters of adapters of this rank on all matrices of the layers, and of trained token rows."""
        h, q, k, f = self.hidden, self.query, self.key, self.intermediate
        ends = (h + q) + 2 * (h + k) + (q + h) + 3 * (h + f)
        return self.layers * rank * ends + new_tokens * h * (1 if self.tied else 2)


def shape_from_config(config: Mapping[str, Any], name: str) -> ModelShape:
    """Return the shape that a config.json of transformers describes.

    Raises:
        InputError: if it is of another kind of model, or lacks keys; names them.
    """
    kind = config.get("model_type")
    if kind not in MODEL_TYPES:
        raise InputError(
            f"{name}: model_type is {kind!r}, and the planner knows {', '.join(MODEL_TYPES)} only. "
            "For another dense decoder of this kind give its sizes with --sizes."
        )
    needed = ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "vocab_size")
    missing = [key for key in needed if not isinstance(config.get(key), int)]
    if missing:
        raise InputError(f"{name} lacks {', '.join(missing)} (whole numbers): it is no complete config.json.")
    heads = config["num_attention_heads"]
    bias = bool(config.get("attention_bias", False))
    return _checked(
        {
            "name": str(config.get("_name_or_path") or name),
            "hidden": config["hidden_size"],
            "layers": config["num_hidden_layers"],
            "heads": heads,
            "kv_heads": config.get("num_key_value_heads") or heads,
            "head_dim": config.get("head_dim")
            or (128 if kind == "qwen3" else config["hidden_size"] // max(heads, 1)),
            "intermediate": config["intermediate_size"],
            "vocabulary": config["vocab_size"],
            # transformers' own defaults where the key is left out
            "tied": bool(config.get("tie_word_embeddings", False)),
            "qkv_bias": kind == "qwen2" or bias,
            "output_bias": bias and kind != "qwen2",
            "mlp_bias": bool(config.get("mlp_bias", False)),
            "qk_norm": kind == "qwen3",
            "positions": config.get("max_position_embeddings") or 0,
            "dtype": str(config.get("dtype") or config.get("torch_dtype") or "float32"),
        },
        name,
    )


def read_shape(path: Path) -> ModelShape:
    """Return the shape in a config.json, or in a folder that has one.

    Raises:
        InputError: if there is none, or it is no such file.
    """
    file = path / "config.json" if path.is_dir() else path
    try:
        config = json.loads(file.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise InputError(f"The model configuration {file} cannot be read: {error.strerror}.") from error
    except ValueError as error:
        raise InputError(f"{file} is no JSON file: {error}.") from error
    if not isinstance(config, dict):
        raise InputError(f"{file} holds no JSON object, so it is no config.json of a model.")
    return shape_from_config(config, str(file))


def shape_from_sizes(text: str) -> ModelShape:
    """Return the shape given as `hidden=896,layers=24,…`, the words being `ModelShape`'s.

    Raises:
        InputError: names what is unknown, missing or wrong.
    """
    values: dict[str, Any] = {"name": "given sizes", "tied": False}
    for part in text.split(","):
        key, equals, value = part.partition("=")
        if not equals:
            raise InputError(f"--sizes: {part!r} is not KEY=VALUE, as in hidden=896,layers=24,heads=14.")
        values[key.strip()] = value.strip()
    if "head_dim" not in values and str(values.get("hidden", "")).isdigit():
        heads = str(values.get("heads", ""))
        if heads.isdigit() and int(heads):
            values["head_dim"] = int(values["hidden"]) // int(heads)
    values.setdefault("kv_heads", values.get("heads"))
    return _checked(values, "--sizes")


def _checked(values: dict[str, Any], source: str) -> ModelShape:
    from steiner.core import parse_settings

    return parse_settings(ModelShape, values, source)
