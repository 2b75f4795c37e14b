"""The rules of custom resources, pure: what a new version may hold, when two are the same, which one is valid.

Source: resources-semantics sections 1, 3 and 4.
"""

from __future__ import annotations

import json
import re
from dataclasses import replace
from decimal import Decimal
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from payi_instrument.engine.ledger import from_micros, plain_amount
from payi_instrument.engine.pricing import ResourceVersion, UnitPrice
from payi_instrument.wire.codes import ContractError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from payi_instrument.wire.categories import ResourceRequest

_UNIT_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}", re.ASCII)
_MAX_NAME = 256
_MAX_PRICE_DIGITS = 12
_MAX_PRICE_PLACES = 18
_INVALID = "request_processing_error"


class CustomVersion(NamedTuple):
    """One stored version; `units` is JSON text of `{unit: [input price, output price]}`, times in microseconds."""

    resource_id: str
    start_timestamp: int
    units: str
    max_input_units: int | None
    max_output_units: int | None
    max_total_units: int | None
    deleted: int | None

    def content(self) -> tuple[Mapping[str, UnitPrice], int | None, int | None, int | None]:
        """Return what two versions must share to be the same: prices by value, and caps."""
        return (units_of(self.units), self.max_input_units, self.max_output_units, self.max_total_units)


def to_versions(category: str, resource: str, rows: Iterable[CustomVersion]) -> list[ResourceVersion]:
    """Turn stored versions, oldest first, into priced ones; each ends where the next begins (section 4)."""
    versions = [
        ResourceVersion(
            category=category,
            resource=resource,
            resource_id=row.resource_id,
            start=from_micros(row.start_timestamp),
            units=units_of(row.units),
            active=row.deleted is None,
            max_input_units=row.max_input_units,
            max_output_units=row.max_output_units,
            max_total_units=row.max_total_units,
        )
        for row in rows
    ]
    ends = [version.start for version in versions[1:]]
    return [replace(version, end=end) for version, end in zip(versions, ends, strict=False)] + versions[-1:]


@lru_cache(1024)
def units_of(text: str) -> Mapping[str, UnitPrice]:
    """Read a version's prices."""
    pairs: dict[str, list[str]] = json.loads(text)
    return {unit: UnitPrice(Decimal(prices[0]), Decimal(prices[1])) for unit, prices in pairs.items()}


def units_text(request: ResourceRequest) -> str:
    """Check the prices of a new version and return them as stored text; raises `ContractError` naming the bad one."""
    units: dict[str, tuple[str, str]] = {}
    for unit, prices in request.units.items():
        if not _UNIT_NAME.fullmatch(unit):
            raise ContractError(_INVALID, f"units: {unit[:80]!r} is not a unit name (a-z 0-9 _ . -, at most 64)")
        units[unit] = (
            _price(unit, "input_price", prices.input_price),
            _price(unit, "output_price", prices.output_price),
        )
    return json.dumps(units, sort_keys=True)


def _price(unit: str, side: str, value: Decimal | None) -> str:
    """Return a price in plain canonical notation; a missing one is 0."""
    if value is None:
        return "0"
    if not value.is_finite() or value < 0:
        raise ContractError(_INVALID, f"units.{unit}.{side}: {value} is not a price of 0 or more")
    plain = plain_amount(value, _MAX_PRICE_DIGITS, _MAX_PRICE_PLACES)
    if plain is None:
        raise ContractError(
            _INVALID,
            f"units.{unit}.{side}: {value} needs more than {_MAX_PRICE_DIGITS} digits or {_MAX_PRICE_PLACES} places",
        )
    return f"{plain:f}"


def check_custom_name(field: str, name: str) -> None:
    """Refuse a category or resource name that can't be one; raises `ContractError` naming the field."""
    if not 1 <= len(name) <= _MAX_NAME or name != name.strip() or any(not char.isprintable() for char in name):
        raise ContractError(
            _INVALID, f"{field}: {name[:80]!r} is not 1 to {_MAX_NAME} printable characters without outer blanks"
        )


def check_writable(category: str) -> None:
    """Refuse to write to a system category; raises `ContractError` `system_category_forbidden`."""
    if category.lower() == "system" or category.lower().startswith("system."):
        raise ContractError("system_category_forbidden", f"category: {category!r} is read-only; use a name of your own")
