"""What only NetSuite has: certificates and signed calls, jobs that take their time, external ids as the last word."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from pydantic import ValidationError

from connectors.errors import Duplicate, Rejected, Unauthorized, Uncertain
from connectors.http import Http
from connectors.model import RemoteInvoice
from connectors.platforms.documents import PlannedInvoice
from connectors.platforms.netsuite import NetSuite, NetSuiteCredentials
from connectors.sandbox import netsuite as sandbox
from tests.contract import orders
from tests.contract.attempts import Try, found, look
from tests.contract.running import Books, RunningSandbox, subjects
from tests.contract.test_platforms import planned, replies
from tests.contract.walking import attempt, customer_id, issued, packed
from tests.kit.dripping import Exchange, HostileServer, response

TBA = {
    "consumer_key": sandbox.CONSUMER_KEY,
    "consumer_secret": sandbox.CONSUMER_SECRET,
    "token_id": sandbox.TOKEN_ID,
    "token_secret": sandbox.TOKEN_SECRET,
}


@pytest.fixture
def netsuite() -> Iterator[Books]:
    running = RunningSandbox([sandbox.NetSuite])
    yield Books(subjects()["netsuite"], running)
    running.close()


def signed(books: Books, **changed: str) -> Any:
    headers = NetSuite.static_headers(NetSuiteCredentials.model_validate({**TBA, **changed}))
    return books.connected(headers=headers)


def test_a_job_that_is_not_finished_is_uncertain_and_the_same_call_leads_to_it_again(netsuite: Books) -> None:
    tries = [attempt(netsuite.platform, orders.simple(f"SO-{number}")) for number in range(3)]
    netsuite.emulator.job_seconds = 30
    outcomes = packed(netsuite.platform, tries)
    assert {type(outcome.error) for outcome in outcomes} == {Uncertain}
    assert "not finished" in str(outcomes[0].error)
    assert [found(netsuite.platform.invoices, one.draft) for one in tries] == [None] * 3
    netsuite.sandbox.pass_time(31)
    again = packed(netsuite.platform, tries)
    assert [outcome.document.reference for outcome in again if outcome.document] == ["SO-0", "SO-1", "SO-2"]
    assert len(netsuite.ledger()) == 3
    assert sum(call["target"].endswith("/invoice") for call in netsuite.calls()) == 2, "one job, sent twice"


def test_a_job_whose_key_was_forgotten_makes_nothing_twice(netsuite: Books) -> None:
    tries = [attempt(netsuite.platform, orders.simple(f"SO-{number}")) for number in range(2)]
    assert not any(outcome.error for outcome in packed(netsuite.platform, tries))
    assert not any(outcome.error for outcome in packed(netsuite.platform, tries, "another key")), "found, not made"
    assert len(netsuite.ledger()) == 2


def test_a_certificate_of_rsa_gives_a_token_by_ps256(netsuite: Books) -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=3072)
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    netsuite.emulator.certificates["rsa"] = key.public_key()
    given = {"client_id": sandbox.CLIENT_ID, "certificate_id": "rsa", "private_key": pem}
    credentials = NetSuiteCredentials.model_validate(given)
    grant = NetSuite.grant(netsuite.subject.settings(), credentials)
    assert grant is not None
    token = grant.at(netsuite.url).obtain(Http(10), credentials, None)
    connected = netsuite.connected(headers=NetSuite.proof(token.access, credentials))
    assert connected.whoami() == "Engraver Holdings (1234567_SB1)"


@pytest.mark.parametrize(
    ("field", "value"), [("certificate_id", "other"), ("private_key", "no key"), ("client_id", "x")]
)
def test_a_certificate_that_is_refused_says_so(netsuite: Books, field: str, value: str) -> None:
    credentials = NetSuiteCredentials.model_validate({**netsuite.subject.samples.credentials, field: value})
    grant = NetSuite.grant(netsuite.subject.settings(), credentials)
    assert grant is not None
    with pytest.raises(Unauthorized):
        grant.at(netsuite.url).obtain(Http(10), credentials, None)


def test_signed_calls_do_all_that_a_token_does(netsuite: Books) -> None:
    platform = signed(netsuite)
    document = issued(platform, orders.simple("SO, 1001"))
    assert platform.read(document.id) == document
    assert found(platform.invoices, attempt(platform, orders.simple("SO, 1001")).draft) is not None
    with pytest.raises(Unauthorized):
        signed(netsuite, token_secret="wrong").read(document.id)


def test_credentials_are_of_one_way_and_whole() -> None:
    for wrong in ({}, {"client_id": "a"}, {**TBA, "token_secret": ""}, {**TBA, "client_id": "a"}):
        with pytest.raises(ValidationError, match="certificate_id"):
            NetSuiteCredentials.model_validate(wrong)


def test_the_merchants_own_customer_is_taken_in_its_currency_only(netsuite: Books) -> None:
    raw = {"companyName": "Engines", "email": "Ada@Example.com", "subsidiary": {"id": "3"}, "externalId": "crm-7"}
    own = netsuite.sandbox.run(lambda: netsuite.emulator.records.create("customer", {**raw, "currency": {"id": "2"}}))
    assert customer_id(netsuite.platform, orders.simple("SO-1")) == own
    euro = orders.draft("SO-2", [orders.line(orders.PLAQUE)], currency="EUR", customer={**orders.ADA, "ref": "C-9:EUR"})
    assert customer_id(netsuite.platform, euro) != own


def test_a_currency_nobody_configured_is_refused_by_its_name(netsuite: Books) -> None:
    with pytest.raises(Rejected, match=r"currencies\.CHF"):
        netsuite.platform.invoices.plan(planned(orders.simple("SO-1", currency="CHF")))


@pytest.mark.parametrize(("status", "meant"), [("B", "paid"), ("D", "draft"), ("E", "void"), ("V", "void")])
def test_what_waits_for_approval_is_a_draft(netsuite: Books, status: str, meant: str) -> None:
    """The record and the row of a look-up say the same of it."""
    document = issued(netsuite.platform, orders.simple("SO-1"))
    shelf = netsuite.emulator.shelf
    changed = {"status": {"id": status, "refName": "as the account calls it"}}
    netsuite.sandbox.run(lambda: shelf.put("invoice", document.id, {**shelf.get("invoice", document.id), **changed}))
    hit = found(netsuite.platform.invoices, attempt(netsuite.platform, orders.simple("SO-1")).draft)
    assert hit is not None
    assert netsuite.platform.read(document.id).status == hit.document.status == meant


def test_a_mail_goes_to_the_invoices_address(netsuite: Books) -> None:
    document = issued(netsuite.platform, orders.simple("SO-1"))
    netsuite.platform.send(document.id, "mail-1")
    assert netsuite.sandbox.run(netsuite.emulator.mails) == [(document.id, "ada@example.com")]


def test_what_the_index_does_not_show_is_asked_for_by_its_external_id(netsuite: Books) -> None:
    document = issued(netsuite.platform, orders.simple("SO-1"))
    one = attempt(netsuite.platform, orders.simple("SO-1"))
    netsuite.platform.base_url = "http://127.0.0.1:1"
    with HiddenRows(netsuite) as url:
        netsuite.platform.base_url = url
        hit = look(netsuite.platform.invoices, one.draft)
    assert getattr(getattr(hit, "document", None), "id", None) == document.id


def test_after_any_refusal_it_is_looked_whether_the_external_id_exists(netsuite: Books) -> None:
    """Its words are not documented: here they say nothing of the kind."""
    one = attempt(netsuite.platform, orders.simple("SO-1"))

    def refuse(exchange: Exchange) -> None:
        posted = exchange.request.startswith(b"POST")
        body = (
            {"o:errorDetails": [{"detail": "Ungültiger Wert", "o:errorCode": "USER_ERROR"}]} if posted else {"id": "9"}
        )
        status = "400 Bad Request" if posted else "200 OK"
        exchange.send(response(json.dumps(body).encode(), status, extra="Connection: close\r\n"))

    server = HostileServer(refuse)
    try:
        outcome = netsuite.subject.at(server.url).invoices.create(Try(one.draft, one.plan))
    finally:
        server.close()
    assert type(outcome.error) is Duplicate
    assert "Ungültiger Wert" in outcome.error.message


def test_a_refusal_is_not_believed_where_it_cannot_be_looked_whether_the_invoice_is_there(netsuite: Books) -> None:
    one = attempt(netsuite.platform, orders.simple("SO-1"))

    def refuse(exchange: Exchange) -> None:
        posted = exchange.request.startswith(b"POST")
        body = json.dumps({"o:errorDetails": [{"detail": "Ungültiger Wert", "o:errorCode": "USER_ERROR"}]}).encode()
        status = "400 Bad Request" if posted else "429 Too Many Requests"
        exchange.send(response(body, status, extra="Connection: close\r\n"))

    server = HostileServer(refuse)
    try:
        outcome = netsuite.subject.at(server.url).invoices.create(Try(one.draft, one.plan))
    finally:
        server.close()
    assert type(outcome.error) is Uncertain


def credited(books: Books) -> tuple[RemoteInvoice, PlannedInvoice]:
    """An invoice, and a note to be made of one of its lines."""
    invoice = issued(books.platform, orders.ORDERS["two lines, discount, shipping"]())
    part = orders.draft("SO-1001", [orders.line(orders.TAG)])
    part = part.model_copy(update={"reference": "SO-1001-C1", "key": f"{part.key}/credit/C1"})
    return invoice, PlannedInvoice(draft=part, customer_id=str(invoice.customer_id), credited=invoice)


def test_a_credit_memo_is_applied_to_its_invoice_and_to_nothing_else(netsuite: Books) -> None:
    other = issued(netsuite.platform, orders.simple("SO-9"))
    invoice, note = credited(netsuite)
    outcome = netsuite.platform.credits.create(Try(note, netsuite.platform.credits.plan(note)))
    assert outcome.error is None, outcome.error
    (memo,) = netsuite.sandbox.run(lambda: netsuite.emulator.shelf.all("creditMemo"))
    (line,) = memo["apply"]["items"]
    assert (line["doc"]["id"], memo["autoApply"], memo["status"]["refName"]) == (invoice.id, False, "Fully Applied")
    assert netsuite.platform.read(invoice.id).due == invoice.total - note.draft.total
    assert netsuite.platform.read(other.id).due == other.total
    refused = netsuite.sandbox.run(lambda: raised(lambda: netsuite.emulator.records.untied("invoice", invoice.id)))
    assert "dependent records" in str(refused)


def test_a_memo_of_more_than_is_due_by_now_is_refused_and_leaves_nothing(netsuite: Books) -> None:
    """Somebody was quicker: it is planned anew, from what is due then."""
    invoice, note = credited(netsuite)
    late = Try(note, netsuite.platform.credits.plan(note))
    found_then = netsuite.sandbox.run(lambda: netsuite.emulator.shelf.get("invoice", invoice.id))
    netsuite.sandbox.run(
        lambda: netsuite.emulator.shelf.put("invoice", invoice.id, {**found_then, "amountRemaining": 1.5})
    )
    outcome = netsuite.platform.credits.create(late)
    assert type(outcome.error) is Rejected
    assert "amount" in outcome.error.message
    assert netsuite.credits() == []
    again = note.model_copy(update={"credited": netsuite.platform.read(invoice.id)})
    outcome = netsuite.platform.credits.create(Try(again, netsuite.platform.credits.plan(again)))
    assert outcome.error is None, outcome.error
    assert outcome.document is not None
    assert (outcome.document.due, netsuite.platform.read(invoice.id).due) == (note.draft.total - Decimal("1.5"), 0)


def raised(act: Callable[[], object]) -> Exception | None:
    try:
        act()
    except Exception as error:
        return error
    return None


class HiddenRows:
    """The account as it is, but SuiteQL shows nothing."""

    def __init__(self, books: Books) -> None:
        self.books = books

    def __enter__(self) -> str:
        nothing = json.dumps({"items": [], "hasMore": False}).encode()
        external = self.books.sandbox.run(lambda: self.books.emulator.shelf.all("invoice")[0])
        shown = replies(json.dumps(external, default=float).encode())

        def behave(exchange: Exchange) -> None:
            (replies(nothing) if exchange.request.startswith(b"POST") else shown)(exchange)

        self.server = HostileServer(behave)
        return self.server.url

    def __exit__(self, *_: object) -> None:
        self.server.close()
