"""Answers as dictionaries and as JSON text, over HTTP and embedded: the official SDK's arguments and defaults."""

from __future__ import annotations

import json
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from calling import Caller
    from loopback_meter import LoopbackMeter

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
