"""The key of an endpoint: read from the environment, kept out of every message."""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Mapping
from urllib.parse import urlsplit

from steiner.core import InputError
from steiner.teacher.chat.types import Endpoint

REDACTED = "[key]"
PIECE = 8
"""A run of this many characters of the key is taken for the key: servers echo it cut or masked."""
MASKED = re.compile(r"[^\s\"'`]*\*{3,}[^\s\"'`]*|\b(?:sk|pk|gsk|hf|xai|nvapi)[-_][\w*-]{4,}")
"""What keys look like, whole or masked (`sk-ab****wxyz`), also another's than ours."""


def is_private(base_url: str) -> bool:
    """Return whether the address is of this machine or of a private network, where servers need no key."""
    host = (urlsplit(base_url).hostname or "").lower()
    try:
        return ipaddress.ip_address(host).is_private
    except ValueError:
        return "." not in host or host.endswith((".localhost", ".local", ".internal", ".lan"))


def read_key(endpoint: Endpoint, environment: Mapping[str, str] = os.environ) -> str:
    """Return the endpoint's key, "" where it needs none.

    Raises:
        InputError: the variable is missing for a public address, or holds what cannot be a key.
    """
    key = environment.get(endpoint.key_env, "").strip()
    if not key and not is_private(endpoint.base_url):
        raise InputError(
            f"{endpoint.base_url} needs a key: set the environment variable {endpoint.key_env} to it, or "
            "name the variable that holds it (key_env)."
        )
    if not re.fullmatch(r"[!-~]*", key):
        raise InputError(
            f"The environment variable {endpoint.key_env} holds blank space or special characters, so it "
            "cannot be a key: copy the key again."
        )
    return key


class Redactor:
    """Takes one key out of texts."""

    def __init__(self, key: str) -> None:
        self._key = key
        self._bytes = key.encode()
        self._pieces = {key[i : i + PIECE] for i in range(len(key) - PIECE + 1)}

    def __repr__(self) -> str:
        return f"Redactor({REDACTED})"

    def exact(self, text: str) -> str:
        """Return `text` without the whole key: cheap, for replies. Keys under 4 characters are no secrets."""
        if len(self._key) > 3 and self._key in text:
            return text.replace(self._key, REDACTED)
        return text

    def message(self, text: str) -> str:
        """Return `text` without the key, pieces of it, and anything that looks like a key: for messages."""
        text = MASKED.sub(REDACTED, self.exact(text))
        if not self._pieces:
            return text
        out: list[str] = []
        place = 0
        while place < len(text):
            end = self._end_of_piece(text, place)
            out.append(text[place] if end == place else REDACTED)
            place = max(place + 1, end)
        return "".join(out)

    def _end_of_piece(self, text: str, start: int) -> int:
        """Return where the run of pieces of the key that begins at `start` ends: `start` if there is none."""
        end = start
        place = start
        while text[place : place + PIECE] in self._pieces:
            end = place + PIECE
            place += 1
        return end
