"""The server as an ASGI app: the REST surface under `/api`, its description, and what operators ask."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from functools import cache, partial
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from payi_instrument.errors import APIConnectionError
from payi_instrument.server.api import Api
from payi_instrument.server.callers import Callers
from payi_instrument.server.docs_page import page
from payi_instrument.server.exchange import UnreadableError, headers_of, refusal_of
from payi_instrument.server.openapi import description
from payi_instrument.server.service import Service
from payi_instrument.wire import headers as names
from payi_instrument.wire.codes import ContractError
from payi_instrument.wire.operations import OPERATIONS

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping

    from starlette.requests import Request
    from starlette.types import ASGIApp, Receive, Scope, Send

    from payi_instrument.engine.engine import Engine
    from payi_instrument.server.metrics import Metrics


def create_app(engine: Engine, metrics: Metrics, *, max_body: int) -> ASGIApp:
    """Make the app of an engine, which it closes when all that was accepted is answered; `max_body` is in bytes."""
    service = Service(engine)
    callers = Callers(service.caller)
    api = Api(service, callers, metrics, max_body=max_body)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncGenerator[None]:
        yield
        service.close()

    others = Starlette(
        routes=[
            Route("/healthz", _health),
            Route("/readyz", partial(_readiness, service)),
            Route("/metrics", partial(_metrics, callers, metrics)),
            Route("/openapi.json", _openapi),
            Route("/docs", _docs),
        ],
        lifespan=lifespan,
        exception_handlers={
            HTTPException: _no_such,
            ContractError: _refused,
            APIConnectionError: _refused,
            Exception: _refused,  # and logged
        },
    )
    others.router.redirect_slashes = False  # where to would be for the Host header to say

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        below_api = scope["type"] == "http" and f"{scope['path']}/".startswith("/api/")
        await (api if below_api else others)(scope, receive, send)

    return app


async def _health(_: Request) -> Response:
    """Say that the process answers."""
    return JSONResponse({"status": "ok"})


async def _readiness(service: Service, _: Request) -> Response:
    """Say whether the ledger answers too."""
    ready = await service.is_ready()
    return JSONResponse({"status": "ok" if ready else "the ledger can't be reached"}, 200 if ready else 503)


async def _metrics(callers: Callers, metrics: Metrics, request: Request) -> Response:
    """Show what was counted to a key that may read."""
    caller = await callers.of(_key(headers_of(request.scope)))
    if caller.scope == "ingest":
        raise ContractError("insufficient_key_scope", "a key of scope ingest may not read metrics; use read or admin")
    return Response(metrics.text(), media_type="text/plain; version=0.0.4")


def _key(headers: Mapping[str, str]) -> str | None:
    """Return the key that a request came with: ours, or the bearer token that Prometheus sends."""
    scheme, _, token = headers.get("authorization", "").partition(" ")
    bearer = token.strip() if scheme.lower() == "bearer" else None
    return headers.get(names.PayiHeaderNames.api_key.lower()) or bearer


def _openapi(_: Request) -> Response:
    """Describe every operation."""
    return Response(_description_text(), media_type="application/json")


def _docs(_: Request) -> Response:
    """Describe every operation, for people."""
    return HTMLResponse(_page())


@cache
def _description_text() -> bytes:
    return json.dumps(description(OPERATIONS)).encode()


@cache
def _page() -> str:
    return page(description(OPERATIONS))


async def _no_such(request: Request, error: Exception) -> Response:
    """Refuse a path or a method that is not there."""
    assert isinstance(error, HTTPException)  # noqa: S101  # it is registered for nothing else
    known = UnreadableError(error.status_code, f"{request.method}: {error.detail}")
    return Response(refusal_of(known)[1], error.status_code, error.headers, media_type="application/json")


async def _refused(_: Request, error: Exception) -> Response:
    status, text, _extra = refusal_of(error)
    return Response(text, status, media_type="application/json")
