"""HTTP by hand: bytes that no client library would send, and what comes back."""

from __future__ import annotations

import json
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterable

KEY = "xProxy-api-key"


@dataclass
class Answer:
    """One answer; header names in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str | None:
        code: str | None = self.json.get("xproxy_error", {}).get("code")
        return code


class Wire:
    """One connection to a server."""

    def __init__(self, url: str) -> None:
        place = urlsplit(url)
        self._socket = socket.create_connection((place.hostname, place.port), timeout=60)
        self._read = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._socket.close()

    def send(self, data: bytes) -> None:
        self._socket.sendall(data)

    def ask(self, data: bytes) -> Answer:
        self.send(data)
        return self.answer()

    def answer(self) -> Answer:
        """Read one answer."""
        status, headers = self.head()
        return Answer(status, headers, self._exactly(int(headers.get("content-length", "0"))))

    def head(self) -> tuple[int, dict[str, str]]:
        """Read the head of an answer: all there is to one to HEAD."""
        lines = self._until(b"\r\n\r\n").decode("latin-1").split("\r\n")
        pairs = [line.partition(": ") for line in lines[1:] if line]
        return int(lines[0].split()[1]), {name.lower(): value for name, _, value in pairs}

    def is_closed(self) -> bool:
        """Wait until the server sends more, or closes the connection."""
        try:
            return not self._read and not self._socket.recv(1)
        except ConnectionError:
            return True

    def half_close(self) -> None:
        self._socket.shutdown(socket.SHUT_WR)

    def _until(self, mark: bytes) -> bytes:
        while mark not in self._read:
            self._more()
        found, _, self._read = self._read.partition(mark)
        return found

    def _exactly(self, size: int) -> bytes:
        while len(self._read) < size:
            self._more()
        found, self._read = self._read[:size], self._read[size:]
        return found

    def _more(self) -> None:
        data = self._socket.recv(65536)
        if not data:
            raise ConnectionError("the server closed the connection")
        self._read += data


def request(method: str, path: str, body: bytes | None = None, headers: Iterable[tuple[str, str]] = ()) -> bytes:
    """Write a request; a body has its length and its type unless the headers say otherwise."""
    pairs = list(headers)
    named = {name.lower() for name, _ in pairs}
    if body is not None and not named & {"content-length", "transfer-encoding"}:
        pairs.append(("content-length", str(len(body))))
    if body is not None and "content-type" not in named:
        pairs.append(("content-type", "application/json"))
    lines = [f"{method} {path} HTTP/1.1", "host: meter", *(f"{name}: {value}" for name, value in pairs)]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + (body or b"")
