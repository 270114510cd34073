"""Where a stream finds its tokens."""

from __future__ import annotations

import asyncio

from steiner.serve.engines.base import EngineError, TokenChunk


class Mailbox:
    """News of one completion. Belongs to the event loop."""

    def __init__(self) -> None:
        self._chunks: list[TokenChunk] = []
        self._failed = False
        self._ready = asyncio.Event()

    def put(self, chunk: TokenChunk | None) -> None:
        """Add more of the completion; None says that the engine failed."""
        if chunk is None:
            self._failed = True
        else:
            self._chunks.append(chunk)
        self._ready.set()

    async def take(self) -> TokenChunk:
        """Wait for news; return all that is there as one chunk.

        Raises:
            EngineError: if the engine failed.
        """
        await self._ready.wait()
        if self._failed:
            raise EngineError("the model failed while this completion was written")
        chunks, self._chunks = self._chunks, []
        self._ready.clear()
        if len(chunks) == 1:
            return chunks[0]
        ids = tuple(number for chunk in chunks for number in chunk.ids)
        logprobs = tuple(one for chunk in chunks for one in chunk.logprobs)
        return TokenChunk(ids, logprobs, chunks[-1].finish, chunks[-1].cached_tokens)
