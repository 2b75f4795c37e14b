"""The ledger's cold side: its statements by noun, inside transactions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from payi_instrument.engine.store_core.audit import AuditRows
from payi_instrument.engine.store_core.keys import KeyRows
from payi_instrument.engine.store_core.kpis import KpiRows
from payi_instrument.engine.store_core.limits import LimitRows
from payi_instrument.engine.store_core.replies import ReplyRows
from payi_instrument.engine.store_core.requests import RequestRows
from payi_instrument.engine.store_core.resources import ResourceRows
from payi_instrument.engine.store_core.retention import RetentionRows
from payi_instrument.engine.store_core.use_cases import UseCaseRows

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from sqlalchemy import Connection

    from payi_instrument.engine.ledger import InstanceStore


class Ledger:
    """The ledger's cold statements inside one transaction, by noun."""

    def __init__(self, connection: Connection, instances: InstanceStore, *, writes: bool) -> None:
        """Take a connection with an open transaction, what knows of use cases on it, and whether it may write."""
        self.instances = instances
        self.limits = LimitRows(connection, locks=writes)
        self.resources = ResourceRows(connection)
        self.use_cases = UseCaseRows(connection, locks=writes)
        self.kpis = KpiRows(connection)
        self.requests = RequestRows(connection, locks=writes)
        self.keys = KeyRows(connection)
        self.audit = AuditRows(connection)
        self.retention = RetentionRows(connection)
        self.replies = ReplyRows(connection)


class CoreStore(Protocol):
    """Run statements of the cold paths in transactions."""

    def transaction(self, of: str) -> AbstractContextManager[Ledger]:
        """Read and write until the block ends, then commit; writers of the same thing (`of`) take turns.

        Raises `RacedError` when the ingest, or another process, was first with a part of it: do it again. Raises
        `APIConnectionError` when the database fails. Nothing is stored then.
        """
        ...

    def close(self) -> None:
        """Close what it opened."""
        ...

    def reading(self) -> AbstractContextManager[Ledger]:
        """Read everything as it stood at the block's first statement; raises `APIConnectionError`."""
        ...
