"""Requests of the operations table over HTTP, sync and async: two short drivers over one plan.

What instrumentation delivers goes out once: its backlog repeats it, and no call of a user waits for that. Source: client.md
sections 1 and 2, wire-api section 1.7.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from payi_instrument.client.answers import result_of
from payi_instrument.client.arguments import Asked, Phases, merged_headers, phases
from payi_instrument.client.content import json_body, json_value, query_values
from payi_instrument.client.encoding import event_request, laid_over, state_of
from payi_instrument.client.many_limits import BulkOfOne, bulk_of_one, needs_bulk
from payi_instrument.client.pool import AsyncPool, Pool
from payi_instrument.client.retries import Wait, exchange, succeeded
from payi_instrument.errors import (
    APIConnectionError,
    APIStatusError,
    APITimeoutError,
    NotFoundError,
    PayiError,
    status_error,
)
from payi_instrument.ids import new_id
from payi_instrument.wire.headers import ENCODING, IDEMPOTENCY_KEY, PayiHeaderNames
from payi_instrument.wire.message import Reply, Request
from payi_instrument.wire.meter import Capabilities
from payi_instrument.wire.operations import CAPABILITIES, INGEST, RETRIEVE_LIMIT

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping, Sequence

    from payi_instrument.client.network import AsyncHttpClient, HttpClient, HttpRequest, HttpResponse, Library
    from payi_instrument.client.settings import Settings
    from payi_instrument.event import UsageEvent
    from payi_instrument.wire.result import LimitResult, XproxyResult

PoolT = TypeVar("PoolT", Pool, AsyncPool)
_NO_SUCH_PATH = frozenset({400, 404, 405, 501})
_EVENT_IDS = "event_id"
_SCHEMES = frozenset({"http", "https"})
_PORTS = range(1, 65_536)


@dataclass(slots=True, kw_only=True)
class HttpReply(Reply):
    """A reply with the HTTP response that it came in; its body is read only if the response's is."""

    response: HttpResponse
    library: Library
    retries_taken: int = 0


class _Wire:
    """What both transports share: where the meter is, the headers of every request, how a reply is read."""

    embedded: Literal[False] = False

    def __init__(self, settings: Settings, library: Library, extensions: dict[object, frozenset[str]]) -> None:
        self._library = library
        self._extensions = extensions
        self.settle(settings)

    def settle(self, settings: Settings) -> None:
        """Take where the meter is and how to speak to it, from the next request on; raises `ValueError` for a bad URL."""
        _check_url(settings.base_url, self._library)
        self._settings = settings
        self._base_url = settings.base_url.rstrip("/")
        self._headers = laid_over(
            {"Accept": "application/json", "Content-Type": "application/json", "User-Agent": _user_agent()},
            {PayiHeaderNames.api_key: settings.api_key or ""},
            settings.headers,
        )

    @property
    def meter(self) -> tuple[object, str]:
        """Return what two transports to the same meter and application share."""
        key = next(text for name, text in self._headers.items() if name.lower() == _KEY)
        return (self._base_url, key)

    def _built(self, http: HttpClient | AsyncHttpClient, request: Request[Any]) -> HttpRequest:
        headers = dict(request.headers) if isinstance(request, BulkOfOne) else self._whole_headers(request)
        if request.operation.method != "GET" and not any(name.lower() == _IDEMPOTENCY for name in headers):
            headers[IDEMPOTENCY_KEY] = new_id()
        path = request.url_path()
        try:
            built: HttpRequest = http.build_request(
                request.operation.method,
                self._base_url + path,
                params=query_values({**self._settings.query, **request.query}) or None,
                headers=headers,
                content=None if request.body is None else json_body(request.body),
                timeout=self._phases(request),
            )
        except self._library.InvalidURL as error:
            msg = f"{request.operation.name}: {path[:80]!r} and its query make no URL: {error}"
            raise ValueError(msg) from error
        return built

    def _whole_headers(self, request: Request[Any]) -> dict[str, str]:
        headers: Mapping[str, str] = self._headers
        if isinstance(request, Asked) and request.dropped:
            headers = {name: text for name, text in headers.items() if name.lower() not in request.dropped}
        if ENCODING in headers or ENCODING in request.headers:
            return laid_over(headers, request.headers)
        return merged_headers(headers, request.headers)  # both are plain: nothing to encode anew

    def _phases(self, request: Request[Any]) -> Phases:
        if isinstance(request, Asked) and request.phases is not None:
            return request.phases
        return self._settings.phases if request.timeout is None else phases(request.timeout)

    def _retries(self, request: Request[Any]) -> int:
        own = request.max_retries if isinstance(request, Asked) else None
        return self._settings.max_retries if own is None else own

    def _failure(self, error: Exception, request: HttpRequest) -> APIConnectionError:
        """Return whatever a sent request ended with as an error of ours, or raise that when another attempt can't help."""
        library = self._library
        hopeless = (library.UnsupportedProtocol, library.LocalProtocolError)
        if isinstance(error, (library.HTTPError, OSError)) and not isinstance(error, hopeless):
            failure = connection_error(library, error, request)
            failure.__cause__ = error
            return failure
        failure = APIConnectionError(f"{type(error).__name__}: {error}", request)
        raise failure from error

    def _depends(self, request: Request[Any]) -> bool:
        """Say whether the meter's extensions decide what is sent in a request's place."""
        if isinstance(request, Asked) and request.plain is not None:
            return True
        return request.operation is INGEST and needs_bulk(self._whole_headers(request))

    def _known_extensions(self) -> frozenset[str] | None:
        """Return the extensions that the meter lists, None when it did not say yet."""
        return self._extensions.get(self.meter)

    def _fitted(self, request: Request[Any]) -> Request[Any]:
        """Return the request that suits the meter; one that did not say counts as a plain service."""
        extensions = self._known_extensions() or frozenset()
        if request.operation is INGEST:
            return bulk_of_one(request, self._whole_headers(request), extensions)
        plain = request.plain if isinstance(request, Asked) else None
        return request if plain is None or _EVENT_IDS in extensions else plain

    def _reply(self, request: Request[Any], response: HttpResponse, retries: int, *, is_read: bool) -> HttpReply:
        status, body = response.status_code, json_value(response.content) if is_read else None
        if isinstance(request, BulkOfOne):
            status, body = request.single(status, body)
        if not succeeded(status):
            raise status_error(status, body, response)
        return HttpReply(
            status, body, response.headers, response=response, library=self._library, retries_taken=retries
        )

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
        return [result_of(self._exchange(self._fitting(event_request(event)), 0)) for event in events]

    def limit_states(self, limit_ids: Sequence[str], timeout: float | None = None) -> Mapping[str, LimitResult]:
        """Ask for limits one by one, each once, `timeout` in seconds for each; unknown and unreadable ones are left out."""
        states: dict[str, LimitResult] = {}
        for limit_id in limit_ids:
            with suppress(NotFoundError, ValueError):
                states[limit_id] = state_of(self._exchange(_retrieve(limit_id, timeout), 0))
        return states

    def automatic_limits(self, use_case_name: str, use_case_id: str) -> tuple[str, ...]:  # noqa: ARG002
        """Return none: which limit a use-case instance has is the service's to say, in its results."""
        return ()

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
        flow = exchange(self._built(http, request), max_retries, follows=self._pool.follows_redirects)
        outcome: HttpResponse | APIConnectionError | None = None
        while True:
            try:
                step = flow.send(outcome)
            except StopIteration as done:
                return self._finished(request, *done.value, stream=stream)
            if outcome is not None and not isinstance(outcome, APIConnectionError):
                outcome.close()
            if isinstance(step, Wait):
                time.sleep(step.seconds)
                http, outcome = self._pool.client(), None  # which may have been closed meanwhile
            else:
                outcome = self._attempt(http, step, stream=stream)

    def _attempt(self, http: HttpClient, request: HttpRequest, *, stream: bool) -> HttpResponse | APIConnectionError:
        try:
            return http.send(request, stream=stream, follow_redirects=False)
        except Exception as error:  # noqa: BLE001  # a caller's HTTP client may raise anything: its transport is theirs
            self._pool.client()  # raises when it was closed meanwhile
            return self._failure(error, request)

    def _finished(self, request: Request[Any], response: HttpResponse, retries: int, *, stream: bool) -> HttpReply:
        if stream and (not succeeded(response.status_code) or isinstance(request, BulkOfOne)):
            with reading(self._library, response):
                response.read()
            stream = False
        return self._reply(request, response, retries, is_read=not stream)

    def _fitting(self, request: Request[Any]) -> Request[Any]:
        """Return the request that suits the meter, which is asked what it takes if that matters and nobody did yet."""
        if not self._depends(request):
            return request
        if self._known_extensions() is None:
            try:
                self._learn(self._exchange(_capabilities(request), 0))
            except APIStatusError as error:
                self._learn(error)
            except APIConnectionError:
                pass
        return self._fitted(request)


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
        return [result_of(await self._exchange(await self._fitting(event_request(event)), 0)) for event in events]

    async def alimit_states(  # the timeout is the request's
        self,
        limit_ids: Sequence[str],
        timeout: float | None = None,  # noqa: ASYNC109
    ) -> Mapping[str, LimitResult]:
        """Ask for limits one by one, each once, `timeout` in seconds for each; unknown and unreadable ones are left out."""
        states: dict[str, LimitResult] = {}
        for limit_id in limit_ids:
            with suppress(NotFoundError, ValueError):
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
        flow = exchange(self._built(http, request), max_retries, follows=self._pool.follows_redirects)
        outcome: HttpResponse | APIConnectionError | None = None
        while True:
            try:
                step = flow.send(outcome)
            except StopIteration as done:
                return await self._finished(request, *done.value, stream=stream)
            if outcome is not None and not isinstance(outcome, APIConnectionError):
                await outcome.aclose()
            if isinstance(step, Wait):
                await asyncio.sleep(step.seconds)
                http, outcome = self._pool.client(), None  # which may have been closed meanwhile
            else:
                outcome = await self._attempt(http, step, stream=stream)

    async def _attempt(
        self, http: AsyncHttpClient, request: HttpRequest, *, stream: bool
    ) -> HttpResponse | APIConnectionError:
        try:
            return await http.send(request, stream=stream, follow_redirects=False)
        except Exception as error:  # noqa: BLE001  # a caller's HTTP client may raise anything: its transport is theirs
            self._pool.client()  # raises when it was closed meanwhile
            return self._failure(error, request)

    async def _finished(
        self, request: Request[Any], response: HttpResponse, retries: int, *, stream: bool
    ) -> HttpReply:
        if stream and (not succeeded(response.status_code) or isinstance(request, BulkOfOne)):
            with reading(self._library, response):
                await response.aread()
            stream = False
        return self._reply(request, response, retries, is_read=not stream)

    async def _fitting(self, request: Request[Any]) -> Request[Any]:
        """Return the request that suits the meter, which is asked what it takes if that matters and nobody did yet."""
        if not self._depends(request):
            return request
        if self._known_extensions() is None:
            try:
                self._learn(await self._exchange(_capabilities(request), 0))
            except APIStatusError as error:
                self._learn(error)
            except APIConnectionError:
                pass
        return self._fitted(request)


_IDEMPOTENCY = IDEMPOTENCY_KEY.lower()
_KEY = PayiHeaderNames.api_key.lower()


@cache
def _user_agent() -> str:
    try:
        return f"payi_instrument/{version('payi-instrument')}"
    except PackageNotFoundError:  # run from a source tree that is not installed
        return "payi_instrument"


def _check_url(url: str, library: Library) -> None:
    """Raise `ValueError` for a base URL that no request can go to."""
    try:
        parts = library.URL(url)
        parts.host.encode("idna")
    except (library.InvalidURL, UnicodeError) as error:
        msg = (
            f"base_url: {url!r} is no URL ({error}); expected https://host, or sqlite:///file.db for an embedded meter"
        )
        raise ValueError(msg) from error
    fits = parts.scheme in _SCHEMES and parts.host and (parts.port is None or parts.port in _PORTS)
    if not fits or any(char in "?#" or char.isspace() for char in url):
        msg = f"base_url: {url!r} names no meter; expected https://host, or sqlite:///file.db for an embedded one"
        raise ValueError(msg)


def connection_error(library: Library, error: Exception, request: HttpRequest) -> APIConnectionError:
    """Return an error of the HTTP library as ours."""
    if isinstance(error, (library.TimeoutException, TimeoutError)):
        return APITimeoutError(request)
    return APIConnectionError(request=request)


@contextmanager
def reading(library: Library, response: HttpResponse) -> Generator[None]:
    """Read a body, with the HTTP library's errors as ours; `PayiError` for one that can't be read any more."""
    try:
        yield
    except (library.HTTPError, OSError) as error:
        raise connection_error(library, error, response.request) from error
    except library.StreamError as error:
        msg = "the body was read in pieces before, or its block has ended; read it once, inside"
        raise PayiError(msg) from error


def _retrieve(limit_id: str, timeout: float | None) -> Request[Any]:
    return Request(RETRIEVE_LIMIT, path={"limit_id": limit_id}, timeout=timeout)


def _capabilities(request: Request[Any]) -> Request[Any]:
    """Return the question for a meter's extensions, with the timeout of the request that they are needed for."""
    own = request.phases if isinstance(request, Asked) else None
    return Asked(CAPABILITIES, timeout=request.timeout, phases=own)
