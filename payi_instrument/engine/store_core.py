"""The ledger's cold paths, once for both databases, through SQLAlchemy Core.

What happens once in a while (managing limits and resources) is written for clarity; what happens per event is in the
databases' own store files.
"""

from __future__ import annotations

import json
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Protocol

from sqlalchemy import Connection, Engine, StaticPool, and_, create_engine, delete, event, insert, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DBAPIError
from sqlalchemy.schema import CreateIndex, CreateTable

from payi_instrument.engine import schema
from payi_instrument.engine.ledger import to_micros
from payi_instrument.engine.resources import CustomVersion
from payi_instrument.errors import APIConnectionError

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping
    from contextlib import AbstractContextManager
    from datetime import datetime

    from sqlalchemy import Dialect, ExceptionContext, Row

_LIMITS = schema.limits.c
_VERSIONS = schema.resource_versions.c


class DriverStore(Protocol):
    """What the cold paths need of a database's own store; connection and lock change when a process forks."""

    @property
    def connection(self) -> Any:
        """Return the driver's connection."""
        ...

    @property
    def lock(self) -> AbstractContextManager[object]:
        """Return the lock that guards it."""
        ...


class CoreStore:
    """Run statements of the cold paths on a store's own connection, one transaction at a time."""

    def __init__(self, store: DriverStore) -> None:
        """Take the store whose connection and lock to use."""
        self._store = store
        self._engine: tuple[object, Engine] | None = None

    @contextmanager
    def transaction(self) -> Generator[Ledger]:
        """Hold the store's lock and a write transaction until the block ends.

        Raises `APIConnectionError` when the database fails; nothing is stored then.
        """
        try:
            with self._store.lock, self._rolled_back_on_error(), self._current_engine().begin() as connection:
                yield Ledger(connection)
        except DBAPIError as error:
            raise APIConnectionError(f"the ledger can't be used: {error.orig}") from error.orig

    @contextmanager
    def _rolled_back_on_error(self) -> Generator[None]:
        """Leave no transaction open: Ctrl-C during BEGIN is raised when the database has begun and SQLAlchemy has not."""
        try:
            yield
        except BaseException:
            with suppress(Exception):  # what went wrong before is the news
                self._store.connection.rollback()
            raise

    def _current_engine(self) -> Engine:
        connection = self._store.connection
        if self._engine is None or self._engine[0] is not connection:
            engine = create_engine(
                "sqlite://", creator=lambda: connection, poolclass=StaticPool, pool_reset_on_return=None
            )
            event.listen(engine, "begin", _begin_immediate)
            event.listen(engine, "handle_error", _keep_connection)
            self._engine = (connection, engine)
        return self._engine[1]


def _begin_immediate(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _keep_connection(context: ExceptionContext) -> None:
    """Leave the store's connection open: SQLAlchemy would close it for an interrupt."""
    context.is_disconnect = False


class Ledger:
    """The ledger's cold statements inside one transaction."""

    def __init__(self, connection: Connection) -> None:
        """Take a connection with an open transaction."""
        self._connection = connection

    def find_limit(self, application: str, limit_id: str) -> Mapping[str, Any] | None:
        """Find a limit by its id."""
        return self._one(_LIMITS.application == application, _LIMITS.limit_id == limit_id)

    def find_limit_by_name(self, application: str, limit_name: str) -> Mapping[str, Any] | None:
        """Find a limit by its exact name."""
        return self._one(_LIMITS.application == application, _LIMITS.limit_name == limit_name)

    def _one(self, *conditions: Any) -> Mapping[str, Any] | None:
        row = self._connection.execute(select(schema.limits).where(*conditions)).one_or_none()
        return None if row is None else _mapping(row)

    def add_limit(self, values: Mapping[str, Any]) -> None:
        """Store a new limit with nothing spent."""
        zeros = dict.fromkeys(("ok", "exceeded", "overrun", "blocked", "blocked_external", "failed"), 0)
        self._connection.execute(
            insert(schema.limits).values({**values, "properties": json.dumps(values["properties"]), **zeros})
        )

    def change_limit(self, application: str, limit_id: str, values: Mapping[str, Any]) -> None:
        """Change the terms of a limit."""
        self._connection.execute(
            update(schema.limits)
            .where(_LIMITS.application == application, _LIMITS.limit_id == limit_id)
            .values(**values)
        )

    def remove_limit(self, application: str, limit_id: str) -> bool:
        """Delete a limit; False when there is none."""
        statement = delete(schema.limits).where(_LIMITS.application == application, _LIMITS.limit_id == limit_id)
        return self._connection.execute(statement).rowcount == 1

    def list_limits(
        self,
        application: str,
        *,
        limit_name: str | None,
        after: tuple[datetime, str] | None,
        ascending: bool,
        size: int,
    ) -> list[Mapping[str, Any]]:
        """List limits by creation time and id, at most `size`, beginning behind `after`."""
        statement = select(schema.limits).where(_LIMITS.application == application)
        if limit_name is not None:
            statement = statement.where(_LIMITS.limit_name == limit_name)
        key, tie = _LIMITS.created, _LIMITS.limit_id
        if after is not None:
            beyond = (key > after[0], tie > after[1]) if ascending else (key < after[0], tie < after[1])
            statement = statement.where(or_(beyond[0], and_(key == after[0], beyond[1])))
        order = (key.asc(), tie.asc()) if ascending else (key.desc(), tie.desc())
        return [_mapping(row) for row in self._connection.execute(statement.order_by(*order).limit(size))]

    def custom_versions(self, category: str, resource: str) -> list[CustomVersion]:
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

    def add_version(self, values: Mapping[str, Any]) -> None:
        """Store a new version of a custom resource."""
        self._connection.execute(insert(schema.resource_versions).values(**values))


def _mapping(row: Row[Any]) -> Mapping[str, Any]:
    values = dict(row._mapping)  # noqa: SLF001  # the documented way to a row's names
    return values | {"properties": json.loads(values["properties"])}


def creation_statements(dialect_name: str, revision: str) -> list[str]:
    """Return the statements that make a new ledger of this revision."""
    dialect: Dialect = sqlite.dialect() if dialect_name == "sqlite" else postgresql.dialect()  # type: ignore[no-untyped-call]
    statements = [str(CreateTable(table).compile(dialect=dialect)) for table in schema.metadata.sorted_tables]
    for table in schema.metadata.sorted_tables:
        statements += [str(CreateIndex(index).compile(dialect=dialect)) for index in table.indexes]
    statements.append("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL PRIMARY KEY)")
    statements.append(f"INSERT INTO alembic_version (version_num) VALUES ('{revision}')")  # noqa: S608  # our constant
    return statements
