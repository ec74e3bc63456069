"""Is a population believable, repeatable, and neither hopeless nor trivial to learn from?"""

from __future__ import annotations

import time
from collections import Counter
from datetime import UTC, datetime, timedelta

import numpy as np
import orjson
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from crm_sync.sandbox.population import Population, populate

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
FREE_MAIL = ("gmail.com", "outlook.com", "yahoo.com", "gmx.de", "proton.me", "icloud.com", "orange.fr", "web.de")


@pytest.fixture(scope="module")
def population() -> Population:
    return populate(seed=7, people=5600, activities=42_000, now=NOW)


def bytes_of(population: Population) -> bytes:
    associations = {" ".join(k): v for k, v in population.associations.items()}
    return orjson.dumps([population.salesforce, population.hubspot, associations, population.summary])


def test_given_the_same_seed_when_populated_twice_then_the_bytes_are_the_same():
    first = populate(seed=3, people=300, activities=1500, now=NOW)
    second = populate(seed=3, people=300, activities=1500, now=NOW)
    other = populate(seed=4, people=300, activities=1500, now=NOW)

    assert bytes_of(first) == bytes_of(second)
    assert bytes_of(first) != bytes_of(other)


def test_a_population_of_demo_size_is_drawn_quickly_and_holds_what_was_asked():
    started = time.process_time()

    population = populate(seed=1, people=5600, activities=42_000, now=NOW)

    assert time.process_time() - started < 6
    salesforce, hubspot = population.salesforce, population.hubspot
    logged = sum(len(salesforce[o]) for o in ("Task", "Event", "CampaignMember"))
    logged += sum(len(hubspot[t]) for t in ("emails", "calls", "meetings", "notes", "tasks"))
    assert logged == 42_000
    assert 0.2 < population.summary["people_in_both"] / 5600 < 0.3


def test_given_salesforce_alone_when_populated_then_everybody_is_a_lead_there():
    alone = populate(seed=7, people=500, activities=900, now=NOW, crms=("salesforce",))

    assert alone.hubspot == {}
    assert len(alone.salesforce["Lead"]) >= 500


def test_every_reference_points_to_a_row_that_is_seeded_before_it(population):
    known: set[str] = set()

    for object, rows in population.salesforce.items():
        known |= {r["Id"] for r in rows if "Id" in r}
        for row in rows:
            for field, value in row.items():
                if value and (field.endswith("Id") and field != "Id"):
                    assert value in known, (object, field, value)

    numbers = {r["id"] for rows in population.hubspot.values() for r in rows}
    for pairs in population.associations.values():
        assert {n for pair in pairs for n in pair} <= numbers


def test_ids_are_unique_and_salesforce_ids_carry_the_right_check_letters(population):
    ids = [r["Id"] for rows in population.salesforce.values() for r in rows if "Id" in r]
    numbers = [r["id"] for rows in population.hubspot.values() for r in rows]

    assert len(ids) == len(set(ids))
    assert len(numbers) == len(set(numbers))
    assert {len(i) for i in ids} == {18}
    # 00QPL: Q, P and L are capitals, places 2 to 4, hence 4 + 8 + 16 = 28, the 29th of A-Z0-5.
    assert population.salesforce["Lead"][0]["Id"] == "00QPL00000000012AA"


def test_nothing_is_stamped_in_the_future_and_nothing_modified_before_it_was_created(population):
    for rows in population.salesforce.values():
        for row in rows:
            created = row.get("CreatedDate", NOW)
            assert created <= NOW
            assert created <= row.get("LastModifiedDate", NOW) <= row.get("SystemModstamp", NOW) <= NOW
    for type, rows in population.hubspot.items():
        for row in rows if type != "owners" else ():
            assert row["created"] <= row.get("modified", NOW) <= NOW


def test_no_activity_is_known_before_it_happened(population):
    for row in population.salesforce["Event"]:
        assert row["CreatedDate"] >= row["StartDateTime"]
    for type in ("emails", "calls", "meetings", "notes", "tasks"):
        for row in population.hubspot[type]:
            happened = datetime.fromisoformat(row["properties"]["hs_timestamp"])
            assert row["created"] >= happened - timedelta(seconds=1)


def test_people_are_as_untidy_as_in_a_real_org(population):
    leads, contacts = population.salesforce["Lead"], population.hubspot["contacts"]

    countries = Counter(r["Country"] for r in leads)
    assert {"Germany", "DE", "germany ", "Deutschland", None} <= set(countries)
    hosts = Counter((r["Email"] or "").rpartition("@")[2].lower() for r in leads)
    assert 0.08 < sum(hosts[h] for h in FREE_MAIL) / len(leads) < 0.2
    assert hosts["mailinator.com"]
    assert sum((r["Email"] or "").startswith("info@") for r in leads) > 5
    assert 0.02 < sum(r["Email"] is None for r in leads) / len(leads) < 0.09
    assert any(r["LastName"] == "asdf" for r in leads)
    assert any("🚀" in (r["Title"] or "") for r in leads)
    assert any("佐藤" in r["LastName"] for r in leads)
    assert any(len(r["Title"] or "") > 90 for r in leads)
    assert not any("\x00" in str(value) for r in leads for value in r.values())
    titles = {r["properties"].get("jobtitle") for r in contacts}
    assert {"VP Eng", "vp, engineering", "Head of IT"} <= titles


def test_one_lead_or_contact_in_25_was_entered_twice(population):
    leads = population.salesforce["Lead"]
    phones = Counter((r["Phone"], r["LastName"].lower()) for r in leads if r["Phone"])

    twice = sum(n > 1 for n in phones.values()) / len(leads)

    assert 0.008 < twice < 0.04  # the twins that kept their telephone number
    assert len({r["properties"]["email"] for r in population.hubspot["contacts"] if "email" in r["properties"]}) == sum(
        "email" in r["properties"] for r in population.hubspot["contacts"]
    )


def test_a_quarter_of_the_people_are_in_both_crms_and_most_of_those_carry_the_crms_own_link(population):
    contacts = population.hubspot["contacts"]
    leads = {r["Id"]: r for r in population.salesforce["Lead"]}
    linked = [r["properties"] for r in contacts if "salesforceleadid" in r["properties"]]

    assert 0.4 < len(linked) / population.summary["people_in_both"] < 0.7
    shared = [p for p in linked if p.get("email") and leads[p["salesforceleadid"]]["Email"]]
    assert all(p["email"] == leads[p["salesforceleadid"]]["Email"].lower() for p in shared)


def test_some_people_refused_something_and_a_few_of_them_lately(population):
    leads, individuals = population.salesforce["Lead"], population.salesforce["Individual"]
    recent = NOW - timedelta(days=3)

    for flag in ("HasOptedOutTracking", "HasOptedOutProfiling", "HasOptedOutProcessing", "ShouldForget"):
        assert sum(r[flag] for r in individuals) > 3, flag
    assert any(r["LastModifiedDate"] > recent for r in individuals if r["HasOptedOutTracking"])
    assert 0.03 < sum(r["HasOptedOutOfEmail"] for r in leads) / len(leads) < 0.12
    contacts = [r["properties"] for r in population.hubspot["contacts"]]
    assert 0.03 < sum(p.get("hs_email_optout") == "true" for p in contacts) / len(contacts) < 0.12
    assert 0.1 < sum("hs_legal_basis" in p for p in contacts) / len(contacts) < 0.35


def test_conversions_come_at_a_believable_rate_with_a_long_tailed_delay(population):
    summary = population.summary
    leads = population.salesforce["Lead"]

    assert 0.09 < summary["conversion_rate"] < 0.16
    assert 14 < summary["days_to_conversion"]["50"] < 28
    assert summary["days_to_conversion"]["95"] > 5 * summary["days_to_conversion"]["50"]
    assert 0.25 < summary["win_rate"] < 0.55
    converted = [r for r in leads if r["IsConverted"]]
    assert all(r["ConvertedContactId"] and r["ConvertedAccountId"] for r in converted)
    assert 0.05 < sum(r["ConvertedOpportunityId"] is None for r in converted) / len(converted) < 0.3
    # The trap: a status and a rating that were set together with the outcome.
    assert sum(r["Rating"] == "Hot" for r in converted) / len(converted) > 0.4


def test_an_honest_model_of_early_activities_does_well_but_not_too_well(population):
    leads = [r for r in population.salesforce["Lead"] if r["CreatedDate"] < NOW - timedelta(days=130)]
    logged: dict[str, list[tuple[datetime, str]]] = {}
    for object in ("Task", "Event", "CampaignMember"):
        for row in population.salesforce[object]:
            kind = f"{object} {row.get('CallType', '')} {str(row.get('Subject', '')).startswith('Email: Re')}"
            who = row.get("WhoId") or row.get("LeadId") or row.get("ContactId")
            logged.setdefault(who, []).append((row["CreatedDate"], kind))
    kinds = sorted({kind for entries in logged.values() for _, kind in entries})
    sources = sorted({r["LeadSource"] or "" for r in leads})
    rows, labels = [], []
    converted_at = {
        r["LeadId"]: r["CreatedDate"] for r in population.salesforce["LeadHistory"] if r["Field"] == "leadConverted"
    }

    for lead in leads:
        seen = lead["CreatedDate"] + timedelta(days=14)
        converted = converted_at.get(lead["Id"])
        if converted and converted < seen:
            continue
        entries = [
            e
            for w in (lead["Id"], lead["ConvertedContactId"] if lead["IsConverted"] else None)
            if w
            for e in logged.get(w, [])
        ]
        known = [(at, kind) for at, kind in entries if at < seen]
        counts = Counter(kind for _, kind in known)
        week = sum(at > seen - timedelta(days=7) for at, _ in known)
        title = (lead["Title"] or "").lower()
        rows.append(
            [np.log1p(counts[k]) for k in kinds]
            + [np.log1p(week)]
            + [float((lead["LeadSource"] or "") == s) for s in sources]
            + [float(word in title) for word in ("vp", "head", "director", "manager", "student", "chief", "c")]
            + [float(lead["Industry"] == i) for i in ("Software", "Manufacturing", "Logistics", "Education", "Retail")]
        )
        labels.append(converted is not None and converted < seen + timedelta(days=90))
    features, label = np.asarray(rows), np.asarray(labels)
    half = np.arange(len(label)) % 2 == 0
    model = LogisticRegression(C=0.1, max_iter=2000).fit(features[half], label[half])
    auc = roc_auc_score(label[~half], model.predict_proba(features[~half])[:, 1])

    assert 0.70 < auc < 0.88
