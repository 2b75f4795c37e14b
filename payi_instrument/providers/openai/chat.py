"""Chat completions, and the older completions of a prompt: https://platform.openai.com/docs/api-reference/chat/object.

Hosts put a stream's usage where they like: into a last chunk of its own, into the one that finishes or its choice, onto
every chunk, or under `x_groq`. Source: instrumentation-semantics sections 6.3 and 6.5, provider shapes 1 to 6.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from payi_instrument.event import CallFacts, Usage
from payi_instrument.providers._estimate import TOKENS_PER_IMAGE, TOKENS_PER_MESSAGE, estimate_given, estimate_tokens
from payi_instrument.providers.openai.calls import CallsInPieces, called_by
from payi_instrument.providers.openai.counting import is_reported, on_tier, units_of
from payi_instrument.providers.openai.wire import failure_of, listed, members, named, strings, texts, unreadable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from payi_instrument.event import Units


def read(facts: CallFacts, answer: Any) -> Usage:
    """Return what a whole answer says it used; an estimate when it has choices and no usage."""
    told = members(answer)
    choices = [members(choice) for choice in listed(told.get("choices"))]
    messages = [members(choice.get("message")) for choice in choices]
    error = told.get("error") or next((choice["error"] for choice in choices if choice.get("error")), None)
    found = Usage(
        resource=named(told.get("model")),
        response_id=named(told.get("id")),
        function_calls=[call for message in messages for call in called_by(message)],
        failure=failure_of(error) if error else None,
    )
    usage, tier = _usage(told, choices), told.get("service_tier")
    if is_reported(usage):
        found.units = units_of(usage, tier)
    elif choices:
        said = [text for message in messages for text in texts(message.get("content")) + _unsaid(message)]
        said += strings(choice.get("text") for choice in choices)
        said += [text for call in found.function_calls for text in call if text]
        found.units = _estimated(facts, said, tier)
        found.estimated = True
    elif found.failure is None:
        raise unreadable(answer)
    return found


def _usage(told: Mapping[str, Any], choices: Sequence[Mapping[str, Any]]) -> Any:
    """Return the usage of an answer or a chunk: its own, or where Groq and Moonshot put it."""
    usage = told.get("usage")
    if is_reported(usage):
        return usage
    elsewhere = [choice["usage"] for choice in choices if choice.get("usage")]
    if "x_groq" in told:
        elsewhere.append(members(told["x_groq"]).get("usage"))
    return next(filter(is_reported, elsewhere), usage)


def _unsaid(told: Mapping[str, Any]) -> list[str]:
    """Return what a message says beside its content: thoughts, a refusal, what was spoken."""
    audio = told.get("audio")
    spoken = members(audio).get("transcript") if audio else None
    return strings([told.get("reasoning_content") or told.get("reasoning"), told.get("refusal"), spoken])


def _estimated(facts: CallFacts, said: list[str], tier: Any) -> Units:
    return on_tier({"text": (_estimated_input(facts.body), estimate_tokens(said))}, tier)


def _estimated_input(body: Mapping[str, Any]) -> int:
    found: list[str] = []
    images = 0
    messages = [members(message) for message in listed(body.get("messages"))]
    for message in messages:
        content = message.get("content")
        found += texts(content)
        images += sum(members(part).get("type") == "image_url" for part in listed(content))
        found += [text for call in called_by(message) for text in call if text]
    if body.get("tools"):
        found.append(json.dumps(body["tools"], default=str))
    given = estimate_given(body.get("prompt")) + estimate_tokens(found)
    return given + TOKENS_PER_MESSAGE * len(messages) + TOKENS_PER_IMAGE * images


class ChatReader:
    """Gather usage, text and function calls of a streamed chat completion."""

    __slots__ = (
        *("_calls", "_facts", "_failure", "_first", "_keep_text"),
        *("_last_text", "_texts", "_tier", "_unsaid", "_usage"),
    )

    def __init__(self, facts: CallFacts) -> None:
        """Take the call whose answer is streamed."""
        self._facts = facts
        self._first: Mapping[str, Any] = {}
        self._last_text: Any = None
        self._usage: Any = None
        self._tier: Any = None
        self._failure: tuple[str, str | None] | None = None
        self._texts: list[Any] = []
        self._keep_text = self._texts.append
        self._unsaid: list[str] = []
        self._calls = CallsInPieces()

    @property
    def has_text(self) -> bool:
        """Say whether a chunk with answer text was seen."""
        return bool(self._texts)

    def see(self, chunk: Any) -> bool:
        """Take the next chunk; the usage chunk that we asked for is hidden.

        A chunk of text, which nearly all are, has four members read; whether it bears a usage too is looked up at the
        end, when it was the last of its kind.
        """
        try:
            [choice] = chunk.choices
            delta = choice.delta
            if (text := delta.content) and not delta.tool_calls and self._first:
                self._keep_text(text)
                self._last_text = chunk
                return False
        except (AttributeError, TypeError, ValueError):  # no choice or several, none with a delta, or something odd
            pass
        return self._see_whole(members(chunk))

    def _see_whole(self, told: Mapping[str, Any]) -> bool:
        choices = [members(choice) for choice in listed(told.get("choices"))]
        if not self._first and (told.get("id") or told.get("model")):  # Azure begins with one that is empty
            self._first = told
        for choice in choices:
            delta = members(choice.get("delta"))
            if delta.get("content"):
                self._keep_text(delta["content"])
            self._unsaid += _unsaid(delta)
            self._calls.see(choice.get("index"), delta)
        return self._see_end(told, choices)

    def _see_end(self, told: Mapping[str, Any], choices: Sequence[Mapping[str, Any]]) -> bool:
        """Keep the usage, the tier and the error that a chunk bears; say whether the caller must not see it."""
        self._tier = told.get("service_tier") or self._tier
        if told.get("error"):
            self._failure = failure_of(told["error"])
        usage = _usage(told, choices)
        if is_reported(usage):
            self._usage, self._last_text = usage, None
        return usage is not None and self._facts.asked_for_usage and not choices and not told.get("error")

    def usage(self) -> Usage:
        """Return what was used: as the last chunk with a usage reported it, else as estimated."""
        late = getattr(self._last_text, "usage", None)
        reported = late if is_reported(late) else self._usage
        if reported is not None:
            units = units_of(reported, self._tier)
        else:
            said = [text for content in self._texts for text in texts(content)]
            units = _estimated(self._facts, said + self._unsaid + self._calls.texts(), self._tier)
        return Usage(
            units=units,
            resource=named(self._first.get("model")),
            response_id=named(self._first.get("id")),
            function_calls=self._calls.calls(),
            estimated=reported is None,
            failure=self._failure,
        )


class CompletionReader(ChatReader):
    """Gather usage and text of a streamed completion of a prompt, whose choices have a text and no delta."""

    __slots__ = ()

    def see(self, chunk: Any) -> bool:
        """Take the next chunk; the usage chunk that we asked for is hidden."""
        told = members(chunk)
        for text in strings(members(choice).get("text") for choice in listed(told.get("choices"))):
            self._keep_text(text)
        return self._see_whole(told)
