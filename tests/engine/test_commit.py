"""Group commit: each caller its own answer, in order, and one failure for all that shared a commit."""

from __future__ import annotations

import sqlite3
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from threading import Barrier, Lock, Semaphore
from typing import TYPE_CHECKING, Any

import pytest

from payi_instrument.client.client import Payi
from payi_instrument.engine.appraise import Options
from payi_instrument.engine.commit import Committer
from payi_instrument.engine.engine import Engine
from payi_instrument.engine.ledger import Ingest
from payi_instrument.engine.results import Booked
from payi_instrument.engine.store_sqlite import SqliteStore
from payi_instrument.errors import APIConnectionError
from payi_instrument.event import Attribution, UsageEvent
from payi_instrument.wire.message import Request
from payi_instrument.wire.operations import DELETE_LIMIT

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from payi_instrument.engine.bookkeeper import Outcome


class Doubler:
    """A committer that doubles numbers, each an item of its own, and what it was asked to commit.

    Callers arrive at `lock` one after another, so that a test can have them wait for it.
    """

    def __init__(self) -> None:
        self.groups: list[list[int]] = []
        self.trouble: BaseException | None = None
        self.lock = Lock()
        self.arrived = Semaphore(0)
        self.committer: Committer[list[int], int] = Committer(self._commit, self._arrive)

    def _arrive(self) -> Lock:
        self.arrived.release()
        return self.lock

    def _commit(self, items: list[list[int]]) -> list[int]:
        numbers = [number for item in items for number in item]
        self.groups.append(numbers)
        if self.trouble is not None:
            raise self.trouble
        return [number * 2 for number in numbers]

    def commit(self, number: int) -> int:
        return self.committer.commit([number])

    def commit_all(self, numbers: Iterable[int]) -> list[int | Exception]:
        return self.committer.commit_all([[number] for number in numbers])

    def together(self, *numbers: int) -> list[Future[int]]:
        """Commit numbers of as many threads in one group."""
        with ThreadPoolExecutor(len(numbers)) as threads:
            with self.lock:
                waiting: list[Future[int]] = []
                for number in numbers:
                    waiting.append(threads.submit(self.commit, number))
                    for _ in range(2):  # it looks whether it is alone, then queues and waits
                        self.arrived.acquire()
            return waiting


def test_a_lone_caller_commits_its_own_item() -> None:
    doubler = Doubler()

    assert doubler.commit(21) == 42
    assert doubler.commit_all([22]) == [44]
    assert doubler.commit_all([]) == []
    assert doubler.groups == [[21], [22]]


def test_callers_that_wait_are_committed_together_in_the_order_they_came() -> None:
    doubler = Doubler()

    assert [answer.result() for answer in doubler.together(1, 2, 3)] == [2, 4, 6]
    assert doubler.groups == [[1, 2, 3]]


def test_a_caller_that_fails_alone_lets_the_next_one_through() -> None:
    doubler = Doubler()
    doubler.trouble = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        doubler.commit(1)
    doubler.trouble = None

    assert doubler.commit(2) == 4


def test_a_group_holds_a_bounded_number_of_events() -> None:
    doubler = Doubler()

    assert doubler.commit_all(range(9000)) == [number * 2 for number in range(9000)]
    assert [len(group) for group in doubler.groups] == [4000, 4000, 1000]


def test_a_caller_with_many_events_is_not_parted() -> None:
    sizes: list[list[int]] = []
    committer: Committer[list[int], int] = Committer(
        lambda items: sizes.append([len(item) for item in items]) or [sum(item) for item in items], Lock
    )

    assert committer.commit_all([[1] * 3999, [1] * 5000, [1] * 4000, [1]]) == [3999, 5000, 4000, 1]
    assert sizes == [[3999, 5000], [4000], [1]]


def test_every_thread_gets_its_own_answer() -> None:
    doubler = Doubler()
    barrier = Barrier(8)

    def ask(first: int) -> bool:
        barrier.wait()
        numbers = range(first, first + 500)
        return all(doubler.commit(number) == number * 2 for number in numbers)

    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(ask, range(0, 4000, 500)))
    assert sorted(number for group in doubler.groups for number in group) == list(range(4000))


def test_a_failure_reaches_every_caller_of_the_group_and_no_other() -> None:
    doubler = Doubler()
    doubler.trouble = OSError("disk full")
    assert [failure.exception() for failure in doubler.together(0, 1, 2)] == [doubler.trouble] * 3
    assert doubler.commit_all([3, 4]) == [doubler.trouble] * 2

    doubler.trouble = None
    assert doubler.commit(5) == 10
    assert doubler.groups == [[0, 1, 2], [3, 4], [5]]


def test_an_interrupt_is_its_own_threads_and_tells_the_others_that_nothing_is_sure() -> None:
    doubler = Doubler()
    doubler.trouble = KeyboardInterrupt()
    failures = [failure.exception() for failure in doubler.together(1, 2, 3)]

    assert sorted(type(failure).__name__ for failure in failures) == ["APIConnectionError"] * 2 + ["KeyboardInterrupt"]
    assert all("KeyboardInterrupt" in str(failure) or failure is doubler.trouble for failure in failures)
    doubler.trouble = None
    assert doubler.commit(3) == 6


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
    failures = ledger.engine.ingest_all(
        [
            [Ingest("default", event(number, provider_request_json=large if number == 3 else None))]
            for number in range(1, 6)
        ]
    )

    assert len(failures) == 5
    for failure in failures:
        assert isinstance(failure, APIConnectionError)
        assert isinstance(failure.__cause__, sqlite3.OperationalError)
        assert "full" in str(failure)
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
