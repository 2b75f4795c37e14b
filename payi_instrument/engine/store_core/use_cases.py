"""The rows of definitions and instances of use cases."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, insert, select, update

from payi_instrument.engine import schema
from payi_instrument.engine.store_core.keyset import paged

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import ColumnElement, Connection, Select

    from payi_instrument.engine.pages import Listing

_DEFINITIONS = schema.use_case_definitions.c
_INSTANCES = schema.use_case_instances.c
_KPIS = schema.kpis.c
_SCORES = schema.kpi_scores.c


class UseCaseRows:
    """Definitions and instances inside one transaction."""

    def __init__(self, connection: Connection, *, locks: bool) -> None:
        """Take a connection with an open transaction, and whether what is found is locked, to be changed."""
        self._connection = connection
        self._locks = locks

    def find_definition(self, application: str, name: str) -> Mapping[str, Any] | None:
        """Find a definition by its name."""
        statement = select(schema.use_case_definitions).where(*_definition(application, name))
        return self._one(statement)

    def _one(self, statement: Select[Any]) -> Mapping[str, Any] | None:
        row = (
            self._connection.execute(statement.with_for_update() if self._locks else statement).mappings().one_or_none()
        )
        return None if row is None else dict(row)

    def add_definition(self, values: Mapping[str, Any]) -> None:
        """Store a new definition."""
        self._connection.execute(insert(schema.use_case_definitions).values(**values))

    def change_definition(self, application: str, name: str, values: Mapping[str, Any]) -> None:
        """Change a definition."""
        statement = update(schema.use_case_definitions).where(*_definition(application, name))
        self._connection.execute(statement.values(**values))

    def remove_definition(self, application: str, name: str) -> None:
        """Delete a definition and its KPIs; instances and scores stay."""
        self._connection.execute(
            delete(schema.kpis).where(_KPIS.application == application, _KPIS.use_case_name == name)
        )
        self._connection.execute(delete(schema.use_case_definitions).where(*_definition(application, name)))

    def definitions(self, application: str, listing: Listing[int], name: str | None) -> list[Mapping[str, Any]]:
        """Read a page of definitions by creation time, and one more."""
        statement = select(schema.use_case_definitions).where(_DEFINITIONS.application == application)
        if name is not None:
            statement = statement.where(_DEFINITIONS.name == name)
        rows = self._connection.execute(paged(statement, listing, _DEFINITIONS.created, _DEFINITIONS.name))
        return [dict(row) for row in rows.mappings()]

    def find_instance(self, application: str, name: str, use_case_id: str) -> Mapping[str, Any] | None:
        """Find an instance by the name of its use case and its id."""
        statement = select(schema.use_case_instances).where(*_instance(application, name, use_case_id))
        return self._one(statement)

    def change_instance(self, application: str, name: str, use_case_id: str, values: Mapping[str, Any]) -> None:
        """Change an instance."""
        statement = update(schema.use_case_instances).where(*_instance(application, name, use_case_id))
        self._connection.execute(statement.values(**values))

    def remove_instance(self, application: str, name: str, use_case_id: str) -> None:
        """Delete an instance and its scores; its limit stays."""
        scores = (_SCORES.application == application, _SCORES.use_case_name == name, _SCORES.use_case_id == use_case_id)
        self._connection.execute(delete(schema.kpi_scores).where(*scores))
        self._connection.execute(delete(schema.use_case_instances).where(*_instance(application, name, use_case_id)))


def _definition(application: str, name: str) -> tuple[ColumnElement[bool], ...]:
    return (_DEFINITIONS.application == application, _DEFINITIONS.name == name)


def _instance(application: str, name: str, use_case_id: str) -> tuple[ColumnElement[bool], ...]:
    return (
        _INSTANCES.application == application,
        _INSTANCES.use_case_id == use_case_id,
        _INSTANCES.use_case_name == name,
    )
