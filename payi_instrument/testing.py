"""Meter calls in tests: a meter in memory, and every event that reached it.

    from payi_instrument.testing import metered


    def test_the_agent_bills_its_user():
        with metered() as meter:
            run_agent(user="u1")
        assert [event.attribution.user_id for event in meter.events] == ["u1"]

With pytest the fixture `payi_meter` does the same.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from payi_instrument.client.client import AsyncPayi, Payi
from payi_instrument.instrumentation import Instrumentation, payi_instrument
from payi_instrument.local import LocalTransport, open_local

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Mapping, Sequence

    from payi_instrument.event import UsageEvent
    from payi_instrument.wire.result import XproxyResult


class _Recorder(LocalTransport):
    """An in-process transport that keeps the events it carried."""

    events: list[UsageEvent]

    @classmethod
    def of(cls, transport: LocalTransport) -> _Recorder:
        recorder = cls(*transport.meter)
        recorder.events = []
        return recorder

    def ingest(self, events: Sequence[UsageEvent]) -> list[XproxyResult]:
        results = super().ingest(events)
        self.events.extend(events)
        return results

    async def aingest(self, events: Sequence[UsageEvent]) -> list[XproxyResult]:
        results = await super().aingest(events)
        self.events.extend(events)
        return results


class MemoryMeter:
    """A meter in memory: `client` and `async_client` on one ledger, and the `events` of metered calls, in order.

    `base_url` may name a file, `sqlite:///file.db`, to keep the ledger.
    """

    def __init__(self, base_url: str = "sqlite://") -> None:
        """Open an empty ledger."""
        self._recorder = _Recorder.of(open_local(base_url))
        self.client = Payi.over(self._recorder)
        self.async_client = AsyncPayi.over(self._recorder)
        self.handle: Instrumentation | None = None

    @property
    def events(self) -> list[UsageEvent]:
        """Return the events that metered calls made, in the order they were booked; what is queued is booked first."""
        if self.handle is not None:
            self.handle.flush()
        return self._recorder.events


@contextmanager
def metered(
    *,
    base_url: str = "sqlite://",
    instruments: Iterable[str] | None = None,
    log_prompt_and_response: bool | None = None,
    config: Mapping[str, object] | None = None,
) -> Generator[MemoryMeter]:
    """Meter every provider call of the block on a ledger of its own, and take the instrumentation back after it.

    Unless `config` names a use case there is no global one: the events carry what the tested code declares. Raises
    `RuntimeError` when the process is instrumented already.
    """
    meter = MemoryMeter(base_url)
    handle = payi_instrument(
        [meter.client, meter.async_client],
        instruments=instruments,
        log_prompt_and_response=log_prompt_and_response,
        config={"use_case_name": None, **(config or {})},
    )
    if not handle.serves(meter.client):
        msg = "the process is instrumented already; call uninstrument() on that handle first"
        raise RuntimeError(msg)
    meter.handle = handle
    try:
        yield meter
    finally:
        handle.shutdown()
