"""Work that goes on after its call is counted once, whoever sees its end and however often. Decision 6."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from openai_answers import response, sse
from sampled import client_at, needs

from examples.openai_standin import Reply
from payi_instrument import track_context

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from openai import OpenAI

    from examples.openai_standin import StandIn
    from payi_instrument.event import UsageEvent
    from payi_instrument.testing import MemoryMeter

COST = 0.007
ASK: dict[str, Any] = {"model": "gpt-4o", "input": "What is two and two?"}
UNITS = {"text": (1200, 400)}
RUN_USAGE = {
    "prompt_tokens": 1200,
    "completion_tokens": 400,
    "total_tokens": 1600,
    "prompt_token_details": {"cached_tokens": 200},
}
RUN_UNITS = {"text": (1000, 400), "text_cache_read": (200, 0)}
RUN_COST = 0.00675


@pytest.fixture(autouse=True)
def _limited(meter: MemoryMeter) -> Iterator[None]:
    meter.client.limits.create(limit_name="Month", limit_id="month", max=1)
    with track_context(limit_ids=["month"]):
        yield


@pytest.fixture
def client(standin: StandIn) -> Iterator[OpenAI]:
    with client_at(standin) as client:
        yield client


def spent(meter: MemoryMeter) -> float:
    """What the ledger counted, whatever was delivered."""
    assert meter.events is not None  # all is delivered now
    return meter.client.limits.retrieve("month").limit.totals.cost.total.base


def one_id(events: list[UsageEvent]) -> str | None:
    [event_id] = {event.event_id for event in events}
    return event_id


def stored(*, background: bool = True, status: str = "completed", **more: Any) -> dict[str, Any]:
    """A response as it is fetched; nothing is counted before it is done."""
    body = {**ASK, "background": background}
    return {**response(Reply(), body, status=status), "id": "resp_bg", **more}


def answers(standin: StandIn, path: str, *bodies: Any) -> None:
    """Let a path answer these one after the other, the last one for good."""
    left = list(bodies)
    standin.answers[path] = lambda _reply, _body: left.pop(0) if len(left) > 1 else left[0]


def fetch(client: OpenAI) -> None:
    client.responses.retrieve("resp_bg")


def fetch_raw(client: OpenAI) -> None:
    assert client.responses.with_raw_response.retrieve("resp_bg").parse().id == "resp_bg"


def fetch_bytes(client: OpenAI) -> None:
    with client.responses.with_streaming_response.retrieve("resp_bg") as answer:
        assert json.loads(answer.read())["id"] == "resp_bg"


FETCHES: list[Callable[[OpenAI], None]] = [fetch, fetch_raw, fetch_bytes]


def create(client: OpenAI, **more: Any) -> Any:
    return client.responses.create(**ASK, background=True, **more)


def test_a_response_that_is_fetched_again_was_counted_when_it_was_made(
    client: OpenAI, standin: StandIn, meter: MemoryMeter
) -> None:
    answers(standin, "/responses/resp_bg", stored(background=False))
    client.responses.create(**ASK)
    for again in FETCHES:
        again(client)

    assert len(meter.events) == 1
    assert spent(meter) == COST


def test_a_response_that_is_fetched_again_in_pieces_was_counted_too(
    client: OpenAI, standin: StandIn, meter: MemoryMeter
) -> None:
    events = [{"type": "response.created", "response": stored(background=False, status="in_progress")}]
    events.append({"type": "response.completed", "response": stored(background=False)})
    answers(standin, "/responses/resp_bg", [sse(event) for event in events])

    assert len(list(client.responses.retrieve("resp_bg", stream=True))) == 2
    client.responses.retrieve("resp_bg", stream=True).close()
    assert meter.events == []


@pytest.mark.parametrize("again", FETCHES)
def test_p6_a_background_response_is_counted_once_by_whoever_sees_it_done(
    client: OpenAI, standin: StandIn, meter: MemoryMeter, again: Callable[[OpenAI], None]
) -> None:
    queued, going, done = stored(status="queued"), stored(status="in_progress"), stored()
    answers(standin, "/responses", queued)
    answers(standin, "/responses/resp_bg", queued, going, done)

    create(client)
    again(client)
    again(client)
    assert meter.events == []
    again(client)
    again(client)
    with client_at(standin) as other:
        fetch(other)

    assert len(meter.events) == 3
    assert one_id(meter.events)
    assert [event.units for event in meter.events] == [UNITS] * 3
    assert all(event.provider_response_id == "resp_bg" for event in meter.events)
    assert spent(meter) == COST


def test_two_background_responses_are_two(client: OpenAI, standin: StandIn, meter: MemoryMeter) -> None:
    answers(standin, "/responses/resp_bg", stored())
    answers(standin, "/responses/resp_other", stored(id="resp_other"))
    fetch(client)
    client.responses.retrieve("resp_other")

    assert len({event.event_id for event in meter.events}) == 2
    assert spent(meter) == 2 * COST


def test_a_usage_that_grows_is_counted_at_the_end(client: OpenAI, standin: StandIn, meter: MemoryMeter) -> None:
    early = {"input_tokens": 1200, "output_tokens": 10, "total_tokens": 1210}
    answers(standin, "/responses/resp_bg", stored(status="in_progress", usage=early), stored())
    fetch(client)
    assert meter.events == []
    fetch(client)
    assert spent(meter) == COST


def test_a_background_response_that_is_cancelled_counts_what_it_used(
    client: OpenAI, standin: StandIn, meter: MemoryMeter
) -> None:
    cancelled = stored(status="cancelled")
    answers(standin, "/responses", stored(status="queued"))
    answers(standin, "/responses/resp_bg/cancel", cancelled, {**cancelled, "usage": stored()["usage"]})
    create(client)
    client.responses.cancel("resp_bg")
    assert meter.events == []
    client.responses.cancel("resp_bg")
    assert [event.units for event in meter.events] == [UNITS]


def test_a_background_response_that_fails_costs_nothing(client: OpenAI, standin: StandIn, meter: MemoryMeter) -> None:
    answers(standin, "/responses", stored(status="queued"))
    failed = stored(status="failed", error={"code": "server_error", "message": "No."}, usage=None)
    answers(standin, "/responses/resp_bg", failed)
    create(client)
    fetch(client)
    assert spent(meter) == 0


def test_images_of_a_background_response_are_counted_once_too(
    client: OpenAI, standin: StandIn, meter: MemoryMeter
) -> None:
    drawn = {"input_tokens": 0, "output_tokens": 1000, "total_tokens": 1000}
    answers(standin, "/responses/resp_bg", stored(tool_usage={"image_gen": drawn, "web_search": {"num_requests": 0}}))
    fetch(client)
    once = spent(meter)
    fetch(client)

    assert once == spent(meter) > COST
    assert [event.resource for event in meter.events] == ["gpt-image-2.6-sunburst", "gpt-4o-2024-08-06"] * 2
    assert len({event.event_id for event in meter.events}) == 2


def _events(*statuses: str) -> list[str]:
    kinds = {"queued": "queued", "in_progress": "in_progress", "completed": "completed"}
    return [sse({"type": f"response.{kinds[status]}", "response": stored(status=status)}) for status in statuses]


def test_a_background_stream_and_its_fetches_are_one(client: OpenAI, standin: StandIn, meter: MemoryMeter) -> None:
    answers(standin, "/responses", _events("queued", "in_progress", "completed"))
    answers(standin, "/responses/resp_bg", stored())
    assert len(list(create(client, stream=True))) == 3
    fetch(client)

    assert len(meter.events) == 2
    assert one_id(meter.events)
    assert spent(meter) == COST


@pytest.mark.parametrize("leave", ["closed", "to its end", "bytes"])
def test_a_background_stream_that_is_left_is_counted_when_it_is_fetched(
    client: OpenAI, standin: StandIn, meter: MemoryMeter, leave: str
) -> None:
    answers(standin, "/responses", _events("queued", "in_progress"))
    answers(standin, "/responses/resp_bg", stored())
    if leave == "bytes":
        with client.responses.with_streaming_response.create(**ASK, background=True, stream=True) as answer:
            next(answer.iter_bytes(10))
    else:
        stream = create(client, stream=True)
        next(stream)
        stream.close() if leave == "closed" else list(stream)
    assert meter.events == []  # an estimate would be counted beside what it really took

    fetch(client)
    assert [event.units for event in meter.events] == [UNITS]
    assert spent(meter) == COST


def test_a_background_stream_may_be_taken_up_again(client: OpenAI, standin: StandIn, meter: MemoryMeter) -> None:
    answers(standin, "/responses/resp_bg", _events("in_progress", "completed"))
    for _ in range(2):
        assert len(list(client.responses.retrieve("resp_bg", stream=True, starting_after=3))) == 2

    assert len(meter.events) == 2
    assert spent(meter) == COST


def run(status: str, usage: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    head = {"id": "run_1", "object": "thread.run", "created_at": 1, "thread_id": "thread_1", "assistant_id": "asst_1"}
    return {**head, "status": status, "model": "gpt-4o", "usage": usage, **more}


def thread_events(*events: tuple[str, dict[str, Any]]) -> list[str]:
    return [f"event: {name}\ndata: {json.dumps(data)}" for name, data in events]


pytestmark = pytest.mark.filterwarnings("ignore:The Assistants API is deprecated:DeprecationWarning")
DONE = run("completed", RUN_USAGE)


def test_a_run_that_is_polled_is_counted_once(client: OpenAI, standin: StandIn, meter: MemoryMeter) -> None:
    answers(standin, "/threads/thread_1/runs", run("queued"))
    answers(standin, "/threads/thread_1/runs/run_1", run("in_progress"), run("requires_action", RUN_USAGE), DONE)
    runs = client.beta.threads.runs
    runs.create("thread_1", assistant_id="asst_1")
    for _ in range(2):
        runs.retrieve("run_1", thread_id="thread_1")
    assert meter.events == []
    for _ in range(3):
        runs.retrieve("run_1", thread_id="thread_1")
    runs.with_raw_response.retrieve("run_1", thread_id="thread_1")

    assert len(meter.events) == 4
    assert one_id(meter.events)
    assert (meter.events[0].units, meter.events[0].resource) == (RUN_UNITS, "gpt-4o")
    assert spent(meter) == RUN_COST


@pytest.mark.parametrize("of_bytes", [False, True], ids=["objects", "bytes"])
def test_a_run_that_is_streamed_and_polled_is_counted_once(
    client: OpenAI, standin: StandIn, meter: MemoryMeter, of_bytes: bool
) -> None:
    text = {"object": "thread.message.delta", "delta": {"content": [{"type": "text", "text": {"value": "Four"}}]}}
    sent = thread_events(
        ("thread.run.created", run("queued")), ("thread.message.delta", text), ("thread.run.completed", DONE)
    )
    answers(standin, "/threads/thread_1/runs", sent)
    answers(standin, "/threads/thread_1/runs/run_1", DONE)
    runs = client.beta.threads.runs
    if of_bytes:
        with runs.with_streaming_response.create("thread_1", assistant_id="asst_1", stream=True) as answer:
            assert answer.read().startswith(f"{sent[0]}\n\n".encode())
    else:
        seen = list(runs.create("thread_1", assistant_id="asst_1", stream=True))
        assert [event.event for event in seen] == ["thread.run.created", "thread.message.delta", "thread.run.completed"]
    runs.retrieve("run_1", thread_id="thread_1")

    assert one_id(meter.events)
    assert [event.units for event in meter.events] == [RUN_UNITS] * 2
    assert meter.events[0].time_to_first_completion_token_ms is not None
    assert spent(meter) == RUN_COST


def test_a_run_that_failed_says_so_with_what_it_used(client: OpenAI, standin: StandIn, meter: MemoryMeter) -> None:
    error = {"code": "rate_limit_exceeded", "message": "You exceeded your quota."}
    answers(standin, "/threads/runs", run("failed", RUN_USAGE, last_error=error))
    client.beta.threads.create_and_run(assistant_id="asst_1")

    [event] = meter.events
    assert (event.units, event.properties["system.failure"]) == (RUN_UNITS, "rate_limit_exceeded")
    assert event.properties["system.failure.description"] == "You exceeded your quota."


def test_steps_lists_and_messages_of_a_run_are_not_counted(
    client: OpenAI, standin: StandIn, meter: MemoryMeter
) -> None:
    listed = {"object": "list", "data": [DONE], "has_more": False, "first_id": "run_1", "last_id": "run_1"}
    step = {"id": "step_1", "object": "thread.run.step", "usage": RUN_USAGE, "status": "completed"}
    answers(standin, "/threads/thread_1/runs", listed)
    answers(standin, "/threads/thread_1/runs/run_1/steps", {**listed, "data": [step]})
    answers(standin, "/threads/thread_1/messages", {"id": "msg_1", "object": "thread.message"})
    runs = client.beta.threads.runs
    assert [found.id for found in runs.list("thread_1")] == ["run_1"]
    assert [found.id for found in runs.steps.list("run_1", thread_id="thread_1")] == ["step_1"]
    client.beta.threads.messages.create("thread_1", role="user", content="Hm?")

    assert meter.events == []


@needs("beta.agents")
def test_the_turns_of_an_agents_session_are_counted_once_each(
    client: OpenAI, standin: StandIn, meter: MemoryMeter
) -> None:
    def turn(name: str, status: str, usage: dict[str, Any] | None) -> dict[str, Any]:
        head = {"id": name, "object": "agent.session.turn", "session_id": "s1", "agent_id": "a1", "created_at": 1}
        return {**head, "status": status, "error": None, "usage": usage}

    usage = {
        "input_tokens": 1000,
        "input_tokens_details": {"cached_tokens": 400},
        "output_tokens": 300,
        "output_tokens_details": {"reasoning_tokens": 100},
        "total_tokens": 1300,
    }
    units = {"text": (600, 200), "text_cache_read": (400, 0), "reasoning": (0, 100)}
    head = {"session_id": "s1", "event_id": "e1"}
    session = {"id": "s1", "object": "agent.session", "agent": {"model": "gpt-5"}}
    events = [
        {**head, "type": "agent.session.created", "session": session},
        {**head, "type": "agent.session.turn.in_progress", "turn_id": "t1", "turn": turn("t1", "in_progress", usage)},
        {**head, "type": "agent.session.turn.output_text.delta", "turn_id": "t1", "delta": "Four"},
        {**head, "type": "agent.session.turn.completed", "turn_id": "t1", "turn": turn("t1", "completed", usage)},
        {**head, "type": "agent.session.turn.completed", "turn": turn("t2", "completed", None), "usage": usage},
    ]
    stream = "".join(f"{sse(event)}\n\n" for event in events)
    answers(standin, "/agents/sessions/s1/events", f": hello\n\n{stream}".encode())
    answers(standin, "/agents/sessions/s1/turns/t1", turn("t1", "completed", usage))
    standin.reply.kind = "text/event-stream"
    assert len(list(client.beta.agents.sessions.events.stream("s1"))) == len(events)
    client.beta.agents.sessions.turns.retrieve("t1", session_id="s1")

    second, first, again = meter.events
    assert [event.units for event in meter.events] == [units] * 3
    assert (first.provider_response_id, second.provider_response_id) == ("t1", "t2")
    assert first.event_id == again.event_id != second.event_id
    assert [event.resource for event in meter.events] == ["gpt-5", "gpt-5", "system.unknown_model"]
