"""What is special about Stripe's credit notes: tax amounts need rates of Stripe's own, what was paid is named."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

from connectors.errors import Rejected
from connectors.model import InvoiceDraft
from connectors.sandbox import stripe as sandbox
from tests.contract import orders
from tests.contract.attempts import Try, found
from tests.contract.running import Books, RunningSandbox, subjects
from tests.contract.samples.stripe import call, pay_by_hand
from tests.contract.test_credits import given_back, note_of
from tests.contract.walking import issued


@pytest.fixture
def account() -> Iterator[Books]:
    running = RunningSandbox([sandbox.Stripe])
    yield Books(subjects()["stripe"], running)
    running.close()


def pins(*prices: str) -> InvoiceDraft:
    """Each of these prices at 20 %, its tax rounded by itself."""
    parts = [{"ref": str(n), "description": f"Pin {n}", "quantity": "1", "unit_price": p} for n, p in enumerate(prices)]
    return orders.draft("SO-1", [orders.line(part) for part in parts])


def tried(account: Books, invoice: Any, draft: InvoiceDraft, name: str = "C1") -> Try[Any]:
    note = note_of(account, invoice, draft, name)
    return Try(note, account.platform.credits.plan(note))


def shown(account: Books, kind: str, ident: str) -> Any:
    return account.sandbox.run(lambda: call(account.emulator, "GET", f"/v1/{kind}/{ident}"))


def test_what_stripe_might_round_otherwise_is_said_as_tax_amounts_of_the_invoices_own_rate(account: Books) -> None:
    draft = pins("0.12", "0.12", "0.12")
    invoice = issued(account.platform, draft)
    one = tried(account, invoice, draft)
    given_back(account, one.draft, account.platform.credits.create(one))
    (note,) = account.credits()
    taxes = shown(account, "credit_notes", note.id)["total_taxes"]
    assert [tax["amount"] for tax in taxes] == [6]
    assert taxes == shown(account, "invoices", invoice.id)["total_taxes"]


def test_without_such_a_rate_it_is_left_to_a_person_and_nothing_is_sent(account: Books) -> None:
    """Whole, the order is rounded alike by line and by rate; this part of it is not."""
    invoice = issued(account.platform, pins("0.12", "0.12", "0.12", "0.13", "0.13", "0.13"))
    one = tried(account, invoice, pins("0.12", "0.12", "0.12"))
    outcome = account.platform.credits.create(one)
    assert type(outcome.error) is Rejected
    assert "make it by hand" in outcome.error.message
    assert one.log == []
    assert account.credits() == []


def test_what_was_paid_already_is_given_back_outside_of_stripe(account: Books) -> None:
    """After a part was credited, and the rest paid, nothing is due: all of the second note is given back elsewhere."""
    draft = orders.ORDERS["two lines, discount, shipping"]()
    invoice = issued(account.platform, draft)
    tag = orders.draft("SO-1001", [orders.line(orders.TAG)])
    first = tried(account, invoice, tag)
    assert account.platform.credits.create(first).error is None
    account.sandbox.run(lambda: pay_by_hand(account.emulator, invoice.id))
    second = tried(account, invoice, orders.draft("SO-1001", [orders.line({**orders.PLAQUE, "quantity": "1"})]), "C2")
    note = account.platform.credits.create(second).document
    raw = shown(account, "credit_notes", note.id)
    assert (raw["pre_payment_amount"], raw["post_payment_amount"], raw["out_of_band_amount"]) == (0, 5400, 5400)
    after = shown(account, "invoices", invoice.id)
    assert (after["amount_paid"], after["amount_remaining"], after["status"]) == (11814 - 660, 0, "paid")


def test_a_payment_that_comes_meanwhile_is_told(account: Books) -> None:
    draft = orders.simple("SO-1")
    invoice = issued(account.platform, draft)
    one = tried(account, invoice, draft)
    account.sandbox.run(lambda: pay_by_hand(account.emulator, invoice.id))
    outcome = account.platform.credits.create(one)
    assert type(outcome.error) is Rejected
    assert "post_payment_amount" in outcome.error.message
    assert found(account.platform.credits, one.draft) is None


def test_more_than_the_invoice_is_refused_and_an_invoice_with_a_note_is_not_voided(account: Books) -> None:
    invoice = issued(account.platform, orders.simple("SO-1"))
    tag = orders.draft("SO-1", [orders.line(orders.TAG)])
    assert account.platform.credits.create(tried(account, invoice, tag)).error is None
    outcome = account.platform.credits.create(tried(account, invoice, orders.simple("SO-1"), "C2"))
    assert "more than its total" in str(outcome.error)
    with pytest.raises(Rejected, match="has a credit note"):
        account.platform.void(invoice.id, "void")
    assert account.platform.read(invoice.id).due == invoice.total - Decimal("6.60")


def test_where_drafts_are_left_there_is_no_credit_note(account: Books) -> None:
    invoice = issued(account.platform, orders.simple("SO-1"))
    drafting = account.connected(settings=account.subject.settings(issue=False))
    with pytest.raises(Rejected, match="no drafts of credit notes"):
        drafting.credits.plan(note_of(account, invoice, orders.simple("SO-1")))
