"""Which paths are metered: those that are billed, those whose answer bears a usage, and no other."""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING, Any

import openai
import pytest
from offline_openai import httpx
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from sampled import client_at, load, sdk_has

from payi_instrument import track_context

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from openai import OpenAI

    from examples.openai_standin import StandIn
    from payi_instrument.testing import MemoryMeter

USAGE = {
    "input_tokens": 1000,
    "input_tokens_details": {"cached_tokens": 400},
    "output_tokens": 300,
    "output_tokens_details": {"reasoning_tokens": 100},
    "total_tokens": 1300,
}
UNITS = {"text": (600, 200), "text_cache_read": (400, 0), "reasoning": (0, 100)}
ASK = load("openai/chat")["ask"]
COMPLETION = load("openai/chat")["answers"][0]["body"]


@pytest.fixture
def client(standin: StandIn) -> Iterator[OpenAI]:
    with client_at(standin) as client:
        yield client


def listed(**item: Any) -> dict[str, Any]:
    return {"object": "list", "data": [item], "has_more": False, "first_id": "a", "last_id": "a", "usage": USAGE}


BATCH = {"id": "batch_1", "object": "batch", "status": "completed", "model": "gpt-5", "usage": USAGE}
Passed = tuple[str, Any, "Callable[[OpenAI], Any]"]
PASSED: list[Passed] = [
    ("/moderations", {"id": "m1", "results": [], "usage": USAGE}, lambda ai: ai.moderations.create(input="apples")),
    (
        "/batches",
        BATCH,
        lambda ai: ai.batches.create(completion_window="24h", endpoint="/v1/responses", input_file_id="f"),
    ),
    ("/batches/batch_1", BATCH, lambda ai: ai.batches.retrieve("batch_1")),
    ("/batches/batch_1/cancel", BATCH, lambda ai: ai.batches.cancel("batch_1")),
    ("/batches", listed(**BATCH), lambda ai: ai.batches.list()),
    ("/models", listed(id="gpt-5", object="model"), lambda ai: ai.models.list()),
    ("/models/gpt-5", {"id": "gpt-5", "object": "model", "usage": USAGE}, lambda ai: ai.models.retrieve("gpt-5")),
    ("/models/ft-1", {"id": "ft-1", "deleted": True, "usage": USAGE}, lambda ai: ai.models.delete("ft-1")),
    ("/files", {"id": "f1", "usage": USAGE}, lambda ai: ai.files.create(file=BytesIO(b"{}"), purpose="batch")),
    ("/files/f1/content", b'{"usage": {"total_tokens": 9}}', lambda ai: ai.files.content("f1").read()),
    ("/files/f1", {"id": "f1", "deleted": True}, lambda ai: ai.files.delete("f1")),
    ("/vector_stores", {"id": "vs_1", "usage_bytes": 9, "usage": USAGE}, lambda ai: ai.vector_stores.create(name="a")),
    ("/vector_stores/vs_1/search", listed(file_id="f1"), lambda ai: ai.vector_stores.search("vs_1", query="apples")),
    ("/fine_tuning/jobs", {"id": "ft", "trained_tokens": 9, "usage": USAGE}, lambda ai: ai.fine_tuning.jobs.list()),
    ("/evals", {"id": "ev_1", "usage": USAGE}, lambda ai: ai.post("/evals", cast_to=object, body={})),
    ("/uploads", {"id": "up_1", "usage": USAGE}, lambda ai: ai.post("/uploads", cast_to=object, body={})),
    ("/chat/completions/c1", COMPLETION, lambda ai: ai.chat.completions.retrieve("c1")),
    ("/chat/completions/c1", COMPLETION, lambda ai: ai.chat.completions.update("c1", metadata={"a": "b"})),
    ("/responses/input_tokens", {"input_tokens": 9}, lambda ai: ai.responses.input_tokens.count(input="apples")),
    ("/responses/r1/input_items", listed(id="msg_1", type="message"), lambda ai: ai.responses.input_items.list("r1")),
    ("/responses/r1", {"id": "r1", "deleted": True, "usage": USAGE}, lambda ai: ai.responses.delete("r1")),
    ("/conversations", {"id": "conv_1", "object": "conversation"}, lambda ai: ai.conversations.create()),
    ("/videos", {"id": "v1", "object": "video", "status": "queued"}, lambda ai: ai.post("/videos", cast_to=object)),
    ("/usage", {"usage": USAGE}, lambda ai: ai.get("/usage", cast_to=object)),
]


@pytest.mark.parametrize("passed", PASSED, ids=[f"{at} {path}" for at, (path, *_) in enumerate(PASSED)])
def test_what_is_not_billed_by_the_call_passes_unharmed(
    client: OpenAI, standin: StandIn, meter: MemoryMeter, passed: Passed
) -> None:
    path, body, call = passed
    if path == "/responses/input_tokens" and not sdk_has("responses.input_tokens"):
        pytest.skip("this SDK does not count tokens")
    standin.answers = {path: lambda _reply, _body: body}
    metered = call(client)
    assert meter.events == []
    assert meter.handle is not None
    meter.handle.uninstrument()

    bare = call(client)
    assert (type(metered), repr(metered)) == (type(bare), repr(bare))
    assert standin.requests[0].body == standin.requests[1].body
    assert not hasattr(metered, "xproxy_result")


class Ranked(openai.BaseModel):
    results: list[Any]


@pytest.mark.parametrize("cast_to", [object, dict[str, Any], httpx.Response, Ranked])
@pytest.mark.parametrize(
    "told",
    [
        (USAGE, UNITS),
        ({"total_tokens": 15}, {"text": (15, 0)}),
        ({"prompt_tokens": 5, "completion_tokens": 4}, {"text": (5, 4)}),
        ({"search_units": 1}, None),
        (None, None),
        ("free", None),
    ],
)
def test_a_path_that_nobody_knows_is_metered_when_its_answer_bears_a_usage(
    client: OpenAI, standin: StandIn, meter: MemoryMeter, cast_to: Any, told: tuple[Any, Any]
) -> None:
    usage, units = told
    body = {"model": "rerank-3", "results": [1, 0], **({} if usage is None else {"usage": usage})}
    standin.answers = {"/rerank": lambda _reply, _body: body}
    answer = client.post("/rerank", cast_to=cast_to, body={"model": "rerank-3", "query": "apples"})

    seen = answer.json() if isinstance(answer, httpx.Response) else answer
    assert (seen["results"] if isinstance(seen, dict) else seen.results) == [1, 0]
    assert [event.units for event in meter.events] == ([] if units is None else [units])
    assert all(event.resource == "rerank-3" for event in meter.events)


@pytest.mark.parametrize("path", ["/chatty", "/filesystem", "/evals-2", "/v1/batchesque"])
def test_a_path_that_begins_like_one_of_stored_work_is_not_one(
    client: OpenAI, standin: StandIn, meter: MemoryMeter, path: str
) -> None:
    standin.answers = {path: lambda _reply, _body: {"usage": USAGE}}
    client.post(path, cast_to=object, body={"model": "m"})

    assert [event.units for event in meter.events] == [UNITS]


def test_a_path_that_nobody_knows_may_fail_without_an_event(
    client: OpenAI, standin: StandIn, meter: MemoryMeter
) -> None:
    standin.answers = {"/rerank": lambda _reply, _body: {}}
    standin.reply.status = 500
    with pytest.raises(openai.InternalServerError):
        client.post("/rerank", cast_to=object, body={})

    assert meter.events == []


@pytest.mark.parametrize("body", [b"\x00\x01", "pong", b"", [], [USAGE], 7, "null"])
def test_a_path_that_nobody_knows_may_answer_anything(
    client: OpenAI, standin: StandIn, meter: MemoryMeter, body: Any
) -> None:
    standin.answers = {"/ping": lambda _reply, _body: body}
    response = client.post("/ping", cast_to=httpx.Response, body={})
    client.post("/ping", cast_to=str, body={})

    assert response.status_code == 200
    assert meter.events == []


@pytest.mark.parametrize("cast_to", [object, dict[str, Any], ChatCompletion, httpx.Response])
def test_a_call_made_by_hand_is_metered_like_any_other(
    client: OpenAI, standin: StandIn, meter: MemoryMeter, cast_to: Any
) -> None:
    standin.reply.body = COMPLETION
    with track_context(log_prompt_and_response=True):
        answer = client.post("/chat/completions", cast_to=cast_to, body=ASK)

    said = answer.json() if isinstance(answer, httpx.Response) else answer
    assert (said.to_dict() if isinstance(said, ChatCompletion) else said) == COMPLETION
    [event] = meter.events
    assert (event.units, event.provider_response_id) == (UNITS, COMPLETION["id"])
    assert event.provider_response_json is not None


def test_a_stream_opened_by_hand_is_metered_like_any_other(
    client: OpenAI, standin: StandIn, meter: MemoryMeter
) -> None:
    standin.reply.body = load("openai/chat")["streams"][0]["chunks"]
    ask = {**ASK, "stream": True}
    stream = client.post(
        "/chat/completions",
        cast_to=ChatCompletionChunk,
        body=ask,
        stream=True,
        stream_cls=openai.Stream[ChatCompletionChunk],
    )

    assert len(list(stream)) == 4
    assert [event.units for event in meter.events] == [{"text": (19, 3)}]
