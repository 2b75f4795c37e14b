"""Group E of the conformance list, row by row, on each of the four meters.

Sync and async; to the servers over both HTTP libraries. What a row says of HTTP is looked at by a relay before the real
server, which also fails as it is told to. An embedded meter has no HTTP: rows E-5, E-9, E-10, E-12 and E-14 have no meaning
there (nothing is sent, so nothing is sent again, and no timeout runs: SQLite and PostgreSQL have their own), E-6 means that
no key is asked for, and E-13 and E-15 have a counterpart. Beyond their rows go the files that look at the client
alone on a small server of the loopback (test_client.py, test_options.py, test_methods.py, test_pages.py, test_responses.py,
test_retries.py, test_transport.py), at listings (test_listings.py), keys (test_key_scopes.py) and processes
(test_processes.py).
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from contextlib import ExitStack, closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import postgres
import pytest
from loopback_meter import Answer, Relay
from meters import METERS, Place, asks_for, on_each_meter

from payi_instrument import AsyncPayi, Payi, errors
from payi_instrument.types import APIResponse, AsyncAPIResponse, LimitResponse

if TYPE_CHECKING:
    from collections.abc import Iterator

    from calling import Caller

WAYS = [
    pytest.param(meter, library, id=f"{meter}-{library}" if meter.startswith("server") else meter)
    for meter in METERS
    for library in ("httpx2", "httpx")
    if library == "httpx2" or meter.startswith("server")
]
"""Each meter, and to a server either HTTP library; with `caller` each both sync and async."""
over_http = pytest.mark.parametrize(("place", "library"), WAYS[2:], indirect=True)
"""Marks what only a server can be asked."""

ROOT = "/api/v1"
NAMES = [f"limit-{number:02}" for number in range(25)]
EVENT: dict[str, Any] = {"category": "system.openai", "resource": "gpt-4o-mini", "units": {"text": {"input": 10}}}
PRICE: dict[str, Any] = {"text": {"input_price": 0.25}}
NOW = {"retry-after-ms": "1"}
"""Asks for a retry at once, so that no test has to wait."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if asks_for(metafunc, "place", "library"):
        metafunc.parametrize(("place", "library"), WAYS, indirect=True)
    else:
        on_each_meter(metafunc)


@pytest.fixture
def library(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The HTTP library in use."""
    name: str = request.param
    monkeypatch.setenv("PAYI_HTTP", name)
    return name


@pytest.fixture
def caller(caller: Caller, place: Place) -> Caller:
    """A client of the meter."""
    caller.open(**place.address())
    return caller


@pytest.fixture
def relay(caller: Caller, place: Place) -> Iterator[Relay | None]:
    """What is between the client and its server; None for a meter that has none."""
    if not place.is_served:
        yield None
        return
    with Relay(caller.client.base_url) as relay:
        caller.use(caller.client.copy(base_url=relay.url))
        yield relay


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch, library: str) -> pytest.MonkeyPatch:
    """An environment that names no meter and no key."""
    for name in ("PAYI_API_KEY", "PAYI_BASE_URL", "PAYI_CUSTOM_HEADERS"):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


def fill(client: Payi) -> None:
    for name in NAMES:
        client.limits.create(limit_name=name, limit_id=name, max=1)


def ids(limits: Any) -> list[str]:
    return [limit.limit_id for limit in limits]


# --- who asks, and where -------------------------------------------------------------------------------------------


def test_e1_a_server_is_not_spoken_to_without_a_key(
    environment: pytest.MonkeyPatch, caller: Caller, place: Place
) -> None:
    base_url = place.address()["base_url"]
    environment.setenv("PAYI_BASE_URL", base_url)
    for arguments in ({}, {"base_url": base_url}):
        if place.is_served:
            with pytest.raises(errors.PayiError, match="PAYI_API_KEY"):
                caller.open(**{"base_url": None, "api_key": None, **arguments})
        else:
            assert caller.open(**{"base_url": None, "api_key": None, **arguments}).api_key is None
            assert caller("limits.list").items == []


def test_e2_key_and_meter_are_read_when_a_client_is_made(
    environment: pytest.MonkeyPatch, caller: Caller, place: Place
) -> None:
    for application in ("one", "two"):
        where = place.address(application)
        environment.setenv("PAYI_BASE_URL", where["base_url"])
        environment.setenv("PAYI_API_KEY", where.get("api_key", "of no use"))
        client = caller.open(base_url=None, api_key=None)
        caller("limits.create", limit_name=application, limit_id=application, max=1)
        assert client.api_key == where.get("api_key", "of no use")
        assert ids(place.open(application).limits.list()) == [application]


def test_e3_arguments_win_over_the_environment(environment: pytest.MonkeyPatch, caller: Caller, place: Place) -> None:
    environment.setenv("PAYI_BASE_URL", "http://127.0.0.1:1")
    environment.setenv("PAYI_API_KEY", "of no use")
    environment.setenv("PAYI_CUSTOM_HEADERS", "xProxy-User-ID: environment\nxProxy-Account-Name: environment")
    where = {"api_key": "argument", **place.address()}
    client = caller.open(**where, default_headers={"xProxy-User-ID": "argument"})
    result = caller("ingest.units", **EVENT).xproxy_result

    assert client.api_key == where["api_key"]
    assert (result.user_id, result.account_name) == ("argument", "environment")
    stored = place.open().requests.request_id.result.retrieve(str(result.request_id))
    assert stored.xproxy_result.user_id == "argument"


def test_e4_where_no_meter_is_named_it_is_the_vendors_service(
    environment: pytest.MonkeyPatch, caller: Caller, place: Place
) -> None:
    environment.setenv("PAYI_API_KEY", "k")
    base_url = place.address()["base_url"]
    for named, found in (
        (base_url, f"{base_url}/" if place.is_served else base_url),
        ("", "https://api.pay-i.com/"),
    ):
        environment.setenv("PAYI_BASE_URL", named)
        assert caller.open(base_url=None, api_key=None).base_url == found


@over_http
def test_e5_every_request_carries_the_key(caller: Caller, relay: Relay) -> None:
    caller("limits.create", limit_name="n", limit_id="a", max=1)
    caller("limits.list")
    caller("ingest.units", **EVENT, limit_ids=["a"])
    caller("limits.delete", "a")

    assert len(relay.asked) == 4
    assert {asked.headers["xproxy-api-key"] for asked in relay.asked} == {caller.client.api_key}


def test_e6_a_server_refuses_a_wrong_key_and_others_ask_for_none(caller: Caller, place: Place) -> None:
    base_url = place.address()["base_url"]
    place.open().limits.create(limit_name="n", limit_id="a", max=1)
    caller.open(base_url, api_key="wrong")
    for name, arguments in (("limits.list", {}), ("ingest.units", EVENT), ("limits.retrieve", {"limit_id": "a"})):
        if place.is_served:
            with pytest.raises(errors.AuthenticationError) as caught:
                caller(name, **arguments)
            assert (caught.value.status_code, caught.value.code) == (401, "invalid_api_key")
        else:
            caller(name, **arguments)


@over_http
def test_e6_no_key_is_as_wrong_as_another(caller: Caller, relay: Relay) -> None:
    caller("limits.list")
    headers = relay.last.headers
    assert relay.regular(relay.last).status == 200
    for key in ({}, {"xproxy-api-key": ""}, {"xproxy-api-key": " "}):
        keyless = {name: value for name, value in headers.items() if name != "xproxy-api-key"} | key
        answer = relay.regular(replace(relay.last, headers=keyless))
        assert (answer.status, json.loads(answer.content)["xproxy_error"]["code"]) == (401, "invalid_api_key")


@over_http
def test_a_client_of_a_place_speaks_over_the_library_in_use(place: Place, library: str) -> None:
    for application in ("default", "other"):
        response = place.open(application).limits.with_raw_response.list().http_response
        assert type(response).__module__.partition(".")[0] == library


@pytest.mark.usefixtures("library")
def test_e7_two_keys_of_one_application_see_the_same_data(place: Place) -> None:
    old, new = place.open("e7"), place.open("e7", key="second")
    assert (old.api_key != new.api_key) is place.is_served
    old.limits.create(limit_name="e7", limit_id="e7", max=1)
    event = new.ingest.units(**EVENT, limit_ids=["e7"])

    assert ids(new.limits.list()) == ["e7"]
    assert old.limits.retrieve("e7").limit.totals.requests.total == 1
    assert old.requests.request_id.result.retrieve(event.request_id).xproxy_result.limits.keys() == {"e7"}
    new.limits.delete("e7")
    assert list(old.limits.list()) == []


@pytest.mark.usefixtures("library")
def test_e8_two_applications_see_nothing_of_each_other_but_custom_categories(place: Place) -> None:
    one, two = place.open("one"), place.open("two")
    event: dict[str, Any] = {**EVENT, "category": "e8", "resource": "e8", "event_id": "e8"}
    one.limits.create(limit_name="e8", limit_id="e8", max=1)
    one.use_cases.definitions.create(name="e8", description="d")
    made = one.categories.resources.create("e8", category="e8", units=PRICE, start_timestamp="2024-01-01T00:00:00Z")
    stored = one.ingest.units(**event, provider_response_id="r")

    assert list(two.limits.list()) == []
    assert list(two.use_cases.definitions.list()) == []
    for call in (
        lambda: two.limits.retrieve("e8"),
        lambda: two.limits.update("e8", max=2),
        lambda: two.limits.reset("e8"),
        lambda: two.limits.delete("e8"),
        lambda: two.use_cases.definitions.retrieve("e8"),
        lambda: two.requests.request_id.result.retrieve(stored.request_id),
        lambda: two.requests.request_id.properties.update(stored.request_id, properties={"a": "b"}),
        lambda: two.requests.response_id.result.retrieve("r", category="e8"),
    ):
        with pytest.raises(errors.NotFoundError):
            call()
    other = two.ingest.units(**event, limit_ids=["e8"])
    assert not other.xproxy_result.duplicate_request
    assert other.xproxy_result.limits == {}
    assert two.limits.create(limit_name="e8", limit_id="e8", max=5).limit.max == 5
    assert one.limits.retrieve("e8").limit.max == 1
    assert list(two.categories.resources.list("e8", category="e8")) == [made]


# --- what fails, and what is sent again ----------------------------------------------------------------------------


@over_http
def test_e9_a_fault_that_passes_is_not_seen(caller: Caller, relay: Relay, place: Place) -> None:
    relay.instead.extend([Answer(500, NOW), Answer(500, NOW)])
    response = caller("limits.with_raw_response.create", limit_name="n", limit_id="a", max=1)

    assert (response.status_code, response.retries_taken) == (201, 2)
    assert relay.paths == [f"POST {ROOT}/limits"] * 3
    assert ids(place.open().limits.list()) == ["a"]


@over_http
def test_e10_a_fault_that_stays_is_raised_after_three_attempts(caller: Caller, relay: Relay, place: Place) -> None:
    relay.always = Answer(503, NOW)
    default = caller.client
    for client, attempts in ((default, 3), (default.copy(max_retries=0), 1), (default.copy(max_retries=4), 5)):
        relay.asked.clear()
        caller.use(client)
        with pytest.raises(errors.InternalServerError) as caught:
            caller("limits.create", limit_name="n", max=1)
        assert (caught.value.status_code, len(relay.asked)) == (503, attempts)
    assert list(place.open().limits.list()) == []


def test_e11_what_can_not_be_helped_is_not_retried(caller: Caller, relay: Relay | None) -> None:
    for call, kind in (
        (("limits.list", {"limit": 0}), errors.BadRequestError),
        (("limits.create", {"limit_name": "n", "max": 0}), errors.BadRequestError),
        (("limits.retrieve", {"limit_id": "nobody"}), errors.NotFoundError),
        (("limits.reset", {"limit_id": "nobody"}), errors.NotFoundError),
    ):
        with pytest.raises(kind):
            caller(call[0], **call[1])
    if relay is not None:
        assert len(relay.asked) == 4


@over_http
def test_e12_a_server_that_asks_for_a_second_gets_it(
    caller: Caller, relay: Relay, caplog: pytest.LogCaptureFixture
) -> None:
    relay.instead.append(Answer(429, {"retry-after": "1"}))
    started = time.monotonic()
    with caplog.at_level("INFO", logger="payi"):
        response = caller("limits.with_raw_response.list")

    assert (response.status_code, response.retries_taken) == (200, 1)
    assert time.monotonic() - started >= 1  # never earlier; how much later is the machine's affair, so the log is asked
    assert [message for message in caplog.messages if " again " in message] == [
        f"payi: GET {relay.last.path} again in 1.00 s (1 of 2)"
    ]


@over_http
def test_e13_a_retried_request_is_the_same_request_and_counts_once(caller: Caller, relay: Relay, place: Place) -> None:
    """The server did what it was asked, and something on the way said otherwise."""
    books = place.open()
    books.limits.create(limit_name="n", limit_id="a", max=1)
    books.use_cases.definitions.create(name="u", description="d")
    for call in (
        ("limits.reset", {"limit_id": "a"}),
        ("use_cases.create", {"use_case_name": "u"}),
        ("ingest.units", {**EVENT, "limit_ids": ["a"]}),
    ):
        relay.asked.clear()
        relay.instead.extend([Answer(503, NOW, heard=True), Answer(500, NOW, heard=True)])
        caller(call[0], **call[1])
        attempts = list(relay.asked)
        caller(call[0], **call[1])

        assert len(attempts) == 3
        [key] = {asked.headers["idempotency-key"] for asked in attempts}
        assert len({(asked.method, asked.target, asked.content) for asked in attempts}) == 1
        assert relay.last.headers["idempotency-key"] != key
    assert len(list(books.limits.history("a"))) == 2
    assert place.rows("SELECT count(*) AS runs FROM use_case_instances") == [{"runs": 2}]
    assert books.limits.retrieve("a").limit.totals.requests.total == 2


def test_e13_a_request_that_comes_again_is_answered_as_the_first_time(caller: Caller) -> None:
    caller("limits.create", limit_name="n", limit_id="a", max=1)
    key = {"Idempotency-Key": "e13"}
    first, again = (caller("limits.reset", "a", extra_headers=key) for _ in range(2))
    assert again == first
    assert caller("limits.reset", "a") != first

    assert len(caller.items(caller("limits.history", "a"))) == 2
    with pytest.raises(errors.BadRequestError, match="e13"):
        caller("limits.delete", "a", extra_headers=key)


@over_http
def test_e14_a_slow_server_is_a_timeout(caller: Caller, relay: Relay) -> None:
    relay.always = Answer()
    relay.open.clear()
    caller.use(caller.client.with_options(timeout=0.2, max_retries=0))
    with pytest.raises(errors.APITimeoutError) as caught:
        caller("limits.list")

    assert isinstance(caught.value, errors.APIConnectionError)
    assert type(caught.value.__cause__).__module__.partition(".")[0] == caller.library


@over_http
def test_e15_no_server_is_a_connection_error_with_its_cause(caller: Caller, place: Place) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and nobody listens
        caller.open(f"http://127.0.0.1:{taken.getsockname()[1]}", max_retries=0)
        with pytest.raises(errors.APIConnectionError) as caught:
            caller("limits.list")

    assert not isinstance(caught.value, errors.APITimeoutError)
    assert type(caught.value.__cause__).__name__ == "ConnectError"
    assert type(caught.value.__cause__).__module__.partition(".")[0] == caller.library


@pytest.mark.parametrize("kind", [Payi, AsyncPayi])
def test_e15_a_ledger_that_is_not_there_is_a_connection_error_with_its_cause(
    kind: type[Payi | AsyncPayi], tmp_path: Path
) -> None:
    for base_url, library in (
        (f"sqlite:///{tmp_path}", "sqlite3"),
        (f"sqlite:///{tmp_path}/no/folder/l.db", "sqlite3"),
        ("postgresql://nobody@127.0.0.1:1/x", "psycopg"),
        (postgres.server().get_uri(database="nowhere"), "psycopg"),
    ):
        with pytest.raises(errors.APIConnectionError, match="can't open the ledger") as caught:
            kind(base_url=base_url)
        assert type(caught.value.__cause__).__module__.partition(".")[0] == library


def test_e15_a_ledger_that_went_away_is_a_connection_error_with_its_cause() -> None:
    with closing(Payi(base_url=postgres.new_database("e15"))) as client:
        client.limits.list()
        postgres.drop_database("e15")
        with pytest.raises(errors.APIConnectionError) as caught:
            client.limits.list()
    assert type(caught.value.__cause__).__module__.partition(".")[0] in {"psycopg", "sqlalchemy"}


# --- clients, answers and errors -----------------------------------------------------------------------------------


def test_e16_a_copy_has_new_options_on_the_same_connections(caller: Caller, place: Place) -> None:
    where = place.address()
    first = caller.open(**where, max_retries=5, timeout=9, default_headers={"A": "1"}, default_query={"a": 1})
    second = first.with_options(max_retries=0, timeout=1, default_headers={"B": "2"}, set_default_query={"b": 2})

    assert (second.max_retries, second.timeout) == (0, 1)
    assert (second.default_headers, second.default_query) == ({"A": "1", "B": "2"}, {"b": 2})
    assert (first.max_retries, first.timeout, first.default_headers, first.default_query) == (
        5,
        9,
        {"A": "1"},
        {"a": 1},
    )
    assert (second.base_url, second.api_key, type(second)) == (first.base_url, first.api_key, type(first))
    third = second.copy(set_default_headers={}, default_query={"c": 3})
    assert (third.default_headers, third.default_query, third.max_retries) == ({}, {"b": 2, "c": 3}, 0)
    plain = first.copy(set_default_headers={}, set_default_query={})
    caller.use(plain)
    caller("limits.create", limit_name="n", limit_id="a", max=1)
    caller.use(first.copy(set_default_query={}))
    assert caller("limits.retrieve", "a").limit.limit_name == "n"
    assert first.is_closed() is second.is_closed() is False
    caller.wait(second.close)
    assert first.is_closed() is second.is_closed() is third.is_closed() is True


def test_e17_a_raw_response_shows_what_came_with_the_answer(caller: Caller, place: Place) -> None:
    response = caller("limits.with_raw_response.create", limit_name="n", max=1.5, limit_id="a")

    assert isinstance(response, AsyncAPIResponse if caller.awaited else APIResponse)
    assert (response.status_code, response.method, response.retries_taken) == (201, "POST", 0)
    assert str(response.url).endswith(f"{ROOT}/limits")
    for name in ("content-type", "Content-Type"):
        assert response.headers[name] == "application/json"
    answer = caller.wait(response.parse)
    assert isinstance(answer, LimitResponse)
    assert caller.wait(response.parse) is answer
    assert (answer.limit.limit_id, answer.limit.max) == ("a", 1.5)
    assert response.is_closed
    assert timedelta() < response.elapsed < timedelta(minutes=1)
    value = caller.wait(response.json)
    assert (value["limit"]["limit_id"], value["limit"]["max"]) == ("a", 1.5)
    assert '"limit_id":"a"' in caller.wait(response.text).replace(": ", ":")
    assert caller.wait(response.read).decode() == caller.wait(response.text)
    assert caller.wait(response.parse, to=dict[str, Any])["limit"]["max"] == 1.5
    assert "201" in repr(response)
    if place.is_served:
        assert response.http_request.method == "POST"
        assert response.http_response.status_code == 201
        assert response.http_version == "HTTP/1.1"
    else:
        assert (response.http_request, response.http_response, response.http_version) == (None, None, None)
    assert caller("limits.with_raw_response.create", limit_name="n", max=1.5, limit_id="a").status_code == 200
    caller.wait(response.close)


def test_e18_a_path_argument_that_is_empty_is_named(caller: Caller, relay: Relay | None) -> None:
    for name, argument in (
        ("limits.retrieve", "limit_id"),
        ("categories.delete", "category"),
        ("use_cases.definitions.retrieve", "use_case_name"),
        ("requests.request_id.result.retrieve", "request_id"),
    ):
        with pytest.raises(ValueError, match=f"^{argument}: "):
            caller(name, "")
    if relay is not None:
        assert relay.asked == []


# --- listings ------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("library")
def test_e19_a_page_knows_its_items_and_the_next_page(place: Place) -> None:
    client = place.open()
    fill(client)
    page = client.limits.list(limit=10, sort_ascending=True)
    assert ids(page.items) == NAMES[:10]
    assert page.has_next_page()
    info = page.next_page_info()
    assert info is not None
    assert (info.params, bool(info.url), bool(info.json)) == ({"cursor": page.cursor}, False, False)

    second = page.get_next_page()
    assert ids(second.items) == NAMES[10:20]
    third = second.get_next_page()
    assert ids(third.items) == NAMES[20:]
    assert (third.has_next_page(), third.next_page_info(), third.cursor) == (False, None, None)
    with pytest.raises(errors.PayiError, match="last page"):
        third.get_next_page()
    assert [len(each.items) for each in page.iter_pages()] == [10, 10, 5]
    newest = client.limits.list(limit=10)
    for _ in range(2):
        assert ids(page) == NAMES
        assert ids(newest) == NAMES[::-1]
    assert ids(newest.items) == NAMES[:14:-1]


async def test_e20_an_async_listing_is_awaited_or_iterated(place: Place, library: str) -> None:
    fill(place.open())
    async with AsyncPayi(**place.address()) as client:
        listing = client.limits.list(limit=10, sort_ascending=True)
        for _ in range(2):
            assert [limit.limit_id async for limit in listing] == NAMES
        page = await listing
        assert ids(page.items) == NAMES[:10]
        assert page.has_next_page()
        for _ in range(2):
            assert [limit.limit_id async for limit in page] == NAMES
        second = await page.get_next_page()
        assert ids(second.items) == NAMES[10:20]
        assert [len(each.items) async for each in page.iter_pages()] == [10, 10, 5]
        last = await second.get_next_page()
        with pytest.raises(errors.PayiError, match="last page"):
            await last.get_next_page()


def test_e21_the_last_page_has_no_cursor(caller: Caller) -> None:
    for name in NAMES[:3]:
        caller("limits.create", limit_name=name, limit_id=name, max=1)
    shown = [
        caller.wait(caller("limits.with_raw_response.list", limit=size, sort_ascending=True).json) for size in (2, 3, 4)
    ]

    assert [bool(page.get("cursor")) for page in shown] == [True, False, False]
    assert all("has_more" not in page for page in shown)
    assert [limit["limit_id"] for limit in shown[1]["items"]] == NAMES[:3]


@pytest.mark.usefixtures("library")
def test_e22_rows_that_come_and_go_repeat_nothing_and_hide_nothing(place: Place) -> None:
    client = place.open()
    fill(client)
    for ascending in (True, False):
        seen: list[str] = []
        for number, limit in enumerate(client.limits.list(limit=3, sort_ascending=ascending)):
            seen.append(limit.limit_id)
            if number < 20:
                client.limits.create(limit_name=f"new-{ascending}-{number}", max=1)
            if limit.limit_id in NAMES[5:8]:
                client.limits.update(limit.limit_id, limit_name=f"renamed {limit.limit_id} {ascending}")
        assert len(seen) == len(set(seen))
        assert set(NAMES) <= set(seen)


def test_e23_a_cursor_belongs_to_its_listing(caller: Caller) -> None:
    for name in NAMES[:3]:
        caller("limits.create", limit_name=name, limit_id=name, max=1)
    cursor = caller("limits.list", limit=1).cursor
    for size in (1, 5, 100):
        assert caller("limits.list", cursor=cursor, limit=size).items[0].limit_id == NAMES[1]
    for name, other in (
        ("limits.list", {"limit_name": NAMES[0]}),
        ("limits.list", {"sort_ascending": True}),
        ("categories.list", {}),
    ):
        with pytest.raises(errors.BadRequestError) as caught:
            caller(name, cursor=cursor, **other)
        assert caught.value.code == "invalid_cursor"


def test_e24_a_page_holds_1_to_1000(caller: Caller) -> None:
    for name in ("limits.list", "categories.list", "use_cases.definitions.list"):
        for size in (0, 1001, -1):
            with pytest.raises(errors.BadRequestError) as caught:
                caller(name, limit=size)
            assert caught.value.code == "request_processing_error"
        for size in (1, 1000):
            caller(name, limit=size)


# --- as it is spelled ----------------------------------------------------------------------------------------------


def test_e25_active_is_spelled_with_a_capital(caller: Caller, relay: Relay | None) -> None:
    caller("categories.resources.create", "r", category="c", units=PRICE)
    caller("categories.delete", "c")
    for active in (True, False):
        listed = ids_of_own(caller.items(caller("categories.list", active=active)))
        assert listed == ([] if active else ["c"])
        if relay is not None:
            assert relay.last.query == {"Active": ["true" if active else "false"]}
    caller("categories.list")
    if relay is not None:
        assert relay.last.query == {}
    by_hand = caller("get", f"{ROOT}/categories?Active=false", cast_to=dict[str, Any])
    assert [item["category"] for item in by_hand["items"]] == ["c"]


def ids_of_own(categories: Any) -> list[str]:
    return [item.category for item in categories if not item.category.startswith("system.")]


def test_e26_the_reset_date_is_spelled_in_camel_case(caller: Caller, relay: Relay | None) -> None:
    caller("limits.create", limit_name="n", limit_id="a", max=1)
    for given in (datetime, str):
        moment = datetime.now(UTC)
        history = caller("limits.reset", "a", reset_date=moment if given is datetime else moment.isoformat())
        assert history.limit_history.limit_reset_timestamp == moment
        if relay is not None:
            assert relay.last.query == {"resetDate": [moment.isoformat()]}
    text = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%fZ}"
    by_hand = caller("post", f"{ROOT}/limits/a/reset?resetDate={text}", cast_to=dict[str, Any])
    closed = by_hand["limit_history"]["limit_reset_timestamp"]
    assert datetime.fromisoformat(closed) == datetime.fromisoformat(text)


def test_e27_an_error_shows_what_was_answered(caller: Caller) -> None:
    with pytest.raises(errors.NotFoundError) as caught:
        caller("limits.retrieve", "a")

    error = caught.value
    body: Any = error.body
    response: Any = error.response
    assert (error.status_code, error.code) == (404, "limit_not_found")
    assert body["xproxy_error"]["code"] == "limit_not_found"
    assert (response.status_code, response.headers["content-type"]) == (404, "application/json")
    assert "404" in str(error)


def test_e28_a_resource_may_be_named_as_it_likes(caller: Caller, relay: Relay | None) -> None:
    name = "a/b c:1"
    for category in ("demo", "x/y z"):
        made = caller("categories.resources.create", name, category=category, units=PRICE)
        assert (made.category, made.resource) == (category, name)
        event: dict[str, Any] = {"category": category, "resource": name, "units": {"text": {"input": 2}}}
        assert caller("ingest.units", **event).xproxy_result.cost.total.base == 0.5
        listed = caller.items(caller("categories.list_resources", category=category))
        assert [resource.resource for resource in listed] == [name]
        versions = caller.items(caller("categories.resources.list", name, category=category))
        assert [version.resource_id for version in versions] == [made.resource_id]
        deleted = caller("categories.delete_resource", name, category=category)
        assert [version.resource_id for version in deleted] == [made.resource_id]
    if relay is not None:
        assert f"POST {ROOT}/categories/demo/resources/a%2Fb%20c%3A1" in relay.paths
        assert f"DELETE {ROOT}/categories/x%2Fy%20z/resources/a%2Fb%20c%3A1" in relay.paths


# --- processes -----------------------------------------------------------------------------------------------------

USER = """
import sys
from payi_instrument import Payi
name, others = sys.argv[1:]
with Payi() as client:
    def turn(said):
        print(said, flush=True)
        sys.stdin.readline()
    turn("ready")
    for limit_id in (name, "shared"):
        client.limits.create(limit_name=limit_id, limit_id=limit_id, max=100)
    for number in range(25):
        event = {"category": "c", "units": {}, "limit_ids": [name, "shared"], "event_id": f"{name}-{number}"}
        assert not client.ingest.units(**event).xproxy_result.duplicate_request
    turn("done")
    assert client.ingest.units(category="c", units={}, event_id=f"{others}-0").xproxy_result.duplicate_request
    print({limit.limit_id: limit.totals.requests.total for limit in client.limits.list()})
"""


def test_e29_two_processes_see_the_same_data(place: Place) -> None:
    def start(name: str, others: str) -> subprocess.Popen[str]:
        where = place.address()
        settings = {"PAYI_BASE_URL": where["base_url"], "PAYI_API_KEY": where.get("api_key", "")}
        return subprocess.Popen(
            [sys.executable, "-W", "error", "-c", USER, name, others],
            env={**os.environ, **settings},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    with ExitStack() as started:
        users = [started.enter_context(start(*names)) for names in (("one", "two"), ("two", "one"))]
        for user in users:
            started.callback(user.kill)
        for said in ("ready\n", "done\n"):
            for user in users:
                assert user.stdout is not None
                assert user.stdout.readline() == said, user.communicate()[1]
            for user in users:
                assert user.stdin is not None
                user.stdin.write("go\n")
                user.stdin.flush()
        answers = [user.communicate(timeout=60) for user in users]

    assert [complaint for _, complaint in answers] == ["", ""]
    expected = {"one": 25, "two": 25, "shared": 50}
    assert [eval(seen) for seen, _ in answers] == [expected, expected]
    totals = {limit.limit_id: limit.totals.requests.total for limit in place.open().limits.list()}
    assert totals == expected
