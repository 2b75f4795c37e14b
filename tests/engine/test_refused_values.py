"""Whatever a value is, it is refused by its name: too large to write out, too deep, no text at all, no number at all."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

import pytest
from meters import answered, embedded

from payi_instrument.engine.intake import bulk_events, single
from payi_instrument.wire import operations as table
from payi_instrument.wire.codes import ContractError
from payi_instrument.wire.message import Operation, Request

if TYPE_CHECKING:
    from payi_instrument.client.client import Payi

EVENT: dict[str, Any] = {"category": "demo", "units": {}}
HUGE = 10**5000
"""Longer than what Python turns into a text."""
ALL = "request_processing_error"
CREATE, UPDATE = "create_limit_validation_failed", "update_limit_validation_failed"
PATH = {"limit_id": "a", "use_case_name": "u", "use_case_id": "i", "kpi_name": "k"}


def deep() -> list[Any]:
    value: list[Any] = []
    for _ in range(100_000):
        value = [value]
    return value


def kpi(**members: Any) -> dict[str, Any]:
    return {"name": "k", "description": "d", "kpi_type": "number", "goal": 1, **members}


@embedded
@pytest.mark.parametrize(
    ("operation", "body", "code", "field"),
    [
        (table.INGEST, EVENT | {"units": {"text": {"input": HUGE}}}, ALL, "units.text.input"),
        (table.INGEST, EVENT | {"user": deep(), "category": deep()}, ALL, "category"),
        (table.INGEST, deep(), ALL, "body"),
        (table.CREATE_LIMIT, {"limit_name": HUGE, "max": 1}, CREATE, "limit_name"),
        (table.CREATE_LIMIT, {"limit_name": "n", "max": HUGE}, "invalid_max_limit", "max"),
        (table.CREATE_LIMIT, {"limit_name": deep(), "max": 1}, CREATE, "limit_name"),
        (table.CREATE_LIMIT, deep(), CREATE, "body"),
        (table.CREATE_KPI, kpi(goal=HUGE), ALL, "goal"),
        (table.UPDATE_SCORE, {"score": HUGE}, "use_case_instance_not_found", "use_case_id"),
        (table.CREATE_LIMIT, {"limit_name": "\ud800", "max": 1}, CREATE, "limit_name"),
        (table.CREATE_LIMIT, {"limit_name": "n", "limit_id": "\ud800", "max": 1}, CREATE, "limit_id"),
        (table.UPDATE_LIMIT, {"limit_name": "\ud800"}, UPDATE, "limit_name"),
        (table.CREATE_DEFINITION, {"name": "n", "description": "\ud800"}, ALL, "description"),
        (table.CREATE_KPI, kpi(name="\ud800"), ALL, "name"),
    ],
)
@pytest.mark.parametrize("key", [{}, {"Idempotency-Key": "k"}])
def test_a_value_is_refused_by_its_name(
    client: Payi, *, operation: Operation[Any], body: object, code: str, field: str, key: dict[str, str]
) -> None:
    answer = answered(client, Request(operation, path=PATH, body=body, headers=key))

    refused = answer.body["message"]
    if "nested too deeply" not in refused:  # what is compared under a key is read whole
        assert answer.code == code
        assert refused.startswith(f"{field}: ")
    assert answer.status in {400, 404}
    assert len(refused) < 300


@embedded
def test_a_huge_number_harms_no_other_event(client: Payi) -> None:
    body = [
        EVENT,
        EVENT | {"units": {"text": {"input": HUGE}}},
        EVENT | {"unpriced": "record", "x": deep(), "units": 1},
    ]
    answer = answered(client, Request(table.INGEST_BULK, body=body))

    assert (answer.status, answer.body["ingest_count"]) == (200, 1)
    assert [error["item_index"] for error in answer.body["errors"]] == [1, 2]


@embedded
@pytest.mark.parametrize("operation", [table.RETRIEVE_LIMIT, table.DELETE_LIMIT, table.RESET_LIMIT])
@pytest.mark.parametrize("text", ["\ud800", "a\0"])
def test_no_path_holds_what_no_name_does(client: Payi, operation: Operation[Any], text: str) -> None:
    for headers in ({}, {"Idempotency-Key": "k"}):
        answer = answered(client, Request(operation, path={"limit_id": text}, headers=headers))
        assert answer.code == (UPDATE if operation is table.RESET_LIMIT else ALL)
        assert answer.body["message"].startswith("limit_id: ")


@embedded
@pytest.mark.parametrize("key", ["a\0b", "\ud800"])
def test_no_key_of_a_request_holds_what_not_every_ledger_keeps(client: Payi, key: str) -> None:
    request = Request(table.CREATE_LIMIT, body={"limit_name": "n", "max": 1}, headers={"Idempotency-Key": key})
    answer = answered(client, request)

    assert (answer.status, answer.code) == (400, ALL)
    assert answer.body["message"].startswith("Idempotency-Key: ")
    assert client.limits.list().items == []


@pytest.mark.parametrize("tie", ["a\0", "\ud800"])
def test_a_cursor_that_no_listing_made_is_no_cursor(client: Payi, tie: str) -> None:
    for name in ("one", "two"):
        client.limits.create(limit_name=name, max=1)
    cursor = answered(client, Request(table.LIST_LIMITS, query={"limit": "1"})).body["cursor"]
    made = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    forged = base64.urlsafe_b64encode(json.dumps([*made[:2], tie]).encode()).decode().rstrip("=")
    answer = answered(client, Request(table.LIST_LIMITS, query={"limit": "1", "cursor": forged}))

    assert (answer.status, answer.code) == (400, "invalid_cursor")


@pytest.mark.parametrize(
    ("operation", "body", "missing"),
    [
        (table.CREATE_DEFINITION, {"name": "z"}, "description"),
        (table.CREATE_KPI, {"name": "z"}, "description"),
        (table.UPDATE_SCORE, {}, "score"),
        (table.UPDATE_LIMIT_PROPERTIES, {}, "properties"),
        (table.UPDATE_INSTANCE_PROPERTIES, {}, "properties"),
    ],
)
def test_a_member_that_is_missing_has_its_own_code(
    client: Payi, operation: Operation[Any], body: dict[str, Any], missing: str
) -> None:
    alone = answered(client, Request(operation, path=PATH, body=body))
    assert (alone.status, alone.code) == (400, "required_field_missing")
    assert alone.body["message"].startswith(f"{missing}: ")
    assert answered(client, Request(operation, path=PATH, body=body | {"unknown": 1})).code == ALL
    assert answered(client, Request(table.CREATE_LIMIT, body={"limit_name": "n"})).code == CREATE


@pytest.mark.parametrize("number", [b"NaN", b"Infinity", b"-Infinity", b'[{"deep": [NaN]}]'])
@pytest.mark.parametrize("member", [b'"x": %s', b'"units": {"text": {"x": %s}}'])
def test_a_number_that_json_does_not_have_is_no_json(number: bytes, member: bytes) -> None:
    """The same whether another item makes the call be read item by item or not."""
    event = b'{"category": "demo", "units": {}, ' + member % number + b"}"
    for items in ([event], [event, b'{"category": 5}'], [b'{"category": "demo", "units": {}}', event]):
        with pytest.raises(ContractError) as caught:
            bulk_events(b"[" + b",".join(items) + b"]")
        assert caught.value.code == "invalid_json"
    with pytest.raises(ContractError) as caught:
        single(Request(table.INGEST, body=event))
    assert caught.value.code == "invalid_json"


def test_a_typing_error_in_the_units_is_named(client: Payi) -> None:
    event = EVENT | {"units": {"text": {"inputs": 100}, "t\ud800": {"input": 1, "z": {}, "Output": None}}, "foo": 1}
    names = ["foo", "units.text.inputs"]
    plain = event | {"units": {"text": {"inputs": 100}}}
    one = answered(client, Request(table.INGEST, body=plain)).body["xproxy_result"]
    many = answered(client, Request(table.INGEST_BULK, body=[plain], query={"results": "true"})).body["results"][0]

    assert one["warnings"] == many["warnings"] == [f"unknown_member: {name}" for name in names]
    assert one["unknown_units"] == {"text": {"input": 0, "output": 0}}
    recorded = Request(table.INGEST, body=event, headers={"xProxy-Unpriced": "record"})
    if client.base_url.startswith("http"):
        return  # no HTTP carries half a character
    assert "unknown_member: units.t\\ud800.z" in answered(client, recorded).body["xproxy_result"]["warnings"]


def test_an_empty_response_id_is_none(client: Payi) -> None:
    event = EVENT | {"provider_response_id": ""}
    ids = {answered(client, Request(table.INGEST, body=event)).body["request_id"] for _ in range(2)}
    assert len(ids) == 2
    answer = answered(client, Request(table.INGEST_BULK_UPSERT, body=[event]))
    [error] = answer.body["errors"]
    assert error["xproxy_result"]["xproxy_error"]["code"] == "required_field_missing"


@pytest.mark.parametrize("dots", [".", ".."])
def test_what_no_url_can_name_is_not_made(client: Payi, dots: str) -> None:
    client.use_cases.definitions.create(name="u", description="d")
    units = {"text": {}}
    made = [
        (Request(table.CREATE_LIMIT, body={"limit_name": "n", "limit_id": dots, "max": 1}), CREATE),
        (Request(table.CREATE_DEFINITION, body={"name": dots, "description": "d"}), "invalid_use_case_name"),
        (Request(table.CREATE_KPI, path=PATH, body=kpi(name=dots)), ALL),
        (Request(table.INGEST, body=EVENT, headers={"xProxy-UseCase-Name": dots}), "invalid_use_case_name"),
        (
            Request(table.INGEST, body=EVENT, headers={"xProxy-UseCase-Name": "u", "xProxy-UseCase-ID": dots}),
            ALL,
        ),
    ]
    if not client.base_url.startswith("http"):  # where such a path is another one
        made += [
            (Request(table.CREATE_RESOURCE, path={"category": dots, "resource": "r"}, body={"units": units}), ALL),
            (Request(table.CREATE_RESOURCE, path={"category": "c", "resource": dots}, body={"units": units}), ALL),
        ]
    for request, code in made:
        answer = answered(client, request)
        assert (answer.status, answer.code) == (400, code)
        assert repr(dots) in answer.body["message"]
    recorded = {"xProxy-UseCase-Name": "u", "xProxy-UseCase-ID": dots, "xProxy-Unpriced": "record"}
    answer = answered(client, Request(table.INGEST, body=EVENT, headers=recorded))
    assert answer.body["xproxy_result"]["use_case_id"] not in {None, dots}
    assert answer.body["xproxy_result"]["warnings"][0].startswith(f"{ALL}: use_case_id: ")


@pytest.mark.parametrize(
    ("member", "value", "why"),
    [
        ("user_id", "u\0", r"user_id: 'u\x00' holds a NUL character"),
        ("limit_ids", ["a", "b\0"], r"limit_ids: 'b\x00' holds a NUL character"),
        ("category", "c" * 257, "has 257 characters, at most 256 are kept"),
        ("provider_response_id", "r" * 513, "has 513 characters, at most 512 are kept"),
    ],
)
def test_what_no_ledger_keeps_is_told_with_its_value_and_why(
    client: Payi, member: str, value: object, why: str
) -> None:
    answer = answered(client, Request(table.INGEST_BULK, body=[EVENT | {member: value}]))

    [error] = answer.body["errors"]
    assert why in error["xproxy_result"]["message"]
    assert error["xproxy_result"]["message"].startswith(f"{member}: ")
    assert len(error["xproxy_result"]["message"]) < 160
