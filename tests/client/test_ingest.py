"""`client.ingest` on the wire: attribution in headers or items, ids that survive a retry. Rows L-28, R-29."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from payi_instrument.client.client import AsyncPayi, Payi

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.client.conftest import Loopback

INGESTED = {
    "request_id": "r",
    "event_timestamp": "2024-01-01T00:00:00Z",
    "ingest_timestamp": "2024-01-01T00:00:00Z",
    "xproxy_result": {"request_id": "r"},
}
BULK = {"request_id": "r", "ingest_timestamp": "2024-01-01T00:00:00Z", "ingest_count": 1}
EVENT: dict[str, Any] = {"category": "c", "units": {"text": {"input": 1}}}


@pytest.fixture
def remote(loopback: Loopback) -> Iterator[Payi]:
    loopback.answer(INGESTED)
    with Payi(api_key="k", base_url=loopback.url) as client:
        yield client


@pytest.mark.usefixtures("library")
def test_l28_ids_are_trimmed_and_sent_once_each_in_order(remote: Payi, loopback: Loopback) -> None:
    remote.ingest.units(**EVENT, limit_ids=["a", "a", " b ", ""])
    assert loopback.last.headers["xproxy-limit-ids"] == "a,b"
    remote.ingest.units(**EVENT, limit_ids=["b", "a", "b", " a ", "", "c d"])
    assert loopback.last.headers["xproxy-limit-ids"] == "b,a,c d"
    assert "xproxy-encoding" not in loopback.last.headers

    for none in ([], ["", " "], None):
        remote.ingest.units(**EVENT, limit_ids=none)
        assert "xproxy-limit-ids" not in loopback.last.headers


def test_attribution_travels_in_headers_and_nothing_of_it_in_the_body(remote: Payi, loopback: Loopback) -> None:
    attribution: dict[str, Any] = {
        "limit_ids": ["a"],
        "request_tags": ["one", "two"],
        "use_case_name": "chat",
        "use_case_id": "7",
        "use_case_step": "draft",
        "use_case_version": 0,
        "user_id": "u",
        "account_name": "acme",
        "resource_scope": "datazone.us",
        "disable_logging": False,
        "event_id": "e-1",
    }
    remote.ingest.units(**EVENT, **attribution)

    expected = {
        "xproxy-limit-ids": "a",
        "xproxy-request-tags": "one,two",
        "xproxy-usecase-name": "chat",
        "xproxy-usecase-id": "7",
        "xproxy-usecase-step": "draft",
        "xproxy-usecase-version": "0",
        "xproxy-user-id": "u",
        "xproxy-account-name": "acme",
        "xproxy-resource-scope": "datazone.us",
        "xproxy-logging-disable": "False",
        "xproxy-event-id": "e-1",
        "xproxy-api-key": "k",
    }
    sent = {name: text for name, text in loopback.last.headers.items() if name.startswith("xproxy-")}
    assert sent == expected
    assert loopback.last.json == EVENT
    assert loopback.last.query == {}


def test_attribution_that_is_none_or_empty_is_not_sent(remote: Payi, loopback: Loopback) -> None:
    remote.ingest.units(**EVENT, user_id=None, account_name="", use_case_version=None, disable_logging=None)

    sent = {name for name in loopback.last.headers if name.startswith("xproxy-")}
    assert sent == {"xproxy-api-key", "xproxy-event-id"}


def test_non_ascii_attribution_is_percent_encoded_and_marked(remote: Payi, loopback: Loopback) -> None:
    remote.ingest.units(**EVENT, user_id="ä b", account_name=" 100% ", limit_ids=["x,y", "plain"])

    headers = loopback.last.headers
    assert headers["xproxy-encoding"] == "percent"
    assert (headers["xproxy-user-id"], headers["xproxy-account-name"]) == ("%C3%A4 b", "%20100%25%20")
    assert headers["xproxy-limit-ids"] == "x%2Cy,plain"


def test_an_event_without_an_id_gets_one_and_a_response_id_is_one(remote: Payi, loopback: Loopback) -> None:
    for _ in range(2):
        remote.ingest.units(**EVENT)
    remote.ingest.units(**EVENT, provider_response_id="p")

    first, second, third = (sent.headers.get("xproxy-event-id") for sent in loopback.sent)
    assert first
    assert second
    assert first != second
    assert third is None
    assert (loopback.last.query, loopback.last.json["provider_response_id"]) == ({"id": ["p"]}, "p")


def test_the_callers_own_words_come_last(remote: Payi, loopback: Loopback) -> None:
    remote.ingest.units(
        **EVENT,
        user_id="u",
        extra_headers={"xProxy-User-ID": "other"},
        extra_query={"debug": True},
        extra_body={"category": "d"},
    )
    assert loopback.last.headers["xproxy-user-id"] == "other"
    assert loopback.last.query == {"debug": ["true"]}
    assert loopback.last.json["category"] == "d"


@pytest.mark.usefixtures("library")
def test_r29_a_bulk_is_a_bare_array_with_attribution_in_its_items(remote: Payi, loopback: Loopback) -> None:
    loopback.answer(BULK)
    properties = {"n": 1, "x": None}
    item = {"limit_ids": ["a", " a", "b"], "user_id": "ä", "resource_scope": "global", "properties": properties}
    answer = remote.ingest.bulk(events=[EVENT | item, EVENT])

    assert loopback.last.path == "/api/v1/ingest/bulk"
    sent = {"limit_ids": ["a", "b"], "user_id": "ä", "scope": "global", "properties": {"n": "1", "x": None}}
    assert loopback.last.json == [EVENT | sent, EVENT]
    assert {name for name in loopback.last.headers if name.startswith("xproxy-")} == {"xproxy-api-key"}
    assert item["limit_ids"] == ["a", " a", "b"]
    assert (answer.ingest_count, answer.error_count, answer.errors) == (1, 0, None)


def test_the_async_client_sends_the_same(loopback: Loopback) -> None:
    async def ingest() -> None:
        async with AsyncPayi(api_key="k", base_url=loopback.url) as client:
            loopback.answer(INGESTED)
            await client.ingest.units(**EVENT, user_id="ä", event_id="e", limit_ids=["a"])
            loopback.answer(BULK)
            await client.ingest.bulk(events=[EVENT | {"event_id": "e"}])

    loopback.answer(INGESTED)
    with Payi(api_key="k", base_url=loopback.url) as client:
        client.ingest.units(**EVENT, user_id="ä", event_id="e", limit_ids=["a"])
        loopback.answer(BULK)
        client.ingest.bulk(events=[EVENT | {"event_id": "e"}])
    asyncio.run(ingest())

    once = [(sent.method, sent.path, sent.body, own_headers(sent.headers)) for sent in loopback.sent]
    assert once[:2] == once[2:]


def own_headers(headers: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name not in {"host", "user-agent", "idempotency-key"}}
