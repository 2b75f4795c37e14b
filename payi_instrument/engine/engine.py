"""The embedded meter as one object: a ledger, the system prices, and the way in for requests and events."""

from __future__ import annotations

import weakref
from datetime import UTC, datetime
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, Protocol

from pydantic import ValidationError

from payi_instrument.engine import limits as rules
from payi_instrument.engine.bookkeeper import Outcome
from payi_instrument.engine.bulk import BulkAnswer
from payi_instrument.engine.catalogue import system_catalogue
from payi_instrument.engine.commit import Committer
from payi_instrument.engine.intake import bulk_events, described, single
from payi_instrument.engine.keys import Key
from payi_instrument.engine.ledger import Ingest, IngestStore
from payi_instrument.engine.meter import Meter
from payi_instrument.engine.nowait import NoWait, NoWaitStore
from payi_instrument.engine.results import Standing
from payi_instrument.errors import APIConnectionError
from payi_instrument.wire import operations as table
from payi_instrument.wire.codes import ContractError, envelope
from payi_instrument.wire.message import Reply, Request

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from payi_instrument.engine.appraise import Options
    from payi_instrument.engine.commit import Lock
    from payi_instrument.engine.ledger import LimitRow
    from payi_instrument.engine.store_core.store import CoreStore
    from payi_instrument.event import UsageEvent
    from payi_instrument.wire.result import LimitResult

Batch = list[Ingest]


class LedgerStore(IngestStore, Protocol):
    """A ledger on a database, open."""

    def lock_to_write(self) -> Lock:
        """Return the lock that a writer of this process holds."""
        ...

    def read_limits(self, application: str, limit_ids: Sequence[str]) -> dict[str, LimitRow]:
        """Read the limits that exist as they stand; raises `APIConnectionError`."""
        ...

    def without_waiting(self) -> NoWaitStore | None:
        """Return a store of the same ledger that never waits, None where that can't be."""
        ...

    def core(self) -> CoreStore:
        """Return the ledger's cold side."""
        ...

    def close(self) -> None:
        """Close the ledger."""
        ...


class Engine:
    """Answer operations and ingest events for any number of threads and applications.

    The ledger is closed when nobody refers to its engine any more.
    """

    def __init__(self, store: LedgerStore, options: Options, on_commit: Callable[[int], None] | None = None) -> None:
        """Take an open ledger, how strict to be, and whom to tell how many events each commit held."""
        self._closing: list[Callable[[], object]] = []
        self._store = store
        self._meter = partial(Meter, catalogue=system_catalogue(), options=options)
        commit = partial(_commit, self._meter(store), on_commit or _nobody)
        self._committer: Committer[Batch, list[Outcome]] = Committer(commit, store.lock_to_write)
        self._close_with_me(store.close)

    def _close_with_me(self, close: Callable[[], None]) -> None:
        closing = weakref.finalize(self, close)
        closing.atexit = False  # what other exit hooks still deliver comes first
        self._closing.append(closing)

    @cached_property
    def _core(self) -> CoreStore:
        core = self._store.core()
        self._close_with_me(core.close)
        return core

    @cached_property
    def _nowait(self) -> NoWait:
        nowait = NoWait(self._store, self._meter)
        self._close_with_me(nowait.close)
        return nowait

    def caller(self, key: str) -> tuple[str, str] | None:
        """Return the application and the scope of an API key, None for one that is unknown or revoked."""
        with self._core.reading() as ledger:
            return ledger.keys.caller(key)

    def new_key(self, application: str, scope: str) -> Key:
        """Make an API key; raises `PayiError` as `KeyRows.create` says."""
        with self._core.transaction("keys") as ledger:
            return ledger.keys.create(application, scope, datetime.now(UTC))

    def is_ready(self) -> bool:
        """Say whether the database answers."""
        try:
            with self._core.reading() as ledger:
                ledger.keys.caller(str(Key.new()))
        except APIConnectionError:
            return False
        return True

    def close(self) -> None:
        """Close the ledger now; nothing is answered after that."""
        for finalizer in self._closing:
            finalizer()

    def answer(self, request: Request[Any], application: str) -> Reply:
        """Answer one operation."""
        try:
            if request.operation is table.INGEST:
                return self._ingest_single(request, application)
            if request.operation in {table.INGEST_BULK, table.INGEST_BULK_UPSERT}:
                answer = self.bulk(request, application)
                return Reply(answer.status, answer.model())
        except ContractError as error:
            return Reply(error.status, envelope(error))
        from payi_instrument.engine.operations.answer import answer as answer_operation

        return answer_operation(request, application, self._core, system_catalogue())

    def _ingest_single(self, request: Request[Any], application: str) -> Reply:
        [outcome] = self.ingest([single(request)], application)
        if isinstance(outcome, ContractError):
            raise outcome
        return Reply(200, outcome.response())

    def bulk(self, request: Request[Any], application: str) -> BulkAnswer:
        """Book the good items of a bulk call, in order; the bad ones are named in the answer (wire-api section 3.2).

        Raises `ContractError` when the call itself is wrong.
        """
        with_results = _wants_results(request)
        outcomes = bulk_events(request.body)
        events = [item for item in outcomes if not isinstance(item, Outcome)]
        if request.operation is table.INGEST_BULK_UPSERT:  # one by one: an item may replace the one before it
            batches = [self._committer.commit([Ingest(application, event, replaces=True)]) for event in events]
            booked = iter([outcome for [outcome] in batches])
        else:
            booked = iter(self.ingest(events, application))
        settled = [item if isinstance(item, Outcome) else next(booked) for item in outcomes]
        return BulkAnswer(settled, with_results)

    def ingest(self, events: list[UsageEvent], application: str) -> list[Outcome]:
        """Book events in order and return an outcome for each; it is durable when this returns (design decision 9).

        Raises `APIConnectionError` when nothing could be stored.
        """
        return self._committer.commit([Ingest(application, event) for event in events])

    def ingest_all(self, batches: Sequence[Batch]) -> Sequence[list[Outcome] | Exception]:
        """Book the batches of many callers with as few commits as can be; an exception stands for nothing stored."""
        return self._committer.commit_all(batches)

    def ingest_nowait(self, events: list[UsageEvent], application: str) -> list[Outcome] | None:
        """Book events as :meth:`ingest` does, but only if nobody has to be waited for; None when not.

        Raises `APIConnectionError` when nothing could be stored.
        """
        return self._nowait.ingest([Ingest(application, event) for event in events])

    def limit_states(self, limit_ids: list[str], application: str) -> dict[str, LimitResult]:
        """Return how limits stand now, unknown ids left out: what a gate asks before a call."""
        return _states(self._store.read_limits(application, limit_ids))

    def limit_states_nowait(self, limit_ids: list[str], application: str) -> dict[str, LimitResult] | None:
        """Return how limits stand now, None when somebody has to be waited for."""
        rows = self._nowait.read_limits(application, limit_ids)
        return _states(rows) if rows is not None else None


def _states(rows: Mapping[str, LimitRow]) -> dict[str, LimitResult]:
    states: dict[str, LimitResult] = {}
    for limit_id, row in rows.items():
        state = rules.state_at(row.limit_type, row.max, row.soft, row.spend)
        states[limit_id] = Standing(limit_id, state, row.limit_type, row.max, row.spend).result()
    return states


def _commit(meter: Meter, on_commit: Callable[[int], None], batches: list[Batch]) -> list[list[Outcome]]:
    if len(batches) == 1:
        answers = [meter.ingest(batches[0])]
    else:
        outcomes = iter(meter.ingest([item for batch in batches for item in batch]))
        answers = [[next(outcomes) for _ in batch] for batch in batches]
    on_commit(sum(map(len, batches)))
    return answers


def _nobody(_: int) -> None:
    """Tell nobody."""


def _wants_results(request: Request[Any]) -> bool:
    try:
        return table.BulkQuery.model_validate(dict(request.query)).results
    except ValidationError as error:
        raise ContractError("request_processing_error", described(error)) from None
