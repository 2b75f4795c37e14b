"""The OpenAPI 3.1 description of the meter's REST surface, made from the table of operations.

Source: wire-api sections 1 and 3 to 8.
"""

from __future__ import annotations

import re
from copy import deepcopy
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from payi_instrument.engine.keys import SCOPES, may_call
from payi_instrument.server.parameters import parameters_of
from payi_instrument.server.schemas import Json, Schemas, schemas_of
from payi_instrument.server.summaries import SUMMARIES, TAGS
from payi_instrument.wire import operations as table
from payi_instrument.wire.codes import STATUS
from payi_instrument.wire.headers import PayiHeaderNames

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from payi_instrument.wire.message import Operation

ABOUT = """\
LLM spend, attributed and kept inside its limits.

Amounts are US dollars, JSON numbers with all their digits. Times are ISO 8601; answers have them in UTC, and one that is
sent without an offset is read as UTC. Lists come in pages: an answer's `cursor` asks for the next one, and there is none
on the last. What is refused is answered with a `message` to read and an `xproxy_error.code` to act on. Bodies of `ingest`
may have members that the meter does not know (the result's warnings name them), other bodies may not. An event is counted
once for its event id, or, without one, for its category and `provider_response_id`.
"""

_ALWAYS = ("request_processing_error", "invalid_api_key", "unexpected_error")
_WITH_BODY = ("header_is_missing", "invalid_json", "payload_too_large")

_REFUSALS: dict[int, str] = {
    400: "What was sent is refused",
    401: "The API key is missing, unknown or revoked",
    402: "A limit stands in the way",
    403: "The key, or the system, does not allow it",
    404: "What the path or the body names is unknown",
    413: "The body is too large",
    415: "The body is not JSON, or it is compressed",
    500: "The meter failed",
    501: "This meter does not answer it yet",
    503: "The database is away; try again",
}
_SHARED: Mapping[int, tuple[str, tuple[str, ...]]] = {
    401: ("Unauthorized", ("invalid_api_key",)),
    413: ("TooLarge", ("payload_too_large",)),
    415: ("Unsupported", ()),
    500: ("Failed", ("unexpected_error",)),
    503: ("Away", ()),
}
"""The refusals that are the same for every operation: their components' names, and their codes."""
_SUCCESSES: dict[int, str] = {200: "Done", 201: "Created"}

_MADE: Mapping[str, Mapping[str, str]] = {
    table.CREATE_LIMIT.name: {"limit_id": "$response.body#/limit/limit_id"},
    table.CREATE_RESOURCE.name: {
        "category": "$request.path.category",
        "resource": "$response.body#/resource",
        "resource_id": "$response.body#/resource_id",
    },
    table.CREATE_DEFINITION.name: {"use_case_name": "$response.body#/name"},
    table.CREATE_KPI.name: {"use_case_name": "$request.path.use_case_name", "kpi_name": "$response.body#/name"},
    table.CREATE_INSTANCE.name: {
        "use_case_name": "$request.path.use_case_name",
        "use_case_id": "$response.body#/use_case_id",
    },
    table.INGEST.name: {"request_id": "$response.body#/request_id"},
    table.CREATE_HOLD.name: {"hold_id": "$response.body#/hold_id"},
}
"""Where the parameters of later paths are found, for each operation that makes something."""
_ATTRIBUTED: Mapping[str, Mapping[str, str]] = {
    table.CREATE_LIMIT.name: {PayiHeaderNames.limit_ids: "$response.body#/limit/limit_id"},
    table.CREATE_INSTANCE.name: {
        PayiHeaderNames.use_case_name: "$request.path.use_case_name",
        PayiHeaderNames.use_case_id: "$response.body#/use_case_id",
    },
}
"""Where the headers of an event are found, for each operation that makes what events are attributed to."""


def description(operations: Iterable[Operation[Any]]) -> dict[str, object]:
    """Describe operations, and the few paths that need no key, as an OpenAPI 3.1 document."""
    listed = list(operations)
    schemas = schemas_of(listed)
    paths: dict[str, Json] = {}
    for operation in listed:
        methods = paths.setdefault(operation.path, {})
        methods[operation.method.lower()] = _operation(operation, schemas, listed)
    used = {_tag(operation) for operation in listed} | {"service"}
    whole: dict[str, object] = {
        "openapi": "3.1.0",
        "info": {"title": "payi_instrument meter", "version": version("payi-instrument"), "description": ABOUT},
        "tags": [{"name": name, "description": said} for name, said in TAGS.items() if name in used],
        "security": [{"key": []}],
        "paths": paths | _service(schemas),
        "components": {
            "securitySchemes": {
                "key": {"type": "apiKey", "in": "header", "name": PayiHeaderNames.api_key},
                "bearer": {"type": "http", "scheme": "bearer"},
            },
            "responses": {name: _refusal(status, schemas, codes) for status, (name, codes) in _SHARED.items()},
            "schemas": schemas.components,
        },
    }
    return deepcopy(whole)  # the tables that it is made of stay as they are, whatever is done with it


def _tag(operation: Operation[Any]) -> str:
    return operation.name.partition(".")[0]


def _operation(operation: Operation[Any], schemas: Schemas, listed: list[Operation[Any]]) -> Json:
    said = f"For keys of scope {', '.join(scope for scope in SCOPES if may_call(scope, operation))}."
    if operation.extension:
        said += " An extension of this meter: the vendor's service does not have it."
    shown: Json = {
        "operationId": operation.name,
        "tags": [_tag(operation)],
        "summary": SUMMARIES[operation.name],
        "description": said,
    }
    if parameters := parameters_of(operation):
        shown["parameters"] = parameters
    if (body := schemas.body(operation)) is not None:
        shown["requestBody"] = {"required": True, "content": {"application/json": {"schema": body}}}
    links = _links(operation, listed)
    shown["responses"] = {
        str(status): _success(operation, status, schemas, links) for status in sorted(operation.status)
    } | _refusals(operation, schemas)
    return shown


def _success(operation: Operation[Any], status: int, schemas: Schemas, links: Json) -> Json:
    said = _SUCCESSES[status]
    if 201 in operation.status and status == 200:  # noqa: PLR2004
        said = "The same one exists already"
    schema = schemas.answer(operation)
    shown: Json = {"description": said if schema is not None else f"{said}; the body is empty"}
    if schema is not None:
        shown["content"] = _json(schema)
    return {**shown, "links": links} if links else shown


def _json(schema: Json) -> Json:
    return {"application/json": {"schema": schema}}


def _links(maker: Operation[Any], listed: list[Operation[Any]]) -> Json:
    """Return what can be done with what an operation makes: an event of it, and all paths that name what is known."""
    known = _MADE.get(maker.name, {})
    made = {name for name, where in known.items() if where.startswith("$response")}
    links: Json = {}
    for operation in listed:
        named = set(_parameters(operation))
        if named & made and named <= known.keys():
            links[operation.name] = {
                "operationId": operation.name,
                "parameters": {name: known[name] for name in _parameters(operation)},
            }
    if maker.name in _ATTRIBUTED and table.INGEST in listed:
        headers = {f"header.{name}": where for name, where in _ATTRIBUTED[maker.name].items()}
        links[table.INGEST.name] = {"operationId": table.INGEST.name, "parameters": headers}
    return links


def _parameters(operation: Operation[Any]) -> list[str]:
    return re.findall(r"{(\w+)}", operation.path)


def codes_of(operation: Operation[Any]) -> dict[int, list[str]]:
    """Return the codes that an operation may be refused with, by status; a status without codes has no code of its own."""
    codes = dict.fromkeys((*_ALWAYS, *operation.errors))
    found: dict[int, list[str]] = {503: []}
    if not all(may_call(scope, operation) for scope in SCOPES):
        codes["insufficient_key_scope"] = None
    if operation.body is not None:
        codes |= dict.fromkeys(_WITH_BODY)
        found[415] = []
    if _parameters(operation):
        found[404] = []
    for code in codes:
        found.setdefault(STATUS[code], []).append(code)
    return dict(sorted(found.items()))


def _refusals(operation: Operation[Any], schemas: Schemas) -> Json:
    refusals: Json = {}
    for status, codes in codes_of(operation).items():
        if status in _SHARED:
            refusals[str(status)] = _shared(status)
        else:
            refusals[str(status)] = _refusal(status, schemas, codes)
    if operation.many:
        every = refusals["400"]["content"]["application/json"]
        every["schema"] = {"anyOf": [schemas.answer(operation), every["schema"]]}
        refusals["400"]["description"] += ", or every single item is"
    return refusals


def _shared(status: int) -> Json:
    name, _ = _SHARED[status]
    return {"$ref": f"#/components/responses/{name}"}


def _refusal(status: int, schemas: Schemas, codes: Sequence[str]) -> Json:
    schema: Json = {"allOf": [schemas.error]}
    if codes:
        code = {"enum": list(codes)}
        schema["allOf"].append({"properties": {"xproxy_error": {"properties": {"code": code}}}})
    return {"description": _REFUSALS[status], "content": _json(schema)}


def _service(schemas: Schemas) -> Json:
    """Describe the paths that watch the service and describe it."""
    state = _json({"type": "object", "properties": {"status": {"type": "string"}}})
    document = _json({"type": "object", "required": ["openapi", "info", "paths"]})
    text: Json = {"schema": {"type": "string"}}
    shown: Mapping[str, tuple[str, Json]] = {
        "healthz": ("Say that the process answers", _plain(200, state)),
        "readyz": ("Say whether the ledger answers too", _plain(200, state) | _plain(503, state)),
        "metrics": (
            "Show what was counted, as Prometheus reads it",
            {
                **_plain(200, {"text/plain": text}),
                "403": _refusal(403, schemas, ["insufficient_key_scope"]),
                **{str(status): _shared(status) for status in (401, 500, 503)},
            },
        ),
        "openapi.json": ("Return this description", _plain(200, document)),
        "docs": ("Show this description to a reader", _plain(200, {"text/html": text})),
    }
    return {
        f"/{name}": {
            "get": {
                "operationId": name.partition(".")[0],
                "tags": ["service"],
                "summary": summary,
                "security": [{"key": []}, {"bearer": []}] if "401" in responses else [],
                "responses": responses,
            }
        }
        for name, (summary, responses) in shown.items()
    }


def _plain(status: int, content: Json) -> Json:
    return {str(status): {"description": (_SUCCESSES | _REFUSALS)[status], "content": content}}
