"""Alembic's entry: run the migrations on the ledger that :func:`upgrade` was given.

All of them in one transaction, which Python's SQLite driver has to be told to open before it changes tables: a process
that is killed meanwhile leaves nothing half-made, and another that looks sees none of it. On PostgreSQL others wait for an
advisory lock, and find the work done.
"""

from typing import Any

from alembic import context
from sqlalchemy import Connection, Engine, event, func, select
from sqlalchemy.schema import CreateSchema

from payi_instrument.engine.schema import metadata

engine: Engine = context.config.attributes["engine"]
schema: str | None = context.config.attributes["schema"]


def _leave_transactions_to_us(driver_connection: Any, _record: object) -> None:
    driver_connection.isolation_level = None


_BEGIN = {
    "sqlite": "BEGIN IMMEDIATE",
    "postgresql": "SELECT pg_advisory_xact_lock(hashtextextended('payi_instrument migrations', 0))",
}


def _begin(connection: Connection) -> None:
    connection.exec_driver_sql(_BEGIN[connection.dialect.name])
    if schema is not None and connection.scalar(select(func.to_regnamespace(schema))) is None:
        connection.execute(CreateSchema(schema))


if engine.dialect.name == "sqlite":
    event.listen(engine, "connect", _leave_transactions_to_us)
event.listen(engine, "begin", _begin)

with engine.connect() as connection:
    context.configure(connection=connection, target_metadata=metadata, render_as_batch=True, transactional_ddl=True)
    with context.begin_transaction():
        context.run_migrations()
