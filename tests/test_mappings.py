"""What the configuration prices calls as, by host and by model (row P-9)."""

from __future__ import annotations

import copy
import os
import re
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import openai
import pytest
from offline_openai import MODEL, Offline, httpx
from openai.types.chat import ChatCompletion

from payi_instrument import LimitBlockedError, create_headers, payi_instrument, track_context
from payi_instrument.event import Attribution, CallFacts
from payi_instrument.mappings import Mappings, ModelMapping
from payi_instrument.testing import MemoryMeter, metered

if TYPE_CHECKING:
    from payi_instrument.event import UsageEvent

ENDPOINT = "https://acme.openai.azure.com"
ASK: dict[str, Any] = {"model": "prod", "messages": [{"role": "user", "content": "hello"}]}
PROD: dict[str, Any] = {"model": "prod", "price_as_resource": "gpt-4o"}


def client_at(base_url: str) -> openai.OpenAI:
    """Return the SDK's client of a host, without a network."""
    return Offline().client.with_options(base_url=base_url)


def azure(endpoint: str = ENDPOINT) -> openai.AzureOpenAI:
    http = httpx.Client(transport=httpx.MockTransport(Offline()._answer))
    return openai.AzureOpenAI(azure_endpoint=endpoint, api_key="k", api_version="2024-10-21", http_client=http)


def async_azure() -> openai.AsyncAzureOpenAI:
    http = httpx.AsyncClient(transport=httpx.MockTransport(Offline()._answer_later))
    return openai.AsyncAzureOpenAI(azure_endpoint=ENDPOINT, api_key="k", api_version="2024-10-21", http_client=http)


def one_call(client: openai.OpenAI, config: dict[str, Any], **arguments: Any) -> UsageEvent:
    """Make one call under these settings and return its event."""
    with metered(config=config) as meter:
        client.chat.completions.create(**{**ASK, **arguments})
        [event] = meter.events
    return event


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return what was logged about mappings; the meter has its own say about what has no price."""
    return [record.getMessage() for record in caplog.records if record.module == "mappings"]


def on_azure(*entries: dict[str, Any]) -> dict[str, Any]:
    return {"openai_config": {"azure": {"model_mappings": list(entries)}}}


def on_openai(*entries: dict[str, Any]) -> dict[str, Any]:
    return {"openai_config": {"model_mappings": list(entries)}}


SCOPED = {**PROD, "resource_scope": "datazone"}


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
def test_p9_an_azure_client_with_a_model_mapping(stream: bool, caplog: pytest.LogCaptureFixture) -> None:
    with metered(config=on_azure(SCOPED)) as meter, track_context(user_id="ada"):
        answer: Any = azure().chat.completions.create(**ASK, stream=stream)
        if stream:
            list(answer)
        [event] = meter.events

    assert (event.category, event.resource) == ("system.azureopenai", "gpt-4o")
    assert event.attribution.resource_scope == "datazone"
    assert event.attribution.user_id == "ada"
    assert event.provider_uri == f"{ENDPOINT}/openai/"
    assert answer.xproxy_result.cost.total.base == pytest.approx(1000 * 2.5e-6 + 100 * 10e-6)
    assert said(caplog) == []


@pytest.mark.parametrize("named", ["mapping", "scope", "header"])
def test_what_a_deployment_speaks_and_hears_is_counted_in_the_units_of_its_model(named: str) -> None:
    """A deployment may have any name, and sound tells nothing: which units it is billed in is known from its model."""
    sound = httpx.MockTransport(lambda _: httpx.Response(200, content=b"sound", headers={"content-type": "audio/mpeg"}))
    text = httpx.MockTransport(lambda _: httpx.Response(200, content=b"four", headers={"content-type": "text/plain"}))
    speaks = {"model": "voice", "price_as_resource": "tts-1"}
    hears = {"model": "ears", "price_as_resource": "gpt-4o-transcribe"}
    with metered(config=on_azure(speaks, hears) if named == "mapping" else {}) as meter:
        for transport, entry in ((sound, speaks), (text, hears)):
            client = azure().with_options(http_client=httpx.Client(transport=transport))
            priced = {"price_as_resource": entry["price_as_resource"]}
            ask: Any = {"extra_headers": create_headers(**priced)} if named == "header" else {}
            with track_context(**priced) if named == "scope" else nullcontext():
                if entry is speaks:
                    client.audio.speech.create(model="voice", voice="coral", input="four apples", **ask)
                else:
                    client.audio.transcriptions.create(
                        model="ears", file=("a.mp3", bytes(32_000)), response_format="text", **ask
                    )
        events = [(event.resource, event.units) for event in meter.events]

    assert events == [
        ("tts-1", {"characters": (11, 0)}),
        ("gpt-4o-transcribe", {"audio": (34, 0), "text": (0, 1)}),
    ]


def test_a_price_of_ones_own_counts_the_units_of_the_model_that_was_asked_for() -> None:
    sound = httpx.MockTransport(lambda _: httpx.Response(200, content=b"sound", headers={"content-type": "audio/mpeg"}))
    client = Offline().client.with_options(http_client=httpx.Client(transport=sound))
    with metered() as meter, track_context(price_as_category="ours", price_as_resource="voice"):
        client.audio.speech.create(model="tts-1", voice="coral", input="four apples")
        [event] = meter.events

    assert (event.resource, event.units) == ("voice", {"characters": (11, 0)})


async def test_p9_awaited() -> None:
    with metered(config=on_azure(SCOPED)) as meter:
        await async_azure().chat.completions.create(**ASK)
        [event] = meter.events

    assert (event.category, event.resource) == ("system.azureopenai", "gpt-4o")
    assert event.attribution.resource_scope == "datazone"


def test_p9_without_an_answer() -> None:
    with metered(config=on_azure(SCOPED)) as meter:
        refused = azure().with_options(http_client=httpx.Client(transport=httpx.MockTransport(_not_found)))
        with pytest.raises(openai.NotFoundError):
            refused.chat.completions.create(**ASK)
        meter.client.limits.create(limit_name="Full", limit_id="full", max=1e-6, limit_type="block")
        with track_context(limit_ids=["full"]):
            azure().chat.completions.create(**ASK)
            with pytest.raises(LimitBlockedError):
                azure().chat.completions.create(**ASK)
        events = [(event.http_status_code, event.category, event.resource) for event in meter.events]

    assert events == [(status, "system.azureopenai", "gpt-4o") for status in (404, 200, 424)]


def _not_found(request: httpx.Request) -> httpx.Response:
    return httpx.Response(404, json={"error": {"code": "DeploymentNotFound"}})


MATCHES: list[tuple[str, str, bool]] = [
    ("llm.test", "https://llm.test/v1", True),
    ("llm.test", "http://llm.test:8080/v1", True),
    ("LLM.Test", "https://llm.test", True),
    ("llm.test", "https://LLM.TEST/v1", True),
    ("llm.test/", "https://llm.test/v1", True),
    ("llm.test/other/path?q=http://x.test#y", "https://llm.test/v1", True),
    ("http://llm.test", "https://llm.test/v1", True),
    ("https://llm.test/v1/", "http://llm.test", True),
    ("//llm.test/v1", "https://llm.test/v1", True),
    (" llm.test ", "https://llm.test/v1", True),
    ("https://user:p%40ss@llm.test/v1", "https://llm.test/v1", True),
    ("llm.test", "https://user:pass@llm.test/v1", True),
    ("llm.test", "https://test/llm.test", False),
    ("llm.test", "https://other.llm.test/v1", False),
    ("other.llm.test", "https://llm.test/v1", False),
    ("llm.test", "https://llm.test.evil.example/v1", False),
    ("llm.test", "https://llm.test@evil.example/v1", False),
    ("llm.test:8080", "http://llm.test:8080/v1", True),
    ("https://llm.test:8080/v1", "http://LLM.test:8080", True),
    ("llm.test:8080", "http://llm.test:8081/v1", False),
    ("llm.test:8080", "http://llm.test/v1", False),
    ("llm.test:443", "https://llm.test/v1", True),
    ("llm.test:443", "http://llm.test/v1", False),
    ("llm.test:80", "http://llm.test/v1", True),
    ("localhost", "http://localhost:8000/v1", True),
    ("my_proxy:4000", "http://my_proxy:4000", True),
    ("127.0.0.1", "http://127.0.0.1:8000/v1", True),
    ("[::1]", "http://[::1]:8000/v1", True),
    ("[::1]:8000", "http://[0:0:0:0:0:0:0:1]:8000/v1", True),
    ("http://[2001:DB8::1]/", "http://[2001:db8::1]/v1", True),
    ("[::1]:8000", "http://[::1]:8001/v1", False),
    ("bücher.test", "https://bücher.test/v1", True),
    ("xn--bcher-kva.test", "https://BÜCHER.test/v1", True),
]


@pytest.mark.parametrize(("mapped", "base_url", "matches"), MATCHES)
def test_a_host_mapping_says_the_category_of_its_host(
    mapped: str, base_url: str, matches: bool, caplog: pytest.LogCaptureFixture
) -> None:
    event = one_call(client_at(base_url), {"host_mappings": {mapped: {"price_as_category": "ours"}}})

    assert (event.category, event.resource) == ("ours" if matches else "system.openai", "prod")
    assert said(caplog) == []


@pytest.mark.parametrize(("mapped", "base_url", "matches"), MATCHES)
def test_the_host_of_a_model_mapping_is_matched_alike(mapped: str, base_url: str, matches: bool) -> None:
    event = one_call(client_at(base_url), on_openai({**PROD, "host": mapped}))

    assert (event.category, event.resource) == ("system.openai", "gpt-4o" if matches else "prod")


INVALID = [
    *(" ", "https://", "/v1/chat", ":8080", "https://:8080/v1", "llm.test:", "llm.test:0", "llm.test:65536"),
    *("llm.test:80a", "llm.test:123456", "llm test", "a..test", "x" * 64 + ".test", "*.llm.test", "llm.test,b.test"),
    *("::1", "[::1", "[]", "[llm.test]", "[1:2]", "https://user@", "llm.test\n.evil.test"),
]


@pytest.mark.parametrize("invalid", INVALID)
def test_an_invalid_host_is_warned_about_and_left_out(invalid: str, caplog: pytest.LogCaptureFixture) -> None:
    config = {
        "host_mappings": {invalid: {"price_as_category": "no"}, "llm.test": {"price_as_category": "ours"}},
        **on_openai({**PROD, "host": invalid, "price_as_category": "no"}, PROD),
    }
    event = one_call(client_at("https://llm.test/v1"), config)

    assert (event.category, event.resource) == ("ours", "gpt-4o")
    host, model = said(caplog)
    assert host.startswith(f"payi: config['host_mappings']: {invalid!r} is neither a host")
    assert model.startswith(
        f"payi: config['openai_config']['model_mappings'][0]['host']: {invalid!r} is neither a host"
    )


@pytest.mark.parametrize("turned", [False, True])
def test_the_mapping_with_the_port_comes_first(turned: bool) -> None:
    hosts = {"llm.test": {"price_as_category": "any"}, "llm.test:8080": {"price_as_category": "exact"}}
    config = {"host_mappings": dict(reversed(hosts.items())) if turned else hosts}

    assert one_call(client_at("http://llm.test:8080/v1"), config).category == "exact"
    assert one_call(client_at("http://llm.test:8081/v1"), config).category == "any"


def test_one_host_has_one_category() -> None:
    hosts = {"https://llm.test/a": {"price_as_category": "a"}, "LLM.test/b": {"price_as_category": "b"}}
    with pytest.raises(ValueError, match=r"host_mappings'\]\['LLM.test/b'\].*'b'.*'a' already"):
        payi_instrument(MemoryMeter().client, config={"host_mappings": hosts})
    hosts["LLM.test/b"] = hosts["https://llm.test/a"]
    assert one_call(client_at("https://llm.test/c"), {"host_mappings": hosts}).category == "a"


FULL = {"model": "prod", "price_as_category": "mapped", "price_as_resource": "model", "resource_scope": "region.m"}
EVERYTHING = {"host_mappings": {"acme.openai.azure.com": {"price_as_category": "host"}}, **on_azure(FULL)}
Outcome = tuple[str, str, str | None]
ORDER: list[tuple[dict[str, str], dict[str, str], Outcome]] = [  # by header, by scope, and what comes of it
    ({}, {}, ("mapped", "model", "region.m")),
    ({}, {"price_as_category": "sc"}, ("sc", "prod", None)),
    ({}, {"price_as_resource": "sr"}, ("host", "sr", None)),
    ({}, {"resource_scope": "region.s"}, ("mapped", "model", "region.s")),
    (
        {},
        {"price_as_category": "sc", "price_as_resource": "sr", "resource_scope": "region.s"},
        ("sc", "sr", "region.s"),
    ),
    ({"price_as_category": "hc"}, {}, ("hc", "prod", None)),
    ({"price_as_resource": "hr"}, {}, ("host", "hr", None)),
    ({"resource_scope": "region.h"}, {}, ("mapped", "model", "region.h")),
    ({"price_as_category": "hc"}, {"price_as_category": "sc", "price_as_resource": "sr"}, ("hc", "sr", None)),
    ({"price_as_category": ""}, {"price_as_category": "sc"}, ("mapped", "model", "region.m")),
    ({"resource_scope": "region.h"}, {"price_as_resource": "sr", "resource_scope": "s"}, ("host", "sr", "region.h")),
]


@pytest.mark.parametrize(("header", "scope", "expected"), ORDER)
def test_a_header_comes_before_a_scope_before_a_model_before_a_host(
    header: dict[str, Any], scope: dict[str, Any], expected: Outcome
) -> None:
    with track_context(**scope):
        event = one_call(azure(), EVERYTHING, extra_headers=create_headers(**header))

    assert (event.category, event.resource, event.attribution.resource_scope) == expected


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ({"price_as_category": "c"}, ("c", "prod", None)),
        ({"price_as_resource": "r"}, ("host", "r", None)),
        (
            {"price_as_resource": "r", "price_as_category": "", "host": None, "resource_scope": None},
            ("host", "r", None),
        ),
        ({"price_as_category": "c", "resource_scope": "s"}, ("c", "prod", "s")),
    ],
)
def test_what_a_mapping_leaves_out_stays(entry: dict[str, Any], expected: Outcome) -> None:
    event = one_call(azure(), {**EVERYTHING, **on_azure({"model": "prod", **entry})})

    assert (event.category, event.resource, event.attribution.resource_scope) == expected


def test_the_first_entry_whose_model_and_host_are_equal_wins() -> None:
    config = on_openai(
        {"model": "Prod", "price_as_resource": "another case"},
        {"model": "prod", "price_as_resource": "a", "host": "a.test"},
        {"model": "prod", "price_as_resource": "b", "host": "b.test:8080"},
        {"model": "prod", "price_as_resource": "any"},
        {"model": "prod", "price_as_resource": "too late", "host": "c.test"},
    )
    hosts = ("https://a.test/v1", "http://b.test:8080", "http://b.test", "https://c.test")
    assert [one_call(client_at(host), config).resource for host in hosts] == ["a", "b", "any", "any"]
    assert one_call(client_at("https://a.test"), config, model="other").resource == "other"


def test_azure_and_openai_have_mappings_of_their_own() -> None:
    both = {
        "openai_config": {
            "model_mappings": [{"model": "prod", "price_as_resource": "openai's"}],
            "azure": {"model_mappings": [{"model": "prod", "price_as_resource": "azure's"}]},
        },
        "host_mappings": {"llm.test": {"price_as_category": "system.azureopenai"}},  # which list it is, is read before
    }
    assert one_call(azure(), both).resource == "azure's"
    assert one_call(client_at("https://llm.test/v1"), both).resource == "openai's"
    assert one_call(azure(), on_openai(PROD)).resource == "prod"
    assert one_call(client_at("https://llm.test/v1"), on_azure(PROD)).resource == "prod"


def test_the_mappings_of_one_sdk_are_no_other_ones() -> None:
    entry = ModelMapping("claude", None, None, "opus", None)
    mappings = Mappings({}, {("openai", False): (), ("openai", True): (entry,)})
    facts, who = CallFacts("system.azure", "claude", "any/1"), Attribution()

    assert mappings.price_as("openai", facts, who, None) == ("system.azure", "opus", who)
    assert mappings.price_as("anthropic", facts, who, None) == ("system.azure", "claude", who)
    assert not mappings.warned


@pytest.mark.parametrize(
    ("host", "resource"),
    [(None, "any"), ("", "any"), ("llm.test", "ours"), ("grpc://llm.test/v1", "ours"), ("?", "any")],
)
def test_a_client_that_says_less_of_its_host_has_its_mapping_too(host: str | None, resource: str) -> None:
    entries = [
        ModelMapping("prod", ("llm.test", 443), None, "with port", None),
        ModelMapping("prod", ("llm.test", None), None, "ours", None),
        ModelMapping("prod", None, None, "any", None),
    ]
    facts, who = CallFacts("system.any", "prod", "any/1", host), Attribution()
    assert Mappings({}, {("any", False): entries}).price_as("any", facts, who, None) == ("system.any", resource, who)


def test_the_answers_model_is_mapped_where_the_request_names_none() -> None:
    with metered(config=on_openai({"model": MODEL, "price_as_resource": "gpt-4o"})) as meter:
        body = {"messages": ASK["messages"]}
        Offline().client.post("/chat/completions", body=body, cast_to=ChatCompletion)
        [event] = meter.events
    assert event.resource == "gpt-4o"


def test_an_azure_deployment_that_nothing_maps_is_warned_about_once(caplog: pytest.LogCaptureFixture) -> None:
    with metered(config=on_azure({"model": "mapped", "price_as_resource": "gpt-4o"})) as meter:
        for _ in range(3):
            for model in ("prod", "test", "mapped"):
                azure().chat.completions.create(**{**ASK, "model": model})
        assert [event.resource for event in meter.events[:3]] == ["prod", "test", "gpt-4o"]

    for name, message in zip(("prod", "test"), said(caplog), strict=True):
        assert f"the Azure deployment '{name}'" in message
        assert "config['openai_config']['azure']['model_mappings']" in message
        assert f"{{'model': '{name}', 'price_as_resource': …}}" in message


def test_names_without_end_do_not_fill_the_log_or_the_memory(caplog: pytest.LogCaptureFixture) -> None:
    mappings, who = Mappings({}, {}), Attribution()
    for number in range(1000):
        mappings.price_as("openai", CallFacts("system.azureopenai", f"m{number}", "openai/1"), who, None)
    assert len(said(caplog)) == len(mappings.warned) == 100


@pytest.mark.parametrize(
    ("scope", "config"),
    [
        ({"price_as_resource": "gpt-4o"}, {}),
        ({"price_as_category": "ours"}, {}),
        ({}, on_azure({"model": "prod", "price_as_category": "ours"})),
        ({}, {"host_mappings": {ENDPOINT: {"price_as_category": "ours"}}}),
    ],
)
def test_one_that_anything_maps_is_not_warned_about(
    scope: dict[str, Any], config: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    with track_context(**scope):
        one_call(azure(), config)
    assert said(caplog) == []


def test_a_call_that_is_not_on_azure_is_not_warned_about(caplog: pytest.LogCaptureFixture) -> None:
    one_call(client_at("https://llm.test/v1"), {})
    assert said(caplog) == []


def test_a_mapping_that_prices_as_nothing_is_left_out_with_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    config = {
        "host_mappings": {"llm.test": {}, "b.test": None, "c.test": {"price_as_category": ""}},
        **on_openai({"model": "prod", "resource_scope": "global"}, {"model": "prod", "price_as_resource": ""}, PROD),
    }
    event = one_call(client_at("https://llm.test/v1"), config)

    assert (event.category, event.resource, event.attribution.resource_scope) == ("system.openai", "gpt-4o", None)
    assert [message.split(" says ")[0] for message in said(caplog)] == [
        *(f"payi: config['host_mappings']['{host}.test']" for host in ("llm", "b", "c")),
        *(f"payi: config['openai_config']['model_mappings'][{index}]" for index in (0, 1)),
    ]


@pytest.mark.parametrize("nothing", [None, {}, {"model_mappings": None}, {"model_mappings": []}, {"azure": None}])
def test_mappings_may_be_empty(nothing: Any) -> None:
    assert one_call(client_at("https://llm.test"), {"openai_config": nothing, "host_mappings": None}).resource == "prod"


OPENAI = "config['openai_config']"
WRONG: list[tuple[type[Exception], str, dict[str, Any]]] = [
    (TypeError, "config['host_mappings']: ['a']", {"host_mappings": ["a"]}),
    (TypeError, "config['host_mappings']: 3 is a int", {"host_mappings": {3: {"price_as_category": "c"}}}),
    (TypeError, "config['host_mappings']['a.test']: 'c' is a str", {"host_mappings": {"a.test": "c"}}),
    (
        TypeError,
        "config['host_mappings']['a.test']['price_as_category']: 3 is a int, expected str",
        {"host_mappings": {"a.test": {"price_as_category": 3}}},
    ),
    (
        ValueError,
        "config['host_mappings']['a.test']['price_as']: unknown member; known are price_as_category",
        {"host_mappings": {"a.test": {"price_as": "c"}}},
    ),
    (TypeError, f"{OPENAI}: 'x' is a str", {"openai_config": "x"}),
    (
        ValueError,
        f"{OPENAI}['mappings']: unknown member; known are model_mappings, azure",
        {"openai_config": {"mappings": []}},
    ),
    (
        TypeError,
        f"{OPENAI}['model_mappings']: {{}} is a dict, expected a list",
        {"openai_config": {"model_mappings": {}}},
    ),
    (TypeError, f"{OPENAI}['model_mappings'][1]: 'm' is a str", on_openai(PROD, "m")),  # type: ignore[arg-type]
    (ValueError, f"{OPENAI}['model_mappings'][0]: {{}} has no 'model'", on_openai({})),
    (ValueError, f"{OPENAI}['model_mappings'][0]: {{'model': ''}} has no 'model'", on_openai({"model": ""})),
    (TypeError, f"{OPENAI}['model_mappings'][0]['model']: 3 is a int, expected str", on_openai({"model": 3})),
    (TypeError, f"{OPENAI}['model_mappings'][0]['host']: 3", on_openai({**PROD, "host": 3})),
    (TypeError, f"{OPENAI}['model_mappings'][0]['resource_scope']: 3", on_openai({**PROD, "resource_scope": 3})),
    (
        ValueError,
        f"{OPENAI}['model_mappings'][0]['scope']: unknown member; known are model, host, price_as_category",
        on_openai({**PROD, "scope": "x"}),
    ),
    (TypeError, f"{OPENAI}['azure']: [] is a list", {"openai_config": {"azure": []}}),
    (ValueError, f"{OPENAI}['azure']['azure']: unknown member", {"openai_config": {"azure": {"azure": {}}}}),
    (TypeError, f"{OPENAI}['azure']['model_mappings'][0]['model']: 3", on_azure({"model": 3})),
]


@pytest.mark.parametrize(("kind", "message", "config"), WRONG, ids=[message for _, message, _ in WRONG])
def test_c23_what_a_mapping_may_not_say_is_named(kind: type[Exception], message: str, config: dict[str, Any]) -> None:
    with pytest.raises(kind) as caught:
        payi_instrument(MemoryMeter().client, config=config)
    assert str(caught.value).startswith(message)


def test_the_old_spelling_means_the_same_and_says_so() -> None:
    with pytest.warns(DeprecationWarning, match=r"azure_openai_config.*\['openai_config'\]\['azure'\]") as warned:
        handle = payi_instrument(MemoryMeter().client, config={"azure_openai_config": {"model_mappings": [PROD]}})
    handle.shutdown()
    assert warned[0].filename == __file__


@pytest.mark.filterwarnings("ignore:config:DeprecationWarning")
def test_the_old_spelling_is_read_alike() -> None:
    old = {"azure_openai_config": {"model_mappings": [PROD]}}
    assert one_call(azure(), {**old, **on_openai()}).resource == "gpt-4o"
    with pytest.raises(ValueError, match="both are given, leave out the old one"):
        payi_instrument(MemoryMeter().client, config={**old, **on_azure()})
    with pytest.raises(TypeError, match=r"config\['azure_openai_config'\]\['model_mappings'\]: 3"):
        payi_instrument(MemoryMeter().client, config={"azure_openai_config": {"model_mappings": 3}})


def test_the_callers_mappings_are_not_changed_and_not_looked_at_again() -> None:
    config = copy.deepcopy(EVERYTHING)
    with metered(config=config) as meter:
        assert config == EVERYTHING
        config["host_mappings"].clear()
        entries: list[dict[str, Any]] = config["openai_config"]["azure"]["model_mappings"]
        entries[0]["price_as_resource"] = "changed"
        entries.clear()
        azure().chat.completions.create(**ASK)
        [event] = meter.events
    assert (event.category, event.resource) == ("mapped", "model")


def test_the_scope_around_a_mapped_call_is_not_changed() -> None:
    with metered(config=on_azure(SCOPED)) as meter, track_context(user_id="ada"):
        for model in ("prod", "other"):
            azure().chat.completions.create(**{**ASK, "model": model})
        scopes = [event.attribution.resource_scope for event in meter.events]
    assert scopes == ["datazone", None]


ROOT = Path(__file__).parent.parent


def test_the_example_of_the_page_prints_what_the_page_says() -> None:
    page = (ROOT / "docs" / "mappings.md").read_text()
    code, printed = re.findall(r"```(?:python)?\n(.*?)```", page, re.DOTALL)
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("PAYI_", "OPENAI_", "AZURE_"))
    }
    environment["PYTHONPATH"] = os.pathsep.join([str(ROOT), str(ROOT / "examples")])
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.stdout, done.stderr) == (printed, "")
