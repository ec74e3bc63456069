"""Which policy was in force when a model version was promoted: going back needs its bucket edges"""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("ALTER TABLE promotion ADD COLUMN policy_before_id bigint REFERENCES policy_version")


def downgrade() -> None:
    raise RuntimeError("crm-sync moves forward only: restore a backup to go back")
