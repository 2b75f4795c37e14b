"""A single ingest that names more limits than a header holds, as a bulk call of one item.

Source: limits-semantics section 6.1, wire-api sections 3.2 and 8.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from payi_instrument.client.arguments import Asked
from payi_instrument.client.encoding import laid_over, read_headers
from payi_instrument.wire import headers as names
from payi_instrument.wire.headers import PayiHeaderNames
from payi_instrument.wire.ingest import BulkIngestResponse
from payi_instrument.wire.operations import INGEST_BULK

if TYPE_CHECKING:
    from payi_instrument.wire.message import Request

_MOST_BYTES = 6 * 1024
_BAD_REQUEST = 400
_MEMBERS: Mapping[str, str] = {
    PayiHeaderNames.use_case_name.lower(): "use_case_name",
    PayiHeaderNames.use_case_id.lower(): "use_case_id",
    PayiHeaderNames.use_case_version.lower(): "use_case_version",
    PayiHeaderNames.use_case_step.lower(): "use_case_step",
    PayiHeaderNames.user_id.lower(): "user_id",
    PayiHeaderNames.account_name.lower(): "account_name",
    PayiHeaderNames.resource_scope.lower(): "scope",
    names.REQUEST_TAGS.lower(): "request_tags",
    names.EVENT_ID.lower(): "event_id",
    names.HOLD_ID.lower(): "hold_id",
    names.UNPRICED.lower(): "unpriced",
}
"""Headers of a single ingest by the member of a bulk item that says the same."""
_EXTENSIONS: Mapping[str, str] = {"event_id": "event_id", "hold_id": "holds", "unpriced": "unpriced"}
"""Members that only a meter takes which lists the extension."""
_PROMPTS = ("provider_request_json", "provider_request_reasoning_json", "provider_response_json")


@dataclass(slots=True)
class BulkOfOne(Asked[BulkIngestResponse]):
    """A bulk call in place of a single ingest; its headers are whole, the client's own among them."""

    def single(self, status: int, body: object) -> tuple[int, object]:
        """Return status and body that the single ingest would have been answered with, as far as the meter tells."""
        answer = _mapping(body)
        refusal = _mapping(_mapping(_first(answer.get("errors"))).get("xproxy_result"))
        if refusal:
            told = refusal.get("statusCode")
            return (told if isinstance(told, int) and told >= _BAD_REQUEST else _BAD_REQUEST), refusal
        if status >= _BAD_REQUEST or "request_id" not in answer:
            return status, body
        result = _mapping(_first(answer.get("results"))) or {
            "request_id": answer["request_id"],
            "warnings": ["result_unknown: a bulk call took the event, and this meter shows no results of one"],
        }
        received = answer.get("ingest_timestamp")
        item = _mapping(_first(self.body))
        return status, {
            "request_id": result.get("request_id"),
            "event_timestamp": item.get("event_timestamp") or received,
            "ingest_timestamp": received,
            "xproxy_result": result,
        }


def needs_bulk(headers: Mapping[str, str]) -> bool:
    """Say whether the limit ids among the headers of a single ingest take more than 6 KiB."""
    return len(headers.get(PayiHeaderNames.limit_ids, "")) > _MOST_BYTES


def bulk_of_one(request: Request[Any], headers: Mapping[str, str], extensions: frozenset[str]) -> BulkOfOne:
    """Return a single ingest with these headers as a bulk call, for a meter with these extensions."""
    texts, ids = read_headers(headers)
    item: dict[str, Any] = {**cast("Mapping[str, Any]", request.body), "limit_ids": ids}
    for key, member in _MEMBERS.items():
        if key in texts and texts[key][1] and _EXTENSIONS.get(member) in {None, *extensions}:
            item[member] = _value(member, texts[key][1])
    logging = texts.get(PayiHeaderNames.logging_disable.lower())
    if logging is not None and logging[1].lower() == "true":  # no item can say so: what must not be kept is not sent
        for member in _PROMPTS:
            item.pop(member, None)
    query = {name: value for name, value in request.query.items() if name != "id"}
    own = request if isinstance(request, Asked) else None
    return BulkOfOne(
        INGEST_BULK,
        query={**query, "results": True} if "bulk_results" in extensions else query,
        headers=laid_over(dict(text for key, text in texts.items() if key not in _MEMBERS)),
        body=[item],
        timeout=request.timeout,
        phases=own.phases if own is not None else None,
        max_retries=own.max_retries if own is not None else None,
    )


def _value(member: str, text: str) -> object:
    if member == "request_tags":
        return [tag for tag in text.split(",") if tag]
    return int(text) if member == "use_case_version" and text.isascii() and text.isdecimal() else text


def _mapping(value: object) -> Mapping[str, Any]:
    return cast("Mapping[str, Any]", value) if isinstance(value, Mapping) else {}


def _first(value: object) -> object:
    return cast("list[object]", value)[0] if isinstance(value, list) and value else None
