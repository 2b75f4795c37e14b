"""Ingest: a batch of events becomes stored events, limit totals and results, in one transaction.

Source: wire-api section 3, limits-semantics section 6, resources-semantics section 6, decisions 7 to 9.
"""

from __future__ import annotations

import json
import os
import re
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, NamedTuple, cast
from uuid import UUID

from payi_instrument.engine import limits as rules
from payi_instrument.engine.ledger import EventRow, LimitRow, from_micros, storable, to_micros
from payi_instrument.engine.pricing import EXACT, ZERO, Cost, ResourceVersion, price, with_context
from payi_instrument.errors import APIConnectionError
from payi_instrument.event import UNKNOWN_MODEL
from payi_instrument.wire.codes import ContractError
from payi_instrument.wire.headers import BLOCKED, CLIENT_FAILURE, REFUSED
from payi_instrument.wire.ingest import IngestResponse
from payi_instrument.wire.model import Money
from payi_instrument.wire.result import (
    CostDetails,
    CostDetailsBase,
    IngestUnits,
    LimitResult,
    ResultCost,
    XproxyResult,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from payi_instrument.engine.catalogue import Catalogue
    from payi_instrument.engine.ledger import IngestStore
    from payi_instrument.event import UsageEvent

AHEAD = timedelta(minutes=5)
"""How far an event's clock may run ahead of the meter's (wire-api section 3.1)."""
_FAILED_FROM = 400
_USE_CASE_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)
_NOTHING = Money(0)


@dataclass(frozen=True, slots=True)
class Options:
    """Hold how strict a meter is; the defaults never refuse spend that happened."""

    strict_limits: bool = False
    block_limits_on_ingest: str = "evaluate"
    unpriced_events: str = "reject"


class Ingest(NamedTuple):
    """One event for one application."""

    application: str
    event: UsageEvent


Outcome = IngestResponse | ContractError


class Meter:
    """Price events and book them on their limits."""

    def __init__(self, store: IngestStore, catalogue: Catalogue, options: Options) -> None:
        """Take the ledger, the system prices and how strict to be."""
        self._store = store
        self._catalogue = catalogue
        self._options = options

    def ingest(self, batch: list[Ingest]) -> list[Outcome]:
        """Book events in order, in one transaction; an event that is refused does not stop the others.

        Raises `APIConnectionError` when the database fails; nothing is stored then.
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
        if not isinstance(error, (UnicodeEncodeError, OverflowError)):
            return ContractError("unexpected_error", f"{type(error).__name__}: {error}")
        repaired = storable(item.event)
        if repaired == item.event or not item.event.record_unpriced:
            return ContractError("request_processing_error", f"event: {error}")
        return self._ingest([Ingest(item.application, repaired)])[0]

    def _ingest(self, batch: list[Ingest]) -> list[Outcome]:
        now = datetime.now(UTC)
        with self._store.transaction():
            limits = self._lock(batch)
            changed: dict[str, dict[str, LimitRow]] = {}
            outcomes = [self._book(item, now, limits, changed) for item in batch]
            for application, rows in changed.items():
                self._store.save_limits(application, [rows[limit_id] for limit_id in sorted(rows)])
        return outcomes

    def _lock(self, batch: list[Ingest]) -> dict[str, dict[str, LimitRow]]:
        """Lock every limit that the batch names, application by application, in id order."""
        named: dict[str, set[str]] = {}
        for application, event in batch:
            if event.attribution.limit_ids:
                named.setdefault(application, set()).update(event.attribution.limit_ids)
        return {
            application: self._store.lock_limits(application, sorted(named[application])) for application in sorted(named)
        }

    def _book(
        self,
        item: Ingest,
        now: datetime,
        limits: dict[str, dict[str, LimitRow]],
        changed: dict[str, dict[str, LimitRow]],
    ) -> Outcome:
        application, event = item
        try:
            booking = self._prepare(item, now, limits.get(application, {}))
        except ContractError as error:
            known = self._known(item)  # a known event is answered before anything that may have changed since
            return answer(known, duplicate=True) if known is not None else error
        if event.event_id is None and (known := self._known(item)) is not None:
            return answer(known, duplicate=True)
        if not self._store.insert_event(booking.row):
            known = self._known(item)
            if known is None:
                return ContractError("unexpected_error", f"event {event.event_id!r}: neither new nor known")
            return answer(known, duplicate=True)
        mine = changed.setdefault(application, {}) if booking.limits else {}
        for limit, state in booking.limits:
            rules.book(limit, booking.cost.input, booking.cost.output, state)
            mine[limit.limit_id] = limit
        return booking.response

    def _known(self, item: Ingest) -> EventRow | None:
        application, event = item
        if event.event_id is not None:
            return self._store.find_event(application, event.event_id)
        if event.provider_response_id is not None:
            return self._store.find_response(application, event.category, event.provider_response_id)
        return None

    def _prepare(self, item: Ingest, now: datetime, rows: dict[str, LimitRow]) -> _Booking:
        """Decide everything about an event before it is stored; raises `ContractError` when it is refused."""
        application, event = item
        warnings = list(event.warnings)
        moment = self._moment(event, now, warnings)
        use_case = self._use_case(event, warnings)
        version = self._version(event, moment, now, warnings)
        cost = price(version, with_context(version, event.units) if version is not None else event.units)
        warnings.extend(cost.warnings)
        named = self._named_limits(event, rows, warnings)
        standings = _standings(event, named, cost)
        notes = _notes(warnings, list(event.request_tags), cost, unpriced=version is None and bool(event.units))
        row = EventRow(
            request_id=_request_id(),
            application=application,
            event_id=event.event_id,
            category=event.category,
            resource=event.resource,
            resource_id=version.resource_id if version is not None else None,
            provider_response_id=event.provider_response_id,
            event_timestamp=to_micros(moment),
            ingest_timestamp=to_micros(now),
            units=json.dumps(event.units),
            cost_input=f"{cost.input:f}",
            cost_output=f"{cost.output:f}",
            limits=json.dumps([standing.stored() for standing in standings]),
            user_id=event.attribution.user_id,
            account_name=event.attribution.account_name,
            use_case_name=use_case[0],
            use_case_id=use_case[1],
            use_case_version=event.attribution.use_case_version if use_case[0] else None,
            use_case_step=event.attribution.use_case_step if use_case[0] else None,
            http_status_code=event.http_status_code,
            end_to_end_latency_ms=event.end_to_end_latency_ms,
            time_to_first_token_ms=event.time_to_first_token_ms,
            properties=_json_or_none(_all_properties(event)),
            notes=_json_or_none(notes),
            detail=_json_or_none(_detail(event)),
        )
        limits = {standing.limit.limit_id: standing.result() for standing in standings}
        counts = [(standing.limit, standing.state) for standing in standings]
        return _Booking(row, cost, counts, _response(row, cost, limits, notes))

    def _moment(self, event: UsageEvent, now: datetime, warnings: list[str]) -> datetime:
        moment = event.event_timestamp
        if moment is None:
            return now
        if moment > now + AHEAD:
            message = f"event_timestamp: {moment.isoformat()} is more than 5 minutes after the meter's {now.isoformat()}"
            if not event.record_unpriced:
                raise ContractError("invalid_ingest_event_timestamp", message)
            warnings.append(f"invalid_ingest_event_timestamp: {message}")
            return now
        return moment

    def _use_case(self, event: UsageEvent, warnings: list[str]) -> tuple[str | None, str | None]:
        """Return name and instance id, a new one where none was sent."""
        name, instance = event.attribution.use_case_name, event.attribution.use_case_id
        if name is None:
            if instance is not None and not event.record_unpriced:
                raise ContractError("request_processing_error", f"use_case_id: {instance!r} comes without a use_case_name")
            return None, None
        if not _USE_CASE_NAME.fullmatch(name):
            message = f"use_case_name: {name[:80]!r} is not 1 to 64 of A-Z a-z 0-9 . _ -"
            if not event.record_unpriced:
                raise ContractError("invalid_use_case_name", message)
            warnings.append(f"invalid_use_case_name: {message}")
            return None, None
        return name, instance if instance is not None else _request_id()

    def _version(
        self, event: UsageEvent, moment: datetime, now: datetime, warnings: list[str]
    ) -> ResourceVersion | None:
        """Find the version that prices an event, None when it is stored without a price."""
        category, resource = event.category, event.resource
        if event.attribution.resource_scope is not None:
            warnings.append(f"resource_scope_not_found: {event.attribution.resource_scope}")
        if resource is None or resource == UNKNOWN_MODEL:
            return None
        version = self._catalogue.resolve(category, resource, moment)
        if version is None:
            version = self._custom(category, resource, moment, now, dated=event.event_timestamp is not None)
        if version is not None:
            return version
        known = category in self._catalogue.categories() or self._store.has_custom_category(category)
        code = "category_resource_not_found" if known else "category_not_found"
        if not event.record_unpriced and self._options.unpriced_events == "reject":
            raise ContractError(code, f"resource: {category}/{resource} has no price at {moment.isoformat()}; create it")
        warnings.append(f"category_resource_not_found: {category}/{resource}")
        return None

    def _custom(
        self, category: str, resource: str, moment: datetime, now: datetime, *, dated: bool
    ) -> ResourceVersion | None:
        versions = self._store.custom_versions(category, resource)
        valid = [version for version in versions if version.start <= moment]
        if valid:
            return valid[-1]
        # a version made by a client whose clock runs ahead serves events without a time of their own at once
        if not dated and versions and versions[0].start <= now + AHEAD:
            return versions[0]
        return None

    def _named_limits(self, event: UsageEvent, rows: dict[str, LimitRow], warnings: list[str]) -> list[LimitRow]:
        named: list[LimitRow] = []
        unknown: list[str] = []
        blocking: list[str] = []
        for limit_id in event.attribution.limit_ids:
            row = rows.get(limit_id)
            if row is None:
                unknown.append(limit_id)
            elif row.limit_type == "block" and self._options.block_limits_on_ingest == "reject":
                blocking.append(limit_id)
            else:
                named.append(row)
        if not event.record_unpriced:
            if blocking:
                raise ContractError("blocking_limit_not_allowed", f"limit_ids: {', '.join(blocking)} are of type block")
            if unknown and self._options.strict_limits:
                raise ContractError("invalid_limit_ids", f"limit_ids: {', '.join(unknown)} are unknown; create them")
        warnings.extend(f"limit_not_found: {limit_id}" for limit_id in unknown)
        warnings.extend(f"blocking_limit_not_allowed: {limit_id}" for limit_id in blocking)
        return named


class _Standing(NamedTuple):
    """A limit, the state that an event reports for it, and its spend after the event."""

    limit: LimitRow
    state: str
    spend: Decimal

    def result(self) -> LimitResult:
        return limit_result(self.state, self.limit.limit_type, self.limit.max, self.spend)

    def stored(self) -> tuple[str, str, str, str, str]:
        return (self.limit.limit_id, self.state, self.limit.limit_type, f"{self.limit.max:f}", f"{self.spend:f}")


class _Booking(NamedTuple):
    """An event that may be stored: its row, its cost, the limits it counts on with their states, and the response."""

    row: EventRow
    cost: Cost
    limits: list[tuple[LimitRow, str]]
    response: IngestResponse


def _standings(event: UsageEvent, limits: Sequence[LimitRow], cost: Cost) -> list[_Standing]:
    status = event.http_status_code
    total = cost.total
    failed = not total and status is not None and (status >= _FAILED_FROM or status == CLIENT_FAILURE)
    refused_by: frozenset[str] = frozenset()
    if status == REFUSED and not event.units and (named := event.properties.get(BLOCKED)):
        refused_by = frozenset(named.split(","))
    standings: list[_Standing] = []
    for limit in limits:
        spend = EXACT.add(rules.spent(limit), total)
        standings.append(_Standing(limit, rules.event_state(limit, spend, failed=failed, refused_by=refused_by), spend))
    return standings


def answer(row: EventRow, *, duplicate: bool = False) -> IngestResponse:
    """Return the response to a stored event, as it was when the event was booked (decision 9)."""
    limits = {
        limit_id: limit_result(state, limit_type, Decimal(maximum), Decimal(spend))
        for limit_id, state, limit_type, maximum, spend in json.loads(row.limits)
    }
    notes: dict[str, object] = json.loads(row.notes) if row.notes else {}
    if duplicate:
        notes["duplicate_request"] = True
    return _response(row, Cost(Decimal(row.cost_input), Decimal(row.cost_output)), limits, notes)


def _response(
    row: EventRow, cost: Cost, limits: dict[str, LimitResult], notes: Mapping[str, object]
) -> IngestResponse:
    values: dict[str, object] = {**notes}
    unknown = cast("Mapping[str, tuple[int, int]] | None", notes.get("unknown_units"))
    if unknown:
        values["unknown_units"] = {
            unit: IngestUnits.of(input=counts[0], output=counts[1]) for unit, counts in unknown.items()
        }
    blocked = [limit_id for limit_id, standing in limits.items() if standing.state == "blocked"]
    if blocked:
        values["blocked_limit_ids"] = blocked
    result = XproxyResult.of(
        request_id=row.request_id,
        limits=limits,
        cost=_cost(cost),
        use_case_name=row.use_case_name,
        use_case_id=row.use_case_id,
        use_case_step=row.use_case_step,
        user_id=row.user_id,
        account_name=row.account_name,
        resource_id=row.resource_id,
        **values,
    )
    return IngestResponse.of(
        request_id=row.request_id,
        event_timestamp=from_micros(row.event_timestamp),
        ingest_timestamp=from_micros(row.ingest_timestamp),
        xproxy_result=result,
    )


def limit_result(state: str, limit_type: str, maximum: Decimal, spend: Decimal) -> LimitResult:
    """Return how a limit stands, with its amounts in USD."""
    cap, spent = Money(maximum), Money(spend)
    return LimitResult.of(
        state=state,
        limit_type=limit_type,
        max=cap,
        spent=spent,
        held=_NOTHING,
        remaining=Money(EXACT.subtract(maximum, spend)),
        ratio=spent / cap,
    )


def _cost(cost: Cost) -> ResultCost:
    return ResultCost.of(
        currency="usd",
        input=CostDetailsBase.of(base=Money(cost.input)),
        output=CostDetailsBase.of(base=Money(cost.output)),
        total=CostDetails.of(base=Money(cost.total), overrun_base=None),
    )


def _notes(warnings: list[str], tags: list[str], cost: Cost, *, unpriced: bool) -> dict[str, object]:
    """Gather what a result says beside costs and limits; empty for nearly every event."""
    notes: dict[str, object] = {}
    if warnings:
        notes["warnings"] = warnings
    if tags:
        notes["request_tags"] = tags
    if cost.unknown_units:
        notes["unknown_units"] = cost.unknown_units
    if unpriced:
        notes["unpriced"] = True
    return notes


def _all_properties(event: UsageEvent) -> dict[str, str]:
    merged = {**event.properties, **event.attribution.request_properties}  # the user's own keys win
    return {key: value for key, value in merged.items() if value is not None}


def _detail(event: UsageEvent) -> dict[str, object]:
    """Gather what is stored only to be read back."""
    values: dict[str, object] = {
        "module": event.module,
        "provider_uri": event.provider_uri,
        "time_to_first_completion_token_ms": event.time_to_first_completion_token_ms,
        "provider_request_headers": event.provider_request_headers,
        "provider_response_headers": event.provider_response_headers,
        "provider_request_json": event.provider_request_json,
        "provider_request_reasoning_json": event.provider_request_reasoning_json,
        "provider_response_json": event.provider_response_json,
        "provider_response_function_calls": event.function_calls,
        "use_case_properties": event.attribution.use_case_properties,
        "resource_scope": event.attribution.resource_scope,
    }
    return {name: value for name, value in values.items() if value}


def _json_or_none(value: dict[str, object] | dict[str, str]) -> str | None:
    return json.dumps(value) if value else None


def _request_id() -> str:
    """Make a UUID of version 7: ordered by time, so that an index grows at its end (RFC 9562 section 5.7)."""
    value = (time.time_ns() // 1_000_000) << 80 | int.from_bytes(os.urandom(10), "big")
    value = value & ~(0xF << 76) & ~(0x3 << 62) | 0x7 << 76 | 0x2 << 62
    return str(UUID(int=value))
