"""The rows of custom resources' versions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import insert, select

from payi_instrument.engine import schema
from payi_instrument.engine.ledger import to_micros
from payi_instrument.engine.resources import CustomVersion

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import Connection

_VERSIONS = schema.resource_versions.c


class ResourceRows:
    """Versions of custom resources inside one transaction."""

    def __init__(self, connection: Connection) -> None:
        """Take a connection with an open transaction."""
        self._connection = connection

    def versions(self, category: str, resource: str) -> list[CustomVersion]:
        """Read the versions of a custom resource that are not deleted, oldest first."""
        statement = (
            select(schema.resource_versions)
            .where(_VERSIONS.category == category, _VERSIONS.resource == resource, _VERSIONS.deleted.is_(None))
            .order_by(_VERSIONS.start_timestamp)
        )
        return [
            CustomVersion(
                row.resource_id,
                to_micros(row.start_timestamp),
                row.units,
                row.max_input_units,
                row.max_output_units,
                row.max_total_units,
                None,
            )
            for row in self._connection.execute(statement)
        ]

    def add(self, values: Mapping[str, Any]) -> None:
        """Store a new version of a custom resource."""
        self._connection.execute(insert(schema.resource_versions).values(**values))
