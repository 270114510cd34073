"""Text to token ids with no way for the text to become a delimiter.

The ids come from the tokenizer's normaliser, pre-tokeniser and model alone: none of its delimiters is looked
for, so `<|im_end|>`, `<|fim_prefix|>` or `<|reasoning_end|>` in a text are spelled out. The argument
`split_special_tokens` of transformers does that for tokens flagged as special only, and Qwen2.5 does not flag
all of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from steiner.protocol.tokens import is_delimiter, special_ids

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


class TextEncoder:
    """Encodes plain text. Cheap to make (shares the tokenizer's model); make one for many texts."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        """Read the added tokens of `tokenizer` as they are now."""
        self._tokenizer = tokenizer
        self._backend, self._renumber = _without_delimiters(tokenizer)
        self._forbidden = special_ids(tokenizer)

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the ids of each text, without any special token."""
        rows = self._raw([_well_formed(text) for text in texts])
        for index, row in enumerate(rows):
            if not self._forbidden.isdisjoint(row):
                rows[index] = self._spell_out(row)
        return rows

    def _raw(self, texts: list[str]) -> list[list[int]]:
        if self._backend is None:
            batch = self._tokenizer(texts, add_special_tokens=False, split_special_tokens=True)
            return [list(row) for row in batch["input_ids"]]
        rows: list[list[int]] = [
            item.ids for item in self._backend.encode_batch_fast(texts, add_special_tokens=False)
        ]
        if self._renumber:
            rows = [[self._renumber.get(number, number) for number in row] for row in rows]
        return rows

    def _spell_out(self, row: list[int]) -> list[int]:
        """Replace delimiters by their characters.

        Word-level and unigram models have their special tokens in their own vocabulary and may hit one.
        """
        spelled: list[int] = []
        for number in row:
            if number in self._forbidden:
                characters = self._raw(list(self._tokenizer.convert_ids_to_tokens(number)))
                spelled += (n for part in characters for n in part if n not in self._forbidden)
            else:
                spelled.append(number)
        return spelled


def _without_delimiters(tokenizer: PreTrainedTokenizerBase) -> tuple[Any, dict[int, int]]:
    """Return the Rust tokenizer with only its harmless added tokens, and how to map its ids back."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        return None, {}
    plain = type(backend)(backend.model)
    if backend.normalizer is not None:
        plain.normalizer = backend.normalizer
    if backend.pre_tokenizer is not None:
        plain.pre_tokenizer = backend.pre_tokenizer
    kept = {n: added for n, added in backend.get_added_tokens_decoder().items() if not is_delimiter(added)}
    plain.add_tokens(list(kept.values()))
    renumber = {plain.token_to_id(added.content): number for number, added in kept.items()}
    return plain, {new: old for new, old in renumber.items() if new != old}


def _well_formed(text: str) -> str:
    """Replace lone surrogates, which JSON can hold and UTF-8 cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "replace").decode()
    return text
