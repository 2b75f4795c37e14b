"""Where events count, and what they add up to there: the totals of limits, worked out from the events themselves.

An event counts on the limits that it names and that were there when it was stored, each in the period that its own time
belongs to. Source: limits-semantics sections 3, 5 and 7.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from payi_instrument.engine.ledger import STATES
from payi_instrument.engine.pricing import EXACT, ZERO

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from decimal import Decimal

RUNNING = 0
"""Stands for the end of the period that is running."""
FIGURES = ("spent_input", "spent_output", *STATES)
"""What is known of a period, in the order of :class:`Totals`."""

LimitKey = tuple[str, str]
"""Application and id of a limit."""


class Place(NamedTuple):
    """Name a period of a limit by its end (µs, exclusive)."""

    application: str
    limit_id: str
    until: int


class Counted(NamedTuple):
    """Hold what of a stored event counts; times are in microseconds, limits as the ledger keeps them."""

    application: str
    event_timestamp: int
    ingest_timestamp: int
    cost_input: Decimal
    cost_output: Decimal
    limits: str

    def standings(self) -> list[tuple[str, str]]:
        """Return the ids of its limits, each with the state that the event reported."""
        return [(limit_id, state) for limit_id, state, *_ in json.loads(self.limits)]


@dataclass(slots=True)
class Totals:
    """Add up what was spent on each side, and how many events reported which state."""

    spent_input: Decimal = ZERO
    spent_output: Decimal = ZERO
    ok: int = 0
    exceeded: int = 0
    overrun: int = 0
    blocked: int = 0
    blocked_external: int = 0
    failed: int = 0

    def count(self, event: Counted, state: str) -> None:
        """Add an event."""
        self.spent_input = EXACT.add(self.spent_input, event.cost_input)
        self.spent_output = EXACT.add(self.spent_output, event.cost_output)
        setattr(self, state, getattr(self, state) + 1)

    def add(self, other: Totals) -> None:
        """Add other totals."""
        self.spent_input = EXACT.add(self.spent_input, other.spent_input)
        self.spent_output = EXACT.add(self.spent_output, other.spent_output)
        for state in STATES:
            setattr(self, state, getattr(self, state) + getattr(other, state))


class Calendar:
    """Know when limits were made and when their closed periods ended."""

    def __init__(self, created: Mapping[LimitKey, int], closed: Iterable[Place]) -> None:
        """Take when each limit was made (µs), and the closed periods of these limits."""
        self._created = created
        self._ends: dict[LimitKey, list[int]] = {}
        for place in sorted(closed):
            self._ends.setdefault(place[:2], []).append(place.until)

    def gather(self, events: Iterable[Counted]) -> dict[Place, Totals]:
        """Add up events where they count; what they say of other limits is left out."""
        totals: defaultdict[Place, Totals] = defaultdict(Totals)
        for event in events:
            for limit_id, state in event.standings():
                key = (event.application, limit_id)
                created = self._created.get(key)
                if created is not None and event.ingest_timestamp >= created:  # else an earlier limit had the id
                    totals[Place(*key, self._end(key, event.event_timestamp))].count(event, state)
        return totals

    def _end(self, key: LimitKey, moment: int) -> int:
        """Return the end of the period that a moment belongs to: the first one after it."""
        ends = self._ends.get(key)
        if ends is None or moment >= ends[-1]:
            return RUNNING
        return ends[bisect_right(ends, moment)]
