"""Streams that nobody reads to their end: dropped, collected, their loop or their process gone. Rows P-6, 6.9."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import textwrap
import threading
import weakref
from typing import TYPE_CHECKING, Any

import openai
import pytest
from offline_openai import httpx

from payi_instrument import Payi
from payi_instrument.testing import MemoryMeter, metered

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from openai import AsyncOpenAI, AsyncStream, OpenAI, Stream
    from openai.types.chat import ChatCompletionChunk

    from examples.openai_standin import StandIn

ASK: dict[str, Any] = {"model": "gpt-4o", "messages": [{"role": "user", "content": "What is two and two?"}]}
CHUNK = b'{"id": "c1", "model": "gpt-4o", "choices": [{"index": 0, "delta": {"content": "Four."}}]}'


def opened(sdk: OpenAI) -> Stream[ChatCompletionChunk]:
    return sdk.chat.completions.create(**ASK, stream=True)


async def aopened(asdk: AsyncOpenAI) -> AsyncStream[ChatCompletionChunk]:
    return await asdk.chat.completions.create(**ASK, stream=True)


def one(meter: MemoryMeter) -> None:
    """Check that there is one event, of a call that went well as far as it was read."""
    [event] = meter.events
    assert event.properties["system.estimated"] == "true"
    assert (event.http_status_code, event.properties.get("system.failure")) == (200, None)
    assert event.units["text"][0] > 0


@pytest.mark.parametrize("read", [0, 1])
def test_a_dropped_stream(sdk: OpenAI, meter: MemoryMeter, read: int) -> None:
    stream = opened(sdk)
    for _ in range(read):
        next(stream)
    del stream
    gc.collect()
    one(meter)


async def test_a_dropped_stream_awaited(asdk: AsyncOpenAI, meter: MemoryMeter) -> None:
    stream = await aopened(asdk)
    await anext(stream)
    del stream
    gc.collect()
    await asyncio.sleep(0)
    one(meter)


def test_the_generator_of_a_web_framework_is_closed_half_way(sdk: OpenAI, meter: MemoryMeter) -> None:
    def body() -> Iterator[str]:
        with opened(sdk) as stream:
            for chunk in stream:
                yield chunk.choices[0].delta.content or ""

    answer = body()
    next(answer)
    answer.close()
    one(meter)


def test_the_inner_iterator_is_closed(sdk: OpenAI, meter: MemoryMeter) -> None:
    stream: Any = opened(sdk)
    next(stream)
    stream._iterator.close()
    assert list(stream) == []
    one(meter)


@pytest.mark.parametrize("raw", [False, True])
def test_a_finaliser_neither_waits_nor_locks_nor_runs_the_users_code(
    sdk: OpenAI, monkeypatch: pytest.MonkeyPatch, raw: bool
) -> None:
    lock, threads = threading.Lock(), []

    def redact(texts: dict[str, object]) -> dict[str, object]:
        with lock:
            threads.append(threading.current_thread().name)
        return texts

    with metered(config={"redact": redact}) as meter:
        if raw:
            answer: Any = sdk.chat.completions.with_raw_response.create(**ASK, stream=True)
            kept = [answer, answer.http_response.iter_bytes(50)]
            next(kept[1])
        else:
            kept = [opened(sdk)]
            next(kept[0])
        with lock:  # the collector may run while this thread holds any lock: ours, the ledger's, the user's
            kept.clear()
            answer = None
            gc.collect()
        one(meter)
    assert threads == ["payi-backlog"]


async def test_a_loop_that_is_killed(standin: StandIn, meter: MemoryMeter) -> None:
    async def leave() -> AsyncStream[ChatCompletionChunk]:
        client = openai.AsyncOpenAI(
            base_url=standin.url, api_key="k", http_client=httpx.AsyncClient(transport=Drip(), verify=False)
        )
        stream = await aopened(client)
        await anext(stream)
        return stream

    class Drip(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            return httpx.Response(200, stream=AsyncPieces())

    class AsyncPieces(httpx.AsyncByteStream):
        async def __aiter__(self) -> Any:
            for piece in (b"data: " + CHUNK + b"\n\n", b"data: [DONE]\n\n"):
                yield piece

    streams = []
    killed = threading.Thread(target=lambda: streams.append(asyncio.run(leave())))
    killed.start()
    await asyncio.to_thread(killed.join)
    [stream] = streams
    if not stream.response.is_closed:  # openai 1 leaves that to whoever drops the stream
        del stream
        streams.clear()
        gc.collect()
    one(meter)


@pytest.mark.parametrize("form", ["stream", "raw", "streaming"])
def test_what_was_read_is_freed_without_a_collection(sdk: OpenAI, form: str) -> None:
    def read() -> weakref.ref[httpx.Response]:
        if form == "streaming":
            with sdk.chat.completions.with_streaming_response.create(**ASK) as whole:
                whole.read()
            return weakref.ref(whole.http_response)
        raw = sdk.chat.completions.with_raw_response.create(**ASK, stream=True) if form == "raw" else None
        stream = raw.parse() if raw is not None else opened(sdk)
        assert len(list(stream)) == 6
        return weakref.ref(stream.response)

    gc.disable()
    try:
        if read()() is not None:
            pytest.skip(f"{httpx.__name__} {httpx.__version__} itself leaves it to a collection")
        with metered():
            assert read()() is None
    finally:
        gc.enable()


PROGRAM = """
    import sys
    from openai import OpenAI
    from payi_instrument import Payi, payi_instrument

    payi_instrument(Payi(base_url=sys.argv[1]), config={"on_limit_state": print, "limit_ids": ["l"]})
    client = OpenAI(base_url=sys.argv[2], api_key="k")
    ask = {"model": "gpt-4o", "messages": [{"role": "user", "content": "What is two and two?"}], "stream": True}
    stream = client.chat.completions.create(**ask)
    next(stream)
"""


@pytest.mark.parametrize("end", ["", "del stream"], ids=["held", "dropped"])
def test_a_process_that_exits_with_a_half_read_stream(standin: StandIn, tmp_path: Path, end: str) -> None:
    url = f"sqlite:///{tmp_path}/ledger.db"
    with Payi(base_url=url) as payi:
        payi.limits.create(limit_name="L", limit_id="l", max=1)
        program = textwrap.dedent(PROGRAM) + end
        done = subprocess.run(
            [sys.executable, "-c", program, url, standin.url], capture_output=True, text=True, timeout=60, check=False
        )
        totals = payi.limits.retrieve("l").limit.totals

    assert (done.returncode, done.stderr) == (0, "payi: estimated_units: gpt-4o reported no usage\n")
    assert totals.requests.total == 1
    assert totals.cost.total.base > 0
