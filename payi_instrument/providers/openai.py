"""The openai SDK: chat completions of OpenAI, Azure and hosts that speak the same wire.

We stand in `OpenAI.request`, where every call of the SDK leaves its resource, so that `create`, `parse`, `stream`,
`with_raw_response`, `with_streaming_response` and bound methods taken earlier are all the same to us (ADR 3). Usage:
https://platform.openai.com/docs/api-reference/chat/object, instrumentation-semantics sections 6.3 and 6.5.
"""

from __future__ import annotations

import json
import sys
from functools import cache
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from payi_instrument.event import CallFacts, Failure, Units, Usage
from payi_instrument.providers._base import Arguments, Kind, Shape, StreamParts, StreamReader, Target, View
from payi_instrument.providers._estimate import TOKENS_PER_MESSAGE, estimate_tokens
from payi_instrument.wire.headers import CLIENT_FAILURE, PREFIX, PayiCategories

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

library = "openai"
categories = frozenset({PayiCategories.openai, PayiCategories.azure_openai, PayiCategories.azure})
targets = (
    Target("openai", "OpenAI.request", Shape.SYNC),
    Target("openai", "AsyncOpenAI.request", Shape.ASYNC),
)

views = (
    View("openai.lib.streaming.chat", "ChatCompletionStream", "_raw_stream"),
    View("openai.lib.streaming.chat", "AsyncChatCompletionStream", "_raw_stream"),
)

_CHAT = "/chat/completions"
_REFUSED = 400
_IMAGE_TOKENS = 765
"""What a provider of this wire takes for a high-detail image of common size, for estimates only."""
_HIDDEN = "<not_instrumented>"
_TIERS = {"priority": "_priority", "fast": "_priority", "flex": "_flex"}
"""Served tiers with prices of their own; `fast` costs what `priority` does."""


def read_request(client: Any, arguments: Arguments) -> CallFacts | None:
    """Return what a call is about, None for one that is not a chat completion."""
    options = _options(arguments)
    if options.url != _CHAT or options.method.lower() != "post" or not isinstance(options.json_data, dict):
        return None
    body: dict[str, Any] = options.json_data
    return CallFacts(
        category=_category(type(client)),
        resource=body.get("model"),
        library=_library(),
        host=str(client.base_url),
        streamed=bool(arguments[1].get("stream")),
        headers=_headers(options),
        body=body,
        asked_for_usage=bool(arguments[1].get("stream")) and not _wants_usage(body),
    )


def _options(arguments: Arguments) -> Any:
    positional, keyword = arguments
    return positional[1] if len(positional) > 1 else keyword["options"]


def _headers(options: Any) -> dict[str, str]:
    headers = options.headers if isinstance(options.headers, dict) else {}
    return {name: value for name, value in headers.items() if isinstance(value, str)}


def _wants_usage(body: Mapping[str, Any]) -> bool:
    return bool((body.get("stream_options") or {}).get("include_usage"))


@cache
def _category(client: type) -> str:
    names = {base.__name__ for base in client.__mro__}
    return PayiCategories.azure_openai if names & {"AzureOpenAI", "AsyncAzureOpenAI"} else PayiCategories.openai


@cache
def _library() -> str:
    return f"{library}/{sys.modules[library].__version__}"


def prepare(facts: CallFacts, arguments: Arguments, *, ask_for_usage: bool) -> Arguments:
    """Take our headers out, and ask for the usage of a stream; the caller's own objects stay as they are."""
    changes: dict[str, Any] = {}
    options = _options(arguments)
    if any(name.lower().startswith(PREFIX) for name in facts.headers):
        changes["headers"] = {
            name: value for name, value in options.headers.items() if not name.lower().startswith(PREFIX)
        }
    if ask_for_usage and facts.asked_for_usage:
        asked = {**(facts.body.get("stream_options") or {}), "include_usage": True}  # type: ignore[dict-item]
        changes["json_data"] = {**facts.body, "stream_options": asked}
    if not changes:
        return arguments
    changed = options.model_copy(update=changes)
    positional, keyword = arguments
    if len(positional) > 1:
        return (positional[0], changed, *positional[2:]), keyword
    return positional, {**keyword, "options": changed}


def refuses_usage(error: Exception) -> bool:
    """Say whether the provider refused `stream_options`, which it names in a 400."""
    return getattr(error, "status_code", None) == _REFUSED and "stream_options" in str(error)


def kind(facts: CallFacts, answer: Any) -> Kind:
    """Say what the SDK returned."""
    if hasattr(answer, "http_response"):
        return Kind.WHOLE if answer.http_response.is_closed and not facts.streamed else Kind.RAW
    return Kind.STREAM if hasattr(answer, "_iterator") and hasattr(answer, "response") else Kind.WHOLE


def stream_parts(answer: Any) -> StreamParts:
    """Say where to stand in a stream object."""
    return StreamParts(holder=answer, attribute="_iterator", response=answer.response)


def raw_response(answer: Any) -> Any:
    """Return the HTTP library's response behind a raw one."""
    return answer.http_response


def read_answer(facts: CallFacts, answer: Any) -> Usage:
    """Return what a whole answer says it used; an estimate when it has choices and no usage."""
    if hasattr(answer, "http_response"):
        return read_bytes(facts, answer.http_response.content)
    return _whole(facts, answer)


def read_bytes(facts: CallFacts, body: bytes) -> Usage:
    """Return what a whole answer says it used, from its bytes."""
    return _whole(facts, _parsed(body))


def _whole(facts: CallFacts, answer: Any) -> Usage:
    usage = getattr(answer, "usage", None)
    choices = getattr(answer, "choices", None) or []
    found = Usage(
        resource=getattr(answer, "model", None),
        response_id=getattr(answer, "id", None),
        function_calls=[call for choice in choices for call in _calls(getattr(choice, "message", None))],
    )
    tier = getattr(answer, "service_tier", None)
    if usage is not None:
        found.units = units_of(usage, tier)
    elif choices:
        messages = [getattr(choice, "message", None) for choice in choices]
        texts = [text for message in messages if (text := getattr(message, "content", None))]
        texts += [text for call in found.function_calls for text in call if text]
        found.units = _estimated(facts, texts, tier)
        found.estimated = True
    return found


def units_of(usage: Any, tier: str | None = None) -> Units:
    """Return the units of a usage; parts of a side never overlap, and sum to the provider's own count of it.

    `tier` is the served service tier, which has prices of its own.
    """
    prompt, completion = _count(usage, "prompt_tokens"), _count(usage, "completion_tokens")
    input_details = _member(usage, "prompt_tokens_details")
    output_details = _member(usage, "completion_tokens_details")
    cached = _count(input_details, "cached_tokens") or _count(usage, "num_cached_tokens")
    text_in, input_parts = _split(
        prompt,
        text_cache_read=cached,
        text_cache_write=_count(input_details, "cache_write_tokens"),
        audio=_count(input_details, "audio_tokens"),
        vision=_count(input_details, "image_tokens"),
    )
    text_out, output_parts = _split(
        completion,
        reasoning=_count(output_details, "reasoning_tokens"),
        audio=_count(output_details, "audio_tokens"),
        image=_count(output_details, "image_tokens"),
    )
    unaccounted = _count(usage, "total_tokens") - prompt - completion  # thinking that a host leaves out of its details
    if unaccounted > 0:
        output_parts["reasoning"] = output_parts.get("reasoning", 0) + unaccounted
    units: Units = {"text": (text_in, text_out)}
    for unit, count in input_parts.items():
        units[unit] = (count, 0)
    for unit, count in output_parts.items():
        units[unit] = (units.get(unit, (0, 0))[0], count)
    if units["text"] == (0, 0) and len(units) > 1:
        del units["text"]
    return _on_tier(units, tier)


def _split(total: int, **parts: int) -> tuple[int, dict[str, int]]:
    """Take the parts out of a total, never more than is left; what remains is text."""
    taken: dict[str, int] = {}
    for unit, count in parts.items():
        share = min(count, total)
        if share > 0:
            taken[unit] = share
            total -= share
    return total, taken


def _on_tier(units: Units, tier: str | None) -> Units:
    suffix = _TIERS.get(tier or "")
    return {unit + suffix: counts for unit, counts in units.items()} if suffix else units


def _count(holder: Any, name: str) -> int:
    value = _member(holder, name)
    return max(int(value), 0) if isinstance(value, (int, float)) else 0


def _member(holder: Any, name: str) -> Any:
    """Return a member of an SDK object, or of the plain mapping that the SDK makes of what it does not know."""
    return holder.get(name) if isinstance(holder, dict) else getattr(holder, name, None)


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


def _estimated(facts: CallFacts, texts: list[str], tier: str | None = None) -> Units:
    return _on_tier({"text": (_estimated_input(facts.body), estimate_tokens(texts))}, tier)


def _estimated_input(body: Mapping[str, Any]) -> int:
    texts: list[str] = []
    images = 0
    messages = body.get("messages") or ()
    for message in messages:
        content = message.get("content") or ()
        for part in [{"text": content}] if isinstance(content, str) else content:
            if isinstance(text := part.get("text"), str):
                texts.append(text)
            images += part.get("type") == "image_url"
        texts += [text for call in message.get("tool_calls") or () for text in map(str, call.get("function", {}).values())]
    if body.get("tools"):
        texts.append(json.dumps(body["tools"], default=str))
    return estimate_tokens(texts) + TOKENS_PER_MESSAGE * len(messages) + _IMAGE_TOKENS * images


def read_failure(facts: CallFacts, error: BaseException) -> Failure:
    """Return what an exception of the SDK says: its status, the provider's request id, and tokens billed all the same."""
    status = getattr(error, "status_code", None)
    response = getattr(error, "response", None)
    completion = getattr(error, "completion", None)  # an answer cut off by its length: parsed in vain, billed in full
    body = getattr(error, "body", None)
    return Failure(
        status=status if isinstance(status, int) else CLIENT_FAILURE,
        response_id=getattr(completion, "id", None) or getattr(error, "request_id", None),
        headers=dict(getattr(response, "headers", None) or {}),
        body=json.dumps(body, default=str) if body is not None else str(error),
        usage=_whole(facts, completion) if completion is not None else None,
    )


def reader(facts: CallFacts) -> StreamReader:
    """Return a reader for a streamed chat completion."""
    return _ChatReader(facts)


class _ChatReader:
    """Gather usage, text and function calls of a streamed chat completion."""

    __slots__ = ("_calls", "_facts", "_first", "_texts", "_usage")

    def __init__(self, facts: CallFacts) -> None:
        self._facts = facts
        self._first: Any = None
        self._usage: Any = None
        self._texts: list[str] = []
        self._calls: dict[tuple[int, int], list[str]] = {}

    @property
    def has_text(self) -> bool:
        return bool(self._texts)

    def see(self, chunk: Any) -> bool:
        """Take the next chunk; the usage chunk that we asked for is hidden."""
        if self._first is None:
            self._first = chunk
        choices = chunk.choices
        if choices:
            for choice in choices:
                delta = choice.delta
                if delta is None:
                    continue
                text = delta.content
                if text:
                    self._texts.append(text)
                elif delta.tool_calls:
                    self._see_calls(choice.index, delta.tool_calls)
        usage = chunk.usage
        if usage is None:
            usage = _member(getattr(chunk, "x_groq", None), "usage")
            if usage is None:
                return False
        self._usage = usage
        return self._facts.asked_for_usage and not choices

    def _see_calls(self, choice: int, calls: Any) -> None:
        for call in calls:
            function = call.function
            parts = self._calls.setdefault((choice, call.index), ["", ""])
            if function is not None:
                parts[0] += function.name or ""
                parts[1] += function.arguments or ""

    def usage(self) -> Usage:
        """Return what was used: as the last chunk with a usage reported it, else as estimated."""
        tier = getattr(self._first, "service_tier", None)
        calls = [(name, arguments or None) for name, arguments in self._calls.values() if name]
        if self._usage is not None:
            units = units_of(self._usage, tier)
        else:
            units = _estimated(self._facts, self._texts + [text for parts in self._calls.values() for text in parts], tier)
        return Usage(
            units=units,
            resource=getattr(self._first, "model", None),
            response_id=getattr(self._first, "id", None),
            function_calls=calls,
            estimated=self._usage is None,
        )


class _Lenient(SimpleNamespace):
    """A JSON object that reads like the SDK's: a member that is absent is None."""

    def __getattr__(self, name: str) -> None:
        return None


def _lenient(value: dict[str, Any]) -> _Lenient:
    return _Lenient(**value)


def _parsed(text: str | bytes) -> Any:
    try:
        return json.loads(text, object_hook=_lenient)
    except ValueError:
        return None


def parse_chunk(data: str) -> Any:
    """Return the chunk that one server-sent event holds, None for the end mark and for what is not a chunk."""
    chunk = _parsed(data) if data.startswith("{") else None
    return chunk if isinstance(chunk, _Lenient) else None


def response_headers(answer: Any) -> Mapping[str, str]:
    """Return the headers of a stream or a raw response; a parsed answer does not show them."""
    response = getattr(answer, "http_response", None) or getattr(answer, "response", None)
    headers = getattr(response, "headers", None)
    return dict(headers) if headers is not None else {}


def log_request(facts: CallFacts, *, inline_data: bool) -> str | None:
    """Return the request as JSON text; base64 data is replaced unless `inline_data`."""
    body = dict(facts.body) if inline_data else _without_data(dict(facts.body))
    return json.dumps(body, default=_skipped)


def _without_data(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            key: _HIDDEN if key in {"data", "file_data"} and isinstance(item, str) else _without_data(item)
            for key, item in value.items()
        }
    if isinstance(value, (list, tuple)):
        return [_without_data(item) for item in value]
    return _HIDDEN if isinstance(value, str) and value.startswith("data:") and ";base64," in value[:128] else value


def _skipped(value: object) -> None:
    """Leave out what JSON does not know."""


def log_answer(answer: Any) -> str | None:
    """Return an answer or a chunk as JSON text."""
    if hasattr(answer, "http_response"):
        return answer.http_response.text
    if isinstance(answer, SimpleNamespace):
        return json.dumps(answer, default=vars)
    return answer.model_dump_json() if hasattr(answer, "model_dump_json") else None
