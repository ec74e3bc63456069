"""What only Salesforce does, against a whole org."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from connectors.salesforce.feeds import FEEDS
from crm_sync.domain.changes import Cursor
from crm_sync.domain.fields import OWN_FIELDS, FieldType, OwnField
from crm_sync.domain.records import Life, RecordBatch, Tie
from crm_sync.domain.writes import Answer, Write
from crm_sync.errors import AuthError, ConfigError, Family
from crm_sync.sandbox.salesforce.web import salesforce_app
from crm_sync.sandbox.tls import certificate_in
from crm_sync.sandbox.web import LiveServer
from tests.connectors.salesforce_world import KNOWN, SalesforceWorld
from tests.connectors.test_contract import scores
from tests.connectors.world import Trouble

NAMED = {feed.name: feed for feed in FEEDS}
LIMITED = {
    "method": "password",
    "username": KNOWN.limited.username,
    "password": KNOWN.limited.password,
    "security_token": KNOWN.limited.token,
}


@pytest.fixture
def org() -> Iterator[SalesforceWorld]:
    world = SalesforceWorld()
    world.clock.freeze()
    yield world
    world.close()


def pull(world: SalesforceWorld, name: str, fields: tuple[str, ...] = (), cursor: Cursor | None = None) -> RecordBatch:
    batch = world.connector.changes_since(NAMED[name], cursor, fields)
    assert not batch.more
    return batch.records


def calls(world: SalesforceWorld, since: int) -> list[str]:
    return [call.operation for call in world.calls(since)]


# Signing in


@pytest.mark.parametrize(
    "credentials",
    [
        pytest.param(LIMITED, id="soap"),
        pytest.param(
            LIMITED | {"consumer_key": KNOWN.consumer_key, "consumer_secret": KNOWN.consumer_secret}, id="oauth"
        ),
    ],
)
def test_a_password_lets_its_own_user_in(org: SalesforceWorld, credentials: dict[str, str]):
    assert org.open(credentials=blank() | credentials).identity().user_id == org.org.limited_id


def blank() -> dict[str, str]:
    """Takes the app of the world's own credentials away."""
    return {"consumer_key": "", "consumer_secret": ""}


def test_a_jwt_lets_its_user_in(org: SalesforceWorld):
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    org.org.act({"do": "register_key", "public_key": public.decode()})
    org.clock.thaw()  # the assertion is dated by this machine

    connector = org.open(
        credentials={"method": "jwt", "username": KNOWN.integration.username, "private_key": pem.decode()}
    )

    assert connector.identity().user_id == org.org.integration_id


def test_the_next_connector_goes_on_with_the_saved_token(org: SalesforceWorld):
    org.connector.server_time()
    before = org.mark()

    org.open(credentials=org.saved[-1]).server_time()

    assert "sign_in" not in [call.operation for call in org.journal.calls if call.number > before]


def test_a_session_not_meant_for_rest_is_an_auth_error_after_one_call(org: SalesforceWorld):
    org.connector.server_time()
    org.org.act({"do": "expire_sessions", "not_for_rest": True})
    before = org.mark()

    with pytest.raises(AuthError):
        pull(org, "Lead")

    assert len([call for call in org.journal.calls if call.number > before]) == 1


def test_an_org_behind_a_private_authority_is_trusted_by_name(org: SalesforceWorld, tmp_path: Path):
    files = certificate_in(tmp_path)
    people = org.add_people(1)

    with LiveServer(salesforce_app(org.org), certificate=files.certificate, key=files.key) as server:
        trusting = org.open(base_url=server.url, credentials={"ca_file": str(files.authority)})
        met = trusting.changes_since(org.people, None, []).records.ids
        with pytest.raises(ConfigError, match="ca_file"):
            org.open(base_url=server.url).server_time()
        trusting.close()

    assert met == people


# Reading


def test_pages_of_any_size_lose_nothing(org: SalesforceWorld):
    people = org.add_people(450)
    org.org.act({"do": "set_page_sizes", "sizes": [200, 7, 130]})

    met, cursor, more = [], None, True
    while more:
        batch = org.connector.changes_since(org.people, cursor, ["Company"])
        met, cursor, more = met + batch.records.ids, batch.next_cursor, batch.more

    assert sorted(met) == sorted(people)
    assert org.connector.read("Lead", people, ["Company"]).ids == people
    assert set(org.connector.read("Lead", people, ["Company"]).lives) == {Life.OPEN}


def test_many_fields_are_asked_for_in_a_body(org: SalesforceWorld):
    names = [f"A_Rather_Long_Custom_Field_Name_{n}__c" for n in range(250)]
    for name in names:
        org.org.act(
            {
                "do": "add_field",
                "object": "Lead",
                "name": name,
                "metadata": {"type": "Text", "label": name, "length": 20},
            }
        )
    org.add_people(3, **{names[249]: "last"})
    org.connector.server_time()
    before = org.mark()

    records = pull(org, "Lead", tuple(names))

    assert [fields[names[249]] for fields in records.fields] == ["last"] * 3
    assert calls(org, before) == ["composite"]


def test_a_parents_field_comes_under_its_dotted_name(org: SalesforceWorld):
    org.add_people(1)

    [fields] = pull(org, "Lead", ("Owner.Name", "ConvertedContact.Email")).fields

    assert fields["Owner.Name"]
    assert fields["ConvertedContact.Email"] is None


def test_activities_know_whose_they_are_also_when_archived(org: SalesforceWorld):
    [lead] = org.add_people(1)
    [account] = org.org.seed("Account", [{"Name": "Acme"}])
    org.org.seed("Task", [{"Subject": "Call", "WhoId": lead}])
    org.org.seed("Task", [{"Subject": "Old", "WhatId": account, "IsArchived": True}])

    records = pull(org, "Task", ("Subject",))

    ties = {fields["Subject"]: ties for fields, ties in zip(records.fields, records.ties, strict=True)}
    assert ties == {"Call": (Tie(object="Lead", id=lead),), "Old": (Tie(object="Account", id=account),)}


def test_an_opportunity_knows_its_account_and_the_contacts_in_its_roles(org: SalesforceWorld):
    [account] = org.org.seed("Account", [{"Name": "Acme"}])
    contacts = org.org.seed("Contact", [{"LastName": n, "AccountId": account} for n in ("One", "Two")])
    [deal] = org.org.seed(
        "Opportunity",
        [{"Name": "Deal", "AccountId": account, "StageName": "Prospecting", "CloseDate": "2026-12-31"}],
    )
    org.org.seed("OpportunityContactRole", [{"OpportunityId": deal, "ContactId": contact} for contact in contacts])

    records = pull(org, "Opportunity", ("StageName",))

    assert records.ids == [deal]
    assert set(records.ties[0]) == {
        Tie(object="Account", id=account),
        *(Tie(object="Contact", id=contact) for contact in contacts),
    }


def test_a_leads_history_is_followed_by_its_creation(org: SalesforceWorld):
    [lead] = org.add_people(1)
    org.org.act({"do": "edit", "object": "Lead", "id": lead, "fields": {"Status": "Working - Contacted"}})

    records = pull(org, "LeadHistory")

    assert ("Status", "Working - Contacted") in [(f["Field"], f["NewValue"]) for f in records.fields]
    assert set(records.ties) == {(Tie(object="Lead", id=lead),)}
    assert records.stamps == records.created


def test_only_queues_that_take_leads_are_owners(org: SalesforceWorld):
    leads, cases = org.org.seed("Group", [{"Name": n, "DeveloperName": n, "Type": "Queue"} for n in ("Leads", "Cases")])
    org.org.seed("Group", [{"Name": "Everybody", "DeveloperName": "Everybody", "Type": "Regular"}])
    org.org.seed("QueueSobject", [{"QueueId": leads, "SobjectType": "Lead"}, {"QueueId": cases, "SobjectType": "Case"}])

    assert pull(org, "Group", ("Name",)).ids == [leads]


def test_an_object_that_is_switched_off_stops_only_its_own_feed(org: SalesforceWorld):
    people = org.add_people(1)
    org.org.act({"do": "set_feature", "object": "Individual", "on": False})

    with pytest.raises(ConfigError, match="Individual"):
        pull(org, "Individual")
    assert pull(org, "Lead").ids == people


def test_a_field_hidden_from_us_is_named(org: SalesforceWorld):
    org.add_people(1)
    org.org.act({"do": "set_field_security", "object": "Lead", "field": "Rating", "read": False})

    with pytest.raises(ConfigError, match="Rating") as error:
        pull(org, "Lead", ("Rating",))

    assert error.value.field == "Rating"


def test_a_lead_that_was_purged_is_told_by_the_list_of_the_deleted(org: SalesforceWorld):
    people = org.add_people(2)
    org.clock.advance(timedelta(minutes=10))
    start = Cursor({"since": (org.now() - timedelta(minutes=5)).isoformat()})
    org.org.act({"do": "delete", "object": "Lead", "id": people[0]})
    org.org.act({"do": "purge", "object": "Lead", "id": people[0]})
    org.clock.advance(timedelta(minutes=5))

    assert people[0] not in pull(org, "Lead", cursor=start).ids
    removed = pull(org, "Lead:archived", cursor=start)
    assert (removed.ids, removed.lives) == ([people[0]], [Life.DELETED])
    assert org.connector.read("Lead", [people[0]], []).lives == [Life.DELETED]


def test_an_undeleted_lead_comes_back(org: SalesforceWorld):
    [person] = org.add_people(1)
    org.delete(person)
    deleted = pull(org, "Lead").lives
    org.org.act({"do": "undelete", "object": "Lead", "id": person})

    assert (deleted, pull(org, "Lead").lives) == ([Life.DELETED], [Life.OPEN])


# Writing


def test_a_score_never_moves_a_lead_to_another_owner(org: SalesforceWorld):
    """The active assignment rule of the org gives every saved lead to the admin."""
    people = org.add_people(300, OwnerId=org.org.limited_id)
    org.install()
    org.org.act({"do": "set_assignment_rule", "active": True, "default_owner": org.org.admin_id})

    outcomes = org.connector.write(scores(org, people))

    assert {outcome.answer for outcome in outcomes} == {Answer.ACCEPTED}
    assert {org.value(id, "OwnerId") for id in people} == {org.org.limited_id}


def test_an_alerting_duplicate_rule_gives_way(org: SalesforceWorld):
    people = org.add_people(2, Email="same@example.com")
    org.install()
    org.org.act({"do": "define_duplicate_rule", "object": "Lead", "field": "Email"})

    outcomes = org.connector.write(scores(org, people))

    assert {outcome.answer for outcome in outcomes} == {Answer.ACCEPTED}


def test_a_converted_lead_is_gone_and_the_others_are_written(org: SalesforceWorld):
    people = org.add_people(3)
    org.install()
    org.convert(people[1])

    outcomes = org.connector.write(scores(org, people))

    assert [outcome.answer for outcome in outcomes] == [Answer.ACCEPTED, Answer.REFUSED, Answer.ACCEPTED]
    assert (outcomes[1].family, outcomes[1].code) == (Family.GONE, "CANNOT_UPDATE_CONVERTED_LEAD")


def test_leads_and_contacts_are_written_together(org: SalesforceWorld):
    [lead] = org.add_people(1)
    [contact] = org.org.seed("Contact", [{"LastName": "Two"}])
    org.install()
    assert all(check.passed for check in org.connector.install_fields("Contact", OWN_FIELDS))
    before = org.mark()

    outcomes = org.connector.write(
        [*scores(org, [lead]), Write(key="c", object="Contact", record_id=contact, fields={org.own("score"): 5})]
    )

    assert [outcome.answer for outcome in outcomes] == [Answer.ACCEPTED] * 2
    assert calls(org, before) == ["composite"]


def test_given_a_field_hidden_after_planning_when_written_then_the_other_writes_go_on(org: SalesforceWorld):
    people = org.add_people(3)
    org.install()
    org.org.act({"do": "drop_field", "object": "Lead", "field": org.own("fit")})
    writes = scores(org, people)
    writes[1] = replace(writes[1], fields={org.own("fit"): 3})

    outcomes = org.connector.write(writes)

    assert [outcome.answer for outcome in outcomes] == [Answer.ACCEPTED, Answer.REFUSED, Answer.ACCEPTED]
    assert (outcomes[1].family, outcomes[1].field) == (Family.CONFIG, org.own("fit"))


def test_a_bucket_that_the_picklist_lacks_is_a_setting_to_mend(org: SalesforceWorld):
    [person] = org.add_people(1)
    org.install()

    [outcome] = org.connector.write(
        [Write(key="1", object="Lead", record_id=person, fields={org.own("bucket"): "Lukewarm"})]
    )

    assert (outcome.answer, outcome.family, outcome.field) == (Answer.REFUSED, Family.CONFIG, org.own("bucket"))
    assert "Lukewarm" not in outcome.message


def test_given_a_lost_answer_in_a_later_call_when_written_then_only_that_call_is_unknown(org: SalesforceWorld):
    people = org.add_people(2100)
    org.install()
    first = scores(org, people)
    org.connector.write(first[:1000])
    org.trouble(Trouble.LOST_ANSWER, path=org.write_path())

    answers = [outcome.answer for outcome in org.connector.write(first[1000:])]

    assert answers == [Answer.UNKNOWN] * 1000 + [Answer.NOT_SENT] * 100


# Fields and permissions


def test_a_user_who_may_not_change_the_set_up_is_told_what_to_do(org: SalesforceWorld):
    connector = org.open(credentials=blank() | LIMITED)

    checks = connector.install_fields("Lead", OWN_FIELDS)

    assert [check.passed for check in checks] == [False] * len(OWN_FIELDS)
    assert all("admin" in check.advice for check in checks)


def test_objects_hidden_from_the_user_are_checks_that_fail(org: SalesforceWorld):
    checks = {check.name: check for check in org.open(credentials=blank() | LIMITED).permissions()}

    assert not checks["Opportunity"].passed
    assert checks["Opportunity"].advice
    assert checks["Account"].passed


def test_a_field_of_another_shape_is_left_as_it_is_and_reported(org: SalesforceWorld):
    org.org.act(
        {
            "do": "add_field",
            "object": "Lead",
            "name": "CrmSync_State__c",
            "metadata": {"type": "Text", "label": "State", "length": 10},
        }
    )

    checks = {check.name: check for check in org.connector.install_fields("Lead", OWN_FIELDS)}

    state = checks["Lead.CrmSync_State__c"]
    assert (state.passed, state.found) == (False, "differs")
    assert "a length of 40" in state.advice
    assert sum(check.passed for check in checks.values()) == len(OWN_FIELDS) - 1
    assert org.connector.catalogue("Lead")["CrmSync_State__c"].length == 10


def test_a_field_that_stands_hidden_is_granted_and_not_made_again(org: SalesforceWorld):
    metadata = {"type": "Number", "label": "Score", "precision": 3, "scale": 0}
    org.org.act(
        {"do": "add_field", "object": "Lead", "name": "CrmSync_Score__c", "metadata": metadata, "visible": False}
    )
    score = [field for field in OWN_FIELDS if field.name == "score"]

    [check] = org.connector.install_fields("Lead", score)

    assert (check.passed, check.found) == (True, "exists")
    assert org.connector.catalogue("Lead")["CrmSync_Score__c"].writable


def test_only_our_own_fields_are_removed(org: SalesforceWorld):
    metadata = {"type": "Number", "label": "Theirs", "precision": 3, "scale": 0}
    org.org.act({"do": "add_field", "object": "Lead", "name": "Score__c", "metadata": metadata})
    org.install()

    org.connector.remove_fields("Lead", OWN_FIELDS)

    assert "Score__c" in org.connector.catalogue("Lead")
    assert not any(name.startswith("CrmSync_") for name in org.connector.catalogue("Lead"))


def test_a_second_installation_is_one_call(org: SalesforceWorld):
    org.install()
    before = org.mark()

    org.install()

    assert calls(org, before) == ["describe"]


def test_an_object_that_is_not_there_is_named(org: SalesforceWorld):
    with pytest.raises(ConfigError, match="NoSuch__c"):
        org.connector.catalogue("NoSuch__c")


def test_a_long_text_of_ours_keeps_its_type(org: SalesforceWorld):
    detail = OwnField(name="reasons_detail", label="d", type=FieldType.LONG_TEXT, length=32768, help="h")

    org.connector.install_fields("Lead", [detail])

    assert org.connector.catalogue("Lead")["CrmSync_ReasonsDetail__c"].length == 32768
