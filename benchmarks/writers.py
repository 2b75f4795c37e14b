"""Processes that ingest into one ledger at the same time, round after round."""

from __future__ import annotations

import itertools
import multiprocessing
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from payi_instrument.engine import store_postgres
from payi_instrument.engine.address import Address
from payi_instrument.engine.store_postgres_books import PostgresBooks
from payi_instrument.errors import APIConnectionError
from payi_instrument.event import Attribution, UsageEvent
from payi_instrument.ids import new_id

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_SECONDS = 3.0
_spawn = multiprocessing.get_context("spawn")


@dataclass(frozen=True)
class Job:
    """What a process does in a round: groups of `group` events, a commit each, every event on `named` of the limits."""

    group: int
    limits: tuple[str, ...] = ("hot",)
    named: int = 1
    application: str = "one"
    isolation: str = "READ COMMITTED"


class Done(NamedTuple):
    """What a process did in a round; times in seconds, `waited` and `held` summed over its commits."""

    events: int
    commits: int
    seconds: float
    waited: float
    held: float
    repeated: int
    given_up: int


def event(limit_ids: tuple[str, ...], user: int = 0) -> UsageEvent:
    """Make an event as calls through the openai SDK leave them."""
    return UsageEvent(
        new_id(),
        "system.openai",
        "gpt-4o",
        {"text": (1000, 300)},
        Attribution(limit_ids=limit_ids, user_id=f"user-{user % 1000}"),
        event_timestamp=datetime.now(UTC),
        end_to_end_latency_ms=850,
        http_status_code=200,
        provider_response_id=f"chatcmpl-{new_id()}",
    )


class Writer:
    """An engine that notes how long it waits for its limits, and how long it holds them."""

    def __init__(self, url: str) -> None:
        """Open the ledger; only one writer can be in a process."""
        self._engine = Address.of(url).open(self._committed)
        self._numbers = itertools.count()
        self._waited = self._held = self._locked = 0.0
        self._repeated = 0
        lock, translated = PostgresBooks.lock_limits, store_postgres.translated

        def timed(books: PostgresBooks, application: str, limit_ids: Sequence[str]) -> Any:
            begun = time.perf_counter()
            rows = lock(books, application, limit_ids)
            self._locked = time.perf_counter()
            self._waited += self._locked - begun
            return rows

        def counted(error: BaseException | None) -> Exception:
            own = translated(error)
            self._repeated += isinstance(own, store_postgres.RacedError)
            return own

        PostgresBooks.lock_limits = timed  # type: ignore[method-assign]
        store_postgres.translated = counted

    def _committed(self, _: int) -> None:
        self._held += time.perf_counter() - self._locked

    def run(self, job: Job) -> Done:
        """Ingest for a while."""
        store_postgres._BEGIN = f"BEGIN ISOLATION LEVEL {job.isolation}".encode()
        with suppress(APIConnectionError):
            self._engine.ingest(self._group(job), job.application)
        self._waited = self._held = 0.0
        self._repeated = commits = given_up = 0
        begun = time.perf_counter()
        while time.perf_counter() < begun + _SECONDS:
            try:
                self._engine.ingest(self._group(job), job.application)
                commits += 1
            except APIConnectionError:
                given_up += 1
        seconds = time.perf_counter() - begun
        return Done(commits * job.group, commits, seconds, self._waited, self._held, self._repeated, given_up)

    def _group(self, job: Job) -> list[UsageEvent]:
        count, named = len(job.limits), job.named
        return [
            event(tuple(job.limits[(number * named + at) % count] for at in range(named)), number)
            for number in itertools.islice(self._numbers, job.group)
        ]


def rounds(url: str, jobs: Sequence[tuple[Job | None, ...]]) -> list[list[Done]]:
    """Run rounds of jobs: all jobs of a round at the same time, each in a process of its own."""
    count = len(jobs[0])
    barrier, results = _spawn.Barrier(count), _spawn.Queue()
    processes = [_spawn.Process(target=_write, args=(url, own, barrier, results)) for own in zip(*jobs, strict=True)]
    for process in processes:
        process.start()
    found: list[list[Done]] = [[] for _ in jobs]
    for _ in range(sum(job is not None for round_ in jobs for job in round_)):
        number, done = results.get(timeout=60 + len(jobs) * _SECONDS)
        found[number].append(done)
    for process in processes:
        process.join()
    return found


@contextmanager
def beside(url: str, job: Job, times: int) -> Iterator[None]:
    """Run a job in another process while the block runs, a few seconds each time."""
    barrier, results = _spawn.Barrier(1), _spawn.Queue()
    process = _spawn.Process(target=_write, args=(url, [job] * times, barrier, results))
    process.start()
    time.sleep(2)  # until it is at work
    yield
    process.join()


def _write(url: str, jobs: Sequence[Job | None], barrier: Any, results: Any) -> None:
    writer = Writer(url)
    for number, job in enumerate(jobs):
        barrier.wait()
        if job is not None:
            results.put((number, writer.run(job)))
