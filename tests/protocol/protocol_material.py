"""Tokenizers of each family and hypothesis strategies for hostile text."""

from __future__ import annotations

from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from steiner.core import Move, ReasoningPath, Step
from steiner.protocol import CONTROL_TOKENS

CORPUS = ["From 3 5 7: 3 + 5 = 8, left 7 8. Go on, go back.", "a <b> |c| reasoning_step start end"]
SPECIALS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]


def byte_level() -> PreTrainedTokenizerFast:
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=330, special_tokens=SPECIALS, initial_alphabet=alphabet, show_progress=False
    )
    backend.train_from_iterator(CORPUS, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, eos_token="<|im_end|>", pad_token="<|endoftext|>"
    )


def word_level() -> PreTrainedTokenizerFast:
    """One token per word or number; its specials are in the model's own vocabulary."""
    words = [
        "<pad>",
        "<eos>",
        "<unk>",
        "<|im_start|>",
        "<|im_end|>",
        *map(str, range(20)),
        *"+-*/=(),",
        "left",
        "go",
    ]
    backend = Tokenizer(models.WordLevel({word: n for n, word in enumerate(words)}, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, eos_token="<eos>", pad_token="<pad>", unk_token="<unk>"
    )


def metaspace() -> PreTrainedTokenizerFast:
    """Llama's way: a blank belongs to the word after it, and decoding drops the first one."""
    backend = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    backend.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    pieces = ["<unk>", "<s>", "</s>", *(f"<0x{n:02X}>" for n in range(256))]
    trainer = trainers.BpeTrainer(vocab_size=400, special_tokens=pieces, show_progress=False)
    backend.train_from_iterator(CORPUS, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, bos_token="<s>", eos_token="</s>", pad_token="</s>", unk_token="<unk>"
    )


FRAGMENTS = (
    *CONTROL_TOKENS, *(token[:9] for token in CONTROL_TOKENS[:3]), *SPECIALS, "<", "\u2060", "|reasoning_",
    "<|", "|>", "reasoning_end|>", "<\u2060|reasoning_", "<tool_call>", "<|fim_prefix|>", "\n", " ", "\r\n",
    "\u200b", "é", "日本語", "🙂", "ｅ", "\x00", "\ufffd", "{{", "%}",
)  # fmt: skip


def nasty(max_size: int = 6) -> st.SearchStrategy[str]:
    """Text of look-alikes, halves of tokens, zero-width characters and anything else without surrogates."""
    anything = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
    return st.lists(st.one_of(st.sampled_from(FRAGMENTS), anything), max_size=max_size).map("".join)


@st.composite
def paths(draw: st.DrawFn, text: st.SearchStrategy[str] = nasty()) -> ReasoningPath:  # noqa: B008
    """Any valid path."""
    fields = st.builds(Step, name=text, thought=text, summary=text, reflection=text)
    steps = draw(st.lists(fields, min_size=1, max_size=3))
    moves = draw(st.lists(st.sampled_from(Move), min_size=len(steps) - 1, max_size=len(steps) - 1))
    return ReasoningPath(steps=tuple(steps), moves=tuple(moves), answer=draw(text))
