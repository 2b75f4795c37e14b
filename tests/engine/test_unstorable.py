"""What PostgreSQL can't keep is refused by name by every meter, and costs no instrumented call its event. Decision 8."""

from __future__ import annotations

import random
import string
from typing import TYPE_CHECKING, Any

import pytest

from payi_instrument.errors import APIStatusError
from payi_instrument.event import Attribution, UsageEvent

if TYPE_CHECKING:
    from collections.abc import Callable

    from meters import Place

    from payi_instrument.client.client import Payi
    from tests.conftest import Refused

EVENT: dict[str, Any] = {"category": "demo", "units": {}, "limit_ids": ["a"]}
RUN = {"use_case_name": "run", "use_case_id": "i"}
BAD: list[tuple[str, dict[str, Any]]] = [
    ("category", {"category": "de\0mo"}),
    ("resource", {"resource": "mo\0del"}),
    ("provider_response_id", {"provider_response_id": "\0"}),
    ("user_id", {"user_id": "u\0"}),
    ("account_name", {"account_name": "\0a"}),
    ("limit_ids", {"limit_ids": ["a", "b\0"]}),
    ("use_case_name", {"use_case_name": "r\0n"}),
    ("use_case_id", RUN | {"use_case_id": "i\0"}),
    ("use_case_step", RUN | {"use_case_step": "s\0"}),
    ("category", {"category": "c" * 257}),
    ("provider_response_id", {"provider_response_id": "r" * 513}),
    ("user_id", {"user_id": "u\ud800"}),
]


@pytest.mark.parametrize(("member", "change"), BAD)
def test_an_event_is_refused_by_the_member_and_harms_no_other(
    client: Payi, member: str, change: dict[str, Any]
) -> None:
    client.limits.create(limit_name="a", limit_id="a", max=1)
    answer = client.ingest.bulk(events=[EVENT, EVENT | change, EVENT])

    [error] = answer.errors or []
    refusal = error.xproxy_result.xproxy_error
    assert refusal is not None
    assert (error.item_index, refusal.code) == (1, "request_processing_error")
    assert member in str(refusal.message)
    assert client.limits.retrieve("a").limit.totals.requests.total == 2


def test_many_bad_events_among_good_ones_are_refused_alone(client: Payi) -> None:
    client.limits.create(limit_name="a", limit_id="a", max=1)
    bad = {1, 2, 300, 998}
    events = [EVENT | {"user_id": "u\0" if number in bad else "u"} for number in range(1000)]
    answer = client.ingest.bulk(events=events)

    assert {error.item_index for error in answer.errors or []} == bad
    assert client.limits.retrieve("a").limit.totals.requests.total == answer.ingest_count == 996


@pytest.mark.parametrize(
    "part",
    [
        {"category": "de\0mo"},
        {"provider_response_id": "r\0" + "r" * 1000},
        {"resource": "m\0"},
        {
            "attribution": Attribution(
                limit_ids=("a", "b\0", "b?"), user_id="u\0", use_case_name="run", use_case_id="\0"
            )
        },
        {"category": "de\ud800mo"},
        {"properties": {"\udc00": "a\ud800"}, "function_calls": [("f", "\ud83d")]},
        {"provider_response_json": ["one", "\ud800"], "units": {"te\ud800": (1, 0)}},
    ],
)
def test_an_instrumented_event_is_stored_without_it(client: Payi, part: dict[str, Any]) -> None:
    client.limits.create(limit_name="a", limit_id="a", max=1)
    whole: dict[str, Any] = {
        "category": "demo",
        "resource": None,
        "units": {"text": (1, 0)},
        "attribution": Attribution(limit_ids=("a",)),
    }
    event = UsageEvent(event_id="e", record_unpriced=True, **whole | part)
    [result] = client.transport.ingest([event])

    assert (result.error, result.limits["a"].state) == (None, "ok")
    assert client.transport.ingest([event])[0].duplicate_request is True
    assert client.limits.retrieve("a").limit.totals.requests.total == 1


def test_an_instrumented_event_says_what_became_of_it(client: Payi) -> None:
    event = UsageEvent("e", "de\0mo", None, {}, Attribution(), provider_response_id="r\0", record_unpriced=True)
    [result] = client.transport.ingest([event])

    assert any(warning.startswith("unstorable: ") for warning in result.warnings or [])
    stored = client.requests.response_id.result.retrieve("r?", category="de?mo").xproxy_result
    assert stored.request_id == result.request_id


def test_what_is_kept_as_json_may_hold_anything(place: Place) -> None:
    client = place.open()
    odd = "\0\x01\x7f \u2028🙂"
    event = EVENT | RUN | {"properties": {odd: odd}, "use_case_properties": {odd: odd}, "provider_uri": odd}
    result = client.ingest.units(
        **event | {"units": {odd: {"input": 1}}, "provider_response_json": [odd]}
    ).xproxy_result

    assert [*(result.unknown_units or {})] == [odd]
    again = client.requests.request_id.result.retrieve(str(result.request_id)).xproxy_result
    assert again.unknown_units == result.unknown_units


def test_the_longest_texts_are_found_again(client: Payi) -> None:
    rand = random.Random(5)
    category, response = ("".join(rand.choices(string.ascii_letters, k=length)) for length in (256, 512))
    stored = client.ingest.units(category=category, units={}, provider_response_id=response).xproxy_result

    found = client.requests.response_id.result.retrieve(response, category=category).xproxy_result
    assert found.request_id == stored.request_id


KPI: dict[str, Any] = {"name": "k", "description": "d", "kpi_type": "number", "goal": 1}
MANAGED: dict[str, Callable[[Payi], object]] = {
    "limit name": lambda client: client.limits.create(limit_name="a\0", max=1),
    "limit id": lambda client: client.limits.create(limit_name="b", limit_id="b\0", max=1),
    "limit properties": lambda client: client.limits.create(limit_name="b", max=1, properties={"k": "\0"}),
    "limit rename": lambda client: client.limits.update("a", limit_name="\0"),
    "limit filter": lambda client: client.limits.list(limit_name="a\0").items,
    "limit property filter": lambda client: client.limits.list(extra_query={"property": ["k:\0"]}).items,
    "limit path": lambda client: client.limits.retrieve("a\0"),
    "limit property keys": lambda client: client.limits.properties.update("a", properties={"\0": None}),
    "definition": lambda client: client.use_cases.definitions.create(name="n\0", description="d"),
    "definition description": lambda client: client.use_cases.definitions.create(name="n", description="d\0"),
    "description": lambda client: client.use_cases.definitions.update("run", description="\0 d"),
    "definition filter": lambda client: client.use_cases.definitions.list(use_case_name="\0").items,
    "limit config": lambda client: client.use_cases.definitions.limit_config.create(
        "run", max=1, properties={"\0": "x"}
    ),
    "kpi": lambda client: client.use_cases.definitions.kpis.create("run", **KPI | {"name": "k\0"}),
    "kpi description": lambda client: client.use_cases.definitions.kpis.create("run", **KPI | {"description": "\0"}),
    "kpi filter": lambda client: client.use_cases.definitions.kpis.list("run", kpi_name="\0").items,
    "instance properties": lambda client: client.use_cases.properties.update(
        "i", use_case_name="run", properties={"a": "\0"}
    ),
    "request properties": lambda client: client.requests.request_id.properties.update("r", properties={"a": "\0"}),
    "category": lambda client: client.categories.resources.create("r", category="c\0", units={"text": {}}),
    "resource": lambda client: client.categories.resources.create("r\0", category="c", units={"text": {}}),
    "unit": lambda client: client.categories.resources.create("r", category="c", units={"te\0xt": {}}),
    "cursor": lambda client: client.limits.list(cursor="\0").items,
}
OWN_CODES = {
    "limit name": "create_limit_validation_failed",
    "limit id": "create_limit_validation_failed",
    "limit properties": "create_limit_validation_failed",
    "limit rename": "update_limit_validation_failed",
    "limit config": "create_limit_validation_failed",
}


@pytest.mark.parametrize("what", MANAGED)
def test_no_name_description_or_property_holds_a_nul(client: Payi, refused: Refused, what: str) -> None:
    client.limits.create(limit_name="a", limit_id="a", max=1)
    client.ingest.units(**EVENT | RUN)
    with refused(OWN_CODES.get(what, "request_processing_error"), APIStatusError):
        MANAGED[what](client)

    assert [limit.limit_name for limit in client.limits.list()] == ["a"]
    assert [found.name for found in client.use_cases.definitions.list()] == ["run"]
    assert client.categories.list(active=False).items == []
