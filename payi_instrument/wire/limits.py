"""Bodies and answers of the limits operations. Source: wire-api section 4, limits-semantics sections 1 to 7."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated

from pydantic import BeforeValidator, Field

from payi_instrument.wire.model import Body, Model, Money, Timestamp, exact
from payi_instrument.wire.result import CostData, LimitType


def number(value: object) -> object:
    """Return a number or null; raises `ValueError` for what pydantic would read as one: a text, a list of digits."""
    if value is not None and not isinstance(value, (int, float, Decimal)):
        msg = "expected a number"
        raise ValueError(msg)
    return value


def _from_text(value: object) -> object:
    """Take a float at its shortest decimal text: 0.83 means 0.83; an answer's amount is taken exactly."""
    if isinstance(value, Money):
        return value.exact
    return Decimal(str(value)) if isinstance(value, float) else number(value)


Amount = Annotated[Decimal, Field(allow_inf_nan=True), BeforeValidator(_from_text)]
"""A decimal from a JSON number; bounds are the operation's to check, each has an error code of its own."""

PropertyMap = dict[str, "str | None"]


class CreateLimitBase(Body):
    """Hold what a limit of a use-case definition is made of: `max` in USD, greater than 0."""

    max: Amount
    limit_type: LimitType | None = None
    threshold: Amount | None = None
    properties: PropertyMap | None = None


class CreateLimit(CreateLimitBase):
    """Hold a new limit: `threshold` 0.75 to 0.99, or 1.0 for none; `limit_type` defaults to `allow`."""

    limit_name: str
    limit_id: str | None = None


class UpdateLimit(Body):
    """Hold what may change of a limit; absent or null leaves it alone."""

    limit_name: str | None = None
    max: Amount | None = None


class PropertiesRequest(Body):
    """Hold properties to merge; null removes a key."""

    properties: PropertyMap


class RequestsData(Model):
    """Count the events of a limit by the state that each was answered with; `total` is the sum of the six.

    Source: wire-api section 2, limits-semantics section 3.1.
    """

    ok: int = 0
    exceeded: int = 0
    overrun: int = 0
    blocked: int = 0
    blocked_external: int = 0
    failed: int = 0
    total: int = 0


class TotalCostData(Model):
    """Hold what a limit has gathered in its running period.

    `cost` is in USD, `cost.total.base` the whole spend, not capped at `max`; `held` is the sum of its live holds in
    USD. Source: wire-api sections 2 and 8, limits-semantics section 3.
    """

    cost: CostData
    requests: RequestsData
    held: Money = Money(0)

    @property
    def held_exact(self) -> Decimal:
        """Return `held` as the ledger holds it."""
        return self.held.exact


class Limit(Model):
    """Describe a limit.

    `max` is in USD, above 0; `threshold` is the share of it from which the state is `exceeded`, 0.75 to 0.99, 1.0 for
    none. Both are floats with an exact twin. Times are in UTC; an ingest does not move `limit_update_timestamp`.
    `properties` come from our meter alone. Source: wire-api section 4, limits-semantics sections 2 to 5.
    """

    limit_id: str
    limit_name: str
    limit_type: LimitType
    max: Money
    threshold: Money | None = None
    totals: TotalCostData
    limit_creation_timestamp: Timestamp
    limit_update_timestamp: Timestamp
    properties: PropertyMap | None = None

    @property
    def max_exact(self) -> Decimal:
        """Return `max` as the ledger holds it."""
        return self.max.exact

    @property
    def threshold_exact(self) -> Decimal | None:
        """Return `threshold` as the ledger holds it."""
        return exact(self.threshold)


class LimitResponse(Model):
    """Answer with one limit. Source: wire-api section 4."""

    limit: Limit
    request_id: str
    message: str | None = None


class LimitHistory(Model):
    """Describe a closed period of a limit: its totals in USD before the reset at `limit_reset_timestamp`.

    `max` is in USD; `limit_tags` is always None here. Source: wire-api section 4, limits-semantics section 7.
    """

    limit_id: str
    limit_name: str
    totals: TotalCostData
    limit_reset_timestamp: Timestamp | None = None
    limit_tags: list[str] | None = None
    limit_type: LimitType | None = None
    max: Money | None = None

    @property
    def max_exact(self) -> Decimal | None:
        """Return `max` as the ledger holds it."""
        return exact(self.max)


class LimitHistoryResponse(Model):
    """Answer a reset with the period that it closed. Source: wire-api section 4."""

    limit_history: LimitHistory
    request_id: str
    message: str | None = None


class DefaultResponse(Model):
    """Answer an operation that returns nothing else. Source: wire-api section 4."""

    request_id: str
    message: str | None = None


class PropertiesResponse(Model):
    """Answer a change of a request's properties; `request_id` is the event's. Source: wire-api section 7."""

    request_id: str | None = None
