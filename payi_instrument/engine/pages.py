"""Listings: one page of many rows in a total order, and the cursor behind its last row.

Source: wire-api section 1.6.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Generic, TypeVar

from payi_instrument.engine.ledger import from_micros, unfit
from payi_instrument.wire.codes import ContractError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from payi_instrument.wire.operations import PageQuery

KeyT = TypeVar("KeyT", int, str)
AskedT = TypeVar("AskedT", int, str)
RowT = TypeVar("RowT")


@dataclass(frozen=True, slots=True)
class Listing(Generic[KeyT]):
    """Say which rows a page holds: `size` of them in order of key and id, beginning behind `after`."""

    ascending: bool
    after: tuple[KeyT, str] | None
    size: int
    digest: str

    @staticmethod
    def asked_by(
        query: PageQuery, kind: type[AskedT], *, of: str, filters: Mapping[str, object], names: bool = False
    ) -> Listing[AskedT]:
        """Read what a query asks of the listing `of` (an operation and its path); keys are times in microseconds, or names.

        Without `sort_ascending` names ascend and times descend. Raises `ContractError` `invalid_cursor` for a cursor that
        another listing made.
        """
        ascending = names if query.sort_ascending is None else query.sort_ascending
        text = json.dumps([of, dict(filters), ascending], sort_keys=True)
        digest = sha256(text.encode()).hexdigest()[:12]
        return Listing(ascending, _decoded(query.cursor, digest, kind), query.limit, digest)

    def page(self, rows: list[RowT], key: Callable[[RowT], tuple[KeyT, str]]) -> tuple[list[RowT], str | None]:
        """Return the rows to show of `size + 1` that were read, and the cursor of the next page, None on the last."""
        shown = rows[: self.size]
        return shown, (self._cursor(*key(shown[-1])) if len(rows) > self.size else None)

    def _cursor(self, key: KeyT, tie: str) -> str:
        text = json.dumps([self.digest, key, tie], separators=(",", ":"))
        return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")

    def chosen(self, rows: Iterable[RowT], key: Callable[[RowT], tuple[KeyT, str]]) -> list[RowT]:
        """Return the rows of a page, and one more, out of rows in any order: those that no database sorts."""
        behind = [row for row in rows if self._is_behind(key(row))]
        return sorted(behind, key=key, reverse=not self.ascending)[: self.size + 1]

    def _is_behind(self, place: tuple[KeyT, str]) -> bool:
        if self.after is None:
            return True
        return place > self.after if self.ascending else place < self.after


def _decoded(cursor: str | None, digest: str, kind: type[KeyT]) -> tuple[KeyT, str] | None:
    if not cursor:
        return None
    try:
        made_for, key, tie = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except (ValueError, TypeError, RecursionError) as error:
        raise ContractError("invalid_cursor", "cursor: it can't be read; start again without it") from error
    if made_for != digest or not _is_place(key, tie, kind):
        raise ContractError("invalid_cursor", "cursor: it belongs to another listing; start again without it")
    return key, tie


def _is_place(key: object, tie: object, kind: type[int | str]) -> bool:
    """Say whether a cursor, which anybody may have changed, holds a key of the listing and an id, both of which can be."""
    if type(key) is not kind or not isinstance(tie, str):
        return False
    try:
        _ = from_micros(key) if isinstance(key, int) else None
    except OverflowError:
        return False
    return unfit(tie) is None and unfit(key) is None
