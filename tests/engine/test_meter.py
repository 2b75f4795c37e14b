"""What an event does to its limits, and what it answers. Conformance rows L-22 to L-34, L-39, L-40, L-43, L-44."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal, localcontext
from itertools import count
from typing import TYPE_CHECKING, Any

import pytest
from meters import answered, embedded

from payi_instrument.errors import BadRequestError, NotFoundError
from payi_instrument.event import Attribution, UsageEvent
from payi_instrument.wire.headers import BLOCKED, REFUSED
from payi_instrument.wire.message import Request
from payi_instrument.wire.operations import INGEST

if TYPE_CHECKING:
    from meters import Place

    from payi_instrument.client.client import Payi
    from payi_instrument.wire.limits import Limit
    from tests.conftest import Refused, Use

EVENT: dict[str, Any] = {"category": "demo", "resource": "model", "units": {"text": {"input": 1}}}


def limit(client: Payi, limit_id: str, maximum: float, **terms: Any) -> None:
    client.limits.create(limit_name=limit_id, limit_id=limit_id, max=maximum, **terms)


def read(client: Payi, limit_id: str) -> Limit:
    return client.limits.retrieve(limit_id).limit


def counts(client: Payi, limit_id: str) -> dict[str, int]:
    """Return the counters of a limit that are not 0."""
    requests: dict[str, int] = read(client, limit_id).totals.requests.model_dump()
    return {state: count for state, count in requests.items() if count}


def strict(place: Place, **option: str) -> Payi:
    """Return a client of a meter with an option and the resource D."""
    client = place.open(**option)
    client.categories.resources.create("model", category="demo", units={"text": {"input_price": 0.01}})
    return client


def test_l22_states_and_totals_follow_worked_example_a(client: Payi, use: Use, refused: Refused) -> None:
    limit(client, "a", 10, threshold=0.8)
    states = [
        use(units_in, units_out, limit_ids=["a"]).limits["a"].state
        for units_in, units_out in ((300, 100), (200, 0), (200, 0), (1, 0))
    ]
    assert states == ["ok", "exceeded", "exceeded", "overrun"]

    totals = read(client, "a").totals
    cost = totals.cost
    assert (cost.input.base_exact, cost.output.base_exact) == (Decimal("7.01"), Decimal(3))
    assert (cost.total.base_exact, cost.total.overrun_base_exact) == (Decimal("10.01"), Decimal("0.01"))
    assert counts(client, "a") == {"ok": 1, "exceeded": 2, "overrun": 1, "total": 4}

    with refused("invalid_max_limit_update"):
        client.limits.update("a", max=10)
    assert client.limits.update("a", max=10.01).limit.totals.cost.total.overrun_base is None
    client.limits.update("a", max=20)
    assert use(598, limit_ids=["a"]).limits["a"].state == "ok"
    assert use(1, limit_ids=["a"]).limits["a"].state == "exceeded"


def test_l23_the_usage_ratio_is_base_by_max(client: Payi, use: Use) -> None:
    limit(client, "a", 10, threshold=0.8)
    standing = use(701, 100, limit_ids=["a"]).limits["a"]

    stored = read(client, "a")
    assert stored.totals.cost.total.base / stored.max == standing.ratio == 1.001


def test_l24_without_threshold_only_max_itself_is_exceeded(client: Payi, use: Use) -> None:
    limit(client, "a", 1)

    assert [use(units, limit_ids=["a"]).limits["a"].state for units in (99, 1, 1)] == ["ok", "exceeded", "overrun"]


def test_l25_a_block_limit_blocks_once_it_is_reached(client: Payi, use: Use) -> None:
    limit(client, "b", 1, limit_type="block")
    first, second, third = use(99, limit_ids=["b"]), use(1, limit_ids=["b"]), use(1, limit_ids=["b"])

    assert [result.limits["b"].state for result in (first, second, third)] == ["ok", "blocked", "blocked"]
    assert [result.blocked_limit_ids for result in (first, second, third)] == [None, ["b"], ["b"]]
    assert read(client, "b").totals.cost.total.base_exact == Decimal("1.01")
    assert counts(client, "b") == {"ok": 1, "blocked": 2, "total": 3}


def test_a_block_limit_warns_from_its_threshold_on(client: Payi, use: Use) -> None:
    limit(client, "b", 1, limit_type="block", threshold=0.9)

    assert [use(units, limit_ids=["b"]).limits["b"].state for units in (89, 1, 10)] == ["ok", "exceeded", "blocked"]


def test_a_standing_says_what_is_left(client: Payi, use: Use) -> None:
    limit(client, "b", 1, limit_type="block")
    standing = use(150, limit_ids=["b"]).limits["b"]

    assert (standing.limit_type, standing.ratio) == ("block", 1.5)
    assert (standing.max_exact, standing.spent_exact) == (Decimal(1), Decimal("1.5"))
    assert (standing.held_exact, standing.remaining_exact) == (Decimal(0), Decimal("-0.5"))
    assert client.transport.limit_states(["b", "nobody"]) == {"b": standing}


def test_l26_a_meter_may_refuse_block_limits_on_ingest(place: Place) -> None:
    with strict(place, block_limits_on_ingest="reject") as client:
        limit(client, "a", 1)
        limit(client, "b", 1, limit_type="block")
        with pytest.raises(BadRequestError) as caught:
            client.ingest.units(**EVENT, limit_ids=["a", "b"], event_id="e")
        assert caught.value.code == "blocking_limit_not_allowed"
        assert caught.value.xproxy_result == {"limits": {}, "blocked_limit_ids": ["b"]}

        assert read(client, "a").totals.requests.total == read(client, "b").totals.requests.total == 0
        assert client.ingest.units(**EVENT, event_id="e").xproxy_result.duplicate_request is None


def test_l27_each_limit_of_an_event_has_its_own_state(client: Payi, use: Use) -> None:
    limit(client, "daily", 50, threshold=0.90)
    limit(client, "monthly", 1000, threshold=0.80)
    limit(client, "premium", 300, threshold=0.83)
    result = use(4600, limit_ids=["daily", "monthly", "premium"])

    assert [(name, standing.state) for name, standing in result.limits.items()] == [
        ("daily", "exceeded"),
        ("monthly", "ok"),
        ("premium", "ok"),
    ]
    assert {read(client, name).totals.cost.total.base for name in result.limits} == {46}
    assert counts(client, "daily") == {"exceeded": 1, "total": 1}
    assert counts(client, "monthly") == {"ok": 1, "total": 1}


def test_l28_a_repeated_id_counts_once(client: Payi, use: Use) -> None:
    limit(client, "a", 1)
    limit(client, "b", 1)
    result = use(limit_ids=["a", "a", " b ", ""])

    assert list(result.limits) == ["a", "b"]
    assert read(client, "a").totals.requests.total == read(client, "b").totals.requests.total == 1


@pytest.mark.usefixtures("D")
def test_l29_a_raw_header_that_repeats_an_id_is_refused(client: Payi) -> None:
    limit(client, "a", 1)
    answer = answered(client, Request(INGEST, headers={"XPROXY-limit-ids": "a, a"}, body=EVENT))

    assert (answer.status, answer.code) == (400, "duplicate_limit_id")
    assert read(client, "a").totals.requests.total == 0


@pytest.mark.parametrize("limit_ids", ["a", "", ("a",), {"a"}, 1, ["a", 1], [None], [b"a"]])
def test_l30_limit_ids_that_are_no_list_of_str_are_a_type_error(use: Use, limit_ids: Any) -> None:
    with pytest.raises(TypeError, match="limit_ids"):
        use(limit_ids=limit_ids)


def test_l31_an_unknown_id_is_named_and_the_known_one_counted(client: Payi, use: Use) -> None:
    limit(client, "known", 1)
    result = use(limit_ids=["known", "nobody"])

    assert list(result.limits) == ["known"]
    assert result.warnings == ["limit_not_found: nobody"]
    assert read(client, "known").totals.requests.total == 1


def test_l32_a_strict_meter_refuses_unknown_ids(place: Place, refused: Refused) -> None:
    with strict(place, strict_limits="true") as client:
        limit(client, "known", 1)
        with refused("invalid_limit_ids"):
            client.ingest.units(**EVENT, limit_ids=["known", "nobody"], event_id="e")

        assert read(client, "known").totals.requests.total == 0
        assert client.ingest.units(**EVENT, event_id="e", limit_ids=["known"]).xproxy_result.duplicate_request is None


def test_l33_without_ids_limits_is_an_empty_mapping(use: Use) -> None:
    assert list(use().limits) == list(use(limit_ids=[]).limits) == list(use(limit_ids=None).limits) == []


def test_l34_the_ids_of_a_result_can_be_retrieved(client: Payi, use: Use) -> None:
    limit(client, "a", 1)

    assert [read(client, limit_id).limit_name for limit_id in use(limit_ids=["a"]).limits] == ["a"]


def test_l39_many_micro_costs_add_up_exactly(client: Payi) -> None:
    client.categories.resources.create("micro", category="demo", units={"text": {"input_price": 0.00000025}})
    limit(client, "a", 1)
    event = {"category": "demo", "resource": "micro", "units": {"text": {"input": 1}}, "limit_ids": ["a"]}
    for _ in range(4):
        client.ingest.bulk(events=[event] * 1000)

    assert read(client, "a").totals.cost.total.base_exact == Decimal("0.001")


def test_l40_a_spend_of_exactly_the_threshold_is_exceeded(client: Payi, use: Use) -> None:
    limit(client, "a", 300, threshold=0.83)

    assert [use(units, limit_ids=["a"]).limits["a"].state for units in (24_899, 1)] == ["ok", "exceeded"]


@pytest.mark.parametrize("status", [400, 429, 500, 299])
def test_l43_a_failed_call_that_cost_nothing_is_failed(client: Payi, use: Use, status: int) -> None:
    limit(client, "a", 1)
    limit(client, "b", 1, limit_type="block")
    use(limit_ids=["a", "b"])
    use(100, limit_ids=["b"])
    result = use(units={}, limit_ids=["a", "b"], http_status_code=status)

    assert {name: standing.state for name, standing in result.limits.items()} == {"a": "failed", "b": "blocked"}
    assert result.cost is not None
    assert result.cost.total.base == 0
    assert counts(client, "a") == {"ok": 1, "failed": 1, "total": 2}


def test_l44_a_failed_call_that_cost_something_takes_the_spend_state(client: Payi, use: Use) -> None:
    limit(client, "a", 1)

    assert use(2, limit_ids=["a"], http_status_code=500).limits["a"].state == "ok"
    assert use(units={}, limit_ids=["a"], http_status_code=200).limits["a"].state == "ok"
    assert read(client, "a").totals.cost.total.base == 0.02
    assert counts(client, "a") == {"ok": 2, "total": 2}


def test_a_refused_call_is_blocked_by_one_limit_and_blocked_external_for_the_others(client: Payi, use: Use) -> None:
    for limit_id in ("full", "also", "free"):
        limit(client, limit_id, 1, limit_type="allow" if limit_id == "free" else "block")
    refusal: dict[str, Any] = {"units": {}, "http_status_code": REFUSED, "properties": {BLOCKED: "full,also"}}
    result = use(limit_ids=["full", "free", "also"], **refusal)

    assert {name: standing.state for name, standing in result.limits.items()} == {
        "full": "blocked",
        "free": "blocked_external",
        "also": "blocked",
    }
    assert result.blocked_limit_ids == ["full", "also"]
    assert counts(client, "free") == {"blocked_external": 1, "total": 1}
    assert read(client, "full").totals.cost.total.base == 0


def test_sums_and_large_amounts_are_exact(client: Payi, use: Use) -> None:
    prices = {"third": 0.1, "fifth": 0.2, "dust": 1e-12, "whale": 500_000}
    units: Any = {name: {"input_price": price} for name, price in prices.items()}
    client.categories.resources.create("sums", category="demo", units=units)
    for limit_id in ("small", "large"):
        limit(client, limit_id, 1)
    for unit, number, limit_id in (("third", 1, "small"), ("fifth", 1, "small"), ("whale", 2_147_483_647, "large")):
        use(resource="sums", units={unit: {"input": number}}, limit_ids=[limit_id])
    standing = use(resource="sums", units={"dust": {"input": 1}}, limit_ids=["large"]).limits["large"]

    assert read(client, "small").totals.cost.total.base_exact == Decimal("0.3")
    expected = Decimal("1073741823500000.000000000001")
    assert read(client, "large").totals.cost.total.base_exact == standing.spent_exact == expected
    assert standing.remaining_exact == 1 - expected


def test_the_callers_decimal_context_changes_nothing(client: Payi, use: Use) -> None:
    with localcontext(prec=3):
        client.limits.create(limit_name="a", limit_id="a", max=Decimal("1234567.890123"))  # type: ignore[arg-type]
        standing = use(123_456, 654_321, limit_ids=["a"]).limits["a"]
        stored = read(client, "a")

    assert stored.max_exact == Decimal("1234567.890123")
    assert stored.totals.cost.total.base_exact == standing.spent_exact == Decimal("20864.19")
    assert standing.remaining_exact == Decimal("1213703.700123")


def test_an_unpriced_event_may_be_recorded(place: Place, refused: Refused) -> None:
    with strict(place, unpriced_events="record") as client:
        limit(client, "a", 1)
        result = client.ingest.units(**EVENT | {"resource": "new"}, limit_ids=["a"]).xproxy_result

        assert result.unpriced is True
        assert result.warnings == ["category_resource_not_found: demo/new"]
        assert {unit: count.input for unit, count in (result.unknown_units or {}).items()} == {"text": 1}
        assert read(client, "a").totals.requests.total == 1
    reject = strict(place, unpriced_events="reject")
    with reject as client, refused("category_resource_not_found", NotFoundError):
        client.ingest.units(**EVENT | {"resource": "new"})


@pytest.mark.parametrize(
    ("resource", "units", "unpriced"),
    [
        ("model", {"vision": {"input": 5}}, True),
        ("model", {"vision": {"input": 5}, "image": {}}, True),
        ("model", {"vision": {"input": 5}, "text": {"input": 1}}, None),
        ("model", {"reasoning": {"output": 5}}, None),
        ("model", {}, None),
        (None, {"text": {"input": 5}}, True),
        (None, {}, None),
    ],
)
def test_an_event_none_of_whose_units_has_a_price_is_unpriced(
    client: Payi, use: Use, resource: str | None, units: dict[str, Any], unpriced: bool | None
) -> None:
    result = use(resource=resource, units=units)

    assert result.unpriced is unpriced
    assert client.requests.request_id.result.retrieve(str(result.request_id)).xproxy_result.unpriced is unpriced


def test_an_instrumented_event_is_stored_without_what_is_wrong_with_it(client: Payi) -> None:
    limit(client, "a", 1)
    event = UsageEvent(
        event_id="e",
        category="demo",
        resource="new",
        units={"text": (5, 5)},
        attribution=Attribution(
            limit_ids=("a", "nobody"), use_case_name="no name", use_case_id="7", user_id="u" * 20_000
        ),
        request_tags=("good", "b d"),
        event_timestamp=datetime.now(UTC) + timedelta(hours=1),
        record_unpriced=True,
    )
    [result] = client.transport.ingest([event])

    assert (result.error, result.user_id, result.use_case_name, result.use_case_id) == (None, None, None, None)
    assert result.request_tags == ["good"]
    assert {warning.partition(":")[0] for warning in result.warnings or ()} == {
        "invalid_ingest_event_timestamp",
        "invalid_use_case_name",
        "invalid_user_id",
        "invalid_tags",
        "category_resource_not_found",
        "limit_not_found",
    }
    assert counts(client, "a") == {"ok": 1, "total": 1}


@embedded
@pytest.mark.usefixtures("D")
def test_an_event_that_no_database_takes_harms_no_other(client: Payi) -> None:
    limit(client, "a", 1)
    good = UsageEvent(
        event_id=None,
        category="demo",
        resource="model",
        units={"text": (1, 0)},
        attribution=Attribution(limit_ids=("a",)),
    )
    big = replace(good, http_status_code=2**70)
    half = replace(good, attribution=Attribution(limit_ids=("a", "\udc80"), user_id="u\ud800"))
    wrong: Any = {"text": ("one", 0)}

    def outcomes(*events: UsageEvent) -> list[str | None]:
        """Ingest a batch and return the codes of what is refused; nothing of it was stored before."""
        named = [replace(event, event_id=f"e{next(numbers)}") for event in events]
        results = client.transport.ingest(named)
        assert {result.duplicate_request for result in results} == {None}
        return [result.code for result in results]

    numbers = count()
    bad, broken = "request_processing_error", "unexpected_error"
    assert outcomes(good, big, good) == [None, bad, None]
    assert outcomes(good, half, good) == [None, bad, None]
    assert outcomes(good, replace(good, units=wrong), good) == [None, broken, None]
    assert outcomes(good, replace(half, units=wrong, record_unpriced=True), good) == [None, broken, None]
    assert counts(client, "a") == {"ok": 8, "total": 8}

    for part in (
        {"units": {"te\ud800t": (1, 0)}},
        {"properties": {"\ud800": "x"}},
        {"properties": {"a": "\ud800"}},
        {"provider_request_headers": {"\ud800": "x"}},
        {"provider_response_json": ["fine", "\udfff"]},
        {"function_calls": [("f", "\ud800")]},
        {"attribution": Attribution(limit_ids=("a",), use_case_name="u", use_case_properties={"\ud800": "x"})},
    ):
        [name] = part
        [refused] = client.transport.ingest([replace(good, **part)])  # type: ignore[arg-type]
        assert (refused.code, name.partition("_")[0] in str(refused.error)) == (bad, name != "attribution")
        [result] = client.transport.ingest([replace(good, record_unpriced=True, **part)])  # type: ignore[arg-type]
        assert result.warnings
        assert any(warning.startswith("unstorable: ") for warning in result.warnings)
        assert result.to_json()
    assert counts(client, "a") == {"ok": 15, "total": 15}

    [repaired] = client.transport.ingest([replace(half, record_unpriced=True)])
    assert (repaired.code, repaired.user_id, repaired.limits["a"].state) == (None, "u?", "ok")
