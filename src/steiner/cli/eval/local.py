"""Answers of a local model, through the engine of `steiner serve`: many questions share a batch."""

from __future__ import annotations

import time
from contextlib import aclosing
from typing import TYPE_CHECKING

from steiner.cli.eval.background import Background
from steiner.core import InputError, Move
from steiner.evaluate.failures import attempt_of
from steiner.evaluate.inspect_provider import Answered, Asked
from steiner.protocol import ControlToken, Message, encode_prompts, parse_ids
from steiner.protocol.grammar import closing_tokens, state_after
from steiner.protocol.outline import write_outline

if TYPE_CHECKING:
    from steiner.core import SteinerError
    from steiner.decode.request import StepRequest
    from steiner.serve.engines.base import Engine, Finish

FORCED_TOKENS = 64
"""Longest answer that is forced after reasoning without an end."""


class LocalAsker:
    """A local model. Close it at the end."""

    stopped: SteinerError | None = None
    """An endpoint may stop for good; a local model does not."""

    def __init__(self, engine: Engine) -> None:
        """Start an engine that is not started yet."""
        self._engine = engine
        self._background = Background()
        self._background.run(engine.start())

    @classmethod
    def load(
        cls, model: str, batch: int, device: str | None = None, process: bool | None = None
    ) -> LocalAsker:
        """Load a model folder or hub id; `process` as in `EngineSettings`.

        Raises:
            InputError: if it cannot be loaded or lacks the control tokens.
        """
        from steiner.serve.engines.embedded import load_embedded
        from steiner.serve.settings import EngineSettings

        # Nobody reads along: to hand tokens on as they come would only cost time.
        settings = EngineSettings(batch=batch, device=device, process=process, flush_seconds=1.0)
        return cls(load_embedded(model, settings))

    def close(self) -> None:
        """Stop the engine."""
        self._background.run(self._engine.close())
        self._background.close()

    async def ask(self, asked: Asked) -> Answered:
        """Let the model think within the limits and answer.

        Raises:
            InputError: if the question leaves no room for an answer.
        """
        return await self._background.call(self._ask(asked))

    async def _ask(self, asked: Asked) -> Answered:
        from steiner.decode.request import read_request
        from steiner.serve.engines.base import Finish

        started = time.monotonic()
        engine = self._engine
        system = [Message(role="system", content=asked.system)] if asked.system else []
        messages = [*system, Message(role="user", content=asked.prompt)]
        prompt = tuple(encode_prompts(engine.tokenizer, [messages])[0])
        room = min(asked.max_tokens, engine.context - len(prompt))
        if room < 1:
            raise InputError(f"A question of {len(prompt):,} tokens leaves no room in the model's context.")
        steps = read_request(asked.limits, others=False).within(room)
        ids, finish = await self._write(prompt, steps, room, asked)
        end = engine.ids[ControlToken.END]
        closed, forced = end in ids, False
        if not closed:
            names = [engine.ids.token(number) for number in ids if number != engine.ids.eos]
            closing = tuple(engine.ids[token] for token in closing_tokens(state_after(names)))
            ids = (*(number for number in ids if number != engine.ids.eos), *closing)
            ids, forced = (*ids, *await self._answer((*prompt, *ids), asked)), True
        reasoning = ids.index(end) + 1 if end in ids else len(ids)
        if _at_limit(reasoning, steps):
            closed, forced = False, True
        parsed = parse_ids(engine.tokenizer, ids, engine.ids)
        return Answered(
            answer=parsed.answer,
            reasoning=write_outline(parsed.steps, parsed.moves),
            closed=closed,
            forced=forced,
            steps=len(parsed.steps),
            backtracks=sum(move is Move.BACKTRACK for move in parsed.moves),
            well_formed=parsed.complete and not parsed.violations,
            broken=attempt_of(parsed).broken,
            prompt_tokens=len(prompt),
            completion_tokens=len(ids),
            reasoning_tokens=reasoning,
            cut=finish is Finish.LENGTH,
            seconds=time.monotonic() - started,
        )

    async def _answer(self, prompt: tuple[int, ...], asked: Asked) -> tuple[int, ...]:
        """Write an answer after reasoning that was closed by hand."""
        from steiner.decode.request import StepRequest
        from steiner.decode.rules import Mode

        room = min(FORCED_TOKENS, self._engine.context - len(prompt))
        if room < 1:
            return ()
        ids, _ = await self._write(prompt, StepRequest(control=Mode.OFF), room, asked)
        return ids

    async def _write(
        self, prompt: tuple[int, ...], steps: StepRequest, room: int, asked: Asked
    ) -> tuple[tuple[int, ...], Finish | None]:
        from steiner.serve.engines.base import Generation

        generation = Generation(prompt, steps, room, asked.temperature or 0.0, asked.top_p, asked.seed)
        ids: list[int] = []
        finish = None
        async with aclosing(self._engine.stream(generation)) as chunks:
            async for chunk in chunks:
                ids += chunk.ids
                finish = chunk.finish or finish
        return tuple(ids), finish


def _at_limit(reasoning: int, steps: StepRequest) -> bool:
    """Tell whether strict control closed the reasoning for want of tokens."""
    return steps.max_reasoning_tokens is not None and reasoning >= steps.max_reasoning_tokens
