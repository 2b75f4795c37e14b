"""Answers with their surroundings, read at once or later, over HTTP and embedded."""

from __future__ import annotations

from typing import Any

import pytest
from calling import Caller
from loopback_meter import Answer, LoopbackMeter

from payi_instrument import APIStatusError, NotFoundError
from payi_instrument.types import LimitResponse, SyncCursorPage

EMBEDDED = "sqlite://"


@pytest.fixture(params=["http", "embedded"])
def url(request: pytest.FixtureRequest, server: LoopbackMeter) -> str:
    return server.url if request.param == "http" else EMBEDDED


def test_every_group_and_the_client_itself_show_responses(caller: Caller, url: str) -> None:
    client = caller.open(url)
    caller("limits.create", limit_name="n", max=1, limit_id="a")
    for name in ("with_raw_response.limits.retrieve", "limits.with_raw_response.retrieve"):
        assert caller.wait(caller(name, limit_id="a").parse).limit.limit_name == "n"
    groups = "limits limits.properties ingest categories categories.resources use_cases use_cases.kpis"
    groups += " use_cases.properties use_cases.definitions use_cases.definitions.kpis use_cases.definitions.version"
    groups += " use_cases.definitions.limit_config requests requests.request_id requests.response_id"
    groups += " requests.request_id.result requests.response_id.properties"
    for path in groups.split():
        group = client
        for part in path.split("."):
            group = getattr(group, part)
        for view in ("with_raw_response", "with_streaming_response"):
            assert type(getattr(group, view)) is type(group)
            with pytest.raises(AttributeError):
                getattr(getattr(group, view), view)
    with pytest.raises(AttributeError, match="replay_file sends any number of requests"):
        client.ingest.with_raw_response.replay_file  # noqa: B018


def test_a_raw_listing_parses_to_its_page(caller: Caller, url: str) -> None:
    caller.open(url)
    for name in "abc":
        caller("limits.create", limit_name=name, limit_id=name, max=1)
    response = caller("limits.with_raw_response.list", limit=2, sort_ascending=True)
    page = caller.wait(response.parse)

    assert response.status_code == 200
    assert [limit.limit_id for limit in page.items] == ["a", "b"]
    assert [limit.limit_id for limit in caller.items(page)] == ["a", "b", "c"]
    if not caller.awaited:
        assert isinstance(page, SyncCursorPage)


def test_an_error_is_raised_in_every_mode(caller: Caller, url: str) -> None:
    client = caller.open(url)
    for call in (client.limits.retrieve, client.limits.with_raw_response.retrieve):
        with pytest.raises(NotFoundError) as caught:
            caller.wait(call, "a")
        assert caught.value.code == "limit_not_found"
    with pytest.raises(NotFoundError) as caught:
        caller.inside(client.limits.with_streaming_response.retrieve("a"), lambda response: response.parse())
    assert caught.value.code == "limit_not_found"
    assert caught.value.response is not None
    assert caught.value.response.status_code == 404


def test_a_streamed_response_is_read_inside_its_block(caller: Caller, url: str) -> None:
    client = caller.open(url)
    caller("limits.create", limit_name="n", limit_id="a", max=1)
    kept: list[Any] = []

    def parsed(response: Any) -> Any:
        kept.append(response)
        assert response.is_closed is (url == EMBEDDED)
        assert response.status_code == 200
        return response.parse()

    answer = caller.inside(client.limits.with_streaming_response.retrieve("a"), parsed)
    assert answer.limit.limit_name == "n"
    assert kept[0].is_closed
    page = caller.inside(client.limits.with_streaming_response.list(), lambda response: response.parse())
    assert [limit.limit_id for limit in caller.items(page)] == ["a"]


@pytest.mark.parametrize("walk", ["iter_bytes", "iter_text", "iter_lines"])
def test_a_streamed_response_is_read_piece_by_piece(caller: Caller, url: str, walk: str) -> None:
    client = caller.open(url)
    caller("limits.create", limit_name="n", limit_id="a", max=1)
    sizes: tuple[int, ...] = () if walk == "iter_lines" else (10,)

    async def awaited(response: Any) -> list[Any]:
        return [piece async for piece in getattr(response, walk)(*sizes)]

    def pieces(response: Any) -> Any:
        return awaited(response) if caller.awaited else list(getattr(response, walk)(*sizes))

    for _ in range(2):
        found = caller.inside(client.limits.with_streaming_response.retrieve("a"), pieces)
    text = b"".join(found).decode() if walk == "iter_bytes" else "".join(found)
    assert '"limit_name"' in text
    assert sizes == () or all(len(piece) <= 10 for piece in found)


def test_a_streamed_response_that_nobody_reads_is_closed(caller: Caller, server: LoopbackMeter) -> None:
    client = caller.open(server.url)
    response = caller.inside(client.limits.with_streaming_response.list(), lambda inner: inner)

    assert response.is_closed
    with pytest.raises(RuntimeError):
        caller.inside(client.limits.with_streaming_response.list(), _fails)
    assert caller("limits.list").items == []


def _fails(response: Any) -> None:
    raise RuntimeError


def test_nothing_is_sent_before_a_streaming_block_is_entered(caller: Caller, server: LoopbackMeter) -> None:
    client = caller.open(server.url)
    block = client.limits.with_streaming_response.list()
    assert server.asked == []

    server.instead.clear()
    assert caller.inside(block, lambda response: response.status_code) == 200
    assert len(server.asked) == 1


def test_a_path_without_a_method_of_its_own(caller: Caller, url: str) -> None:
    caller.open(url)
    made = caller(
        "post", "/api/v1/limits", cast_to=LimitResponse, body={"limit_name": "n", "max": 1, "limit_id": "a b"}
    )
    assert made.limit.limit_id == "a b"
    value = caller("get", "/api/v1/limits/a%20b", cast_to=object)
    assert value["limit"]["limit_name"] == "n"
    read = caller("get", "api/v1/limits/a%20b", cast_to=dict[str, Any])
    assert (read["limit"]["limit_id"], read["limit"]["max"]) == ("a b", 1)
    options = {"params": {"limit": 1}, "headers": {"X-A": "1"}, "timeout": 5, "max_retries": 0}
    listed = caller("get", "/api/v1/limits?sort_ascending=true", cast_to=dict[str, Any], options=options)
    assert len(listed["items"]) == 1
    changed = {"extra_json": {"max": 3}, "idempotency_key": "i"}
    put = caller("put", "/api/v1/limits/a%20b", cast_to=LimitResponse, body={"limit_name": "m"}, options=changed)
    assert (put.limit.limit_name, put.limit.max) == ("m", 3)
    caller("delete", "/api/v1/limits/a%20b", cast_to=object)
    for path in ("/api/v1/nothing/{here}", "/api/v1/limits/x", "/api/v1/limits/", "/"):
        with pytest.raises(NotFoundError):
            caller("get", path, cast_to=object)
    with pytest.raises(APIStatusError) as caught:
        caller("patch", "/api/v1/limits/x", cast_to=object)
    assert caught.value.status_code == 405


def test_a_path_leads_to_the_meter_only(caller: Caller, server: LoopbackMeter) -> None:
    caller.open(server.url)
    for path in ("https://elsewhere.example.com/x", "//elsewhere.example.com/x"):
        with pytest.raises(ValueError, match="names a host"):
            caller("get", path, cast_to=object)
    server.always = Answer(200)
    caller("get", "/api/v1/limits?a=1&a=2&b=", cast_to=object, options={"headers": {"X-A": "1"}})
    assert server.last.query == {"a": ["1", "2"], "b": [""]}
    assert server.last.headers["x-a"] == "1"


def test_the_answer_of_a_free_path_is_plain_json(caller: Caller, server: LoopbackMeter) -> None:
    server.books.limits.create(limit_name="n", limit_id="a", max=0.1)
    caller.open(server.url)
    value = caller("get", "/api/v1/limits/a", cast_to=object)

    assert (value["limit"]["max"], isinstance(value["limit"]["max"], float)) == (0.1, True)
