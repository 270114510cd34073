"""Which calls cannot be in the journal: told without asking it, in flat memory."""

from __future__ import annotations

from collections.abc import Iterable

_DIGITS = 6
"""So many hex digits of a key choose its bit: 2 MiB in all."""


class KnownKeys:
    """A set of digests in which some seem to be that are not (one in 150 with 100,000 in it), never less.

    Looking a call up that was never made takes SQLite longer than all else that is done about it.

    Args:
        keys: in hex, evenly spread as digests are.
    """

    def __init__(self, keys: Iterable[str] = ()) -> None:
        self._bits = bytearray(16**_DIGITS // 8)
        for key in keys:
            self.add(key)

    def add(self, key: str) -> None:
        """Put a key in."""
        place = int(key[:_DIGITS], 16)
        self._bits[place >> 3] |= 1 << (place & 7)

    def __contains__(self, key: str) -> bool:
        place = int(key[:_DIGITS], 16)
        return bool(self._bits[place >> 3] & 1 << (place & 7))
