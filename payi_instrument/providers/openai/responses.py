"""Responses: https://platform.openai.com/docs/api-reference/responses/object, streamed ones and background ones too.

A background response answers without usage and is asked for again until it is done. Whoever asks first when it is makes
its event, under an id that every such answer has in common (decision 6). Tools that run at the provider's are counted
with the answer; images that the answer drew are another model's, so they are events beside it.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from payi_instrument.event import CallFacts, Usage
from payi_instrument.providers._estimate import TOKENS_PER_IMAGE, TOKENS_PER_MESSAGE, estimate_tokens
from payi_instrument.providers.openai.counting import is_reported, on_tier, units_of
from payi_instrument.providers.openai.images import drawn_by
from payi_instrument.providers.openai.wire import count, listed, members, strings, texts

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from payi_instrument.event import Units

_IMAGE_MODEL = "gpt-image-1"
"""What the image tool draws with where nobody names a model (API reference, image generation tool)."""
_CALLS = {"function_call": "arguments", "custom_tool_call": "input", "mcp_call": "arguments"}
"""Items that are calls of functions, and the member that holds what they are called with."""
_UNFINISHED = ("queued", "in_progress", "cancelled")


def read(facts: CallFacts, answer: Any) -> Usage:
    """Return what a whole answer says it used; an estimate when it has an output and no usage.

    A stored answer that is fetched counts when it was made in the background: any other was counted when it was made.
    """
    items = listed(getattr(answer, "output", None))
    found = Usage(
        resource=getattr(answer, "model", None),
        response_id=getattr(answer, "id", None),
        function_calls=list(_calls(items)),
        failure=_failure(getattr(answer, "error", None)),
        once=facts.reports_later,
    )
    if facts.reports_later and not (facts.body.get("background") or getattr(answer, "background", None)):
        return found
    usage, tier = getattr(answer, "usage", None), getattr(answer, "service_tier", None)
    if is_reported(usage):
        tools = getattr(answer, "tool_usage", None)
        found.units = units_of(usage, tier) | _searches(items, tools)
        found.beside = list(_drawn(facts, answer, items, tools))
    elif items and getattr(answer, "status", None) not in _UNFINISHED and found.failure is None:
        said = [text for item in items for text in _said(item)]
        found.units = _estimated(facts, said, tier)
        found.estimated = True
    return found


def _calls(items: Sequence[Any]) -> Iterator[tuple[str, str | None]]:
    for item in items:
        given = _CALLS.get(getattr(item, "type", None) or "")
        if given is not None:
            yield item.name, getattr(item, given, None)


def _said(item: Any) -> list[str]:
    found = texts(getattr(item, "content", None)) + texts(getattr(item, "summary", None))
    return found + strings(getattr(item, name, None) for name in ("name", "arguments", "input"))


def _failure(error: Any) -> tuple[str, str | None] | None:
    if error is None:
        return None
    return getattr(error, "code", None) or "error", getattr(error, "message", None)


def _searches(items: Sequence[Any], tools: Any) -> Units:
    """Return the searches that are billed each: as the answer sums them up, else as its items show them."""
    if tools is not None:
        web = count(members(getattr(tools, "web_search", None)), "num_requests")
    else:
        web = sum(_searched_the_web(item) for item in items)
    files = sum(getattr(item, "type", None) == "file_search_call" for item in items)
    found = {"web_search_request": (0, web), "file_search_request": (0, files)}
    return {unit: counts for unit, counts in found.items() if counts != (0, 0)}


def _searched_the_web(item: Any) -> bool:
    if getattr(item, "type", None) != "web_search_call":
        return False
    return members(getattr(item, "action", None)).get("type") in {None, "search"}


def _drawn(facts: CallFacts, answer: Any, items: Sequence[Any], tools: Any) -> Iterator[Usage]:
    usage = getattr(tools, "image_gen", None)
    if is_reported(usage):
        asked = [*listed(getattr(answer, "tools", None)), *listed(facts.body.get("tools"))]
        models = [_model(tool) for tool in asked if members(tool).get("type") == "image_generation"]
        yield drawn_by(next(filter(None, models), _IMAGE_MODEL), usage)
    for item in items:
        if is_reported(getattr(item, "svg_usage", None)):
            yield drawn_by(item.svg_usage.model, item.svg_usage, made="text")


def _model(tool: Any) -> str | None:
    return members(tool).get("model")


def _estimated(facts: CallFacts, said: list[str], tier: str | None) -> Units:
    return on_tier({"text": (_estimated_input(facts.body), estimate_tokens(said))}, tier)


def _estimated_input(body: Mapping[str, Any]) -> int:
    given = body.get("input")
    found = texts(body.get("instructions")) + texts(given)
    images = 0
    items = [members(item) for item in listed(given)]
    for item in items:
        content = item.get("content")
        found += texts(content) + strings(item.get(name) for name in ("name", "arguments", "output"))
        images += sum(members(part).get("type") == "input_image" for part in listed(content))
    if body.get("tools"):
        found.append(json.dumps(body["tools"], default=str))
    return estimate_tokens(found) + TOKENS_PER_MESSAGE * max(len(items), 1) + TOKENS_PER_IMAGE * images


class ResponseReader:
    """Gather usage, text and function calls of a streamed response."""

    __slots__ = ("_facts", "_failure", "_items", "_keep_text", "_response", "_texts", "_thoughts")

    def __init__(self, facts: CallFacts) -> None:
        """Take the call whose answer is streamed."""
        self._facts = facts
        self._response: Any = None
        self._items: list[Any] = []
        self._texts: list[str] = []
        self._keep_text = self._texts.append
        self._thoughts: list[str] = []
        self._failure: tuple[str, str | None] | None = None

    @property
    def has_text(self) -> bool:
        """Say whether a piece of answer text was seen."""
        return bool(self._texts)

    def see(self, event: Any) -> bool:
        """Take the next event; none is hidden."""
        if event.type == "response.output_text.delta":  # which nearly all are
            self._keep_text(event.delta)
            return False
        self._see_other(event, event.type or "")
        return False

    def _see_other(self, event: Any, kind: str) -> None:
        response = getattr(event, "response", None)
        if response is not None:  # created, in progress, and how it ended
            self._response = response
        elif kind == "response.output_item.done":
            self._items.append(event.item)
        elif kind == "error":
            self._failure = _failure(event)
        elif kind.endswith(".delta"):  # thoughts, refusals, what functions are called with
            self._thoughts += strings([event.delta])

    def usage(self) -> Usage:
        """Return what was used: as the event that ended it reported it, else as estimated."""
        response = self._response
        found = read(self._facts, response) if response is not None else Usage()
        found.failure = found.failure or self._failure
        found.function_calls = found.function_calls or list(_calls(self._items))
        if not found.units and (found.failure is None or self._texts):
            tier = getattr(response, "service_tier", None)
            found.units = _estimated(self._facts, [*self._texts, *self._thoughts], tier)
            found.estimated = True
        return found
