"""How long simulated endpoints take: pure models of time, without sockets and without sleeping.

Each server is a small settings class; `replies(server, seed)` returns a function from the tokens that one
answer wants to what a client would see of it. `steiner.testing.latency_server` serves the same models over
HTTP.

Times are seconds, lengths are tokens. All randomness comes from the seed.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from typing import Annotated, Literal, NamedTuple, TypeAlias

from pydantic import Field

from steiner.core import Settings


class SimulatedReply(NamedTuple):
    """What a client sees of one reply."""

    billed: int
    """Completion tokens of the usage: all that was written, in every branch."""
    reasoning: int
    """Of these, the ones that the usage calls reasoning; they are never shown."""
    visible: int
    """Tokens of the text that is shown."""
    first_s: float
    """From sending to the first piece of text."""
    last_s: float
    """From sending to the last piece of text."""
    total_s: float
    """From sending to the end of the reply."""


class SerialServer(Settings):
    """One token after another."""

    kind: Literal["serial"] = "serial"
    start_s: float = Field(default=0.4, ge=0)
    """Network, queue and prompt."""
    token_s: float = Field(default=0.015, gt=0)
    jitter: float = Field(default=0.05, ge=0)
    """Standard deviation of a request's speed, on the scale of logarithms."""
    hidden: float = Field(default=0.0, ge=0, lt=1)
    """Share of the tokens that is reasoning which nobody sees."""


class BestOfServer(Settings):
    """Several answers at the same time; one is shown and all are billed."""

    kind: Literal["best_of"] = "best_of"
    n: int = Field(default=8, ge=1)
    """Most answers of a request."""
    adaptive: bool = False
    """Longer work gets more answers (2 to `n`, as the square root of the length), and each is shorter."""
    at_once: bool = False
    """The best answer is sent in one piece at the end. Otherwise the first is shown as it is written."""
    declared: bool = False
    """The answers that are not shown are reported as reasoning."""
    spread: float = Field(default=0.25, ge=0)
    """Standard deviation of an answer's length, on the scale of logarithms."""
    start_s: float = 0.4
    token_s: float = 0.015
    per_branch: float = Field(default=0.02, ge=0)
    """What each further answer adds to the time of a token, as a share."""
    jitter: float = 0.05


class TreeServer(Settings):
    """Tree search: rounds of steps, all open branches at once, prefixes cached. All steps are billed."""

    kind: Literal["tree"] = "tree"
    width: int = Field(default=64, ge=1)
    """Most branches that are open at once."""
    growth: float = Field(default=1.0, gt=0)
    """Branches that each round adds."""
    step_tokens: int = Field(default=20, ge=1)
    start_s: float = 0.4
    token_s: float = 0.015
    per_branch: float = 0.01
    jitter: float = 0.05


class SpeculativeServer(Settings):
    """One sequence whose tokens a small model drafts and the large one checks (Leviathan et al. 2022)."""

    kind: Literal["speculative"] = "speculative"
    draft: int = Field(default=4, ge=1)
    acceptance: float = Field(default=0.7, ge=0, le=1)
    """Mean share of drafted tokens that are kept; each request draws its own around it."""
    start_s: float = 0.4
    check_s: float = Field(default=0.03, gt=0)
    """Of one draft with its check."""


class LoadedServer(Settings):
    """A server that shares its batches with others: speed that wanders, queues, and now and then a stall."""

    kind: Literal["loaded"] = "loaded"
    inner: Annotated[
        SerialServer | BestOfServer | TreeServer | SpeculativeServer, Field(discriminator="kind")
    ] = SerialServer()
    wander: float = Field(default=0.2, ge=0)
    """Standard deviation of the load, on the scale of logarithms."""
    memory: float = Field(default=0.8, ge=0, lt=1)
    """How much of the load a request finds again at the next one."""
    queue_s: float = Field(default=0.4, ge=0)
    """Mean wait in the queue, exponential."""
    stalls: float = Field(default=0.03, ge=0, le=1)
    """Share of requests that stall for 2 to 8 seconds."""


SimulatedServer: TypeAlias = Annotated[
    SerialServer | BestOfServer | TreeServer | SpeculativeServer | LoadedServer, Field(discriminator="kind")
]
Answer: TypeAlias = Callable[[int], SimulatedReply]


def replies(server: SimulatedServer, seed: int) -> Answer:
    """Return the function from the tokens that one answer wants to the reply; calls continue one session."""
    rng = random.Random(f"{seed}:{server.kind}")
    if isinstance(server, LoadedServer):
        return _loaded(server, rng, replies(server.inner, seed))
    if isinstance(server, SerialServer):
        return lambda wanted: _serial(server, wanted, rng)
    if isinstance(server, BestOfServer):
        return lambda wanted: _best_of(server, wanted, rng)
    if isinstance(server, TreeServer):
        return lambda wanted: _tree(server, wanted, rng)
    return lambda wanted: _speculative(server, wanted, rng)


def _start(seconds: float, rng: random.Random) -> float:
    """Return a time to the first token: never less than half of its mean, with a tail."""
    return seconds * (0.5 + 0.5 * rng.expovariate(1.0))


def _serial(server: SerialServer, wanted: int, rng: random.Random) -> SimulatedReply:
    pace = server.token_s * math.exp(rng.gauss(0, server.jitter))
    hidden = round(wanted * server.hidden)
    first = _start(server.start_s, rng) + pace * hidden
    visible = max(1, wanted - hidden)
    end = first + pace * visible
    return SimulatedReply(hidden + visible, hidden, visible, first, end, end)


def _best_of(server: BestOfServer, wanted: int, rng: random.Random) -> SimulatedReply:
    n = server.n
    if server.adaptive:
        n = max(2, min(server.n, round(math.sqrt(wanted / 8))))
        wanted = max(1, wanted // n)
    lengths = [max(1, round(wanted * math.exp(rng.gauss(0, server.spread)))) for _ in range(n)]
    pace = server.token_s * (1 + server.per_branch * (n - 1)) * math.exp(rng.gauss(0, server.jitter))
    first = _start(server.start_s, rng)
    end = first + pace * max(lengths)
    billed, shown = sum(lengths), lengths[0]
    reasoning = billed - shown if server.declared else 0
    if server.at_once:
        return SimulatedReply(billed, reasoning, shown, end, end + 0.01, end + 0.01)
    return SimulatedReply(billed, reasoning, shown, first, first + pace * shown, end)


def _tree(server: TreeServer, wanted: int, rng: random.Random) -> SimulatedReply:
    pace = server.token_s * math.exp(rng.gauss(0, server.jitter))
    seconds, billed, opened = _start(server.start_s, rng), 0, 1.0
    while billed < wanted:
        branches = int(min(opened, server.width))
        steps = [max(1, round(server.step_tokens * math.exp(rng.gauss(0, 0.3)))) for _ in range(branches)]
        seconds += pace * (1 + server.per_branch * (branches - 1)) * max(steps)
        billed += sum(steps)
        opened += server.growth
    visible = server.step_tokens
    end = seconds + pace * visible
    return SimulatedReply(billed + visible, billed, visible, seconds, end, end)


def _speculative(server: SpeculativeServer, wanted: int, rng: random.Random) -> SimulatedReply:
    kept = min(0.98, max(0.02, rng.gauss(server.acceptance, 0.08)))
    first = _start(server.start_s, rng)
    seconds, written = first, 0
    while written < wanted:
        accepted = 0
        while accepted < server.draft and rng.random() < kept:
            accepted += 1
        written += accepted + 1
        seconds += server.check_s * rng.uniform(0.9, 1.1)
    return SimulatedReply(wanted, 0, wanted, first, seconds, seconds)


def _loaded(server: LoadedServer, rng: random.Random, inner: Answer) -> Answer:
    load = rng.gauss(0, server.wander)

    def reply(wanted: int) -> SimulatedReply:
        nonlocal load
        fresh = rng.gauss(0, server.wander)
        load = server.memory * load + math.sqrt(1 - server.memory**2) * fresh
        said, slow = inner(wanted), math.exp(load)
        wait = rng.expovariate(1 / server.queue_s) if server.queue_s else 0.0
        stall = rng.uniform(2, 8) if rng.random() < server.stalls else 0.0
        return said._replace(
            first_s=said.first_s * slow + wait,
            last_s=said.last_s * slow + wait + stall,
            total_s=said.total_s * slow + wait + stall,
        )

    return reply
