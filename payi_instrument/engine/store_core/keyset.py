"""Read one page of a listing: rows behind a cursor, in the order of a key and a tie."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy import and_, or_

if TYPE_CHECKING:
    from sqlalchemy import Column, Select

    from payi_instrument.engine.pages import Listing

SelectT = TypeVar("SelectT", bound="Select[Any]")


def paged(statement: SelectT, listing: Listing[Any], key: Column[Any], tie: Column[str], after: Any = None) -> SelectT:
    """Restrict a statement to a page and one row more, which tells whether another page follows.

    `after` is the cursor's key as the column takes it, where that is not the key itself.
    """
    if listing.after is not None:
        at, last = listing.after[0] if after is None else after, listing.after[1]
        beyond = (key > at, tie > last) if listing.ascending else (key < at, tie < last)
        statement = statement.where(or_(beyond[0], and_(key == at, beyond[1])))
    order = (key.asc(), tie.asc()) if listing.ascending else (key.desc(), tie.desc())
    return statement.order_by(*order).limit(listing.size + 1)
