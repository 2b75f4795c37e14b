"""uvicorn's HTTP protocol, with caps on what comes beside bodies and on how long a request may take to come."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import TYPE_CHECKING

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from payi_instrument.server.gathering import GatheringTransport

if TYPE_CHECKING:
    import asyncio

MAX_HEAD = 64 * 1024
"""Bytes of a request's line and headers together; 128 limit ids of 128 characters take a quarter of it."""
_TOO_LARGE = (HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, f"the head of a request may have {MAX_HEAD} bytes")
_OF_A_BODY = {b"content-length", b"transfer-encoding"}


class _RefusedError(Exception):
    """Let the parser stop; uvicorn answers that with `send_400_response`."""


class CappedProtocol(HttpToolsProtocol):
    """Refuse what the parser would take without end, and what it would take for something else.

    Without end are heads, trailers, and requests that never become whole; the body of a request that asks for another
    protocol would be read as the next request.
    """

    patience_s = 30.0
    """How long a head may take, and how long nothing of a body may come."""

    _head = 0
    """Bytes of the head, or of the trailers, that are parsed."""
    _unparsed = 0
    """Bytes since the parser last made something of what it got."""
    _in_head = True
    _refusal = (HTTPStatus.BAD_REQUEST, "the request is no proper HTTP/1.1")
    _waits_since: float | None = None
    """When the last step of a request that is not whole came, None while there is none."""
    _look: asyncio.TimerHandle

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Begin to wait for a request."""
        super().connection_made(GatheringTransport(transport, self.loop))
        self._waits_since = self.loop.time()
        self._look = self.loop.call_later(self.patience_s, self._end_if_stalled)

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no longer."""
        self._look.cancel()
        super().connection_lost(exc)

    def _end_if_stalled(self) -> None:
        now = self.loop.time()
        if self.flow.read_paused and self._waits_since is not None:  # we keep the client waiting
            self._waits_since = now
        since = now if self._waits_since is None else self._waits_since
        if now - since >= self.patience_s:
            self.transport.close()
        else:
            self._look = self.loop.call_later(since + self.patience_s - now, self._end_if_stalled)

    def data_received(self, data: bytes) -> None:
        """Read on, unless what is kept of it has become too large."""
        self._unparsed += len(data)
        super().data_received(data)
        if self._unparsed > MAX_HEAD and not self.transport.is_closing():
            self._refusal = _TOO_LARGE
            self.send_400_response("")

    def _parsed(self) -> None:
        self._unparsed = 0
        self._waits_since = self.loop.time()

    def on_message_begin(self) -> None:
        """Begin to count."""
        self._parsed()
        self._head, self._in_head = 0, True
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        """Count the request's line."""
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Count a header; one behind the body is dropped: nobody who passes requests on looks for any there."""
        self._count(len(name) + len(value))
        if self._in_head:
            super().on_header(name, value)

    def _count(self, size: int) -> None:
        self._head += size
        if self._head > MAX_HEAD:
            self._refusal = _TOO_LARGE
            raise _RefusedError

    def on_headers_complete(self) -> None:
        """Wait for the body; a request for another protocol is answered in this one, and the connection ends."""
        self._parsed()
        self._in_head = False
        upgrades = self.parser is not None and self.parser.should_upgrade()
        if upgrades and any(name in _OF_A_BODY for name, _ in self.headers):
            self._refusal = (HTTPStatus.BAD_REQUEST, "Upgrade: there is HTTP/1.1 only; send a body without this header")
            raise _RefusedError
        super().on_headers_complete()
        if upgrades:
            self.cycle.keep_alive = False

    def on_chunk_header(self) -> None:
        """Wait for the chunk."""
        self._parsed()

    def on_body(self, body: bytes) -> None:
        """Wait for more of the body."""
        self._parsed()
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Wait for nothing."""
        self._parsed()
        self._waits_since = None
        super().on_message_complete()

    def eof_received(self) -> bool:  # type: ignore[override]  # what asyncio asks for
        """Answer a client that has nothing more to say, but still listens."""
        cycle = self.cycle
        waits = cycle is not None and not (cycle.response_complete or cycle.more_body)  # pyright: ignore[reportUnnecessaryComparison]
        if waits:
            self.cycle.keep_alive = False
        else:
            self.transport.close()  # with what was written in this turn, which the loop would not wait for
        return waits

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002  # uvicorn's signature
        """Refuse what is no HTTP, or too much of it."""
        status, message = self._refusal
        text = json.dumps({"statusCode": status, "message": message})
        head = (
            f"HTTP/1.1 {status:d} {status.phrase}\r\ncontent-type: application/json\r\ncontent-length: {len(text)}\r\n"
            "connection: close\r\n\r\n"
        )
        self.transport.write((head + text).encode())
        self.transport.close()
