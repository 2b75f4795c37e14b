"""The rows of API keys."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import insert, select, update

from payi_instrument.engine import schema
from payi_instrument.engine.keys import MAX_LIVE, SCOPES, Key, application_problem
from payi_instrument.errors import PayiError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from sqlalchemy import Connection

_KEYS = schema.api_keys.c
_SHOWN = (_KEYS.key_id, _KEYS.application, _KEYS.scope, _KEYS.created, _KEYS.revoked)


class KeyRows:
    """Keys inside one transaction."""

    def __init__(self, connection: Connection) -> None:
        """Take a connection with an open transaction."""
        self._connection = connection

    def create(self, application: str, scope: str, now: datetime) -> Key:
        """Make a key and store what is kept of it; the key itself is never seen again.

        Raises `PayiError` for an unknown scope, a bad name, or when the application has two live keys of the scope.
        """
        if scope not in SCOPES:
            raise PayiError(f"scope: {scope!r} is not one of {', '.join(SCOPES)}")
        if problem := application_problem(application):
            raise PayiError(f"application: {problem}")
        live = self._live(application, scope)
        if len(live) >= MAX_LIVE:
            raise PayiError(
                f"application {application!r} has {len(live)} live keys of scope {scope}, {' and '.join(live)};"
                " revoke one first"
            )
        key = Key.new()
        values = {"application": application, "scope": scope, "secret_hash": key.hashed(), "created": now}
        self._connection.execute(insert(schema.api_keys).values(key_id=key.key_id, **values))
        return key

    def _live(self, application: str, scope: str) -> list[str]:
        statement = (
            select(_KEYS.key_id)
            .where(_KEYS.application == application, _KEYS.scope == scope, _KEYS.revoked.is_(None))
            .order_by(_KEYS.created, _KEYS.key_id)
        )
        return list(self._connection.execute(statement).scalars())

    def caller(self, text: str) -> tuple[str, str] | None:
        """Return the application and the scope of a key, None for one that is unknown or revoked."""
        key = Key.parse(text)
        if key is None:
            return None
        statement = select(_KEYS.application, _KEYS.scope, _KEYS.secret_hash).where(
            _KEYS.key_id == key.key_id, _KEYS.revoked.is_(None)
        )
        row = self._connection.execute(statement).one_or_none()
        return (row.application, row.scope) if row is not None and key.matches(row.secret_hash) else None

    def all(self) -> list[Mapping[str, Any]]:
        """Return every key as it may be shown, revoked ones too, by application and age."""
        statement = select(*_SHOWN).order_by(_KEYS.application, _KEYS.created, _KEYS.key_id)
        return [dict(row) for row in self._connection.execute(statement).mappings()]

    def revoke(self, key_id: str, now: datetime) -> Mapping[str, Any]:
        """Refuse a key from now on and return it; one that is revoked already stays as it is.

        Raises `PayiError` for an unknown id.
        """
        statement = update(schema.api_keys).where(_KEYS.key_id == key_id, _KEYS.revoked.is_(None))
        self._connection.execute(statement.values(revoked=now))
        row = self._connection.execute(select(*_SHOWN).where(_KEYS.key_id == key_id)).mappings().one_or_none()
        if row is None:
            raise PayiError(f"key id: {key_id!r} is unknown; `payi-instrument keys list` shows those there are")
        return dict(row)
