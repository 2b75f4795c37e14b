"""What the ledger adds up: exactly, in any order, each event once. Rows L-45, R-25 to R-27."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import strategies as st
from meters import property_of_embedded_meters

if TYPE_CHECKING:
    from payi_instrument.client.client import Payi
    from payi_instrument.wire.limits import Limit
    from tests.conftest import Use

STEP = 10**12
"""Costs are kept to this part of a USD."""
PRICES = st.decimals(0, 1000, places=18, allow_nan=False)
COUNTS = st.tuples(st.integers(0, 10**9), st.integers(0, 10**9))


def prepare(client: Payi, price_in: Any = 0.01, price_out: Any = 0.03) -> None:
    prices: Any = {"text": {"input_price": price_in, "output_price": price_out}}
    client.categories.resources.create("model", category="demo", units=prices)
    client.limits.create(limit_name="a", limit_id="a", max=1)


def event(counts: tuple[int, int] = (1, 0), **changes: Any) -> dict[str, Any]:
    units = {"text": {"input": counts[0], "output": counts[1]}}
    return {"category": "demo", "resource": "model", "units": units, "limit_ids": ["a"], **changes}


def read(client: Payi) -> Limit:
    return client.limits.retrieve("a").limit


def to_step(amount: Fraction) -> Fraction:
    """Round half to even, as the ledger rounds one side of one event."""
    return Fraction(round(amount * STEP), STEP)


@property_of_embedded_meters(
    sqlite=40,
    postgres=10,
    price_in=PRICES,
    price_out=PRICES,
    events=st.lists(COUNTS, min_size=1, max_size=30),
    rand=st.randoms(use_true_random=False),
)
def test_totals_are_the_exact_sum_of_rounded_costs_in_any_order_and_batches(
    client: Payi, price_in: Any, price_out: Any, events: list[tuple[int, int]], rand: random.Random
) -> None:
    rand.shuffle(events)
    prepare(client, price_in, price_out)
    left = list(events)
    while left:
        size = rand.randint(1, len(left))
        if size == 1:
            client.ingest.units(**event(left[0]))
        else:
            client.ingest.bulk(events=[event(counts) for counts in left[:size]])
        left = left[size:]
    cost = read(client).totals.cost

    total_in = sum((to_step(Fraction(price_in) * counts[0]) for counts in events), Fraction())
    total_out = sum((to_step(Fraction(price_out) * counts[1]) for counts in events), Fraction())
    assert (Fraction(cost.input.base_exact), Fraction(cost.output.base_exact)) == (total_in, total_out)
    assert Fraction(cost.total.base_exact) == total_in + total_out


@property_of_embedded_meters(
    sqlite=40, postgres=10, deliveries=st.lists(st.tuples(st.integers(0, 5), st.booleans()), max_size=40)
)
def test_an_event_id_counts_once_however_often_it_is_sent(client: Payi, deliveries: list[tuple[int, bool]]) -> None:
    prepare(client)
    answers: dict[int, list[tuple[str | None, float]]] = {}
    for number, in_bulk in deliveries:
        sent = event((number + 1, 0), event_id=f"e{number}")
        if in_bulk:
            [result] = client.ingest.bulk(events=[sent], extra_query={"results": True}).results or []
        else:
            result = client.ingest.units(**sent).xproxy_result
        assert result is not None
        known = answers.setdefault(number, [])
        assert result.duplicate_request is (True if known else None)
        known.append((result.request_id, result.limits["a"].spent or 0.0))
    limit = read(client)

    assert limit.totals.requests.total == len(answers)
    assert Fraction(limit.totals.cost.total.base_exact) == Fraction(sum(number + 1 for number in answers), 100)
    assert all(len(set(same)) == 1 for same in answers.values())


def test_an_event_id_counts_once_whichever_thread_sends_it(client: Payi) -> None:
    prepare(client)
    ids = [f"e{number}" for number in range(40)]

    def deliver(seed: int) -> list[str]:
        """Send every event in an order of its own; return the ids that were new."""
        order = random.Random(seed).sample(ids, len(ids))
        sent = [(name, client.ingest.units(**event(event_id=name)).xproxy_result) for name in order]
        return [name for name, result in sent if not result.duplicate_request]

    with ThreadPoolExecutor(8) as threads:
        new = [name for names in threads.map(deliver, range(8)) for name in names]

    assert sorted(new) == sorted(ids)
    assert read(client).totals.requests.total == 40
    assert read(client).totals.cost.total.base == 0.4


def test_one_bulk_may_name_an_event_twice(client: Payi) -> None:
    prepare(client)
    events = [event(event_id="e"), event(event_id="f"), event(event_id="e"), event(provider_response_id="r")]
    events += [event(provider_response_id="r"), event(event_id="g", provider_response_id="r")]
    answer = client.ingest.bulk(events=events, extra_query={"results": True})

    assert answer.ingest_count == 6
    again = [bool(result and result.duplicate_request) for result in answer.results or []]
    assert again == [False, False, True, False, True, False]
    assert read(client).totals.requests.total == 4


def test_r25_and_r26_a_response_id_counts_once_in_its_category(client: Payi, use: Use) -> None:
    client.limits.create(limit_name="a", limit_id="a", max=1)
    client.categories.resources.create("model", category="other", units={"text": {"input_price": 0.01}})
    first = use(limit_ids=["a"], provider_response_id="x")
    second = use(5, limit_ids=["a"], provider_response_id="x")
    other = use(limit_ids=["a"], provider_response_id="x", category="other")

    assert (second.duplicate_request, second.request_id) == (True, first.request_id)
    assert second.cost == first.cost
    assert second.limits["a"].spent == 0.01
    assert other.duplicate_request is None
    assert read(client).totals.requests.total == 2
    assert read(client).totals.cost.total.base == 0.02


def test_r27_the_event_id_is_the_key_when_there_is_one(client: Payi, use: Use) -> None:
    client.limits.create(limit_name="a", limit_id="a", max=1)
    results = [
        use(limit_ids=["a"], event_id=event_id, provider_response_id=response_id)
        for event_id, response_id in (("e", None), ("e", None), ("f", "x"), ("g", "x"), ("e", "x"))
    ]
    assert [result.duplicate_request for result in results] == [None, True, None, None, True]
    assert len({result.request_id for result in results}) == 3
    assert use(limit_ids=["a"], provider_response_id="x").duplicate_request is True
    assert read(client).totals.requests.total == 3


def test_events_without_any_id_are_all_counted(client: Payi, use: Use) -> None:
    client.limits.create(limit_name="a", limit_id="a", max=1)
    for _ in range(3):
        use(limit_ids=["a"])

    assert read(client).totals.requests.total == 3


def test_a_known_event_is_answered_as_it_was_whatever_changed_since(client: Payi, use: Use) -> None:
    client.limits.create(limit_name="a", limit_id="a", max=0.01, limit_type="block")
    arguments: dict[str, Any] = {"event_id": "e", "limit_ids": ["a", "no"], "request_tags": ["t"], "user_id": "u"}
    before = use(units={"text": {"input": 1}, "foo": {"input": 2}}, use_case_name="chat", **arguments)
    client.limits.delete("a")
    client.limits.create(limit_name="a", limit_id="a", max=100)
    client.categories.resources.create("model", category="demo", units={"text": {"input_price": 7}})

    for changes in ({}, {"resource": "nothing"}, {"event_timestamp": "9999-01-01"}, {"use_case_name": "not a name"}):
        again = use(**arguments | changes)
        assert again.duplicate_request is True
        assert again.model_copy(update={"duplicate_request": None}) == before
    assert read(client).totals.requests.total == 0


@pytest.mark.parametrize("status", [200, 500])
def test_l45_the_counters_add_up_to_their_total(client: Payi, use: Use, status: int) -> None:
    client.limits.create(limit_name="a", limit_id="a", max=0.04, threshold=0.75)
    client.limits.create(limit_name="b", limit_id="b", max=0.04, limit_type="block")
    for count in (0, 1, 1, 1, 1, 1, 0):
        use(count, limit_ids=["a", "b"], http_status_code=status)
    use(units={}, limit_ids=["a", "b"], http_status_code=424, properties={"system.blocked": "b"})

    for limit_id in ("a", "b"):
        counters = client.limits.retrieve(limit_id).limit.totals.requests.model_dump()
        assert counters.pop("total") == sum(counters.values()) == 8
