"""Turn what the wire carries, headers and ingest bodies, into events.

Source: wire-api sections 1.3, 3.1 and 3.2.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from functools import cache
from math import isfinite
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar, cast
from urllib.parse import unquote

from pydantic import TypeAdapter, ValidationError

from payi_instrument.engine.ledger import UNSTORABLE, whole
from payi_instrument.engine.shown import shown
from payi_instrument.event import Attribution, UsageEvent
from payi_instrument.wire import headers as names
from payi_instrument.wire.codes import ContractError
from payi_instrument.wire.headers import PayiHeaderNames
from payi_instrument.wire.ingest import (
    BULK_MEMBERS,
    MAX_BULK,
    MAX_COUNT,
    MEMBERS,
    BulkIngestRequest,
    HeaderInfo,
    IngestRequest,
    unknown_members,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from payi_instrument.wire.message import Request

BodyT = TypeVar("BodyT")
ItemT = TypeVar("ItemT")

_NOTHING: Mapping[str, str | None] = {}

_MAX_EVENT_ID = 64
_LIMIT_IDS = PayiHeaderNames.limit_ids.lower()
_USE_CASE_NAME = PayiHeaderNames.use_case_name.lower()
_USE_CASE_ID = PayiHeaderNames.use_case_id.lower()
_USE_CASE_VERSION = PayiHeaderNames.use_case_version.lower()
_USE_CASE_STEP = PayiHeaderNames.use_case_step.lower()
_USER_ID = PayiHeaderNames.user_id.lower()
_ACCOUNT_NAME = PayiHeaderNames.account_name.lower()
_RESOURCE_SCOPE = PayiHeaderNames.resource_scope.lower()
_LOGGING_DISABLE = PayiHeaderNames.logging_disable.lower()
_EVENT_ID_HEADER = names.EVENT_ID.lower()
_REQUEST_TAGS = names.REQUEST_TAGS.lower()
_MODULE = names.INSTRUMENTED_MODULE.lower()
_HOLD_ID = names.HOLD_ID.lower()
_UNPRICED = names.UNPRICED.lower()
_ENCODING = names.ENCODING.lower()

_MOST_PLACES = 400
"""Most places of a number before or behind its point; a double has 308."""
_EVENT_ID = re.compile(f"[!-~]{{1,{_MAX_EVENT_ID}}}")


def single(request: Request[Any]) -> UsageEvent:
    """Return the event of a single ingest, its attribution from the headers; raises `ContractError` for a bad one."""
    headers = _decoded(request.headers)
    value = headers.get
    body, warnings = _read(_single_body(), request.body, recorded=value(_UNPRICED) == "record")
    attribution = Attribution(
        _limit_ids(headers),
        value(_USE_CASE_NAME) or None,
        value(_USE_CASE_ID) or None,
        _version(value(_USE_CASE_VERSION)),
        value(_USE_CASE_STEP) or None,
        body.get("use_case_properties") or _NOTHING,
        value(_USER_ID) or None,
        value(_ACCOUNT_NAME) or None,
        _NOTHING,
        resource_scope=value(_RESOURCE_SCOPE) or None,
    )
    try:
        event = _event(body, attribution, _event_id(value(_EVENT_ID_HEADER)))
    except _NoJsonError as error:
        raise ContractError("invalid_json", str(error)) from None
    event.warnings += warnings
    if tags := value(_REQUEST_TAGS):
        event.request_tags = tuple(tag for tag in tags.split(",") if tag)
    event.module = value(_MODULE)
    event.hold_id = value(_HOLD_ID)
    event.record_unpriced = value(_UNPRICED) == "record"
    if value(_LOGGING_DISABLE, "").lower() == "true":
        _forget_prompts(event)
    return event


def bulk_items(body: object) -> list[object]:
    """Return the items of a bulk body; raises `ContractError` when it is not an array of at most 1000."""
    if not isinstance(body, list):
        raise ContractError("request_processing_error", "body: expected a JSON array of events")
    return _at_most(cast("list[object]", body))


def bulk_events(body: object) -> list[UsageEvent | ContractError]:
    """Return the events of a bulk body, a list or JSON text; a bad item's place has what is wrong with it.

    Raises `ContractError` when the body is no JSON, or not an array of at most 1000.
    """
    try:
        return _bulk_events(body)
    except _NoJsonError as error:
        raise ContractError("invalid_json", str(error)) from None


def _bulk_events(body: object) -> list[UsageEvent | ContractError]:
    if isinstance(body, bytes):
        try:
            bodies = _bodies().validate_json(body)
        except ValidationError:
            body = json_value(body)  # item by item, to tell the bad ones
        else:
            return [_or_refusal(_bulk_event, item) for item in _at_most(bodies)]
    return [_or_refusal(_checked_bulk_event, item) for item in bulk_items(body)]


@cache
def _bodies() -> TypeAdapter[list[BulkIngestRequest]]:
    return TypeAdapter(list[BulkIngestRequest])


@cache
def _bulk_body() -> TypeAdapter[BulkIngestRequest]:
    return TypeAdapter(BulkIngestRequest)


@cache
def _single_body() -> TypeAdapter[IngestRequest]:
    return TypeAdapter(IngestRequest)


def _or_refusal(make: Callable[[ItemT], UsageEvent], item: ItemT) -> UsageEvent | ContractError:
    try:
        return make(item)
    except ContractError as error:
        return error


def _at_most(items: list[ItemT]) -> list[ItemT]:
    if len(items) > MAX_BULK:
        raise ContractError("payload_too_large", f"body: {len(items)} events, at most {MAX_BULK} fit into one call")
    return items


def _checked_bulk_event(item: object) -> UsageEvent:
    body, warnings = _read(_bulk_body(), item, recorded=_is_recorded(item))
    event = _bulk_event(body)
    event.warnings += warnings
    return event


def _is_recorded(item: object) -> bool:
    return isinstance(item, Mapping) and cast("Mapping[str, object]", item).get("unpriced") == "record"


def _bulk_event(body: BulkIngestRequest) -> UsageEvent:
    limit_ids = body.get("limit_ids")
    attribution = Attribution(
        _distinct([part.strip() for part in limit_ids]) if limit_ids else (),
        body.get("use_case_name") or None,
        body.get("use_case_id") or None,
        body.get("use_case_version"),
        body.get("use_case_step") or None,
        body.get("use_case_properties") or _NOTHING,
        body.get("user_id") or None,
        body.get("account_name") or None,
        _NOTHING,
        resource_scope=body.get("scope") or None,
    )
    event = _event(body, attribution, _event_id(body.get("event_id")), BULK_MEMBERS)
    if tags := body.get("request_tags"):
        event.request_tags = tuple(tags)
    event.hold_id = body.get("hold_id")
    event.record_unpriced = body.get("unpriced") == "record"
    return event


def _read(adapter: TypeAdapter[BodyT], value: object, *, recorded: bool) -> tuple[BodyT, tuple[str, ...]]:
    """Return a body, and the warning when it lost half characters: they cost no instrumented call its event (decision 8)."""
    try:
        return _body(adapter, value), ()
    except ContractError:
        if not recorded:
            raise
    try:
        repaired = whole(json_value(value) if isinstance(value, bytes) else value)
    except RecursionError:
        raise ContractError("request_processing_error", "body: it is nested too deeply") from None
    return _body(adapter, repaired), (UNSTORABLE,)


def _body(adapter: TypeAdapter[BodyT], value: object) -> BodyT:
    try:
        return adapter.validate_json(value) if isinstance(value, bytes) else adapter.validate_python(value)
    except ValidationError as error:
        if isinstance(value, bytes):
            return _body(adapter, json_value(value))  # JSON that says more than text can is named by its member
        raise ContractError(code_of(error), described(error)) from None


def json_value(text: bytes) -> object:
    """Read JSON text with exact amounts, None for an empty one; raises `ContractError` `invalid_json`."""
    if not text:
        return None
    try:
        value: object = json.loads(text, parse_float=_number, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise ContractError("invalid_json", f"body: {error or 'it is nested too deeply'}") from None
    return value


def _number(text: str) -> Decimal | float:
    """Read a number exactly, one beyond a double as a double does, infinite or zero: counting with it would take hours."""
    try:
        number = Decimal(text)
    except InvalidOperation:  # its exponent is longer than a number of the machine
        return float(text)
    return number if abs(number.adjusted()) <= _MOST_PLACES else float(text)


def _refuse_constant(name: str) -> NoReturn:
    msg = f"{name} is no JSON number"
    raise ValueError(msg)


def code_of(error: ValidationError) -> str:
    """Return the code of a bad body: `required_field_missing` when nothing else is wrong with it."""
    missing = all(problem["type"] == "missing" for problem in error.errors(include_url=False, include_context=False))
    return "required_field_missing" if missing else "request_processing_error"


def described(error: ValidationError) -> str:
    """Name every bad member of a body or a query, its value, and what is expected."""
    problems: list[str] = []
    for problem in error.errors(include_url=False, include_context=False):
        place = ".".join(map(str, problem["loc"])) or "body"
        value = "" if problem["type"] == "missing" else f"{shown(problem['input'])} is refused: "
        problems.append(f"{place}: {value}{problem['msg']}")
    return "; ".join(problems).encode("utf-8", "backslashreplace").decode()  # a place may hold half a character


def _event(
    body: IngestRequest, attribution: Attribution, event_id: str | None, known: frozenset[str] = MEMBERS
) -> UsageEvent:
    units = body["units"]
    event = UsageEvent(
        event_id,
        body["category"],
        body.get("resource"),
        {unit: (counts["input"], counts["output"]) for unit, counts in units.items()},
        attribution,
        body.get("event_timestamp"),
        body.get("end_to_end_latency_ms"),
        body.get("time_to_first_token_ms"),
        body.get("time_to_first_completion_token_ms"),
        body.get("http_status_code"),
        body.get("provider_uri"),
        body.get("provider_response_id") or None,  # an empty one would be the same for everybody
        body.get("provider_request_json"),
        body.get("provider_request_reasoning_json"),
        _by_name(body.get("provider_request_headers")),
        _by_name(body.get("provider_response_headers")),
        body.get("provider_response_json"),
        [(item["name"], item.get("arguments")) for item in body.get("provider_response_function_calls") or ()],
        body.get("properties") or _NOTHING,
    )
    if not body.keys() <= known or sum(map(len, units.values())) != 2 * len(units):
        event.warnings = tuple(map(_unknown, unknown_members(body, known).items()))
    return event


class _NoJsonError(Exception):
    """Say that a body has a number that JSON does not have, where nothing else looks at it."""


def _unknown(member: tuple[str, object]) -> str:
    """Return the warning of a member that the contract does not know; raises `_NoJsonError`."""
    name, value = member
    shown_name = name.encode("utf-8", "backslashreplace").decode()
    inside = [value]
    while inside:  # as deep as it likes
        part = inside.pop()
        if isinstance(part, Mapping):
            inside += cast("Mapping[str, object]", part).values()
        elif isinstance(part, (list, tuple)):
            inside += cast("list[object]", part)
        elif isinstance(part, float) and not isfinite(part):
            msg = f"body: {shown_name}: {part} is no JSON number"
            raise _NoJsonError(msg)
    return f"unknown_member: {shown_name}"


def _by_name(headers: list[HeaderInfo] | None) -> dict[str, str] | None:
    return {item["name"]: item.get("value") or "" for item in headers} if headers else None


def _forget_prompts(event: UsageEvent) -> None:
    event.provider_request_json = event.provider_request_reasoning_json = event.provider_response_json = None


def _decoded(headers: Mapping[str, str]) -> dict[str, str]:
    """Return headers by lower-case name, percent-decoded where the sender says so."""
    lower = {name.lower(): value for name, value in headers.items()}
    if lower.get(_ENCODING) != "percent":
        return lower
    # a comma inside one limit id is encoded, so their list is split first
    return {name: value if name == _LIMIT_IDS else unquote(value) for name, value in lower.items()}


def _limit_ids(headers: Mapping[str, str]) -> tuple[str, ...]:
    listed = headers.get(_LIMIT_IDS)
    if not listed:
        return ()
    parts = [part.strip() for part in listed.split(",")]
    return _distinct([unquote(part) for part in parts] if headers.get(_ENCODING) == "percent" else parts)


def _distinct(parts: list[str]) -> tuple[str, ...]:
    """Drop blanks; raises `ContractError` `duplicate_limit_id` for an id named twice (limits-semantics section 6.1)."""
    ids = [part for part in parts if part] if "" in parts else parts
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
    if text is not None and not _EVENT_ID.fullmatch(text):
        raise ContractError(
            "request_processing_error",
            f"event_id: {text[:80]!r} is not 1 to {_MAX_EVENT_ID} printable ASCII characters",
        )
    return text
