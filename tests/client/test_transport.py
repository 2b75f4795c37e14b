"""The door to the network: what goes out, what comes back, what fails; on both HTTP libraries.

Rows E-5, E-14, E-27.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from payi_instrument import errors
from payi_instrument.client.client import AsyncPayi, Payi
from payi_instrument.event import Attribution, UsageEvent

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.client.conftest import Loopback

LIBRARY = os.environ.get("PAYI_HTTP") or "httpx2"
COST = {"input": {"base": 0}, "output": {"base": 0}, "total": {"base": 0, "overrun_base": None}}
COUNTS = dict.fromkeys(("ok", "exceeded", "overrun", "blocked", "blocked_external", "failed", "total"), 0)
LIMIT = {
    "limit_id": "a/b c",
    "limit_name": "n",
    "limit_type": "block",
    "max": 10,
    "threshold": 0.8,
    "totals": {"cost": COST, "requests": COUNTS},
    "limit_creation_timestamp": "2024-01-01T00:00:00Z",
    "limit_update_timestamp": "2024-01-01T00:00:00Z",
}
RESULT = {
    "request_id": "r",
    "event_timestamp": "2024-01-01T00:00:00Z",
    "ingest_timestamp": "2024-01-01T00:00:00Z",
    "xproxy_result": {"request_id": "r", "limits": {"l": {"state": "ok"}}, "cost": {**COST, "currency": "usd"}},
}


class Caller:
    """Call a method of a client by its dotted name, sync or awaited."""

    def __init__(self, loopback: Loopback, *, awaited: bool) -> None:
        self.loopback = loopback
        self.runner = asyncio.Runner() if awaited else None
        self.client: Payi | AsyncPayi | None = None

    def open(self, **options: Any) -> None:
        self.close()
        kind = Payi if self.runner is None else AsyncPayi
        self.client = kind(api_key="k", base_url=self.loopback.url, **{"max_retries": 0, **options})

    def close(self) -> None:
        if self.client is not None:
            self._wait(self.client.close)

    def _wait(self, call: Any, *args: Any, **kwargs: Any) -> Any:
        async def answer() -> Any:
            return await call(*args, **kwargs)

        return call(*args, **kwargs) if self.runner is None else self.runner.run(answer())

    def __call__(self, name: str, *args: Any, **kwargs: Any) -> Any:
        if self.client is None:
            self.open()
        group, _, method = name.partition(".")
        return self._wait(getattr(getattr(self.client, group), method), *args, **kwargs)


@pytest.fixture(params=[False, True], ids=["sync", "async"])
def send(request: pytest.FixtureRequest, loopback: Loopback) -> Iterator[Caller]:
    caller = Caller(loopback, awaited=request.param)
    yield caller
    caller.close()
    if caller.runner is not None:
        caller.runner.close()


def test_e5_every_request_carries_the_key_and_says_what_it_is(loopback: Loopback, send: Caller) -> None:
    loopback.answer({"limit": LIMIT, "request_id": "r"})
    send.open(default_headers={"X-Team": "t"})
    send("limits.create", limit_name="n", max=10, extra_headers={"X-More": "m"})

    headers = loopback.last.headers
    assert headers["xproxy-api-key"] == "k"
    assert (headers["accept"], headers["content-type"]) == ("application/json", "application/json")
    assert (headers["x-team"], headers["x-more"]) == ("t", "m")
    assert len(headers["idempotency-key"]) == 36


def test_a_path_argument_is_one_segment_and_a_get_has_no_body(loopback: Loopback, send: Caller) -> None:
    loopback.answer({"limit": LIMIT, "request_id": "r"})
    answer = send("limits.retrieve", "a/b c:1?#ä")

    assert (loopback.last.method, loopback.last.path) == ("GET", "/api/v1/limits/a%2Fb%20c%3A1%3F%23%C3%A4")
    assert (loopback.last.body, "idempotency-key" in loopback.last.headers) == (b"", False)
    assert (answer.limit.limit_id, answer.limit.max, answer.limit.threshold) == ("a/b c", 10, 0.8)


def test_what_was_not_given_is_not_sent_and_none_is_null(loopback: Loopback, send: Caller) -> None:
    loopback.answer({"limit": LIMIT, "request_id": "r"})
    send("limits.create", limit_name="n", max=1, threshold=None, extra_body={"extra": [1]}, extra_query={"q": True})

    assert loopback.last.json == {"limit_name": "n", "max": 1, "threshold": None, "extra": [1]}
    assert loopback.last.query == {"q": ["true"]}


def test_amounts_keep_every_digit_both_ways(loopback: Loopback, send: Caller) -> None:
    digits = b"1234567890123.123456789012"
    text = json.dumps({"limit": LIMIT, "request_id": "r"}).encode()
    loopback.answer(text.replace(b'"max": 10', b'"max": ' + digits))
    answer = send("limits.create", limit_name='"decimal"', max=Decimal(digits.decode()), threshold=0.8)

    assert b'"max": ' + digits + b"," in loopback.last.body
    assert loopback.last.json["limit_name"] == '"decimal"'
    assert answer.limit.max_exact == Decimal(digits.decode())
    assert answer.limit.threshold_exact == Decimal("0.8")


def test_a_time_goes_out_in_iso_8601(loopback: Loopback, send: Caller) -> None:
    loopback.answer(RESULT)
    for moment in (datetime(2024, 1, 2, 3, tzinfo=UTC), datetime(2024, 1, 2, 3), "2024-01-02"):  # noqa: DTZ001
        send("ingest.units", category="c", units={}, event_timestamp=moment)

    shown = [sent.json["event_timestamp"] for sent in loopback.sent]
    assert shown == ["2024-01-02T03:00:00+00:00", "2024-01-02T03:00:00", "2024-01-02"]


def test_e27_an_error_shows_status_code_and_body(loopback: Loopback, send: Caller) -> None:
    envelope = {
        "statusCode": 404,
        "message": "gone",
        "xproxy_error": {"code": "limit_not_found", "message": "no"},
        "xproxy_result": {"blocked_limit_ids": ["a"]},
    }
    loopback.answer(envelope, status=404)
    with pytest.raises(errors.NotFoundError) as caught:
        send("limits.retrieve", "a")

    error = caught.value
    assert (error.status_code, error.code, error.body) == (404, "limit_not_found", envelope)
    assert (error.xproxy_error, error.xproxy_result) == (envelope["xproxy_error"], envelope["xproxy_result"])
    assert error.response is not None
    assert error.response.status_code == 404
    assert error.request is not None
    assert error.request.method == "GET"
    assert "404" in str(error)
    assert "limit_not_found" in str(error)


KINDS = {
    400: errors.BadRequestError,
    401: errors.AuthenticationError,
    402: errors.APIStatusError,
    403: errors.PermissionDeniedError,
    404: errors.NotFoundError,
    409: errors.ConflictError,
    413: errors.APIStatusError,
    422: errors.UnprocessableEntityError,
    429: errors.RateLimitError,
    500: errors.InternalServerError,
    503: errors.InternalServerError,
}


def test_each_status_has_its_error(loopback: Loopback, send: Caller) -> None:
    for status, kind in KINDS.items():
        for content, body in ((b"<html>no</html>", "<html>no</html>"), (b"", None), (b'["list"]', ["list"])):
            loopback.answer(content, status=status)
            with pytest.raises(errors.APIStatusError) as caught:
                send("limits.list")

            error = caught.value
            assert type(error) is kind
            assert (error.status_code, error.body, error.code, error.xproxy_result) == (status, body, None, None)


BROKEN: list[object] = [{"limit": {}}, {"items": [{"limit_id": 1}]}, {"request_id": 7, "limit": LIMIT}]
NO_ANSWERS: list[object] = [[], "text", b"<html>", b""]


def test_an_answer_of_another_shape_is_an_error_when_strict(loopback: Loopback, send: Caller) -> None:
    for strict, bodies in ((True, BROKEN + NO_ANSWERS), (False, NO_ANSWERS)):
        send.open(_strict_response_validation=strict)
        for body in bodies:
            loopback.answer(body)
            with pytest.raises(errors.APIResponseValidationError) as caught:
                send("limits.retrieve", "a")

            error = caught.value
            assert (error.status_code, error.request is not None) == (200, True)
            assert error.response is not None
            assert error.response.status_code == 200


def test_an_answer_is_taken_as_far_as_it_fits(loopback: Loopback, send: Caller) -> None:
    odd = LIMIT | {"max": "much", "colour": {"red": 0.25}, "limit_creation_timestamp": "yesterday"}
    del odd["limit_name"]
    loopback.answer({"limit": odd, "message": 7})
    answer = send("limits.retrieve", "a")

    limit = answer.limit
    assert (answer.request_id, answer.message) == (None, 7)
    assert "request_id" not in answer.model_fields_set
    assert (limit.max, limit.limit_name, limit.limit_creation_timestamp) == ("much", None, "yesterday")
    assert (limit.limit_id, limit.colour, limit.totals.cost.total.base) == ("a/b c", {"red": 0.25}, 0)
    assert limit.limit_update_timestamp == datetime(2024, 1, 1, tzinfo=UTC)


def test_an_answer_may_have_members_of_the_future(loopback: Loopback, send: Caller) -> None:
    loopback.answer({"limit": LIMIT | {"colour": "red"}, "request_id": "r"})

    assert send("limits.retrieve", "a").limit.colour == "red"


def test_e14_a_slow_meter_is_a_timeout(loopback: Loopback, send: Caller) -> None:
    loopback.open.clear()
    for of_client, of_call in ((0.05, {}), (60, {"timeout": 0.05})):
        send.open(timeout=of_client)
        with pytest.raises(errors.APITimeoutError) as caught:
            send("limits.list", **of_call)
        assert isinstance(caught.value, errors.APIConnectionError)
        assert type(caught.value.__cause__).__module__.partition(".")[0] == LIBRARY
        assert caught.value.request is not None


def test_an_event_goes_out_once_and_its_result_comes_back(loopback: Loopback) -> None:
    loopback.answer(RESULT)
    who = Attribution(limit_ids=("l", "m"), user_id="ä", use_case_name="chat", use_case_version=2)
    event = UsageEvent(
        "e1", "c", "m", {"text": (1, 2)}, who, provider_response_id="p", module="openai/1", record_unpriced=True
    )
    with Payi(api_key="k", base_url=loopback.url) as client:
        results = client.transport.ingest([event, event])

    assert [result.limits["l"].state for result in results] == ["ok", "ok"]
    assert len(loopback.sent) == 2
    sent = loopback.last
    assert (sent.method, sent.path, sent.query) == ("POST", "/api/v1/ingest", {"id": ["p"]})
    assert sent.json["units"] == {"text": {"input": 1, "output": 2}}
    expected = {
        "xproxy-limit-ids": "l,m",
        "xproxy-user-id": "%C3%A4",
        "xproxy-usecase-name": "chat",
        "xproxy-usecase-version": "2",
        "xproxy-event-id": "e1",
        "xproxy-unpriced": "record",
        "xproxy-instrumented-module": "openai/1",
        "xproxy-encoding": "percent",
    }
    assert {name: sent.headers[name] for name in expected} == expected


def test_states_of_limits_are_asked_one_by_one_and_unknown_ones_left_out(loopback: Loopback) -> None:
    missing = {"statusCode": 404, "message": "", "xproxy_error": {"code": "limit_not_found"}}
    known = {"limit": LIMIT, "request_id": "r"}

    async def ask_async() -> Any:
        async with AsyncPayi(api_key="k", base_url=loopback.url) as client:
            return await client.transport.alimit_states(["a", "b"], 5)

    loopback.answer(known)
    with Payi(api_key="k", base_url=loopback.url) as client:
        states = client.transport.limit_states(["a", "b"], 5)
    assert states == asyncio.run(ask_async())
    assert {name: (standing.state, standing.remaining) for name, standing in states.items()} == {
        "a": ("ok", 10.0),
        "b": ("ok", 10.0),
    }
    loopback.answer(missing, status=404)
    assert asyncio.run(ask_async()) == {}


@pytest.mark.parametrize("library", ["httpx", "httpx2"])
async def test_the_callers_own_http_client_is_used_and_left_open(loopback: Loopback, library: str) -> None:
    http: Any = importlib.import_module(library)
    loopback.answer({"items": []})
    with http.Client(headers={"X-Own": "sync"}) as own:
        with Payi(api_key="k", base_url=loopback.url, http_client=own) as client:
            client.limits.list()
        assert (loopback.last.headers["x-own"], own.is_closed) == ("sync", False)
    async with http.AsyncClient(headers={"X-Own": "async"}) as awaited:
        async with AsyncPayi(api_key="k", base_url=loopback.url, http_client=awaited) as client:
            await client.limits.list()
        assert (loopback.last.headers["x-own"], awaited.is_closed) == ("async", False)


def test_an_http_client_of_another_kind_is_a_type_error() -> None:
    for library in ("httpx", "httpx2"):
        http: Any = importlib.import_module(library)
        wrongs: list[Any] = [object(), http.AsyncClient()]
        for wrong in wrongs:
            with pytest.raises(TypeError, match=r"http_client: .* is no httpx2.Client or httpx.Client"):
                Payi(api_key="k", http_client=wrong)
        with http.Client() as own, pytest.raises(TypeError, match=rf"http_client: {library}.*\.Client is no httpx2.A"):
            AsyncPayi(api_key="k", http_client=own)


@pytest.mark.skipif(LIBRARY != "httpx2", reason="this is the run on the other library")
def test_all_of_this_holds_on_httpx_too(pytestconfig: pytest.Config) -> None:
    settings = ["-c", str(pytestconfig.inipath), "--rootdir", str(pytestconfig.rootpath), "-p", "no:cacheprovider"]
    command = [sys.executable, "-m", "pytest", "-q", *settings, __file__]
    done = subprocess.run(
        command, env={**os.environ, "PAYI_HTTP": "httpx"}, capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 0, done.stdout
