"""Many threads and processes on one ledger, some of them killed. Rows L-41, E-29."""

from __future__ import annotations

import random
import signal
import sqlite3
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from decimal import Decimal
from typing import IO, TYPE_CHECKING

import pytest

from payi_instrument.client.client import Payi

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from payi_instrument.wire.limits import Limit

START = """
import sys
import alembic.command, sqlalchemy
from payi_instrument.client.client import Payi
import payi_instrument.local
path, name = sys.argv[1:]
print("ready", flush=True)
sys.stdin.readline()
client = Payi(base_url="sqlite:///" + path)
price = {"text": {"input_price": 0.01}}
client.categories.resources.create("model", category="demo", units=price, start_timestamp="2024-01-01")
for limit_id in ("shared", name):
    client.limits.create(limit_name=limit_id, limit_id=limit_id, max=1)
def use(event_id):
    client.ingest.units(
        category="demo", resource="model", units={"text": {"input": 1}}, limit_ids=["shared", name], event_id=event_id
    )
"""
INGEST_50 = START + "for number in range(50): use(f'{name}-{number}')"
INGEST_FOREVER = START + "for number in range(10**9): use(f'{name}-{number}'); print(f'{name}-{number}', flush=True)"


@pytest.fixture
def processes() -> Iterator[list[subprocess.Popen[str]]]:
    started: list[subprocess.Popen[str]] = []
    yield started
    for process in started:
        process.kill()
        process.communicate()


def start(program: str, path: Path, name: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", program, str(path), name],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def pipe(stream: IO[str] | None) -> IO[str]:
    assert stream is not None
    return stream


def go(process: subprocess.Popen[str]) -> None:
    stdin = pipe(process.stdin)
    stdin.write("go\n")
    stdin.flush()


def read(client: Payi, limit_id: str) -> Limit:
    return client.limits.retrieve(limit_id).limit


def stored_cents(path: Path) -> int:
    """Add up the stored events themselves."""
    with closing(sqlite3.connect(path)) as connection:
        costs = connection.execute("SELECT cost_input, cost_output FROM events").fetchall()
    return int(sum(Decimal(amount) for row in costs for amount in row) * 100)


def test_e29_eight_processes_open_a_new_file_at_once_and_every_event_counts(
    tmp_path: Path, processes: list[subprocess.Popen[str]]
) -> None:
    path = tmp_path / "l.db"
    processes += [start(INGEST_50, path, f"own-{number}") for number in range(8)]
    for process in processes:
        assert pipe(process.stdout).readline() == "ready\n"
    for process in processes:
        go(process)
    failures = [process.communicate(timeout=60)[1] for process in processes]

    assert failures == [""] * 8
    with closing(Payi(base_url=f"sqlite:///{path}")) as client:
        shared = read(client, "shared").totals
        assert shared.cost.total.base_exact == Decimal("4.00")
        assert (shared.requests.total, shared.requests.ok, shared.requests.exceeded) == (400, 99, 1)
        for number in range(8):
            own = read(client, f"own-{number}").totals
            assert (own.cost.total.base_exact, own.requests.ok) == (Decimal("0.50"), 50)
    assert stored_cents(path) == 400


def test_a_killed_process_loses_nothing_that_it_was_answered(
    tmp_path: Path, processes: list[subprocess.Popen[str]]
) -> None:
    path = tmp_path / "l.db"
    rand = random.Random(7)
    answered: list[str] = []
    for attempt in range(4):
        process = start(INGEST_FOREVER, path, f"run-{attempt}")
        processes.append(process)
        stdout = pipe(process.stdout)
        assert stdout.readline() == "ready\n"
        go(process)
        answered.append(stdout.readline().strip())
        time.sleep(rand.uniform(0, 0.2))
        process.kill()
        answered += [line.strip() for line in stdout if line.endswith("\n")]
        process.wait()

    with closing(Payi(base_url=f"sqlite:///{path}")) as client:
        stored = stored_cents(path)
        shared = read(client, "shared").totals
        assert len(answered) <= stored <= len(answered) + 4
        assert shared.cost.total.base_exact * 100 == shared.requests.total == stored
        own = [read(client, f"run-{attempt}").totals.requests.total for attempt in range(4)]
        assert sum(own) == stored
        again = {
            client.ingest.units(category="demo", units={}, event_id=event_id).xproxy_result.duplicate_request
            for event_id in answered
        }
        assert again == {True}


def test_l41_32_threads_ingest_into_one_limit(client: Payi) -> None:
    client.categories.resources.create("model", category="demo", units={"text": {"input_price": 0.01}})
    client.limits.create(limit_name="a", limit_id="a", max=10)

    def ingest_50(_: int) -> list[float]:
        results = [
            client.ingest.units(
                category="demo", resource="model", units={"text": {"input": 1}}, limit_ids=["a"]
            ).xproxy_result
            for _ in range(50)
        ]
        return [result.limits["a"].spent or 0.0 for result in results]

    with ThreadPoolExecutor(32) as threads:
        seen = [spent for spends in threads.map(ingest_50, range(32)) for spent in spends]

    totals = read(client, "a").totals
    assert totals.cost.total.base_exact == Decimal("16.00")
    counts = totals.requests
    assert (counts.ok, counts.exceeded, counts.overrun, counts.total) == (999, 1, 600, 1600)
    assert sorted(seen) == [cents / 100 for cents in range(1, 1601)]


FIRST_USE = """
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from payi_instrument.client.client import Payi
client, barrier = Payi(base_url="sqlite://"), Barrier(16)
def first(number):
    barrier.wait()
    client.limits.create(limit_name=str(number), limit_id=str(number), max=1)
    client.ingest.bulk(events=[{"category": "demo", "units": {"text": {"input": 1}}}])
    answer = client.ingest.units(category="demo", units={"text": {"input": 1}}, limit_ids=[str(number)])
    return answer.xproxy_result.limits[str(number)].state, len(answer.to_json()) > 1
with ThreadPoolExecutor(16) as threads:
    print(set(threads.map(first, range(16))))
"""


def test_the_first_use_of_a_process_may_be_by_many_threads() -> None:
    """What is imported and built at first use is safe to build twice at once."""
    done = subprocess.run([sys.executable, "-c", FIRST_USE], capture_output=True, text=True, timeout=60, check=False)

    assert (done.stdout.strip(), done.stderr) == ("{('ok', True)}", "")


ALARMED = """
import asyncio, signal, sys, time
from payi_instrument import APIConnectionError, AsyncPayi, Payi
from payi_instrument.event import Attribution, UsageEvent

url, kind, handled = "sqlite:///" + sys.argv[1], *sys.argv[2:]
client, other = Payi(base_url=url), Payi(base_url=url + "?unpriced_events=record")
client.limits.create(limit_name="a", limit_id="a", max=1)
client.limits.create(limit_name="b", limit_id="b", max=1)
event = {"category": "c", "units": {}, "limit_ids": ["a"]}
acknowledged = in_handler = refused = 0
longest = 0.0

def ingest(to):
    return to.ingest.units(**event).xproxy_result.request_id is not None

ACTS = {
    "ingest": lambda: ingest(client),
    "ingest into another engine": lambda: ingest(other),
    "update": lambda: client.limits.update("b", max=2) is None,
    "retrieve": lambda: client.limits.retrieve("a") is None,
}

def on_alarm(number, frame):
    global in_handler, refused, longest
    began = time.perf_counter()
    try:
        in_handler += ACTS[handled]()
    except APIConnectionError as error:
        refused += "this thread" in str(error)
    longest = max(longest, time.perf_counter() - began)
    signal.setitimer(signal.ITIMER_REAL, 0.001)

def is_done():
    return acknowledged >= 2000 and (refused >= 5 or handled == "retrieve")

async def on_a_loop():
    global acknowledged
    who = Attribution(limit_ids=("a",))
    async with AsyncPayi(base_url=url) as asynchronous:
        while not is_done():
            events = [UsageEvent(None, "c", None, {}, who, record_unpriced=True) for _ in range(16)]
            acknowledged += len(await asynchronous.transport.aingest(events))

def in_a_thread():
    global acknowledged
    while not is_done():
        acknowledged += client.ingest.bulk(events=[event] * 200).ingest_count

signal.signal(signal.SIGALRM, on_alarm)
signal.setitimer(signal.ITIMER_REAL, 0.001)
asyncio.run(on_a_loop()) if kind == "loop" else in_a_thread()
signal.setitimer(signal.ITIMER_REAL, 0)
print(acknowledged + in_handler, client.limits.retrieve("a").limit.totals.requests.total, longest)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGALRM"), reason="needs alarms")
@pytest.mark.parametrize("kind", ["thread", "loop"])
@pytest.mark.parametrize("handled", ["ingest", "ingest into another engine", "update", "retrieve"])
def test_a_signals_handler_in_the_middle_of_a_commit_harms_nothing_and_never_waits_for_itself(
    tmp_path: Path, kind: str, handled: str
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", ALARMED, str(tmp_path / "l.db"), kind, handled],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    acknowledged, counted, longest = map(float, done.stdout.split())

    assert counted == acknowledged >= 2000
    assert longest < 10  # a thread that waits for itself does so for 30 seconds
