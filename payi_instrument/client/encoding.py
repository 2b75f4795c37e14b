"""Turn events into requests, and replies into results: the wire form of what the instrumentation sends.

Source: wire-api sections 1.3, 3.1 and 4.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import quote, unquote

from payi_instrument.client.log import without_secrets
from payi_instrument.engine.limits import NO_THRESHOLD, state_at
from payi_instrument.engine.pricing import EXACT
from payi_instrument.wire import headers as names
from payi_instrument.wire.headers import PayiHeaderNames
from payi_instrument.wire.limits import LimitResponse
from payi_instrument.wire.message import Reply, Request
from payi_instrument.wire.model import Money
from payi_instrument.wire.operations import INGEST
from payi_instrument.wire.result import LimitResult

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from payi_instrument.event import UsageEvent
    from payi_instrument.wire.ingest import IngestResponse

_PRINTABLE = frozenset(map(chr, range(0x20, 0x7F)))
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_LIMIT_IDS = PayiHeaderNames.limit_ids.lower()
_MARKER = names.ENCODING.lower()
_KEY = PayiHeaderNames.api_key.lower()
_UNSENDABLE = re.compile("[\r\n\0\ud800-\udfff]")
_SAFE = " /:"


def event_request(event: UsageEvent) -> Request[IngestResponse]:
    """Return the single ingest of an event: attribution in headers, the rest in the body, nothing absent sent.

    What no header can carry becomes a blank: the event of a call that was made is never lost for it (decision 8).
    """
    who = event.attribution
    headers = {
        PayiHeaderNames.use_case_name: who.use_case_name,
        PayiHeaderNames.use_case_id: who.use_case_id,
        PayiHeaderNames.use_case_version: None if who.use_case_version is None else str(who.use_case_version),
        PayiHeaderNames.use_case_step: who.use_case_step,
        PayiHeaderNames.user_id: who.user_id,
        PayiHeaderNames.account_name: who.account_name,
        PayiHeaderNames.resource_scope: who.resource_scope,
        names.EVENT_ID: event.event_id,
        names.HOLD_ID: event.hold_id,
        names.INSTRUMENTED_MODULE: event.module,
        names.UNPRICED: "record" if event.record_unpriced else None,
        names.REQUEST_TAGS: ",".join(event.request_tags),
    }
    body: dict[str, Any] = {
        "category": event.category,
        "resource": event.resource,
        "units": {unit: {"input": counts[0], "output": counts[1]} for unit, counts in event.units.items()},
        "event_timestamp": None if event.event_timestamp is None else event.event_timestamp.isoformat(),
        "end_to_end_latency_ms": event.end_to_end_latency_ms,
        "time_to_first_token_ms": event.time_to_first_token_ms,
        "time_to_first_completion_token_ms": event.time_to_first_completion_token_ms,
        "http_status_code": event.http_status_code,
        "provider_uri": event.provider_uri,
        "provider_response_id": event.provider_response_id,
        "provider_request_json": event.provider_request_json,
        "provider_request_reasoning_json": event.provider_request_reasoning_json,
        "provider_request_headers": _pairs(event.provider_request_headers),
        "provider_response_headers": _pairs(event.provider_response_headers),
        "provider_response_json": event.provider_response_json,
        "provider_response_function_calls": [
            {"name": name, "arguments": arguments} for name, arguments in event.function_calls
        ]
        or None,
        "properties": {**event.properties, **who.request_properties} or None,
        "use_case_properties": dict(who.use_case_properties) or None,
    }
    return Request(
        INGEST,
        query={"id": _UNSENDABLE.sub(" ", event.provider_response_id)} if event.provider_response_id else {},
        headers=encoded_headers(
            [_UNSENDABLE.sub(" ", limit_id) for limit_id in who.limit_ids],
            {name: text and _UNSENDABLE.sub(" ", text) for name, text in headers.items()},
        ),
        body={name: value for name, value in body.items() if value is not None},
    )


def _pairs(headers: Mapping[str, str] | None) -> list[dict[str, str]] | None:
    return [{"name": name, "value": value} for name, value in headers.items()] if headers else None


def encoded_headers(limit_ids: Iterable[str], texts: Mapping[str, str | None]) -> dict[str, str]:
    """Return headers that any HTTP library sends as they are: None dropped, ids joined.

    All are percent-encoded when one holds what a header would not keep: non-ASCII, outer blanks, a comma inside an id.
    Raises `TypeError` naming the header for a value that is no str, `ValueError` for CR, LF, NUL or half a character,
    which are refused (wire-api section 1.3).
    """
    ids = list(limit_ids)
    given = {name: text for name, text in texts.items() if text is not None and text != ""}  # 0 is none
    encode = False
    for name, text in [*given.items(), *((PayiHeaderNames.limit_ids, limit_id) for limit_id in ids)]:
        if not isinstance(cast("object", text), str):  # callers without a checker
            msg = f"{name}: {text!r} is a {type(text).__name__}, expected str"
            raise TypeError(msg)
        if _UNSENDABLE.search(text):
            msg = f"{name}: {text!r} holds a line break, NUL or half a character, which a header can't carry"
            raise ValueError(msg)
        encode = encode or not _PRINTABLE.issuperset(text) or text != text.strip(" ")
    if encode or any("," in limit_id for limit_id in ids):
        given = {name: _encoded(text) for name, text in given.items()}
        ids = [_encoded(limit_id) for limit_id in ids]
        given[names.ENCODING] = "percent"
    if ids:
        given[PayiHeaderNames.limit_ids] = ",".join(ids)
    return given


def laid_over(*layers: Mapping[str, str | None]) -> dict[str, str]:
    """Lay headers over each other, whatever the case of their names, ours encoded as one; None takes a header away.

    A layer is plain text unless it is marked as percent-encoded. Raises `TypeError` and `ValueError` naming a header that
    can't be sent; headers that are not ours have to be printable ASCII.
    """
    texts, ids = read_headers(*layers)
    ours = {name: text for key, (name, text) in texts.items() if text and _is_ours(key)}
    others = {name: text for key, (name, text) in texts.items() if not (text and _is_ours(key))}
    for name, text in others.items():
        check_plain(name, text)
    if ids == []:
        others[PayiHeaderNames.limit_ids] = ""
    return {**others, **encoded_headers(ids or (), ours)}


def read_headers(*layers: Mapping[str, str | None]) -> tuple[dict[str, tuple[str, str]], list[str] | None]:
    """Return names and plain texts of laid-over headers by lower-case name, and the limit ids apart, None without any.

    Raises `TypeError` or `ValueError` naming a header that is none.
    """
    texts: dict[str, tuple[str, str]] = {}
    ids: list[str] | None = None
    for layer in layers:
        marked = any(name.lower() == _MARKER and text == "percent" for name, text in _checked(layer))
        for name, text in layer.items():
            key = name.lower()
            texts.pop(key, None)
            if key == _LIMIT_IDS:
                ids = None if text is None else _split(text, marked=marked)
            elif text is not None and not (marked and key == _MARKER):
                texts[key] = (name, unquote(text) if marked and _is_ours(key) else text)
    return texts, ids


def _checked(layer: Mapping[str, str | None]) -> Iterable[tuple[str, str | None]]:
    for name, text in layer.items():
        if not isinstance(cast("object", name), str) or not _NAME.fullmatch(name):  # callers without a checker
            msg = f"headers: {name!r} is no name for a header"
            raise ValueError(msg)
        if text is not None and not isinstance(cast("object", text), str):
            msg = f"{name}: {text!r} is a {type(text).__name__}, expected str or None"
            raise TypeError(msg)
    return layer.items()


def check_plain(name: str, text: str) -> None:
    """Raise `ValueError` naming a header that travels as it is and can't; what may be a secret is not shown."""
    if text != text.strip(" ") or not _PRINTABLE.issuperset(text.replace("\t", " ")):
        [shown] = without_secrets({name: repr(text)}).values()
        msg = f"{name}: {shown} is not printable ASCII without blanks around it, as a header has to be"
        raise ValueError(msg)


def _is_ours(key: str) -> bool:
    """Say whether a header is one of those that may be percent-encoded."""
    return key.startswith(names.PREFIX) and key not in {_MARKER, _KEY}


def _split(text: str, *, marked: bool) -> list[str]:
    parts = [part.strip() for part in text.split(",")]
    return [unquote(part) if marked else part for part in parts if part]


def _encoded(text: str) -> str:
    """Percent-encode a value; a first or last blank too, since HTTP drops it."""
    inner = text.strip(" ")
    at = text.index(inner)
    return "%20" * at + quote(inner, safe=_SAFE) + "%20" * (len(text) - at - len(inner))


def state_of(reply: Reply) -> LimitResult:
    """Return how a limit stands, from the reply to a retrieve; raises `ValueError` when that can't be read from it."""
    limit = LimitResponse.model_validate(reply.body).limit
    spent, held = limit.totals.cost.total.base, limit.totals.held
    threshold = limit.threshold.exact if limit.threshold is not None else NO_THRESHOLD
    return LimitResult.of(
        state=state_at(limit.limit_type, limit.max.exact, EXACT.multiply(limit.max.exact, threshold), spent.exact),
        limit_type=limit.limit_type,
        max=limit.max,
        spent=spent,
        held=held,
        remaining=Money(EXACT.subtract(EXACT.subtract(limit.max.exact, spent.exact), held.exact)),
        ratio=spent / limit.max if limit.max else None,
    )
