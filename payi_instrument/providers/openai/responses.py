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
from payi_instrument.providers.openai.calls import called_in
from payi_instrument.providers.openai.counting import counts_searches, is_reported, on_tier, units_of
from payi_instrument.providers.openai.images import authored, drawn_by, estimated_image
from payi_instrument.providers.openai.wire import count, failure_of, listed, members, named, strings, texts, unreadable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from payi_instrument.event import Units

    Item = Mapping[str, Any]

_IMAGE_MODEL = "gpt-image-2.6-sunburst"
"""What the image tool draws with where nobody names a model (API reference, image generation tool)."""
_GOING_ON = ("queued", "in_progress")
"""States in which a response may yet use more."""
_UNSUCCESSFUL = ("cancelled", "failed")
"""States in which a response without a usage was not billed."""


def read(facts: CallFacts, answer: Any) -> Usage:
    """Return what a whole answer says it used; an estimate when it has an output and no usage.

    A stored answer that is fetched counts when it was made in the background: any other was counted when it was made.
    """
    told = members(answer)
    found = _read(facts, told, _items(told))
    told_nothing = not found.units and found.failure is None and told.get("status") not in (*_GOING_ON, *_UNSUCCESSFUL)
    if told_nothing and facts.costs and not facts.reports_later:
        raise unreadable(answer)
    return found


def _items(told: Mapping[str, Any]) -> list[Item]:
    return [members(item) for item in listed(told.get("output"))]


def _read(facts: CallFacts, told: Mapping[str, Any], items: Sequence[Item]) -> Usage:
    found = Usage(
        resource=named(told.get("model")),
        response_id=named(told.get("id")),
        function_calls=list(called_in(items)),
        failure=failure_of(told.get("error")),
        once=facts.reports_later,
    )
    status = told.get("status")
    if facts.reports_later and (status in _GOING_ON or not (facts.body.get("background") or told.get("background"))):
        return found
    usage, tier = told.get("usage"), told.get("service_tier")
    if is_reported(usage):
        tools = members(told.get("tool_usage"))
        found.units = units_of(usage, tier) | ({} if counts_searches(usage) else _searches(items, tools))
        found.beside = list(_drawn(facts, told, items, tools))
    elif items and status not in (*_GOING_ON, *_UNSUCCESSFUL) and found.failure is None:
        said = [text for item in items for text in _said(item)]
        found.units = _estimated(facts, said, tier)
        found.estimated = True
    return found


def _said(item: Item) -> list[str]:
    found = texts(item.get("content")) + texts(item.get("summary"))
    return found + strings(item.get(name) for name in ("name", "arguments", "input"))


def _searches(items: Sequence[Item], tools: Mapping[str, Any]) -> Units:
    """Return the searches that are billed each: as the answer sums them up, else as its items show them."""
    summed_up = members(tools.get("web_search"))
    web = count(summed_up, "num_requests") if summed_up else sum(map(_searched_the_web, items))
    files = sum(item.get("type") == "file_search_call" for item in items)
    found = {"web_search_request": (0, web), "file_search_request": (0, files)}
    return {unit: counts for unit, counts in found.items() if counts != (0, 0)}


def _searched_the_web(item: Item) -> bool:
    action = members(item.get("action")).get("type")
    return item.get("type") == "web_search_call" and (action is None or action == "search")


def _drawn(
    facts: CallFacts, told: Mapping[str, Any], items: Sequence[Item], tools: Mapping[str, Any]
) -> Iterator[Usage]:
    """Return what was drawn: as the answer sums it up, else an estimate for each image among its items."""
    pictures = [item for item in items if item.get("type") == "image_generation_call" and item.get("result")]
    vectors = [item for item in pictures if is_reported(item.get("svg_usage"))]
    tools_asked = map(members, (*listed(told.get("tools")), *listed(facts.body.get("tools"))))
    asked = [tool for tool in tools_asked if tool.get("type") == "image_generation"]
    model = next(iter(strings(tool.get("model") for tool in asked)), _IMAGE_MODEL)
    summed_up = tools.get("image_gen")
    if is_reported(summed_up):
        yield drawn_by(model, summed_up)
    elif not members(summed_up) and len(pictures) > len(vectors):
        tokens = sum(estimated_image(model, item, *asked) for item in pictures if item not in vectors)
        yield Usage(units={"image": (0, tokens)}, resource=model, estimated=True)
    yield from (authored(item["svg_usage"]) for item in vectors)


def _estimated(facts: CallFacts, said: list[str], tier: Any) -> Units:
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
        self._response: Mapping[str, Any] = {}
        self._items: dict[str, Item] = {}
        self._texts: list[Any] = []
        self._keep_text = self._texts.append
        self._thoughts: list[str] = []
        self._failure: tuple[str, str | None] | None = None

    @property
    def has_text(self) -> bool:
        """Say whether a piece of answer text was seen."""
        return bool(self._texts)

    def see(self, event: Any) -> bool:
        """Take the next event; none is hidden."""
        try:
            if event.type == "response.output_text.delta":  # which nearly all are
                self._keep_text(event.delta)
                return False
        except AttributeError:  # no object, or none with a type
            pass
        self._see_other(members(event))
        return False

    def _see_other(self, told: Mapping[str, Any]) -> None:
        kind = str(told.get("type"))
        response, item = members(told.get("response")), members(told.get("item"))
        if response:  # created, in progress, and how it ended
            self._response = response
        elif item:  # added, then done
            self._items[f"{told.get('output_index')} {item.get('id')}"] = item
        elif kind == "error" or told.get("error"):
            self._failure = failure_of(told.get("error") or told)
        elif kind.endswith(".delta"):  # thoughts, refusals, what functions are called with
            self._thoughts += strings([told.get("delta")])

    def usage(self) -> Usage:
        """Return what was used: as the event that ended it reported it, else as estimated."""
        response = self._response
        found = _read(self._facts, response, _items(response) or list(self._items.values()))
        found.failure = found.failure or self._failure
        if not found.units and response.get("status") != "failed":
            found.units = _estimated(self._facts, strings(self._texts) + self._thoughts, response.get("service_tier"))
            found.estimated = True
        return found
