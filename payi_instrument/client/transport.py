"""The one door to the network: requests of the operations table over HTTP, sync and async.

httpx2 is used when it is installed, else httpx; `PAYI_HTTP` picks. Source: client.md sections 1 and 2, design section 3.
"""

from __future__ import annotations

import json
import re
import weakref
from contextlib import suppress
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal, cast

from payi_instrument.client.encoding import event_request, result_of, state_of
from payi_instrument.config import http_library
from payi_instrument.errors import APIConnectionError, APITimeoutError, NotFoundError, status_error
from payi_instrument.ids import new_id
from payi_instrument.wire.headers import IDEMPOTENCY_KEY, PayiHeaderNames
from payi_instrument.wire.message import Reply, Request
from payi_instrument.wire.operations import RETRIEVE_LIMIT

if TYPE_CHECKING or http_library() == "httpx":
    import httpx as http
else:
    try:
        import httpx2 as http
    except ImportError:
        import httpx as http

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from payi_instrument.event import UsageEvent
    from payi_instrument.wire.result import LimitResult, XproxyResult

DEFAULT_TIMEOUT = 60.0
_CONNECT_TIMEOUT = 5.0
_LIMITS = http.Limits(max_connections=100, max_keepalive_connections=20)
_ERRORS_FROM = 400


class _Wire:
    """What both transports share: where the meter is, the headers of every request, how a reply is read."""

    embedded: Literal[False] = False

    def __init__(self, base_url: str, api_key: str, headers: Mapping[str, str], timeout: float) -> None:
        self._base_url = base_url.rstrip("/")
        self._headers = {
            "Accept": "application/json",
            "Content-Type": "application/json",
            **headers,
            PayiHeaderNames.api_key: api_key,
        }
        self._timeout = timeout

    @property
    def meter(self) -> tuple[object, str]:
        """Return what two transports to the same meter and application share."""
        return (self._base_url, self._headers[PayiHeaderNames.api_key])

    def _arguments(self, request: Request[Any]) -> dict[str, Any]:
        headers = {**self._headers, **request.headers}
        if request.operation.method != "GET":
            headers.setdefault(IDEMPOTENCY_KEY, new_id())
        body = None if request.body is None else _json(request.body)
        return {
            "method": request.operation.method,
            "url": self._base_url + request.url_path(),
            "params": {name: _query(value) for name, value in request.query.items()},
            "headers": headers,
            "content": body,
            "timeout": http.Timeout(request.timeout or self._timeout, connect=_CONNECT_TIMEOUT),
        }

    def _reply(self, response: http.Response) -> Reply:
        body: object = None
        if response.content:
            try:
                body = json.loads(response.content, parse_float=Decimal)
            except ValueError:
                body = response.text
        if response.status_code >= _ERRORS_FROM:
            raise status_error(response.status_code, body, response)
        return Reply(response.status_code, body, dict(response.headers))


class HttpTransport(_Wire):
    """Carry requests and events to a meter over HTTP."""

    def __init__(
        self, base_url: str, api_key: str, headers: Mapping[str, str], timeout: float, client: http.Client | None
    ) -> None:
        """Take where the meter is and the key for it; `client` is the caller's own HTTP client, which it closes itself."""
        _check_kind(client, http.Client)
        super().__init__(base_url, api_key, headers, timeout)
        self._own = client is None
        self._client = client or http.Client(limits=_LIMITS, follow_redirects=True)
        if self._own:
            weakref.finalize(self, self._client.close).atexit = False  # what exit hooks still deliver comes first

    def send(self, request: Request[Any]) -> Reply:
        """Send one request; raises `APIConnectionError`, `APITimeoutError` or the error of the answer's status."""
        try:
            response = self._client.request(**self._arguments(request))
        except http.HTTPError as error:
            raise _connection_error(error) from error
        return self._reply(response)

    def ingest(self, events: Sequence[UsageEvent]) -> list[XproxyResult]:
        """Send events one by one and return a result for each."""
        return [result_of(self.send(event_request(event))) for event in events]

    def limit_states(self, limit_ids: Sequence[str], timeout: float | None = None) -> Mapping[str, LimitResult]:
        """Ask for limits one by one, `timeout` in seconds for each; unknown ids are left out."""
        states: dict[str, LimitResult] = {}
        for limit_id in limit_ids:
            with suppress(NotFoundError):
                states[limit_id] = state_of(self.send(_retrieve(limit_id, timeout)))
        return states

    def close(self) -> None:
        """Close the connections that this transport opened."""
        if self._own:
            self._client.close()


class AsyncHttpTransport(_Wire):
    """Carry requests and events to a meter over HTTP, for `await`."""

    def __init__(
        self, base_url: str, api_key: str, headers: Mapping[str, str], timeout: float, client: http.AsyncClient | None
    ) -> None:
        """Take where the meter is and the key for it; `client` is the caller's own HTTP client, which it closes itself."""
        _check_kind(client, http.AsyncClient)
        super().__init__(base_url, api_key, headers, timeout)
        self._own = client is None
        self._client = client or http.AsyncClient(limits=_LIMITS, follow_redirects=True)

    async def asend(self, request: Request[Any]) -> Reply:
        """Send one request; raises `APIConnectionError`, `APITimeoutError` or the error of the answer's status."""
        try:
            response = await self._client.request(**self._arguments(request))
        except http.HTTPError as error:
            raise _connection_error(error) from error
        return self._reply(response)

    async def aingest(self, events: Sequence[UsageEvent]) -> list[XproxyResult]:
        """Send events one by one and return a result for each."""
        return [result_of(await self.asend(event_request(event))) for event in events]

    async def alimit_states(  # the timeout is the request's
        self,
        limit_ids: Sequence[str],
        timeout: float | None = None,  # noqa: ASYNC109
    ) -> Mapping[str, LimitResult]:
        """Ask for limits one by one, `timeout` in seconds for each; unknown ids are left out."""
        states: dict[str, LimitResult] = {}
        for limit_id in limit_ids:
            with suppress(NotFoundError):
                states[limit_id] = state_of(await self.asend(_retrieve(limit_id, timeout)))
        return states

    def blocking(self) -> HttpTransport:
        """Return a transport to the same meter for callers that wait, with connections of its own."""
        key = self._headers[PayiHeaderNames.api_key]
        return HttpTransport(self._base_url, key, self._headers, self._timeout, None)

    async def aclose(self) -> None:
        """Close the connections that this transport opened."""
        if self._own:
            await self._client.aclose()


def _check_kind(client: object, kind: type) -> None:
    """Refuse an HTTP client that is not the library's in use; raises `TypeError` naming both."""
    if client is not None and not isinstance(client, kind):
        given = f"{type(client).__module__}.{type(client).__qualname__}"
        msg = f"http_client: {given} is no {http.__name__}.{kind.__name__}; PAYI_HTTP picks the library in use"
        raise TypeError(msg)


def _retrieve(limit_id: str, timeout: float | None) -> Request[Any]:
    return Request(RETRIEVE_LIMIT, path={"limit_id": limit_id}, timeout=timeout)


def _connection_error(error: http.HTTPError) -> APIConnectionError:
    try:
        request = error.request
    except RuntimeError:  # the library's way to say that there is none
        request = None
    if isinstance(error, http.TimeoutException):
        return APITimeoutError(request)
    return APIConnectionError(request=request)


def _query(value: object) -> str | list[str]:
    """Spell a query value as the official SDK does: booleans in lower case, times in ISO 8601."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, list):
        return [str(item) for item in cast("list[object]", value)]
    return str(value)


_DECIMAL = f"decimal {new_id()} "
"""Marks the decimals of a body until they are written; nobody else's text begins so."""


def _json(body: object) -> bytes:
    """Write a body as JSON: times in ISO 8601, decimals as numbers with all their digits."""
    text = json.dumps(body, default=_plain)
    return (re.sub(f'"{_DECIMAL}([^"]*)"', r"\1", text) if _DECIMAL in text else text).encode()


def _plain(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Decimal):
        return f"{_DECIMAL}{value}"
    msg = f"{value!r} is a {type(value).__name__}, which JSON can't carry"
    raise TypeError(msg)
