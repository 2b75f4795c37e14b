"""What is known of the limits without asking: the last standing of each, and who wants to hear of its changes.

Source: instrumentation-semantics section 7.
"""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, NamedTuple

from payi_instrument.guard import Guard
from payi_instrument.wire.result import LimitResult

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from payi_instrument.config import LimitStateListener
    from payi_instrument.wire.result import XproxyResult

_LISTEN = Guard("call on_limit_state")


class _Known(NamedTuple):
    standing: LimitResult
    learned: float


class KnownLimits:
    """Remember the last standing of every limit that was seen, and tell a listener of each change of state."""

    def __init__(self, listener: LimitStateListener | None = None) -> None:
        """Take who is told; it is called on a thread of its own, one change after the other."""
        self._known: dict[str, _Known] = {}
        self._lock = threading.Lock()
        self._listener = listener
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="payi-limit-states") if listener is not None else None

    def standing(self, limit_id: str) -> LimitResult | None:
        """Return the last known standing of a limit."""
        known = self._known.get(limit_id)
        return known.standing if known is not None else None

    def age(self, limit_id: str) -> float:
        """Return how many seconds ago a limit was last heard of, infinity for never."""
        known = self._known.get(limit_id)
        return time.monotonic() - known.learned if known is not None else float("inf")

    def learn(self, standings: Mapping[str, LimitResult], asked: float) -> list[tuple[str, str | None, str]]:
        """Take what the meter said about limits to a question put at `asked` (monotonic seconds); return what changed.

        Answers to concurrent calls may arrive out of order: one that shows less spend than is known counts only when its
        question was put after that became known, which is how a reset looks.
        """
        changes: list[tuple[str, str | None, str]] = []
        now = time.monotonic()
        with self._lock:
            for limit_id, standing in standings.items():
                known = self._known.get(limit_id)
                if known is not None and asked < known.learned and _spent(standing) < _spent(known.standing):
                    continue
                self._known[limit_id] = _Known(standing, now)
                old = known.standing.state if known is not None else None
                if standing.state is not None and standing.state not in {old, "failed", "blocked_external"}:
                    if old is not None or standing.state != "ok":
                        changes.append((limit_id, old, standing.state))
        return changes

    def hear(self, result: XproxyResult, asked: float) -> None:
        """Learn from the result of an event, and tell the listener."""
        if not result.limits:
            return
        for change in self.learn(result.limits, asked):
            if self._thread is not None:
                self._thread.submit(self._tell, *change, result)

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
        if self._thread is None:
            return True
        try:
            self._thread.submit(bool).result(timeout)
        except TimeoutError:
            return False
        return True


def _spent(standing: LimitResult) -> float:
    return standing.spent if standing.spent is not None else 0.0
