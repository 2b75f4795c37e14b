"""A real ledger behind real HTTP, which fails as it is told to: what deliveries and gates meet on a bad day."""

from __future__ import annotations

import json
import threading
from collections import deque
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal, Self
from urllib.parse import unquote, urlsplit

from payi_instrument import Payi
from payi_instrument.local import open_local
from payi_instrument.wire.message import Request
from payi_instrument.wire.operations import INGEST, RETRIEVE_LIMIT

Trouble = int | Literal["lose", "hang", "swallow"]
"""A status to answer with; `lose`: store, then break off without an answer; `hang`: do nothing until released;
`swallow`: do nothing until released, then break off."""


class FailingMeter:
    """Serve a ledger in memory; `troubles` are what befalls the next requests, `always` every one after those."""

    def __init__(self) -> None:
        self.troubles: deque[Trouble] = deque()
        self.always: Trouble | None = None
        self.released = threading.Event()
        self.asked: list[tuple[str, str, dict[str, str]]] = []
        self.ledger = open_local("sqlite://")
        self.books = Payi.over(self.ledger)
        self._server = _Server(("127.0.0.1", 0), type("Handler", (_Handler,), {"meter": self}))
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.released.set()
        self._server.shutdown()
        self._server.server_close()

    @property
    def ingests(self) -> list[str]:
        """The event ids of the ingests that arrived, refused ones included."""
        return [headers["xproxy-event-id"] for method, _, headers in self.asked if method == "POST"]

    def trouble(self) -> Trouble | None:
        return self.troubles.popleft() if self.troubles else self.always

    def answer(self, path: str, headers: dict[str, str], body: Any) -> tuple[int, bytes]:
        if body is not None:
            reply = self.ledger.send(Request(INGEST, headers=headers, body=body))
        else:
            reply = self.ledger.send(Request(RETRIEVE_LIMIT, path={"limit_id": unquote(path.rpartition("/")[2])}))
        text = reply.body if isinstance(reply.body, dict) else reply.body.model_dump(mode="json")  # type: ignore[attr-defined]
        return reply.status, json.dumps(text, default=str).encode()


class _Server(ThreadingHTTPServer):
    request_queue_size = 128

    def handle_error(self, *_: object) -> None:  # type: ignore[override]
        """Say nothing of a client that did not wait."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1
    meter: FailingMeter

    def handle_any(self) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        size = int(headers.get("content-length") or 0)
        body = json.loads(self.rfile.read(size)) if size else None
        path = urlsplit(self.path).path
        self.meter.asked.append((self.command, path, headers))
        trouble = self.meter.trouble()
        if trouble in {"hang", "swallow"}:
            self.meter.released.wait(30)
        if trouble == "swallow":
            self.close_connection = True
            return
        status, answer = (trouble, b"{}") if isinstance(trouble, int) else self.meter.answer(path, headers, body)
        if trouble == "lose":
            self.close_connection = True
            return
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    do_GET = do_POST = handle_any  # noqa: N815  # the server's own names

    def log_message(self, *_: object) -> None:  # type: ignore[override]
        """Stay quiet."""
