"""What metering adds to an OpenAI call: sync, async, and each chunk of a stream.

The real SDK over an in-memory transport, so that the provider costs nothing. Blocks of calls take turns in one run: plain,
followed by the raw statements of an ingest and nothing else (the floor), and metered. Figures are differences of medians to
the plain ones: those suffer from our cold caches too, less than when single calls take turns.
"""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from typing import TYPE_CHECKING, Any

import httpx2
import openai
from bench_ingest import RawLedger
from measure import Row, alternating, alternating_async

from payi_instrument import AsyncPayi, Payi, payi_instrument, track, track_context

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

_BLOCKS, _COUNT = 15, 60
_CHUNKS = 2000
_TIMED = _CHUNKS - 10
_QUESTION: dict[str, Any] = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Why is the sky blue?"}]}
_ANSWER = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1,
    "model": "gpt-4o-2024-08-06",
    "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Rayleigh."}}],
    "usage": {"prompt_tokens": 13, "completion_tokens": 5, "total_tokens": 18},
}
_BODY = json.dumps(_ANSWER).encode()


def _respond(_request: httpx2.Request) -> httpx2.Response:
    return httpx2.Response(200, content=_BODY, headers={"content-type": "application/json"})


def _sync_client() -> openai.OpenAI:
    return openai.OpenAI(
        api_key="k", base_url="http://provider/v1", http_client=httpx2.Client(transport=httpx2.MockTransport(_respond))
    )


def _async_client() -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(
        api_key="k",
        base_url="http://provider/v1",
        http_client=httpx2.AsyncClient(transport=httpx2.MockTransport(_respond)),
    )


def rows() -> list[Row]:
    """Measure a call with one limit on an embedded ledger file, and the chunks of a stream."""
    found: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{folder}/ledger.db"
        meter = Payi(base_url=url)
        meter.limits.create(limit_name="m", limit_id="m", max=1_000_000)
        raw = RawLedger(f"{folder}/raw.db")
        found.append(_sync(meter, raw))
        found.append(_async(AsyncPayi(base_url=url), raw))
        found += _chunks(meter)
        meter.close()
    return found


def _sync(meter: Payi, raw: RawLedger) -> Row:
    plain, metered = _sync_client(), _sync_client()
    handle = payi_instrument(meter)

    @track(limit_ids=["m"], user_id="u", use_case_name="bench")
    def call() -> None:
        metered.chat.completions.create(**_QUESTION)

    _bare(plain)

    def base_call() -> None:
        plain.chat.completions.create(**_QUESTION)

    def floor_call() -> None:
        base_call()
        raw.ingest()

    times = alternating([base_call, floor_call, call], blocks=_BLOCKS, count=_COUNT)
    handle.uninstrument()
    return _row("added per call, inline, sync", times, 200)


def _async(meter: AsyncPayi, raw: RawLedger) -> Row:
    plain, metered = _async_client(), _async_client()
    handle = payi_instrument(meter)

    @track(limit_ids=["m"], user_id="u", use_case_name="bench")
    async def call() -> None:
        await metered.chat.completions.create(**_QUESTION)

    _bare(plain)

    async def base_call() -> None:
        await plain.chat.completions.create(**_QUESTION)

    async def floor_call() -> None:
        await base_call()
        raw.ingest()

    times = alternating_async([base_call, floor_call, call], blocks=_BLOCKS, count=_COUNT)
    handle.uninstrument()
    return _row("added per call, inline, async", times, 350)


def _row(what: str, times: list[float], goal: float) -> Row:
    base, floor, ours = (time * 1e6 for time in times)
    return Row(
        f"{what} (plain {base:.0f} us)", f"{floor - base:.0f} us", f"{ours - base:.0f} us", ours - base, goal, "us"
    )


def _chunks(meter: Payi) -> list[Row]:
    """Measure what standing in a stream adds to a chunk: a prepared stream of parsed chunks, with and without us."""
    handle = payi_instrument(meter)
    sync = _per_chunk(_sync_stream)
    asynchronous = _per_chunk(_async_stream)
    handle.uninstrument()
    return [
        Row("added per stream chunk, sync", *_texts(sync), (sync[1] - sync[0]) * 1e6, 0.5, "us"),
        Row("added per stream chunk, async", *_texts(asynchronous), (asynchronous[1] - asynchronous[0]) * 1e6, 1, "us"),
    ]


def _texts(pair: tuple[float, float]) -> tuple[str, str]:
    return f"{pair[0] * 1e6:.2f} us", f"{pair[1] * 1e6:.2f} us"


def _per_chunk(read: Callable[[bool], float]) -> tuple[float, float]:
    pairs = [(read(False), read(True)) for _ in range(25)][5:]
    base, ours = zip(*pairs, strict=True)
    return statistics.median(base), statistics.median(ours)


def _parsed() -> list[Any]:
    from openai.types.chat import ChatCompletionChunk

    head = {"id": "chatcmpl-2", "object": "chat.completion.chunk", "created": 1, "model": "gpt-4o"}
    delta = [{"index": 0, "delta": {"content": "word "}, "finish_reason": None}]
    return [ChatCompletionChunk.model_validate({**head, "choices": delta, "usage": None}) for _ in range(_CHUNKS)]


def _sync_stream(metered: bool) -> float:
    """Return seconds per chunk of a stream whose chunks are parsed already, so that the SDK's own cost hides nothing."""
    client = _sync_client()
    chunks = _parsed()

    def inner() -> Iterator[Any]:
        yield from chunks

    with track_context(user_id="u"):
        stream = (client if metered else _bare(client)).chat.completions.create(**_QUESTION, stream=True)
    if metered:
        stand = stream._iterator
        stand._next = inner().__next__
    else:
        stream._iterator = inner()
    next(stream)  # opening and ending a stream are not its chunks' cost
    begin = time.perf_counter()
    for _ in range(_TIMED):
        next(stream)
    return (time.perf_counter() - begin) / _TIMED


def _async_stream(metered: bool) -> float:
    """Return seconds per chunk, as the sync twin does."""
    import asyncio

    client = _async_client()
    chunks = _parsed()

    async def inner() -> AsyncIterator[Any]:
        for chunk in chunks:
            yield chunk

    async def run() -> float:
        with track_context(user_id="u"):
            stream = await (client if metered else _bare(client)).chat.completions.create(**_QUESTION, stream=True)
        if metered:
            stream._iterator._next = inner().__anext__
        else:
            stream._iterator = inner()
        await anext(stream)
        begin = time.perf_counter()
        for _ in range(_TIMED):
            await anext(stream)
        return (time.perf_counter() - begin) / _TIMED

    return asyncio.run(run())


def _bare(client: Any) -> Any:
    """Return the client with the SDK's own function, under our wrapper."""
    client.request = type(client).request.__wrapped__.__get__(client)
    return client
