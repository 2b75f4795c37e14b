"""The ledger's tables, once for both databases, in SQLAlchemy Core.

Money is NUMERIC on PostgreSQL and canonical decimal text in STRICT tables on SQLite, times are whole microseconds since
1970 UTC, JSON is text (design decision 11).
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import (
    REAL,
    BigInteger,
    Column,
    Dialect,
    Double,
    Index,
    Integer,
    MetaData,
    Numeric,
    PrimaryKeyConstraint,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
)
from sqlalchemy.types import TypeEngine

from payi_instrument.engine.ledger import STATES, from_micros, to_micros


class Money(TypeDecorator[Decimal]):
    """Keep a decimal exactly."""

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Choose NUMERIC where it is exact."""
        return dialect.type_descriptor(Numeric(38, 12) if dialect.name == "postgresql" else Text())

    def process_bind_param(self, value: Decimal | None, dialect: Dialect) -> Decimal | str | None:
        """Write a decimal in plain notation."""
        return value if value is None or dialect.name == "postgresql" else f"{value:f}"

    def process_result_value(self, value: Any, dialect: Dialect) -> Decimal | None:
        """Read a decimal."""
        return None if value is None else Decimal(value)


class Moment(TypeDecorator[datetime]):
    """Keep a moment as whole microseconds since 1970 UTC."""

    impl = BigInteger
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Choose the one integer type that STRICT tables know."""
        return dialect.type_descriptor(BigInteger() if dialect.name == "postgresql" else Integer())

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> int | None:
        """Write an aware datetime."""
        return None if value is None else to_micros(value)

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        """Read an aware datetime."""
        return None if value is None else from_micros(value)


_LONG = BigInteger().with_variant(Integer, "sqlite")  # STRICT tables know INTEGER and REAL only
_FLOAT: TypeEngine[float] = Double[float]().with_variant(REAL[float](), "sqlite")

metadata = MetaData()

events = Table(
    "events",
    metadata,
    Column("request_id", Text, nullable=False),
    Column("application", Text, nullable=False),
    Column("event_id", Text),
    Column("category", Text, nullable=False),
    Column("resource", Text),
    Column("resource_id", Text),
    Column("provider_response_id", Text),
    Column("event_timestamp", Moment, nullable=False),
    Column("ingest_timestamp", Moment, nullable=False),
    Column("units", Text, nullable=False),
    Column("cost_input", Money, nullable=False),
    Column("cost_output", Money, nullable=False),
    Column("limits", Text, nullable=False),
    Column("user_id", Text),
    Column("account_name", Text),
    Column("use_case_name", Text),
    Column("use_case_id", Text),
    Column("use_case_version", Integer),
    Column("use_case_step", Text),
    Column("http_status_code", Integer),
    Column("end_to_end_latency_ms", Integer),
    Column("time_to_first_token_ms", Integer),
    Column("properties", Text),
    Column("notes", Text),
    Column("detail", Text),
    PrimaryKeyConstraint("request_id"),
    UniqueConstraint("application", "event_id"),
    Index("events_by_response", "application", "category", "provider_response_id"),
    sqlite_strict=True,
)
"""`limits` says how each limit stood after the event, `notes` warnings and unknown units, `detail` is only read back."""

limits = Table(
    "limits",
    metadata,
    Column("application", Text, nullable=False),
    Column("limit_id", Text, nullable=False),
    Column("limit_name", Text, nullable=False),
    Column("limit_type", Text, nullable=False),
    Column("max", Money, nullable=False),
    Column("threshold", Money, nullable=False),
    Column("spent_input", Money, nullable=False),
    Column("spent_output", Money, nullable=False),
    *(Column(state, _LONG, nullable=False) for state in STATES),
    Column("created", Moment, nullable=False),
    Column("updated", Moment, nullable=False),
    Column("properties", Text, nullable=False),
    Column("since", Moment),
    PrimaryKeyConstraint("application", "limit_id"),
    UniqueConstraint("application", "limit_name"),
    sqlite_strict=True,
)

"""`since` is when the running totals began, null before the first reset."""

limit_periods = Table(
    "limit_periods",
    metadata,
    Column("application", Text, nullable=False),
    Column("limit_id", Text, nullable=False),
    Column("until", Moment, nullable=False),
    Column("limit_name", Text, nullable=False),
    Column("limit_type", Text, nullable=False),
    Column("max", Money, nullable=False),
    Column("spent_input", Money, nullable=False),
    Column("spent_output", Money, nullable=False),
    *(Column(state, _LONG, nullable=False) for state in STATES),
    PrimaryKeyConstraint("application", "limit_id", "until"),
    sqlite_strict=True,
)
"""What a limit had gathered when it was reset; `until` is exclusive."""

resource_versions = Table(
    "resource_versions",
    metadata,
    Column("resource_id", Text, nullable=False),
    Column("category", Text, nullable=False),
    Column("resource", Text, nullable=False),
    Column("start_timestamp", Moment, nullable=False),
    Column("units", Text, nullable=False),
    Column("max_input_units", _LONG),
    Column("max_output_units", _LONG),
    Column("max_total_units", _LONG),
    Column("deleted", Moment),
    PrimaryKeyConstraint("resource_id"),
    Index("resource_versions_by_name", "category", "resource", "start_timestamp"),
    sqlite_strict=True,
)
"""Custom resources, shared by all applications; system ones are in the catalogue's file."""

use_case_definitions = Table(
    "use_case_definitions",
    metadata,
    Column("application", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("description", Text, nullable=False),
    Column("logging_enabled", Integer),
    Column("limit_config", Text),
    Column("version", Integer, nullable=False),
    Column("created", Moment, nullable=False),
    PrimaryKeyConstraint("application", "name"),
    sqlite_strict=True,
)

use_case_instances = Table(
    "use_case_instances",
    metadata,
    Column("application", Text, nullable=False),
    Column("use_case_id", Text, nullable=False),
    Column("use_case_name", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("limit_id", Text),
    Column("properties", Text),
    PrimaryKeyConstraint("application", "use_case_id", "use_case_name"),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)
"""The id stands first in the key, so that an id that comes without a name finds its use case. One tree on SQLite, no index
beside it: a row is made for nearly every traced run."""

kpis = Table(
    "kpis",
    metadata,
    Column("application", Text, nullable=False),
    Column("use_case_name", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("description", Text, nullable=False),
    Column("kpi_type", Text, nullable=False),
    Column("goal", _FLOAT, nullable=False),
    Column("created", Moment, nullable=False),
    Column("updated", Moment, nullable=False),
    PrimaryKeyConstraint("application", "use_case_name", "name"),
    sqlite_strict=True,
)

kpi_scores = Table(
    "kpi_scores",
    metadata,
    Column("application", Text, nullable=False),
    Column("use_case_name", Text, nullable=False),
    Column("use_case_id", Text, nullable=False),
    Column("kpi_name", Text, nullable=False),
    Column("kpi_type", Text, nullable=False),
    Column("score", _FLOAT, nullable=False),
    Column("created", Moment, nullable=False),
    Column("updated", Moment, nullable=False),
    PrimaryKeyConstraint("application", "use_case_name", "use_case_id", "kpi_name"),
    sqlite_strict=True,
)
"""Scores outlive their KPI: what was recorded stays."""
