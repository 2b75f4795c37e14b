"""Events that could not be delivered at once: kept in order, retried until they are.

One daemon thread delivers what finalisers, cancelled tasks and failed deliveries put here. Putting takes no lock, so a
finaliser may do it anywhere. Source: instrumentation-semantics section 8.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections import deque
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING

from payi_instrument.guard import Guard, logger

if TYPE_CHECKING:
    from collections.abc import Callable

    from payi_instrument.event import UsageEvent

    Item = UsageEvent | Callable[[], UsageEvent | None] | threading.Event

_MAKE = Guard("make an event")
_FIRST_DELAY_S = 0.5
_LONGEST_DELAY_S = 8.0


class Backlog:
    """Deliver events from a thread of its own; `deliver` says whether an event is settled, delivered or refused for good."""

    def __init__(self, deliver: Callable[[UsageEvent], bool], max_events: int) -> None:
        """Take how one event is delivered, and how many may wait before the oldest is dropped and counted."""
        self._deliver = deliver
        self._max_events = max_events
        self.dropped = 0
        self._begin()
        _backlogs.add(self)

    def _begin(self) -> None:
        """Start with an empty queue and a fresh thread: at first, and again in a forked child."""
        self._queue: SimpleQueue[Item] = SimpleQueue()
        threading.Thread(target=self._run, args=(self._queue,), name="payi-backlog", daemon=True).start()

    def put(self, event: UsageEvent | Callable[[], UsageEvent | None]) -> None:
        """Queue an event, or what makes it; safe in a finaliser."""
        self._queue.put(event)

    def flush(self, timeout: float) -> bool:
        """Wait until what is queued now is delivered, at most `timeout` seconds; False when it is not."""
        done = threading.Event()
        self._queue.put(done)
        return done.wait(timeout)

    def _run(self, queue: SimpleQueue[Item]) -> None:
        events: deque[UsageEvent] = deque()
        flushes: list[threading.Event] = []
        delay: float | None = None
        while True:
            self._collect(queue, delay, events, flushes)
            while events and self._deliver(events[0]):
                events.popleft()
            if events:
                delay = min((delay or _FIRST_DELAY_S / 2) * 2, _LONGEST_DELAY_S)
                continue
            delay = None
            while flushes:
                flushes.pop().set()

    def _collect(
        self,
        queue: SimpleQueue[Item],
        delay: float | None,
        events: deque[UsageEvent],
        flushes: list[threading.Event],
    ) -> None:
        """Wait for something to do, or `delay` seconds before the next try, and take all that is there."""
        try:
            item = queue.get(timeout=delay)
            while True:
                if isinstance(item, threading.Event):
                    flushes.append(item)
                elif (event := _made(item)) is not None:
                    events.append(event)
                item = queue.get_nowait()
        except Empty:
            pass
        while len(events) > self._max_events:
            events.popleft()
            self.dropped += 1
            if self.dropped == 1:
                logger.warning("payi: more than %d events wait for the meter; dropping the oldest", self._max_events)


def _made(item: UsageEvent | Callable[[], UsageEvent | None]) -> UsageEvent | None:
    if not callable(item):
        return item
    with _MAKE:
        return item()
    return None


_backlogs: weakref.WeakSet[Backlog] = weakref.WeakSet()


def _begin_again() -> None:
    for backlog in list(_backlogs):
        backlog._begin()  # noqa: SLF001  # the same file


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_again)
