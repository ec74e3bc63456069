"""The schema's revisions are read from the names of the migrations, without Alembic."""

from __future__ import annotations

from alembic.config import Config
from alembic.script import ScriptDirectory

from crm_sync.store import schema


def test_given_the_migrations_when_their_names_are_read_then_they_are_the_chain_that_alembic_walks() -> None:
    config = Config()
    config.set_main_option("script_location", str(schema.FOLDER))

    walked = [script.revision for script in ScriptDirectory.from_config(config).walk_revisions()]

    assert schema.revisions() == walked[::-1]
