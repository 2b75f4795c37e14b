"""Transactions of the cold paths on SQLite: on the connections that the store itself uses."""

from __future__ import annotations

from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Protocol

from sqlalchemy import Connection, Engine, StaticPool, create_engine, event
from sqlalchemy.exc import DBAPIError

from payi_instrument.engine.store_core.store import Ledger
from payi_instrument.errors import APIConnectionError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from contextlib import AbstractContextManager

    from sqlalchemy import ExceptionContext

    from payi_instrument.engine.ledger import InstanceStore


class DriverStore(Protocol):
    """What the cold paths need of a database's own store; connection and lock change when a process forks."""

    @property
    def connection(self) -> Any:
        """Return the driver's connection."""
        ...

    @property
    def in_transaction(self) -> bool:
        """Say whether a transaction is open on the connection."""
        ...

    @property
    def lock(self) -> AbstractContextManager[object]:
        """Return the lock that guards it."""
        ...

    def writing(self) -> AbstractContextManager[None]:
        """Let the calling thread be the one that writes; raises `LedgerBusyError` when it is in the middle of that."""
        ...

    def close(self) -> None:
        """Close the connection."""
        ...

    def instances_on(self, execute: Callable[[str, tuple[Any, ...]], Any]) -> InstanceStore:
        """Return what knows of use cases, on a transaction of the caller's."""
        ...


class SqliteCore:
    """Run statements of the cold paths on stores' own connections, one transaction at a time."""

    def __init__(self, store: DriverStore, reader: DriverStore) -> None:
        """Take the store to write to, and the one to read from: the same where a ledger has one connection only."""
        self._writer = _Side(store, "BEGIN IMMEDIATE")
        self._reader = _Side(reader, "BEGIN")
        self._store = store
        self._read_from = reader

    def close(self) -> None:
        """Close the store that is read from, where it is another than the one that is written to."""
        if self._read_from is not self._store:
            self._read_from.close()

    @contextmanager
    def transaction(self, of: str) -> Generator[Ledger]:  # noqa: ARG002  # there is one writer at a time, whatever of
        """Hold the store's lock and a write transaction until the block ends.

        Raises `APIConnectionError` when the database fails; nothing is stored then.
        """
        with self._store.writing(), self._writer.transaction(writes=True) as ledger:
            yield ledger

    @contextmanager
    def reading(self) -> Generator[Ledger]:
        """Read everything as it stood at the block's first statement; no writer is waited for where the ledger is a file.

        Raises `APIConnectionError` when the database fails.
        """
        with self._reader.transaction(writes=False) as ledger:
            yield ledger


class _Side:
    """Begin transactions of one kind on a store's connection."""

    def __init__(self, store: DriverStore, begin: str) -> None:
        self._store = store
        self._begin = begin
        self._engine: tuple[object, Engine] | None = None

    @contextmanager
    def transaction(self, *, writes: bool) -> Generator[Ledger]:
        try:
            with self._store.lock:
                if self._store.in_transaction:  # a signal's handler, say: what it interrupted must not be rolled back
                    msg = "the ledger is in the middle of another operation of this thread; call it from another thread"
                    raise APIConnectionError(msg)
                with self._nothing_left_open(), self._current_engine().begin() as connection:
                    yield Ledger(connection, self._store.instances_on(connection.exec_driver_sql), writes=writes)
        except DBAPIError as error:
            raise APIConnectionError(f"the ledger can't be used: {error.orig}") from error.orig

    @contextmanager
    def _nothing_left_open(self) -> Generator[None]:
        """Leave no transaction open: Ctrl-C during BEGIN is raised when the database has begun and SQLAlchemy has not."""
        try:
            yield
        finally:
            with suppress(Exception):  # what went wrong before is the news
                self._store.connection.rollback()  # does nothing after a commit

    def _current_engine(self) -> Engine:
        connection = self._store.connection
        if self._engine is None or self._engine[0] is not connection:
            engine = create_engine(
                "sqlite://", creator=lambda: connection, poolclass=StaticPool, pool_reset_on_return=None
            )
            event.listen(engine, "begin", self._begin_on)
            event.listen(engine, "handle_error", _keep_connection)
            self._engine = (connection, engine)
        return self._engine[1]

    def _begin_on(self, connection: Connection) -> None:
        connection.exec_driver_sql(self._begin)


def _keep_connection(context: ExceptionContext) -> None:
    """Leave the store's connection open: SQLAlchemy would close it for an interrupt."""
    context.is_disconnect = False
