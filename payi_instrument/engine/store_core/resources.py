"""The rows of custom resources' versions."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, insert, select, update

from payi_instrument.engine import schema
from payi_instrument.engine.ledger import from_micros, to_micros
from payi_instrument.engine.resources import CustomVersion
from payi_instrument.engine.store_core.keyset import paged, paged_names

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from sqlalchemy import Column, ColumnElement, Connection, Row

    from payi_instrument.engine.pages import Listing
    from payi_instrument.engine.pricing import ResourceVersion

_VERSIONS = schema.resource_versions.c
_LATER = schema.resource_versions.alias("later")
_END = (
    select(_LATER.c.start_timestamp)
    .where(
        _LATER.c.category == _VERSIONS.category,
        _LATER.c.resource == _VERSIONS.resource,
        _LATER.c.start_timestamp > _VERSIONS.start_timestamp,
        _LATER.c.deleted.is_(None),
    )
    .order_by(_LATER.c.start_timestamp)
    .limit(1)  # and no min(): the index has it first
    .scalar_subquery()
)
_WITH_END = select(schema.resource_versions, _END.label("end_timestamp"))
"""Every version with the start of the next one that is not deleted, where its own validity ends."""
_OLDEST_FIRST = (_VERSIONS.start_timestamp, _VERSIONS.deleted, _VERSIONS.resource_id)
"""Deleted versions may share a start: the one that was deleted last is the newest of them."""


class ResourceRows:
    """Versions of custom resources inside one transaction."""

    def __init__(self, connection: Connection) -> None:
        """Take a connection with an open transaction."""
        self._connection = connection

    def add(self, category: str, resource: str, version: CustomVersion) -> None:
        """Store a new version of a custom resource."""
        start = from_micros(version.start_timestamp)
        values = {**version._asdict(), "category": category, "resource": resource, "start_timestamp": start}
        self._connection.execute(insert(schema.resource_versions).values(**values))

    def find(self, category: str, resource: str, resource_id: str) -> ResourceVersion | None:
        """Find a version of a resource, deleted or not."""
        found = self._read(
            _VERSIONS.resource_id == resource_id, _VERSIONS.category == category, _VERSIONS.resource == resource
        )
        return found[0] if found else None

    def versions(self, category: str, resources: Iterable[str], *, active: bool = True) -> list[ResourceVersion]:
        """Read the versions of some resources, oldest first: those that are not deleted, or only those that are."""
        return self._read(
            _VERSIONS.category == category, _VERSIONS.resource.in_(list(resources)), _is_active(active=active)
        )

    def _read(self, *conditions: ColumnElement[bool]) -> list[ResourceVersion]:
        rows = self._connection.execute(_WITH_END.where(*conditions).order_by(*_OLDEST_FIRST))
        return [_version(row) for row in rows]

    def page(self, category: str, resource: str, listing: Listing[int], *, active: bool) -> list[ResourceVersion]:
        """Read a page of a resource's versions by their start, and one more."""
        statement = _WITH_END.where(
            _VERSIONS.category == category, _VERSIONS.resource == resource, _is_active(active=active)
        )
        statement = paged(statement, listing, _VERSIONS.start_timestamp, _VERSIONS.resource_id)
        rows = self._connection.execute(statement)
        return [_version(row) for row in rows]

    def categories(self, listing: Listing[str], *, active: bool) -> list[str]:
        """Read a page of categories by name, and one more: those with a version left, or with deleted ones only."""
        return self._names(_VERSIONS.category, listing, active=active)

    def resources(self, category: str, listing: Listing[str], *, active: bool) -> list[str]:
        """Read a page of a category's resources by name, and one more: see :meth:`categories`."""
        return self._names(_VERSIONS.resource, listing, _VERSIONS.category == category, active=active)

    def _names(
        self, column: Column[str], listing: Listing[str], *conditions: ColumnElement[bool], active: bool
    ) -> list[str]:
        statement = select(column).where(*conditions).group_by(column)
        if active:
            statement = statement.where(_VERSIONS.deleted.is_(None))
        else:
            statement = statement.having(func.count(_VERSIONS.deleted) == func.count())
        return list(self._connection.execute(paged_names(statement, listing, column)).scalars())

    def has(self, category: str, resource: str | None = None) -> bool:
        """Say whether a category, or a resource of it, ever had a version: deleted ones count."""
        statement = select(_VERSIONS.resource_id).where(_VERSIONS.category == category).limit(1)
        if resource is not None:
            statement = statement.where(_VERSIONS.resource == resource)
        return self._connection.execute(statement).first() is not None

    def delete(
        self, now: datetime, category: str, resource: str | None = None, resource_id: str | None = None
    ) -> list[ResourceVersion]:
        """Mark versions as deleted and return them as they are then, by resource and start; none when none was left.

        All of a category, of a resource, or the one with an id; those that were deleted before are left alone.
        """
        named = {"category": category, "resource": resource, "resource_id": resource_id}
        chosen = [_VERSIONS[name] == value for name, value in named.items() if value is not None]
        chosen.append(_is_active(active=True))
        versions = self._read(*chosen)
        self._connection.execute(update(schema.resource_versions).where(*chosen).values(deleted=now))
        alone = resource_id is not None  # else nothing remains that could end what was deleted
        deleted = [replace(version, active=False, end=version.end if alone else None) for version in versions]
        return sorted(deleted, key=lambda version: (version.resource, version.start, version.resource_id))


def _is_active(*, active: bool) -> ColumnElement[bool]:
    return _VERSIONS.deleted.is_(None) if active else _VERSIONS.deleted.is_not(None)


def _version(row: Row[Any]) -> ResourceVersion:
    return CustomVersion(
        row.resource_id,
        to_micros(row.start_timestamp),
        row.units,
        row.max_input_units,
        row.max_output_units,
        row.max_total_units,
        None if row.deleted is None else to_micros(row.deleted),
    ).priced(row.category, row.resource, row.end_timestamp)
