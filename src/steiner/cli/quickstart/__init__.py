"""`steiner quickstart`: the whole pipe on small Countdown problems, on a laptop, in minutes."""

from steiner.cli.quickstart.command import app

__all__ = ["app"]
