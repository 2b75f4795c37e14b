"""The REST surface as one ASGI app: every operation of the table, found by method and path, for callers with a key.

Without a valid key every path answers alike. Source: wire-api sections 1.1 to 1.5.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any

from payi_instrument.engine.keys import may_call
from payi_instrument.errors import APIConnectionError
from payi_instrument.server.exchange import (
    GoneError,
    UnreadableError,
    body_of,
    headers_of,
    query_of,
    refusal_of,
    send_json,
)
from payi_instrument.wire import headers as names
from payi_instrument.wire import operations as table
from payi_instrument.wire import routes
from payi_instrument.wire.codes import ContractError
from payi_instrument.wire.message import Request

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.types import Receive, Scope, Send

    from payi_instrument.server.callers import Callers
    from payi_instrument.server.metrics import Metrics
    from payi_instrument.server.service import Answer, Service
    from payi_instrument.wire.message import Operation

_log = logging.getLogger(__name__)
_KEY = names.PayiHeaderNames.api_key.lower()
_SUCCESS_UNTIL = 400
_QUIET = {table.INGEST.name, table.INGEST_BULK.name}
"""Operations whose successes are counted, not logged: they are nearly all there is."""


class Api:
    """Answer the operations."""

    def __init__(self, service: Service, callers: Callers, metrics: Metrics, *, max_body: int) -> None:
        """Take what answers, who may call, what counts, and the largest body in bytes."""
        self._service = service
        self._callers = callers
        self._metrics = metrics
        self._max_body = max_body

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        begun = time.perf_counter()
        seen = _Seen()
        try:
            answer = await self._answer(scope, receive, seen)
        except GoneError:
            return
        except Exception as error:  # noqa: BLE001  # a client is answered whatever happens
            self._note(error, seen)
            status, text, extra = refusal_of(error)
        else:
            for code in answer.refusals:
                self._metrics.rejected(code)
            status, text, extra = answer.status, answer.text, ()
        seconds = time.perf_counter() - begun
        self._metrics.answered(seen.operation, status, seconds)
        if status >= _SUCCESS_UNTIL or seen.operation not in _QUIET:
            _log.log(
                logging.ERROR if seen.reason else logging.INFO,
                "request",
                extra={
                    "operation": seen.operation,
                    "method": scope["method"],
                    "status": status,
                    "application": seen.application,
                    "ms": round(seconds * 1000, 2),
                    **({"reason": seen.reason} if seen.reason else {}),
                },
            )
        await send_json(send, status, text, extra)

    def _note(self, error: Exception, seen: _Seen) -> None:
        """Count a refusal, and log what is no client's doing."""
        if isinstance(error, ContractError):
            self._metrics.rejected(error.code)
        elif isinstance(error, APIConnectionError):
            seen.reason = str(error)
        elif not isinstance(error, UnreadableError):
            _log.error("unexpected error", extra={"operation": seen.operation}, exc_info=error)

    async def _answer(self, scope: Scope, receive: Receive, seen: _Seen) -> Answer:
        headers = headers_of(scope)
        caller = await self._callers.of(headers.get(_KEY))
        seen.application = caller.application
        operation, path = _operation(scope)
        seen.operation = operation.name
        if not may_call(caller.scope, operation):
            message = f"a key of scope {caller.scope} may not call {operation.name}; use one of another scope"
            raise ContractError("insufficient_key_scope", message)
        body = await body_of(headers, receive, self._max_body) if operation.body is not None else None
        request: Request[Any] = Request(operation, path, query_of(scope), headers, body)
        if operation is table.INGEST:
            return await self._service.ingest(request, caller.application)
        return await self._service.answer(request, caller.application)


def _operation(scope: Scope) -> tuple[Operation[Any], Mapping[str, str]]:
    """Return what is asked for and the arguments in its path; raises `UnreadableError` when there is no such thing."""
    route = routes.at(scope["raw_path"].decode("latin-1"))
    if route is None:
        raise UnreadableError(404, f"no such path: {scope['path'][:200]}")
    operation = route.operations.get(scope["method"])
    if operation is None:
        allowed = ", ".join(route.operations)
        message = f"{scope['method']}: this path takes {allowed}"
        raise UnreadableError(405, message, ((b"allow", allowed.encode()),))
    return operation, route.values


class _Seen:
    """What is known of a request when it is logged."""

    operation = "none"
    application: str | None = None
    reason: str | None = None
    """Why the ledger can't be reached."""
