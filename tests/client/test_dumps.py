"""Answers as dictionaries and as JSON text, over HTTP and embedded: the official SDK's arguments and defaults."""

from __future__ import annotations

import json
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest
from loopback_meter import Answer, LoopbackMeter

from payi_instrument import BadRequestError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from calling import Caller

PLAIN = {dict, list, str, int, float, bool, type(None), datetime}
"""What orjson and the like know; they look at the exact type."""


@pytest.fixture(params=["http", "embedded"])
def url(request: pytest.FixtureRequest, server: LoopbackMeter) -> str:
    return server.url if request.param == "http" else "sqlite://"


def kinds(value: object) -> Iterator[type]:
    yield type(value)
    members = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for member in members:
        yield from kinds(member)


def test_an_answer_is_dumped_as_the_official_sdk_dumps_it(caller: Caller, url: str) -> None:
    caller.open(url)
    answer = caller("limits.create", limit_name="n", limit_id="a", max=Decimal("1.000000000001"))
    prices = {"text": {"input_price": 0.1}}
    caller("categories.resources.create", "m", category="c", units=prices, start_timestamp="2024-01-01")
    result = caller("ingest.units", category="c", resource="m", units={"text": {"input": 1}}, limit_ids=["a"])

    assert type(answer.to_dict()["limit"]["limit_creation_timestamp"]) is datetime
    assert type(answer.to_dict(mode="json")["limit"]["limit_creation_timestamp"]) is str
    for dumped in (answer.to_dict(), result.to_dict(), result.model_dump()):
        assert set(kinds(dumped)) <= PLAIN
    assert json.loads(answer.to_json(), parse_float=Decimal)["limit"]["max"] == Decimal("1.000000000001")
    assert answer.to_json().startswith('{\n  "limit": {\n    "limit_id": "a",\n')
    assert "\n" not in answer.to_json(indent=None)


def test_the_error_of_an_item_has_its_own_and_the_wires_name(caller: Caller, url: str) -> None:
    caller.open(url)
    good = {"category": "c", "units": {"text": {"input": 1}}}
    answer = caller("ingest.bulk", events=[good, {"category": "c"}])

    [error] = answer.errors
    refusal = error.xproxy_result
    assert refusal.status_code == refusal.statusCode == 400
    for dumped in (answer.to_dict(), json.loads(answer.to_json())):
        assert dumped["errors"][0]["xproxy_result"].keys() == {"statusCode", "message", "xproxy_error"}
    for dumped in (refusal.to_dict(use_api_names=False), refusal.model_dump(exclude_unset=True)):
        assert dumped.keys() == {"status_code", "message", "xproxy_error"}
        assert type(refusal).model_validate(dumped) == refusal
    with pytest.raises(BadRequestError) as caught:
        caller("ingest.bulk", events=[{"category": "c"}])
    assert caught.value.body["errors"][0]["xproxy_result"]["statusCode"] == 400


def test_the_error_of_an_item_is_read_whatever_else_it_lacks(caller: Caller, server: LoopbackMeter) -> None:
    errors = [{"item_index": 0, "xproxy_result": {"statusCode": 404}}]
    body = {"request_id": "r", "ingest_timestamp": "2024-01-01T00:00:00Z", "ingest_count": 0, "errors": errors}
    caller.open(server.url)
    server.always = Answer(200, content=json.dumps(body).encode())
    answer = caller("ingest.bulk", events=[{"category": "c", "units": {}, "provider_response_id": "r"}])

    assert (answer.errors[0].xproxy_result.status_code, answer.errors[0].xproxy_result.message) == (404, None)
    assert answer.to_dict(mode="json") == body
