"""`steiner chat`: a conversation in the terminal, with a model in this process or with a server."""

from steiner.cli.chat.command import app

__all__ = ["app"]
