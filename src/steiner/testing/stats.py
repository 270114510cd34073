"""What a server has seen, so that a test can prove that nothing was paid for twice."""

from __future__ import annotations

from collections import Counter
from enum import StrEnum

from pydantic import Field

from steiner.core import Record


class Outcome(StrEnum):
    """What became of a request that met no `Fault`."""

    OK = "ok"
    """A whole, right reply. Dripping ones and ones without usage have the outcome of their fault."""
    STORM = "storm"
    CAPACITY = "capacity"
    UNAUTHORISED = "unauthorised"
    NOT_FOUND = "not_found"
    BAD_REQUEST = "bad_request"
    DISCONNECTED = "disconnected"
    """The client had gone before its reply was written."""
    CRASHED = "crashed"
    """The model raised an exception; the client got a 500 and the server's log the traceback."""


class ServerStats(Record):
    """Answer to `GET /stats`. All counts are since the start or the last `POST /reset`."""

    requests: int = 0
    """Requests for a completion, whatever became of them."""
    outcomes: dict[str, int] = Field(default_factory=dict)
    """Finished requests by what became of them: `ok`, a `Fault`, `storm`, `capacity`, `unauthorised`…"""
    bodies: int = 0
    """Distinct bodies among them."""
    delivered: int = 0
    """Whole replies with the right content that were written to an open connection."""
    delivered_again: int = 0
    """How many of those had a body that had been delivered before: what a client paid for twice, unless it
    asked for several draws with one body."""
    in_flight: int = 0
    in_flight_max: int = 0
    cpu_s: float = 0.0
    """CPU seconds of the server's process since its start."""
    delivered_by_body: dict[str, int] = Field(default_factory=dict)
    """Deliveries by the digest of the body (16 hex digits); only where asked for."""


class BodyCount:
    """What is known of one body."""

    __slots__ = ("decided", "delivered", "refused")

    def __init__(self) -> None:
        self.decided = 0
        """How often its fate was drawn."""
        self.refused = 0
        """How often a storm refused it."""
        self.delivered = 0


class Counts:
    """The running counts. One event loop uses them, so nothing is locked."""

    def __init__(self) -> None:
        self.requests = 0
        self.outcomes: Counter[str] = Counter()
        self.bodies: dict[bytes, BodyCount] = {}
        self.in_flight = 0
        self.in_flight_max = 0
        self.delivered_untracked = 0

    def enter(self) -> None:
        """Count a request that has arrived."""
        self.requests += 1
        self.in_flight += 1
        if self.in_flight > self.in_flight_max:
            self.in_flight_max = self.in_flight

    def body(self, digest: bytes) -> BodyCount:
        """Return the counts of a body, new ones if it is new."""
        found = self.bodies.get(digest)
        if found is None:
            found = self.bodies[digest] = BodyCount()
        return found

    def stats(self, by_body: bool, cpu_s: float) -> ServerStats:
        """Return the counts as they are now."""
        delivered = {key: count.delivered for key, count in self.bodies.items() if count.delivered}
        return ServerStats(
            requests=self.requests,
            outcomes=dict(sorted(self.outcomes.items())),
            bodies=len(self.bodies),
            delivered=sum(delivered.values()) + self.delivered_untracked,
            delivered_again=sum(delivered.values()) - len(delivered),
            in_flight=self.in_flight,
            in_flight_max=self.in_flight_max,
            cpu_s=cpu_s,
            delivered_by_body={key.hex(): count for key, count in delivered.items()} if by_body else {},
        )
