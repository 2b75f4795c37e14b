"""What the ingest path reads and writes inside one transaction on SQLite; statements cost no round trip here."""

from __future__ import annotations

import json
from decimal import Decimal
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from payi_instrument.engine.ledger import STATES, EventRow, LimitRow, PeriodRow
from payi_instrument.engine.resources import CustomVersion, to_versions
from payi_instrument.engine.store_sqlite_use_cases import SqliteInstances

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

    from payi_instrument.engine.pricing import ResourceVersion

_EVENT_COLUMNS = ", ".join(EventRow._fields)
_INSERT_EVENT = (
    f"INSERT INTO events ({_EVENT_COLUMNS}) VALUES ({', '.join('?' * len(EventRow._fields))})"  # noqa: S608  # our names
    " ON CONFLICT (application, event_id) DO NOTHING"
)
_FIND_EVENT = f"SELECT {_EVENT_COLUMNS} FROM events WHERE application = ? AND event_id = ?"  # noqa: S608
_REPLACE_EVENT = (
    f"UPDATE events SET ({_EVENT_COLUMNS}) = ({', '.join('?' * len(EventRow._fields))}) WHERE request_id = ?"  # noqa: S608
)
_FIND_RESPONSES = (
    f"SELECT {_EVENT_COLUMNS} FROM events"  # noqa: S608
    " WHERE application = ? AND category = ? AND provider_response_id = ? ORDER BY request_id DESC LIMIT 2"
)
_LIMIT_COLUMNS = (
    "limit_id, limit_type, max, threshold, spent_input, spent_output,"
    " ok, exceeded, overrun, blocked, blocked_external, failed, since, created"
)
_SELECT_BY_ID = f"SELECT {_LIMIT_COLUMNS} FROM limits WHERE application = ? AND limit_id IN"  # noqa: S608
_MAX_MARKS = 16
"""Most ids that are bound one by one; a longer list travels as JSON, so that few statements have to be prepared."""
_SELECT_LIMITS = [f"{_SELECT_BY_ID} ({', '.join('?' * count)}) ORDER BY limit_id" for count in range(_MAX_MARKS + 1)]
_SELECT_MANY_LIMITS = f"{_SELECT_BY_ID} (SELECT value FROM json_each(?)) ORDER BY limit_id"  # noqa: S608
_SAVE_LIMIT = (
    "UPDATE limits SET spent_input = ?, spent_output = ?, ok = ?, exceeded = ?, overrun = ?, blocked = ?,"
    " blocked_external = ?, failed = ? WHERE application = ? AND limit_id = ?"
)
_PERIOD = "application = ? AND limit_id = ? AND until"
_FIND_PERIOD = f"SELECT until, spent_input, spent_output FROM limit_periods WHERE {_PERIOD} > ? ORDER BY until LIMIT 1"  # noqa: S608
_SAVE_PERIOD = {
    state: f"UPDATE limit_periods SET spent_input = ?, spent_output = ?, {state} = {state} + ? WHERE {_PERIOD} = ?"  # noqa: S608
    for state in STATES
}
_VERSIONS = (
    "SELECT resource_id, start_timestamp, units, max_input_units, max_output_units, max_total_units, deleted"
    " FROM resource_versions WHERE category = ? AND resource = ? AND deleted IS NULL ORDER BY start_timestamp"
)
_HAS_CATEGORY = "SELECT 1 FROM resource_versions WHERE category = ? AND deleted IS NULL LIMIT 1"


class SqliteBooks:
    """Read and write on the store's connection, each statement at once."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        """Take the store's connection."""
        self._execute = connection.execute
        self.instances = SqliteInstances(connection.execute)

    def lock_limits(self, application: str, limit_ids: Sequence[str]) -> dict[str, LimitRow]:
        """Read the limits that exist; the transaction has every lock there is."""
        if len(limit_ids) <= _MAX_MARKS:
            rows = self._execute(_SELECT_LIMITS[len(limit_ids)], (application, *limit_ids))
        else:
            rows = self._execute(_SELECT_MANY_LIMITS, (application, json.dumps(list(limit_ids))))
        return {row[0]: _limit(row) for row in rows}

    def insert_event(self, row: EventRow) -> bool:
        """Store an event; False when its event id is known already."""
        return self._execute(_INSERT_EVENT, row).rowcount == 1

    def save_limits(self, application: str, rows: Sequence[LimitRow]) -> None:
        """Write back what changed of the limits."""
        for row in rows:
            self._execute(
                _SAVE_LIMIT,
                (
                    f"{row.spent_input:f}",
                    f"{row.spent_output:f}",
                    row.ok,
                    row.exceeded,
                    row.overrun,
                    row.blocked,
                    row.blocked_external,
                    row.failed,
                    application,
                    row.limit_id,
                ),
            )

    def find_period(self, application: str, limit_id: str, moment: int) -> PeriodRow | None:
        """Find the closed period of a limit that a moment belongs to."""
        row = self._execute(_FIND_PERIOD, (application, limit_id, moment)).fetchone()
        return None if row is None else PeriodRow(row[0], Decimal(row[1]), Decimal(row[2]))

    def save_period(self, application: str, limit_id: str, period: PeriodRow, state: str, more: int = 1) -> None:
        """Write back what was spent in a closed period, and count `more` events in a state."""
        spent = (f"{period.spent_input:f}", f"{period.spent_output:f}")
        self._execute(_SAVE_PERIOD[state], (*spent, more, application, limit_id, period.until))

    def replace_event(self, row: EventRow) -> None:
        """Store an event in the place of the one with its request id."""
        self._execute(_REPLACE_EVENT, (*row, row.request_id))

    def find_event(self, application: str, event_id: str) -> EventRow | None:
        """Find an event by its event id."""
        row = self._execute(_FIND_EVENT, (application, event_id)).fetchone()
        return EventRow._make(row) if row is not None else None

    def find_responses(self, application: str, category: str, provider_response_id: str) -> list[EventRow]:
        """Find the events of a provider's response, the latest first, at most two."""
        rows = self._execute(_FIND_RESPONSES, (application, category, provider_response_id))
        return [EventRow._make(row) for row in rows]

    def custom_versions(self, category: str, resource: str) -> list[ResourceVersion]:
        """Read the versions of a custom resource that are not deleted, oldest first, `end` filled in."""
        rows = self._execute(_VERSIONS, (category, resource))
        return to_versions(category, resource, (CustomVersion._make(row) for row in rows))

    def has_custom_category(self, category: str) -> bool:
        """Say whether a category has a custom resource that is not deleted."""
        return self._execute(_HAS_CATEGORY, (category,)).fetchone() is not None


def _limit(row: tuple[Any, ...]) -> LimitRow:
    return LimitRow(row[0], row[1], _term(row[2]), _term(row[3]), Decimal(row[4]), Decimal(row[5]), *row[6:])


_term = lru_cache(1024)(Decimal)  # max and threshold stay the same from event to event
