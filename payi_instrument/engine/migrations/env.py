"""Alembic's entry: run the migrations on the ledger that :func:`upgrade` was given."""

from alembic import context
from sqlalchemy import create_engine, pool

from payi_instrument.engine.schema import metadata

engine = create_engine(context.config.attributes["url"], poolclass=pool.NullPool)
with engine.connect() as connection:
    context.configure(connection=connection, target_metadata=metadata, render_as_batch=True)
    with context.begin_transaction():
        context.run_migrations()
