"""Parameters of operations: path, query and the headers that carry attribution.

Source: wire-api sections 1.3, 1.6 and 4 to 6.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from payi_instrument.server.schemas import (
    EVENT_ID,
    MAX_NAME,
    MAX_USER_ID,
    NAME,
    TAG,
    USE_CASE_ID_OR_NONE,
    USE_CASE_NAME_OR_NONE,
    Generator,
    Json,
)
from payi_instrument.wire import headers as names
from payi_instrument.wire.headers import PayiHeaderNames
from payi_instrument.wire.ingest import MAX_COUNT
from payi_instrument.wire.operations import CREATE_RESOURCE, INGEST

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic import BaseModel

    from payi_instrument.wire.message import Operation

_TEXT: Json = {"type": "string"}
_SEGMENT: Json = {"type": "string", "pattern": r"^[^\u0000]+$"}
"""What a path may name: anything but nothing, and the one character that no name holds."""
_NEW_NAME: Json = {"type": "string", "maxLength": MAX_NAME, "pattern": NAME}
_NEW: Mapping[str, tuple[str, ...]] = {CREATE_RESOURCE.name: ("category", "resource")}
"""Operations whose path names what they make: such names have to be good ones."""

_SAID: Mapping[str, str] = {
    "Active": "True or left out lists what is not deleted, false only what is.",
    "category": "A category; one of your own does not begin with `system.`.",
    "cursor": "The `cursor` of the page before; nothing begins at the first page.",
    "hold_id": "The id of a hold.",
    "id": "The provider's id of the response. Taken, and ignored.",
    "kpi_name": "The name of a KPI.",
    "limit": "How many items a page holds.",
    "limit_id": "The id of a limit.",
    "limit_name": "Lists only the limit of exactly this name.",
    "property": "`key:value`; may be repeated, and lists only what has all of them.",
    "provider_response_id": "The provider's id of the response.",
    "request_id": "The id that the meter gave an event.",
    "resetDate": "When the new period begins, after the last reset and at most 5 minutes ahead; now when left out.",
    "resource": "The name of a resource, such as a model's.",
    "resource_id": "The id of one version of a resource.",
    "results": "Adds each item's own result to the answer.",
    "sort_ascending": "The order of the list; when left out names ascend and times descend.",
    "use_case_id": "The id of an instance, one run of a use case.",
    "use_case_name": "The name of a use case.",
}
_QUERY_BOUNDS: Mapping[str, Json] = {"property": {"items": {"type": "string", "pattern": "^[^:]+:"}}}

HEADERS: Mapping[str, tuple[Json, str]] = {
    PayiHeaderNames.limit_ids: (
        {"type": "array", "uniqueItems": True, "items": {"type": "string", "pattern": "^[^,]+$"}},
        "The limits that the event counts on, none twice. An unknown one is named in the result's warnings.",
    ),
    PayiHeaderNames.use_case_name: (
        {"type": "string", "pattern": USE_CASE_NAME_OR_NONE},
        "The use case; one that is unknown is created.",
    ),
    PayiHeaderNames.use_case_id: (
        {"type": "string", "maxLength": MAX_NAME, "pattern": USE_CASE_ID_OR_NONE},
        "The instance; created where it is unknown. Without a use case's name it has to be known, and under one name only.",
    ),
    PayiHeaderNames.use_case_version: (
        {"type": "integer", "minimum": 1, "maximum": MAX_COUNT},
        "The version of the use case, the latest when left out; never one that is still to come.",
    ),
    PayiHeaderNames.use_case_step: (_TEXT, "The step of the use case."),
    PayiHeaderNames.user_id: ({"type": "string", "maxLength": MAX_USER_ID}, "The user whom the event is for."),
    PayiHeaderNames.account_name: (_TEXT, "The account that the event belongs to."),
    PayiHeaderNames.resource_scope: (
        _TEXT,
        "`global`, `datazone` or `region`, the last two also with a name: `region.eu-west-1`.",
    ),
    PayiHeaderNames.logging_disable: (_TEXT, "`True` keeps prompts and answers out of the ledger."),
    names.EVENT_ID: (
        {"type": "string", "pattern": EVENT_ID},
        "Your id of the event: sent again it is counted once, and answered with `duplicate_request`.",
    ),
    names.HOLD_ID: (_TEXT, "The hold that the event settles."),
    names.UNPRICED: (_TEXT, "`record` stores an event whose resource has no price, with a warning."),
    names.REQUEST_TAGS: (
        {"type": "array", "items": {"type": "string", "pattern": TAG}},
        "Deprecated: use properties.",
    ),
    names.INSTRUMENTED_MODULE: (_TEXT, "The library that made the call, `name/version`."),
    names.ENCODING: (_TEXT, "`percent` says that the values of these headers are percent-encoded UTF-8."),
}
"""What the headers of a single ingest hold; a bulk call has it in its items."""
_IDEMPOTENCY_KEY: Json = {
    "name": names.IDEMPOTENCY_KEY,
    "in": "header",
    "description": "Yours, one for each request: what is sent again with it within 24 hours is answered as it was at first.",
    "schema": {"type": "string", "maxLength": 255},
}


def parameters_of(operation: Operation[Any]) -> list[Json]:
    """Return the parameters of an operation as OpenAPI has them."""
    path = [_path(operation, name) for name in re.findall(r"{(\w+)}", operation.path)]
    query = _query(operation.query) if operation.query is not None else []
    return [*path, *query, *_headers(operation)]


def _path(operation: Operation[Any], name: str) -> Json:
    schema = _NEW_NAME if name in _NEW.get(operation.name, ()) else _SEGMENT
    return {"name": name, "in": "path", "required": True, "description": _SAID[name], "schema": dict(schema)}


def _query(model: type[BaseModel]) -> list[Json]:
    schema = model.model_json_schema(schema_generator=Generator)
    required: list[str] = schema.get("required", [])
    found: list[Json] = []
    for name, member in schema["properties"].items():
        kinds = member.get("type")
        if isinstance(kinds, list):  # a query has no null: what is not said is left out
            member["type"] = kinds[0]
        member.update(_QUERY_BOUNDS.get(name, {}))
        parameter: Json = {"name": name, "in": "query", "description": _SAID[name], "schema": member}
        if name in required:
            parameter["required"] = True
        if member["type"] == "array":
            parameter |= {"style": "form", "explode": True}
        found.append(parameter)
    return found


def _headers(operation: Operation[Any]) -> list[Json]:
    if operation is not INGEST:  # ingest keeps no replies: it knows an event by its id
        return [] if operation.method == "GET" or operation.many else [_IDEMPOTENCY_KEY]
    found: list[Json] = []
    for name, (schema, said) in HEADERS.items():
        header: Json = {"name": name, "in": "header", "description": said, "schema": dict(schema)}
        found.append(header if name != names.REQUEST_TAGS else {**header, "deprecated": True})
    return found
