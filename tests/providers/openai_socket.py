"""An OpenAI on this machine that speaks over a WebSocket: it says what the test says, and keeps what it heard."""

from __future__ import annotations

import json
import threading
from contextlib import suppress
from socket import SHUT_RDWR
from typing import TYPE_CHECKING, Any, Self

from websockets.exceptions import ConnectionClosed
from websockets.sync.server import ServerConnection, serve

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    Script = Callable[[dict[str, Any]], Iterable[dict[str, Any] | None]]


class SocketStandIn:
    """Serve on a free port until the block is left: `greeting` first, then what `answers` says to each message.

    An answer of None closes the connection, without a word.
    """

    def __init__(self, answers: Script, *greeting: dict[str, Any]) -> None:
        self._answers = answers
        self._greeting = greeting
        self.heard: list[dict[str, Any]] = []
        self._server = serve(self._talk, "127.0.0.1", 0)
        self._connections: list[ServerConnection] = []
        self.url = f"http://127.0.0.1:{self._server.socket.getsockname()[1]}/v1"
        self.socket_url = self.url.replace("http:", "ws:")
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._server.shutdown()
        self._thread.join()
        for connection in self._connections:  # one that a test left open would keep threads on both sides
            with suppress(OSError):
                connection.socket.shutdown(SHUT_RDWR)

    def _talk(self, connection: ServerConnection) -> None:
        self._connections.append(connection)
        try:
            for event in self._greeting:
                connection.send(json.dumps(event))
            for message in connection:
                heard = json.loads(message)
                self.heard.append(heard)
                for event in self._answers(heard):
                    if event is None:
                        connection.socket.shutdown(SHUT_RDWR)
                        return
                    connection.send(json.dumps(event))
        except ConnectionClosed:
            pass
