"""The description against the table of operations, OpenAPI 3.1, and what the engine really answers."""

from __future__ import annotations

import json
import re
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

import payi_instrument
from payi_instrument.client.client import Payi
from payi_instrument.engine.keys import SCOPES, may_call
from payi_instrument.server.openapi import codes_of, description
from payi_instrument.server.schemas import EXAMPLES, MEMBERS
from payi_instrument.wire import operations as table
from payi_instrument.wire.codes import STATUS
from payi_instrument.wire.headers import PayiHeaderNames
from payi_instrument.wire.ingest import BulkIngestRequest, IngestRequest
from payi_instrument.wire.message import Operation, Reply, Request
from payi_instrument.wire.model import Model

if TYPE_CHECKING:
    from collections.abc import Iterator

Any_ = Operation[Any]
DOCUMENT: dict[str, Any] = description(table.OPERATIONS)
SCHEMAS: dict[str, Any] = DOCUMENT["components"]["schemas"]
KEYLESS = {"/healthz", "/readyz", "/metrics", "/openapi.json", "/docs"}
HOLDS = {"holds.create", "holds.renew", "holds.release"}
"""Operations that the engine does not answer yet."""

per_operation = pytest.mark.parametrize("operation", table.OPERATIONS, ids=lambda operation: operation.name)


def described(operation: Any_) -> dict[str, Any]:
    return DOCUMENT["paths"][operation.path][operation.method.lower()]


def resolved(found: dict[str, Any]) -> dict[str, Any]:
    return DOCUMENT["components"]["responses"][found["$ref"].split("/")[-1]] if "$ref" in found else found


def every(part: object) -> Iterator[dict[str, Any]]:
    """Walk all objects of a document."""
    if isinstance(part, dict):
        yield part
        for value in part.values():
            yield from every(value)
    elif isinstance(part, list):
        for value in part:
            yield from every(value)


def problems(schema: dict[str, Any], value: object) -> list[str]:
    """Return what a schema of the document finds wrong with a value."""
    whole = {**schema, "components": DOCUMENT["components"]}
    validator = Draft202012Validator(whole, format_checker=Draft202012Validator.FORMAT_CHECKER)
    return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(value)]


def sent(body: object) -> object:
    """Return a reply's body as its reader has it."""
    if isinstance(body, Model):
        return json.loads(body.to_json(), parse_float=Decimal)
    if isinstance(body, list):
        return [sent(item) for item in body]
    return body if body is None else json.loads(json.dumps(body))


def check(operation: Any_, reply: Reply) -> None:
    """Expect that a reply is one that the document has."""
    answers = described(operation)["responses"]
    assert str(reply.status) in answers, reply
    content = resolved(answers[str(reply.status)]).get("content")
    if content is None:
        assert reply.body is None
    else:
        assert problems(content["application/json"]["schema"], sent(reply.body)) == []


# --- the document --------------------------------------------------------------------------------------------------


def test_it_is_openapi_3_1() -> None:
    assert DOCUMENT["openapi"].startswith("3.1.")
    assert DOCUMENT["info"]["version"] == payi_instrument.__version__
    assert [str(error) for error in OpenAPIV31SpecValidator(DOCUMENT).iter_errors()] == []
    for schema in SCHEMAS.values():
        Draft202012Validator.check_schema(schema)


def test_it_has_every_path_of_the_table_and_no_other() -> None:
    assert DOCUMENT["paths"].keys() == {operation.path for operation in table.OPERATIONS} | KEYLESS
    count = sum(len(methods) for methods in DOCUMENT["paths"].values())
    assert count == len(table.OPERATIONS) + len(KEYLESS)


@per_operation
def test_an_operation_is_described(operation: Any_) -> None:
    shown = described(operation)

    assert shown["operationId"] == operation.name
    assert shown["tags"] == [operation.name.split(".")[0]]
    assert shown["summary"]
    assert ("An extension" in shown["description"]) == operation.extension
    scopes = re.findall("admin|ingest|read", shown["description"].partition(".")[0])
    assert set(scopes) == {scope for scope in SCOPES if may_call(scope, operation)}
    assert ("requestBody" in shown) == (operation.body is not None)


@per_operation
def test_an_operation_has_its_statuses_and_codes(operation: Any_) -> None:
    answers = described(operation)["responses"]
    codes: set[str] = set()
    for status, found in answers.items():
        for part in every(resolved(found)):
            if "xproxy_error" in part:
                own = part["xproxy_error"]["properties"]["code"]["enum"]
                assert {STATUS[code] for code in own} == {int(status)}
                codes |= set(own)

    assert {int(status) for status in answers if int(status) < 400} == set(operation.status)
    assert codes >= {*operation.errors, "invalid_api_key", "request_processing_error", "unexpected_error"}
    assert codes == {code for own in codes_of(operation).values() for code in own}
    assert {"400", "401", "500", "503"} <= answers.keys()
    assert ({"413", "415"} <= answers.keys()) == (operation.body is not None)
    assert ("403" in answers) == (codes & {"insufficient_key_scope", "system_category_forbidden"} != set())
    if "{" in operation.path:
        assert "404" in answers


@per_operation
def test_an_operation_has_its_parameters(operation: Any_) -> None:
    shown = described(operation).get("parameters", [])
    by_place = {
        place: [parameter["name"] for parameter in shown if parameter["in"] == place]
        for place in ("path", "query", "header")
    }

    assert by_place["path"] == re.findall(r"{(\w+)}", operation.path)
    aliases = operation.query.model_json_schema(by_alias=True)["properties"] if operation.query else {}
    assert by_place["query"] == list(aliases)
    keeps_replies = operation.method != "GET" and not operation.name.startswith("ingest.")
    assert (by_place["header"] == ["Idempotency-Key"]) == keeps_replies
    assert (len(by_place["header"]) > 1) == (operation is table.INGEST)
    assert all(parameter["required"] for parameter in shown if parameter["in"] == "path")
    assert all(parameter["schema"]["type"] != "null" for parameter in shown)
    assert all(isinstance(parameter["schema"]["type"], str) for parameter in shown)


def test_aliases_and_repeated_parameters_are_as_the_wire_has_them() -> None:
    def query(operation: Any_) -> dict[str, Any]:
        return {found["name"]: found for found in described(operation)["parameters"] if found["in"] == "query"}

    assert "Active" in query(table.LIST_CATEGORIES)
    assert query(table.RESET_LIMIT)["resetDate"]["schema"] == {"type": "string", "format": "date-time"}
    several = query(table.LIST_LIMITS)["property"]
    assert (several["schema"]["type"], several["style"], several["explode"]) == ("array", "form", True)
    size = query(table.LIST_LIMITS)["limit"]["schema"]
    assert (size["minimum"], size["maximum"], size["default"]) == (1, 1000, 100)


def test_a_key_is_needed_but_for_what_watches_the_service() -> None:
    way = DOCUMENT["components"]["securitySchemes"]["key"]
    assert way == {"type": "apiKey", "in": "header", "name": PayiHeaderNames.api_key}
    assert DOCUMENT["security"] == [{"key": []}]
    free = {path for path, methods in DOCUMENT["paths"].items() if methods.get("get", {}).get("security") == []}
    assert free == KEYLESS - {"/metrics"}


def test_every_reference_resolves() -> None:
    references = {part["$ref"] for part in every(DOCUMENT) if "$ref" in part}

    assert references
    for reference in references:
        place: Any = DOCUMENT
        for step in reference.removeprefix("#/").split("/"):
            place = place[step]


def test_it_is_made_anew_each_time() -> None:
    before = json.dumps(DOCUMENT)
    for part in list(every(description(table.OPERATIONS))):
        part.clear()

    assert json.dumps(DOCUMENT) == before == json.dumps(description(table.OPERATIONS))


def test_some_operations_can_be_described_alone() -> None:
    alone: dict[str, Any] = description([table.CREATE_LIMIT, table.RETRIEVE_LIMIT])

    assert alone["paths"].keys() == {table.CREATE_LIMIT.path, table.RETRIEVE_LIMIT.path} | KEYLESS
    assert list(alone["paths"][table.CREATE_LIMIT.path]["post"]["responses"]["201"]["links"]) == ["limits.retrieve"]


# --- schemas -------------------------------------------------------------------------------------------------------


def test_everything_said_of_members_is_said_of_one_that_exists() -> None:
    for model, members in MEMBERS.items():
        assert members.keys() <= SCHEMAS[model]["properties"].keys()
    assert EXAMPLES.keys() <= SCHEMAS.keys()


def test_money_is_a_number() -> None:
    assert SCHEMAS["Limit"]["properties"]["max"]["type"] == "number"
    assert SCHEMAS["CostDetails"]["properties"]["overrun_base"]["type"] == ["number", "null"]
    assert SCHEMAS["CreateLimit"]["properties"]["max"]["type"] == "number"
    assert SCHEMAS["UnitPriceRequest"]["properties"]["input_price"]["type"] == ["number", "null"]


@pytest.mark.parametrize("operation", [found for found in table.OPERATIONS if found.body], ids=lambda found: found.name)
def test_bodies_are_closed_but_for_events(operation: Any_) -> None:
    assert operation.body is not None
    is_event = operation.body in {IngestRequest, BulkIngestRequest}

    assert SCHEMAS[operation.body.__name__]["additionalProperties"] is is_event


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_is_valid(name: str) -> None:
    assert problems(SCHEMAS[name], EXAMPLES[name]) == []


def test_a_bulk_body_is_a_bounded_array() -> None:
    for operation in (table.INGEST_BULK, table.INGEST_BULK_UPSERT):
        schema = described(operation)["requestBody"]["content"]["application/json"]["schema"]
        assert (schema["type"], schema["maxItems"]) == ("array", 1000)


# --- links ---------------------------------------------------------------------------------------------------------


def links() -> Iterator[tuple[Any_, str, dict[str, Any]]]:
    for operation in table.OPERATIONS:
        for status, found in described(operation)["responses"].items():
            for link in found.get("links", {}).values():
                yield operation, status, link


def test_a_link_gives_every_parameter_of_the_path_that_it_leads_to_or_headers_of_an_event() -> None:
    by_name = {operation.name: operation for operation in table.OPERATIONS}
    for operation, status, link in links():
        assert int(status) in operation.status
        target = by_name[link["operationId"]]
        in_path = [name for name in link["parameters"] if not name.startswith("header.")]
        assert in_path == re.findall(r"{(\w+)}", target.path)
        in_headers = {name.removeprefix("header.") for name in link["parameters"] if name not in in_path}
        assert in_headers <= {parameter["name"] for parameter in described(target).get("parameters", [])}
        assert bool(in_headers) is (target is table.INGEST)


def test_what_is_made_leads_to_what_can_be_done_with_it() -> None:
    led: dict[str, set[str]] = {}
    for operation, _, link in links():
        led.setdefault(operation.name, set()).add(link["operationId"])

    limit = {"retrieve", "update", "delete", "reset", "history", "properties.update"}
    assert led["limits.create"] == {f"limits.{name}" for name in limit} | {"ingest.units"}
    definition = {"retrieve", "update", "delete", "version.increment", "kpis.create", "kpis.list"}
    definition |= {"limit_config.create", "limit_config.delete"}
    assert led["use_cases.definitions.create"] == {f"use_cases.definitions.{name}" for name in definition} | {
        "use_cases.create"
    }
    kpi = {"retrieve", "update", "delete"}
    assert led["use_cases.definitions.kpis.create"] == {f"use_cases.definitions.kpis.{name}" for name in kpi}
    assert led["use_cases.create"] == {
        *(f"use_cases.{name}" for name in ("retrieve", "delete", "properties.update", "kpis.list")),
        "ingest.units",
    }
    assert led["ingest.units"] == {"requests.request_id.result.retrieve", "requests.request_id.properties.update"}
    assert led["categories.resources.create"] >= {"categories.resources.retrieve", "categories.resources.delete"}
    assert led["holds.create"] == {"holds.renew", "holds.release"}


# --- answers -------------------------------------------------------------------------------------------------------

LIMIT = {"limit_id": "nightly"}
RESOURCE = {"category": "demo", "resource": "model"}
USE_CASE = {"use_case_name": "summarise"}
KPI = {**USE_CASE, "kpi_name": "accepted"}
INSTANCE = {**USE_CASE, "use_case_id": "run"}
HEADERS = {
    PayiHeaderNames.limit_ids: "nightly,unknown",
    PayiHeaderNames.use_case_name: "summarise",
    PayiHeaderNames.use_case_id: "run",
}
EVENT = {**EXAMPLES["IngestRequest"], "provider_response_id": "response", "units": {"text": {"input": 9}, "odd": {}}}
RESPONSE = {"category": EVENT["category"], "provider_response_id": "response"}
START = "2024-01-01T00:00:00Z"

CALLS: list[tuple[Any_, dict[str, Any]]] = [
    (table.CREATE_LIMIT, {"body": EXAMPLES["CreateLimit"]}),
    (table.CREATE_LIMIT, {"body": EXAMPLES["CreateLimit"]}),
    (table.CREATE_LIMIT, {"body": {"limit_name": "tiny", "max": Decimal("0.000000000001"), "threshold": 1}}),
    (table.CREATE_RESOURCE, {"path": RESOURCE, "body": {**EXAMPLES["ResourceRequest"], "start_timestamp": START}}),
    (table.CREATE_DEFINITION, {"body": EXAMPLES["CreateDefinition"]}),
    (table.CREATE_DEFINITION, {"body": EXAMPLES["CreateDefinition"]}),
    (table.CREATE_LIMIT_CONFIG, {"path": USE_CASE, "body": EXAMPLES["CreateLimitBase"]}),
    (table.CREATE_KPI, {"path": USE_CASE, "body": EXAMPLES["CreateKpi"]}),
    (table.INGEST, {"body": EVENT, "headers": HEADERS}),
    (table.INGEST, {"body": EVENT, "headers": HEADERS}),
    (table.INGEST, {"body": {**EXAMPLES["IngestRequest"], "resource": None, "unknown": 1}}),
    (table.INGEST, {"body": {**EXAMPLES["IngestRequest"], "category": "none"}}),
    (table.INGEST_BULK, {"body": [EXAMPLES["BulkIngestRequest"], {}], "query": {"results": "true"}}),
    (table.INGEST_BULK, {"body": [{}]}),
    (table.INGEST_BULK, {"body": {}}),
    (table.INGEST_BULK, {"body": [{}] * 1001}),
    (table.INGEST_BULK_UPSERT, {"body": [EXAMPLES["BulkIngestRequest"], EXAMPLES["BulkIngestRequest"]]}),
    (table.INGEST_BULK_UPSERT, {"body": [{**EXAMPLES["BulkIngestRequest"], "provider_response_id": None}]}),
    (table.LIST_LIMITS, {"query": {"limit": "1"}}),
    (table.LIST_LIMITS, {"query": {"cursor": "none"}}),
    (table.RETRIEVE_LIMIT, {"path": LIMIT}),
    (table.UPDATE_LIMIT, {"path": LIMIT, "body": EXAMPLES["UpdateLimit"]}),
    (table.UPDATE_LIMIT_PROPERTIES, {"path": LIMIT, "body": EXAMPLES["PropertiesRequest"]}),
    (table.RESET_LIMIT, {"path": LIMIT}),
    (table.RESET_LIMIT, {"path": LIMIT, "query": {"resetDate": START}}),
    (table.LIMIT_HISTORY, {"path": LIMIT}),
    (table.LIST_CATEGORIES, {"query": {"Active": "true"}}),
    (table.LIST_CATEGORY_RESOURCES, {"path": {"category": "system.openai"}}),
    (table.LIST_RESOURCE_VERSIONS, {"path": RESOURCE}),
    (table.LIST_DEFINITIONS, {}),
    (table.RETRIEVE_DEFINITION, {"path": USE_CASE}),
    (table.UPDATE_DEFINITION, {"path": USE_CASE, "body": EXAMPLES["UpdateDefinition"]}),
    (table.INCREMENT_VERSION, {"path": USE_CASE}),
    (table.LIST_KPIS, {"path": USE_CASE}),
    (table.RETRIEVE_KPI, {"path": KPI}),
    (table.UPDATE_KPI, {"path": KPI, "body": EXAMPLES["UpdateKpi"]}),
    (table.CREATE_INSTANCE, {"path": USE_CASE}),
    (table.RETRIEVE_INSTANCE, {"path": INSTANCE}),
    (table.UPDATE_INSTANCE_PROPERTIES, {"path": INSTANCE, "body": EXAMPLES["PropertiesRequest"]}),
    (table.UPDATE_SCORE, {"path": {**INSTANCE, **KPI}, "body": EXAMPLES["ScoreRequest"]}),
    (table.UPDATE_SCORE, {"path": {**INSTANCE, **KPI}, "body": {"score": 7}}),
    (table.LIST_SCORES, {"path": INSTANCE}),
    (table.RETRIEVE_RESPONSE_RESULT, {"path": RESPONSE}),
    (table.UPDATE_RESPONSE_PROPERTIES, {"path": RESPONSE, "body": EXAMPLES["PropertiesRequest"]}),
    (table.CAPABILITIES, {}),
    (table.DELETE_RESOURCE, {"path": {"category": "system.openai", "resource": "gpt-4o"}}),
    (table.DELETE_RESOURCE, {"path": RESOURCE}),
    (table.CREATE_RESOURCE, {"path": RESOURCE, "body": EXAMPLES["ResourceRequest"]}),
    (table.DELETE_CATEGORY, {"path": {"category": "demo"}}),
    (table.DELETE_KPI, {"path": KPI}),
    (table.DELETE_LIMIT_CONFIG, {"path": USE_CASE}),
    (table.DELETE_DEFINITION, {"path": USE_CASE}),
    (table.UPDATE_SCORE, {"path": {**INSTANCE, **KPI}, "body": EXAMPLES["ScoreRequest"]}),
    (table.DELETE_INSTANCE, {"path": INSTANCE}),
    (table.DELETE_LIMIT, {"path": LIMIT}),
]
"""One life of a ledger: every operation that needs no id that the meter makes."""


def test_the_engine_answers_as_described() -> None:
    answered: set[str] = set()
    with Payi(base_url="sqlite://") as client:
        for operation, call in CALLS:
            reply = client.transport.send(Request(operation, **call))
            check(operation, reply)
            if reply.status < 400:
                answered.add(operation.name)
        answered |= by_made_ids(client)

    assert answered == {operation.name for operation in table.OPERATIONS} - HOLDS


def by_made_ids(client: Payi) -> set[str]:
    """Call what needs an id that the meter makes; return the operations' names."""

    def call(operation: Any_, **values: Any) -> Any:
        reply = client.transport.send(Request(operation, **values))
        assert reply.status < 400
        check(operation, reply)
        return reply.body

    event = {"request_id": call(table.INGEST, body=EXAMPLES["IngestRequest"]).request_id}
    call(table.RETRIEVE_REQUEST_RESULT, path=event)
    call(table.UPDATE_REQUEST_PROPERTIES, path=event, body=EXAMPLES["PropertiesRequest"])
    version = call(table.CREATE_RESOURCE, path=RESOURCE, body=EXAMPLES["ResourceRequest"])
    path = {**RESOURCE, "resource_id": version.resource_id}
    call(table.RETRIEVE_RESOURCE_VERSION, path=path)
    call(table.DELETE_RESOURCE_VERSION, path=path)
    used = (
        table.RETRIEVE_REQUEST_RESULT,
        table.UPDATE_REQUEST_PROPERTIES,
        table.RETRIEVE_RESOURCE_VERSION,
        table.DELETE_RESOURCE_VERSION,
    )
    return {operation.name for operation in used}


@per_operation
def test_what_is_unknown_or_empty_is_refused_as_described(operation: Any_, client: Payi) -> None:
    names = re.findall(r"{(\w+)}", operation.path)
    body = EXAMPLES.get(operation.body.__name__) if operation.body else None
    for path, sending in [("nobody", body), ("nobody", None), ("nobody", {"nothing": 1}), ("nul\0", body)]:
        check(operation, client.transport.send(Request(operation, path=dict.fromkeys(names, path), body=sending)))
