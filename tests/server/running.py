"""The server as it is run, on a thread of the test's process, over an empty ledger of either database."""

from __future__ import annotations

import shutil
import threading
import time
from contextlib import closing
from typing import Any

import postgres
import psycopg
import pytest
import uvicorn
from meters import empty_file, http
from wired import KEY, Answer, Wire, request

from payi_instrument.client.client import Payi
from payi_instrument.engine.address import Address
from payi_instrument.server.app import create_app
from payi_instrument.server.metrics import Metrics
from payi_instrument.server.run import config_of
from payi_instrument.server.settings import ServerSettings

DATABASES = ("sqlite", "postgres")


class Running:
    """A server over a ledger, and the ways to it."""

    def __init__(self, ledger: str, *, protocol: Any = None, **settings: Any) -> None:
        self.ledger = ledger
        self.settings = ServerSettings(ledger, port=0, **settings)
        metrics = Metrics()
        self.engine = Address.of(ledger).open(metrics.committed)
        config = config_of(self.settings, lambda: create_app(self.engine, metrics, max_body=self.settings.max_body))
        config.http = protocol or config.http
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run)
        self._thread.start()
        while not self._server.started:
            assert self._thread.is_alive()
            time.sleep(0.01)
        self.url = f"http://127.0.0.1:{self._server.servers[0].sockets[0].getsockname()[1]}"
        self._keys: dict[tuple[str, str], str] = {}
        self.key()

    def key(self, application: str = "default", scope: str = "admin") -> str:
        """Return a key of an application, the same each time."""
        if (application, scope) not in self._keys:
            self._keys[application, scope] = self.new_key(application, scope)
        return self._keys[application, scope]

    def new_key(self, application: str = "default", scope: str = "admin") -> str:
        return str(self.engine.new_key(application, scope))

    def client(self, application: str = "default", scope: str = "admin") -> Payi:
        return Payi(base_url=self.url, api_key=self.key(application, scope), http_client=http(), max_retries=0)

    def wire(self) -> Wire:
        return Wire(self.url)

    def ask(self, method: str, path: str, body: bytes | None = None, **headers: str) -> Answer:
        """Send one request of the default application's admin."""
        named = [(name.replace("_", "-"), value) for name, value in headers.items()]
        with self.wire() as wire:
            return wire.ask(request(method, path, body, [(KEY, self.key()), *named]))

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        """Return what is stored, read past the server."""
        if self.ledger.startswith("postgres"):
            with psycopg.connect(self.ledger, options="-c search_path=payi") as connection:
                return connection.execute(statement.encode()).fetchall()
        import sqlite3

        with closing(sqlite3.connect(self.ledger.removeprefix("sqlite:///"))) as connection:
            return connection.execute(statement).fetchall()

    def stop(self) -> None:
        """Stop as SIGTERM does."""
        self._server.should_exit = True
        self._thread.join()


def ledger_of(database: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    if database == "postgres":
        return postgres.empty_ledger()
    return f"sqlite:///{shutil.copy(empty_file(), tmp_path_factory.mktemp('ledger') / 'l.db')}"
