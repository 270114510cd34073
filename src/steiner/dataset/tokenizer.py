"""A small tokenizer built for a model that is trained from scratch.

A general tokenizer of 150,000 entries would be most of the weights of a model with a million parameters, and
it cuts numbers where arithmetic does not. This one is a lossless byte-level BPE of a few hundred entries in
which each number up to a bound is one token. Saved, it is an ordinary tokenizer that `transformers` loads.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING

from steiner.core import InputError
from steiner.protocol import CHATML_TEMPLATE, CONTROL_TOKENS, add_control_tokens

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast

PAD, TURN_START, TURN_END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
"""The ChatML tokens under the names that Qwen2.5 uses. `TURN_END` also ends a completion."""

ROLES = ("system", "user", "assistant")

PIECES = r" ?\p{L}+| ?[0-9]+| ?[^\s\p{L}0-9]|\s+(?!\S)|\s+"
"""Words, numbers and single signs, each with the one space before it; then what blank space is left.

No token crosses a piece, so numbers never merge with each other or with signs, and brackets stand alone.
"""


def train_tokenizer(texts: Iterable[str], vocab_size: int, numbers_to: int) -> PreTrainedTokenizerFast:
    """Build a byte-level BPE tokenizer with the ChatML and control tokens.

    If all distinct words of `texts` fit, each becomes one token and the vocabulary stays as small as that;
    otherwise merges are learned from them (Sennrich et al. 2016, https://arxiv.org/abs/1508.07909) until the
    vocabulary is full. Larger numbers than `numbers_to` are written digit by digit, other text byte by byte.

    Args:
        texts: what the model will read; a sample of some thousand texts is enough.
        vocab_size: upper limit of the vocabulary, all special tokens included.
        numbers_to: each of 0, 1, …, `numbers_to` is one token, with and without a space before it.

    Raises:
        InputError: if `vocab_size` has no room for bytes, numbers and special tokens.
    """
    from transformers import PreTrainedTokenizerFast

    fixed = _fixed_pieces(numbers_to)
    specials = (PAD, TURN_START, TURN_END)
    room = vocab_size - len(fixed) - len(specials) - len(CONTROL_TOKENS)
    if room < 0:
        raise InputError(
            f"A vocabulary of {vocab_size} has no room for 256 bytes, the numbers to {numbers_to} and the "
            f"special tokens: they take {vocab_size - room}. Raise it or lower the largest number."
        )
    backend = _backend(fixed, _count_words(texts, known=set(fixed)), room)
    backend.add_special_tokens(list(specials))
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend,
        eos_token=TURN_END,
        pad_token=PAD,
        clean_up_tokenization_spaces=False,
        model_max_length=1_000_000,
    )
    tokenizer.chat_template = CHATML_TEMPLATE
    add_control_tokens(tokenizer)
    return tokenizer


def _fixed_pieces(numbers_to: int) -> list[str]:
    """Return what every such tokenizer holds, in id order: 256 bytes, numbers, the roles of a chat."""
    from tokenizers.pre_tokenizers import ByteLevel

    space = "Ġ"  # how a byte-level vocabulary writes the byte 0x20
    pieces = sorted(ByteLevel.alphabet())
    pieces += [mark + str(number) for number in range(numbers_to + 1) for mark in ("", space)]
    return list(dict.fromkeys([*pieces, *ROLES]))  # the digits are bytes already


def _empty_backend(vocabulary: dict[str, int], merges: list[tuple[str, str]]) -> Tokenizer:
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers

    # ignore_merges takes a piece that is in the vocabulary whole. That makes numbers and words single tokens
    # by construction; digits are never merged otherwise, so a larger number is always its digits.
    backend = Tokenizer(models.BPE(vocab=vocabulary, merges=merges, ignore_merges=True))
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PIECES), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    backend.decoder = decoders.ByteLevel()
    return backend


def _count_words(texts: Iterable[str], known: set[str]) -> Counter[str]:
    """Count the pieces of `texts`, in byte-level writing, that are neither known nor numbers."""
    split = _empty_backend({}, []).pre_tokenizer.pre_tokenize_str
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(piece for piece, _ in split(text))
    return Counter({p: n for p, n in counts.items() if p not in known and not p.lstrip("Ġ").isdecimal()})


def _backend(fixed: list[str], words: Counter[str], room: int) -> Tokenizer:
    """Return the tokenizer of the fixed pieces and as much of `words` as there is room for."""
    pieces = list(fixed)
    merges: list[tuple[str, str]] = []
    if len(words) <= room:
        # Ties are broken by text: the same texts in another order give the same ids.
        pieces += sorted(words, key=lambda word: (-words[word], word))
    else:
        learned, merges = _learn_merges(words, room)
        pieces = list(dict.fromkeys([*fixed, *learned]))
    return _empty_backend({piece: index for index, piece in enumerate(pieces)}, merges)


def _learn_merges(words: Counter[str], room: int) -> tuple[list[str], list[tuple[str, str]]]:
    import json

    from tokenizers import Tokenizer, models, trainers
    from tokenizers.pre_tokenizers import ByteLevel

    alphabet = ByteLevel.alphabet()
    learner = Tokenizer(models.BPE())
    trainer = trainers.BpeTrainer(
        vocab_size=len(alphabet) + room, initial_alphabet=alphabet, show_progress=False, special_tokens=[]
    )
    learner.train_from_iterator((word for word in sorted(words) for _ in range(words[word])), trainer)
    model = json.loads(learner.to_str())["model"]
    learned = sorted(model["vocab"], key=model["vocab"].__getitem__)
    return learned, [(left, right) for left, right in model["merges"]]
