"""Make the ledger: events, limits, custom resources."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def _text() -> sa.types.TypeEngine[Any]:
    return sa.Text(collation="C") if op.get_bind().dialect.name == "postgresql" else sa.Text()


def _money() -> sa.types.TypeEngine[Any]:
    return sa.Numeric(38, 12) if op.get_bind().dialect.name == "postgresql" else sa.Text()


def _long() -> sa.types.TypeEngine[Any]:
    return sa.BigInteger() if op.get_bind().dialect.name == "postgresql" else sa.Integer()


def upgrade() -> None:
    """Create the tables as they were in the first release."""
    _events()
    _limits()
    _resource_versions()


def _events() -> None:
    op.create_table(
        "events",
        sa.Column("request_id", _text(), nullable=False),
        sa.Column("application", _text(), nullable=False),
        sa.Column("event_id", _text()),
        sa.Column("category", _text(), nullable=False),
        sa.Column("resource", _text()),
        sa.Column("resource_id", _text()),
        sa.Column("provider_response_id", _text()),
        sa.Column("event_timestamp", _long(), nullable=False),
        sa.Column("ingest_timestamp", _long(), nullable=False),
        sa.Column("units", _text(), nullable=False),
        sa.Column("cost_input", _money(), nullable=False),
        sa.Column("cost_output", _money(), nullable=False),
        sa.Column("limits", _text(), nullable=False),
        sa.Column("user_id", _text()),
        sa.Column("account_name", _text()),
        sa.Column("use_case_name", _text()),
        sa.Column("use_case_id", _text()),
        sa.Column("use_case_version", sa.Integer()),
        sa.Column("use_case_step", _text()),
        sa.Column("http_status_code", sa.Integer()),
        sa.Column("end_to_end_latency_ms", sa.Integer()),
        sa.Column("time_to_first_token_ms", sa.Integer()),
        sa.Column("properties", _text()),
        sa.Column("notes", _text()),
        sa.Column("detail", _text()),
        sa.PrimaryKeyConstraint("request_id"),
        sa.UniqueConstraint("application", "event_id"),
        sqlite_strict=True,
    )
    op.create_index("events_by_response", "events", ["application", "category", "provider_response_id"])


def _limits() -> None:
    op.create_table(
        "limits",
        sa.Column("application", _text(), nullable=False),
        sa.Column("limit_id", _text(), nullable=False),
        sa.Column("limit_name", _text(), nullable=False),
        sa.Column("limit_type", _text(), nullable=False),
        sa.Column("max", _money(), nullable=False),
        sa.Column("threshold", _money(), nullable=False),
        sa.Column("spent_input", _money(), nullable=False),
        sa.Column("spent_output", _money(), nullable=False),
        *(
            sa.Column(state, _long(), nullable=False)
            for state in ("ok", "exceeded", "overrun", "blocked", "blocked_external", "failed")
        ),
        sa.Column("created", _long(), nullable=False),
        sa.Column("updated", _long(), nullable=False),
        sa.Column("properties", _text(), nullable=False),
        sa.PrimaryKeyConstraint("application", "limit_id"),
        sa.UniqueConstraint("application", "limit_name"),
        sqlite_strict=True,
    )


def _resource_versions() -> None:
    op.create_table(
        "resource_versions",
        sa.Column("resource_id", _text(), nullable=False),
        sa.Column("category", _text(), nullable=False),
        sa.Column("resource", _text(), nullable=False),
        sa.Column("start_timestamp", _long(), nullable=False),
        sa.Column("units", _text(), nullable=False),
        sa.Column("max_input_units", _long()),
        sa.Column("max_output_units", _long()),
        sa.Column("max_total_units", _long()),
        sa.Column("deleted", _long()),
        sa.PrimaryKeyConstraint("resource_id"),
        sqlite_strict=True,
    )
    op.create_index("resource_versions_by_name", "resource_versions", ["category", "resource", "start_timestamp"])
