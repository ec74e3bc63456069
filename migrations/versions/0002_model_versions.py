"""Model versions, and who put which in use when"""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

TABLES = """
CREATE TABLE model_version (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL UNIQUE CHECK (length(name) <= 40),
    manifest jsonb NOT NULL,
    author text NOT NULL,
    created_at timestamptz NOT NULL,
    champion boolean NOT NULL DEFAULT false
);
CREATE UNIQUE INDEX model_version_champion ON model_version ((true)) WHERE champion;

CREATE TABLE promotion (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind text NOT NULL CHECK (kind IN ('promoted', 'rolled_back')),
    version_id bigint REFERENCES model_version,
    before_id bigint REFERENCES model_version,
    author text NOT NULL,
    reason text NOT NULL,
    at timestamptz NOT NULL
);

GRANT SELECT, INSERT, UPDATE ON model_version TO crm_sync_app;
GRANT SELECT, INSERT ON promotion TO crm_sync_app;
GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO crm_sync_app;
"""


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute(TABLES)


def downgrade() -> None:
    raise RuntimeError("crm-sync moves forward only: restore a backup to go back")
