"""Tie calls to the traces around them: the only file that knows opentelemetry.

When nothing imported opentelemetry there is no span, and it is not imported here either. Source:
instrumentation-semantics section 3.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from payi_instrument.wire.headers import SPAN_ID, TRACE_ID

if TYPE_CHECKING:
    from collections.abc import Mapping

    from opentelemetry.trace import Span

    from payi_instrument.event import Result

_NONE: Mapping[str, str] = {}


def _span() -> Span | None:
    """Return the current span if one is recording."""
    trace = sys.modules.get("opentelemetry.trace")
    if trace is None:
        return None
    span: Span = trace.get_current_span()
    return span if span.is_recording() else None


class OpenTelemetry:
    """Name the current span in events, and put costs and limit states on it."""

    def properties(self) -> Mapping[str, str]:
        """Return the request properties that name the current span, empty without one."""
        span = _span()
        if span is None:
            return _NONE
        context = span.get_span_context()
        return {TRACE_ID: f"{context.trace_id:032x}", SPAN_ID: f"{context.span_id:016x}"}

    def record(self, result: Result) -> None:
        """Put a result's cost, in USD, and limit states on the current span."""
        span = _span()
        if span is None:
            return
        if result.cost is not None:
            span.set_attribute("payi.cost.total", float(result.cost.total.base))
        for limit_id, standing in result.limits.items():
            if standing.state is not None:
                span.set_attribute(f"payi.limit.{limit_id}.state", standing.state)
