"""Appraise an event: which version prices it, what it costs, how its limits stand after it. Nothing is stored here.

Source: wire-api section 3.1, limits-semantics section 6, resources-semantics section 6, decisions 7 to 9.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from decimal import Overflow
from typing import TYPE_CHECKING

from pydantic_core import to_json

from payi_instrument.engine import limits as rules
from payi_instrument.engine.ledger import AHEAD, EventRow, LimitRow, amount_text, to_micros
from payi_instrument.engine.pricing import EXACT, KEPT, Cost, ResourceVersion, price, too_much, with_context
from payi_instrument.engine.results import Booked, Stood
from payi_instrument.event import UNKNOWN_MODEL
from payi_instrument.ids import ordered_id
from payi_instrument.wire.codes import ContractError
from payi_instrument.wire.headers import BLOCKED, CLIENT_FAILURE, REFUSED

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime
    from decimal import Decimal

    from payi_instrument.engine.catalogue import Catalogue
    from payi_instrument.engine.instances import Instance
    from payi_instrument.engine.ledger import Books
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
    event of its response: `replaced`, None when there is none. `use_case_version` is what its instance takes if it has
    none yet. From `version` on it is what `Appraiser.price` found:
    `moment` in µs.
    """

    application: str
    event: UsageEvent
    warnings: list[str] = field(default_factory=list[str])
    limit_ids: tuple[str, ...] = ()
    instance: Instance | None = None
    use_case_version: int = 0
    refusal: ContractError | None = None
    replaces: bool = False
    replaced: EventRow | None = None
    version: ResourceVersion | None = None
    moment: int = 0
    cost: Cost = field(init=False)


def _refused(code: str, message: str, event: UsageEvent, warnings: list[str]) -> None:
    """Refuse an event for a bad part; an instrumented one goes without that part, with a warning (decision 8)."""
    if not event.record_unpriced:
        raise ContractError(code, message)
    warnings.append(f"{code}: {message}")


def _without_cost(draft: Draft, amount: Decimal, what: str) -> Cost:
    """Refuse an event whose amount no ledger keeps; an instrumented one is stored as if its units had no price.

    It was a call that was made (decision 8), and no call costs that much: its counts, or its prices, are wrong.
    """
    _refused("request_processing_error", too_much(amount, what), draft.event, draft.warnings)
    return price(None, draft.event.units)


def _strict_code(unknown: list[str]) -> str:
    try:
        for limit_id in unknown:
            rules.check_id(limit_id)
    except ContractError:
        return "invalid_limit_id"
    return "invalid_limit_ids"


class Appraiser:
    """Decide everything about events before they are stored."""

    def __init__(self, catalogue: Catalogue, options: Options) -> None:
        """Take the system prices and how strict to be."""
        self._catalogue = catalogue
        self._options = options
        self._rejects_block = options.block_limits_on_ingest == "reject"

    def price(self, draft: Draft, now: datetime, books: Books) -> None:
        """Find out what an event costs, which needs no limit, so that none is locked meanwhile.

        Raises `ContractError` for an event that is refused.
        """
        event, warnings = draft.event, draft.warnings
        moment = self._moment(event, now, warnings)
        draft.moment = to_micros(moment)
        draft.version = version = self._version(event, moment, now, warnings, books)
        units = with_context(version, event.units) if version is not None else event.units
        try:
            draft.cost = cost = price(version, units)
        except Overflow:
            draft.cost = cost = _without_cost(draft, price(version, units, EXACT).total, "they cost")
        if cost.warnings:
            warnings += cost.warnings

    def appraise(self, draft: Draft, stored: int, rows: Mapping[str, LimitRow]) -> Booked:
        """Return what is to be stored (at `stored`, µs) of an event that has its price, given the limits that exist.

        Raises `ContractError` for an event that is refused.
        """
        if draft.refusal is not None:
            raise draft.refusal
        event, instance, version, cost = draft.event, draft.instance, draft.version, draft.cost
        named = [rows[limit_id] for limit_id in draft.limit_ids if limit_id in rows]
        if len(named) != len(draft.limit_ids) or draft.replaced is not None or self._rejects_block:
            named = self._named_limits(draft, rows)
        user_id = self._user_id(event, draft.warnings)
        tags = self._tags(event, draft.warnings) if event.request_tags else []
        try:
            stood, standings = _standings(draft, named)
        except Overflow:
            most = max(limit.spend for limit in named)
            draft.cost = cost = _without_cost(draft, EXACT.add(most, cost.total), "they bring a limit's total to")
            stood, standings = _standings(draft, named)
        unknown = cost.unknown_units
        unpriced = bool(unknown) and len(unknown) == len(event.units)  # none had a price (decision 4)
        notes = _notes(draft, tags, unpriced=unpriced) if draft.warnings or tags or unpriced else {}
        who = event.attribution
        row = EventRow(  # in the columns' order: with keywords it costs as much as a statement
            ordered_id(),
            draft.application,
            event.event_id,
            event.category,
            event.resource,
            version.resource_id if version is not None else None,
            event.provider_response_id,
            draft.moment,
            stored,
            _json(event.units),
            amount_text(cost.input),
            amount_text(cost.output),
            standings,
            user_id,
            who.account_name,
            instance.name if instance is not None else None,
            instance.id if instance is not None else None,
            instance.version or draft.use_case_version if instance is not None else None,
            who.use_case_step if instance is not None else None,
            event.http_status_code,
            event.end_to_end_latency_ms,
            event.time_to_first_token_ms,
            _all_properties(event) if event.properties or who.request_properties else None,
            _json(notes) if notes else None,
            _detail(event),
        )
        return Booked(row, cost, notes, stood, instance is not None and instance.limit_id is not None)

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
        self, event: UsageEvent, moment: datetime, now: datetime, warnings: list[str], books: Books
    ) -> ResourceVersion | None:
        """Find the version that prices an event, None when it is stored without a price."""
        category, resource = event.category, event.resource
        if event.attribution.resource_scope is not None:
            warnings.append(f"resource_scope_not_found: {event.attribution.resource_scope}")
        if resource is None or resource == UNKNOWN_MODEL:
            return None
        version = self._catalogue.resolve(category, resource, moment)
        if version is None:
            versions = books.custom_versions(category, resource)
            version = _custom(versions, moment, now, dated=event.event_timestamp is not None)
        if version is not None:
            return version
        known = category in self._catalogue.categories() or books.has_custom_category(category)
        code = "category_resource_not_found" if known else "category_not_found"
        if not event.record_unpriced and self._options.unpriced_events == "reject":
            raise ContractError(
                code, f"resource: {category}/{resource} has no price at {moment.isoformat()}; create it"
            )
        warnings.append(f"category_resource_not_found: {category}/{resource}")
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
            is_asked_for = draft.replaced is None and (  # what an event counts on already stays
                limit_id != automatic or limit_id in draft.event.attribution.limit_ids
            )
            if row is None:
                if is_asked_for:
                    unknown.append(limit_id)
            elif row.limit_type == "block" and self._rejects_block and is_asked_for:
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
        if unknown or blocking:
            draft.warnings += [f"limit_not_found: {limit_id}" for limit_id in unknown]
            draft.warnings += [f"blocking_limit_not_allowed: {limit_id}" for limit_id in blocking]
        return named


def _custom(versions: list[ResourceVersion], moment: datetime, now: datetime, *, dated: bool) -> ResourceVersion | None:
    valid = [version for version in versions if version.start <= moment]
    if valid:
        return valid[-1]
    # a version made by a client whose clock runs ahead serves events without a time of their own at once
    if not dated and versions and versions[0].start <= now + AHEAD:
        return versions[0]
    return None


def _standings(draft: Draft, limits: Sequence[LimitRow]) -> tuple[Stood, str]:
    """Return how each limit stands after an event, and the JSON text that is stored of it."""
    if not limits:
        return _NO_LIMITS, "[]"
    status, moment = draft.event.http_status_code, draft.moment
    total = added = draft.cost.total
    if draft.replaced is not None:
        added = KEPT.subtract(total, Booked.stored(draft.replaced).cost.total)
    failed = not total and status is not None and (status >= _FAILED_FROM or status == CLIENT_FAILURE)
    refused_by = _refused_by(draft.event) if status == REFUSED else _NOBODY
    states: list[str] = []
    spends: list[Decimal] = []
    texts: list[str] = []
    add = KEPT.add  # this loop is where a batch spends its time
    for limit in limits:
        spend = limit.spend
        if limit.since is None or moment >= limit.since:
            spend = add(spend, added)
        if failed or refused_by:
            state = rules.event_state(limit, spend, failed=failed, refused_by=refused_by)
        else:
            state = rules.state_at(limit.limit_type, limit.max, limit.soft, spend)
        head, tail = limit.told
        states.append(state)
        spends.append(spend)
        texts.append(f'{head}{state}{tail}{amount_text(spend)}"]')
    return Stood(limits, states, spends), f"[{','.join(texts)}]"


_NO_LIMITS = Stood((), (), ())


_NOBODY: frozenset[str] = frozenset()


def _refused_by(event: UsageEvent) -> frozenset[str]:
    """Return the limits that stopped a call before it was made."""
    named = None if event.units else event.properties.get(BLOCKED)
    return frozenset(named.split(",")) if named else _NOBODY


def _notes(draft: Draft, tags: list[str], *, unpriced: bool) -> dict[str, object]:
    """Gather what a result says beside costs and limits; empty for nearly every event."""
    notes: dict[str, object] = {}
    if draft.warnings:
        notes["warnings"] = draft.warnings
    if tags:
        notes["request_tags"] = tags
    if draft.cost.unknown_units:
        notes["unknown_units"] = draft.cost.unknown_units
    if unpriced:
        notes["unpriced"] = True
    return notes


def _all_properties(event: UsageEvent) -> str | None:
    merged = {**event.properties, **event.attribution.request_properties}  # the user's own keys win
    kept = {key: value for key, value in merged.items() if value is not None}
    return _json(kept) if kept else None


def _detail(event: UsageEvent) -> str | None:
    """Gather what is stored only to be read back."""
    who = event.attribution
    if not (
        event.module
        or event.provider_uri
        or event.time_to_first_completion_token_ms
        or event.provider_request_headers
        or event.provider_response_headers
        or event.provider_request_json
        or event.provider_request_reasoning_json
        or event.provider_response_json
        or event.function_calls
        or who.use_case_properties
        or who.resource_scope
    ):
        return None
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
        "use_case_properties": who.use_case_properties,
        "resource_scope": who.resource_scope,
    }
    return _json({name: value for name, value in values.items() if value})


def _json(value: object) -> str:
    return to_json(value).decode()
