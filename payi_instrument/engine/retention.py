"""Take events away: those that are old enough, or what they say of one user.

A window of events at a time, so that nobody who ingests meanwhile waits for long.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from payi_instrument.engine.ledger import RacedError
from payi_instrument.errors import APIConnectionError

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from payi_instrument.engine.store_core.retention import Window
    from payi_instrument.engine.store_core.store import CoreStore, Ledger

_WINDOW = 1000
"""Events that one transaction looks at."""
_ATTEMPTS = 8
"""Times that a transaction is done again because the ingest was first; once is enough, nearly always."""


def prune(store: CoreStore, before: datetime) -> int:
    """Remove the events that happened and were stored before a moment, and return how many went.

    Totals of limits, their history, runs and scores stay. An event that is delivered again after it was removed counts
    again.
    """
    return _sum_of_windows(store, lambda ledger, window: ledger.retention.prune(window, before), before)


def erase_user(store: CoreStore, user_id: str, application: str | None = None) -> int:
    """Take a user's id, account, properties, prompts and headers out of the events, and return how many there were.

    The events stay, and count as before.
    """
    return _sum_of_windows(store, lambda ledger, window: ledger.retention.erase(window, user_id, application), None)


def _sum_of_windows(store: CoreStore, work: Callable[[Ledger, Window], int], before: datetime | None) -> int:
    done, after, attempt = 0, "", 1
    while True:
        begun = time.monotonic()
        try:
            with store.transaction("retention") as ledger:
                window = ledger.retention.window(after, _WINDOW, before)
                if window is None:
                    return done
                count = work(ledger, window)
        except RacedError as error:
            attempt += 1
            if attempt > _ATTEMPTS:
                raise APIConnectionError(f"others were first {_ATTEMPTS} times in a row: {error}") from error
        else:
            done, after, attempt = done + count, window.last, 1
        time.sleep(time.monotonic() - begun)  # as much time as it took is left to those who wait to write
