"""Bring an older ledger up to date. Imported only when a ledger's revision is behind (design decision 10)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from alembic import command
from alembic.config import Config

if TYPE_CHECKING:
    from sqlalchemy import URL


def configuration(url: URL) -> Config:
    """Return Alembic's configuration for the ledger at `url`."""
    config = Config(attributes={"url": url})
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    return config


def upgrade(url: URL) -> None:
    """Run the migrations that a ledger lacks, all or none of them."""
    command.upgrade(configuration(url), "head")
