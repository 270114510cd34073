"""Sizes of well-known families, so that planning needs no network; numbers of their public config.json."""

from __future__ import annotations

import difflib

from steiner.core import InputError
from steiner.train.plan.architecture import ModelShape

_QWEN25 = "Qwen/Qwen2.5-{}"
_LLAMA = "meta-llama/Llama-{}"
_SMOL = "HuggingFaceTB/SmolLM2-{}"

# name: hidden, intermediate, layers, heads, kv heads, vocabulary, tied, positions
_SIZES: dict[str, tuple[int, int, int, int, int, int, bool, int]] = {
    _QWEN25.format("0.5B"): (896, 4864, 24, 14, 2, 151936, True, 32768),
    _QWEN25.format("1.5B"): (1536, 8960, 28, 12, 2, 151936, True, 131072),
    _QWEN25.format("3B"): (2048, 11008, 36, 16, 2, 151936, True, 32768),
    _QWEN25.format("7B"): (3584, 18944, 28, 28, 4, 152064, False, 131072),
    _QWEN25.format("14B"): (5120, 13824, 48, 40, 8, 152064, False, 131072),
    _QWEN25.format("32B"): (5120, 27648, 64, 40, 8, 152064, False, 131072),
    _QWEN25.format("72B"): (8192, 29568, 80, 64, 8, 152064, False, 131072),
    _LLAMA.format("3.2-1B"): (2048, 8192, 16, 32, 8, 128256, True, 131072),
    _LLAMA.format("3.2-3B"): (3072, 8192, 28, 24, 8, 128256, True, 131072),
    _LLAMA.format("3.1-8B"): (4096, 14336, 32, 32, 8, 128256, False, 131072),
    _LLAMA.format("3.1-70B"): (8192, 28672, 80, 64, 8, 128256, False, 131072),
    _LLAMA.format("3.3-70B"): (8192, 28672, 80, 64, 8, 128256, False, 131072),
    _LLAMA.format("3.1-405B"): (16384, 53248, 126, 128, 8, 128256, False, 131072),
    _SMOL.format("135M"): (576, 1536, 30, 9, 3, 49152, True, 8192),
    _SMOL.format("360M"): (960, 2560, 32, 15, 5, 49152, True, 8192),
    _SMOL.format("1.7B"): (2048, 8192, 24, 32, 32, 49152, True, 8192),
}

KNOWN = tuple(_SIZES)
"""Names of the hub; an `-Instruct` after a name changes no size."""


def known_shape(name: str) -> ModelShape | None:
    """Return the shape of a known model, None if it is none. Case and the part before `/` do not matter."""
    found = next((known for known in KNOWN if _bare(known) == _bare(name)), None)
    if found is None:
        return None
    hidden, intermediate, layers, heads, kv_heads, vocabulary, tied, positions = _SIZES[found]
    return ModelShape(
        name=found,
        hidden=hidden,
        intermediate=intermediate,
        layers=layers,
        heads=heads,
        kv_heads=kv_heads,
        head_dim=hidden // heads,
        vocabulary=vocabulary,
        tied=tied,
        qkv_bias=found.startswith("Qwen"),
        positions=positions,
    )


def unknown_model(name: str) -> InputError:
    """Return the error for a name that is neither known nor a file; it names the nearest ones."""
    bare = {_bare(known): known for known in KNOWN}
    near = [bare[match] for match in difflib.get_close_matches(_bare(name), bare, n=3, cutoff=0.4)]
    hint = f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(KNOWN)}."
    return InputError(
        f"There is no model {name}: neither a folder with a config.json, nor such a file, nor a known name; "
        f"{hint} For any other model give the path of its config.json, or its sizes with --sizes."
    )


def _bare(name: str) -> str:
    return name.rsplit("/", 1)[-1].lower().removesuffix("-instruct")
