"""What metering adds to an OpenAI call, a chat completion and a response: sync, async, and each chunk of a stream.

The real SDK over an in-memory transport, so that the provider costs nothing. Blocks of calls take turns in one run: plain,
followed by the raw statements of an ingest and nothing else (the floor), and metered. Figures are differences of medians to
the plain ones: those suffer from our cold caches too, less than when single calls take turns.
"""

from __future__ import annotations

import importlib
import json
import statistics
import tempfile
import time
from dataclasses import dataclass
from functools import partial
from itertools import cycle, islice
from typing import TYPE_CHECKING, Any

import httpx2
import openai
from bench_ingest import RawLedger
from measure import Row, alternating, alternating_async

from payi_instrument import AsyncPayi, Payi, payi_instrument, track, track_context

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

_BLOCKS, _COUNT = 15, 60
_CHUNKS, _PARSED = 2000, 16
_TIMED = _CHUNKS - 10


@dataclass(frozen=True)
class _Wire:
    """One endpoint: how it is called, what it answers, and a piece of a streamed answer."""

    name: str
    question: dict[str, Any]
    answer: dict[str, Any]
    piece: dict[str, Any]
    piece_type: str

    def create(self, client: Any, **more: Any) -> Any:
        return (client.chat.completions if self.name == "chat" else client.responses).create(**self.question, **more)

    def pieces(self) -> Iterator[Any]:
        """Return the pieces of a stream, parsed already, so that the SDK's own cost hides nothing.

        A few of them come again and again: each is in the processor's cache, as one that the SDK has just parsed is.
        """
        module, _, name = self.piece_type.rpartition(".")
        model = getattr(importlib.import_module(module), name)
        return islice(cycle([model.model_validate(self.piece) for _ in range(_PARSED)]), _CHUNKS)


_CHAT = _Wire(
    "chat",
    {"model": "gpt-4o", "messages": [{"role": "user", "content": "Why is the sky blue?"}]},
    {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "gpt-4o-2024-08-06",
        "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Rayleigh."}}],
        "usage": {"prompt_tokens": 13, "completion_tokens": 5, "total_tokens": 18},
    },
    {
        "id": "chatcmpl-2",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "gpt-4o",
        "choices": [{"index": 0, "delta": {"content": "word "}, "finish_reason": None}],
        "usage": None,
    },
    "openai.types.chat.ChatCompletionChunk",
)
_MESSAGE = {
    "id": "msg_1",
    "type": "message",
    "status": "completed",
    "role": "assistant",
    "content": [{"type": "output_text", "text": "Rayleigh.", "annotations": []}],
}
_RESPONSES = _Wire(
    "responses",
    {"model": "gpt-4o", "input": "Why is the sky blue?"},
    {
        "id": "resp_1",
        "object": "response",
        "created_at": 1,
        "status": "completed",
        "model": "gpt-4o-2024-08-06",
        "output": [_MESSAGE],
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "usage": {
            "input_tokens": 13,
            "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
            "output_tokens": 5,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": 18,
        },
    },
    {
        "type": "response.output_text.delta",
        "item_id": "msg_1",
        "output_index": 0,
        "content_index": 0,
        "sequence_number": 4,
        "logprobs": [],
        "delta": "word ",
    },
    "openai.types.responses.ResponseTextDeltaEvent",
)


def _respond(request: httpx2.Request) -> httpx2.Response:
    wire = _CHAT if request.url.path.endswith("/chat/completions") else _RESPONSES
    return httpx2.Response(200, content=_BODIES[wire.name], headers={"content-type": "application/json"})


_BODIES = {wire.name: json.dumps(wire.answer).encode() for wire in (_CHAT, _RESPONSES)}


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
        for wire in (_CHAT, _RESPONSES):
            found.append(_sync(wire, meter, raw))
            found.append(_async(wire, AsyncPayi(base_url=url), raw))
            found += _chunks(wire, meter)
        meter.close()
    return found


def _sync(wire: _Wire, meter: Payi, raw: RawLedger) -> Row:
    plain, metered = _sync_client(), _sync_client()
    handle = payi_instrument(meter)

    @track(limit_ids=["m"], user_id="u", use_case_name="bench")
    def call() -> None:
        wire.create(metered)

    _bare(plain)

    def base_call() -> None:
        wire.create(plain)

    def floor_call() -> None:
        base_call()
        raw.ingest()

    times = alternating([base_call, floor_call, call], blocks=_BLOCKS, count=_COUNT)
    handle.uninstrument()
    return _row(f"added per call, {wire.name}, inline, sync", times, 200)


def _async(wire: _Wire, meter: AsyncPayi, raw: RawLedger) -> Row:
    plain, metered = _async_client(), _async_client()
    handle = payi_instrument(meter)

    @track(limit_ids=["m"], user_id="u", use_case_name="bench")
    async def call() -> None:
        await wire.create(metered)

    _bare(plain)

    async def base_call() -> None:
        await wire.create(plain)

    async def floor_call() -> None:
        await base_call()
        raw.ingest()

    times = alternating_async([base_call, floor_call, call], blocks=_BLOCKS, count=_COUNT)
    handle.uninstrument()
    return _row(f"added per call, {wire.name}, inline, async", times, 350)


def _row(what: str, times: list[float], goal: float) -> Row:
    base, floor, ours = (time * 1e6 for time in times)
    return Row(
        f"{what} (plain {base:.0f} us)", f"{floor - base:.0f} us", f"{ours - base:.0f} us", ours - base, goal, "us"
    )


def _chunks(wire: _Wire, meter: Payi) -> list[Row]:
    """Measure what standing in a stream adds to a chunk: a prepared stream of parsed chunks, with and without us."""
    handle = payi_instrument(meter)
    sync = _per_chunk(partial(_sync_stream, wire))
    asynchronous = _per_chunk(partial(_async_stream, wire))
    handle.uninstrument()
    return [
        Row(f"added per chunk, {wire.name}, sync", *_texts(sync), _added(sync), 0.5, "us"),
        Row(f"added per chunk, {wire.name}, async", *_texts(asynchronous), _added(asynchronous), 1, "us"),
    ]


def _added(pair: tuple[float, float]) -> float:
    return (pair[1] - pair[0]) * 1e6


def _texts(pair: tuple[float, float]) -> tuple[str, str]:
    return f"{pair[0] * 1e6:.2f} us", f"{pair[1] * 1e6:.2f} us"


def _per_chunk(read: Callable[[bool], float]) -> tuple[float, float]:
    pairs = [(read(False), read(True)) for _ in range(25)][5:]
    base, ours = zip(*pairs, strict=True)
    return statistics.median(base), statistics.median(ours)


def _sync_stream(wire: _Wire, metered: bool) -> float:
    """Return seconds per chunk."""
    client = _sync_client()
    chunks = wire.pieces()

    def inner() -> Iterator[Any]:
        yield from chunks

    with track_context(user_id="u"):
        stream = wire.create(client if metered else _bare(client), stream=True)
    if metered:
        stand = stream._iterator
        stand._next = inner().__next__
    else:
        stream._iterator = inner()
    next(stream)  # opening and ending a stream are not its chunks' cost
    begin = time.perf_counter()
    for _ in range(_TIMED):
        next(stream)
    took = time.perf_counter() - begin
    stream.close()
    return took / _TIMED


def _async_stream(wire: _Wire, metered: bool) -> float:
    """Return seconds per chunk, as the sync twin does."""
    import asyncio

    client = _async_client()
    chunks = wire.pieces()

    async def inner() -> AsyncIterator[Any]:
        for chunk in chunks:
            yield chunk

    async def run() -> float:
        with track_context(user_id="u"):
            stream = await wire.create(client if metered else _bare(client), stream=True)
        if metered:
            stream._iterator._next = inner().__anext__
        else:
            stream._iterator = inner()
        await anext(stream)
        begin = time.perf_counter()
        for _ in range(_TIMED):
            await anext(stream)
        took = time.perf_counter() - begin
        await stream.close()
        return took / _TIMED

    return asyncio.run(run())


def _bare(client: Any) -> Any:
    """Return the client with the SDK's own function, under our wrapper."""
    client.request = type(client).request.__wrapped__.__get__(client)
    return client
