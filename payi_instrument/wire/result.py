"""The meter's answer to an event: what it cost and how every limit stands.

Source: wire-api sections 2 and 8, limits-semantics section 4.
"""

from __future__ import annotations

import json
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from payi_instrument.wire.model import ALL_DIGITS, Model, Money, exact

if TYPE_CHECKING:
    from collections.abc import Callable

LimitState = Literal["ok", "blocked", "blocked_external", "exceeded", "overrun", "failed"]
LimitType = Literal["allow", "block"]


class CostDetailsBase(Model):
    """Hold one side's cost in USD: a float, its exact twin has 12 decimal places. Source: wire-api section 2."""

    base: Money

    @property
    def base_exact(self) -> Decimal:
        """Return `base` as the ledger holds it."""
        return self.base.exact


class CostDetails(CostDetailsBase):
    """Hold a total cost in USD; on a limit `overrun_base` is what lies beyond its `max`, None when nothing does.

    Source: wire-api section 2, limits-semantics section 3.2.
    """

    overrun_base: Money | None = None

    @property
    def overrun_base_exact(self) -> Decimal | None:
        """Return `overrun_base` as the ledger holds it."""
        return exact(self.overrun_base)


class CostData(Model):
    """Hold input, output and total cost in USD. Source: wire-api section 2."""

    input: CostDetailsBase
    output: CostDetailsBase
    total: CostDetails


class ResultCost(CostData):
    """Hold what one event cost, in USD. Source: wire-api section 2.1."""

    currency: Literal["usd"] = "usd"


class LimitResult(Model):
    """Say how one limit stands after an event.

    Amounts are in USD; `remaining` is `max - spent - held` and may be negative, `ratio` is `spent / max`. They are None
    on a service that reports states only. `stale` marks the last known standing where the meter was not asked. Source:
    wire-api sections 2.1 and 8, limits-semantics section 4.
    """

    state: LimitState | None = None
    limit_type: LimitType | None = None
    max: Money | None = None
    spent: Money | None = None
    held: Money | None = None
    remaining: Money | None = None
    ratio: float | None = None
    stale: bool = False

    @property
    def max_exact(self) -> Decimal | None:
        """Return `max` as the ledger holds it."""
        return exact(self.max)

    @property
    def spent_exact(self) -> Decimal | None:
        """Return `spent` as the ledger holds it."""
        return exact(self.spent)

    @property
    def held_exact(self) -> Decimal | None:
        """Return `held` as the ledger holds it."""
        return exact(self.held)

    @property
    def remaining_exact(self) -> Decimal | None:
        """Return `remaining` as the ledger holds it."""
        return exact(self.remaining)


class IngestUnits(Model):
    """Count one unit of an event, each side 0 to 2 147 483 647. Source: wire-api section 2."""

    input: int = 0
    output: int = 0


class XproxyError(Model):
    """Say why a result is not complete; `code` is one of wire-api section 1.5, or of delivery.

    Source: wire-api section 2, instrumentation-semantics section 7.
    """

    code: str | None = None
    message: str | None = None


class XproxyResult(Model):
    """Say what one event cost, in USD, and how every limit that it named stands.

    `limits` is never None. `resource_id` is the version that priced the event, `unknown_units` what it has no price
    for. On trouble `error` says what happened and `queued` whether delivery is pending; `limits` then holds the last
    known standings, marked `stale`. `unpriced` says that the event has units and none had a price. Source: wire-api
    sections 2.1 and 8.
    """

    request_id: str | None = None
    limits: Annotated[dict[str, LimitResult], BeforeValidator(lambda limits: {} if limits is None else limits)] = Field(
        default_factory=dict[str, LimitResult]
    )
    blocked_limit_ids: list[str] | None = None
    cost: ResultCost | None = None
    use_case_name: str | None = None
    use_case_id: str | None = None
    use_case_step: str | None = None
    user_id: str | None = None
    account_name: str | None = None
    resource_id: str | None = None
    unknown_units: dict[str, IngestUnits] | None = None
    request_tags: list[str] | None = None
    duplicate_request: bool | None = None
    warnings: list[str] | None = None
    actions: list[str] | None = None
    queued: bool | None = None
    unpriced: bool | None = None
    error: XproxyError | None = None

    @classmethod
    def from_json(cls, text: str) -> XproxyResult:
        """Read what :meth:`to_json` wrote, amounts with all their digits."""
        return cls.model_validate(json.loads(text, parse_float=Decimal))

    @property
    def code(self) -> str | None:
        """Return the code of `error`, as the official SDK's error object does."""
        return self.error.code if self.error is not None else None

    @property
    def message(self) -> str | None:
        """Return the message of `error`, as the official SDK's error object does."""
        return self.error.message if self.error is not None else None


class LaterResult(XproxyResult):
    """A result that is made when it is first read: most are never looked at.

    Whatever reads it (an attribute, `==`, `repr`, serialisation, a copy) finds a whole :class:`XproxyResult`.
    """

    @classmethod
    def made_by(cls, make: Callable[[], XproxyResult]) -> LaterResult:
        """Return a result that `make` makes when it is needed; made twice in a race, it is the same twice."""
        later = cls.__new__(cls)
        object.__setattr__(later, "__dict__", {_MAKE: make})
        return later

    def __getattribute__(self, name: str) -> Any:
        """Return a member, after making the result if nobody has yet."""
        make = object.__getattribute__(self, "__dict__").get(_MAKE)
        if make is not None:
            made = make()
            for slot in ("__pydantic_fields_set__", "__pydantic_extra__", "__pydantic_private__", "__dict__"):
                object.__setattr__(self, slot, object.__getattribute__(made, slot))
        return XproxyResult if name == "__class__" else super().__getattribute__(name)  # so that it equals a plain one

    def __reduce__(self) -> tuple[Any, ...]:
        """Travel as a plain result."""
        return (XproxyResult.model_validate, (self.model_dump(exclude_unset=True, context=ALL_DIGITS),))


_MAKE = "make"
