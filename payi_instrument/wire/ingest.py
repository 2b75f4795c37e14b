"""Bodies and answers of ingest, single and bulk.

Unknown members of an ingest body are ignored and named in the result's warnings: spend is never lost for a typo.
Source: wire-api section 3.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, NotRequired, Required, cast

from pydantic import ConfigDict, Field
from typing_extensions import TypedDict

from payi_instrument.wire.model import Model, Timestamp
from payi_instrument.wire.result import XproxyError, XproxyResult

MAX_COUNT = 2_147_483_647
MAX_BULK = 1000
"""Most items that one bulk call may hold."""

Count = Annotated[int, Field(ge=0, le=MAX_COUNT, strict=True)]
PropertyMap = dict[str, "str | None"]


class UnitCount(TypedDict):
    """Count one unit; a side that is absent is 0."""

    __pydantic_config__ = ConfigDict(extra="allow")  # type: ignore[misc]  # where pydantic looks for it

    input: Annotated[Count, Field(default=0)]
    output: Annotated[Count, Field(default=0)]


class HeaderInfo(TypedDict):
    """Hold one header of the provider's request or response."""

    name: Annotated[str, Field(min_length=1)]
    value: NotRequired[str | None]


class FunctionCallInfo(TypedDict):
    """Hold one function call of the answer; `arguments` is JSON text."""

    name: Annotated[str, Field(min_length=1)]
    arguments: NotRequired[str | None]


class IngestRequest(TypedDict, total=False):
    """Hold one event; attribution travels in headers (wire-api section 3.1)."""

    __pydantic_config__ = ConfigDict(extra="allow")  # type: ignore[misc]

    category: Required[Annotated[str, Field(min_length=1)]]
    units: Required[dict[str, UnitCount]]
    resource: str | None
    event_timestamp: Timestamp | None
    end_to_end_latency_ms: Count | None
    time_to_first_token_ms: Count | None
    time_to_first_completion_token_ms: Count | None
    http_status_code: Count | None
    provider_uri: str | None
    provider_request_json: str | None
    provider_request_reasoning_json: str | None
    provider_request_headers: list[HeaderInfo] | None
    provider_response_headers: list[HeaderInfo] | None
    provider_response_json: str | list[str] | None
    provider_response_function_calls: list[FunctionCallInfo] | None
    provider_response_id: str | None
    properties: PropertyMap | None
    use_case_properties: PropertyMap | None


class BulkIngestRequest(IngestRequest, total=False):
    """Hold one event of a bulk call, with its attribution (wire-api section 3.2)."""

    __pydantic_config__ = ConfigDict(extra="allow")  # type: ignore[misc]

    limit_ids: list[str] | None
    request_tags: list[str] | None
    user_id: str | None
    account_name: str | None
    use_case_id: str | None
    use_case_name: str | None
    use_case_version: Count | None
    use_case_step: str | None
    scope: str | None
    event_id: str | None
    hold_id: str | None
    unpriced: str | None


class IngestResponse(Model):
    """Answer one event; both times are in UTC, and `request_id` is the result's. Source: wire-api section 3.1."""

    request_id: str
    event_timestamp: Timestamp
    ingest_timestamp: Timestamp
    xproxy_result: XproxyResult


class APIErrorBody(Model):
    """Hold the error envelope; `status_code` is `statusCode` on the wire. Source: wire-api section 1.4."""

    model_config = ConfigDict(populate_by_name=True)  # so that what `model_dump` returns is read again

    status_code: int = Field(alias="statusCode")
    message: str
    xproxy_error: XproxyError | None = None
    xproxy_result: XproxyResult | None = None

    @property
    def statusCode(self) -> int:  # noqa: N802  # the wire's spelling
        """Return the HTTP status."""
        return self.status_code


class BulkItemError(Model):
    """Say which item of a bulk call failed, counted from 0, and why. Source: wire-api section 3.2."""

    item_index: int
    xproxy_result: APIErrorBody


class BulkIngestResponse(Model):
    """Answer a bulk call, whose items are independent.

    `total_count` items were sent, `ingest_count` are stored (duplicates too), `error_count` and `item_error_count`
    failed; `errors` is in the order of the items. `results` comes with `?results=true`, one per item, None for errors.
    Source: wire-api section 3.2.
    """

    request_id: str
    ingest_timestamp: Timestamp
    ingest_count: int
    error_count: int = 0
    item_error_count: int = 0
    total_count: int = 0
    errors: list[BulkItemError] | None = None
    results: list[XproxyResult | None] | None = None


MEMBERS = frozenset(IngestRequest.__annotations__)
BULK_MEMBERS = MEMBERS | frozenset(BulkIngestRequest.__annotations__)


def unknown_members(body: IngestRequest, known: frozenset[str]) -> dict[str, object]:
    """Return the members of an ingest body, and of its units, that the contract does not know, by their place."""
    members = cast("Mapping[str, object]", body)
    units = cast("Mapping[str, Mapping[str, object]]", body["units"])
    unknown = {name: members[name] for name in members.keys() - known}
    for unit, counts in units.items():
        unknown |= {f"units.{unit}.{name}": counts[name] for name in counts.keys() - UnitCount.__annotations__}
    return dict(sorted(unknown.items()))
