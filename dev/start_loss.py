"""Where new tokens start: loss per token of a few paths before any training, for each `token_init`.

    python dev/start_loss.py MODEL DATASET [--paths 8] [--tokenizer FOLDER]

MODEL is a base model without the control tokens, DATASET what `steiner dataset` wrote with its tokenizer. The
table of docs/results/new-tokens.md.
"""

from __future__ import annotations

import argparse
import sys

import torch

from steiner.dataset.read import load_samples
from steiner.protocol import ControlIds
from steiner.train.model import load_model, load_tokenizer
from steiner.train.settings import ModelSettings


def main() -> None:
    """Print one line per way to start."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model")
    parser.add_argument("dataset")
    parser.add_argument("--paths", type=int, default=8)
    parser.add_argument("--tokenizer")
    given = parser.parse_args()
    base = {"path": given.model, "tokenizer": given.tokenizer, "weights": "bf16"}
    tokenizer = load_tokenizer(ModelSettings.model_validate(base))
    control = torch.tensor(ControlIds.from_tokenizer(tokenizer).control)
    samples = load_samples(given.dataset, "validation", tokenizer)
    paths = [samples[number] for number in range(given.paths)]
    for init in ("words", "random", "mean"):
        settings = ModelSettings.model_validate({**base, "token_init": init})
        model = load_model(settings, tokenizer, 0, "bf16").eval()
        losses: dict[bool, list[float]] = {True: [], False: []}
        for path in paths:
            ids = torch.tensor([[*path["prompt_ids"], *path["completion_ids"]]])
            with torch.inference_mode():
                logprobs = model(input_ids=ids).logits[0, :-1].float().log_softmax(-1)
            begin = len(path["prompt_ids"]) - 1
            for place, token in enumerate(ids[0, 1:]):
                if place >= begin:
                    losses[bool((control == token).any())].append(-float(logprobs[place, token]))
        both = losses[True] + losses[False]
        sys.stdout.write(
            f"{init}: {len(losses[True])} control tokens {sum(losses[True]) / len(losses[True]):.2f}, "
            f"{len(losses[False])} others {sum(losses[False]) / len(losses[False]):.2f}, "
            f"all {sum(both) / len(both):.2f}\n"
        )


if __name__ == "__main__":
    main()
