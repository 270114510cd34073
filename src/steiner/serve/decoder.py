"""Token ids to text, fast: for byte-level vocabularies a table of bytes, for others the tokenizer itself."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


class Decoder:
    """Has the two methods that `TokenStreamParser` needs of a tokenizer.

    `PreTrainedTokenizerBase.decode` takes 20 µs a call; joining bytes from a table takes less than one.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self._tokenizer = tokenizer
        self._byte_level = _is_byte_level(tokenizer)
        self._bytes: dict[int, bytes] = {}

    def decode(self, ids: Sequence[int], **options: Any) -> str:
        """Return the text of ids, special tokens included; a cut character becomes U+FFFD."""
        if not self._byte_level:
            text: str = self._tokenizer.decode(
                list(ids), skip_special_tokens=False, clean_up_tokenization_spaces=False
            )
            return text
        return b"".join([self.token_bytes(number) for number in ids]).decode("utf-8", "replace")

    def token_bytes(self, number: int) -> bytes:
        """Return what one token adds to a text; for other than byte-level vocabularies on its own."""
        known = self._bytes.get(number)
        if known is None:
            known = self._bytes[number] = self._look_up(number)
        return known

    def convert_ids_to_tokens(self, number: int) -> str | None:
        """Return the token of an id."""
        token: str | None = self._tokenizer.convert_ids_to_tokens(number)
        return token

    def _look_up(self, number: int) -> bytes:
        if not self._byte_level:
            text: str = self._tokenizer.decode(
                [number], skip_special_tokens=False, clean_up_tokenization_spaces=False
            )
            return text.encode()
        token = self._tokenizer.convert_ids_to_tokens(number)
        if token is None:
            return b""
        # As the decoder `ByteLevel` does it: a token with any other character stands for itself.
        letters = [_byte_of().get(letter) for letter in token]
        if any(byte is None for byte in letters):
            return str(token).encode()
        return bytes(byte for byte in letters if byte is not None)


def _is_byte_level(tokenizer: PreTrainedTokenizerBase) -> bool:
    backend = getattr(tokenizer, "backend_tokenizer", None)
    return type(getattr(backend, "decoder", None)).__name__ == "ByteLevel"


@cache
def _byte_of() -> dict[str, int]:
    """GPT-2's alphabet: printable bytes stand for themselves, the others for letters from U+0100 on."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in set(printable)]
    return {chr(b): b for b in printable} | {chr(256 + i): b for i, b in enumerate(others)}
