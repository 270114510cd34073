"""What Prometheus is told. Each server has a registry of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from steiner.core import Move
from steiner.serve.engines.base import EngineStats
from steiner.serve.speak import Spoken

if TYPE_CHECKING:
    from prometheus_client.core import Metric

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
SECONDS = (0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100, 300)
STEPS = (1, 2, 4, 8, 16, 32, 64)


class Metrics:
    """Counts of one server."""

    def __init__(self, stats: Callable[[], EngineStats]) -> None:
        """Begin at zero; `stats` is asked when the metrics are read."""
        registry = self.registry = CollectorRegistry()
        registry.register(_EngineCollector(stats))
        self.requests = Counter(
            "steiner_requests",
            "Requests answered, by endpoint and status.",
            ["endpoint", "status"],
            registry=registry,
        )
        self.disconnects = Counter(
            "steiner_disconnects", "Clients that left before the end.", registry=registry
        )
        self.seconds = Histogram(
            "steiner_request_seconds",
            "From a request's body to the end of its reply.",
            buckets=SECONDS,
            registry=registry,
        )
        self.first = Histogram(
            "steiner_first_token_seconds",
            "From a request's body to its first token.",
            buckets=SECONDS,
            registry=registry,
        )
        self.reasoning = Counter("steiner_reasoning_tokens", "Tokens from START to END.", registry=registry)
        self.steps = Histogram("steiner_steps", "Steps of a completion.", buckets=STEPS, registry=registry)
        self.backtracks = Counter("steiner_backtracks", "Moves that went back.", registry=registry)
        self.broken = Counter(
            "steiner_broken", "Completions that break the grammar; cut ones too.", registry=registry
        )
        self.in_flight = Gauge("steiner_in_flight", "Completions accepted and not over.", registry=registry)

    def completed(self, spoken: Spoken) -> None:
        """Count a completion."""
        self.reasoning.inc(spoken.reasoning_tokens)
        self.steps.observe(len(spoken.parsed.steps))
        self.backtracks.inc(sum(move is Move.BACKTRACK for move in spoken.parsed.moves))
        if not spoken.parsed.complete:
            self.broken.inc()

    def text(self) -> bytes:
        """Return all in Prometheus' text format."""
        return generate_latest(self.registry)


class _EngineCollector(Collector):
    """Asks the engine when it is asked."""

    def __init__(self, stats: Callable[[], EngineStats]) -> None:
        self._stats = stats

    def collect(self) -> Iterator[Metric]:
        found = self._stats()
        yield GaugeMetricFamily("steiner_running", "Completions being written.", found.running)
        yield GaugeMetricFamily("steiner_waiting", "Completions waiting for a place.", found.waiting)
        yield CounterMetricFamily("steiner_prompt_tokens", "Tokens of prompts.", found.prompt_tokens)
        yield CounterMetricFamily(
            "steiner_cached_prompt_tokens", "Prompt tokens not read again.", found.cached_tokens
        )
        yield CounterMetricFamily("steiner_completion_tokens", "Tokens written.", found.completion_tokens)
