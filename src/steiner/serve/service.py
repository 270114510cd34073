"""What the endpoints share: from a conversation to spoken choices, with places counted."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing, contextmanager
from typing import NamedTuple

from steiner.protocol import Message
from steiner.serve.asks import Ask, generations, with_announcement
from steiner.serve.conversation import PromptEncoder, Turn, TurnMemory
from steiner.serve.decoder import Decoder
from steiner.serve.engines.base import Engine, EngineState, Generation
from steiner.serve.errors import ApiError, not_running, overloaded
from steiner.serve.metrics import Metrics
from steiner.serve.settings import ServeSettings
from steiner.serve.speak import Delta, Speaker, Spoken

LONGEST_RETRY = 30
"""Most seconds that a refused client is told to wait."""


class Prompt(NamedTuple):
    """What the engine is to go on from."""

    ids: tuple[int, ...]
    messages: tuple[Message, ...] = ()
    """Empty for a plain prompt."""


class Piece(NamedTuple):
    """News of one choice."""

    choice: int
    delta: Delta
    spoken: Spoken | None = None
    """In the last piece of a choice."""


class Service:
    """A model behind the endpoints."""

    def __init__(self, engine: Engine, settings: ServeSettings, name: str) -> None:
        """Serve an engine under a name.

        Raises:
            InputError: if the tokenizer has no chat template that can be used.
        """
        self.engine = engine
        self.settings = settings
        self.name = name
        self.created = int(time.time())
        self.decoder = Decoder(engine.tokenizer)
        self.encoder = PromptEncoder(engine.tokenizer)
        self.memory = TurnMemory(settings.remembered_turns)
        self.metrics = Metrics(engine.stats)
        self.in_flight = 0
        self.draining = False
        self._seconds = 1.0
        """Running mean of the seconds of a request."""

    def check_model(self, model: str | None) -> None:
        """Make sure that a request means this model.

        Raises:
            ApiError: 404.
        """
        if model is not None and model != self.name:
            raise ApiError(
                404,
                f"The model '{model}' does not exist or you do not have access to it. "
                f"This server has '{self.name}'.",
                param="model",
                code="model_not_found",
            )

    def check_engine(self) -> None:
        """Make sure that the engine runs.

        Raises:
            ApiError: 503.
        """
        state = self.engine.state
        if state is not EngineState.READY:
            raise not_running(state is EngineState.STARTING)

    async def prompt(self, messages: list[Message], ask: Ask) -> Prompt:
        """Return a conversation as the model reads it.

        Raises:
            ApiError: if the chat template refuses it.
        """
        messages = with_announcement(messages, ask, self.settings)
        turns = self.memory.recall(messages) if len(messages) > 2 else [Turn(one) for one in messages]
        return Prompt(await self.encoder.encode(turns, ask.history), tuple(messages))

    @contextmanager
    def places(self, count: int) -> Iterator[None]:
        """Take places for completions.

        Raises:
            ApiError: 429 if there are not enough.
        """
        limit = self.settings.concurrency
        if self.in_flight + count > limit and (self.in_flight or count > limit):
            raise overloaded(min(LONGEST_RETRY, max(1, round(self._seconds))))
        self.in_flight += count
        self.metrics.in_flight.set(self.in_flight)
        begin = time.monotonic()
        try:
            yield
        finally:
            self.in_flight -= count
            self.metrics.in_flight.set(self.in_flight)
            self._seconds += (time.monotonic() - begin - self._seconds) / 16

    def plan(self, prompts: Sequence[Prompt], ask: Ask) -> list[tuple[Prompt, Generation]]:
        """Return the completions to write, prompt by prompt.

        Raises:
            ApiError: 400 if a prompt leaves no room.
        """
        return [
            (prompt, generation)
            for prompt in prompts
            for generation in generations(prompt.ids, ask, self.engine.context)
        ]

    def speak(
        self, plan: Sequence[tuple[Prompt, Generation]], ask: Ask, with_events: bool
    ) -> AsyncGenerator[Piece, None]:
        """Yield news of all choices as they come. Closing it frees their places at once."""
        if len(plan) == 1:
            return self._choice(0, *plan[0], ask, with_events)
        return self._choices(plan, ask, with_events)

    async def _choices(
        self, plan: Sequence[tuple[Prompt, Generation]], ask: Ask, with_events: bool
    ) -> AsyncGenerator[Piece, None]:
        arrived: asyncio.Queue[Piece | Exception] = asyncio.Queue()

        async def follow(index: int) -> None:
            try:
                async with aclosing(self._choice(index, *plan[index], ask, with_events)) as pieces:
                    async for piece in pieces:
                        arrived.put_nowait(piece)
            except Exception as error:
                arrived.put_nowait(error)

        tasks = [asyncio.create_task(follow(index)) for index in range(len(plan))]
        left = len(plan)
        try:
            while left:
                news = await arrived.get()
                if isinstance(news, Exception):
                    raise news
                left -= news.spoken is not None
                yield news
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def whole(self, plan: Sequence[tuple[Prompt, Generation]], ask: Ask) -> list[Spoken]:
        """Return all choices when they are over."""
        spoken: dict[int, Spoken] = {}
        async with aclosing(self.speak(plan, ask, with_events=False)) as pieces:
            async for piece in pieces:
                if piece.spoken is not None:
                    spoken[piece.choice] = piece.spoken
        return [spoken[index] for index in range(len(plan))]

    async def _choice(
        self, index: int, prompt: Prompt, generation: Generation, ask: Ask, with_events: bool
    ) -> AsyncGenerator[Piece, None]:
        speaker = Speaker(
            self.decoder, self.engine.ids, generation.steps.control, ask.display, ask.stop, with_events
        )
        begin = time.monotonic()
        async with aclosing(self.engine.stream(generation)) as chunks:
            async for chunk in chunks:
                if not speaker.tokens:
                    self.metrics.first.observe(time.monotonic() - begin)
                delta = speaker.feed(chunk)
                if speaker.finish is not None:
                    break
                if delta:
                    yield Piece(index, delta)
            else:
                delta = Delta()
        last = speaker.close()
        delta = Delta(
            delta.reasoning + last.reasoning,
            delta.content + last.content,
            delta.events + last.events,
            delta.logprobs + last.logprobs,
        )
        spoken = speaker.whole()
        self.metrics.completed(spoken)
        self._remember(prompt, spoken)
        yield Piece(index, delta, spoken)

    def _remember(self, prompt: Prompt, spoken: Spoken) -> None:
        path = spoken.parsed.path
        if not prompt.messages or path is None or not spoken.parsed.complete:
            return
        if spoken.content == path.answer:
            self.memory.remember(prompt.messages, spoken.content, spoken.ids[:-1], path)
