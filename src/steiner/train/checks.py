"""What a stage refuses to start from, each with a paragraph that says why and what to do."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from steiner.core import InputError
from steiner.protocol import CONTROL_TOKENS

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def check_loadable(place: str, trust_remote_code: bool) -> None:
    """Make sure that a model is there, has safetensors and plain weights.

    Raises:
        InputError: if it is not so, and says which file is missing.
    """
    from transformers import AutoConfig

    folder = Path(place)
    if folder.is_dir():
        _check_files(folder)
    try:
        config = AutoConfig.from_pretrained(place, trust_remote_code=trust_remote_code)
    except (OSError, ValueError) as error:
        reason = str(error).strip().split("\n")[0]
        raise InputError(f"The model {place} cannot be loaded: {reason}") from error
    quantised = getattr(config, "quantization_config", None)
    if quantised:
        kind = quantised.get("quant_method") if isinstance(quantised, dict) else quantised.quant_method
        raise InputError(
            f"The model {place} is quantised ({getattr(kind, 'value', kind)}), and quantised weights cannot "
            "be trained. Start from the unquantised model; if it does not fit into memory, train adapters "
            "on it ([model.lora] rank = 16), and quantise what comes out."
        )


def _check_files(folder: Path) -> None:
    if not (folder / "config.json").is_file():
        inner = (folder / "model" / "config.json").is_file()
        hint = f" Did you mean {folder / 'model'}?" if inner else ""
        raise InputError(f"The model {folder} cannot be loaded: the folder has no config.json.{hint}")
    if any(folder.glob("*.safetensors")):
        return
    others = sorted(f.name for kind in ("*.bin", "*.pt", "*.pth", "*.gguf") for f in folder.glob(kind))
    if others:
        raise InputError(
            f"The model {folder} cannot be loaded: it has no safetensors, only {others[0]}. Such files may "
            "run code when they are read (.bin, .pt, .pth) or are quantised (.gguf), so they are not taken. "
            "Convert them where you trust them: load the model with transformers and call "
            "save_pretrained on an empty folder."
        )
    raise InputError(f"The model {folder} cannot be loaded: it has a config.json, but no *.safetensors.")


def has_tokenizer(place: str) -> bool:
    """Tell whether a folder has a tokenizer's files; whatever is no folder may be a hub id that has them.

    Without them transformers makes a tokenizer of a few special tokens for a `config.json` that it knows.
    """
    folder = Path(place)
    names = ("tokenizer*", "vocab*", "merges.txt", "*.model", "*.tiktoken")
    return not folder.is_dir() or any(True for name in names for _ in folder.glob(name))


def own_tokenizer(place: str, trust_remote_code: bool) -> PreTrainedTokenizerBase | None:
    """Return the tokenizer in a model's folder as it is, None if there is none."""
    from transformers import AutoTokenizer

    if not has_tokenizer(place):
        return None
    try:
        return AutoTokenizer.from_pretrained(place, trust_remote_code=trust_remote_code)
    except (OSError, ValueError):
        return None


def check_tokenizer(
    tokenizer: PreTrainedTokenizerBase, own: PreTrainedTokenizerBase | None, rows: int, place: str
) -> None:
    """Make sure that a model was trained with the ids of a tokenizer.

    Control tokens may be new, and so may be tokens behind all ids that the model knows. Where the model comes
    without a tokenizer, only the number of ids can be compared.

    Args:
        tokenizer: with the control tokens.
        own: the tokenizer in the model's folder as it is; None if there is none.
        rows: of the model's token tables.
        place: the model, for the message.

    Raises:
        InputError: names an id that means something else.
    """
    given = {number: token for token, number in tokenizer.get_vocab().items()}
    control = {str(token) for token in CONTROL_TOKENS}
    if own is None:
        text = len([token for token in given.values() if token not in control])
        if text > rows:
            raise InputError(
                f"The tokenizer {tokenizer.name_or_path} has {text:,} tokens and the model {place} only "
                f"{rows:,} rows: it is another model's. Give the tokenizer that the model was trained with."
            )
        return
    ids = own.get_vocab()
    known = {number: token for token, number in ids.items()}
    other = [
        number
        for number, token in given.items()
        if ids.get(token, number) != number
        or (token not in control and number < rows and known.get(number, token) != token)
    ]
    if other:
        first = min(other)
        raise InputError(
            f"The tokenizer {tokenizer.name_or_path} does not belong to the model {place}: {len(other):,} "
            f"of its {len(given):,} ids mean something else there, such as {first}, which is "
            f"{given[first]!r} here and {known.get(first)!r} in the model's own. Leave 'tokenizer' out to "
            "take the model's own."
        )
