"""Turn what the wire carries, headers and ingest bodies, into events.

Source: wire-api sections 1.3, 3.1 and 3.2.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar, cast
from urllib.parse import unquote

from pydantic import ValidationError

from payi_instrument.event import Attribution, UsageEvent
from payi_instrument.wire import headers as names
from payi_instrument.wire.codes import ContractError
from payi_instrument.wire.headers import PayiHeaderNames
from payi_instrument.wire.ingest import MAX_BULK, MAX_COUNT, BulkIngestRequest, IngestRequest, unknown_members

if TYPE_CHECKING:
    from collections.abc import Mapping

    from payi_instrument.wire.message import Request

BodyT = TypeVar("BodyT", bound=IngestRequest)

_MAX_EVENT_ID = 64


def single(request: Request[Any]) -> UsageEvent:
    """Return the event of a single ingest, its attribution from the headers; raises `ContractError` for a bad one."""
    body = _body(IngestRequest, request.body)
    headers = _decoded(request.headers)
    attribution = Attribution(
        limit_ids=_limit_ids(headers),
        use_case_name=headers.get(PayiHeaderNames.use_case_name.lower()) or None,
        use_case_id=headers.get(PayiHeaderNames.use_case_id.lower()) or None,
        use_case_version=_version(headers.get(PayiHeaderNames.use_case_version.lower())),
        use_case_step=headers.get(PayiHeaderNames.use_case_step.lower()) or None,
        use_case_properties=body.use_case_properties or {},
        user_id=headers.get(PayiHeaderNames.user_id.lower()) or None,
        account_name=headers.get(PayiHeaderNames.account_name.lower()) or None,
        resource_scope=headers.get(PayiHeaderNames.resource_scope.lower()) or None,
    )
    event = _event(body, attribution, _event_id(headers.get(names.EVENT_ID.lower())))
    event.request_tags = tuple(tag for tag in headers.get(names.REQUEST_TAGS.lower(), "").split(",") if tag)
    event.module = headers.get(names.INSTRUMENTED_MODULE.lower())
    event.hold_id = headers.get(names.HOLD_ID.lower())
    event.record_unpriced = headers.get(names.UNPRICED.lower()) == "record"
    if headers.get(PayiHeaderNames.logging_disable.lower(), "").lower() == "true":
        _forget_prompts(event)
    return event


def bulk_items(body: object) -> list[object]:
    """Return the items of a bulk body; raises `ContractError` when it is not an array of at most 1000."""
    if not isinstance(body, list):
        raise ContractError("request_processing_error", "body: expected a JSON array of events")
    items = cast("list[object]", body)
    if len(items) > MAX_BULK:
        raise ContractError("payload_too_large", f"body: {len(items)} events, at most {MAX_BULK} fit into one call")
    return items


def bulk_event(item: object) -> UsageEvent:
    """Return the event of one bulk item, its attribution in the item; raises `ContractError` for a bad one."""
    body = _body(BulkIngestRequest, item)
    attribution = Attribution(
        limit_ids=_distinct([part.strip() for part in body.limit_ids or []]),
        use_case_name=body.use_case_name or None,
        use_case_id=body.use_case_id or None,
        use_case_version=body.use_case_version,
        use_case_step=body.use_case_step or None,
        use_case_properties=body.use_case_properties or {},
        user_id=body.user_id or None,
        account_name=body.account_name or None,
        resource_scope=body.scope or None,
    )
    event = _event(body, attribution, _event_id(body.event_id))
    event.request_tags = tuple(body.request_tags or ())
    event.hold_id = body.hold_id
    event.record_unpriced = body.unpriced == "record"
    return event


def _body(model: type[BodyT], value: object) -> BodyT:
    try:
        return model.model_validate(value)
    except ValidationError as error:
        missing = all(problem["type"] == "missing" for problem in error.errors())
        code = "required_field_missing" if missing else "request_processing_error"
        raise ContractError(code, described(error)) from None


def described(error: ValidationError) -> str:
    """Name every bad member of a body or a query, its value, and what is expected."""
    problems: list[str] = []
    for problem in error.errors(include_url=False, include_context=False):
        place = ".".join(map(str, problem["loc"])) or "body"
        shown = "" if problem["type"] == "missing" else f"{problem['input']!r:.60} is refused: "
        problems.append(f"{place}: {shown}{problem['msg']}")
    return "; ".join(problems).encode("utf-8", "backslashreplace").decode()  # a place may hold half a character


def _event(body: IngestRequest, attribution: Attribution, event_id: str | None) -> UsageEvent:
    unknown = unknown_members(body)
    return UsageEvent(
        event_id=event_id,
        category=body.category,
        resource=body.resource,
        units={unit: (counts.input, counts.output) for unit, counts in body.units.items()},
        attribution=attribution,
        event_timestamp=body.event_timestamp,
        end_to_end_latency_ms=body.end_to_end_latency_ms,
        time_to_first_token_ms=body.time_to_first_token_ms,
        time_to_first_completion_token_ms=body.time_to_first_completion_token_ms,
        http_status_code=body.http_status_code,
        provider_uri=body.provider_uri,
        provider_response_id=body.provider_response_id,
        provider_request_json=body.provider_request_json,
        provider_request_reasoning_json=body.provider_request_reasoning_json,
        provider_request_headers={item.name: item.value or "" for item in body.provider_request_headers or ()} or None,
        provider_response_headers={item.name: item.value or "" for item in body.provider_response_headers or ()}
        or None,
        provider_response_json=body.provider_response_json,
        function_calls=[(item.name, item.arguments) for item in body.provider_response_function_calls or ()],
        properties=body.properties or {},
        warnings=tuple(f"unknown_member: {name}" for name in unknown),
    )


def _forget_prompts(event: UsageEvent) -> None:
    event.provider_request_json = event.provider_request_reasoning_json = event.provider_response_json = None


def _decoded(headers: Mapping[str, str]) -> dict[str, str]:
    """Return headers by lower-case name, percent-decoded where the sender says so."""
    lower = {name.lower(): value for name, value in headers.items()}
    if lower.get(names.ENCODING.lower()) != "percent":
        return lower
    ids = PayiHeaderNames.limit_ids.lower()  # a comma inside one id is encoded, so its list is split first
    return {name: value if name == ids else unquote(value) for name, value in lower.items()}


def _limit_ids(headers: Mapping[str, str]) -> tuple[str, ...]:
    parts = [part.strip() for part in headers.get(PayiHeaderNames.limit_ids.lower(), "").split(",")]
    encoded = headers.get(names.ENCODING.lower()) == "percent"
    return _distinct([unquote(part) for part in parts] if encoded else parts)


def _distinct(parts: list[str]) -> tuple[str, ...]:
    """Drop blanks; raises `ContractError` `duplicate_limit_id` for an id named twice (limits-semantics section 6.1)."""
    ids = [part for part in parts if part]
    if len(set(ids)) != len(ids):
        twice = next(limit_id for limit_id in ids if ids.count(limit_id) > 1)
        raise ContractError("duplicate_limit_id", f"limit_ids: {twice!r} is named twice")
    return tuple(ids)


def _version(text: str | None) -> int | None:
    if text is None or text == "":
        return None
    if not (text.isascii() and text.isdecimal() and len(text) <= len(str(MAX_COUNT)) and int(text) <= MAX_COUNT):
        message = f"use_case_version: {text[:40]!r} is not a whole number of 0 to {MAX_COUNT}"
        raise ContractError("request_processing_error", message)
    return int(text)


def _event_id(text: str | None) -> str | None:
    if text is not None and (not 1 <= len(text) <= _MAX_EVENT_ID or not all("!" <= char <= "~" for char in text)):
        raise ContractError(
            "request_processing_error",
            f"event_id: {text[:80]!r} is not 1 to {_MAX_EVENT_ID} printable ASCII characters",
        )
    return text
