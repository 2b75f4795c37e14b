"""The rows of stored events, as requests read and change them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sqlalchemy import Connection


class RequestRows:
    """Stored events inside one transaction."""

    def __init__(self, connection: Connection) -> None:
        """Take a connection with an open transaction."""
        self._connection = connection
