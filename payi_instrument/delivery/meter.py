"""The meter as deliveries and gates see it: one object for sync and async callers, whichever client was given.

Source: instrumentation-semantics section 8, decision 14.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from payi_instrument.event import UsageEvent
    from payi_instrument.wire.result import LimitResult, XproxyResult


class Transport(Protocol):
    """Carry events for callers that wait."""

    @property
    def embedded(self) -> bool:
        """Say whether the meter is in this process."""
        ...

    @property
    def meter(self) -> object:
        """Return what two transports to the same meter and application share."""
        ...

    def ingest(self, events: Sequence[UsageEvent]) -> list[XproxyResult]:
        """Book events and return a result for each."""
        ...

    def limit_states(self, limit_ids: Sequence[str], timeout: float | None = None) -> Mapping[str, LimitResult]:
        """Return how limits stand."""
        ...

    def automatic_limits(self, use_case_name: str, use_case_id: str) -> tuple[str, ...]:
        """Return the limits that a use-case instance may have of its own, as far as can be told without asking."""
        ...


class AsyncTransport(Protocol):
    """Carry events for callers that await."""

    @property
    def embedded(self) -> bool:
        """Say whether the meter is in this process."""
        ...

    async def aingest(self, events: Sequence[UsageEvent]) -> list[XproxyResult]:
        """Book events and return a result for each."""
        ...

    async def alimit_states(self, limit_ids: Sequence[str], timeout: float | None = None) -> Mapping[str, LimitResult]:  # noqa: ASYNC109
        """Return how limits stand."""
        ...


class Meter:
    """Book events and read limits, for callers that wait and callers that await."""

    def __init__(self, transport: Transport, async_transport: AsyncTransport | None) -> None:
        """Take what carries sync calls, and what carries async ones: None lets a worker thread wait in their place."""
        self._transport = transport
        self._async = async_transport
        self.embedded = transport.embedded
        self.identity = transport.meter
        self.automatic_limits = transport.automatic_limits

    def ingest(self, events: Sequence[UsageEvent]) -> list[XproxyResult]:
        """Book events and return a result for each."""
        return self._transport.ingest(events)

    async def aingest(self, events: Sequence[UsageEvent]) -> list[XproxyResult]:
        """Book events and return a result for each; the loop goes on meanwhile."""
        if self._async is None:
            return await asyncio.to_thread(self._transport.ingest, events)
        return await self._async.aingest(events)

    def limit_states(self, limit_ids: Sequence[str], timeout: float | None) -> Mapping[str, LimitResult]:
        """Return how limits stand, `timeout` in seconds; unknown ids are left out."""
        return self._transport.limit_states(limit_ids, timeout)

    async def alimit_states(self, limit_ids: Sequence[str], timeout: float | None) -> Mapping[str, LimitResult]:  # noqa: ASYNC109
        """Return how limits stand, `timeout` in seconds; unknown ids are left out."""
        if self._async is None:
            return await asyncio.to_thread(self._transport.limit_states, limit_ids, timeout)
        return await self._async.alimit_states(limit_ids, timeout)
