"""LangChain: the models of langchain-openai, by themselves and in a chain."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import httpx2
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_openai import AzureChatOpenAI, ChatOpenAI, OpenAIEmbeddings
from pydantic import BaseModel
from ways import EMBEDDER, MODEL, Way, called, plain

from examples.openai_standin import Reply

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from langchain_core.runnables import Runnable


class Sum(BaseModel):
    """What the numbers come to."""

    number: int


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[dict[str, Any]]:
    """Return what a model needs to call the provider; clients of its own it would share with later loops."""
    async with httpx2.AsyncClient() as later:
        with httpx2.Client() as now:
            yield {"base_url": url, "api_key": "k", "max_retries": 0, "http_client": now, "http_async_client": later}


@asynccontextmanager
async def chat(url: str) -> AsyncIterator[Runnable[Any, Any]]:
    async with connected(url) as options:
        yield ChatOpenAI(model=MODEL, **options)


@asynccontextmanager
async def streaming(url: str) -> AsyncIterator[Runnable[Any, Any]]:
    """A model that streams whatever it is asked by."""
    async with connected(url) as options:
        yield ChatOpenAI(model=MODEL, streaming=True, stream_usage=True, **options)


@asynccontextmanager
async def responding(url: str) -> AsyncIterator[Runnable[Any, Any]]:
    async with connected(url) as options:
        yield ChatOpenAI(model=MODEL, use_responses_api=True, **options)


@asynccontextmanager
async def embedder(url: str) -> AsyncIterator[OpenAIEmbeddings]:
    """Return a model that counts no tokens: what counts them has to be downloaded."""
    async with connected(url) as options:
        yield OpenAIEmbeddings(model=EMBEDDER, check_embedding_ctx_length=False, **options)


@asynccontextmanager
async def azure(url: str) -> AsyncIterator[Runnable[Any, Any]]:
    async with connected(url) as options:
        del options["base_url"]
        yield AzureChatOpenAI(
            azure_endpoint=url.removesuffix("/v1"),
            azure_deployment=MODEL,
            model=MODEL,
            api_version="2024-10-21",
            **options,
        )


@asynccontextmanager
async def structured(url: str) -> AsyncIterator[Runnable[Any, Any]]:
    async with connected(url) as options:
        yield ChatOpenAI(model=MODEL, **options).with_structured_output(Sum)


@asynccontextmanager
async def with_tools(url: str) -> AsyncIterator[Runnable[Any, Any]]:
    async with connected(url) as options:
        yield ChatOpenAI(model=MODEL, **options).bind_tools([Sum])


@asynccontextmanager
async def chain(url: str) -> AsyncIterator[Runnable[Any, Any]]:
    async with connected(url) as options:
        yield ChatPromptTemplate.from_template("{question}") | ChatOpenAI(model=MODEL, **options) | StrOutputParser()


def seen(answer: Any) -> Any:
    """Leave out the id that LangChain gives each run, and the chunks of a stream with it."""
    return plain(answer, "id")


def invoke(model: Runnable[Any, Any], question: str) -> Any:
    return seen(model.invoke(question))


def stream(model: Runnable[Any, Any], question: str) -> Any:
    return seen(list(model.stream(question)))


def stream_left(model: Runnable[Any, Any], question: str) -> None:
    next(iter(model.stream(question)))


def batch(model: Runnable[Any, Any], question: str) -> Any:
    return seen(model.batch([question, question]))


async def ainvoke(model: Runnable[Any, Any], question: str) -> Any:
    return seen(await model.ainvoke(question))


async def astream(model: Runnable[Any, Any], question: str) -> Any:
    return seen([chunk async for chunk in model.astream(question)])


async def astream_left(model: Runnable[Any, Any], question: str) -> None:
    await anext(aiter(model.astream(question)))


async def abatch(model: Runnable[Any, Any], question: str) -> Any:
    return seen(await model.abatch([question, question]))


async def astream_events(model: Runnable[Any, Any], question: str) -> Any:
    return [event["event"] async for event in model.astream_events(question)]


def embed_documents(model: OpenAIEmbeddings, question: str) -> Any:
    return model.embed_documents([question, "Four."])


async def aembed_query(model: OpenAIEmbeddings, question: str) -> Any:
    return await model.aembed_query(question)


NUMBER = {MODEL: Reply(text='{"number": 4}')}
TOOL = {MODEL: called("Sum", '{"number": 4}')}

WAYS = (
    Way("invoke", chat, invoke),
    Way("stream", chat, stream, leaves=stream_left),
    Way("batch", chat, batch, models=(MODEL, MODEL)),
    Way("ainvoke", chat, ainvoke),
    Way("astream", chat, astream, leaves=astream_left),
    Way("abatch", chat, abatch, models=(MODEL, MODEL)),
    Way("astream_events", chat, astream_events),
    Way("streaming invoke", streaming, invoke),
    Way("streaming ainvoke", streaming, ainvoke),
    Way("chain", chain, invoke),
    Way("async chain", chain, ainvoke),
    Way("Azure invoke", azure, invoke),
    Way("Azure astream", azure, astream, leaves=astream_left),
    Way("structured invoke", structured, invoke, replies=NUMBER),
    Way("structured astream", structured, astream, replies=NUMBER),
    Way("tools invoke", with_tools, invoke, replies=TOOL),
    Way("tools astream", with_tools, astream, replies=TOOL, leaves=astream_left),
    Way("Responses invoke", responding, invoke),
    Way("Responses stream", responding, stream, leaves=stream_left),
    Way("Responses ainvoke", responding, ainvoke),
    Way("Responses astream", responding, astream, leaves=astream_left),
    Way("embed_documents", embedder, embed_documents, models=(EMBEDDER,), units=(1200, 0)),
    Way("aembed_query", embedder, aembed_query, models=(EMBEDDER,), units=(1200, 0)),
)
