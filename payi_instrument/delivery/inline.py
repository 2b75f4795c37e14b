"""Deliver each event before its call returns, so that the caller sees the cost and the limits at once.

Never raises: what can't be delivered now goes to the backlog, and the result says so. Source: instrumentation-semantics
sections 7 and 8.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from payi_instrument.delivery.backlog import Backlog
from payi_instrument.errors import APIConnectionError, APIStatusError
from payi_instrument.guard import logger
from payi_instrument.wire.model import Money
from payi_instrument.wire.result import (
    CostDetails,
    CostDetailsBase,
    LaterResult,
    ResultCost,
    XproxyError,
    XproxyResult,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from payi_instrument.delivery.known import KnownLimits
    from payi_instrument.delivery.meter import Meter
    from payi_instrument.event import UsageEvent

_RETRIED = frozenset({408, 409, 429})
_SERVER_FAULT = 500
_MAX_WARNED = 1000
"""Different warnings that are logged, each once: a result repeats its own, a log need not."""


class InlineDelivery:
    """Deliver events one by one, each while its caller waits."""

    def __init__(self, meter: Meter, known: KnownLimits, *, max_events: int, log_window: int) -> None:
        """Take the meter, what to tell of limits, how many events may wait, and how often (s) a failure is logged."""
        self._meter = meter
        self._known = known
        self._log_window = log_window
        self._logged = float("-inf")
        self._suppressed = 0
        self._refused: set[tuple[str | None, str | None]] = set()
        self._warned: set[str] = set()
        self._backlog = Backlog(self._retry, max_events)

    def deliver(self, event: UsageEvent) -> XproxyResult:
        """Deliver an event, after those beside it, and return its result."""
        try:
            others = [self._deliver(other) for other in event.beside]
            return _summed(self._deliver(event), others)
        except BaseException:  # the caller goes, the event stays; the meter counts it once if it came through
            self._backlog.put(event)
            raise

    async def adeliver(self, event: UsageEvent) -> XproxyResult:
        """Deliver an event without holding up the loop, after those beside it, and return its result."""
        try:
            others = [await self._adeliver(other) for other in event.beside]
            return _summed(await self._adeliver(event), others)
        except BaseException:  # the caller goes, the event stays; the meter counts it once if it came through
            self._backlog.put(event)
            raise

    def _deliver(self, event: UsageEvent) -> XproxyResult:
        asked = time.monotonic()
        try:
            [result] = self._meter.ingest([event])
        except Exception as error:  # noqa: BLE001  # whatever happened, the caller's answer comes first
            return self._undelivered(event, error)
        return self._delivered(event, result, asked)

    async def _adeliver(self, event: UsageEvent) -> XproxyResult:
        asked = time.monotonic()
        try:
            [result] = await self._meter.aingest([event])
        except Exception as error:  # noqa: BLE001  # whatever happened, the caller's answer comes first
            return self._undelivered(event, error)
        return self._delivered(event, result, asked)

    def defer(self, event: UsageEvent | Callable[[], UsageEvent | None]) -> None:
        """Deliver an event later, and make it if it is not yet, from the backlog's thread."""
        self._backlog.put(event)

    def flush(self, timeout: float) -> bool:
        """Wait until nothing is queued, at most `timeout` seconds; False when something still is."""
        deadline = time.monotonic() + timeout
        return self._backlog.flush(timeout) and self._known.flush(max(deadline - time.monotonic(), 0))

    def _delivered(self, event: UsageEvent, result: XproxyResult, asked: float) -> XproxyResult:
        if isinstance(result, LaterResult):  # not made yet, since it has nothing to say but costs and limits
            self._known.hear(event.attribution, result, asked)
            return result
        if result.error is not None:
            self._note_refusal(event, result.error.code, result.error.message)
            result.limits = self._known.stale(event.attribution.limit_ids)
            return result
        self._known.hear(event.attribution, result, asked)
        for warning in result.warnings or ():
            if warning not in self._warned and len(self._warned) < _MAX_WARNED:
                self._warned.add(warning)
                logger.warning("payi: %s", warning)
        return result

    def _undelivered(self, event: UsageEvent, error: Exception) -> XproxyResult:
        """Return the result of an event that is not with the meter: queued when a retry may help."""
        queued = _is_outage(error) or not isinstance(error, APIStatusError)  # our own failure gets a second try
        limits = self._known.stale(event.attribution.limit_ids)  # as known now: what is queued may be delivered at once
        if queued:
            self._backlog.put(event)
            if _is_outage(error):
                self._note_failure(error)
            code = "api_connection_error" if isinstance(error, APIConnectionError) else "ingest_retry_enqueued"
        else:
            code = (error.code if isinstance(error, APIStatusError) else None) or "unknown_error"
            self._note_refusal(event, code, type(error).__name__)
        message = f"{type(error).__name__}: the event {'waits for the meter' if queued else 'was refused'}"
        return XproxyResult(limits=limits, queued=queued, error=XproxyError(code=code, message=message))

    def _retry(self, event: UsageEvent) -> bool:
        """Deliver an event of the backlog and those beside it; False when one has to wait."""
        return all(map(self._retry_one, (*event.beside, event)))

    def _retry_one(self, event: UsageEvent) -> bool:
        asked = time.monotonic()
        try:
            [result] = self._meter.ingest([event])
        except Exception as error:  # noqa: BLE001  # the thread has to outlive every error
            if _is_outage(error):
                self._note_failure(error)
                return False
            code = error.code if isinstance(error, APIStatusError) else None
            self._note_refusal(event, code, type(error).__name__)
            return True
        self._delivered(event, result, asked)
        return True

    def _note_failure(self, error: Exception) -> None:
        """Log that the meter can't be reached, at most once in a window, with how often it happened meanwhile."""
        now = time.monotonic()
        if now - self._logged < self._log_window:
            self._suppressed += 1
            return
        suppressed, self._suppressed, self._logged = self._suppressed, 0, now
        logger.warning("payi: meter not reached (%s), %d more since; events are kept", type(error).__name__, suppressed)

    def _note_refusal(self, event: UsageEvent, code: str | None, message: str | None) -> None:
        """Log an event that the meter refuses for good, once per code and resource."""
        key = (code, event.resource)
        if key not in self._refused:
            self._refused.add(key)
            logger.error("payi: event of %s/%s refused: %s %s", event.category, event.resource, code, message)


def _summed(result: XproxyResult, others: Sequence[XproxyResult]) -> XproxyResult:
    """Return the result of a call, its cost that of all of its events; None where the main one's is not known."""
    costs = [other.cost for other in others if other.cost is not None]
    if costs and result.cost is not None:
        costs.append(result.cost)
        result.cost = ResultCost(
            input=CostDetailsBase(base=Money(sum(cost.input.base_exact for cost in costs))),
            output=CostDetailsBase(base=Money(sum(cost.output.base_exact for cost in costs))),
            total=CostDetails(base=Money(sum(cost.total.base_exact for cost in costs))),
        )
    return result


def _is_outage(error: Exception) -> bool:
    """Say whether the meter was not reached, busy, or at fault, so that the same event may be delivered later."""
    if isinstance(error, APIStatusError):
        return error.status_code in _RETRIED or error.status_code >= _SERVER_FAULT
    return isinstance(error, APIConnectionError)
