"""`steiner synthesize`: let a teacher write traces for a run's problems."""

from steiner.cli.synthesize.command import app

__all__ = ["app"]
