"""Where the meter is: arguments, environment, and what is missing. Rows E-1 and E-2."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from payi_instrument.client.client import AsyncPayi, Payi
from payi_instrument.errors import NotFoundError, PayiError

if TYPE_CHECKING:
    from pathlib import Path

    from tests.client.conftest import Loopback

VARIABLES = ("PAYI_API_KEY", "PAYI_BASE_URL", "PAYI_CUSTOM_HEADERS", "PAYI_HTTP")


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Start without any setting."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


@pytest.mark.parametrize("kind", [Payi, AsyncPayi])
@pytest.mark.parametrize("url", [None, "", "https://meter.example.com"])
def test_e1_without_key_or_ledger_the_error_names_both_ways_out(
    environment: pytest.MonkeyPatch, kind: type[Payi | AsyncPayi], url: str | None
) -> None:
    environment.setenv("PAYI_API_KEY", "")
    environment.setenv("PAYI_BASE_URL", url or "")
    for arguments in ({}, {"base_url": url}, {"api_key": "", "base_url": ""}):
        with pytest.raises(PayiError) as caught:
            kind(**arguments)
        text = str(caught.value)
        assert all(way in text for way in ("PAYI_API_KEY", "api_key=", "PAYI_BASE_URL", "base_url=", "sqlite:///"))


def test_e2_the_environment_is_read_when_a_client_is_made(environment: pytest.MonkeyPatch, loopback: Loopback) -> None:
    loopback.answer({"items": []})
    for key in ("first", "second"):
        environment.setenv("PAYI_API_KEY", key)
        environment.setenv("PAYI_BASE_URL", loopback.url)
        environment.setenv("PAYI_CUSTOM_HEADERS", "X-One: 1\nno header\n X-Two : a:b \n")
        with Payi() as client:
            client.limits.list()
        sent = loopback.last.headers
        assert (client.api_key, client.base_url, sent["xproxy-api-key"]) == (key, f"{loopback.url}/", key)
        assert (sent["x-one"], sent["x-two"]) == ("1", "a:b")


def test_a_ledger_may_be_named_by_the_environment(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("PAYI_BASE_URL", "sqlite://?strict_limits=true")
    with Payi() as client, pytest.raises(PayiError, match="invalid_limit_ids"):
        client.ingest.units(category="c", units={}, limit_ids=["nobody"])


@pytest.mark.parametrize("base", ["", "/", "/prefix", "/prefix/"])
def test_a_base_url_may_have_a_path(loopback: Loopback, base: str) -> None:
    loopback.answer({"items": []})
    with Payi(api_key="k", base_url=loopback.url + base) as client:
        client.limits.list()

    assert loopback.last.path == f"{base.rstrip('/')}/api/v1/limits"


def test_an_unknown_http_library_is_a_value_error(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("PAYI_HTTP", "requests")
    with pytest.raises(ValueError, match=r"PAYI_HTTP='requests': expected 'httpx' or 'httpx2'"):
        Payi(base_url="sqlite://")


LIBRARY = """
import sys
from payi_instrument.client.client import Payi
Payi(base_url="sqlite://").limits.list()
assert not {"httpx", "httpx2"} & sys.modules.keys(), "an embedded meter needs no HTTP"
Payi(api_key="k")
print([name for name in ("httpx", "httpx2") if name in sys.modules])
"""


@pytest.mark.parametrize(("chosen", "loaded"), [("", "['httpx2']"), ("httpx", "['httpx']"), ("httpx2", "['httpx2']")])
def test_one_http_library_is_loaded_and_only_for_the_network(chosen: str, loaded: str) -> None:
    environment = {**os.environ, "PAYI_HTTP": chosen}
    done = subprocess.run(
        [sys.executable, "-c", LIBRARY], env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.stdout.strip(), done.stderr) == (loaded, "")


def test_methods_show_their_arguments_and_what_they_do() -> None:
    with Payi(base_url="sqlite://") as client:
        for method in (client.limits.create, client.limits.list, client.ingest.units, client.ingest.bulk):
            assert method.__doc__
            assert inspect.signature(method).parameters
        assert list(inspect.signature(client.limits.retrieve).parameters) == ["limit_id", "options"]
        assert client.limits.create.__name__ == "create"


async def test_the_async_twins_answer_the_same(environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    environment.setenv("PAYI_BASE_URL", f"sqlite:///{tmp_path}/l.db")
    price: Any = {"text": {"input_price": 0.01}}
    units = {"text": {"input": 1}}
    event: dict[str, Any] = {"category": "demo", "resource": "model", "units": units, "limit_ids": ["a"]}
    with Payi() as client:
        async with AsyncPayi() as awaited:
            made = await awaited.categories.resources.create("model", category="demo", units=price)
            assert client.categories.resources.create("model", category="demo", units=price) == made
            limit = (await awaited.limits.create(limit_name="a", limit_id="a", max=1)).limit
            assert client.limits.retrieve("a").limit == limit
            single = await awaited.ingest.units(**event, event_id="e")
            again = client.ingest.units(**event, event_id="e")
            assert (again.request_id, again.xproxy_result.duplicate_request) == (single.request_id, True)
            assert (await awaited.ingest.bulk(events=[event, event])).ingest_count == 2
            assert (await awaited.limits.update("a", max=2)).limit.totals.requests.total == 3
            assert (await awaited.limits.retrieve("a")).limit == client.limits.list().items[0]
            await awaited.limits.delete("a")
            with pytest.raises(NotFoundError):
                await awaited.limits.retrieve("a")
        assert client.limits.list().items == []
