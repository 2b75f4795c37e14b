"""What the meter answers to an event, made from its booking: at once, or later from the stored row.

Source: wire-api section 2.1, decision 9.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, NamedTuple, cast

from payi_instrument.engine.ledger import EventRow, LimitRow, from_micros
from payi_instrument.engine.pricing import EXACT, Cost
from payi_instrument.wire.ingest import IngestResponse
from payi_instrument.wire.model import Money
from payi_instrument.wire.result import (
    CostDetails,
    CostDetailsBase,
    IngestUnits,
    LimitResult,
    ResultCost,
    XproxyResult,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_NOTHING = Money(0)


class Standing(NamedTuple):
    """Say how a limit stood after an event: the state that the event reports for it, its terms, and its spend."""

    limit_id: str
    state: str
    limit_type: str
    max: Decimal
    spend: Decimal

    def result(self) -> LimitResult:
        """Return the standing as the wire shows it, amounts in USD."""
        cap, spent = Money(self.max), Money(self.spend)
        return LimitResult.of(
            state=self.state,
            limit_type=self.limit_type,
            max=cap,
            spent=spent,
            held=_NOTHING,
            remaining=Money(EXACT.subtract(self.max, self.spend)),
            ratio=spent / cap,
        )


class Stood(NamedTuple):
    """The limits that an event counts on, and side by side the state that it reports and the spend after it."""

    limits: Sequence[LimitRow]
    states: Sequence[str]
    spends: Sequence[Decimal]


@dataclass(slots=True)
class Booked:
    """An event in the ledger; results are made outside the transaction, when they are asked for."""

    row: EventRow
    cost: Cost
    notes: Mapping[str, object] = field(default_factory=dict[str, object])
    stood: Stood | None = None
    has_automatic_limit: bool = False
    """Whether it counts on the limit of its use-case instance, which it need not have named."""

    @classmethod
    def stored(cls, row: EventRow) -> Booked:
        """Return the booking of an event as it was made when the event was stored."""
        notes: dict[str, object] = json.loads(row.notes) if row.notes else {}
        return cls(row, Cost(Decimal(row.cost_input), Decimal(row.cost_output)), notes)

    @property
    def standings(self) -> list[Standing]:
        """Return how each limit stood after the event; made when they are asked for, since few ask."""
        if self.stood is not None:
            return [
                Standing(limit.limit_id, state, limit.limit_type, limit.max, spend)
                for limit, state, spend in zip(*self.stood, strict=True)
            ]
        return [
            Standing(limit_id, state, limit_type, Decimal(maximum), Decimal(spend))
            for limit_id, state, limit_type, maximum, spend in json.loads(self.row.limits)
        ]

    @classmethod
    def known(cls, row: EventRow) -> Booked:
        """Return the booking of an event that came again."""
        booked = cls.stored(row)
        booked.notes = {**booked.notes, "duplicate_request": True}
        return booked

    def result(self) -> XproxyResult:
        """Return cost and limits of the event."""
        values: dict[str, object] = {**self.notes}
        unknown = cast("Mapping[str, tuple[int, int]] | None", values.get("unknown_units"))
        if unknown:
            values["unknown_units"] = {
                unit: IngestUnits.of(input=counts[0], output=counts[1]) for unit, counts in unknown.items()
            }
        standings = self.standings
        if blocked := [standing.limit_id for standing in standings if standing.state == "blocked"]:
            values["blocked_limit_ids"] = blocked
        row = self.row
        return XproxyResult.of(
            request_id=row.request_id,
            limits={standing.limit_id: standing.result() for standing in standings},
            cost=_cost(self.cost),
            use_case_name=row.use_case_name,
            use_case_id=row.use_case_id,
            use_case_step=row.use_case_step,
            user_id=row.user_id,
            account_name=row.account_name,
            resource_id=row.resource_id,
            **values,
        )

    def response(self) -> IngestResponse:
        """Return the answer to a single ingest."""
        return IngestResponse.of(
            request_id=self.row.request_id,
            event_timestamp=from_micros(self.row.event_timestamp),
            ingest_timestamp=from_micros(self.row.ingest_timestamp),
            xproxy_result=self.result(),
        )


def _cost(cost: Cost) -> ResultCost:
    return ResultCost.of(
        currency="usd",
        input=CostDetailsBase.of(base=Money(cost.input)),
        output=CostDetailsBase.of(base=Money(cost.output)),
        total=CostDetails.of(base=Money(cost.total), overrun_base=None),
    )
