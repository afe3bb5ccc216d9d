"""What only FreshBooks has: rounding by a line of its own, numbers that stay taken, mails to the client, shapes, a
client's credit."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from functools import partial
from typing import Any

import pytest

from connectors.errors import Duplicate, Rejected
from connectors.http import Http
from connectors.model import Address, RemoteInvoice, Status
from connectors.platforms.documents import PlannedInvoice
from connectors.platforms.freshbooks_words import FreshBooksSettings, invoice
from connectors.sandbox import freshbooks as sandbox
from tests.contract import orders
from tests.contract.attempts import Try, found, look
from tests.contract.running import Books, RunningSandbox, subjects
from tests.contract.samples.freshbooks import SAMPLES, call
from tests.contract.walking import attempt, issued

SETTINGS = FreshBooksSettings.model_validate(SAMPLES.settings)


@pytest.fixture
def books() -> Iterator[Books]:
    subject = subjects()["freshbooks"]
    running = RunningSandbox([subject.emulator])
    yield Books(subject, running)
    running.close()


def tags(rounded_by_rate: bool = False) -> Any:
    """Three lines of 0.03: 0.01 tax each by line, 0.02 in all by rate."""
    lines = [orders.line({**orders.TAG, "ref": str(n), "unit_price": "0.03"}) for n in range(3)]
    if rounded_by_rate:
        lines[0]["tax"] = {**lines[0]["tax"], "amount": "0.00"}
    return orders.draft("SO-1", lines)


def test_a_cent_of_rounding_is_a_line_of_its_own_and_in_the_trail(books: Books) -> None:
    draft = tags(rounded_by_rate=True)
    one = attempt(books.platform, draft)
    assert one.plan[0].remark == "a line of -0.01 makes up for how FreshBooks rounds tax"
    outcome = books.platform.invoices.create(one)
    assert (outcome.error, outcome.difference) == (None, None)
    assert books.ledger()[0].total == "0.11"
    assert "Rounding" in books.ledger()[0].lines[-1]


def test_a_business_whose_tax_is_rounded_by_rate_says_so() -> None:
    by_rate = SETTINGS.model_copy(update={"tax_rounding": "rate"})
    body, remark = invoice(tags(rounded_by_rate=True), "1", by_rate)
    assert (len(body["lines"]), remark) == (3, "")
    body, remark = invoice(tags(), "1", by_rate)
    assert body["lines"][3]["unit_cost"] == {"amount": "0.01", "code": "GBP"}


def test_a_draft_that_freshbooks_rounds_otherwise_is_never_marked_as_sent(books: Books) -> None:
    settings = SETTINGS.model_copy(update={"tax_rounding": "rate"})
    one = attempt(books.connected(settings=settings), tags(rounded_by_rate=True))
    outcome = books.platform.invoices.create(one)
    assert outcome.difference is not None
    assert [entry.status for entry in books.ledger()] == ["draft"]


def test_prices_that_include_tax_are_shown_without_it() -> None:
    body, _ = invoice(orders.ORDERS["tax included"](), "1", SETTINGS)
    first = body["lines"][0]
    assert (first["qty"], first["unit_cost"]["amount"]) == (Decimal(2), "45.00")
    assert first["description"].endswith("2 × 54.00 including tax")


def test_where_the_goods_went_stands_in_the_notes_before_the_key() -> None:
    draft = orders.simple("SO-1").model_copy(
        update={"shipping_address": Address(line1="1 Dorset Street", city="London", country="GB")}
    )
    body, _ = invoice(draft, "1", SETTINGS)
    assert body["notes"] == f"Ship to: 1 Dorset Street, London, GB\nOrder SO-1 · {draft.key}"
    assert body["country"] == "United Kingdom"


def test_the_number_of_a_deleted_draft_is_still_taken_and_shown_as_void(books: Books) -> None:
    drafting = books.connected(settings=SETTINGS.model_copy(update={"issue": False}))
    document = issued(drafting, orders.simple("SO-1"))
    assert document.status is Status.DRAFT
    assert drafting.void(document.id, "v").status is Status.VOID
    again = attempt(books.platform, orders.simple("SO-1"))
    assert found(books.platform.invoices, again.draft).document.status is Status.VOID  # type: ignore[union-attr]
    assert type(books.platform.invoices.create(again).error) is Duplicate


def test_a_draft_that_was_left_is_marked_as_sent_later(books: Books) -> None:
    drafting = books.connected(settings=SETTINGS.model_copy(update={"issue": False}))
    document = issued(drafting, orders.simple("SO-1"))
    one = attempt(books.platform, orders.simple("SO-1"))
    hit = found(books.platform.invoices, one.draft)
    assert hit is not None
    assert hit.resume_at == "issue"
    outcome = books.platform.invoices.create(one.after(hit))
    assert (outcome.document.id, outcome.document.status) == (document.id, Status.ISSUED)


def test_a_mail_goes_to_the_clients_address_and_a_paid_invoice_is_not_deleted(books: Books) -> None:
    document = issued(books.platform, orders.simple("SO-1"))
    assert books.sandbox.run(books.emulator.customers) == [("Analytical Engines Ltd", "ada@example.com")]
    books.platform.send(document.id, "m")
    assert books.sandbox.run(books.emulator.mails) == [(document.id, "ada@example.com")]

    def pay() -> None:
        doc = books.emulator.shelf.get("invoice", document.id)
        books.emulator.shelf.put("invoice", document.id, {**doc, "status": 4})

    books.sandbox.run(pay)
    with pytest.raises(Rejected, match="payments"):
        books.platform.void(document.id, "v")


def test_a_customer_without_an_email_address_is_found_in_the_whole_list(books: Books) -> None:
    for number in range(101):  # more than a page
        client = {"client": {"organization": f"Client {number}"}}
        books.sandbox.run(partial(call, books.emulator, "POST", "users/clients", client))
    draft = orders.simple("SO-1", customer={"ref": "C-1", "name": "Ada Lovelace"})
    first, again = issued(books.platform, draft), look(books.platform.customers, orders.customer(draft))
    assert again.document.id == first.customer_id  # type: ignore[union-attr]


def test_a_consent_for_another_business_is_named(books: Books) -> None:
    other = books.connected(settings=SETTINGS.model_copy(update={"account_id": "another"}))
    with pytest.raises(Rejected, match=r"FreshBooks: .* do not reach another, but Engraver Ltd \(ZyQ04o\)"):
        other.whoami()


def test_a_refresh_token_works_once_and_the_redirect_address_travels_with_it(books: Books) -> None:
    grant = books.subject.grant().at(books.url)  # type: ignore[union-attr]
    credentials = books.subject.credentials()
    token = grant.obtain(Http(10), credentials, sandbox.APP.refresh_token)
    assert token.refresh != sandbox.APP.refresh_token
    with pytest.raises(Exception, match="invalid_grant"):
        grant.obtain(Http(10), credentials, sandbox.APP.refresh_token)


def test_currencies_without_two_decimals_are_held_in_words() -> None:
    planned = PlannedInvoice(draft=orders.ORDERS["no decimals"](), customer_id="1")
    with pytest.raises(Rejected, match="JPY: amounts on FreshBooks have two decimals"):
        subjects()["freshbooks"].at("http://127.0.0.1:1").invoices.plan(planned)


def note_of(invoice: RemoteInvoice, reference: str = "SO-1-C1") -> PlannedInvoice:
    """One plaque of the order as a credit note of its invoice."""
    draft = orders.draft(reference, [orders.line({**orders.PLAQUE, "quantity": "1"})])
    return PlannedInvoice(draft=draft, customer_id=str(invoice.customer_id), credited=invoice)


def credited(books: Books, note: PlannedInvoice) -> Any:
    return books.platform.credits.create(Try(note, books.platform.credits.plan(note)))


def test_a_payment_from_credit_names_the_note_and_carries_the_key(books: Books) -> None:
    invoice = issued(books.platform, orders.simple("SO-1"))
    note = note_of(invoice)
    made = credited(books, note).document
    (payment,) = books.sandbox.run(lambda: books.emulator.shelf.all("payment"))
    assert (str(payment["invoiceid"]), payment["creditid"]) == (invoice.id, made.id)
    assert (payment["from_credit"], payment["amount"]["amount"]) == (True, "54.00")
    assert payment["note"].endswith(note.key)
    raw = books.sandbox.run(lambda: books.emulator.shelf.get("credit_note", made.id))
    assert (raw["terms"], raw["payment_status"]) == ("Credit for invoice SO-1", "paid")
    with pytest.raises(Rejected, match="has payments"):
        books.platform.void(invoice.id, "v")


def test_a_note_whose_payment_used_up_another_credit_is_complete(books: Books) -> None:
    """What remains of the note says nothing: FreshBooks may have taken an older credit of the client."""
    note = note_of(issued(books.platform, orders.simple("SO-1")))
    made = credited(books, note).document

    def untouched() -> None:
        raw = books.emulator.shelf.get("credit_note", made.id)
        nothing = {"amount": "0.00", "code": "GBP"}
        books.emulator.shelf.put("credit_note", made.id, {**raw, "paid": nothing, "payment_status": "unpaid"})

    books.sandbox.run(untouched)
    hit = found(books.platform.credits, note)
    assert hit is not None
    assert (hit.document.status, hit.resume_at) == (Status.ISSUED, None)


def test_more_than_is_outstanding_is_not_paid_from_credit(books: Books) -> None:
    """The invoice was read as due; meanwhile another note has settled it."""
    invoice = issued(books.platform, orders.simple("SO-1"))
    late = note_of(invoice, "SO-1-C2")
    whole = PlannedInvoice(draft=orders.simple("SO-1-C1"), customer_id=str(invoice.customer_id), credited=invoice)
    assert credited(books, whole).error is None
    assert isinstance(credited(books, late).error, Rejected)
    assert [entry.status for entry in books.credits()] == ["paid", "issued"]


def test_a_note_of_another_total_is_not_paid_from(books: Books) -> None:
    """FreshBooks rounds otherwise than was configured: nothing is taken off the invoice."""
    invoice = issued(books.platform, tags())
    settings = SETTINGS.model_copy(update={"tax_rounding": "rate"})
    note = PlannedInvoice(draft=tags(rounded_by_rate=True), customer_id=str(invoice.customer_id), credited=invoice)
    plan = books.connected(settings=settings).credits.plan(note)
    outcome = books.platform.credits.create(Try(note, plan))
    assert outcome.difference is not None
    assert books.platform.read(invoice.id).due == invoice.total


def test_where_drafts_are_wanted_credit_notes_are_left_to_a_person(books: Books) -> None:
    note = note_of(issued(books.platform, orders.simple("SO-1")))
    drafting = books.connected(settings=SETTINGS.model_copy(update={"issue": False}))
    with pytest.raises(Rejected, match="make the credit note by hand"):
        drafting.credits.plan(note)
