"""The replies that are kept for requests that come again. Source: wire-api section 1.7."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sqlalchemy import delete, insert, select

from payi_instrument.engine import schema

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import Connection

_KEPT = schema.idempotency_keys.c


class KeptReply(NamedTuple):
    """What a request was about, and what it was answered: JSON text, empty for no body."""

    target_digest: str
    body_digest: str
    status: int
    reply: str


class ReplyRows:
    """Kept replies inside one transaction."""

    def __init__(self, connection: Connection) -> None:
        """Take a connection with an open transaction."""
        self._connection = connection

    def find(self, application: str, key: str, since: datetime) -> KeptReply | None:
        """Find the reply to an application's request with this key, if it is not older than `since`."""
        statement = select(_KEPT.target_digest, _KEPT.body_digest, _KEPT.status, _KEPT.reply).where(
            _KEPT.application == application, _KEPT.key == key, _KEPT.created >= since
        )
        row = self._connection.execute(statement).one_or_none()
        return None if row is None else KeptReply._make(row)

    def keep(self, application: str, key: str, reply: KeptReply, now: datetime, since: datetime) -> None:
        """Keep a reply, and forget those from before `since`."""
        self._connection.execute(delete(schema.idempotency_keys).where(_KEPT.created < since))
        values = reply._asdict() | {"application": application, "key": key, "created": now}
        self._connection.execute(insert(schema.idempotency_keys).values(**values))
