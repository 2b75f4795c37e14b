"""Amounts that no ledger keeps are refused on both databases alike, and nothing of them is stored."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from meters import answered, embedded

from payi_instrument.event import Attribution, UsageEvent
from payi_instrument.wire import operations as table
from payi_instrument.wire.message import Request

if TYPE_CHECKING:
    from payi_instrument.client.client import Payi

DEAREST = Decimal(999_999_999_999)
COUNT = 2_147_483_647
UNITS = 47_000
"""Units of the dearest price, all at their largest count: more than 10^26 USD."""
GOOD: dict[str, Any] = {"category": "c", "units": {}, "limit_ids": ["a"]}


@pytest.fixture
def dear(client: Payi) -> Payi:
    """A client that knows a resource as dear as can be, and a limit."""
    units: dict[str, Any] = {f"u{number}": {"input_price": DEAREST} for number in range(UNITS)}
    client.categories.resources.create("r", category="c", units=units, start_timestamp="2024-01-01")
    client.limits.create(limit_name="a", limit_id="a", max=1)
    return client


def event(units: int, **members: Any) -> dict[str, Any]:
    counts = {f"u{number}": {"input": COUNT} for number in range(units)}
    return {"category": "c", "resource": "r", "units": counts, "limit_ids": ["a"], **members}


def refusals(client: Payi, *events: dict[str, Any]) -> list[tuple[int, str, str]]:
    """Send events in one call; return place, code and message of those that are refused."""
    answer = answered(client, Request(table.INGEST_BULK, body=list(events)))
    found = [(error["item_index"], error["xproxy_result"]) for error in answer.body["errors"] or []]
    return [(index, refusal["xproxy_error"]["code"], refusal["message"]) for index, refusal in found]


def total(client: Payi) -> tuple[Decimal, int]:
    totals = client.limits.retrieve("a").limit.totals
    return totals.cost.total.base_exact, totals.requests.total


@embedded
def test_an_event_that_costs_too_much_is_refused_alone(dear: Payi) -> None:
    [(index, code, message)] = refusals(dear, GOOD, event(UNITS, event_id="e"), GOOD)

    assert (index, code) == (1, "request_processing_error")
    cost = DEAREST * COUNT * UNITS
    assert message == f"units: they cost {cost} USD, and no ledger keeps 1E+26 or more; send smaller counts"
    assert total(dear) == (0, 2)
    assert refusals(dear, GOOD | {"event_id": "e"}) == []


@embedded
def test_a_total_never_becomes_too_much(dear: Payi) -> None:
    half = event(UNITS // 2 + 1)
    [(index, code, message)] = refusals(dear, half, half, GOOD)

    assert (index, code) == (1, "request_processing_error")
    assert message.startswith("units: they bring a limit's total to 1009")
    spent = DEAREST * COUNT * (UNITS // 2 + 1)
    assert total(dear) == (spent, 2)
    dear.limits.reset("a")
    [(index, code, message)] = refusals(dear, GOOD, half | {"event_timestamp": "2024-02-01"}, GOOD)
    assert (index, code) == (1, "request_processing_error")
    assert message.startswith("units: they bring a closed period's total to 1009")
    assert total(dear) == (0, 2)
    assert refusals(dear, half, GOOD) == []


@embedded
def test_an_instrumented_event_that_costs_too_much_is_stored_without_a_price(dear: Payi) -> None:
    def ingest(units: int, event_id: str) -> tuple[bool | None, str | None, list[str]]:
        counts = {f"u{number}": (COUNT, 0) for number in range(units)}
        instrumented = UsageEvent(event_id, "c", "r", counts, Attribution(limit_ids=("a",)), record_unpriced=True)
        [result] = dear.transport.ingest([instrumented])
        assert result.limits["a"].state is not None
        warned = [warning for warning in result.warnings or [] if not warning.startswith("unit")]
        return result.unpriced, result.code, warned

    unpriced, refused, [warning] = ingest(UNITS, "one")
    assert (unpriced, refused) == (True, None)
    assert warning.startswith("request_processing_error: units: they cost ")
    assert ingest(UNITS // 2 + 1, "two") == (None, None, [])
    unpriced, refused, [warning] = ingest(UNITS // 2 + 1, "three")
    assert (unpriced, refused) == (True, None)
    assert "a limit's total" in warning
    assert total(dear) == (DEAREST * COUNT * (UNITS // 2 + 1), 3)
