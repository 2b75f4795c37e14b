"""The statements that make a new ledger in memory; files go through the migrations, a test holds the two together."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from sqlalchemy.schema import CreateIndex, CreateTable

from payi_instrument.engine import schema

if TYPE_CHECKING:
    from sqlalchemy import Dialect


@cache
def creation_statements(kind: type[Dialect], revision: str) -> tuple[str, ...]:
    """Return the statements that make a new ledger of this revision."""
    dialect = kind()
    statements = [str(CreateTable(table).compile(dialect=dialect)) for table in schema.metadata.sorted_tables]
    for table in schema.metadata.sorted_tables:
        statements += [str(CreateIndex(index).compile(dialect=dialect)) for index in table.indexes]
    statements.append("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL PRIMARY KEY)")
    statements.append(f"INSERT INTO alembic_version (version_num) VALUES ('{revision}')")  # noqa: S608  # our constant
    return tuple(statements)
