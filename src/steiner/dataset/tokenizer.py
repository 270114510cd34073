"""A small tokenizer built for a model that is trained from scratch.

A general tokenizer of 150,000 entries would be most of the weights of a model with a million parameters, and
it cuts numbers where arithmetic does not. This one is a byte-level BPE of a few hundred entries in which each
number up to a bound is one token; it loses nothing but what Unicode NFC makes equal.

It is a `Qwen2Tokenizer` with the pipeline of Qwen2.5, because `transformers` 5 rebuilds exactly that pipeline
for every folder that holds a model of type `qwen2`, whatever its `tokenizer.json` says. Numbers, which that
pipeline would cut into digits, are added tokens.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING

from steiner.core import InputError
from steiner.protocol import CHATML_TEMPLATE, CONTROL_TOKENS, add_control_tokens

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

PAD, TURN_START, TURN_END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
"""The ChatML tokens under the names that Qwen2.5 uses. `TURN_END` also ends a completion."""

ROLES = ("system", "user", "assistant")
BYTES = 256
NUMBER = re.compile(r" ?[0-9]+")
"""What number tokens take out of a text before words are looked for."""


def train_tokenizer(texts: Iterable[str], vocab_size: int, numbers_to: int) -> PreTrainedTokenizerFast:
    """Build a byte-level BPE tokenizer with the ChatML and control tokens.

    Merges are learned from `texts` (Sennrich et al. 2016, https://arxiv.org/abs/1508.07909) until every word
    is one token or the vocabulary is full. Larger numbers than `numbers_to` are written in several tokens.

    Args:
        texts: what the model will read; a sample of some thousand texts is enough.
        vocab_size: upper limit of the vocabulary, all special tokens included.
        numbers_to: each of 0, 1, …, `numbers_to` is one token, with and without a space before it.

    Raises:
        InputError: if `vocab_size` has no room for bytes, numbers and special tokens.
    """
    from tokenizers import AddedToken
    from transformers import Qwen2Tokenizer

    numbers = _numbers(numbers_to)
    fixed = BYTES + len(numbers) + len((PAD, TURN_START, TURN_END)) + len(CONTROL_TOKENS)
    if vocab_size < fixed:
        raise InputError(
            f"A vocabulary of {vocab_size} has no room for {BYTES} bytes, the numbers to {numbers_to} and "
            f"the special tokens: they take {fixed}. Raise it or lower the largest number."
        )
    vocabulary, merges = _learn_merges(texts, BYTES + vocab_size - fixed)
    tokenizer = Qwen2Tokenizer(
        vocab=vocabulary,
        merges=merges,
        unk_token=PAD,
        pad_token=PAD,
        eos_token=TURN_END,
        clean_up_tokenization_spaces=False,
        model_max_length=1_000_000,
    )
    tokenizer.add_tokens(
        [AddedToken(token, special=True, normalized=False) for token in (PAD, TURN_START, TURN_END)]
    )
    tokenizer.add_tokens([AddedToken(number, special=False, normalized=False) for number in numbers])
    tokenizer.chat_template = CHATML_TEMPLATE
    add_control_tokens(tokenizer)
    return tokenizer


def _numbers(largest: int) -> list[str]:
    """Return the numbers as tokens: with the space before them, and those of several digits without."""
    return [f" {n}" for n in range(largest + 1)] + [str(n) for n in range(10, largest + 1)]


def _learn_merges(texts: Iterable[str], size: int) -> tuple[dict[str, int], list[tuple[str, str]]]:
    """Return the vocabulary, at most `size` entries, and the merges, learned in the pipeline of Qwen2."""
    import json

    from tokenizers import Tokenizer, models, pre_tokenizers, trainers
    from transformers import Qwen2Tokenizer

    pipeline = Qwen2Tokenizer().backend_tokenizer
    words: Counter[str] = Counter()
    for text in [*texts, *(f"{role}\n" for role in ROLES)]:
        for piece in NUMBER.split(pipeline.normalizer.normalize_str(text)):
            words.update(word for word, _ in pipeline.pre_tokenizer.pre_tokenize_str(piece))
    learner = Tokenizer(models.BPE())
    learner.pre_tokenizer = pre_tokenizers.WhitespaceSplit()  # a word in byte-level writing holds no space
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        min_frequency=1,
        show_progress=False,
        special_tokens=[],
    )
    # Sorted, so that the same texts in another order give the same ids.
    learner.train_from_iterator((" ".join([word] * words[word]) for word in sorted(words)), trainer)
    model = json.loads(learner.to_str())["model"]
    return model["vocab"], [(left, right) for left, right in model["merges"]]
