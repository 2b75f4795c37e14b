"""Bring an older ledger up to date. Imported only when a ledger's revision is behind (design decision 10)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from alembic import command
from alembic.config import Config

if TYPE_CHECKING:
    from sqlalchemy import Engine


def configuration(engine: Engine, schema: str | None = None) -> Config:
    """Return Alembic's configuration for the ledger that an engine connects to, and the schema to make for it, if any."""
    config = Config(attributes={"engine": engine, "schema": schema})
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    return config


def upgrade(engine: Engine, schema: str | None = None) -> None:
    """Run the migrations that a ledger lacks, all or none of them, while no other process does; `schema` is made first."""
    command.upgrade(configuration(engine, schema), "head")
