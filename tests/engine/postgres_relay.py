"""A relay before PostgreSQL that lets a test do something between two statements of a transaction."""

from __future__ import annotations

import socket
import tempfile
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING

from psycopg.conninfo import conninfo_to_dict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@contextmanager
def stopped_at(url: str, statement: bytes, before: Callable[[], object], after: Callable[[], object]) -> Iterator[str]:
    """Return a way to the database; `before` and `after` are called round the first statement that holds a text."""
    folder, real = tempfile.mkdtemp(prefix="payi-relay-"), str(conninfo_to_dict(url)["host"])
    name = ".s.PGSQL.5432"
    steps = [before, after]

    def seen_by_server(data: bytes) -> None:
        if statement in data and len(steps) == 2:
            steps.pop(0)()

    def seen_by_client(_: bytes) -> None:
        if len(steps) == 1:
            steps.pop()()

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(Path(folder) / name))
        listener.listen()

        def accept() -> None:
            with suppress(OSError):  # until it is closed
                while True:
                    client, server = listener.accept()[0], socket.socket(socket.AF_UNIX)
                    server.connect(f"{real}/{name}")
                    Thread(target=_pump, args=(client, server, seen_by_server), daemon=True).start()
                    Thread(target=_pump, args=(server, client, seen_by_client), daemon=True).start()

        Thread(target=accept, daemon=True).start()
        yield url.replace(real, folder)
        listener.shutdown(socket.SHUT_RDWR)


def _pump(source: socket.socket, sink: socket.socket, see: Callable[[bytes], None]) -> None:
    """Pass on what one end says until it says no more; then the other end hears of it."""
    with source, suppress(OSError):
        while data := source.recv(65_536):
            see(data)
            sink.sendall(data)
        sink.shutdown(socket.SHUT_RDWR)
