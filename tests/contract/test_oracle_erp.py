"""What is particular to Oracle Fusion: a refusal is believed only after a look, taxes stated by line, a SOAP step."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from pydantic import ValidationError

from connectors.errors import Duplicate, Rejected, Unauthorized, Unavailable, Uncertain
from connectors.http import Http
from connectors.model import InvoiceDraft, Status
from connectors.platforms.documents import PlannedInvoice
from connectors.platforms.oracle_erp import OracleErp
from connectors.platforms.oracle_erp_documents import parted
from connectors.sandbox import oracle_erp as sandbox
from tests.contract import orders
from tests.contract.attempts import Try, found, look
from tests.contract.running import Books, RunningSandbox, subjects
from tests.contract.samples.oracle_erp import SAMPLES
from tests.contract.test_credits import note_of, tried
from tests.contract.test_platforms import replies
from tests.contract.walking import attempt, customer_id, issued, packed
from tests.kit.dripping import Exchange, HostileServer, response


@pytest.fixture
def pod() -> Iterator[Books]:
    running = RunningSandbox([sandbox.OracleErp])
    yield Books(subjects()["oracle_erp"], running)
    running.close()


def connected(pod: Books, **settings: Any) -> Any:
    return pod.connected(settings=pod.subject.settings(**settings))


def pennies() -> InvoiceDraft:
    """Three lines of 0.12: 20 % of each is 0.02, of all together 0.07."""
    parts = [{"ref": str(n), "description": f"Pin {n}", "quantity": "1", "unit_price": "0.12"} for n in range(3)]
    return orders.draft("SO-1", [orders.line(part) for part in parts])


def test_a_refusal_of_a_number_that_is_there_is_a_duplicate_whatever_it_says(pod: Books) -> None:
    one = attempt(pod.platform, orders.simple("SO-1"))
    assert pod.platform.invoices.create(one).error is None
    again = pod.platform.invoices.create(Try(one.draft, one.plan)).error
    assert type(again) is Duplicate
    assert "must be unique within the transaction source" in again.message
    nobody = one.draft.model_copy(update={"customer_id": "nobody", "draft": orders.simple("SO-2")})
    refused = pod.platform.invoices.create(Try(nobody, pod.platform.invoices.plan(nobody))).error
    assert type(refused) is Rejected
    assert "AR_BILL_TO_CUST_NOT_FOUND" in refused.message


def lost(pod: Books, status: str = "400 Bad Request") -> HostileServer:
    """A pod that refuses what is sent, and then cannot be asked."""
    refusal = json.dumps({"title": "Bad Request", "o:errorDetails": [{"detail": "Ungültig"}]}).encode()

    def behave(exchange: Exchange) -> None:
        posted = exchange.request.startswith(b"POST")
        answer, said = (refusal, status) if posted else (b"", "503 Service Unavailable")
        exchange.send(response(answer, said, extra="Connection: close\r\n"))

    return HostileServer(behave)


def test_a_refusal_is_not_believed_where_it_cannot_be_looked_whether_the_number_is_there(pod: Books) -> None:
    one, two = (attempt(pod.platform, orders.simple(f"SO-{number}")) for number in (1, 2))
    server = lost(pod)
    try:
        platform = pod.subject.at(server.url)
        alone = platform.invoices.create(one)
        together = packed(platform, [Try(each.draft, each.plan) for each in (one, two)])
    finally:
        server.close()
    assert [type(outcome.error) for outcome in (alone, *together)] == [Uncertain] * 3
    assert "Ungültig" in alone.error.message


def test_a_batch_is_kept_as_a_whole_or_not_at_all(pod: Books) -> None:
    tries = [attempt(pod.platform, orders.simple(f"SO-{number}")) for number in range(4)]
    nobody = tries[2].draft.model_copy(update={"customer_id": "nobody"})
    bad = [*tries[:2], Try(nobody, pod.platform.invoices.plan(nobody)), tries[3]]
    outcomes = packed(pod.platform, bad)
    assert not pod.ledger()
    (error,) = {id(outcome.error): outcome.error for outcome in outcomes}.values()
    assert type(error) is Rejected, "one refusal for all: it is halved"
    assert not any(outcome.error for outcome in packed(pod.platform, tries))
    assert [entry.reference for entry in pod.ledger()] == [f"SO-{number}" for number in range(4)]


def test_in_a_refused_batch_what_is_there_already_is_looked_at_and_the_others_are_sent_again(pod: Books) -> None:
    """Also where a pod should have kept a part of a batch that it refused."""
    tries = [attempt(pod.platform, orders.simple(f"SO-{number}")) for number in range(3)]
    assert pod.platform.invoices.create(Try(tries[1].draft, tries[1].plan)).error is None
    outcomes = packed(pod.platform, tries)
    assert [type(outcome.error) for outcome in outcomes] == [Unavailable, Duplicate, Unavailable]
    assert not any(outcome.error for outcome in packed(pod.platform, [tries[0], tries[2]]))
    assert sorted(entry.reference for entry in pod.ledger()) == ["SO-0", "SO-1", "SO-2"]


def test_a_part_of_a_batch_that_the_answer_does_not_show_is_uncertain(pod: Books) -> None:
    one, two = (attempt(pod.platform, orders.simple(f"SO-{number}")) for number in (1, 2))
    shown = {**SAMPLES.invoice.body, "TransactionNumber": "SO-1", "Comments": f"Order · {one.draft.key}"}
    server = HostileServer(replies(json.dumps({"parts": [{"id": "SO-1", "payload": shown}]}).encode()))
    try:
        outcomes = packed(pod.subject.at(server.url), [two, one])
    finally:
        server.close()
    assert type(outcomes[0].error) is Uncertain
    assert outcomes[1].document is not None
    assert outcomes[1].document.reference == "SO-1", "matched by its name, never by position"


def test_the_same_number_in_another_transaction_source_is_not_ours(pod: Books) -> None:
    def typed() -> None:
        pod.subject.samples.steal_number(pod.emulator, "SO-1")
        doc = pod.emulator.shelf.get("invoice", "77")
        pod.emulator.shelf.put("invoice", "77", doc | {"TransactionSource": "Manual"})

    pod.sandbox.run(typed)
    assert found(pod.platform.invoices, attempt(pod.platform, orders.simple("SO-1")).draft) is None
    assert issued(pod.platform, orders.simple("SO-1")).number == "SO-1"


def test_a_tax_that_fusion_would_round_otherwise_is_stated_line_by_line(pod: Books) -> None:
    (plain,) = attempt(pod.platform, pennies()).plan
    assert plain.remark == ""
    (request,) = attempt(connected(pod, tax_rounding="total"), pennies()).plan
    lines = json.loads(request.body, parse_float=Decimal)["receivablesInvoiceLines"]
    stated = {"TaxAmount": Decimal("0.02"), "TaxRegimeCode": "GB VAT", "TaxRateCode": "VAT20"}
    assert [line["receivablesInvoiceLineTaxLines"] for line in lines] == [[stated]] * 3
    assert "stated" in request.remark
    assert issued(connected(pod, tax_rounding="total"), pennies()).total == Decimal("0.42")
    with pytest.raises(Rejected, match=r"make the tax 0\.07, the order charges 0\.06 GBP: set tax_regime"):
        attempt(connected(pod, tax_rounding="total", tax_regime=None), pennies())


def test_another_currency_than_the_ledgers_has_a_rate_type_and_a_day(pod: Books) -> None:
    euros = orders.simple("SO-2", currency="EUR")
    (request,) = attempt(pod.platform, euros).plan
    sent = json.loads(request.body)
    assert (sent["ConversionRateType"], sent["ConversionDate"]) == ("Corporate", "2026-11-22")
    assert issued(pod.platform, euros).currency == "EUR"
    assert "ConversionRateType" not in attempt(pod.platform, orders.simple("SO-1")).plan[0].body


def test_a_customer_whose_account_is_missing_gets_it_and_not_a_second_party(pod: Books) -> None:
    customers, draft = pod.platform.customers, orders.customer(orders.simple("SO-1"))
    plan = customers.plan(draft)
    customers.create(Try(draft, plan[:1]))
    hit = found(customers, draft)
    assert hit is not None
    assert hit.resume_at == "account"
    number = customer_id(pod.platform, orders.simple("SO-1"))
    assert found(customers, draft).resume_at is None
    assert [one["AccountNumber"] for one in pod.sandbox.run(lambda: pod.emulator.shelf.all("account"))] == [number]
    assert pod.sandbox.run(lambda: pod.emulator.shelf.count("party")) == 1


def test_each_id_stands_in_its_place() -> None:
    text = "<cus:PartyId>1003/3001</cus:PartyId><cus:PartySiteId>1003/3001</cus:PartySiteId>"
    assert parted(text) == "<cus:PartyId>1003</cus:PartyId><cus:PartySiteId>3001</cus:PartySiteId>"


def test_without_a_reference_set_customers_are_the_merchants_own(pod: Books) -> None:
    platform = connected(pod, reference_set=None, bill_to_site="London")
    with pytest.raises(Rejected, match="set reference_set in the account's settings, or one customer"):
        customer_id(platform, orders.simple("SO-1"))
    house = PlannedInvoice(draft=orders.simple("SO-1"), customer_id="1008")
    sent = json.loads(platform.invoices.plan(house)[0].body)
    assert (sent["BillToCustomerNumber"], sent["BillToSite"]) == ("1008", "London")


def test_an_invoice_with_a_payment_cannot_be_taken_back(pod: Books) -> None:
    document = issued(pod.platform, orders.simple("SO-1"))
    assert pod.sandbox.run(pod.emulator.customers) == [("Analytical Engines Ltd", "ada@example.com")]

    def paid() -> None:
        doc = pod.emulator.shelf.get("invoice", document.id)
        pod.emulator.shelf.put("invoice", document.id, doc | {"InvoiceBalanceAmount": 0})

    pod.sandbox.run(paid)
    assert pod.platform.read(document.id).status is Status.PAID
    with pytest.raises(Rejected, match="has activity"):
        pod.platform.void(document.id, "void")


def test_an_integration_user_needs_no_identity_domain(pod: Books) -> None:
    given = {"username": sandbox.USERNAME, "password": sandbox.PASSWORD}
    credentials = OracleErp.Credentials.model_validate(given)
    settings = pod.subject.settings(identity_domain=None, scope=None)
    assert OracleErp.grant(settings, credentials) is None
    platform = pod.connected(settings=settings, headers=OracleErp.static_headers(credentials))
    assert issued(platform, orders.simple("SO-1")).total == Decimal("108.00")


def test_a_token_is_asked_of_the_identity_domain_with_its_scope(pod: Books) -> None:
    credentials = pod.subject.credentials()
    grant = OracleErp.grant(pod.subject.settings(), credentials)
    assert grant is not None
    assert grant.token_url == "https://idcs-sandbox.identity.oraclecloud.com/oauth2/v1/token"
    assert grant.at(pod.url).obtain(Http(10), credentials, None).access
    wrong = OracleErp.grant(pod.subject.settings(scope="urn:other"), credentials)
    assert wrong is not None
    with pytest.raises(Unauthorized, match="invalid_scope"):
        wrong.at(pod.url).obtain(Http(10), credentials, None)
    with pytest.raises(Unauthorized, match="set identity_domain and scope"):
        OracleErp.grant(pod.subject.settings(scope=None), credentials)


@pytest.mark.parametrize(("username", "welcome"), [(sandbox.USERNAME, True), ("somebody.else", False)])
def test_a_signed_assertion_gives_a_token_of_the_user(pod: Books, username: str, welcome: bool) -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    pod.emulator.certificate = public.decode()
    app = {"client_id": sandbox.CLIENT_ID, "client_secret": sandbox.CLIENT_SECRET, "username": username}
    given = {**app, "private_key": pem.decode(), "certificate_alias": sandbox.ALIAS}
    credentials = OracleErp.Credentials.model_validate(given)
    grant = OracleErp.grant(pod.subject.settings(), credentials)
    assert grant is not None
    if not welcome:
        with pytest.raises(Unauthorized, match="invalid_grant"):
            grant.at(pod.url).obtain(Http(10), credentials, None)
        return
    token = grant.at(pod.url).obtain(Http(10), credentials, None)
    assert pod.connected(headers=OracleErp.proof(token.access, credentials)).whoami()


@pytest.mark.parametrize(
    "given", [{}, {"username": "u"}, {"client_id": "c", "client_secret": "s", "username": "u", "password": "p"}]
)
def test_credentials_are_of_one_kind_and_whole(given: dict[str, str]) -> None:
    with pytest.raises(ValidationError, match="or username and password"):
        OracleErp.Credentials.model_validate(given)


def test_drafts_are_refused_when_they_are_configured_and_numbers_with_quotes_when_they_come(pod: Books) -> None:
    with pytest.raises(ValidationError, match="complete invoices only"):
        pod.subject.settings(issue=False)
    with pytest.raises(ValidationError, match="leave out reference_set"):
        pod.subject.settings(bill_to_site="London")
    with pytest.raises(Rejected, match="number with quotes"):
        attempt(pod.platform, orders.simple("SO'1"))
    assert look(pod.platform.invoices, attempt(pod.platform, orders.simple("SO-1")).draft) is None


def test_a_credit_memo_is_made_on_account_and_applied_to_its_invoice(pod: Books) -> None:
    draft = orders.ORDERS["two lines, discount, shipping"]()
    invoice = issued(pod.platform, draft)
    one = tried(pod, note_of(pod, invoice, draft))
    made, apply = one.plan
    sent = json.loads(made.body, parse_float=Decimal)
    lines = sent["receivablesCreditMemoLines"]
    assert all(line["UnitSellingPrice"] < 0 < line["LineQuantityCredit"] for line in lines)
    assert "<cus:AmountApplied>118.14</cus:AmountApplied>" in apply.body
    assert f"<cus:InvoiceCustomerTrxId>{invoice.id}<" in apply.body
    assert pod.platform.credits.create(one).document.due == 0
    raw = pod.platform.ask(f"{pod.platform.credits.path}/{one.made['create']}").json()
    assert (raw["EnteredAmount"], raw["TransactionBalanceDue"]) == (Decimal("-118.14"), 0)
    assert pod.platform.read(invoice.id).status is Status.PAID
    with pytest.raises(Rejected, match="has activity"):
        pod.platform.void(invoice.id, "void")


def test_taxes_of_a_credit_memo_are_stated_as_those_of_its_invoice(pod: Books) -> None:
    platform = connected(pod, tax_rounding="total")
    invoice = issued(platform, pennies())
    note = note_of(pod, invoice, pennies())
    one = Try(note, platform.credits.plan(note))
    assert '"TaxAmount":-0.02' in one.plan[0].body
    assert "stated" in one.plan[0].remark
    assert platform.credits.create(one).document.total == Decimal("0.42")


def test_what_is_left_on_account_is_not_applied(pod: Books) -> None:
    invoice = issued(pod.platform, orders.simple("SO-1"))
    platform = connected(pod, apply_credits=False)
    note = note_of(pod, invoice, orders.simple("SO-1"))
    one = Try(note, platform.credits.plan(note))
    document = platform.credits.create(one).document
    assert document.due == document.total == invoice.total
    assert found(platform.credits, note).resume_at is None
    assert platform.read(invoice.id).due == invoice.total


def test_more_than_is_due_is_not_applied_and_the_credit_memo_stays_on_account(pod: Books) -> None:
    """A payment came between the reading of the invoice and the application."""
    invoice = issued(pod.platform, orders.simple("SO-1"))
    one = tried(pod, note_of(pod, invoice, orders.simple("SO-1")))

    def paid() -> None:
        doc = pod.emulator.shelf.get("invoice", invoice.id)
        pod.emulator.shelf.put("invoice", invoice.id, doc | {"InvoiceBalanceAmount": 8})

    pod.sandbox.run(paid)
    error = pod.platform.credits.create(one).error
    assert type(error) is Uncertain
    assert "more than remains" in error.message
    hit = found(pod.platform.credits, one.draft)
    assert hit is not None
    assert (hit.resume_at, hit.document.due) == ("apply", invoice.total)


def test_an_application_that_is_answered_and_not_done_is_uncertain(pod: Books, monkeypatch: pytest.MonkeyPatch) -> None:
    invoice = issued(pod.platform, orders.simple("SO-1"))
    one = tried(pod, note_of(pod, invoice, orders.simple("SO-1")))
    monkeypatch.setattr(pod.emulator.memos, "_apply", lambda given: None)
    error = pod.platform.credits.create(one).error
    assert type(error) is Uncertain
    assert "nothing of the credit memo SO-1-C1 is applied" in error.message


def test_a_number_is_given_once_among_invoices_and_credit_memos(pod: Books) -> None:
    invoice = issued(pod.platform, orders.simple("SO-1"))
    note = note_of(pod, invoice, orders.simple("SO-1"))
    taken = note.model_copy(update={"draft": note.draft.model_copy(update={"reference": "SO-1"})})
    error = pod.platform.credits.create(Try(taken, pod.platform.credits.plan(taken))).error
    assert type(error) is Rejected
    assert "must be unique" in error.message


def test_a_list_is_read_page_by_page_and_is_of_the_business_unit(pod: Books) -> None:
    def typed() -> None:
        for number in range(203):
            pod.subject.samples.steal_number(pod.emulator, f"SO-{number}")
        doc = pod.emulator.shelf.get("invoice", "78")
        pod.emulator.shelf.put("invoice", "78", doc | {"BusinessUnit": "Another BU"})
        doc = pod.emulator.shelf.get("invoice", "79")
        pod.emulator.shelf.put("invoice", "79", doc | {"InvoiceStatus": "Incomplete"})

    pod.sandbox.run(typed)
    before = len(pod.calls())
    listed = pod.platform.since(date(2026, 11, 22))
    assert len(listed) == len({one.id for one in listed}) == 202
    assert len(pod.calls()) - before == 3
    assert [one.id for one in listed if one.status is Status.DRAFT] == ["79"], "nobody of ours took it back"
    with pytest.raises(Rejected, match="colour is not valid"):
        pod.platform.items(pod.platform.invoices.path, {"colour": "brass"})
