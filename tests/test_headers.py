"""Headers that override the scope for one call: making them, and how they win (semantics 4.3 and 10)."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from offline_openai import Offline

from payi_instrument import PayiHeaderNames, PayiResourceScopes, create_headers, create_limit_header_from_ids
from payi_instrument.context import override
from payi_instrument.event import Attribution

if TYPE_CHECKING:
    from payi_instrument.testing import MemoryMeter


def test_create_headers_holds_only_what_was_given() -> None:
    assert create_headers() == {}
    assert create_headers(
        limit_ids=["a", " b ", ""],
        user_id="u",
        use_case_version=3,
        request_properties={"k": "v", "gone": None},
        log_prompt_and_response=False,
    ) == {
        "xProxy-Limit-IDs": "a,b",
        "xProxy-User-ID": "u",
        "xProxy-UseCase-Version": "3",
        "xProxy-Request-Properties": '{"k":"v","gone":null}',
        "xProxy-Logging-Disable": "True",
    }
    assert create_headers(log_prompt_and_response=True) == {}


def test_create_headers_names_every_argument() -> None:
    arguments: dict[str, Any] = {
        "limit_ids": ["l"],
        "user_id": "user",
        "account_name": "account",
        "use_case_id": "run",
        "use_case_name": "case",
        "use_case_version": 0,
        "use_case_step": "step",
        "use_case_properties": {"a": "1", "b": None},
        "request_properties": {"c": "ä"},
        "price_as_category": "system.openai",
        "price_as_resource": "gpt-4o",
        "resource_scope": "region.eu",
        "log_prompt_and_response": False,
    }
    headers = {
        "limit_ids": ("xProxy-Limit-IDs", "l"),
        "user_id": ("xProxy-User-ID", "user"),
        "account_name": ("xProxy-Account-Name", "account"),
        "use_case_id": ("xProxy-UseCase-ID", "run"),
        "use_case_name": ("xProxy-UseCase-Name", "case"),
        "use_case_version": ("xProxy-UseCase-Version", "0"),
        "use_case_step": ("xProxy-UseCase-Step", "step"),
        "use_case_properties": ("xProxy-UseCase-Properties", '{"a":"1","b":null}'),
        "request_properties": ("xProxy-Request-Properties", '{"c":"\\u00e4"}'),
        "price_as_category": ("xProxy-PriceAs-Category", "system.openai"),
        "price_as_resource": ("xProxy-PriceAs-Resource", "gpt-4o"),
        "resource_scope": ("xProxy-Resource-Scope", "region.eu"),
        "log_prompt_and_response": ("xProxy-Logging-Disable", "True"),
    }
    assert set(inspect.signature(create_headers).parameters) == set(headers)
    assert create_headers(**arguments) == dict(headers.values())
    for name, value in arguments.items():
        assert create_headers(**{name: value}) == dict([headers[name]])


def test_create_limit_header_from_ids_drops_blanks_and_refuses_other_types() -> None:
    mixed: Any = [" a ", "", 3, None, "b"]
    assert create_limit_header_from_ids(limit_ids=mixed) == {"xProxy-Limit-IDs": "a,b"}
    assert create_limit_header_from_ids(limit_ids=[" "]) == {}
    wrong: Any = "a"
    with pytest.raises(TypeError, match="limit_ids"):
        create_limit_header_from_ids(limit_ids=wrong)


TEXT_HEADERS = {
    PayiHeaderNames.user_id: "user_id",
    PayiHeaderNames.account_name: "account_name",
    PayiHeaderNames.price_as_category: "price_as_category",
    PayiHeaderNames.price_as_resource: "price_as_resource",
    PayiHeaderNames.resource_scope: "resource_scope",
}
USE_CASE_HEADERS = {PayiHeaderNames.use_case_id: "use_case_id", PayiHeaderNames.use_case_step: "use_case_step"}
HEADER_VALUES = {
    **dict.fromkeys([*TEXT_HEADERS, *USE_CASE_HEADERS, PayiHeaderNames.use_case_name], st.sampled_from(["", "x", "y"])),
    PayiHeaderNames.use_case_version: st.sampled_from(["", "2", "no number"]),
    PayiHeaderNames.limit_ids: st.sampled_from(["", "z", " z , y ,, z "]),
    PayiHeaderNames.request_properties: st.sampled_from(["", "{}", '{"h": "1", "n": 2}', "no json", "[1]"]),
    PayiHeaderNames.use_case_properties: st.sampled_from(["", '{"h": "1"}']),
    PayiHeaderNames.logging_disable: st.sampled_from(["", "True", "true", "False"]),
    "x-other": st.just("kept out of it"),
}
EFFECTIVE = st.builds(
    Attribution,
    limit_ids=st.sampled_from([(), ("a", "b")]),
    use_case_name=st.just("x"),
    use_case_id=st.sampled_from([None, "id1"]),
    use_case_version=st.sampled_from([None, 7]),
    use_case_step=st.sampled_from([None, "s"]),
    use_case_properties=st.sampled_from([{}, {"p": "1"}]),
    user_id=st.sampled_from([None, "u1"]),
    account_name=st.sampled_from([None, "acc"]),
    request_properties=st.sampled_from([{}, {"r": "1"}]),
    log_prompt_and_response=st.sampled_from([None, True, False]),
) | st.just(Attribution(user_id="u1", limit_ids=("a", "b")))


GROUPS = {
    "use case": [name for name in HEADER_VALUES if "UseCase" in name],
    "others": [name for name in HEADER_VALUES if "UseCase" not in name],
    "some of each": [PayiHeaderNames.user_id, PayiHeaderNames.limit_ids, PayiHeaderNames.use_case_name, "x-other"],
}


@st.composite
def headers_in_any_case(draw: st.DrawFn, group: str) -> dict[str, str]:
    names = draw(st.sets(st.sampled_from(GROUPS[group]), min_size=1, max_size=5))
    change = st.sampled_from([str.lower, str.upper, str.swapcase, str])
    return {draw(change)(name): draw(HEADER_VALUES[name]) for name in sorted(names)}


@settings(deadline=None, max_examples=200)
@pytest.mark.parametrize("group", GROUPS)
@given(data=st.data())
def test_headers_of_one_call_replace_the_values_in_effect(group: str, data: st.DataObject) -> None:
    effective = data.draw(EFFECTIVE)
    headers = data.draw(headers_in_any_case(group))
    given_ = {name.lower(): value for name, value in headers.items()}

    def header(name: str) -> str | None:
        return given_.get(name.lower())

    found = override(effective, headers)

    for name, field in TEXT_HEADERS.items():
        before = getattr(effective, field)
        assert getattr(found, field) == (before if header(name) is None else header(name) or None)
    limits: Any = {None: effective.limit_ids, "": (), "z": ("z",)}
    assert found.limit_ids == limits.get(header(PayiHeaderNames.limit_ids), ("z", "y"))
    properties: Any = {None: effective.request_properties, '{"h": "1", "n": 2}': {"h": "1", "n": "2"}}
    assert found.request_properties == properties.get(header(PayiHeaderNames.request_properties), {})
    logs: Any = {None: effective.log_prompt_and_response, "": None, "False": True}
    assert found.log_prompt_and_response == logs.get(header(PayiHeaderNames.logging_disable), False)

    named = header(PayiHeaderNames.use_case_name)
    name_in_effect = effective.use_case_name if named is None else named or None
    version: Any = {None: None if named is not None else effective.use_case_version, "2": 2}
    inherited = effective.use_case_properties if name_in_effect == effective.use_case_name else {}
    use_case_properties: Any = {None: inherited, '{"h": "1"}': {"h": "1"}}
    wanted: dict[str, Any] = {
        "use_case_version": version.get(header(PayiHeaderNames.use_case_version)),
        "use_case_properties": use_case_properties.get(header(PayiHeaderNames.use_case_properties), {}),
    }
    for name, field in USE_CASE_HEADERS.items():
        before = None if named is not None else getattr(effective, field)
        wanted[field] = before if header(name) is None else header(name) or None
    if name_in_effect is None:
        wanted = {**dict.fromkeys(wanted), "use_case_properties": {}}
    assert found.use_case_name == name_in_effect
    assert {field: getattr(found, field) for field in wanted} == wanted


def test_headers_of_ours_that_a_client_gives_every_call_count_and_stay_here(meter: MemoryMeter) -> None:
    offline = Offline()
    client = offline.client.with_options(
        default_headers={**create_headers(user_id="ada", limit_ids=["l"]), "X-Own": "stays"}
    )
    ask: Any = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hello"}]}
    client.chat.completions.create(**ask)
    client.chat.completions.create(**ask, extra_headers=create_headers(user_id="ben"))

    assert [event.attribution.user_id for event in meter.events] == ["ada", "ben"]
    assert [event.attribution.limit_ids for event in meter.events] == [("l",), ("l",)]
    for request in offline.requests:
        assert [name for name in request.headers if name.lower().startswith("xproxy")] == []
        assert request.headers["x-own"] == "stays"


def test_a_header_of_ours_in_bytes_counts_and_stays_here(meter: MemoryMeter) -> None:
    offline = Offline()
    odd: Any = {"xProxy-User-ID": b"ada"}
    offline.ask(extra_headers=odd)

    assert [event.attribution.user_id for event in meter.events] == ["ada"]
    assert "xproxy-user-id" not in offline.last_headers


def test_a_repeated_limit_id_is_sent_once_and_a_value_that_is_no_text_is_named() -> None:
    assert create_limit_header_from_ids(limit_ids=["l", " l ", "m", "l"]) == {"xProxy-Limit-IDs": "l,m"}
    assert create_headers(limit_ids=["l", "l"]) == {"xProxy-Limit-IDs": "l"}
    wrong: Any = 5
    with pytest.raises(TypeError, match="xProxy-User-ID: 5 is a int"):
        create_headers(user_id=wrong)


def test_the_scopes_of_a_resource_have_the_official_names() -> None:
    scopes = PayiResourceScopes.global_scope, PayiResourceScopes.datazone_scope, PayiResourceScopes.region_scope
    assert scopes == ("global", "datazone", "region")
