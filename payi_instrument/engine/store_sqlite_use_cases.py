"""Use cases on SQLite's driver, as the ingest's transaction needs them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from payi_instrument.engine.ledger import Found, InstanceRow

if TYPE_CHECKING:
    from collections.abc import Callable

    from payi_instrument.engine.ledger import LimitRow

_FIND = (
    "SELECT definition.version, definition.limit_config, instance.version, instance.limit_id"
    " FROM (SELECT ? AS application, ? AS name, ? AS id) AS asked"
    " LEFT JOIN use_case_definitions AS definition"
    " ON definition.application = asked.application AND definition.name = asked.name"
    " LEFT JOIN use_case_instances AS instance ON instance.application = asked.application"
    " AND instance.use_case_id = asked.id AND instance.use_case_name = asked.name"
)
_NAMES = "SELECT use_case_name FROM use_case_instances WHERE application = ? AND use_case_id = ? LIMIT 2"
_HAS_LIMIT = "SELECT 1 FROM limits WHERE application = ? AND limit_id = ?"
_HAS_LIMIT_NAME = "SELECT 1 FROM limits WHERE application = ? AND limit_name = ?"
_ADD_DEFINITION = (
    "INSERT INTO use_case_definitions (application, name, description, version, created) VALUES (?, ?, ?, 1, ?)"
    " ON CONFLICT DO NOTHING"
)
_ADD_INSTANCE = (
    f"INSERT INTO use_case_instances ({', '.join(InstanceRow._fields)}) VALUES (?, ?, ?, ?, ?, ?)"  # noqa: S608  # our names
    " ON CONFLICT DO NOTHING"
)
_ADD_LIMIT = (
    "INSERT INTO limits (application, limit_id, limit_name, limit_type, max, threshold, spent_input, spent_output,"
    " ok, exceeded, overrun, blocked, blocked_external, failed, created, updated, properties)"
    " VALUES (?, ?, ?, ?, ?, ?, '0', '0', 0, 0, 0, 0, 0, 0, ?, ?, ?)"
)
_WHERE = "WHERE application = ? AND use_case_id = ? AND use_case_name = ?"
_PROPERTIES = f"SELECT properties FROM use_case_instances {_WHERE}"  # noqa: S608  # our text
_SAVE_PROPERTIES = f"UPDATE use_case_instances SET properties = ? {_WHERE}"  # noqa: S608


class SqliteInstances:
    """Definitions and instances inside a transaction of the store."""

    def __init__(self, execute: Callable[[str, tuple[Any, ...]], Any]) -> None:
        """Take how to run a statement on the store's connection."""
        self._execute = execute

    def find(self, application: str, name: str, use_case_id: str) -> Found:
        """Find a definition and an instance in one step; None where there is none."""
        return Found._make(self._execute(_FIND, (application, name, use_case_id)).fetchone())

    def names(self, application: str, use_case_id: str) -> list[str]:
        """Return the names of the use cases that have an instance with this id, at most two."""
        return [name for (name,) in self._execute(_NAMES, (application, use_case_id))]

    def has_limit(self, application: str, limit_id: str) -> bool:
        """Say whether there is a limit with this id."""
        return self._execute(_HAS_LIMIT, (application, limit_id)).fetchone() is not None

    def has_limit_name(self, application: str, limit_name: str) -> bool:
        """Say whether there is a limit with this name."""
        return self._execute(_HAS_LIMIT_NAME, (application, limit_name)).fetchone() is not None

    def add_definition(self, application: str, name: str, description: str, now: int) -> None:
        """Store a definition at version 1, unless there is one."""
        self._execute(_ADD_DEFINITION, (application, name, description, now))

    def add(self, row: InstanceRow) -> None:
        """Store an instance, unless there is one."""
        self._execute(_ADD_INSTANCE, row)

    def add_limit(self, application: str, row: LimitRow, limit_name: str, properties: str, now: int) -> None:
        """Store a limit that nothing was spent on."""
        terms = (row.limit_type, f"{row.max:f}", f"{row.threshold:f}")
        self._execute(_ADD_LIMIT, (application, row.limit_id, limit_name, *terms, now, now, properties))

    def properties(self, application: str, name: str, use_case_id: str) -> str | None:
        """Return the properties of an instance as JSON text."""
        row = self._execute(_PROPERTIES, (application, use_case_id, name)).fetchone()
        return None if row is None else row[0]

    def save_properties(self, application: str, name: str, use_case_id: str, properties: str) -> None:
        """Write the properties of an instance."""
        self._execute(_SAVE_PROPERTIES, (properties, application, use_case_id, name))
