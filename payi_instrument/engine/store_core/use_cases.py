"""The rows of definitions, KPIs, instances and scores."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sqlalchemy import Connection


class UseCaseRows:
    """Use cases inside one transaction."""

    def __init__(self, connection: Connection) -> None:
        """Take a connection with an open transaction."""
        self._connection = connection
