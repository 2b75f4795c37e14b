"""Work that goes on after its call: background responses and runs, counted once and for whom they were begun."""

from __future__ import annotations

import asyncio
import json
import threading
from typing import TYPE_CHECKING, Any

import openai
import pytest
from offline_openai import httpx
from openai_answers import response, sse
from sampled import needs

from examples.openai_standin import Reply
from payi_instrument import LimitBlockedError, get_context, track_context
from payi_instrument.event import Attribution
from payi_instrument.jobs import Begun, Jobs

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from examples.openai_standin import StandIn
    from payi_instrument.testing import MemoryMeter

ASK: dict[str, Any] = {"model": "gpt-4o", "input": "How many apples remain?"}
NAME = "resp_7"


@pytest.fixture
def states(standin: StandIn) -> list[str]:
    """The states that the response goes through, one each time that it is asked for; the last one stays."""
    through = ["completed"]

    def answer(reply: Reply, body: dict[str, Any]) -> Any:
        status = through.pop(0) if len(through) > 1 else through[0]
        return {**response(reply, ASK, status=status), "id": NAME, "background": True}

    standin.answers |= {"/responses": answer, f"/responses/{NAME}": answer, f"/responses/{NAME}/cancel": answer}
    return through


@pytest.fixture
def client(standin: StandIn) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=standin.url, api_key="k", max_retries=0) as client:
        yield client


def test_a_background_response_counts_when_it_is_fetched_and_for_whom_it_was_begun(
    client: openai.OpenAI, standin: StandIn, states: list[str], meter: MemoryMeter
) -> None:
    states[:] = ["queued", "in_progress", "completed"]
    meter.client.limits.create(limit_name="Ada's", limit_id="ada", max=10)
    with track_context(user_id="ada", limit_ids=["ada"]):
        begun: Any = client.responses.create(**ASK, background=True)
        assert meter.events == []
        assert not hasattr(begun, "xproxy_result")
    with track_context(user_id="the poller"):
        fetched: list[Any] = [client.responses.retrieve(NAME) for _ in range(4)]

    assert [answer.status for answer in fetched] == ["in_progress", "completed", "completed", "completed"]
    assert {event.attribution.user_id for event in meter.events} == {"ada"}
    assert len({event.event_id for event in meter.events}) == 1
    assert meter.events[0].units == {"text": (1200, 400)}
    assert fetched[1].xproxy_result.cost.total.base == 0.007
    assert meter.client.limits.retrieve("ada").limit.totals.cost.total.base == 0.007


async def test_another_process_that_fetches_it_comes_to_the_same_event(
    client: openai.OpenAI, standin: StandIn, states: list[str], meter: MemoryMeter
) -> None:
    async with openai.AsyncOpenAI(base_url=standin.url, api_key="k") as other:
        first: Any = await other.responses.retrieve(NAME)
    second: Any = await asyncio.to_thread(client.responses.retrieve, NAME)

    assert first.xproxy_result.request_id == second.xproxy_result.request_id
    assert len({event.event_id for event in meter.events}) == 1


def test_a_stored_response_was_counted_when_it_was_made(
    client: openai.OpenAI, standin: StandIn, meter: MemoryMeter
) -> None:
    made = response(Reply(), ASK)
    standin.answers |= {"/responses": lambda *_: made, f"/responses/{made['id']}": lambda *_: made}
    client.responses.create(**ASK)
    client.responses.retrieve(made["id"])

    assert [event.units for event in meter.events] == [{"text": (1200, 400)}]


def test_a_background_stream_that_is_left_counts_when_it_is_fetched(
    client: openai.OpenAI, standin: StandIn, states: list[str], meter: MemoryMeter
) -> None:
    whole = {**response(Reply(), ASK), "id": NAME, "background": True}
    begun = {**whole, "status": "queued", "usage": None, "output": []}
    events = [
        {"type": "response.created", "sequence_number": 0, "response": begun},
        {"type": "response.output_text.delta", "sequence_number": 1, "delta": "Four", "item_id": "m"},
        {"type": "response.completed", "sequence_number": 2, "response": whole},
    ]
    standin.answers["/responses"] = lambda *_: map(sse, events)
    with track_context(user_id="ada"), client.responses.create(**ASK, background=True, stream=True) as stream:
        next(iter(stream))
    assert meter.events == []

    standin.answers[f"/responses/{NAME}"] = lambda *_: map(sse, events[1:])
    resumed: Any = client.responses.retrieve(NAME, stream=True, starting_after=0)
    assert len(list(resumed)) == 2
    [event] = meter.events
    assert (event.attribution.user_id, event.units) == ("ada", {"text": (1200, 400)})
    assert resumed.xproxy_result.cost.total.base == 0.007


@pytest.mark.parametrize("status", [404, 500])
def test_asking_for_a_response_costs_nothing_and_may_fail(
    client: openai.OpenAI, standin: StandIn, states: list[str], meter: MemoryMeter, status: int
) -> None:
    meter.client.limits.create(limit_name="Full", limit_id="full", max=1e-9, limit_type="block")
    meter.client.ingest.units(
        category="system.openai", resource="gpt-4o", units={"text": {"input": 100}}, limit_ids=["full"]
    )
    with track_context(limit_ids=["full"]):
        client.responses.retrieve(NAME)
        standin.reply.status = status
        with pytest.raises(openai.APIStatusError):
            client.responses.retrieve(NAME)

    assert len(meter.events) == 1
    assert get_context().get("last_result") is not None


def test_a_background_response_that_is_refused_is_a_failed_call(
    client: openai.OpenAI, standin: StandIn, states: list[str], meter: MemoryMeter
) -> None:
    standin.reply.status = 429
    with pytest.raises(openai.RateLimitError):
        client.responses.create(**ASK, background=True)

    [event] = meter.events
    assert (event.http_status_code, event.units) == (429, {})


def test_a_cancelled_one_counts_what_it_had_used(
    client: openai.OpenAI, standin: StandIn, states: list[str], meter: MemoryMeter
) -> None:
    client.responses.cancel(NAME)

    assert [event.units for event in meter.events] == [{"text": (1200, 400)}]


RUN = {
    "id": "run_1",
    "object": "thread.run",
    "created_at": 1,
    "assistant_id": "asst_1",
    "thread_id": "thread_1",
    "model": "gpt-4o",
    "status": "queued",
    "instructions": "Count.",
    "tools": [],
    "metadata": {},
    "parallel_tool_calls": True,
    "usage": None,
}
USED = {"prompt_tokens": 1200, "completion_tokens": 400, "total_tokens": 1600}


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_run_of_a_thread_counts_once(client: openai.OpenAI, standin: StandIn, meter: MemoryMeter) -> None:
    done = {**RUN, "status": "completed", "usage": USED}
    standin.answers |= {"/threads/thread_1/runs": lambda *_: RUN, "/runs/run_1": lambda *_: done}
    runs = client.beta.threads.runs
    with track_context(user_id="ada"):
        runs.create("thread_1", assistant_id="asst_1")
    for _ in range(2):
        runs.retrieve("run_1", thread_id="thread_1")

    assert len({event.event_id for event in meter.events}) == 1
    event = meter.events[0]
    assert (event.resource, event.units, event.attribution.user_id) == ("gpt-4o", {"text": (1200, 400)}, "ada")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_streamed_run_counts_once(client: openai.OpenAI, standin: StandIn, meter: MemoryMeter) -> None:
    done = {**RUN, "status": "completed", "usage": USED}
    events = [("thread.run.created", RUN), ("thread.run.completed", done)]

    def stream(*_: object) -> Any:
        return [f"event: {name}\ndata: {json.dumps(run)}" for name, run in events]

    standin.answers |= {"/threads/thread_1/runs": stream, "/runs/run_1": lambda *_: done}
    runs = client.beta.threads.runs
    with track_context(user_id="ada"), runs.create("thread_1", assistant_id="asst_1", stream=True) as streamed:
        assert len(list(streamed)) == 2
    runs.retrieve("run_1", thread_id="thread_1")

    assert len({event.event_id for event in meter.events}) == 1
    assert [event.units for event in meter.events] == [{"text": (1200, 400)}] * 2


def test_a_background_response_is_priced_as_the_model_that_was_asked_for(
    client: openai.OpenAI, standin: StandIn, states: list[str], meter: MemoryMeter
) -> None:
    states[:] = ["queued", "completed"]
    client.responses.create(**ASK, background=True)
    fetched: Any = client.responses.retrieve(NAME)

    assert fetched.model == "gpt-4o-2024-08-06"
    assert [event.resource for event in meter.events] == ["gpt-4o"]


@pytest.mark.parametrize("awaited", [False, True], ids=["sync", "async"])
def test_p6_a_background_stream_that_breaks_off_counts_when_it_is_fetched(
    client: openai.OpenAI, standin: StandIn, states: list[str], meter: MemoryMeter, awaited: bool
) -> None:
    begun = {**response(Reply(), ASK), "id": NAME, "background": True, "status": "queued", "usage": None, "output": []}
    sent = sse({"type": "response.created", "sequence_number": 0, "response": begun}).encode() + b"\n\n"

    class Broken(httpx.SyncByteStream, httpx.AsyncByteStream):  # type: ignore[misc,name-defined]
        def __iter__(self) -> Iterator[bytes]:
            yield sent
            raise httpx.ReadError("gone")

        async def __aiter__(self) -> AsyncIterator[bytes]:
            yield sent
            raise httpx.ReadError("gone")

    transport = httpx.MockTransport(lambda _: httpx.Response(200, stream=Broken()))

    def break_off() -> None:
        client = openai.OpenAI(api_key="k", http_client=httpx.Client(transport=transport))
        list(client.responses.create(**ASK, background=True, stream=True))

    async def abreak_off() -> None:
        client = openai.AsyncOpenAI(api_key="k", http_client=httpx.AsyncClient(transport=transport))
        async for _ in await client.responses.create(**ASK, background=True, stream=True):
            pass

    meter.client.limits.create(limit_name="Ada's", limit_id="ada", max=10)
    with track_context(user_id="ada", limit_ids=["ada"]), pytest.raises((httpx.ReadError, openai.APIConnectionError)):
        asyncio.run(abreak_off()) if awaited else break_off()
    client.responses.retrieve(NAME)

    broken, done = meter.events
    assert (broken.http_status_code, broken.units, broken.attribution.user_id) == (299, {}, "ada")
    assert str(broken.provider_response_id).startswith("payi_")
    assert (done.units, done.provider_response_id, done.attribution.user_id) == ({"text": (1200, 400)}, NAME, "ada")
    assert meter.client.limits.retrieve("ada").limit.totals.cost.total.base == 0.007


def turned(name: str) -> dict[str, Any]:
    usage = {"input_tokens": 1000, "output_tokens": 300, "total_tokens": 1300}
    head = {"id": name, "object": "agent.session.turn", "session_id": "s1", "agent_id": "a1", "created_at": 1}
    return {**head, "status": "completed", "error": None, "usage": usage}


@needs("beta.agents")
def test_a_turn_of_an_agents_session_is_whose_word_it_follows(
    client: openai.OpenAI, standin: StandIn, meter: MemoryMeter
) -> None:
    session = {"id": "s1", "object": "agent.session", "agent": {"model": "gpt-5"}}
    standin.answers |= {
        "/agents/sessions": lambda *_: session,
        "/agents/sessions/s1/events": lambda *_: b"",
        "/agents/sessions/s1/turns/t1": lambda *_: turned("t1"),
        "/agents/sessions/s1/turns/t2": lambda *_: turned("t2"),
    }
    sessions: Any = client.beta.agents.sessions
    with track_context(user_id="ada"):
        sessions.create(agent={"id": "a1"}, environment={"type": "none"})
    with track_context(user_id="the poller"):
        sessions.turns.retrieve("t1", session_id="s1")
    with track_context(user_id="ben"):
        sessions.events.create("s1", events=[{"type": "message", "content": "And pears?"}])
    with track_context(user_id="the poller"):
        sessions.turns.retrieve("t2", session_id="s1")

    assert [(event.attribution.user_id, event.resource) for event in meter.events] == [
        ("ada", "gpt-5"),
        ("ben", "gpt-5"),
    ]


@needs("beta.agents")
def test_q11_a_word_to_an_agent_is_stopped_before_it_costs_anything(
    client: openai.OpenAI, standin: StandIn, meter: MemoryMeter
) -> None:
    meter.client.limits.create(limit_name="Full", limit_id="full", max=1e-9, limit_type="block")
    meter.client.ingest.units(
        category="system.openai", resource="gpt-4o", units={"text": {"input": 100}}, limit_ids=["full"]
    )
    sessions: Any = client.beta.agents.sessions
    with track_context(limit_ids=["full"]), pytest.raises(LimitBlockedError):
        sessions.events.create("s1", events=[{"type": "message", "content": "And pears?"}])

    assert standin.requests == []


def test_a_background_stream_that_breaks_off_at_its_end_is_still_whose_it_was(
    client: openai.OpenAI, standin: StandIn, states: list[str], meter: MemoryMeter
) -> None:
    states[:] = ["queued"]
    whole = {**response(Reply(), ASK), "id": NAME, "background": True}
    done = sse({"type": "response.completed", "sequence_number": 9, "response": whole}).encode() + b"\n\n"

    class Broken(httpx.SyncByteStream):  # type: ignore[misc,name-defined]
        def __iter__(self) -> Iterator[bytes]:
            yield done
            raise httpx.ReadError("gone")

    transport = httpx.MockTransport(lambda _: httpx.Response(200, stream=Broken()))
    poller = openai.OpenAI(api_key="k", base_url=standin.url, http_client=httpx.Client(transport=transport))
    with track_context(user_id="ada"):
        client.responses.create(**ASK, background=True)
    with track_context(user_id="the poller"), pytest.raises((httpx.ReadError, openai.APIConnectionError)):
        list(poller.responses.retrieve(NAME, stream=True))

    [event] = meter.events
    assert (event.attribution.user_id, event.resource, event.units) == ("ada", "gpt-4o", {"text": (1200, 400)})


def test_who_began_a_job_is_known_to_every_thread_at_all_times() -> None:
    jobs, missed, done = Jobs(), [], threading.Event()
    who = Begun(Attribution(), "gpt-4o")
    jobs.begin("s1", who)

    def look() -> None:
        while not done.is_set():
            if jobs.of("s1") is None:
                missed.append(1)

    looking = threading.Thread(target=look)
    looking.start()
    speaking = [
        threading.Thread(target=lambda: [jobs.begin("s1", who, anew=True) for _ in range(20_000)]) for _ in "ab"
    ]
    for thread in speaking:
        thread.start()
    for thread in speaking:
        thread.join()
    done.set()
    looking.join()
    assert missed == []


def test_only_so_many_jobs_are_remembered_the_newest() -> None:
    jobs, who = Jobs(), Begun(Attribution(), None)
    for job in range(12_000):
        jobs.begin(str(job), who)

    assert [jobs.of(str(job)) is None for job in (0, 1_999, 2_000, 11_999)] == [True, True, False, False]
