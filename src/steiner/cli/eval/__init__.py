"""`steiner eval`: benchmarks against a local model or an endpoint."""

from steiner.cli.eval.command import app

__all__ = ["app"]
