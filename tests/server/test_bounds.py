"""Every bound of the description is the engine's own: what stands at it is taken, what lies past it is refused."""

from __future__ import annotations

import copy
import re
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from jsonschema import Draft202012Validator

from payi_instrument.client.client import Payi
from payi_instrument.server.openapi import description
from payi_instrument.server.parameters import HEADERS
from payi_instrument.server.schemas import EXAMPLES
from payi_instrument.wire import headers as names
from payi_instrument.wire import operations as table
from payi_instrument.wire.headers import PayiHeaderNames
from payi_instrument.wire.message import Operation, Request

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

DOCUMENT: dict[str, Any] = description(table.OPERATIONS)
NAMES = (["n", "n" * 256, "größer: a/b.c", "a b", "..."], [".", "..", "n" * 257, " a", "a ", "a\nb", "a\x7f", "\t"])
DESCRIPTIONS = (["d", "d" * 2048, " d "], ["", " \n", "d" * 2049])
MAXIMA = ([0.01, 1e-12, 99999999999999999999, 12.5], [0, -1, 10**20, True, "much", "5", [0, [5], 0]])
THRESHOLDS = ([0.75, 0.99, 1, 1.0, None], [0.74, 0.995, 1.01, 0, -1, "much"])
PROPERTIES = ([{}, {"a": "b", " c ": None}, None], [{"": "b"}, {" ": "b"}, {"a": 1}, []])


@dataclass
class Row:
    """A member of a body, by its dotted place, with values at its bounds and past them."""

    operation: Operation[Any]
    member: str
    good: Sequence[object]
    bad: Sequence[object]

    def __str__(self) -> str:
        return f"{self.operation.name}: {self.member}"

    def body(self, value: object) -> Any:
        assert self.operation.body is not None
        body: Any = copy.deepcopy(EXAMPLES[self.operation.body.__name__])
        *way, last = self.member.split(".")
        place = body
        for step in way:
            place = place.setdefault(step, {})
        place[last] = value
        return body

    def schema(self) -> dict[str, Any]:
        shown = DOCUMENT["paths"][self.operation.path][self.operation.method.lower()]
        return shown["requestBody"]["content"]["application/json"]["schema"]


ROWS = [
    Row(table.CREATE_LIMIT, "limit_name", ["n", "n" * 256, " n "], ["", " ", "n" * 257, None, 1]),
    Row(
        table.CREATE_LIMIT,
        "limit_id",
        ["!", "a b", "~" * 128, "...", ".a", None],
        [".", "..", "", " a", "a ", "a,b", "ä", "~" * 129],
    ),
    Row(table.CREATE_LIMIT, "max", *MAXIMA),
    Row(table.CREATE_LIMIT, "limit_type", ["allow", "block", None], ["", "Allow", 1]),
    Row(table.CREATE_LIMIT, "threshold", *THRESHOLDS),
    Row(table.CREATE_LIMIT, "properties", *PROPERTIES),
    Row(table.CREATE_LIMIT, "unknown", [], [None, 1]),
    Row(table.UPDATE_LIMIT, "limit_name", ["n", "n" * 256, None], ["", " ", "n" * 257, 1]),
    Row(table.UPDATE_LIMIT, "max", [*MAXIMA[0], None], MAXIMA[1]),
    Row(table.UPDATE_LIMIT_PROPERTIES, "properties", PROPERTIES[0][:2], [*PROPERTIES[1], None]),
    Row(table.CREATE_LIMIT_CONFIG, "max", *MAXIMA),
    Row(table.CREATE_LIMIT_CONFIG, "threshold", *THRESHOLDS),
    Row(table.CREATE_LIMIT_CONFIG, "properties", *PROPERTIES),
    Row(
        table.CREATE_RESOURCE,
        "units",
        [{"a": {}}, {"0_.-a": {}}, {"a" * 64: {}}],
        [{}, {"A": {}}, {"_a": {}}, {"a" * 65: {}}],
    ),
    Row(table.CREATE_RESOURCE, "units.text.input_price", [0, 1e-18, 999999999999, None], [-1, 10**12, "5", "much"]),
    Row(table.CREATE_RESOURCE, "max_total_units", [0, 2**31 - 1, None], [-1, 2**31, 0.5, "7"]),
    Row(table.CREATE_DEFINITION, "logging_enabled", [True, False, None], ["yes", 1, "true"]),
    Row(table.UPDATE_DEFINITION, "logging_enabled", [True, False, None], ["yes", 0]),
    Row(
        table.CREATE_DEFINITION, "name", ["A", "a" * 64, "a.b_c-0", "..."], [".", "..", "", "a" * 65, "a b", "ä", "a/b"]
    ),
    Row(table.CREATE_DEFINITION, "description", *DESCRIPTIONS),
    Row(table.CREATE_DEFINITION, "limit_config.max", *MAXIMA),
    Row(table.UPDATE_DEFINITION, "description", [*DESCRIPTIONS[0], None], DESCRIPTIONS[1]),
    Row(
        table.CREATE_KPI,
        "name",
        ["k", "k" * 128, "größer: a/b", ".k"],
        [".", "..", "", "k" * 129, " k", "a\nb", "\x7f"],
    ),
    Row(table.CREATE_KPI, "description", *DESCRIPTIONS),
    Row(table.CREATE_KPI, "goal", [0, -1.5, 1.7976931348623157e308], [float("inf"), -float("inf"), None, "much", "5"]),
    Row(table.UPDATE_KPI, "description", [*DESCRIPTIONS[0], None], DESCRIPTIONS[1]),
    Row(table.UPDATE_KPI, "goal", [0, -1.5, None], [float("inf"), -float("inf"), "much", "5"]),
    Row(table.UPDATE_SCORE, "score", [0, -1.5, 9.9e299, None], [1e300, -1e300, 10**301, "much", "4", "true"]),
    Row(table.UPDATE_INSTANCE_PROPERTIES, "properties", PROPERTIES[0][:2], [*PROPERTIES[1], None]),
    Row(table.INGEST, "category", ["system.openai"], ["", None]),
    Row(
        table.INGEST,
        "units",
        [{}, {"": {}}, {"text": {"input": 2**31 - 1}}],
        [None, {"text": {"input": -1}}, {"text": {"output": 2**31}}],
    ),
    Row(table.INGEST, "end_to_end_latency_ms", [0, 2**31 - 1, None], [-1, 2**31, 0.5]),
    Row(table.INGEST, "unknown", [None, 1], []),
    Row(table.INGEST_BULK, "user_id", ["", "u" * 16_384, None], ["u" * 16_385, 1]),
    Row(table.INGEST_BULK, "limit_ids", [[], ["a", "b"], None], [["a", "a"], [1]]),
    Row(table.INGEST_BULK, "request_tags", [[], ["aZ0_-"], None], [["a b"], [""], ["ä"]]),
    Row(table.INGEST_BULK, "use_case_name", ["", "a" * 64, None], ["a" * 65, "a b", ".."]),
    Row(table.INGEST_BULK, "use_case_id", ["", "known", None], ["i" * 257, ".", ".."]),
    Row(table.INGEST_BULK, "event_id", ["!", "~" * 64, None], ["", " ", "~" * 65, "ä"]),
    Row(table.INGEST_BULK_UPSERT, "provider_response_id", ["r"], ["", None, 1]),
]


@contextmanager
def meter() -> Iterator[Payi]:
    """Open a meter that knows one of everything."""
    with Payi(base_url="sqlite://") as client:
        client.limits.create(limit_name="known", limit_id="known", max=0.001)
        client.use_cases.definitions.create(name="known", description="d")
        client.use_cases.definitions.kpis.create("known", name="known", description="d", kpi_type="number", goal=1)
        event: dict[str, Any] = {"category": "system.openai", "resource": None, "units": {}}
        client.ingest.units(**event, use_case_name="known", use_case_id="known")
        yield client


def is_valid(schema: dict[str, Any], value: object) -> bool:
    return Draft202012Validator({**schema, "components": DOCUMENT["components"]}).is_valid(value)


def taken(operation: Operation[Any], **call: Any) -> bool:
    """Say whether a new meter takes a call."""
    path = dict.fromkeys(re.findall(r"{(\w+)}", operation.path), "known") | call.pop("path", {})
    with meter() as client:
        reply = client.transport.send(Request(operation, path=path, **call))
    assert reply.status < 500
    return reply.status < 400


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_a_member_is_bounded_as_the_engine_bounds_it(row: Row) -> None:
    for values, expected in ((row.good, True), (row.bad, False)):
        for value in values:
            body = [row.body(value)] if row.operation.many else row.body(value)
            assert is_valid(row.schema(), body) is expected, value
            assert taken(row.operation, body=body) is expected, value


@pytest.mark.parametrize("name", ["category", "resource"])
def test_a_new_name_in_a_path_is_bounded_as_the_engine_bounds_it(name: str) -> None:
    shown = DOCUMENT["paths"][table.CREATE_RESOURCE.path]["post"]["parameters"]
    [schema] = [parameter["schema"] for parameter in shown if parameter["name"] == name]
    for values, expected in ((NAMES[0], True), (NAMES[1], False)):
        for value in values:
            assert is_valid(schema, value) is expected, value
            body = EXAMPLES["ResourceRequest"]
            assert taken(table.CREATE_RESOURCE, path={name: value}, body=body) is expected, value


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        (PayiHeaderNames.limit_ids, [[], ["a"], ["a", "b c"]], [["a", "a"]]),
        (PayiHeaderNames.use_case_name, ["", "a" * 64], ["a" * 65, "a b", "."]),
        (PayiHeaderNames.use_case_id, ["i", "i" * 256, "..."], ["i" * 257, ".", ".."]),
        (PayiHeaderNames.use_case_version, [1], [0, -1, 2**31]),
        (PayiHeaderNames.user_id, ["", "u" * 16_384], ["u" * 16_385]),
        (names.EVENT_ID, ["!", "~" * 64], ["", " ", "~" * 65]),
        (names.REQUEST_TAGS, [[], ["aZ0_-", "b"]], [["a b"], ["ä"]]),
    ],
)
def test_a_header_is_bounded_as_the_engine_bounds_it(name: str, good: list[object], bad: list[object]) -> None:
    schema, _ = HEADERS[name]
    for values, expected in ((good, True), (bad, False)):
        for value in values:
            text = ",".join(map(str, value)) if isinstance(value, list) else str(value)
            headers = {PayiHeaderNames.use_case_name: "known", name: text}
            assert is_valid(schema, value) is expected, value
            assert taken(table.INGEST, headers=headers, body=EXAMPLES["IngestRequest"]) is expected, value


def test_page_sizes_are_bounded_as_the_engine_bounds_them() -> None:
    shown = DOCUMENT["paths"][table.LIST_LIMITS.path]["get"]["parameters"]
    schemas = {parameter["name"]: parameter["schema"] for parameter in shown}
    for size, expected in ((1, True), (1000, True), (0, False), (1001, False)):
        assert is_valid(schemas["limit"], size) is expected
        assert taken(table.LIST_LIMITS, query={"limit": str(size)}) is expected
    for pair, expected in (("a:", True), ("a:b:c", True), (":b", False), ("a", False)):
        assert is_valid(schemas["property"], [pair]) is expected
        assert taken(table.LIST_LIMITS, query={"property": pair}) is expected
