"""Answers with what surrounds them: status, headers, the bytes. Over HTTP and from an embedded meter alike.

Source: client.md section 2.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast, overload

from payi_instrument.client.answers import answer_of, check_kind
from payi_instrument.client.content import json_value
from payi_instrument.client.transport import HttpReply, reading
from payi_instrument.wire.model import reply_text

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from payi_instrument.client.network import HttpRequest, HttpResponse, HttpUrl
    from payi_instrument.wire.message import Reply, Request

R = TypeVar("R")
S = TypeVar("S")
_CHUNK = 65_536


class Headers(Mapping[str, str]):
    """Headers found in any case."""

    def __init__(self, headers: Mapping[str, str]) -> None:
        """Take headers by name."""
        self._headers = {name.lower(): value for name, value in headers.items()}

    def __getitem__(self, name: str) -> str:
        """Return a header's value."""
        return self._headers[name.lower()]

    def __iter__(self) -> Iterator[str]:
        """Walk through the names, in lower case."""
        return iter(self._headers)

    def __len__(self) -> int:
        """Count the headers."""
        return len(self._headers)

    def __repr__(self) -> str:
        """Show names and values."""
        return f"Headers({self._headers!r})"


class _Response(Generic[R]):
    """What a sync and an async response share.

    `http_response` and `http_request` are the HTTP library's objects, None from an embedded meter, which has no network
    between. `retries_taken` counts how often the request was sent again. `elapsed` is known once the body is read.
    """

    def __init__(
        self, request: Request[Any], reply: Reply, read: Callable[[Reply], R], elapsed: timedelta | None = None
    ) -> None:
        """Take a request, its reply, what makes the answer of it, and how long an embedded meter took."""
        self._request = request
        self._reply = reply
        self._read = read
        self._elapsed = elapsed or timedelta()
        self._parsed: list[R] = []
        http = reply if isinstance(reply, HttpReply) else None
        self.http_response: HttpResponse | None = http.response if http else None
        self.retries_taken = http.retries_taken if http else 0
        self.status_code = reply.status
        self.headers: Mapping[str, str] = (
            http.response.headers if http else Headers({"content-type": "application/json", **reply.headers})
        )

    @property
    def http_request(self) -> HttpRequest | None:
        """Return the HTTP request that was answered, None from an embedded meter."""
        return None if self.http_response is None else self.http_response.request

    @property
    def method(self) -> str:
        """Return the HTTP method of the operation."""
        return self._request.operation.method

    @property
    def url(self) -> HttpUrl | str:
        """Return where the request went; from an embedded meter the operation's path."""
        return self.http_response.url if self.http_response is not None else self._request.url_path()

    @property
    def http_version(self) -> str | None:
        """Return the HTTP version spoken, None from an embedded meter."""
        return None if self.http_response is None else self.http_response.http_version

    @property
    def elapsed(self) -> timedelta:
        """Return how long the answer took."""
        return self.http_response.elapsed if self.http_response is not None else self._elapsed

    @property
    def is_closed(self) -> bool:
        """Say whether the connection is free again."""
        return self.http_response is None or self.http_response.is_closed

    def __repr__(self) -> str:
        """Show the status."""
        return f"<{type(self).__name__} [{self.status_code}] {self.method} {self.url}>"

    def _whole(self, content: bytes) -> R:
        """Return the answer in a body that was read, made once."""
        if not self._parsed:
            if isinstance(self._reply, HttpReply) and self._reply.body is None:
                self._reply.body = json_value(content)
            self._parsed.append(self._read(self._reply))
        return self._parsed[0]

    def _read_as(self, kind: type[S], content: bytes) -> S:
        """Return a body that was read as another type than its operation's."""
        check_kind("to", kind)
        request = replace(self._request, operation=replace(self._request.operation, answer=kind))
        return answer_of(cast("Request[S]", request), replace(self._reply, body=json_value(content)))

    def _content(self) -> bytes:
        return reply_text(self._reply.body)

    def _reading(self) -> AbstractContextManager[None]:
        """Turn what goes wrong while the body comes in into errors of ours."""
        reply = self._reply
        return reading(reply.library, reply.response) if isinstance(reply, HttpReply) else nullcontext()


class APIResponse(_Response[R]):
    """An answer and what came with it; :meth:`parse` gives what the method itself returns."""

    @overload
    def parse(self) -> R: ...
    @overload
    def parse(self, *, to: type[S]) -> S: ...
    def parse(self, *, to: type[S] | None = None) -> R | S:
        """Return the answer, or the body as another type: a model, `dict`, `str`, `bytes`, the HTTP library's response.

        Raises `APIResponseValidationError` when it does not fit, `TypeError` for what no body can be read as.
        """
        content = self.read()
        return self._whole(content) if to is None else self._read_as(to, content)

    def read(self) -> bytes:
        """Return the body; raises `APIConnectionError` or `APITimeoutError` when it breaks off."""
        if self.http_response is None:
            return self._content()
        with self._reading():
            return self.http_response.read()

    def text(self) -> str:
        """Return the body as text."""
        self.read()
        return self.http_response.text if self.http_response is not None else self._content().decode()

    def json(self) -> Any:
        """Return the body as a JSON value."""
        return cast("object", json.loads(self.read()))

    def close(self) -> None:
        """Give the connection back, read or not."""
        if self.http_response is not None:
            self.http_response.close()

    def iter_bytes(self, chunk_size: int | None = None) -> Iterator[bytes]:
        """Walk through the body in pieces of `chunk_size` bytes, 1 or more, as they come without it."""
        _check_size(chunk_size)
        if self.http_response is None:
            yield from _pieces(self._content(), chunk_size)
            return
        with self._reading():
            yield from self.http_response.iter_bytes(chunk_size)

    def iter_text(self, chunk_size: int | None = None) -> Iterator[str]:
        """Walk through the decoded body in pieces of `chunk_size` characters, 1 or more, as they come without it."""
        _check_size(chunk_size)
        if self.http_response is None:
            yield from _pieces(self._content().decode(), chunk_size)
            return
        with self._reading():
            yield from self.http_response.iter_text(chunk_size)

    def iter_lines(self) -> Iterator[str]:
        """Walk through the body's lines."""
        if self.http_response is None:
            yield from self.text().splitlines()
            return
        with self._reading():
            yield from self.http_response.iter_lines()


class AsyncAPIResponse(_Response[R]):
    """An answer and what came with it, awaited; :meth:`parse` gives what the method itself returns."""

    @overload
    async def parse(self) -> R: ...
    @overload
    async def parse(self, *, to: type[S]) -> S: ...
    async def parse(self, *, to: type[S] | None = None) -> R | S:
        """Return the answer, or the body as another type; see :meth:`APIResponse.parse`."""
        content = await self.read()
        return self._whole(content) if to is None else self._read_as(to, content)

    async def read(self) -> bytes:
        """Return the body; raises `APIConnectionError` or `APITimeoutError` when it breaks off."""
        if self.http_response is None:
            return self._content()
        with self._reading():
            return await self.http_response.aread()

    async def text(self) -> str:
        """Return the body as text."""
        await self.read()
        return self.http_response.text if self.http_response is not None else self._content().decode()

    async def json(self) -> Any:
        """Return the body as a JSON value."""
        return cast("object", json.loads(await self.read()))

    async def close(self) -> None:
        """Give the connection back, read or not."""
        if self.http_response is not None:
            await self.http_response.aclose()

    async def iter_bytes(self, chunk_size: int | None = None) -> AsyncIterator[bytes]:
        """Walk through the body in pieces of `chunk_size` bytes, 1 or more, as they come without it."""
        _check_size(chunk_size)
        if self.http_response is None:
            for piece in _pieces(self._content(), chunk_size):
                yield piece
            return
        with self._reading():
            async for piece in self.http_response.aiter_bytes(chunk_size):
                yield piece

    async def iter_text(self, chunk_size: int | None = None) -> AsyncIterator[str]:
        """Walk through the decoded body in pieces of `chunk_size` characters, 1 or more, as they come without it."""
        _check_size(chunk_size)
        if self.http_response is None:
            for piece in _pieces(self._content().decode(), chunk_size):
                yield piece
            return
        with self._reading():
            async for piece in self.http_response.aiter_text(chunk_size):
                yield piece

    async def iter_lines(self) -> AsyncIterator[str]:
        """Walk through the body's lines."""
        if self.http_response is None:
            for line in self._content().decode().splitlines():
                yield line
            return
        with self._reading():
            async for line in self.http_response.aiter_lines():
                yield line


def _check_size(chunk_size: int | None) -> None:
    if chunk_size is not None and chunk_size < 1:
        msg = f"chunk_size: {chunk_size} is not 1 or more, or None"
        raise ValueError(msg)


TextT = TypeVar("TextT", str, bytes)


def _pieces(whole: TextT, size: int | None) -> list[TextT]:
    step = size or _CHUNK
    return [whole[start : start + step] for start in range(0, len(whole), step)]
