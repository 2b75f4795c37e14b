"""The openai SDK: chat completions of OpenAI, Azure and hosts that speak the same wire.

We stand in `OpenAI.request`, where every call of the SDK leaves its resource, so that `create`, `parse`, `stream`,
`with_raw_response`, `with_streaming_response` and bound methods taken earlier are all the same to us (ADR 3). Usage:
https://platform.openai.com/docs/api-reference/chat/object, instrumentation-semantics sections 6.3 and 6.5.
"""

from __future__ import annotations

import json
import sys
from functools import cache, partial
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast
from weakref import WeakKeyDictionary

from payi_instrument.event import CallFacts, Failure, Units, Usage
from payi_instrument.providers._base import Arguments, Kind, Shape, StreamParts, StreamReader, Target, View
from payi_instrument.providers._estimate import TOKENS_PER_MESSAGE, estimate_tokens
from payi_instrument.wire.headers import CLIENT_FAILURE, PREFIX, PayiCategories

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

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
_REFUSALS = (400, 422)
_IMAGE_TOKENS = 765
"""What a provider of this wire takes for a high-detail image of common size, for estimates only."""
_HIDDEN = "<not_instrumented>"
_TIERS = {"priority": "_priority", "fast": "_priority", "flex": "_flex"}
"""Served tiers with prices of their own; `fast` costs what `priority` does."""


def read_request(client: Any, arguments: Arguments) -> CallFacts | None:
    """Return what a call is about, None for one that is not a chat completion."""
    options = _options(arguments)
    body: dict[str, Any] = options.json_data
    if options.url != _CHAT or options.method.lower() != "post" or not isinstance(cast("object", body), dict):
        return None
    if options.extra_json:
        body = {**body, **options.extra_json}
    return CallFacts(
        category=_CATEGORY[type(client)],
        resource=body.get("model"),
        library=_library(),
        host=_host(client),
        streamed=bool(arguments[1].get("stream")),
        headers=_headers(options),
        body=body,
        asked_for_usage=bool(arguments[1].get("stream")) and not _wants_usage(body),
    )


_hosts: WeakKeyDictionary[Any, tuple[object, str]] = WeakKeyDictionary()


def _host(client: Any) -> str:
    """Return a client's base URL as text, made once for each client: a URL object makes its text anew each time."""
    url = client.base_url
    known = _hosts.get(client)
    if known is None or known[0] is not url:
        known = _hosts[client] = (url, str(url))
    return known[1]


def _options(arguments: Arguments) -> Any:
    positional, keyword = arguments
    return positional[1] if len(positional) > 1 else keyword["options"]


def _headers(options: Any) -> dict[str, str]:
    headers: dict[str, object] = options.headers
    if not isinstance(cast("object", headers), dict):
        return {}
    return {name: value for name, value in headers.items() if isinstance(value, str)}


def _wants_usage(body: Mapping[str, Any]) -> bool:
    asked: Any = body.get("stream_options") or {}
    return bool(asked.get("include_usage"))


class _Categories(dict[type, str]):
    """Name the category of each class of client."""

    def __missing__(self, client: type) -> str:
        azure = {base.__name__ for base in client.__mro__} & {"AzureOpenAI", "AsyncAzureOpenAI"}
        self[client] = PayiCategories.azure_openai if azure else PayiCategories.openai
        return self[client]


_CATEGORY = _Categories()


@cache
def _library() -> str:
    return f"{library}/{sys.modules[library].__version__}"


def prepare(facts: CallFacts, arguments: Arguments) -> Arguments:
    """Take our headers out, and ask for the usage of a stream; the caller's own objects stay as they are."""
    changes: dict[str, Any] = {}
    options = _options(arguments)
    if any(name.lower().startswith(PREFIX) for name in facts.headers):
        changes["headers"] = {
            name: value for name, value in options.headers.items() if not name.lower().startswith(PREFIX)
        }
    if facts.asked_for_usage:
        asked: dict[str, Any] = {**(facts.body.get("stream_options") or {}), "include_usage": True}
        changes |= {"json_data": {**facts.body, "stream_options": asked}, "extra_json": None}
    if callable(options.post_parser):
        changes["post_parser"] = partial(_parse, facts.answers, options.post_parser)
    if not changes:
        return arguments
    changed = options.model_copy(update=changes)
    positional, keyword = arguments
    if len(positional) > 1:
        return (positional[0], changed, *positional[2:]), keyword
    return positional, {**keyword, "options": changed}


def _parse(answers: list[object], parser: Callable[[Any], Any], answer: Any) -> Any:
    """Keep an answer, which the provider billed, before its parser may refuse it."""
    answers.append(answer)
    return parser(answer)


def refuses_usage(error: Exception) -> bool:
    """Say whether the provider refused `stream_options`, which it names in a 400, or a 422 where a schema is checked."""
    return getattr(error, "status_code", None) in _REFUSALS and "stream_options" in str(error)


def kind(facts: CallFacts, answer: Any) -> Kind:
    """Say what the SDK returned."""
    form = _FORM[type(answer)]
    if form is Kind.RAW and answer.http_response.is_closed and not facts.streamed:
        return Kind.WHOLE
    return form


class _Forms(dict[type, Kind]):
    """Tell the SDK's stream and raw-response classes from answers; asking an answer for a member it lacks is slow."""

    def __missing__(self, answer: type) -> Kind:
        names = {base.__name__ for base in answer.__mro__}
        form = Kind.STREAM if names & {"Stream", "AsyncStream"} else Kind.WHOLE
        if names & {"LegacyAPIResponse", "BaseAPIResponse"}:
            form = Kind.RAW
        self[answer] = form
        return form


_FORM = _Forms()


def stream_parts(answer: Any) -> StreamParts:
    """Say where to stand in a stream object."""
    return StreamParts(holder=answer, attribute="_iterator", response=answer.response)


def raw_response(answer: Any) -> Any:
    """Return the HTTP library's response behind a raw one."""
    return answer.http_response


def read_answer(facts: CallFacts, answer: Any) -> Usage:
    """Return what a whole answer says it used; an estimate when it has choices and no usage."""
    if _FORM[type(answer)] is Kind.RAW:
        return read_bytes(facts, answer.http_response.content)
    return _whole(facts, answer)


def read_bytes(facts: CallFacts, body: bytes) -> Usage:
    """Return what a whole answer says it used, from its bytes."""
    return _whole(facts, _parsed(body))


def _whole(facts: CallFacts, answer: Any) -> Usage:
    usage = getattr(answer, "usage", None)
    choices: list[Any] = getattr(answer, "choices", None) or []
    found = Usage(
        resource=getattr(answer, "model", None),
        response_id=getattr(answer, "id", None),
        function_calls=[call for choice in choices for call in _calls(getattr(choice, "message", None))],
    )
    tier = getattr(answer, "service_tier", None)
    if _is_reported(usage):
        found.units = units_of(usage, tier)
    elif choices:
        messages = [getattr(choice, "message", None) for choice in choices]
        texts = [text for message in messages for text in _texts(getattr(message, "content", None))]
        texts += [text for call in found.function_calls for text in call if text]
        found.units = _estimated(facts, texts, tier)
        found.estimated = True
    return found


def _is_reported(usage: Any) -> bool:
    """Say whether a usage counts anything: some hosts send an empty one."""
    counts = _members(usage)
    return any(counts.get(name) for name in ("prompt_tokens", "completion_tokens", "total_tokens"))


def units_of(usage: Any, tier: str | None = None) -> Units:
    """Return the units of a usage; parts of a side never overlap, and sum to the provider's own count of it.

    `tier` is the served service tier, which has prices of its own.
    """
    usage = _members(usage)
    prompt, completion = _count(usage, "prompt_tokens"), _count(usage, "completion_tokens")
    details = _members(usage.get("prompt_tokens_details"))
    if (cached := usage.get("num_cached_tokens")) and not details.get("cached_tokens"):
        details = {**details, "cached_tokens": cached}
    text_in, input_parts = _split(prompt, details, _INPUT_PARTS)
    text_out, output_parts = _split(completion, _members(usage.get("completion_tokens_details")), _OUTPUT_PARTS)
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


_INPUT_PARTS = {
    "cached_tokens": "text_cache_read",
    "cache_write_tokens": "text_cache_write",
    "audio_tokens": "audio",
    "image_tokens": "vision",
}
_OUTPUT_PARTS = {"reasoning_tokens": "reasoning", "audio_tokens": "audio", "image_tokens": "image"}
"""The counts that a usage's details take out of a side, and the units that they are."""


def _split(total: int, details: Mapping[str, Any], parts: Mapping[str, str]) -> tuple[int, dict[str, int]]:
    """Take the parts out of a total, never more than is left; what remains is text."""
    taken: dict[str, int] = {}
    if details:
        for name, unit in parts.items():
            share = min(_count(details, name), total)
            if share > 0:
                taken[unit] = share
                total -= share
    return total, taken


def _on_tier(units: Units, tier: str | None) -> Units:
    suffix = _TIERS.get(tier or "")
    return {unit + suffix: counts for unit, counts in units.items()} if suffix else units


def _count(members: Mapping[str, Any], name: str) -> int:
    value = members.get(name)
    return max(int(value), 0) if isinstance(value, (int, float)) else 0


def _members(holder: Any) -> Mapping[str, Any]:
    """Return the members of an SDK object, those that the SDK does not know included; or of a plain mapping."""
    if isinstance(holder, dict):
        return cast("dict[str, Any]", holder)
    members: dict[str, Any] = getattr(holder, "__dict__", {})
    extra = getattr(holder, "__pydantic_extra__", None)
    return {**members, **extra} if extra else members


def _texts(content: Any) -> list[str]:
    """Return the texts of a content: itself, or those of its parts."""
    if isinstance(content, str):
        return [content]
    return [text for part in content or () if isinstance(text := _members(part).get("text"), str)]


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
        content = message.get("content")
        texts += _texts(content)
        parts = cast("list[dict[str, Any]]", content) if isinstance(content, list) else []
        images += sum(part.get("type") == "image_url" for part in parts)
        for call in message.get("tool_calls") or ():
            texts += map(str, call.get("function", {}).values())
    if body.get("tools"):
        texts.append(json.dumps(body["tools"], default=str))
    return estimate_tokens(texts) + TOKENS_PER_MESSAGE * len(messages) + _IMAGE_TOKENS * images


def read_failure(facts: CallFacts, error: BaseException) -> Failure:
    """Return what an exception of the SDK says: its status, the provider's request id, tokens that were billed."""
    status = getattr(error, "status_code", None)
    response = getattr(error, "response", None)
    completion = facts.answers[-1] if facts.answers else None  # parsed in vain, billed in full
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

    __slots__ = ("_calls", "_facts", "_first", "_keep_text", "_last_text", "_texts", "_usage")

    def __init__(self, facts: CallFacts) -> None:
        self._facts = facts
        self._first: Any = None
        self._last_text: Any = None
        self._usage: Any = None
        self._texts: list[str] = []
        self._keep_text = self._texts.append
        self._calls: dict[tuple[int, int | None], list[str]] = {}

    @property
    def has_text(self) -> bool:
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
        usage = chunk.usage or _members(getattr(chunk, "x_groq", None)).get("usage")
        if usage is None:
            return False
        if _is_reported(usage):
            self._usage, self._last_text = usage, None
        return self._facts.asked_for_usage and not choices

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
        reported = late if _is_reported(late) else self._usage
        if reported is not None:
            units = units_of(reported, tier)
        else:
            texts = [text for content in self._texts for text in _texts(content)]
            units = _estimated(self._facts, texts + [text for parts in self._calls.values() for text in parts], tier)
        return Usage(
            units=units,
            resource=getattr(self._first, "model", None),
            response_id=getattr(self._first, "id", None),
            function_calls=calls,
            estimated=reported is None,
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
    form = _FORM[type(answer)]
    if form is Kind.WHOLE:
        return {}
    return dict((answer.http_response if form is Kind.RAW else answer.response).headers)


def log_request(facts: CallFacts, *, inline_data: bool) -> str | None:
    """Return the request as JSON text; base64 data is replaced unless `inline_data`."""
    body = dict(facts.body) if inline_data else _without_data(dict(facts.body))
    return json.dumps(body, default=_skipped)


def _without_data(value: object) -> object:
    if isinstance(value, dict):
        members = cast("dict[str, object]", value)
        return {
            key: _HIDDEN if key in {"data", "file_data"} and isinstance(item, str) else _without_data(item)
            for key, item in members.items()
        }
    if isinstance(value, (list, tuple)):
        return [_without_data(item) for item in cast("list[object]", value)]
    return _HIDDEN if isinstance(value, str) and value.startswith("data:") and ";base64," in value[:128] else value


def _skipped(value: object) -> None:
    """Leave out what JSON does not know."""


def log_answer(answer: Any) -> str | None:
    """Return an answer or a chunk as JSON text."""
    if _FORM[type(answer)] is Kind.RAW:
        return str(answer.http_response.text)
    if isinstance(answer, SimpleNamespace):
        return json.dumps(answer, default=vars)
    return answer.model_dump_json(warnings=False) if hasattr(answer, "model_dump_json") else None
