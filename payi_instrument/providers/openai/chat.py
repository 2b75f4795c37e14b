"""Chat completions, and the older completions of a prompt: https://platform.openai.com/docs/api-reference/chat/object.

Hosts put a stream's usage where they like: into a last chunk of its own, into the one that finishes, onto every chunk,
or under `x_groq`. Source: instrumentation-semantics sections 6.3 and 6.5, provider shapes 1 to 6.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from payi_instrument.event import CallFacts, Usage
from payi_instrument.providers._estimate import TOKENS_PER_IMAGE, TOKENS_PER_MESSAGE, estimate_tokens
from payi_instrument.providers.openai.counting import is_reported, on_tier, units_of
from payi_instrument.providers.openai.wire import listed, members, strings, texts

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from payi_instrument.event import Units


def read(facts: CallFacts, answer: Any) -> Usage:
    """Return what a whole answer says it used; an estimate when it has choices and no usage."""
    usage = getattr(answer, "usage", None) or members(getattr(answer, "x_groq", None)).get("usage")
    choices = listed(getattr(answer, "choices", None))
    messages = [getattr(choice, "message", None) for choice in choices]
    found = Usage(
        resource=getattr(answer, "model", None),
        response_id=getattr(answer, "id", None),
        function_calls=[call for message in messages for call in _calls(message)],
    )
    tier = getattr(answer, "service_tier", None)
    if is_reported(usage):
        found.units = units_of(usage, tier)
    elif choices:
        said = [text for message in messages for text in texts(getattr(message, "content", None))]
        said += strings(getattr(choice, "text", None) for choice in choices)
        said += [text for call in found.function_calls for text in call if text]
        found.units = _estimated(facts, said, tier)
        found.estimated = True
    return found


def _calls(message: Any) -> Iterator[tuple[str, str | None]]:
    """Return the function calls of a message, today's form and the legacy one."""
    for call in getattr(message, "tool_calls", None) or ():
        function = getattr(call, "function", None)
        custom = getattr(call, "custom", None)
        if function is not None:
            yield function.name, function.arguments
        elif custom is not None:
            yield custom.name, custom.input
    legacy = getattr(message, "function_call", None)
    if legacy is not None:
        yield legacy.name, legacy.arguments


def _estimated(facts: CallFacts, said: list[str], tier: str | None) -> Units:
    return on_tier({"text": (_estimated_input(facts.body), estimate_tokens(said))}, tier)


def _estimated_input(body: Mapping[str, Any]) -> int:
    prompt = body.get("prompt")
    found = texts(prompt) + strings(listed(prompt))
    images = 0
    messages = listed(body.get("messages"))
    for message in messages:
        content = message.get("content")
        found += texts(content)
        images += sum(members(part).get("type") == "image_url" for part in listed(content))
        for call in message.get("tool_calls") or ():
            found += map(str, call.get("function", {}).values())
    if body.get("tools"):
        found.append(json.dumps(body["tools"], default=str))
    return estimate_tokens(found) + TOKENS_PER_MESSAGE * len(messages) + TOKENS_PER_IMAGE * images


class ChatReader:
    """Gather usage, text and function calls of a streamed chat completion."""

    __slots__ = ("_calls", "_facts", "_first", "_keep_text", "_last_text", "_texts", "_usage")

    def __init__(self, facts: CallFacts) -> None:
        """Take the call whose answer is streamed."""
        self._facts = facts
        self._first: Any = None
        self._last_text: Any = None
        self._usage: Any = None
        self._texts: list[str] = []
        self._keep_text = self._texts.append
        self._calls: dict[tuple[int, int | None], list[str]] = {}

    @property
    def has_text(self) -> bool:
        """Say whether a chunk with answer text was seen."""
        return bool(self._texts)

    def see(self, chunk: Any) -> bool:
        """Take the next chunk; the usage chunk that we asked for is hidden.

        A chunk of text, which nearly all are, has four members read; whether it bears a usage too is looked up at the
        end, when it was the last of its kind.
        """
        choices = chunk.choices
        if choices:
            delta = choices[0].delta
            if (
                delta is not None
                and (text := delta.content)
                and not delta.tool_calls
                and len(choices) == 1
                and self._first is not None
            ):
                self._keep_text(text)
                self._last_text = chunk
                return False
        return self._see_whole(chunk, choices or ())

    def _see_whole(self, chunk: Any, choices: Any) -> bool:
        if self._first is None and chunk.id:  # Azure begins with one that is empty
            self._first = chunk
        for choice in choices:
            delta = choice.delta
            if delta is None:
                continue
            if delta.content:
                self._keep_text(delta.content)
            for call in delta.tool_calls or ():
                self._see_function((choice.index, call.index), call.function)
            self._see_function((choice.index, None), getattr(delta, "function_call", None))
        return self._see_usage(chunk) and self._facts.asked_for_usage and not choices

    def _see_usage(self, chunk: Any) -> bool:
        """Keep the usage that a chunk bears; say whether it bears one, an empty one included."""
        usage = chunk.usage or members(getattr(chunk, "x_groq", None)).get("usage")
        if is_reported(usage):
            self._usage, self._last_text = usage, None
        return usage is not None

    def _see_function(self, key: tuple[int, int | None], function: Any) -> None:
        if function is not None:
            parts = self._calls.setdefault(key, ["", ""])
            parts[0] += function.name or ""
            parts[1] += function.arguments or ""

    def usage(self) -> Usage:
        """Return what was used: as the last chunk with a usage reported it, else as estimated."""
        tier = getattr(self._first, "service_tier", None)
        calls = [(name, arguments or None) for name, arguments in self._calls.values() if name]
        late = getattr(self._last_text, "usage", None)
        reported = late if is_reported(late) else self._usage
        if reported is not None:
            units = units_of(reported, tier)
        else:
            said = [text for content in self._texts for text in texts(content)]
            units = _estimated(self._facts, said + [text for parts in self._calls.values() for text in parts], tier)
        return Usage(
            units=units,
            resource=getattr(self._first, "model", None),
            response_id=getattr(self._first, "id", None),
            function_calls=calls,
            estimated=reported is None,
        )


class CompletionReader(ChatReader):
    """Gather usage and text of a streamed completion of a prompt, whose choices have a text and no delta."""

    __slots__ = ()

    def see(self, chunk: Any) -> bool:
        """Take the next chunk; the usage chunk that we asked for is hidden."""
        if self._first is None and chunk.id:
            self._first = chunk
        choices = listed(chunk.choices)
        for text in strings(getattr(choice, "text", None) for choice in choices):
            self._keep_text(text)
        return self._see_usage(chunk) and self._facts.asked_for_usage and not choices
