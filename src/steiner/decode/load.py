"""A model folder or hub id to a model and a tokenizer, with errors that say what to do."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from steiner.core import InputError
from steiner.decode.shipped import RECORD, find_model, list_models
from steiner.protocol import ControlIds, check_vocabulary

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


def load_model(
    place: str | Path, device: str | None = None
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Load a causal language model that knows the control tokens, for inference.

    Only safetensors are read, and no code from the model's folder is run.

    Args:
        place: a folder, a hub id such as `Qwen/Qwen2.5-0.5B`, or the name of a shipped model (see
            `steiner.decode.shipped`). Shipped weights are in bf16 to be small; a processor computes with
            them in fp32.
        device: for example `cuda`; by default a GPU if there is one.

    Raises:
        InputError: if there is no such model, its files cannot be read, or it lacks the control tokens.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils import logging

    found = find_model(place)
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    shipped = (Path(found) / RECORD).is_file()
    dtype = torch.float32 if shipped and device == "cpu" else "auto"
    check_place(found)
    bar = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        tokenizer = AutoTokenizer.from_pretrained(found)
        model = AutoModelForCausalLM.from_pretrained(found, dtype=dtype, use_safetensors=True)
    except (OSError, ValueError) as error:
        reason = str(error).strip().split("\n")[0]
        raise InputError(
            f"the model '{place}' cannot be loaded: {reason}. Its folder needs config.json, *.safetensors "
            "and the tokenizer's files."
        ) from error
    finally:
        if bar:
            logging.enable_progress_bar()
    check_vocabulary(ControlIds.from_tokenizer(tokenizer), model.get_input_embeddings().weight.shape[0])
    return model.to(device).eval(), tokenizer


def check_place(place: str) -> None:
    """Tell a mistyped folder from a hub id, before anything is asked of a hub.

    Raises:
        InputError: if there is no such folder, or it holds no model.
    """
    folder = Path(place).expanduser()
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            inner = (folder / "model" / "config.json").is_file()
            hint = "; did you mean its subfolder 'model'?" if inner else ""
            raise InputError(f"'{place}' is no model folder: it has no config.json{hint}")
    elif place.startswith((".", "/", "~")) or place.count("/") != 1:
        names = ", ".join(model.name for model in list_models())
        raise InputError(
            f"there is no model folder '{place}'. Make one with `steiner quickstart` or `steiner train`, "
            f"or check the name. Models that come with steiner: {names or 'none'}."
        )
