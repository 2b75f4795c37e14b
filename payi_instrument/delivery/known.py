"""What is known of the limits without asking: the last standing of each, and who wants to hear of its changes.

Source: instrumentation-semantics section 7.
"""

from __future__ import annotations

import os
import threading
import time
import weakref
from typing import TYPE_CHECKING, NamedTuple

from payi_instrument.delivery.instances import KnownInstances
from payi_instrument.delivery.worker import Worker
from payi_instrument.guard import Guard
from payi_instrument.wire.result import LaterResult, LimitResult

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from payi_instrument.config import LimitStateListener
    from payi_instrument.event import Attribution
    from payi_instrument.wire.result import XproxyResult

_LISTEN = Guard("call on_limit_state")


_PASSING = frozenset({None, "failed", "blocked_external"})
"""States that say something of the call, not of the limit."""


_TYPE_TTL_S = 30.0
"""How long a limit counts as only tracking before its standing is looked at again: it may be made anew as `block`."""


class _Known(NamedTuple):
    """What was heard last of a limit: the standings it is among, made when somebody asks, and when that was."""

    said: Mapping[str, LimitResult] | LaterResult
    learned: float


class KnownLimits:
    """Remember the last standing of every limit that was seen, and tell a listener of each change of state."""

    def __init__(self, listener: LimitStateListener | None = None) -> None:
        """Take who is told; it is called on a thread of its own, one change after the other."""
        self._known: dict[str, _Known] = {}
        self._tracking: dict[str, float] = {}
        self._told: dict[str, str] = {}
        self.instances = KnownInstances()
        self._lock = threading.Lock()
        _every.add(self)
        self._listener = listener
        self._worker = Worker("payi-limit-states") if listener is not None else None

    def standing(self, limit_id: str) -> LimitResult | None:
        """Return the last known standing of a limit."""
        known = self._known.get(limit_id)
        if known is None:
            return None
        standings = known.said.limits if isinstance(known.said, LaterResult) else known.said
        return standings.get(limit_id)

    def only_tracks(self, limit_id: str) -> bool:
        """Say whether a limit is known to be of type `allow`, which stops nothing."""
        return limit_id in self._tracking

    def age(self, limit_id: str) -> float:
        """Return how many seconds ago a limit was last heard of, infinity for never."""
        known = self._known.get(limit_id)
        return time.monotonic() - known.learned if known is not None else float("inf")

    def learn(self, standings: Mapping[str, LimitResult], asked: float) -> None:
        """Take what the meter said about limits to a question put at `asked` (monotonic seconds)."""
        with self._lock:
            for limit_id in standings:
                self._take(limit_id, standings, asked)

    def hear(self, who: Attribution, result: XproxyResult, asked: float) -> None:
        """Learn from the result of an event, and tell the listener what changed since last time.

        A result that is not made yet, which is of no other limits than the event named, stays so when those only track and
        nobody listens.
        """
        limit_ids = who.limit_ids
        for limit_id in self.instances.hear(who, result):
            for known in (self._known, self._tracking, self._told):
                known.pop(limit_id, None)
        if isinstance(result, LaterResult) and self._may_wait(limit_ids):
            heard = _Known(result, time.monotonic())
            for limit_id in limit_ids:
                self._known[limit_id] = heard
            return
        if result.duplicate_request:  # its standings are those of long ago
            return
        late: list[tuple[str, str | None, str]] = []
        with self._lock:
            for limit_id, standing in result.limits.items():
                change = self._change(limit_id, standing) if self._take(limit_id, result.limits, asked) else None
                if change and self._worker is not None and self._worker.submit(self._tell, *change, result) is None:
                    late.append(change)
        for change in late:  # the interpreter ends, and its threads with it
            self._tell(*change, result)

    def _may_wait(self, limit_ids: Sequence[str]) -> bool:
        if self._worker is not None:
            return False
        oldest = time.monotonic() - _TYPE_TTL_S
        return all(self._tracking.get(limit_id, oldest) > oldest for limit_id in limit_ids)

    def _take(self, limit_id: str, standings: Mapping[str, LimitResult], asked: float) -> bool:
        """Remember a standing; False for one that is older than what is known.

        Answers to concurrent calls may arrive out of order: one that shows less spend than is known counts only when its
        question was put after that became known, which is how a reset looks.
        """
        standing = standings[limit_id]
        known = self._known.get(limit_id)
        before = self.standing(limit_id)
        if known is not None and before is not None and asked < known.learned and _spent(standing) < _spent(before):
            return False
        now = time.monotonic()
        self._known[limit_id] = _Known(standings, now)
        if standing.limit_type == "allow":
            self._tracking[limit_id] = now
        else:
            self._tracking.pop(limit_id, None)
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

    def forget_lock(self) -> None:
        """Take a lock of its own in a forked child: a thread that did not come along may have held this one."""
        self._lock = threading.Lock()


_every: weakref.WeakSet[KnownLimits] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    for known in list(_every):
        known.forget_lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)


def _spent(standing: LimitResult) -> float:
    return standing.spent if standing.spent is not None else 0.0
