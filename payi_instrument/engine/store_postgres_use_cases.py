"""Use cases on PostgreSQL's driver, as the ingest needs them: read together first, written together last."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic_core import to_json

from payi_instrument.engine import use_cases as rules
from payi_instrument.engine.ledger import STATES, Found, InstanceRow, RacedError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from psycopg import Connection

    from payi_instrument.engine.ledger import Ingest, LimitRow

_FIND = (
    "SELECT asked.application, asked.name, asked.id, definition.version, definition.limit_config, instance.version,"
    " instance.limit_id, instance.properties"
    " FROM (SELECT DISTINCT * FROM unnest(%s::text[], %s::text[], %s::text[])) AS asked (application, name, id)"
    " LEFT JOIN use_case_definitions AS definition"
    " ON definition.application = asked.application AND definition.name = asked.name"
    " LEFT JOIN use_case_instances AS instance ON instance.application = asked.application"
    " AND instance.use_case_id = asked.id AND instance.use_case_name = asked.name"
)
_NAMES = "SELECT use_case_name FROM use_case_instances WHERE application = %s AND use_case_id = %s LIMIT 2"
_LIMITS_BY_ID = "SELECT limit_id FROM limits WHERE application = %s AND limit_id = ANY(%s)"
_LIMITS_BY_NAME = "SELECT limit_name FROM limits WHERE application = %s AND limit_name = ANY(%s)"
_LOCK = (
    "SELECT 1 FROM use_case_instances"
    " JOIN unnest(%s::text[], %s::text[], %s::text[]) AS asked (application, use_case_name, use_case_id)"
    " USING (application, use_case_name, use_case_id)"
    " ORDER BY application, use_case_name, use_case_id FOR NO KEY UPDATE OF use_case_instances"
)
_SAVE_PROPERTIES = (
    "UPDATE use_case_instances SET properties = changed.properties"
    " FROM json_populate_recordset(NULL::use_case_instances, %s::json) AS changed"
    " WHERE use_case_instances.application = changed.application"
    " AND use_case_instances.use_case_id = changed.use_case_id"
    " AND use_case_instances.use_case_name = changed.use_case_name"
)

Key = tuple[str, str, str]
"""Application, name of the use case, id of the instance."""


class _Read(NamedTuple):
    found: Found
    properties: str | None


class PostgresInstances:
    """Definitions and instances inside a transaction of the store."""

    def __init__(self, connection: Connection[tuple[Any, ...]], batch: Sequence[Ingest] = ()) -> None:
        """Take a connection with an open transaction, and read what a batch of events names."""
        self._connection = connection
        self._read: dict[Key, _Read] = {}
        self._locked: set[Key] = set()
        self._no_limit_id: set[tuple[str, str]] = set()
        self._no_limit_name: set[tuple[str, str]] = set()
        self._definitions: dict[tuple[str, str], dict[str, Any]] = {}
        self._added: dict[Key, InstanceRow] = {}
        self._limits: list[dict[str, Any]] = []
        self._changed: dict[Key, str] = {}
        asked: dict[Key, bool] = {}
        for item in batch:
            who = item.event.attribution
            if who.use_case_name is not None and who.use_case_id is not None:
                key = (item.application, who.use_case_name, who.use_case_id)
                asked[key] = asked.get(key, False) or bool(who.use_case_properties)
        if asked:
            self._lock([key for key in sorted(asked) if asked[key]])
            self._find(sorted(asked))
            self._find_no_limits()

    def _lock(self, keys: Sequence[Key]) -> None:
        """Let nobody else change the properties of instances whose own are about to be merged with more."""
        if keys:
            self._connection.execute(_LOCK, tuple(map(list, zip(*keys, strict=True))))
            self._locked.update(keys)

    def _find(self, keys: Sequence[Key]) -> None:
        for application, name, use_case_id, *found, properties in self._connection.execute(
            _FIND, tuple(map(list, zip(*keys, strict=True)))
        ):
            self._read[application, name, use_case_id] = _Read(Found._make(found), properties)

    def _find_no_limits(self) -> None:
        """Learn which automatic limits are yet to be made, and which of their names are free."""
        wanted: dict[str, list[Key]] = {}
        for key, (found, _) in self._read.items():
            if found.version is None and found.limit_config is not None:
                wanted.setdefault(key[0], []).append(key)
        for application, keys in wanted.items():
            ids = [rules.limit_id(name, use_case_id) for _, name, use_case_id in keys]
            names = [
                f"{name}-{use_case_id}" for _, name, use_case_id in keys
            ]  # what they are called where that is free
            self._no_limit_id |= {(application, one) for one in self._missing(_LIMITS_BY_ID, application, ids)}
            self._no_limit_name |= {(application, one) for one in self._missing(_LIMITS_BY_NAME, application, names)}

    def _missing(self, statement: str, application: str, values: Iterable[str]) -> set[str]:
        values = set(values)
        rows = self._connection.execute(statement.encode(), (application, sorted(values)))
        return values - {str(value) for (value,) in rows}

    def find(self, application: str, name: str, use_case_id: str) -> Found:
        """Find a definition and an instance in one step; None where there is none."""
        key = (application, name, use_case_id)
        if key not in self._read:
            self._find([key])
        return self._read[key].found

    def names(self, application: str, use_case_id: str) -> list[str]:
        """Return the names of the use cases that have an instance with this id, at most two."""
        return [name for (name,) in self._connection.execute(_NAMES, (application, use_case_id))]

    def has_limit(self, application: str, limit_id: str) -> bool:
        """Say whether there is a limit with this id."""
        return (application, limit_id) not in self._no_limit_id and not self._missing(
            _LIMITS_BY_ID, application, [limit_id]
        )

    def has_limit_name(self, application: str, limit_name: str) -> bool:
        """Say whether there is a limit with this name."""
        if any(limit["limit_name"] == limit_name and limit["application"] == application for limit in self._limits):
            return True
        return (application, limit_name) not in self._no_limit_name and not self._missing(
            _LIMITS_BY_NAME, application, [limit_name]
        )

    def add_definition(self, application: str, name: str, description: str, now: int) -> None:
        """Store a definition at version 1 with the others at the end, unless there is one then."""
        row = {"application": application, "name": name, "description": description, "version": 1, "created": now}
        self._definitions.setdefault((application, name), row)

    def add(self, row: InstanceRow) -> None:
        """Store an instance with the others at the end."""
        self._added[row.application, row.use_case_name, row.use_case_id] = row

    def add_limit(self, application: str, row: LimitRow, limit_name: str, properties: str, now: int) -> None:
        """Store a limit that nothing was spent on with the others at the end."""
        self._limits.append(
            {
                "application": application,
                "limit_id": row.limit_id,
                "limit_name": limit_name,
                "limit_type": row.limit_type,
                "max": row.max,
                "threshold": row.threshold,
                "spent_input": 0,
                "spent_output": 0,
                **dict.fromkeys(STATES, 0),
                "created": now,
                "updated": now,
                "properties": properties,
            }
        )

    def properties(self, application: str, name: str, use_case_id: str) -> str | None:
        """Return the properties of an instance as JSON text."""
        key = (application, name, use_case_id)
        if key in self._added:
            return self._added[key].properties
        if key not in self._locked:  # its id came without a name
            self._lock([key])
            self._find([key])
        return self._changed.get(key) or self._read[key].properties

    def save_properties(self, application: str, name: str, use_case_id: str, properties: str) -> None:
        """Write the properties of an instance at the end."""
        key = (application, name, use_case_id)
        if key in self._added:
            self._added[key] = self._added[key]._replace(properties=properties)
        else:
            self._changed[key] = properties

    def write(self) -> None:
        """Write what was added and changed; raises `RacedError` when another process added a part of it meanwhile."""
        if self._definitions:
            self._insert("use_case_definitions", [self._definitions[key] for key in sorted(self._definitions)])
        if self._limits:
            self._insert("limits", sorted(self._limits, key=lambda limit: limit["limit_id"]))
        if self._added:
            self._insert("use_case_instances", [self._added[key]._asdict() for key in sorted(self._added)])
        if self._changed:
            rows = [
                {"application": application, "use_case_name": name, "use_case_id": use_case_id, "properties": text}
                for (application, name, use_case_id), text in sorted(self._changed.items())
            ]
            self._connection.execute(_SAVE_PROPERTIES, (to_json(rows).decode(),))
        self._definitions, self._limits, self._added, self._changed = {}, [], {}, {}

    def _insert(self, table: str, rows: list[dict[str, Any]]) -> None:
        columns = ", ".join(rows[0])
        statement = (
            f"INSERT INTO {table} ({columns}) SELECT {columns}"  # noqa: S608  # our names
            f" FROM json_populate_recordset(NULL::{table}, %s::json) ON CONFLICT DO NOTHING"
        )
        if self._connection.execute(statement.encode(), (to_json(rows).decode(),)).rowcount != len(rows):
            msg = "another process added a use case, an instance or its limit"
            raise RacedError(msg)
