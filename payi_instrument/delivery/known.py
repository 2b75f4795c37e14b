"""What is known of the limits without asking: the last standing of each, and who wants to hear of its changes.

Source: instrumentation-semantics section 7.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, NamedTuple

from payi_instrument.delivery.worker import Worker
from payi_instrument.guard import Guard
from payi_instrument.wire.result import LimitResult

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from payi_instrument.config import LimitStateListener
    from payi_instrument.wire.result import XproxyResult

_LISTEN = Guard("call on_limit_state")


_PASSING = frozenset({None, "failed", "blocked_external"})
"""States that say something of the call, not of the limit."""


class _Known(NamedTuple):
    standing: LimitResult
    learned: float


class KnownLimits:
    """Remember the last standing of every limit that was seen, and tell a listener of each change of state."""

    def __init__(self, listener: LimitStateListener | None = None) -> None:
        """Take who is told; it is called on a thread of its own, one change after the other."""
        self._known: dict[str, _Known] = {}
        self._told: dict[str, str] = {}
        self._lock = threading.Lock()
        self._listener = listener
        self._worker = Worker("payi-limit-states") if listener is not None else None

    def standing(self, limit_id: str) -> LimitResult | None:
        """Return the last known standing of a limit."""
        known = self._known.get(limit_id)
        return known.standing if known is not None else None

    def age(self, limit_id: str) -> float:
        """Return how many seconds ago a limit was last heard of, infinity for never."""
        known = self._known.get(limit_id)
        return time.monotonic() - known.learned if known is not None else float("inf")

    def learn(self, standings: Mapping[str, LimitResult], asked: float) -> None:
        """Take what the meter said about limits to a question put at `asked` (monotonic seconds)."""
        with self._lock:
            for limit_id, standing in standings.items():
                self._take(limit_id, standing, asked)

    def hear(self, result: XproxyResult, asked: float) -> None:
        """Learn from the result of an event, and tell the listener what changed since it was told last."""
        late: list[tuple[str, str | None, str]] = []
        with self._lock:
            for limit_id, standing in result.limits.items():
                if self._take(limit_id, standing, asked) and (change := self._change(limit_id, standing)) is not None:
                    if self._worker is not None and self._worker.submit(self._tell, *change, result) is None:
                        late.append(change)
        for change in late:  # the interpreter ends, and its threads with it
            self._tell(*change, result)

    def _take(self, limit_id: str, standing: LimitResult, asked: float) -> bool:
        """Remember a standing; False for one that is older than what is known.

        Answers to concurrent calls may arrive out of order: one that shows less spend than is known counts only when its
        question was put after that became known, which is how a reset looks.
        """
        known = self._known.get(limit_id)
        if known is not None and asked < known.learned and _spent(standing) < _spent(known.standing):
            return False
        self._known[limit_id] = _Known(standing, time.monotonic())
        return True

    def _change(self, limit_id: str, standing: LimitResult) -> tuple[str, str | None, str] | None:
        new = standing.state
        if new is None or new in _PASSING:
            return None
        old = self._told.get(limit_id)
        self._told[limit_id] = new
        return (limit_id, old, new) if new != old and (old is not None or new != "ok") else None

    def _tell(self, limit_id: str, old: str | None, new: str, result: XproxyResult) -> None:
        with _LISTEN:
            if self._listener is not None:
                self._listener(limit_id, old, new, result)

    def stale(self, limit_ids: Iterable[str]) -> dict[str, LimitResult]:
        """Return the last known standing of each limit marked stale, with a state of None where nothing is known."""
        standings = ((limit_id, self.standing(limit_id)) for limit_id in limit_ids)
        return {
            limit_id: LimitResult(stale=True) if known is None else known.model_copy(update={"stale": True})
            for limit_id, known in standings
        }

    def flush(self, timeout: float) -> bool:
        """Wait until the listener has heard of everything, at most `timeout` seconds; False when it has not."""
        told = self._worker.submit(bool) if self._worker is not None else None
        try:
            return told is None or told.result(timeout) is False
        except TimeoutError:
            return False


def _spent(standing: LimitResult) -> float:
    return standing.spent if standing.spent is not None else 0.0
