"""Bodies and answers of use cases: definitions, KPIs, instances. Source: wire-api section 6."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Literal

from pydantic import BeforeValidator, StrictBool

from payi_instrument.wire.limits import CreateLimitBase, PropertyMap, number
from payi_instrument.wire.model import Body, Model, Money, Timestamp, exact
from payi_instrument.wire.result import LimitType

KpiType = Literal["boolean", "number", "percentage", "likert5", "likert7", "likert10"]
Number = Annotated[float, BeforeValidator(number)]


class CreateDefinition(Body):
    """Hold a new use-case definition; its name is 1 to 64 of `A-Za-z0-9._-`."""

    name: str
    description: str
    limit_config: CreateLimitBase | None = None
    logging_enabled: StrictBool | None = None


class UpdateDefinition(Body):
    """Hold what may change of a definition; no change bumps its version."""

    description: str | None = None
    logging_enabled: StrictBool | None = None


class LimitConfig(Model):
    """Say which limit every new run gets: `max` in USD, `threshold` the share of it, 0.75 to 0.99, 1.0 for none.

    Source: wire-api section 6, limits-semantics section 6.4.
    """

    max: Money
    limit_type: LimitType | None = None
    threshold: Money | None = None
    properties: PropertyMap | None = None

    @property
    def max_exact(self) -> Decimal:
        """Return `max` as the ledger holds it."""
        return self.max.exact

    @property
    def threshold_exact(self) -> Decimal | None:
        """Return `threshold` as the ledger holds it."""
        return exact(self.threshold)


class UseCaseDefinition(Model):
    """Describe a use case; `type_version` begins at 1 and moves by `version.increment` alone.

    Source: wire-api section 6.
    """

    name: str
    description: str
    request_id: str
    logging_enabled: bool | None = None
    limit_config: LimitConfig | None = None
    type_version: int | None = None


class UseCaseInstance(Model):
    """Describe one run of a use case.

    `limit_id` is the limit that it got from its definition, None without one; `type_version` is the version it began
    under. Source: wire-api section 6.
    """

    use_case_id: str
    use_case_name: str
    limit_id: str | None = None
    type_version: int | None = None


class CreateKpi(Body):
    """Hold a new KPI."""

    name: str
    description: str
    kpi_type: KpiType
    goal: Number


class UpdateKpi(Body):
    """Hold what may change of a KPI."""

    description: str | None = None
    goal: Number | None = None


class Kpi(Model):
    """Describe what the runs of a use case are scored by; `goal` is on the scale of `kpi_type`, times are in UTC.

    Source: wire-api section 6.
    """

    name: str
    description: str
    request_id: str
    kpi_type: KpiType | None = None
    goal: float | None = None
    created_timestamp: Timestamp | None = None
    updated_timestamp: Timestamp | None = None


class ScoreRequest(Body):
    """Hold a score: boolean 0 or 1, percentage 0 to 100, likertN 1 to N, number any; null clears it."""

    score: Annotated[bool | int | float | None, BeforeValidator(number)]


class KpiScore(Model):
    """Hold one score of a run.

    A `boolean` score is 0 or 1, `percentage` 0 to 100, `likert5` 1 to 5 and so on, None when it was cleared. Its
    timestamps, in UTC, are named differently from a KPI's. Source: wire-api section 6.
    """

    kpi_name: str
    kpi_type: KpiType | None = None
    score: float | None = None
    create_timestamp: Timestamp | None = None
    update_timestamp: Timestamp | None = None
