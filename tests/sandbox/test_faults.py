"""Does a client meet each planned fault as it would meet the real thing, and as often as planned?"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
import requests
from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from crm_sync.sandbox.clock import SandboxClock
from crm_sync.sandbox.faults import Fault, FaultMiddleware, Faults
from crm_sync.sandbox.journal import Journal
from crm_sync.sandbox.plans import PLANS, plan
from crm_sync.sandbox.tls import certificate_in
from crm_sync.sandbox.web import LiveServer


class Notebook:
    """A CRM reduced to a page that takes what is written on it, so that a test sees what arrived."""

    def __init__(self) -> None:
        self.written: list[str] = []
        self.journal = Journal()
        self.faults = Faults(seed=1)
        routes = Route("/{path:path}", self._page, methods=["GET", "POST", "PATCH"])
        self.app = FaultMiddleware(
            Starlette(routes=[routes]),
            faults=self.faults,
            journal=self.journal,
            clock=SandboxClock(),
            crm="salesforce",
        )

    async def _page(self, request: Request) -> Response:
        text = (await request.body()).decode()
        if text:
            self.written.append(text)
        if request.url.path == "/empty":
            return Response(status_code=204)
        return JSONResponse({"written": self.written, "padding": "x" * 4000})


@pytest.fixture
def notebook() -> Notebook:
    return Notebook()


@pytest.fixture
def url(notebook: Notebook) -> Iterator[str]:
    with LiveServer(notebook.app) as server:
        yield server.url


def broken(error: Exception) -> bool:
    return isinstance(error, requests.ConnectionError | requests.exceptions.ChunkedEncodingError)


def outcomes(url: str, count: int, **request: Any) -> list[int]:
    return [requests.get(f"{url}/page", **request, timeout=5).status_code for _ in range(count)]


def test_given_no_faults_when_called_then_the_crm_answers_and_nothing_is_noted(url, notebook):
    assert outcomes(url, 2) == [200, 200]

    assert notebook.journal.calls == []


@pytest.mark.parametrize(
    ("rhythm", "expected"),
    [
        pytest.param({"nth": 3}, [200, 200, 503, 200, 200, 200], id="the-third"),
        pytest.param({"every": 2}, [200, 503, 200, 503, 200, 503], id="every-other"),
        pytest.param({"times": 2}, [503, 503, 200, 200, 200, 200], id="twice"),
        pytest.param({"every": 2, "times": 1}, [200, 503, 200, 200, 200, 200], id="every-other-but-once"),
    ],
)
def test_a_fault_happens_in_its_rhythm(url, notebook, rhythm, expected):
    notebook.faults.add([Fault(do="answer", **rhythm)])

    assert outcomes(url, 6) == expected
    assert [c.status for c in notebook.journal.calls if c.operation == "fault"] == [503] * expected.count(503)


def test_a_share_is_drawn_from_the_seed():
    def draws(seed: int) -> list[bool]:
        faults = Faults(seed=seed)
        faults.add([Fault(do="reset", share=0.25)])
        return [faults.take("salesforce", "GET", "/", b"") is not None for _ in range(400)]

    assert draws(1) == draws(1) != draws(2)
    assert 70 < sum(draws(1)) < 130


@pytest.mark.parametrize(
    "match",
    [
        pytest.param({"crm": "hubspot"}, id="another-crm"),
        pytest.param({"method": "PATCH"}, id="another-method"),
        pytest.param({"path": "/query"}, id="another-path"),
        pytest.param({"path": r"q=SELECT"}, id="another-query"),
        pytest.param({"body": "00Q7"}, id="another-body"),
    ],
)
def test_a_fault_leaves_calls_alone_that_it_does_not_concern(url, notebook, match):
    notebook.faults.add([Fault(do="answer", **match)])

    assert requests.post(f"{url}/page?q=1", data="00Q8", timeout=5).status_code == 200
    assert notebook.written == ["00Q8"]


def test_a_fault_may_be_bound_to_what_a_request_says(url, notebook):
    notebook.faults.add([Fault(do="answer", status=500, method="post", path=r"^/page\?q=\d", body="00Q[78]")])

    assert requests.post(f"{url}/page?q=1", data="00Q8", timeout=5).status_code == 500
    assert notebook.written == []


def test_an_answer_has_the_planned_status_headers_and_body(url, notebook):
    notebook.faults.add(
        [
            Fault(do="answer", status=429, headers={"Retry-After": "7"}, content={"policyName": "DAILY"}, nth=1),
            Fault(do="answer", status=200, content="<html>Down</html>", nth=2),
            Fault(do="answer", status=200, nth=3),
        ]
    )

    refused, page, empty = (requests.get(f"{url}/page", timeout=5) for _ in range(3))

    assert (refused.status_code, refused.headers["Retry-After"], refused.json()) == (429, "7", {"policyName": "DAILY"})
    assert (page.status_code, page.text) == (200, "<html>Down</html>")
    assert page.headers["Content-Type"].startswith("text/html")
    assert (empty.status_code, empty.content) == (200, b"")


def test_given_a_reset_when_called_then_the_client_sees_a_broken_connection_and_the_crm_nothing(url, notebook):
    notebook.faults.add([Fault(do="reset", times=1)])

    with pytest.raises(requests.ConnectionError, match="reset"):
        requests.post(f"{url}/page", data="a", timeout=5)

    assert notebook.written == []
    assert requests.get(f"{url}/page", timeout=5).status_code == 200
    assert [(c.operation, c.object, c.status) for c in notebook.journal.calls] == [("fault", "reset", 0)]


def test_given_a_lost_answer_when_called_then_the_crm_has_done_it_and_the_client_cannot_know(url, notebook):
    notebook.faults.add([Fault(do="lose", times=1)])

    with pytest.raises(requests.ConnectionError):
        requests.post(f"{url}/page", data="a", timeout=5)

    assert notebook.written == ["a"]


def test_given_a_truncated_answer_when_read_then_the_client_misses_bytes(url, notebook):
    notebook.faults.add([Fault(do="truncate", times=1)])

    answer = requests.get(f"{url}/page", stream=True, timeout=5)
    with pytest.raises(requests.exceptions.ChunkedEncodingError, match="IncompleteRead"):
        _ = answer.content

    assert answer.status_code == 200
    assert int(answer.headers["Content-Length"]) > 4000


def test_an_answer_without_a_body_is_truncated_before_its_first_byte(url, notebook):
    notebook.faults.add([Fault(do="truncate")])

    with pytest.raises(requests.ConnectionError):
        requests.patch(f"{url}/empty", data="a", timeout=5)

    assert notebook.written == ["a"]


def test_a_dripping_answer_arrives_whole_but_slowly(url, notebook):
    notebook.faults.add([Fault(do="drip", seconds=0.4)])

    started = time.monotonic()
    answer = requests.get(f"{url}/page", timeout=5)

    assert time.monotonic() - started > 0.3
    assert len(answer.json()["padding"]) == 4000


def test_a_delayed_answer_outlasts_a_client_that_waits_less(url, notebook):
    notebook.faults.add([Fault(do="delay", delay=0.5, times=2)])

    with pytest.raises(requests.ReadTimeout):
        requests.get(f"{url}/page", timeout=0.2)
    assert requests.get(f"{url}/page", timeout=5).status_code == 200


def test_a_broken_connection_looks_the_same_over_https(notebook, tmp_path):
    notebook.faults.add([Fault(do="reset", nth=1), Fault(do="truncate", nth=2)])
    authority = certificate_in(tmp_path)

    with LiveServer(notebook.app, certificate=authority.certificate, key=authority.key) as server:
        for _ in range(2):
            with pytest.raises(requests.RequestException) as refusal:
                requests.get(f"{server.url}/page", verify=str(authority.authority), timeout=5)
            assert broken(refusal.value)
        assert requests.get(f"{server.url}/page", verify=str(authority.authority), timeout=5).status_code == 200


def test_clearing_ends_the_faults_of_one_crm_or_of_all(url, notebook):
    notebook.faults.add([Fault(do="answer", crm="salesforce"), Fault(do="reset", crm="hubspot")])

    notebook.faults.clear("salesforce")
    assert outcomes(url, 1) == [200]
    assert [f["do"] for f in notebook.faults.page()] == ["reset"]
    notebook.faults.clear()
    assert notebook.faults.page() == []


@pytest.mark.parametrize("name", PLANS)
@pytest.mark.parametrize("crm", ["salesforce", "hubspot"])
def test_every_named_plan_is_there_for_both_crms(name, crm):
    assert {fault.crm for fault in plan(name, crm)} == {crm}


def test_salesforce_says_that_the_day_is_used_up_in_its_own_words(url, notebook):
    notebook.faults.add(plan("quota", "salesforce"))

    answer = requests.get(f"{url}/services/data/v62.0/query/?q=SELECT+Id+FROM+Lead", timeout=5)

    assert (answer.status_code, answer.json()[0]["errorCode"]) == (403, "REQUEST_LIMIT_EXCEEDED")
    assert answer.headers["Sforce-Limit-Info"] == "api-usage=100000/100000"
    assert requests.post(f"{url}/services/oauth2/token", timeout=5).status_code == 200


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        pytest.param({"do": "explode"}, "do", id="unknown-deed"),
        pytest.param({"do": "reset", "path": "("}, "not a regular expression", id="broken-pattern"),
        pytest.param({"do": "reset", "nth": 1, "every": 2}, "one of nth, every and share", id="two-rhythms"),
        pytest.param({"do": "reset", "wehn": 1}, "wehn", id="misspelt-key"),
    ],
)
def test_a_fault_that_makes_no_sense_is_refused(wrong, sentence):
    with pytest.raises(ValidationError, match=sentence):
        Fault.model_validate(wrong)
