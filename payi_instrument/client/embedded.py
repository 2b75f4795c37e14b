"""An embedded meter as the client's resources see it: the same requests, answers and errors as over HTTP.

Source: client.md section 1, local mode.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, get_origin

from payi_instrument.client.arguments import Asked
from payi_instrument.client.content import json_value, query_values
from payi_instrument.client.encoding import laid_over
from payi_instrument.client.network import is_response_type
from payi_instrument.client.response import APIResponse
from payi_instrument.errors import status_error
from payi_instrument.wire import routes
from payi_instrument.wire.model import Model, check_json, reply_text
from payi_instrument.wire.operations import OPERATIONS

if TYPE_CHECKING:
    from payi_instrument.client.settings import Settings
    from payi_instrument.errors import APIStatusError
    from payi_instrument.local import LocalTransport
    from payi_instrument.wire.message import Reply, Request

_ERRORS_FROM = 400
_NOT_FOUND, _NOT_ALLOWED = 404, 405


class EmbeddedSender:
    """Send a client's requests to the engine in this process, with the client's own headers and query."""

    def __init__(self, transport: LocalTransport, settings: Settings) -> None:
        """Take what carries the requests and what the client adds to each."""
        self._transport = transport
        self._settings = settings

    def send(self, request: Request[Any]) -> Reply:
        """Answer a request; raises the error of the reply's status."""
        return _succeeded(request, self._transport.send(self._whole(request)))

    async def asend(self, request: Request[Any]) -> Reply:
        """Answer a request; raises the error of the reply's status."""
        return _succeeded(request, await self._transport.asend(self._whole(request)))

    open = send
    aopen = asend

    def _whole(self, request: Request[Any]) -> Request[Any]:
        headers, query = self._settings.headers, self._settings.query
        check_json(request.body)
        if isinstance(request, Asked) and request.dropped:
            headers = {name: text for name, text in headers.items() if name.lower() not in request.dropped}
        if request.operation.name not in _BY_NAME:
            request = _known(request)
        if headers:
            request = replace(request, headers=laid_over(headers, request.headers))
        if query or request.query:  # spelled as in a URL: the meter reads the same either way
            request = replace(request, query=query_values({**query, **request.query}))
        return request


_BY_NAME = {operation.name: operation for operation in OPERATIONS}


def _known(request: Request[Any]) -> Request[Any]:
    """Return the operation that a bare method and path stand for; raises the error of 404 or 405 when there is none."""
    method, path = request.operation.method, request.url_path()
    route = routes.at(path)
    if route is None:
        raise _no_such(_NOT_FOUND, f"{method} {path}: an embedded meter has no such path")
    operation = route.operations.get(method)
    if operation is None:
        raise _no_such(_NOT_ALLOWED, f"{method} {path}: this path takes {', '.join(route.operations)}")
    if is_response_type(request.operation.answer):
        msg = "cast_to: an embedded meter has no HTTP response to give; take str or bytes"
        raise TypeError(msg)
    return replace(request, operation=operation, path=route.values)


def _no_such(status: int, message: str) -> APIStatusError:
    return status_error(status, {"statusCode": status, "message": message})


def _as_json(request: Request[Any], reply: Reply) -> Reply:
    """Return the answer to a bare path as JSON, unless its own model is asked for."""
    wanted = request.operation.answer
    own = wanted is not object and get_origin(wanted) is None and isinstance(reply.body, wanted)
    return reply if own else replace(reply, body=json_value(reply_text(reply.body)))


def _succeeded(request: Request[Any], reply: Reply) -> Reply:
    if reply.status < _ERRORS_FROM:
        return reply if request.operation.name in _BY_NAME else _as_json(request, reply)
    body = reply.body.to_dict(mode="json") if isinstance(reply.body, Model) else reply.body
    shown: APIResponse[object] = APIResponse(request, reply, lambda failed: failed.body)
    raise status_error(reply.status, body, shown)
