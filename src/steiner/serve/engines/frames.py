"""Messages between the engine's process and the one that asks it: a length, and a pickle of plain values.

Both ends are this program, joined by a socket that has no name; nobody else can write to it.
"""

from __future__ import annotations

import pickle
import socket
import struct
from collections.abc import Iterator
from typing import Any, NamedTuple

from steiner.core import Record
from steiner.serve.engines.base import EngineStats, Finish, Generation, TokenChunk, TokenLogprob
from steiner.serve.settings import EngineSettings

_HEAD = struct.Struct("!I")


class Job(Record):
    """The first message to an engine's process."""

    place: str
    settings: EngineSettings
    threads: int | None
    """Of torch; None leaves it to torch."""


class Ready(Record):
    """Its answer: the model is loaded."""

    context: int


class Refused(Record):
    """Or this: the model cannot be served."""

    kind: str
    """Name of a class of `steiner.core.errors`."""
    message: str


class Order(NamedTuple):
    """Something to do for a completion, which has the number `key` with this asker."""

    key: int
    generation: Generation | None
    """None takes the completion back."""


class News(NamedTuple):
    """What the engine tells: counts, and more of some completions."""

    stats: EngineStats
    chunks: list[tuple[int, TokenChunk | None]]
    """By the numbers of the orders; None says that the model failed."""


def frame(message: object) -> bytes:
    """Return a message as it travels."""
    body = pickle.dumps(message, pickle.HIGHEST_PROTOCOL)
    return _HEAD.pack(len(body)) + body


def pack_news(news: News) -> bytes:
    """Return news as they travel: plain tuples, which are quicker to read than named ones."""
    chunks = [
        (key, None if chunk is None else (chunk.ids, _plain(chunk), _word(chunk), chunk.cached_tokens))
        for key, chunk in news.chunks
    ]
    return frame((tuple(news.stats), chunks))


def unpack_news(message: Any) -> News:
    """Read what `pack_news` wrote."""
    stats, chunks = message
    return News(EngineStats(*stats), [(key, None if one is None else _chunk(*one)) for key, one in chunks])


class Frames:
    """Cuts a stream of bytes into messages."""

    def __init__(self) -> None:
        self._bytes = bytearray()

    def feed(self, data: bytes) -> Iterator[Any]:
        """Yield the messages that are whole by now."""
        self._bytes += data
        while len(self._bytes) >= _HEAD.size:
            end = _HEAD.size + _HEAD.unpack_from(self._bytes)[0]
            if len(self._bytes) < end:
                return
            body = bytes(self._bytes[_HEAD.size : end])
            del self._bytes[:end]
            yield pickle.loads(body)


def receive(connection: socket.socket) -> Any:
    """Wait for one message.

    Raises:
        EOFError: if the other end is gone.
    """
    (size,) = _HEAD.unpack(_exactly(connection, _HEAD.size))
    return pickle.loads(_exactly(connection, size))


def _exactly(connection: socket.socket, size: int) -> bytes:
    found = bytearray()
    while len(found) < size:
        part = connection.recv(min(size - len(found), 1 << 20))
        if not part:
            raise EOFError
        found += part
    return bytes(found)


def _word(chunk: TokenChunk) -> str | None:
    return None if chunk.finish is None else str(chunk.finish)


def _plain(chunk: TokenChunk) -> list[tuple[float, tuple[tuple[int, float], ...]]]:
    return [(one.logprob, one.top) for one in chunk.logprobs]


def _chunk(ids: tuple[int, ...], logprobs: Any, finish: str | None, cached: int) -> TokenChunk:
    made = tuple(TokenLogprob(*one) for one in logprobs)
    return TokenChunk(ids, made, None if finish is None else Finish(finish), cached)
