"""Requests as JSON text and query strings, answers read back: amounts keep every digit both ways.

Source: wire-api sections 1.1 and 1.6.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import cast

from pydantic import TypeAdapter

from payi_instrument.ids import new_id
from payi_instrument.wire.model import Money

_DECIMAL = f"decimal {new_id()} "
"""Marks the decimals of a body until they are written; nobody else's text begins so."""


def json_text(body: object) -> bytes:
    """Write a body as JSON: times in ISO 8601, decimals as numbers with all their digits."""
    text = json.dumps(_exact(body), default=_plain)
    return (re.sub(f'"{_DECIMAL}([^"]*)"', r"\1", text) if _DECIMAL in text else text).encode()


def _exact(value: object) -> object:
    """Return a body with its amounts as decimals: JSON's writer would take them for floats."""
    if isinstance(value, Money):
        return value.exact
    if isinstance(value, Mapping):
        return {name: _exact(member) for name, member in cast("Mapping[str, object]", value).items()}
    return [_exact(item) for item in cast("list[object]", value)] if isinstance(value, list) else value


def _plain(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Decimal):
        return f"{_DECIMAL}{value}"
    msg = f"{value!r} is a {type(value).__name__}, which JSON can't carry"
    raise TypeError(msg)


def json_value(content: bytes) -> object:
    """Read an answer: JSON with fractions as exact amounts, else text, None when there is nothing."""
    if not content:
        return None
    try:
        return cast("object", json.loads(content, parse_float=Money))
    except ValueError:
        return content.decode(errors="replace")


def model_text(answer: object) -> bytes:
    """Write an embedded meter's answer as a server would: what was not set is left out."""
    return b"" if answer is None else json_text(TypeAdapter(type(answer)).dump_python(answer, exclude_unset=True))


def query_values(query: Mapping[str, object]) -> dict[str, str | list[str]]:
    """Spell query values as the official SDK does: booleans in lower case, times in ISO 8601, lists repeated."""
    return {name: _query(value) for name, value in query.items() if value is not None}


def _query(value: object) -> str | list[str]:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, list):
        return [str(item) for item in cast("list[object]", value)]
    return str(value)
