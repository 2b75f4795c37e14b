"""Calls and the traces around them. Row Q-17."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from payi_instrument import track_context

if TYPE_CHECKING:
    from openai import AsyncOpenAI, OpenAI
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.trace import Tracer

    from examples.openai_standin import StandIn
    from payi_instrument.testing import MemoryMeter

ASK: dict[str, Any] = {"model": "gpt-4o", "messages": [{"role": "user", "content": "What is two and two?"}]}


class Traces:
    """A tracer of the real SDK, and the spans that it ended."""

    def __init__(self) -> None:
        self._exporter = InMemorySpanExporter()
        provider = TracerProvider()
        provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.tracer: Tracer = provider.get_tracer("test")

    @property
    def spans(self) -> tuple[ReadableSpan, ...]:
        return self._exporter.get_finished_spans()


@pytest.fixture
def traces() -> Traces:
    return Traces()


def test_q17_the_span_bears_cost_and_states_and_the_event_names_the_span(
    sdk: OpenAI, meter: MemoryMeter, traces: Traces
) -> None:
    meter.client.limits.create(limit_name="L", limit_id="l", max=0.008, threshold=0.75)
    with traces.tracer.start_as_current_span("work"), track_context(limit_ids=["l"]):
        sdk.chat.completions.create(**ASK)

    [span] = traces.spans
    assert span.attributes == {"payi.cost.total": 0.007, "payi.limit.l.state": "exceeded"}
    [event] = meter.events
    assert span.context is not None
    assert event.properties["system.trace_id"] == f"{span.context.trace_id:032x}"
    assert event.properties["system.span_id"] == f"{span.context.span_id:016x}"


async def test_q17_awaited_and_streamed(asdk: AsyncOpenAI, meter: MemoryMeter, traces: Traces) -> None:
    with traces.tracer.start_as_current_span("outer"), traces.tracer.start_as_current_span("inner"):
        async for _ in await asdk.chat.completions.create(**ASK, stream=True):
            pass

    inner, outer = traces.spans
    assert (inner.attributes, outer.attributes) == ({"payi.cost.total": 0.007}, {})
    assert inner.context is not None
    assert meter.events[0].properties["system.span_id"] == f"{inner.context.span_id:016x}"


def test_q17_without_a_span_nothing_is_added(sdk: OpenAI, meter: MemoryMeter) -> None:
    sdk.chat.completions.create(**ASK)
    assert set(meter.events[0].properties) == {"system.stack_trace"}


PROGRAM = """
    import sys
    from openai import OpenAI
    from payi_instrument.testing import metered

    with metered() as meter, OpenAI(base_url=sys.argv[1], api_key="k") as client:
        answer = client.chat.completions.create(model="gpt-4o", messages=[{"role": "user", "content": "Hi"}])
        assert answer.xproxy_result.cost.total.base > 0
    assert not [name for name in sys.modules if name.startswith("opentelemetry")], "opentelemetry was imported"
"""


def test_q17_opentelemetry_is_not_imported_for_those_who_do_not_use_it(standin: StandIn) -> None:
    command = [sys.executable, "-c", textwrap.dedent(PROGRAM), standin.url]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
