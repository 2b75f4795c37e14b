"""Calls through a framework are metered in the SDK below it: once, for the user who asked, and nothing else changes."""

from __future__ import annotations

import asyncio
import gc
import re
from collections import Counter
from typing import TYPE_CHECKING, Any

import agents_ways
import langchain_ways
import litellm_ways
import pytest
from openai_answers import ANSWERS
from ways import ask

from payi_instrument import track, track_context
from payi_instrument.testing import metered

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from ways import Way

    from examples.openai_standin import Received, StandIn
    from payi_instrument.event import UsageEvent
    from payi_instrument.testing import MemoryMeter

FRAMEWORKS = {"LiteLLM": litellm_ways, "LangChain": langchain_ways, "OpenAI Agents": agents_ways}
WAYS = [pytest.param(way, id=f"{name} {way.name}") for name, ways in FRAMEWORKS.items() for way in ways.WAYS]
OF_ONE_CALL = [param for param in WAYS if len(param.values[0].models) == 1 and not param.values[0].replies]
STREAMS = [param for param in WAYS if param.values[0].leaves]
QUESTION = "What is two and two?"

pytestmark = pytest.mark.filterwarnings("ignore", "error:::payi_instrument")  # what the frameworks warn of is theirs


@pytest.fixture
async def shared(way: Way, standin: StandIn) -> AsyncIterator[Any]:
    """What the users of a framework share; the provider answers as the way says."""
    standin.answers |= ANSWERS
    standin.replies = way.replies
    async with way.opens(standin.url) as opened:
        yield opened


@pytest.mark.parametrize("way", WAYS)
async def test_a_call_is_one_event_and_its_answer_is_as_ever(way: Way, shared: Any, standin: StandIn) -> None:
    bare = await ask(way.asks, shared, QUESTION)
    sent, standin.requests = standin.requests, []
    with metered() as meter, track_context(user_id="ada", limit_ids=["budget"], use_case_name="sums") as ctx:
        answer = await ask(way.asks, shared, QUESTION)

    assert answer == bare
    assert [unmarked(request) for request in standin.requests] == [unmarked(request) for request in sent]
    assert sorted(str(event.resource) for event in meter.events) == sorted(way.models)
    for event in meter.events:
        assert (event.units, event.http_status_code) == ({"text": way.units}, 200)
        assert (event.attribution.user_id, event.attribution.limit_ids) == ("ada", ("budget",))
        assert event.attribution.use_case_name == "sums"
        assert "system.estimated" not in event.properties
    assert ctx.last_result is not None
    assert ctx.last_result.cost.total.base > 0


def unmarked(request: Received) -> object:
    """Leave out what metering may change: the request for a stream's usage."""
    return request.path, {key: value for key, value in request.body.items() if key != "stream_options"}


@pytest.mark.parametrize("way", WAYS)
async def test_twenty_users_at_once_pay_for_their_own_calls(way: Way, shared: Any, meter: MemoryMeter) -> None:
    users = [f"user{number}" for number in range(20)]
    for user in users:
        meter.client.limits.create(limit_name=user, limit_id=user, max=100)

    asks = [track(user_id=user, limit_ids=[user], log_prompt_and_response=True)(way.asks) for user in users]
    await asyncio.gather(*(ask(as_user, shared, f"I am {user}") for as_user, user in zip(asks, users, strict=True)))

    assert Counter(event.attribution.user_id for event in meter.events) == dict.fromkeys(users, len(way.models))
    assert [event for event in meter.events if asker(event) not in {None, event.attribution.user_id}] == []
    for user in users:
        assert meter.client.limits.retrieve(user).limit.totals.requests.total == len(way.models)


def asker(event: UsageEvent) -> str | None:
    """Return who asks in the request that was billed; an agent that is another one's tool is not told."""
    found = re.search(r"I am (user\d+)", str(event.provider_request_json))
    return found[1] if found else None


@pytest.mark.parametrize("way", WAYS)
async def test_a_full_block_limit_stops_the_call(way: Way, shared: Any, standin: StandIn, meter: MemoryMeter) -> None:
    first = way.models[0]
    meter.client.limits.create(limit_name="full", limit_id="full", max=0.000001, limit_type="block")
    units = {"text": {"input": 1000, "output": 0}}
    meter.client.ingest.units(category="system.openai", resource=first, units=units, limit_ids=["full"])

    with pytest.raises(way.refused, match="blocked by limit full") as caught:
        await ask(track(user_id="ada", limit_ids=["full"])(way.asks), shared, QUESTION)

    assert getattr(caught.value, "status_code", None) == 424
    assert standin.requests == []
    assert 1 <= len(meter.events) <= way.models.count(first)
    assert all((event.http_status_code, event.units) == (424, {}) for event in meter.events)
    assert {event.attribution.user_id for event in meter.events} == {"ada"}


@pytest.mark.parametrize("way", OF_ONE_CALL)
async def test_an_error_of_the_provider_is_one_event_and_reaches_the_user_as_ever(
    way: Way, shared: Any, standin: StandIn
) -> None:
    standin.reply.status = 400
    bare = await failure(way, shared)
    with metered() as meter:
        error = await failure(way, shared)

    assert (type(error), str(error)) == (type(bare), str(bare))
    assert [event.http_status_code for event in meter.events] == [400]


async def failure(way: Way, shared: Any) -> Exception:
    with pytest.raises(Exception, match="told to fail") as caught:
        await ask(way.asks, shared, QUESTION)
    return caught.value


@pytest.mark.parametrize("way", STREAMS)
async def test_a_stream_that_is_left_early_is_one_event(
    way: Way, shared: Any, standin: StandIn, meter: MemoryMeter
) -> None:
    standin.replies = {}
    standin.reply.then, standin.reply.after = "stall", 3
    assert way.leaves is not None
    await ask(track(user_id="ada")(way.leaves), shared, QUESTION)
    while not meter.events:  # a stream ends when the collector and the loop have come round to it
        gc.collect()
        await asyncio.sleep(0)

    [event] = meter.events
    assert (event.attribution.user_id, event.properties["system.estimated"]) == ("ada", "true")
    assert event.properties.get("system.failure") in {None, "CancelledError"}
    assert event.units["text"][0] > 0
