"""The vendor's SDK drives the emulator: what Invoiced's own client sends is accepted, what it expects comes back."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from connectors.sandbox import invoiced as sandbox
from tests.contract.running import RunningSandbox

pytestmark = pytest.mark.proof("invoiced")
ITEMS = [
    {"name": "Brass plaque, engraved", "quantity": 2, "unit_cost": 45.0, "discounts": [{"amount": 9.0}]},
    {"name": "Shipping", "type": "shipping", "quantity": 1, "unit_cost": 7.95},
]


class Merchant:
    """The SDK's client, pointed at a sandbox of its own; the platform's clock moves a second a call."""

    def __init__(self, running: RunningSandbox) -> None:
        import invoiced

        self.running = running
        self.client = invoiced.Client(sandbox.API_KEY)
        self.client.api_url = f"{running.url}/invoiced"

    def invoice(self, customer: int, **more: Any) -> Any:
        self.running.pass_time(1)
        given = {"customer": customer, "currency": "gbp", "draft": True, "items": ITEMS, "calculate_taxes": False}
        marks = {"billhook_order": "SO-1001"}
        return self.client.Invoice.create(**given, taxes=[{"amount": 17.79}], metadata=marks, **more)


@pytest.fixture
def merchant() -> Iterator[Merchant]:
    running = RunningSandbox([sandbox.Invoiced])
    yield Merchant(running)
    running.close()


@pytest.fixture
def customer(merchant: Merchant) -> int:
    made = merchant.client.Customer.create(name="Analytical Engines Ltd", email="ada@example.com", number="C-9")
    return int(made.id)


def test_an_invoice_goes_from_draft_to_void(merchant: Merchant, customer: int) -> None:
    invoice = merchant.invoice(customer)
    assert (invoice.draft, invoice.status, invoice.subtotal, invoice.total) == (True, "draft", 97.95, 106.74)
    invoice.draft = False
    assert invoice.save() is True
    assert (invoice.draft, invoice.status, invoice.balance) == (False, "not_sent", 106.74)
    merchant.running.pass_time(1)
    read = merchant.client.Invoice.retrieve(invoice.id)
    assert (read.total, read["items"][0]["amount"]) == (106.74, 90)
    emails = invoice.send()
    assert [email.email for email in emails] == ["ada@example.com"]
    assert invoice.void() is True
    assert invoice.status == "voided"


def test_it_is_found_by_what_we_wrote_into_it(merchant: Merchant, customer: int) -> None:
    made = merchant.invoice(customer)
    found, metadata = merchant.client.Invoice.list(**{"metadata[billhook_order]": "SO-1001"})
    assert ([one.id for one in found], metadata.total_count) == ([made.id], 1)
    none, _ = merchant.client.Invoice.list(metadata={"billhook_order": "SO-100"})
    assert none == []
    (ada,), _ = merchant.client.Customer.list(filter={"number": "C-9"})
    assert ada.id == customer
    merchant.running.pass_time(1)
    (ada,), _ = merchant.client.Customer.list(filter={"email": "ada@example.com"})
    assert ada.name == "Analytical Engines Ltd"


def test_lists_come_in_pages(merchant: Merchant, customer: int) -> None:
    for _ in range(3):
        merchant.invoice(customer)
    merchant.running.pass_time(1)
    page, metadata = merchant.client.Invoice.list(per_page=2)
    assert (len(page), metadata.total_count) == (2, 3)
    assert set(metadata.links) == {"self", "first", "last", "next"}


def test_a_key_gives_the_first_object_again(merchant: Merchant, customer: int) -> None:
    first = merchant.invoice(customer, idempotency_key="one")
    again = merchant.invoice(customer, idempotency_key="one")
    assert first.id == again.id
    assert merchant.invoice(customer, idempotency_key="two").id != first.id


def test_a_credit_note_is_applied_by_a_payment(merchant: Merchant, customer: int) -> None:
    invoice = merchant.invoice(customer)
    invoice.draft = False
    invoice.save()
    merchant.running.pass_time(1)
    given = {"customer": customer, "currency": "gbp", "calculate_taxes": False, "draft": False}
    note = merchant.client.CreditNote.create(items=[{"name": "Shipping", "quantity": 1, "unit_cost": 7.95}], **given)
    assert (note.status, note.total, note.balance) == ("open", 7.95, 7.95)
    applied = {"type": "credit_note", "credit_note": note.id, "document_type": "invoice", "invoice": invoice.id}
    merchant.client.Payment.create(currency="gbp", amount=0, applied_to=[{**applied, "amount": 7.95}])
    merchant.running.pass_time(1)
    assert merchant.client.CreditNote.retrieve(note.id).status == "paid"
    assert merchant.client.Invoice.retrieve(invoice.id).balance == 98.79
    found, _ = merchant.client.Invoice.list(start_date=4_000_000_000)
    assert found == []


def test_a_draft_is_deleted(merchant: Merchant, customer: int) -> None:
    import invoiced

    made = merchant.invoice(customer)
    assert made.delete() is True
    with pytest.raises(invoiced.errors.InvalidRequestError) as missing:
        merchant.client.Invoice.retrieve(made.id)
    assert missing.value.status_code == 404


def test_the_sdk_raises_its_own_exceptions(merchant: Merchant, customer: int) -> None:
    import invoiced

    with pytest.raises(invoiced.errors.InvalidRequestError, match="Name cannot be blank") as refused:
        merchant.client.Customer.create(email="ada@example.com")
    assert (refused.value.status_code, refused.value.error["param"]) == (400, "name")
    for _ in range(2):  # two calls of this second went before
        merchant.client.Invoice.list()
    with pytest.raises(invoiced.errors.RateLimitError):
        merchant.client.Invoice.list()
    merchant.running.pass_time(2)
    merchant.client.api_key = "another"
    with pytest.raises(invoiced.errors.AuthenticationError):
        merchant.client.Invoice.list()
