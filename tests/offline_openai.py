"""The real openai SDK against a provider without a network, which remembers what it was sent.

The id of an answer is the text that was asked, so that a test can tell which call an event belongs to.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import TYPE_CHECKING, Any

import openai

if TYPE_CHECKING:
    from openai.types.chat import ChatCompletion

httpx: Any = sys.modules[openai.DefaultHttpxClient.__base__.__module__]
"""The HTTP library that the SDK stands on: httpx2, or httpx before its third major version."""
MODEL = "gpt-4o-mini"
USAGE = {"prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1100}


class Offline:
    """An OpenAI client pair; `failure` is raised by the transport in place of an answer."""

    def __init__(self, failure: BaseException | None = None) -> None:
        self.requests: list[httpx.Request] = []
        self._failure = failure
        self.client = openai.OpenAI(
            api_key="sk-secret-key",
            base_url="http://provider.test/v1",
            max_retries=0,
            http_client=httpx.Client(transport=httpx.MockTransport(self._answer)),
        )
        self.async_client = openai.AsyncOpenAI(
            api_key="sk-secret-key",
            base_url="http://provider.test/v1",
            max_retries=0,
            http_client=httpx.AsyncClient(transport=httpx.MockTransport(self._answer_later)),
        )

    def ask(self, text: str = "hello", **arguments: Any) -> ChatCompletion:
        return self.client.chat.completions.create(model=MODEL, messages=_messages(text), **arguments)

    async def aask(self, text: str = "hello", **arguments: Any) -> ChatCompletion:
        return await self.async_client.chat.completions.create(model=MODEL, messages=_messages(text), **arguments)

    @property
    def last_headers(self) -> httpx.Headers:
        """What the provider saw of the last call."""
        return self.requests[-1].headers

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        if self._failure is not None:
            raise self._failure
        asked = json.loads(request.content)
        text = asked["messages"][-1]["content"]
        if asked.get("stream"):
            return httpx.Response(200, headers={"content-type": "text/event-stream"}, content=_events(text))
        return httpx.Response(200, json=_completion(text))

    async def _answer_later(self, request: httpx.Request) -> httpx.Response:
        await asyncio.sleep(0)
        return self._answer(request)


def _messages(text: str) -> list[Any]:
    return [{"role": "user", "content": text}]


def _completion(text: str) -> dict[str, Any]:
    message = {"role": "assistant", "content": f"answer to {text}"}
    return {
        "id": text,
        "object": "chat.completion",
        "created": 1,
        "model": MODEL,
        "choices": [{"index": 0, "finish_reason": "stop", "message": message}],
        "usage": USAGE,
    }


def _events(text: str) -> bytes:
    def chunk(**members: Any) -> bytes:
        head = {"id": text, "object": "chat.completion.chunk", "created": 1, "model": MODEL}
        return b"data: " + json.dumps(head | members).encode() + b"\n\n"

    words = [chunk(choices=[{"index": 0, "delta": {"content": word}}]) for word in ("one ", "two ", "three")]
    return b"".join([*words, chunk(choices=[], usage=USAGE), b"data: [DONE]\n\n"])
