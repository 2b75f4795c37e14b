"""The ledger on SQLite: opening a file safely, its connection, and the transactions of the ingest path.

One connection and one lock for those who write and may wait; stores of their own for those who only read, and for those who
never wait. WAL lets readers go on meanwhile, `BEGIN IMMEDIATE` makes every writer wait its turn (design decisions 9 to 11).
SQL lives in `store_sqlite*` and `store_core`.
"""

from __future__ import annotations

import os
import sqlite3
import weakref
from contextlib import ExitStack, contextmanager, suppress
from threading import RLock, get_ident
from typing import TYPE_CHECKING, Any

from payi_instrument.engine.ledger import REVISION, LedgerBusyError
from payi_instrument.engine.store_sqlite_books import SqliteBooks
from payi_instrument.engine.store_sqlite_use_cases import SqliteInstances
from payi_instrument.errors import APIConnectionError, PayiError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence
    from types import TracebackType

    from payi_instrument.engine.ledger import Ingest, LimitRow
    from payi_instrument.engine.store_core.on_sqlite import SqliteCore

_OLDEST = (3, 37, 0)
"""STRICT tables came with this version."""
_BUSY_TIMEOUT_S = 30
_OURS = {"alembic_version", "events", "limits", "resource_versions"}
"""Tables that every revision has; a file without them is another program's."""


class SqliteStore:
    """A ledger in a SQLite file, or in memory when `path` is None."""

    def __init__(self, path: str | None, *, synchronous: str = "normal", waits: bool = True) -> None:
        """Open the ledger, creating or migrating it first when needed.

        One that does not wait (`waits=False`) raises `LedgerBusyError` where another would wait for a writer, and leaves
        it to the others to move the log into the file, which waits for the disk. Raises `PayiError` naming the path when
        the file is not a ledger, or is newer than this package, and of these `APIConnectionError` when it can't be opened.
        """
        if sqlite3.sqlite_version_info < _OLDEST:
            msg = f"SQLite {sqlite3.sqlite_version} is too old: 3.37 or newer is needed"
            raise PayiError(msg)
        self.path = path
        self._synchronous = synchronous
        self._waits = waits
        self._closed = False
        self.lock = RLock()  # the collector may close a store in the thread that holds it for a fork
        self._reach()
        _stores.add(self)

    def _reach(self) -> None:
        """Connect, and see to it that a ledger is there; raises as `__init__` says."""
        try:
            self._connection = self._connect()
            self._open()
        except (sqlite3.Error, OSError) as error:
            is_away = isinstance(error, (sqlite3.OperationalError, OSError))
            raise _no_ledger(self.path, str(error), APIConnectionError if is_away else PayiError) from error
        self.books = SqliteBooks(self._connection)
        self._file = _file_at(self.path)

    def _connect(self) -> sqlite3.Connection:
        timeout = _BUSY_TIMEOUT_S if self._waits else 0
        connection = sqlite3.connect(
            self.path or ":memory:", timeout=timeout, isolation_level=None, check_same_thread=False
        )
        connection.execute(f"PRAGMA synchronous = {self._synchronous}")
        if not self._waits:
            connection.execute("PRAGMA wal_autocheckpoint = 0")
        return connection

    def _open(self) -> None:
        """Make the schema, or bring it up to date, one process at a time (design decision 10)."""
        with ExitStack() as failing:
            failing.callback(self._connection.close)
            if self.path is None:
                _create(self._connection)
            elif not _ready(self._connection, self.path):
                from filelock import FileLock

                with FileLock(f"{self.path}.lock"):
                    if not _ready(self._connection, self.path):
                        self._migrate(self.path)
            failing.pop_all()

    def _migrate(self, path: str) -> None:
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute(f"PRAGMA synchronous = {self._synchronous}")
        from sqlalchemy import URL, NullPool, create_engine

        from payi_instrument.engine.migrations import upgrade

        upgrade(create_engine(URL.create("sqlite", database=path), poolclass=NullPool))

    def without_waiting(self) -> SqliteStore | None:
        """Return a store of the same ledger that never waits for a writer nor for the disk; None where that can't be."""
        if self.path is None:
            return self
        return self._another(self.path, waits=False) if self._synchronous == "normal" else None

    def reader(self) -> SqliteStore:
        """Return a store of the same ledger to read from while this one writes; itself when the ledger is in memory."""
        return self if self.path is None else self._another(self.path)

    def _another(self, path: str, *, waits: bool = True) -> SqliteStore:
        """Open the file once more, and let go of one that was deleted or replaced: all have to mean the same file."""
        if self.lock.acquire(blocking=False):  # who holds it writes, and may be waiting
            try:
                if not self._closed and not self.in_transaction and self._file != _file_at(path):
                    self.leave_file()
                    self.return_to_file()
            finally:
                self.lock.release()
        return SqliteStore(path, synchronous=self._synchronous, waits=waits)

    def core(self) -> SqliteCore:
        """Return the ledger's cold side."""
        from payi_instrument.engine.store_core.on_sqlite import SqliteCore

        return SqliteCore(self, self.reader())

    def lock_to_write(self) -> RLock:
        """Return `lock`, for those who wait; raises `LedgerBusyError` when the calling thread would wait for itself.

        A signal's handler does that when it interrupts a transaction, whichever connection to the file that is on.
        """
        if (self.path or self, get_ident()) in _writing:
            msg = "the ledger is in the middle of another operation of this thread; call it from another thread"
            raise LedgerBusyError(msg)
        return self.lock

    @contextmanager
    def writing(self) -> Generator[None]:
        """Hold the lock while the block writes; raises `LedgerBusyError` as :meth:`lock_to_write` does."""
        with self.lock_to_write():
            writer = (self.path or self, get_ident())
            try:
                _writing.add(writer)
                yield
            finally:
                _writing.discard(writer)

    def instances_on(self, execute: Callable[[str, tuple[Any, ...]], Any]) -> SqliteInstances:
        """Return what knows of use cases, on a transaction of the caller's."""
        return SqliteInstances(execute)

    def transaction(self, batch: Sequence[Ingest]) -> _Transaction:  # noqa: ARG002  # statements cost no round trip here
        """Hold SQLite's write lock until the block ends; the caller holds `lock`.

        Raises `LedgerBusyError` when a store that does not wait finds another writer, `APIConnectionError` when SQLite
        fails; nothing is stored then.
        """
        return _Transaction(self, (self.path or self, get_ident()))

    def read_limits(self, application: str, limit_ids: Sequence[str]) -> dict[str, LimitRow]:
        """Read the limits that exist as they stand, outside a transaction; raises `APIConnectionError`."""
        try:
            with self.lock:
                return self.books.lock_limits(application, limit_ids)
        except sqlite3.Error as error:
            raise _unusable(self.path, error) from error

    @property
    def connection(self) -> sqlite3.Connection:
        """Return the one connection, for the cold paths; use it under `lock` only."""
        return self._connection

    @property
    def in_transaction(self) -> bool:
        """Say whether a transaction is open on the connection."""
        try:
            return self._connection.in_transaction
        except sqlite3.ProgrammingError:  # it is closed
            return False

    def close(self) -> None:
        """Close the connection."""
        with self.lock:
            self._closed = True
            self._connection.close()

    def leave_file(self) -> None:
        """Close the file, because this process is about to fork; the caller holds `lock`.

        A child would inherit SQLite's belief in file locks that belong to its parent alone: when the parent goes, the
        log is deleted under the child, and what the child stores is lost.
        """
        if self.path is not None:
            self._connection.close()

    def return_to_file(self) -> None:
        """Open the file again, which may be another one by now; the caller holds `lock`.

        Raises `PayiError` when that fails; the store is of no use then.
        """
        if self.path is not None and not self._closed:
            self._reach()


class _Transaction:
    """One write transaction, as a class: a generator's context manager costs as much as a statement."""

    __slots__ = ("_connection", "_store", "_writer")

    def __init__(self, store: SqliteStore, writer: _Writer) -> None:
        self._store = store
        self._connection = store.connection
        self._writer = writer

    def __enter__(self) -> SqliteBooks:
        try:
            _writing.add(self._writer)
            self._connection.execute("BEGIN IMMEDIATE")
        except BaseException as error:  # Ctrl-C while SQLite waited for its lock is raised once it has the lock
            self.__exit__(type(error), error, error.__traceback__)
            raise
        return self._store.books

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                self._commit()
                return
            self._roll_back()
        finally:
            _writing.discard(self._writer)
        if isinstance(error, sqlite3.Error):
            raise _unusable(self._store.path, error) from error

    def _commit(self) -> None:
        try:
            self._connection.execute("COMMIT")
        except sqlite3.Error as failure:
            self._roll_back()
            raise _unusable(self._store.path, failure) from failure

    def _roll_back(self) -> None:
        with suppress(sqlite3.Error):  # what went wrong before is the news
            if self._connection.in_transaction:  # a full disk may have rolled back already
                self._connection.execute("ROLLBACK")


def _unusable(path: str | None, error: sqlite3.Error) -> APIConnectionError:
    busy = getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_BUSY
    return (LedgerBusyError if busy else APIConnectionError)(f"the ledger {path or 'in memory'} can't be used: {error}")


_stores: weakref.WeakSet[SqliteStore] = weakref.WeakSet()

_Writer = tuple[object, int]
"""A thread that writes to a ledger: the ledger's path, or the store of one in memory, and the thread's number."""
_writing: set[_Writer] = set()

_left: list[SqliteStore] = []
"""The stores that a fork going on found open."""


def _before_fork() -> None:
    for store in list(_stores):
        store.lock.acquire()  # no `with`: held while the process forks
        _left.append(store)
        store.leave_file()


def _after_fork_in_parent() -> None:
    with ExitStack() as all_of_them:  # whatever becomes of the others
        while _left:
            store = _left.pop()
            all_of_them.callback(store.lock.release)
            all_of_them.callback(store.return_to_file)


def _after_fork_in_child() -> None:
    with ExitStack() as all_of_them:
        while _left:
            store = _left.pop()
            store.lock = RLock()  # the threads that wait for the old one are the parent's
            all_of_them.callback(store.return_to_file)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child)


def _ready(connection: sqlite3.Connection, path: str) -> bool:
    """Say whether the file is a ledger of this package's revision in WAL mode, without touching it."""
    revision = _revision(connection, path)
    if revision is not None and revision > REVISION:
        problem = f"it has schema revision {revision}, this package knows up to {REVISION}; upgrade payi-instrument"
        raise _no_ledger(path, problem)
    return revision == REVISION and connection.execute("PRAGMA journal_mode").fetchone()[0] == "wal"


def _revision(connection: sqlite3.Connection, path: str) -> str | None:
    """Return the schema's revision, None for an empty file; raises `PayiError` for another program's file."""
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if not tables:
        return None
    row = connection.execute("SELECT version_num FROM alembic_version").fetchone() if tables >= _OURS else None
    if row is None:
        raise _no_ledger(path, "it holds another program's tables; name a file of its own for the ledger")
    return str(row[0])


def _file_at(path: str | None) -> tuple[int, int] | None:
    """Return what tells the file at a path from one that takes its place, None when there is none."""
    if path is None:
        return None
    try:
        found = os.stat(path)  # noqa: PTH116  # the text is what SQLite opens
    except OSError:
        return None
    return (found.st_dev, found.st_ino)


def _no_ledger(path: str | None, problem: str, kind: type[PayiError] = PayiError) -> PayiError:
    return kind(f"can't open the ledger {path or 'in memory'}: {problem}")


def _create(connection: sqlite3.Connection) -> None:
    """Make a ledger in memory at the newest revision; a test holds it against the migrations, which files go through."""
    from sqlalchemy.dialects import sqlite

    from payi_instrument.engine.store_core.creation import creation_statements

    connection.execute("BEGIN")
    for statement in creation_statements(sqlite.dialect, REVISION):
        connection.execute(statement)
    connection.execute("COMMIT")
