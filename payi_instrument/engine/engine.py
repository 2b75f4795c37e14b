"""The embedded meter as one object: a ledger, the system prices, and the way in for requests and events."""

from __future__ import annotations

import weakref
from datetime import UTC, datetime
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from payi_instrument.engine import limits as rules
from payi_instrument.engine.catalogue import system_catalogue
from payi_instrument.engine.commit import Committer, Ticket
from payi_instrument.engine.intake import bulk_event, bulk_items, described, single
from payi_instrument.engine.meter import Ingest, Meter, Outcome
from payi_instrument.engine.nowait import NoWait
from payi_instrument.engine.results import Standing
from payi_instrument.ids import new_id
from payi_instrument.wire import operations as table
from payi_instrument.wire.codes import ContractError, envelope
from payi_instrument.wire.ingest import APIErrorBody, BulkIngestResponse, BulkItemError
from payi_instrument.wire.message import Reply, Request

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from payi_instrument.engine.appraise import Options
    from payi_instrument.engine.ledger import LimitRow
    from payi_instrument.engine.store_core.store import CoreStore
    from payi_instrument.engine.store_sqlite import SqliteStore
    from payi_instrument.event import UsageEvent
    from payi_instrument.wire.result import LimitResult, XproxyResult

Batch = list[Ingest]


class Engine:
    """Answer operations and ingest events for any number of threads and applications.

    The ledger is closed when nobody refers to its engine any more.
    """

    def __init__(self, store: SqliteStore, options: Options) -> None:
        """Take an open ledger and how strict to be."""
        self._store = store
        self._meter = partial(Meter, catalogue=system_catalogue(), options=options)
        commit = partial(_commit, self._meter(store))
        self._committer: Committer[Batch, list[Outcome]] = Committer(commit, store.lock_to_write)
        self._close_with_me(store.close)

    def _close_with_me(self, close: Callable[[], None]) -> None:
        closing = weakref.finalize(self, close)
        closing.atexit = False  # what other exit hooks still deliver comes first

    @cached_property
    def _core(self) -> CoreStore:
        from payi_instrument.engine.store_core.store import CoreStore

        reader = self._store.reader()
        self._close_with_me(reader.close)
        return CoreStore(self._store, reader)

    @cached_property
    def _nowait(self) -> NoWait:
        nowait = NoWait(self._store, self._meter)
        self._close_with_me(nowait.close)
        return nowait

    def answer(self, request: Request[Any], application: str) -> Reply:
        """Answer one operation."""
        try:
            if request.operation is table.INGEST:
                return self._ingest_single(request, application)
            if request.operation in {table.INGEST_BULK, table.INGEST_BULK_UPSERT}:
                return self._ingest_bulk(request, application)
        except ContractError as error:
            return Reply(error.status, envelope(error))
        from payi_instrument.engine.operations.answer import answer

        return answer(request, application, self._core, system_catalogue())

    def _ingest_single(self, request: Request[Any], application: str) -> Reply:
        [outcome] = self.ingest([single(request)], application)
        if isinstance(outcome, ContractError):
            raise outcome
        return Reply(200, outcome.response())

    def _ingest_bulk(self, request: Request[Any], application: str) -> Reply:
        """Book the good items of a bulk call, in order; the bad ones are named in the answer (wire-api section 3.2)."""
        with_results = _wants_results(request)
        outcomes: list[Outcome | UsageEvent] = []
        for item in bulk_items(request.body):
            try:
                outcomes.append(bulk_event(item))
            except ContractError as error:
                outcomes.append(error)
        events = [item for item in outcomes if not isinstance(item, Outcome)]
        if request.operation is table.INGEST_BULK_UPSERT:  # one by one: an item may replace the one before it
            batches = [self._committer.commit([Ingest(application, event, replaces=True)]) for event in events]
            booked = iter([outcome for [outcome] in batches])
        else:
            booked = iter(self.ingest(events, application))
        settled = [item if isinstance(item, Outcome) else next(booked) for item in outcomes]
        answer = _bulk_response(settled, with_results=with_results)
        return Reply(400 if answer.error_count and not answer.ingest_count else 200, answer)

    def ingest(self, events: list[UsageEvent], application: str) -> list[Outcome]:
        """Book events in order and return an outcome for each; it is durable when this returns (design decision 9).

        Raises `APIConnectionError` when nothing could be stored.
        """
        return self._committer.commit([Ingest(application, event) for event in events])

    def put(self, events: list[UsageEvent], application: str) -> Ticket[Batch, list[Outcome]]:
        """Queue events for the next commit, whoever makes it; :meth:`settle` waits for the outcomes."""
        return self._committer.put([Ingest(application, event) for event in events])

    def settle(self, ticket: Ticket[Batch, list[Outcome]]) -> list[Outcome]:
        """Return the outcomes of queued events, committing them unless another caller did."""
        return self._committer.settle(ticket)

    def ingest_nowait(self, events: list[UsageEvent], application: str) -> list[Outcome] | None:
        """Book events as :meth:`ingest` does, but only if nobody has to be waited for; None when not.

        Raises `APIConnectionError` when nothing could be stored.
        """
        return self._nowait.ingest([Ingest(application, event) for event in events])

    def limit_states(self, limit_ids: list[str], application: str) -> dict[str, LimitResult]:
        """Return how limits stand now, unknown ids left out: what a gate asks before a call."""
        with self._store.lock:
            return _states(self._store.read_limits(application, limit_ids))

    def limit_states_nowait(self, limit_ids: list[str], application: str) -> dict[str, LimitResult] | None:
        """Return how limits stand now, None when somebody has to be waited for."""
        rows = self._nowait.read_limits(application, limit_ids)
        return _states(rows) if rows is not None else None


def _states(rows: Mapping[str, LimitRow]) -> dict[str, LimitResult]:
    states: dict[str, LimitResult] = {}
    for limit_id, row in rows.items():
        spend = rules.spent(row)
        state = rules.state_at(row.limit_type, row.max, row.threshold, spend)
        states[limit_id] = Standing(limit_id, state, row.limit_type, row.max, spend).result()
    return states


def _commit(meter: Meter, batches: list[Batch]) -> list[list[Outcome]]:
    if len(batches) == 1:
        return [meter.ingest(batches[0])]
    outcomes = iter(meter.ingest([item for batch in batches for item in batch]))
    return [[next(outcomes) for _ in batch] for batch in batches]


def _wants_results(request: Request[Any]) -> bool:
    try:
        return table.BulkQuery.model_validate(dict(request.query)).results
    except ValidationError as error:
        raise ContractError("request_processing_error", described(error)) from None


def _bulk_response(outcomes: list[Outcome], *, with_results: bool) -> BulkIngestResponse:
    errors = [
        BulkItemError(item_index=index, xproxy_result=APIErrorBody.model_validate(envelope(outcome)))
        for index, outcome in enumerate(outcomes)
        if isinstance(outcome, ContractError)
    ]
    return BulkIngestResponse(
        request_id=new_id(),
        ingest_timestamp=datetime.now(UTC),
        ingest_count=len(outcomes) - len(errors),
        error_count=len(errors),
        item_error_count=len(errors),
        total_count=len(outcomes),
        errors=errors or None,
        results=[_result(outcome) for outcome in outcomes] if with_results else None,
    )


def _result(outcome: Outcome) -> XproxyResult | None:
    return None if isinstance(outcome, ContractError) else outcome.result()
