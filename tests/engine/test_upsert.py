"""Events that replace others: `ingest.bulk_upsert`. Source: wire-api section 3.3, decision 7."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from meters import Place

    from payi_instrument.client.client import Payi
    from payi_instrument.wire.categories import CategoryResourceResponse
    from payi_instrument.wire.ingest import BulkIngestResponse
    from tests.conftest import Use


def item(units: int, response: str | None = "r", **members: Any) -> dict[str, Any]:
    event = {"category": "demo", "resource": "model", "units": {"text": {"input": units}}, "limit_ids": ["a"]}
    return {**event, "provider_response_id": response, **members}


def upsert(client: Payi, *items: dict[str, Any]) -> BulkIngestResponse:
    return client.ingest.bulk_upsert(events=list(items), extra_query={"results": True})


def totals(client: Payi) -> tuple[float, int]:
    shown = client.limits.retrieve("a").limit.totals
    return shown.cost.total.base, shown.requests.total


def test_an_item_replaces_the_event_of_its_response(client: Payi, D: CategoryResourceResponse) -> None:  # noqa: N803
    client.limits.create(limit_name="a", limit_id="a", max=10)
    assert upsert(client, item(300)).ingest_count == 1
    [result] = upsert(client, item(900, properties={"final": "yes"})).results or []

    assert result is not None
    assert (result.cost and result.cost.total.base, result.limits["a"].spent) == (9.0, 9.0)
    assert totals(client) == (9.0, 1)
    stored = client.requests.response_id.result.retrieve("r", category=D.category).xproxy_result
    assert stored == result
    upsert(client, item(100))
    assert totals(client) == (1.0, 1)


def test_items_of_one_call_replace_each_other_in_order(client: Payi, D: CategoryResourceResponse) -> None:  # noqa: N803
    client.limits.create(limit_name="a", limit_id="a", max=10)
    answer = upsert(client, item(300), item(500), item(700, "other"))

    assert (answer.ingest_count, answer.error_count) == (3, 0)
    assert totals(client) == (12.0, 2)
    assert (
        D.resource_id == client.requests.response_id.result.retrieve("other", category="demo").xproxy_result.resource_id
    )


def test_many_that_replace_one_event_at_once_leave_the_cost_of_the_last(place: Place) -> None:
    """Two engines, so that on PostgreSQL two connections do it, and threads, so that some do it in one transaction."""
    client, other = place.open(), place.open(unpriced_events="record")
    client.categories.resources.create("model", category="demo", units={"text": {"input_price": 0.01}})
    client.limits.create(limit_name="a", limit_id="a", max=10)

    def replace(number: int) -> int:
        return upsert(other if number % 2 else client, item(number + 1), item(number + 2)).ingest_count

    with ThreadPoolExecutor(8) as threads:
        assert set(threads.map(replace, range(40))) == {2}

    assert place.rows("SELECT count(*) AS stored FROM events") == [{"stored": 1}]
    stored = client.requests.response_id.result.retrieve("r", category="demo").xproxy_result
    assert stored.cost is not None
    assert totals(client) == (stored.cost.total.base, 1)


def test_what_can_not_be_replaced_is_an_item_error(client: Payi, use: Use) -> None:
    client.limits.create(limit_name="a", limit_id="a", max=10)
    for event_id in ("one", "two"):
        use(100, provider_response_id="twice", event_id=event_id, limit_ids=["a"])
    answer = upsert(client, item(1, None), item(1, "twice"), item(1))

    refusals = [(error.item_index, error.xproxy_result.xproxy_error) for error in answer.errors or []]
    assert [(index, refusal.code) for index, refusal in refusals if refusal] == [
        (0, "required_field_missing"),
        (1, "request_processing_error"),
    ]
    assert totals(client) == (2.01, 3)


def test_a_replaced_event_keeps_its_time_its_limits_and_its_period(client: Payi, use: Use) -> None:
    client.limits.create(limit_name="a", limit_id="a", max=10)
    client.limits.create(limit_name="b", limit_id="b", max=10)
    use(300, provider_response_id="r", limit_ids=["a"])
    client.limits.reset("a")
    upsert(client, item(100, limit_ids=["b"]))

    assert totals(client) == (0.0, 0)
    [period] = client.limits.history("a").items
    assert (period.totals.cost.total.base, period.totals.requests.total) == (1.0, 1)
    assert client.limits.retrieve("b").limit.totals.requests.total == 0


def test_a_replaced_event_is_counted_in_its_new_state_alone(client: Payi, D: CategoryResourceResponse) -> None:  # noqa: N803
    client.limits.create(limit_name="a", limit_id="a", max=10, threshold=0.8)
    began = client.limits.retrieve("a").limit.limit_creation_timestamp
    upsert(client, item(100))
    upsert(client, item(900))

    counts = client.limits.retrieve("a").limit.totals.requests
    assert (counts.ok, counts.exceeded, counts.total) == (0, 1, 1)
    period = client.limits.reset("a", reset_date=began + timedelta(microseconds=1)).limit_history
    assert set(period.totals.requests.model_dump().values()) == {0}
    client.limits.reset("a")
    upsert(client, item(1100, resource=D.resource))
    [latest] = client.limits.history("a", limit=1).items
    assert (latest.totals.cost.total.base, latest.totals.requests.exceeded, latest.totals.requests.total) == (
        11.0,
        0,
        1,
    )


def test_a_limit_made_anew_owes_nothing_to_events_of_the_one_before(client: Payi, use: Use) -> None:
    client.limits.create(limit_name="a", limit_id="a", max=10)
    use(900, provider_response_id="r", limit_ids=["a"])
    client.limits.delete("a")
    client.limits.create(limit_name="a", limit_id="a", max=10)
    answer = upsert(client, item(100))

    assert (answer.ingest_count, totals(client)) == (1, (0.0, 0))
