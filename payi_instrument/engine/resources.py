"""The rules of custom resources, pure: what a new version may hold, when two are the same, which one is valid.

Source: resources-semantics sections 1, 3 and 4.
"""

from __future__ import annotations

import json
import re
from decimal import Decimal
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from payi_instrument.engine.ledger import from_micros, is_name, plain_amount
from payi_instrument.engine.pricing import ResourceVersion, UnitPrice
from payi_instrument.wire.codes import ContractError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from payi_instrument.engine.catalogue import Catalogue
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

    def priced(self, category: str, resource: str, end: datetime | None) -> ResourceVersion:
        """Return this version of a resource with its prices as numbers; `end` is when it stops being valid."""
        return ResourceVersion(
            category=category,
            resource=resource,
            resource_id=self.resource_id,
            start=from_micros(self.start_timestamp),
            end=end,
            units=units_of(self.units),
            active=self.deleted is None,
            max_input_units=self.max_input_units,
            max_output_units=self.max_output_units,
            max_total_units=self.max_total_units,
        )


def to_versions(category: str, resource: str, rows: Iterable[CustomVersion]) -> list[ResourceVersion]:
    """Turn stored versions, oldest first, into priced ones; each ends where the next begins (section 4)."""
    versions = list(rows)
    ends: list[datetime | None] = [from_micros(row.start_timestamp) for row in versions[1:]]
    return [row.priced(category, resource, end) for row, end in zip(versions, [*ends, None], strict=False)]


def valid_at(versions: Iterable[ResourceVersion], moment: datetime) -> ResourceVersion | None:
    """Return the version that is valid at a moment, of versions that come oldest first (section 4)."""
    valid = [version for version in versions if version.start <= moment]
    return valid[-1] if valid else None


def shown_at(versions: Sequence[ResourceVersion], moment: datetime) -> ResourceVersion:
    """Return the version that stands for its resource in a list: the valid one, else the next to be (section 5)."""
    return valid_at(versions, moment) or versions[0]


def same_content(one: ResourceVersion, other: ResourceVersion) -> bool:
    """Say whether two versions have the same prices, by value, and the same caps (section 3)."""
    return _content(one) == _content(other)


def _content(version: ResourceVersion) -> tuple[Mapping[str, UnitPrice], int | None, int | None, int | None]:
    return (version.units, version.max_input_units, version.max_output_units, version.max_total_units)


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
        raise ContractError(_INVALID, f"units.{unit}.{side}: {value!s:.40} is not a price of 0 or more")
    plain = plain_amount(value, _MAX_PRICE_DIGITS, _MAX_PRICE_PLACES)
    if plain is None:
        raise ContractError(
            _INVALID,
            f"units.{unit}.{side}: {value!s:.40} needs more than {_MAX_PRICE_DIGITS} digits or {_MAX_PRICE_PLACES} places",
        )
    return f"{plain:f}"


def check_custom_name(field: str, name: str) -> None:
    """Refuse a category or resource name that can't be one; raises `ContractError` naming the field."""
    if not is_name(name, _MAX_NAME):
        message = (
            f"{field}: {name[:80]!r} is not 1 to {_MAX_NAME} characters without control characters or outer blanks,"
            " or it is one that no URL can name"
        )
        raise ContractError(_INVALID, message)


def check_writable(category: str, catalogue: Catalogue) -> None:
    """Refuse to write to a system category; raises `ContractError` `system_category_forbidden`."""
    lower = category.lower()
    if lower == "system" or lower.startswith("system.") or category in catalogue.categories():
        raise ContractError("system_category_forbidden", f"category: {category!r} is read-only; use a name of your own")
