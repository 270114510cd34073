"""No key that was put in is ever missed."""

from __future__ import annotations

import hashlib

from hypothesis import given
from hypothesis import strategies as st

from steiner.synthesis.known_keys import KnownKeys

KEYS = st.lists(st.integers(0, 2**128 - 1).map(lambda value: f"{value:032x}"), max_size=50)


@given(KEYS, KEYS)
def test_every_key_that_was_put_in_is_found(first: list[str], later: list[str]) -> None:
    known = KnownKeys(first)
    for key in later:
        known.add(key)
    assert all(key in known for key in (*first, *later))
    prefixes = {key[:6] for key in (*first, *later)}
    assert all(key in prefixes or f"{key:0<32}" not in known for key in ("000000", "ffffff", "800001"))


def test_few_others_are() -> None:
    digests = [hashlib.sha256(b"%d" % number).hexdigest() for number in range(110_000)]
    known = KnownKeys(digests[:100_000])
    assert sum(key in known for key in digests[100_000:]) < 100
