"""Limit ids beyond 6 KiB of a header: a bulk call of one that nobody can tell. limits-semantics section 6.1."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from calling import Caller
from loopback_meter import Answer, LoopbackMeter

from payi_instrument import (
    APIStatusError,
    AsyncPayi,
    AuthenticationError,
    BadRequestError,
    InternalServerError,
    NotFoundError,
    Payi,
)
from payi_instrument.event import Attribution, UsageEvent
from payi_instrument.types import IngestResponse

SINGLE, BULK = "POST /api/v1/ingest", "POST /api/v1/ingest/bulk"
ASK = "GET /api/v1/capabilities"
OURS = ["holds", "bulk_results", "event_id", "unpriced"]
EVENT: dict[str, Any] = {"category": "demo", "resource": "m", "units": {"text": {"input": 7}}}
IDS = [f"limit-{number:04}" for number in range(700)]
OF_THE_MOMENT = {"request_id", "ingest_timestamp", "resource_id"}


@pytest.fixture
def meter(server: LoopbackMeter) -> LoopbackMeter:
    server.capable = OURS
    prepare(server.books)
    return server


def prepare(books: Payi) -> None:
    prices = {"text": {"input_price": 0.1}}
    books.categories.resources.create("m", category="demo", units=prices, start_timestamp="2024-01-01")
    books.limits.create(limit_name="n", limit_id="limit-0699", max=100)
    books.use_cases.definitions.create(name="chat", description="d")


def shown(answer: Any) -> Any:
    kept = answer.xproxy_result.to_dict()
    return {name: value for name, value in kept.items() if name not in OF_THE_MOMENT}


@pytest.mark.parametrize(("size", "path"), [(6144, SINGLE), (6145, BULK)])
def test_the_header_holds_six_kibibytes(caller: Caller, meter: LoopbackMeter, size: int, path: str) -> None:
    ids = ["a" * 120 + f"{number:04}" for number in range(49)]
    ids.append("b" * (size - len(",".join(ids)) - 1))
    caller.open(meter.url)
    caller("ingest.units", **EVENT, limit_ids=ids)

    assert meter.paths[-1] == path
    if path == SINGLE:
        assert len(meter.last.headers["xproxy-limit-ids"]) == size
    else:
        assert (meter.last.json[0]["limit_ids"], "xproxy-limit-ids" in meter.last.headers) == (ids, False)
        assert meter.last.query == {"results": ["true"]}


def test_what_a_header_would_need_when_encoded_counts(caller: Caller, meter: LoopbackMeter) -> None:
    caller.open(meter.url)
    caller("ingest.units", **EVENT, limit_ids=["ä" * 1100])
    assert meter.paths[-1] == BULK
    assert meter.last.json[0]["limit_ids"] == ["ä" * 1100]


FULL: dict[str, Any] = {
    "limit_ids": IDS,
    "request_tags": ["one", "two"],
    "use_case_name": "chat",
    "use_case_id": "i 7",
    "use_case_step": "ä",
    "user_id": "ü, 50%",
    "account_name": "acme",
    "resource_scope": "global",
    "event_timestamp": datetime(2025, 1, 1, tzinfo=UTC),
    "properties": {"n": 1},
    "use_case_properties": {"k": "v"},
    "event_id": "e",
}


def test_the_answer_is_a_single_ingests(caller: Caller, meter: LoopbackMeter) -> None:
    caller.open(meter.url)
    long = caller("ingest.units", **EVENT, **FULL, use_case_version=1)
    assert meter.paths[-1] == BULK
    with Payi(base_url="sqlite://") as near:
        prepare(near)
        single = near.ingest.units(**EVENT, **FULL, use_case_version=1)

    assert isinstance(long, IngestResponse)
    assert shown(long) == shown(single)
    assert long.request_id == long.xproxy_result.request_id
    assert long.event_timestamp == single.event_timestamp
    assert long.xproxy_result.limits["limit-0699"].spent_exact == single.xproxy_result.limits["limit-0699"].spent_exact
    again = caller("ingest.units", **EVENT, **FULL)
    assert (again.request_id, again.xproxy_result.duplicate_request) == (long.request_id, True)
    assert meter.books.limits.retrieve("limit-0699").limit.totals.requests.total == 1
    assert meter.paths.count(ASK) == 1


def test_without_a_time_of_its_own_an_event_has_the_meters(caller: Caller, meter: LoopbackMeter) -> None:
    caller.open(meter.url)
    answer = caller("ingest.units", **EVENT, limit_ids=IDS)
    assert answer.event_timestamp == answer.ingest_timestamp


def test_a_refusal_is_a_single_ingests(caller: Caller, meter: LoopbackMeter) -> None:
    caller.open(meter.url, max_retries=0)
    for wrong, kind, code in (
        ({"resource": "nothing"}, NotFoundError, "category_resource_not_found"),
        ({"category": ""}, BadRequestError, "request_processing_error"),
        ({"use_case_name": "a b"}, BadRequestError, "invalid_use_case_name"),
        ({"extra_headers": {"xProxy-UseCase-Version": "x", "xProxy-UseCase-Name": "u"}}, BadRequestError, None),
    ):
        with pytest.raises(kind) as caught:
            caller("ingest.units", **{**EVENT, "limit_ids": IDS, **wrong})
        assert meter.paths[-1] == BULK
        error: Any = caught.value
        assert code in {None, error.code}
        assert error.status_code == error.body["statusCode"]
        assert "errors" not in error.body
    meter.instead.append(Answer(401, content=b'{"statusCode": 401, "message": "no"}'))
    with pytest.raises(AuthenticationError):
        caller("ingest.units", **EVENT, limit_ids=IDS)
    meter.instead.append(Answer(503, content=b""))
    with pytest.raises(InternalServerError):
        caller("ingest.units", **EVENT, limit_ids=IDS)


def test_an_item_refused_in_an_answer_of_200_is_an_error(caller: Caller, meter: LoopbackMeter) -> None:
    for envelope, status in (({"statusCode": 404, "message": "no"}, 404), ({"message": "no"}, 400)):
        content = {"request_id": "r", "errors": [{"item_index": 0, "xproxy_result": envelope}]}
        meter.capable, meter.always = [], None
        caller.open(meter.url)
        meter.instead.extend([Answer(404), Answer(200, content=json.dumps(content).encode())])
        with pytest.raises(APIStatusError) as caught:
            caller("ingest.units", **EVENT, limit_ids=IDS)
        assert caught.value.status_code == status


@pytest.mark.parametrize("view", ["with_raw_response", "with_streaming_response"])
def test_a_response_parses_to_the_answer(caller: Caller, meter: LoopbackMeter, view: str) -> None:
    client = caller.open(meter.url)
    call = getattr(client.ingest, view).units
    if view == "with_raw_response":
        answer = caller.wait(caller.wait(call, **EVENT, limit_ids=IDS).parse)
    else:
        answer = caller.inside(call(**EVENT, limit_ids=IDS), lambda response: response.parse())
    assert isinstance(answer, IngestResponse)
    assert answer.xproxy_result.cost is not None
    assert answer.xproxy_result.cost.total.base == 0.7


def test_a_plain_service_is_sent_no_member_of_ours(caller: Caller, meter: LoopbackMeter) -> None:
    meter.capable = None
    caller.open(meter.url)
    answer = caller("ingest.units", **EVENT, limit_ids=IDS, user_id="u", provider_response_id="p")

    assert meter.paths == [ASK, BULK]
    assert meter.last.json == [{**EVENT, "limit_ids": IDS, "user_id": "u", "provider_response_id": "p"}]
    assert meter.last.query == {}
    result = answer.xproxy_result
    assert (answer.request_id, result.limits, result.cost) == (result.request_id, {}, None)
    assert result.warnings[0].startswith("result_unknown")


def test_what_must_not_be_logged_is_not_sent(caller: Caller, meter: LoopbackMeter) -> None:
    prompts = {"provider_request_json": "{}", "provider_response_json": ["{}"], "provider_uri": "u"}
    caller.open(meter.url)
    for disabled in (True, False):
        caller("ingest.units", **EVENT, **prompts, limit_ids=IDS, disable_logging=disabled)
        assert ("provider_request_json" in meter.last.json[0]) is not disabled
        assert ("provider_response_json" in meter.last.json[0]) is not disabled
        assert meter.last.json[0]["provider_uri"] == "u"


def test_ids_of_the_clients_own_headers_count_too(caller: Caller, meter: LoopbackMeter) -> None:
    caller.open(meter.url, default_headers={"xProxy-Limit-IDs": ",".join(IDS), "X-Team": "t"})
    caller("ingest.units", **EVENT, extra_headers={"xProxy-User-ID": "ä"})

    assert meter.paths[-1] == BULK
    item = meter.last.json[0]
    assert (item["limit_ids"], item["user_id"]) == (IDS, "ä")
    assert meter.last.headers["x-team"] == "t"
    assert "xproxy-limit-ids" not in meter.last.headers
    caller("ingest.units", **EVENT, limit_ids=["a"])
    assert meter.paths[-1] == SINGLE


def test_instrumentation_delivers_such_events_too(caller: Caller, meter: LoopbackMeter) -> None:
    client = caller.open(meter.url)
    assert isinstance(client, (Payi, AsyncPayi))
    who = Attribution(limit_ids=tuple(IDS), user_id="u\n")
    event = UsageEvent("e", "demo", "m", {"text": (7, 0)}, who, hold_id="h", record_unpriced=True, module="openai/1")
    [result] = caller.wait(getattr(client.transport, "aingest" if caller.awaited else "ingest"), [event])

    assert result.limits["limit-0699"].state == "ok"
    item = meter.last.json[0]
    assert (item["event_id"], item["hold_id"], item["unpriced"], item["user_id"]) == ("e", "h", "record", "u ")
    assert meter.last.headers["xproxy-instrumented-module"] == "openai/1"


def test_an_embedded_meter_needs_no_bulk_call(caller: Caller) -> None:
    caller.open("sqlite://")
    answer = caller("ingest.units", category="c", units={}, limit_ids=IDS)
    assert len(answer.xproxy_result.warnings) == len(IDS)
