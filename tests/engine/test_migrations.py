"""One schema: what the migrations make, what a ledger in memory has, and what the statements expect."""

from __future__ import annotations

import subprocess
import sys
from contextlib import closing
from typing import TYPE_CHECKING

import postgres
import psycopg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import URL, create_engine
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateTable

from payi_instrument.client.client import Payi
from payi_instrument.engine import schema
from payi_instrument.engine.ledger import REVISION, EventRow
from payi_instrument.engine.migrations import configuration
from payi_instrument.engine.store_core.creation import creation_statements
from payi_instrument.engine.store_postgres import PostgresStore
from payi_instrument.engine.store_sqlite import SqliteStore

if TYPE_CHECKING:
    import sqlite3
    from pathlib import Path

Shape = dict[str, object]


def shape(connection: sqlite3.Connection) -> Shape:
    """Return tables (strict or not) with their columns, and every index with its columns and whether it is unique."""
    tables = [row for row in connection.execute("PRAGMA table_list") if not row[1].startswith("sqlite_")]
    shape: Shape = {}
    for _, table, kind, _, without_rowid, strict in tables:
        columns = connection.execute(f"PRAGMA table_info('{table}')").fetchall()
        indexes = connection.execute(f"PRAGMA index_list('{table}')").fetchall()
        shape[table] = (kind, without_rowid, strict, columns)
        for _, index, unique, origin, partial in indexes:
            key = index if origin == "c" else (table, origin)
            names = tuple(row[2] for row in connection.execute(f"PRAGMA index_info('{index}')"))
            shape[f"{key} {names}"] = (unique, partial)
    return shape


def test_a_ledger_in_memory_has_the_schema_of_a_migrated_file(tmp_path: Path) -> None:
    with closing(SqliteStore(None)) as memory, closing(SqliteStore(str(tmp_path / "l.db"))) as file:
        expected, made = shape(file.connection), shape(memory.connection)
        versions = [
            store.connection.execute("SELECT version_num FROM alembic_version").fetchall() for store in (file, memory)
        ]
    assert {"events", "limits", "resource_versions", "alembic_version"} <= made.keys()
    assert made == expected
    assert versions == [[(REVISION,)], [(REVISION,)]]


def test_every_table_of_ours_is_strict() -> None:
    with closing(SqliteStore(None)) as memory:
        tables = {row[1]: row[5] for row in memory.connection.execute("PRAGMA table_list")}

    assert {table: tables[table] for table in ("events", "limits", "resource_versions")} == dict.fromkeys(
        ("events", "limits", "resource_versions"), 1
    )


def test_the_metadata_is_what_the_migrations_make(tmp_path: Path) -> None:
    SqliteStore(str(tmp_path / "l.db")).close()
    engine = create_engine(URL.create("sqlite", database=str(tmp_path / "l.db")))
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), schema.metadata) == []
    engine.dispose()


def test_head_is_the_newest_migration() -> None:
    scripts = ScriptDirectory.from_config(configuration(URL.create("sqlite")))

    assert scripts.get_heads() == [REVISION]
    assert [revision.revision for revision in scripts.walk_revisions()] == [REVISION, "0002", "0001"]


def test_an_event_row_names_the_columns_of_its_table() -> None:
    assert set(EventRow._fields) == {column.name for column in schema.events.columns}


@pytest.mark.parametrize(("table", "amounts"), [("events", 2), ("limits", 4), ("resource_versions", 0)])
def test_money_is_numeric_on_postgresql(table: str, amounts: int) -> None:
    text = str(CreateTable(schema.metadata.tables[table]).compile(dialect=postgresql.dialect()))  # type: ignore[no-untyped-call]

    assert text.count("NUMERIC(38, 12)") == amounts


COLUMNS = (
    "SELECT table_name, column_name, data_type, is_nullable, column_default, collation_name,"
    " numeric_precision, numeric_scale FROM information_schema.columns"
    " WHERE table_schema = 'payi' AND table_name <> 'alembic_version' ORDER BY 1, 2"
)
INDEXES = "SELECT indexdef FROM pg_indexes WHERE schemaname = 'payi' AND tablename <> 'alembic_version' ORDER BY 1"


def test_on_postgresql_the_migrations_make_the_metadata_and_text_compares_by_code_point() -> None:
    migrated, made = postgres.new_database("migrated"), postgres.new_database("made")
    PostgresStore(migrated).close()
    with psycopg.connect(migrated) as old, psycopg.connect(made) as new:
        new.execute("CREATE SCHEMA payi")
        new.execute("SET search_path = payi")
        for statement in creation_statements(postgresql.dialect, REVISION):
            new.execute(statement.encode())
        columns = new.execute(COLUMNS).fetchall()

        assert old.execute(COLUMNS).fetchall() == columns
        assert old.execute(INDEXES).fetchall() == new.execute(INDEXES).fetchall()
        assert {collation for *_, kind, _, _, collation, _, _ in columns if kind == "text"} == {"C"}


KILLED = """
import os, sys
import alembic.op
from payi_instrument.client.client import Payi
alembic.op.create_index = lambda *_: os.kill(os.getpid(), 9)
Payi(base_url="sqlite:///" + sys.argv[1])
"""


def test_a_process_that_is_killed_in_a_migration_leaves_nothing_half_made(tmp_path: Path) -> None:
    """The first migration makes its tables one by one and an index between them."""
    path = tmp_path / "l.db"
    killed = subprocess.run([sys.executable, "-c", KILLED, str(path)], check=False, timeout=60)
    assert killed.returncode == -9
    assert path.exists()

    with closing(Payi(base_url=f"sqlite:///{path}")) as client:
        assert client.limits.list().items == []


def test_a_migrated_ledger_is_opened_without_alembic(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/l.db"
    Payi(base_url=url).close()
    program = (
        "import sys; from payi_instrument.client.client import Payi\n"
        f"Payi(base_url={url!r}).ingest.units(category='demo', units={{}})\n"
        "print([name for name in ('alembic', 'sqlalchemy') if name in sys.modules])"
    )
    shown = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)

    assert shown.stdout.strip() == "[]"
