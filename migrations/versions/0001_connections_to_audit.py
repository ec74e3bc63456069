"""Connections, feeds, records, people, inbox, evaluations, outbox, budgets and the audit log"""

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

TABLES = """
CREATE TABLE connection (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL UNIQUE,
    kind text NOT NULL CHECK (kind IN ('salesforce', 'hubspot')),
    base_url text NOT NULL,
    org_id text,
    org_name text NOT NULL DEFAULT '',
    is_test boolean NOT NULL DEFAULT false,
    time_zone text NOT NULL DEFAULT 'UTC',
    user_id text NOT NULL DEFAULT '',
    state text NOT NULL DEFAULT 'paused'
        CHECK (state IN ('observing', 'active', 'paused', 'needs_sign_in', 'wrong_org')),
    state_reason text NOT NULL DEFAULT '',
    sealed_credentials bytea NOT NULL,
    wait_until timestamptz,
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE feed (
    connection_id bigint NOT NULL REFERENCES connection ON DELETE CASCADE,
    name text NOT NULL,
    cursor jsonb,
    watermark timestamptz,
    next_due timestamptz NOT NULL DEFAULT now(),
    lease_token uuid,
    lease_until timestamptz,
    walking_first boolean NOT NULL DEFAULT false,
    rows_read bigint NOT NULL DEFAULT 0,
    pages_read bigint NOT NULL DEFAULT 0,
    last_problem text NOT NULL DEFAULT '',
    PRIMARY KEY (connection_id, name)
);

CREATE TABLE person (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    created_at timestamptz NOT NULL DEFAULT now(),
    erased_at timestamptz,
    evaluation_number bigint NOT NULL DEFAULT 0,
    evaluated_at timestamptz,
    evaluate_again_at timestamptz,
    arm text NOT NULL DEFAULT ''
);
CREATE INDEX person_evaluate_again_at ON person (evaluate_again_at) WHERE evaluate_again_at IS NOT NULL;

CREATE TABLE record (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    connection_id bigint NOT NULL REFERENCES connection ON DELETE CASCADE,
    object text NOT NULL,
    crm_id text NOT NULL,
    role text NOT NULL,
    stamp timestamptz NOT NULL,
    created_at timestamptz NOT NULL,
    seen_at timestamptz NOT NULL,
    content_hash bytea NOT NULL,
    inputs_hash bytea NOT NULL,
    version_id bigint,
    owner text,
    owner_accepted text,
    own_shown jsonb NOT NULL DEFAULT '{}',
    own_accepted jsonb NOT NULL DEFAULT '{}',
    life text NOT NULL CHECK (life IN ('open', 'converted', 'merged', 'deleted', 'erased')),
    successor text NOT NULL DEFAULT '',
    UNIQUE (connection_id, object, crm_id)
) WITH (fillfactor = 80);

CREATE TABLE record_version (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    record_id bigint NOT NULL REFERENCES record ON DELETE CASCADE,
    valid_from timestamptz NOT NULL,
    known_from timestamptz NOT NULL,
    fields jsonb NOT NULL
);
CREATE INDEX record_version_record ON record_version (record_id, known_from);

CREATE TABLE activity (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    connection_id bigint NOT NULL REFERENCES connection ON DELETE CASCADE,
    object text NOT NULL,
    crm_id text NOT NULL,
    known_from timestamptz NOT NULL,
    stamp timestamptz NOT NULL,
    content_hash bytea NOT NULL,
    life text NOT NULL,
    fields jsonb NOT NULL,
    UNIQUE (connection_id, object, crm_id)
);

CREATE TABLE tie (
    connection_id bigint NOT NULL REFERENCES connection ON DELETE CASCADE,
    object text NOT NULL,
    crm_id text NOT NULL,
    to_object text NOT NULL,
    to_id text NOT NULL,
    PRIMARY KEY (connection_id, object, crm_id, to_object, to_id)
);
CREATE INDEX tie_to ON tie (connection_id, to_object, to_id);

CREATE TABLE identity_key (
    realm text NOT NULL,
    kind text NOT NULL,
    value bytea NOT NULL,
    person_id bigint NOT NULL REFERENCES person ON DELETE CASCADE,
    PRIMARY KEY (realm, kind, value)
);
CREATE INDEX identity_key_person ON identity_key (person_id);

CREATE TABLE record_key (
    record_id bigint NOT NULL REFERENCES record ON DELETE CASCADE,
    realm text NOT NULL,
    kind text NOT NULL,
    value bytea NOT NULL,
    PRIMARY KEY (record_id, kind, value)
);
CREATE INDEX record_key_value ON record_key (realm, kind, value);

CREATE TABLE link (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    record_id bigint NOT NULL REFERENCES record ON DELETE CASCADE,
    person_id bigint NOT NULL REFERENCES person ON DELETE CASCADE,
    evidence text NOT NULL,
    from_at timestamptz NOT NULL,
    to_at timestamptz
);
CREATE UNIQUE INDEX link_open ON link (record_id) WHERE to_at IS NULL;
CREATE INDEX link_person ON link (person_id) WHERE to_at IS NULL;

CREATE TABLE inbox (
    person_id bigint PRIMARY KEY REFERENCES person ON DELETE CASCADE,
    why text NOT NULL,
    priority smallint NOT NULL,
    since timestamptz NOT NULL,
    available_at timestamptz NOT NULL,
    changes bigint NOT NULL DEFAULT 1,
    attempts int NOT NULL DEFAULT 0,
    token uuid,
    claimed_until timestamptz
);
CREATE INDEX inbox_due ON inbox (priority, since);

CREATE TABLE mapping_version (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    connection_id bigint NOT NULL REFERENCES connection ON DELETE CASCADE,
    content text NOT NULL,
    content_hash text NOT NULL,
    author text NOT NULL,
    reason text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    published boolean NOT NULL
);
CREATE UNIQUE INDEX mapping_version_published ON mapping_version (connection_id) WHERE published;

CREATE TABLE policy_version (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    content text NOT NULL,
    content_hash text NOT NULL,
    author text NOT NULL,
    reason text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    published boolean NOT NULL
);
CREATE UNIQUE INDEX policy_version_published ON policy_version ((true)) WHERE published;

CREATE TABLE evaluation (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    person_id bigint NOT NULL REFERENCES person ON DELETE CASCADE,
    number bigint NOT NULL,
    as_of timestamptz NOT NULL,
    why text NOT NULL,
    state text NOT NULL,
    findings jsonb NOT NULL,
    probability double precision,
    score int,
    bucket text CHECK (bucket IN ('A', 'B', 'C', 'D')),
    fit int,
    engagement int,
    reasons jsonb NOT NULL,
    model_version text NOT NULL,
    mapping_versions jsonb NOT NULL,
    policy_version text NOT NULL,
    inputs_hash text NOT NULL,
    desired jsonb NOT NULL,
    desired_reason text,
    data_until timestamptz,
    UNIQUE (person_id, number)
);

CREATE TABLE outbox (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    record_id bigint NOT NULL REFERENCES record ON DELETE CASCADE,
    connection_id bigint NOT NULL REFERENCES connection ON DELETE CASCADE,
    kind text NOT NULL CHECK (kind IN ('fields', 'owner')),
    why text NOT NULL,
    evaluation_id bigint REFERENCES evaluation ON DELETE SET NULL,
    number bigint NOT NULL,
    desired jsonb NOT NULL,
    state text NOT NULL CHECK (state IN
        ('waiting', 'in_flight', 'held', 'delivered', 'superseded', 'closed', 'dead')),
    priority smallint NOT NULL,
    attempts int NOT NULL DEFAULT 0,
    next_try timestamptz NOT NULL,
    token uuid,
    claimed_until timestamptz,
    family text NOT NULL DEFAULT '',
    code text NOT NULL DEFAULT '',
    field text NOT NULL DEFAULT '',
    words text NOT NULL DEFAULT '',
    replay_of bigint REFERENCES outbox ON DELETE SET NULL,
    created_at timestamptz NOT NULL,
    settled_at timestamptz
) WITH (fillfactor = 80);
CREATE UNIQUE INDEX outbox_one_waiting ON outbox (record_id, kind) WHERE state = 'waiting';
CREATE UNIQUE INDEX outbox_one_in_flight ON outbox (record_id, kind) WHERE state = 'in_flight';
CREATE INDEX outbox_due ON outbox (connection_id, priority, next_try) WHERE state = 'waiting';
CREATE INDEX outbox_in_flight ON outbox (connection_id, claimed_until) WHERE state = 'in_flight';
CREATE INDEX outbox_held ON outbox (connection_id) WHERE state IN ('held', 'dead');
CREATE INDEX outbox_record ON outbox (record_id, kind, number);
CREATE INDEX outbox_evaluation ON outbox (evaluation_id);

CREATE TABLE delivery (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    outbox_id bigint NOT NULL REFERENCES outbox ON DELETE CASCADE,
    attempt int NOT NULL,
    at timestamptz NOT NULL,
    call_id text NOT NULL,
    sent jsonb NOT NULL,
    result text NOT NULL
);
CREATE INDEX delivery_outbox ON delivery (outbox_id);

CREATE TABLE repair (
    record_id bigint NOT NULL REFERENCES record ON DELETE CASCADE,
    field text NOT NULL,
    at timestamptz NOT NULL
);
CREATE INDEX repair_record ON repair (record_id, at);

CREATE TABLE crm_user (
    connection_id bigint NOT NULL REFERENCES connection ON DELETE CASCADE,
    crm_id text NOT NULL,
    kind text NOT NULL,
    name text NOT NULL,
    active boolean NOT NULL,
    seen_at timestamptz NOT NULL,
    PRIMARY KEY (connection_id, crm_id)
);

CREATE TABLE budget (
    connection_id bigint NOT NULL REFERENCES connection ON DELETE CASCADE,
    span text NOT NULL,
    allowed bigint NOT NULL,
    taken bigint NOT NULL DEFAULT 0,
    seen_used bigint,
    seen_limit bigint,
    resets_at timestamptz NOT NULL,
    PRIMARY KEY (connection_id, span)
);

CREATE TABLE audit_entry (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    transaction xid8 NOT NULL DEFAULT pg_current_xact_id(),
    at timestamptz NOT NULL,
    actor text NOT NULL,
    kind text NOT NULL,
    subject text NOT NULL,
    digest bytea NOT NULL
);
CREATE INDEX audit_entry_transaction ON audit_entry (transaction, id);
CREATE INDEX audit_entry_subject ON audit_entry (subject, id);

CREATE TABLE audit_payload (
    entry_id bigint PRIMARY KEY,
    salt bytea NOT NULL,
    payload text NOT NULL
);

CREATE TABLE audit_block (
    number bigint PRIMARY KEY,
    from_transaction xid8 NOT NULL,
    to_transaction xid8 NOT NULL UNIQUE,
    entries bigint NOT NULL,
    sealed_at timestamptz NOT NULL,
    root bytea NOT NULL
);

CREATE TABLE tombstone (
    digest bytea PRIMARY KEY,
    at timestamptz NOT NULL
);
"""

APPEND_ONLY = """
CREATE FUNCTION append_only() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION '% is append only', TG_TABLE_NAME; END $$;
CREATE TRIGGER audit_entry_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_entry
    FOR EACH STATEMENT EXECUTE FUNCTION append_only();
CREATE TRIGGER audit_block_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_block
    FOR EACH STATEMENT EXECUTE FUNCTION append_only();
CREATE TRIGGER delivery_append_only BEFORE UPDATE OR TRUNCATE ON delivery
    FOR EACH STATEMENT EXECUTE FUNCTION append_only();
"""

# The application works under a role that cannot rewrite the audit log, whoever owns the database. Roles belong to the
# whole cluster: another crm-sync database, or an admin, may have made it already. An owner who may not grant it leaves
# that to the admin; workers may then sign in as somebody else, who is a member.
ROLE = """
DO $$ BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'crm_sync_app') THEN CREATE ROLE crm_sync_app NOLOGIN; END IF;
EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$;
DO $$ BEGIN
    IF NOT pg_has_role(current_user, 'crm_sync_app', 'MEMBER') THEN GRANT crm_sync_app TO CURRENT_USER; END IF;
EXCEPTION WHEN insufficient_privilege THEN NULL; END $$;
GRANT USAGE ON SCHEMA public TO crm_sync_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO crm_sync_app;
GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO crm_sync_app;
REVOKE UPDATE, DELETE, TRUNCATE ON audit_entry, audit_block FROM crm_sync_app;
"""


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    for block in (TABLES, APPEND_ONLY, ROLE):
        op.execute(block)


def downgrade() -> None:
    raise RuntimeError("crm-sync moves forward only: restore a backup to go back")
