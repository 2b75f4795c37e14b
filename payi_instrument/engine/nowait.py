"""The ledger for callers on an event loop: booked at once where nobody has to be waited for.

An uncontended commit takes less of the loop's time than handing the event to a thread and back (ADR 6). It waits for no
lock and for no disk: a store of its own finds another writer at once, and every so often a commit is left to the others,
who move the log into the file. Design decision 8: a lone caller pays no hop.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from payi_instrument.engine.ledger import IngestStore, LedgerBusyError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from payi_instrument.engine.bookkeeper import Outcome
    from payi_instrument.engine.commit import Lock
    from payi_instrument.engine.ledger import Ingest, LimitRow
    from payi_instrument.engine.meter import Meter

_IN_A_ROW = 100
"""Commits between two that are left to the others; SQLite moves its log after about twice as many."""
_MAX_BATCH = 16
"""Most events that are worth less than the way to a thread and back."""


class NoWaitStore(IngestStore, Protocol):
    """A store that raises `LedgerBusyError` where another would wait."""

    @property
    def lock(self) -> Lock:
        """Return the lock that guards it."""
        ...

    def read_limits(self, application: str, limit_ids: Sequence[str]) -> dict[str, LimitRow]:
        """Read the limits that exist as they stand; raises `APIConnectionError`."""
        ...

    def close(self) -> None:
        """Close it."""
        ...


class MayWaitStore(Protocol):
    """A store that others wait for."""

    def without_waiting(self) -> NoWaitStore | None:
        """Return a store of the same ledger that never waits, None where that can't be."""
        ...


class NoWait:
    """Book and read without waiting; None is the answer where that can't be done now, and nothing was stored then."""

    def __init__(self, store: MayWaitStore, meter: Callable[[IngestStore], Meter]) -> None:
        """Take the ledger that others wait for, and how to make a meter on a store."""
        self._store = store.without_waiting()
        self._meter = meter(self._store) if self._store is not None else None
        self._commits = 0

    def ingest(self, batch: list[Ingest]) -> list[Outcome] | None:
        """Book events in order, in one transaction; raises `APIConnectionError` when the database fails."""
        store, meter = self._store, self._meter
        self._commits += 1
        due = self._commits % _IN_A_ROW == 0
        if store is None or meter is None or due or len(batch) > _MAX_BATCH or not store.lock.acquire(blocking=False):
            return None
        try:
            return meter.ingest(batch)
        except LedgerBusyError:
            return None
        finally:
            store.lock.release()

    def read_limits(self, application: str, limit_ids: list[str]) -> dict[str, LimitRow] | None:
        """Read the limits that exist; raises `APIConnectionError` when the database fails."""
        store = self._store
        if store is None or not store.lock.acquire(blocking=False):
            return None
        try:
            return store.read_limits(application, limit_ids)
        except LedgerBusyError:
            return None
        finally:
            store.lock.release()

    def close(self) -> None:
        """Close the store."""
        if self._store is not None:
            self._store.close()
