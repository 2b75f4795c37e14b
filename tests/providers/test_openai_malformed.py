"""Answers that no provider should send: never an error of ours for the caller, always one event. Rows P-23 and P-24."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from sampled import WHOLE, Reading, client_at, load, needs

from payi_instrument import guard
from payi_instrument.testing import metered

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from openai import OpenAI

    from examples.openai_standin import StandIn
    from payi_instrument.event import UsageEvent

METHODS = {
    "chat.completions.create": load("openai/chat")["ask"],
    "responses.create": load("openai/responses")["ask"],
    "responses.compact": load("openai/responses")["ask"],
    "completions.create": load("openai/completions")["ask"],
    "embeddings.create": load("openai/embeddings")["ask"],
    "images.generate": load("openai/images")["ask"],
    "audio.transcriptions.create": load("openai/audio")["ask"],
    "audio.translations.create": load("openai/audio")["ask"],
    "audio.speech.create": load("openai/audio")["speech"],
    "decisions.create": {"model": "gpt-5", "input": "apples", "questions": []},
}
ON_THIS_SDK = [pytest.param(method, marks=needs(method)) for method in METHODS]
ODD: list[Any] = [None, "free", 7, True, [], [None], ["a"], [[]], {"a": 1}, [{"type": ["a"]}]]

pytestmark = pytest.mark.filterwarnings("ignore:deprecated:DeprecationWarning")  # what the SDK says of translations


@pytest.fixture(autouse=True)
def _quiet() -> None:
    guard.raise_errors(False)


@pytest.fixture
def client(standin: StandIn) -> Iterator[OpenAI]:
    with client_at(standin) as client:
        yield client


class Twice:
    """Make calls bare and metered, with the same outcome for the caller, and one event for each."""

    def __init__(self, client: OpenAI, standin: StandIn, method: str) -> None:
        self._standin = standin
        self._reading = Reading(client, {"method": method, "ask": METHODS[method], "unreadable": True})
        self.is_told_by_request = method == "audio.speech.create"

    def whole(self, bodies: Sequence[Any], ways: Sequence[str] = WHOLE) -> Iterator[tuple[Any, UsageEvent]]:
        return self._twice("whole", bodies, ways)

    def pieces(self, bodies: Sequence[Any], ways: Sequence[str] = WHOLE) -> Iterator[tuple[Any, UsageEvent]]:
        return self._twice("pieces", bodies, ways)

    def _twice(self, kind: str, bodies: Sequence[Any], ways: Sequence[str]) -> Iterator[tuple[Any, UsageEvent]]:
        bare = [self._outcome(kind, body, way) for body in bodies for way in ways]
        with metered() as meter:
            for body in bodies:
                for way in ways:
                    before = len(meter.events)
                    assert self._outcome(kind, body, way) == bare.pop(0), (body, way)
                    [event] = meter.events[before:]
                    check_texts(event)
                    yield (body, way), event

    def _outcome(self, kind: str, body: Any, way: str) -> object:
        self._standin.reply.body, self._standin.reply.kind = body if isinstance(body, tuple) else (body, "")
        try:
            return getattr(self._reading, kind)(way)
        except Exception as error:  # noqa: BLE001  # whatever the SDK raises
            return type(error), str(error)


def check_texts(event: UsageEvent) -> None:
    """A name that is none may not get into an event: the meter would refuse it."""
    names = [event.resource, event.provider_response_id, *event.properties.values()]
    names += [name for name, _ in event.function_calls]
    assert all(isinstance(name, str) for name in names)
    assert all(given is None or isinstance(given, str) for _, given in event.function_calls)


def says_so(event: UsageEvent) -> bool:
    return bool({"system.capture_error", "system.failure", "system.estimated"} & event.properties.keys())


def tokens(event: UsageEvent) -> int:
    return sum(map(sum, event.units.values()))


@pytest.mark.parametrize("method", ON_THIS_SDK)
def test_an_answer_that_is_none_is_an_event_that_says_so(client: OpenAI, standin: StandIn, method: str) -> None:
    page = "<html><body>502 Bad Gateway</body></html>"
    jsons = ("", "null", "[]", '"four"', "7", "{}", '{"usage": {"prompt_to', page, b"\xff\xfe\x00\x01")
    bodies = [*((text, "application/json") for text in jsons), (page, "text/html"), ("", "text/plain")]
    twice = Twice(client, standin, method)
    for what, event in twice.whole([*bodies, (b"\xff\xfe\x00\x01", "application/octet-stream")]):
        assert says_so(event) or twice.is_told_by_request, what
        assert event.units == {} or "system.estimated" in event.properties or twice.is_told_by_request, what


@pytest.mark.parametrize("method", ON_THIS_SDK)
def test_no_content_is_an_event_that_says_so(client: OpenAI, standin: StandIn, method: str) -> None:
    standin.reply.status = 204
    twice = Twice(client, standin, method)
    for _, event in twice.whole([None]):
        assert says_so(event) or twice.is_told_by_request


COUNTED = {"id": "a1", "usage": {"input_tokens": 5, "output_tokens": 4}}
MEMBERS = (
    *(
        "usage",
        "choices",
        "output",
        "data",
        "model",
        "id",
        "service_tier",
        "error",
        "x_groq",
        "tool_usage",
        "svg_usage",
    ),
    *("status", "text", "duration", "tools", "background", "object"),
)


@pytest.mark.parametrize(
    "method", ["chat.completions.create", "responses.create", "images.generate", "embeddings.create"]
)
def test_an_odd_member_of_an_answer_costs_nothing_but_itself(client: OpenAI, standin: StandIn, method: str) -> None:
    bodies = [{**COUNTED, member: value} for member in MEMBERS for value in ODD]
    for (body, _), event in Twice(client, standin, method).whole(bodies, ("object", "bytes")):
        assert event.http_status_code == 200
        if body["usage"] == COUNTED["usage"] and event.category == "system.openai":
            assert tokens(event) == 9, body
            assert "system.capture_error" not in event.properties


SAID = ("content", "tool_calls", "function_call", "refusal", "audio", "reasoning", "reasoning_content")
CALLS = [[{"function": None}], [{"function": {"name": 7, "arguments": 7}}], [{"custom": ["a"]}], [{"index": [7]}]]
ITEMS = ("message", "function_call", "web_search_call", "file_search_call", "image_generation_call", "reasoning")
IN_ITEMS = ("content", "name", "arguments", "action", "result", "svg_usage", "summary", "id")
INSIDE: dict[str, Any] = {
    "chat.completions.create": {
        "choices": [
            *ODD,
            *({"message": value} for value in ODD),
            *({"message": {"role": "assistant", name: value}} for name in SAID for value in [*ODD, *CALLS]),
        ]
    },
    "completions.create": {"choices": [*ODD, *({"text": value} for value in ODD)]},
    "responses.create": {
        "status": "completed",
        "output": [*ODD, *({"type": kind, name: value} for kind in ITEMS for name in IN_ITEMS for value in ODD)],
    },
    "images.generate": {"data": ODD},
    "embeddings.create": {"data": ODD},
}


@pytest.mark.parametrize("method", INSIDE)
def test_odd_members_inside_an_answer_cost_nothing_but_themselves(
    client: OpenAI, standin: StandIn, method: str
) -> None:
    counted, uncounted = {**COUNTED, **INSIDE[method]}, {"id": "a1", **INSIDE[method]}
    standin.reply.body = counted
    with metered() as meter:
        for body in (counted, uncounted):
            standin.reply.body = body
            for way in ("raw", "bytes"):
                Reading(client, {"method": method, "ask": METHODS[method], "unreadable": True}).whole(way)

    events = [event for event in meter.events if event.resource == METHODS[method]["model"]]
    for event in events:
        check_texts(event)
        assert "system.capture_error" not in event.properties
    assert {event.units.get("text", (0, 0))[0] for event in events[:2]} in ({5}, {9})
    assert ["system.estimated" in event.properties for event in events] == [False, False, True, True]


GOOD: dict[str, list[Any]] = {
    "chat.completions.create": [
        {"id": "c1", "choices": [{"index": 0, "delta": {"content": "Four"}}]},
        {"id": "c1", "choices": [{"index": 0, "delta": {}}], "usage": {"prompt_tokens": 5, "completion_tokens": 4}},
    ],
    "completions.create": [
        {"id": "c1", "choices": [{"index": 0, "text": "Four"}], "usage": {"prompt_tokens": 5, "completion_tokens": 4}}
    ],
    "responses.create": [
        {"type": "response.output_text.delta", "delta": "Four"},
        {"type": "response.completed", "response": {"id": "r1", "usage": {"input_tokens": 5, "output_tokens": 4}}},
    ],
    "images.generate": [
        {"type": "image_generation.completed", "b64_json": "iVBO", "usage": {"input_tokens": 5, "output_tokens": 4}}
    ],
    "audio.transcriptions.create": [
        {"type": "transcript.text.delta", "delta": "Four"},
        {"type": "transcript.text.done", "text": "Four", "usage": {"input_tokens": 5, "output_tokens": 4}},
    ],
}
KINDS = ("response.output_text.delta", "response.output_item.done", "response.created", "transcript.text.delta")
ODD_CHUNKS: dict[str, list[Any]] = {
    "no objects": [value for value in ODD if not isinstance(value, dict)],
    "odd members": [{name: value} for name in (*MEMBERS[1:7], *MEMBERS[9:], "delta", "item") for value in ODD],
    "odd choices": [{"choices": [value]} for value in ODD],
    "odd deltas": [{"choices": [{"delta": value}]} for value in ODD],
    "odd members of deltas": [{"choices": [{"index": 0, "delta": {name: value}}]} for name in SAID for value in ODD],
    "odd calls": [{"choices": [{"index": 0, "delta": {"tool_calls": value}}]} for value in CALLS],
    "odd events": [
        {"type": kind, name: value}
        for kind in (*KINDS, 7, None)
        for name in ("delta", "item", "response", "output_index")
        for value in ODD
    ],
}


def lines(chunks: Sequence[Any]) -> list[str]:
    return [f"data: {json.dumps(chunk)}" for chunk in chunks]


@pytest.mark.parametrize("method", GOOD)
def test_odd_chunks_cost_nothing_but_themselves(client: OpenAI, standin: StandIn, method: str) -> None:
    bodies = [lines([*chunks, *GOOD[method]]) for chunks in ODD_CHUNKS.values()]
    names = [name for name in ODD_CHUNKS for _ in ("object", "bytes")]
    for name, (_, event) in zip(names, Twice(client, standin, method).pieces(bodies, ("object", "bytes")), strict=True):
        assert event.http_status_code == 200
        assert tokens(event) == 9, name


NOTHING: list[list[str]] = [
    [],
    [": nothing but a comment"],
    ["data: "],
    ["data: four"],
    ['data: {"error": "boom"}'],
    ['data: {"error": {"message": 7, "code": ["a"]}}'],
    ['data: {"usage": {"prompt_to'],
    ["event: error"],
    ["<html><body>502 Bad Gateway</body></html>"],
    ['{"id": "c1", "usage": {"prompt_tokens": 5, "completion_tokens": 4}}'],
]


@pytest.mark.parametrize("method", GOOD)
def test_a_stream_that_says_nothing_is_an_estimate(client: OpenAI, standin: StandIn, method: str) -> None:
    for what, event in Twice(client, standin, method).pieces(NOTHING):
        assert event.properties["system.estimated"] == "true", what
        assert event.units != {}
