"""What goes wrong, and when: a pure function of a seed, of a request's body and of how often it came."""

from __future__ import annotations

import math
from enum import StrEnum
from hashlib import blake2b
from statistics import NormalDist
from typing import Literal, NamedTuple

from pydantic import Field, model_validator

from steiner.core import Settings


class Fault(StrEnum):
    """Everything that can go wrong with one reply. The value names its rate in `Faults`."""

    RATE_LIMIT = "rate_limit"
    """429 with `Retry-After`, by itself; see `Faults.storm_every_s` for whole episodes."""
    SERVER_ERROR = "server_error"
    """500 with a JSON error."""
    BAD_GATEWAY = "bad_gateway"
    """502 with an HTML page, as a proxy sends it."""
    UNAVAILABLE = "unavailable"
    """503 with `Retry-After`."""
    DROP_BEFORE = "drop_before"
    """The connection is reset before the first byte."""
    DROP_INSIDE = "drop_inside"
    """The connection is reset in the middle of the body."""
    HALF_STREAM = "half_stream"
    """The event stream ends cleanly in the middle: no `finish_reason`, no `[DONE]`. Where the client did not
    ask for a stream: the same as `DROP_INSIDE`."""
    GARBAGE_JSON = "garbage_json"
    """200 whose body (or whose middle event) is cut JSON."""
    HTML = "html"
    """200 with an HTML page, as a captive portal sends it."""
    NO_CHOICES = "no_choices"
    """200 with `choices: []`."""
    EMPTY_CONTENT = "empty_content"
    """200 with empty content and `finish_reason` stop."""
    NULL_CONTENT = "null_content"
    """200 with `content: null` and `finish_reason` stop."""
    DRIP = "drip"
    """The right reply in small pieces over `Faults.drip_s`. Whole in the end: it counts as delivered."""
    MISSING_USAGE = "missing_usage"
    """The right reply without `usage`. It counts as delivered."""
    WRONG_SCHEMA = "wrong_schema"
    """Content that is valid JSON of another shape."""
    GARBAGE_TEXT = "garbage_text"
    """Content that is no JSON at all."""
    TRUNCATED = "truncated"
    """The first half of the content, with `finish_reason` length."""
    REFUSAL = "refusal"
    """`refusal` instead of content."""
    FILTERED = "filtered"
    """Empty content with `finish_reason` content_filter."""


CONTENT_FAULTS = frozenset(
    {Fault.WRONG_SCHEMA, Fault.GARBAGE_TEXT, Fault.TRUNCATED, Fault.REFUSAL, Fault.FILTERED}
)
"""A clean 200 with content that cannot be used. Whoever asks again asks something else, see `Faults`."""
HARMLESS_FAULTS = frozenset({Fault.DRIP, Fault.MISSING_USAGE})
"""The right content arrives nevertheless."""

Rate = Field(default=0.0, ge=0, le=1)


class Faults(Settings):
    """How often what goes wrong. All rates are shares of replies, 0 to 1; the default is no fault at all.

    Which fault hits depends on the seed, the body of the request and how often this body has come, and not
    on time. After at most `max_faults_per_request` faults a body gets its right reply, and the right reply
    is a function of the body alone: so a client that asks again after each fault ends with the same replies
    as one that never met a fault, at any concurrency. This holds for `Faults.transport()`.

    It does not hold for the faults of `CONTENT_FAULTS`, which arrive as a clean 200: a client can only get
    past them by asking something else (a note added, more tokens allowed), which has another reply and is
    counted as another body. `Faults.everything()` has them too: use it to see that all of them are
    survived, not to compare results with a run without faults.

    Rate-limit storms (`storm_…`) and `capacity` go by the clock and by load, and never change a reply either.
    """

    rate_limit: float = Rate
    server_error: float = Rate
    bad_gateway: float = Rate
    unavailable: float = Rate
    drop_before: float = Rate
    drop_inside: float = Rate
    half_stream: float = Rate
    garbage_json: float = Rate
    html: float = Rate
    no_choices: float = Rate
    empty_content: float = Rate
    null_content: float = Rate
    drip: float = Rate
    missing_usage: float = Rate
    wrong_schema: float = Rate
    garbage_text: float = Rate
    truncated: float = Rate
    refusal: float = Rate
    filtered: float = Rate

    max_faults_per_request: int = Field(default=3, ge=0)
    """A body that met so many faults meets no more. Refusals in storms are counted apart, with the same
    limit, so that it fails at most twice as often."""
    retry_after_s: float = Field(default=1.0, ge=0)
    """Value of `Retry-After`. Standard are whole seconds; tests may want fractions."""
    drip_s: float = Field(default=2.0, ge=0)
    """Seconds from the first to the last byte of a dripping reply."""
    drip_pieces: int = Field(default=20, ge=2)

    storm_every_s: float = Field(default=0.0, ge=0)
    """One rate-limit storm in each stretch of so many seconds, at a seeded moment; 0: none."""
    storm_s: float = Field(default=1.0, gt=0)
    """Seconds that a storm lasts."""
    storm_in_flight: int = Field(default=0, ge=0)
    """Requests that may be in flight in a storm; whatever is beyond gets 429."""
    capacity: int = Field(default=0, ge=0)
    """Requests that may be in flight at any time, beyond which there are only 429s; 0: any number."""
    slots: int = Field(default=0, ge=0)
    """Requests that are worked on at a time, while others wait, as an overloaded engine does it; 0: all."""

    latency: Literal["fixed", "lognormal"] = "fixed"
    latency_s: float = Field(default=0.0, ge=0)
    """Seconds from request to reply; the median where lognormal."""
    latency_sigma: float = Field(default=0.5, ge=0)
    """Standard deviation of the logarithm of a lognormal latency."""

    @model_validator(mode="after")
    def _check(self) -> Faults:
        if (total := sum(self.rates.values())) > 1 + 1e-9:
            raise ValueError(f"the rates of all faults add up to {total:g}; they must not exceed 1")
        if self.storm_every_s and self.storm_s > self.storm_every_s:
            raise ValueError(
                f"a storm of {self.storm_s:g} s does not fit into storm_every_s = {self.storm_every_s:g}"
            )
        return self

    @property
    def rates(self) -> dict[Fault, float]:
        """The rate of each fault."""
        return {fault: getattr(self, fault.value) for fault in Fault}

    @classmethod
    def transport(cls, rate: float = 0.2, **others: object) -> Faults:
        """All faults after which the very same request is sent again, `rate` of replies in all.

        Args:
            rate: share of replies that meet a fault, the same for each kind of fault.
            others: any other setting, which goes before.
        """
        return cls._shared(tuple(fault for fault in Fault if fault not in CONTENT_FAULTS), rate, others)

    @classmethod
    def everything(cls, rate: float = 0.2, **others: object) -> Faults:
        """Every fault there is, `rate` of replies in all. Not for comparing results, see the class."""
        return cls._shared(tuple(Fault), rate, others)

    @classmethod
    def only(cls, fault: Fault | str, rate: float = 1.0, **others: object) -> Faults:
        """One fault alone."""
        return cls._shared((Fault(fault),), rate, others)

    @classmethod
    def _shared(cls, faults: tuple[Fault, ...], rate: float, others: dict[str, object]) -> Faults:
        return cls.model_validate({fault.value: rate / len(faults) for fault in faults} | others)


class Fate(NamedTuple):
    """What becomes of one request."""

    fault: Fault | None
    latency_s: float


class FaultPlan:
    """Decides the fate of each request. Keeps nothing: the caller counts."""

    def __init__(self, faults: Faults, seed: int) -> None:
        self._faults = faults
        self._key = f"steiner.testing:{seed}".encode()
        self._bounds: list[tuple[float, Fault]] = []
        total = 0.0
        for fault, rate in faults.rates.items():
            if rate:
                total += rate
                self._bounds.append((total, fault))
        self._normal = NormalDist(sigma=faults.latency_sigma) if faults.latency_sigma else None
        self.is_constant = not self._bounds and faults.latency == "fixed"
        """No fault ever, and always the same latency: no need to count bodies."""

    def fate(self, body: bytes, seen: int) -> Fate:
        """Decide for a body with the digest `body` that has been decided on `seen` times before."""
        if self.is_constant:
            return Fate(None, self._faults.latency_s)
        draws = blake2b(body + seen.to_bytes(4, "big"), digest_size=16, key=self._key).digest()
        fault = self._fault(_unit(draws[:8])) if seen < self._faults.max_faults_per_request else None
        return Fate(fault, self._latency(_unit(draws[8:])))

    def in_storm(self, clock_s: float) -> bool:
        """Say whether a storm rages `clock_s` seconds after the server's start."""
        every = self._faults.storm_every_s
        if not every:
            return False
        stretch = int(clock_s // every)
        draw = _unit(blake2b(stretch.to_bytes(8, "big"), digest_size=8, key=self._key).digest())
        begin = stretch * every + draw * (every - self._faults.storm_s)
        return begin <= clock_s < begin + self._faults.storm_s

    def _fault(self, draw: float) -> Fault | None:
        return next((fault for bound, fault in self._bounds if draw < bound), None)

    def _latency(self, draw: float) -> float:
        if self._faults.latency == "fixed" or self._normal is None:
            return self._faults.latency_s
        return self._faults.latency_s * math.exp(self._normal.inv_cdf(draw))


def _unit(eight_bytes: bytes) -> float:
    """Return a number strictly between 0 and 1, uniform if the bytes are."""
    return ((int.from_bytes(eight_bytes, "big") >> 12) + 0.5) / 2**52
