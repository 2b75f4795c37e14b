"""A way to call a provider through a framework, as the tests of all frameworks run it."""

from __future__ import annotations

import asyncio
import inspect
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from examples.openai_standin import Reply
from payi_instrument import LimitBlockedError

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager

MODEL = "gpt-4o"
EMBEDDER = "text-embedding-3-small"


@dataclass(frozen=True)
class Way:
    """One way: `opens` makes what all users of a process share, `asks` puts one user's question to it.

    `asks` returns what the user sees of the answer, as plain data, without what is new in every answer. `models` are those
    that the provider is asked for one question, each call of `units`, and `replies` what it says as which of them. `leaves`
    opens a stream and reads no further than its beginning. `refused` is what the user sees when a limit blocks.
    """

    name: str
    opens: Callable[[str], AbstractAsyncContextManager[Any]]
    asks: Callable[[Any, str], Any]
    models: tuple[str, ...] = (MODEL,)
    units: tuple[int, int] = (1200, 400)
    replies: dict[str, Reply] = field(default_factory=dict)
    leaves: Callable[[Any, str], Any] | None = None
    refused: type[Exception] = LimitBlockedError


async def ask(asks: Callable[[Any, str], Any], shared: Any, question: str) -> Any:
    """Ask from a task, or from a thread where the framework holds one up."""
    if inspect.iscoroutinefunction(asks):
        return await asks(shared, question)
    return await asyncio.to_thread(asks, shared, question)


def called(name: str, arguments: str) -> Reply:
    """Return the reply of a model that calls a tool."""
    function = {"name": name, "arguments": arguments}
    return Reply(tool_calls=[{"id": "call_1", "type": "function", "function": function}])


def plain(answer: Any, *new: str) -> Any:
    """Return an answer as plain data, without the members that are new in every answer."""
    if isinstance(answer, (list, tuple)):
        return [plain(item, *new) for item in answer]
    if hasattr(answer, "model_dump"):
        answer = answer.model_dump(warnings=False)
    if isinstance(answer, dict):
        return {key: plain(value, *new) for key, value in answer.items() if key not in new}
    return answer
