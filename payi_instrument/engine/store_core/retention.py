"""What retention and erasure take away: a window of events at a time, each in a transaction of its own."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import starmap
from typing import TYPE_CHECKING, NamedTuple

from sqlalchemy import delete, func, insert, select, update

from payi_instrument.engine import schema
from payi_instrument.engine.ledger import from_micros
from payi_instrument.engine.periods import FIGURES, RUNNING, Calendar, Counted, LimitKey, Place, Totals
from payi_instrument.engine.store_core.audit import COUNTED, micros
from payi_instrument.ids import first_id

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import ColumnElement, Connection

_EVENTS = schema.events.c
_LIMITS = schema.limits.c
_PERIODS = schema.limit_periods.c
_PRUNED = schema.pruned_totals.c
_FACTS = schema.ledger_facts.c
_HORIZON = _FACTS.name == "pruned_before"
_CLOCKS_APART = timedelta(minutes=10)
"""How much later than it was stored an event's id may say it was made, with room to spare: transactions wait for locks."""
_MAX_MARKS = 500
"""Most ids that one statement names."""


class Window(NamedTuple):
    """Name the events whose ids come after one, up to and with another."""

    after: str
    last: str

    def holds(self) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
        """Return what is true of its events."""
        return _EVENTS.request_id > self.after, _EVENTS.request_id <= self.last


class RetentionRows:
    """What is to go, and what stays of it, inside one transaction."""

    def __init__(self, connection: Connection) -> None:
        """Take a connection with an open transaction."""
        self._connection = connection

    def window(self, after: str, size: int, before: datetime | None) -> Window | None:
        """Return the next events behind an id, None when there are no more: all, or those stored before a moment."""
        statement = select(_EVENTS.request_id).where(_EVENTS.request_id > after)
        if before is not None:
            statement = statement.where(_EVENTS.request_id < first_id(before + _CLOCKS_APART))
        ids = statement.order_by(_EVENTS.request_id).limit(size).subquery()
        last = self._connection.execute(select(func.max(ids.c.request_id))).scalar_one()
        return None if last is None else Window(after, last)

    def prune(self, window: Window, before: datetime) -> int:
        """Remove the events of a window that happened and were stored before a moment; return how many went.

        What they had added to limits is kept, so that totals can still be worked out again.
        """
        self._overwrite_what_goes()
        old = (*window.holds(), _EVENTS.event_timestamp < before, _EVENTS.ingest_timestamp < before)
        events = starmap(Counted, self._connection.execute(select(*COUNTED).where(*old)))
        calendar = self._calendar({(event.application, id_) for event in events for id_, _ in event.standings()})
        gone = list(starmap(Counted, self._connection.execute(delete(schema.events).where(*old).returning(*COUNTED))))
        for place, totals in calendar.gather(gone).items():
            self._add(place, totals)
        self._move_horizon(before)
        return len(gone)

    def erase(self, window: Window, user_id: str, application: str | None) -> int:
        """Take away what a window's events of a user say of that user; return how many there were."""
        self._overwrite_what_goes()
        statement = update(schema.events).where(*window.holds(), _EVENTS.user_id == user_id)
        if application is not None:
            statement = statement.where(_EVENTS.application == application)
        nothing = dict.fromkeys(("user_id", "account_name", "properties", "detail"))
        return self._connection.execute(statement.values(nothing)).rowcount

    def pruned_before(self, application: str, limit_id: str) -> datetime | None:
        """Return the moment before which events of a limit's running period may be gone, None when all are there."""
        some = select(_PRUNED.limit_id).where(*_at(Place(application, limit_id, RUNNING)))
        horizon = self._connection.execute(select(_FACTS.value).where(_HORIZON, some.exists())).scalar()
        return None if horizon is None else datetime.fromisoformat(horizon)

    def _overwrite_what_goes(self) -> None:
        if self._connection.dialect.name == "sqlite":  # it leaves deleted text in the file otherwise
            self._connection.exec_driver_sql("PRAGMA secure_delete = ON")

    def _calendar(self, keys: set[LimitKey]) -> Calendar:
        """Read when limits were made and their periods closed; none of them is reset or deleted meanwhile."""
        created: dict[LimitKey, int] = {}
        closed: list[Place] = []
        for application, ids in _parts(keys):
            locked = (
                select(_LIMITS.limit_id, micros(_LIMITS.created))
                .where(_LIMITS.application == application, _LIMITS.limit_id.in_(ids))
                .order_by(_LIMITS.limit_id)
                .with_for_update(key_share=True)
            )
            created |= {(application, limit_id): at for limit_id, at in self._connection.execute(locked)}
            ends = select(_PERIODS.limit_id, micros(_PERIODS.until)).where(
                _PERIODS.application == application, _PERIODS.limit_id.in_(ids)
            )
            closed += [Place(application, limit_id, until) for limit_id, until in self._connection.execute(ends)]
        return Calendar(created, closed)

    def _add(self, place: Place, totals: Totals) -> None:
        row = self._connection.execute(
            select(*(_PRUNED[figure] for figure in FIGURES)).where(*_at(place))
        ).one_or_none()
        if row is not None:
            totals.add(Totals(*row))
        values = {figure: getattr(totals, figure) for figure in FIGURES}
        if row is not None:
            self._connection.execute(update(schema.pruned_totals).where(*_at(place)).values(values))
            return
        named = {"application": place.application, "limit_id": place.limit_id, "until": from_micros(place.until)}
        self._connection.execute(insert(schema.pruned_totals).values({**named, **values}))

    def _move_horizon(self, before: datetime) -> None:
        known = self._connection.execute(select(_FACTS.value).where(_HORIZON)).scalar()
        if known is None:
            values = {"name": "pruned_before", "value": before.isoformat()}
            self._connection.execute(insert(schema.ledger_facts).values(values))
        elif before > datetime.fromisoformat(known):
            self._connection.execute(update(schema.ledger_facts).where(_HORIZON).values(value=before.isoformat()))


def _at(place: Place) -> tuple[ColumnElement[bool], ...]:
    return (
        _PRUNED.application == place.application,
        _PRUNED.limit_id == place.limit_id,
        _PRUNED.until == from_micros(place.until),
    )


def _parts(keys: set[LimitKey]) -> Iterator[tuple[str, list[str]]]:
    """Part limits by application, in the order of their ids, into as many as a statement takes."""
    ids: dict[str, list[str]] = {}
    for application, limit_id in sorted(keys):
        ids.setdefault(application, []).append(limit_id)
    for application, all_of_them in ids.items():
        for start in range(0, len(all_of_them), _MAX_MARKS):
            yield application, all_of_them[start : start + _MAX_MARKS]
