"""The vendor's SDK drives the emulator: what Square's own client sends is accepted, what it expects comes back."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from connectors.sandbox import square as sandbox
from tests.contract.running import RunningSandbox

pytestmark = pytest.mark.proof("square")
NO_RETRIES: Any = {"max_retries": 0}


class Merchant:
    """The SDK's client, logged in to a sandbox of its own."""

    def __init__(self, running: RunningSandbox, token: str = sandbox.ACCESS_TOKEN) -> None:
        from square import Square

        self.running = running
        self.api = Square(base_url=f"{running.url}/square", token=token)

    def customer(self) -> str:
        fields = {"given_name": "Ada", "family_name": "Lovelace", "email_address": "ada@example.com"}
        return str(self.api.customers.create(**fields, reference_id="C-9", idempotency_key="c").customer.id)

    @staticmethod
    def basket(customer: str) -> Any:
        """The order of the documentation's kind: order-wide discount and tax."""

        def line(name: str, quantity: str, amount: int) -> Any:
            return {"name": name, "quantity": quantity, "base_price_money": {"amount": amount, "currency": "GBP"}}

        off = {"name": "Order discount", "type": "FIXED_AMOUNT", "scope": "ORDER"}
        return {
            "location_id": "LGB1",
            "reference_id": "SO-1001",
            "customer_id": customer,
            "line_items": [line("Brass plaque", "2", 4500), line("Steel tag", "1", 550), line("Shipping", "1", 795)],
            "discounts": [{**off, "amount_money": {"amount": 500, "currency": "GBP"}}],
            "taxes": [{"name": "VAT", "percentage": "20", "type": "ADDITIVE", "scope": "ORDER"}],
        }

    def draft(self, number: str = "SO-1001", key: str = "i") -> Any:
        customer = self.customer()
        order = self.api.orders.create(order=self.basket(customer), idempotency_key=f"o-{key}").order
        asked = {"request_type": "BALANCE", "due_date": "2026-12-06", "automatic_payment_source": "NONE"}
        invoice: Any = {
            "location_id": "LGB1",
            "order_id": order.id,
            "primary_recipient": {"customer_id": customer},
            "payment_requests": [asked],
            "delivery_method": "EMAIL",
            "invoice_number": number,
            "accepted_payment_methods": {"card": True},
        }
        return self.api.invoices.create(invoice=invoice, idempotency_key=key, request_options=NO_RETRIES).invoice


@pytest.fixture
def merchant() -> Iterator[Merchant]:
    running = RunningSandbox([sandbox.Square])
    yield Merchant(running)
    running.close()


def test_an_order_is_previewed_made_and_billed(merchant: Merchant) -> None:
    customer = merchant.customer()
    seen = merchant.api.orders.calculate(order=merchant.basket(customer)).order
    assert (seen.total_money.amount, seen.total_tax_money.amount, seen.total_discount_money.amount) == (
        11814,
        1969,
        500,
    )
    draft = merchant.draft()
    assert (draft.status, draft.version, draft.public_url) == ("DRAFT", 0, None)
    assert draft.payment_requests[0].computed_amount_money.amount == 11814
    issued = merchant.api.invoices.publish(draft.id, version=0, idempotency_key="p").invoice
    assert (issued.status, issued.version, issued.next_payment_amount_money) == ("UNPAID", 1, None)
    assert issued.public_url.startswith("https://squareup.com/")
    assert merchant.running.run(_emulator(merchant).mails) == [(draft.id, "ada@example.com")]
    read = merchant.api.invoices.get(draft.id).invoice
    assert (read.invoice_number, read.primary_recipient.email_address) == ("SO-1001", "ada@example.com")
    assert merchant.api.orders.get(read.order_id).order.reference_id == "SO-1001"


def test_it_is_found_by_customer(merchant: Merchant) -> None:
    draft = merchant.draft()
    customer = draft.primary_recipient.customer_id
    where: Any = {"filter": {"location_ids": ["LGB1"], "customer_ids": [customer]}}
    assert [one.id for one in merchant.api.invoices.search(query=where).invoices] == [draft.id]
    only: Any = {"filter": {"customer_filter": {"customer_ids": [customer]}, "state_filter": {"states": ["OPEN"]}}}
    assert len(merchant.api.orders.search(location_ids=["LGB1"], query=only).orders) == 1
    by: Any = {"filter": {"email_address": {"exact": "ADA@example.com"}, "reference_id": {"exact": "C-9"}}}
    assert [one.id for one in merchant.api.customers.search(query=by).customers] == [customer]
    nobody: Any = {"filter": {"email_address": {"exact": "nobody@example.com"}}}
    assert merchant.api.customers.search(query=nobody).customers is None


def test_it_is_cancelled_and_a_draft_is_deleted(merchant: Merchant) -> None:
    one = merchant.draft("SO-1", "i1")
    merchant.api.invoices.publish(one.id, version=0)
    assert merchant.api.invoices.cancel(one.id, version=1).invoice.status == "CANCELED"
    other = merchant.draft("SO-2", "i2")
    merchant.api.invoices.delete(other.id, version=0)
    assert merchant.api.orders.get(other.order_id).order.state == "CANCELED"
    assert [entry.status for entry in merchant.running.run(_emulator(merchant).ledger)] == ["void"]


def test_a_key_gives_the_same_invoice_and_a_taken_number_none(merchant: Merchant) -> None:
    from square.core.api_error import ApiError

    assert merchant.draft().id == merchant.draft().id
    with pytest.raises(ApiError) as refused:
        merchant.draft(key="another")
    assert (refused.value.status_code, refused.value.errors[0].field) == (400, "invoice.invoice_number")
    with pytest.raises(ApiError) as reused:
        merchant.draft("SO-2")
    assert reused.value.errors[0].code == "IDEMPOTENCY_KEY_REUSED"


def test_a_token_is_refreshed_and_the_locations_are_listed(merchant: Merchant) -> None:
    given = merchant.api.o_auth.obtain_token(
        client_id=sandbox.CLIENT_ID,
        client_secret=sandbox.CLIENT_SECRET,
        grant_type="refresh_token",
        refresh_token=sandbox.REFRESH_TOKEN,
    )
    assert given.refresh_token == sandbox.REFRESH_TOKEN, "the code flow's does not rotate"
    assert given.expires_at
    there = Merchant(merchant.running, given.access_token).api.locations.list().locations
    assert (there[0].id, there[0].currency) == ("LGB1", "GBP")


def test_a_wrong_token_is_refused(merchant: Merchant) -> None:
    from square.core.api_error import ApiError

    with pytest.raises(ApiError) as refused:
        Merchant(merchant.running, "EAAA-wrong").api.locations.list()
    assert (refused.value.status_code, refused.value.errors[0].code) == (401, "UNAUTHORIZED")


def _emulator(merchant: Merchant) -> Any:
    return merchant.running.sandbox.hosted["square"].emulator
