"""The openai SDK: every call of OpenAI, Azure and hosts that speak the same wire.

We stand in `OpenAI.request`, where every call of the SDK leaves its resource, so that `create`, `parse`, `stream`,
`with_raw_response`, `with_streaming_response` and bound methods taken earlier are all the same to us (ADR 3). The path of
a call says which file reads it (`endpoints`). Source: instrumentation-semantics sections 5 and 6.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from functools import partial
from operator import attrgetter
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from payi_instrument.event import CallFacts, Failure, Usage
from payi_instrument.providers._base import Arguments, Kind, Shape, StreamParts, StreamReader, Target, View
from payi_instrument.providers.openai.endpoints import endpoint_of
from payi_instrument.providers.openai.hosts import CATEGORIES, ROUTERS, identity_of, sdk
from payi_instrument.providers.openai.sessions import SESSIONS
from payi_instrument.providers.openai.wire import Lenient, named, parsed, texts_of
from payi_instrument.wire.headers import CLIENT_FAILURE, PREFIX

if TYPE_CHECKING:
    from collections.abc import Callable

    from payi_instrument.providers.openai.endpoints import Endpoint

library = "openai"
categories = CATEGORIES
targets = (
    Target("openai", "OpenAI.request", Shape.SYNC),
    Target("openai", "AsyncOpenAI.request", Shape.ASYNC),
)
views = (
    View("openai._models", "BaseModel"),
    View("openai.lib.streaming.chat", "ChatCompletionStream", "_raw_stream"),
    View("openai.lib.streaming.chat", "AsyncChatCompletionStream", "_raw_stream"),
    View("openai.lib.streaming.responses", "ResponseStream", "_raw_stream"),
    View("openai.lib.streaming.responses", "AsyncResponseStream", "_raw_stream"),
)
sessions = SESSIONS

_REFUSALS = (400, 422)
_HIDDEN = "<not_instrumented>"
_DATA = frozenset({"data", "file_data", "b64_json"})
"""Members that hold base64 data."""


def read_request(client: Any, arguments: Arguments) -> CallFacts | None:
    """Return what a call is about, None for one that is not metered."""
    options = _options(arguments)
    endpoint = endpoint_of(options.method, options.url)
    if endpoint is None:
        return None
    body = _body(options)
    host, category = identity_of(client)
    model = named(body.get("model")) or getattr(client, "_azure_deployment", None)
    streamed = bool(arguments[1].get("stream"))
    return CallFacts(
        category=category,
        resource=endpoint.prefix + model if endpoint.prefix and model else model,
        library=sdk(),
        host=host,
        streamed=streamed,
        headers=_headers(client, options),
        body=body,
        asked_for_usage=streamed
        and endpoint.tells_usage_when_asked
        and isinstance(options.json_data, Mapping)  # bytes and models stay as they are
        and not _wants_usage(body),
        endpoint=endpoint,
        costs=endpoint.costs,
        reports_later=endpoint.reports_later or body.get("background") is True,  # an image's is a colour
        job=options.url.rstrip("/").split("/")[-2] if endpoint.speaks_to_job else None,
        sound=endpoint.answers_sound and body.get("stream_format") != "sse",
        routed=category in ROUTERS,
    )


def _options(arguments: Arguments) -> Any:
    positional, keyword = arguments
    return positional[1] if len(positional) > 1 else keyword["options"]


def _body(options: Any) -> dict[str, Any]:
    """Return the request as the provider will see it: JSON, or the fields of a form with its file."""
    body: object = options.json_data
    if not isinstance(body, Mapping):
        return {}
    found = dict(cast("Mapping[str, Any]", body))
    if options.extra_json:
        found = {**found, **options.extra_json}
    if options.files:
        found = {**found, **dict(options.files)}
    return found


def _headers(client: Any, options: Any) -> dict[str, str]:
    """Return the headers of a call as text, and those of ours that its client gives every call."""
    found = {name: value for name, value in client._custom_headers.items() if name.lower().startswith(PREFIX)}  # noqa: SLF001
    headers: object = options.headers
    if isinstance(headers, dict):
        found |= cast("dict[str, object]", headers)
    return texts_of(found)


def _wants_usage(body: Mapping[str, Any]) -> bool:
    """Say whether a request asks for the usage of its stream, or for what only the provider can make sense of."""
    asked = body.get("stream_options")
    return bool(cast("dict[str, Any]", asked).get("include_usage")) if isinstance(asked, dict) else bool(asked)


def prepare(facts: CallFacts, arguments: Arguments) -> Arguments:
    """Take our headers out, and ask for the usage of a stream; the caller's own objects stay as they are."""
    changes: dict[str, Any] = {}
    options = _options(arguments)
    if ours := [name for name in facts.headers if name.lower().startswith(PREFIX)]:
        headers: object = options.headers
        given = cast("dict[str, object]", headers) if isinstance(headers, dict) else {}
        changes["headers"] = {**given, **dict.fromkeys(ours, sys.modules["openai"].Omit())}
    if facts.asked_for_usage:
        asked: dict[str, Any] = {**(facts.body.get("stream_options") or {}), "include_usage": True}
        changes["extra_json"] = {**(options.extra_json or {}), "stream_options": asked}
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
    form = _FORM[type(answer)].kind
    if form is Kind.RAW and answer.http_response.is_closed and not facts.streamed:
        return Kind.WHOLE
    return form


class _Form(NamedTuple):
    """What a class of answers is to us, and how to get at the HTTP library's response behind it, if it shows one."""

    kind: Kind
    response: Callable[[Any], Any] | None = None


def _itself(response: Any) -> Any:
    return response


class _Forms(dict[type, _Form]):
    """Tell the classes of answers apart; asking an answer for a member that it lacks is slow."""

    def __missing__(self, answer: type) -> _Form:
        names = {base.__name__ for base in answer.__mro__}
        if names & {"LegacyAPIResponse", "BaseAPIResponse"}:
            form = _Form(Kind.RAW, attrgetter("http_response"))
        elif names & {"Stream", "AsyncStream"}:
            form = _Form(Kind.STREAM, attrgetter("response"))
        elif "HttpxBinaryResponseContent" in names:
            form = _Form(Kind.WHOLE, attrgetter("response"))
        elif answer.__name__ == "Response" and answer.__module__.startswith("httpx"):  # asked for with `cast_to`
            form = _Form(Kind.WHOLE, _itself)
        else:
            form = _Form(Kind.WHOLE)
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
    """Return what a whole answer says it used; an estimate when it says nothing and must have used something."""
    response = _response_of(answer)
    if response is not None:
        return read_bytes(facts, response.content)
    if isinstance(answer, str):
        return read_bytes(facts, answer.encode())
    return _endpoint(facts).read(facts, answer)


def _response_of(answer: Any) -> Any:
    """Return the HTTP library's response that an answer is or holds; None for one that was parsed."""
    response = _FORM[type(answer)].response
    return None if response is None else response(answer)


def read_bytes(facts: CallFacts, body: bytes) -> Usage:
    """Return what a whole answer says it used, from its bytes."""
    endpoint = _endpoint(facts)
    return endpoint.read(facts, endpoint.from_bytes(body))


def _endpoint(facts: CallFacts) -> Endpoint:
    return cast("Endpoint", facts.endpoint)


def read_failure(facts: CallFacts, error: BaseException) -> Failure:
    """Return what an exception of the SDK says: its status, the provider's request id, tokens that were billed."""
    status = getattr(error, "status_code", None)
    response = getattr(error, "response", None)
    billed = None
    if facts.answers:  # parsed in vain, billed in full
        billed = _endpoint(facts).read(facts, facts.answers[-1])
    body = getattr(error, "body", None)
    return Failure(
        status=status if isinstance(status, int) else CLIENT_FAILURE,
        response_id=(billed and billed.response_id) or getattr(error, "request_id", None),
        headers=dict(getattr(response, "headers", None) or {}),
        body=json.dumps(body, default=str) if body is not None else str(error),
        usage=billed,
    )


def reader(facts: CallFacts) -> StreamReader:
    """Return a reader for a streamed answer."""
    return _endpoint(facts).reader(facts)


def parse_chunk(data: str) -> Any:
    """Return the chunk that one server-sent event holds, None for the end mark and for what is not a chunk."""
    chunk = parsed(data) if data.lstrip().startswith("{") else None
    return chunk if isinstance(chunk, Lenient) else None


def response_headers(answer: Any) -> Mapping[str, str]:
    """Return the headers of a stream or a raw response; a parsed answer does not show them."""
    response = _response_of(answer)
    return {} if response is None else dict(response.headers)


def log_request(facts: CallFacts, *, inline_data: bool) -> str | None:
    """Return the request as JSON text; base64 data is replaced unless `inline_data`."""
    body = dict(facts.body) if inline_data else _without_data(dict(facts.body))
    return json.dumps(body, default=_skipped)


def _without_data(value: object) -> object:
    if isinstance(value, dict):
        members = cast("dict[str, object]", value)
        return {
            key: _HIDDEN if key in _DATA and isinstance(item, str) else _without_data(item)
            for key, item in members.items()
        }
    if isinstance(value, (list, tuple)):
        return [_without_data(item) for item in cast("list[object]", value)]
    return _HIDDEN if isinstance(value, str) and value.startswith("data:") and ";base64," in value[:128] else value


def _skipped(value: object) -> None:
    """Leave out what JSON does not know."""


def log_answer(answer: Any) -> str | None:
    """Return an answer or a chunk as JSON text; of sound there is none."""
    form = _FORM[type(answer)]
    if form.kind is Kind.RAW or form.response is _itself:
        return str(_response_of(answer).text)
    if isinstance(answer, (SimpleNamespace, dict)):
        return json.dumps(answer, default=vars)
    if isinstance(answer, str):
        return answer
    return answer.model_dump_json(warnings=False) if hasattr(answer, "model_dump_json") else None
