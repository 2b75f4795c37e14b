"""Transactions of the cold paths on a database's own connection."""

from __future__ import annotations

from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Protocol

from sqlalchemy import Connection, Engine, StaticPool, create_engine, event
from sqlalchemy.exc import DBAPIError

from payi_instrument.engine.store_core.kpis import KpiRows
from payi_instrument.engine.store_core.limits import LimitRows
from payi_instrument.engine.store_core.requests import RequestRows
from payi_instrument.engine.store_core.resources import ResourceRows
from payi_instrument.engine.store_core.use_cases import UseCaseRows
from payi_instrument.errors import APIConnectionError

if TYPE_CHECKING:
    from collections.abc import Generator
    from contextlib import AbstractContextManager

    from sqlalchemy import ExceptionContext


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
            with self._store.lock:
                if self._store.in_transaction:  # a signal's handler, say: what it interrupted must not be rolled back
                    msg = "the ledger is in the middle of another operation of this thread; call it from another thread"
                    raise APIConnectionError(msg)
                with self._rolled_back_on_error(), self._current_engine().begin() as connection:
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
    """The ledger's cold statements inside one transaction, by noun."""

    def __init__(self, connection: Connection) -> None:
        """Take a connection with an open transaction."""
        self.limits = LimitRows(connection)
        self.resources = ResourceRows(connection)
        self.use_cases = UseCaseRows(connection)
        self.kpis = KpiRows(connection)
        self.requests = RequestRows(connection)
