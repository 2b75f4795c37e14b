"""Categories, resources and their versions. Source: wire-api section 5, resources-semantics sections 1 to 5."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from payi_instrument.engine import resources
from payi_instrument.engine.ledger import to_micros
from payi_instrument.engine.operations.call import Call, answers
from payi_instrument.engine.pages import Listing
from payi_instrument.ids import new_id
from payi_instrument.wire import categories
from payi_instrument.wire import operations as table
from payi_instrument.wire.codes import ContractError
from payi_instrument.wire.message import Page, Reply
from payi_instrument.wire.model import Money

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from payi_instrument.engine.pricing import ResourceVersion, UnitPrice


@answers(table.LIST_CATEGORIES)
def list_categories(call: Call) -> Reply:
    """List the categories, system ones too, that have a resource left, or only those whose resources are all deleted."""
    active = _wants_active(call)
    listing = Listing.asked_by(call.query, str, of=call.operation, filters={"active": active}, names=True)
    system = call.catalogue.categories() if active else []
    custom = call.ledger.resources.categories(listing, active=active)
    names, cursor = listing.page(listing.chosen({*system, *custom}, _name), _name)
    items = [categories.CategoryResponse(category=name) for name in names]
    return Reply(200, Page[categories.CategoryResponse](request_id=new_id(), cursor=cursor, items=items))


@answers(table.LIST_CATEGORY_RESOURCES)
def list_resources(call: Call) -> Reply:
    """List the resources of a category, one version each: the one valid now, else the next to be.

    With `Active` false those of whose versions none is left. A category that once was, and has nothing to show, is an
    empty list; one that never was is an error.
    """
    category, active, now = call.path["category"], _wants_active(call), datetime.now(UTC)
    filters = {"category": category, "active": active}
    listing = Listing.asked_by(call.query, str, of=call.operation, filters=filters, names=True)
    system = call.catalogue.resources(category)
    if not system and not call.ledger.resources.has(category):
        raise _no_category(category)
    custom = call.ledger.resources.resources(category, listing, active=active)
    wanted = listing.chosen({*custom, *system} if active else custom, _name)
    names, cursor = listing.page(wanted, _name)
    stored = call.ledger.resources.versions(category, names, active=active)
    versions: defaultdict[str, list[ResourceVersion]] = defaultdict(list)
    for version in stored:
        versions[version.resource].append(version)
    shown = [resources.shown_at(versions[name] or call.catalogue.versions(category, name), now) for name in names]
    return _page(shown, cursor)


@answers(table.LIST_RESOURCE_VERSIONS)
def list_versions(call: Call) -> Reply:
    """List the versions of a resource by their start, newest first unless asked otherwise.

    With `Active` false only the deleted ones. A resource that once was, and has nothing to show, is an empty list.
    """
    category, resource, active = call.path["category"], call.path["resource"], _wants_active(call)
    filters = {"category": category, "resource": resource, "active": active}
    listing = Listing.asked_by(call.query, int, of=call.operation, filters=filters)
    system = call.catalogue.versions(category, resource)
    if not system and not call.ledger.resources.has(category, resource):
        raise _no_resource(call)
    custom = call.ledger.resources.page(category, resource, listing, active=active)
    return _page(*listing.page(listing.chosen([*custom, *system] if active else custom, _start), _start))


@answers(table.RETRIEVE_RESOURCE_VERSION)
def retrieve_version(call: Call) -> Reply:
    """Return one version of a resource, a deleted one too."""
    category, resource, resource_id = call.path["category"], call.path["resource"], call.path["resource_id"]
    system = call.catalogue.versions(category, resource)
    found = next((version for version in system if version.resource_id == resource_id), None)
    if found is None:
        found = call.ledger.resources.find(category, resource, resource_id)
    if found is None:
        raise _no_resource(call)
    return Reply(200, _response(found))


@answers(table.CREATE_RESOURCE)
def create_resource(call: Call) -> Reply:
    """Add a version of a custom resource, or return the one that is the same (resources-semantics section 3)."""
    body: categories.ResourceRequest = call.body
    category, resource = call.path["category"], call.path["resource"]
    resources.check_custom_name("category", category)
    resources.check_custom_name("resource", resource)
    resources.check_writable(category, call.catalogue)
    units = resources.units_text(body)
    versions = call.ledger.resources.versions(category, [resource])
    start = body.start_timestamp or _free_start(versions)
    new = resources.CustomVersion(
        resource_id=new_id(),
        start_timestamp=to_micros(start),
        units=units,
        max_input_units=body.max_input_units,
        max_output_units=body.max_output_units,
        max_total_units=body.max_total_units,
        deleted=None,
    )
    priced = new.priced(category, resource, None)
    same = _same_version(versions, priced, dated=body.start_timestamp is not None)
    if same is not None:
        return Reply(200, _response(same))
    call.ledger.resources.add(category, resource, new)
    ends = (version.start for version in versions if version.start > start)
    return Reply(201, _response(replace(priced, end=next(ends, None))))


def _free_start(versions: Sequence[ResourceVersion]) -> datetime:
    """Return the time now, or the first moment after it at which no version starts: two at once could not be told apart."""
    now, taken = datetime.now(UTC), {version.start for version in versions}
    while now in taken:
        now += timedelta(microseconds=1)
    return now


def _same_version(versions: Sequence[ResourceVersion], new: ResourceVersion, *, dated: bool) -> ResourceVersion | None:
    """Find the version that a create repeats; raises `resource_already_exists` when only its start is the same."""
    valid = resources.valid_at(versions, new.start)
    if dated and (valid is None or valid.start != new.start):
        return None
    if valid is None or resources.same_content(valid, new):
        return valid
    if dated:
        start = new.start.isoformat()
        message = f"start_timestamp: another version starts at {start}; delete it or choose another start"
        raise ContractError("resource_already_exists", message)
    return None


@answers(table.DELETE_RESOURCE_VERSION)
def delete_version(call: Call) -> Reply:
    """Delete one version of a resource; the one before it is valid longer (resources-semantics section 5)."""
    deleted = _deleted(call)
    if not deleted:
        raise _no_resource(call)
    return Reply(200, _response(deleted[0]))


@answers(table.DELETE_RESOURCE)
def delete_resource(call: Call) -> Reply:
    """Delete all versions of a resource and return them, oldest first."""
    deleted = _deleted(call)
    if not deleted:
        raise _no_resource(call)
    return Reply(200, [_response(version) for version in deleted])


@answers(table.DELETE_CATEGORY)
def delete_category(call: Call) -> Reply:
    """Delete all resources of a category and return their versions, by name, oldest first."""
    deleted = _deleted(call)
    if not deleted:
        raise _no_category(call.path["category"])
    return Reply(200, [_response(version) for version in deleted])


def _deleted(call: Call) -> list[ResourceVersion]:
    """Delete what the path names."""
    resources.check_writable(call.path["category"], call.catalogue)
    return call.ledger.resources.delete(datetime.now(UTC), **call.path)


def _wants_active(call: Call) -> bool:
    query: table.ActiveQuery = call.query
    return query.active is not False


def _name(name: str) -> tuple[str, str]:
    """Return the place of a name in a listing."""
    return (name, "")


def _start(version: ResourceVersion) -> tuple[int, str]:
    """Return the place of a version in a listing."""
    return (to_micros(version.start), version.resource_id)


def _no_category(category: str) -> ContractError:
    return ContractError("category_not_found", f"category: {category!r} is unknown; it begins with its first resource")


def _no_resource(call: Call) -> ContractError:
    named = ", ".join(f"{name} {value!r}" for name, value in call.path.items())
    return ContractError("category_resource_not_found", f"resource: there is no {named}")


def _page(versions: Sequence[ResourceVersion], cursor: str | None) -> Reply:
    items = [_response(version) for version in versions]
    return Reply(200, Page[categories.CategoryResourceResponse](request_id=new_id(), cursor=cursor, items=items))


def _units(units: Mapping[str, UnitPrice]) -> dict[str, categories.UnitPriceData]:
    """Return prices as the wire shows them; units that cost the same share one: a model has ninety, and ten prices."""
    shown = {
        prices: categories.UnitPriceData.of(input_price=Money(prices.input), output_price=Money(prices.output))
        for prices in set(units.values())
    }
    return {unit: shown[prices] for unit, prices in units.items()}


def _response(version: ResourceVersion) -> categories.CategoryResourceResponse:
    """Return a resource version as the wire shows it."""
    return categories.CategoryResourceResponse.of(
        category=version.category,
        resource=version.resource,
        resource_id=version.resource_id,
        start_timestamp=version.start,
        end_timestamp=version.end,
        units=_units(version.units),
        active=version.active,
        proxy_allowed=False,
        max_input_units=version.max_input_units,
        max_output_units=version.max_output_units,
        max_total_units=version.max_total_units,
        large_context_threshold=version.large_context_threshold,
        aliased_resource=version.aliased_resource,
        description=version.description,
    )
