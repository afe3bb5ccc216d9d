"""What only SAP Business One has: a key's row beside its invoice, two cookies, rounding lines, approval."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

from connectors.errors import ConnectorError, Duplicate, Rejected, Throttled, Unauthorized, Unavailable, Uncertain
from connectors.http import Http
from connectors.model import RemoteInvoice, Status
from connectors.platforms import sap_business_one_batch as batch
from connectors.platforms.documents import PlannedInvoice
from connectors.platforms.sap_business_one import SapBusinessOne, SapBusinessOneCredentials
from connectors.sandbox import sap_business_one as sandbox
from tests.contract import orders
from tests.contract.attempts import Try, found, look
from tests.contract.running import Books, RunningSandbox, subjects
from tests.contract.test_platforms import planned, replies
from tests.contract.walking import attempt, customer_id, issued, packed
from tests.kit.dripping import HostileServer


@pytest.fixture
def company() -> Iterator[Books]:
    running = RunningSandbox([sandbox.SapBusinessOne])
    yield Books(subjects()["sap_business_one"], running)
    running.close()


def keys(company: Books) -> int:
    return company.sandbox.run(lambda: company.emulator.shelf.count("U_BILLHOOK_KEY"))


def test_a_refused_invoice_leaves_no_key_and_a_taken_key_no_invoice(company: Books) -> None:
    settings = company.subject.samples.unknown_tax(company.subject.samples.settings)
    wrong = company.connected(settings=SapBusinessOne.Settings.model_validate(settings))
    assert type(wrong.invoices.create(attempt(wrong, orders.simple("SO-1"))).error) is Rejected
    assert (keys(company), company.ledger()) == (0, [])
    issued(company.platform, orders.simple("SO-1"))
    again = attempt(company.platform, orders.simple("SO-1"), generation=2)
    assert type(company.platform.invoices.create(again).error) is Duplicate
    assert (keys(company), len(company.ledger())) == (1, 1)


def test_in_a_batch_what_exists_already_does_not_hold_up_the_others(company: Books) -> None:
    issued(company.platform, orders.simple("SO-1"))
    tries = [attempt(company.platform, orders.simple(f"SO-{number}")) for number in range(4)]
    outcomes = packed(company.platform, tries)
    assert [type(outcome.error) for outcome in outcomes] == [type(None), Duplicate, type(None), type(None)]
    assert [entry.reference for entry in company.ledger()] == ["SO-1", "SO-0", "SO-2", "SO-3"]


@pytest.mark.parametrize(
    ("status", "means"),
    [(400, Rejected), (401, Unavailable), (408, Uncertain), (429, Throttled), (500, Uncertain)],
)
def test_what_is_no_refusal_within_a_batch_is_not_taken_for_one(
    company: Books, status: int, means: type[ConnectorError]
) -> None:
    one = attempt(company.platform, orders.simple("SO-1"))
    said = '{"error":{"code":"-1","message":"no"}}'
    part = f"Content-Type: application/http\r\n\r\nHTTP/1.1 {status} X\r\n\r\n{said}\r\n"
    server = HostileServer(replies(f"--b\r\n{part}--b--\r\n".encode(), "202 Accepted"))
    try:
        outcome = company.subject.at(server.url).invoices.create(Try(one.draft, one.plan))
    finally:
        server.close()
    assert type(outcome.error) is means


def test_content_ids_are_unique_in_a_batch() -> None:
    one, two = (batch.change_set([("/a", f'{{"n":{n}}}'), ("/b", "{}")]) for n in (1, 2))
    whole = batch.joined([one, two])
    assert [line for line in whole.split("\r\n") if line.startswith("Content-ID")] == [
        f"Content-ID: {number}" for number in (1, 2, 3, 4)
    ]
    assert whole.count('{"n":1}') == whole.count('{"n":2}') == 1
    assert batch.joined([one]) == one


@pytest.mark.parametrize("cut", [10, 60, -1, -5])
def test_half_a_batch_is_no_answer(cut: int) -> None:
    with pytest.raises((ValueError, IndexError)):
        batch.parts("--a\r\nContent-Type: application/http\r\n\r\nHTTP/1.1 400 Bad\r\n\r\n{}\r\n--a--"[:cut])


def test_a_key_without_its_invoice_is_for_a_person(company: Books) -> None:
    """As where an approval procedure keeps the invoice back: it is answered, but it is none."""
    one = attempt(company.platform, orders.simple("SO-1"))
    create = company.emulator.books._invoice

    def kept_back(raw: Any) -> Any:
        made = create(raw)
        company.emulator.shelf.drop("Invoices", str(made["DocEntry"]))
        return made

    company.emulator.books._invoice = kept_back
    outcome = company.platform.invoices.create(one)
    assert type(outcome.error) is Uncertain
    assert "approval" in outcome.error.message
    held = look(company.platform.invoices, one.draft)
    assert isinstance(held, Rejected)
    assert "approve it" in held.message


def test_a_cent_of_rounding_is_a_line_that_says_so(company: Books) -> None:
    line = orders.line(orders.PLAQUE)
    draft = orders.draft("SO-1", [{**line, "tax": {**line["tax"], "amount": "18.01"}}])
    one = attempt(company.platform, draft)
    assert one.plan[0].remark == "a rounding line of 0.01 GBP makes the total that of the order"
    outcome = company.platform.invoices.create(one)
    assert (outcome.error, outcome.difference) == (None, None)
    (entry,) = company.ledger()
    assert entry.lines[-1] == "Rounding × 1 @ 0.01"
    wrong = orders.draft("SO-2", [{**line, "tax": {**line["tax"], "amount": "19.00"}}])
    with pytest.raises(Rejected, match="correct the order's taxes"):
        company.platform.invoices.plan(planned(wrong))


def test_where_the_company_rounds_is_a_setting(company: Books) -> None:
    """Seven times 0.33 at 20 %: 0.07 each, 0.46 together."""
    part = {**orders.PLAQUE, "quantity": "1", "unit_price": "0.33"}
    draft = orders.draft("SO-1", [orders.line(part) for _ in range(7)])
    company.emulator.books.rounding = "rate"
    by_line = company.platform.invoices.create(attempt(company.platform, draft))
    assert by_line.difference is not None
    by_rate = company.connected(settings=company.subject.settings(rounding="rate"))
    one = attempt(by_rate, draft.model_copy(update={"key": "another", "reference": "SO-2"}))
    assert "a rounding line of 0.03 GBP" in one.plan[0].remark
    outcome = by_rate.invoices.create(one)
    assert (outcome.error, outcome.difference) == (None, None)


def test_an_invoice_in_a_foreign_currency_is_read_in_it(company: Books) -> None:
    draft = orders.simple("SO-1", currency="EUR")
    document = issued(company.platform, draft)
    assert (document.currency, document.total, document.tax, document.due) == (
        "EUR", Decimal("108.00"), Decimal("18.00"), Decimal("108.00"),
    )  # fmt: skip


def test_a_long_description_stands_whole_in_the_items_details(company: Books) -> None:
    part = {**orders.PLAQUE, "description": "Brass plaque, " + "engraved " * 20}
    issued(company.platform, orders.draft("SO-1", [orders.line(part)]))
    assert part["description"] in company.ledger()[0].lines[0]


def test_the_merchants_own_customer_is_taken_where_its_currency_fits(company: Books) -> None:
    for code, currency in (("C1", "EUR"), ("C2", "£")):
        raw = {"CardCode": code, "CardName": "Engines", "CardType": "cCustomer", "EmailAddress": "ADA@example.com"}
        company.sandbox.run(
            lambda made={**raw, "Currency": currency}: company.emulator.books.create("BusinessPartners", made)
        )
    assert customer_id(company.platform, orders.simple("SO-1")) == "C2"


def test_a_session_is_two_cookies_and_ends_when_idle(company: Books) -> None:
    grant, credentials = company.subject.grant(), company.subject.credentials()
    assert grant is not None
    token = grant.at(company.url).obtain(Http(10), credentials, None)
    assert token.access.endswith("; ROUTEID=.node1")
    platform = company.connected(headers=SapBusinessOne.proof(token.access, credentials))
    for _ in range(3):
        company.sandbox.pass_time(20 * 60)
        assert platform.whoami() == "Engraver Ltd (SBODEMOGB)", "each call keeps it open"
    with pytest.raises(Unauthorized):
        company.connected(headers={"Cookie": token.access.partition(";")[0]}).whoami()
    company.sandbox.pass_time(31 * 60)
    with pytest.raises(Unauthorized, match="already timeout"):
        platform.whoami()
    wrong = SapBusinessOneCredentials.model_validate({"username": sandbox.USER, "password": "wrong"})
    with pytest.raises(Unauthorized, match=f"login of {sandbox.USER} to SBODEMOGB"):
        grant.at(company.url).obtain(Http(10), wrong, None)


def test_a_cancelled_invoice_is_voided_and_its_cancellation_is_nobodys_invoice(company: Books) -> None:
    document = issued(company.platform, orders.simple("SO-1"))
    company.platform.void(document.id, "void-1")
    assert company.platform.void(document.id, "void-2").status.value == "void", "once more changes nothing"
    hit = found(company.platform.invoices, attempt(company.platform, orders.simple("SO-1")).draft)
    assert hit is not None
    assert hit.document.id == document.id
    assert len(company.ledger()) == 1


def note_of(company: Books, invoice: RemoteInvoice, currency: str = "GBP") -> PlannedInvoice:
    """A note of one of its lines, from what the invoice is now."""
    part = orders.draft("SO-1001", [orders.line(orders.TAG)], currency=currency)
    part = part.model_copy(update={"reference": "SO-1001-C1", "key": f"{part.key}/credit/C1"})
    read = company.platform.read(invoice.id)
    return PlannedInvoice(draft=part, customer_id=str(read.customer_id), credited=read)


def paid(company: Books, invoice_id: str, amount: str) -> None:
    """As the merchant's bookkeeper does it."""

    def pay() -> None:
        doc = company.emulator.books.one("Invoices", invoice_id)
        company.emulator.shelf.put("Invoices", invoice_id, {**doc, "PaidToDate": Decimal(amount)})

    company.sandbox.run(pay)


def test_a_credit_note_refers_to_its_invoice_and_is_reconciled_with_it_by_their_journal_entries(company: Books) -> None:
    invoice = issued(company.platform, orders.ORDERS["two lines, discount, shipping"]())
    note = note_of(company, invoice)
    made = company.platform.credits.create(Try(note, company.platform.credits.plan(note)))
    assert made.error is None, made.error
    assert made.document is not None
    held = company.sandbox.run(lambda: company.emulator.books.one("CreditNotes", made.document.id))
    assert held["DocumentReferences"] == [{"RefDocEntr": int(invoice.id), "RefObjType": "rot_SalesInvoice"}]
    (matched,) = company.sandbox.run(lambda: company.emulator.shelf.all("InternalReconciliations"))
    rows = matched["InternalReconciliationRows"]
    assert [(row["CreditOrDebit"], str(row["SrcObjAbs"])) for row in rows] == [
        ("codCredit", made.document.id), ("codDebit", invoice.id),
    ]  # fmt: skip
    assert company.platform.read(invoice.id).due == invoice.total - note.draft.total
    assert company.platform.credits.read(made.document.id).status is Status.PAID
    with pytest.raises(Rejected, match="not supported"):
        company.platform.void(invoice.id, "void")
    again = company.platform.credits.create(Try(note, company.platform.credits.plan(note), generation=2))
    assert type(again.error) is Duplicate, "its key has its row"


def test_what_was_paid_between_the_note_and_its_reconciliation_is_not_taken_off_twice(company: Books) -> None:
    """More than is due is refused; from what is due then it is carried on."""
    invoice = issued(company.platform, orders.simple("SO-1001"))
    note = note_of(company, invoice)

    def pay(step: str) -> None:
        if step == "reconcile":
            paid(company, invoice.id, "106.50")

    outcome = company.platform.credits.create(Try(note, company.platform.credits.plan(note), on_begin=pay))
    assert type(outcome.error) is Rejected
    assert "open amount" in outcome.error.message
    fresh = note_of(company, invoice)
    hit = found(company.platform.credits, fresh)
    assert hit is not None
    assert hit.resume_at == "entry"
    rest = Try(fresh, company.platform.credits.plan(fresh), made={"create": hit.document.id}, document=hit.document)
    assert company.platform.credits.create(rest).error is None
    left = note.draft.total - Decimal("1.50")
    assert (company.platform.read(invoice.id).due, company.platform.credits.read(hit.document.id).due) == (0, left)
    assert len(company.credits()) == 1


def test_in_a_foreign_currency_a_person_reconciles(company: Books) -> None:
    invoice = issued(company.platform, orders.simple("SO-1001", currency="EUR"))
    note = note_of(company, invoice, "EUR")
    outcome = company.platform.credits.create(Try(note, company.platform.credits.plan(note)))
    assert type(outcome.error) is Rejected
    assert "reconcile it with its invoice there" in outcome.error.message
    assert [entry.currency for entry in company.credits()] == ["EUR"]
    hit = found(company.platform.credits, note)
    assert hit is not None
    assert hit.resume_at == "entry"
    doc = company.sandbox.run(lambda: company.emulator.books.one("CreditNotes", hit.document.id))
    done = {**doc, "PaidToDateFC": doc["DocTotalFc"], "DocumentStatus": "bost_Close"}
    company.sandbox.run(lambda: company.emulator.shelf.put("CreditNotes", hit.document.id, done))
    hit = found(company.platform.credits, note)
    assert hit is not None
    assert hit.resume_at is None


def test_a_page_has_twenty_rows_and_the_next_ones_are_read_too(company: Books) -> None:
    """More than two hundred invoices of one reference: only ours is ours."""
    one = attempt(company.platform, orders.simple("SO-1"))
    company.sandbox.run(lambda: company.subject.samples.steal_number(company.emulator, "SO-1"))
    first = company.sandbox.run(lambda: company.emulator.shelf.all("Invoices")[0])

    def many() -> None:
        for number in range(250):
            entry = 9000 + number
            company.emulator.shelf.put("Invoices", str(entry), {**first, "DocEntry": entry})

    company.sandbox.run(many)
    outcome = company.platform.invoices.create(Try(one.draft, one.plan))
    hit = found(company.platform.invoices, one.draft)
    assert hit is not None
    assert outcome.document is not None
    assert hit.document.id == outcome.document.id
