"""What one event costs: exact, in any order, with the fallbacks of resources-semantics section 6."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from payi_instrument.engine.pricing import (
    TIERS,
    TOKEN_UNITS,
    ResourceVersion,
    UnitPrice,
    plainer_units,
    price,
    with_context,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

UNITS = ("text", "text_cache_read", "vision", "audio", "reasoning", "web_search_request")
COUNTS = st.tuples(st.integers(0, 2**31 - 1), st.integers(0, 2**31 - 1))


def version(units: Mapping[str, tuple[str, str]], threshold: int | None = None) -> ResourceVersion:
    return ResourceVersion(
        category="demo",
        resource="model",
        resource_id="v1",
        start=datetime(2024, 1, 1, tzinfo=UTC),
        units={name: UnitPrice(Decimal(sides[0]), Decimal(sides[1])) for name, sides in units.items()},
        large_context_threshold=threshold,
    )


def versions(places: int) -> st.SearchStrategy[ResourceVersion]:
    amount = st.decimals(0, 10**6, places=places, allow_nan=False).map(str)
    return st.fixed_dictionaries({unit: st.tuples(amount, amount) for unit in UNITS}).map(version)


events = st.dictionaries(st.sampled_from(UNITS), COUNTS)


def side(priced: ResourceVersion, units: Mapping[str, tuple[int, int]], index: int) -> Fraction:
    """Sum one side of an event without Decimal."""
    prices = {name: (unit.input, unit.output) for name, unit in priced.units.items()}
    return sum((Fraction(prices[name][index]) * counts[index] for name, counts in units.items()), Fraction())


@given(versions(places=15), events)
def test_each_side_is_the_exact_sum_rounded_half_even_to_twelve_places(
    priced: ResourceVersion, units: dict[str, tuple[int, int]]
) -> None:
    cost = price(priced, units)

    for amount, index in ((cost.input, 0), (cost.output, 1)):
        assert Fraction(amount) == Fraction(round(side(priced, units, index) * 10**12), 10**12)
    assert Fraction(cost.total) == Fraction(cost.input) + Fraction(cost.output)


@given(versions(places=15), st.permutations(list(enumerate(UNITS, start=1))))
def test_the_order_of_the_units_does_not_matter(priced: ResourceVersion, order: list[tuple[int, str]]) -> None:
    units = {name: (number * 7, number * 11) for number, name in order}

    assert price(priced, units) == price(priced, dict(sorted(units.items())))


@given(versions(places=12), events, events)
def test_one_event_costs_what_its_parts_cost_when_prices_have_twelve_places(
    priced: ResourceVersion, one: dict[str, tuple[int, int]], other: dict[str, tuple[int, int]]
) -> None:
    zero = (0, 0)
    both = {
        name: (one.get(name, zero)[0] + other.get(name, zero)[0], one.get(name, zero)[1] + other.get(name, zero)[1])
        for name in {*one, *other}
    }

    whole, first, second = price(priced, both), price(priced, one), price(priced, other)

    assert (whole.input, whole.output) == (first.input + second.input, first.output + second.output)


@pytest.mark.parametrize(
    ("count", "expected"),
    [(1, "0"), (2, "0.000000000001"), (3, "0.000000000002"), (5, "0.000000000002"), (7, "0.000000000004")],
)
def test_half_a_step_goes_to_the_even_neighbour(count: int, expected: str) -> None:
    priced = version({"text": ("0.0000000000005", "0")})

    assert price(priced, {"text": (count, 0)}).input == Decimal(expected)


@pytest.mark.parametrize(
    ("prices", "counts", "expected"),
    [
        (("0.0000025", "0"), (450, 0), ("0.001125", "0")),
        (("0.0001", "0"), (1000, 0), ("0.10", "0")),
        (("0.0002", "0"), (1000, 0), ("0.20", "0")),
        (("0.000001", "0"), (12, 0), ("0.000012", "0")),
        (("0.00000025", "0"), (12, 0), ("0.000003", "0")),
        (("0.000006", "0.000012"), (150, 120), ("0.0009", "0.00144")),
    ],
)
def test_the_worked_examples(prices: tuple[str, str], counts: tuple[int, int], expected: tuple[str, str]) -> None:
    """Examples A, B and D of resources-semantics section 7."""
    cost = price(version({"text": prices}), {"text": counts})

    assert (cost.input, cost.output) == (Decimal(expected[0]), Decimal(expected[1]))
    assert cost.total == Decimal(expected[0]) + Decimal(expected[1])
    assert (cost.unknown_units, cost.warnings) == ({}, ())


def test_a_unit_without_a_price_is_unknown_and_costs_nothing() -> None:
    """Example C of resources-semantics section 7."""
    cost = price(version({"text": ("0.0001", "0")}), {"text": (10, 0), "vision": (5, 0)})

    assert cost.total == Decimal("0.001")
    assert cost.unknown_units == {"vision": (5, 0)}
    assert cost.warnings == ("unknown_unit: vision",)


def test_without_a_version_every_unit_is_unknown() -> None:
    units = {"text": (10, 3), "vision": (5, 0)}

    cost = price(None, units)

    assert cost.total == 0
    assert cost.unknown_units == units


@pytest.mark.parametrize(
    ("unit", "plainer"),
    [
        ("text", []),
        ("foo", []),
        ("text_flex", ["text"]),
        ("text_large_context", ["text"]),
        ("text_large_context_priority", ["text_large_context", "text_priority", "text"]),
        ("reasoning", ["text"]),
        (
            "text_cache_read_large_context_batch",
            [
                *("text_cache_read_large_context", "text_cache_read_batch", "text_cache_read"),
                *("text_large_context_batch", "text_large_context", "text_batch", "text"),
            ],
        ),
    ],
)
def test_a_unit_falls_back_tier_first_then_context_then_to_text(unit: str, plainer: list[str]) -> None:
    assert plainer_units(unit) == plainer


@pytest.mark.parametrize("unit", ["text_large_context", "text_flex", "reasoning", "text_cache_write_1h_batch"])
def test_a_fallback_takes_the_plainer_price_and_warns(unit: str) -> None:
    cost = price(version({"text": ("0.01", "0.03")}), {unit: (2, 1)})

    assert cost.total == Decimal("0.05")
    assert cost.unknown_units == {}
    assert cost.warnings == (f"unit_fallback: {unit}",)


@given(st.sampled_from([base + large + tier for base in UNITS for large in ("", "_large_context") for tier in TIERS]))
def test_the_nearest_priced_relative_wins(unit: str) -> None:
    relatives = plainer_units(unit)
    for position, nearest in enumerate(relatives):
        priced = version({name: (str(number), "0") for number, name in enumerate(relatives) if number >= position})
        assert price(priced, {unit: (1, 0)}).input == position, nearest


TWINS = {"text": ("1", "2"), "text_large_context": ("3", "4"), "vision": ("5", "0"), "web_search_request": ("0", "6")}


@pytest.mark.parametrize(("count", "unit"), [(199_999, "text"), (200_000, "text"), (200_001, "text_large_context")])
def test_large_context_begins_strictly_above_the_threshold(count: int, unit: str) -> None:
    assert with_context(version(TWINS, threshold=200_000), {"text": (count, 7)}) == {unit: (count, 7)}


def test_every_input_token_counts_towards_the_threshold_and_nothing_else_does() -> None:
    priced = version(TWINS, threshold=100)
    below = {"text": (60, 900), "vision": (40, 0), "web_search_request": (500, 1), "guardrail_topic": (500, 0)}

    assert with_context(priced, below) is below
    assert with_context(priced, {**below, "vision": (41, 0)}) == {
        "text_large_context": (60, 900),
        "vision": (41, 0),
        "web_search_request": (500, 1),
        "guardrail_topic": (500, 0),
    }


def test_a_version_without_a_threshold_renames_nothing() -> None:
    units = {"text": (10**9, 0)}

    assert with_context(version(TWINS), units) is units


def test_a_tier_stays_behind_the_context() -> None:
    priced = version({**TWINS, "text_large_context_flex": ("1", "1")}, threshold=10)

    assert with_context(priced, {"text_flex": (11, 2)}) == {"text_large_context_flex": (11, 2)}


def test_counts_of_a_twin_that_is_already_there_are_added() -> None:
    units = {"text": (6, 1), "text_large_context": (5, 2)}

    assert with_context(version(TWINS, threshold=10), units) == {"text_large_context": (11, 3)}


@given(st.dictionaries(st.sampled_from([*sorted(TOKEN_UNITS), *TWINS]), COUNTS), st.integers(0, 2**33))
def test_renaming_loses_no_token_and_is_done_once(units: dict[str, tuple[int, int]], threshold: int) -> None:
    priced = version(TWINS, threshold)

    renamed = with_context(priced, units)

    for index in (0, 1):
        assert sum(counts[index] for counts in renamed.values()) == sum(counts[index] for counts in units.values())
    assert with_context(priced, renamed) == renamed
