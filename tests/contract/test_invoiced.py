"""Invoiced's own rules: tax rules kept away, cards not charged, mails not doubled, a credit hold told."""

from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

from connectors.errors import Rejected, Unavailable
from connectors.platforms.documents import PlannedInvoice
from tests.contract import orders
from tests.contract.running import Books, RunningSandbox, subjects
from tests.contract.samples.invoiced import call
from tests.contract.test_credits import note_of, tried
from tests.contract.walking import attempt, customer_id, issued
from tests.kit.dripping import HostileServer, response


@pytest.fixture
def books() -> Iterator[Books]:
    subject = subjects()["invoiced"]
    sandbox = RunningSandbox([subject.emulator])
    yield Books(subject, sandbox)
    sandbox.close()


def body(platform: Any, draft: Any) -> Any:
    """What would be sent to make the draft."""
    plan = platform.invoices.plan(PlannedInvoice(draft=draft, customer_id="415020"))
    return json.loads(plan[0].body, parse_float=Decimal)


def test_the_business_s_own_tax_rule_does_not_fall_on_our_invoices(books: Books) -> None:
    untaxed = orders.draft("SO-1", [orders.line(orders.PLAQUE, None)])
    assert issued(books.platform, untaxed).total == Decimal("90.00")
    theirs = {"customer": 415020, "draft": False, "items": [{"name": "Plaque", "quantity": 1, "unit_cost": 90}]}
    assert books.sandbox.run(lambda: call(books.emulator, "POST", "/invoices", theirs))["total"] == 108


def test_no_card_is_charged_unless_the_merchant_says_so(books: Books) -> None:
    assert body(books.platform, orders.simple("SO-1"))["autopay"] is False
    willing = books.connected(settings=books.subject.settings(autopay=True))
    assert body(willing, orders.simple("SO-1"))["autopay"] is True


def test_an_invoice_marked_as_sent_is_not_mailed_by_invoiced_too(books: Books) -> None:
    marking = books.connected(settings=books.subject.settings(mark_sent=True))
    document = issued(marking, orders.simple("SO-1"))
    shown = books.sandbox.run(lambda: call(books.emulator, "GET", f"/invoices/{document.id}"))
    assert (shown["status"], shown["draft"]) == ("sent", False)
    assert books.sandbox.run(books.emulator.mails) == []


def test_the_platform_mails_the_customer(books: Books) -> None:
    document = issued(books.platform, orders.simple("SO-1"))
    books.platform.send(document.id, "mail-1")
    assert books.sandbox.run(books.emulator.mails) == [(document.number, "ada@example.com")]


def test_a_customer_on_credit_hold_is_told_in_the_platform_s_words(books: Books) -> None:
    one = attempt(books.platform, orders.simple("SO-1"))
    customer = books.sandbox.run(lambda: call(books.emulator, "GET", "/customers"))[0]
    held = {**customer, "credit_hold": True}
    books.sandbox.run(lambda: books.emulator.shelf.put("customers", str(customer["id"]), held))
    outcome = books.platform.invoices.create(one)
    assert type(outcome.error) is Rejected
    assert "credit hold" in outcome.error.message


def test_the_notes_name_each_tax_and_prices_with_tax_are_said_to_be_stated_without(books: Books) -> None:
    two = body(books.platform, orders.ORDERS["two tax rates"]())
    assert two["notes"] == "Order SO-1005\nVAT 20 %: 18.00\nVAT 5 %: 0.28"
    assert two["taxes"] == [{"amount": Decimal("18.00")}, {"amount": Decimal("0.28")}]
    included = PlannedInvoice(draft=orders.ORDERS["tax included"](), customer_id="415020")
    plan = books.platform.invoices.plan(included)
    assert "without their tax" in plan[0].remark
    assert "2 × 54.00 including tax" in plan[0].body


def test_a_merchant_s_own_customer_is_adopted_and_a_list_is_read_to_its_end(books: Books) -> None:
    party = {"name": "Ada Lovelace", "email": "ada@example.com"}
    known = books.sandbox.run(lambda: [call(books.emulator, "POST", "/customers", party) for _ in range(120)])
    ada = books.sandbox.run(
        lambda: call(books.emulator, "POST", "/customers", {**party, "name": "Analytical Engines Ltd"})
    )
    assert customer_id(books.platform, orders.simple("SO-1")) == str(ada["id"])
    assert len(known) == 120, "and so it stands on the second page"


def test_a_credit_note_is_applied_to_its_invoice_by_a_payment_of_no_money(books: Books) -> None:
    draft = orders.simple("SO-1")
    invoice = issued(books.platform, draft)
    note = books.platform.credits.create(tried(books, note_of(books, invoice, draft))).document
    assert books.sandbox.run(lambda: call(books.emulator, "GET", f"/invoices/{invoice.id}"))["balance"] == 0
    (payment,) = books.sandbox.run(lambda: books.emulator.shelf.all("payments"))
    (applied,) = payment["applied_to"]
    assert (payment["amount"], payment["balance"], payment["reference"]) == (0, 0, "SO-1-C1")
    assert (applied["credit_note"], applied["invoice"]) == (int(note.id), int(invoice.id))
    shown = books.sandbox.run(lambda: call(books.emulator, "GET", f"/credit_notes/{note.id}"))
    assert shown["status"] == "paid"
    assert shown["notes"].startswith(f"Credit note of order SO-1, invoice {invoice.number}\n")


def test_more_than_is_due_is_refused_and_told(books: Books) -> None:
    """Somebody paid in the meantime: the note is there and issued, and is applied to nothing."""
    draft = orders.simple("SO-1")
    invoice = issued(books.platform, draft)
    one = tried(books, note_of(books, invoice, draft))
    used = {"type": "invoice", "invoice": int(invoice.id), "amount": 50}
    books.sandbox.run(lambda: call(books.emulator, "POST", "/payments", {"amount": 50, "applied_to": [used]}))
    outcome = books.platform.credits.create(one)
    assert type(outcome.error) is Rejected
    assert "balance" in outcome.error.message
    assert [entry.status for entry in books.credits()] == ["issued"]


def test_credit_notes_stay_drafts_where_a_person_issues_them(books: Books) -> None:
    draft = orders.simple("SO-1")
    invoice = issued(books.platform, draft)
    careful = books.connected(settings=books.subject.settings(issue=False))
    plan = careful.credits.plan(note_of(books, invoice, draft))
    assert [request.step for request in plan] == ["create"]


def test_a_list_that_ends_too_early_is_not_believed() -> None:
    server = HostileServer(
        lambda exchange: exchange.send(response(b"[]", "200 OK", extra="X-Total-Count: 1\r\nConnection: close\r\n"))
    )
    try:
        platform = subjects()["invoiced"].at(server.url)
        with pytest.raises(Unavailable, match="ended after 0"):
            platform.pages("/invoices", {})
    finally:
        server.close()
