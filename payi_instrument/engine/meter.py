"""Ingest: a batch of events becomes stored events, limit totals and results, in one transaction.

Source: wire-api section 3, limits-semantics sections 6 and 7, decisions 7 to 9.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

from payi_instrument.engine import limits as rules
from payi_instrument.engine.appraise import Appraiser, Booking, Draft, Options, is_late
from payi_instrument.engine.instances import Instances
from payi_instrument.engine.ledger import EventRow, LimitRow, from_micros, storable
from payi_instrument.engine.pricing import EXACT, Cost
from payi_instrument.engine.results import Booked
from payi_instrument.errors import APIConnectionError
from payi_instrument.wire.codes import ContractError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from payi_instrument.engine.catalogue import Catalogue
    from payi_instrument.engine.ledger import IngestStore
    from payi_instrument.engine.results import Standing
    from payi_instrument.event import UsageEvent

_NO_LIMITS: Mapping[str, LimitRow] = {}


class Ingest(NamedTuple):
    """One event for one application; with `replaces` it takes the place of the response's stored event."""

    application: str
    event: UsageEvent
    replaces: bool = False


Outcome = Booked | ContractError
_Limits = dict[str, dict[str, LimitRow]]
"""The limits that a transaction holds, by application and id."""


class Meter:
    """Price events and book them on their limits."""

    def __init__(self, store: IngestStore, catalogue: Catalogue, options: Options) -> None:
        """Take the ledger, the system prices and how strict to be."""
        self._store = store
        self._appraiser = Appraiser(store, catalogue, options)

    def ingest(self, batch: list[Ingest]) -> list[Outcome]:
        """Book events in order, in one transaction; an event that is refused does not stop the others.

        Raises `APIConnectionError` when the database fails; nothing is stored then, but for what was booked one by one
        because an event of the batch could not be.
        """
        try:
            return self._ingest(batch)
        except APIConnectionError:
            raise
        except Exception as error:  # noqa: BLE001  # one bad event must not take along those that share its transaction
            if len(batch) > 1:
                return [outcome for item in batch for outcome in self.ingest([item])]
            return [self._refuse_or_repair(batch[0], error)]

    def _refuse_or_repair(self, item: Ingest, error: Exception) -> Outcome:
        """Answer an event that can't be stored as it is; one of an instrumented call is repaired (decision 8)."""
        repaired, names = storable(item.event)
        if not isinstance(error, (ValueError, OverflowError)) or not names:
            return ContractError("unexpected_error", f"{type(error).__name__}: {error}")
        if not item.event.record_unpriced:
            message = f"{', '.join(names)}: half a character or a number past 32 bits is in it; send whole ones"
            return ContractError("request_processing_error", message)
        return self.ingest([item._replace(event=repaired)])[0]

    def _ingest(self, batch: list[Ingest]) -> list[Outcome]:
        now = datetime.now(UTC)
        with self._store.transaction():
            instances = Instances(self._store.instances, now)
            drafts = [self._draft(item, instances) for item in batch]
            limits = self._lock(drafts)
            outcomes = [self._book(draft, now, limits, instances) for draft in drafts]
            for application, rows in limits.items():
                self._store.save_limits(application, [row for row in rows.values() if row.changed])
        return outcomes

    def _draft(self, item: Ingest, instances: Instances) -> Draft:
        application, event, replaces = item
        who = event.attribution
        draft = Draft(application, event, list(event.warnings), who.limit_ids, replaces=replaces)
        try:
            if replaces and (stored := self._replaced(item)) is not None:
                draft.replaced = stored
                draft.event = replace(event, event_timestamp=from_micros(stored.event_timestamp))
                draft.limit_ids = tuple(standing.limit_id for standing in Booked.stored(stored).standings)
            elif who.use_case_name is not None or who.use_case_id is not None:
                draft.instance = instance = instances.of(application, event, draft.warnings)
                if instance is not None and instance.limit_id is not None:
                    draft.limit_ids = tuple(dict.fromkeys((*who.limit_ids, instance.limit_id)))
        except ContractError as refusal:
            draft.refusal = refusal
        return draft

    def _lock(self, drafts: Sequence[Draft]) -> _Limits:
        """Lock every limit that the drafts name, application by application, in id order; add those to be made."""
        if len(drafts) == 1:  # nearly always, and its caller waits
            [draft] = drafts
            limits: _Limits = {}
            if draft.limit_ids:
                limits[draft.application] = self._store.lock_limits(draft.application, sorted(draft.limit_ids))
        else:
            named: dict[str, set[str]] = {}
            for draft in drafts:
                if draft.limit_ids:
                    named.setdefault(draft.application, set()).update(draft.limit_ids)
            limits = {
                application: self._store.lock_limits(application, sorted(named[application]))
                for application in sorted(named)
            }
        for draft in drafts:
            if draft.instance is not None and (made := draft.instance.new_limit) is not None:
                limits[draft.application].setdefault(made.limit_id, made)
        return limits

    def _book(self, draft: Draft, now: datetime, limits: _Limits, instances: Instances) -> Outcome:
        event = draft.event
        try:
            booking = self._appraiser.appraise(draft, now, limits.get(draft.application, _NO_LIMITS))
        except ContractError as error:
            # a known event is answered before anything that may have changed since
            known = self._known(draft) if not draft.replaces else None
            return Booked.known(known) if known is not None else error
        if draft.replaced is not None:
            return self._replace(draft.replaced, booking)
        if event.event_id is None and (known := self._known(draft)) is not None:
            return Booked.known(known)
        if not self._store.insert_event(booking.booked.row):
            known = self._known(draft)
            if known is None:
                return ContractError("unexpected_error", f"event {event.event_id!r}: neither new nor known")
            return Booked.known(known)
        if draft.instance is not None:
            instances.keep(draft.instance, event.attribution.use_case_properties)
        self._add(draft.application, booking)
        return booking.booked

    def _add(self, application: str, booking: Booking) -> None:
        """Add the cost of an event to its limits, each to the period that the event belongs to."""
        row, cost = booking.booked.row, booking.booked.cost
        for limit, standing in zip(booking.limits, booking.booked.standings, strict=True):
            if is_late(limit, row.event_timestamp):
                self._add_late(application, row, cost, standing)
            else:
                rules.book(limit, cost.input, cost.output, standing.state)

    def _add_late(self, application: str, row: EventRow, cost: Cost, standing: Standing, more: int = 1) -> None:
        """Add a cost, and `more` events, to the closed period that an event belongs to."""
        period = self._store.find_period(application, standing.limit_id, row.event_timestamp)
        if period is not None:
            period.spent_input = EXACT.add(period.spent_input, cost.input)
            period.spent_output = EXACT.add(period.spent_output, cost.output)
            self._store.save_period(application, standing.limit_id, period, standing.state, more)

    def _known(self, draft: Draft) -> EventRow | None:
        event = draft.event
        if event.event_id is not None:
            return self._store.find_event(draft.application, event.event_id)
        if event.provider_response_id is not None:
            found = self._store.find_responses(draft.application, event.category, event.provider_response_id)
            return found[0] if found else None
        return None

    def _replaced(self, item: Ingest) -> EventRow | None:
        """Return the event that an item replaces, None for a new one; raises `ContractError` when none can be told."""
        application, event, _ = item
        if event.provider_response_id is None:
            raise ContractError("required_field_missing", "provider_response_id: it says which event is replaced")
        found = self._store.find_responses(application, event.category, event.provider_response_id)
        if len(found) > 1:
            message = f"provider_response_id: {event.provider_response_id!r} has several events; none is replaced"
            raise ContractError("request_processing_error", message)
        return found[0] if found else None

    def _replace(self, stored: EventRow, booking: Booking) -> Outcome:
        """Put an event in a stored one's place: its limits take the new cost and the new state for the old ones."""
        new, old = booking.booked, Booked.stored(stored)
        counted = {standing.limit_id: standing for standing in old.standings}
        nothing = Cost(EXACT.minus(old.cost.input), EXACT.minus(old.cost.output))
        for limit, standing in zip(booking.limits, new.standings, strict=True):
            before = counted[limit.limit_id]
            if is_late(limit, stored.event_timestamp):
                self._add_late(stored.application, stored, nothing, before, -1)
                self._add_late(stored.application, stored, new.cost, standing)
            else:
                rules.book(limit, nothing.input, nothing.output, before.state, -1)
                rules.book(limit, new.cost.input, new.cost.output, standing.state)
        new.row = new.row._replace(
            request_id=stored.request_id,
            event_id=stored.event_id,
            ingest_timestamp=stored.ingest_timestamp,
            use_case_name=stored.use_case_name,
            use_case_id=stored.use_case_id,
            use_case_version=stored.use_case_version,
            use_case_step=stored.use_case_step,
            user_id=new.row.user_id or stored.user_id,
            account_name=new.row.account_name or stored.account_name,
        )
        self._store.replace_event(new.row)
        return new
