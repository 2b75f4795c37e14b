"""Bodies and answers of ingest, single and bulk.

Unknown members of an ingest body are ignored and named in the result's warnings: spend is never lost for a typo.
Source: wire-api section 3.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from payi_instrument.wire.model import Model, Timestamp
from payi_instrument.wire.result import XproxyError, XproxyResult

MAX_COUNT = 2_147_483_647
MAX_BULK = 1000
"""Most items that one bulk call may hold."""

Count = Annotated[int, Field(ge=0, le=MAX_COUNT, strict=True)]
PropertyMap = dict[str, "str | None"]


class UnitCount(BaseModel):
    """Count one unit; a side that is absent is 0."""

    model_config = ConfigDict(extra="ignore", defer_build=True)

    input: Count = 0
    output: Count = 0


class HeaderInfo(BaseModel):
    """Hold one header of the provider's request or response."""

    name: str = Field(min_length=1)
    value: str | None = None


class FunctionCallInfo(BaseModel):
    """Hold one function call of the answer; `arguments` is JSON text."""

    name: str = Field(min_length=1)
    arguments: str | None = None


class IngestRequest(BaseModel):
    """Hold one event; attribution travels in headers (wire-api section 3.1)."""

    model_config = ConfigDict(extra="allow", defer_build=True)

    category: str = Field(min_length=1)
    units: dict[str, UnitCount]
    resource: str | None = None
    event_timestamp: Timestamp | None = None
    end_to_end_latency_ms: Count | None = None
    time_to_first_token_ms: Count | None = None
    time_to_first_completion_token_ms: Count | None = None
    http_status_code: Count | None = None
    provider_uri: str | None = None
    provider_request_json: str | None = None
    provider_request_reasoning_json: str | None = None
    provider_request_headers: list[HeaderInfo] | None = None
    provider_response_headers: list[HeaderInfo] | None = None
    provider_response_json: str | list[str] | None = None
    provider_response_function_calls: list[FunctionCallInfo] | None = None
    provider_response_id: str | None = None
    properties: PropertyMap | None = None
    use_case_properties: PropertyMap | None = None


class BulkIngestRequest(IngestRequest):
    """Hold one event of a bulk call, with its attribution (wire-api section 3.2)."""

    limit_ids: list[str] | None = None
    request_tags: list[str] | None = None
    user_id: str | None = None
    account_name: str | None = None
    use_case_id: str | None = None
    use_case_name: str | None = None
    use_case_version: Count | None = None
    use_case_step: str | None = None
    scope: str | None = None
    event_id: str | None = None
    hold_id: str | None = None
    unpriced: str | None = None


class IngestResponse(Model):
    """Answer one event."""

    request_id: str
    event_timestamp: Timestamp
    ingest_timestamp: Timestamp
    xproxy_result: XproxyResult


class APIErrorBody(Model):
    """Hold the error envelope (wire-api section 1.4)."""

    statusCode: int  # noqa: N815  # the published spelling
    message: str
    xproxy_error: XproxyError | None = None
    xproxy_result: XproxyResult | None = None


class BulkItemError(Model):
    """Say which item of a bulk call failed, and why."""

    item_index: int
    xproxy_result: APIErrorBody


class BulkIngestResponse(Model):
    """Answer a bulk call; items are independent. `results` comes with `?results=true`, one per item, None for errors."""

    request_id: str
    ingest_timestamp: Timestamp
    ingest_count: int
    error_count: int = 0
    item_error_count: int = 0
    total_count: int = 0
    errors: list[BulkItemError] | None = None
    results: list[XproxyResult | None] | None = None


def unknown_members(body: IngestRequest) -> list[str]:
    """List the members of an ingest body that the contract does not know, half characters in them spelled out."""
    extra: dict[str, Any] = body.model_extra or {}
    return sorted(name.encode("utf-8", "backslashreplace").decode() for name in extra)
