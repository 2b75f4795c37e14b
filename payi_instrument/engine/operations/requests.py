"""Stored requests: their results and properties, and what the meter can do. Source: wire-api sections 7 and 8."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from payi_instrument.engine.limits import merge_properties
from payi_instrument.engine.operations.call import Call, answers
from payi_instrument.engine.results import Booked
from payi_instrument.wire import limits, meter
from payi_instrument.wire import operations as table
from payi_instrument.wire.codes import ContractError
from payi_instrument.wire.message import Reply

if TYPE_CHECKING:
    from payi_instrument.engine.ledger import EventRow

EXTENSIONS = ("bulk_results", "event_id", "history", "property_filter", "unit_tiers", "unpriced")
"""What this meter can do beyond the vendor's service (section 8)."""


@answers(table.CAPABILITIES)
def list_capabilities(call: Call) -> Reply:  # noqa: ARG001  # every handler takes its call
    """List the extensions that this meter speaks."""
    return Reply(200, meter.Capabilities(extensions=list(EXTENSIONS)))


@answers(table.RETRIEVE_REQUEST_RESULT)
@answers(table.RETRIEVE_RESPONSE_RESULT)
def retrieve_result(call: Call) -> Reply:
    """Return the result of an event as it was at ingest: limits that changed since are not looked at (decision 9)."""
    row = _event(call)
    return Reply(200, meter.RequestResult(xproxy_result=Booked.stored(row).result()))


@answers(table.UPDATE_REQUEST_PROPERTIES)
@answers(table.UPDATE_RESPONSE_PROPERTIES)
def update_properties(call: Call) -> Reply:
    """Merge properties into those of an event, and return its id."""
    body: limits.PropertiesRequest = call.body
    row = _event(call)
    before: dict[str, str] = json.loads(row.properties) if row.properties else {}
    properties = merge_properties(before, body.properties)
    call.ledger.requests.change_properties(row.request_id, json.dumps(properties) if properties else None)
    return Reply(200, limits.PropertiesResponse(request_id=row.request_id))


def _event(call: Call) -> EventRow:
    """Find the event that a path names: by its own id, or the latest of a provider's response."""
    if "request_id" in call.path:
        row = call.ledger.requests.find(call.application, call.path["request_id"])
    else:
        category, response_id = call.path["category"], call.path["provider_response_id"]
        row = call.ledger.requests.find_response(call.application, category, response_id)
    if row is None:
        named = ", ".join(f"{name} {value!r}" for name, value in call.path.items())
        raise ContractError("request_not_found", f"there is no stored event with {named}")
    return row
