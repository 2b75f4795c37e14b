"""How a ledger grows and scales, part by part: `python benchmarks/bench_scaling.py PART...`, without a name all parts.

docs/server.md and docs/scaling.md say what the parts show. Each takes a minute at most on a quiet machine.
"""

from __future__ import annotations

import http.client
import itertools
import json
import os
import re
import signal
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
from databases import client_of, database, standby
from writers import Job, beside, event, rounds

from payi_instrument import Payi
from payi_instrument.engine import store_postgres
from payi_instrument.engine.address import Address
from payi_instrument.ids import new_id, ordered_id

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from writers import Done

_HERE = Path(__file__).parent
_PAYI = [sys.executable, "-c", "from payi_instrument.cli import main; main()"]


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print a table as Markdown."""
    print(f"\n{title}\n")
    print(f"| {' | '.join(columns)} |\n|{' --- |' * len(columns)}")
    for row in rows:
        print(f"| {' | '.join(map(_cell, row))} |", flush=True)


def _cell(value: object) -> str:
    if isinstance(value, float):
        return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _rate(done: Sequence[Done]) -> float:
    return sum(one.events / one.seconds for one in done)


def _ms(done: Sequence[Done], figure: str) -> float:
    """Return the mean of a figure over all commits."""
    return 1e3 * sum(getattr(one, figure) for one in done) / max(sum(one.commits for one in done), 1)


def growth() -> None:
    """What an event takes on disk and in the write-ahead log."""
    limits = ("team", "month")
    indexes = ("events_pkey", "events_application_event_id_key", "events_by_response")
    rows: list[tuple[str, float, float]] = []
    with database(*limits) as url, psycopg.connect(url, autocommit=True) as look:
        engine = Address.of(url).open()
        for count, group in ((200_000, 1000), (2000, 1)):
            start, begun = _one(look, "SELECT pg_current_wal_insert_lsn()"), time.perf_counter()
            for at in range(0, count, group):
                engine.ingest([event(limits, at + more) for more in range(group)], "one")
            rate = count / (time.perf_counter() - begun)
            log = _one(look, "SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), %s)", start)
            rows.append((f"{count:,} events, {group:,} a commit", float(log) / count, rate))
        engine.close()
        look.execute("VACUUM ANALYZE payi.events")
        events = _one(look, "SELECT count(*) FROM payi.events")
        sizes = [("the table", _one(look, "SELECT pg_table_size('payi.events')") / events)]
        sizes += [(name, _one(look, f"SELECT pg_relation_size('payi.{name}')") / events) for name in indexes]
        sizes += [("together", _one(look, "SELECT pg_total_relation_size('payi.events')") / events)]
    table("PostgreSQL, write-ahead log", ("what", "bytes an event", "events/s"), rows)
    table("PostgreSQL, disk", ("what", "bytes an event"), sizes)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "l.db"
        with Payi(base_url=f"sqlite:///{path}") as client:
            for limit_id in limits:
                client.limits.create(limit_name=limit_id, limit_id=limit_id, max=1_000_000_000)
            for at in range(0, 100_000, 1000):
                client.transport.ingest([event(limits, at + more) for more in range(1000)])
        table("SQLite, 100,000 events", ("bytes an event",), [(path.stat().st_size / 100_000,)])


def _one(connection: psycopg.Connection[Any], statement: str, *values: object) -> Any:
    return (connection.execute(statement.encode(), values).fetchone() or [None])[0]


def hot_limit() -> None:
    """One limit that every event counts on: how many events a commit holds, and how many processes write."""
    groups = (1, 4, 16, 64, 256, 1000)
    jobs = [(Job(group), other) for group in groups for other in (None, Job(group))]
    with database("hot") as url:
        found = rounds(url, jobs)
    rows = [
        (group, _rate(one), _ms(one, "held"), _rate(two), _ms(two, "held"), _ms(two, "waited"))
        for group, one, two in zip(groups, found[::2], found[1::2], strict=True)
    ]
    of_two = ("2 processes, events/s", "lock held, ms", "waited for, ms")
    table("One hot limit", ("events a commit", "1 process, events/s", "lock held, ms", *of_two), rows)


def many_limits() -> None:
    """What each limit that an event names costs, and many of them where one was."""
    many = tuple(f"limit-{number:03}" for number in range(512))
    jobs = {
        "none": Job(64, named=0),
        "the same 1": Job(64, many[:1]),
        "the same 3": Job(64, many[:3], 3),
        "1 of 512": Job(64, many),
        "3 of 512": Job(64, many, 3),
        "8 of 512": Job(64, many, 8),
    }
    with database(*many) as url:
        found = rounds(url, [(job,) for job in jobs.values()])
    rows = [
        (name, min(64 * job.named, len(job.limits)), _rate(done), _ms(done, "seconds"))
        for (name, job), done in zip(jobs.items(), found, strict=True)
    ]
    table("64 events a commit", ("limits that an event names", "rows locked", "events/s", "ms a commit"), rows)


def applications() -> None:
    """Two processes that share a limit, an application, or nothing."""
    groups = (1, 16, 256)
    cases: dict[str, Callable[[int], tuple[Job | None, Job | None]]] = {
        "one process": lambda group: (Job(group), None),
        "two, the same limit": lambda group: (Job(group), Job(group)),
        "two, a limit each": lambda group: (Job(group), Job(group, ("other",))),
        "two, an application each": lambda group: (Job(group), Job(group, application="two")),
    }
    with database("hot", "other", applications=("one", "two")) as url:
        found = rounds(url, [case(group) for group in groups for case in cases.values()])
    rows = []
    for index, name in enumerate(cases):
        pairs = ((_rate(done), _ms(done, "waited")) for done in found[index :: len(cases)])
        rows.append((name, *itertools.chain.from_iterable(pairs)))
    columns = itertools.chain.from_iterable((f"{group} a commit: events/s", "waited, ms") for group in groups)
    table("Writers, and what they share", ("writers", *columns), rows)


def workers() -> None:
    """Single events over HTTP on one hot limit: clients, worker processes, and what a commit holds."""
    rows = []
    for count in (1, 2):
        with database("hot") as url, _served(url, count) as (port, key):
            for clients, requests in ((1, 1000), (16, 5000), (64, 10_000)):
                before = _counted(port, key)
                done = _load(port, key, clients, requests)
                events, commits = (after - was for after, was in zip(_counted(port, key), before, strict=True))
                if done["statuses"] != {"200": requests} or events != requests:
                    raise SystemExit(f"not every event was booked: {done}, {events}")
                rate = requests / done["seconds"]
                rows.append((count, clients, rate, done["p50_ms"], done["p99_ms"], events / commits))
    columns = ("workers", "clients", "events/s", "p50, ms", "p99, ms", "events a commit")
    table("Single events over HTTP, one hot limit", columns, rows)


@contextmanager
def _served(url: str, workers: int) -> Iterator[tuple[int, str]]:
    """Run `payi-instrument serve` on a ledger; return its port and a key."""
    create = [*_PAYI, "keys", "create", "--application", "one", "--database-url", url]
    key = subprocess.run(create, check=True, capture_output=True, text=True).stdout.split()[-1]
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
    options = ["--port", str(port), "--workers", str(workers), "--log-level", "error"]
    server = subprocess.Popen([*_PAYI, "serve", "--database-url", url, *options])
    try:
        for _ in range(300):
            try:
                if _get(port, "/readyz")[0] == http.client.OK:
                    break
            except OSError:
                time.sleep(0.1)
        time.sleep(2)  # the other worker too
        yield port, key
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(60)


def _get(port: int, path: str, **headers: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port)
    try:
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def _counted(port: int, key: str) -> tuple[float, float]:
    """Return the events and the commits that the server counted."""
    text = _get(port, "/metrics", Authorization=f"Bearer {key}")[1]
    events, commits = (
        sum(float(value) for value in re.findall(rf"^{name}(?:{{.*}})? (.*)$", text, re.MULTILINE))
        for name in ("payi_events_total", "payi_commits_total")
    )
    return events, commits


def _load(port: int, key: str, clients: int, requests: int) -> dict[str, Any]:
    used = {"category": "system.openai", "resource": "gpt-4o", "units": {"text": {"input": 1000, "output": 300}}}
    body = json.dumps(used)
    head = (
        f"POST /api/v1/ingest HTTP/1.1\r\nhost: meter\r\nxproxy-api-key: {key}\r\ncontent-type: application/json\r\n"
        f"content-length: {len(body)}\r\nxproxy-limit-ids: hot\r\nxproxy-user-id: ada\r\nxproxy-event-id: "
    )
    with tempfile.NamedTemporaryFile() as file:
        for _ in range(requests):
            request = f"{head}{new_id()}\r\n\r\n{body}".encode()
            file.write(struct.pack(">I", len(request)) + request)
        file.flush()
        command = [sys.executable, str(_HERE / "load.py"), "127.0.0.1", str(port), str(clients), file.name]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def replica() -> None:
    """A hot standby: how far behind it is, what it answers, what it refuses."""
    with database("hot", applications=("one", "two")) as url, standby(url) as copy:
        lags = {"nothing else": _lags(url, copy)}
        with beside(url, Job(64, application="two"), 3):
            lags["64 events a commit, without a pause"] = _lags(url, copy)
        rows = [
            (name, len(found), *(1e3 * found[int(len(found) * share)] for share in (0.5, 0.99)), 1e3 * found[-1])
            for name, found in lags.items()
        ]
        columns = ("what else is booked meanwhile", "looks", "p50, ms", "p99, ms", "most, ms")
        table("From the answer of the primary until the standby says the same", columns, rows)
        with client_of(copy) as client:
            calls: dict[str, Callable[[], Any]] = {
                "a limit is read": partial(client.limits.retrieve, "hot"),
                "limits are listed": client.limits.list,
                "an event is ingested": partial(client.transport.ingest, [event(("hot",))]),
                "a limit is created": partial(client.limits.create, limit_name="x", max=1),
            }
            table(
                "What a standby answers",
                ("operation", "answer"),
                [(name, _answer(call)) for name, call in calls.items()],
            )


def _answer(call: Callable[[], object]) -> str:
    try:
        call()
    except Exception as error:  # noqa: BLE001  # which it is, is what is asked
        return f"{type(error).__name__}: {str(error).splitlines()[0][:120]}"
    return "answered"


def _lags(url: str, copy: str) -> list[float]:
    """Return how long after the answer of one the other says the same, in seconds, in order."""
    lags: list[float] = []
    primary, behind = Address.of(url).open(), Address.of(copy).open()
    until = time.perf_counter() + 5
    while time.perf_counter() < until:
        primary.ingest([event(("hot",))], "one")
        begun = time.perf_counter()
        spent = primary.limit_states(["hot"], "one")["hot"].spent
        while behind.limit_states(["hot"], "one")["hot"].spent < spent:
            pass
        lags.append(time.perf_counter() - begun)
    primary.close()
    behind.close()
    return sorted(lags)


_NAMES = (
    "request_id, application, event_id, category, resource, resource_id, provider_response_id, event_timestamp,"
    " ingest_timestamp, units, cost_input, cost_output, limits, user_id"
)
_PRICED = ('{"text":[1000,300]}', "0.0025", "0.003", '[["hot","ok","allow","1000000","0.5"]]', "ada")
_MILLION = f"""
    INSERT INTO events ({_NAMES})
    SELECT '0000-' || lpad(n::text, 31, '0'), 'one', gen_random_uuid()::text, 'system.openai', 'gpt-4o',
    gen_random_uuid()::text, 'chatcmpl-' || gen_random_uuid()::text, n, n, {", ".join(map(repr, _PRICED))}
    FROM generate_series(1, 1000000) AS n
"""
_IDS = 'application text COLLATE "C", event_id text COLLATE "C", request_id text COLLATE "C"'


def partitions() -> None:
    """What indexes of random ids cost once a million events are there, and what would stand in their place."""
    with database() as url, psycopg.connect(url, autocommit=True) as connection:
        run = connection.execute
        run("SET search_path = payi")
        rows = [("an empty table", *_inserts(connection))]
        run("TRUNCATE events")
        run(_MILLION.encode())
        run("VACUUM ANALYZE events")
        rows.append(("1,000,000 events", *_inserts(connection)))
        rows.append(("1,000,000 events, new event ids ordered by time", *_inserts(connection, event_id=ordered_id)))
        run("ALTER TABLE events DROP CONSTRAINT events_application_event_id_key")
        run("DROP INDEX events_by_response")
        rows.append(("1,000,000 events, without the two indexes of random ids", *_inserts(connection)))
        run(f"CREATE TABLE event_ids ({_IDS})".encode())
        run("INSERT INTO event_ids SELECT application, event_id, request_id FROM events WHERE event_id IS NOT NULL")
        run("ALTER TABLE event_ids ADD PRIMARY KEY (application, event_id)")
        run("CREATE TABLE part (LIKE events, PRIMARY KEY (request_id))")
        run("CREATE INDEX ON part (application, category, provider_response_id)")
        run("VACUUM ANALYZE event_ids")
        rows.append(("a new partition, and a table of 1,000,000 event ids", *_inserts(connection, "part", ids=True)))
    log = ("log after a checkpoint, bytes an event", "log later")
    table("1,000 events a commit", ("into", "ms after a checkpoint", "ms later", *log), rows)


def _inserts(
    connection: psycopg.Connection[Any],
    into: str = "events",
    *,
    ids: bool = False,
    event_id: Callable[[], str] = new_id,
) -> tuple[float, ...]:
    """Return the median time of a commit and the log that an event takes, right after a checkpoint and later."""
    connection.execute("CHECKPOINT")
    times, logs = [], []
    for _ in range(2):
        start = _one(connection, "SELECT pg_current_wal_insert_lsn()")
        batches = [[_row(event_id()) for _ in range(1000)] for _ in range(25)]
        times.append(statistics.median(_insert(connection, into, batch, ids=ids) for batch in batches))
        log = _one(connection, "SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), %s)", start)
        logs.append(float(log) / 25_000)
    return (*(1e3 * seconds for seconds in times), *logs)


def _insert(connection: psycopg.Connection[Any], into: str, batch: list[tuple[Any, ...]], *, ids: bool) -> float:
    begun = time.perf_counter()
    with connection.transaction():
        if ids:
            with connection.cursor().copy("COPY event_ids FROM STDIN") as copy:
                for row in batch:
                    copy.write_row((row[1], row[2], row[0]))
        with connection.cursor().copy(f"COPY {into} ({_NAMES}) FROM STDIN".encode()) as copy:
            for row in batch:
                copy.write_row(row)
    return time.perf_counter() - begun


def _row(event_id: str) -> tuple[object, ...]:
    now = time.time_ns() // 1000
    names = (ordered_id(), "one", event_id, "system.openai", "gpt-4o", new_id(), f"chatcmpl-{new_id()}")
    return (*names, now, now, *_PRICED)


def statements() -> None:
    """Every statement that the driver sends for an ingest and for a look at a limit, and which name the application."""
    store_postgres._MAX_CONNECTIONS = 1
    rows: list[tuple[str, str, str]] = []
    with database("hot") as url, tempfile.TemporaryFile() as trace:
        engine = Address.of(url).open()
        engine.ingest([event(("hot",))], "one")
        store: Any = engine._store
        connection = store.begin()
        connection.pgconn.trace(trace.fileno())
        store.give_back(connection)
        steps: dict[str, Callable[[], object]] = {
            "one event": partial(engine.ingest, [event(("hot",))], "one"),
            "200 events": lambda: engine.ingest([event(("hot",)) for _ in range(200)], "one"),
            "how a limit stands": partial(engine.limit_states, ["hot"], "one"),
        }
        at = os.fstat(trace.fileno()).st_size
        for name, step in steps.items():
            step()
            sent = os.pread(trace.fileno(), 1 << 24, at)
            at += len(sent)
            texts = re.findall(r'\tF\t\d+\t(?:Parse\t "\w*"|Query\t) "([^"]*)', sent.decode())
            rows += [(name, text[:56], _scope(text)) for text in texts]
        engine.close()
    table("Statements", ("of", "statement begins", "names the application"), rows)


def _scope(statement: str) -> str:
    if statement.startswith(("BEGIN", "COMMIT")):
        return "-"
    return "yes" if "application" in statement else "no"


def serializable() -> None:
    """What becomes of two writers on an engine that answers a conflict with an error instead of making one wait."""
    levels = ("READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE")
    jobs = [(Job(group, isolation=level),) * 2 for group in (1, 64) for level in levels]
    with database("hot") as url:
        found = rounds(url, jobs)
        with client_of(url) as client:
            counted = client.limits.retrieve("hot").limit.totals.requests.total
        with psycopg.connect(url) as look:
            stored = _one(look, "SELECT count(*) FROM payi.events")
    rows = []
    for (job, _), done in zip(jobs, found, strict=True):
        commits, repeated, given_up = (
            sum(getattr(one, name) for one in done) for name in ("commits", "repeated", "given_up")
        )
        share = given_up / (commits + given_up)
        rows.append((job.group, job.isolation, _rate(done), f"{repeated / commits:.2f}", f"{share:.1%}"))
    columns = ("events a commit", "isolation", "events/s", "raced, a commit", "commits given up")
    table("Two processes, one limit", columns, rows)
    print(f"\nThe limit counts {counted:,} events, {stored:,} are stored.")


PARTS: dict[str, Callable[[], None]] = {
    part.__name__: part
    for part in (growth, hot_limit, workers, many_limits, applications, replica, partitions, statements, serializable)
}


def main() -> None:
    """Run the parts that are named."""
    for name in sys.argv[1:] or PARTS:
        begun = time.perf_counter()
        PARTS[name]()
        print(f"\n{name} took {time.perf_counter() - begun:.0f} s")


if __name__ == "__main__":
    main()
