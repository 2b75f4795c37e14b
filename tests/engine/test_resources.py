"""Custom resources, their versions, and which one prices an event. Rows R-2 to R-9, R-18 to R-23, R-36, R-37."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from meters import answered

from payi_instrument.errors import NotFoundError, PermissionDeniedError
from payi_instrument.wire.categories import CategoryResourceResponse
from payi_instrument.wire.message import Request
from payi_instrument.wire.operations import CREATE_RESOURCE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from payi_instrument.client.client import Payi
    from payi_instrument.wire.ingest import IngestResponse
    from payi_instrument.wire.model import Money
    from payi_instrument.wire.result import XproxyResult
    from tests.conftest import Refused, Use

V1, V2 = "2024-01-01T00:00:00Z", "2024-06-01T00:00:00Z"


def create(client: Payi, price: float = 0.0001, **more: Any) -> CategoryResourceResponse:
    arguments: dict[str, Any] = {"units": {"text": {"input_price": price}}, **more}
    return client.categories.resources.create("v", category="c", **arguments)


def ingest(client: Payi, count: int = 1000, **arguments: Any) -> IngestResponse:
    return client.ingest.units(**{"category": "c", "resource": "v", "units": {"text": {"input": count}}, **arguments})


def total(result: XproxyResult) -> Money:
    assert result.cost is not None
    return result.cost.total.base


def unknown(result: XproxyResult) -> dict[str, tuple[int, int]]:
    return {unit: (counts.input, counts.output) for unit, counts in (result.unknown_units or {}).items()}


def cost(client: Payi, moment: str | None = None) -> float:
    return total(ingest(client, event_timestamp=moment).xproxy_result)


def test_r2_an_identical_create_answers_the_version_there_is(client: Payi) -> None:
    first = create(client, start_timestamp=V1)
    body: Mapping[str, Any] = {
        "units": {"text": {"input_price": Decimal("0.00010"), "output_price": 0}},
        "start_timestamp": V1,
    }
    again = answered(client, Request(CREATE_RESOURCE, path={"category": "c", "resource": "v"}, body=body))

    assert (again.status, CategoryResourceResponse(**again.body)) == (200, first)
    assert first.start_timestamp == datetime(2024, 1, 1, tzinfo=UTC)
    assert (first.active, first.end_timestamp, first.proxy_allowed) == (True, None, False)
    other = answered(client, Request(CREATE_RESOURCE, path={"category": "c", "resource": "w"}, body=body))
    assert other.status == 201


@pytest.mark.parametrize("more", [{}, {"max_input_units": 5}, {"units": {"text": {"output_price": 0.0001}}}])
def test_r3_other_content_at_the_same_start_is_refused(client: Payi, refused: Refused, more: dict[str, Any]) -> None:
    create(client, start_timestamp=V1)
    with refused("resource_already_exists"):
        create(client, price=0.0002, start_timestamp=V1, **more)

    assert cost(client) == 0.1


def test_r4_a_later_start_ends_the_version_before(client: Payi) -> None:
    first = create(client, start_timestamp=V1)
    second = create(client, price=0.0002, start_timestamp=V2)

    assert second.resource_id != first.resource_id
    assert create(client, start_timestamp=V1).end_timestamp == second.start_timestamp
    assert second.end_timestamp is None
    between = create(client, price=0.0003, start_timestamp="2024-03-01T00:00:00Z")
    assert between.end_timestamp == second.start_timestamp
    assert create(client, start_timestamp=V1).end_timestamp == between.start_timestamp


def test_r5_without_a_start_content_decides(client: Payi) -> None:
    before = datetime.now(UTC)
    first = create(client)

    assert before <= first.start_timestamp <= datetime.now(UTC)
    assert create(client).resource_id == first.resource_id
    second = create(client, price=0.0002)
    assert second.resource_id != first.resource_id
    assert create(client, price=0.0002).resource_id == second.resource_id
    assert cost(client) == 0.2


def test_r6_the_event_time_chooses_the_version(client: Payi, refused: Refused) -> None:
    create(client, start_timestamp=V1)
    create(client, price=0.0002, start_timestamp=V2)

    assert cost(client, "2024-03-01") == cost(client, "2024-05-31T23:59:59.999999Z") == 0.1
    assert cost(client, V2) == cost(client, "2024-07-01") == cost(client, "2024-06-01T02:00:00+02:00") == 0.2
    for early in ("2023-12-31T23:59:59Z", "2024-01-01T00:59:59+01:00"):
        with refused("category_resource_not_found", NotFoundError):
            ingest(client, event_timestamp=early)


def test_r7_without_a_time_the_version_valid_now_prices(client: Payi) -> None:
    create(client, start_timestamp=V1)
    create(client, price=0.0002, start_timestamp=V2)
    create(client, price=0.0003, start_timestamp="2999-01-01")
    before = datetime.now(UTC)
    response = ingest(client)

    assert total(response.xproxy_result) == 0.2
    assert before <= response.event_timestamp == response.ingest_timestamp <= datetime.now(UTC)
    assert response.request_id == response.xproxy_result.request_id


def test_r8_an_event_may_be_five_minutes_ahead(client: Payi, refused: Refused) -> None:
    create(client, start_timestamp=V1)
    near = datetime.now(UTC) + timedelta(minutes=4, seconds=59)

    assert ingest(client, event_timestamp=near).event_timestamp == near
    for far in (timedelta(minutes=5, seconds=20), timedelta(minutes=6)):  # the first leaves a slow machine room
        with refused("invalid_ingest_event_timestamp"):
            ingest(client, event_timestamp=datetime.now(UTC) + far)


def test_r9_unknown_names_are_not_found(client: Payi, refused: Refused) -> None:
    create(client, start_timestamp=V1)
    with refused("category_not_found", NotFoundError):
        ingest(client, category="nothing")
    for category in ("c", "system.openai"):
        with refused("category_resource_not_found", NotFoundError):
            ingest(client, category=category, resource="no-such-model")


@pytest.mark.parametrize("category", ["system", "system.openai", "SYSTEM.mine", "System.x"])
def test_r10_system_categories_are_read_only(client: Payi, refused: Refused, category: str) -> None:
    with refused("system_category_forbidden", PermissionDeniedError):
        client.categories.resources.create("m", category=category, units={"text": {}})


def test_r18_an_unpriced_unit_is_named_and_costs_nothing(use: Use) -> None:
    result = use(units={"text": {"input": 10}, "foo": {"input": 5}})

    assert total(result) == 0.1
    assert unknown(result) == {"foo": (5, 0)}
    assert result.warnings == ["unknown_unit: foo"]
    assert not result.unpriced


def test_r19_an_event_without_units_costs_nothing(use: Use) -> None:
    result = use(units={})

    assert (total(result), result.unpriced, result.warnings) == (0.0, None, None)
    assert result.request_id


@pytest.mark.parametrize("count", [-1, 1.5, 1.0, 2_147_483_648, True, "1", None, float("nan")])
def test_r20_a_count_that_is_no_whole_number_of_units_is_refused(use: Use, refused: Refused, count: Any) -> None:
    with refused("request_processing_error"):
        use(units={"text": {"input": count}})


def test_r20_the_largest_count_is_priced(use: Use) -> None:
    assert total(use(2_147_483_647)).exact == Decimal("21474836.47")


def test_r21_and_r23_a_side_that_is_absent_is_zero(D: CategoryResourceResponse, use: Use) -> None:  # noqa: N803
    for units, expected in (({"input": 3}, (0.03, 0.0)), ({"output": 3}, (0.0, 0.09)), ({}, (0.0, 0.0))):
        result = use(units={"text": units})
        assert result.cost is not None
        assert (result.cost.input.base, result.cost.output.base) == expected
        assert result.cost.total.base_exact == result.cost.input.base_exact + result.cost.output.base_exact
        assert (result.cost.currency, result.cost.total.overrun_base) == ("usd", None)
        assert result.resource_id == D.resource_id


def test_r22_a_variant_without_a_price_takes_the_plain_one(use: Use) -> None:
    result = use(units={"text_large_context": {"input": 7}})

    assert (total(result), result.warnings) == (0.07, ["unit_fallback: text_large_context"])


@pytest.mark.parametrize("resource", [None, "system.unknown_model"])
def test_r36_an_event_without_a_resource_is_stored_unpriced(use: Use, resource: str | None) -> None:
    result = use(4, 2, resource=resource)

    assert (total(result), result.resource_id, result.unpriced) == (0.0, None, True)
    assert unknown(result) == {"text": (4, 2)}


def test_r37_a_start_ahead_of_the_clock_serves_events_without_a_time(client: Payi, refused: Refused) -> None:
    start = datetime.now(UTC) + timedelta(seconds=30)
    create(client, start_timestamp=start)

    assert cost(client) == 0.1
    with refused("category_resource_not_found", NotFoundError):
        ingest(client, event_timestamp=datetime.now(UTC))
    later = start + timedelta(minutes=10)
    client.categories.resources.create("later", category="c", units={"text": {}}, start_timestamp=later)
    with refused("category_resource_not_found", NotFoundError):
        ingest(client, resource="later")


def test_caps_of_zero_are_kept(client: Payi) -> None:
    version = create(client, max_input_units=8192, max_output_units=0, max_total_units=None)

    assert (version.max_input_units, version.max_output_units, version.max_total_units) == (8192, 0, None)


@pytest.mark.parametrize(
    "bad",
    [
        {"units": {}},
        {"units": None},
        {"units": {"Text": {}}},
        {"units": {"a b": {}}},
        {"units": {"x" * 65: {}}},
        {"units": {"text": {"input_price": -0.01}}},
        {"units": {"text": {"input_price": float("nan")}}},
        {"units": {"text": {"output_price": float("inf")}}},
        {"units": {"text": {"input_price": 1e12}}},
        {"units": {"text": {"input_price": 1e-19}}},
        {"units": {"text": {"input_price": Decimal("1e999999999")}}},
        {"units": {"text": {"prise": 1}}},
        {"max_input_units": -1},
        {"max_output_units": 2**31},
        {"start_timestamp": "soon"},
        {"start_timestamp": "0001-01-01T00:00:00+05:00"},
        {"start_timestamp": "9999-12-31T23:59:59-05:00"},
    ],
)
def test_a_version_that_makes_no_sense_is_refused(client: Payi, refused: Refused, bad: dict[str, Any]) -> None:
    with refused("request_processing_error"):
        create(client, **bad)
    with refused("category_not_found", NotFoundError):
        ingest(client)


@pytest.mark.parametrize("name", [" a", "a ", "a\nb", "a\0", "a\x7f", "a\x85b", "x" * 257, "\ud800"])
def test_a_name_that_makes_no_sense_is_refused(client: Payi, refused: Refused, name: str) -> None:
    with refused("request_processing_error"):
        client.categories.resources.create(name, category="c", units={"text": {}})
    with refused("request_processing_error"):
        client.categories.resources.create("r", category=name, units={"text": {}})


@pytest.mark.parametrize("name", ["", ".", "..", None, 7])
def test_a_name_that_is_no_path_segment_is_a_value_error(client: Payi, name: Any) -> None:
    with pytest.raises(ValueError, match="resource"):
        client.categories.resources.create(name, category="c", units={"text": {}})


@pytest.mark.parametrize("name", ["a/b c:1", "ä🙂", "👩\u200d💻", "a\u00a0b", "gpt-4o, mini", "100%", "x" * 256])
def test_any_other_name_prices_its_events(client: Payi, name: str) -> None:
    client.categories.resources.create(name, category=name, units={"text": {"input_price": 0.0001}})

    assert total(ingest(client, category=name, resource=name).xproxy_result) == 0.1


def test_a_price_is_kept_to_its_last_digit(client: Payi) -> None:
    exact = Decimal("123456789012.123456789012345678")
    version = client.categories.resources.create("r", category="c", units={"text": {"input_price": exact}})  # type: ignore[typeddict-item]

    assert version.units["text"].input_price_exact == exact
    assert total(ingest(client, 2, resource="r").xproxy_result).exact == Decimal("246913578024.246913578025")
