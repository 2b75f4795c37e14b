"""How calls of the openai SDK are metered: what is asked for, what is estimated, whose call it is.

Rows P-1 to P-3, P-5, P-8 and P-24.
"""

from __future__ import annotations

import importlib
import json
import tracemalloc
from enum import Enum
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import openai
import pytest
from offline_openai import httpx
from openai.types.chat import ChatCompletionChunk
from openai_answers import ANSWERS, response
from pydantic import BaseModel
from sampled import load

from examples.openai_standin import Reply
from payi_instrument import track_context
from payi_instrument.providers._estimate import estimate_tokens
from payi_instrument.testing import metered

if TYPE_CHECKING:
    from openai import OpenAI

    from examples.openai_standin import StandIn
    from payi_instrument.testing import MemoryMeter

ASK: dict[str, Any] = {"model": "gpt-4o", "messages": [{"role": "user", "content": "How many apples remain?"}]}
CHUNKS = load("openai/chat")["streams"][0]["chunks"]
TEXTS = load("texts")["texts"]


def used(inputs: str, outputs: str) -> dict[str, Any]:
    """The usage of the rows: 1000 in, 400 of them cached, and 300 out, 100 of them thoughts."""
    return {
        f"{inputs}_tokens": 1000,
        f"{inputs}_tokens_details": {"cached_tokens": 400},
        f"{outputs}_tokens": 300,
        f"{outputs}_tokens_details": {"reasoning_tokens": 100},
        "total_tokens": 1300,
    }


UNITS = {"text": (600, 200), "text_cache_read": (400, 0), "reasoning": (0, 100)}


def test_p1_a_chat_with_cached_tokens_and_thoughts(sdk: OpenAI, standin: StandIn, meter: MemoryMeter) -> None:
    standin.reply.usage = used("prompt", "completion")
    sdk.chat.completions.create(**ASK)

    assert [event.units for event in meter.events] == [UNITS]


def test_p2_a_response_with_cached_tokens_and_thoughts(sdk: OpenAI, standin: StandIn, meter: MemoryMeter) -> None:
    ask: Any = {"model": "gpt-5", "input": "How many apples remain?"}
    standin.answers["/responses"] = lambda *_: {**response(Reply(), ask), "usage": used("input", "output")}
    sdk.responses.create(**ask)

    assert [(event.resource, event.units) for event in meter.events] == [("gpt-5", UNITS)]


def test_p3_embeddings(sdk: OpenAI, standin: StandIn, meter: MemoryMeter) -> None:
    standin.answers |= ANSWERS
    sdk.embeddings.create(model="text-embedding-3-large", input=["two", "and two"])

    assert [event.units for event in meter.events] == [{"text": (1200, 0)}]


def test_p5_a_caller_who_asked_for_usage_gets_it_with_the_options_as_they_were(
    sdk: OpenAI, standin: StandIn, meter: MemoryMeter
) -> None:
    options: Any = {"include_usage": True, "include_obfuscation": False}
    chunks = list(sdk.chat.completions.create(**ASK, stream=True, stream_options=options))

    assert standin.requests[-1].body["stream_options"] == options
    assert chunks[-1].usage is not None
    assert [event.units for event in meter.events] == [{"text": (1200, 400)}]


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
def test_p8_tool_calls_are_recorded(sdk: OpenAI, standin: StandIn, meter: MemoryMeter, stream: bool) -> None:
    function = {"name": "count", "arguments": '{"of": "apples"}'}
    standin.reply.tool_calls = [{"id": "c1", "type": "function", "function": function}]
    with track_context(log_prompt_and_response=True):
        answer: Any = sdk.chat.completions.create(**ASK, stream=stream)
        if stream:
            list(answer)

    assert [event.function_calls for event in meter.events] == [[("count", '{"of": "apples"}')]]


@pytest.mark.parametrize("text", [pytest.param(text, id=text["name"]) for text in TEXTS])
def test_an_estimate_is_right_within_a_half(text: dict[str, Any]) -> None:
    assert text["tokens"] / 2 <= estimate_tokens([text["text"]]) <= text["tokens"] * 1.5


def test_an_estimate_of_a_long_text_grows_with_it() -> None:
    text = TEXTS[0]["text"]
    assert estimate_tokens([]) == estimate_tokens([""]) == 0
    assert estimate_tokens([text * 1000]) == pytest.approx(1000 * estimate_tokens([text]), rel=0.02)


def test_p24_an_estimate_needs_no_tokenizer() -> None:
    import sys

    estimate_tokens(["How many?"])
    assert "tiktoken" not in sys.modules


def test_images_tools_and_earlier_calls_count_in_an_estimate(sdk: OpenAI, standin: StandIn, meter: MemoryMeter) -> None:
    standin.reply.usage = None
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}
    call = {"id": "c1", "type": "function", "function": {"name": "get_weather", "arguments": '{"city": "Oslo"}'}}
    tool = {"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object"}}}
    asked: list[list[Any]] = [
        [{"role": "user", "content": "See this"}],
        [{"role": "user", "content": [{"type": "text", "text": "See this"}, image]}],
        [{"role": "user", "content": "See this"}, {"role": "assistant", "tool_calls": [call]}],
    ]

    for messages in asked:
        sdk.chat.completions.create(model="gpt-4o", messages=messages)
    sdk.chat.completions.create(model="gpt-4o", messages=asked[0], tools=[tool])

    plain, with_image, with_call, with_tools = (event.units["text"][0] for event in meter.events)
    assert with_image == plain + 765
    assert plain < with_call < plain + 30
    assert plain < with_tools < plain + 60


class Apples(BaseModel):
    remain: int


@pytest.mark.parametrize(
    ("finish", "failure"),
    [
        ("length", "LengthFinishReasonError"),
        ("content_filter", "ContentFilterFinishReasonError"),
        ("stop", "ValidationError"),
    ],
)
def test_an_answer_that_the_sdk_refuses_to_parse_is_billed_all_the_same(
    sdk: OpenAI, standin: StandIn, meter: MemoryMeter, finish: str, failure: str
) -> None:
    choice = {"index": 0, "message": {"role": "assistant", "content": "four"}, "finish_reason": finish}
    usage = {"prompt_tokens": 50, "completion_tokens": 9, "total_tokens": 59}
    head = {"id": "chatcmpl-cut", "object": "chat.completion", "created": 1, "model": "gpt-4o"}
    standin.reply.body = {**head, "choices": [choice], "usage": usage}

    with pytest.raises(Exception, match=r".") as caught:
        sdk.chat.completions.parse(**ASK, response_format=Apples)

    [event] = meter.events
    assert type(caught.value).__name__ == failure == event.properties["system.failure"]
    assert (event.units, event.http_status_code) == ({"text": (50, 9)}, 299)
    assert event.provider_response_id == "chatcmpl-cut"
    assert "system.failure.description" not in event.properties  # it quotes the answer, and logging is off


@pytest.mark.parametrize("status", [400, 422])
def test_a_host_that_refuses_our_request_for_usage_is_asked_again_without_it(
    sdk: OpenAI, standin: StandIn, meter: MemoryMeter, status: int
) -> None:
    standin.reply.refuses_usage = status
    for _ in range(2):
        assert len(list(sdk.chat.completions.create(**ASK, stream=True))) == 6

    assert ["stream_options" in request.body for request in standin.requests] == [True, False, False]
    assert [event.http_status_code for event in meter.events] == [200, 200]
    assert all("system.estimated" in event.properties for event in meter.events)


def test_a_host_that_quotes_what_it_refuses_is_asked_for_usage_all_the_same(
    sdk: OpenAI, standin: StandIn, meter: MemoryMeter
) -> None:
    quoted = "temperature must be at most 2; input: {'stream': True, 'stream_options': {'include_usage': True}}"
    standin.reply.status, standin.reply.error = 400, quoted
    with pytest.raises(openai.BadRequestError, match="temperature"):
        sdk.chat.completions.create(**ASK, stream=True, temperature=3)
    standin.reset()
    list(sdk.chat.completions.create(**ASK, stream=True))

    assert [event.http_status_code for event in meter.events] == [400, 200]
    assert meter.events[-1].units == {"text": (1200, 400)}


def test_a_usage_chunk_that_was_not_asked_for_is_the_callers(sdk: OpenAI, standin: StandIn, meter: MemoryMeter) -> None:
    standin.reply.refuses_usage = 400
    list(sdk.chat.completions.create(**ASK, stream=True))
    standin.reply.body = CHUNKS

    assert len(list(sdk.chat.completions.create(**ASK, stream=True))) == len(CHUNKS)
    assert meter.events[-1].units == {"text": (19, 3)}


def test_a_usage_chunk_that_bears_an_error_is_the_callers_too(
    sdk: OpenAI, standin: StandIn, meter: MemoryMeter
) -> None:
    error = {"message": "Provider disconnected", "code": 502}
    standin.reply.body = [*CHUNKS[:2], {**CHUNKS[-1], "error": error}]
    with sdk.chat.completions.with_streaming_response.create(**ASK, stream=True) as response:
        assert json.dumps(error) in "".join(response.iter_lines())

    [event] = meter.events
    assert (event.units, event.properties["system.failure"]) == ({"text": (19, 3)}, "502")


def test_a_refusal_of_the_callers_own_options_is_the_callers(sdk: OpenAI, standin: StandIn, meter: MemoryMeter) -> None:
    standin.reply.refuses_usage = 400
    with pytest.raises(openai.BadRequestError, match="stream_options"):
        sdk.chat.completions.create(**ASK, stream=True, stream_options={"include_usage": True})

    assert len(standin.requests) == 1
    assert [event.http_status_code for event in meter.events] == [400]


@pytest.mark.parametrize("wants", [True, False])
def test_stream_options_in_the_extra_body_are_the_callers_too(
    sdk: OpenAI, standin: StandIn, meter: MemoryMeter, wants: bool
) -> None:
    extra = {"stream_options": {"include_usage": wants, "include_obfuscation": False}, "top_k": 3}
    chunks = list(sdk.chat.completions.create(**ASK, stream=True, extra_body=extra))

    assert standin.requests[0].body["stream_options"] == {"include_usage": True, "include_obfuscation": False}
    assert standin.requests[0].body["top_k"] == 3
    assert (chunks[-1].usage is not None) == wants
    assert extra["stream_options"]["include_usage"] is wants
    assert meter.events[0].units == {"text": (1200, 400)}


ANY_BODY = {"model": "gpt-4o", "stream": True, "messages": [{"role": "user", "content": "What is two and two?"}]}


@pytest.mark.parametrize(
    ("given", "is_asked"),
    [
        ({"body": ANY_BODY}, True),
        ({"body": MappingProxyType(ANY_BODY)}, True),
        ({"body": {}, "options": {"extra_json": {**ANY_BODY, "store": openai.NOT_GIVEN}}}, True),
        ({"body": json.dumps(ANY_BODY).encode()}, False),
        ({"content": json.dumps(ANY_BODY).encode()}, False),
        ({"options": {"extra_json": ANY_BODY}}, False),
    ],
    ids=["dict", "mapping", "extra", "bytes", "content", "extra alone"],
)
def test_a_stream_s_body_is_sent_as_the_sdk_would_whatever_it_is(
    sdk: OpenAI, standin: StandIn, given: dict[str, Any], is_asked: bool
) -> None:
    def post() -> tuple[Any, list[Any]]:
        try:
            chunks = sdk.post(
                "/chat/completions",
                cast_to=ChatCompletionChunk,
                stream=True,
                stream_cls=openai.Stream[ChatCompletionChunk],
                **given,
            )
            return standin.requests[-1].body, list(chunks)
        except Exception as error:  # noqa: BLE001  # this SDK does not take such a body
            return type(error), []

    plain, chunks = post()
    with metered() as meter:
        body, same = post()
    if chunks and is_asked:
        assert body == {**plain, "stream_options": {"include_usage": True}}
        assert meter.events[-1].units == {"text": (1200, 400)}
    else:
        assert body == plain
    assert same == chunks


def test_the_azure_client_is_its_own_category(standin: StandIn, meter: MemoryMeter) -> None:
    with openai.AzureOpenAI(
        azure_endpoint=standin.url.removesuffix("/v1"), api_key="k", api_version="2024-10-21", max_retries=0
    ) as azure:
        list(azure.chat.completions.create(**ASK, stream=True))

    assert standin.requests[0].path == "/openai/deployments/gpt-4o/chat/completions?api-version=2024-10-21"
    [event] = meter.events
    assert (event.category, event.resource, event.units) == ("system.azureopenai", "gpt-4o", {"text": (1200, 400)})


class Insistent(openai.OpenAI):
    """A user's own client that tries once more."""

    def request(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return super().request(*args, **kwargs)
        except openai.RateLimitError:
            return super().request(*args, **kwargs)


def test_a_subclass_that_calls_twice_makes_two_events(standin: StandIn, meter: MemoryMeter) -> None:
    standin.reply.status = 429
    with Insistent(base_url=standin.url, api_key="k", max_retries=0) as client, pytest.raises(openai.RateLimitError):
        client.chat.completions.create(**ASK)

    assert [event.http_status_code for event in meter.events] == [429, 429]


def test_retries_inside_the_sdk_are_one_call(sdk: OpenAI, standin: StandIn, meter: MemoryMeter) -> None:
    standin.reply.status = 429
    with pytest.raises(openai.RateLimitError):
        sdk.with_options(max_retries=1).chat.completions.create(**ASK, extra_headers={"x-stainless-retry-count": "0"})

    assert len(standin.requests) == 2
    assert len(meter.events) == 1


@pytest.mark.parametrize("library", ["httpx", "httpx2"])
def test_a_client_over_either_http_library_is_metered(standin: StandIn, meter: MemoryMeter, library: str) -> None:
    try:
        client = openai.OpenAI(base_url=standin.url, api_key="k", http_client=importlib.import_module(library).Client())
    except TypeError as refusal:
        pytest.skip(str(refusal))
    with client:
        list(client.chat.completions.create(**ASK, stream=True))
        with client.chat.completions.with_streaming_response.create(**ASK) as response:
            assert response.parse().choices[0].message.content == standin.reply.text

    assert [event.units for event in meter.events] == [{"text": (1200, 400)}] * 2


def test_other_operations_pass_unmetered(meter: MemoryMeter) -> None:
    def answer(_: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json={"object": "list", "data": []})

    with openai.OpenAI(
        base_url="http://host/v1", api_key="k", http_client=httpx.Client(transport=httpx.MockTransport(answer))
    ) as client:
        assert client.models.list().data == []

    assert meter.events == []


def test_instruments_choose_what_is_metered(sdk: OpenAI, standin: StandIn) -> None:
    with metered(instruments={"system.anthropic"}) as meter:
        sdk.chat.completions.create(**ASK)
        assert meter.events == []
    with metered(instruments={"system.openai"}) as meter:
        sdk.chat.completions.create(**ASK)
        assert len(meter.events) == 1


@pytest.mark.parametrize(
    "cast_to", [dict[str, Any], object, str, httpx.Response], ids=["dict", "object", "str", "http"]
)
def test_an_answer_that_is_asked_for_by_hand_is_metered_whatever_its_type(
    sdk: OpenAI, meter: MemoryMeter, cast_to: Any
) -> None:
    answer = sdk.post("/chat/completions", cast_to=cast_to, body=ASK)

    assert answer
    [event] = meter.events
    assert (event.resource, event.units) == ("gpt-4o", {"text": (1200, 400)})


class Model(str, Enum):  # noqa: UP042  # what programs have that began before StrEnum
    SMALL = "gpt-4o-mini"


def test_a_model_may_be_a_member_of_an_enumeration(sdk: OpenAI, meter: MemoryMeter) -> None:
    sdk.chat.completions.create(model=Model.SMALL, messages=ASK["messages"])

    [event] = meter.events
    assert f"{event.resource}" == "gpt-4o-mini"


class Equal(openai.OpenAI):
    """A client that compares by value, and so can't be the key of anything."""

    __hash__ = None  # type: ignore[assignment]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Equal)


def test_a_client_that_compares_by_value_is_metered(standin: StandIn, meter: MemoryMeter) -> None:
    with Equal(base_url=standin.url, api_key="k") as client:
        client.chat.completions.create(**ASK)
        client.chat.completions.create(**ASK)

    assert [event.provider_uri for event in meter.events] == [f"{standin.url}/"] * 2


def test_odd_stream_options_are_the_providers_to_refuse(sdk: OpenAI, standin: StandIn, meter: MemoryMeter) -> None:
    odd: Any = "include_usage"
    standin.reply.body = CHUNKS
    list(sdk.chat.completions.create(**ASK, stream=True, stream_options=odd))

    assert standin.requests[-1].body["stream_options"] == "include_usage"
    [event] = meter.events
    assert "system.capture_error" not in event.properties


def test_sound_that_is_passed_on_is_not_kept(meter: MemoryMeter) -> None:
    piece = bytes(65_536)

    def speak(_: httpx.Request) -> httpx.Response:
        sound = (piece for _ in range(512))  # 32 MiB
        return httpx.Response(200, headers={"content-type": "audio/mpeg"}, content=sound)

    client = openai.OpenAI(api_key="k", http_client=httpx.Client(transport=httpx.MockTransport(speak)))
    speech: Any = {"model": "tts-1", "voice": "alloy", "input": "Four."}
    with client.audio.speech.with_streaming_response.create(**speech) as answer:
        tracemalloc.start()
        heard = sum(map(len, answer.iter_bytes()))
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()

    [event] = meter.events
    assert event.units == {"characters": (5, 0)}
    assert heard == 512 * 65_536
    assert peak < 4_000_000


def test_an_answer_is_read_whatever_it_is_said_to_be(meter: MemoryMeter) -> None:
    body = json.dumps(load("openai/chat")["answers"][0]["body"]).encode()
    odd = httpx.MockTransport(
        lambda _: httpx.Response(200, headers={"content-type": "application/octet-stream"}, content=body)
    )
    client = openai.OpenAI(api_key="k", http_client=httpx.Client(transport=odd))
    with client.chat.completions.with_streaming_response.create(**ASK) as answer:
        assert b"".join(answer.iter_bytes()) == body

    [event] = meter.events
    assert event.units
    assert "system.capture_error" not in event.properties
