"""Sessions of the openai SDK over a real WebSocket: realtime turns, responses on lanes, live seconds."""

from __future__ import annotations

import asyncio
import base64
import gc
import json
import os
import threading
import time
import tracemalloc
from contextlib import ExitStack, suppress
from importlib.util import find_spec
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Any

import openai
import pytest
from openai.resources.realtime.realtime import RealtimeConnection, RealtimeConnectionManager
from openai_answers import response
from openai_socket import SocketStandIn
from sampled import needs

from examples.openai_standin import Reply
from payi_instrument import LimitBlockedError, create_headers, track_context
from payi_instrument.streams import abandon_open
from payi_instrument.testing import metered

if TYPE_CHECKING:
    from collections.abc import Iterator

    from payi_instrument.event import UsageEvent

USAGE = {
    "total_tokens": 253,
    "input_tokens": 132,
    "output_tokens": 121,
    "input_token_details": {
        "text_tokens": 119,
        "audio_tokens": 13,
        "image_tokens": 0,
        "cached_tokens": 64,
        "cached_tokens_details": {"text_tokens": 54, "audio_tokens": 10, "image_tokens": 0},
    },
    "output_token_details": {"text_tokens": 30, "audio_tokens": 91},
}
UNITS = {
    "text": (65, 30),
    "audio": (3, 91),
    "text_cache_read": (54, 0),
    "audio_cache_read": (10, 0),
}
SESSION = {
    "type": "session.created",
    "event_id": "event_0",
    "session": {
        "type": "realtime",
        "object": "realtime.session",
        "id": "sess_1",
        "model": "gpt-realtime",
        "audio": {"input": {"transcription": {"model": "gpt-4o-transcribe"}}},
    },
}
over_a_socket = needs("responses.connect")
JOINED = [
    pytest.param(
        {"call_id": "rtc_1"},
        marks=pytest.mark.skipif(
            "call_id" not in signature(RealtimeConnectionManager).parameters, reason="this SDK joins by a query"
        ),
    ),
    {"model": "gpt-realtime", "extra_query": {"call_id": "rtc_1"}},
]
SOUND = base64.b64encode(bytes(4800)).decode()  # a tenth of a second


def turn(name: str, *, usage: Any = USAGE, status: str = "completed", **more: Any) -> dict[str, Any]:
    return {"object": "realtime.response", "id": name, "status": status, "output": [], "usage": usage, **more}


def pieces(name: str) -> list[dict[str, Any]]:
    of = {"response_id": name, "item_id": "item_1", "output_index": 0, "content_index": 0}
    return [
        {"type": "response.created", "event_id": "e1", "response": turn(name, usage=None, status="in_progress")},
        {"type": "response.output_audio.delta", "event_id": "e2", **of, "delta": SOUND},
        {"type": "response.output_audio_transcript.delta", "event_id": "e3", **of, "delta": "Four."},
        {"type": "response.output_text.delta", "event_id": "e4", **of, "delta": "Four apples."},
    ]


def realtime(message: dict[str, Any]) -> Iterator[dict[str, Any] | None]:
    name = message.get("event_id", "resp_1")
    if message["type"] == "response.create":
        yield from pieces(name)
        call = {"type": "function_call", "name": "count", "arguments": '{"of": "apples"}', "call_id": "c"}
        yield {"type": "response.done", "event_id": "e5", "response": turn(name, output=[call])}


def connected(server: SocketStandIn) -> openai.OpenAI:
    return openai.OpenAI(base_url=server.url, websocket_base_url=server.socket_url, api_key="k")


def aconnected(server: SocketStandIn) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(base_url=server.url, websocket_base_url=server.socket_url, api_key="k")


def until(connection: Any, kind: str) -> list[Any]:
    """Receive until an event of this kind."""
    events = [connection.recv()]
    while events[-1].type != kind:
        events.append(connection.recv())
    return events


async def auntil(connection: Any, kind: str) -> list[Any]:
    events = [await connection.recv()]
    while events[-1].type != kind:
        events.append(await connection.recv())
    return events


def talk(server: SocketStandIn) -> list[Any]:
    with connected(server).realtime.connect(model="gpt-realtime") as connection:
        connection.send({"type": "response.create"})
        events = until(connection, "response.done")
        result = getattr(connection, "xproxy_result", None)
    return [events, result]


async def atalk(server: SocketStandIn) -> list[Any]:
    async with aconnected(server).realtime.connect(model="gpt-realtime") as connection:
        await connection.response.create()
        events = await auntil(connection, "response.done")
        result = getattr(connection, "xproxy_result", None)
    return [events, result]


@pytest.mark.parametrize("awaited", [False, True], ids=["sync", "async"])
def test_a_turn_of_a_realtime_session_is_one_event(awaited: bool) -> None:
    def make(server: SocketStandIn) -> list[Any]:
        return asyncio.run(atalk(server)) if awaited else talk(server)

    with SocketStandIn(realtime, SESSION) as server:
        bare, _ = make(server)
        with metered() as meter, track_context(user_id="ada"):
            events, result = make(server)
        [event] = meter.events

    assert events == bare
    assert server.heard[0] == server.heard[1]
    assert (event.category, event.resource, event.units) == ("system.openai", "gpt-realtime", UNITS)
    assert (event.provider_response_id, event.attribution.user_id) == ("resp_1", "ada")
    assert event.function_calls == [("count", None)]
    assert event.provider_uri in {f"{server.url}/", f"{server.url}/".replace("http:", "https:")}
    assert (event.time_to_first_token_ms or 0) <= (event.end_to_end_latency_ms or 0)
    assert result.cost.total.base == pytest.approx(
        (65 * 4 + 54 * 0.4 + 3 * 32 + 10 * 0.4 + 30 * 16 + 91 * 64) / 1_000_000
    )


@pytest.mark.parametrize(
    ("status", "details", "failure"),
    [
        ("cancelled", {"type": "cancelled", "reason": "turn_detected"}, None),
        ("incomplete", {"type": "incomplete", "reason": "max_output_tokens"}, None),
        ("failed", {"type": "failed", "error": {"type": "server_error", "code": "overloaded"}}, "overloaded"),
    ],
)
def test_a_turn_counts_however_it_ended(status: str, details: dict[str, Any], failure: str | None) -> None:
    usage = None if failure else USAGE

    def answers(message: dict[str, Any]) -> Iterator[dict[str, Any]]:
        yield from pieces("resp_1")[:1]
        ended = turn("resp_1", status=status, usage=usage, status_details=details)
        yield {"type": "response.done", "event_id": "e9", "response": ended}

    with SocketStandIn(answers, SESSION) as server, metered() as meter:
        talk(server)
        [event] = meter.events

    assert event.units == ({} if failure else UNITS)
    assert event.properties.get("system.failure") == failure


def test_what_the_user_said_is_transcribed_by_another_model() -> None:
    def answers(message: dict[str, Any]) -> Iterator[dict[str, Any]]:
        kind = "conversation.item.input_audio_transcription.completed"
        said = {"type": kind, "event_id": "e", "item_id": "item_0", "content_index": 0, "transcript": "How many?"}
        tokens = {"type": "tokens", "total_tokens": 22, "input_tokens": 13, "output_tokens": 9}
        yield {**said, "usage": {**tokens, "input_token_details": {"text_tokens": 0, "audio_tokens": 13}}}
        yield from realtime(message)

    with SocketStandIn(answers, SESSION) as server, metered() as meter:
        talk(server)
        heard, spoken = meter.events

    assert (heard.resource, heard.units) == ("gpt-4o-transcribe", {"audio": (13, 0), "text": (0, 9)})
    assert (spoken.resource, spoken.units) == ("gpt-realtime", UNITS)


def test_turns_that_overlap_are_told_apart() -> None:
    def answers(message: dict[str, Any]) -> Iterator[dict[str, Any]]:
        for both in zip(pieces("resp_a"), pieces("resp_b"), strict=True):
            yield from both
        yield {"type": "response.done", "event_id": "x", "response": turn("resp_b")}
        yield {"type": "response.done", "event_id": "y", "response": turn("resp_a")}

    with SocketStandIn(answers, SESSION) as server, metered() as meter:
        with connected(server).realtime.connect(model="gpt-realtime") as connection:
            connection.response.create()
            until(connection, "response.done")
            until(connection, "response.done")
        assert [event.provider_response_id for event in meter.events] == ["resp_b", "resp_a"]


def broken_off(message: dict[str, Any]) -> Iterator[dict[str, Any] | None]:
    yield from pieces("resp_1")
    yield None


def is_estimated(event: UsageEvent) -> bool:
    return event.units["audio"] == (0, 3) and event.properties.get("system.estimated") == "true"


@pytest.mark.parametrize("awaited", [False, True], ids=["sync", "async"])
def test_p7_a_turn_that_breaks_off_is_estimated(awaited: bool) -> None:
    with SocketStandIn(broken_off, SESSION) as server, metered() as meter:
        with pytest.raises(Exception, match=r".") as caught:
            asyncio.run(atalk(server)) if awaited else talk(server)
        [event] = meter.events

    assert "ConnectionClosed" in type(caught.value).__name__
    assert event.properties["system.failure"] == type(caught.value).__name__
    assert is_estimated(event)


@pytest.mark.parametrize("closed", [False, True], ids=["dropped", "closed"])
def test_p6_a_turn_that_nobody_heard_to_its_end_is_estimated(closed: bool) -> None:
    with SocketStandIn(lambda _: pieces("resp_1"), SESSION) as server, metered() as meter:
        connection = connected(server).realtime.connect(model="gpt-realtime").enter()
        connection.send({"type": "response.create"})
        until(connection, "response.output_text.delta")
        if closed:
            connection.close()
        del connection
        gc.collect()
        [event] = meter.events

    assert event.http_status_code == 200
    assert is_estimated(event)


async def test_p18_a_cancelled_wait_ends_no_turn() -> None:
    with SocketStandIn(realtime, SESSION) as server, metered() as meter:
        async with aconnected(server).realtime.connect(model="gpt-realtime") as connection:
            await auntil(connection, "session.created")
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await connection.recv()
            await connection.response.create()
            await auntil(connection, "response.done")
        assert [event.units for event in meter.events] == [UNITS]


@pytest.mark.parametrize("awaited", [False, True], ids=["sync", "async"])
@pytest.mark.parametrize("kind", ["response.create", "input_audio_buffer.append"])
def test_q11_a_full_block_limit_stops_a_turn_before_it_is_asked_for(awaited: bool, kind: str) -> None:
    message: Any = {"type": kind, "audio": SOUND}

    async def asend(server: SocketStandIn) -> None:
        async with aconnected(server).realtime.connect(model="gpt-realtime") as connection:
            await connection.send(message)

    def send(server: SocketStandIn) -> None:
        with connected(server).realtime.connect(model="gpt-realtime") as connection:
            connection.send(message)

    with SocketStandIn(realtime, SESSION) as server, metered() as meter:
        meter.client.limits.create(limit_name="Full", limit_id="full", max=1e-9, limit_type="block")
        meter.client.ingest.units(
            category="system.openai", resource="gpt-4o", units={"text": {"input": 100}}, limit_ids=["full"]
        )
        with track_context(limit_ids=["full"]), pytest.raises(LimitBlockedError):
            asyncio.run(asend(server)) if awaited else send(server)

        run: Any = {"use_case_name": "agent", "use_case_id": "run"}
        terms: Any = {"max": 1e-9, "limit_type": "block"}
        meter.client.use_cases.definitions.create(name="agent", description="d", limit_config=terms)
        meter.client.ingest.units(category="system.openai", resource="gpt-4o", units={"text": {"input": 100}}, **run)
        with track_context(**run), pytest.raises(LimitBlockedError):
            asyncio.run(asend(server)) if awaited else send(server)
        assert server.heard == []


def lanes(message: dict[str, Any]) -> Iterator[dict[str, Any]]:
    lane = {"stream_id": message["stream_id"]} if "stream_id" in message else {}
    reply = Reply(text="Four.")
    yield {"type": "response.created", "response": response(reply, message, status="in_progress"), **lane}
    yield {"type": "response.output_text.delta", "delta": "Four.", "item_id": "m", **lane}
    yield {"type": "response.completed", "response": response(reply, message), **lane}


@over_a_socket
@pytest.mark.parametrize("awaited", [False, True], ids=["sync", "async"])
def test_responses_over_a_socket(awaited: bool) -> None:
    ask: Any = {"type": "response.create", "model": "gpt-4o", "input": "How many?"}

    async def amake(server: SocketStandIn) -> None:
        async with aconnected(server).responses.connect() as connection:
            for lane in ("a", "b"):
                await connection.send({**ask, "stream_id": lane})
                await auntil(connection, "response.completed")

    def make(server: SocketStandIn) -> None:
        with connected(server).responses.connect() as connection:
            for lane in ("a", "b"):
                connection.send({**ask, "stream_id": lane})
                until(connection, "response.completed")

    with SocketStandIn(lanes) as server, metered() as meter:
        asyncio.run(amake(server)) if awaited else make(server)
        assert [(event.resource, event.units) for event in meter.events] == [("gpt-4o", {"text": (1200, 400)})] * 2


@over_a_socket
def test_an_error_on_a_socket_is_a_failed_call() -> None:
    def answers(message: dict[str, Any]) -> Iterator[dict[str, Any]]:
        yield {"type": "error", "code": "invalid_request", "message": "No such model.", "status": 400}

    with SocketStandIn(answers) as server, metered() as meter:
        with connected(server).responses.connect() as connection:
            connection.send({"type": "response.create", "model": "gpt-0", "input": "Hi"})
            assert connection.recv().type == "error"
        [event] = meter.events

    assert (event.units, event.properties["system.failure"]) == ({}, "invalid_request")


@needs("live")
def test_a_live_session_is_billed_as_its_seconds_grow() -> None:
    started = {"type": "session.started", "event_id": "s", "session": {"id": "live_1", "model": "gpt-live-1"}}
    nested = list(lanes({"model": "gpt-5", "input": "Hi"}))

    def answers(message: dict[str, Any]) -> Iterator[dict[str, Any]]:
        yield started
        yield {"type": "session.usage.updated", "event_id": "u1", "usage": {"seconds": 12.4}}
        for event in nested:
            yield {"type": "response.event", "event_id": "d", "delegation_id": "del_1", "event": event}
        yield {"type": "session.usage.updated", "event_id": "u2", "usage": {"seconds": 12.9}}
        yield {"type": "session.closed", "event_id": "c", "usage": {"seconds": 30}, "reason": "close_requested"}

    with SocketStandIn(answers) as server, metered() as meter:
        with connected(server).live.connect() as connection:
            connection.send({"type": "session.start", "session": {"model": "gpt-live-1"}})
            until(connection, "session.closed")
        told = [(event.resource, event.units) for event in meter.events]

    assert told == [
        ("gpt-live-1", {"audio_seconds": (13, 0)}),
        ("gpt-5-2024-08-06", {"text": (1200, 400)}),
        ("gpt-live-1", {"audio_seconds": (17, 0)}),
    ]


def test_a_type_is_found_wherever_it_stands() -> None:
    from payi_instrument.providers.openai.sockets import kind_of

    assert kind_of(b'{"type":"response.done","event_id":"e"}') == "response.done"
    assert kind_of(b'{"response":{"output":[{"type":"message"}]},"type":"response.done"}') == "response.done"
    assert kind_of(b'{"type" : "error"}') == "error"
    assert kind_of(b"{}") == "None"
    assert kind_of(b"no json") == "None"


async def test_p18_a_wait_that_is_cancelled_while_its_event_is_booked_loses_no_message(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with SocketStandIn(realtime, SESSION) as server, metered() as meter:
        booked, ingest = asyncio.Event(), type(meter._recorder).aingest

        async def slow(self: Any, events: Any) -> Any:
            booked.set()
            await asyncio.sleep(0.05)
            return await ingest(self, events)

        monkeypatch.setattr(type(meter._recorder), "aingest", slow)
        async with aconnected(server).realtime.connect(model="gpt-realtime") as connection:
            await connection.response.create()
            waiting = asyncio.create_task(auntil(connection, "response.done"))
            await booked.wait()
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            assert (await connection.recv()).type == "response.done"
        assert {event.event_id for event in meter.events} == {meter.events[0].event_id}
        assert meter.events[0].units == UNITS


def full(meter: Any) -> None:
    """Fill a block limit."""
    meter.client.limits.create(limit_name="Full", limit_id="full", max=1e-9, limit_type="block")
    meter.client.ingest.units(
        category="system.openai", resource="gpt-4o", units={"text": {"input": 100}}, limit_ids=["full"]
    )


APPEND: Any = {"type": "input_audio_buffer.append", "audio": SOUND}


def test_q11_sound_that_is_stopped_is_reported_once() -> None:
    with SocketStandIn(realtime, SESSION) as server, metered() as meter:
        full(meter)
        with track_context(limit_ids=["full"]), connected(server).realtime.connect(model="gpt-realtime") as connection:
            for _ in range(5):
                with pytest.raises(LimitBlockedError):
                    connection.send(APPEND)
            meter.client.limits.reset("full")
            connection.send(APPEND)
            connection.send({"type": "response.create"})
            until(connection, "response.done")
            for _ in range(5):
                with pytest.raises(LimitBlockedError):
                    connection.send(APPEND)
        refused = [event for event in meter.events if event.http_status_code != 200]

    assert [event.properties["system.blocked"] for event in refused] == ["full"] * 2
    assert [message["type"] for message in server.heard] == ["input_audio_buffer.append", "response.create"]


@pytest.mark.skipif(not hasattr(RealtimeConnection, "send_raw"), reason="this SDK has no send_raw")
def test_q11_no_way_of_sending_leads_round_a_limit() -> None:
    raw = json.dumps({"type": "response.create"})

    async def asend(server: SocketStandIn) -> None:
        manager = aconnected(server).realtime.connect(model="gpt-realtime")
        with pytest.raises(LimitBlockedError):
            manager.send({"type": "response.create"})
        async with manager as connection:
            for form in (raw, raw.encode(), bytearray(raw.encode()), memoryview(raw.encode())):
                with pytest.raises(LimitBlockedError):
                    await connection.send_raw(form)

    with SocketStandIn(realtime, SESSION) as server, metered() as meter:
        full(meter)
        with track_context(limit_ids=["full"]):
            manager = connected(server).realtime.connect(model="gpt-realtime")
            with pytest.raises(LimitBlockedError):
                manager.send({"type": "response.create"})
            with manager as connection:
                for form in (raw, raw.encode(), bytearray(raw.encode()), memoryview(raw.encode())):
                    with pytest.raises(LimitBlockedError):
                        connection.send_raw(form)
            asyncio.run(asend(server))
        assert server.heard == []


@pytest.mark.parametrize("awaited", [False, True], ids=["sync", "async"])
def test_a_turn_that_came_before_its_connection_was_closed_may_still_be_heard(awaited: bool) -> None:
    async def atalk(server: SocketStandIn) -> None:
        connection = await aconnected(server).realtime.connect(model="gpt-realtime").enter()
        await connection.response.create()
        await auntil(connection, "response.created")
        await asyncio.sleep(0.2)  # until the rest is here
        await connection.close()
        await auntil(connection, "response.done")

    def talk(server: SocketStandIn) -> None:
        connection = connected(server).realtime.connect(model="gpt-realtime").enter()
        connection.response.create()
        until(connection, "response.created")
        time.sleep(0.2)
        connection.close()
        until(connection, "response.done")

    with SocketStandIn(realtime, SESSION) as server, metered() as meter:
        asyncio.run(atalk(server)) if awaited else talk(server)
        gc.collect()
        [event] = meter.events

    assert event.units == UNITS


@pytest.mark.parametrize(
    ("error", "name", "message"),
    [
        ({"type": "server_error", "code": 503, "message": "No."}, "503", "No."),
        ({"type": "server_error"}, "server_error", "server_error"),
        ("broken", "error", "broken"),
    ],
    ids=["numeric", "bare", "text"],
)
def test_a_turn_that_failed_oddly_is_still_an_event(error: Any, name: str, message: str) -> None:
    def answers(asked: dict[str, Any]) -> Iterator[dict[str, Any]]:
        call = {"type": "mcp_call", "name": "count", "arguments": {"of": "apples"}}
        details = {"type": "failed", "error": error}
        failed = turn("resp_1", status="failed", usage=None, status_details=details, output=[call, None])
        yield {"type": "response.done", "event_id": "e9", "response": failed}

    with SocketStandIn(answers, SESSION) as server, metered() as meter:
        with connected(server).realtime.connect(model="gpt-realtime") as connection:
            connection.response.create()
            connection.recv_bytes()
            connection.recv_bytes()
        [event] = meter.events

    assert event.properties["system.failure"] == name
    assert event.properties["system.failure.description"] == message
    assert event.function_calls == [("count", None)]


def test_p9_a_session_on_azure_behind_ones_own_host() -> None:
    config = {"openai_config": {"azure": {"model_mappings": [{"model": "voice", "price_as_resource": "gpt-realtime"}]}}}
    with SocketStandIn(realtime, SESSION) as server, metered(config=config) as meter:
        client = openai.AzureOpenAI(
            base_url=f"{server.url}/openai", websocket_base_url=server.socket_url, api_key="k", api_version="2025-04-01"
        )
        with client.realtime.connect(model="voice") as connection:
            connection.response.create()
            until(connection, "response.done")
        [event] = meter.events

    assert (event.category, event.resource, event.units) == ("system.azureopenai", "gpt-realtime", UNITS)


REPLY = Reply(text="Four.")


def created(name: str, model: str, **more: Any) -> dict[str, Any]:
    told = response(REPLY, {"model": model}, status="in_progress") | {"id": name, "usage": None} | more
    return {"type": "response.created", "response": told}


def said(text: str = "Four.") -> dict[str, Any]:
    return {"type": "response.output_text.delta", "delta": text, "item_id": "m", "sequence_number": 2}


def completed(name: str, model: str, **more: Any) -> dict[str, Any]:
    told = response(REPLY, {"model": model}) | {"id": name} | more
    return {"type": "response.completed", "response": told}


def refused(code: str) -> dict[str, Any]:
    return {"type": "error", "error": {"type": "invalid_request_error", "code": code, "message": "No."}, "status": 400}


def on_a_lane(asked: list[dict[str, Any]], answered: list[dict[str, Any]]) -> list[UsageEvent]:
    """Send all of what is asked, then receive all of what is answered to the last of it."""
    last = asked[-1]

    def answers(message: dict[str, Any]) -> list[dict[str, Any]]:
        return answered if message == last else []

    with SocketStandIn(answers) as server, metered() as meter:
        with connected(server).responses.connect() as connection:
            for message in asked:
                connection.send(message)  # type: ignore[arg-type]
            for _ in answered:
                connection.recv()
        return meter.events


def ask(model: str, **more: Any) -> dict[str, Any]:
    return {"type": "response.create", "model": model, "input": "How many?", **more}


COUNTED = {"text": (1200, 400)}


@over_a_socket
def test_each_response_of_a_lane_has_the_model_that_was_asked_for_it() -> None:
    asked = [ask("gpt-4o"), ask("gpt-4o-mini"), ask("gpt-4.1")]
    answered = [
        piece
        for index, message in enumerate(asked)
        for piece in (created(f"r{index}", message["model"]), said(), completed(f"r{index}", message["model"]))
    ]
    events = on_a_lane(asked, answered)

    assert [(event.resource, event.units) for event in events] == [
        ("gpt-4o", COUNTED),
        ("gpt-4o-mini", COUNTED),
        ("gpt-4.1", COUNTED),
    ]


@over_a_socket
def test_what_a_request_is_changed_to_after_it_was_sent_does_not_count() -> None:
    message = ask("gpt-4o")
    with SocketStandIn(lanes) as server, metered() as meter:
        with connected(server).responses.connect() as connection:
            connection.send(message)  # type: ignore[arg-type]
            message["model"] = "gpt-4.1"
            until(connection, "response.completed")
        [event] = meter.events

    assert event.resource == "gpt-4o"


@over_a_socket
def test_a_refusal_of_the_next_request_leaves_the_response_of_a_lane_alone() -> None:
    asked = [ask("gpt-4o"), ask("gpt-0")]
    answered = [created("r1", "gpt-4o"), said(), refused("model_not_found"), said(), completed("r1", "gpt-4o")]
    failed, event = on_a_lane(asked, answered)

    assert (failed.resource, failed.units, failed.properties["system.failure"]) == ("gpt-0", {}, "model_not_found")
    assert (event.provider_response_id, event.units) == ("r1", COUNTED)


@over_a_socket
def test_a_refusal_of_a_message_that_asks_for_nothing_is_no_event() -> None:
    odd = {"type": "response.steer", "previous_response_id": "r0", "input": "And pears?"}
    assert on_a_lane([odd], [refused("response_not_found")]) == []


@over_a_socket
def test_an_error_of_a_response_ends_it_once() -> None:
    broken = {"type": "error", "code": "server_error", "message": "No.", "param": None, "sequence_number": 3}
    rest = [said(), {**completed("r1", "gpt-4o"), "type": "response.failed"}, created("r2", "gpt-4o"), said()]
    asked = [ask("gpt-4o"), ask("gpt-4o")]
    broke, whole = on_a_lane(asked, [created("r1", "gpt-4o"), said(), broken, *rest, completed("r2", "gpt-4o")])

    assert (broke.properties["system.failure"], broke.properties["system.estimated"]) == ("server_error", "true")
    assert (whole.provider_response_id, whole.units) == ("r2", COUNTED)


@over_a_socket
def test_a_steered_response_is_followed_by_one_that_nobody_asked_for() -> None:
    steer = {"type": "response.steer", "previous_response_id": "r1", "input": "And pears?"}
    accepted = {
        "type": "response.steer.accepted",
        "steer": {"id": "s", "previous_response_id": "r1"},
        "sequence_number": 1,
    }
    answered = [
        created("r1", "gpt-4o"),
        accepted,
        {**completed("r1", "gpt-4o", status="incomplete"), "type": "response.incomplete"},
        created("r2", "gpt-4o", previous_response_id="r1"),
        completed("r2", "gpt-4o"),
        created("r3", "gpt-4.1"),
        completed("r3", "gpt-4.1"),
    ]
    events = on_a_lane([ask("gpt-4o"), ask("gpt-4.1"), steer], answered)

    assert [(event.provider_response_id, event.resource, event.units) for event in events] == [
        ("r1", "gpt-4o", COUNTED),
        ("r2", "gpt-4o", COUNTED),
        ("r3", "gpt-4.1", COUNTED),
    ]


@over_a_socket
@pytest.mark.parametrize(("usage", "events"), [(None, 0), ({"input_tokens": 90, "output_tokens": 0}, 1)])
def test_a_warm_up_counts_what_it_says(usage: dict[str, int] | None, events: int) -> None:
    warm = [created("r1", "gpt-4o"), completed("r1", "gpt-4o", output=[], usage=usage)]
    counted = on_a_lane([ask("gpt-4o", generate=False)], warm)

    assert [event.units for event in counted] == [{"text": (90, 0)}] * events


@needs("live")
def test_the_seconds_of_a_live_session_that_follows_another_are_counted_from_its_start() -> None:
    def session(name: str, *seconds: float) -> Iterator[dict[str, Any]]:
        yield {"type": "session.started", "event_id": "s", "session": {"id": name, "model": "gpt-live-1"}}
        for told in seconds:
            yield {"type": "session.usage.updated", "event_id": "u", "usage": {"seconds": told}}

    def answers(_: dict[str, Any]) -> Iterator[dict[str, Any]]:
        yield from session("live_1", 10, 60)
        yield from session("live_1")  # says it twice
        yield from session("live_2", 20, 70)
        yield {"type": "session.closed", "event_id": "c", "usage": {"seconds": 70}, "reason": "close_requested"}

    with SocketStandIn(answers) as server, metered() as meter:
        with connected(server).live.connect() as connection:
            connection.send({"type": "session.start", "session": {"model": "gpt-live-1"}})
            until(connection, "session.closed")
        assert [event.units["audio_seconds"] for event in meter.events] == [(10, 0), (50, 0), (20, 0), (50, 0)]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no forks here")
def test_a_turn_that_is_on_its_way_stays_its_process_s() -> None:
    with SocketStandIn(lambda _: pieces("resp_1"), SESSION) as server, metered() as meter:
        connection = connected(server).realtime.connect(model="gpt-realtime").enter()
        connection.response.create()
        until(connection, "response.output_text.delta")
        read, write = os.pipe()
        if (child := os.fork()) == 0:
            del connection
            gc.collect()
            abandon_open()
            os.write(write, str(len(meter.events)).encode())
            os._exit(0)
        os.waitpid(child, 0)
        assert os.read(read, 8) == b"0"
        del connection
        gc.collect()
        [event] = meter.events

    assert is_estimated(event)


@over_a_socket
def test_a_session_forgets_the_responses_that_are_done() -> None:
    def answers(message: dict[str, Any]) -> Iterator[dict[str, Any]]:
        for event in (created("r", "gpt-4o"), completed("r", "gpt-4o")):
            yield {**event, "stream_id": message["stream_id"]}

    with SocketStandIn(answers) as server, metered() as meter:
        with connected(server).responses.connect() as connection:
            for lane in range(40):
                if lane == 1:  # what the SDK makes at its first message is its own
                    tracemalloc.start()
                connection.send(ask("gpt-4o", stream_id=str(lane)) | {"input": str(lane) * 500_000})  # type: ignore[arg-type]
                until(connection, "response.completed")
                server.heard.clear()
            kept, _ = tracemalloc.get_traced_memory()
            tracemalloc.stop()
        assert len(meter.events) == 40

    assert kept < 10_000_000


BODY: Any = ask("gpt-4o")


@needs("responses.connect")
@pytest.mark.skipif(find_spec("openai.lib.responses_websocket") is None, reason="this SDK has no such helper")
@pytest.mark.parametrize("awaited", [False, True], ids=["sync", "async"])
def test_the_sdks_own_helper_is_metered_and_stopped_like_any_other(awaited: bool) -> None:
    from openai.lib import responses_websocket as helper

    limits = helper.ResponsesWebSocketLimits(4, 1000, 1000, 1_000_000, 1_000_000)

    def make(server: SocketStandIn) -> None:
        with (
            connected(server).responses.connect() as connection,
            helper.ResponsesWebSocketSession(connection, limits=limits) as session,
            track_context(user_id="ada", limit_ids=["full"]),
        ):
            lane = session.lane("x")
            lane.send(BODY)
            assert lane.get_final_response(timeout=5).usage is not None
            with pytest.raises(LimitBlockedError):
                lane.send(BODY)

    async def amake(server: SocketStandIn) -> None:
        async with (
            aconnected(server).responses.connect() as connection,
            helper.AsyncResponsesWebSocketSession(connection, limits=limits) as session,
        ):
            with track_context(user_id="ada", limit_ids=["full"]):
                lane = session.lane("x")
                await lane.send(BODY)
                assert (await lane.get_final_response()).usage is not None
                with pytest.raises(LimitBlockedError):
                    await lane.send(BODY)

    with SocketStandIn(lanes) as server, metered(config={"global_instrumentation": False}) as meter:
        meter.client.limits.create(limit_name="Full", limit_id="full", max=1e-9, limit_type="block")
        asyncio.run(amake(server)) if awaited else make(server)
        event, stopped = meter.events

    assert (event.attribution.user_id, event.resource, event.units) == ("ada", "gpt-4o", COUNTED)
    assert (stopped.http_status_code, stopped.attribution.user_id) == (424, "ada")
    assert len(server.heard) == 1


@needs("live")
def test_nothing_in_the_sdk_sends_past_us_that_we_do_not_know() -> None:
    folder = Path(openai.__file__).parent
    files = (file for file in folder.rglob("*.py") if "resources" not in file.parts)
    sends = {file.relative_to(folder).as_posix() for file in files if "onnection.send(" in file.read_text("utf-8")}

    assert sends == {
        "_websocket_connection.py",  # below send and send_raw
        "lib/responses_websocket/_session.py",  # the lanes' send
        "lib/realtime_translation.py",  # not counted
    }


@needs("beta.responses.connect")
def test_q11_input_that_lets_a_response_go_on_is_stopped_too() -> None:
    steer = {"type": "response.steer", "input": "And pears?", "previous_response_id": "r1"}
    inject = {"type": "response.inject", "input": [], "response_id": "r1"}
    with SocketStandIn(lanes) as server, metered() as meter:
        full(meter)
        with track_context(limit_ids=["full"]):
            with connected(server).responses.connect() as connection, pytest.raises(LimitBlockedError):
                connection.send(steer)  # type: ignore[arg-type]
            with connected(server).beta.responses.connect() as beta, pytest.raises(LimitBlockedError):
                beta.send(inject)  # type: ignore[arg-type]
        assert server.heard == []


@over_a_socket
def test_a_request_that_did_not_leave_is_nobodys_answer() -> None:
    with SocketStandIn(lanes) as server, metered() as meter:
        full(meter)
        with connected(server).responses.connect() as connection:
            with track_context(limit_ids=["full"]), pytest.raises(LimitBlockedError):
                connection.send({**BODY, "model": "gpt-4.1"})
            with pytest.raises(TypeError):
                connection.send({**BODY, "model": "gpt-4.1", "metadata": {"odd": object()}})
            connection.send(BODY)
            until(connection, "response.completed")
        _, event = meter.events

    assert (event.resource, event.units) == ("gpt-4o", COUNTED)


@over_a_socket
def test_what_was_asked_of_a_connection_that_was_lost_is_a_failed_call() -> None:
    def answers(message: dict[str, Any]) -> Iterator[dict[str, Any] | None]:
        if message["model"] == "gpt-4.1":
            yield None
        yield from lanes(message)

    with SocketStandIn(answers) as server, metered() as meter:
        manager = connected(server).responses.connect(on_reconnecting=lambda _: None, initial_delay=0.01)
        with manager as connection, track_context(user_id="ada"):
            connection.send({**BODY, "model": "gpt-4.1"})
            told = iter(connection)
            with suppress(StopIteration):
                threading.Timer(0.3, connection.send, [BODY]).start()
                while next(told).type != "response.completed":
                    pass
        lost, event = meter.events

    assert (lost.resource, lost.units, lost.attribution.user_id) == ("gpt-4.1", {}, "ada")
    assert lost.properties["system.failure"].startswith("ConnectionClosed")
    assert (event.resource, event.units) == ("gpt-4o", COUNTED)


@over_a_socket
def test_what_waits_for_its_connection_is_answered_first() -> None:
    with SocketStandIn(lanes) as server, metered() as meter:
        manager = connected(server).responses.connect()
        with track_context(user_id="ada"):
            manager.send(BODY)
        with manager as connection:
            connection.send({**BODY, "model": "gpt-4.1"})
            until(connection, "response.completed")
            until(connection, "response.completed")
        told = [(event.resource, event.attribution.user_id) for event in meter.events]

    assert told == [("gpt-4o", "ada"), ("gpt-4.1", None)]


@over_a_socket
def test_an_error_that_does_not_say_which_lane_is_that_of_the_only_request() -> None:
    def answers(message: dict[str, Any]) -> Iterator[dict[str, Any]]:
        yield from [refused("model_not_found")] if message["model"] == "gpt-0" else lanes(message)

    with SocketStandIn(answers) as server, metered() as meter:
        with connected(server).responses.connect() as connection:
            for model in ("gpt-0", "gpt-4o"):
                connection.send({**BODY, "model": model, "stream_id": "a"})
            until(connection, "response.completed")
        told = [(event.resource, event.units) for event in meter.events]

    assert told == [("gpt-0", {}), ("gpt-4o", COUNTED)]


@over_a_socket
def test_events_outside_of_a_response_are_none_of_it() -> None:
    late: list[dict[str, Any]] = [
        {"type": "response.inject.failed", "response_id": "r1", "error": {"code": "response_already_completed"}},
        {"type": "response.inject.created", "response_id": "r1"},
        {"type": "response.output_text.annotation.added", "item_id": "m", "annotation": {}},
    ]
    first, second = on_a_lane(
        [ask("gpt-4o"), ask("gpt-4.1")],
        [
            created("r1", "gpt-4o"),
            completed("r1", "gpt-4o"),
            *late,
            created("r2", "gpt-4.1"),
            completed("r2", "gpt-4.1"),
        ],
    )

    assert (first.resource, second.resource) == ("gpt-4o", "gpt-4.1")
    assert first.units == second.units == COUNTED


@over_a_socket
def test_odd_ids_cost_nothing_but_themselves() -> None:
    odd = [
        created("r1", "gpt-4o", previous_response_id={"odd": True}),
        completed("r1", "gpt-4o", id=["r1"]) | {"stream_id": []},
        {"type": "response.steer.accepted", "steer": "odd"},
    ]
    with SocketStandIn(lambda _: odd) as server, metered() as meter:
        with connected(server).responses.connect() as connection:
            connection.send(BODY)
            for _ in odd:
                connection.recv_bytes()
        [event] = meter.events

    assert (event.resource, event.units) == ("gpt-4o", COUNTED)


@over_a_socket
def test_a_response_is_whose_request_it_answers_wherever_it_is_read() -> None:
    with SocketStandIn(lanes) as server, metered(config={"global_instrumentation": False}) as meter:
        with connected(server).responses.connect() as connection:
            for user in ("ada", "ben"):
                with track_context(user_id=user):
                    connection.send({**BODY, "stream_id": user})
            reading = threading.Thread(target=lambda: [until(connection, "response.completed") for _ in range(2)])
            reading.start()
            reading.join()
        users = [event.attribution.user_id for event in meter.events]

    assert users == ["ada", "ben"]


def test_a_turn_that_is_read_outside_of_every_scope_is_whose_word_it_follows() -> None:
    with SocketStandIn(realtime, SESSION) as server, metered(config={"global_instrumentation": False}) as meter:
        with connected(server).realtime.connect(model="gpt-realtime") as connection:
            with track_context(user_id="ada"):
                connection.response.create()
            until(connection, "response.done")
        [event] = meter.events

    assert (event.attribution.user_id, event.units) == ("ada", UNITS)


def test_q11_each_request_that_is_stopped_is_reported() -> None:
    with SocketStandIn(realtime, SESSION) as server, metered() as meter:
        full(meter)
        with connected(server).realtime.connect(model="gpt-realtime") as connection:
            for user in ("ada", "ada", "ben"):
                with track_context(user_id=user, limit_ids=["full"]), pytest.raises(LimitBlockedError):
                    connection.send({"type": "response.create"})
            for user in ("ada", "ada", "ben", "ben"):
                with track_context(user_id=user, limit_ids=["full"]), pytest.raises(LimitBlockedError):
                    connection.send(APPEND)
        users = [event.attribution.user_id for event in meter.events]

    assert users == ["ada", "ada", "ben", "ada", "ben"]


@pytest.mark.parametrize(
    ("session", "said", "model", "units"),
    [
        (SESSION, {}, "gpt-4o-transcribe", {"text": (0, 4)}),
        (
            {
                "type": "transcription_session.created",
                "session": {"id": "s", "input_audio_transcription": {"model": "whisper-1"}},
            },
            {"usage": {"type": "duration", "seconds": 4}},
            "whisper-1",
            {"audio_seconds": (4, 0)},
        ),
    ],
    ids=["without a usage", "of the beta"],
)
def test_a_transcript_is_counted_as_it_says_or_estimated(
    session: dict[str, Any], said: dict[str, Any], model: str, units: dict[str, tuple[int, int]]
) -> None:
    kind = "conversation.item.input_audio_transcription.completed"
    told = {"type": kind, "item_id": "i", "content_index": 0, "transcript": "How many apples?", **said}
    with SocketStandIn(lambda _: [told], session) as server, metered() as meter:
        with connected(server).realtime.connect(model="gpt-realtime") as connection:
            connection.send({"type": "response.create"})
            connection.recv_bytes()
            connection.recv_bytes()
        [event] = meter.events

    assert (event.resource, event.units) == (model, units)
    assert "system.capture_error" not in event.properties


@pytest.mark.parametrize("is_metered", [True, False], ids=["metered from the start", "connected before"])
@pytest.mark.parametrize("joined", JOINED, ids=["call_id", "extra_query"])
def test_what_is_heard_on_two_connections_that_joined_a_call_counts_once(
    joined: dict[str, Any], is_metered: bool
) -> None:
    said = {
        "type": "conversation.item.input_audio_transcription.completed",
        "item_id": "i",
        "content_index": 0,
        "transcript": "How many apples?",
        "usage": {"type": "duration", "seconds": 3},
    }

    def hear(connection: Any) -> None:
        connection.response.create()
        until(connection, said["type"])

    with SocketStandIn(lambda message: [*realtime(message), said], SESSION) as server, ExitStack() as leaving:
        connections = [connected(server).realtime.connect(**joined) for _ in range(2)]
        entered = [] if is_metered else [connection.enter() for connection in connections]
        meter = leaving.enter_context(metered())
        meter.client.limits.create(limit_name="L", limit_id="l", max=1)
        with track_context(limit_ids=["l"]):
            for connection in entered or [connection.enter() for connection in connections]:
                hear(connection)
                connection.close()
        heard = meter.events
        booked = meter.client.limits.retrieve("l").limit.totals.requests.total

    assert [event.units for event in heard] == [UNITS, {"audio_seconds": (3, 0)}] * 2
    assert booked == 2


def test_a_turn_that_is_heard_again_says_nothing_new_of_its_limits() -> None:
    changes: list[tuple[str, str | None, str]] = []
    config: Any = {"on_limit_state": lambda limit_id, old, new, _result: changes.append((limit_id, old, new))}
    with SocketStandIn(realtime, SESSION) as server, metered(config=config) as meter:
        meter.client.limits.create(limit_name="L", limit_id="full", max=0.1, limit_type="block")
        with track_context(limit_ids=["full"]), ExitStack() as connections:
            first, second = (
                connections.enter_context(connected(server).realtime.connect(**JOINED[1])) for _ in range(2)
            )
            first.response.create()
            second.response.create()
            until(first, "response.done")
            meter.client.ingest.units(
                category="system.openai", resource="gpt-4o", units={"text": {"input": 1_000_000}}, limit_ids=["full"]
            )
            for heard_again in (False, True):
                if heard_again:
                    until(second, "response.done")
                with pytest.raises(LimitBlockedError):
                    first.response.create()
        assert len(meter.events) == 4

    assert changes == [("full", "ok", "blocked")]


def test_an_interrupt_while_an_event_is_booked_loses_no_message(monkeypatch: pytest.MonkeyPatch) -> None:
    with SocketStandIn(realtime, SESSION) as server, metered() as meter:
        ingest, interrupts = type(meter._recorder).ingest, [KeyboardInterrupt()]

        def interrupted(self: Any, events: Any) -> Any:
            if interrupts:
                raise interrupts.pop()
            return ingest(self, events)

        monkeypatch.setattr(type(meter._recorder), "ingest", interrupted)
        with connected(server).realtime.connect(model="gpt-realtime") as connection:
            connection.response.create()
            with pytest.raises(KeyboardInterrupt):
                until(connection, "response.done")
            assert connection.recv().type == "response.done"
        assert [event.units for event in meter.events] == [UNITS]


@needs("live")
def test_a_decision_of_a_live_session_is_an_event_of_its_own() -> None:
    usage = {"input_tokens": 1200, "output_tokens": 400, "total_tokens": 1600}
    decision = {"id": "dec_1", "object": "decision", "model": "gpt-6-luna", "usage": usage}
    event = {
        "type": "decision.event",
        "event_id": "e1",
        "event": {"type": "decision.completed", "decision": decision},
    }
    with SocketStandIn(lambda _: [event]) as server, metered() as meter:
        with connected(server).live.connect() as connection:
            connection.send({"type": "session.start", "session": {"model": "gpt-live-1"}})
            until(connection, "decision.event")
        [told] = meter.events

    assert (told.resource, told.units) == ("decisions/gpt-6-luna", COUNTED)


@over_a_socket
def test_threads_that_send_on_one_lane_are_told_apart() -> None:
    def answers(message: dict[str, Any]) -> Iterator[dict[str, Any]]:
        yield from (created(message["user"], "gpt-4o"), completed(message["user"], "gpt-4o"))

    with SocketStandIn(answers) as server, metered() as meter:
        with connected(server).responses.connect() as connection:

            def speak(user: str) -> None:
                with track_context(user_id=user):
                    for _ in range(30):
                        connection.send({**BODY, "user": user})

            speakers = [threading.Thread(target=speak, args=(f"user{at}",)) for at in range(4)]
            for speaker in speakers:
                speaker.start()
            for _ in range(120):
                until(connection, "response.completed")
            for speaker in speakers:
                speaker.join()
        wrong = [event for event in meter.events if event.attribution.user_id != event.provider_response_id]

    assert (len(meter.events), wrong) == (120, [])


@over_a_socket
def test_each_connection_of_a_manager_has_its_own_answers() -> None:
    with SocketStandIn(lanes) as server, metered() as meter:
        manager = connected(server).responses.connect()
        with manager as first, track_context(user_id="ada"):
            first.send({**BODY, "model": "gpt-4.1"})
        with manager as second, track_context(user_id="ben"):
            second.send(BODY)
            until(second, "response.completed")
        del first, second, manager
        gc.collect()
        told = {(event.attribution.user_id, event.resource, event.http_status_code) for event in meter.events}

    assert told == {("ada", "gpt-4.1", 299), ("ben", "gpt-4o", 200)}


@over_a_socket
@pytest.mark.parametrize("leave", ["dropped", "timed out", "at exit"])
def test_a_request_whose_answer_nobody_heard_is_a_failed_call(leave: str) -> None:
    async def atalk(server: SocketStandIn) -> None:
        async with aconnected(server).responses.connect() as connection:
            await connection.send(BODY)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await connection.recv()

    with SocketStandIn(lambda _: []) as server, metered() as meter, track_context(user_id="ada"):
        if leave == "timed out":
            asyncio.run(atalk(server))
        else:
            with connected(server).responses.connect() as connection:
                connection.send(BODY)
            if leave == "at exit":
                abandon_open()
            else:
                del connection
        gc.collect()
        [event] = meter.events

    assert (event.http_status_code, event.units, event.attribution.user_id) == (299, {}, "ada")
    assert event.properties["system.failure"] == "ConnectionAbortedError"


@over_a_socket
def test_what_is_sent_outside_of_every_scope_is_nobodys() -> None:
    with SocketStandIn(lanes) as server, metered(config={"global_instrumentation": False}) as meter:
        with connected(server).responses.connect() as connection:
            with track_context(user_id="ada"):
                connection.send({**BODY, "model": "gpt-4.1"})
                until(connection, "response.completed")
            connection.send(BODY)
            with track_context(user_id="ben"):
                until(connection, "response.completed")
        told = [(event.attribution.user_id, event.resource) for event in meter.events]

    assert told == [("ada", "gpt-4.1")]


@over_a_socket
def test_a_response_that_metering_left_in_the_middle_is_estimated_once() -> None:
    with SocketStandIn(lanes) as server:
        connection = connected(server).responses.connect().enter()
        with metered() as before, track_context(user_id="ada"):
            connection.send(BODY)
            until(connection, "response.created")
            assert before.handle is not None
            before.handle.uninstrument()
            [event] = before.events
        with metered() as after:
            until(connection, "response.completed")
            assert after.events == []
        connection.close()

    assert (event.attribution.user_id, event.properties.get("system.estimated")) == ("ada", "true")


@over_a_socket
def test_a_refusal_of_input_leaves_the_requests_that_wait_alone() -> None:
    steer = {"type": "response.steer", "previous_response_id": "r0", "input": "And pears?"}
    events = on_a_lane(
        [ask("gpt-4o"), ask("gpt-4.1"), steer],
        [
            created("r1", "gpt-4o"),
            refused("response_not_found"),
            completed("r1", "gpt-4o"),
            created("r2", "gpt-4.1"),
            completed("r2", "gpt-4.1"),
        ],
    )

    assert [(event.resource, event.units) for event in events] == [("gpt-4o", COUNTED), ("gpt-4.1", COUNTED)]


@over_a_socket
async def test_a_wait_that_is_cancelled_while_lost_calls_are_booked_loses_none_of_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def answers(message: dict[str, Any]) -> Iterator[None]:
        if message.get("stream_id") == "b":
            yield None

    with SocketStandIn(answers) as server, metered() as meter:
        booking, ingest = asyncio.Event(), type(meter._recorder).aingest

        async def slow(self: Any, events: Any) -> Any:
            booking.set()
            await asyncio.sleep(0.1)
            return await ingest(self, events)

        monkeypatch.setattr(type(meter._recorder), "aingest", slow)
        async with aconnected(server).responses.connect() as connection:
            for lane in ("a", "b"):
                await connection.send({**BODY, "stream_id": lane})
            waiting = asyncio.create_task(connection.recv())
            await booking.wait()
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
        told = {event.event_id: (event.http_status_code, event.units) for event in meter.events}

    assert list(told.values()) == [(299, {})] * 2


@pytest.mark.skipif(not hasattr(RealtimeConnectionManager, "_connect_ws"), reason="this SDK connects in one piece")
@pytest.mark.parametrize("awaited", [False, True], ids=["sync", "async"])
def test_headers_of_ours_that_a_session_is_opened_with_count_and_stay_here(awaited: bool) -> None:
    seen: list[Any] = []
    own = create_headers(user_id="ada", limit_ids=["full"]) | {"X-Own": "stays"}

    async def atalk(client: openai.AsyncOpenAI) -> None:
        async with client.realtime.connect(model="gpt-realtime", extra_headers=own) as connection:
            seen.append(connection._connection.request.headers)
            await connection.response.create()
            await auntil(connection, "response.done")
            with pytest.raises(LimitBlockedError):
                await connection.response.create()

    def talk(client: openai.OpenAI) -> None:
        with client.realtime.connect(model="gpt-realtime", extra_headers=own) as connection:
            seen.append(connection._connection.request.headers)
            connection.response.create()
            until(connection, "response.done")
            with pytest.raises(LimitBlockedError):
                connection.response.create()

    every = create_headers(account_name="acme")
    with SocketStandIn(realtime, SESSION) as server, metered() as meter:
        meter.client.limits.create(limit_name="Full", limit_id="full", max=1e-9, limit_type="block")
        if awaited:
            asyncio.run(atalk(aconnected(server).with_options(default_headers=every)))
        else:
            talk(connected(server).with_options(default_headers=every))
        told = [
            (event.http_status_code, event.attribution.user_id, event.attribution.limit_ids) for event in meter.events
        ]

    assert told == [(200, "ada", ("full",)), (424, "ada", ("full",))]
    assert [name for name in seen[0] if name.lower().startswith("xproxy")] == []
    assert seen[0]["X-Own"] == "stays"
