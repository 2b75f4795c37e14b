"""A real ledger behind real HTTP: every operation of the table, found by method and path, amounts with all their digits.

It keeps what it was asked, and fails or answers out of turn as it is told to. So does a relay, behind which is a server.
"""

from __future__ import annotations

import json
import threading
from collections import deque
from contextlib import closing
from dataclasses import dataclass, field
from decimal import Decimal
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

from payi_instrument import Payi
from payi_instrument.local import open_local
from payi_instrument.wire import routes
from payi_instrument.wire.message import Request
from payi_instrument.wire.model import reply_text


@dataclass
class Asked:
    """One request as it arrived; header names in lower case."""

    method: str
    target: str
    headers: dict[str, str]
    content: bytes

    @property
    def path(self) -> str:
        return urlsplit(self.target).path

    @property
    def query(self) -> dict[str, list[str]]:
        return parse_qs(urlsplit(self.target).query, keep_blank_values=True)

    @property
    def json(self) -> Any:
        return json.loads(self.content, parse_float=Decimal)


@dataclass
class Answer:
    """An answer out of turn; the ledger never hears of the request unless it is `heard`."""

    status: int = 503
    headers: dict[str, str] = field(default_factory=dict[str, str])
    content: bytes = b"{}"
    breaks: bool = False
    """Close the connection instead of answering."""
    heard: bool = False


@dataclass
class FickleServer:
    """Answer as `regular` does; `instead` are the answers to the next requests, `always` to every one after those.

    Requests wait while `open` is clear.
    """

    instead: deque[Answer] = field(default_factory=deque[Answer], kw_only=True)
    always: Answer | None = field(default=None, kw_only=True)
    asked: list[Asked] = field(default_factory=list[Asked], kw_only=True)
    open: threading.Event = field(default_factory=threading.Event, kw_only=True)

    def __post_init__(self) -> None:
        self.open.set()
        self._server = _Server(("127.0.0.1", 0), type("Handler", (_Handler,), {"meter": self}))
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.open.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def last(self) -> Asked:
        return self.asked[-1]

    @property
    def paths(self) -> list[str]:
        return [f"{asked.method} {asked.path}" for asked in self.asked]

    def answer(self, asked: Asked) -> Answer:
        told = self.instead.popleft() if self.instead else self.always
        if told is not None and not told.heard:
            return told
        regular = self.regular(asked)
        return told or regular

    def regular(self, asked: Asked) -> Answer:
        raise NotImplementedError


@dataclass
class Relay(FickleServer):
    """Pass on to the server at `to` what is asked."""

    to: str

    def regular(self, asked: Asked) -> Answer:
        place = urlsplit(self.to)
        with closing(HTTPConnection(place.hostname or "", place.port, timeout=60)) as connection:
            target = place.path.rstrip("/") + asked.target
            connection.request(asked.method, target, asked.content or None, asked.headers)
            response = connection.getresponse()
            return Answer(response.status, dict(response.getheaders()), response.read())


@dataclass
class LoopbackMeter(FickleServer):
    """Serve a ledger; `capable` says which extensions it lists, None that it knows no such question."""

    ledger_url: str = "sqlite://"
    capable: list[str] | None = field(default_factory=lambda: ["event_id"])

    def __post_init__(self) -> None:
        super().__post_init__()
        self.ledger = open_local(self.ledger_url)
        self.books = Payi.over(self.ledger)

    def __exit__(self, *_: object) -> None:
        super().__exit__()
        self.books.close()

    def regular(self, asked: Asked) -> Answer:
        if asked.path == "/api/v1/capabilities":
            if self.capable is None:
                return Answer(404, content=b'{"statusCode": 404, "message": "no such path"}')
            return Answer(200, content=json.dumps({"extensions": self.capable}).encode())
        route = routes.at(asked.path)
        operation = route.operations.get(asked.method) if route else None
        if route is None or operation is None:
            status = 405 if route else 404
            return Answer(status, content=b'{"statusCode": %d, "message": "no such operation"}' % status)
        query = {name: values if name == "property" else values[0] for name, values in asked.query.items()}
        body = asked.json if asked.content else None
        reply = self.ledger.send(Request(operation, route.values, query, asked.headers, body))
        return Answer(reply.status, content=reply_text(reply.body))


class _Server(ThreadingHTTPServer):
    request_queue_size = 128
    daemon_threads = True

    def handle_error(self, *_: object) -> None:  # type: ignore[override]
        """Say nothing of a client that did not wait."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # one packet an answer: two would wait for each other
    meter: FickleServer

    def handle_any(self) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        content = self.rfile.read(int(headers.get("content-length") or 0))
        asked = Asked(self.command, self.path, headers, content)
        self.meter.asked.append(asked)
        self.meter.open.wait(30)
        answer = self.meter.answer(asked)
        if answer.breaks:
            self.close_connection = True
            return
        self.send_response(answer.status)
        named = {"content-type": "application/json", **answer.headers, "content-length": str(len(answer.content))}
        for name, value in named.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(answer.content)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = handle_any  # noqa: N815  # the server's own names

    def log_message(self, *_: object) -> None:  # type: ignore[override]
        """Stay quiet."""
