"""Requests as JSON text and query strings, answers read back: amounts keep every digit both ways.

Source: wire-api sections 1.1 and 1.6.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING, cast

from payi_instrument.wire.model import Money, json_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


def json_body(body: object) -> bytes:
    """Write a request's body; raises `ValueError` naming a number that is not finite."""
    return json_text(body).encode()


def json_value(content: bytes) -> object:
    """Read an answer: JSON with fractions as exact amounts, else text, None when there is nothing."""
    if not content:
        return None
    try:
        return cast("object", json.loads(content, parse_float=Money))
    except (ValueError, ArithmeticError, RecursionError):  # no JSON, a number past any decimal, one list in another
        return content.decode(errors="replace")


class Repeated(list[str]):
    """A query parameter that the caller wrote more than once; other lists are one value with commas."""


_REPEATED = "property"


def query_values(query: Mapping[str, object]) -> dict[str, str | list[str]]:
    """Spell query values as the official SDK does: booleans in lower case, times in ISO 8601, lists joined by commas.

    The members of a mapping are parameters of their own, `name[member]`. Only `property` is repeated (wire-api section 4).
    Raises `ValueError` naming a parameter that UTF-8 can't carry, `TypeError` for what is no value.
    """
    flat = dict(_flat(query.items()))
    return {name: _query(name, value) for name, value in flat.items() if value is not None}


def _flat(pairs: Iterable[tuple[str, object]]) -> Iterator[tuple[str, object]]:
    for name, value in pairs:
        if isinstance(value, Mapping):
            members = cast("Mapping[str, object]", value)
            yield from _flat((f"{name}[{member}]", inner) for member, inner in members.items())
        else:
            yield name, value


def _query(name: str, value: object) -> str | list[str]:
    if isinstance(value, (list, tuple)):
        texts = [_text(name, item) for item in cast("list[object]", value) if item is not None]
        return texts if name == _REPEATED or isinstance(value, Repeated) else ",".join(texts)
    return _text(name, value)


def _text(name: str, value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if not isinstance(value, (str, int, float, Decimal, date)):
        msg = f"{name}: {value!r} is a {type(value).__name__}, which no query can carry; give text, a number or a time"
        raise TypeError(msg)
    text = value.isoformat() if isinstance(value, date) else str(value)
    for part in (name, text):
        if not part.isascii():
            _check_whole(name, part)
    return text


def _check_whole(name: str, text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        msg = f"{name}: {text!r} holds half a character, which no URL can carry"
        raise ValueError(msg) from None
