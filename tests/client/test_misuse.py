"""The client called wrong: each mistake is named, before anything is sent, on the network and in process alike."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
from loopback_meter import Answer, LoopbackMeter

from payi_instrument import APIConnectionError, Payi, PayiError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from calling import Caller

USAGE: dict[str, Any] = {"category": "c", "units": {"text": {"input": 1}}}


@pytest.fixture(params=["http", "embedded"])
def url(request: pytest.FixtureRequest, server: LoopbackMeter) -> str:
    return server.url if request.param == "http" else "sqlite://"


@pytest.mark.parametrize(
    ("name", "arguments", "keyword"),
    [
        ("limits.create", {"limit_name": "n", "max": 1, "limit_typ": "block"}, "limit_typ"),
        ("limits.list", {"name": "n"}, "name"),
        ("ingest.units", {**USAGE, "limit_id": ["a"]}, "limit_id"),
        ("ingest.bulk", {"events": [], "extra_header": {}}, "extra_header"),
        ("categories.resources.list", {"resource": "r", "category": "c", "activ": True}, "activ"),
        ("use_cases.create", {"use_case_name": "u", "id": "i"}, "id"),
    ],
)
def test_a_keyword_that_nothing_takes_is_refused(
    caller: Caller, url: str, server: LoopbackMeter, *, name: str, arguments: dict[str, Any], keyword: str
) -> None:
    caller.open(url)
    with pytest.raises(TypeError, match=re.escape(f"{name}() got an unexpected keyword argument '{keyword}'")):
        caller(name, **arguments)
    assert server.asked == []


def test_python_names_the_method_in_what_it_says_of_arguments(caller: Caller) -> None:
    caller.open("sqlite://")
    with pytest.raises(TypeError, match=r"^Limits\.create\(\)"):
        caller("limits.create", "n")


WRONG: list[tuple[str, dict[str, Any], str]] = [
    ("ingest.units", {**USAGE, "disable_logging": 1}, "disable_logging: 1 is a int, expected bool"),
    ("ingest.units", {**USAGE, "disable_logging": "no"}, "disable_logging: 'no'"),
    ("ingest.units", {**USAGE, "user_id": 0}, "user_id: 0 is a int, expected str"),
    ("ingest.units", {**USAGE, "use_case_name": False}, "use_case_name: False"),
    ("ingest.units", {**USAGE, "event_id": 0}, "event_id: 0"),
    ("ingest.units", {**USAGE, "use_case_version": 1.5}, "use_case_version: 1.5"),
    ("ingest.units", {**USAGE, "properties": "a"}, "properties: 'a'"),
    ("ingest.units", {**USAGE, "use_case_properties": ["a"]}, "use_case_properties: "),
    ("ingest.units", {**USAGE, "provider_request_headers": "a"}, "provider_request_headers: 'a'"),
    ("ingest.units", {**USAGE, "category": b"c"}, "body.category: b'c' is a bytes"),
    ("ingest.units", {**USAGE, "units": {"text": {1, 2}}}, "body.units.text: "),
    ("ingest.bulk", {"events": None}, "events: None"),
    ("ingest.bulk", {"events": [{"units": object}]}, r"body\[0\].units: "),
    ("limits.create", {"limit_name": b"x", "max": 1}, "body.limit_name: b'x'"),
    ("limits.create", {"limit_name": "x", "max": 1, "properties": {"a": b"x"}}, "body.properties.a: "),
    ("limits.list", {"properties": "a"}, "properties: 'a'"),
    ("limits.list", {"properties": {1: "b"}}, "properties: 1: 'b'"),
    ("limits.list", {"properties": {"a": None}}, "properties: 'a': None"),
    ("limits.list", {"limit": object()}, "limit: <object"),
    ("limits.list", {"extra_headers": 5}, "extra_headers: 5"),
    ("limits.list", {"extra_query": 5}, "extra_query: 5"),
    ("limits.update", {"limit_id": "a", "extra_body": 5}, "extra_body: 5"),
    ("get", {"path": 5, "cast_to": object}, "path: 5"),
    ("get", {"path": "/x", "cast_to": object, "options": "x"}, "options: 'x'"),
    ("get", {"path": "/x", "cast_to": object, "options": {"nope": 1}}, "unexpected keyword argument 'nope'"),
    ("get", {"path": "/x", "cast_to": object, "options": {"headers": 5}}, r"options\['headers'\]: 5"),
    ("get", {"path": "/x", "cast_to": object, "options": {"max_retries": "x"}}, "max_retries: 'x'"),
    ("get", {"path": "/x", "cast_to": 5}, "cast_to: no answer can be read as 5"),
]


@pytest.mark.parametrize(("name", "arguments", "message"), WRONG, ids=[f"{name}-{text}" for name, _, text in WRONG])
def test_a_value_of_the_wrong_kind_is_named(
    caller: Caller, url: str, server: LoopbackMeter, *, name: str, arguments: dict[str, Any], message: str
) -> None:
    caller.open(url)
    with pytest.raises(TypeError, match=message):
        caller(name, **arguments)
    assert [asked.path for asked in server.asked if not asked.path.endswith("/capabilities")] == []


@pytest.mark.parametrize("timeout", [float("nan"), -1, 1e10, 10**400])
def test_a_timeout_that_no_thread_can_wait_is_refused(caller: Caller, server: LoopbackMeter, timeout: float) -> None:
    with pytest.raises(ValueError, match="timeout: "):
        caller.open(server.url, timeout=timeout)
    caller.open(server.url)
    with pytest.raises(ValueError, match="timeout: "):
        caller("limits.list", timeout=timeout)
    assert server.asked == []
    assert caller("limits.list", timeout=float("inf")).items == []


@pytest.mark.parametrize("key", [5, b"k"])
def test_a_key_that_is_no_text_is_refused_without_being_shown(caller: Caller, server: LoopbackMeter, key: Any) -> None:
    with pytest.raises(TypeError, match=rf"^api_key: it is a {type(key).__name__}, expected str$"):
        caller.open(server.url, api_key=key)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"default_headers": 5}, "default_headers: 5"),
        ({"default_headers": ["a"]}, "default_headers: "),
        ({"default_query": "a=b"}, "default_query: 'a=b'"),
    ],
)
def test_defaults_that_are_no_mapping_are_refused(
    caller: Caller, url: str, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(TypeError, match=message):
        caller.open(url, **options)
    with pytest.raises(TypeError, match=message):
        caller.open(url).copy(**options)


@pytest.mark.parametrize(
    "url", ["sqlite", "sqlite:", "postgresql", "sqlite:/x.db", "http://x:0", "http://x:-1", "http://x "]
)
def test_a_url_that_names_no_meter_opens_none(caller: Caller, url: str) -> None:
    with pytest.raises(ValueError, match="base_url: "):
        caller.open(url)


@pytest.mark.parametrize("value", [5, "sqlite", "ftp://x"])
def test_a_copy_goes_nowhere_else_than_a_client_would(caller: Caller, server: LoopbackMeter, value: Any) -> None:
    client = caller.open(server.url)
    with pytest.raises(ValueError, match="base_url: "):
        client.copy(base_url=value)


def test_a_header_without_a_name_in_the_environment_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAYI_CUSTOM_HEADERS", "X-A: 1\n: x")
    with pytest.raises(ValueError, match="PAYI_CUSTOM_HEADERS: ': x'"):
        Payi(base_url="sqlite://")


def test_pieces_of_a_body_are_of_one_byte_or_more(caller: Caller, url: str) -> None:
    caller.open(url)
    response = caller("limits.with_raw_response.list")
    for pieces in (response.iter_bytes, response.iter_text):
        with pytest.raises(ValueError, match="chunk_size: 0"):
            caller.items(pieces(0))


def nested() -> Any:
    inner: Any = []
    for _ in range(100_000):
        inner = [inner]
    return inner


def test_a_body_that_is_nested_without_end_is_refused(caller: Caller, url: str) -> None:
    caller.open(url)
    with pytest.raises(ValueError, match="nested too deep"):
        caller("limits.create", limit_name=nested(), max=1)


def test_a_generator_of_headers_and_calls_is_sent_as_a_list(caller: Caller, url: str) -> None:
    def each() -> Iterator[dict[str, str]]:
        yield {"name": "a"}

    caller.open(url)
    parts: dict[str, Any] = {
        name: each()
        for name in ("provider_request_headers", "provider_response_headers", "provider_response_function_calls")
    }
    assert caller("ingest.units", **USAGE, **parts).request_id
    events = [{**USAGE, "provider_request_headers": each(), "use_case_properties": {"seats": 3}, "use_case_name": "u"}]
    assert caller("ingest.bulk", events=events).ingest_count == 1


def test_values_of_properties_are_sent_as_text(caller: Caller, server: LoopbackMeter) -> None:
    caller.open(server.url)
    caller("ingest.units", **USAGE, use_case_name="u", properties={"n": 1}, use_case_properties={"seats": 3, "x": None})
    assert server.last.json["properties"] == {"n": "1"}
    assert server.last.json["use_case_properties"] == {"seats": "3", "x": None}


def test_the_members_of_a_mapping_are_parameters_of_their_own(caller: Caller, server: LoopbackMeter) -> None:
    caller.open(server.url)
    server.always = Answer(200, content=b'{"items": []}')
    caller("limits.list", extra_query={"d": {"x": 1, "y": {"z": True}}})
    assert server.last.query == {"d[x]": ["1"], "d[y][z]": ["true"]}


def test_a_header_that_is_none_is_not_sent_whoever_set_it(caller: Caller, url: str, server: LoopbackMeter) -> None:
    caller.open(url, default_headers={"xProxy-User-ID": "u", "X-D": "1"})
    result = caller("ingest.units", **USAGE, extra_headers={"xproxy-user-id": None, "X-D": None}).xproxy_result
    assert result.user_id is None
    assert caller("ingest.units", **USAGE).xproxy_result.user_id == "u"
    if server.asked:
        assert [("x-d" in asked.headers) for asked in server.asked] == [False, True]


def test_options_that_are_set_hold_from_the_next_request_on(caller: Caller, server: LoopbackMeter) -> None:
    client = caller.open("http://127.0.0.1:1/", max_retries=5)
    limits = client.limits  # found before
    client.base_url, client.api_key, client.max_retries, client.timeout = server.url, "other", 0, 3.0

    assert caller.wait(limits.list).items == []
    assert server.last.headers["xproxy-api-key"] == "other"
    assert (client.base_url, client.api_key, client.timeout) == (server.url + "/", "other", 3.0)
    server.always = Answer(500)
    with pytest.raises(PayiError):
        caller.wait(limits.list)
    assert len(server.asked) == 2
    with pytest.raises(TypeError, match="max_retries"):
        client.max_retries = "x"
    with pytest.raises(ValueError, match="another ledger"):
        client.base_url = "sqlite://"
    with pytest.raises(APIConnectionError):
        caller.wait(client.copy(base_url="http://127.0.0.1:1").limits.list)
