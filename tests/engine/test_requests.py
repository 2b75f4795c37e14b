"""Stored events read again: results, properties; and what the meter can do. Rows R-11, R-32, R-33."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import strategies as st
from meters import answered, property_of_embedded_meters

from payi_instrument.errors import NotFoundError
from payi_instrument.wire import operations as table
from payi_instrument.wire.message import Request

if TYPE_CHECKING:
    from meters import Place

    from payi_instrument.client.client import Payi
    from payi_instrument.wire.result import XproxyResult
    from tests.conftest import Refused, Use

UNITS = {"text": {"input": 7, "output": 3}}
EVENT: dict[str, Any] = {"category": "demo", "resource": "model", "units": UNITS}


def by_id(client: Payi, result: XproxyResult) -> XproxyResult:
    assert result.request_id is not None
    return client.requests.request_id.result.retrieve(result.request_id).xproxy_result


def by_response(client: Payi, response_id: str, category: str = "demo") -> XproxyResult:
    return client.requests.response_id.result.retrieve(response_id, category=category).xproxy_result


def exact(result: XproxyResult) -> list[Decimal]:
    """Return every amount of a result as the ledger holds it."""
    assert result.cost is not None
    costs = [result.cost.input.base_exact, result.cost.output.base_exact, result.cost.total.base_exact]
    limits = [
        amount
        for limit in result.limits.values()
        for amount in (limit.max_exact, limit.spent_exact, limit.held_exact, limit.remaining_exact)
    ]
    return [*costs, *(amount for amount in limits if amount is not None)]


@pytest.fixture
def kept(place: Place) -> Payi:
    """A client whose ledger can be looked into."""
    return place.open(unpriced_events="record")


def properties(place: Place, request_id: str) -> dict[str, str] | None:
    [row] = place.rows(f"SELECT properties FROM events WHERE request_id = '{request_id}'")
    return None if row["properties"] is None else dict(json.loads(row["properties"]))


def test_r11_what_was_stored_survives_the_deletion_of_its_resource(client: Payi, use: Use) -> None:
    client.limits.create(limit_name="a", limit_id="a", max=1)
    result = use(7, limit_ids=["a"])
    limit = client.limits.retrieve("a").limit
    client.categories.delete("demo")

    assert by_id(client, result) == result
    assert client.limits.retrieve("a").limit == limit
    version = client.categories.resources.retrieve(str(result.resource_id), category="demo", resource="model")
    assert (version.active, version.units["text"].input_price_exact) == (False, Decimal("0.01"))


def test_r32_a_result_is_read_again_as_it_was(client: Payi, use: Use) -> None:
    client.limits.create(limit_name="a", limit_id="a", max=0.1, threshold=0.8)
    client.limits.create(limit_name="b", limit_id="b", max=0.3, limit_type="block")
    arguments: dict[str, Any] = {
        "limit_ids": ["a", "b", "unknown"],
        "user_id": "ä🙂",
        "account_name": "acme",
        "use_case_name": "chat",
        "use_case_step": "one",
        "request_tags": ["x", "y"],
        "units": {"text": {"input": 9, "output": 7}, "foo": {"input": 5}, "reasoning": {"output": 1}},
    }
    result = use(provider_response_id="r/1 ä", **arguments)
    client.limits.reset("a")
    client.limits.delete("b")
    use(50, limit_ids=["a"])

    assert result.limits["b"].state == "blocked"
    for again in (by_id(client, result), by_response(client, "r/1 ä")):
        assert again == result
        assert again.model_dump() == result.model_dump()
        assert exact(again) == exact(result)
        assert list(again.limits) == list(result.limits)
        assert again.duplicate_request is None


def test_a_result_that_was_asked_for_twice_is_still_the_first(client: Payi, use: Use) -> None:
    first = use(event_id="e", provider_response_id="r")
    assert use(event_id="e", provider_response_id="r").duplicate_request

    assert by_id(client, first) == by_response(client, "r") == first


@pytest.mark.parametrize(
    "event",
    [
        {"units": {}},
        {"resource": None},
        {"resource": "no such model", "units": UNITS},
        {"http_status_code": 500, "units": {}},
        {"http_status_code": 424, "units": {}, "properties": {"system.blocked": "a"}},
    ],
)
def test_a_result_without_a_price_is_read_again_too(kept: Payi, event: dict[str, Any]) -> None:
    kept.limits.create(limit_name="a", limit_id="a", max=1, limit_type="block")
    result = kept.ingest.units(**EVENT | {"limit_ids": ["a"]} | event).xproxy_result

    assert by_id(kept, result).to_dict() == result.to_dict()


COUNTS = st.tuples(st.integers(0, 2**31 - 1), st.integers(0, 2**31 - 1))


@property_of_embedded_meters(sqlite=100, postgres=15, counts=st.lists(COUNTS, min_size=1, max_size=4))
def test_amounts_are_read_again_to_the_last_digit(client: Payi, counts: list[tuple[int, int]]) -> None:
    prices = [(Decimal("0.000000000001"), Decimal("0.333333333333333333")), (Decimal("99999.9"), Decimal(3))]
    units = {
        unit: {"input_price": price[0], "output_price": price[1]} for unit, price in zip("ab", prices, strict=True)
    }
    client.categories.resources.create("r", category="c", units=units)  # type: ignore[arg-type]
    client.limits.create(limit_name="l", limit_id="l", max=Decimal("1e9"))  # type: ignore[arg-type]
    for number, (count_in, count_out) in enumerate(counts):
        used = {"ab"[number % 2]: {"input": count_in, "output": count_out}}
        result = client.ingest.units(category="c", resource="r", units=used, limit_ids=["l"]).xproxy_result
        assert exact(by_id(client, result)) == exact(result)


def test_reads_by_response_id_answer_the_latest_event(client: Payi, use: Use) -> None:
    client.categories.resources.create("model", category="other", units={"text": {}})
    first = use(1, event_id="1", provider_response_id="r")
    second = use(2, event_id="2", provider_response_id="r")
    third = use(3, category="other", provider_response_id="r")

    assert by_response(client, "r") == second
    assert by_response(client, "r", "other") == third
    assert by_id(client, first) == first


def test_unknown_requests_are_not_found(client: Payi, use: Use, refused: Refused) -> None:
    result = use(provider_response_id="r")
    use()  # an event without a response id is nobody's response
    requests = client.requests
    for name in ("nobody", "None", "null", "../x", str(result.request_id).upper(), "a\r\nb"):
        with refused("request_not_found", NotFoundError):
            requests.request_id.result.retrieve(name)
        with refused("request_not_found", NotFoundError):
            requests.request_id.properties.update(name, properties={"a": "b"})
        for category, response_id in (("demo", name), (name, "r")):
            with refused("request_not_found", NotFoundError):
                requests.response_id.result.retrieve(response_id, category=category)
            with refused("request_not_found", NotFoundError):
                requests.response_id.properties.update(response_id, category=category, properties={"a": "b"})


def test_half_a_character_names_no_request(client: Payi, refused: Refused) -> None:
    for name in ("\ud800", "a\0"):
        with refused("request_processing_error"):
            client.requests.request_id.result.retrieve(name)
        with refused("request_processing_error"):
            client.requests.response_id.properties.update(name, category="demo", properties={})


def test_an_event_id_is_its_applications_own(place: Place, refused: Refused) -> None:
    event: Any = {"category": "demo", "units": {}, "event_id": "e"}
    clients = [place.open(name) for name in ("one", "two", "three")]
    stored = [client.ingest.units(**event, user_id=f"{number}") for number, client in enumerate(clients[:2])]
    for client, first in zip(clients, stored, strict=False):
        again = client.ingest.units(**event).xproxy_result
        assert (again.duplicate_request, again.request_id) == (True, first.request_id)
        assert again.user_id == first.xproxy_result.user_id
    with refused("category_not_found", NotFoundError):  # what one application knows is no answer to another
        clients[2].ingest.units(**event | {"category": "nothing", "resource": "none"})


def test_requests_are_their_applications_own(place: Place, refused: Refused) -> None:
    one, two = (place.open(name, unpriced_events="record") for name in ("one", "two"))
    result = one.ingest.units(**EVENT, provider_response_id="r", properties={"a": "1"}).xproxy_result
    request_id = str(result.request_id)

    assert by_id(one, result) == by_response(one, "r") == result
    for call in (
        lambda: two.requests.request_id.result.retrieve(request_id),
        lambda: two.requests.response_id.result.retrieve("r", category="demo"),
        lambda: two.requests.request_id.properties.update(request_id, properties={"a": None}),
        lambda: two.requests.response_id.properties.update("r", category="demo", properties={"a": None}),
    ):
        with refused("request_not_found", NotFoundError):
            call()
    assert properties(place, request_id) == {"a": "1"}


def test_r33_properties_are_merged_through_both_routes(kept: Payi, place: Place) -> None:
    event = {"provider_response_id": "r/1", "properties": {"a": "1", "b": "2"}}
    result = kept.ingest.units(**EVENT, **event).xproxy_result
    request_id = str(result.request_id)

    answer = kept.requests.request_id.properties.update(request_id, properties={"b": None, "c": "ä🙂"})
    assert answer.request_id == request_id
    assert properties(place, request_id) == {"a": "1", "c": "ä🙂"}
    answer = kept.requests.response_id.properties.update(
        "r/1", category="demo", properties={"a": "", "c": None, "never": None}
    )
    assert answer.request_id == request_id
    assert properties(place, request_id) == {"a": ""}
    kept.requests.request_id.properties.update(request_id, properties={"a": None})
    assert properties(place, request_id) is None
    kept.requests.request_id.properties.update(request_id, properties={})
    odd = {"d": "\x01\r\n", "e": "ä🙂", "👩\u200d💻": ""}
    kept.requests.request_id.properties.update(request_id, properties=odd)
    assert properties(place, request_id) == odd
    assert by_id(kept, result) == result


def test_properties_go_to_the_latest_event_of_a_response(kept: Payi, place: Place) -> None:
    first, second = (
        str(kept.ingest.units(**EVENT, provider_response_id="r", event_id=event_id).request_id) for event_id in "12"
    )
    kept.requests.response_id.properties.update("r", category="demo", properties={"a": "1"})

    assert (properties(place, first), properties(place, second)) == (None, {"a": "1"})


@pytest.mark.parametrize(
    "body",
    [
        {"properties": {"": "x"}},
        {"properties": {" ": None}},
        {"properties": {"\ud800": "x"}},
        {"properties": {"a": "\udc00"}},
        {"properties": {"\ud800": 1}},
        {"properties": {}, "\ud800": 1},
        {"properties": {"a": 1}},
        {"properties": {"a": float("nan")}},
        {"properties": {"a": ["b"]}},
        {"properties": ["a"]},
        {"properties": None},
        {"properties": {"a": "b"}, "more": 1},
        {},
        [],
        None,
    ],
)
def test_properties_that_make_no_sense_change_nothing(kept: Payi, place: Place, body: object) -> None:
    result = kept.ingest.units(**EVENT, provider_response_id="r", properties={"a": "1"})
    for operation, path in (
        (table.UPDATE_REQUEST_PROPERTIES, {"request_id": result.request_id}),
        (table.UPDATE_RESPONSE_PROPERTIES, {"category": "demo", "provider_response_id": "r"}),
    ):
        answer = answered(kept, Request(operation, path=path, body=body))
        assert (answer.status, answer.code) == (
            400,
            "required_field_missing" if body == {} else "request_processing_error",
        )
        assert json.dumps(answer.body, ensure_ascii=False).encode()

    assert properties(place, result.request_id) == {"a": "1"}


def test_the_meter_says_what_it_can_do(client: Payi) -> None:
    answer = answered(client, Request(table.CAPABILITIES))

    assert answer == (
        200,
        {"extensions": ["bulk_results", "event_id", "history", "property_filter", "unit_tiers", "unpriced"]},
    )
