"""Requests of the operations table over HTTP, sync and async: two short drivers over one plan.

What instrumentation delivers goes out once: its backlog repeats it, and no call of a user waits for that. Source: client.md
sections 1 and 2, wire-api section 1.7.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from payi_instrument.client.arguments import Asked, Phases, merged_headers, phases
from payi_instrument.client.content import json_text, json_value, query_values
from payi_instrument.client.encoding import event_request, result_of, state_of
from payi_instrument.client.pool import AsyncPool, Pool
from payi_instrument.client.retries import Wait, exchange
from payi_instrument.errors import APIConnectionError, APIStatusError, APITimeoutError, NotFoundError, status_error
from payi_instrument.ids import new_id
from payi_instrument.wire.headers import IDEMPOTENCY_KEY, PayiHeaderNames
from payi_instrument.wire.message import Reply, Request
from payi_instrument.wire.meter import Capabilities
from payi_instrument.wire.operations import CAPABILITIES, RETRIEVE_LIMIT

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from payi_instrument.client.network import AsyncHttpClient, HttpClient, HttpRequest, HttpResponse, Library
    from payi_instrument.client.settings import Settings
    from payi_instrument.event import UsageEvent
    from payi_instrument.wire.result import LimitResult, XproxyResult

PoolT = TypeVar("PoolT", Pool, AsyncPool)
_ERRORS_FROM = 400
_NO_SUCH_PATH = frozenset({404, 405, 501})
_EVENT_IDS = "event_id"


@dataclass(slots=True, kw_only=True)
class HttpReply(Reply):
    """A reply with the HTTP response that it came in; its body is read only if the response's is."""

    response: HttpResponse
    retries_taken: int = 0


class _Wire:
    """What both transports share: where the meter is, the headers of every request, how a reply is read."""

    embedded: Literal[False] = False

    def __init__(self, settings: Settings, library: Library, extensions: dict[object, frozenset[str]]) -> None:
        self._settings = settings
        self._library = library
        self._base_url = settings.base_url.rstrip("/")
        self._headers = merged_headers(
            {"Accept": "application/json", "Content-Type": "application/json", "User-Agent": _user_agent()},
            settings.headers,
            {PayiHeaderNames.api_key: settings.api_key or ""},
        )
        self._extensions = extensions

    @property
    def meter(self) -> tuple[object, str]:
        """Return what two transports to the same meter and application share."""
        return (self._base_url, self._headers[PayiHeaderNames.api_key])

    def _built(self, http: HttpClient | AsyncHttpClient, request: Request[Any]) -> HttpRequest:
        headers = merged_headers(self._headers, request.headers)
        if request.operation.method != "GET" and not any(name.lower() == _IDEMPOTENCY for name in headers):
            headers[IDEMPOTENCY_KEY] = new_id()
        built: HttpRequest = http.build_request(
            request.operation.method,
            self._base_url + request.url_path(),
            params=query_values({**self._settings.query, **request.query}) or None,
            headers=headers,
            content=None if request.body is None else json_text(request.body),
            timeout=self._phases(request),
        )
        return built

    def _phases(self, request: Request[Any]) -> Phases:
        if isinstance(request, Asked) and request.phases is not None:
            return request.phases
        return self._settings.phases if request.timeout is None else phases(request.timeout)

    def _retries(self, request: Request[Any]) -> int:
        own = request.max_retries if isinstance(request, Asked) else None
        return self._settings.max_retries if own is None else own

    def _failure(self, error: Exception, request: HttpRequest) -> APIConnectionError:
        """Return an error of the HTTP library as ours, or raise it when another attempt can't help."""
        library = self._library
        failure = (
            APITimeoutError(request)
            if isinstance(error, library.TimeoutException)
            else APIConnectionError(request=request)
        )
        if isinstance(error, (library.UnsupportedProtocol, library.LocalProtocolError)):
            failure = APIConnectionError(str(error), request)
            raise failure from error
        failure.__cause__ = error
        return failure

    def _lists_event_ids(self) -> bool | None:
        """Say whether the meter takes event ids in bulk items, None when it was not asked yet."""
        known = self._extensions.get(self.meter)
        return None if known is None else _EVENT_IDS in known

    def _learn(self, answer: Reply | APIStatusError) -> None:
        """Take what the meter says of its extensions; a service that knows no such question has none."""
        listed: frozenset[str] = frozenset()
        if isinstance(answer, Reply):
            with suppress(ValueError):  # somebody's page, or an answer without the member
                listed = frozenset(Capabilities.model_validate(answer.body).extensions)
        elif answer.status_code not in _NO_SUCH_PATH:
            return  # busy or at fault: asked again next time
        self._extensions[self.meter] = listed


class HttpTransport(_Wire):
    """Carry requests and events to a meter over HTTP."""

    def __init__(self, settings: Settings, pool: Pool) -> None:
        """Take where the meter is and how to speak to it, and the connections."""
        super().__init__(settings, pool.library, pool.extensions)
        self._pool = pool

    def send(self, request: Request[Any]) -> HttpReply:
        """Send a request, again if that may help; raises `APIConnectionError`, `APITimeoutError` or the status's error."""
        return self._exchange(self._fitting(request), self._retries(request))

    def open(self, request: Request[Any]) -> HttpReply:
        """Send a request as :meth:`send` does, and leave the body of its answer to be read."""
        return self._exchange(self._fitting(request), self._retries(request), stream=True)

    def ingest(self, events: Sequence[UsageEvent]) -> list[XproxyResult]:
        """Send events one by one, each once, and return a result for each."""
        return [result_of(self._exchange(event_request(event), 0)) for event in events]

    def limit_states(self, limit_ids: Sequence[str], timeout: float | None = None) -> Mapping[str, LimitResult]:
        """Ask for limits one by one, each once, `timeout` in seconds for each; unknown ids are left out."""
        states: dict[str, LimitResult] = {}
        for limit_id in limit_ids:
            with suppress(NotFoundError):
                states[limit_id] = state_of(self._exchange(_retrieve(limit_id, timeout), 0))
        return states

    def with_settings(self, settings: Settings, pool: Pool | None) -> HttpTransport:
        """Return a transport with other settings, on these connections unless others are given."""
        return HttpTransport(settings, pool or self._pool)

    def is_closed(self) -> bool:
        """Say whether it can't send any more."""
        return self._pool.is_closed()

    def close(self) -> None:
        """Close the connections that this transport opened, for its copies too."""
        self._pool.close()

    def _exchange(self, request: Request[Any], max_retries: int, *, stream: bool = False) -> HttpReply:
        http = self._pool.client()
        flow = exchange(self._built(http, request), max_retries)
        outcome: HttpResponse | APIConnectionError | None = None
        while True:
            try:
                step = flow.send(outcome)
            except StopIteration as done:
                return self._reply(*done.value, stream=stream)
            if outcome is not None and not isinstance(outcome, APIConnectionError):
                outcome.close()
            if isinstance(step, Wait):
                time.sleep(step.seconds)
                outcome = None
            else:
                outcome = self._attempt(http, step, stream=stream)

    def _attempt(self, http: HttpClient, request: HttpRequest, *, stream: bool) -> HttpResponse | APIConnectionError:
        try:
            return http.send(request, stream=stream, follow_redirects=False)
        except self._library.HTTPError as error:
            return self._failure(error, request)

    def _reply(self, response: HttpResponse, retries: int, *, stream: bool) -> HttpReply:
        if stream and response.status_code >= _ERRORS_FROM:
            response.read()
        return _reply(response, retries, is_read=not stream or response.status_code >= _ERRORS_FROM)

    def _fitting(self, request: Request[Any]) -> Request[Any]:
        """Return the request that suits the meter: the plain one when it does not list event ids."""
        if not isinstance(request, Asked) or request.plain is None:
            return request
        if self._lists_event_ids() is None:
            try:
                self._learn(self._exchange(_capabilities(request), 0))
            except APIStatusError as error:
                self._learn(error)
            except APIConnectionError:
                pass
        return request if self._lists_event_ids() else request.plain


class AsyncHttpTransport(_Wire):
    """Carry requests and events to a meter over HTTP, for `await`."""

    def __init__(self, settings: Settings, pool: AsyncPool) -> None:
        """Take where the meter is and how to speak to it, and the connections."""
        super().__init__(settings, pool.library, pool.extensions)
        self._pool = pool

    async def asend(self, request: Request[Any]) -> HttpReply:
        """Send a request, again if that may help; raises `APIConnectionError`, `APITimeoutError` or the status's error."""
        return await self._exchange(await self._fitting(request), self._retries(request))

    async def aopen(self, request: Request[Any]) -> HttpReply:
        """Send a request as :meth:`asend` does, and leave the body of its answer to be read."""
        return await self._exchange(await self._fitting(request), self._retries(request), stream=True)

    async def aingest(self, events: Sequence[UsageEvent]) -> list[XproxyResult]:
        """Send events one by one, each once, and return a result for each."""
        return [result_of(await self._exchange(event_request(event), 0)) for event in events]

    async def alimit_states(  # the timeout is the request's
        self,
        limit_ids: Sequence[str],
        timeout: float | None = None,  # noqa: ASYNC109
    ) -> Mapping[str, LimitResult]:
        """Ask for limits one by one, each once, `timeout` in seconds for each; unknown ids are left out."""
        states: dict[str, LimitResult] = {}
        for limit_id in limit_ids:
            with suppress(NotFoundError):
                states[limit_id] = state_of(await self._exchange(_retrieve(limit_id, timeout), 0))
        return states

    def with_settings(self, settings: Settings, pool: AsyncPool | None) -> AsyncHttpTransport:
        """Return a transport with other settings, on these connections unless others are given."""
        return AsyncHttpTransport(settings, pool or self._pool)

    def blocking(self) -> HttpTransport:
        """Return a transport to the same meter for callers that wait, with connections of its own."""
        return HttpTransport(self._settings, Pool())

    def is_closed(self) -> bool:
        """Say whether it can't send any more."""
        return self._pool.is_closed()

    async def aclose(self) -> None:
        """Close the connections that this transport opened, for its copies too."""
        await self._pool.aclose()

    async def _exchange(self, request: Request[Any], max_retries: int, *, stream: bool = False) -> HttpReply:
        http = self._pool.client()
        flow = exchange(self._built(http, request), max_retries)
        outcome: HttpResponse | APIConnectionError | None = None
        while True:
            try:
                step = flow.send(outcome)
            except StopIteration as done:
                return await self._reply(*done.value, stream=stream)
            if outcome is not None and not isinstance(outcome, APIConnectionError):
                await outcome.aclose()
            if isinstance(step, Wait):
                await asyncio.sleep(step.seconds)
                outcome = None
            else:
                outcome = await self._attempt(http, step, stream=stream)

    async def _attempt(
        self, http: AsyncHttpClient, request: HttpRequest, *, stream: bool
    ) -> HttpResponse | APIConnectionError:
        try:
            return await http.send(request, stream=stream, follow_redirects=False)
        except self._library.HTTPError as error:
            return self._failure(error, request)

    async def _reply(self, response: HttpResponse, retries: int, *, stream: bool) -> HttpReply:
        if stream and response.status_code >= _ERRORS_FROM:
            await response.aread()
        return _reply(response, retries, is_read=not stream or response.status_code >= _ERRORS_FROM)

    async def _fitting(self, request: Request[Any]) -> Request[Any]:
        """Return the request that suits the meter: the plain one when it does not list event ids."""
        if not isinstance(request, Asked) or request.plain is None:
            return request
        if self._lists_event_ids() is None:
            try:
                self._learn(await self._exchange(_capabilities(request), 0))
            except APIStatusError as error:
                self._learn(error)
            except APIConnectionError:
                pass
        return request if self._lists_event_ids() else request.plain


_IDEMPOTENCY = IDEMPOTENCY_KEY.lower()


@cache
def _user_agent() -> str:
    try:
        return f"payi_instrument/{version('payi-instrument')}"
    except PackageNotFoundError:  # run from a source tree that is not installed
        return "payi_instrument"


def _reply(response: HttpResponse, retries: int, *, is_read: bool) -> HttpReply:
    body = json_value(response.content) if is_read else None
    if response.status_code >= _ERRORS_FROM:
        raise status_error(response.status_code, body, response)
    return HttpReply(response.status_code, body, response.headers, response=response, retries_taken=retries)


def _retrieve(limit_id: str, timeout: float | None) -> Request[Any]:
    return Request(RETRIEVE_LIMIT, path={"limit_id": limit_id}, timeout=timeout)


def _capabilities(request: Asked[Any]) -> Request[Any]:
    """Return the question for a meter's extensions, with the timeout of the request that they are needed for."""
    return Asked(CAPABILITIES, phases=request.phases)
