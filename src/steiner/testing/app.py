"""The server proper, for one event loop.

It sits on aiohttp's low-level server: with a router, middlewares and an access log a canned reply costs
about twice as much.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any, BinaryIO

import orjson
from aiohttp import web

from steiner.testing import wire
from steiner.testing.bodies import BodyDigest, body_digest, complaint
from steiner.testing.faults import HARMLESS_FAULTS, Fault, FaultPlan
from steiner.testing.models import CannedModel, ImportedModel, Model, tokens
from steiner.testing.settings import ServerSettings
from steiner.testing.stats import BodyCount, Counts, Outcome, ServerStats

JSON = {"Content-Type": "application/json"}
EVENTS = {"Content-Type": "text/event-stream", "Cache-Control": "no-cache"}
PAGE = {"Content-Type": "text/html; charset=utf-8"}
STATUS = {Fault.SERVER_ERROR: 500, Fault.BAD_GATEWAY: 502, Fault.UNAVAILABLE: 503, Fault.RATE_LIMIT: 429}
OWNER = {"owned_by": "steiner"}
INVALID = "invalid_request_error"


class ChatServer:
    """Answers requests as its settings say, and counts. Needs nothing but `handle` to be called."""

    def __init__(self, settings: ServerSettings) -> None:
        self.settings = settings
        self.counts = Counts()
        self._plan = FaultPlan(settings.faults, settings.seed)
        model = settings.model
        self._model: Model = model.load() if isinstance(model, ImportedModel) else model
        self._canned = self._prepared(model) if isinstance(model, CannedModel) else None
        self._digests = settings.count_bodies or settings.log is not None or not self._plan.is_constant
        self._counts_bodies = settings.count_bodies or not self._plan.is_constant
        self._slots = asyncio.Semaphore(settings.faults.slots) if settings.faults.slots else nullcontext()
        self._log: BinaryIO | None = settings.log.open("ab", buffering=0) if settings.log else None
        self._start = time.monotonic()

    def close(self) -> None:
        """Close the log."""
        if self._log is not None:
            self._log.close()

    def stats(self, by_body: bool = False) -> ServerStats:
        """Return what was counted."""
        return self.counts.stats(by_body, time.process_time())

    def reset(self) -> None:
        """Forget all counts, those that faults depend on included; requests in flight stay counted."""
        fresh = Counts()
        fresh.in_flight = fresh.in_flight_max = self.counts.in_flight
        self.counts = fresh
        self._start = time.monotonic()

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request."""
        path = request.path
        if path.endswith("/chat/completions"):
            if request.method != "POST":
                return _error(405, "use POST", INVALID)
            return await self._completion(request)
        if path == "/stats":
            by_body = request.rel_url.query.get("by_body", "") not in ("", "0", "false")
            return _json(orjson.dumps(self.stats(by_body).model_dump()))
        if path == "/reset" and request.method == "POST":
            self.reset()
            return _json(b"{}")
        if path.endswith("/models"):
            if not self._may_enter(request):
                return self._unauthorised()
            card = {
                "id": self.settings.name,
                "object": "model",
                "created": wire.CREATED,
                "owned_by": "steiner",
            }
            return _json(orjson.dumps({"object": "list", "data": [card]}))
        return _error(404, f"there is nothing at {request.method} {path}", INVALID)

    async def _completion(self, request: web.BaseRequest) -> web.StreamResponse:
        """Count one request in and out, whatever becomes of it."""
        self.counts.enter()
        outcome: str = Outcome.CRASHED
        try:
            outcome, response = await self._decide(request)
        except ConnectionError:
            outcome = Outcome.DISCONNECTED
            # Never sent: aiohttp finds the connection closed.
            return web.Response()
        except asyncio.CancelledError:
            outcome = Outcome.DISCONNECTED
            raise
        finally:
            self.counts.in_flight -= 1
            self.counts.outcomes[outcome] += 1
        return response

    async def _decide(self, request: web.BaseRequest) -> tuple[str, web.StreamResponse]:
        """Return what becomes of a request, and the response."""
        raw = await request.read()
        digest = body_digest(raw) if self._digests else BodyDigest(b"")
        if self._log is not None:
            self._write_log(raw, digest)
        if not self._may_enter(request):
            return Outcome.UNAUTHORISED, self._unauthorised()
        try:
            body = orjson.loads(raw)
            problem = complaint(body, self.settings)
        except orjson.JSONDecodeError as error:
            return Outcome.BAD_REQUEST, _error(400, f"the body is not valid JSON: {error}", INVALID)
        if problem is not None:
            outcome = Outcome.NOT_FOUND if problem.status == 404 else Outcome.BAD_REQUEST
            return outcome, _error(problem.status, problem.message, INVALID, problem.code, problem.param)
        known = self.counts.body(digest) if self._counts_bodies else None
        if refused := self._refused(known):
            return refused, self._too_many()
        fate = self._plan.fate(digest, known.decided if known else 0)
        if known:
            known.decided += 1
        async with self._slots:
            if fate.latency_s:
                await asyncio.sleep(fate.latency_s)
            response = await self._deliver(request, body, len(raw), digest, fate.fault)
        if fate.fault is None or fate.fault in HARMLESS_FAULTS:
            self._count_delivery(request, known)
        return fate.fault or Outcome.OK, response

    def _count_delivery(self, request: web.BaseRequest, known: BodyCount | None) -> None:
        if request.transport is None or request.transport.is_closing():
            raise ConnectionResetError("the client has left")
        if known:
            known.delivered += 1
        else:
            self.counts.delivered_untracked += 1

    async def _deliver(
        self, request: web.BaseRequest, body: Any, length: int, digest: BodyDigest, fault: Fault | None
    ) -> web.StreamResponse:
        """Write the reply to the connection, or what goes wrong in its place."""
        streamed = body.get("stream") is True
        if fault is None and self._canned is not None and not streamed:
            return await _written(request, self._canned_reply(length))
        if fault is Fault.DROP_BEFORE:
            return _dropped(request)
        if fault in STATUS:
            return await _written(request, self._failed(fault))
        if fault is Fault.HTML:
            return await _written(request, web.Response(body=wire.HTML, headers=PAGE))
        said = wire.answer(body, self._model.complete(body), fault, self.settings.reasoning)
        name = str(body.get("model") or self.settings.name)
        if streamed:
            options = body.get("stream_options") or {}
            usage = bool(options.get("include_usage"))
            parts = wire.events(said, name, digest.hex(), self.settings.reasoning, self.settings.piece, usage)
            return await self._stream(request, parts, fault)
        return await self._whole(
            request, wire.reply_bytes(said, name, digest.hex(), self.settings.reasoning), name, digest, fault
        )

    async def _whole(
        self, request: web.BaseRequest, reply: bytes, name: str, digest: BodyDigest, fault: Fault | None
    ) -> web.StreamResponse:
        match fault:
            case Fault.GARBAGE_JSON:
                return await _written(request, _json(reply[: len(reply) // 2]))
            case Fault.NO_CHOICES:
                return await _written(request, _json(wire.no_choices_bytes(name, digest.hex())))
            case Fault.DROP_INSIDE | Fault.HALF_STREAM:
                response = await _begun(request, JSON, len(reply))
                await response.write(reply[: len(reply) // 2])
                return _dropped(request)
            case Fault.DRIP:
                return await self._drip(request, await _begun(request, JSON, len(reply)), reply)
        return await _written(request, _json(reply))

    async def _stream(
        self, request: web.BaseRequest, parts: Sequence[bytes], fault: Fault | None
    ) -> web.StreamResponse:
        half = len(parts) // 2
        if fault is Fault.NO_CHOICES:
            parts = [wire.DONE]
        elif fault is Fault.GARBAGE_JSON:
            broken = parts[half][: len(parts[half]) // 2] + b"\n\n"
            parts = [*parts[:half], broken, *parts[half:]]
        elif fault in (Fault.HALF_STREAM, Fault.DROP_INSIDE):
            parts = parts[:half]
        response = await _begun(request, EVENTS)
        if fault is Fault.DRIP:
            return await self._drip(request, response, b"".join(parts))
        if self.settings.piece_s:
            for part in parts:
                await response.write(part)
                await asyncio.sleep(self.settings.piece_s)
        else:
            await response.write(b"".join(parts))
        if fault is Fault.DROP_INSIDE:
            return _dropped(request)
        await response.write_eof()
        return response

    async def _drip(
        self, request: web.BaseRequest, response: web.StreamResponse, reply: bytes
    ) -> web.StreamResponse:
        faults = self.settings.faults
        size = -(-len(reply) // faults.drip_pieces)
        pieces = [reply[begin : begin + size] for begin in range(0, len(reply), size)]
        await response.write(pieces[0])
        for piece in pieces[1:]:
            await asyncio.sleep(faults.drip_s / (len(pieces) - 1))
            await response.write(piece)
        await response.write_eof()
        return response

    def _refused(self, known: BodyCount | None) -> str | None:
        """Say whether load or a storm refuses the request that has just come in."""
        faults = self.settings.faults
        if faults.capacity and self.counts.in_flight > faults.capacity:
            return Outcome.CAPACITY
        if self.counts.in_flight <= faults.storm_in_flight:
            return None
        if not self._plan.in_storm(time.monotonic() - self._start):
            return None
        if known:
            if known.refused >= faults.max_faults_per_request:
                return None
            known.refused += 1
        return Outcome.STORM

    def _failed(self, fault: Fault) -> web.Response:
        match fault:
            case Fault.RATE_LIMIT:
                return self._too_many()
            case Fault.BAD_GATEWAY:
                page = wire.HTML.replace(b"Sign in", b"502 Bad Gateway")
                return web.Response(status=502, body=page, headers=PAGE)
            case Fault.UNAVAILABLE:
                wait = {"Retry-After": f"{self.settings.faults.retry_after_s:g}"}
                return _error(503, "The engine is overloaded. Try again later.", "server_error", more=wait)
        return _error(500, "The server had an error while processing your request.", "server_error")

    def _too_many(self) -> web.Response:
        wait = {"Retry-After": f"{self.settings.faults.retry_after_s:g}"}
        return _error(429, "Rate limit reached for requests.", "requests", "rate_limit_exceeded", more=wait)

    def _may_enter(self, request: web.BaseRequest) -> bool:
        key = self.settings.api_key
        return not key or request.headers.get("Authorization") == f"Bearer {key}"

    def _unauthorised(self) -> web.Response:
        return _error(401, "Incorrect API key provided.", INVALID, "invalid_api_key")

    def _write_log(self, raw: bytes, digest: BodyDigest) -> None:
        assert self._log is not None
        try:
            body = orjson.loads(raw)
        except orjson.JSONDecodeError:
            body = raw.decode("utf-8", "replace")
        self._log.write(orjson.dumps({"digest": digest.hex(), "body": body}) + b"\n")

    def _prepared(self, model: CannedModel) -> tuple[bytes, int]:
        """Return a canned reply as far as the number of prompt tokens, and the tokens of its content."""
        content = model.complete({}).content
        said = wire.Answer(content, "stop")
        reply = wire.reply_bytes(said, self.settings.name, "canned", "none")
        return reply.removesuffix(b"}") + b',"usage":{"prompt_tokens":', tokens(content)

    def _canned_reply(self, length: int) -> web.Response:
        assert self._canned is not None
        head, written = self._canned
        asked = length // 4
        tail = b'%d,"completion_tokens":%d,"total_tokens":%d}}' % (asked, written, asked + written)
        return web.Response(body=head + tail, headers=JSON)


def _json(body: bytes, status: int = 200) -> web.Response:
    return web.Response(status=status, body=body, headers=JSON)


def _error(
    status: int,
    message: str,
    kind: str,
    code: str | None = None,
    param: str | None = None,
    more: dict[str, str] | None = None,
) -> web.Response:
    body = wire.error_bytes(message, kind, code, param)
    return web.Response(status=status, body=body, headers=JSON | (more or {}))


async def _begun(
    request: web.BaseRequest, headers: dict[str, str], length: int | None = None
) -> web.StreamResponse:
    """Send the head of a response that is written in parts: of a known length, or chunked."""
    response = web.StreamResponse(headers=headers)
    if length is None:
        response.enable_chunked_encoding()
    else:
        response.content_length = length
    await response.prepare(request)
    return response


async def _written(request: web.BaseRequest, response: web.Response) -> web.Response:
    """Send a whole response now, so that it is known whether the client was still there."""
    await response.prepare(request)
    await response.write_eof()
    return response


def _dropped(request: web.BaseRequest) -> web.Response:
    """Reset the connection. What is returned is never sent: aiohttp finds the connection closed."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response()
