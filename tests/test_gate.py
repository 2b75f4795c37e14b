"""A full `block` limit stops a call before it costs anything. Rows Q-11, Q-12, decision 10."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import threading
import time
import tracemalloc
from typing import TYPE_CHECKING, Any

import pytest
from failing_meter import FailingMeter
from meters import METERS

from payi_instrument import (
    AsyncPayi,
    Instrumentation,
    LimitBlockedError,
    Payi,
    create_headers,
    get_context,
    payi_instrument,
    track,
    track_context,
)
from payi_instrument.testing import MemoryMeter, metered

if TYPE_CHECKING:
    from collections.abc import Iterator

    from openai import AsyncOpenAI, OpenAI

    from examples.openai_standin import StandIn

ASK: dict[str, Any] = {"model": "gpt-4o", "messages": [{"role": "user", "content": "What is two and two?"}]}
COST = 0.007


@pytest.fixture
def limits(meter: MemoryMeter) -> None:
    meter.client.limits.create(limit_name="Trial", limit_id="trial", max=COST, limit_type="block")
    meter.client.limits.create(limit_name="Month", limit_id="month", max=1)


@pytest.mark.usefixtures("limits")
@pytest.mark.parametrize("form", ["plain", "stream", "with_raw_response", "with_streaming_response"])
def test_q11_a_full_block_limit_stops_the_call(sdk: OpenAI, standin: StandIn, meter: MemoryMeter, form: str) -> None:
    def ask() -> None:
        if form == "with_streaming_response":
            with sdk.chat.completions.with_streaming_response.create(**ASK) as response:
                response.read()
        elif form == "with_raw_response":
            sdk.chat.completions.with_raw_response.create(**ASK)
        else:
            answer = sdk.chat.completions.create(**ASK, stream=form == "stream")
            assert list(answer)

    with track_context(limit_ids=["month", "trial"]):
        ask()
        with pytest.raises(LimitBlockedError) as caught:
            ask()
        assert get_context()["last_result"] is caught.value.xproxy_result

    assert len(standin.requests) == 1
    assert caught.value.limit_ids == ["trial"]
    refused = meter.events[-1]
    assert (refused.http_status_code, refused.units, refused.properties["system.blocked"]) == (424, {}, "trial")
    result: Any = caught.value.xproxy_result
    assert result.blocked_limit_ids == ["trial"]
    assert {limit_id: limit.state for limit_id, limit in result.limits.items()} == {
        "trial": "blocked",
        "month": "blocked_external",
    }
    assert result.cost.total.base == 0
    assert meter.client.limits.retrieve("month").limit.totals.cost.total.base == COST


@pytest.mark.usefixtures("limits")
async def test_q11_awaited(asdk: AsyncOpenAI, standin: StandIn, meter: MemoryMeter) -> None:
    with track_context(limit_ids=["trial"]):
        await asdk.chat.completions.create(**ASK)
        with pytest.raises(LimitBlockedError) as caught:
            await asdk.chat.completions.create(**ASK)
        with pytest.raises(LimitBlockedError):
            async with asdk.chat.completions.stream(**ASK):
                pass

    assert len(standin.requests) == 1
    assert caught.value.limit_ids == ["trial"]
    assert [event.http_status_code for event in meter.events] == [200, 424, 424]


@pytest.mark.usefixtures("limits")
def test_the_refusal_passes_through_the_decorator_and_out(sdk: OpenAI, standin: StandIn) -> None:
    @track(limit_ids=["trial"])
    def answer() -> None:
        sdk.chat.completions.create(**ASK)

    answer()
    with pytest.raises(LimitBlockedError, match="blocked by limit trial: raise its max, reset it, or call without it"):
        answer()
    sdk.chat.completions.create(**ASK)
    assert len(standin.requests) == 2


@pytest.mark.usefixtures("limits")
@pytest.mark.parametrize("opening", ["raised", "removed", "made anew"])
def test_a_limit_that_has_room_again_lets_calls_through(sdk: OpenAI, meter: MemoryMeter, opening: str) -> None:
    books = meter.client.limits
    with track_context(limit_ids=["trial"]):
        sdk.chat.completions.create(**ASK)
        with pytest.raises(LimitBlockedError):
            sdk.chat.completions.create(**ASK)
        if opening == "raised":
            books.update("trial", max=1)
        else:
            books.delete("trial")
        if opening == "made anew":
            books.create(limit_name="Trial", limit_id="trial", max=COST, limit_type="block")
        sdk.chat.completions.create(**ASK)
        if opening == "made anew":
            with pytest.raises(LimitBlockedError):
                sdk.chat.completions.create(**ASK)


@pytest.mark.usefixtures("limits")
def test_spend_from_elsewhere_is_seen(sdk: OpenAI, standin: StandIn, meter: MemoryMeter) -> None:
    meter.client.ingest.units(
        category="system.openai", resource="gpt-4o", units={"text": {"input": 9000, "output": 0}}, limit_ids=["trial"]
    )
    with track_context(limit_ids=["trial"]), pytest.raises(LimitBlockedError):
        sdk.chat.completions.create(**ASK)
    assert standin.requests == []


@pytest.mark.usefixtures("limits")
def test_allow_limits_and_unknown_ones_stop_nothing(sdk: OpenAI, meter: MemoryMeter) -> None:
    meter.client.limits.create(limit_name="Small", limit_id="small", max=0.001)
    with track_context(limit_ids=["small", "nobody's"]):
        for _ in range(3):
            answer: Any = sdk.chat.completions.create(**ASK)
    assert answer.xproxy_result.limits["small"].state == "overrun"


def test_blocking_can_be_switched_off(sdk: OpenAI, standin: StandIn) -> None:
    with metered(config={"enforce_block_limits": False, "limit_ids": ["trial"]}) as meter:
        meter.client.limits.create(limit_name="Trial", limit_id="trial", max=0.001, limit_type="block")
        for _ in range(2):
            answer: Any = sdk.chat.completions.create(**ASK)
    assert len(standin.requests) == 2
    assert answer.xproxy_result.limits["trial"].state == "blocked"


@pytest.fixture
def agents(client: Payi) -> Iterator[Payi]:
    """A meter on which each run of an agent may spend as much as one call costs."""
    terms: Any = {"max": COST, "limit_type": "block"}
    client.use_cases.definitions.create(name="agent", description="d", limit_config=terms)
    client.use_cases.definitions.create(name="free", description="d")
    handle = payi_instrument(client)
    yield client
    handle.shutdown()


@pytest.mark.parametrize("client", METERS, indirect=True)
@pytest.mark.usefixtures("agents")
def test_the_limit_of_a_use_cases_instance_stops_its_next_call(sdk: OpenAI, standin: StandIn) -> None:
    @track(use_case_name="agent")
    def run(calls: int) -> None:
        for _ in range(calls):
            sdk.chat.completions.create(**ASK)

    with pytest.raises(LimitBlockedError) as caught:
        run(2)
    [limit_id] = caught.value.limit_ids
    result: Any = caught.value.xproxy_result
    assert result.blocked_limit_ids == [limit_id]
    run(1)  # another run has a limit of its own
    for _ in range(2):
        with track_context(use_case_name="free", use_case_id="run"):
            unlimited = sdk.chat.completions.create(**ASK)
    assert unlimited.xproxy_result.limits == {}
    assert len(standin.requests) == 4


@pytest.mark.parametrize("client", METERS, indirect=True)
async def test_a_run_that_goes_on_elsewhere_is_stopped_there(
    agents: Payi, sdk: OpenAI, asdk: AsyncOpenAI, standin: StandIn
) -> None:
    """An embedded meter is asked at first sight; of a remote one the first result says which limit an instance has."""
    agents.ingest.units(
        category="system.openai",
        resource="gpt-4o",
        units={"text": {"input": 90_000}},
        use_case_name="agent",
        use_case_id="run-1",
    )
    unseen = 0 if agents.transport.embedded else 1
    with track_context(use_case_name="agent", use_case_id="run-1"):
        for _ in range(unseen):
            sdk.chat.completions.create(**ASK)
        with pytest.raises(LimitBlockedError):
            sdk.chat.completions.create(**ASK)
        with pytest.raises(LimitBlockedError):
            await asdk.chat.completions.create(**ASK)
    with pytest.raises(LimitBlockedError):
        sdk.chat.completions.create(**ASK, extra_headers=create_headers(use_case_name="agent", use_case_id="run-1"))
    assert len(standin.requests) == unseen


@pytest.mark.parametrize("client", METERS, indirect=True)
def test_a_run_whose_own_limit_is_named_or_gone(agents: Payi, sdk: OpenAI, standin: StandIn) -> None:
    def call(**more: Any) -> Any:
        with track_context(use_case_name="agent", use_case_id="run-1", **more):
            return sdk.chat.completions.create(**ASK)

    [limit_id] = call().xproxy_result.limits
    for more in ({}, {"limit_ids": [limit_id]}, {}):
        with pytest.raises(LimitBlockedError) as caught:
            call(**more)
        assert caught.value.limit_ids == [limit_id]
    agents.limits.delete(limit_id)
    if agents.transport.embedded:  # a remote one is asked again when what is known of it is old
        assert call().xproxy_result.limits == {}
        assert len(standin.requests) == 2


@pytest.mark.parametrize("client", METERS[:1], indirect=True)
def test_a_run_that_began_here_and_was_spent_elsewhere_is_stopped(agents: Payi, sdk: OpenAI, standin: StandIn) -> None:
    for _ in range(2):
        with track_context(use_case_name="agent") as run:
            units: Any = {"text": {"input": 90_000}}
            where: Any = {"use_case_name": "agent", "use_case_id": run.use_case_id}
            agents.ingest.units(category="system.openai", resource="gpt-4o", units=units, **where)
            with pytest.raises(LimitBlockedError):
                sdk.chat.completions.create(**ASK)
    assert standin.requests == []


@pytest.mark.parametrize("client", METERS[:1], indirect=True)
@pytest.mark.usefixtures("agents")
def test_runs_that_the_meter_names_leave_nothing_behind(sdk: OpenAI, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("payi_instrument.delivery.instances._MOST", 5)

    def kept(use_case_name: str) -> int:
        with track_context(use_case_name=use_case_name, use_case_id=""):
            for count in (20, 100):
                tracemalloc.start()
                for _ in range(count):
                    sdk.chat.completions.create(**ASK)
                gc.collect()
                traced, _ = tracemalloc.get_traced_memory()
                tracemalloc.stop()
        return traced

    assert kept("agent") < kept("free") + 60_000  # the stand-in keeps the requests


@pytest.mark.parametrize("client", ["server-sqlite"], indirect=True)
@pytest.mark.usefixtures("agents")
def test_a_full_run_is_remembered_whatever_runs_meanwhile(sdk: OpenAI, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("payi_instrument.delivery.instances._MOST", 50)

    def call(use_case_id: str) -> None:
        with track_context(use_case_name="agent", use_case_id=use_case_id):
            sdk.chat.completions.create(**ASK)

    call("busy")
    for number in range(60):
        call(str(number))
        with pytest.raises(LimitBlockedError):
            call("busy")
    with pytest.raises(LimitBlockedError):
        call("59")
    call("0")  # forgotten by now, until its result says it again
    with pytest.raises(LimitBlockedError):
        call("0")


def test_q12_a_listener_hears_of_each_change_once(sdk: OpenAI) -> None:
    heard: list[tuple[str, str | None, str, float]] = []
    threads: set[str] = set()

    def listen(limit_id: str, old: str | None, new: str, result: Any) -> None:
        heard.append((limit_id, old, new, result.limits[limit_id].spent))
        threads.add(threading.current_thread().name)

    with metered(config={"on_limit_state": listen, "limit_ids": ["l", "calm"]}) as meter:
        meter.client.limits.create(limit_name="L", limit_id="l", max=0.018, threshold=0.75)
        meter.client.limits.create(limit_name="Calm", limit_id="calm", max=1)
        for _ in range(4):
            sdk.chat.completions.create(**ASK)
        assert meter.handle is not None
        assert meter.handle.flush()
    assert heard == [("l", "ok", "exceeded", 0.014), ("l", "exceeded", "overrun", 0.021)]
    assert threading.current_thread().name not in threads


def test_q12_a_change_that_the_gate_saw_first_is_told_too(sdk: OpenAI) -> None:
    heard: list[tuple[str | None, str]] = []
    config = {"on_limit_state": lambda _id, old, new, _result: heard.append((old, new)), "limit_ids": ["trial"]}
    with metered(config=config) as meter:
        meter.client.limits.create(limit_name="Trial", limit_id="trial", max=0.05, limit_type="block")
        sdk.chat.completions.create(**ASK)
        meter.client.ingest.units(
            category="system.openai", resource="gpt-4o", units={"text": {"input": 90_000}}, limit_ids=["trial"]
        )
        with pytest.raises(LimitBlockedError):
            sdk.chat.completions.create(**ASK)
    assert heard == [("ok", "blocked")]


def test_a_listener_that_fails_is_not_the_callers_problem(sdk: OpenAI) -> None:
    from payi_instrument import guard

    guard.raise_errors(False)
    told: list[str] = []

    def listen(_id: str, _old: str | None, new: str, _result: Any) -> None:
        told.append(new)
        raise LookupError(new)

    with metered(config={"on_limit_state": listen, "limit_ids": ["l"]}) as meter:
        meter.client.limits.create(limit_name="L", limit_id="l", max=0.014, threshold=0.75)
        for _ in range(3):
            sdk.chat.completions.create(**ASK)
    assert told == ["exceeded", "overrun"]


@pytest.fixture
def remote() -> Iterator[FailingMeter]:
    with FailingMeter() as meter:
        meter.books.limits.create(limit_name="Trial", limit_id="trial", max=COST, limit_type="block")
        yield meter


@pytest.fixture
def instrumented(remote: FailingMeter, request: pytest.FixtureRequest) -> Iterator[Instrumentation]:
    with Payi(base_url=remote.url, api_key="k") as payi:
        handle = payi_instrument(payi, config={"limit_ids": ["trial"], **getattr(request, "param", {})})
        yield handle
        remote.always = None
        handle.shutdown()


@pytest.mark.usefixtures("instrumented")
def test_a_remote_limit_is_asked_for_at_first_sight_only(sdk: OpenAI, standin: StandIn, remote: FailingMeter) -> None:
    sdk.chat.completions.create(**ASK)
    with pytest.raises(LimitBlockedError):
        sdk.chat.completions.create(**ASK)
    assert [method for method, _, _ in remote.asked] == ["GET", "POST", "POST"]
    assert len(standin.requests) == 1


async def test_a_remote_limit_is_asked_for_without_holding_up_the_loop(
    asdk: AsyncOpenAI, standin: StandIn, remote: FailingMeter
) -> None:
    async with AsyncPayi(base_url=remote.url, api_key="k") as payi:
        handle = payi_instrument(payi, config={"limit_ids": ["trial"], "gate_budget_ms": 10_000})
        try:
            remote.troubles.append("hang")
            call = asyncio.create_task(asdk.chat.completions.create(**ASK))
            while not remote.asked:  # noqa: ASYNC110  # the other side is a thread
                await asyncio.sleep(0.001)
            assert not call.done()
            assert standin.requests == []
            remote.released.set()
            await call
        finally:
            handle.uninstrument()
    assert len(standin.requests) == 1


@pytest.mark.usefixtures("instrumented")
def test_a_limit_that_a_remote_meter_does_not_know_is_asked_for_once(sdk: OpenAI, remote: FailingMeter) -> None:
    with track_context(limit_ids=["nobody's"]):
        for _ in range(3):
            sdk.chat.completions.create(**ASK, extra_headers={"xProxy-Limit-IDs": "nobody's"})
    assert [method for method, _, _ in remote.asked] == ["GET", "POST", "POST", "POST"]


@pytest.mark.usefixtures("instrumented")
@pytest.mark.parametrize("trouble", [503, "lose", "hang"])
def test_a_meter_that_is_not_reached_stops_no_call(
    sdk: OpenAI, standin: StandIn, remote: FailingMeter, trouble: Any, caplog: pytest.LogCaptureFixture
) -> None:
    remote.books.limits.update("trial", max=1)
    remote.troubles.append(trouble)
    for _ in range(2):
        sdk.chat.completions.create(**ASK)
    assert len(standin.requests) == 2
    assert [method for method, _, _ in remote.asked].count("GET") == 1  # and not asked again at once
    assert caplog.text.count("limits can't be read") == 1


@pytest.mark.parametrize(
    "instrumented", [{"on_meter_down": "block", "block_state_ttl": 0}, {"block_state_ttl": 0}], indirect=True
)
def test_known_block_limits_of_a_meter_that_is_down(
    sdk: OpenAI,
    remote: FailingMeter,
    instrumented: Instrumentation,
    request: pytest.FixtureRequest,
    caplog: pytest.LogCaptureFixture,
) -> None:
    remote.books.limits.update("trial", max=1)
    sdk.chat.completions.create(**ASK)
    remote.always = 503
    with contextlib.suppress(LimitBlockedError):  # asks again in the background, and may find out in time
        sdk.chat.completions.create(**ASK)
    while "limits can't be read" not in caplog.text:
        time.sleep(0.001)
    if "on_meter_down" in request.node.callspec.params["instrumented"]:
        with pytest.raises(LimitBlockedError):
            sdk.chat.completions.create(**ASK)
    else:
        sdk.chat.completions.create(**ASK)
