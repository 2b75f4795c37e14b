"""LiteLLM: its functions and its Router."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import litellm
from litellm import Router
from ways import EMBEDDER, MODEL, Way, plain

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

litellm.suppress_debug_info = True  # it prints where to ask for help


@asynccontextmanager
async def host(url: str) -> AsyncIterator[dict[str, Any]]:
    """Say where the provider is; the clients that LiteLLM keeps are closed at the end, since it leaves them open."""
    yield {"model": f"openai/{MODEL}", "api_base": url, "api_key": "k", "max_retries": 0}
    await close_clients()


@asynccontextmanager
async def embedder(url: str) -> AsyncIterator[dict[str, Any]]:
    async with host(url) as options:
        yield {**options, "model": f"openai/{EMBEDDER}"}


async def close_clients() -> None:
    for client in litellm.in_memory_llm_clients_cache.cache_dict.values():
        done = client.close()
        if done is not None:
            await done
    litellm.in_memory_llm_clients_cache.flush_cache()


@asynccontextmanager
async def azure(url: str) -> AsyncIterator[dict[str, Any]]:
    async with host(url) as options:
        base = url.removesuffix("/v1")
        yield {**options, "model": f"azure/{MODEL}", "api_base": base, "api_version": "2024-10-21"}


@asynccontextmanager
async def router(url: str) -> AsyncIterator[Router]:
    async with host(url) as options:
        yield Router([{"model_name": "any", "litellm_params": options}])


def messages(question: str) -> list[Any]:
    return [{"role": "user", "content": question}]


def seen(answer: Any) -> Any:
    return plain(answer, "created")


def completion(options: dict[str, Any], question: str) -> Any:
    return seen(litellm.completion(messages=messages(question), **options))


def stream(options: dict[str, Any], question: str) -> Any:
    return seen(list(litellm.completion(messages=messages(question), stream=True, **options)))


def stream_left(options: dict[str, Any], question: str) -> None:
    next(litellm.completion(messages=messages(question), stream=True, **options))
    litellm.error_logs.clear()  # it keeps the last answer there until the next one


def batch(options: dict[str, Any], question: str) -> Any:
    answers: list[Any] = litellm.batch_completion(messages=[messages(question)] * 2, **options)
    for answer in answers:
        if isinstance(answer, Exception):
            raise answer
    return seen(answers)


def text(options: dict[str, Any], question: str) -> Any:
    return seen(litellm.text_completion(prompt=question, **options))


async def acompletion(options: dict[str, Any], question: str) -> Any:
    return seen(await litellm.acompletion(messages=messages(question), **options))


async def astream(options: dict[str, Any], question: str) -> Any:
    answer: Any = await litellm.acompletion(messages=messages(question), stream=True, **options)
    return seen([chunk async for chunk in answer])


async def astream_left(options: dict[str, Any], question: str) -> None:
    answer: Any = await litellm.acompletion(messages=messages(question), stream=True, **options)
    await anext(answer)


def embedding(options: dict[str, Any], question: str) -> Any:
    return seen(litellm.embedding(input=[question, "Four."], **options))


async def aembedding(options: dict[str, Any], question: str) -> Any:
    return seen(await litellm.aembedding(input=[question, "Four."], **options))


def routed(router: Router, question: str) -> Any:
    return seen(router.completion("any", messages(question)))


async def arouted(router: Router, question: str) -> Any:
    return seen(await router.acompletion("any", messages(question)))


async def arouted_stream(router: Router, question: str) -> Any:
    answer: Any = await router.acompletion("any", messages(question), stream=True)
    return seen([chunk async for chunk in answer])


def way(name: str, opens: Any, asks: Any, **more: Any) -> Way:
    return Way(name, opens, asks, refused=litellm.APIError, **more)


WAYS = (
    way("completion", host, completion),
    way("stream", host, stream, leaves=stream_left),
    way("batch_completion", host, batch, models=(MODEL, MODEL)),
    way("text_completion", host, text),
    way("acompletion", host, acompletion),
    way("acompletion stream", host, astream, leaves=astream_left),
    way("Azure completion", azure, completion),
    way("Azure acompletion stream", azure, astream, leaves=astream_left),
    way("Router.completion", router, routed),
    way("Router.acompletion", router, arouted),
    way("Router.acompletion stream", router, arouted_stream),
    way("embedding", embedder, embedding, models=(EMBEDDER,), units=(1200, 0)),
    way("aembedding", embedder, aembedding, models=(EMBEDDER,), units=(1200, 0)),
)
