"""What is metered, as plain objects: who a call is for, what it used, and the event that says both.

Standard library only and slots throughout: these objects are made once per provider call.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

Units = dict[str, tuple[int, int]]
"""Unit name -> (input count, output count), each 0 to 2 147 483 647 (wire-api section 2, `IngestUnits`)."""

UNKNOWN_MODEL = "system.unknown_model"
"""The resource of a call that named no model (instrumentation-semantics section 6.1)."""


@dataclass(slots=True)
class Attribution:
    """Say for whom and for what a call is made: the values in effect, None where nothing is.

    Shared between the calls of a scope, so never changed. A use-case id of None under a name lets the meter make one.
    Source: instrumentation-semantics section 4.
    """

    limit_ids: tuple[str, ...] = ()
    use_case_name: str | None = None
    use_case_id: str | None = None
    use_case_version: int | None = None
    use_case_step: str | None = None
    use_case_properties: Mapping[str, str | None] = field(default_factory=dict[str, "str | None"])
    user_id: str | None = None
    account_name: str | None = None
    request_properties: Mapping[str, str | None] = field(default_factory=dict[str, "str | None"])
    price_as_category: str | None = None
    price_as_resource: str | None = None
    resource_scope: str | None = None
    log_prompt_and_response: bool | None = None

    def with_use_case_id(self, use_case_id: str | None) -> Attribution:
        """Return a copy with another instance id; spelled out, since one is made for most calls."""
        return Attribution(
            self.limit_ids,
            self.use_case_name,
            use_case_id,
            self.use_case_version,
            self.use_case_step,
            self.use_case_properties,
            self.user_id,
            self.account_name,
            self.request_properties,
            self.price_as_category,
            self.price_as_resource,
            self.resource_scope,
            self.log_prompt_and_response,
        )


@dataclass(slots=True)
class CallFacts:
    """Hold what a provider's file reads from a request before it is sent; never changed.

    `host` is the provider's base URL, `library` is `<name>/<version>` of the SDK, `headers` are the caller's own extra
    headers, `body` the request as the provider will see it, `asked_for_usage` whether we added the request for usage.
    `answers` gets the answers that the SDK goes on to parse, which may fail although the provider billed them.

    `endpoint` is what the provider's file reads the call by. `costs`: the call itself is billed, so it may be stopped, and
    its failure is an event. `reports_later`: only a usage that the provider reported makes an event, since the work goes
    on after the call; `job` is the work that the call speaks to, where its URL says so. `sound`: the answer's body is sound
    and says nothing of a usage. `routed`: the host chose the model, so the one that served is the one that is paid.
    `priced_as` is the model that a header, a scope or a mapping names in place of the one that was asked for.
    """

    category: str
    resource: str | None
    library: str
    host: str | None = None
    streamed: bool = False
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    body: Mapping[str, Any] = field(default_factory=dict[str, Any])
    asked_for_usage: bool = False
    endpoint: object = None
    costs: bool = True
    reports_later: bool = False
    job: str | None = None
    sound: bool = False
    routed: bool = False
    priced_as: str | None = None
    answers: list[object] = field(default_factory=list[object])


@dataclass(slots=True)
class Usage:
    """Hold what a provider's file reads from an answer: units that never overlap, the served model, the response id.

    `estimated` says that the provider reported no usage and the units are our estimate. `failure` is the code and message
    of an answer that says it failed. `once`: whoever reads this answer again, later or elsewhere, reads the same usage, so
    that its event id is made of the response id. `job` is the work that it is a part of, where that has another id.
    `beside` is what other models used for the same answer; each names its `resource`.
    """

    units: Units = field(default_factory=dict[str, tuple[int, int]])
    resource: str | None = None
    response_id: str | None = None
    function_calls: list[tuple[str, str | None]] = field(default_factory=list[tuple[str, "str | None"]])
    estimated: bool = False
    failure: tuple[str, str | None] | None = None
    once: bool = False
    job: str | None = None
    beside: list[Usage] = field(default_factory=list["Usage"])


@dataclass(frozen=True, slots=True)
class Failure:
    """Hold what a provider's file reads from an exception: the HTTP status, 299 when there was none.

    `usage` is set when the provider billed tokens although the SDK raised (an answer cut off by its length).
    """

    status: int
    response_id: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    body: str | None = None
    usage: Usage | None = None


@dataclass(slots=True)
class UsageEvent:
    """Say what one call used, for whom, and how it went: the one shape that delivery and the meter know.

    `event_id` (at most 64 printable ASCII characters) is fixed before the first delivery; the ledger counts it once
    (wire-api section 1.7). Latencies are whole milliseconds. `record_unpriced` keeps an event whose resource has no
    price, since the money is spent already (resources-semantics section 6). `beside` are events of the same call, of what
    other models used for it; they are delivered with this one. Source: wire-api section 3.
    """

    event_id: str | None
    category: str
    resource: str | None
    units: Units
    attribution: Attribution
    event_timestamp: datetime | None = None
    end_to_end_latency_ms: int | None = None
    time_to_first_token_ms: int | None = None
    time_to_first_completion_token_ms: int | None = None
    http_status_code: int | None = None
    provider_uri: str | None = None
    provider_response_id: str | None = None
    provider_request_json: str | None = None
    provider_request_reasoning_json: str | None = None
    provider_request_headers: Mapping[str, str] | None = None
    provider_response_headers: Mapping[str, str] | None = None
    provider_response_json: str | list[str] | None = None
    function_calls: list[tuple[str, str | None]] = field(default_factory=list[tuple[str, "str | None"]])
    properties: Mapping[str, str | None] = field(default_factory=dict[str, "str | None"])
    request_tags: tuple[str, ...] = ()
    module: str | None = None
    hold_id: str | None = None
    record_unpriced: bool = False
    warnings: tuple[str, ...] = ()
    beside: tuple[UsageEvent, ...] = ()


class Amount(Protocol):
    """An amount in USD."""

    @property
    def base(self) -> float:
        """Return the amount."""
        ...


class EventCost(Protocol):
    """What an event cost."""

    @property
    def total(self) -> Amount:
        """Return the whole cost."""
        ...


class LimitStanding(Protocol):
    """Say how one limit stood after an event."""

    @property
    def state(self) -> str | None:
        """Return `ok`, `exceeded`, `overrun`, `blocked`, `blocked_external`, `failed`, or None when unknown."""
        ...


class Result(Protocol):
    """Say what the meter answered to an event: the part of `xproxy_result` that the lower floors look at."""

    @property
    def limits(self) -> Mapping[str, LimitStanding]:
        """Return the standing of every limit that the event named."""
        ...

    @property
    def cost(self) -> EventCost | None:
        """Return the cost, None when the event was not priced yet."""
        ...
