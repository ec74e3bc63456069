"""Pools with their turns, assignments, and requests to route a lead again"""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

TABLES = """
CREATE TABLE pool (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    connection_id bigint NOT NULL REFERENCES connection ON DELETE CASCADE,
    name text NOT NULL,
    UNIQUE (connection_id, name)
);

CREATE TABLE pool_member (
    pool_id bigint NOT NULL REFERENCES pool ON DELETE CASCADE,
    member text NOT NULL,
    turn bigint NOT NULL DEFAULT 0,
    day date,
    taken_today int NOT NULL DEFAULT 0 CHECK (taken_today >= 0),
    taken bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (pool_id, member)
);

CREATE TABLE assignment (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    record_id bigint NOT NULL REFERENCES record ON DELETE CASCADE,
    connection_id bigint NOT NULL REFERENCES connection ON DELETE CASCADE,
    evaluation_id bigint REFERENCES evaluation ON DELETE SET NULL,
    number bigint NOT NULL,
    at timestamptz NOT NULL,
    why text NOT NULL CHECK (why IN ('first', 'owner_left', 'reroute')),
    rule text NOT NULL,
    policy_version text NOT NULL,
    pool_id bigint REFERENCES pool ON DELETE SET NULL,
    member text NOT NULL DEFAULT '',
    day date NOT NULL,
    owner_before text,
    owner text NOT NULL,
    skipped jsonb NOT NULL,
    turns_before jsonb NOT NULL,
    turns_after jsonb NOT NULL,
    state text NOT NULL CHECK (state IN ('taken', 'accepted', 'gave_way', 'refused', 'dropped')),
    settled_at timestamptz
);
CREATE INDEX assignment_record ON assignment (record_id, id);
CREATE UNIQUE INDEX assignment_one_taken ON assignment (record_id) WHERE state = 'taken';
CREATE INDEX assignment_owner ON assignment (connection_id, owner) WHERE state IN ('taken', 'accepted', 'refused');

CREATE TABLE reroute (
    record_id bigint PRIMARY KEY REFERENCES record ON DELETE CASCADE,
    at timestamptz NOT NULL,
    actor text NOT NULL,
    reason text NOT NULL
);

CREATE INDEX outbox_owner ON outbox (record_id, id) WHERE kind = 'owner';
CREATE INDEX record_owner ON record (connection_id, owner) WHERE life = 'open';
"""

ROLE = """
GRANT SELECT, INSERT, UPDATE, DELETE ON pool, pool_member, assignment, reroute TO crm_sync_app;
GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO crm_sync_app;
"""


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    for block in (TABLES, ROLE):
        op.execute(block)


def downgrade() -> None:
    raise RuntimeError("crm-sync moves forward only: restore a backup to go back")
