"""Law 18: the chain catches an edit, a deletion in the middle, a cut tail and a re-written chain."""

from __future__ import annotations

import time

import psycopg
import pytest
from sqlalchemy.exc import DBAPIError

from crm_sync.domain.audit import AuditEntry
from crm_sync.domain.keys import Keys
from crm_sync.store import audit
from crm_sync.store.engine import run
from tests.rows import NOW


def an_entry(n=0):
    return AuditEntry(actor="push", kind="fields_delivered", subject=f"record:{n}", payload={"after": {"score": n}})


@pytest.fixture
def outside(transaction, keys):
    """Three sealed blocks of two entries, and their roots as they were written outside."""
    roots = []
    for n in range(3):
        with transaction() as session:
            audit.append(session, [an_entry(n), an_entry(n + 10)], NOW)
        block = sealed(transaction, keys)
        roots.append((block.number, block.root.hex()))
    return roots


@pytest.fixture
def as_owner(database_url):
    """The database's owner, without the triggers that guard the log: an intruder with every right."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("SET session_replication_role = replica")
        yield connection


def sealed(transaction, keys):
    """The next block. A transaction of another test on the same server may still be open below it: then it waits."""
    for _ in range(400):
        with transaction() as session:
            if block := audit.seal(session, keys, NOW):
                return block
        time.sleep(0.02)
    raise AssertionError("nothing was sealed in eight seconds")


def verify(transaction, keys, roots=()):
    with transaction() as session:
        return audit.verify(session, keys, roots)


def test_given_an_untouched_log_when_verified_then_it_is_whole(transaction, keys, outside):
    verdict = verify(transaction, keys, outside)

    assert (verdict.blocks, verdict.entries, verdict.unsealed, verdict.damage) == (3, 6, 0, ())


def test_given_an_edited_entry_when_verified_then_its_block_is_named(transaction, keys, outside, as_owner):
    as_owner.execute("UPDATE audit_entry SET kind = 'nothing_happened' WHERE subject = 'record:1'")

    assert verify(transaction, keys, outside).damage == ("block 2 was changed after it was sealed",)


def test_given_a_deleted_entry_when_verified_then_its_block_is_named(transaction, keys, outside, as_owner):
    as_owner.execute("DELETE FROM audit_entry WHERE subject = 'record:11'")

    assert verify(transaction, keys, outside).damage == ("block 2 holds 1 entries, 2 were sealed",)


def test_given_a_cut_tail_when_verified_then_the_outside_root_tells(transaction, keys, outside, as_owner):
    as_owner.execute("DELETE FROM audit_block WHERE number = 3")
    as_owner.execute("DELETE FROM audit_entry WHERE subject IN ('record:2', 'record:12')")

    assert verify(transaction, keys, outside).damage == ("block 3 is not the one whose root was written outside",)


def test_given_a_chain_written_anew_with_another_key_when_verified_then_it_is_found(
    transaction, keys, outside, as_owner
):
    as_owner.execute("DELETE FROM audit_block")
    with transaction() as session:
        audit.seal(session, Keys("another secret that an intruder made up himself"), NOW)

    assert verify(transaction, keys, outside).damage


def test_given_a_changed_payload_when_verified_then_its_entry_is_named(transaction, keys, outside, as_owner):
    as_owner.execute("UPDATE audit_payload SET payload = '{}' WHERE entry_id = (SELECT min(id) FROM audit_entry)")

    [damage] = verify(transaction, keys, outside).damage
    assert damage.startswith("the payload of entry")


def test_given_a_payload_changed_along_with_its_digest_when_verified_then_its_block_is_named(
    transaction, keys, outside, as_owner
):
    as_owner.execute("UPDATE audit_payload SET payload = '{}' WHERE entry_id = (SELECT min(id) FROM audit_entry)")
    as_owner.execute(
        "UPDATE audit_entry SET digest = sha256(salt || convert_to(payload, 'UTF8')) FROM audit_payload"
        " WHERE entry_id = id"
    )

    assert verify(transaction, keys, outside).damage == ("block 1 was changed after it was sealed",)


def test_given_one_block_sealed_anew_with_the_key_when_verified_then_the_block_on_top_of_it_is_named(
    transaction, keys, outside, as_owner
):
    as_owner.execute("UPDATE audit_entry SET kind = 'nothing_happened' WHERE subject = 'record:0'")
    rest = as_owner.execute("DELETE FROM audit_block WHERE number > 1 RETURNING *").fetchall()
    [(high,)] = as_owner.execute("DELETE FROM audit_block RETURNING to_transaction::text").fetchall()
    with transaction() as session:
        root = keys.audit_root(b"", audit._body(session, 0, int(high))[1])
    as_owner.execute("INSERT INTO audit_block VALUES (1, '0', %s, 2, now(), %s)", [high, root])
    for block in rest:
        as_owner.execute("INSERT INTO audit_block VALUES (%s, %s, %s, %s, %s, %s)", block)

    assert verify(transaction, keys).damage == ("block 2 was changed after it was sealed",)


def test_given_an_erased_payload_when_verified_then_it_is_counted_and_no_damage(transaction, keys, outside):
    with transaction() as session:
        run(session, "DELETE FROM audit_payload WHERE entry_id = (SELECT min(id) FROM audit_entry)")

    verdict = verify(transaction, keys, outside)

    assert (verdict.erased, verdict.damage) == (1, ())


@pytest.mark.parametrize("table", ["audit_entry", "audit_block"])
@pytest.mark.parametrize("statement", ["DELETE FROM {}", "TRUNCATE {} CASCADE", "UPDATE {} SET root = ''"])
def test_given_the_applications_role_when_it_rewrites_the_log_then_the_database_refuses(
    transaction, outside, table, statement
):
    with pytest.raises(DBAPIError), transaction() as session:
        run(session, statement.format(table))


@pytest.mark.parametrize("statement", ["UPDATE audit_entry SET kind = ''", "DELETE FROM audit_entry",
                                       "UPDATE audit_block SET root = ''", "DELETE FROM audit_block",
                                       "UPDATE delivery SET result = ''"])  # fmt: skip
def test_given_the_databases_owner_when_a_plain_statement_rewrites_the_log_then_it_is_refused(
    database_url, outside, statement
):
    with psycopg.connect(database_url) as owner, pytest.raises(psycopg.errors.RaiseException, match="append only"):
        owner.execute(statement)


def test_given_two_equal_entries_when_appended_then_their_digests_tell_nothing_of_their_payload(transaction):
    with transaction() as session:
        audit.append(session, [an_entry(), an_entry()], NOW)

        first, second = audit.everything(session)

    assert first.payload == second.payload
    assert first.digest != second.digest


def test_given_somebody_who_seals_when_another_worker_comes_then_it_leaves_the_block_to_them(transaction, keys):
    with transaction() as session:
        audit.append(session, [an_entry()], NOW)

    with transaction() as sealer:
        run(sealer, "SELECT pg_advisory_xact_lock(:lock)", lock=audit.SEALING)
        with transaction() as session:
            found = audit.seal(session, keys, NOW)

    assert found is None
    assert sealed(transaction, keys).number == 1


def test_given_an_open_transaction_with_an_entry_when_sealed_then_it_waits_for_the_next_block(transaction, keys):
    with transaction() as slow:
        audit.append(slow, [an_entry(1)], NOW)
        with transaction() as session:
            audit.append(session, [an_entry(2)], NOW)
        with transaction() as session:
            early = audit.seal(session, keys, NOW)
    late = sealed(transaction, keys)

    assert early is None
    assert late.entries == 2
    assert verify(transaction, keys).damage == ()
