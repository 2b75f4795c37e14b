"""A small meter on the loopback: it keeps what it was sent and answers what it was told to."""

from __future__ import annotations

import json
from collections import deque
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import pytest
from calling import Caller
from loopback_meter import LoopbackMeter

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass
class Sent:
    """One request as it came over the wire; header names in lower case."""

    method: str
    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Loopback:
    """Answers in the order given, the last one for ever; `open` holds answers back while it is clear."""

    url: str = ""
    sent: list[Sent] = field(default_factory=list)
    answers: deque[tuple[int, bytes]] = field(default_factory=lambda: deque([(200, b"{}")]))
    open: Event = field(default_factory=Event)

    def answer(self, *bodies: object, status: int = 200) -> None:
        self.answers = deque(
            (status, body if isinstance(body, bytes) else json.dumps(body).encode()) for body in bodies
        )

    @property
    def last(self) -> Sent:
        return self.sent[-1]


def _handler(meter: Loopback) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1  # one packet an answer: two would wait for each other

        def handle_any(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            url = urlsplit(self.path)
            headers = {name.lower(): value for name, value in self.headers.items()}
            query = parse_qs(url.query, keep_blank_values=True)
            meter.sent.append(Sent(self.command, url.path, query, headers, body))
            meter.open.wait(10)
            status, content = meter.answers.popleft() if len(meter.answers) > 1 else meter.answers[0]
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PUT = do_DELETE = handle_any  # noqa: N815  # the server's own names

        def log_message(self, *_: object) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
            """Stay quiet."""

    return Handler


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Say nothing of a client that did not wait for its answer."""


@pytest.fixture
def loopback() -> Iterator[Loopback]:
    meter = Loopback()
    meter.open.set()
    server = _Server(("127.0.0.1", 0), _handler(meter))
    meter.url = f"http://127.0.0.1:{server.server_port}"
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield meter
    meter.open.set()
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def server() -> Iterator[LoopbackMeter]:
    """A ledger in memory behind HTTP."""
    with LoopbackMeter() as meter:
        yield meter


@pytest.fixture(params=["httpx", "httpx2"])
def library(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The HTTP library in use, each in turn."""
    monkeypatch.setenv("PAYI_HTTP", request.param)
    name: str = request.param
    return name


@pytest.fixture(params=[False, True], ids=["sync", "async"])
def caller(request: pytest.FixtureRequest, library: str) -> Iterator[Caller]:
    """A client of each kind on each library."""
    with Caller(library, awaited=request.param) as calls:
        yield calls
