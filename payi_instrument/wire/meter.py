"""Bodies and answers of what is left: stored requests, and the extensions of our meter.

Source: wire-api sections 7 and 8, limits-semantics section 10.
"""

from __future__ import annotations

from pydantic import Field

from payi_instrument.wire.ingest import Count
from payi_instrument.wire.model import Body, Model, Money, Timestamp
from payi_instrument.wire.result import LimitResult, XproxyResult


class RequestResult(Model):
    """Answer with the result that an event had at ingest time; states are not computed again. Source: wire-api section 7."""

    xproxy_result: XproxyResult


class Capabilities(Model):
    """List the extensions that a meter speaks; a plain service has none. Source: wire-api section 8."""

    extensions: list[str] = Field(default_factory=list[str])


class HoldRequest(Body):
    """Hold the bounds of a call before it is made; the meter prices them, since it alone knows the prices.

    A null `output_bound` means the resource's `max_output_units`; `ttl_s` is in seconds.
    """

    category: str
    resource: str | None = None
    scope: str | None = None
    input_bound: dict[str, Count]
    output_bound: dict[str, Count] | None = None
    limit_ids: list[str] = Field(default_factory=list[str])
    use_case_name: str | None = None
    use_case_id: str | None = None
    ttl_s: int = Field(default=120, gt=0)
    on_expiry: str = "release"
    unbounded: bool = False


class RenewHold(Body):
    """Hold for how many seconds more a hold is wanted."""

    ttl_s: int = Field(gt=0)


class Hold(Model):
    """Describe spend that is set aside: `amount` in USD on every limit of the call, until `expires_at` in UTC.

    Source: wire-api section 8, limits-semantics section 10.
    """

    hold_id: str
    expires_at: Timestamp
    amount: Money
    limits: dict[str, LimitResult] = Field(default_factory=dict[str, LimitResult])
