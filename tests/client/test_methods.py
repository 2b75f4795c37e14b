"""Every method on the wire: method, path, query and body, sync and async. Row E-18."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, get_origin

import pytest
from calling import Caller
from loopback_meter import Answer, LoopbackMeter

from payi_instrument import AsyncPayi, Payi
from payi_instrument.client.method import Resource, _Method
from payi_instrument.wire.operations import CAPABILITIES, CREATE_HOLD, OPERATIONS, RELEASE_HOLD, RENEW_HOLD

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = "/api/v1"
NAME = "a/b c:1"
SEGMENT = "a%2Fb%20c%3A1"
RUN = {"use_case_name": "u", "use_case_id": "i"}
PAGING = {"cursor": "c", "limit": 5, "sort_ascending": False}
PAGED = {"cursor": ["c"], "limit": ["5"], "sort_ascending": ["false"]}
PROPERTIES: dict[str, Any] = {"properties": {"a": "1", "b": None}}
RESOURCE = f"{ROOT}/categories/{SEGMENT}/resources/m"
OF_RESOURCE = {"category": NAME, "resource": "m"}
DEFINITION = f"{ROOT}/use_cases/definitions/u"
INSTANCE = f"{ROOT}/use_cases/instances/u/i"

METHODS: list[tuple[str, dict[str, Any], str, dict[str, list[str]], Any]] = [
    ("limits.retrieve", {"limit_id": NAME}, f"GET {ROOT}/limits/{SEGMENT}", {}, None),
    ("limits.delete", {"limit_id": "a"}, f"DELETE {ROOT}/limits/a", {}, None),
    ("limits.update", {"limit_id": "a", "max": 2}, f"PUT {ROOT}/limits/a", {}, {"max": 2}),
    (
        "limits.list",
        {**PAGING, "limit_name": "n"},
        f"GET {ROOT}/limits",
        {**PAGED, "limit_name": ["n"]},
        None,
    ),
    (
        "limits.list",
        {"properties": {"team": "x", "stage": "a:b"}},
        f"GET {ROOT}/limits",
        {"property": ["team:x", "stage:a:b"]},
        None,
    ),
    ("limits.reset", {"limit_id": "a"}, f"POST {ROOT}/limits/a/reset", {}, None),
    ("limits.history", {"limit_id": "a", **PAGING}, f"GET {ROOT}/limits/a/history", PAGED, None),
    ("limits.properties.update", {"limit_id": "a", **PROPERTIES}, f"PUT {ROOT}/limits/a/properties", {}, PROPERTIES),
    ("ingest.bulk_upsert", {"events": [{"scope": "x"}]}, f"POST {ROOT}/ingest/bulk-upsert", {}, [{"scope": "x"}]),
    (
        "categories.list",
        {"active": True, **PAGING},
        f"GET {ROOT}/categories",
        {"Active": ["true"], **PAGED},
        None,
    ),
    (
        "categories.list_resources",
        {"category": NAME, "active": False, **PAGING},
        f"GET {ROOT}/categories/{SEGMENT}/resources",
        {"Active": ["false"], **PAGED},
        None,
    ),
    ("categories.delete", {"category": NAME}, f"DELETE {ROOT}/categories/{SEGMENT}", {}, None),
    ("categories.delete_resource", OF_RESOURCE, f"DELETE {RESOURCE}", {}, None),
    (
        "categories.resources.create",
        {**OF_RESOURCE, "units": {}, "max_input_units": None},
        f"POST {RESOURCE}",
        {},
        {"units": {}, "max_input_units": None},
    ),
    ("categories.resources.retrieve", {**OF_RESOURCE, "resource_id": "v"}, f"GET {RESOURCE}/v", {}, None),
    ("categories.resources.delete", {**OF_RESOURCE, "resource_id": "v"}, f"DELETE {RESOURCE}/v", {}, None),
    (
        "categories.resources.list",
        {**OF_RESOURCE, "active": True, **PAGING},
        f"GET {RESOURCE}",
        {"Active": ["true"], **PAGED},
        None,
    ),
    ("use_cases.create", {"use_case_name": "u"}, f"POST {ROOT}/use_cases/instances/u", {}, None),
    ("use_cases.retrieve", RUN, f"GET {INSTANCE}", {}, None),
    ("use_cases.delete", RUN, f"DELETE {INSTANCE}", {}, None),
    ("use_cases.properties.update", {**RUN, **PROPERTIES}, f"PUT {INSTANCE}/properties", {}, PROPERTIES),
    ("use_cases.kpis.update", {**RUN, "kpi_name": "k", "score": None}, f"PUT {INSTANCE}/kpis/k", {}, {"score": None}),
    ("use_cases.kpis.update", {**RUN, "kpi_name": "k"}, f"PUT {INSTANCE}/kpis/k", {}, {}),
    (
        "use_cases.kpis.list",
        {**RUN, "kpi_name": "k", **PAGING},
        f"GET {INSTANCE}/kpis",
        {"kpi_name": ["k"], **PAGED},
        None,
    ),
    (
        "use_cases.definitions.create",
        {"name": "u", "description": "d", "limit_config": {"max": 1}, "logging_enabled": True},
        f"POST {ROOT}/use_cases/definitions",
        {},
        {"name": "u", "description": "d", "limit_config": {"max": 1}, "logging_enabled": True},
    ),
    ("use_cases.definitions.retrieve", {"use_case_name": "u"}, f"GET {DEFINITION}", {}, None),
    (
        "use_cases.definitions.update",
        {"use_case_name": "u", "description": "d"},
        f"PUT {DEFINITION}",
        {},
        {"description": "d"},
    ),
    (
        "use_cases.definitions.list",
        {"use_case_name": "u", **PAGING},
        f"GET {ROOT}/use_cases/definitions",
        {"use_case_name": ["u"], **PAGED},
        None,
    ),
    ("use_cases.definitions.delete", {"use_case_name": "u"}, f"DELETE {DEFINITION}", {}, None),
    (
        "use_cases.definitions.version.increment",
        {"use_case_name": "u"},
        f"POST {DEFINITION}/increment_version",
        {},
        None,
    ),
    (
        "use_cases.definitions.limit_config.create",
        {"use_case_name": "u", "max": 5, "limit_type": "block", "threshold": 0.75, **PROPERTIES},
        f"POST {DEFINITION}/limit_config",
        {},
        {"max": 5, "limit_type": "block", "threshold": 0.75, **PROPERTIES},
    ),
    (
        "use_cases.definitions.limit_config.delete",
        {"use_case_name": "u"},
        f"DELETE {DEFINITION}/limit_config",
        {},
        None,
    ),
    (
        "use_cases.definitions.kpis.create",
        {"use_case_name": "u", "name": "k", "description": "d", "kpi_type": "number", "goal": 3},
        f"POST {DEFINITION}/kpis",
        {},
        {"name": "k", "description": "d", "kpi_type": "number", "goal": 3},
    ),
    (
        "use_cases.definitions.kpis.retrieve",
        {"use_case_name": "u", "kpi_name": "k"},
        f"GET {DEFINITION}/kpis/k",
        {},
        None,
    ),
    (
        "use_cases.definitions.kpis.update",
        {"use_case_name": "u", "kpi_name": "k", "goal": None},
        f"PUT {DEFINITION}/kpis/k",
        {},
        {"goal": None},
    ),
    (
        "use_cases.definitions.kpis.list",
        {"use_case_name": "u", "kpi_name": "k", **PAGING},
        f"GET {DEFINITION}/kpis",
        {"kpi_name": ["k"], **PAGED},
        None,
    ),
    (
        "use_cases.definitions.kpis.delete",
        {"use_case_name": "u", "kpi_name": "k"},
        f"DELETE {DEFINITION}/kpis/k",
        {},
        None,
    ),
    ("requests.request_id.result.retrieve", {"request_id": "r"}, f"GET {ROOT}/requests/r/result", {}, None),
    (
        "requests.request_id.properties.update",
        {"request_id": "r", **PROPERTIES},
        f"PUT {ROOT}/requests/r/properties",
        {},
        PROPERTIES,
    ),
    (
        "requests.response_id.result.retrieve",
        {"provider_response_id": "p", "category": NAME},
        f"GET {ROOT}/requests/provider/{SEGMENT}/p/result",
        {},
        None,
    ),
    (
        "requests.response_id.properties.update",
        {"provider_response_id": "p", "category": NAME, **PROPERTIES},
        f"PUT {ROOT}/requests/provider/{SEGMENT}/p/properties",
        {},
        PROPERTIES,
    ),
]
ELSEWHERE = {"ingest.units", "ingest.bulk", "limits.create"}
"""Methods whose requests other tests look at: test_ingest.py, test_transport.py."""


@pytest.fixture
def listening(server: LoopbackMeter) -> LoopbackMeter:
    """A server that takes everything and answers nothing but `{}`."""
    server.always = Answer(200)
    return server


@pytest.mark.parametrize(("name", "arguments", "line", "query", "body"), METHODS, ids=[row[0] for row in METHODS])
def test_a_method_sends_its_operation(
    caller: Caller,
    listening: LoopbackMeter,
    *,
    name: str,
    arguments: dict[str, Any],
    line: str,
    query: dict[str, list[str]],
    body: Any,
) -> None:
    answer = next(operation.answer for operation in OPERATIONS if operation.name == name)
    listening.always = Answer(200, content=b"[]" if get_origin(answer) is list else b"{}")
    caller.open(listening.url)
    caller(f"{name.rpartition('.')[0]}.with_raw_response.{name.rpartition('.')[2]}", **arguments)

    sent = listening.last
    assert (f"{sent.method} {sent.path}", sent.query) == (line, query)
    assert (sent.json if sent.content else None) == body


def test_every_operation_has_its_method() -> None:
    later = {CAPABILITIES.name, CREATE_HOLD.name, RENEW_HOLD.name, RELEASE_HOLD.name}
    expected = {operation.name for operation in OPERATIONS} - later
    assert {row[0] for row in METHODS} | ELSEWHERE == expected
    with Payi(base_url="sqlite://") as client:
        found = dict(methods(client))
    assert found.keys() == expected | {"ingest.replay_file"}


def methods(group: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name in dir(type(group)):
        if name.startswith(("_", "with_")) or name == "transport":
            continue
        if isinstance(inspect.getattr_static(type(group), name), _Method):
            yield prefix + name, getattr(group, name)
        elif isinstance(part := getattr(group, name), Resource):
            yield from methods(part, f"{prefix}{name}.")


async def test_sync_and_async_methods_are_the_same_ones() -> None:
    with Payi(base_url="sqlite://") as client:
        async with AsyncPayi(base_url="sqlite://") as awaited:
            twins = dict(methods(awaited))
            for name, method in methods(client):
                assert inspect.signature(method).parameters == inspect.signature(twins[name]).parameters
                assert method.__doc__ == twins[name].__doc__
                first, _, rest = method.__doc__.partition(" ")
                assert first[0].isupper(), name
                assert rest


def test_path_arguments_are_given_by_position_or_by_name(caller: Caller, listening: LoopbackMeter) -> None:
    caller.open(listening.url)
    caller("categories.resources.with_raw_response.retrieve", "v", category="c", resource="r")
    caller("categories.resources.with_raw_response.retrieve", resource_id="v", category="c", resource="r")
    assert len(set(listening.paths)) == 1
    with pytest.raises(TypeError):
        caller("categories.delete_resource", "r", "c")


EMPTY = [
    (name, argument, arguments)
    for name, arguments, line, _, _ in METHODS
    for argument in (
        "limit_id",
        "category",
        "resource",
        "resource_id",
        "request_id",
        "provider_response_id",
        "kpi_name",
    )
    if argument in arguments and argument not in {"kpi_name"} | (set() if line.count("/") > 3 else {"category"})
]


@pytest.mark.parametrize("bad", ["", ".", "..", None, 7])
def test_e18_a_path_argument_that_is_empty_is_named(caller: Caller, server: LoopbackMeter, bad: Any) -> None:
    caller.open(server.url)
    with pytest.raises(ValueError, match="limit_id: "):
        caller("limits.retrieve", bad)
    for name, argument, arguments in EMPTY:
        with pytest.raises(ValueError, match=f"{argument}: .* can't be part of a path, expected a str that is not"):
            caller(name, **{**arguments, argument: bad})
    assert server.asked == []


@pytest.fixture(params=["http", "embedded"])
def url(request: pytest.FixtureRequest, server: LoopbackMeter) -> str:
    return server.url if request.param == "http" else "sqlite://"


def test_a_page_of_items_that_do_not_fit_is_taken_as_it_came(caller: Caller, server: LoopbackMeter) -> None:
    server.always = Answer(200, content=b'{"items": [{"limit_id": "a", "max": "x"}, {"category": 5}]}')
    caller.open(server.url)
    items = caller.items(caller("limits.list"))
    assert [(limit.limit_id, limit.limit_name) for limit in items] == [("a", None), (None, None)]
    assert caller.items(caller("categories.list"))[1].category == 5


def test_a_limits_year(caller: Caller, url: str) -> None:
    """Reset, history and properties as one story: rows L-34 and L-35 from the client's side."""
    caller.open(url)
    caller("limits.create", limit_name="n", limit_id="a", max=10)
    [answer] = caller("limits.properties.update", "a", properties={"team": "x"})
    assert answer.limit.properties == {"team": "x"}
    closed = caller("limits.reset", "a")
    assert (closed.limit_history.limit_id, closed.limit_history.totals.requests.total) == ("a", 0)
    assert [period.limit_id for period in caller.items(caller("limits.history", "a"))] == ["a"]


def test_limits_are_found_by_their_properties(caller: Caller, url: str) -> None:
    caller.open(url)
    for name, properties in (("a", {"team": "x", "stage": "a:b"}), ("b", {"team": "x"}), ("c", {"team": "y"})):
        caller("limits.create", limit_name=name, limit_id=name, max=1, properties=properties)
    for wanted, found in (({"team": "x"}, "ab"), ({"team": "x", "stage": "a:b"}, "a"), ({}, "abc"), ({"n": ""}, "")):
        listed = caller.items(caller("limits.list", properties=wanted, limit=1, sort_ascending=True))
        assert [limit.limit_id for limit in listed] == list(found)
    with pytest.raises(ValueError, match="properties: the key 'a:b' holds a colon"):
        caller("limits.list", properties={"a:b": "c"})


def test_the_name_of_a_use_case_is_given_as_the_official_client_takes_it(caller: Caller, url: str) -> None:
    caller.open(url)
    caller("use_cases.definitions.create", name="u", description="d")
    for name in ("retrieve", "update", "delete"):
        assert caller(f"use_cases.definitions.{name}", use_case_name="u").name == "u"


def test_a_use_cases_year(caller: Caller, url: str) -> None:
    """Definitions, runs, KPIs and stored requests, each as the client shows it: group U from the client's side."""
    caller.open(url)
    made = caller("use_cases.definitions.create", name="chat", description="d", limit_config={"max": 5})
    assert (made.name, made.type_version, made.limit_config.max) == ("chat", 1, 5)
    assert caller("use_cases.definitions.version.increment", "chat").type_version == 2
    assert caller("use_cases.definitions.update", "chat", description="e").description == "e"
    assert [each.name for each in caller.items(caller("use_cases.definitions.list"))] == ["chat"]
    kpi = {"name": "likes", "description": "d", "kpi_type": "number", "goal": 3}
    assert caller("use_cases.definitions.kpis.create", "chat", **kpi).goal == 3
    run = caller("use_cases.create", "chat")
    where = {"use_case_name": "chat", "use_case_id": run.use_case_id}
    assert caller("use_cases.kpis.update", "likes", **where, score=2) is None
    assert [score.score for score in caller.items(caller("use_cases.kpis.list", **where))] == [2]
    assert caller("use_cases.properties.update", **where, properties={"a": "1"}).use_case_id == run.use_case_id
    event: dict[str, Any] = {"category": "c", "units": {}, "provider_response_id": "p", **where}
    request_id = caller("ingest.units", **event).request_id
    found = caller("requests.response_id.result.retrieve", "p", category="c")
    assert found.xproxy_result.request_id == request_id
    assert caller("requests.request_id.properties.update", request_id, properties={"b": "2"}).request_id
    assert caller("use_cases.delete", **where).use_case_id == run.use_case_id
    assert caller("use_cases.definitions.delete", "chat").name == "chat"
