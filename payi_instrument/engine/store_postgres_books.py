"""One transaction of the ingest path on PostgreSQL: read in a few statements, answered from memory, written at the end.

Limits are locked in id order, events are written in the order of their ids: two transactions never wait for each other in
a circle. Events are copied in, or a few inserted as one JSON value, which costs a round trip less; a known
one shows itself by a conflict, and only then is looked for (measured: a look costs as much as a third of the insert).
"""

from __future__ import annotations

from dataclasses import fields
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from pydantic_core import to_json

from payi_instrument.engine.ledger import STATES, EventRow, LimitRow, PeriodRow, RacedError, plain
from payi_instrument.engine.resources import CustomVersion, to_versions
from payi_instrument.engine.store_postgres_use_cases import PostgresInstances

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from psycopg import Connection

    from payi_instrument.engine.ledger import Ingest
    from payi_instrument.engine.pricing import ResourceVersion

_COPIED_FROM = 8
"""Events from which on COPY is the cheaper way, in spite of one more round trip."""

_EVENT_COLUMNS = ", ".join(EventRow._fields)
_COPY = f"COPY events ({_EVENT_COLUMNS}) FROM STDIN".encode()
_INSERT = (
    f"INSERT INTO events ({_EVENT_COLUMNS}) SELECT {_EVENT_COLUMNS} FROM json_populate_recordset(NULL::events, %s::json)"  # noqa: S608  # our names
    " ON CONFLICT (application, event_id) DO NOTHING"
).encode()
_EVENTS_BY_ID = (
    f"SELECT {_EVENT_COLUMNS} FROM events"  # noqa: S608
    " JOIN unnest(%s::text[], %s::text[]) AS asked (application, event_id) USING (application, event_id)"
).encode()
_LOCK_RESPONSES = (
    b"SELECT request_id FROM events JOIN unnest(%s::text[], %s::text[], %s::text[])"
    b" AS asked (application, category, provider_response_id) USING (application, category, provider_response_id)"
    b" ORDER BY request_id FOR NO KEY UPDATE OF events"
)
_EVENTS_BY_RESPONSE = (
    f"SELECT {', '.join('found.' + name for name in EventRow._fields)}"  # noqa: S608
    " FROM (SELECT DISTINCT * FROM unnest(%s::text[], %s::text[], %s::text[])) AS asked (application, category, response)"
    " CROSS JOIN LATERAL (SELECT * FROM events WHERE events.application = asked.application"
    " AND events.category = asked.category AND events.provider_response_id = asked.response"
    " ORDER BY events.request_id DESC LIMIT 2) AS found ORDER BY found.request_id"
).encode()
_REPLACE_EVENT = (
    f"UPDATE events SET ({_EVENT_COLUMNS}) = ROW ({', '.join(['%s'] * len(EventRow._fields))}) WHERE request_id = %s"  # noqa: S608
).encode()

_LIMIT_COLUMNS = ", ".join(field.name for field in fields(LimitRow) if field.init and field.name != "changed")
_READ_LIMITS = f"SELECT {_LIMIT_COLUMNS} FROM limits WHERE application = %s AND limit_id = ANY(%s)".encode()  # noqa: S608
_LOCK_LIMITS = _READ_LIMITS + b" ORDER BY limit_id FOR NO KEY UPDATE"
_TOTALS = ("spent_input", "spent_output", *STATES)
_SAVE_LIMITS = (
    f"UPDATE limits SET ({', '.join(_TOTALS)}) = ROW ({', '.join('changed.' + name for name in _TOTALS)})"  # noqa: S608
    " FROM json_populate_recordset(NULL::limits, %s::json) AS changed"
    " WHERE limits.application = changed.application AND limits.limit_id = changed.limit_id"
).encode()

_PERIOD = "application = %s AND limit_id = %s AND until"
_FIND_PERIOD = (
    f"SELECT until, spent_input, spent_output FROM limit_periods WHERE {_PERIOD} > %s ORDER BY until LIMIT 1"  # noqa: S608
).encode()
_SAVE_PERIOD = {
    state: (
        f"UPDATE limit_periods SET spent_input = %s, spent_output = %s, {state} = {state} + %s WHERE {_PERIOD} = %s"  # noqa: S608
    ).encode()
    for state in STATES
}
_VERSIONS = (
    "SELECT resource_id, start_timestamp, units, max_input_units, max_output_units, max_total_units, deleted"
    " FROM resource_versions WHERE category = %s AND resource = %s AND deleted IS NULL ORDER BY start_timestamp"
)
_HAS_CATEGORY = "SELECT 1 FROM resource_versions WHERE category = %s AND deleted IS NULL LIMIT 1"


class PostgresBooks:
    """What a batch of events reads and writes inside one transaction."""

    def __init__(self, connection: Connection[tuple[Any, ...]], batch: Sequence[Ingest], *, looks_first: bool) -> None:
        """Take a connection with an open transaction, and read what the batch will ask for."""
        self._connection = connection
        self._new: dict[tuple[str, str], EventRow] = {}
        self._known: dict[tuple[str, str], EventRow] = {}
        self._responses: dict[tuple[str, str, str], list[EventRow]] = {}
        self._limits: list[tuple[str, LimitRow]] = []
        self._versions: dict[tuple[str, str], list[ResourceVersion]] = {}
        self.instances = PostgresInstances(connection, batch)
        self._find_responses(batch)
        if looks_first:
            self._find_events(batch)

    def _find_events(self, batch: Sequence[Ingest]) -> None:
        asked = [(item.application, item.event.event_id) for item in batch if item.event.event_id is not None]
        if asked:
            self._keep(self._connection.execute(_EVENTS_BY_ID, tuple(map(list, zip(*asked, strict=True)))))

    def _keep(self, rows: Iterable[tuple[Any, ...]]) -> None:
        for row in map(_event, rows):
            self._known[row.application, str(row.event_id)] = row

    def _find_responses(self, batch: Sequence[Ingest]) -> None:
        """Read the events of the responses that a direct ingest or an upsert names; an upsert's stay as they are read."""
        asked: dict[tuple[str, str, str], bool] = {}
        for item in batch:
            event = item.event
            if event.provider_response_id is not None and (event.event_id is None or item.replaces):
                key = (item.application, event.category, event.provider_response_id)
                asked[key] = asked.get(key, False) or item.replaces
        if not asked:
            return
        replaced = [key for key, replaces in asked.items() if replaces]
        locked: set[str] = set()
        while True:
            if replaced:
                columns = tuple(map(list, zip(*replaced, strict=True)))
                locked.update(row[0] for row in self._connection.execute(_LOCK_RESPONSES, columns))
            self._responses = {key: [] for key in asked}
            columns = tuple(map(list, zip(*asked, strict=True)))
            for row in map(_event, self._connection.execute(_EVENTS_BY_RESPONSE, columns)):
                self._responses[row.application, row.category, str(row.provider_response_id)].insert(0, row)
            if all(len(rows) > 1 or rows[0].request_id in locked for key in replaced if (rows := self._responses[key])):
                return  # else one was stored between the two statements; of several none is replaced

    def lock_limits(self, application: str, limit_ids: Sequence[str]) -> dict[str, LimitRow]:
        """Read the limits that exist, in id order, each locked before the next."""
        rows = self._connection.execute(_LOCK_LIMITS, (application, list(limit_ids)))
        return {row[0]: _limit(row) for row in rows}

    def insert_event(self, row: EventRow) -> bool:
        """Write an event with the others at the end; False when its event id is known already."""
        if row.event_id is None:
            row = row._replace(event_id=_id_of_response(row))
        key = (row.application, row.event_id or row.request_id)
        if key in self._new or key in self._known:
            return False
        self._new[key] = row
        if self._responses and row.provider_response_id is not None:
            found = self._responses.setdefault((row.application, row.category, row.provider_response_id), [])
            found.insert(0, row)
        return True

    def save_limits(self, application: str, rows: Sequence[LimitRow]) -> None:
        """Write what changed of the limits at the end."""
        self._limits += [(application, row) for row in rows]

    def find_event(self, application: str, event_id: str) -> EventRow | None:
        """Find an event by its event id."""
        key = (application, event_id)
        found = self._new.get(key) or self._known.get(key)
        if found is None:
            self._keep(self._connection.execute(_EVENTS_BY_ID, ([application], [event_id])))
            found = self._known.get(key)
        return found

    def find_responses(self, application: str, category: str, provider_response_id: str) -> list[EventRow]:
        """Find the events of a provider's response, the latest first, at most two."""
        return self._responses.get((application, category, provider_response_id), [])[:2]

    def replace_event(self, row: EventRow) -> None:
        """Store an event in the place of the one with its request id."""
        self._write_events()
        self._connection.execute(_REPLACE_EVENT, (*row, row.request_id))
        key = (row.application, row.category, str(row.provider_response_id))
        self._responses[key] = [row if row.request_id == old.request_id else old for old in self._responses[key]]
        if row.event_id is not None:
            self._known[row.application, row.event_id] = row

    def find_period(self, application: str, limit_id: str, moment: int) -> PeriodRow | None:
        """Find the closed period of a limit that a moment (µs) belongs to."""
        row = self._connection.execute(_FIND_PERIOD, (application, limit_id, moment)).fetchone()
        return None if row is None else PeriodRow(row[0], plain(row[1]), plain(row[2]))

    def save_period(self, application: str, limit_id: str, period: PeriodRow, state: str, more: int = 1) -> None:
        """Write back what was spent in a closed period, and count `more` events in a state."""
        values = (period.spent_input, period.spent_output, more, application, limit_id, period.until)
        self._connection.execute(_SAVE_PERIOD[state], values)

    def custom_versions(self, category: str, resource: str) -> list[ResourceVersion]:
        """Read the versions of a custom resource that are not deleted, oldest first, `end` filled in."""
        key = (category, resource)
        versions = self._versions.get(key)
        if versions is None:
            rows = self._connection.execute(_VERSIONS, key)
            versions = to_versions(category, resource, (CustomVersion._make(row) for row in rows))
            self._versions[key] = versions
        return versions

    def has_custom_category(self, category: str) -> bool:
        """Say whether a category has a custom resource that is not deleted."""
        return self._connection.execute(_HAS_CATEGORY, (category,)).fetchone() is not None

    def write(self) -> None:
        """Write everything that was booked; raises `RacedError` when somebody else stored a part of it meanwhile."""
        self.instances.write()
        self._write_events()
        if self._limits:
            self._connection.execute(_SAVE_LIMITS, (to_json([_totals(*item) for item in self._limits]).decode(),))

    def _write_events(self) -> None:
        rows = [self._new[key] for key in sorted(self._new)]
        if not rows:
            return
        if len(rows) >= _COPIED_FROM:
            with self._connection.cursor().copy(_COPY) as copy:
                for row in rows:
                    copy.write_row(row)
        else:
            body = to_json([_members(row) for row in rows]).decode()
            if self._connection.execute(_INSERT, (body,)).rowcount != len(rows):
                msg = "an event was stored by another process"
                raise RacedError(msg)
        self._known |= self._new
        self._new = {}


def read_limits(
    connection: Connection[tuple[Any, ...]], application: str, limit_ids: Sequence[str]
) -> dict[str, LimitRow]:
    """Read the limits that exist as they stand."""
    return {row[0]: _limit(row) for row in connection.execute(_READ_LIMITS, (application, list(limit_ids)))}


def _id_of_response(row: EventRow) -> str | None:
    """Return the event id of an event that came without one: two processes that store the same response meet on it.

    It begins with a blank, which no sender's event id can hold; with two where the category has a line break, so that it
    could not be told where the category ends. The ids with one blank stay as they are: a process of an older version that
    stores the same response at the same time has to meet on them. Later both find the event by its response.
    """
    category, response = row.category, row.provider_response_id
    if response is None:
        return None
    mark, text = (" ", category) if "\n" not in category else ("  ", f"{len(category)}\n{category}")
    return mark + sha256(f"{text}\n{response}".encode()).hexdigest()


def _members(row: EventRow) -> dict[str, Any]:
    return {name: value for name, value in zip(EventRow._fields, row, strict=True) if value is not None}


def _totals(application: str, row: LimitRow) -> dict[str, Any]:
    return {"application": application, "limit_id": row.limit_id} | {name: getattr(row, name) for name in _TOTALS}


def _event(row: tuple[Any, ...]) -> EventRow:
    """Return a row as the meter has it: money as text."""
    found = EventRow._make(row)
    return found._replace(cost_input=f"{plain(row[10]):f}", cost_output=f"{plain(row[11]):f}")


def _limit(row: tuple[Any, ...]) -> LimitRow:
    return LimitRow(row[0], row[1], plain(row[2]), plain(row[3]), plain(row[4]), plain(row[5]), *row[6:])
