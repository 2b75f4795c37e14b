"""Book a batch of events inside one transaction: what each counts on, what it costs, and what is stored of it.

Source: wire-api section 3, limits-semantics sections 6 and 7, decisions 7 to 9.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Overflow
from typing import TYPE_CHECKING

from payi_instrument.engine import limits as rules
from payi_instrument.engine.appraise import Appraiser, Draft
from payi_instrument.engine.instances import Instances
from payi_instrument.engine.ledger import EventRow, Ingest, LimitRow, TooMuchError, from_micros, to_micros
from payi_instrument.engine.pricing import EXACT, KEPT, Cost, too_much
from payi_instrument.engine.results import Booked
from payi_instrument.wire.codes import ContractError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from payi_instrument.engine.ledger import Books

_NO_LIMITS: Mapping[str, LimitRow] = {}

Outcome = Booked | ContractError
_Limits = dict[str, dict[str, LimitRow]]
"""The limits that a transaction holds, by application and id."""


class Bookkeeper:
    """Book the events of one transaction."""

    def __init__(self, books: Books, appraiser: Appraiser) -> None:
        """Take what the transaction reads and writes, and what decides about events."""
        self._books = books
        self._appraiser = appraiser
        self._now = datetime.now(UTC)
        self._instances = Instances(books.instances, self._now)

    def book(self, batch: Sequence[Ingest]) -> list[Outcome]:
        """Book events in order; an event that is refused does not stop the others."""
        self._instances.is_drafting = len(batch) > 1
        drafts = [self._draft(item) for item in batch]
        self._instances.is_drafting = False
        limits = self._lock(drafts)
        # no event is stored before its limit is made: that may happen on a clock ahead, or while this waits for a lock
        self._stored = max([to_micros(self._now), *(row.created for rows in limits.values() for row in rows.values())])
        may_differ = self._instances.has_guessed
        outcomes = [
            self._book(self._settled(item, draft) if item.replaces or may_differ else draft, limits)
            for item, draft in zip(batch, drafts, strict=True)
        ]
        for application, rows in limits.items():
            self._books.save_limits(application, [row for row in rows.values() if row.changed])
        return outcomes

    def _settled(self, item: Ingest, draft: Draft) -> Draft:
        """Draft an event again where what became of those before it matters: it may replace one, or be of its use case."""
        is_settled = not item.replaces and not self._instances.is_guessed(item.application, item.event)
        return draft if is_settled else self._draft(item)

    def _draft(self, item: Ingest) -> Draft:
        application, event, replaces = item
        who = event.attribution
        draft = Draft(application, event, list(event.warnings), who.limit_ids, replaces=replaces)
        try:
            if replaces and (stored := self._replaced(item)) is not None:
                draft.replaced = stored
                draft.event = replace(event, event_timestamp=from_micros(stored.event_timestamp))
                draft.limit_ids = tuple(standing.limit_id for standing in Booked.stored(stored).standings)
            elif who.use_case_name is not None or who.use_case_id is not None:
                found = self._instances.of(application, event, draft.warnings)
                if found is not None:
                    draft.instance, draft.use_case_version = found
                    if (automatic := draft.instance.limit_id) is not None:
                        draft.limit_ids = tuple(dict.fromkeys((*who.limit_ids, automatic)))
            self._appraiser.price(draft, self._now, self._books)
        except ContractError as refusal:
            draft.refusal = refusal
        return draft

    def _lock(self, drafts: Sequence[Draft]) -> _Limits:
        """Lock every limit that the drafts name, application by application, in id order."""
        if len(drafts) == 1:  # nearly always, and its caller waits
            [draft] = drafts
            if not draft.limit_ids:
                return {}
            return {draft.application: self._books.lock_limits(draft.application, sorted(draft.limit_ids))}
        named: dict[str, set[str]] = {}
        for draft in drafts:
            if draft.limit_ids:
                named.setdefault(draft.application, set()).update(draft.limit_ids)
        for instance in self._instances.candidates:
            if instance.limit_id is not None:
                named.setdefault(instance.application, set()).add(instance.limit_id)
        return {
            application: self._books.lock_limits(application, sorted(named[application]))
            for application in sorted(named)
        }

    def _book(self, draft: Draft, limits: _Limits) -> Outcome:
        event = draft.event
        rows = limits.get(draft.application, _NO_LIMITS)
        made = draft.instance.new_limit if draft.instance is not None else None
        if made is not None:  # nobody else's until the event is kept
            rows = {made.limit_id: made, **rows}
        try:
            booked = self._appraiser.appraise(draft, self._stored, rows)
        except ContractError as error:
            # a known event is answered before anything that may have changed since
            known = self._known(draft) if not draft.replaces else None
            return Booked.known(known) if known is not None else error
        if draft.replaced is not None:
            return self._replace(draft.replaced, booked)
        if event.event_id is None and (known := self._known(draft)) is not None:
            return Booked.known(known)
        if not self._books.insert_event(booked.row):
            known = self._known(draft)
            if known is None:
                return ContractError("unexpected_error", f"event {event.event_id!r}: neither new nor known")
            return Booked.known(known)
        if draft.instance is not None:
            self._instances.keep(draft.instance, draft.use_case_version, event.attribution.use_case_properties)
        if made is not None:
            limits.setdefault(draft.application, {}).setdefault(made.limit_id, made)
        self._add(draft.application, booked)
        return booked

    def _add(self, application: str, booked: Booked) -> None:
        """Add the cost of an event to its limits, each to the period that the event belongs to."""
        row, cost, stood = booked.row, booked.cost, booked.stood
        if stood is None:
            return
        cost_input, cost_output, moment = cost.input, cost.output, row.event_timestamp
        add = EXACT.add
        for limit, state, spend in zip(*stood, strict=True):
            if limit.since is not None and moment < limit.since:
                self._add_late(application, row, cost, limit.limit_id, state)
                continue
            limit.spend = spend
            limit.spent_input = add(limit.spent_input, cost_input)
            limit.spent_output = add(limit.spent_output, cost_output)
            setattr(limit, state, getattr(limit, state) + 1)
            limit.changed = True

    def _add_late(
        self, application: str, row: EventRow, cost: Cost, limit_id: str, state: str, *, more: int = 1
    ) -> None:
        """Add a cost, and `more` events, to the closed period that an event belongs to."""
        period = self._books.find_period(application, limit_id, row.event_timestamp)
        if period is not None:
            try:
                period.spent_input = KEPT.add(period.spent_input, cost.input)
                period.spent_output = KEPT.add(period.spent_output, cost.output)
            except Overflow:
                spent = EXACT.add(EXACT.add(period.spent_input, period.spent_output), cost.total)
                message = too_much(spent, "they bring a closed period's total to")
                raise TooMuchError(message) from None
            self._books.save_period(application, limit_id, period, state, more)

    def _known(self, draft: Draft) -> EventRow | None:
        event = draft.event
        if event.event_id is not None:
            return self._books.find_event(draft.application, event.event_id)
        if event.provider_response_id is not None:
            found = self._books.find_responses(draft.application, event.category, event.provider_response_id)
            return found[0] if found else None
        return None

    def _replaced(self, item: Ingest) -> EventRow | None:
        """Return the event that an item replaces, None for a new one; raises `ContractError` when none can be told."""
        application, event, _ = item
        if event.provider_response_id is None:
            raise ContractError("required_field_missing", "provider_response_id: it says which event is replaced")
        found = self._books.find_responses(application, event.category, event.provider_response_id)
        if len(found) > 1:
            message = f"provider_response_id: {event.provider_response_id!r} has several events; none is replaced"
            raise ContractError("request_processing_error", message)
        return found[0] if found else None

    def _replace(self, stored: EventRow, new: Booked) -> Outcome:
        """Put an event in a stored one's place: its limits take the new cost and the new state for the old ones."""
        old = Booked.stored(stored)
        counted = {standing.limit_id: standing.state for standing in old.standings}
        nothing = Cost(EXACT.minus(old.cost.input), EXACT.minus(old.cost.output))
        for limit, state in zip(new.stood.limits, new.stood.states, strict=True) if new.stood else ():
            limit_id = limit.limit_id
            before = counted[limit_id]
            if limit.since is not None and stored.event_timestamp < limit.since:
                self._add_late(stored.application, stored, nothing, limit_id, before, more=-1)
                self._add_late(stored.application, stored, new.cost, limit_id, state)
            else:
                rules.book(limit, nothing.input, nothing.output, before, -1)
                rules.book(limit, new.cost.input, new.cost.output, state)
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
        self._books.replace_event(new.row)
        return new
