"""OpenAI Agents: one agent, and one that hands over to a second or asks it."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import litellm
import openai
from agents import Agent, OpenAIChatCompletionsModel, OpenAIResponsesModel, Runner
from agents.extensions.models.litellm_model import LitellmModel
from litellm_ways import host
from ways import MODEL, Way, called, plain

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

SECOND = "gpt-4o-mini"


@asynccontextmanager
async def client(url: str) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(base_url=url, api_key="k", max_retries=0) as client:
        yield client


@asynccontextmanager
async def place(url: str) -> AsyncIterator[str]:
    yield url


@asynccontextmanager
async def agent(url: str) -> AsyncIterator[Agent]:
    async with client(url) as sdk:
        yield Agent("Adder", model=OpenAIChatCompletionsModel(MODEL, sdk))


@asynccontextmanager
async def responding(url: str) -> AsyncIterator[Agent]:
    async with client(url) as sdk:
        yield Agent("Adder", model=OpenAIResponsesModel(MODEL, sdk))


@asynccontextmanager
async def handing_over(url: str) -> AsyncIterator[Agent]:
    async with client(url) as sdk:
        second = Agent("Second", model=OpenAIChatCompletionsModel(SECOND, sdk))
        yield Agent("First", model=OpenAIChatCompletionsModel(MODEL, sdk), handoffs=[second])


@asynccontextmanager
async def asking(url: str) -> AsyncIterator[Agent]:
    """Return an agent that asks a second one, as a tool, and answers with its words."""
    async with client(url) as sdk:
        second = Agent("Second", model=OpenAIChatCompletionsModel(SECOND, sdk))
        tools: list[Any] = [second.as_tool("second_opinion", "Ask somebody else")]
        first = OpenAIChatCompletionsModel(MODEL, sdk)
        yield Agent("First", model=first, tools=tools, tool_use_behavior="stop_on_first_tool")


@asynccontextmanager
async def over_litellm(url: str) -> AsyncIterator[Agent]:
    async with host(url) as options:
        model = LitellmModel(options["model"], base_url=options["api_base"], api_key=options["api_key"])
        yield Agent("Adder", model=model)


def seen(result: Any) -> Any:
    answers = [plain(answer, "created_at") for answer in result.raw_responses]
    return result.final_output, result.to_input_list(), result.context_wrapper.usage, answers


def run_sync(url: str, question: str) -> Any:
    """Run with a client of the run's own, since there is a loop for each thread."""
    sdk = openai.AsyncOpenAI(base_url=url, api_key="k", max_retries=0)
    return seen(Runner.run_sync(Agent("Adder", model=OpenAIChatCompletionsModel(MODEL, sdk)), question))


async def run(agent: Agent, question: str) -> Any:
    return seen(await Runner.run(agent, question))


async def run_streamed(agent: Agent, question: str) -> Any:
    result = Runner.run_streamed(agent, question)
    return [event.type async for event in result.stream_events()], seen(result)


async def stream_left(agent: Agent, question: str) -> None:
    result = Runner.run_streamed(agent, question)
    async for event in result.stream_events():
        if event.type == "raw_response_event":
            result.cancel()


HANDOVER = {MODEL: called("transfer_to_second", "{}")}
TOOL = {MODEL: called("second_opinion", '{"input": "two and two"}')}

WAYS = (
    Way("run_sync", place, run_sync),
    Way("run", agent, run),
    Way("run_streamed", agent, run_streamed, leaves=stream_left),
    Way("run with a handoff", handing_over, run, models=(MODEL, SECOND), replies=HANDOVER),
    Way("run_streamed with a handoff", handing_over, run_streamed, models=(MODEL, SECOND), replies=HANDOVER),
    Way("run with an agent as a tool", asking, run, models=(MODEL, SECOND), replies=TOOL),
    Way("Responses run", responding, run),
    Way("Responses run_streamed", responding, run_streamed, leaves=stream_left),
    Way("run over LiteLLM", over_litellm, run, refused=litellm.APIError),
    Way("run_streamed over LiteLLM", over_litellm, run_streamed, refused=litellm.APIError),
)
