"""Every form in which the openai SDK makes a chat completion, as the conformance suite runs them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx2
import openai
from pydantic import BaseModel
from sdks import Form, Sdk

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from openai import AsyncOpenAI, OpenAI

    from examples.openai_standin import StandIn


class Sum(BaseModel):
    number: int


def completions(client: OpenAI | AsyncOpenAI) -> Any:
    return client.chat.completions


def once(answer: Any) -> Iterator[Any]:
    yield answer


async def aonce(answer: Any) -> AsyncIterator[Any]:
    yield answer


def read_raw(answer: Any) -> Iterator[Any]:
    yield answer.content
    yield answer.headers["x-request-id"]
    yield answer.parse()


async def aread_raw(answer: Any) -> AsyncIterator[Any]:
    for item in read_raw(answer):
        yield item


def iterate(answer: Any) -> Iterator[Any]:
    yield from answer


async def aiterate(answer: Any) -> AsyncIterator[Any]:
    async for item in answer:
        yield item


FORMS = (
    Form("plain", lambda client, ask: completions(client).create(**ask), once, aonce),
    Form("parse", lambda client, ask: completions(client).parse(**ask, response_format=Sum), once, aonce),
    Form(
        "stream",
        lambda client, ask: completions(client).create(**ask, stream=True),
        iterate,
        aiterate,
        in_pieces=True,
    ),
    Form(
        "stream helper",
        lambda client, ask: completions(client).stream(**ask, response_format=Sum),
        iterate,
        aiterate,
        in_pieces=True,
    ),
    Form("raw", lambda client, ask: completions(client).with_raw_response.create(**ask), read_raw, aread_raw),
    Form(
        "raw stream",
        lambda client, ask: completions(client).with_raw_response.create(**ask, stream=True),
        lambda answer: iterate(answer.parse()),
        lambda answer: aiterate(answer.parse()),
        in_pieces=True,
    ),
    Form(
        "streaming",
        lambda client, ask: completions(client).with_streaming_response.create(**ask),
        lambda answer: answer.iter_lines(),
        lambda answer: answer.iter_lines(),
        read_later=True,
    ),
    Form(
        "streaming stream",
        lambda client, ask: completions(client).with_streaming_response.create(**ask, stream=True),
        lambda answer: answer.iter_bytes(100),
        lambda answer: answer.iter_bytes(100),
        in_pieces=True,
        of_bytes=True,
    ),
)


def seen(items: list[Any]) -> list[Any]:
    """Return what a caller can tell of what was read: bytes joined, objects with all that they show."""
    if items and all(isinstance(item, bytes) for item in items):
        return [b"".join(items)]
    return [(type(item), shown(item)) for item in items]


def shown(item: Any) -> Any:
    if not isinstance(item, BaseModel):
        return repr(item)
    return item, repr(item), item.model_dump(warnings=False), item.model_dump_json(warnings=False)


def client_for(standin: StandIn) -> OpenAI:
    return openai.OpenAI(base_url=standin.url, api_key="k", max_retries=0, http_client=httpx2.Client(verify=False))


def async_client_for(standin: StandIn) -> AsyncOpenAI:
    http = httpx2.AsyncClient(verify=False)
    return openai.AsyncOpenAI(base_url=standin.url, api_key="k", max_retries=0, http_client=http)


def unreachable(client: Any) -> Any:
    return client.with_options(base_url="http://127.0.0.1:9/v1")


OPENAI = Sdk(
    name="openai",
    forms=FORMS,
    client=client_for,
    async_client=async_client_for,
    unreachable=unreachable,
    ask={
        "model": "gpt-4o",
        "messages": [{"role": "user", "content": "What is two and two?"}],
        "stream_options": {"include_obfuscation": False},
        "extra_headers": {"xProxy-User-ID": "ada", "X-Own": "kept"},
    },
    text='{"number": 4}',
    units={"text": (1200, 400)},
    seen=seen,
)
