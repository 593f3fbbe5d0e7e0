"""Alembic's entry: applies the steps on the connection that `opening` gives, in its transaction."""

from alembic import context

from pipeline.annotations.schema import METADATA

context.configure(connection=context.config.attributes["connection"], target_metadata=METADATA)
with context.begin_transaction():
    context.run_migrations()
