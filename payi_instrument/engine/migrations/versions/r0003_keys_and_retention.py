"""Add keys, replies kept for repeated requests, and what retention removed."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def _on_postgresql() -> bool:
    return op.get_bind().dialect.name == "postgresql"


def _text() -> sa.types.TypeEngine[Any]:
    return sa.Text(collation="C") if _on_postgresql() else sa.Text()


def _money() -> sa.types.TypeEngine[Any]:
    return sa.Numeric(38, 12) if _on_postgresql() else sa.Text()


def _long() -> sa.types.TypeEngine[Any]:
    return sa.BigInteger() if _on_postgresql() else sa.Integer()


def upgrade() -> None:
    """Create what came with this revision."""
    _keys()
    _retention()


def _keys() -> None:
    op.create_table(
        "api_keys",
        sa.Column("key_id", _text(), nullable=False),
        sa.Column("application", _text(), nullable=False),
        sa.Column("scope", _text(), nullable=False),
        sa.Column("secret_hash", _text(), nullable=False),
        sa.Column("created", _long(), nullable=False),
        sa.Column("revoked", _long()),
        sa.PrimaryKeyConstraint("key_id"),
        sqlite_strict=True,
    )
    op.create_table(
        "idempotency_keys",
        sa.Column("application", _text(), nullable=False),
        sa.Column("key", _text(), nullable=False),
        sa.Column("target_digest", _text(), nullable=False),
        sa.Column("body_digest", _text(), nullable=False),
        sa.Column("status", sa.Integer(), nullable=False),
        sa.Column("reply", _text(), nullable=False),
        sa.Column("created", _long(), nullable=False),
        sa.PrimaryKeyConstraint("application", "key"),
        sqlite_strict=True,
    )
    op.create_index("idempotency_keys_by_age", "idempotency_keys", ["created"])


def _retention() -> None:
    op.create_table(
        "pruned_totals",
        sa.Column("application", _text(), nullable=False),
        sa.Column("limit_id", _text(), nullable=False),
        sa.Column("until", _long(), nullable=False),
        sa.Column("spent_input", _money(), nullable=False),
        sa.Column("spent_output", _money(), nullable=False),
        *(
            sa.Column(state, _long(), nullable=False)
            for state in ("ok", "exceeded", "overrun", "blocked", "blocked_external", "failed")
        ),
        sa.PrimaryKeyConstraint("application", "limit_id", "until"),
        sqlite_strict=True,
    )
    op.create_table(
        "ledger_facts",
        sa.Column("name", _text(), nullable=False),
        sa.Column("value", _text(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
        sqlite_strict=True,
    )
