"""Use cases: definitions, their versions and automatic limits, and instances. Source: wire-api section 6."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from payi_instrument.engine import use_cases as rules
from payi_instrument.engine.instances import Instances
from payi_instrument.engine.ledger import to_micros
from payi_instrument.engine.limits import Terms, merge_properties
from payi_instrument.engine.operations.call import Call, answers, check_same
from payi_instrument.engine.pages import Listing
from payi_instrument.ids import new_id, ordered_id
from payi_instrument.wire import limits, use_cases
from payi_instrument.wire import operations as table
from payi_instrument.wire.codes import ContractError
from payi_instrument.wire.message import Page, Reply
from payi_instrument.wire.model import Money

if TYPE_CHECKING:
    from collections.abc import Mapping


@answers(table.CREATE_DEFINITION)
def create_definition(call: Call) -> Reply:
    """Create a definition at version 1, or return the one that is the same already."""
    body: use_cases.CreateDefinition = call.body
    wanted = {
        "name": rules.check_name(body.name),
        "description": rules.check_description(body.description),
        "logging_enabled": None if body.logging_enabled is None else int(body.logging_enabled),
        "limit_config": None if body.limit_config is None else rules.config_text(Terms.of(body.limit_config)),
    }
    existing = call.ledger.use_cases.find_definition(call.application, body.name)
    if existing is not None:
        check_same(existing, wanted, f"name: {body.name!r}", "use_case_already_exists")
        return Reply(200, _definition(existing))
    new = {**wanted, "application": call.application, "version": 1, "created": datetime.now(UTC)}
    call.ledger.use_cases.add_definition(new)
    return Reply(201, _definition(new))


@answers(table.RETRIEVE_DEFINITION)
def retrieve_definition(call: Call) -> Reply:
    """Return one definition."""
    return Reply(200, _definition(known_definition(call)))


@answers(table.LIST_DEFINITIONS)
def list_definitions(call: Call) -> Reply:
    """List definitions by creation time, newest first unless asked otherwise."""
    query: table.UseCaseQuery = call.query
    listing = Listing.asked_by(query, int, of=call.operation, filters={"use_case_name": query.use_case_name})
    rows = call.ledger.use_cases.definitions(call.application, listing, query.use_case_name)
    shown, cursor = listing.page(rows, lambda row: (to_micros(row["created"]), row["name"]))
    items = [_definition(row) for row in shown]
    return Reply(200, Page[use_cases.UseCaseDefinition](request_id=new_id(), cursor=cursor, items=items))


@answers(table.UPDATE_DEFINITION)
def update_definition(call: Call) -> Reply:
    """Change description or logging flag of a definition; its version stays."""
    body: use_cases.UpdateDefinition = call.body
    changes: dict[str, Any] = {}
    if body.description is not None:
        changes["description"] = rules.check_description(body.description)
    if body.logging_enabled is not None:
        changes["logging_enabled"] = int(body.logging_enabled)
    return _changed(call, changes)


@answers(table.DELETE_DEFINITION)
def delete_definition(call: Call) -> Reply:
    """Delete a definition and return it; what was recorded under it stays."""
    row = known_definition(call)
    call.ledger.use_cases.remove_definition(call.application, row["name"])
    return Reply(200, _definition(row))


@answers(table.INCREMENT_VERSION)
def increment_version(call: Call) -> Reply:
    """Begin the next version of a definition, which new instances take."""
    row = known_definition(call)
    changes = {"version": row["version"] + 1}
    call.ledger.use_cases.change_definition(call.application, row["name"], changes)
    return Reply(200, _definition({**row, **changes}))


@answers(table.CREATE_LIMIT_CONFIG)
def create_limit_config(call: Call) -> Reply:
    """Say which limit every new instance gets, in the place of what was said before."""
    body: limits.CreateLimitBase = call.body
    return _changed(call, {"limit_config": rules.config_text(Terms.of(body))})


@answers(table.DELETE_LIMIT_CONFIG)
def delete_limit_config(call: Call) -> Reply:
    """Give new instances no limit, whether they had one or not."""
    return _changed(call, {"limit_config": None})


def _changed(call: Call, changes: Mapping[str, Any]) -> Reply:
    row = known_definition(call)
    if changes:
        call.ledger.use_cases.change_definition(call.application, row["name"], changes)
    return Reply(200, _definition({**row, **changes}))


def known_definition(call: Call) -> Mapping[str, Any]:
    """Return the definition that the path names; raises `ContractError` `use_case_not_found`."""
    name = call.path["use_case_name"]
    row = call.ledger.use_cases.find_definition(call.application, name)
    if row is None:
        raise ContractError("use_case_not_found", f"use_case_name: {name[:80]!r} has no definition; create it")
    return row


def _definition(row: Mapping[str, Any]) -> use_cases.UseCaseDefinition:
    config = row["limit_config"]
    return use_cases.UseCaseDefinition(
        name=row["name"],
        description=row["description"],
        request_id=new_id(),
        logging_enabled=None if row["logging_enabled"] is None else bool(row["logging_enabled"]),
        limit_config=None if config is None else _config(rules.read_config(config)),
        type_version=row["version"],
    )


def _config(terms: Terms) -> use_cases.LimitConfig:
    return use_cases.LimitConfig(
        max=Money(terms.max),
        limit_type="block" if terms.limit_type == "block" else "allow",
        threshold=Money(terms.threshold),
        properties=None if terms.properties is None else dict(terms.properties),
    )


@answers(table.CREATE_INSTANCE)
def create_instance(call: Call) -> Reply:
    """Create an instance of the latest version, with the limit that the definition gives it."""
    instances = Instances(call.ledger.instances, datetime.now(UTC))
    name = known_definition(call)["name"]
    instance = instances.get(call.application, name, ordered_id())
    instances.keep(instance, instance.chosen(None), {})
    return Reply(
        200,
        use_cases.UseCaseInstance(
            use_case_id=instance.id,
            use_case_name=instance.name,
            limit_id=instance.limit_id,
            type_version=instance.version,
        ),
    )


@answers(table.RETRIEVE_INSTANCE)
def retrieve_instance(call: Call) -> Reply:
    """Return one instance."""
    return Reply(200, _instance(known_instance(call)))


@answers(table.DELETE_INSTANCE)
def delete_instance(call: Call) -> Reply:
    """Delete an instance and its scores and return it; its limit and its events stay."""
    row = known_instance(call)
    call.ledger.use_cases.remove_instance(call.application, row["use_case_name"], row["use_case_id"])
    return Reply(200, _instance(row))


@answers(table.UPDATE_INSTANCE_PROPERTIES)
def update_instance_properties(call: Call) -> Reply:
    """Merge properties into those of an instance."""
    body: limits.PropertiesRequest = call.body
    row = known_instance(call)
    properties = merge_properties(json.loads(row["properties"] or "{}"), body.properties)
    changes = {"properties": json.dumps(properties) if properties else None}
    call.ledger.use_cases.change_instance(call.application, row["use_case_name"], row["use_case_id"], changes)
    return Reply(200, _instance(row))


def known_instance(call: Call) -> Mapping[str, Any]:
    """Return the instance that the path names; raises `ContractError` `use_case_instance_not_found`."""
    name, use_case_id = call.path["use_case_name"], call.path["use_case_id"]
    row = call.ledger.use_cases.find_instance(call.application, name, use_case_id)
    if row is None:
        message = f"use_case_id: {use_case_id[:80]!r} is no instance of {name[:80]!r}"
        raise ContractError("use_case_instance_not_found", message)
    return row


def _instance(row: Mapping[str, Any]) -> use_cases.UseCaseInstance:
    return use_cases.UseCaseInstance(
        use_case_id=row["use_case_id"],
        use_case_name=row["use_case_name"],
        limit_id=row["limit_id"],
        type_version=row["version"],
    )
