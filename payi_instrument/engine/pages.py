"""Cursors of listings: where the next page begins, bound to the listing that made them.

Source: wire-api section 1.6.
"""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from hashlib import sha256

from payi_instrument.wire.codes import ContractError


def listing_digest(operation: str, filters: dict[str, object], *, ascending: bool) -> str:
    """Return what tells one listing from another: the operation, its filters, its direction."""
    text = json.dumps([operation, filters, ascending], sort_keys=True)
    return sha256(text.encode()).hexdigest()[:12]


def encode_cursor(digest: str, moment: datetime, tie: str) -> str:
    """Return an opaque cursor behind the row with this time and id."""
    text = json.dumps([digest, moment.isoformat(), tie], separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def decode_cursor(cursor: str | None, digest: str) -> tuple[datetime, str] | None:
    """Return the row that a cursor stands behind; raises `ContractError` `invalid_cursor` for another listing's."""
    if not cursor:
        return None
    try:
        made_for, moment, tie = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        if made_for != digest:
            raise ContractError("invalid_cursor", "cursor: it belongs to another listing; start again without it")
        return datetime.fromisoformat(moment).astimezone(UTC), str(tie)
    except (ValueError, TypeError, OverflowError, RecursionError) as error:
        raise ContractError("invalid_cursor", "cursor: it can't be read; start again without it") from error
