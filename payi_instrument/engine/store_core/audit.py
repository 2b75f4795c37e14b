"""The whole ledger as its totals are worked out again: limits and their periods in pages, events one after another."""

from __future__ import annotations

from itertools import starmap
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import BigInteger, select, tuple_, type_coerce

from payi_instrument.engine import schema
from payi_instrument.engine.periods import FIGURES, Counted, LimitKey, Place, Totals

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from sqlalchemy import Column, Connection, Label, Row, Table

_EVENTS = schema.events.c
_LIMITS = schema.limits.c
_AT_A_TIME = 1000
"""Events that a database's driver holds in memory."""


def micros(column: Column[datetime]) -> Label[int]:
    """Read a moment as the microseconds that are stored."""
    return type_coerce(column, BigInteger).label(column.name)


COUNTED = (
    _EVENTS.application,
    micros(_EVENTS.event_timestamp),
    micros(_EVENTS.ingest_timestamp),
    _EVENTS.cost_input,
    _EVENTS.cost_output,
    _EVENTS.limits,
)
"""The columns of :class:`Counted`."""


class LimitBook(NamedTuple):
    """A limit whose totals are checked: when it was made and when the running ones began (µs), and what they are."""

    key: LimitKey
    created: int
    since: int | None
    totals: Totals


class AuditRows:
    """Everything that totals are made of, inside one transaction."""

    def __init__(self, connection: Connection) -> None:
        """Take a connection with an open transaction."""
        self._connection = connection

    def limits(self, after: LimitKey | None, size: int) -> list[LimitBook]:
        """Read the next limits behind one, in the order of application and id."""
        statement = select(
            _LIMITS.application,
            _LIMITS.limit_id,
            micros(_LIMITS.created),
            micros(_LIMITS.since),
            *(_LIMITS[figure] for figure in FIGURES),
        )
        if after is not None:
            statement = statement.where(tuple_(_LIMITS.application, _LIMITS.limit_id) > after)
        rows = self._connection.execute(statement.order_by(_LIMITS.application, _LIMITS.limit_id).limit(size))
        return [LimitBook((row.application, row.limit_id), row.created, row.since, _figures(row)) for row in rows]

    def closed(self, first: LimitKey, last: LimitKey) -> dict[Place, Totals]:
        """Read the closed periods of the limits from one to another."""
        return self._between(schema.limit_periods, first, last)

    def pruned(self, first: LimitKey, last: LimitKey) -> dict[Place, Totals]:
        """Read what events that were pruned had added to the periods of the limits from one to another."""
        return self._between(schema.pruned_totals, first, last)

    def _between(self, table: Table, first: LimitKey, last: LimitKey) -> dict[Place, Totals]:
        columns = table.c
        key = tuple_(columns.application, columns.limit_id)
        figures = (columns[figure] for figure in FIGURES)
        statement = select(columns.application, columns.limit_id, micros(columns.until), *figures)
        rows = self._connection.execute(statement.where(key >= first, key <= last))
        return {Place(row.application, row.limit_id, row.until): _figures(row) for row in rows}

    def events(self) -> Iterator[Counted]:
        """Read every event that counts on a limit, a few at a time."""
        statement = select(*COUNTED).where(_EVENTS.limits != "[]")
        return starmap(Counted, self._connection.execute(statement.execution_options(yield_per=_AT_A_TIME)))


def _figures(row: Row[Any]) -> Totals:
    return Totals(*(getattr(row, figure) for figure in FIGURES))
