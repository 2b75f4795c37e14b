"""Delivery while the caller waits, on good days and bad ones. Rows Q-2 to Q-7, Q-9, Q-10, Q-14, Q-15."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import textwrap
from contextlib import contextmanager
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from failing_meter import FailingMeter, Trouble
from loopback_meter import Answer, LoopbackMeter
from openai_answers import response

from examples.openai_standin import Reply
from payi_instrument import AsyncPayi, Instrumentation, Payi, payi_instrument

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from openai import AsyncOpenAI, OpenAI

    from examples.openai_standin import StandIn

ASK: dict[str, Any] = {"model": "gpt-4o", "messages": [{"role": "user", "content": "What is two and two?"}]}
QUEUED = "ingest_retry_enqueued"
UNREACHED = "api_connection_error"


@pytest.fixture
def remote() -> Iterator[FailingMeter]:
    with FailingMeter() as meter:
        meter.books.limits.create(limit_name="L", limit_id="l", max=1)
        yield meter


@contextmanager
def instrumented(
    remote: FailingMeter, *, client: Payi | AsyncPayi | None = None, **config: Any
) -> Iterator[Instrumentation]:
    payi = client or Payi(base_url=remote.url, api_key="k", timeout=5)
    handle = payi_instrument(payi, config={"limit_ids": ["l"], "enforce_block_limits": False, **config})
    try:
        yield handle
    finally:
        remote.always = None
        remote.released.set()
        handle.shutdown()
        if isinstance(payi, Payi):
            payi.close()


def result_of(sdk: OpenAI) -> Any:
    answer: Any = sdk.chat.completions.create(**ASK)
    assert answer.choices[0].message.content == "The answer is four."
    return answer.xproxy_result


def booked(remote: FailingMeter) -> int:
    """Return how many events the ledger counted."""
    return remote.books.limits.retrieve("l").limit.totals.requests.total


def test_a_good_day(sdk: OpenAI, remote: FailingMeter) -> None:
    with instrumented(remote) as handle:
        result = result_of(sdk)
        assert (result.queued, result.error, result.cost.total.base) == (None, None, 0.007)
        assert (result.limits["l"].state, result.limits["l"].stale) == ("ok", False)
        assert booked(remote) == 1
        assert handle.flush()
    assert len(remote.ingests) == 1


@pytest.mark.parametrize(
    ("trouble", "code"), [(503, QUEUED), (500, QUEUED), (429, QUEUED), (408, QUEUED), ("lose", UNREACHED)]
)
def test_q2_q3_q5_q7_what_could_not_be_delivered_is_delivered_once_later(
    sdk: OpenAI, remote: FailingMeter, trouble: Trouble, code: str
) -> None:
    with instrumented(remote) as handle:
        known = result_of(sdk)
        remote.troubles.append(trouble)
        result = result_of(sdk)

        assert (result.queued, result.cost, result.code) == (True, None, code)
        assert (result.limits["l"].state, result.limits["l"].stale) == ("ok", True)
        assert result.limits["l"].spent == known.limits["l"].spent
        assert handle.flush()
        assert booked(remote) == 2
    assert len(remote.ingests) == 3
    assert remote.ingests[1] == remote.ingests[2]


def test_q2_a_limit_that_was_never_seen_is_readable_too(sdk: OpenAI, remote: FailingMeter) -> None:
    remote.troubles.append(503)
    with instrumented(remote):
        result = result_of(sdk)
    assert (result.limits["l"].state, result.limits["l"].stale) == (None, True)


def test_q2_a_meter_that_hangs_holds_a_call_up_for_its_timeout_only(sdk: OpenAI, remote: FailingMeter) -> None:
    remote.troubles.append("hang")
    with instrumented(remote, client=Payi(base_url=remote.url, api_key="k", timeout=0.05)) as handle:
        result = result_of(sdk)
        assert (result.queued, result.code) == (True, UNREACHED)
        remote.released.set()
        assert handle.flush()
        assert booked(remote) == 1


def test_q6_what_the_meter_refuses_is_not_sent_again_and_logged_once(
    sdk: OpenAI, remote: FailingMeter, caplog: pytest.LogCaptureFixture
) -> None:
    remote.always = 400
    with instrumented(remote) as handle:
        for _ in range(3):
            result = result_of(sdk)
            assert (bool(result.queued), result.code) == (False, "unknown_error")
            assert result.limits["l"].stale
        assert handle.flush()
    assert len(remote.ingests) == 3
    assert caplog.text.count("refused") == 1


def drawn(standin: StandIn) -> dict[str, Any]:
    """Let the model answer with an image that another model drew; return what to ask for."""
    ask = {"model": "gpt-4o", "input": "Four apples", "tools": [{"type": "image_generation", "model": "gpt-image-1"}]}
    usage = {"input_tokens": 0, "output_tokens": 1000, "total_tokens": 1000}
    answer = {**response(Reply(), ask), "tool_usage": {"image_gen": usage, "web_search": {"num_requests": 0}}}
    standin.answers["/responses"] = lambda *_: answer
    return ask


@pytest.mark.parametrize("awaited", [False, True], ids=["sync", "async"])
def test_a_result_has_the_cost_of_all_that_a_call_used(
    sdk: OpenAI, asdk: AsyncOpenAI, standin: StandIn, remote: FailingMeter, awaited: bool
) -> None:
    ask = drawn(standin)

    async def acall() -> Any:
        async with asdk:
            return await asdk.responses.create(**ask)

    with instrumented(remote):
        answer: Any = asyncio.run(acall()) if awaited else sdk.responses.create(**ask)
        spent = remote.books.limits.retrieve("l").limit.totals.cost

    cost = answer.xproxy_result.cost
    assert cost.total.base_exact == spent.total.base_exact == Decimal("0.007") + Decimal("0.04")
    assert cost.input.base_exact + cost.output.base_exact == cost.total.base_exact
    assert answer.xproxy_result.limits["l"].spent_exact == cost.total.base_exact


def test_q6_an_event_that_is_refused_leaves_the_others_of_its_call_alone(
    sdk: OpenAI, standin: StandIn, remote: FailingMeter
) -> None:
    ask = drawn(standin)
    with instrumented(remote) as handle:
        remote.troubles.append(400)
        answer: Any = sdk.responses.create(**ask)
        assert (answer.xproxy_result.error, answer.xproxy_result.cost.total.base) == (None, 0.007)
        remote.troubles.append(503)
        answer = sdk.responses.create(**ask)
        assert answer.xproxy_result.cost.total.base == 0.007
        assert handle.flush()
        assert booked(remote) == 3
    assert len(remote.ingests) == 5


def test_an_event_that_cannot_be_sent_at_all_does_not_hold_up_the_others(
    sdk: OpenAI, remote: FailingMeter, caplog: pytest.LogCaptureFixture
) -> None:
    odd: list[object] = [object()]

    def redact(texts: dict[str, Any]) -> dict[str, Any]:
        return {**texts, "properties": {"no JSON": odd.pop()}} if odd else texts

    with instrumented(remote, redact=redact) as handle:
        assert result_of(sdk).queued
        assert handle.flush()
        assert result_of(sdk).cost.total.base == 0.007
    assert booked(remote) == 1
    assert "refused" in caplog.text


def test_a_meter_that_is_down_is_logged_once_in_a_window(
    sdk: OpenAI, remote: FailingMeter, caplog: pytest.LogCaptureFixture
) -> None:
    remote.always = 503
    with instrumented(remote) as handle:
        for _ in range(5):
            result_of(sdk)
        assert not handle.flush(0.01)
        assert caplog.text.count("meter not reached") == 1
        remote.always = None
        assert handle.flush()
        assert booked(remote) == 5
        assert remote.ingests[-5:] == list(dict.fromkeys(remote.ingests))  # in order


def test_q14_a_full_queue_drops_the_oldest_and_says_so_once(
    sdk: OpenAI, remote: FailingMeter, caplog: pytest.LogCaptureFixture
) -> None:
    remote.always = 503
    with instrumented(remote, queue_max_events=2) as handle:
        for _ in range(6):
            result_of(sdk)
            handle.flush(0.01)
        remote.always = None
        assert handle.flush()
        assert booked(remote) == 2
    assert caplog.text.count("dropping the oldest") == 1


def test_a_stream_of_a_call_that_could_not_be_delivered(sdk: OpenAI, remote: FailingMeter) -> None:
    remote.troubles.append(503)
    with instrumented(remote) as handle:
        stream: Any = sdk.chat.completions.create(**ASK, stream=True)
        assert len(list(stream)) == 6
        assert stream.xproxy_result.queued
        assert handle.flush()
        assert booked(remote) == 1


async def test_q9_a_sync_client_does_not_hold_up_the_loop(asdk: AsyncOpenAI, remote: FailingMeter) -> None:
    remote.troubles.append("hang")
    with instrumented(remote):
        call = asyncio.create_task(asdk.chat.completions.create(**ASK))
        while not remote.ingests:  # noqa: ASYNC110  # the loop goes round while the meter hangs
            await asyncio.sleep(0.001)
        assert not call.done()
        remote.released.set()
        answer: Any = await call
    assert answer.xproxy_result.cost.total.base == 0.007


async def test_an_async_client_delivers_async_calls(asdk: AsyncOpenAI, remote: FailingMeter) -> None:
    async with AsyncPayi(base_url=remote.url, api_key="k") as payi:
        with instrumented(remote, client=payi):
            answers: list[Any] = await asyncio.gather(*(asdk.chat.completions.create(**ASK) for _ in range(10)))
    assert all(answer.xproxy_result.cost.total.base == 0.007 for answer in answers)
    assert booked(remote) == 10


async def test_q10_an_async_client_delivers_a_sync_call_inside_a_loop(sdk: OpenAI, remote: FailingMeter) -> None:
    async with AsyncPayi(base_url=remote.url, api_key="k") as payi:
        with instrumented(remote, client=payi):
            assert result_of(sdk).cost.total.base == 0.007


@pytest.mark.parametrize("sync", [True, False])
async def test_a_task_that_is_cancelled_while_its_event_is_delivered_loses_nothing(
    asdk: AsyncOpenAI, remote: FailingMeter, sync: bool
) -> None:
    remote.troubles.append("swallow")
    client = Payi(base_url=remote.url, api_key="k") if sync else AsyncPayi(base_url=remote.url, api_key="k")
    with instrumented(remote, client=client) as handle:
        call = asyncio.create_task(asdk.chat.completions.create(**ASK))
        while not remote.ingests:  # noqa: ASYNC110  # the other side is a thread
            await asyncio.sleep(0.001)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        remote.released.set()
        assert await asyncio.to_thread(handle.flush)
        assert booked(remote) == 1
    if isinstance(client, AsyncPayi):
        await client.close()


PROGRAM = """
    import os, sys
    from openai import OpenAI
    from payi_instrument import Payi, payi_instrument

    client = OpenAI(base_url=sys.argv[2], api_key="k")
    payi = Payi(base_url=sys.argv[1], api_key="k")
    handle = payi_instrument(
        payi, config={"limit_ids": ["l"], "exit_timeout": float(sys.argv[3]), "on_limit_state": lambda *_: None}
    )
    ask = {"model": "gpt-4o", "messages": [{"role": "user", "content": "What is two and two?"}]}
    client.chat.completions.create(**ask)
"""


def run(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", textwrap.dedent(program), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_q4_what_is_queued_is_delivered_at_exit(standin: StandIn, remote: FailingMeter) -> None:
    remote.troubles += [503, 503]  # the gate's question, and the event
    done = run(PROGRAM, remote.url, standin.url, "5")
    assert done.returncode == 0
    assert booked(remote) == 1
    assert "lost" not in done.stderr


def test_an_exit_without_a_meter_says_what_is_lost(standin: StandIn, remote: FailingMeter) -> None:
    remote.always = 503
    done = run(PROGRAM, remote.url, standin.url, "0.05")
    assert done.returncode == 0
    assert "events that waited for it may be lost" in done.stderr


FORKING = """
    child = os.fork()
    for _ in range(2):
        client = OpenAI(base_url=sys.argv[2], api_key="k")
        client.chat.completions.create(**ask)
    assert handle.flush(), "not flushed"
    if child:
        _, status = os.waitpid(child, 0)
        assert status == 0
    else:
        os._exit(0)
"""


def test_q15_a_fork_neither_doubles_nor_blocks(standin: StandIn, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/ledger.db"
    with Payi(base_url=url) as payi:
        payi.limits.create(limit_name="L", limit_id="l", max=0.007, threshold=0.75)
        done = run(textwrap.dedent(PROGRAM) + textwrap.dedent(FORKING), url, standin.url, "5")
        total = payi.limits.retrieve("l").limit.totals.requests.total
    assert (done.returncode, done.stderr) == (0, "")
    assert total == 5


ODD_RESULTS: list[Any] = [
    {"limits": None},
    {"limits": {"l": None}},
    {"limits": {"l": {"state": "new"}}},
    {"cost": {"currency": "eur"}},
    {"cost": {"total": {}}},
    {"unknown_units": {"text": {"input": None}}},
    None,
]


@contextmanager
def answering(status: int, content: bytes, **config: Any) -> Iterator[LoopbackMeter]:
    """Meter this process's calls with a service that answers everything alike."""
    with LoopbackMeter() as meter, Payi(base_url=meter.url, api_key="k") as payi:
        meter.always = Answer(status, content=content)
        handle = payi_instrument(payi, config={"limit_ids": ["l"], **config})
        try:
            yield meter
        finally:
            handle.shutdown()


@pytest.mark.parametrize("result", ODD_RESULTS, ids=str)
def test_an_event_that_was_taken_is_not_sent_again_whatever_the_meter_says(sdk: OpenAI, result: Any) -> None:
    taken = {"event_timestamp": "2026-01-01T00:00:00Z", "ingest_timestamp": "2026-01-01T00:00:00Z", "request_id": "r"}
    answer = {**taken, "xproxy_result": result and {**result, "request_id": "r"}}
    with answering(200, json.dumps(answer).encode(), enforce_block_limits=False) as meter:
        given = result_of(sdk)
    assert [asked.path for asked in meter.asked] == ["/api/v1/ingest"]
    assert (given.queued, given.error) == (None, None)
    assert given.request_id == ("r" if result else None)
    assert all(limit.state is None for limit in given.limits.values())


def test_an_event_that_was_taken_without_a_word_is_not_sent_again(sdk: OpenAI) -> None:
    with answering(204, b"", enforce_block_limits=False) as meter:
        given = result_of(sdk)
    assert (given.queued, given.error, len(meter.asked)) == (None, None, 1)


def test_a_limit_that_can_not_be_read_stops_no_call(sdk: OpenAI) -> None:
    with answering(200, b'{"limit": {"limit_id": "l", "max": 0}, "request_id": "r"}') as meter:
        assert result_of(sdk).error is None
    assert {asked.path for asked in meter.asked} == {"/api/v1/limits/l", "/api/v1/ingest"}
