"""What a framework calls once more is a call once more: the turns of an agent, retries, fallbacks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import agents_ways
import langchain_ways
import litellm
import litellm_ways
import openai
import pytest
from agents import Agent, OpenAIChatCompletionsModel, OpenAIResponsesModel, function_tool
from litellm import Router
from openai_answers import ANSWERS, response
from ways import MODEL, called

from examples.openai_standin import Reply
from payi_instrument import track

if TYPE_CHECKING:
    from examples.openai_standin import StandIn
    from payi_instrument.testing import MemoryMeter

QUESTION = "What is the weather?"
FAILING = "gpt-4o-mini"

pytestmark = pytest.mark.filterwarnings("ignore", "error:::payi_instrument")  # what the frameworks warn of is theirs

TOOL_CALL = {"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "weather", "arguments": "{}"}
CHAT_TURN = called("weather", "{}")
RESPONSES_TURN = Reply(body={**response(Reply(), {"model": MODEL}), "output": [TOOL_CALL]})


@pytest.mark.parametrize(
    ("model", "turn", "run"),
    [
        pytest.param(OpenAIChatCompletionsModel, CHAT_TURN, agents_ways.run, id="chat run"),
        pytest.param(OpenAIChatCompletionsModel, CHAT_TURN, agents_ways.run_streamed, id="chat run_streamed"),
        pytest.param(OpenAIResponsesModel, RESPONSES_TURN, agents_ways.run, id="responses run"),
    ],
)
async def test_every_turn_of_an_agent_is_a_call(
    standin: StandIn, meter: MemoryMeter, model: Any, turn: Reply, run: Any
) -> None:
    @function_tool
    @track(use_case_name="weather")
    def weather() -> str:
        """Say what the weather is."""
        standin.reply = Reply("Sunny.")  # the model has no more to ask
        return "sun"

    standin.answers |= ANSWERS
    standin.reply = turn
    async with agents_ways.client(standin.url) as sdk:
        await track(user_id="ada")(run)(Agent("Reporter", model=model(MODEL, sdk), tools=[weather]), QUESTION)

    assert len(standin.requests) == 2
    for event in meter.events:
        assert (event.attribution.user_id, event.units) == ("ada", {"text": (1200, 400)})
    assert len(meter.events) == 2


@track(user_id="ada")
async def asked(model: Any) -> Any:
    return await model.ainvoke(QUESTION)


async def test_a_retry_of_langchain_is_a_call(standin: StandIn, meter: MemoryMeter) -> None:
    standin.reply.status = 500
    async with langchain_ways.chat(standin.url) as model:
        with pytest.raises(openai.InternalServerError):
            await asked(model.with_retry(stop_after_attempt=2, wait_exponential_jitter=False))

    billed = [(event.http_status_code, event.attribution.user_id) for event in meter.events]
    assert billed == [(500, "ada")] * len(standin.requests) == [(500, "ada")] * 2


async def test_a_fallback_of_langchain_is_a_call(standin: StandIn, meter: MemoryMeter) -> None:
    standin.replies = {FAILING: Reply(status=500)}
    async with langchain_ways.connected(standin.url) as options:
        failing, model = (langchain_ways.ChatOpenAI(model=name, **options) for name in (FAILING, MODEL))
        answer = await asked(failing.with_fallbacks([model]))

    assert answer.content == standin.reply.text
    billed = [(event.resource, event.http_status_code, event.attribution.user_id) for event in meter.events]
    assert billed == [(FAILING, 500, "ada"), (MODEL, 200, "ada")]


async def test_a_retry_of_litellm_is_a_call(standin: StandIn, meter: MemoryMeter) -> None:
    standin.reply.status = 500
    async with litellm_ways.host(standin.url) as options:
        with pytest.raises(litellm.InternalServerError):
            await track(user_id="ada")(litellm_ways.acompletion)({**options, "num_retries": 1}, QUESTION)

    billed = [(event.http_status_code, event.attribution.user_id) for event in meter.events]
    assert billed == [(500, "ada")] * 2  # each of them may be requests of the SDK's own


async def test_a_fallback_of_litellms_router_is_a_call(standin: StandIn, meter: MemoryMeter) -> None:
    standin.replies = {FAILING: Reply(status=500)}
    async with litellm_ways.host(standin.url) as options:
        router = Router(
            [
                {"model_name": "any", "litellm_params": {**options, "model": f"openai/{FAILING}"}},
                {"model_name": "other", "litellm_params": options},
            ],
            fallbacks=[{"any": ["other"]}],
            num_retries=0,
        )
        answer = await track(user_id="ada")(litellm_ways.arouted)(router, QUESTION)

    assert answer["choices"][0]["message"]["content"] == standin.reply.text
    billed = [(event.resource, event.http_status_code, event.attribution.user_id) for event in meter.events]
    assert billed == [(FAILING, 500, "ada"), (MODEL, 200, "ada")]
