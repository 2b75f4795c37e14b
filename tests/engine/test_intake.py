"""What comes in through headers and bodies: exact, or refused by name. Rows R-24, R-28 to R-31."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from meters import answered, embedded

from payi_instrument.errors import APIStatusError, BadRequestError
from payi_instrument.wire.ingest import IngestResponse
from payi_instrument.wire.message import Request
from payi_instrument.wire.operations import INGEST, INGEST_BULK

if TYPE_CHECKING:
    from meters import Place

    from payi_instrument.client.client import Payi
    from payi_instrument.wire.result import XproxyResult
    from tests.conftest import Refused, Use

EVENT: dict[str, Any] = {"category": "demo", "resource": "model", "units": {"text": {"input": 1}}}
NOTHING: dict[str, Any] = {"category": "demo", "units": {}}
"""An event that needs no resource."""
HEADER_TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\n\0"), min_size=1)


def bulk(client: Payi, *changes: dict[str, Any], **arguments: Any) -> list[XproxyResult | None]:
    events = [EVENT | change for change in changes]
    return client.ingest.bulk(events=events, extra_query={"results": True}, **arguments).results or []


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(HEADER_TEXT, HEADER_TEXT, st.lists(HEADER_TEXT, max_size=4))
def test_any_text_travels_through_headers_unchanged(
    client: Payi, user_id: str, account_name: str, limit_ids: list[str]
) -> None:
    result = client.ingest.units(
        **NOTHING, user_id=user_id, account_name=account_name, use_case_step=user_id, limit_ids=limit_ids
    ).xproxy_result

    assert (result.user_id, result.account_name) == (user_id, account_name)
    named = dict.fromkeys(limit_id.strip() for limit_id in limit_ids if limit_id.strip())
    assert (result.warnings or []) == [f"limit_not_found: {limit_id}" for limit_id in named]


@pytest.mark.parametrize("text", ["a,b", "100%", "%41", " bob ", "ä🙂", "\t", "a\x7f", "\u2028", "x" * 10_000])
def test_a_header_keeps_what_looks_like_its_own_syntax(client: Payi, text: str) -> None:
    result = client.ingest.units(**NOTHING, user_id=text, limit_ids=["a,b", "c"]).xproxy_result

    assert result.user_id == text
    assert result.warnings == ["limit_not_found: a,b", "limit_not_found: c"]


@pytest.mark.parametrize("text", ["a\nb", "a\rb", "a\0b", "\ud800"])
def test_what_no_header_can_carry_is_a_value_error(client: Payi, text: str) -> None:
    with pytest.raises(ValueError, match="xProxy-User-ID"):
        client.ingest.units(**NOTHING, user_id=text)
    with pytest.raises(ValueError, match="xProxy-Limit-IDs"):
        client.ingest.units(**NOTHING, limit_ids=["fine", text])


def test_attribution_of_another_type_is_a_type_error(client: Payi) -> None:
    with pytest.raises(TypeError, match="user_id: 7"):
        client.ingest.units(**NOTHING, user_id=7)  # type: ignore[arg-type]


@pytest.mark.parametrize("text", ["a\nb", "a\x01b", "ä🙂,", " x "])
@pytest.mark.usefixtures("D")
def test_a_bulk_item_carries_any_text(client: Payi, text: str) -> None:
    [result] = bulk(client, {"user_id": text, "limit_ids": [text]})

    assert result is not None
    assert (result.user_id, result.warnings) == (text, [f"limit_not_found: {text.strip()}"])


@pytest.mark.usefixtures("D")
def test_headers_are_decoded_only_when_they_are_marked(client: Payi) -> None:
    def send(**headers: str) -> XproxyResult:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return IngestResponse(**answered(client, Request(INGEST, headers=named, body=EVENT)).body).xproxy_result

    plain = send(xproxy_user_id="a%20b", XPROXY_LIMIT_IDS="x%2Cy, z")
    assert (plain.user_id, plain.warnings) == ("a%20b", ["limit_not_found: x%2Cy", "limit_not_found: z"])
    for other in ("none", "PERCENT"):
        assert send(xproxy_user_id="a%20b", xproxy_limit_ids="x%2Cy", xproxy_encoding=other).user_id == "a%20b"
    marked = send(xproxy_user_id="a%20b", xproxy_limit_ids="x%2Cy,z", xproxy_encoding="percent")
    assert (marked.user_id, marked.warnings) == ("a b", ["limit_not_found: x,y", "limit_not_found: z"])


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"category": ""}, "request_processing_error"),
        ({"category": None}, "request_processing_error"),
        ({"units": None}, "request_processing_error"),
        ({"units": []}, "request_processing_error"),
        ({"units": {"text": 5}}, "request_processing_error"),
        ({"resource": 5}, "request_processing_error"),
        ({"event_timestamp": "yesterday"}, "request_processing_error"),
        ({"event_timestamp": "0001-01-01T00:00:00+05:00"}, "request_processing_error"),
        ({"event_timestamp": "9999-01-01"}, "invalid_ingest_event_timestamp"),
        ({"http_status_code": 2**70}, "request_processing_error"),
        ({"http_status_code": -1}, "request_processing_error"),
        ({"end_to_end_latency_ms": -1}, "request_processing_error"),
        ({"time_to_first_token_ms": 1.5}, "request_processing_error"),
        ({"provider_request_headers": [{"name": ""}]}, "request_processing_error"),
        ({"use_case_name": "no spaces", "use_case_id": "1"}, "invalid_use_case_name"),
        ({"use_case_name": "x" * 65}, "invalid_use_case_name"),
        ({"use_case_id": "1"}, "request_processing_error"),
        ({"use_case_name": "x", "use_case_version": 2**31}, "request_processing_error"),
        ({"use_case_name": "x", "use_case_version": -1}, "request_processing_error"),
        ({"event_id": "x" * 65}, "request_processing_error"),
        ({"event_id": "a b"}, "request_processing_error"),
        ({"event_id": "ä"}, "request_processing_error"),
    ],
)
@pytest.mark.usefixtures("D")
def test_a_bad_event_is_refused_alone_and_in_bulk(
    client: Payi, refused: Refused, change: dict[str, Any], code: str
) -> None:
    client.limits.create(limit_name="a", limit_id="a", max=1)
    named = {"limit_ids": ["a"]}
    with refused(code):
        client.ingest.units(**EVENT | named | change)
    answer = client.ingest.bulk(events=[EVENT | named, EVENT | named | change])

    [error] = answer.errors or []
    assert (error.item_index, error.xproxy_result.status_code) == (1, 400)
    assert error.xproxy_result.xproxy_error is not None
    assert error.xproxy_result.xproxy_error.code == code
    assert client.limits.retrieve("a").limit.totals.requests.total == 1


@embedded
@pytest.mark.parametrize("change", [{"units": {1: {"input": 1}}}, {"event_timestamp": float("inf")}])
@pytest.mark.usefixtures("D")
def test_what_no_json_says_is_refused_too(client: Payi, refused: Refused, change: dict[str, Any]) -> None:
    with refused("request_processing_error"):
        client.ingest.units(**EVENT | change)
    [error] = client.ingest.bulk(events=[EVENT, EVENT | change]).errors or []

    assert error.item_index == 1


def test_missing_members_are_named(client: Payi) -> None:
    answer = answered(client, Request(INGEST, body={"resource": "model"}))

    assert (answer.status, answer.code) == (400, "required_field_missing")
    assert {"category", "units"} <= set(answer.body["message"].replace(":", " ").split())


@pytest.mark.parametrize("version", ["9" * 5000, "1.0", "-1", "²", "one"])
@pytest.mark.usefixtures("D")
def test_a_use_case_version_that_is_no_number_is_refused(client: Payi, refused: Refused, version: str) -> None:
    headers = {"xProxy-UseCase-Name": "x", "xProxy-UseCase-Version": version}
    with refused("request_processing_error"):
        client.ingest.units(**EVENT, extra_headers=headers)


@pytest.mark.usefixtures("D")
def test_unknown_members_are_ignored_and_named(client: Payi) -> None:
    client.limits.create(limit_name="a", limit_id="a", max=1)
    extra = {"limit_ids": ["a"], "user_id": "u", "ünits": 1}
    result = client.ingest.units(**EVENT, extra_body=extra).xproxy_result

    assert result.warnings == ["unknown_member: limit_ids", "unknown_member: user_id", "unknown_member: ünits"]
    assert (result.user_id, result.limits) == (None, {})
    [item] = bulk(client, {"limitids": ["a"], "results": 1})
    assert item is not None
    assert item.warnings == ["unknown_member: limitids", "unknown_member: results"]


@pytest.mark.usefixtures("D")
def test_a_time_is_read_as_utc_unless_it_says_otherwise(client: Payi) -> None:
    east = timezone(timedelta(hours=2))
    for moment in (datetime(2024, 5, 1, 12), datetime(2024, 5, 1, 14, tzinfo=east), "2024-05-01T12:00:00"):  # noqa: DTZ001
        stored = client.ingest.units(**EVENT, event_timestamp=moment).event_timestamp
        assert (stored, stored.utcoffset()) == (datetime(2024, 5, 1, 12, tzinfo=UTC), timedelta(0))


def test_r24_every_optional_member_is_taken(place: Place) -> None:
    everything: dict[str, Any] = {
        "event_timestamp": datetime(2024, 5, 1, tzinfo=UTC),
        "end_to_end_latency_ms": 12,
        "time_to_first_token_ms": 3,
        "time_to_first_completion_token_ms": 4,
        "http_status_code": 200,
        "provider_uri": "https://api.example.com/v1",
        "provider_request_json": '{"prompt": "p"}',
        "provider_request_reasoning_json": "{}",
        "provider_request_headers": [{"name": "a", "value": "b"}],
        "provider_response_headers": [{"name": "c", "value": None}],
        "provider_response_json": ["one", "two"],
        "provider_response_function_calls": [{"name": "f", "arguments": "{}"}, {"name": "g"}],
        "provider_response_id": "r-1",
        "properties": {"k": "v", "gone": None},
        "use_case_properties": {"u": "v"},
    }
    attribution: dict[str, Any] = {
        "request_tags": ["one", "two"],
        "use_case_name": "chat",
        "use_case_id": "7",
        "use_case_step": "draft",
        "use_case_version": 1,
        "user_id": "u",
        "account_name": "acme",
    }
    client = place.open(unpriced_events="record")
    response = client.ingest.units(**EVENT, **everything, **attribution, resource_scope="global", limit_ids=["no"])
    hidden = client.ingest.units(**EVENT, provider_request_json="secret", disable_logging=True, event_id="hidden")

    result = response.xproxy_result
    assert response.event_timestamp == everything["event_timestamp"]
    shown = attribution.keys() - {"use_case_version"}
    assert {name: getattr(result, name) for name in shown} == {name: attribution[name] for name in shown}
    row = stored(place, response.request_id)
    assert (row["end_to_end_latency_ms"], row["http_status_code"], row["provider_response_id"]) == (12, 200, "r-1")
    assert json.loads(row["properties"]) == {"k": "v"}
    detail = json.loads(row["detail"])
    assert detail["provider_response_json"] == ["one", "two"]
    assert detail["provider_response_function_calls"] == [["f", "{}"], ["g", None]]
    assert detail["provider_request_headers"] == {"a": "b"}
    assert "secret" not in repr(stored(place, hidden.request_id))


def stored(place: Place, request_id: str) -> dict[str, Any]:
    [row] = place.rows(f"SELECT * FROM events WHERE request_id = '{request_id}'")
    return row


def test_r28_items_of_a_bulk_are_independent(client: Payi, use: Use) -> None:
    client.limits.create(limit_name="a", limit_id="a", max=0.03)
    named = {"limit_ids": ["a"]}
    events = [EVENT | named, EVENT | named | {"resource": "nothing"}, EVENT | named | {"units": {"text": {"input": 3}}}]
    answer = client.ingest.bulk(events=events, extra_query={"results": True})

    assert (answer.ingest_count, answer.error_count, answer.item_error_count, answer.total_count) == (2, 1, 1, 3)
    [error] = answer.errors or []
    assert (error.item_index, error.xproxy_result.status_code) == (1, 404)
    assert error.xproxy_result.xproxy_error is not None
    assert error.xproxy_result.xproxy_error.code == "category_resource_not_found"
    states = [None if result is None else result.limits["a"].state for result in answer.results or []]
    assert states == ["ok", None, "overrun"]
    assert client.ingest.bulk(events=[EVENT]).results is None
    assert use(limit_ids=["a"]).limits["a"].spent == 0.05


@pytest.mark.usefixtures("D")
def test_r30_a_bulk_of_nothing_but_errors_is_refused_and_an_empty_one_is_not(client: Payi) -> None:
    with pytest.raises(BadRequestError) as caught:
        client.ingest.bulk(events=[EVENT | {"units": None}, EVENT | {"category": "nothing"}])
    body: Any = caught.value.body
    assert (body["ingest_count"], body["error_count"]) == (0, 2)
    assert [error["item_index"] for error in body["errors"]] == [0, 1]

    empty = client.ingest.bulk(events=[])
    assert (empty.ingest_count, empty.error_count, empty.total_count, empty.errors) == (0, 0, 0, None)


def test_r31_property_values_become_text(place: Place) -> None:
    client = place.open(unpriced_events="record")
    client.ingest.units(**EVENT, properties={"n": 1, "none": None})
    client.ingest.bulk(events=[EVENT | {"properties": {"n": 1.5}}])

    rows = place.rows("SELECT properties FROM events ORDER BY request_id")
    assert [json.loads(row["properties"]) for row in rows] == [{"n": "1"}, {"n": "1.5"}]


@pytest.mark.usefixtures("D")
def test_a_bulk_holds_at_most_1000_items(client: Payi, refused: Refused) -> None:
    with refused("payload_too_large", APIStatusError):
        client.ingest.bulk(events=[EVENT] * 1001)

    assert client.ingest.bulk(events=(EVENT for _ in range(1000))).ingest_count == 1000


@pytest.mark.parametrize("body", [{}, {"events": []}, "[]", 5, None])
def test_a_bulk_body_that_is_no_array_is_refused(client: Payi, body: object) -> None:
    answer = answered(client, Request(INGEST_BULK, body=body))

    assert (answer.status, answer.code) == (400, "request_processing_error")


@pytest.mark.parametrize("events", [{"category": "c"}, [1], ["ab"], "ab", [None], [EVENT | {"properties": ["a"]}]])
def test_bulk_events_of_another_type_are_a_type_error(client: Payi, events: Any) -> None:
    with pytest.raises(TypeError, match=r"events|properties"):
        client.ingest.bulk(events=events)


def test_responses_whose_names_run_together_are_two(client: Payi) -> None:
    pairs = [("a\nb", "c"), ("a", "b\nc"), ("1\na", "b"), ("1", "a\nb")]

    def ingest(category: str, response: str) -> XproxyResult:
        return client.ingest.units(category=category, units={}, provider_response_id=response).xproxy_result

    first = [ingest(*pair) for pair in pairs]
    again = [ingest(*pair) for pair in pairs]
    assert len({result.request_id for result in first}) == len(pairs)
    assert [result.request_id for result in again] == [result.request_id for result in first]
    assert {result.duplicate_request for result in again} == {True}
