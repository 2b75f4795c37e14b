"""Appraise an event: which version prices it, what it costs, how its limits stand after it. Nothing is stored here.

Source: wire-api section 3.1, limits-semantics section 6, resources-semantics section 6, decisions 7 to 9.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from pydantic_core import to_json

from payi_instrument.engine import limits as rules
from payi_instrument.engine.ledger import AHEAD, EventRow, LimitRow, to_micros
from payi_instrument.engine.pricing import EXACT, Cost, ResourceVersion, price, with_context
from payi_instrument.engine.results import Booked, Standing
from payi_instrument.event import UNKNOWN_MODEL
from payi_instrument.ids import ordered_id
from payi_instrument.wire.codes import ContractError
from payi_instrument.wire.headers import BLOCKED, CLIENT_FAILURE, REFUSED

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from payi_instrument.engine.catalogue import Catalogue
    from payi_instrument.engine.instances import Instance
    from payi_instrument.engine.ledger import IngestStore
    from payi_instrument.event import UsageEvent

_FAILED_FROM = 400
_MAX_USER_ID = 16_384
_TAG = re.compile("[A-Za-z0-9_-]+")


@dataclass(frozen=True, slots=True)
class Options:
    """Hold how strict a meter is; the defaults never refuse spend that happened."""

    strict_limits: bool = False
    block_limits_on_ingest: str = "evaluate"
    unpriced_events: str = "reject"


@dataclass(slots=True)
class Draft:
    """An event on its way into the ledger: where it belongs, what it counts on, what has to be said of it.

    `refusal` is why it can't be stored, if that is known already. One that `replaces` takes the place of the stored
    event of its response: `replaced`, None when there is none.
    """

    application: str
    event: UsageEvent
    warnings: list[str] = field(default_factory=list[str])
    limit_ids: tuple[str, ...] = ()
    instance: Instance | None = None
    refusal: ContractError | None = None
    replaces: bool = False
    replaced: EventRow | None = None


def _refused(code: str, message: str, event: UsageEvent, warnings: list[str]) -> None:
    """Refuse an event for a bad part; an instrumented one goes without that part, with a warning (decision 8)."""
    if not event.record_unpriced:
        raise ContractError(code, message)
    warnings.append(f"{code}: {message}")


def _strict_code(unknown: list[str]) -> str:
    try:
        for limit_id in unknown:
            rules.check_id(limit_id)
    except ContractError:
        return "invalid_limit_id"
    return "invalid_limit_ids"


class Booking(NamedTuple):
    """An event that may be stored, and the limits that it counts on."""

    booked: Booked
    limits: list[LimitRow]


class Appraiser:
    """Decide everything about events before they are stored."""

    def __init__(self, store: IngestStore, catalogue: Catalogue, options: Options) -> None:
        """Take the ledger's custom prices, the system prices and how strict to be."""
        self._store = store
        self._catalogue = catalogue
        self._options = options
        self._rejects_block = options.block_limits_on_ingest == "reject"

    def appraise(self, draft: Draft, now: datetime, rows: Mapping[str, LimitRow]) -> Booking:
        """Return what is to be stored, given the limits that exist; raises `ContractError` for an event that is refused."""
        if draft.refusal is not None:
            raise draft.refusal
        event, instance, warnings = draft.event, draft.instance, draft.warnings
        moment = self._moment(event, now, warnings)
        version = self._version(event, moment, now, warnings)
        cost = price(version, with_context(version, event.units) if version is not None else event.units)
        warnings += cost.warnings
        named = self._named_limits(draft, rows)
        user_id, tags = self._user_id(event, warnings), self._tags(event, warnings)
        micros = to_micros(moment)
        standings = _standings(draft, named, cost, micros)
        notes = _notes(warnings, tags, cost, unpriced=version is None and bool(event.units))
        who = event.attribution
        row = EventRow(  # in the columns' order: with keywords it costs as much as a statement
            ordered_id(),
            draft.application,
            event.event_id,
            event.category,
            event.resource,
            version.resource_id if version is not None else None,
            event.provider_response_id,
            micros,
            to_micros(now),
            _json(event.units),
            f"{cost.input:f}",
            f"{cost.output:f}",
            _json([standing.stored() for standing in standings]),
            user_id,
            who.account_name,
            instance.name if instance is not None else None,
            instance.id if instance is not None else None,
            instance.version if instance is not None else None,
            who.use_case_step if instance is not None else None,
            event.http_status_code,
            event.end_to_end_latency_ms,
            event.time_to_first_token_ms,
            _json_or_none(_all_properties(event)),
            _json_or_none(notes),
            _json_or_none(_detail(event)),
        )
        return Booking(Booked(row, cost, standings, notes), named)

    def _user_id(self, event: UsageEvent, warnings: list[str]) -> str | None:
        user_id = event.attribution.user_id
        if user_id is None or len(user_id) <= _MAX_USER_ID:
            return user_id
        message = f"user_id: {user_id[:40]!r} has {len(user_id)} characters, at most {_MAX_USER_ID} are kept"
        _refused("invalid_user_id", message, event, warnings)
        return None

    def _tags(self, event: UsageEvent, warnings: list[str]) -> list[str]:
        tags = [tag for tag in event.request_tags if _TAG.fullmatch(tag)]
        if bad := [tag for tag in event.request_tags if tag not in tags]:
            _refused("invalid_tags", f"request_tags: {bad[0][:40]!r} is not made of A-Z a-z 0-9 _ -", event, warnings)
        return tags

    def _moment(self, event: UsageEvent, now: datetime, warnings: list[str]) -> datetime:
        moment = event.event_timestamp
        if moment is None:
            return now
        if moment > now + AHEAD:
            _refused(
                "invalid_ingest_event_timestamp",
                f"event_timestamp: {moment.isoformat()} is more than 5 minutes after the meter's {now.isoformat()}",
                event,
                warnings,
            )
            return now
        return moment

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

    def _named_limits(self, draft: Draft, rows: Mapping[str, LimitRow]) -> list[LimitRow]:
        """Return the limits that an event counts on; of the automatic one it need not know."""
        named: list[LimitRow] = []
        unknown: list[str] = []
        blocking: list[str] = []
        automatic = draft.instance.limit_id if draft.instance is not None else None
        for limit_id in draft.limit_ids:
            row = rows.get(limit_id)
            if row is not None and draft.replaced is not None and row.created > draft.replaced.ingest_timestamp:
                continue  # a later limit of the same id never counted the event
            if row is None:
                if limit_id != automatic and draft.replaced is None:  # both outlive a limit that was deleted
                    unknown.append(limit_id)
            elif row.limit_type == "block" and self._rejects_block and limit_id != automatic:
                blocking.append(limit_id)
            else:
                named.append(row)
        if not draft.event.record_unpriced:
            if blocking:
                message = f"limit_ids: {', '.join(blocking)} are of type block, which this meter takes on no ingest"
                result: dict[str, object] = {"limits": {}, "blocked_limit_ids": blocking}
                raise ContractError("blocking_limit_not_allowed", message, result)
            if unknown and self._options.strict_limits:
                raise ContractError(_strict_code(unknown), f"limit_ids: {', '.join(unknown)} are unknown; create them")
        draft.warnings += [f"limit_not_found: {limit_id}" for limit_id in unknown]
        draft.warnings += [f"blocking_limit_not_allowed: {limit_id}" for limit_id in blocking]
        return named


def _standings(draft: Draft, limits: Sequence[LimitRow], cost: Cost, moment: int) -> list[Standing]:
    event = draft.event
    status = event.http_status_code
    total = added = cost.total
    if draft.replaced is not None:
        added = EXACT.subtract(total, Booked.stored(draft.replaced).cost.total)
    failed = not total and status is not None and (status >= _FAILED_FROM or status == CLIENT_FAILURE)
    refused_by: frozenset[str] = frozenset()
    if status == REFUSED and not event.units and (named := event.properties.get(BLOCKED)):
        refused_by = frozenset(named.split(","))
    standings: list[Standing] = []
    for limit in limits:
        spend = rules.spent(limit)
        if not is_late(limit, moment):
            spend = EXACT.add(spend, added)
        state = rules.event_state(limit, spend, failed=failed, refused_by=refused_by)
        standings.append(Standing(limit.limit_id, state, limit.limit_type, limit.max, spend))
    return standings


def is_late(limit: LimitRow, moment: int) -> bool:
    """Say whether an event of this time (µs) belongs to a closed period of a limit (limits-semantics section 7)."""
    return limit.since is not None and moment < limit.since


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
    return to_json(value).decode()
