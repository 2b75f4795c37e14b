"""Alembic's entry: run the migrations on the ledger that :func:`upgrade` was given.

All of them in one transaction, which Python's SQLite driver has to be told to open before it changes tables: a process
that is killed meanwhile leaves nothing half-made, and another that looks sees none of it.
"""

from typing import Any

from alembic import context
from sqlalchemy import Connection, create_engine, event, pool

from payi_instrument.engine.schema import metadata

engine = create_engine(context.config.attributes["url"], poolclass=pool.NullPool)


def _leave_transactions_to_us(driver_connection: Any, _record: object) -> None:
    driver_connection.isolation_level = None


def _begin(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")


if engine.dialect.name == "sqlite":
    event.listen(engine, "connect", _leave_transactions_to_us)
    event.listen(engine, "begin", _begin)

with engine.connect() as connection:
    context.configure(connection=connection, target_metadata=metadata, render_as_batch=True, transactional_ddl=True)
    with context.begin_transaction():
        context.run_migrations()
