"""Where a ledger is, and how its meter is to be: what a `sqlite:` or `postgresql:` URL says.

Source: client.md section 1, local mode.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, quote, unquote, urlencode

from payi_instrument.engine.appraise import Options
from payi_instrument.engine.engine import Engine
from payi_instrument.engine.keys import application_problem
from payi_instrument.errors import PayiError, check_installed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from payi_instrument.engine.engine import LedgerStore

_CHOICES: Mapping[str, tuple[str, ...]] = {
    "strict_limits": ("false", "true"),
    "block_limits_on_ingest": ("evaluate", "reject"),
    "unpriced_events": ("reject", "record"),
    "synchronous": ("normal", "full"),
}
_POSTGRES = ("postgresql", "postgres")


@dataclass(frozen=True, slots=True)
class Address:
    """Hold what a URL says; two that are equal mean one engine.

    `place` is a file's path or PostgreSQL's own URL, None for memory; `synchronous` is SQLite's alone.
    """

    place: str | None
    application: str = "default"
    options: Options = field(default_factory=Options)
    synchronous: str = "normal"
    is_postgres: bool = False

    @classmethod
    def of(cls, url: str) -> Address:
        """Read a URL; raises `ValueError` for an unknown option, `PayiError` for another scheme."""
        scheme, _, rest = url.partition("://")
        if scheme not in {"sqlite", *_POSTGRES}:
            msg = f"{scheme}://…: no ledger can be there; use sqlite:///file.db or postgresql://user@host/database"
            raise PayiError(msg)
        place, _, query = rest.partition("?")
        given = dict(parse_qsl(query, keep_blank_values=True))
        application = given.pop("application", "default")
        if problem := application_problem(application):
            msg = f"base_url option application={problem}"
            raise ValueError(msg)
        if scheme == "sqlite":
            return cls(_path(url, place), application, _options(given), given.get("synchronous", "normal"))
        others = {name: given.pop(name) for name in list(given) if name not in _CHOICES or name == "synchronous"}
        own = f"?{urlencode(others, quote_via=quote)}" if others else ""
        return cls(f"postgresql://{place}{own}", application, _options(given), is_postgres=True)

    @property
    def is_shared(self) -> bool:
        """Say whether others can reach the ledger: one in memory is its opener's alone."""
        return self.place is not None

    def store(self) -> LedgerStore:
        """Open the ledger, creating or migrating it first when needed.

        Raises `MissingExtraError` without what it takes, `PayiError` when the ledger can't be opened, of these
        `APIConnectionError` when there is none to be reached.
        """
        check_installed("the embedded meter", "local", ("sqlalchemy", "alembic", "filelock"))
        if self.is_postgres and self.place is not None:
            check_installed("a ledger on PostgreSQL", "postgres", ("psycopg", "psycopg_pool"))
            from payi_instrument.engine.store_postgres import PostgresStore

            return PostgresStore(self.place)
        from payi_instrument.engine.store_sqlite import SqliteStore

        return SqliteStore(self.place, synchronous=self.synchronous)

    def open(self, on_commit: Callable[[int], None] | None = None) -> Engine:
        """Open the ledger with a meter on it; raises as :meth:`store` does."""
        return Engine(self.store(), self.options, on_commit)


def _path(url: str, place: str) -> str | None:
    if place in {"", "/", "/:memory:"}:
        return None
    if not place.startswith("/"):
        msg = f"{url!r}: write sqlite:///relative.db or sqlite:////absolute.db"
        raise ValueError(msg)
    return os.path.abspath(unquote(place[1:]))  # noqa: PTH100  # the text is the engine's name in the process


def _options(given: Mapping[str, str]) -> Options:
    for name, value in given.items():
        if name not in _CHOICES:
            msg = f"base_url option {name!r} is unknown; known are application, {', '.join(_CHOICES)}"
            raise ValueError(msg)
        if value not in _CHOICES[name]:
            msg = f"base_url option {name}={value!r} is not one of {', '.join(_CHOICES[name])}"
            raise ValueError(msg)
    return Options(
        strict_limits=given.get("strict_limits") == "true",
        block_limits_on_ingest=given.get("block_limits_on_ingest", "evaluate"),
        unpriced_events=given.get("unpriced_events", "reject"),
    )
