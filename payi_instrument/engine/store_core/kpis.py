"""The rows of KPIs and of their scores."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, insert, select, update

from payi_instrument.engine import schema
from payi_instrument.engine.store_core.keyset import paged

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import ColumnElement, Connection

    from payi_instrument.engine.pages import Listing

_KPIS = schema.kpis.c
_SCORES = schema.kpi_scores.c


class KpiRows:
    """KPIs and scores inside one transaction."""

    def __init__(self, connection: Connection) -> None:
        """Take a connection with an open transaction."""
        self._connection = connection

    def find(self, application: str, use_case_name: str, name: str) -> Mapping[str, Any] | None:
        """Find a KPI of a definition."""
        statement = select(schema.kpis).where(*_kpi(application, use_case_name, name))
        row = self._connection.execute(statement).mappings().one_or_none()
        return None if row is None else dict(row)

    def add(self, values: Mapping[str, Any]) -> None:
        """Store a new KPI."""
        self._connection.execute(insert(schema.kpis).values(**values))

    def change(self, application: str, use_case_name: str, name: str, values: Mapping[str, Any]) -> None:
        """Change a KPI."""
        statement = update(schema.kpis).where(*_kpi(application, use_case_name, name))
        self._connection.execute(statement.values(**values))

    def remove(self, application: str, use_case_name: str, name: str) -> None:
        """Delete a KPI; its scores stay."""
        self._connection.execute(delete(schema.kpis).where(*_kpi(application, use_case_name, name)))

    def page(
        self, application: str, use_case_name: str, listing: Listing[int], name: str | None
    ) -> list[Mapping[str, Any]]:
        """Read a page of a definition's KPIs by creation time, and one more."""
        statement = select(schema.kpis).where(_KPIS.application == application, _KPIS.use_case_name == use_case_name)
        if name is not None:
            statement = statement.where(_KPIS.name == name)
        rows = self._connection.execute(paged(statement, listing, _KPIS.created, _KPIS.name))
        return [dict(row) for row in rows.mappings()]

    def score(self, key: Mapping[str, str], values: Mapping[str, Any] | None) -> None:
        """Set the score of an instance for a KPI, or clear it with None; the first time it was set stays."""
        where = [_SCORES[name] == value for name, value in key.items()]
        if values is None:
            self._connection.execute(delete(schema.kpi_scores).where(*where))
            return
        changes = {name: value for name, value in values.items() if name != "created"}
        if self._connection.execute(update(schema.kpi_scores).where(*where).values(**changes)).rowcount == 0:
            self._connection.execute(insert(schema.kpi_scores).values(**key, **values))

    def scores(self, instance: Mapping[str, str], listing: Listing[int], name: str | None) -> list[Mapping[str, Any]]:
        """Read a page of an instance's scores by the time they were first set, and one more."""
        statement = select(schema.kpi_scores).where(*(_SCORES[column] == value for column, value in instance.items()))
        if name is not None:
            statement = statement.where(_SCORES.kpi_name == name)
        rows = self._connection.execute(paged(statement, listing, _SCORES.created, _SCORES.kpi_name))
        return [dict(row) for row in rows.mappings()]


def _kpi(application: str, use_case_name: str, name: str) -> tuple[ColumnElement[bool], ...]:
    return (_KPIS.application == application, _KPIS.use_case_name == use_case_name, _KPIS.name == name)
