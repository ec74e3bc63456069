"""Runs the migrations on the connection that the caller opened, in the caller's transaction.

The migrations are plain SQL and are the one definition of the schema: there is no metadata to compare them with.
"""

from alembic import context

context.configure(connection=context.config.attributes["connection"])
with context.begin_transaction():
    context.run_migrations()
