"""The four meters that answer alike: embedded on SQLite and PostgreSQL, and the server on either."""

from __future__ import annotations

import atexit
import inspect
import itertools
import json
import shutil
import sqlite3
import tempfile
import threading
import time
from contextlib import ExitStack, closing, contextmanager
from functools import cache, wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote, urlencode

import postgres
import psycopg
import pytest
import uvicorn
from hypothesis import given, settings
from psycopg.rows import dict_row

from payi_instrument.client.client import Payi
from payi_instrument.client.network import library
from payi_instrument.engine.address import Address
from payi_instrument.errors import APIStatusError
from payi_instrument.server.app import create_app
from payi_instrument.server.metrics import Metrics
from payi_instrument.server.protocol import CappedProtocol
from payi_instrument.wire.codes import ContractError, envelope
from payi_instrument.wire.message import Reply
from payi_instrument.wire.model import reply_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from hypothesis.strategies import SearchStrategy

    from payi_instrument.client.network import HttpClient, Library
    from payi_instrument.engine.engine import Engine
    from payi_instrument.wire.message import Request

METERS = ("sqlite", "postgres", "server-sqlite", "server-postgres")
embedded = pytest.mark.parametrize("client", METERS[:2], indirect=True)
"""Marks what only the embedded meters can be asked."""


def asks_for(metafunc: pytest.Metafunc, *names: str) -> bool:
    """Say whether a test takes these fixtures and leaves it to others to say which."""
    chosen = " ".join(str(marker.args[0]) for marker in metafunc.definition.iter_markers("parametrize"))
    return all(name in metafunc.fixturenames and name not in chosen for name in names)


def on_each_meter(metafunc: pytest.Metafunc) -> None:
    """Run a test that takes `client` or `place` on each meter: the `pytest_generate_tests` of those who want that."""
    for name in ("client", "place"):
        if asks_for(metafunc, name):
            metafunc.parametrize(name, METERS, indirect=True)


class Served:
    """A server of this process with any number of apps, each below a path of its own."""

    def __init__(self) -> None:
        self.apps: dict[str, Any] = {}
        config = uvicorn.Config(
            self.answer,
            interface="asgi3",
            port=0,
            http=CappedProtocol,
            proxy_headers=False,
            lifespan="off",
            log_config=None,
            access_log=False,
            ws="none",
        )
        self._server = uvicorn.Server(config)
        self._server.install_signal_handlers = lambda: None  # type: ignore[attr-defined,method-assign]
        threading.Thread(target=self._server.run, daemon=True).start()
        while not self._server.started:
            time.sleep(0.01)
        self.url = f"http://127.0.0.1:{self._server.servers[0].sockets[0].getsockname()[1]}"

    async def answer(self, scope: Any, receive: Any, send: Any) -> None:
        _, number, _ = scope["path"].split("/", 2)
        cut = len(number) + 1
        await self.apps[number](
            {**scope, "path": scope["path"][cut:], "raw_path": scope["raw_path"][cut:]}, receive, send
        )


@cache
def served() -> Served:
    return Served()


def http() -> HttpClient:
    """Return connections of the HTTP library in use that outlive a test: an HTTP client of its own costs more than most."""
    return _http(library())


@cache
def _http(used: Library) -> HttpClient:
    client = used.Client(verify=False)
    atexit.register(client.close)
    return client


@cache
def empty_file() -> Path:
    """Return an empty ledger to copy: to make one takes the migrations."""
    path = Path(tempfile.mkdtemp(prefix="payi-empty-")) / "l.db"
    Payi(base_url=f"sqlite:///{path}").close()
    return path


@cache
def kept_open(url: str) -> Payi:
    """Return a client that is never closed, so that those of all tests have one engine, and its connections."""
    return Payi(base_url=url)


_numbers = itertools.count()


@contextmanager
def serving(engine: Engine, metrics: Metrics | None = None, max_body: int = 32 << 20) -> Iterator[str]:
    """Serve an engine; return the URL."""
    server, number = served(), str(next(_numbers))
    server.apps[number] = create_app(engine, metrics or Metrics(), max_body=max_body)
    yield f"{server.url}/{number}"
    del server.apps[number]


def new_key(engine: Engine, application: str = "default", scope: str = "admin") -> str:
    """Make a key of an application."""
    return str(engine.new_key(application, scope))


class Place:
    """An empty ledger and clients of a meter on it, of any application and as strict as they like.

    On SQLite it is a file in `folder`, without one in memory, which is for one client alone.
    """

    def __init__(self, meter: str, folder: Path | None = None) -> None:
        self.meter = meter
        self._opened = ExitStack()
        self._served: dict[str, tuple[Engine, str]] = {}
        self._keys: dict[tuple[str, str, str], str] = {}
        if meter.endswith("postgres"):
            self.url = postgres.empty_ledger()
            kept_open(self.url)
        elif folder is None:
            self.url = "sqlite://"
        else:
            self.url = f"sqlite:///{shutil.copy(empty_file(), folder / 'place.db')}"

    @property
    def is_served(self) -> bool:
        """Say whether a server is between a client and the ledger."""
        return self.meter.startswith("server")

    def open(self, application: str = "default", *, key: str = "first", scope: str = "admin", **options: str) -> Payi:
        """Return a client; the options are those of an embedded meter's URL."""
        over: dict[str, Any] = {"http_client": http(), "max_retries": 0} if self.is_served else {}
        return self._opened.enter_context(Payi(**self.address(application, key=key, scope=scope, **options), **over))

    def address(
        self, application: str = "default", *, key: str = "first", scope: str = "admin", **options: str
    ) -> dict[str, str]:
        """Return what a client has to be told: `base_url` and, for a server, an `api_key`.

        `key` tells two keys of one application and scope apart; more it can't have.
        """
        if not self.is_served:
            return {"base_url": self._url(application=application, **options)}
        url = self._url(**options)
        if url not in self._served:
            if url == self.url and self.meter.endswith("postgres"):
                engine, _ = kept_open(url).transport.meter
            else:
                engine = Address.of(url).open()
                self._opened.callback(engine.close)
            self._served[url] = (engine, self._opened.enter_context(serving(engine)))
        engine, address = self._served[url]
        named = (application, key, scope)
        if named not in self._keys:
            self._keys[named] = new_key(engine, application, scope)
        return {"base_url": address, "api_key": self._keys[named]}

    def _url(self, **options: str) -> str:
        more = urlencode(options, quote_via=quote)
        return f"{self.url}{'&' if '?' in self.url else '?'}{more}" if more else self.url

    def rows(self, statement: str) -> list[dict[str, Any]]:
        """Return what is stored."""
        if self.meter.endswith("postgres"):
            with psycopg.connect(self.url, options="-c search_path=payi", row_factory=dict_row) as connection:
                return connection.execute(statement.encode()).fetchall()
        with closing(sqlite3.connect(self.url.removeprefix("sqlite:///"))) as connection:
            connection.row_factory = sqlite3.Row
            return list(map(dict, connection.execute(statement)))

    def close(self) -> None:
        self._opened.close()


@contextmanager
def client_of(meter: str) -> Iterator[Payi]:
    """Return a client of a meter with a new ledger."""
    with closing(Place(meter)) as place:
        yield place.open()


def property_of_embedded_meters(
    *, sqlite: int, postgres: int, **drawn: SearchStrategy[Any]
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Let a test hold for any example on either database, as many as said; each has a `client` with a new ledger."""
    examples = {"sqlite": sqlite, "postgres": postgres}

    def decorated(holds: Callable[..., None]) -> Callable[..., None]:
        @pytest.mark.parametrize("database", examples)
        @wraps(holds)
        def test(*, database: str, **fixtures: Any) -> None:
            def example(**values: Any) -> None:
                with client_of(database) as client:
                    holds(client=client, **fixtures, **values)

            example.__name__ = f"{holds.__name__}_on_{database}"  # its failures are remembered under this name
            settings(max_examples=examples[database])(given(**drawn)(example))()

        asked = [name for name in inspect.signature(holds).parameters if name not in {"client", *drawn}]
        parameters = [inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY) for name in ["database", *asked]]
        test.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        return test

    return decorated


class Answer(NamedTuple):
    """A status and the JSON values that came with it, whichever way they came."""

    status: int
    body: Any

    @property
    def code(self) -> str | None:
        """The code of a refusal."""
        code: str | None = self.body.get("xproxy_error", {}).get("code")
        return code


def answered(client: Payi, request: Request[Any]) -> Answer:
    """Send what the client's own methods would not; a refusal is an answer too, also that of the client itself."""
    try:
        reply = client.transport.send(request)
    except APIStatusError as error:
        reply = Reply(error.status_code, error.body)
    except ValueError as error:  # what HTTP can't carry never leaves the client
        if "carry" not in str(error) or not client.base_url.startswith("http"):
            raise
        reply = Reply(400, envelope(ContractError("request_processing_error", str(error))))
    return Answer(reply.status, json.loads(reply_text(reply.body) or b"null"))
