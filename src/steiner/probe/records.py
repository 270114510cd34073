"""What is asked, what is measured and what is concluded."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from pydantic import Field, model_validator

from steiner.core import Record, Settings

Kind = Literal["prose", "puzzle"]


class ProbeSettings(Settings):
    """The experiment. Two series can be compared where these agree."""

    requests: int = Field(default=60, ge=1)
    """Measured ones, without the warm-up."""
    warmup: int = Field(default=3, ge=0)
    """Requests before, which are measured and left out."""
    repeats: int = Field(default=2, ge=1)
    """Requests of the same length and topic."""
    shortest: int = Field(default=30, ge=1)
    """Tokens that the shortest answer should have."""
    longest: int = Field(default=3000, ge=2)
    """Tokens that the longest answer should have."""
    prompts: Literal["mixed", "prose", "puzzle"] = "mixed"
    """Prose sets the length of what is shown, puzzles that of hidden reasoning; mixed: every third one."""
    branches: int = Field(default=1, ge=1, le=128)
    """Completions that each request asks for (`n`), billed together: to see what parallel work looks like."""
    exact: bool = False
    """Cut each answer off at its length, for models that do not keep to one that is asked for."""
    temperature: float | None = Field(default=None, ge=0)
    seed: int = 0

    @model_validator(mode="after")
    def _check(self) -> ProbeSettings:
        if self.longest <= self.shortest:
            raise ValueError("longest must be larger than shortest")
        return self


class Ask(Record):
    """One request of the plan."""

    number: int
    """Place in the order of sending."""
    kind: Kind
    target: int
    """Tokens that the answer should have, about."""
    prompt: str
    max_tokens: int
    warmup: bool = False


class Measurement(Record):
    """One request that was sent, and what came back. Times in seconds from sending."""

    number: int
    kind: Kind
    target: int
    max_tokens: int
    warmup: bool
    started: float
    """Seconds since the epoch."""
    first_s: float | None = None
    """Until the first piece of text; None where nothing was streamed."""
    last_s: float | None = None
    """Until the last piece of text."""
    total_s: float = 0.0
    """Until the reply was complete."""
    events: int = 0
    """Pieces of text of the first completion."""
    text_bytes: int = 0
    """UTF-8 bytes of the text of the first completion, streamed reasoning included."""
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    """As billed; None where the endpoint did not say."""
    reasoning_tokens: int = 0
    finish: str = ""
    model: str = ""
    """As the endpoint names it."""
    tries: int = 1
    cost_usd: float | None = None
    """Of all tries; None where no price is known."""
    error: str = ""
    """What went wrong for good; empty for a reply."""


class Estimate(Record):
    """A number with its 95% interval."""

    value: float
    low: float
    high: float


class Change(Record):
    """The largest shift of the residuals along an order, and how likely chance alone makes one as large."""

    along: Literal["tokens", "time"]
    at: float
    """Tokens, or the request's number."""
    before: float
    """Median residual before it, as a share of the fitted seconds."""
    after: float
    p: float


class Fits(Record):
    """What was fitted to seconds against tokens."""

    n: int
    line_start: Estimate
    """a of seconds = a + b·tokens."""
    line_slope: Estimate
    """b, seconds a token."""
    power: Estimate
    """p of seconds ∝ tokens^p, without a start."""
    curve_start: float
    curve_scale: float
    curve_power: Estimate
    """p of seconds = a + b·tokens^p with a ≥ 0."""
    power_limits: Estimate
    """The same with a 90% interval: the verdict rests on its two one-sided tests, at 5% each."""
    noise: float
    """Robust standard deviation of the residuals, as a share of the fitted seconds."""
    decades: float
    """Between the 5th and the 95th percentile of the tokens."""
    changes: tuple[Change, ...] = ()
    uneven: Estimate | None = None
    """Rank correlation of the residuals' size with the tokens; its interval is that of no correlation."""
    uneven_p: float = 1.0


class Doubt(Record):
    """Something about the reported usage that should be known."""

    kind: Literal["missing", "fewer", "constant", "reasoning", "undeclared", "over_limit"]
    share: float
    """Of the requests."""
    text: str


class VerdictKind(StrEnum):
    """What the times say about the work behind the API."""

    LINEAR = "linear"
    SUBLINEAR = "sub-linear"
    INCONCLUSIVE = "inconclusive"


class Verdict(Record):
    """The answer."""

    kind: VerdictKind
    text: str
    """One sentence or two for people."""
    reasons: tuple[str, ...] = ()
    pace: Estimate | None = None
    """Seconds of a billed token as a multiple of those of a token that can be seen being written: 1 for one
    sequence, 1/n for n in parallel. None where nothing could be seen being written."""
    more: int | None = None
    """Further requests that would probably settle it: 0 where it is settled, None where none would."""


class Series(Record):
    """One model at one endpoint."""

    label: str
    base_url: str
    model: str
    settings: ProbeSettings
    measurements: tuple[Measurement, ...]
    fits: Fits | None
    doubts: tuple[Doubt, ...]
    verdict: Verdict
    first_s: float | None = None
    """Median seconds to the first text."""
    cost_usd: float | None = None


class ProbeReport(Record):
    """All series of one folder."""

    created: str
    series: tuple[Series, ...]
