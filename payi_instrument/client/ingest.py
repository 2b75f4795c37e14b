"""`client.ingest`: report usage by hand, one event or many. Source: wire-api section 3, client.md section 6."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, TypedDict, Unpack, cast

from payi_instrument.client.arguments import UNSET, Options, Unset, build, given
from payi_instrument.client.encoding import encoded_headers
from payi_instrument.client.method import AsyncResource, Resource, async_method, method
from payi_instrument.ids import new_id
from payi_instrument.wire import headers as names
from payi_instrument.wire import operations as table
from payi_instrument.wire.headers import PayiHeaderNames

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from payi_instrument.wire.ingest import BulkIngestResponse, IngestResponse
    from payi_instrument.wire.message import Request

    Text = str | None | Unset
    Count = int | None | Unset


class UnitCounts(TypedDict, total=False):
    """How much of one unit was used, each side 0 to 2 147 483 647."""

    input: int
    output: int


class HeaderPair(TypedDict, total=False):
    """One header of the provider's request or response."""

    name: str
    value: str | None


class FunctionCall(TypedDict, total=False):
    """One function call of the answer; `arguments` is JSON text."""

    name: str
    arguments: str | None


def _units(  # the published parameters
    *,
    category: str,
    units: Mapping[str, UnitCounts],
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
    use_case_properties: Mapping[str, str | None] | Unset | None = UNSET,
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
    """Report one event and return its cost and the state of every limit that it names.

    Counts are whole units, latencies whole milliseconds, a naive `event_timestamp` is UTC and may be at most 5 minutes
    ahead. Without `event_id` and `provider_response_id` the client makes an event id, so that a retry counts once. Raises
    `TypeError` when `limit_ids` is not a list of str, `NotFoundError` `category_not_found` or
    `category_resource_not_found`, `BadRequestError` for what else the meter refuses.
    """
    if not event_id and not provider_response_id:
        event_id = new_id()
    texts = {
        PayiHeaderNames.use_case_id: use_case_id,
        PayiHeaderNames.use_case_name: use_case_name,
        PayiHeaderNames.use_case_step: use_case_step,
        PayiHeaderNames.use_case_version: _text(use_case_version),
        PayiHeaderNames.user_id: user_id,
        PayiHeaderNames.account_name: account_name,
        PayiHeaderNames.resource_scope: resource_scope,
        PayiHeaderNames.logging_disable: _text(disable_logging),
        names.REQUEST_TAGS: ",".join(request_tags) if request_tags else None,
        names.EVENT_ID: event_id,
    }
    ids = distinct_ids([] if limit_ids is None or limit_ids is UNSET else limit_ids)
    headers = encoded_headers(ids, {name: text or None for name, text in texts.items()})
    body = given(
        category=category,
        units=units,
        resource=resource,
        end_to_end_latency_ms=end_to_end_latency_ms,
        event_timestamp=event_timestamp,
        http_status_code=http_status_code,
        properties=_stringly(properties),
        provider_request_headers=provider_request_headers,
        provider_request_json=provider_request_json,
        provider_request_reasoning_json=provider_request_reasoning_json,
        provider_response_function_calls=provider_response_function_calls,
        provider_response_headers=provider_response_headers,
        provider_response_id=provider_response_id,
        provider_response_json=provider_response_json,
        provider_uri=provider_uri,
        time_to_first_completion_token_ms=time_to_first_completion_token_ms,
        time_to_first_token_ms=time_to_first_token_ms,
        use_case_properties=use_case_properties,
    )
    query = {"id": provider_response_id} if provider_response_id else {}
    return build(table.INGEST, options, query=query, headers=headers, body=body)


def distinct_ids(limit_ids: list[str]) -> list[str]:
    """Trim limit ids and drop blanks and repeats; raises `TypeError` for anything but a list of str."""
    if not isinstance(cast("object", limit_ids), list):  # callers without a checker
        msg = f"limit_ids: {limit_ids!r} is a {type(limit_ids).__name__}, expected a list of str"
        raise TypeError(msg)
    for limit_id in limit_ids:
        if not isinstance(cast("object", limit_id), str):
            msg = f"limit_ids: {limit_id!r} is a {type(limit_id).__name__}, expected every id to be a str"
            raise TypeError(msg)
    return list(dict.fromkeys(limit_id.strip() for limit_id in limit_ids if limit_id.strip()))


def _text(value: int | Unset | None) -> str | None:
    return None if value is None or value is UNSET else str(value)


def _stringly(properties: Mapping[str, object] | Unset | None) -> dict[str, str | None] | Unset | None:
    if properties is None or properties is UNSET:
        return properties
    if not isinstance(cast("object", properties), Mapping):  # callers without a checker
        msg = f"properties: {properties!r} is a {type(properties).__name__}, expected a mapping of str to str"
        raise TypeError(msg)
    return {key: None if value is None else str(value) for key, value in properties.items()}


def _bulk(*, events: Iterable[Mapping[str, Any]], **options: Unpack[Options]) -> Request[BulkIngestResponse]:
    """Report up to 1000 events, independent of each other; attribution stands in each item (wire-api section 3.2).

    An item's `resource_scope` is sent as `scope`. `error_count` and `errors` tell which items were refused. Raises
    `BadRequestError` when all were, `TypeError` when `events` is not a list of mappings.
    """
    if isinstance(events, Mapping):
        msg = "events: one mapping, expected a list of mappings"
        raise TypeError(msg)
    items = [_item(event) for event in events]
    return build(table.INGEST_BULK, options, body=items)


def _item(event: Mapping[str, Any]) -> dict[str, Any]:
    if not isinstance(cast("object", event), Mapping):  # callers without a checker
        msg = f"events: {event!r} is a {type(event).__name__}, expected a list of mappings"
        raise TypeError(msg)
    item = dict(event)
    if "resource_scope" in item:
        item["scope"] = item.pop("resource_scope")
    if item.get("limit_ids") is not None:
        item["limit_ids"] = distinct_ids(cast("list[str]", item["limit_ids"]))
    if item.get("properties") is not None:
        item["properties"] = _stringly(item["properties"])
    return item


class Ingest(Resource):
    """Usage reported by hand."""

    units = method(_units)
    bulk = method(_bulk)


class AsyncIngest(AsyncResource):
    """Usage reported by hand."""

    units = async_method(_units)
    bulk = async_method(_bulk)
