"""Bring an older ledger up to date. Imported only when a ledger's revision is behind (design decision 10)."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config


def upgrade(url: str) -> None:
    """Run the migrations that a ledger lacks; `url` is SQLAlchemy's spelling of where it is."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    config.attributes["url"] = url
    command.upgrade(config, "head")
