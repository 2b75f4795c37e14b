"""Answers that no meter should give: none is taken for what it is not, and no event is sent again that came through."""

from __future__ import annotations

import asyncio
import json
import time
from threading import Thread
from typing import TYPE_CHECKING, Any

import httpx
import httpx2
import pytest
from loopback_meter import Answer, LoopbackMeter
from pydantic import BaseModel

from payi_instrument import APIConnectionError, APIResponseValidationError, APIStatusError, APITimeoutError, PayiError
from payi_instrument.types import LimitResponse

if TYPE_CHECKING:
    from calling import Caller

LIBRARIES: dict[str, Any] = {"httpx": httpx, "httpx2": httpx2}


def own_client(caller: Caller, answer: Any, **options: Any) -> Any:
    """A caller's own HTTP client of the library in use, whose transport does as `answer` says."""
    library = LIBRARIES[caller.library]
    kind = library.AsyncClient if caller.awaited else library.Client
    return kind(transport=library.MockTransport(answer), **options)


@pytest.mark.parametrize("status", [300, 302, 304])
def test_a_redirect_that_leads_nowhere_is_no_success(caller: Caller, server: LoopbackMeter, status: int) -> None:
    server.always = Answer(status)
    caller.open(server.url)
    for name, arguments in (("limits.retrieve", {"limit_id": "i"}), ("ingest.units", {"category": "c", "units": {}})):
        with pytest.raises(APIStatusError, match=f"Error code: {status}"):
            caller(name, **arguments)
    with pytest.raises(APIStatusError):
        caller("use_cases.kpis.update", "k", use_case_name="n", use_case_id="i", score=1)
    with pytest.raises(APIStatusError):
        caller.inside(caller.client.limits.with_streaming_response.retrieve("i"), lambda response: response.parse())


@pytest.mark.parametrize("body", [b'{"request_id": "r"}', b'"OK"', b"OK", b""])
def test_a_score_that_was_stored_is_no_error(caller: Caller, server: LoopbackMeter, body: bytes) -> None:
    server.always = Answer(200, content=body)
    caller.open(server.url)
    assert caller("use_cases.kpis.update", "k", use_case_name="n", use_case_id="i", score=1) is None


def test_limits_are_a_mapping_whatever_the_meter_says(caller: Caller, server: LoopbackMeter) -> None:
    answer = {
        "request_id": "r",
        "event_timestamp": "2026-01-01T00:00:00",
        "ingest_timestamp": "2026-01-01T01:00:00+01:00",
    }
    caller.open(server.url)
    for result in ({"limits": None}, {"limits": None, "cost": 5}, {}):
        server.always = Answer(200, content=json.dumps({**answer, "xproxy_result": result}).encode())
        given = caller("ingest.units", category="c", units={})
        assert given.xproxy_result.limits == {}
        assert (given.event_timestamp, given.ingest_timestamp) == (given.ingest_timestamp, given.event_timestamp)
    caller.open(server.url, _strict_response_validation=True)
    server.always = Answer(200, content=json.dumps({**answer, "xproxy_result": {"limits": None}}).encode())
    assert caller("ingest.units", category="c", units={}).xproxy_result.limits == {}


def test_a_listing_that_was_answered_without_a_page_is_said_to_be(caller: Caller, server: LoopbackMeter) -> None:
    server.always = Answer(204, content=b"")
    caller.open(server.url)
    with pytest.raises(APIResponseValidationError, match=r"limits\.list"):
        caller("limits.list").items  # noqa: B018


@pytest.mark.parametrize("body", [b'{"a":1e9999999999999999999}', b"[" * 100_000])
def test_json_that_no_program_can_hold_is_text(caller: Caller, server: LoopbackMeter, body: bytes) -> None:
    server.always = Answer(200, content=body)
    caller.open(server.url)
    with pytest.raises(APIResponseValidationError) as refused:
        caller("limits.retrieve", "i")
    assert refused.value.body == body.decode()


def test_a_date_beyond_all_calendars_asks_for_no_wait(caller: Caller, server: LoopbackMeter) -> None:
    server.instead.append(Answer(503, {"retry-after": "Fri, 31 Dec 99999999999999999999 23:59:59 GMT"}))
    caller.open(server.url)
    assert caller("limits.list").items == []


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (OSError("x"), APIConnectionError),
        (TimeoutError("x"), APITimeoutError),
        (RuntimeError("x"), APIConnectionError),
        (ExceptionGroup("x", [OSError("y")]), APIConnectionError),
    ],
)
def test_whatever_an_own_transport_raises_is_a_connection_error(
    caller: Caller, error: Exception, expected: type[Exception]
) -> None:
    def answer(_: object) -> Any:
        raise error

    caller.open("http://meter", http_client=own_client(caller, answer), max_retries=0)
    with pytest.raises(expected) as failed:
        caller("limits.list").items  # noqa: B018
    assert failed.value.__cause__ is error


def test_a_client_that_was_closed_between_two_attempts_says_so(caller: Caller, server: LoopbackMeter) -> None:
    server.always = Answer(503, {"retry-after-ms": "500"})
    client = caller.open(server.url, max_retries=9)

    async def closed_meanwhile() -> None:
        asking = asyncio.ensure_future(client.limits.list())
        while not server.asked:  # noqa: ASYNC110  # another thread's list
            await asyncio.sleep(0.01)
        await client.close()
        await asking

    def close() -> None:
        while not server.asked:
            time.sleep(0.01)
        client.close()

    if not caller.awaited:
        Thread(target=close).start()
    with pytest.raises(PayiError, match="the client is closed"):
        caller.wait(closed_meanwhile if caller.awaited else client.limits.list)


def test_an_own_clients_timeout_and_redirects_are_its_own(caller: Caller) -> None:
    library = LIBRARIES[caller.library]
    asked: list[Any] = []

    def answer(request: Any) -> Any:
        asked.append(request.extensions["timeout"])
        if request.url.path == "/moved":
            return library.Response(200, json={"items": []})
        return library.Response(302, headers={"location": "/moved"})

    caller.open("http://meter", http_client=own_client(caller, answer, timeout=1.5))
    with pytest.raises(APIStatusError, match="302"):
        caller("limits.list").items  # noqa: B018
    assert asked == [{"connect": 1.5, "read": 1.5, "write": 1.5, "pool": 1.5}]

    caller.open("http://meter", http_client=own_client(caller, answer, follow_redirects=True), timeout=7)
    assert caller("limits.list").items == []
    assert asked[-1] == {"connect": 7, "read": 7, "write": 7, "pool": 7}
    caller.open("http://meter", http_client=own_client(caller, answer, follow_redirects=True))
    assert caller("limits.list").items == []
    assert asked[-1] == {"connect": 5, "read": 60, "write": 60, "pool": 60}


def test_the_key_goes_along_when_a_meter_asks_for_tls(caller: Caller) -> None:
    library = LIBRARIES[caller.library]
    seen: list[tuple[str, str | None]] = []

    def answer(request: Any) -> Any:
        seen.append((str(request.url.scheme), request.headers.get("xproxy-api-key")))
        if request.url.host == "elsewhere" or len(seen) == 2:
            return library.Response(200, json={"items": []})
        return library.Response(308, headers={"location": f"https://{request.url.params.get('to', 'meter')}/x"})

    caller.open("http://meter", http_client=own_client(caller, answer, follow_redirects=True))
    caller("limits.list").items  # noqa: B018
    assert seen == [("http", "k"), ("https", "k")]
    seen.clear()
    caller("limits.list", extra_query={"to": "elsewhere"}).items  # noqa: B018
    assert seen == [("http", "k"), ("https", None)]


class Shape(BaseModel):
    a: int


@pytest.mark.parametrize("where", ["network", "embedded"])
def test_an_answer_is_given_as_it_came_to_who_asks_for_that(caller: Caller, server: LoopbackMeter, where: str) -> None:
    caller.open(server.url if where == "network" else "sqlite://")
    response = caller("limits.with_raw_response.list")
    text = caller.wait(response.text)
    assert caller.wait(response.parse, to=str) == text
    assert caller.wait(response.parse, to=bytes) == text.encode()
    assert caller.wait(response.parse, to=dict[str, Any]) == json.loads(text)
    with pytest.raises(TypeError, match="to: no answer can be read as 5"):
        caller.wait(response.parse, to=5)
    assert json.loads(caller("get", "/api/v1/limits", cast_to=str))["items"] == []
    assert json.loads(caller("get", "/api/v1/limits", cast_to=bytes))["items"] == []


def test_bytes_are_not_touched(caller: Caller, server: LoopbackMeter) -> None:
    server.always = Answer(200, content=b"PK\x03\x04\xff\xfe")
    caller.open(server.url)
    assert caller("get", "/x", cast_to=bytes) == b"PK\x03\x04\xff\xfe"
    assert caller("get", "/x", cast_to=LIBRARIES[caller.library].Response).content == b"PK\x03\x04\xff\xfe"
    assert caller("get", "/x", cast_to=type(None)) is None
    caller.open("sqlite://")
    with pytest.raises(TypeError, match="cast_to: an embedded meter has no HTTP response"):
        caller("get", "/api/v1/limits", cast_to=LIBRARIES[caller.library].Response)


def test_a_body_is_read_leniently_as_another_model_too(caller: Caller, server: LoopbackMeter) -> None:
    server.always = Answer(200, content=b'{"a": 1}')
    caller.open(server.url)
    response = caller("limits.with_raw_response.retrieve", "i")
    assert caller.wait(response.parse, to=Shape) == Shape(a=1)
    assert caller.wait(response.parse, to=LimitResponse).a == 1
    with pytest.raises(APIResponseValidationError):
        caller.wait(response.parse, to=list[int])


def test_a_file_that_is_no_text_is_named_with_its_line(caller: Caller, tmp_path: Any) -> None:
    path = tmp_path / "events.jsonl"
    path.write_bytes(b'\n{"category": "\xff"}\n')
    caller.open("sqlite://")
    with pytest.raises(ValueError, match=r"events\.jsonl, line 2: "):
        caller("ingest.replay_file", path)
    path.write_bytes(b"[" * 100_000)
    with pytest.raises(ValueError, match="line 1: "):
        caller("ingest.replay_file", path)
