"""How a client is made, copied and closed. Row E-5, and the rest of client.md section 1."""

from __future__ import annotations

import asyncio
import gc
import importlib
import logging
import multiprocessing
import os
import weakref
from typing import TYPE_CHECKING, Any

import pytest
from calling import Caller
from loopback_meter import Answer, LoopbackMeter

from payi_instrument import AsyncPayi, Payi
from payi_instrument.errors import APITimeoutError, PayiError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

EMBEDDED = "sqlite://"


@pytest.fixture(params=["http", "embedded"])
def url(request: pytest.FixtureRequest, server: LoopbackMeter) -> str:
    """A meter on the network and one in process: what a client adds is the same."""
    return server.url if request.param == "http" else EMBEDDED


@pytest.fixture
def _quiet() -> Iterator[None]:
    logger, root = logging.getLogger("payi"), logging.getLogger()
    before, handlers = logger.level, list(root.handlers)
    yield
    logger.setLevel(before)
    root.handlers[:] = handlers


def test_e5_every_request_says_who_sends_it(caller: Caller, server: LoopbackMeter) -> None:
    caller.open(server.url, default_headers={"X-Team": "t", "accept": "text/x"}, default_query={"q": True})
    caller("limits.with_raw_response.create", limit_name="n", max=1, extra_headers={"x-team": "u", "X-None": None})

    headers = server.last.headers
    assert (headers["xproxy-api-key"], headers["x-team"], headers["accept"]) == ("k", "u", "text/x")
    assert headers["user-agent"].startswith("payi_instrument/")
    assert server.last.query == {"q": ["true"]}
    assert "x-none" not in headers


def test_defaults_reach_an_embedded_meter_too(caller: Caller) -> None:
    caller.open(EMBEDDED, default_headers={"xProxy-User-ID": "u"})
    assert caller("ingest.units", category="c", units={}).xproxy_result.user_id == "u"
    assert caller("ingest.units", category="c", units={}, user_id="v").xproxy_result.user_id == "v"

    caller.use(caller.client.copy(default_query={"limit": 0}))
    with pytest.raises(PayiError, match="limit"):
        caller("limits.list")


USER, ACCOUNT, MARKED = "xProxy-User-ID", "xProxy-Account-Name", {"xProxy-Encoding": "percent"}
OWN_WORDS: list[tuple[dict[str, str], dict[str, str], tuple[str, str | None]]] = [
    ({USER: "50%25"}, {"xProxy-UseCase-Step": "ä"}, ("50%25", None)),
    ({USER: "ä", ACCOUNT: "50%25"}, {}, ("ä", "50%25")),
    ({USER: "a%20b"}, {ACCOUNT: " ü"}, ("a%20b", " ü")),
    ({USER: "ä"}, {USER: "u"}, ("u", None)),
    ({USER: "%C3%A4", **MARKED}, {ACCOUNT: "50%25"}, ("ä", "50%25")),
    ({}, {USER: "%C3%A4", **MARKED}, ("ä", None)),
    ({"xProxy-Limit-IDs": "a, b"}, {USER: "ä"}, ("ä", None)),
]


@pytest.mark.parametrize(("of_client", "of_call", "meant"), OWN_WORDS)
def test_headers_mean_the_same_whoever_gives_them(
    caller: Caller,
    server: LoopbackMeter,
    *,
    of_client: dict[str, str],
    of_call: dict[str, str],
    meant: tuple[str, str | None],
) -> None:
    results = []
    for where in (server.url, EMBEDDED):
        caller.open(where, default_headers=of_client)
        caller("limits.create", limit_name="n", limit_id="b", max=1)
        given = {"use_case_name": "chat", "use_case_id": "ö 1%"}
        result = caller("ingest.units", category="c", units={}, extra_headers=of_call, **given).xproxy_result
        assert result.use_case_id == "ö 1%"
        results.append(result.to_dict() | {"request_id": None})
    assert results[0] == results[1]
    assert (results[0]["user_id"], results[0].get("account_name")) == meant
    assert caller.client.default_headers == of_client


def test_a_query_is_spelled_the_same_whoever_gives_it(caller: Caller, server: LoopbackMeter) -> None:
    server.always = Answer(200)
    caller.open(server.url, default_query={"of": [1, True]})
    query = {"a": [1, "b", True, None], "b": (False,), "property": ["k:v", "l:w"], "c": True}
    caller("limits.with_raw_response.list", extra_query=query)
    assert server.last.query == {
        "of": ["1,true"],
        "a": ["1,b,true"],
        "b": ["false"],
        "property": ["k:v", "l:w"],
        "c": ["true"],
    }


def test_a_copy_uses_the_same_connection(caller: Caller, server: LoopbackMeter) -> None:
    pools = set()
    client = caller.open(server.url)
    for _ in range(3):
        caller("limits.list")
        pools.add(id(client.transport._pool.client()) if not caller.awaited else client.transport._pool)
        client = caller.use(client.with_options(timeout=3))
    assert len(pools) == 1


def test_what_adds_and_what_replaces_exclude_each_other(caller: Caller, url: str) -> None:
    client = caller.open(url)
    for name in ("default_headers", "default_query"):
        with pytest.raises(ValueError, match=f"{name} and set_{name} exclude each other"):
            client.copy(**{name: {}, f"set_{name}": {}})


def test_a_copy_may_speak_to_another_meter(caller: Caller, server: LoopbackMeter, tmp_path: Path) -> None:
    first = caller.open(server.url)
    second = caller.use(first.copy(base_url=f"sqlite:///{tmp_path}/l.db"))
    caller("limits.create", limit_name="n", limit_id="here", max=1)
    assert server.asked == []
    assert second.base_url.startswith("sqlite:///")

    caller.use(second.copy(base_url=server.url, api_key="other"))
    assert caller("limits.list").items == []
    assert server.last.headers["xproxy-api-key"] == "other"
    caller.open(EMBEDDED, api_key=None)
    with pytest.raises(PayiError, match=r"api_key: .* needs one"):
        caller.client.copy(base_url=server.url)


@pytest.mark.parametrize("other", ["httpx", "httpx2"])
def test_ones_own_http_client_may_be_of_either_library(caller: Caller, server: LoopbackMeter, other: str) -> None:
    http = importlib.import_module(other)
    own = (http.AsyncClient if caller.awaited else http.Client)(headers={"X-Own": "1"}, timeout=http.Timeout(9))
    caller.open(server.url, http_client=own, timeout=http.Timeout(5, connect=1))
    caller("limits.list")
    assert server.last.headers["x-own"] == "1"
    server.open.clear()
    with pytest.raises(APITimeoutError) as caught:
        caller("limits.list", timeout=http.Timeout(0.05))
    assert type(caught.value.__cause__).__module__.partition(".")[0] == other
    server.open.set()

    caller.use(caller.client.copy())
    caller.wait(caller.client.close)
    assert not own.is_closed
    with pytest.raises(PayiError, match="closed"):
        caller("limits.list")
    caller.wait(own.aclose if caller.awaited else own.close)


def test_a_copy_may_have_an_http_client_of_its_own(caller: Caller, server: LoopbackMeter) -> None:
    http = importlib.import_module(caller.library)
    first = caller.open(server.url)
    own = (http.AsyncClient if caller.awaited else http.Client)(headers={"X-Own": "1"})
    second = caller.use(first.copy(http_client=own))
    caller("limits.list")
    assert server.last.headers["x-own"] == "1"
    caller.wait(second.close)
    assert not first.is_closed()
    caller.wait(own.aclose if caller.awaited else own.close)
    assert second.is_closed()


def test_a_closed_client_says_so(caller: Caller, url: str) -> None:
    client = caller.open(url)
    caller("limits.list")
    assert client.is_closed() is False
    for _ in range(2):
        caller.wait(client.close)
        assert client.is_closed() is True
    for call in ("limits.list", "limits.with_raw_response.list"):
        with pytest.raises(PayiError, match="the client is closed; make a new one"):
            caller(call)
    caller.use(client.copy())
    with pytest.raises(PayiError, match="the client is closed"):
        caller("limits.list")


def test_a_block_closes_its_client(caller: Caller, url: str) -> None:
    client = caller.open(url)
    assert caller.inside(client, lambda inner: inner is client)
    assert client.is_closed()


def test_a_forgotten_client_closes_its_connections(library: str, server: LoopbackMeter) -> None:
    client = Payi(api_key="k", base_url=server.url)
    client.limits.list()
    http: Any = client.transport._pool.client()  # type: ignore[union-attr]
    limits = client.limits
    gone = weakref.ref(client)
    del client
    assert gone() is None, "nothing of a client refers back to it"
    assert limits.list().items == []
    assert not http.is_closed
    del limits
    gc.collect()
    assert http.is_closed


async def test_a_forgotten_async_client_closes_its_connections(library: str, server: LoopbackMeter) -> None:
    client = AsyncPayi(api_key="k", base_url=server.url)
    await client.limits.list()
    http: Any = client.transport._pool.client()  # type: ignore[union-attr]
    del client
    gc.collect()
    for _ in range(100):
        if http.is_closed:
            break
        await asyncio.sleep(0.01)
    assert http.is_closed


@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_async_client_outlives_its_event_loop(library: str, server: LoopbackMeter) -> None:
    client = AsyncPayi(api_key="k", base_url=server.url, max_retries=0)

    async def ask() -> int:
        return len((await client.limits.list()).items)

    assert [asyncio.run(ask()) for _ in range(3)] == [0, 0, 0]
    asyncio.run(client.close())
    gc.collect()  # what is left of the loops that are gone warns here, where it is expected


def _ask_in_child(client: Payi, answers: Any) -> None:
    try:
        answers.put(len(client.limits.list().items))
    except Exception as error:  # noqa: BLE001
        answers.put(str(error))
    os._exit(0)


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
@pytest.mark.parametrize("own", [False, True])
def test_a_forked_child_has_connections_of_its_own(library: str, server: LoopbackMeter, *, own: bool) -> None:
    http: Any = importlib.import_module(library)
    mine = http.Client()
    client = Payi(api_key="k", base_url=server.url, http_client=mine if own else None)
    client.limits.list()
    fork = multiprocessing.get_context("fork")
    answers = fork.SimpleQueue()
    child = fork.Process(target=_ask_in_child, args=(client, answers))
    child.start()
    # The parent keeps its connection busy: a child on the same one would read the parent's answers.
    asked = [client.limits.list().items for _ in range(20)]
    child.join(30)
    answer = answers.get()
    if own:
        assert answer == "http_client: it was made before this process was forked; make one in the child"
    else:
        assert answer == 0
    assert asked == [[]] * 20
    assert client.limits.list().items == []
    client.close()
    mine.close()


@pytest.mark.parametrize("bad", [True, "5", object(), (1, 2)])
def test_a_timeout_is_seconds_or_a_timeout(caller: Caller, bad: Any) -> None:
    with pytest.raises(TypeError, match=r"timeout: .* expected seconds, an httpx.Timeout or None"):
        caller.open("https://meter.example.com", timeout=bad)
    caller.open(EMBEDDED)
    with pytest.raises(TypeError, match="timeout: "):
        caller("limits.list", timeout=bad)


def test_the_default_timeout_is_a_minute_and_five_seconds_to_connect(caller: Caller, server: LoopbackMeter) -> None:
    http = importlib.import_module(caller.library)
    own = (http.AsyncClient if caller.awaited else http.Client)()
    waits: list[Any] = []

    def note(request: Any) -> None:
        waits.append(request.extensions["timeout"])

    async def anote(request: Any) -> None:
        note(request)

    own.event_hooks = {"request": [anote if caller.awaited else note]}
    caller.open(server.url, http_client=own)
    caller("limits.list")
    caller("limits.list", timeout=None)
    caller("limits.list", timeout=3)
    caller.use(caller.client.copy(timeout=None))
    caller("limits.list")

    phases = ("connect", "read", "write", "pool")
    minute = dict(zip(phases, (5, 60, 60, 60), strict=True))
    assert waits == [minute, dict.fromkeys(phases), dict.fromkeys(phases, 3), dict.fromkeys(phases)]
    caller.wait(own.aclose if caller.awaited else own.close)


def test_retries_are_a_count(caller: Caller) -> None:
    for bad, error in ((-1, ValueError), (1.5, TypeError), (None, TypeError), (True, TypeError)):
        with pytest.raises(error, match="max_retries: "):
            caller.open(EMBEDDED, max_retries=bad)


@pytest.mark.usefixtures("_quiet")
def test_the_log_shows_requests_and_no_secret(
    caller: Caller, server: LoopbackMeter, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("PAYI_LOG", "debug")
    server.instead.append(Answer(500, {"retry-after-ms": "1"}))
    caller.open(
        server.url,
        api_key="hidden-1",
        default_headers={"Authorization": "hidden-2", "X-Auth-Token": "hidden-3", "X-Team": "shown"},
    )
    caller("limits.create", limit_name="hidden-4", max=1, extra_query={"q": "hidden-5"})

    assert "hidden" not in caplog.text
    assert "POST /api/v1/limits: 500" in caplog.text
    assert "(1 of 2)" in caplog.text
    assert "POST /api/v1/limits: 201" in caplog.text
    assert "shown" in caplog.text


@pytest.mark.usefixtures("_quiet")
def test_a_log_level_is_info_or_debug(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAYI_LOG", "INFO")
    Payi(base_url=EMBEDDED)
    assert logging.getLogger("payi").level == logging.INFO
    monkeypatch.setenv("PAYI_LOG", "loud")
    with pytest.raises(ValueError, match="PAYI_LOG='loud': expected 'info' or 'debug'"):
        Payi(base_url=EMBEDDED)
    monkeypatch.setenv("PAYI_LOG", "")
    Payi(base_url=EMBEDDED)


def test_the_url_may_be_any_url_object(server: LoopbackMeter, library: str) -> None:
    url: Any = importlib.import_module(library).URL(server.url)
    with Payi(api_key="k", base_url=url) as client:
        assert client.base_url == f"{server.url}/"
        assert client.limits.list().items == []
