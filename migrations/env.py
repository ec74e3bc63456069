"""Hands Alembic the URL that the caller put into its config, and runs the migrations in one transaction each."""

from alembic import context
from sqlalchemy import create_engine

from sqlmodel import SQLModel

config = context.config


def run() -> None:
    connection = config.attributes.get("connection")
    if connection is not None:
        context.configure(connection=connection, target_metadata=SQLModel.metadata, compare_type=True)
        with context.begin_transaction():
            context.run_migrations()
        return
    engine = create_engine(config.get_main_option("sqlalchemy.url"))
    with engine.connect() as own:
        context.configure(connection=own, target_metadata=SQLModel.metadata, compare_type=True)
        with context.begin_transaction():
            context.run_migrations()


run()
