"""The application: endpoints, their description, and what begins and ends with it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from starlette.exceptions import HTTPException
from starlette.responses import FileResponse, Response
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp

from steiner import __version__
from steiner.serve.bodies import Body
from steiner.serve.chat import ChatExchange
from steiner.serve.completions import CompletionExchange
from steiner.serve.engines.base import Engine, EngineState
from steiner.serve.errors import SERVER, ApiError
from steiner.serve.exchange import Exchange, error_reply
from steiner.serve.guard import Guard
from steiner.serve.metrics import CONTENT_TYPE
from steiner.serve.reply import JsonReply
from steiner.serve.responses import ResponsesExchange
from steiner.serve.service import Service
from steiner.serve.settings import ServeSettings

PAGE = Path(__file__).parent / "page"
"""The chat page, built from `web/`."""

EXCHANGES: dict[str, type[Exchange[Any]]] = {
    "/v1/chat/completions": ChatExchange,
    "/v1/completions": CompletionExchange,
    "/v1/responses": ResponsesExchange,
}
_ERROR = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["message", "type", "param", "code"],
            "properties": {
                "message": {"type": "string"},
                "type": {"type": "string"},
                "param": {"type": ["string", "null"]},
                "code": {"type": ["string", "null"]},
            },
        }
    },
}


def make_app(engine: Engine, settings: ServeSettings, name: str) -> tuple[ASGIApp, Service]:
    """Return the application and what is behind it. The engine is started and closed with it.

    Raises:
        InputError: for a tokenizer without a chat template.
    """
    service = Service(engine, settings, name)

    card = {
        "id": name,
        "object": "model",
        "created": service.created,
        "owned_by": "steiner",
        "examples": settings.examples,
    }

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await engine.start()
        card["max_model_len"] = engine.context
        try:
            yield
        finally:
            service.draining = True
            await engine.close()

    app = FastAPI(
        title="steiner",
        version=__version__,
        summary="OpenAI-compatible server of a model that searches while it writes.",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
    )
    for path, exchange in EXCHANGES.items():
        app.add_api_route(
            path,
            _endpoint(exchange, service),
            methods=["POST"],
            response_class=Response,
            openapi_extra={"requestBody": _request_body(exchange.body_type)},
            responses=_responses(),
            summary=(exchange.__doc__ or "").strip(),
            operation_id=path.removeprefix("/v1/").replace("/", "_"),
        )
    _add_small_ones(app, service, card)
    app.add_exception_handler(HTTPException, _http_error)
    _add_page(app)
    return Guard(app, settings), service


def _endpoint(exchange: type[Exchange[Any]], service: Service) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        return await exchange().answer(request, service)

    return answer


def _add_small_ones(app: FastAPI, service: Service, card: dict[str, Any]) -> None:
    async def models(_: Request) -> Response:
        return JsonReply({"object": "list", "data": [card]})

    async def model(request: Request) -> Response:
        try:
            service.check_model(request.path_params["name"])
        except ApiError as error:
            return error_reply(error)
        return JsonReply(card)

    async def health(_: Request) -> Response:
        status = "draining" if service.draining else str(service.engine.state)
        return JsonReply({"status": status}, 200 if status == EngineState.READY else 503)

    async def metrics(_: Request) -> Response:
        return Response(service.metrics.text(), headers={"Content-Type": CONTENT_TYPE})

    missing: dict[int | str, dict[str, Any]] = {
        404: {"description": "No such model", "content": {"application/json": {"schema": _ERROR}}}
    }
    parameter = {"name": "name", "in": "path", "required": True, "schema": {"type": "string"}}
    app.add_api_route("/v1/models", models, methods=["GET"], response_class=Response)
    app.add_api_route(
        "/v1/models/{name:path}",
        model,
        methods=["GET"],
        response_class=Response,
        responses=missing,
        openapi_extra={"parameters": [parameter]},
    )
    app.add_api_route("/health", health, methods=["GET"], response_class=Response)
    app.add_api_route("/metrics", metrics, methods=["GET"], response_class=Response)


def _add_page(app: FastAPI) -> None:
    """Serve the chat page, each part by its own path: a mount at `/` would answer for every other path."""
    if not (PAGE / "index.html").is_file():
        return

    async def part(request: Request) -> Response:
        name = request.url.path.strip("/") or "index.html"
        return FileResponse(PAGE / name, headers={"Cache-Control": "no-cache"})

    app.add_api_route("/", part, methods=["GET"], response_class=Response, include_in_schema=False)
    for item in sorted(PAGE.iterdir()):
        if item.is_dir():
            app.mount(f"/{item.name}", StaticFiles(directory=item), name=item.name)
        else:
            app.add_api_route(
                f"/{item.name}", part, methods=["GET"], response_class=Response, include_in_schema=False
            )


async def _http_error(_: Request, error: Exception) -> Response:
    """Put what the router says (no such path, wrong method) into OpenAI's form."""
    assert isinstance(error, HTTPException)
    kind = SERVER if error.status_code >= 500 else "invalid_request_error"
    found = ApiError(error.status_code, str(error.detail), kind=kind, headers=error.headers)
    return error_reply(found)


def _request_body(body: type[Body]) -> dict[str, Any]:
    schema = body.model_json_schema(ref_template="#/components/schemas/{model}")
    # Nested types stay within the schema, so that it needs nothing from elsewhere.
    definitions = schema.pop("$defs", {})
    inline = _inlined(schema, definitions)
    return {"required": True, "content": {"application/json": {"schema": inline}}}


def _inlined(value: Any, definitions: dict[str, Any]) -> Any:
    if isinstance(value, dict):
        if "$ref" in value:
            return _inlined(definitions[value["$ref"].rsplit("/", 1)[-1]], definitions)
        return {key: _inlined(item, definitions) for key, item in value.items()}
    return [_inlined(item, definitions) for item in value] if isinstance(value, list) else value


def _responses() -> dict[int | str, dict[str, Any]]:
    error = {"application/json": {"schema": _ERROR}}
    found: dict[int | str, dict[str, Any]] = {
        200: {
            "description": "The reply, or its chunks where `stream` is true",
            "content": {
                "application/json": {"schema": {"type": "object"}},
                "text/event-stream": {"schema": {"type": "string"}},
            },
        }
    }
    texts = {
        400: "Bad request",
        401: "Wrong key",
        403: "Host or origin not allowed",
        404: "No such model",
        408: "Too slow",
        413: "Too large",
        429: "Too many requests",
        500: "Failure",
        503: "The engine does not run",
    }
    for status, text in texts.items():
        found[status] = {"description": text, "content": error}
    return found
