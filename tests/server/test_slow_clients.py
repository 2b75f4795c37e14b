"""Clients that take their time: what never becomes a request ends, what is being answered does not."""

from __future__ import annotations

import json
import sqlite3
import threading
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

import psycopg
import pytest
from running import DATABASES, Running, ledger_of
from wired import KEY, request

from payi_instrument.server.protocol import CappedProtocol

if TYPE_CHECKING:
    from collections.abc import Iterator

BODY = json.dumps({"category": "system.openai", "resource": None, "units": {}}).encode()
JSON = ("content-type", "application/json")


class Impatient(CappedProtocol):
    patience_s = 0.2


@pytest.fixture(scope="module", params=DATABASES)
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    running = Running(ledger_of(request.param, tmp_path_factory), protocol=Impatient)
    yield running
    running.stop()


def heads(server: Running) -> dict[str, bytes]:
    whole = request("POST", "/api/v1/ingest", headers=[(KEY, server.key()), JSON, ("content-length", str(len(BODY)))])
    unsized = request("POST", "/api/v1/ingest", headers=[(KEY, server.key()), JSON, ("transfer-encoding", "chunked")])
    refused = request("POST", "/api/v1/nothing", headers=[(KEY, server.key()), ("content-length", "1000")])
    return {
        "nothing": b"",
        "a letter": b"G",
        "a line": b"GET /healthz HTTP/1.1\r\n",
        "half a head": whole[:-4],
        "a head": whole,
        "half a body": whole + BODY[:10],
        "a chunk's head": unsized + b"%x\r\n" % len(BODY),
        "a chunk": unsized + b"%x\r\n%s\r\n" % (len(BODY), BODY),
        "no last line": unsized + b"%x\r\n%s\r\n0\r\n" % (len(BODY), BODY),
        "what is refused": refused + b"x" * 10,
        "a second head": request("GET", "/healthz") + whole[:-4],
        "a second body": request("GET", "/healthz") + whole + BODY[:10],
    }


@pytest.mark.parametrize(
    "sent",
    [
        "nothing",
        "a letter",
        "a line",
        "half a head",
        "a head",
        "half a body",
        "a chunk's head",
        "a chunk",
        "no last line",
    ],
)
def test_a_request_that_never_becomes_whole_ends(server: Running, sent: str) -> None:
    before = server.rows("SELECT count(*) FROM events")
    with server.wire() as wire:
        wire.send(heads(server)[sent])
        assert wire.is_closed()

    assert server.rows("SELECT count(*) FROM events") == before
    assert server.ask("GET", "/healthz").status == 200


@pytest.mark.parametrize(("sent", "status"), [("what is refused", 404), ("a second head", 200), ("a second body", 200)])
def test_what_stalls_behind_an_answer_ends_too(server: Running, sent: str, status: int) -> None:
    with server.wire() as wire:
        assert wire.ask(heads(server)[sent]).status == status
        assert wire.is_closed()


@contextmanager
def written_to(server: Running) -> Iterator[None]:
    """Keep the server from writing, as another writer of the database does."""
    if server.ledger.startswith("postgres"):
        with psycopg.connect(server.ledger, options="-c search_path=payi") as connection:
            connection.execute("LOCK TABLE events IN ACCESS EXCLUSIVE MODE")
            yield
        return
    with closing(sqlite3.connect(server.ledger.removeprefix("sqlite:///"), isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield
        connection.execute("ROLLBACK")


def test_an_answer_that_takes_its_time_is_waited_for(server: Running) -> None:
    longer = threading.Event()
    with server.wire() as wire:
        assert wire.ask(request("GET", "/healthz")).status == 200
        with written_to(server):
            wire.send(request("POST", "/api/v1/ingest", BODY, [(KEY, server.key())]))
            longer.wait(4 * Impatient.patience_s)
        assert wire.answer().status == 200
        longer.wait(4 * Impatient.patience_s)  # between requests there is another, longer time
        assert wire.ask(request("GET", "/healthz")).status == 200
