"""Between the socket of an engine's process and its writer."""

from __future__ import annotations

import socket

from steiner.serve.engines.base import TokenChunk
from steiner.serve.engines.frames import Frames, News, Order, pack_news
from steiner.serve.engines.rows import Row
from steiner.serve.engines.writer import Writer


class Desk:
    """Takes orders in and hands tokens out. Keeps nothing of a completion that is over."""

    def __init__(self, connection: socket.socket, writer: Writer[int]) -> None:
        self._connection = connection
        self._writer = writer
        self._frames = Frames()
        self._rows: dict[int, Row] = {}
        self._told = writer.stats()

    def take_orders(self) -> None:
        """Read the orders that came; waits for one when there is nothing to write.

        Raises:
            EOFError: if the asker is gone.
        """
        while True:
            try:
                data = self._connection.recv(1 << 20, socket.MSG_DONTWAIT if self._writer.busy else 0)
            except BlockingIOError:
                return
            if not data:
                raise EOFError
            for orders in self._frames.feed(data):
                for order in orders:
                    self._take(order)

    def _take(self, order: Order) -> None:
        if order.generation is not None:
            row = self._rows[order.key] = Row.of(order.generation)
            self._writer.add(row, order.key)
        elif order.key in self._rows:
            self._rows.pop(order.key).cancelled = True

    def tell(self, chunks: list[tuple[int, TokenChunk | None]]) -> None:
        """Send what is due, and how busy the engine is where that has changed."""
        for key, chunk in chunks:
            if chunk is None or chunk.finish:
                self._rows.pop(key, None)
        stats = self._writer.stats()
        changed = stats[:2] != self._told[:2] or not self._writer.busy
        if chunks or (changed and stats != self._told):
            self._told = stats
            self._connection.sendall(pack_news(News(stats, chunks)))
