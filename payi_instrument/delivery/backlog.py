"""Events that could not be delivered at once: kept in order, retried until they are.

One daemon thread delivers what finalisers, cancelled tasks and failed deliveries put here. Putting takes no lock, so a
finaliser may do it anywhere. Source: instrumentation-semantics section 8.
"""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections import deque
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING

from payi_instrument.guard import Guard, logger

if TYPE_CHECKING:
    from collections.abc import Callable

    from payi_instrument.event import UsageEvent

    Item = tuple["Backlog", UsageEvent | Callable[[], UsageEvent | None] | threading.Event]

_MAKE = Guard("make an event")
_FIRST_DELAY_S = 0.5
_LAST_WORDS_S = 0.5
"""How long a backlog that is gone is still listened to."""
_LONGEST_DELAY_S = 8.0


class Backlog:
    """Deliver events from a thread of its own; `deliver` says whether an event is settled, delivered or refused for good.

    What is queued holds the backlog, the thread does not: it ends when the last who could put something is gone.
    """

    def __init__(self, deliver: Callable[[UsageEvent], bool], max_events: int) -> None:
        """Take how one event is delivered, and how many may wait before the oldest is dropped and counted."""
        self.deliver = deliver
        self._max_events = max_events
        self._events: deque[UsageEvent] = deque()
        self.dropped = 0
        self._begin()
        _backlogs.add(self)

    def _begin(self) -> None:
        """Start with an empty queue and a fresh thread: at first, and again in a forked child."""
        self._queue: SimpleQueue[Item | None] = SimpleQueue()
        self._events.clear()
        threading.Thread(target=_run, args=(self._queue,), name="payi-backlog", daemon=True).start()
        end = weakref.finalize(self, self._queue.put, None)
        end.atexit = False

    def put(self, event: UsageEvent | Callable[[], UsageEvent | None]) -> None:
        """Queue an event, or what makes it; safe in a finaliser."""
        self._queue.put((self, event))

    def flush(self, timeout: float) -> bool:
        """Wait until what is queued now is delivered, at most `timeout` seconds; False when it is not."""
        done = threading.Event()
        self._queue.put((self, done))
        return done.wait(timeout)

    def take(self, event: UsageEvent) -> None:
        """Add an event to those that wait, dropping the oldest when there are too many."""
        self._events.append(event)
        if len(self._events) > self._max_events:
            self._events.popleft()
            self.dropped += 1
            if self.dropped == 1:
                logger.warning("payi: more than %d events wait for the meter; dropping the oldest", self._max_events)

    def deliver_all(self) -> bool:
        """Deliver what waits, in order; False when some of it has to wait longer."""
        while self._events:
            if not self.deliver(self._events[0]):
                return False
            self._events.popleft()
        return True


def _run(queue: SimpleQueue[Item | None]) -> None:
    """Deliver what is put into a backlog's queue until the backlog is gone; retry with growing delays."""
    waiting: Backlog | None = None
    flushes: list[threading.Event] = []
    delay: float | None = None
    gone = False
    while True:
        items = _collect(queue, delay)
        if gone and not items:
            return
        gone = gone or None in items  # what went in the same collection may still put its events after that
        waiting = _take(items, flushes) or waiting
        del items  # an idle thread must hold no backlog
        if waiting is not None and not waiting.deliver_all():
            if gone:
                return
            delay = min((delay or _FIRST_DELAY_S / 2) * 2, _LONGEST_DELAY_S)
            continue
        waiting, delay = None, _LAST_WORDS_S if gone else None
        while flushes:
            flushes.pop().set()


def _take(items: list[Item | None], flushes: list[threading.Event]) -> Backlog | None:
    """Sort what was put, and return the backlog that it was put into."""
    backlog: Backlog | None = None
    for item in items:
        if item is not None:
            backlog, put = item
            if isinstance(put, threading.Event):
                flushes.append(put)
            elif (event := _made(put)) is not None:
                backlog.take(event)
    return backlog


def _collect(queue: SimpleQueue[Item | None], delay: float | None) -> list[Item | None]:
    """Wait for something to do, or `delay` seconds before the next try, and return all that is there."""
    items: list[Item | None] = []
    with suppress(Empty):
        items.append(queue.get(timeout=delay))
        while True:
            items.append(queue.get_nowait())
    return items


def _made(item: UsageEvent | Callable[[], UsageEvent | None]) -> UsageEvent | None:
    if not callable(item):
        return item
    with _MAKE:
        return item()
    return None


_backlogs: weakref.WeakSet[Backlog] = weakref.WeakSet()


def flush_all(timeout: float) -> bool:
    """Flush every backlog that somebody can still put something into, at the exit of the process."""
    deadline = time.monotonic() + timeout
    flushed = [backlog.flush(max(deadline - time.monotonic(), 0)) for backlog in list(_backlogs)]
    return all(flushed)


def _begin_again() -> None:
    for backlog in list(_backlogs):
        backlog._begin()  # noqa: SLF001  # the same file


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_again)
