"""Categories, resources and their versions. Source: wire-api section 5, resources-semantics sections 1 to 5."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from payi_instrument.engine import resources
from payi_instrument.engine.ledger import from_micros, to_micros
from payi_instrument.engine.operations.call import Call, answers
from payi_instrument.ids import new_id
from payi_instrument.wire import categories
from payi_instrument.wire import operations as table
from payi_instrument.wire.codes import ContractError
from payi_instrument.wire.message import Reply
from payi_instrument.wire.model import Money


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
        resource_id=new_id(),
        start_timestamp=to_micros(body.start_timestamp or now),
        units=resources.units_text(body),
        max_input_units=body.max_input_units,
        max_output_units=body.max_output_units,
        max_total_units=body.max_total_units,
        deleted=None,
    )
    with call.store.transaction() as ledger:
        versions = ledger.resources.versions(category, resource)
        same = _same_version(versions, new, dated=body.start_timestamp is not None)
        if same is None:
            start = from_micros(new.start_timestamp)
            ledger.resources.add(
                {**new._asdict(), "category": category, "resource": resource, "start_timestamp": start}
            )
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
