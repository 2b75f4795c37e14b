"""Work the totals of all limits out again from the events, and say where they are not what is stored."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from payi_instrument.engine.ledger import from_micros
from payi_instrument.engine.periods import FIGURES, RUNNING, Calendar, LimitKey, Place, Totals

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from payi_instrument.engine.periods import Counted
    from payi_instrument.engine.store_core.audit import LimitBook
    from payi_instrument.engine.store_core.store import Ledger

_AT_A_TIME = 100_000
"""Limits that are held in memory; the events are read once for each so many."""


class Difference(NamedTuple):
    """Say what is stored of a period, and what its events and those that were pruned add up to."""

    place: Place
    figure: str
    stored: object
    found: object


@dataclass(slots=True)
class Findings:
    """Hold what was looked at, and what does not agree."""

    limits: int = 0
    periods: int = 0
    events: int = 0
    differences: list[Difference] = field(default_factory=list[Difference])

    def counted(self, events: Iterable[Counted]) -> Iterator[Counted]:
        """Pass events on and count them."""
        self.events = 0
        for event in events:
            self.events += 1
            yield event


def verify(ledger: Ledger, at_a_time: int = _AT_A_TIME) -> Findings:
    """Compare the totals of every limit and closed period with its events; memory does not grow with their number.

    The ledger has to be one that reads everything as it stood at one moment.
    """
    findings = Findings()
    books = ledger.audit.limits(None, at_a_time)
    while books:
        _compare(ledger, books, findings)
        books = ledger.audit.limits(books[-1].key, at_a_time)
    return findings


def _compare(ledger: Ledger, books: list[LimitBook], findings: Findings) -> None:
    first, last = books[0].key, books[-1].key
    stored = ledger.audit.closed(first, last)
    calendar = Calendar({book.key: book.created for book in books}, stored)
    found = calendar.gather(findings.counted(ledger.audit.events()))
    for place, totals in ledger.audit.pruned(first, last).items():
        found.setdefault(place, Totals()).add(totals)
    findings.limits += len(books)
    findings.periods += len(stored)
    findings.differences += _beginnings(books, stored)
    stored |= {Place(*book.key, RUNNING): book.totals for book in books}
    for place in sorted(stored.keys() | found.keys()):
        findings.differences += _differences(place, stored.get(place, Totals()), found.get(place, Totals()))


def _beginnings(books: list[LimitBook], closed: Mapping[Place, Totals]) -> Iterator[Difference]:
    """Name the limits whose running period does not begin where the last closed one ended."""
    ends: dict[LimitKey, int] = {}
    for application, limit_id, until in closed:
        ends[application, limit_id] = max(until, ends.get((application, limit_id), RUNNING))
    for book in books:
        end = ends.get(book.key)
        if book.since != end:
            yield Difference(Place(*book.key, RUNNING), "since", _moment(book.since), _moment(end))


def _moment(micros: int | None) -> str | None:
    return None if micros is None else from_micros(micros).isoformat()


def _differences(place: Place, stored: Totals, found: Totals) -> Iterator[Difference]:
    for figure in FIGURES:
        before, after = getattr(stored, figure), getattr(found, figure)
        if before != after:
            yield Difference(place, figure, before, after)
