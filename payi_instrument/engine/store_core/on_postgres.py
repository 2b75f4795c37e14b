"""Transactions of the cold paths on PostgreSQL: on a pool of SQLAlchemy's own.

Writers of the same thing take turns by an advisory lock, which the ingest does not wait for: where they meet on a limit,
its row is locked; where both make the same row, the later one does its work again.
"""

from __future__ import annotations

from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, cast

import psycopg
from sqlalchemy import create_engine, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as NoConnectionError

from payi_instrument.engine.store_core.store import Ledger
from payi_instrument.engine.store_postgres_errors import translated
from payi_instrument.engine.store_postgres_use_cases import PostgresInstances

if TYPE_CHECKING:
    from collections.abc import Generator

_MAX_CONNECTIONS = 8
_TAKE_TURNS = text("SELECT pg_advisory_xact_lock(hashtextextended(:of, 0))")
_EACH_ITS_OWN = "READ COMMITTED"
_ONE_SNAPSHOT = "REPEATABLE READ"


class PostgresCore:
    """Run statements of the cold paths, any number of transactions at a time."""

    def __init__(self, conninfo: str) -> None:
        """Take where the database is; connections are opened when they are needed."""
        self._engine = create_engine(
            "postgresql+psycopg://",
            creator=partial(_connect, conninfo),
            pool_size=_MAX_CONNECTIONS,
            max_overflow=0,
            pool_pre_ping=True,
            isolation_level=_EACH_ITS_OWN,
            use_native_hstore=False,
        )
        self._reader = self._engine.execution_options(isolation_level=_ONE_SNAPSHOT, postgresql_readonly=True)

    @contextmanager
    def transaction(self, of: str) -> Generator[Ledger]:
        """Write when it is this caller's turn; raises as `CoreStore.transaction` says."""
        with _translated(), self._engine.begin() as connection:
            connection.execute(_TAKE_TURNS, {"of": of})
            instances = PostgresInstances(_driver(connection.connection.driver_connection))
            yield Ledger(connection, instances, writes=True)
            instances.write()

    @contextmanager
    def reading(self) -> Generator[Ledger]:
        """Read one snapshot; raises `APIConnectionError`."""
        with _translated(), self._reader.begin() as connection:
            instances = PostgresInstances(_driver(connection.connection.driver_connection))
            yield Ledger(connection, instances, writes=False)

    def leave_to_parent(self) -> None:
        """Open connections of its own in a forked child."""
        self._engine.dispose(close=False)

    def close(self) -> None:
        """Close the connections."""
        self._engine.dispose()


def _connect(conninfo: str) -> psycopg.Connection[tuple[object, ...]]:
    """Connect for a pool: the connection may end with the process, or with a forked child, which leaves it to its parent."""
    connection = psycopg.connect(conninfo)
    connection._pool = None  # noqa: SLF001  # psycopg's own pools mark theirs so; it warns of others that were not closed
    return connection


@contextmanager
def _translated() -> Generator[None]:
    try:
        yield
    except DBAPIError as error:
        raise translated(error.orig) from error
    except (psycopg.Error, NoConnectionError) as error:
        raise translated(error) from error


def _driver(connection: object) -> psycopg.Connection[tuple[object, ...]]:
    return cast("psycopg.Connection[tuple[object, ...]]", connection)  # what `creator` makes
