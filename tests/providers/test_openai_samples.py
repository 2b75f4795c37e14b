"""What each shape of OpenAI's wire is metered with: the samples of every endpoint and host, read in every way.

Rows P-1, P-4, P-5, P-8, P-19 and P-20, shapes 1 to 8 and the sum rule.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from sampled import PIECES, WHOLE, Reading, body_of, bytes_of, client_at, lines_of, said_by, samples

if TYPE_CHECKING:
    from examples.openai_standin import StandIn
    from payi_instrument.event import UsageEvent
    from payi_instrument.testing import MemoryMeter

ESTIMATED = "system.estimated"
ENDPOINTS = ("chat", "responses", "completions", "embeddings", "images", "audio", "decisions", "hosts")
STREAMED = ("chat", "responses", "completions", "images", "audio", "hosts")

pytestmark = [
    pytest.mark.filterwarnings("ignore:deprecated:DeprecationWarning"),  # what the SDK says of translations
    pytest.mark.filterwarnings("ignore:The 'warn' method:DeprecationWarning"),  # openai 1, of later formats
]


@samples("answers", *ENDPOINTS)
def test_an_answer_has_its_units_however_it_is_read(
    standin: StandIn, meter: MemoryMeter, sample: dict[str, Any]
) -> None:
    standin.reply.body = body = body_of(sample)
    with client_at(standin, sample.get("url")) as client:
        reading = Reading(client, sample)
        for way in WHOLE:
            before = len(meter.events)
            seen, events = reading.whole(way), meter.events[before:]

            assert seen == (body if way == "object" else bytes_of(body))
            check(events, sample, logs=way != "raw")
            is_named = isinstance(body, dict) and not sample.get("unreadable")
            response_id = body.get("id") if is_named else None
            assert str(events[-1].provider_response_id).startswith(response_id or "payi_")


@samples("streams", *STREAMED)
def test_a_stream_has_its_units_however_it_is_read(
    standin: StandIn, meter: MemoryMeter, sample: dict[str, Any]
) -> None:
    lines = lines_of(sample["chunks"] if "chunks" in sample else sample["events"])
    standin.reply.body = lines
    of_chunks = "chunks" in sample
    with client_at(standin, sample.get("url")) as client:
        reading = Reading(client, sample)
        for way in PIECES if of_chunks else PIECES[:-1]:
            before = len(meter.events)
            seen, events = reading.pieces(way), meter.events[before:]

            assert seen == _expected(sample, lines, way)
            check(events, sample, logs=way != "raw", raised="raises" in sample and way in {"object", "asked"})
            response_id = str(events[-1].provider_response_id)
            assert response_id.startswith("payi_") == (not of_chunks and "responses" not in sample["method"]) or (
                sample.get("anonymous", False)
            )


def _expected(sample: dict[str, Any], lines: list[str], way: str) -> object:
    """Return what a caller is to see: all that was sent but the usage that we asked for."""
    if way != "asked" and "shown" in sample:
        sent = [line for line in lines if "data:" in line]
        hidden = sent[sample["shown"] :]
        lines = [line for line in lines if line not in hidden]
    if way == "bytes":
        return "".join(f"{line}\n\n" for line in [*lines, "data: [DONE]"]).encode()
    chunks = [chunk for line in lines if (chunk := said_by(line)) is not None]
    return [*chunks[:-1], sample["raises"]] if "raises" in sample else chunks


def check(events: list[UsageEvent], sample: dict[str, Any], *, logs: bool, raised: bool = False) -> None:
    """Compare the events of a call with what its sample expects; an estimate may be off by half."""
    *beside, event = events
    assert _near(event, sample)
    assert event.function_calls == [(name, arguments if logs else None) for name, arguments in sample.get("calls", [])]
    assert event.http_status_code == (299 if raised else 200)
    assert ("system.capture_error" in event.properties) == sample.get("unreadable", False)
    assert event.category == sample.get("category", "system.openai")
    assert event.resource == sample.get("resource", sample["ask"]["model"])
    code, message = sample.get("failure", (None, None))
    if raised:
        code = sample["raises"]
    assert event.properties.get("system.failure") == code
    if logs or not raised:
        assert event.properties.get("system.failure.description") == message
    for other, wanted in zip(beside, sample.get("beside", []), strict=True):
        assert (other.resource, other.units) == (wanted["resource"], _tuples(wanted["units"]))
        assert (ESTIMATED in other.properties) == bool(other.warnings) == wanted.get("estimated", False)
        assert other.function_calls == []
        assert str(other.event_id).startswith(str(event.event_id))


def _tuples(units: dict[str, Any]) -> dict[str, tuple[int, int]]:
    return {unit: (counted_in, counted_out) for unit, (counted_in, counted_out) in units.items()}


def _near(event: UsageEvent, sample: dict[str, Any]) -> bool:
    wanted = _tuples(sample["units"])
    assert (ESTIMATED in event.properties) == sample.get("estimated", False)
    if not sample.get("estimated"):
        assert event.units == wanted
        return True
    assert event.units.keys() == wanted.keys()
    counts = [(found, want) for unit in wanted for found, want in zip(event.units[unit], wanted[unit], strict=True)]
    assert all(want / 2 <= found <= want * 1.5 for found, want in counts), event.units
    return True
