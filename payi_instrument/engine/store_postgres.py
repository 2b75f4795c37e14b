"""The ledger on PostgreSQL: opening a database, its connections, and the transactions of the ingest path.

A process writes events over one connection at a time, a group of them a transaction (design decision 8). Everything lives
in the database's schema `payi`, unless the URL's `options` set another search path. SQL lives in `store_postgres*` and
`store_core`.
"""

from __future__ import annotations

import os
import weakref
from contextlib import suppress
from functools import partial
from threading import RLock
from typing import TYPE_CHECKING, Any, TypeVar

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg_pool import ConnectionPool, PoolTimeout

from payi_instrument.engine.ledger import REVISION, LimitRow
from payi_instrument.engine.store_postgres_books import PostgresBooks, read_limits
from payi_instrument.engine.store_postgres_errors import RACED, translated
from payi_instrument.errors import APIConnectionError, PayiError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType

    from payi_instrument.engine.ledger import Ingest
    from payi_instrument.engine.store_core.on_postgres import PostgresCore

T = TypeVar("T")
Connection = psycopg.Connection[tuple[Any, ...]]

_OLDEST = 150_000
_MAX_CONNECTIONS = 4
"""Of one process: one writes events, the others read limits. The cold paths have a pool of their own."""
_PATIENCE_S = 5
"""How long a transaction waits for a connection while the database is away."""
_SCHEMA = "payi"
_SEARCH_PATH = f"-c search_path={_SCHEMA}"
_FROZEN = "-c idle_in_transaction_session_timeout=60s"
"""A process that was stopped in the middle of a transaction would keep everybody waiting for its limits."""
_BEGIN = b"BEGIN ISOLATION LEVEL READ COMMITTED"
"""Whatever the database's own is: what waits for a limit has to see what it waited for."""
_FOUND = "SELECT to_regclass('alembic_version') IS NOT NULL, to_regclass('resource_versions') IS NOT NULL"
_REVISION = "SELECT version_num FROM alembic_version"


class PostgresStore:
    """A ledger in a PostgreSQL database, for any number of threads; a forked child opens connections of its own."""

    def __init__(self, url: str) -> None:
        """Open the ledger, creating or migrating it first when needed.

        Raises `PayiError` when the database is too old, or its ledger is newer than this package, and of these
        `APIConnectionError` when the database can't be reached.
        """
        self.lock = RLock()
        self.looks_first = False
        self._was_lost = False
        self._core: PostgresCore | None = None
        try:
            self.conninfo = _conninfo(url)
            self._prepare()
        except psycopg.Error as error:
            is_away = isinstance(error, psycopg.OperationalError)
            raise _no_ledger(str(error), APIConnectionError if is_away else PayiError) from error
        self._pool = self._new_pool()
        _stores.add(self)

    def _prepare(self) -> None:
        with psycopg.connect(self.conninfo, autocommit=True) as connection:
            version, encoding = connection.info.server_version, connection.info.parameter_status("server_encoding")
            if version < _OLDEST:
                raise _no_ledger(f"PostgreSQL {version // 10_000} is too old: 15 or newer is needed")
            if encoding != "UTF8":
                raise _no_ledger(f"the database holds {encoding} only; make one with ENCODING 'UTF8'")
            if _ready(connection):
                return
        self._migrate()

    def _migrate(self) -> None:
        from sqlalchemy import NullPool, create_engine
        from sqlalchemy.exc import SQLAlchemyError

        from payi_instrument.engine.migrations import upgrade

        engine = create_engine(
            "postgresql+psycopg://", creator=partial(psycopg.connect, self.conninfo), poolclass=NullPool
        )
        try:
            upgrade(engine, schema=_SCHEMA if _SEARCH_PATH in self.conninfo else None)
        except SQLAlchemyError as error:
            raise _no_ledger(str(getattr(error, "orig", error))) from error

    def _new_pool(self) -> ConnectionPool[Connection]:
        """Return a pool that connects when it has to."""
        return ConnectionPool(
            self.conninfo,
            kwargs={"autocommit": True},
            min_size=0,
            max_size=_MAX_CONNECTIONS,
            open=False,
            timeout=_PATIENCE_S,
            reconnect_timeout=0,  # who needs a connection asks again; the pool's own next attempt would be ever later
        )

    def transaction(self, batch: Sequence[Ingest]) -> _Transaction:
        """Book a batch of events in one transaction; the caller holds `lock`.

        Raises `RacedError` when another process stored one of the events, or what belongs to it, meanwhile: do it again,
        it will be looked for first. Raises `UnstorableError` for what PostgreSQL can't hold, `APIConnectionError` when it
        fails. Nothing is stored then.
        """
        return _Transaction(self, batch)

    def read_limits(self, application: str, limit_ids: Sequence[str]) -> dict[str, LimitRow]:
        """Read the limits that exist as they stand; raises `APIConnectionError`."""
        try:
            connection, rows = self._first(lambda connection: read_limits(connection, application, limit_ids))
        except psycopg.Error as error:
            raise translated(error) from error
        self._pool.putconn(connection)
        return rows

    def begin(self) -> Connection:
        """Return a connection with an open transaction."""
        return self._first(lambda connection: connection.execute(_BEGIN))[0]

    def _first(self, statement: Callable[[Connection], T]) -> tuple[Connection, T]:
        """Return a connection with what its first statement answers; one that broke while it was idle is replaced.

        A database that refuses connections is an error at once: the pool would wait for it.
        """
        self._pool.open()
        for _ in range(_MAX_CONNECTIONS + 1):
            if self._was_lost:
                psycopg.connect(self.conninfo).close()
                self._was_lost = False
            connection = self._connection()
            try:
                return connection, statement(connection)
            except psycopg.OperationalError:
                self.give_back(connection)
                if not connection.closed:
                    raise
            except BaseException:
                self.give_back(connection)
                raise
        msg = "every connection to the database is broken"
        raise psycopg.OperationalError(msg)

    def _connection(self) -> Connection:
        try:
            return self._pool.getconn()
        except PoolTimeout:
            self._was_lost = True
            raise

    def give_back(self, connection: Connection) -> None:
        """Return a connection to the others, without a transaction."""
        with suppress(psycopg.Error):  # what went wrong before is the news
            connection.rollback()
        self._was_lost |= connection.closed
        self._pool.putconn(connection)

    def lock_to_write(self) -> RLock:
        """Return `lock`: a process writes events over one connection at a time, for the others' rows would be locked."""
        return self.lock

    def without_waiting(self) -> None:
        """Return None: a database is always waited for."""

    def core(self) -> PostgresCore:
        """Return the ledger's cold side."""
        from payi_instrument.engine.store_core.on_postgres import PostgresCore

        self._core = PostgresCore(self.conninfo)
        return self._core

    def close(self) -> None:
        """Close the connections."""
        with suppress(psycopg.Error, RuntimeError):
            self._pool.close()

    def leave_to_parent(self) -> None:
        """Open connections of its own in a forked child; the parent's are its own to use and to close."""
        _parents.append(self._pool)
        self.lock = RLock()
        self._pool = self._new_pool()
        if self._core is not None:
            self._core.leave_to_parent()


class _Transaction:
    """One transaction of the ingest path."""

    __slots__ = ("_batch", "_books", "_connection", "_store")

    def __init__(self, store: PostgresStore, batch: Sequence[Ingest]) -> None:
        self._store = store
        self._batch = batch

    def __enter__(self) -> PostgresBooks:
        store = self._store
        try:
            self._connection = store.begin()
        except psycopg.Error as error:
            raise translated(error) from error
        try:
            self._books = PostgresBooks(self._connection, self._batch, looks_first=store.looks_first)
        except BaseException as error:
            self._end(error)
            raise
        return self._books

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            try:
                self._books.write()
                self._connection.execute("COMMIT")
                self._store.looks_first = False
            except BaseException as own:
                self._end(own)
                raise
        self._end(error)

    def _end(self, failure: BaseException | None) -> None:
        """Give the connection back; raise what the driver says as the ledger's own.

        What is raised is in no variable: it would keep this frame, which kept it, and both an engine that nobody uses.
        """
        self._store.give_back(self._connection)
        self._store.looks_first |= isinstance(failure, RACED)
        if isinstance(failure, (psycopg.Error, UnicodeEncodeError)):
            raise translated(failure) from failure


def _conninfo(url: str) -> str:
    given = conninfo_to_dict(url)
    options = str(given.get("options") or "")
    ours = {
        "client_encoding": "UTF8",
        "application_name": given.get("application_name", "payi_instrument"),
        "connect_timeout": given.get("connect_timeout", _PATIENCE_S),
        "options": f"{_FROZEN} {_SEARCH_PATH if 'search_path' not in options else ''} {options}",
    }
    return make_conninfo(url, **ours)


def _ready(connection: Connection) -> bool:
    """Say whether the schema holds a ledger of this package's revision; raises `PayiError` when another is there."""
    is_versioned, is_ours = connection.execute(_FOUND).fetchone() or (False, False)
    if not is_versioned:
        return False
    if not is_ours:
        problem = "the schema holds another program's tables; name another with ?options=-c search_path=…"
        raise _no_ledger(problem)
    row = connection.execute(_REVISION).fetchone()
    revision = None if row is None else str(row[0])
    if revision is not None and revision > REVISION:
        problem = f"it has schema revision {revision}, this package knows up to {REVISION}; upgrade payi-instrument"
        raise _no_ledger(problem)
    return revision == REVISION


def _no_ledger(problem: str, kind: type[PayiError] = PayiError) -> PayiError:
    return kind(f"can't open the ledger on PostgreSQL: {problem}")


_stores: weakref.WeakSet[PostgresStore] = weakref.WeakSet()
_parents: list[object] = []
"""A parent's pools, kept in its children: collected there, they would wait for threads that no fork takes along."""


def _after_fork_in_child() -> None:
    for store in list(_stores):
        store.leave_to_parent()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
