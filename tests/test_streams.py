"""Every way out of a stream ends its call once, and the caller keeps the SDK's own object. Rows P-4, P-6, P-7, P-23."""

from __future__ import annotations

import asyncio
import copy
import threading
from typing import TYPE_CHECKING, Any

import openai
import pytest
from offline_openai import httpx
from openai.types.chat import ChatCompletionChunk

from examples.openai_standin import Reply
from payi_instrument import get_context, guard, track_context
from payi_instrument.delivery.inline import InlineDelivery
from payi_instrument.testing import MemoryMeter, metered

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from openai import AsyncOpenAI, AsyncStream, OpenAI, Stream

    from examples.openai_standin import StandIn

ASK: dict[str, Any] = {"model": "gpt-4o", "messages": [{"role": "user", "content": "What is two and two?"}]}
PIECES = ["", "The", " answer", " is", " four.", None]
WHOLE = {"text": (1200, 400)}


def opened(sdk: OpenAI) -> Stream[ChatCompletionChunk]:
    return sdk.chat.completions.create(**ASK, stream=True)


async def aopened(asdk: AsyncOpenAI) -> AsyncStream[ChatCompletionChunk]:
    return await asdk.chat.completions.create(**ASK, stream=True)


def texts(chunks: list[ChatCompletionChunk]) -> list[str | None]:
    return [chunk.choices[0].delta.content for chunk in chunks]


def one(meter: MemoryMeter, *, estimated: bool, failure: str | None = None) -> None:
    """Check that the one event of the test is what it should be."""
    [event] = meter.events
    assert ("system.estimated" in event.properties) == estimated
    assert event.properties.get("system.failure") == failure
    assert event.http_status_code == (299 if failure else 200)
    assert event.units["text"][0] > 0
    if not estimated:
        assert event.units == WHOLE


def test_p4_a_full_read(sdk: OpenAI, meter: MemoryMeter) -> None:
    stream = opened(sdk)
    assert stream.xproxy_result is None
    chunks = list(stream)
    assert texts(chunks) == PIECES
    assert stream.xproxy_result.cost.total.base == 0.007
    assert get_context()["last_result"] is stream.xproxy_result
    assert not hasattr(chunks[-1], "xproxy_result")
    one(meter, estimated=False)


async def test_p4_a_full_read_awaited(asdk: AsyncOpenAI, meter: MemoryMeter) -> None:
    stream: Any = await aopened(asdk)
    chunks = [chunk async for chunk in stream]
    assert texts(chunks) == PIECES
    assert stream.xproxy_result.cost.total.base == 0.007
    one(meter, estimated=False)


def test_the_stream_is_the_sdks_own(sdk: OpenAI, meter: MemoryMeter) -> None:
    with opened(sdk) as stream:
        assert type(stream) is openai.Stream
        assert stream.response.status_code == 200
        assert isinstance(next(stream), ChatCompletionChunk)
        assert iter(stream) is not stream
        assert stream.close.__self__ is stream


def test_next_and_for_read_the_same_stream(sdk: OpenAI, meter: MemoryMeter) -> None:
    stream = opened(sdk)
    first = next(stream)
    middle = [chunk for chunk, _ in zip(stream, range(2), strict=False)]
    rest = list(stream)
    assert texts([first, *middle]) == PIECES[:3]
    assert texts(rest) == PIECES[4:]  # zip takes one more than it gives, from any iterator
    with pytest.raises(StopIteration):
        next(stream)
    one(meter, estimated=False)


async def test_anext_and_async_for_read_the_same_stream(asdk: AsyncOpenAI, meter: MemoryMeter) -> None:
    stream = await aopened(asdk)
    chunks = [await anext(stream)]
    async for chunk in stream:
        chunks.append(chunk)  # noqa: PERF401  # the loop is what is tested
    assert texts(chunks) == PIECES
    with pytest.raises(StopAsyncIteration):
        await anext(stream)
    one(meter, estimated=False)


def test_p6_break_and_close_makes_one_event(sdk: OpenAI, meter: MemoryMeter) -> None:
    stream = opened(sdk)
    for _ in stream:
        break
    assert meter.events == []
    stream.close()
    stream.close()
    assert stream.xproxy_result.warnings == ["estimated_units: gpt-4o reported no usage"]
    one(meter, estimated=True)


async def test_p6_break_and_close_awaited_makes_one_event(asdk: AsyncOpenAI, meter: MemoryMeter) -> None:
    stream = await aopened(asdk)
    async for _ in stream:
        break
    assert meter.events == []
    await stream.close()
    await stream.close()
    assert stream.xproxy_result.cost.total.base > 0  # type: ignore[attr-defined]
    one(meter, estimated=True)


def test_break_in_a_with_block(sdk: OpenAI, meter: MemoryMeter) -> None:
    with opened(sdk) as stream:
        for _ in stream:
            break
    assert stream.xproxy_result.cost.total.base > 0
    one(meter, estimated=True)


def test_break_and_resume_is_no_end(sdk: OpenAI, meter: MemoryMeter) -> None:
    stream = opened(sdk)
    chunks = []
    for chunk in stream:
        chunks.append(chunk)
        break
    chunks += list(stream)
    assert texts(chunks) == PIECES
    one(meter, estimated=False)


def test_an_exception_of_the_reader_is_no_failure_of_the_call(sdk: OpenAI, meter: MemoryMeter) -> None:
    def fail() -> None:
        with opened(sdk) as stream:
            for _ in stream:
                raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        fail()
    one(meter, estimated=True)


def test_a_stream_that_is_never_read(sdk: OpenAI, meter: MemoryMeter) -> None:
    with opened(sdk):
        pass
    one(meter, estimated=True)
    assert meter.events[0].units["text"][1] == 0
    assert meter.events[0].time_to_first_token_ms is None


def drip(*events: str) -> Iterator[bytes]:
    yield from (f"data: {event}\n\n".encode() for event in events)


def offline(*, stream: Callable[[], Iterator[bytes]]) -> OpenAI:
    """Return a client whose answers come in exactly these pieces."""

    class Pieces(httpx.SyncByteStream):
        def __iter__(self) -> Iterator[bytes]:
            yield from stream()

    def answer(_: httpx.Request) -> httpx.Response:
        return httpx.Response(200, headers={"content-type": "text/event-stream"}, stream=Pieces())

    transport = httpx.MockTransport(answer)
    return openai.OpenAI(
        base_url="http://host/v1", api_key="k", max_retries=0, http_client=httpx.Client(transport=transport)
    )


CHUNK = '{"id": "c1", "model": "gpt-4o", "choices": [{"index": 0, "delta": {"content": "Four."}}]}'
USAGE = '{"id": "c1", "model": "gpt-4o", "choices": [], "usage": {"prompt_tokens": 1200, "completion_tokens": 400}}'


def test_what_follows_the_end_mark_is_not_needed_for_the_end(
    meter: MemoryMeter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(InlineDelivery, "defer", None)  # nothing is given up here
    with offline(stream=lambda: drip(CHUNK, USAGE, "[DONE]", "never read")) as client:
        stream = opened(client)
        assert texts(list(stream)) == ["Four."]
        assert stream.xproxy_result.cost.total.base == 0.007
    one(meter, estimated=False)


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(3), httpx.ReadError("reset")])
def test_p7_what_breaks_a_stream_reaches_the_caller(meter: MemoryMeter, error: BaseException) -> None:
    def broken() -> Iterator[bytes]:
        yield from drip(CHUNK)
        raise error

    with offline(stream=broken) as client:
        stream = opened(client)
        assert texts([next(stream)]) == ["Four."]
        with pytest.raises((type(error), openai.APIConnectionError)) as caught:
            next(stream)
    assert error in {caught.value, caught.value.__cause__}
    one(meter, estimated=True, failure=type(caught.value).__name__)


def test_a_chunk_that_we_cannot_read_is_the_callers_all_the_same() -> None:
    guard.raise_errors(False)
    with metered() as meter, offline(stream=lambda: drip('"odd"', CHUNK, "[7]", USAGE, "[DONE]")) as client:
        stream: Any = opened(client)
        odd, whole, list_ = stream
        assert (odd, whole.choices[0].delta.content, list_) == ("odd", "Four.", [7])
        one(meter, estimated=False)


def test_p23_a_usage_that_we_cannot_count_makes_an_event_that_says_so() -> None:
    guard.raise_errors(False)
    odd = USAGE.replace("1200", "NaN")
    with metered() as meter, offline(stream=lambda: drip(CHUNK, odd, "[DONE]")) as client:
        assert texts(list(opened(client))) == ["Four."]
        [event] = meter.events
    assert (event.properties["system.capture_error"], event.units, event.http_status_code) == ("true", {}, 200)


def test_a_stream_closed_by_another_thread(sdk: OpenAI, standin: StandIn, meter: MemoryMeter) -> None:
    stream = opened(sdk)
    next(stream)
    closer = threading.Thread(target=stream.close)
    closer.start()
    closer.join()
    one(meter, estimated=True)


def test_a_stream_closed_in_the_middle_of_a_step(sdk: OpenAI, standin: StandIn, meter: MemoryMeter) -> None:
    standin.reply.then, standin.reply.after = "stall", 2
    ends: list[object] = []

    def read() -> None:
        try:
            ends.append(len(list(stream)))
        except (openai.APIConnectionError, httpx.TransportError) as error:  # older SDKs pass it on as it is
            ends.append(error)

    stream = opened(sdk)
    reader = threading.Thread(target=read)
    reader.start()
    assert standin.stalled.wait(10)
    stream.close()
    standin.released.set()
    reader.join(10)
    assert len(ends) == 1
    assert len(meter.events) == 1


async def test_p18_a_timeout_round_a_step_is_a_cancelled_call(
    asdk: AsyncOpenAI, standin: StandIn, meter: MemoryMeter
) -> None:
    standin.reply.then, standin.reply.after = "stall", 1
    stream = await aopened(asdk)
    await anext(stream)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(anext(stream), 0.05)
    one(meter, estimated=True, failure="CancelledError")


def test_many_streams_at_once_are_each_one_event(standin: StandIn, meter: MemoryMeter) -> None:
    def run(user: str) -> None:
        with openai.OpenAI(base_url=standin.url, api_key="k") as client, track_context(user_id=user):
            list(opened(client))
            with opened(client) as stream:
                next(stream)

    threads = [threading.Thread(target=run, args=(f"u{number}",)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    users = sorted(event.attribution.user_id or "" for event in meter.events)
    assert users == sorted([f"u{number}" for number in range(8)] * 2)


async def test_streams_of_many_tasks_are_each_one_event(asdk: AsyncOpenAI, meter: MemoryMeter) -> None:
    async def run(user: str) -> str | None:
        with track_context(user_id=user):
            stream = await aopened(asdk)
            async for _ in stream:
                await asyncio.sleep(0)
        return stream.xproxy_result.user_id  # type: ignore[attr-defined]

    users = [f"u{number}" for number in range(20)]
    assert await asyncio.gather(*map(run, users)) == users
    assert sorted(event.attribution.user_id or "" for event in meter.events) == sorted(users)
    assert all(event.units == WHOLE for event in meter.events)


def test_the_helpers_stream_shows_the_result_of_its_own(sdk: OpenAI, meter: MemoryMeter) -> None:
    with sdk.chat.completions.stream(**ASK) as stream:
        assert stream.xproxy_result is None
        completion = stream.get_final_completion()
        assert stream.xproxy_result.cost.total.base == 0.007
    assert completion.choices[0].message.content == "The answer is four."
    assert completion.usage is None  # nobody asked for it
    one(meter, estimated=False)


def test_the_helper_keeps_the_usage_that_was_asked_for(sdk: OpenAI, meter: MemoryMeter) -> None:
    with sdk.chat.completions.stream(**ASK, stream_options={"include_usage": True}) as stream:
        usage = stream.get_final_completion().usage
    assert usage is not None
    assert usage.prompt_tokens == 1200
    one(meter, estimated=False)


def test_chunks_can_be_copied_and_compared(sdk: OpenAI, meter: MemoryMeter) -> None:
    chunks = list(opened(sdk))
    assert copy.deepcopy(chunks) == chunks


def test_several_choices_and_tool_calls_at_once(sdk: OpenAI, standin: StandIn, meter: MemoryMeter) -> None:
    call = {"id": "call_1", "type": "function", "function": {"name": "add", "arguments": '{"a": 2, "b": 2}'}}
    standin.reply = Reply(tool_calls=[call])
    list(sdk.chat.completions.create(**ASK, stream=True, n=2))
    assert meter.events[0].function_calls == [("add", None), ("add", None)]
    one(meter, estimated=False)
