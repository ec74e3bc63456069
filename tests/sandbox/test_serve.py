"""Does a served sandbox let clients in, obey its control routes, and end when it should?"""

from __future__ import annotations

import json
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests
from hubspot import HubSpot
from simple_salesforce import Salesforce

from crm_sync.sandbox.client import SandboxClient, SandboxRefusal
from crm_sync.sandbox.serve import Options, Sandbox, running

ROOT = Path(__file__).resolve().parents[2]
COMMAND = [sys.executable, "-m", "crm_sync.sandbox"]
FREE_PORTS = ["--salesforce-port", "0", "--hubspot-port", "0"]
CRMS = ("salesforce", "hubspot")


@pytest.fixture
def sandbox() -> Sandbox:
    return Sandbox(seed=1)


@pytest.fixture
def connection(sandbox: Sandbox) -> Iterator[dict[str, Any]]:
    with running(sandbox, Options()) as found:
        yield found


@pytest.fixture(params=CRMS)
def client(connection: dict[str, Any], request: pytest.FixtureRequest) -> Iterator[SandboxClient]:
    with SandboxClient(connection[request.param]["url"]) as found:
        yield found


@pytest.fixture(scope="module")
def lasting() -> Iterator[dict[str, Any]]:
    """One sandbox for all tests that only hear it say no."""
    with running(Sandbox(), Options()) as found:
        yield found


@pytest.fixture(params=CRMS)
def refusing(lasting: dict[str, Any], request: pytest.FixtureRequest) -> Iterator[SandboxClient]:
    with SandboxClient(lasting[request.param]["url"]) as found:
        yield found


Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts the sandbox command; whatever a test leaves running is ended with it."""
    processes: list[subprocess.Popen[str]] = []

    def run(*arguments: str, **options: Any) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [*COMMAND, *arguments], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options
        )
        processes.append(process)
        return process

    yield run
    for process in processes:
        if process.poll() is None:
            process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()


def ready(path: Path, process: subprocess.Popen[str]) -> dict[str, Any]:
    until = time.monotonic() + 40
    while not path.exists():
        assert process.poll() is None, process.stderr.read() if process.stderr else ""
        assert time.monotonic() < until
        time.sleep(0.05)
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def salesforce_of(connection: dict[str, Any], **options: Any) -> Salesforce:
    """simple-salesforce as it is, sent to the sandbox by an adapter: it can only build https URLs of its own."""
    there = connection["salesforce"]
    session = requests.Session()
    session.trust_env = False
    session.mount("https://", _ToSandbox(there["url"], **options))
    known = there["credentials"]
    return Salesforce(
        consumer_key=known["consumer_key"],
        consumer_secret=known["consumer_secret"],
        domain=known["domain"],
        session=session,
    )


class _ToSandbox(requests.adapters.HTTPAdapter):
    def __init__(self, base: str) -> None:
        self._base = base
        super().__init__()

    def send(self, request: requests.PreparedRequest, **options: Any) -> requests.Response:  # type: ignore[override]
        host, _, path = request.url.removeprefix("https://").partition("/")
        request.headers["X-Original-Host"] = host
        request.url = f"{self._base}/{path}"
        return super().send(request, **options)


def test_given_a_filled_sandbox_when_both_clients_connect_then_they_read_its_people(sandbox, connection):
    population = sandbox.fill(people=200, activities=600)

    leads = salesforce_of(connection).query("SELECT COUNT() FROM Lead")["totalSize"]
    portal = HubSpot(
        access_token=connection["hubspot"]["credentials"]["access_token"],
        host=connection["hubspot"]["url"],
        retry=False,
    )
    page = portal.crm.contacts.basic_api.get_page(limit=100)

    assert leads == sum(not row["IsDeleted"] for row in population.salesforce["Lead"])
    assert len(page.results) == 100


def test_a_population_lands_whole_in_both_crms(sandbox):
    population = sandbox.fill(people=400, activities=2_000)

    for object, rows in population.salesforce.items():
        assert len(list(sandbox.org.rows(object))) >= len(rows), object
    for type, rows in population.hubspot.items():
        assert len(list(sandbox.portal.rows(type))) == len(rows), type
    converted = next(row for row in population.salesforce["Lead"] if row["IsConverted"])
    assert sandbox.org.get("Contact", converted["ConvertedContactId"])["Email"] == converted["Email"]


def test_a_demo_sandbox_is_filled_within_seconds(sandbox):
    started = time.process_time()

    sandbox.fill(people=5_600, activities=42_000)

    assert time.process_time() - started < 12  # half of it on a machine that does nothing else


def test_the_summary_counts_calls_of_clients_but_not_its_own(client):
    before = client.summary()
    requests.get(client._base.replace("/_sandbox/", "/nowhere"), timeout=5)

    after = client.summary(since=before["last_call"])

    assert before["calls"] == 0
    assert after["calls"] <= 1
    assert client.journal("calls", since=after["last_call"]) == []


def test_field_writes_are_told_in_order(connection, sandbox):
    with SandboxClient(connection["salesforce"]["url"]) as client:
        lead = client.act({"do": "create", "object": "Lead", "fields": {"LastName": "A", "Company": "B"}})["id"]
        client.act({"do": "edit", "object": "Lead", "id": lead, "fields": {"Title": "Head of IT"}})

        written = client.journal("writes")

    assert ("Title", None, "Head of IT") in {(w["field"], w["before"], w["after"]) for w in written}
    assert [w["number"] for w in written] == sorted(w["number"] for w in written)


def test_the_clock_moves_stops_and_goes_on_for_both_crms(connection, sandbox):
    noon = datetime(2026, 11, 22, 12, tzinfo=UTC)
    with SandboxClient(connection["salesforce"]["url"]) as one, SandboxClient(connection["hubspot"]["url"]) as other:
        assert one.freeze(noon) == noon
        assert other.now() == noon
        assert other.advance(90) == noon + timedelta(seconds=90)
        assert one.thaw() < noon + timedelta(seconds=100)
        assert one.now() > noon + timedelta(seconds=90)


@pytest.mark.parametrize(
    "wish",
    [
        {},
        {"advance_seconds": -1},
        {"advance_seconds": 1, "thaw": True},
        {"freeze": "2026-11-22T12:00:00"},
        {"freeze": "x"},
    ],
)
def test_a_clock_is_not_moved_by_nonsense(refusing, wish):
    before = refusing.now()

    with pytest.raises(SandboxRefusal):
        refusing._ask("POST", "clock", json=wish)

    assert refusing.now() - before < timedelta(seconds=30)


def test_actions_are_done_one_by_one_or_as_a_list(connection, sandbox):
    with SandboxClient(connection["hubspot"]["url"]) as client:
        made = client.act(
            [{"do": "create", "object": "contacts", "properties": {"email": f"{n}@acme.example"}} for n in range(2)]
        )
        client.act({"do": "archive", "object": "contacts", "id": made[0]["id"]})

    assert sandbox.portal.get("contacts", made[0]["id"])["archived"] is True
    assert sandbox.portal.get("contacts", made[1]["id"])["archived"] is False


@pytest.mark.parametrize(
    "action",
    [
        pytest.param({"do": "dance"}, id="unknown"),
        pytest.param({}, id="nothing"),
        pytest.param({"do": "edit"}, id="incomplete"),
    ],
)
def test_an_action_that_makes_no_sense_is_refused_with_a_sentence(refusing, action):
    with pytest.raises(SandboxRefusal, match="action"):
        refusing.act(action)


def test_planned_faults_meet_clients_of_their_own_crm_until_cleared(connection):
    urls = {crm: connection[crm]["url"] for crm in CRMS}
    with SandboxClient(urls["salesforce"]) as client, SandboxClient(urls["hubspot"]) as other:
        planned = client.faults("maintenance")

        met = {crm: requests.get(f"{url}/services/data", timeout=5).status_code for crm, url in urls.items()}
        assert met["salesforce"] == 503
        assert met["hubspot"] != 503
        assert [fault["do"] for fault in planned] == ["answer"]
        assert client.faults()[0]["done"] == 1
        assert client.summary()["by_operation"] == {"fault answer": 1}
        assert other.faults() == []
        client.clear_faults()
        assert requests.get(f"{urls['salesforce']}/services/data", timeout=5).status_code == 200


def test_a_plan_or_fault_that_is_not_there_is_refused(refusing):
    with pytest.raises(SandboxRefusal, match="There is no plan hurricane"):
        refusing.faults("hurricane")
    with pytest.raises(SandboxRefusal, match="not a regular expression"):
        refusing.faults({"do": "reset", "path": "("})


def test_seeds_are_taken_block_by_block(connection, sandbox):
    with SandboxClient(connection["hubspot"]["url"]) as client:
        answer = client.seed(
            [
                {"define": "contacts", "fields": [{"name": "shoe_size", "type": "number"}]},
                {"object": "contacts", "rows": [{"id": "51", "properties": {"shoe_size": "43"}}]},
                {"object": "notes", "rows": [{"id": "52", "properties": {"hs_note_body": "tall"}}]},
                {"associate": ["notes", "contacts"], "pairs": [["52", "51"]]},
            ]
        )
        with pytest.raises(SandboxRefusal, match="A line of a seed"):
            client.seed([{"rows": []}])

    assert answer == {"taken": {"contacts": 1, "notes": 1, "notes to contacts": 1}, "defined": ["shoe_size"]}
    assert sandbox.portal.get("contacts", "51")["properties"]["shoe_size"] == "43"


def test_given_https_when_a_client_trusts_the_authority_then_it_may_connect_and_others_may_not(sandbox, tmp_path):
    with running(sandbox, Options(https=True, certificates=tmp_path)) as connection:
        url = connection["hubspot"]["url"]
        with SandboxClient(url, verify=connection["authority"]) as client:
            assert client.summary()["crm"] == "hubspot"
        with pytest.raises(requests.exceptions.SSLError), SandboxClient(url) as stranger:
            stranger.summary()

    assert stat.S_IMODE((tmp_path / "server.key").stat().st_mode) == 0o600


def test_a_taken_port_is_named(sandbox):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]

        with (
            pytest.raises(OSError, match=f"Can't listen on 127.0.0.1:{port}"),
            running(sandbox, Options(salesforce_port=port)),
        ):
            pass


def test_served_as_a_command_it_writes_a_private_ready_file_and_ends_on_request(tmp_path, start):
    path = tmp_path / "ready.json"
    process = start("serve", *FREE_PORTS, "--people", "150", "--activities", "300", "--json", "--ready-file", str(path))

    connection = ready(path, process)
    with SandboxClient(connection["salesforce"]["url"]) as client:
        assert client.population()["people"] == 150
    assert connection["pid"] == process.pid
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    process.send_signal(signal.SIGTERM)
    said, complaint = process.communicate(timeout=20)

    assert process.returncode == 0
    assert json.loads(said)["hubspot"]["url"] == connection["hubspot"]["url"]
    assert complaint == ""
    assert not path.exists()


def test_given_a_starter_that_dies_when_served_with_its_pid_then_the_sandbox_ends_too(tmp_path, start):
    path = tmp_path / "ready.json"
    starter = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    process = start("serve", *FREE_PORTS, "--empty", "--ready-file", str(path), "--parent-pid", str(starter.pid))
    ready(path, process)

    starter.kill()
    starter.communicate()

    assert process.wait(timeout=20) == 0


def test_given_stdin_that_closes_when_served_until_then_the_sandbox_ends(tmp_path, start):
    path = tmp_path / "ready.json"
    process = start(
        "serve", *FREE_PORTS, "--empty", "--ready-file", str(path), "--until-stdin-closes", stdin=subprocess.PIPE
    )
    ready(path, process)

    process.stdin.close()

    assert process.wait(timeout=20) == 0


def test_loading_without_a_sandbox_says_so_in_one_sentence(tmp_path, start):
    (tmp_path / "a.csv").write_text("id\n1\n")
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        process = start("load", str(tmp_path / "a.csv"), "--as", "olist", "--url", f"http://127.0.0.1:{port}")

        said, complaint = process.communicate(timeout=30)

    assert (process.returncode, said) == (2, "")
    assert complaint == f"No sandbox answers at http://127.0.0.1:{port}. Start one with `crm-sync sandbox serve`.\n"
