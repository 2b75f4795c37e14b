"""The ledger's tables, once for both databases, in SQLAlchemy Core.

Money is NUMERIC on PostgreSQL and canonical decimal text in STRICT tables on SQLite, times are whole microseconds since
1970 UTC, JSON is text (design decision 11). Text compares by code point, as SQLite and Python compare it, in whatever
language a PostgreSQL database was made.
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

from payi_instrument.engine.ledger import STATES, from_micros, plain, to_micros


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
        if value is None:
            return None
        return plain(value) if dialect.name == "postgresql" else Decimal(value)


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


_TEXT = Text().with_variant(Text(collation="C"), "postgresql")
_LONG = BigInteger().with_variant(Integer, "sqlite")  # STRICT tables know INTEGER and REAL only
_FLOAT: TypeEngine[float] = Double[float]().with_variant(REAL[float](), "sqlite")


def _figures() -> tuple[Column[Any], ...]:
    """Make the columns of what adds up on a limit: the spend on each side, and the events by the state they reported."""
    spent = [Column(side, Money, nullable=False) for side in ("spent_input", "spent_output")]
    return (*spent, *(Column(state, _LONG, nullable=False) for state in STATES))


metadata = MetaData()

events = Table(
    "events",
    metadata,
    Column("request_id", _TEXT, nullable=False),
    Column("application", _TEXT, nullable=False),
    Column("event_id", _TEXT),
    Column("category", _TEXT, nullable=False),
    Column("resource", _TEXT),
    Column("resource_id", _TEXT),
    Column("provider_response_id", _TEXT),
    Column("event_timestamp", Moment, nullable=False),
    Column("ingest_timestamp", Moment, nullable=False),
    Column("units", _TEXT, nullable=False),
    Column("cost_input", Money, nullable=False),
    Column("cost_output", Money, nullable=False),
    Column("limits", _TEXT, nullable=False),
    Column("user_id", _TEXT),
    Column("account_name", _TEXT),
    Column("use_case_name", _TEXT),
    Column("use_case_id", _TEXT),
    Column("use_case_version", Integer),
    Column("use_case_step", _TEXT),
    Column("http_status_code", Integer),
    Column("end_to_end_latency_ms", Integer),
    Column("time_to_first_token_ms", Integer),
    Column("properties", _TEXT),
    Column("notes", _TEXT),
    Column("detail", _TEXT),
    PrimaryKeyConstraint("request_id"),
    UniqueConstraint("application", "event_id"),
    Index("events_by_response", "application", "category", "provider_response_id"),
    sqlite_strict=True,
)
"""`limits` says how each limit stood after the event, `notes` warnings and unknown units, `detail` is only read back."""

limits = Table(
    "limits",
    metadata,
    Column("application", _TEXT, nullable=False),
    Column("limit_id", _TEXT, nullable=False),
    Column("limit_name", _TEXT, nullable=False),
    Column("limit_type", _TEXT, nullable=False),
    Column("max", Money, nullable=False),
    Column("threshold", Money, nullable=False),
    *_figures(),
    Column("created", Moment, nullable=False),
    Column("updated", Moment, nullable=False),
    Column("properties", _TEXT, nullable=False),
    Column("since", Moment),
    PrimaryKeyConstraint("application", "limit_id"),
    UniqueConstraint("application", "limit_name"),
    sqlite_strict=True,
)
"""`since` is when the running totals began, null before the first reset."""

limit_periods = Table(
    "limit_periods",
    metadata,
    Column("application", _TEXT, nullable=False),
    Column("limit_id", _TEXT, nullable=False),
    Column("until", Moment, nullable=False),
    Column("limit_name", _TEXT, nullable=False),
    Column("limit_type", _TEXT, nullable=False),
    Column("max", Money, nullable=False),
    *_figures(),
    PrimaryKeyConstraint("application", "limit_id", "until"),
    sqlite_strict=True,
)
"""What a limit had gathered when it was reset; `until` is exclusive."""

resource_versions = Table(
    "resource_versions",
    metadata,
    Column("resource_id", _TEXT, nullable=False),
    Column("category", _TEXT, nullable=False),
    Column("resource", _TEXT, nullable=False),
    Column("start_timestamp", Moment, nullable=False),
    Column("units", _TEXT, nullable=False),
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
    Column("application", _TEXT, nullable=False),
    Column("name", _TEXT, nullable=False),
    Column("description", _TEXT, nullable=False),
    Column("logging_enabled", Integer),
    Column("limit_config", _TEXT),
    Column("version", Integer, nullable=False),
    Column("created", Moment, nullable=False),
    PrimaryKeyConstraint("application", "name"),
    sqlite_strict=True,
)

use_case_instances = Table(
    "use_case_instances",
    metadata,
    Column("application", _TEXT, nullable=False),
    Column("use_case_id", _TEXT, nullable=False),
    Column("use_case_name", _TEXT, nullable=False),
    Column("version", Integer, nullable=False),
    Column("limit_id", _TEXT),
    Column("properties", _TEXT),
    PrimaryKeyConstraint("application", "use_case_id", "use_case_name"),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)
"""The id stands first in the key, so that an id that comes without a name finds its use case. One tree on SQLite, no index
beside it: a row is made for nearly every traced run."""

kpis = Table(
    "kpis",
    metadata,
    Column("application", _TEXT, nullable=False),
    Column("use_case_name", _TEXT, nullable=False),
    Column("name", _TEXT, nullable=False),
    Column("description", _TEXT, nullable=False),
    Column("kpi_type", _TEXT, nullable=False),
    Column("goal", _FLOAT, nullable=False),
    Column("created", Moment, nullable=False),
    Column("updated", Moment, nullable=False),
    PrimaryKeyConstraint("application", "use_case_name", "name"),
    sqlite_strict=True,
)

kpi_scores = Table(
    "kpi_scores",
    metadata,
    Column("application", _TEXT, nullable=False),
    Column("use_case_name", _TEXT, nullable=False),
    Column("use_case_id", _TEXT, nullable=False),
    Column("kpi_name", _TEXT, nullable=False),
    Column("kpi_type", _TEXT, nullable=False),
    Column("score", _FLOAT, nullable=False),
    Column("created", Moment, nullable=False),
    Column("updated", Moment, nullable=False),
    PrimaryKeyConstraint("application", "use_case_name", "use_case_id", "kpi_name"),
    sqlite_strict=True,
)
"""Scores outlive their KPI: what was recorded stays."""

api_keys = Table(
    "api_keys",
    metadata,
    Column("key_id", _TEXT, nullable=False),
    Column("application", _TEXT, nullable=False),
    Column("scope", _TEXT, nullable=False),
    Column("secret_hash", _TEXT, nullable=False),
    Column("created", Moment, nullable=False),
    Column("revoked", Moment),
    PrimaryKeyConstraint("key_id"),
    sqlite_strict=True,
)

idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    Column("application", _TEXT, nullable=False),
    Column("key", _TEXT, nullable=False),
    Column("target_digest", _TEXT, nullable=False),
    Column("body_digest", _TEXT, nullable=False),
    Column("status", Integer, nullable=False),
    Column("reply", _TEXT, nullable=False),
    Column("created", Moment, nullable=False),
    PrimaryKeyConstraint("application", "key"),
    Index("idempotency_keys_by_age", "created"),
    sqlite_strict=True,
)
"""The first replies to management calls, for a day (wire-api section 1.7); the target is method and path."""

pruned_totals = Table(
    "pruned_totals",
    metadata,
    Column("application", _TEXT, nullable=False),
    Column("limit_id", _TEXT, nullable=False),
    Column("until", Moment, nullable=False),
    *_figures(),
    PrimaryKeyConstraint("application", "limit_id", "until"),
    sqlite_strict=True,
)
"""What events that were pruned had added to a limit's periods; `until` is the end of a closed one, 0 for the running one."""

ledger_facts = Table(
    "ledger_facts",
    metadata,
    Column("name", _TEXT, nullable=False),
    Column("value", _TEXT, nullable=False),
    PrimaryKeyConstraint("name"),
    sqlite_strict=True,
)
"""What is known of the ledger as a whole: `pruned_before` is the moment before which events may be gone."""
