"""Ingest: a batch of events becomes stored events, limit totals and results, in one transaction.

Source: wire-api section 3, limits-semantics section 6, resources-semantics section 6, decisions 7 to 9.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

from pydantic_core import to_json

from payi_instrument.engine import limits as rules
from payi_instrument.engine.ledger import AHEAD, UNSTORABLE, EventRow, LimitRow, storable, to_micros
from payi_instrument.engine.pricing import EXACT, Cost, ResourceVersion, price, with_context
from payi_instrument.engine.results import Booked, Standing
from payi_instrument.errors import APIConnectionError
from payi_instrument.event import UNKNOWN_MODEL
from payi_instrument.ids import ordered_id
from payi_instrument.wire.codes import ContractError
from payi_instrument.wire.headers import BLOCKED, CLIENT_FAILURE, REFUSED

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from payi_instrument.engine.catalogue import Catalogue
    from payi_instrument.engine.ledger import IngestStore
    from payi_instrument.event import UsageEvent

_FAILED_FROM = 400
_NO_LIMITS: Mapping[str, LimitRow] = {}
_USE_CASE_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)


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


Outcome = Booked | ContractError


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
        if not item.event.record_unpriced or UNSTORABLE in item.event.warnings:
            return ContractError("request_processing_error", f"event: {error}")
        return self.ingest([Ingest(item.application, storable(item.event))])[0]

    def _ingest(self, batch: list[Ingest]) -> list[Outcome]:
        now = datetime.now(UTC)
        with self._store.transaction():
            limits = self._lock(batch)
            outcomes = [self._book(item, now, limits.get(item.application, _NO_LIMITS)) for item in batch]
            for application, rows in limits.items():
                self._store.save_limits(application, [row for row in rows.values() if row.changed])
        return outcomes

    def _lock(self, batch: list[Ingest]) -> dict[str, dict[str, LimitRow]]:
        """Lock every limit that the batch names, application by application, in id order."""
        if len(batch) == 1:  # nearly always, and its caller waits
            [(application, event)] = batch
            limit_ids = event.attribution.limit_ids
            return {application: self._store.lock_limits(application, sorted(limit_ids))} if limit_ids else {}
        named: dict[str, set[str]] = {}
        for application, event in batch:
            if event.attribution.limit_ids:
                named.setdefault(application, set()).update(event.attribution.limit_ids)
        return {
            application: self._store.lock_limits(application, sorted(named[application]))
            for application in sorted(named)
        }

    def _book(self, item: Ingest, now: datetime, rows: Mapping[str, LimitRow]) -> Outcome:
        event = item.event
        try:
            booking = self._prepare(item, now, rows)
        except ContractError as error:
            known = self._known(item)  # a known event is answered before anything that may have changed since
            return Booked.known(known) if known is not None else error
        if event.event_id is None and (known := self._known(item)) is not None:
            return Booked.known(known)
        if not self._store.insert_event(booking.booked.row):
            known = self._known(item)
            if known is None:
                return ContractError("unexpected_error", f"event {event.event_id!r}: neither new nor known")
            return Booked.known(known)
        cost = booking.booked.cost
        for limit, standing in zip(booking.limits, booking.booked.standings, strict=True):
            rules.book(limit, cost.input, cost.output, standing.state)
        return booking.booked

    def _known(self, item: Ingest) -> EventRow | None:
        application, event = item
        if event.event_id is not None:
            return self._store.find_event(application, event.event_id)
        if event.provider_response_id is not None:
            return self._store.find_response(application, event.category, event.provider_response_id)
        return None

    def _prepare(self, item: Ingest, now: datetime, rows: Mapping[str, LimitRow]) -> _Booking:
        """Decide everything about an event before it is stored; raises `ContractError` when it is refused."""
        application, event = item
        warnings = list(event.warnings)
        moment = self._moment(event, now, warnings)
        use_case, instance = self._use_case(event, warnings)
        version = self._version(event, moment, now, warnings)
        cost = price(version, with_context(version, event.units) if version is not None else event.units)
        warnings += cost.warnings
        named = self._named_limits(event, rows, warnings)
        standings = _standings(event, named, cost)
        notes = _notes(warnings, list(event.request_tags), cost, unpriced=version is None and bool(event.units))
        who = event.attribution
        row = EventRow(  # in the columns' order: with keywords it costs as much as a statement
            ordered_id(),
            application,
            event.event_id,
            event.category,
            event.resource,
            version.resource_id if version is not None else None,
            event.provider_response_id,
            to_micros(moment),
            to_micros(now),
            _json(event.units),
            f"{cost.input:f}",
            f"{cost.output:f}",
            _json([standing.stored() for standing in standings]),
            who.user_id,
            who.account_name,
            use_case,
            instance,
            who.use_case_version if use_case is not None else None,
            who.use_case_step if use_case is not None else None,
            event.http_status_code,
            event.end_to_end_latency_ms,
            event.time_to_first_token_ms,
            _json_or_none(_all_properties(event)),
            _json_or_none(notes),
            _json_or_none(_detail(event)),
        )
        return _Booking(Booked(row, cost, standings, notes), named)

    def _moment(self, event: UsageEvent, now: datetime, warnings: list[str]) -> datetime:
        moment = event.event_timestamp
        if moment is None:
            return now
        if moment > now + AHEAD:
            message = (
                f"event_timestamp: {moment.isoformat()} is more than 5 minutes after the meter's {now.isoformat()}"
            )
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
                raise ContractError(
                    "request_processing_error", f"use_case_id: {instance!r} comes without a use_case_name"
                )
            return None, None
        if not _USE_CASE_NAME.fullmatch(name):
            message = f"use_case_name: {name[:80]!r} is not 1 to 64 of A-Z a-z 0-9 . _ -"
            if not event.record_unpriced:
                raise ContractError("invalid_use_case_name", message)
            warnings.append(f"invalid_use_case_name: {message}")
            return None, None
        return name, instance if instance is not None else ordered_id()

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
            raise ContractError(
                code, f"resource: {category}/{resource} has no price at {moment.isoformat()}; create it"
            )
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

    def _named_limits(self, event: UsageEvent, rows: Mapping[str, LimitRow], warnings: list[str]) -> list[LimitRow]:
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
        warnings += [f"limit_not_found: {limit_id}" for limit_id in unknown]
        warnings += [f"blocking_limit_not_allowed: {limit_id}" for limit_id in blocking]
        return named


class _Booking(NamedTuple):
    """An event that may be stored, and the limits that it counts on."""

    booked: Booked
    limits: list[LimitRow]


def _standings(event: UsageEvent, limits: Sequence[LimitRow], cost: Cost) -> list[Standing]:
    status = event.http_status_code
    total = cost.total
    failed = not total and status is not None and (status >= _FAILED_FROM or status == CLIENT_FAILURE)
    refused_by: frozenset[str] = frozenset()
    if status == REFUSED and not event.units and (named := event.properties.get(BLOCKED)):
        refused_by = frozenset(named.split(","))
    standings: list[Standing] = []
    for limit in limits:
        spend = EXACT.add(rules.spent(limit), total)
        state = rules.event_state(limit, spend, failed=failed, refused_by=refused_by)
        standings.append(Standing(limit.limit_id, state, limit.limit_type, limit.max, spend))
    return standings


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
    return _json(value) if value else None


def _json(value: object) -> str:
    """Return JSON text; pydantic's writer is the quicker one, but takes no lone surrogates."""
    try:
        return to_json(value).decode()
    except ValueError:
        return json.dumps(value)
