"""Turn the units of an event into money.

A resource version says what one unit costs; :func:`price` multiplies and adds. Everything here is pure and exact:
`Decimal` from the catalogue's text to the ledger's text, no binary float on the way (resources-semantics section 6,
decisions 1 to 3).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import ROUND_HALF_EVEN, Context, Decimal, Inexact, Overflow
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime, time

ZERO = Decimal(0)
_PLACES = 12
STEP = Decimal(1).scaleb(-_PLACES)

EXACT = Context(prec=50, traps=[Inexact])
"""Adds money: fifty digits are never used up, and an inexact sum is a bug that has to be seen."""
KEPT = Context(prec=50, Emax=25, traps=[Inexact, Overflow])
"""Adds money that is stored: no ledger keeps 10^26 USD or more, since PostgreSQL's columns have 26 digits before the
point. That a sum is looked at as it is made costs the ordinary event nothing."""
_ROUNDED = Context(prec=50, rounding=ROUND_HALF_EVEN)

_PLAIN_UNIT = {
    "reasoning": "text",
    "text_cache_read": "text",
    "text_cache_write": "text",
    "text_cache_write_1h": "text",
}
"""The unit that stands in where a custom resource has no price of its own for a part of the text (decision 1)."""

LARGE_CONTEXT = "_large_context"
"""Suffix of the units of a call whose input is longer than the resource's `large_context_threshold`."""
TIERS = ("_priority", "_flex", "_batch")
"""Suffixes of the service tiers that a provider may serve a call on."""

TOKEN_UNITS = frozenset(
    {
        *("text", "text_cache_read", "text_cache_write", "text_cache_write_1h", "reasoning", "image"),
        *("vision", "vision_cache_read", "audio", "audio_cache_read", "video", "video_cache_read"),
    }
)
"""Plain units that count tokens (resources-semantics section 6.1); searches, seconds and guardrails are none."""


@dataclass(frozen=True, slots=True)
class UnitPrice:
    """Hold what one unit costs, in USD, on each side of a call."""

    input: Decimal = ZERO
    output: Decimal = ZERO
    is_fine: bool = field(init=False, compare=False)
    """Whether it has more places than the ledger keeps, so that what it prices has to be rounded; hardly one has."""

    def __post_init__(self) -> None:
        """Count the places once, not for every event."""
        is_fine = any(_to_step(side) is not side for side in (self.input, self.output))
        object.__setattr__(self, "is_fine", is_fine)


class HourlyPrices(NamedTuple):
    """Hold what units cost on every day from `begin` (inclusive) to `end` (exclusive), times in UTC.

    An end before its begin is on the next day.
    """

    begin: time
    end: time
    units: Mapping[str, UnitPrice]
    large_context_threshold: int | None = None

    def cover(self, moment: time) -> bool:
        """Say whether they are in force at a time of day."""
        if self.end < self.begin:
            return moment >= self.begin or moment < self.end
        return self.begin <= moment < self.end


@dataclass(frozen=True, slots=True)
class ResourceVersion:
    """Describe one priced version of a resource, valid from `start` (inclusive) to `end` (exclusive, None = open).

    `hours` are the times of day at which it costs something else. Source: wire-api section 5
    (`CategoryResourceResponse`), resources-semantics sections 3 and 4.
    """

    category: str
    resource: str
    resource_id: str
    start: datetime
    units: Mapping[str, UnitPrice]
    end: datetime | None = None
    active: bool = True
    max_input_units: int | None = None
    max_output_units: int | None = None
    max_total_units: int | None = None
    large_context_threshold: int | None = None
    aliased_resource: str | None = None
    description: str | None = None
    hours: tuple[HourlyPrices, ...] = ()


@dataclass(slots=True)
class Cost:
    """Hold the price of one event in USD, each side exact to twelve decimal places."""

    input: Decimal = ZERO
    output: Decimal = ZERO
    unknown_units: Mapping[str, tuple[int, int]] = field(default_factory=dict[str, tuple[int, int]])
    warnings: tuple[str, ...] = ()

    @property
    def total(self) -> Decimal:
        """Return input plus output."""
        return EXACT.add(self.input, self.output)


def too_much(amount: Decimal, what: str) -> str:
    """Say that units lead to an amount that no ledger keeps."""
    return f"units: {what} {amount!s:.40} USD, and no ledger keeps 1E+26 or more; send smaller counts"


def price(version: ResourceVersion | None, units: Mapping[str, tuple[int, int]], context: Context = KEPT) -> Cost:
    """Price the units of one event by the version that was valid when it happened.

    A unit without a price of its own takes the price of the plainer unit it is a variant of, with the warning
    `unit_fallback: <unit>`; one that has no such relative costs nothing and is listed in `unknown_units` with the
    warning `unknown_unit: <unit>`. Without a version every unit is unknown. Raises `Overflow` for a side that is too much
    for the context.
    """
    if version is None:
        return Cost(unknown_units=dict(units))
    total_input = total_output = ZERO
    unknown: dict[str, tuple[int, int]] = {}
    warnings: list[str] = []
    is_fine = False
    prices = version.units
    for unit, (count_input, count_output) in units.items():
        unit_price = prices.get(unit)
        if unit_price is None:
            unit_price = next((prices[name] for name in plainer_units(unit) if name in prices), None)
            if unit_price is None:
                unknown[unit] = (count_input, count_output)
                warnings.append(f"unknown_unit: {unit}")
                continue
            warnings.append(f"unit_fallback: {unit}")
        is_fine = is_fine or unit_price.is_fine
        if count_input:
            total_input = context.fma(unit_price.input, count_input, total_input)
        if count_output:
            total_output = context.fma(unit_price.output, count_output, total_output)
    if is_fine:
        total_input, total_output = _to_step(total_input), _to_step(total_output)
    return Cost(total_input, total_output, unknown, tuple(warnings))


def with_context(version: ResourceVersion, units: Mapping[str, tuple[int, int]]) -> Mapping[str, tuple[int, int]]:
    """Rename the units of one event to their `_large_context` twins when its input is past the version's threshold.

    Past means that the input tokens of all units together are strictly more than `large_context_threshold` (a version
    without one never renames). Only units whose twin the version prices are renamed, counts of a twin that is already
    there are added to it, and a tier stays last: `text_flex` becomes `text_large_context_flex`. `units` itself is
    returned, not a copy, when nothing changes. Source: resources-semantics section 6.1, decision 2.
    """
    threshold = version.large_context_threshold
    if threshold is None or sum(count for count, _ in units.values()) <= threshold:
        return units  # most calls: short, whatever their units count
    parts = {unit: _split(unit) for unit in units}
    if sum(count for unit, (count, _) in units.items() if parts[unit][0] in TOKEN_UNITS) <= threshold:
        return units
    renamed: dict[str, tuple[int, int]] = {}
    for unit, (count_input, count_output) in units.items():
        base, _, tier = parts[unit]
        twin = base + LARGE_CONTEXT + tier
        name = twin if twin in version.units else unit
        before_input, before_output = renamed.get(name, (0, 0))
        renamed[name] = (before_input + count_input, before_output + count_output)
    return renamed


def plainer_units(unit: str) -> list[str]:
    """List the units whose price may stand in for `unit`, nearest first.

    `text_large_context_priority` is tried without its tier, then without its context, then without both; a part of the
    text (`reasoning`, `text_cache_read`, `text_cache_write`, `text_cache_write_1h`) falls back to `text` last.
    """
    base, large, tier = _split(unit)
    names = [base + large, base + tier, base]
    if plain := _PLAIN_UNIT.get(base):
        names += [plain + large + tier, plain + large, plain + tier, plain]
    return [name for name in dict.fromkeys(names) if name != unit]


def _split(unit: str) -> tuple[str, str, str]:
    """Take `text_large_context_flex` apart: the plain unit, `_large_context` or nothing, the tier or nothing."""
    tier = next((suffix for suffix in TIERS if unit.endswith(suffix)), "")
    base = unit.removesuffix(tier)
    large = LARGE_CONTEXT if base.endswith(LARGE_CONTEXT) else ""
    return base.removesuffix(large), large, tier


def _to_step(value: Decimal) -> Decimal:
    """Round to the twelve places that the ledger keeps; sums of rounded costs are exact."""
    rounded = _ROUNDED.quantize(value, STEP)
    return value if rounded == value else rounded  # as it was written, without the twelve places' zeros
