"""The bytes of a raw response: read in any way, they are the provider's own, and the call ends once. Shape 8, P-22."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import openai
import pytest
from offline_openai import httpx

from payi_instrument.testing import MemoryMeter, metered

if TYPE_CHECKING:
    from collections.abc import Iterator

    from openai import AsyncOpenAI, OpenAI

    from examples.openai_standin import StandIn

ASK: dict[str, Any] = {"model": "gpt-4o", "messages": [{"role": "user", "content": "What is two and two?"}]}
WHOLE = {"text": (1200, 400)}


def one(meter: MemoryMeter, *, estimated: bool = False) -> None:
    [event] = meter.events
    assert ("system.estimated" in event.properties) == estimated
    assert (event.http_status_code, event.units == WHOLE) == (200, not estimated)


def test_bytes_come_in_the_sizes_that_were_asked_for(sdk: OpenAI, standin: StandIn, meter: MemoryMeter) -> None:
    standin.reply.nulls = False
    with sdk.chat.completions.with_streaming_response.create(**ASK, stream=True) as response:
        pieces = list(response.iter_bytes(64))
    assert {len(piece) for piece in pieces[:-1]} == {64}
    assert b"usage" not in b"".join(pieces)
    assert b"".join(pieces).endswith(b"data: [DONE]\n\n")
    one(meter)


def test_bytes_that_were_read_may_be_read_again(sdk: OpenAI, standin: StandIn, meter: MemoryMeter) -> None:
    with sdk.chat.completions.with_streaming_response.create(**ASK) as response:
        body = response.read()
        assert b"".join(response.iter_bytes()) == body == response.http_response.content
        assert response.parse().choices[0].message.content == standin.reply.text
    one(meter)


async def test_bytes_that_were_read_may_be_read_again_awaited(asdk: AsyncOpenAI, meter: MemoryMeter) -> None:
    async with asdk.chat.completions.with_streaming_response.create(**ASK) as response:
        body = await response.read()
        assert b"".join([piece async for piece in response.iter_bytes()]) == body
        assert (await response.json())["usage"]["total_tokens"] == 1600  # type: ignore[index]
    one(meter)


async def test_leaving_the_bytes_of_a_response_closes_it_where_the_http_library_does(asdk: AsyncOpenAI) -> None:
    async def leave() -> bool:
        raw = await asdk.chat.completions.with_raw_response.create(**ASK, stream=True)
        pieces = raw.http_response.aiter_bytes(50)
        await anext(pieces)
        await pieces.aclose()  # type: ignore[attr-defined]
        return raw.http_response.is_closed

    closes = await leave()
    with metered() as meter:
        assert await leave() is closes
        one(meter, estimated=True)


def test_what_had_come_of_an_event_when_the_connection_broke_is_the_callers(meter: MemoryMeter) -> None:
    class Pieces(httpx.SyncByteStream):
        def __iter__(self) -> Iterator[bytes]:
            yield b'data: {"choices": []}\n\ndata: {"cho'
            raise httpx.ReadError("reset")

    transport = httpx.MockTransport(lambda _: httpx.Response(200, stream=Pieces()))
    with (
        openai.OpenAI(base_url="http://host/v1", api_key="k", http_client=httpx.Client(transport=transport)) as client,
        client.chat.completions.with_streaming_response.create(**ASK, stream=True) as response,
    ):
        pieces = response.iter_bytes()
        assert next(pieces) + next(pieces) == b'data: {"choices": []}\n\ndata: {"cho'
        with pytest.raises(httpx.ReadError):
            next(pieces)
    assert meter.events[0].http_status_code == 299


def test_an_answer_that_was_read_in_part_is_estimated(sdk: OpenAI, meter: MemoryMeter) -> None:
    with sdk.chat.completions.with_streaming_response.create(**ASK) as response:
        next(response.iter_bytes(10))
    one(meter, estimated=True)


def test_a_raw_answer_shows_its_result_and_parses_as_ever(sdk: OpenAI, meter: MemoryMeter) -> None:
    raw = sdk.chat.completions.with_raw_response.create(**ASK)
    assert raw.xproxy_result.cost.total.base == 0.007
    assert raw.parse() is raw.parse()
    assert raw.parse().to_dict() == raw.http_response.json()
    one(meter)


def test_a_second_reader_ends_nothing_for_the_first(sdk: OpenAI, standin: StandIn, meter: MemoryMeter) -> None:
    standin.reply.nulls = False
    with sdk.chat.completions.with_streaming_response.create(**ASK, stream=True) as response:
        lines = response.iter_lines()
        first = next(lines)
        with pytest.raises(Exception, match=r"(?i)stream"):
            response.read()
        assert b"usage" not in "".join([first, *lines]).encode()
    one(meter)


async def test_a_second_reader_ends_nothing_for_the_first_awaited(asdk: AsyncOpenAI, meter: MemoryMeter) -> None:
    async with asdk.chat.completions.with_streaming_response.create(**ASK, stream=True) as response:
        lines = response.iter_lines()
        await anext(lines)
        with pytest.raises(Exception, match=r"(?i)stream"):
            await response.read()
        assert len([line async for line in lines]) > 3
    one(meter)
