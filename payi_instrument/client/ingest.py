"""`client.ingest`: report usage by hand, one event or many. Source: wire-api section 3, client.md section 6."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, Required, TypedDict, TypeVar, Unpack, cast

from payi_instrument.client.arguments import UNSET, Options, Unset, build, given, mapping
from payi_instrument.client.encoding import encoded_headers
from payi_instrument.client.method import M, Resource, method, plan_method, raw_view, streaming_view
from payi_instrument.client.replay import Totals, batched_events
from payi_instrument.errors import BadRequestError
from payi_instrument.ids import new_id
from payi_instrument.wire import headers as names
from payi_instrument.wire import operations as table
from payi_instrument.wire.headers import PayiHeaderNames

if TYPE_CHECKING:
    from collections.abc import Generator
    from datetime import datetime
    from os import PathLike

    from payi_instrument.client.modes import AsyncRaw, AsyncStreaming, Raw, Streaming
    from payi_instrument.wire.ingest import BulkIngestResponse, IngestResponse
    from payi_instrument.wire.message import Request

    Text = str | None | Unset
    Count = int | None | Unset


T = TypeVar("T")


class UnitCounts(TypedDict, total=False):
    """How much of one unit was used, each side 0 to 2 147 483 647."""

    input: int
    output: int


class HeaderPair(TypedDict, total=False):
    """One header of the provider's request or response; its name is not empty."""

    name: Required[str]
    value: str | None


class FunctionCall(TypedDict, total=False):
    """One function call of the answer; its name is not empty, `arguments` is JSON text."""

    name: Required[str]
    arguments: str | None


def _units(  # the published parameters
    *,
    category: str,
    units: Mapping[str, UnitCounts | Mapping[str, int]],
    resource: Text = UNSET,
    end_to_end_latency_ms: Count = UNSET,
    event_timestamp: datetime | str | Unset | None = UNSET,
    http_status_code: Count = UNSET,
    properties: Mapping[str, object] | Unset | None = UNSET,
    provider_request_headers: Iterable[HeaderPair] | Unset | None = UNSET,
    provider_request_json: Text = UNSET,
    provider_request_reasoning_json: Text = UNSET,
    provider_response_function_calls: Iterable[FunctionCall] | Unset | None = UNSET,
    provider_response_headers: Iterable[HeaderPair] | Unset | None = UNSET,
    provider_response_id: Text = UNSET,
    provider_response_json: str | list[str] | Unset | None = UNSET,
    provider_uri: Text = UNSET,
    time_to_first_completion_token_ms: Count = UNSET,
    time_to_first_token_ms: Count = UNSET,
    use_case_properties: Mapping[str, object] | Unset | None = UNSET,
    limit_ids: list[str] | Unset | None = UNSET,
    disable_logging: bool | Unset | None = UNSET,
    request_tags: list[str] | Unset | None = UNSET,
    use_case_id: Text = UNSET,
    use_case_name: Text = UNSET,
    use_case_step: Text = UNSET,
    use_case_version: Count = UNSET,
    user_id: Text = UNSET,
    resource_scope: Literal["global", "datazone"] | Text = UNSET,
    account_name: Text = UNSET,
    event_id: Text = UNSET,
    **options: Unpack[Options],
) -> Request[IngestResponse]:
    """Report one event and return its cost in USD and the state of every limit that it names.

    Counts are whole units, each side 0 to 2 147 483 647; latencies whole milliseconds; `http_status_code` is the
    provider's, 299 for a failure on this side. A naive `event_timestamp` is UTC; it may lie at most 5 minutes ahead,
    any time back. Without `event_id` (1 to 64 printable ASCII characters) and `provider_response_id` the client makes
    an event id, so that a retry counts once. `limit_ids` are trimmed, blanks and repeats dropped.

    Raises `TypeError` when `limit_ids` or `request_tags` is not a list of str, `ValueError` for a tag with a comma or a
    header that can't be sent, `NotFoundError` with `category_not_found` or `category_resource_not_found`,
    `BadRequestError` with `required_field_missing`, `request_processing_error`, `invalid_ingest_event_timestamp`,
    `invalid_use_case_name`, `invalid_user_id`, `invalid_tags`, `duplicate_limit_id` or `invalid_limit_id`, from a
    strict meter `invalid_limit_ids` or `blocking_limit_not_allowed`. Source: wire-api sections 1.5 and 3.1.
    """
    own_id = _text("event_id", event_id, str)
    texts = {
        PayiHeaderNames.use_case_id: _text("use_case_id", use_case_id, str),
        PayiHeaderNames.use_case_name: _text("use_case_name", use_case_name, str),
        PayiHeaderNames.use_case_step: _text("use_case_step", use_case_step, str),
        PayiHeaderNames.use_case_version: _text("use_case_version", use_case_version, int, str),
        PayiHeaderNames.user_id: _text("user_id", user_id, str),
        PayiHeaderNames.account_name: _text("account_name", account_name, str),
        PayiHeaderNames.resource_scope: _text("resource_scope", resource_scope, str),
        PayiHeaderNames.logging_disable: _text("disable_logging", disable_logging, bool),
        names.REQUEST_TAGS: ",".join(_tags(request_tags)) if request_tags else None,
        names.EVENT_ID: own_id if own_id or provider_response_id else new_id(),
    }
    ids = distinct_ids([] if limit_ids is None or limit_ids is UNSET else limit_ids)
    headers = encoded_headers(ids, texts)
    body = given(
        category=category,
        units=units,
        resource=resource,
        end_to_end_latency_ms=end_to_end_latency_ms,
        event_timestamp=event_timestamp,
        http_status_code=http_status_code,
        properties=_stringly("properties", properties),
        provider_request_headers=_listed_if_given("provider_request_headers", provider_request_headers),
        provider_request_json=provider_request_json,
        provider_request_reasoning_json=provider_request_reasoning_json,
        provider_response_function_calls=_listed_if_given(
            "provider_response_function_calls", provider_response_function_calls
        ),
        provider_response_headers=_listed_if_given("provider_response_headers", provider_response_headers),
        provider_response_id=provider_response_id,
        provider_response_json=provider_response_json,
        provider_uri=provider_uri,
        time_to_first_completion_token_ms=time_to_first_completion_token_ms,
        time_to_first_token_ms=time_to_first_token_ms,
        use_case_properties=_stringly("use_case_properties", use_case_properties),
    )
    query = {"id": provider_response_id} if provider_response_id else {}
    return build(table.INGEST, options, query=query, headers=headers, body=body)


def distinct_ids(limit_ids: list[str]) -> list[str]:
    """Trim limit ids and drop blanks and repeats; raises `TypeError` for anything but a list of str."""
    _check_texts("limit_ids", limit_ids)
    return list(dict.fromkeys(limit_id.strip() for limit_id in limit_ids if limit_id.strip()))


def _tags(request_tags: list[str]) -> list[str]:
    _check_texts("request_tags", request_tags)
    for tag in request_tags:
        if "," in tag:
            msg = f"request_tags: {tag!r} holds a comma, which parts tags on the wire; give each tag its own place"
            raise ValueError(msg)
    return request_tags


def _check_texts(name: str, texts: list[str]) -> None:
    if not isinstance(cast("object", texts), list):  # callers without a checker
        msg = f"{name}: {texts!r} is a {type(texts).__name__}, expected a list of str"
        raise TypeError(msg)
    for text in texts:
        if not isinstance(cast("object", text), str):
            msg = f"{name}: {text!r} is a {type(text).__name__}, expected a list of str"
            raise TypeError(msg)


def _text(name: str, value: object, *kinds: type) -> str | None:
    """Return what goes into a header, None for nothing.

    Raises `TypeError` for another kind of value: 0 is no user, and a meter takes a 1 for leave to log.
    """
    if value is None or value is UNSET:
        return None
    if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
        msg = f"{name}: {value!r} is a {type(value).__name__}, expected {kinds[0].__name__} or None"
        raise TypeError(msg)
    return str(value) or None


def _stringly(name: str, properties: Mapping[str, object] | Unset | None) -> dict[str, str | None] | Unset | None:
    if properties is None or properties is UNSET:
        return properties
    return {key: None if value is None else str(value) for key, value in mapping(name, properties).items()}


def _listed(name: str, values: Iterable[T]) -> list[T]:
    """Return what a generator may give once as a list; raises `TypeError` for what gives nothing, and for one mapping."""
    kind = type(cast("object", values))
    if not issubclass(kind, Iterable) or issubclass(kind, (str, bytes, Mapping)):
        msg = f"{name}: {values!r} is a {kind.__name__}, expected a list of mappings"
        raise TypeError(msg)
    return list(values)


def _listed_if_given(name: str, values: Iterable[object] | Unset | None) -> list[object] | Unset | None:
    return values if values is None or values is UNSET else _listed(name, values)


class BulkEvent(TypedDict, total=False):
    """One event of a bulk call, with its attribution; units and bounds are those of `ingest.units`."""

    category: Required[str]
    units: Required[Mapping[str, UnitCounts | Mapping[str, int]]]
    resource: str | None
    event_timestamp: datetime | str | None
    end_to_end_latency_ms: int | None
    time_to_first_token_ms: int | None
    time_to_first_completion_token_ms: int | None
    http_status_code: int | None
    provider_uri: str | None
    provider_request_json: str | None
    provider_request_reasoning_json: str | None
    provider_request_headers: Iterable[HeaderPair] | None
    provider_response_headers: Iterable[HeaderPair] | None
    provider_response_json: str | list[str] | None
    provider_response_function_calls: Iterable[FunctionCall] | None
    provider_response_id: str | None
    properties: Mapping[str, object] | None
    use_case_properties: Mapping[str, object] | None
    limit_ids: list[str] | None
    request_tags: list[str] | None
    user_id: str | None
    account_name: str | None
    use_case_id: str | None
    use_case_name: str | None
    use_case_version: int | None
    use_case_step: str | None
    scope: str | None
    resource_scope: str | None
    event_id: str | None


Events = Iterable[BulkEvent] | Iterable[Mapping[str, Any]]


def _bulk(*, events: Events, **options: Unpack[Options]) -> Request[BulkIngestResponse]:
    """Report up to 1000 events, independent of each other; attribution stands in each item.

    An item's `resource_scope` is sent as `scope`. An item without `event_id` and `provider_response_id` gets an event
    id, so that a retry counts it once; a plain service takes none, so a meter on the network is asked once what it
    takes, and one that does not say may count a retried item twice. `error_count` and `errors` tell which items were
    refused, with the codes of `units`.

    Raises `BadRequestError` when all were, `APIStatusError` `payload_too_large` for more than 1000, `TypeError` when
    `events` is not a list of mappings. Source: wire-api section 3.2.
    """
    plain = [_item(event) for event in _listed("events", events)]
    request = build(table.INGEST_BULK, options, body=plain)
    marked = [item if _has_id(item) else {**item, "event_id": new_id()} for item in plain]
    return replace(request, body=marked, plain=request) if marked != plain else request


def _bulk_upsert(*, events: Events, **options: Unpack[Options]) -> Request[BulkIngestResponse]:
    """Report up to 1000 events, each in place of the one with its category and `provider_response_id` if there is one.

    The difference in cost moves into the current totals of its limits; an item without `provider_response_id` is
    refused, and so is one whose response id belongs to several events. An extension of our meter.

    Raises `BadRequestError` when all items were refused, `APIStatusError` `payload_too_large` for more than 1000,
    `TypeError` when `events` is not a list of mappings. Source: wire-api section 3.3.
    """
    return build(table.INGEST_BULK_UPSERT, options, body=[_item(event) for event in _listed("events", events)])


def _has_id(item: Mapping[str, Any]) -> bool:
    return bool(item.get("event_id") or item.get("provider_response_id"))


def _item(event: Mapping[str, Any]) -> dict[str, Any]:
    if not isinstance(cast("object", event), Mapping):  # callers without a checker
        msg = f"events: {event!r} is a {type(event).__name__}, expected a list of mappings"
        raise TypeError(msg)
    item = dict(event)
    if "resource_scope" in item:
        item["scope"] = item.pop("resource_scope")
    if item.get("limit_ids") is not None:
        item["limit_ids"] = distinct_ids(cast("list[str]", item["limit_ids"]))
    if item.get("request_tags") is not None:
        item["request_tags"] = _tags(cast("list[str]", item["request_tags"]))
    for name in ("properties", "use_case_properties"):
        if item.get(name) is not None:
            item[name] = _stringly(name, item[name])
    for name in _ITERABLES:
        if item.get(name) is not None:
            item[name] = _listed(name, item[name])
    return item


_ITERABLES = ("provider_request_headers", "provider_response_headers", "provider_response_function_calls")


def _replay_file(
    path: str | PathLike[str], **options: Unpack[Options]
) -> Generator[Request[Any], BulkIngestResponse, BulkIngestResponse]:
    """Report the events of a file, one JSON object a line as `bulk` takes them, and return the totals.

    They go out in calls of 1000, in order; blank lines are skipped. `item_index` in `errors` counts events from 0 over the
    whole file, `request_id` is the last call's. Events that carry their own `event_id` may be replayed again without being
    counted again. Raises `OSError` for a file that can't be read, `ValueError` naming a line that is no JSON object, and
    what `bulk` raises but for refused items: what came before is stored then.
    """
    total = Totals()
    for batch in batched_events(path):
        try:
            total.add((yield _bulk(events=batch, **options)))
        except BadRequestError as refusal:
            total.add_refusal(refusal)
    return total.answer()


class Ingest(Resource[M]):
    """Usage reported by hand."""

    with_raw_response: raw_view[Ingest[Raw], Ingest[AsyncRaw]] = raw_view()
    with_streaming_response: streaming_view[Ingest[Streaming], Ingest[AsyncStreaming]] = streaming_view()

    units = method(_units)
    bulk = method(_bulk)
    bulk_upsert = method(_bulk_upsert)
    replay_file = plan_method(_replay_file)
