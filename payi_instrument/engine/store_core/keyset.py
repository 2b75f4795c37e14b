"""Read one page of a listing: rows behind a cursor, in the order of a key and a tie."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy import and_, or_

from payi_instrument.engine.ledger import from_micros

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import ColumnElement, Select

    from payi_instrument.engine.pages import Listing

SelectT = TypeVar("SelectT", bound="Select[Any]")


def paged(statement: SelectT, listing: Listing[int], key: ColumnElement[datetime], tie: ColumnElement[str]) -> SelectT:
    """Restrict a statement ordered by time to a page and one row more, which tells whether another page follows."""
    if listing.after is not None:
        at, last = from_micros(listing.after[0]), listing.after[1]
        beyond = (key > at, tie > last) if listing.ascending else (key < at, tie < last)
        statement = statement.where(or_(beyond[0], and_(key == at, beyond[1])))
    order = (key.asc(), tie.asc()) if listing.ascending else (key.desc(), tie.desc())
    return statement.order_by(*order).limit(listing.size + 1)


def paged_names(statement: SelectT, listing: Listing[str], name: ColumnElement[str]) -> SelectT:
    """Restrict a statement that answers every name once to a page and one row more."""
    if listing.after is not None:
        at = listing.after[0]
        statement = statement.where(name > at if listing.ascending else name < at)
    return statement.order_by(name.asc() if listing.ascending else name.desc()).limit(listing.size + 1)
