"""The rows of limits and of their closed periods."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, insert, select, update

from payi_instrument.engine import schema
from payi_instrument.engine.ledger import STATES, from_micros, to_micros
from payi_instrument.engine.periods import RUNNING
from payi_instrument.engine.store_core.keyset import paged
from payi_instrument.ids import first_id

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime
    from decimal import Decimal

    from sqlalchemy import Connection, Row

    from payi_instrument.engine.pages import Listing

_LIMITS = schema.limits.c
_PERIODS = schema.limit_periods.c
_PRUNED = schema.pruned_totals.c
_EVENTS = schema.events.c
_CLOCKS_APART = timedelta(minutes=10)
"""How far an event's time may lie after it was stored, with room to spare: five minutes are accepted."""


class LimitRows:
    """Limits inside one transaction."""

    def __init__(self, connection: Connection, *, locks: bool) -> None:
        """Take a connection with an open transaction, and whether what is found is locked, to be changed."""
        self._connection = connection
        self._locks = locks

    def find(self, application: str, limit_id: str) -> Mapping[str, Any] | None:
        """Find a limit by its id."""
        return self._one(_LIMITS.application == application, _LIMITS.limit_id == limit_id)

    def find_by_name(self, application: str, limit_name: str) -> Mapping[str, Any] | None:
        """Find a limit by its exact name."""
        return self._one(_LIMITS.application == application, _LIMITS.limit_name == limit_name)

    def _one(self, *conditions: Any) -> Mapping[str, Any] | None:
        statement = select(schema.limits).where(*conditions)
        row = self._connection.execute(statement.with_for_update() if self._locks else statement).one_or_none()
        return None if row is None else _mapping(row)

    def add(self, values: Mapping[str, Any]) -> None:
        """Store a new limit with nothing spent."""
        zeros = dict.fromkeys(STATES, 0)
        self._connection.execute(
            insert(schema.limits).values({**values, "properties": json.dumps(values["properties"]), **zeros})
        )

    def change(self, application: str, limit_id: str, values: Mapping[str, Any]) -> None:
        """Change the terms of a limit."""
        stored = dict(values)
        if "properties" in stored:
            stored["properties"] = json.dumps(stored["properties"])
        statement = update(schema.limits).where(_LIMITS.application == application, _LIMITS.limit_id == limit_id)
        self._connection.execute(statement.values(**stored))

    def remove(self, application: str, limit_id: str) -> bool:
        """Delete a limit and its closed periods; False when there is none."""
        removed = [
            self._connection.execute(
                delete(table).where(table.c.application == application, table.c.limit_id == limit_id)
            ).rowcount
            for table in (schema.limits, schema.limit_periods, schema.pruned_totals)  # its own row is the lock
        ]
        return removed[0] == 1

    def page(
        self, application: str, listing: Listing[int], *, limit_name: str | None, properties: set[tuple[str, str]]
    ) -> list[Mapping[str, Any]]:
        """Read a page of limits by creation time, and one more; all `properties` have to match."""
        statement = select(schema.limits).where(_LIMITS.application == application)
        if limit_name is not None:
            statement = statement.where(_LIMITS.limit_name == limit_name)
        found: list[Mapping[str, Any]] = []
        while True:  # properties are compared here: the databases read JSON in ways of their own
            rows = list(self._connection.execute(paged(statement, listing, _LIMITS.created, _LIMITS.limit_id)))
            limits = [_mapping(row) for row in rows]
            found += [limit for limit in limits if properties <= limit["properties"].items()]
            if len(found) > listing.size or len(rows) <= listing.size:
                return found[: listing.size + 1]
            listing = replace(listing, after=(to_micros(limits[-1]["created"]), limits[-1]["limit_id"]))

    def add_period(self, values: Mapping[str, Any]) -> None:
        """Store a period that a reset closed; what was pruned of the running one belongs to it now."""
        self._connection.execute(insert(schema.limit_periods).values(**values))
        running = (
            _PRUNED.application == values["application"],
            _PRUNED.limit_id == values["limit_id"],
            _PRUNED.until == from_micros(RUNNING),
        )
        self._connection.execute(update(schema.pruned_totals).where(*running).values(until=values["until"]))

    def periods(self, application: str, limit_id: str, listing: Listing[int]) -> list[Mapping[str, Any]]:
        """Read a page of a limit's closed periods by the time of their reset, and one more."""
        statement = select(schema.limit_periods).where(
            _PERIODS.application == application, _PERIODS.limit_id == limit_id
        )
        rows = self._connection.execute(paged(statement, listing, _PERIODS.until, _PERIODS.limit_id))
        return [dict(row._mapping) for row in rows]  # noqa: SLF001  # the documented way to a row's names

    def events_from(self, limit: Mapping[str, Any], moment: datetime) -> Iterator[tuple[str, Decimal, Decimal]]:
        """Read the state that each event at or after `moment` reported for a limit, and its cost on either side."""
        statement = select(_EVENTS.limits, _EVENTS.cost_input, _EVENTS.cost_output).where(
            _EVENTS.application == limit["application"],
            _EVENTS.request_id >= first_id(moment - _CLOCKS_APART),  # no event is stored long before it happens
            _EVENTS.event_timestamp >= moment,
            _EVENTS.ingest_timestamp >= limit["created"],  # an earlier limit may have had the id
            _EVENTS.limits.contains(json.dumps(limit["limit_id"]), autoescape=True),
        )
        for limits, cost_input, cost_output in self._connection.execute(statement):
            for limit_id, state, *_ in json.loads(limits):
                if limit_id == limit["limit_id"]:
                    yield state, cost_input, cost_output


def _mapping(row: Row[Any]) -> Mapping[str, Any]:
    values = dict(row._mapping)  # noqa: SLF001  # the documented way to a row's names
    return values | {"properties": json.loads(values["properties"])}
