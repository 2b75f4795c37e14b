"""Group commit: each caller its own answer, in order, and one failure for all that shared a commit."""

from __future__ import annotations

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from threading import Barrier, Lock
from typing import TYPE_CHECKING, Any

import pytest

from payi_instrument.client.client import Payi
from payi_instrument.engine.appraise import Options
from payi_instrument.engine.commit import Committer
from payi_instrument.engine.engine import Engine
from payi_instrument.engine.results import Booked
from payi_instrument.engine.store_sqlite import SqliteStore
from payi_instrument.errors import APIConnectionError
from payi_instrument.event import Attribution, UsageEvent
from payi_instrument.wire.message import Request
from payi_instrument.wire.operations import DELETE_LIMIT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from payi_instrument.engine.meter import Outcome


class Doubler:
    """A committer that doubles numbers, and what it was asked to commit."""

    def __init__(self) -> None:
        self.groups: list[list[int]] = []
        self.trouble: BaseException | None = None
        lock = Lock()
        self.committer: Committer[int, int] = Committer(self._commit, lambda: lock)

    def _commit(self, items: list[int]) -> list[int]:
        self.groups.append(items)
        if self.trouble is not None:
            raise self.trouble
        return [item * 2 for item in items]


def test_a_lone_caller_commits_its_own_item() -> None:
    doubler = Doubler()

    assert doubler.committer.commit(21) == 42
    assert doubler.committer.settle(doubler.committer.put(22)) == 44
    assert doubler.groups == [[21], [22]]


def test_a_caller_commits_what_others_queued_before_it_too() -> None:
    doubler = Doubler()
    ticket = doubler.committer.put(1)

    assert doubler.committer.commit(2) == 4
    assert doubler.committer.settle(ticket) == 2
    assert doubler.groups == [[1, 2]]


def test_a_caller_that_fails_alone_lets_the_next_one_through() -> None:
    doubler = Doubler()
    doubler.trouble = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        doubler.committer.commit(1)
    doubler.trouble = None

    assert doubler.committer.commit(2) == 4


def test_the_first_caller_commits_all_that_is_queued_in_order() -> None:
    doubler = Doubler()
    tickets = [doubler.committer.put(number) for number in range(300)]

    assert doubler.committer.settle(tickets[-1]) == 598
    assert doubler.groups == [list(range(256)), list(range(256, 300))]
    assert [doubler.committer.settle(ticket) for ticket in tickets] == [number * 2 for number in range(300)]
    assert len(doubler.groups) == 2


def test_every_thread_gets_its_own_answer() -> None:
    doubler = Doubler()
    barrier = Barrier(8)

    def ask(first: int) -> bool:
        barrier.wait()
        numbers = range(first, first + 500)
        return all(doubler.committer.commit(number) == number * 2 for number in numbers)

    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(ask, range(0, 4000, 500)))
    assert sorted(number for group in doubler.groups for number in group) == list(range(4000))


def test_a_failure_reaches_every_caller_of_the_group_and_no_other() -> None:
    doubler = Doubler()
    tickets = [doubler.committer.put(number) for number in range(3)]
    doubler.trouble = OSError("disk full")
    for ticket in reversed(tickets):
        with pytest.raises(OSError, match="disk full"):
            doubler.committer.settle(ticket)

    doubler.trouble = None
    assert doubler.committer.settle(doubler.committer.put(4)) == 8
    assert doubler.groups == [[0, 1, 2], [4]]


def test_an_interrupt_is_its_own_threads_and_tells_the_others_that_nothing_is_sure() -> None:
    doubler = Doubler()
    mine, other = doubler.committer.put(1), doubler.committer.put(2)
    doubler.trouble = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        doubler.committer.settle(mine)
    with pytest.raises(APIConnectionError, match="KeyboardInterrupt"):
        doubler.committer.settle(other)

    doubler.trouble = None
    assert doubler.committer.settle(doubler.committer.put(3)) == 6


class Ledger:
    """An engine on a file, whose connection a test can put under pressure."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.store = SqliteStore(str(path))
        self.engine = Engine(self.store, Options())
        with closing(Payi(base_url=f"sqlite:///{path}")) as client:
            client.limits.create(limit_name="a", limit_id="a", max=1)

    def ingest(self, *events: UsageEvent) -> list[Outcome]:
        return self.engine.ingest(list(events), "default")

    def pragma(self, setting: str) -> None:
        with self.store.lock:
            self.store.connection.execute(f"PRAGMA {setting}")

    def rows(self) -> tuple[int, int]:
        """Return how many events are stored, and how many the limit counted."""
        with closing(sqlite3.connect(self.path)) as connection:
            [(events,)] = connection.execute("SELECT count(*) FROM events")
            [(counted,)] = connection.execute("SELECT ok + exceeded + overrun FROM limits")
        return events, counted


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    ledger = Ledger(tmp_path / "l.db")
    yield ledger
    ledger.store.close()


def event(number: int, **changes: Any) -> UsageEvent:
    who = Attribution(limit_ids=("a",))
    return UsageEvent(
        event_id=f"e{number}", category="demo", resource=None, units={"text": (1, 0)}, attribution=who, **changes
    )


def test_a_full_disk_fails_every_caller_and_stores_nothing_by_half(ledger: Ledger) -> None:
    ledger.ingest(event(0))
    with ledger.store.lock:
        [pages] = ledger.store.connection.execute("PRAGMA page_count").fetchone()
    ledger.pragma(f"max_page_count = {pages + 2}")
    large = "x" * 200_000
    tickets = [
        ledger.engine.put([event(number, provider_request_json=large if number == 3 else None)], "default")
        for number in range(1, 6)
    ]
    with ThreadPoolExecutor(5) as threads:
        failures = [threads.submit(ledger.engine.settle, ticket).exception() for ticket in tickets]

    assert {type(failure) for failure in failures} == {APIConnectionError}
    assert all(isinstance(failure.__cause__, sqlite3.OperationalError) for failure in failures if failure)
    assert all("full" in str(failure) for failure in failures)
    assert ledger.rows() == (1, 1)

    ledger.pragma("max_page_count = 100000")
    [again] = ledger.ingest(event(3))
    assert isinstance(again, Booked)
    assert again.result().duplicate_request is None
    assert ledger.rows() == (2, 2)


def test_a_locked_ledger_is_an_error_and_the_retry_counts_once(ledger: Ledger) -> None:
    ledger.pragma("busy_timeout = 20")
    with closing(sqlite3.connect(ledger.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        for _ in range(2):
            with pytest.raises(APIConnectionError, match="locked"):
                ledger.ingest(event(1), event(2))
        other.execute("ROLLBACK")

    outcomes = [outcome for _ in range(2) for outcome in ledger.ingest(event(1), event(2))]
    results = [outcome.result() for outcome in outcomes if isinstance(outcome, Booked)]
    assert [result.duplicate_request for result in results] == [None, None, True, True]
    assert ledger.rows() == (2, 2)


def test_a_locked_ledger_is_an_error_of_the_management_operations_too(ledger: Ledger) -> None:
    ledger.pragma("busy_timeout = 20")
    delete = Request(DELETE_LIMIT, path={"limit_id": "a"})
    with closing(sqlite3.connect(ledger.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(APIConnectionError, match="locked") as caught:
            ledger.engine.answer(delete, "default")
        other.execute("ROLLBACK")

    assert isinstance(caught.value.__cause__, sqlite3.OperationalError)
    assert ledger.engine.answer(delete, "default").status == 200


def test_a_closed_store_is_an_error(ledger: Ledger) -> None:
    ledger.store.close()
    with pytest.raises(APIConnectionError, match="closed"):
        ledger.ingest(event(1))
