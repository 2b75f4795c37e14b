"""The sum rule: whatever a usage says, its units sum on each side to the provider's own totals, and never overlap."""

from __future__ import annotations

import json
from math import ceil
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from openai.types.completion_usage import CompletionUsage
from openai.types.responses.response_usage import ResponseUsage
from openai_answers import ANSWERS

from payi_instrument.providers.openai.counting import is_reported, units_of
from payi_instrument.providers.openai.wire import parsed

if TYPE_CHECKING:
    from collections.abc import Callable

    from openai import OpenAI

    from examples.openai_standin import StandIn
    from payi_instrument.event import Units
    from payi_instrument.testing import MemoryMeter

MOST = 2**31 - 1
INPUT, OUTPUT, SECONDS = ("prompt_tokens", "input_tokens"), ("completion_tokens", "output_tokens"), ("seconds",)
INPUT_DETAILS = ("prompt_tokens_details", "input_tokens_details", "input_token_details", "prompt_token_details")
OUTPUT_DETAILS = ("completion_tokens_details", "output_tokens_details", "output_token_details")
CACHED = ("num_cached_tokens", "prompt_cache_hit_tokens", "cached_tokens")
TIERS = {"priority": "_priority", "fast": "_priority", "flex": "_flex"}
IN = ("text", "vision", "audio", "video")
KNOWN = {
    *("reasoning", "image", "text_cache_write", "audio_seconds", "web_search_request"),
    *IN,
    *(f"{unit}_cache_read" for unit in IN),
}
UNTIERED = {"audio_seconds", "web_search_request"}

odd = st.sampled_from([None, -1, -5.5, "many", True, [], {}, 10**400, 1e300, 0.0])
counts = st.one_of(st.integers(0, 5000), st.integers(0, MOST), st.floats(0, 1e6), odd)


def some(values: st.SearchStrategy[Any], *names: str, **more: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Objects that have some of these members, or null, or no object at all."""
    members = st.fixed_dictionaries({}, optional={**dict.fromkeys(names, values), **more})
    return st.one_of(members, members, members, odd)


modalities = ("text_tokens", "audio_tokens", "image_tokens", "video_tokens")
shares = some(counts, *modalities, *(f"cached_{name}" for name in modalities))
writes = some(counts, "ttl_30m_tokens", "ttl_12h_tokens")
input_details = some(
    *(counts, "cached_tokens", "cache_write_tokens", "cache_creation_tokens", *modalities),
    cached_tokens_details=shares,
    cache_write_tokens_details=writes,
)
output_details = some(
    counts, "reasoning_tokens", "accepted_prediction_tokens", "rejected_prediction_tokens", *modalities
)
usages = st.fixed_dictionaries(
    {},
    optional={
        **dict.fromkeys((*INPUT, *OUTPUT, "total_tokens", *CACHED, "reasoning_tokens"), counts),
        **dict.fromkeys(INPUT_DETAILS, input_details),
        **dict.fromkeys(OUTPUT_DETAILS, output_details),
        "cached_tokens_details": shares,
        "server_tool_use": some(counts, "web_search_requests"),
        "queue_time": st.floats(0, 1),
        "cost": st.floats(0, 1),
    },
)
sounds = st.fixed_dictionaries(
    {}, optional={"type": st.sampled_from(["duration", "tokens"]), "seconds": counts, "prompt_audio_seconds": counts}
)
FORMS: list[Callable[[dict[str, Any]], Any]] = [
    dict,
    lambda usage: parsed(json.dumps(usage)),
    lambda usage: CompletionUsage.construct(**usage),
    lambda usage: ResponseUsage.construct(**usage),
]


def counted(usage: dict[str, Any], *names: str) -> float:
    """The first of these counts that is one."""
    values = [usage.get(name) for name in names]
    return next((min(v, MOST) for v in values if isinstance(v, (int, float)) and v > 0), 0)


def is_told(usage: dict[str, Any], names: tuple[str, ...]) -> bool:
    return any(isinstance(value := usage.get(name), (int, float)) and value >= 0 for name in names)


def totals(usage: dict[str, Any]) -> tuple[int, int]:
    """What the provider itself counts on each side; a side that it does not tell is what the total leaves for it."""
    inputs, outputs = int(counted(usage, *INPUT)), int(counted(usage, *OUTPUT))
    beyond = max(int(counted(usage, "total_tokens")) - inputs - outputs, 0)
    return (inputs, outputs + beyond) if is_told(usage, INPUT) else (inputs + beyond, outputs)


def sums(units: Units) -> tuple[int, int]:
    tokens = [pair for unit, pair in units.items() if unit not in UNTIERED]
    return sum(counted_in for counted_in, _ in tokens), sum(counted_out for _, counted_out in tokens)


def check_each(units: Units, tier: str | None) -> None:
    suffix = TIERS.get(tier or "", "")
    for unit, pair in units.items():
        assert unit.removesuffix(suffix) in KNOWN
        assert unit in UNTIERED or unit.endswith(suffix)
        assert all(type(count) is int and 0 <= count <= MOST for count in pair)


@given(usages, st.sampled_from([None, "default", "priority", "fast", "flex", "auto", "scale"]), st.sampled_from(FORMS))
def test_the_units_of_each_side_sum_to_the_providers_own_totals(
    usage: dict[str, Any], tier: str | None, form: Callable[[dict[str, Any]], Any]
) -> None:
    units = units_of(form(usage), tier)

    assert sums(units) == totals(usage)
    check_each(units, tier)
    searches = members(usage.get("server_tool_use")).get("web_search_requests")
    assert units.get("web_search_request", (0, 0)) == (0, int(counted({"n": searches}, "n")))


@example(
    {
        "input_tokens": 1,
        "input_tokens_details": {"cached_tokens": 1, "cached_tokens_details": {"text_tokens": {}}},
        "cached_tokens_details": {"audio_tokens": 1},
    }
)
@given(usages)
def test_a_usage_counts_the_same_however_it_was_read(usage: dict[str, Any]) -> None:
    assert [units_of(form(usage)) for form in FORMS] == [units_of(usage)] * len(FORMS)


def members(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


@given(usages, sounds, st.sampled_from(["text", "audio"]), st.sampled_from(["text", "image", "audio"]))
def test_a_sound_is_counted_by_its_seconds_or_by_its_tokens_and_never_by_both(
    usage: dict[str, Any], sound: dict[str, Any], read: str, made: str
) -> None:
    usage = {**usage, **sound}
    units = units_of(usage, read=read, made=made)

    seconds = ceil(counted(usage, "seconds", "prompt_audio_seconds"))
    is_only_seconds = sound.get("type") == "duration" or (seconds and not counted(usage, *INPUT, *OUTPUT))
    check_each(units, None)
    assert units.get("audio_seconds", (0, 0)) == (seconds, 0)
    if is_only_seconds:
        assert units.keys() == {"audio_seconds"}
    else:
        assert sums(units) == totals({**usage, "total_tokens": 0} if seconds else usage)


@given(usages, st.sampled_from(FORMS))
def test_embeddings_have_no_output(usage: dict[str, Any], form: Callable[[dict[str, Any]], Any]) -> None:
    units = units_of(form(usage), made=None)

    assert sums(units) == (min(sum(totals(usage)), MOST), 0)
    check_each(units, None)


tokens = st.one_of(st.just(0), st.integers(0, 4000))
MODALITIES = {"text": "text_tokens", "vision": "image_tokens", "audio": "audio_tokens", "video": "video_tokens"}
read_units = (*IN, *(f"{unit}_cache_read" for unit in IN), "text_cache_write")
hosts = st.fixed_dictionaries(
    {
        "names": st.sampled_from(list(zip(INPUT, OUTPUT, strict=True))),
        "details": st.tuples(st.sampled_from(INPUT_DETAILS), st.sampled_from(OUTPUT_DETAILS)),
        "shares": st.sampled_from(["in the details", "beside them", "beside them, by longer names"]),
        "thoughts": st.sampled_from(["in the output", "beyond it", "in it, told beside"]),
        "tells text": st.booleans(),
    }
)


def told_by(host: dict[str, Any], read: dict[str, int], made: dict[str, int]) -> dict[str, Any]:
    """The usage that a host makes of what was read and made."""
    cached = {unit: read[f"{unit}_cache_read"] for unit in IN}
    of_input = {name: read[unit] + cached[unit] for unit, name in MODALITIES.items()}
    of_input |= {"cached_tokens": sum(cached.values()), "cache_write_tokens": read["text_cache_write"]}
    of_input["text_tokens"] += read["text_cache_write"]
    of_output = {f"{unit}_tokens": made[unit] for unit in ("text", "audio", "image", "video")}
    if not host["tells text"]:
        del of_input["text_tokens"], of_output["text_tokens"]
    name_in, name_out = host["names"]
    beyond = made["reasoning"] if host["thoughts"] == "beyond it" else 0
    all_in, all_out = sum(read.values()), sum(made.values())
    usage = {name_in: all_in, name_out: all_out - beyond, "total_tokens": all_in + all_out}
    (usage if host["thoughts"] == "in it, told beside" else of_output)["reasoning_tokens"] = made["reasoning"]
    prefix = "cached_" if host["shares"] == "beside them, by longer names" else ""
    shares = {f"{prefix}{name}": cached[unit] for unit, name in MODALITIES.items()}
    details: tuple[Any, Any] = (of_input, of_output)
    (of_input if host["shares"] == "in the details" else usage)["cached_tokens_details"] = shares  # type: ignore[index]
    return {**usage, **dict(zip(host["details"], details, strict=True))}


@given(
    hosts,
    st.fixed_dictionaries(dict.fromkeys(read_units, tokens)),
    st.fixed_dictionaries(dict.fromkeys(("text", "reasoning", "audio", "image", "video"), tokens)),
)
def test_what_was_used_is_counted_to_the_token_however_a_host_tells_it(
    host: dict[str, Any], read: dict[str, int], made: dict[str, int]
) -> None:
    units = units_of(told_by(host, read, made))

    wanted = {unit: (read.get(unit, 0), made.get(unit, 0)) for unit in {*read, *made}}
    assert {unit: pair for unit, pair in units.items() if pair != (0, 0)} == {
        unit: pair for unit, pair in wanted.items() if pair != (0, 0)
    }


def _chat(sdk: OpenAI, standin: StandIn, usage: dict[str, Any]) -> None:
    choice = {"index": 0, "message": {"role": "assistant", "content": "Four."}, "finish_reason": "stop"}
    standin.reply.body = {"id": "c1", "object": "chat.completion", "choices": [choice], "usage": usage}
    sdk.chat.completions.create(model="gpt-4o", messages=[])


def _chat_stream(sdk: OpenAI, standin: StandIn, usage: dict[str, Any]) -> None:
    choice = {"index": 0, "delta": {"role": "assistant", "content": "Four."}, "finish_reason": "stop"}
    standin.reply.body = [{"id": "c1", "choices": [choice]}, {"id": "c1", "choices": [], "usage": usage}]
    list(sdk.chat.completions.create(model="gpt-4o", messages=[], stream=True))


def _response(sdk: OpenAI, standin: StandIn, usage: dict[str, Any]) -> None:
    item = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "content": [{"type": "output_text", "text": "Four."}],
    }
    standin.reply.body = {"id": "r1", "object": "response", "status": "completed", "output": [item], "usage": usage}
    sdk.responses.create(model="gpt-4o", input="How many?")


def _response_bytes(sdk: OpenAI, standin: StandIn, usage: dict[str, Any]) -> None:
    response = {"id": "r1", "object": "response", "status": "completed", "output": [], "usage": usage}
    standin.reply.body = [{"type": "response.completed", "response": response}]
    with sdk.responses.with_streaming_response.create(model="gpt-4o", input="How many?", stream=True) as answer:
        answer.read()


@pytest.mark.parametrize("call", [_chat, _chat_stream, _response, _response_bytes])
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(usage=usages)
def test_any_usage_is_booked_as_it_is_counted(
    call: Callable[[OpenAI, StandIn, dict[str, Any]], None],
    sdk: OpenAI,
    standin: StandIn,
    meter: MemoryMeter,
    usage: dict[str, Any],
) -> None:
    standin.answers |= ANSWERS
    before = len(meter.events)
    call(sdk, standin, usage)

    [event] = meter.events[before:]
    check_each(event.units, None)
    assert "system.capture_error" not in event.properties
    if is_reported(usage):
        assert event.units == units_of(usage)
    else:
        assert event.properties["system.estimated"] == "true"
