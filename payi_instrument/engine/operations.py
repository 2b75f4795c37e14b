"""Answer the operations of the table: check what was sent, do it, shape the answer.

Handlers are plain functions of the engine and one request, found by the operation's name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel, ValidationError

from payi_instrument.engine import limits as rules
from payi_instrument.engine import resources
from payi_instrument.engine.ledger import from_micros, to_micros
from payi_instrument.engine.pages import decode_cursor, encode_cursor, listing_digest
from payi_instrument.engine.pricing import EXACT
from payi_instrument.ids import new_id
from payi_instrument.wire import categories, limits
from payi_instrument.wire import operations as table
from payi_instrument.wire.codes import ContractError, envelope
from payi_instrument.wire.message import Operation, Page, Reply, Request
from payi_instrument.wire.model import Money
from payi_instrument.wire.result import CostData, CostDetails, CostDetailsBase

if TYPE_CHECKING:
    from payi_instrument.engine.store_core import CoreStore

ModelT = TypeVar("ModelT", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Call:
    """Hold what a handler works on: the application, the ledger's cold side, and the checked request."""

    operation: str
    application: str
    store: CoreStore
    path: Mapping[str, str]
    query: Any
    body: Any


Handler = Callable[[Call], Reply]
_HANDLERS: dict[str, Handler] = {}


def answers(operation: Operation[Any]) -> Callable[[Handler], Handler]:
    """Register the handler of an operation."""

    def register(handler: Handler) -> Handler:
        _HANDLERS[operation.name] = handler
        return handler

    return register


def answer(request: Request[Any], application: str, store: CoreStore) -> Reply:
    """Answer one operation; a refusal is a reply with the error envelope."""
    operation = request.operation
    try:
        handler = _HANDLERS.get(operation.name, _not_answered)
        query = checked(operation.query, dict(request.query), operation) if operation.query is not None else None
        body = checked(operation.body, request.body, operation) if operation.body is not None else None
        return handler(Call(operation.name, application, store, request.path, query, body))
    except ContractError as error:
        return Reply(error.status, envelope(error))
    except UnicodeEncodeError as error:
        refusal = ContractError(
            "request_processing_error", f"{error.object[:40]!r} holds half a character ({error.reason})"
        )
        return Reply(refusal.status, envelope(refusal))


def _not_answered(call: Call) -> Reply:
    raise ContractError("not_implemented", f"{call.operation}: this meter does not answer it yet")


def checked(model: type[ModelT], value: object, operation: Operation[Any]) -> ModelT:
    """Validate a body or a query; raises `ContractError` naming every bad member."""
    try:
        return model.model_validate(value)
    except ValidationError as error:
        problems = error.errors(include_url=False, include_context=False)
        named = "; ".join(f"{'.'.join(map(str, item['loc'])) or 'body'}: {item['msg']}" for item in problems)
        raise ContractError(_code(operation, problems), named) from None


def _code(operation: Operation[Any], problems: list[Any]) -> str:
    """Choose the code of a validation failure: the operation's own where it has one (wire-api section 1.5)."""
    if all(item["type"] == "missing" for item in problems) and operation is table.INGEST:
        return "required_field_missing"
    return _OWN_CODES.get(operation.name, "request_processing_error")


_OWN_CODES = {
    table.CREATE_LIMIT.name: "create_limit_validation_failed",
    table.UPDATE_LIMIT.name: "update_limit_validation_failed",
}


def _id() -> str:
    return new_id()


@answers(table.CREATE_LIMIT)
def create_limit(call: Call) -> Reply:
    """Create a limit, or return the one that is the same already (limits-semantics section 2)."""
    body: limits.CreateLimit = call.body
    wanted: dict[str, Any] = {
        "limit_name": rules.check_name(body.limit_name),
        "max": rules.check_max(body.max),
        "limit_type": body.limit_type or "allow",
        "threshold": rules.check_threshold(body.threshold),
    }
    if body.properties is not None:
        wanted["properties"] = rules.check_properties(body.properties)
    if body.limit_id is not None:
        rules.check_id(body.limit_id)
    with call.store.transaction() as ledger:
        same_id = ledger.find_limit(call.application, body.limit_id) if body.limit_id is not None else None
        existing = same_id or ledger.find_limit_by_name(call.application, body.limit_name)
        if existing is not None:
            different = [name for name, value in wanted.items() if existing[name] != value]
            if same_id is not None and different:
                message = f"limit_id: {body.limit_id!r} exists with another {', '.join(different)}; update or delete it"
                raise ContractError("create_limit_validation_failed", message)
            if same_id is None and (different or body.limit_id is not None):
                message = f"limit_name: {body.limit_name!r} is taken by limit {existing['limit_id']!r}"
                raise ContractError("limit_name_already_exist", message)
            return Reply(200, _limit_response(existing))
        now = datetime.now(UTC)
        new: dict[str, Any] = {
            "properties": {},
            **wanted,
            "application": call.application,
            "limit_id": body.limit_id if body.limit_id is not None else _id(),
            "spent_input": Decimal(0),
            "spent_output": Decimal(0),
            "created": now,
            "updated": now,
        }
        ledger.add_limit(new)
        return Reply(201, _limit_response(new))


@answers(table.RETRIEVE_LIMIT)
def retrieve_limit(call: Call) -> Reply:
    """Return one limit."""
    with call.store.transaction() as ledger:
        return Reply(
            200, _limit_response(_known_limit(call, ledger.find_limit(call.application, call.path["limit_id"])))
        )


@answers(table.LIST_LIMITS)
def list_limits(call: Call) -> Reply:
    """List limits by creation time, newest first unless asked otherwise."""
    query: table.LimitsQuery = call.query
    ascending = bool(query.sort_ascending)
    digest = listing_digest(
        "limits.list", {"limit_name": query.limit_name, "property": query.property}, ascending=ascending
    )
    if query.property:
        raise ContractError("not_implemented", "property: this meter does not filter by properties yet")
    with call.store.transaction() as ledger:
        rows = ledger.list_limits(
            call.application,
            limit_name=query.limit_name,
            after=decode_cursor(query.cursor, digest),
            ascending=ascending,
            size=query.limit + 1,
        )
    shown = rows[: query.limit]
    more = len(rows) > len(shown)
    cursor = encode_cursor(digest, shown[-1]["created"], shown[-1]["limit_id"]) if more else None
    return Reply(200, Page[limits.Limit](request_id=_id(), cursor=cursor, items=[_limit(row) for row in shown]))


@answers(table.UPDATE_LIMIT)
def update_limit(call: Call) -> Reply:
    """Change name or max of a limit (limits-semantics section 5)."""
    body: limits.UpdateLimit = call.body
    limit_id = call.path["limit_id"]
    with call.store.transaction() as ledger:
        row = _known_limit(call, ledger.find_limit(call.application, limit_id))
        changes: dict[str, Any] = {}
        if body.limit_name is not None and body.limit_name != row["limit_name"]:
            rules.check_name(body.limit_name, "update_limit_validation_failed")
            if ledger.find_limit_by_name(call.application, body.limit_name) is not None:
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
            ledger.change_limit(call.application, limit_id, changes)
        return Reply(200, _limit_response({**row, **changes}))


@answers(table.DELETE_LIMIT)
def delete_limit(call: Call) -> Reply:
    """Delete a limit; its name and id are free at once."""
    limit_id = call.path["limit_id"]
    with call.store.transaction() as ledger:
        if not ledger.remove_limit(call.application, limit_id):
            raise _no_limit(limit_id)
    return Reply(200, limits.DefaultResponse(request_id=_id(), message=f"limit {limit_id} deleted"))


@answers(table.CREATE_RESOURCE)
def create_resource(call: Call) -> Reply:
    """Add a version of a custom resource, or return the one that is the same (resources-semantics section 3)."""
    body: categories.ResourceRequest = call.body
    category, resource = call.path["category"], call.path["resource"]
    resources.check_custom_name("category", category)
    resources.check_custom_name("resource", resource)
    resources.check_writable(category)
    now = datetime.now(UTC)
    new = resources.CustomVersion(
        resource_id=_id(),
        start_timestamp=to_micros(body.start_timestamp or now),
        units=resources.units_text(body),
        max_input_units=body.max_input_units,
        max_output_units=body.max_output_units,
        max_total_units=body.max_total_units,
        deleted=None,
    )
    with call.store.transaction() as ledger:
        versions = ledger.custom_versions(category, resource)
        same = _same_version(versions, new, dated=body.start_timestamp is not None)
        if same is None:
            start = from_micros(new.start_timestamp)
            ledger.add_version({**new._asdict(), "category": category, "resource": resource, "start_timestamp": start})
            versions = sorted([*versions, new], key=lambda version: version.start_timestamp)
    wanted = new if same is None else same
    shown = next(
        version
        for version in resources.to_versions(category, resource, versions)
        if version.resource_id == wanted.resource_id
    )
    return Reply(201 if same is None else 200, resource_response(shown))


def _same_version(
    versions: list[resources.CustomVersion], new: resources.CustomVersion, *, dated: bool
) -> resources.CustomVersion | None:
    """Find the version that a create repeats; raises `resource_already_exists` when only its start is the same."""
    if dated:
        at = next((version for version in versions if version.start_timestamp == new.start_timestamp), None)
        if at is not None and at.content() != new.content():
            start = from_micros(new.start_timestamp).isoformat()
            raise ContractError("resource_already_exists", f"start_timestamp: another version starts at {start}")
        return at
    valid = [version for version in versions if version.start_timestamp <= new.start_timestamp]
    return valid[-1] if valid and valid[-1].content() == new.content() else None


def resource_response(version: Any) -> categories.CategoryResourceResponse:
    """Return a resource version as the wire shows it."""
    return categories.CategoryResourceResponse(
        category=version.category,
        resource=version.resource,
        resource_id=version.resource_id,
        start_timestamp=version.start,
        end_timestamp=version.end,
        units={
            unit: categories.UnitPriceData(input_price=Money(prices.input), output_price=Money(prices.output))
            for unit, prices in version.units.items()
        },
        active=version.active,
        max_input_units=version.max_input_units,
        max_output_units=version.max_output_units,
        max_total_units=version.max_total_units,
        large_context_threshold=version.large_context_threshold,
        aliased_resource=version.aliased_resource,
        description=version.description,
    )


def _known_limit(call: Call, row: Mapping[str, Any] | None) -> Mapping[str, Any]:
    if row is None:
        raise _no_limit(call.path["limit_id"])
    return row


def _no_limit(limit_id: str) -> ContractError:
    return ContractError("limit_not_found", f"limit_id: {limit_id!r} is unknown")


def _limit_response(row: Mapping[str, Any]) -> limits.LimitResponse:
    return limits.LimitResponse(limit=_limit(row), request_id=_id())


def _limit(row: Mapping[str, Any]) -> limits.Limit:
    spent = EXACT.add(row["spent_input"], row["spent_output"])
    over = EXACT.subtract(spent, row["max"])
    counts = {
        state: row.get(state, 0) for state in ("ok", "exceeded", "overrun", "blocked", "blocked_external", "failed")
    }
    return limits.Limit(
        limit_id=row["limit_id"],
        limit_name=row["limit_name"],
        limit_type=row["limit_type"],
        max=Money(row["max"]),
        threshold=Money(row["threshold"]),
        totals=limits.TotalCostData(
            cost=CostData(
                input=CostDetailsBase(base=Money(row["spent_input"])),
                output=CostDetailsBase(base=Money(row["spent_output"])),
                total=CostDetails(base=Money(spent), overrun_base=Money(over) if over > 0 else None),
            ),
            requests=limits.RequestsData(**counts, total=sum(counts.values())),
            held=Money(0),
        ),
        limit_creation_timestamp=row["created"],
        limit_update_timestamp=row["updated"],
        properties=row["properties"],
    )
