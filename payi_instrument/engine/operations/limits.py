"""Create, find, change and delete limits. Source: wire-api section 4, limits-semantics sections 2, 5 and 7."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from payi_instrument.engine import limits as rules
from payi_instrument.engine.ledger import AHEAD, STATES, to_micros
from payi_instrument.engine.operations.call import Call, answers, check_same
from payi_instrument.engine.pages import Listing
from payi_instrument.engine.pricing import EXACT
from payi_instrument.ids import new_id
from payi_instrument.wire import limits
from payi_instrument.wire import operations as table
from payi_instrument.wire.codes import ContractError
from payi_instrument.wire.message import Page, Reply
from payi_instrument.wire.model import Money
from payi_instrument.wire.result import CostData, CostDetails, CostDetailsBase

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_SPENT = ("spent_input", "spent_output")


@answers(table.CREATE_LIMIT)
def create_limit(call: Call) -> Reply:
    """Create a limit, or return the one that is the same already (limits-semantics section 2)."""
    body: limits.CreateLimit = call.body
    wanted: dict[str, Any] = {"limit_name": rules.check_name(body.limit_name), **terms_of(rules.Terms.of(body))}
    if body.limit_id is not None:
        rules.check_id(body.limit_id)
    same_id = call.ledger.limits.find(call.application, body.limit_id) if body.limit_id is not None else None
    if same_id is not None:
        check_same(same_id, wanted, f"limit_id: {body.limit_id!r}", "create_limit_validation_failed")
        return Reply(200, _limit_response(same_id))
    same_name = call.ledger.limits.find_by_name(call.application, body.limit_name)
    if same_name is not None:
        if body.limit_id is not None or any(same_name[name] != value for name, value in wanted.items()):
            message = f"limit_name: {body.limit_name!r} is taken by limit {same_name['limit_id']!r}"
            raise ContractError("limit_name_already_exist", message)
        return Reply(200, _limit_response(same_name))
    new = new_limit(call.application, body.limit_id if body.limit_id is not None else new_id(), wanted)
    call.ledger.limits.add(new)
    return Reply(201, _limit_response(new))


def terms_of(terms: rules.Terms) -> dict[str, Any]:
    """Return the terms of a limit as its row has them, properties only where they were given."""
    row: dict[str, Any] = {"max": terms.max, "limit_type": terms.limit_type, "threshold": terms.threshold}
    return row if terms.properties is None else {**row, "properties": terms.properties}


def new_limit(application: str, limit_id: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the row of a limit that nothing was spent on."""
    now = datetime.now(UTC)
    zeros = {"spent_input": Decimal(0), "spent_output": Decimal(0), **dict.fromkeys(STATES, 0)}
    stamps = {"created": now, "updated": now, "since": None}
    return {"application": application, "limit_id": limit_id, "properties": {}, **values, **zeros, **stamps}


@answers(table.RETRIEVE_LIMIT)
def retrieve_limit(call: Call) -> Reply:
    """Return one limit."""
    return Reply(
        200, _limit_response(_known_limit(call, call.ledger.limits.find(call.application, call.path["limit_id"])))
    )


@answers(table.LIST_LIMITS)
def list_limits(call: Call) -> Reply:
    """List limits by creation time, newest first unless asked otherwise."""
    query: table.LimitsQuery = call.query
    filters = {"limit_name": query.limit_name, "property": query.property}
    listing = Listing.asked_by(query, int, of=call.operation, filters=filters)
    properties = {_pair(text) for text in query.property}
    rows = call.ledger.limits.page(call.application, listing, limit_name=query.limit_name, properties=properties)
    shown, cursor = listing.page(rows, lambda row: (to_micros(row["created"]), row["limit_id"]))
    return Reply(200, Page[limits.Limit](request_id=new_id(), cursor=cursor, items=[_limit(row) for row in shown]))


def _pair(text: str) -> tuple[str, str]:
    key, colon, value = text.partition(":")
    if not colon or not key:
        raise ContractError("request_processing_error", f"property: {text[:80]!r} is not key:value")
    return key, value


@answers(table.UPDATE_LIMIT)
def update_limit(call: Call) -> Reply:
    """Change name or max of a limit (limits-semantics section 5)."""
    body: limits.UpdateLimit = call.body
    limit_id = call.path["limit_id"]
    row = _known_limit(call, call.ledger.limits.find(call.application, limit_id))
    changes: dict[str, Any] = {}
    if body.limit_name is not None and body.limit_name != row["limit_name"]:
        rules.check_name(body.limit_name, "update_limit_validation_failed")
        if call.ledger.limits.find_by_name(call.application, body.limit_name) is not None:
            raise ContractError("limit_name_already_exist", f"limit_name: {body.limit_name!r} is taken")
        changes["limit_name"] = body.limit_name
    if body.max is not None:
        maximum, spent = rules.check_max(body.max), EXACT.add(row["spent_input"], row["spent_output"])
        if maximum < spent:
            raise ContractError("invalid_max_limit_update", f"max: {maximum} is below the {spent} already spent")
        if maximum != row["max"]:
            changes["max"] = maximum
    if changes:
        changes["updated"] = datetime.now(UTC)
        call.ledger.limits.change(call.application, limit_id, changes)
    return Reply(200, _limit_response({**row, **changes}))


@answers(table.DELETE_LIMIT)
def delete_limit(call: Call) -> Reply:
    """Delete a limit; its name and id are free at once."""
    limit_id = call.path["limit_id"]
    if not call.ledger.limits.remove(call.application, limit_id):
        raise _no_limit(limit_id)
    return Reply(200, limits.DefaultResponse(request_id=new_id(), message=f"limit {limit_id} deleted"))


@answers(table.UPDATE_LIMIT_PROPERTIES)
def update_properties(call: Call) -> Reply:
    """Merge properties into those of a limit."""
    body: limits.PropertiesRequest = call.body
    limit_id = call.path["limit_id"]
    row = _known_limit(call, call.ledger.limits.find(call.application, limit_id))
    properties = rules.merge_properties(row["properties"], body.properties)
    changes = {"properties": properties, "updated": datetime.now(UTC)}
    if properties != row["properties"]:
        call.ledger.limits.change(call.application, limit_id, changes)
        row = {**row, **changes}
    return Reply(200, [_limit_response(row)])


@answers(table.RESET_LIMIT)
def reset_limit(call: Call) -> Reply:
    """Close the running period of a limit and begin another (limits-semantics section 7)."""
    query: table.ResetQuery = call.query
    limit_id = call.path["limit_id"]
    now = datetime.now(UTC)
    row = _known_limit(call, call.ledger.limits.find(call.application, limit_id))
    at = _reset_time(row, query.reset_date, now)
    _check_not_pruned(at, call.ledger.retention.pruned_before(call.application, limit_id))
    kept = _gathered(call.ledger.limits.events_from(row, at))
    closed = {name: EXACT.subtract(row[name], kept[name]) for name in _SPENT}
    closed |= {state: row[state] - kept[state] for state in STATES}
    terms = {name: row[name] for name in ("application", "limit_id", "limit_name", "limit_type", "max")}
    period: dict[str, Any] = {**terms, **closed, "until": at}
    call.ledger.limits.add_period(period)
    call.ledger.limits.change(call.application, limit_id, {**kept, "since": at, "updated": now})
    return Reply(200, limits.LimitHistoryResponse(limit_history=_history(period), request_id=new_id()))


def _reset_time(row: Mapping[str, Any], asked: datetime | None, now: datetime) -> datetime:
    began: datetime = row["since"] or row["created"]
    if asked is None:
        return max(now, began + timedelta(microseconds=1))
    if not began < asked <= now + AHEAD:
        message = (
            f"resetDate: {asked.isoformat()} is not after {began.isoformat()}, when the limit was created or last reset,"
            f" or more than 5 minutes after the meter's {now.isoformat()}"
        )
        raise ContractError("update_limit_validation_failed", message)
    return asked


def _check_not_pruned(at: datetime, horizon: datetime | None) -> None:
    """Refuse to part events that are no longer there."""
    if horizon is not None and at < horizon:
        message = (
            f"resetDate: {at.isoformat()} is before {horizon.isoformat()}; events of the limit up to then were pruned and"
            " can't be told apart any more"
        )
        raise ContractError("update_limit_validation_failed", message)


def _gathered(events: Iterable[tuple[str, Decimal, Decimal]]) -> dict[str, Any]:
    """Return the totals of events as the columns of a limit."""
    spent_input = spent_output = Decimal(0)
    counts: dict[str, int] = dict.fromkeys(STATES, 0)
    for state, cost_input, cost_output in events:
        spent_input, spent_output = EXACT.add(spent_input, cost_input), EXACT.add(spent_output, cost_output)
        counts[state] += 1
    return {"spent_input": spent_input, "spent_output": spent_output, **counts}


@answers(table.LIMIT_HISTORY)
def list_history(call: Call) -> Reply:
    """List the closed periods of a limit, newest first unless asked otherwise."""
    limit_id = call.path["limit_id"]
    listing = Listing.asked_by(call.query, int, of=call.operation, filters={"limit_id": limit_id})
    _known_limit(call, call.ledger.limits.find(call.application, limit_id))
    rows = call.ledger.limits.periods(call.application, limit_id, listing)
    shown, cursor = listing.page(rows, lambda row: (to_micros(row["until"]), limit_id))
    items = [_history(row) for row in shown]
    return Reply(200, Page[limits.LimitHistory](request_id=new_id(), cursor=cursor, items=items))


def _known_limit(call: Call, row: Mapping[str, Any] | None) -> Mapping[str, Any]:
    if row is None:
        raise _no_limit(call.path["limit_id"])
    return row


def _no_limit(limit_id: str) -> ContractError:
    return ContractError("limit_not_found", f"limit_id: {limit_id!r} is unknown")


def _limit_response(row: Mapping[str, Any]) -> limits.LimitResponse:
    return limits.LimitResponse(limit=_limit(row), request_id=new_id())


def _limit(row: Mapping[str, Any]) -> limits.Limit:
    return limits.Limit(
        limit_id=row["limit_id"],
        limit_name=row["limit_name"],
        limit_type=row["limit_type"],
        max=Money(row["max"]),
        threshold=Money(row["threshold"]),
        totals=_totals(row),
        limit_creation_timestamp=row["created"],
        limit_update_timestamp=row["updated"],
        properties=row["properties"],
    )


def _history(row: Mapping[str, Any]) -> limits.LimitHistory:
    return limits.LimitHistory(
        limit_id=row["limit_id"],
        limit_name=row["limit_name"],
        limit_type=row["limit_type"],
        max=Money(row["max"]),
        totals=_totals(row),
        limit_reset_timestamp=row["until"],
    )


def _totals(row: Mapping[str, Any]) -> limits.TotalCostData:
    spent = EXACT.add(row["spent_input"], row["spent_output"])
    over = EXACT.subtract(spent, row["max"])
    counts = {state: row[state] for state in STATES}
    return limits.TotalCostData(
        cost=CostData(
            input=CostDetailsBase(base=Money(row["spent_input"])),
            output=CostDetailsBase(base=Money(row["spent_output"])),
            total=CostDetails(base=Money(spent), overrun_base=Money(over) if over > 0 else None),
        ),
        requests=limits.RequestsData(**counts, total=sum(counts.values())),
        held=Money(0),
    )
