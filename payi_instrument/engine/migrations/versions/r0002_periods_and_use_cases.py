"""Add closed periods of limits, and use cases with their instances, KPIs and scores."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def _on_postgresql() -> bool:
    return op.get_bind().dialect.name == "postgresql"


def _text() -> sa.types.TypeEngine[Any]:
    return sa.Text(collation="C") if _on_postgresql() else sa.Text()


def _money() -> sa.types.TypeEngine[Any]:
    return sa.Numeric(38, 12) if _on_postgresql() else sa.Text()


def _long() -> sa.types.TypeEngine[Any]:
    return sa.BigInteger() if _on_postgresql() else sa.Integer()


def _float() -> sa.types.TypeEngine[Any]:
    return sa.Double() if _on_postgresql() else sa.REAL()


def upgrade() -> None:
    """Create what came with this revision."""
    _periods()
    _use_cases()
    _kpis()


def _periods() -> None:
    op.add_column("limits", sa.Column("since", _long()))
    op.create_table(
        "limit_periods",
        sa.Column("application", _text(), nullable=False),
        sa.Column("limit_id", _text(), nullable=False),
        sa.Column("until", _long(), nullable=False),
        sa.Column("limit_name", _text(), nullable=False),
        sa.Column("limit_type", _text(), nullable=False),
        sa.Column("max", _money(), nullable=False),
        sa.Column("spent_input", _money(), nullable=False),
        sa.Column("spent_output", _money(), nullable=False),
        *(
            sa.Column(state, _long(), nullable=False)
            for state in ("ok", "exceeded", "overrun", "blocked", "blocked_external", "failed")
        ),
        sa.PrimaryKeyConstraint("application", "limit_id", "until"),
        sqlite_strict=True,
    )


def _use_cases() -> None:
    op.create_table(
        "use_case_definitions",
        sa.Column("application", _text(), nullable=False),
        sa.Column("name", _text(), nullable=False),
        sa.Column("description", _text(), nullable=False),
        sa.Column("logging_enabled", sa.Integer()),
        sa.Column("limit_config", _text()),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("created", _long(), nullable=False),
        sa.PrimaryKeyConstraint("application", "name"),
        sqlite_strict=True,
    )
    op.create_table(
        "use_case_instances",
        sa.Column("application", _text(), nullable=False),
        sa.Column("use_case_id", _text(), nullable=False),
        sa.Column("use_case_name", _text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("limit_id", _text()),
        sa.Column("properties", _text()),
        sa.PrimaryKeyConstraint("application", "use_case_id", "use_case_name"),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )


def _kpis() -> None:
    op.create_table(
        "kpis",
        sa.Column("application", _text(), nullable=False),
        sa.Column("use_case_name", _text(), nullable=False),
        sa.Column("name", _text(), nullable=False),
        sa.Column("description", _text(), nullable=False),
        sa.Column("kpi_type", _text(), nullable=False),
        sa.Column("goal", _float(), nullable=False),
        sa.Column("created", _long(), nullable=False),
        sa.Column("updated", _long(), nullable=False),
        sa.PrimaryKeyConstraint("application", "use_case_name", "name"),
        sqlite_strict=True,
    )
    op.create_table(
        "kpi_scores",
        sa.Column("application", _text(), nullable=False),
        sa.Column("use_case_name", _text(), nullable=False),
        sa.Column("use_case_id", _text(), nullable=False),
        sa.Column("kpi_name", _text(), nullable=False),
        sa.Column("kpi_type", _text(), nullable=False),
        sa.Column("score", _float(), nullable=False),
        sa.Column("created", _long(), nullable=False),
        sa.Column("updated", _long(), nullable=False),
        sa.PrimaryKeyConstraint("application", "use_case_name", "use_case_id", "kpi_name"),
        sqlite_strict=True,
    )
