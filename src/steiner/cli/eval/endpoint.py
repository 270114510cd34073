"""Answers of an OpenAI-compatible endpoint: each request is paid for once and never over the budget."""

from __future__ import annotations

import copy
import json
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from steiner.cli.eval.background import Background
from steiner.core import InputError, Move, SteinerError
from steiner.evaluate.benchmarks import Reading, read_reply
from steiner.evaluate.inspect_provider import Answered, Asked
from steiner.problems.choice import chosen_letter
from steiner.protocol.outline import SIGNS
from steiner.teacher.chat.client import ChatClient, ClientLimits
from steiner.teacher.chat.types import ChatFailure, ChatRequest, Endpoint, Finish, Message, Reply, Usage

if TYPE_CHECKING:
    from pathlib import Path

    from steiner.synthesis.money import Budget

OPEN, HIDDEN = "evaluation", "evaluation, not stored in full"


class EndpointAsker:
    """An endpoint behind the call book of a run directory. Close it at the end."""

    def __init__(
        self,
        run: Path,
        endpoint: Endpoint,
        limits: ClientLimits,
        budget: Budget,
        notice: Callable[[str], None],
        *,
        send_seed: bool = True,
    ) -> None:
        """Open the run directory, the client and the book.

        Raises:
            BusyError: if another process writes to the run directory.
        """
        from steiner.store import RunDir
        from steiner.synthesis.calls import CallBook

        self.stopped: SteinerError | None = None
        """Why no further question can be answered."""
        self._send_seed = send_seed
        self._choices: dict[str, tuple[str, ...]] = {}
        """Options of the hidden questions, by what is asked."""
        self._background = Background()
        self._client = ChatClient(endpoint, limits, notice)

        async def opened() -> tuple[RunDir, CallBook]:
            # Here, because SQLite's connections belong to the thread that made them.
            held = RunDir(run)
            try:
                book = CallBook(held.journal, endpoint, self._send, budget)
                await self._client.__aenter__()
            except BaseException:
                held.close()
                raise
            return held, book

        try:
            self._run, self.book = self._background.run(opened())
        except BaseException:
            self._background.close()
            raise

    def close(self) -> None:
        """Commit what is stored and close the connections."""
        self._background.run(self._finish())
        self._background.close()

    async def ask(self, asked: Asked) -> Answered:
        """Ask the endpoint, or give the reply that was paid for before.

        Raises:
            ChatFailure: if the call failed for good.
            BudgetReached: if it does not fit into the budget.
        """
        if self.stopped is not None:
            # A copy each: an exception that is raised again and again gathers ever longer tracebacks.
            raise copy.copy(self.stopped)
        return await self._background.call(self._ask(asked))

    async def _ask(self, asked: Asked) -> Answered:
        from steiner.synthesis.money import BudgetReached

        request = self._request(asked)
        if asked.hidden:
            self._choices[asked.prompt] = asked.choices
        try:
            reply = await self.book.complete(request)
        except BudgetReached as reached:
            self.stopped = copy.copy(reached)
            raise copy.copy(reached) from None
        except ChatFailure as failure:
            if failure.stops_run:
                self.stopped = copy.copy(failure)
            raise copy.copy(failure) from None
        return to_answered(reply)

    def _request(self, asked: Asked) -> ChatRequest:
        system = [Message(role="system", content=asked.system)] if asked.system else []
        drawn = asked.temperature is None or asked.temperature > 0
        return ChatRequest(
            kind=HIDDEN if asked.hidden else OPEN,
            messages=(*system, Message(role="user", content=asked.prompt)),
            max_tokens=asked.max_tokens,
            temperature=asked.temperature,
            top_p=asked.top_p if asked.top_p < 1 else None,
            seed=asked.seed if drawn and self._send_seed else None,
            draw=asked.seed,
        )

    async def _send(self, request: ChatRequest, before_try: Callable[[Usage], None]) -> Reply:
        reply = await self._client.complete(request, before_try)
        if request.kind != HIDDEN:
            return reply
        return outline_only(reply, self._choices[request.messages[-1].content])

    async def _finish(self) -> None:
        try:
            self.book.flush()
            await self._client.__aexit__(None, None, None)
        finally:
            self._run.close()


def to_answered(reply: Reply) -> Answered:
    """Return a reply without its reasoning in the answer."""
    reading = read_reply(reply.text, reply.reasoning)
    return Answered(
        answer=reading.answer,
        reasoning=reading.reasoning,
        closed=reading.closed,
        steps=reading.steps,
        backtracks=reading.backtracks,
        prompt_tokens=reply.usage.prompt_tokens,
        completion_tokens=reply.usage.completion_tokens,
        reasoning_tokens=reply.usage.reasoning_tokens,
        cut=reply.finish is Finish.LENGTH,
        seconds=reply.seconds,
    )


def outline_only(reply: Reply, choices: tuple[str, ...]) -> Reply:
    """Return what may be stored of the reply to a question whose text must not be: letter and moves."""
    reading = read_reply(reply.text, reply.reasoning)
    letter = chosen_letter(reading.answer, choices) if reading.closed else None
    said = f"The answer is ({letter})." if letter else ""
    return reply.model_copy(update={"text": said, "reasoning": _skeleton(reading)})


def _skeleton(reading: Reading) -> str:
    """Return reasoning of as many steps and backtracks, without a word."""
    if not reading.closed:
        return "…"
    if not reading.steps:
        return ""
    back = reading.backtracks or 0
    moves = [SIGNS[Move.PROCEED]] * (reading.steps - 1 - back) + [SIGNS[Move.BACKTRACK]] * back
    return "\n".join([SIGNS[None], *moves])


def served_model(base_url: str, key: str | None) -> str:
    """Return the only model that an endpoint serves.

    Raises:
        InputError: if it cannot be asked, or serves several: then name one.
    """
    hint = "Name the model with --model."
    request = urllib.request.Request(f"{base_url.rstrip('/')}/models")
    if key:
        request.add_header("Authorization", f"Bearer {key}")
    try:
        with urllib.request.urlopen(request, timeout=30) as reply:
            listed: Any = json.loads(reply.read())
        names = [str(entry["id"]) for entry in listed["data"]]
    except (urllib.error.URLError, OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{base_url} does not say which models it serves ({error}). {hint}") from error
    if len(names) != 1:
        shown = ", ".join(names[:10]) or "none"
        raise InputError(f"{base_url} serves {len(names)} models: {shown}. {hint}")
    return names[0]
