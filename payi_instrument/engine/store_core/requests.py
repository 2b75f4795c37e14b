"""The rows of stored events, as requests read and change them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import select, update

from payi_instrument.engine import schema
from payi_instrument.engine.ledger import EventRow, to_micros

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, Connection, Row

_EVENTS = schema.events.c


class RequestRows:
    """Stored events inside one transaction."""

    def __init__(self, connection: Connection, *, locks: bool) -> None:
        """Take a connection with an open transaction, and whether what is found is locked, to be changed."""
        self._connection = connection
        self._locks = locks

    def find(self, application: str, request_id: str) -> EventRow | None:
        """Find an event of an application by the id that the meter gave it."""
        return self._latest(_EVENTS.application == application, _EVENTS.request_id == request_id)

    def find_response(self, application: str, category: str, provider_response_id: str) -> EventRow | None:
        """Find the latest event of a provider's response; several may share its id (decision 7)."""
        return self._latest(
            _EVENTS.application == application,
            _EVENTS.category == category,
            _EVENTS.provider_response_id == provider_response_id,
        )

    def _latest(self, *conditions: ColumnElement[bool]) -> EventRow | None:
        statement = select(schema.events).where(*conditions).order_by(_EVENTS.request_id.desc()).limit(1)
        row = self._connection.execute(statement.with_for_update() if self._locks else statement).one_or_none()
        return None if row is None else _event(row)

    def change_properties(self, request_id: str, properties: str | None) -> None:
        """Store the properties of an event, JSON text or None for none."""
        statement = update(schema.events).where(_EVENTS.request_id == request_id)
        self._connection.execute(statement.values(properties=properties))


def _event(row: Row[Any]) -> EventRow:
    """Return a row as the ingest path has it: times in microseconds, money as text."""
    values: dict[str, Any] = dict(row._mapping)  # noqa: SLF001  # the documented way to a row's names
    values |= {name: to_micros(values[name]) for name in ("event_timestamp", "ingest_timestamp")}
    values |= {name: f"{values[name]:f}" for name in ("cost_input", "cost_output")}
    return EventRow(**values)
