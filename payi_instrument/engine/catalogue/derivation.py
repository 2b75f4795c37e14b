"""Price every token unit of a model from the few prices that its provider states.

Providers state what differs: a price for text, one for cached text, half of both for a batch. What they don't state
costs what its parent costs, so that nothing which is billed is silently free (decision 1). The parents are those of
genai-prices, where the nearest stated price covers a usage.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from payi_instrument.engine.pricing import LARGE_CONTEXT, TIERS, TOKEN_UNITS, ZERO, UnitPrice

if TYPE_CHECKING:
    from collections.abc import Mapping
    from decimal import Decimal

    Stated: TypeAlias = Mapping[str, tuple[Decimal | None, Decimal | None]]
    """Input and output price of each unit that the file states; None where it states nothing for the side."""

_INPUT_PARENTS = {
    "text": (),
    "text_cache_read": ("text",),
    "text_cache_write": ("text",),
    "text_cache_write_1h": ("text_cache_write", "text"),
    "vision": ("text",),
    "vision_cache_read": ("text_cache_read", "vision", "text"),
    "audio": ("text",),
    "audio_cache_read": ("text_cache_read", "audio", "text"),
    "video": ("text",),
    "video_cache_read": ("text_cache_read", "video", "text"),
    "image": ("vision", "text"),
}
_OUTPUT_PARENTS = {
    "text": (),
    "reasoning": ("text",),
    "audio": ("text",),
    "image": ("text",),
    "video": ("text",),
}


class _TokenUnit(NamedTuple):
    unit: str
    large: str
    tier: str
    input_names: list[str]
    output_names: list[str]


def full_units(stated: Stated) -> dict[str, UnitPrice]:
    """Return the price of every unit: those stated, and every token unit that has a stated parent.

    Token units come plain, for large context and for each tier, `<unit>_large_context_<tier>`. A side without a
    stated price, its own or a parent's, costs 0: embeddings have no output.
    """
    inputs = {unit: sides[0] for unit, sides in stated.items() if sides[0] is not None}
    outputs = {unit: sides[1] for unit, sides in stated.items() if sides[1] is not None}
    units = {unit: UnitPrice(inputs.get(unit, ZERO), outputs.get(unit, ZERO)) for unit in stated}
    suffixes = {"", *(suffix for suffix in (LARGE_CONTEXT, *TIERS) if any(suffix in unit for unit in stated))}
    for unit, large, tier, input_names, output_names in _grid():
        if large not in suffixes or tier not in suffixes:
            # Nothing is stated with this suffix, so the unit without it, which came earlier, has the price.
            plainer = unit + (large if large in suffixes else "") + (tier if tier in suffixes else "")
            if plainer in units:
                units[unit + large + tier] = units[plainer]
            continue
        input_price = next((inputs[name] for name in input_names if name in inputs), None)
        output_price = next((outputs[name] for name in output_names if name in outputs), None)
        if input_price is not None or output_price is not None:
            units[unit + large + tier] = UnitPrice(input_price or ZERO, output_price or ZERO)
    return units


@cache
def _grid() -> list[_TokenUnit]:
    """List every token unit, the plainer ones first, with the names whose stated price it takes, nearest first."""
    return [
        _TokenUnit(
            unit,
            large,
            tier,
            _names((unit, *_INPUT_PARENTS.get(unit, ())), large, tier),
            _names((unit, *_OUTPUT_PARENTS.get(unit, ())), large, tier),
        )
        for tier in ("", *TIERS)
        for large in ("", LARGE_CONTEXT)
        for unit in sorted(TOKEN_UNITS)
    ]


def _names(units: tuple[str, ...], large: str, tier: str) -> list[str]:
    """Spell out the suffixes for a unit and its parents.

    A tier wins over a large context, and both over the parent: a tier's price that knows no large context is meant for
    any length, and a cache price without a tier stays in force on the tier (the source overrides price by price).
    """
    return [name for unit in units for name in dict.fromkeys((unit + large + tier, unit + tier, unit + large, unit))]
