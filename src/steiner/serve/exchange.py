"""One request and its reply, whatever the endpoint."""

from __future__ import annotations

import logging
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, ClassVar, Generic

from steiner.serve import wire
from steiner.serve.asks import Ask
from steiner.serve.bodies import BodyT, parse_body
from steiner.serve.engines.base import Generation
from steiner.serve.errors import ApiError, failed
from steiner.serve.reply import ClientLeft, EventReply, JsonReply, read_body, watched
from steiner.serve.service import Prompt, Service
from steiner.serve.settings import ServeSettings
from steiner.serve.speak import Spoken

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

log = logging.getLogger("steiner.serve")

Json = dict[str, Any]
Plan = list[tuple[Prompt, Generation]]

CLIENT_LEFT = 499


class Exchange(ABC, Generic[BodyT]):
    """How one endpoint reads and writes; `answer` is the same for all."""

    body_type: type[BodyT]
    media: ClassVar[str] = "application/json"

    @abstractmethod
    def read(self, body: BodyT, settings: ServeSettings) -> Ask:
        """Return what is asked for."""

    @abstractmethod
    async def plan(self, body: BodyT, ask: Ask, service: Service) -> Plan:
        """Return the completions to write."""

    @abstractmethod
    def reply(self, spoken: list[Spoken], plan: Plan, ask: Ask, service: Service) -> Json:
        """Return the whole reply."""

    @abstractmethod
    def events(self, plan: Plan, ask: Ask, service: Service) -> AsyncGenerator[bytes, None]:
        """Yield the reply as server-sent events."""

    async def answer(self, request: Request, service: Service) -> Response:
        """Answer a request. Never raises, but when cancelled."""
        endpoint = request.url.path
        begin = time.monotonic()

        def count(status: int) -> None:
            service.metrics.requests.labels(endpoint, str(status)).inc()
            service.metrics.seconds.observe(time.monotonic() - begin)
            if status == CLIENT_LEFT:
                service.metrics.disconnects.inc()

        try:
            return await self._answer(request, service, count)
        except ApiError as error:
            count(error.status)
            return error_reply(error)
        except ClientLeft:
            count(CLIENT_LEFT)
            return JsonReply({}, CLIENT_LEFT)
        except Exception:
            log.exception("a request failed")
            count(500)
            return error_reply(failed())

    async def _answer(self, request: Request, service: Service, count: Any) -> Response:
        raw = await read_body(request, service.settings.limits)
        body = parse_body(self.body_type, raw)
        service.check_model(body.model)
        ask = self.read(body, service.settings)
        service.check_engine()
        plan = await self.plan(body, ask, service)
        with ExitStack() as stack:
            stack.enter_context(service.places(len(plan)))
            if not ask.stream:
                spoken = await watched(request.receive, service.whole(plan, ask))
                count(200)
                return JsonReply(self.reply(spoken, plan, ask, service))
            # From here the reply's end gives the places back.
            held = stack.pop_all()

        def end(status: int) -> None:
            held.close()
            count(status)

        return EventReply(self.events(plan, ask, service), service.settings.limits.write_seconds, end)


def error_reply(error: ApiError) -> JsonReply:
    """Return an error as a response."""
    return JsonReply(error.body(), error.status, headers=error.headers)


def total_usage(plan: Plan, spoken: list[Spoken]) -> Json:
    """Return the tokens of a request: each prompt counts once, however many completions it has."""
    prompts: dict[int, tuple[int, int]] = {}
    for (prompt, _), one in zip(plan, spoken, strict=False):
        # Of several completions of a prompt the first one read it.
        prompts.setdefault(id(prompt), (len(prompt.ids), one.cached_tokens))
    read = sum(size for size, _ in prompts.values())
    return wire.usage(read, spoken, sum(cached for _, cached in prompts.values()))
