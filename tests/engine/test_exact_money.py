"""Money is exact to the last digit, in whatever order and in whatever pieces events arrive. Row L-39, design decision 4."""

from __future__ import annotations

from decimal import Decimal, localcontext
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st
from meters import property_of_embedded_meters

if TYPE_CHECKING:
    from payi_instrument.client.client import Payi

PRICES = st.decimals("0", "999999", places=12)
UNITS = st.tuples(st.integers(0, 2_147_483_647), st.integers(0, 2_147_483_647))
EVENTS = st.lists(UNITS, min_size=1, max_size=12)


@property_of_embedded_meters(
    sqlite=60,
    postgres=10,
    price_in=PRICES,
    price_out=PRICES,
    events=EVENTS,
    order=st.randoms(use_true_random=False),
    pieces=st.lists(st.integers(1, 5), max_size=4),
)
def test_any_order_and_any_split_of_events_total_the_same(
    *, client: Payi, price_in: Decimal, price_out: Decimal, events: list[tuple[int, int]], order: Any, pieces: list[int]
) -> None:
    with localcontext(prec=60):
        total_in = sum((price_in * count for count, _ in events), Decimal(0))
        total_out = sum((price_out * count for _, count in events), Decimal(0))
    units: dict[str, Any] = {"text": {"input_price": price_in, "output_price": price_out}}
    client.categories.resources.create("m", category="c", units=units, start_timestamp="2024-01-01T00:00:00Z")
    client.limits.create(limit_name="a", limit_id="a", max=1)
    order.shuffle(events)
    left = [_event(*counts) for counts in events]
    for size in pieces:
        client.ingest.bulk(events=left[:size])
        left = left[size:]
    for event in left:
        client.ingest.units(**event)
    cost = client.limits.retrieve("a").limit.totals.cost

    assert (cost.input.base_exact, cost.output.base_exact) == (total_in, total_out)
    assert cost.total.base_exact == total_in + total_out
    over = cost.total.overrun_base_exact
    assert over == (total_in + total_out - 1 if total_in + total_out > 1 else None)


def _event(count_in: int, count_out: int) -> dict[str, Any]:
    units = {"text": {"input": count_in, "output": count_out}}
    return {"category": "c", "resource": "m", "units": units, "limit_ids": ["a"]}
