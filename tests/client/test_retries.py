"""When a request is sent again, and where it may be led: on both libraries, sync and async. Rows E-9, E-11, E-13, E-14."""

from __future__ import annotations

import email.utils
import importlib
import random
import time
from typing import TYPE_CHECKING, Any

import pytest
from calling import Caller
from loopback_meter import Answer, LoopbackMeter

from payi_instrument import errors
from payi_instrument.client.retries import Wait, delay, exchange, may_help
from payi_instrument.event import Attribution, UsageEvent

if TYPE_CHECKING:
    from collections.abc import Mapping

NOW = {"retry-after-ms": "1"}
"""Asks for a retry at once, so that no test has to wait."""


def refusals(*statuses: int) -> list[Answer]:
    return [Answer(status, NOW) for status in statuses]


def test_e9_without_a_word_from_the_meter_the_pause_is_the_clients(caller: Caller, server: LoopbackMeter) -> None:
    server.instead.append(Answer(500))
    caller.open(server.url)
    numbers = random.getstate()

    assert caller("limits.with_raw_response.list").retries_taken == 1
    assert random.getstate() == numbers  # a program that seeds them gets the same ones, metered or not


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 413, 422])
def test_e11_what_can_not_be_helped_is_not_retried(caller: Caller, server: LoopbackMeter, status: int) -> None:
    server.always = Answer(status)
    caller.open(server.url)
    with pytest.raises(errors.APIStatusError):
        caller("limits.list")

    assert len(server.asked) == 1


@pytest.mark.parametrize("status", [408, 409, 429, 500, 502, 599])
def test_what_may_pass_is_retried(caller: Caller, server: LoopbackMeter, status: int) -> None:
    server.instead.extend(refusals(status))
    caller.open(server.url)
    caller("limits.list")

    assert len(server.asked) == 2


def test_the_meter_has_the_last_word(caller: Caller, server: LoopbackMeter) -> None:
    caller.open(server.url)
    server.instead.append(Answer(400, {**NOW, "x-should-retry": "true"}))
    caller("limits.list")
    assert len(server.asked) == 2

    server.instead.append(Answer(503, {"x-should-retry": "false"}))
    with pytest.raises(errors.InternalServerError):
        caller("limits.list")
    assert len(server.asked) == 3


def test_e13_a_retried_request_is_the_same_request(caller: Caller, server: LoopbackMeter) -> None:
    server.instead.extend([*refusals(500), Answer(breaks=True)])
    caller.open(server.url)
    caller("limits.create", limit_name="n", max=1)
    caller("limits.create", limit_name="m", max=1)

    keys = [asked.headers["idempotency-key"] for asked in server.asked]
    assert len(set(keys[:3])) == 1
    assert keys[3] != keys[0]
    assert len({asked.content for asked in server.asked[:3]}) == 1


def test_an_event_counts_once_however_often_it_is_sent(caller: Caller, server: LoopbackMeter) -> None:
    server.books.limits.create(limit_name="n", limit_id="a", max=1)
    server.instead.extend(refusals(500))
    caller.open(server.url)
    caller("ingest.units", category="c", units={}, limit_ids=["a"])

    assert len({asked.headers["xproxy-event-id"] for asked in server.asked}) == 1
    assert server.books.limits.retrieve("a").limit.totals.requests.total == 1


def test_the_callers_own_idempotency_key_is_kept(caller: Caller, server: LoopbackMeter) -> None:
    caller.open(server.url)
    caller("limits.create", limit_name="n", max=1, extra_headers={"idempotency-KEY": "mine"})

    assert server.last.headers["idempotency-key"] == "mine"
    caller("limits.list")
    assert "idempotency-key" not in server.last.headers


def test_a_lost_connection_is_retried_and_named_in_the_end(caller: Caller, server: LoopbackMeter) -> None:
    server.instead.append(Answer(breaks=True))
    caller.open(server.url, max_retries=1)
    assert caller("limits.with_raw_response.list").retries_taken == 1

    server.always = Answer(breaks=True)
    with pytest.raises(errors.APIConnectionError) as caught:
        caller("limits.list")
    assert len(server.asked) == 4
    assert type(caught.value.__cause__).__module__.partition(".")[0] == caller.library


def test_e14_a_timeout_is_retried_too(caller: Caller, server: LoopbackMeter) -> None:
    server.open.clear()
    patient = importlib.import_module(caller.library).Timeout(30, read=0.05)
    caller.open(server.url, timeout=patient, max_retries=1)
    with pytest.raises(errors.APITimeoutError) as caught:
        caller("limits.list")

    assert isinstance(caught.value, errors.APIConnectionError)
    until = time.monotonic() + 30
    while len(server.asked) < 2 and time.monotonic() < until:
        time.sleep(0.01)  # the server may be slower to read than the client to give up
    assert len(server.asked) == 2


def test_an_address_that_can_not_be_is_not_retried(caller: Caller, server: LoopbackMeter) -> None:
    server.instead.append(Answer(307, {"location": "ftp://meter.example.com"}))
    caller.open(server.url)
    with pytest.raises(errors.APIConnectionError, match="ftp") as caught:
        caller("limits.list")

    assert type(caught.value.__cause__).__name__ == "UnsupportedProtocol"


def test_what_instrumentation_delivers_goes_out_once(caller: Caller, server: LoopbackMeter) -> None:
    server.always = Answer(503, NOW)
    transport = caller.open(server.url).transport
    event = UsageEvent("e", "c", None, {}, Attribution())
    prefix = "a" if caller.awaited else ""
    for method, argument in (("ingest", [event]), ("limit_states", ["a"])):
        server.asked.clear()
        with pytest.raises(errors.InternalServerError):
            caller.wait(getattr(transport, prefix + method), argument)
        assert len(server.asked) == 1


def test_a_redirect_is_followed_and_takes_the_key_along_at_home(caller: Caller, server: LoopbackMeter) -> None:
    server.instead.append(Answer(307, {"location": "/api/v1/limits"}))
    caller.open(server.url + "/old")
    caller("limits.create", limit_name="n", max=1)

    assert server.paths == ["POST /old/api/v1/limits", "POST /api/v1/limits"]
    assert server.last.headers["xproxy-api-key"] == "k"
    assert server.last.json == {"limit_name": "n", "max": 1}


def test_a_redirect_elsewhere_never_gets_the_key(caller: Caller, server: LoopbackMeter) -> None:
    with LoopbackMeter() as other:
        server.always = Answer(307, {"location": f"{other.url}/api/v1/limits"})
        caller.open(server.url)
        caller("limits.list")

        assert "xproxy-api-key" in server.last.headers
        assert len(other.asked) == 1
        assert "xproxy-api-key" not in other.last.headers
        assert "k" not in other.last.headers.values()


def test_redirects_in_a_circle_end(caller: Caller, server: LoopbackMeter) -> None:
    server.always = Answer(302, {"location": "/api/v1/limits"})
    caller.open(server.url)
    with pytest.raises(errors.APIConnectionError, match="more than 20 redirects"):
        caller("limits.list")

    assert len(server.asked) == 20


# What is decided, without a network: the policy is a plain generator.


def in_http_date(seconds: float) -> str:
    return email.utils.formatdate(time.time() + seconds, usegmt=True)


@pytest.mark.parametrize(
    ("headers", "pause"),
    [
        ({"retry-after-ms": "1500"}, 1.5),
        ({"retry-after": "1"}, 1),
        ({"retry-after": "60"}, 60),
        ({"retry-after-ms": "250", "retry-after": "9"}, 0.25),
        ({"retry-after-ms": "soon", "retry-after": "9"}, 9),
    ],
)
def test_the_meter_says_how_long_to_wait(headers: Mapping[str, str], pause: float) -> None:
    assert delay(0, headers) == pause


def test_the_meter_may_name_a_date() -> None:
    assert 25 < delay(0, {"retry-after": in_http_date(30)}) <= 31


@pytest.mark.parametrize("text", ["0", "-1", "61", "nan", "inf", "tomorrow", "", "1e999"])
def test_a_pause_out_of_bounds_is_the_clients_own(text: str) -> None:
    for headers in ({"retry-after": text}, {"retry-after": in_http_date(-5)}, {"retry-after": in_http_date(99)}, None):
        assert 0.375 <= delay(0, headers) <= 0.5


def test_pauses_double_up_to_eight_seconds_less_at_most_a_quarter() -> None:
    for retries, longest in enumerate([0.5, 1, 2, 4, 8, 8, 8]):
        pauses = [delay(retries, {}) for _ in range(200)]
        assert all(longest * 0.75 <= pause <= longest for pause in pauses)
        assert len(set(pauses)) > 100
    assert delay(5000, {}) <= 8


class Told:
    """An answer as the policy sees it."""

    next_request: Any = None

    def __init__(self, status: int, **headers: str) -> None:
        self.status_code = status
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


class Sent:
    method = "POST"

    class url:  # noqa: N801
        scheme, host, port, path = "https", "meter", None, "/p"

    def __init__(self) -> None:
        self.headers: dict[str, str] = {}


def test_the_policy_sends_waits_and_sends_again() -> None:
    request: Any = Sent()
    flow = exchange(request, 2, follows=True)
    assert next(flow) is request
    assert flow.send(Told(500, retry_after_ms="20")) == Wait(0.02)  # type: ignore[arg-type]
    assert flow.send(None) is request
    pause = flow.send(errors.APITimeoutError())
    assert isinstance(pause, Wait)
    assert 0.75 <= pause.seconds <= 1
    assert flow.send(None) is request
    answer: Any = Told(500)
    with pytest.raises(StopIteration) as done:
        flow.send(answer)
    assert done.value.value == (answer, 2)


def test_success_is_never_repeated() -> None:
    answers: list[Any] = [Told(status, x_should_retry="true") for status in (200, 204)]
    assert not any(may_help(answer) for answer in answers)
