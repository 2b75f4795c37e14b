"""One call and its event: what is in it, and what the caller never notices. Rows P-19 to P-25, Q-1, shape 26."""

from __future__ import annotations

import contextlib
import copy
import json
import pickle
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import openai
import pytest

from examples.openai_standin import Reply
from payi_instrument import guard, track_context
from payi_instrument.answers import attach
from payi_instrument.delivery.inline import InlineDelivery
from payi_instrument.providers.openai import provider
from payi_instrument.testing import MemoryMeter, metered

if TYPE_CHECKING:
    from openai import AsyncOpenAI, OpenAI

    from examples.openai_standin import StandIn

ASK: dict[str, Any] = {"model": "gpt-4o", "messages": [{"role": "user", "content": "How many apples remain?"}]}


def test_p25_an_event_says_when_where_and_how_long(sdk: OpenAI, standin: StandIn, meter: MemoryMeter) -> None:
    before = datetime.now(UTC)
    answer = sdk.chat.completions.create(**ASK)
    after = datetime.now(UTC)

    [event] = meter.events
    assert event.event_timestamp is not None
    assert before <= event.event_timestamp <= after
    assert 0 <= (event.end_to_end_latency_ms or 0) <= (after - before).total_seconds() * 1000 + 1
    assert (event.category, event.resource) == ("system.openai", "gpt-4o")
    assert (event.http_status_code, event.provider_uri) == (200, f"{standin.url}/")
    assert event.provider_response_id == answer.id
    assert event.module == f"openai/{openai.__version__}"
    assert event.record_unpriced


def test_q1_the_answer_bears_its_cost_and_limits(sdk: OpenAI, meter: MemoryMeter) -> None:
    meter.client.limits.create(limit_name="Month", limit_id="m", max=10)
    with track_context(limit_ids=["m"]):
        answer: Any = sdk.chat.completions.create(**ASK)

    limit = answer.xproxy_result.limits["m"]
    assert (limit.state, limit.spent, limit.max, limit.stale) == ("ok", 0.007, 10, False)
    assert answer.xproxy_result.cost.total.base == 0.007


def test_p26_the_first_chunk_comes_before_the_first_text_and_that_before_the_end(
    sdk: OpenAI, standin: StandIn, meter: MemoryMeter
) -> None:
    standin.reply.pause = 0.005
    stream = sdk.chat.completions.create(**ASK, stream=True)
    for _ in range(2):  # the role, then the first word
        time.sleep(0.005)
        next(stream)
    time.sleep(0.005)
    list(stream)

    [event] = meter.events
    first, text, end = (
        event.time_to_first_token_ms,
        event.time_to_first_completion_token_ms,
        event.end_to_end_latency_ms,
    )
    assert first is not None
    assert text is not None
    assert end is not None
    assert 0 < first < text < end


def test_each_model_is_metered_as_itself(sdk: OpenAI, standin: StandIn, meter: MemoryMeter) -> None:
    standin.replies["gpt-4o-mini"] = Reply(usage={"prompt_tokens": 2_000_000, "completion_tokens": 0})
    for model in ("gpt-4o", "gpt-4o-mini"):
        sdk.chat.completions.create(**{**ASK, "model": model})

    assert [(event.resource, event.units["text"]) for event in meter.events] == [
        ("gpt-4o", (1200, 400)),
        ("gpt-4o-mini", (2_000_000, 0)),
    ]


def test_the_same_answer_twice_is_two_events(sdk: OpenAI, meter: MemoryMeter) -> None:
    first, second = sdk.chat.completions.create(**ASK), sdk.chat.completions.create(**ASK)

    assert first.id == second.id
    assert len({event.event_id for event in meter.events}) == 2
    assert [answer.xproxy_result.duplicate_request for answer in (first, second)] == [None, None]  # type: ignore[attr-defined]


def test_an_answer_is_copied_and_pickled_with_its_result(sdk: OpenAI) -> None:
    bare = sdk.chat.completions.create(**ASK)
    with metered():
        answer: Any = sdk.chat.completions.create(**ASK)

    for twin in (copy.copy(answer), copy.deepcopy(answer), pickle.loads(pickle.dumps(answer)), answer.model_copy()):
        assert twin == answer == bare
        assert twin.xproxy_result.model_dump() == answer.xproxy_result.model_dump()
        assert twin.to_json() == bare.to_json()
        assert twin.xproxy_result.cost.total.base_exact == answer.xproxy_result.cost.total.base_exact
    assert type(answer) is type(bare)
    assert answer.model_fields_set == bare.model_fields_set
    assert pickle.dumps(answer).count(b"payi_instrument") == 0  # who reads it from a cache may not have it


@dataclass(frozen=True)
class Frozen:
    text: str


class Slotted:
    __slots__ = ("text",)


def test_a_result_is_put_on_what_has_room_for_it() -> None:
    frozen, slotted = Frozen("x"), Slotted()
    for answer in (frozen, slotted, "a plain string", None, 7):
        attach(answer, "result")

    assert frozen.xproxy_result == "result"  # type: ignore[attr-defined]
    assert frozen == Frozen("x")
    assert repr(frozen) == repr(Frozen("x"))
    assert not hasattr(slotted, "xproxy_result")


def test_p22_a_bound_method_and_accessors_taken_before_are_metered(sdk: OpenAI) -> None:
    completions, create = sdk.chat.completions, sdk.chat.completions.create
    raw, streaming = completions.with_raw_response, completions.with_streaming_response
    raw_create = raw.create
    with metered() as meter:
        for call in (
            completions.create,
            create,
            raw.create,
            raw_create,
            sdk.with_options(timeout=9).chat.completions.create,
        ):
            assert call(**ASK).xproxy_result.cost.total.base == 0.007  # type: ignore[union-attr]
        with streaming.create(**ASK) as response:
            response.read()
        assert len(meter.events) == 6
    create(**ASK)
    assert len(meter.events) == 6


async def test_p22_awaited(asdk: AsyncOpenAI) -> None:
    create, raw = asdk.chat.completions.create, asdk.chat.completions.with_raw_response
    pending = create(**ASK)  # attributed where it is awaited
    with metered() as meter, track_context(user_id="ada"):
        await pending
        await raw.create(**ASK)
        assert [event.attribution.user_id for event in meter.events] == ["ada", "ada"]


class Refusing(openai.OpenAI):
    """A user's own client, whose own hook fails."""

    error: BaseException

    def _prepare_options(self, options: Any) -> Any:
        raise self.error


@pytest.mark.parametrize("error", [ValueError("mine"), KeyboardInterrupt(), SystemExit(3), openai.OpenAIError("x")])
def test_p18_the_exception_is_the_very_one_that_was_raised(meter: MemoryMeter, error: BaseException) -> None:
    with Refusing(base_url="http://host/v1", api_key="k") as client:
        client.error = error
        with pytest.raises(type(error)) as caught:
            client.chat.completions.create(**ASK)

    assert caught.value is error
    assert error.__cause__ is error.__context__ is None
    [event] = meter.events
    assert (event.http_status_code, event.units) == (299, {})
    assert event.properties["system.failure"] == type(error).__name__


class Mute(Exception):  # noqa: N818
    def __str__(self) -> str:
        raise RuntimeError("no text")


def test_an_exception_that_cannot_be_shown_is_an_event_all_the_same() -> None:
    guard.raise_errors(False)
    with metered() as meter, Refusing(base_url="http://host/v1", api_key="k") as client:
        client.error = Mute()
        with pytest.raises(Mute):
            client.chat.completions.create(**ASK)
        assert [event.properties["system.failure"] for event in meter.events] == ["Mute"]


def broken(*_: object, **__: object) -> None:
    raise LookupError("our own mistake")


@pytest.mark.parametrize("form", ["plain", "stream", "raw", "failing"])
@pytest.mark.parametrize(
    "part",
    [
        *("read_request", "prepare", "kind", "read_answer", "read_bytes", "read_failure", "reader", "stream_parts"),
        *("response_headers", "parse_chunk", "log_request", "log_answer"),
    ],
)
def test_p23_no_mistake_of_ours_reaches_the_caller(
    sdk: OpenAI, standin: StandIn, monkeypatch: pytest.MonkeyPatch, part: str, form: str
) -> None:
    guard.raise_errors(False)
    monkeypatch.setattr(provider, part, broken)
    with metered(log_prompt_and_response=True) as meter:
        if form == "plain":
            assert sdk.chat.completions.create(**ASK).choices[0].message.content == standin.reply.text
        elif form == "stream":
            chunks = list(sdk.chat.completions.create(**ASK, stream=True))
            text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
            assert text == standin.reply.text
        elif form == "raw":
            with sdk.chat.completions.with_streaming_response.create(**ASK, stream=True) as response:
                assert "data: [DONE]" in list(response.iter_lines())
        else:
            standin.reply.status = 500
            with pytest.raises(openai.InternalServerError):
                sdk.chat.completions.create(**ASK)
        assert len(meter.events) == (0 if part in {"read_request", "prepare"} else 1)


@pytest.mark.parametrize("stream", [False, True])
def test_p23_a_delivery_that_fails_is_not_the_callers_problem(
    sdk: OpenAI, monkeypatch: pytest.MonkeyPatch, stream: bool
) -> None:
    guard.raise_errors(False)
    monkeypatch.setattr(InlineDelivery, "deliver", broken)
    with metered():
        answer: Any = sdk.chat.completions.create(**ASK, stream=stream)
        if stream:
            assert len(list(answer)) == 6


def test_the_log_of_our_mistake_names_the_place_and_no_text(
    sdk: OpenAI, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    guard.raise_errors(False)
    monkeypatch.setattr(provider, "read_answer", broken)
    with metered():
        sdk.chat.completions.create(**ASK)

    assert "could not read an answer's usage: LookupError at" in caplog.text
    assert "test_call.py" in caplog.text
    assert "our own mistake" not in caplog.text


@pytest.mark.parametrize("redact", [broken, lambda _: None, lambda _: {}])
def test_a_redaction_that_fails_leaves_the_texts_out(sdk: OpenAI, redact: Any) -> None:
    guard.raise_errors(False)
    with metered(log_prompt_and_response=True, config={"redact": redact}) as meter:
        sdk.chat.completions.create(**ASK)
        [event] = meter.events

    assert (event.provider_request_json, event.provider_response_json, event.properties) == (None, None, {})
    assert event.units == {"text": (1200, 400)}


def test_redact_sees_and_changes_the_texts(sdk: OpenAI) -> None:
    def redact(texts: dict[str, Any]) -> dict[str, Any]:
        return texts | {"provider_request_json": texts["provider_request_json"].replace("apples", "***")}

    with metered(log_prompt_and_response=True, config={"redact": redact}) as meter:
        sdk.chat.completions.create(**ASK)
        [event] = meter.events

    assert "How many *** remain?" in str(event.provider_request_json)
    assert event.provider_response_json is not None


def test_the_stack_trace_names_the_callers_frames_only(sdk: OpenAI, meter: MemoryMeter) -> None:
    sdk.chat.completions.create(**ASK)
    frames = json.loads(str(meter.events[0].properties["system.stack_trace"]))
    assert frames[0].endswith(":test_the_stack_trace_names_the_callers_frames_only")


def test_without_stack_traces_an_event_has_no_properties_of_ours(sdk: OpenAI) -> None:
    with metered(config={"capture_stack_trace": False}) as meter:
        sdk.chat.completions.create(**ASK)
        assert meter.events[0].properties == {}


def test_p19_inline_data_is_replaced_unless_it_is_wanted(sdk: OpenAI, standin: StandIn) -> None:
    url = "data:image/png;base64,iVBORw0KGgo="
    parts = [{"type": "image_url", "image_url": {"url": url}}, {"type": "input_audio", "input_audio": {"data": "UklG"}}]
    for config, shown in (({}, False), ({"instrument_inline_data": True}, True)):
        with metered(log_prompt_and_response=True, config=config) as meter:
            sdk.chat.completions.create(model="gpt-4o", messages=[{"role": "user", "content": parts}])  # type: ignore[misc, list-item]
            logged = str(meter.events[0].provider_request_json)
        assert (url in logged, "UklG" in logged, "<not_instrumented>" in logged) == (shown, shown, not shown)
        assert standin.requests[-1].body["messages"][0]["content"] == parts


@pytest.mark.parametrize("off", ["argument", "scope", "header"])
@pytest.mark.parametrize("status", [200, 500])
def test_p20_without_logging_an_event_holds_no_text(sdk: OpenAI, standin: StandIn, off: str, status: int) -> None:
    standin.reply.status = status
    headers = {"xProxy-Logging-Disable": "True"} if off == "header" else {}
    with (
        metered(log_prompt_and_response=off != "argument") as meter,
        track_context(log_prompt_and_response=False if off == "scope" else None),
    ):
        with contextlib.suppress(openai.InternalServerError):
            sdk.chat.completions.create(**ASK, extra_headers=headers)
        [event] = meter.events

    assert event.http_status_code == status
    assert event.provider_request_json is event.provider_response_json is None
    assert "apples" not in repr(event)
    assert standin.reply.error not in repr(event)


@pytest.mark.parametrize("status", [200, 500])
def test_p20_with_logging_it_holds_request_and_answer(sdk: OpenAI, standin: StandIn, status: int) -> None:
    standin.reply.status = status
    with metered(log_prompt_and_response=True) as meter:
        with contextlib.suppress(openai.InternalServerError):
            sdk.chat.completions.create(**ASK)
        [event] = meter.events

    assert json.loads(str(event.provider_request_json)) == ASK
    assert (standin.reply.text if status == 200 else standin.reply.error) in str(event.provider_response_json)


def test_p21_secrets_are_not_in_the_event(sdk: OpenAI, standin: StandIn) -> None:
    secrets = {"Authorization": "Bearer s3cret", "X-My-Api-Key": "s3cret", "Cookie": "s3cret=1", "X-Trace": "t1"}
    with metered(log_prompt_and_response=True) as meter:
        stream = sdk.chat.completions.create(**ASK, stream=True, extra_headers=secrets)
        list(stream)
        [event] = meter.events

    assert standin.requests[0].headers["x-my-api-key"] == "s3cret"
    assert "s3cret" not in repr(event)
    assert "sk-secret" not in repr(event)
    assert event.provider_request_headers == {"X-Trace": "t1"}
    assert event.provider_response_headers is not None
    assert event.provider_response_headers["x-request-id"] == "req_standin"
    assert not any(name.startswith(("content-", "transfer-")) for name in event.provider_response_headers)
