"""The vendor's SDK drives the emulator: what Xero's own client sends is accepted, what it expects comes back."""

from __future__ import annotations

import datetime
import time
from collections.abc import Iterator
from typing import Any

import pytest

from connectors.sandbox import xero as sandbox
from tests.contract.running import RunningSandbox

pytestmark = pytest.mark.proof("xero_python")


class Merchant:
    """The SDK's client, logged in to a sandbox of its own."""

    def __init__(self, running: RunningSandbox) -> None:
        from xero_python.accounting import AccountingApi
        from xero_python.api_client import ApiClient
        from xero_python.api_client.oauth2 import OAuth2Token

        self.running = running
        self.token: dict[str, Any] = {
            "access_token": sandbox.ACCESS_TOKEN,
            "refresh_token": sandbox.REFRESH_TOKEN,
            "scope": ["accounting.invoices", "offline_access"],
            "expires_in": 1800,
            "expires_at": time.time() + 1800,
            "token_type": "Bearer",
        }
        self.client = ApiClient(oauth2_token_getter=lambda: self.token, oauth2_token_saver=self.token.update)
        self.client.configuration.oauth2_token = OAuth2Token(sandbox.CLIENT_ID, sandbox.CLIENT_SECRET)
        self.api = AccountingApi(self.client, f"{running.url}/xero/api.xro/2.0")

    def contact(self, name: str = "Analytical Engines Ltd", **fields: Any) -> Any:
        from xero_python.accounting import Contact, Contacts

        made = Contact(name=name, contact_number="shop1-c-42", email_address="ada@example.com", **fields)
        return self.api.create_contacts(sandbox.TENANT, Contacts(contacts=[made])).contacts[0]

    def invoice(self, contact_id: str, number: str = "SO-1001", tax_type: str = "OUTPUT2") -> Any:
        from xero_python.accounting import Contact, CurrencyCode, Invoice, LineAmountTypes, LineItem

        lines = (("Brass plaque", 2, 45.00), ("Steel tag", 1, 5.50), ("Shipping", 1, 7.95), ("Discount", 1, -5.00))
        return Invoice(
            type="ACCREC",
            invoice_number=number,
            contact=Contact(contact_id=contact_id),
            date=datetime.date(2026, 11, 22),
            due_date=datetime.date(2026, 12, 6),
            currency_code=CurrencyCode.GBP,
            line_amount_types=LineAmountTypes.EXCLUSIVE,
            status="AUTHORISED",
            line_items=[
                LineItem(description=text, quantity=count, unit_amount=price, account_code="200", tax_type=tax_type)
                for text, count, price in lines
            ],
        )

    def create(self, *invoices: Any, **options: Any) -> Any:
        from xero_python.accounting import Invoices

        return self.api.create_invoices(sandbox.TENANT, Invoices(invoices=list(invoices)), **options).invoices


@pytest.fixture
def merchant() -> Iterator[Merchant]:
    running = RunningSandbox([sandbox.Xero])
    yield Merchant(running)
    running.close()


def test_an_invoice_is_created_and_read_back(merchant: Merchant) -> None:
    contact = merchant.contact()
    (made,) = merchant.create(merchant.invoice(contact.contact_id), summarize_errors=False, unitdp=4)
    (read,) = merchant.api.get_invoice(sandbox.TENANT, made.invoice_id).invoices
    assert (read.invoice_number, read.status, str(read.currency_code).split(".")[-1]) == (
        "SO-1001",
        "AUTHORISED",
        "GBP",
    )
    assert (float(read.sub_total), float(read.total_tax), float(read.total)) == (98.45, 19.69, 118.14)
    assert read.due_date == datetime.date(2026, 12, 6)
    assert [float(line.tax_amount) for line in read.line_items] == [18.00, 1.10, 1.59, -1.00]


def test_in_a_bulk_call_the_good_elements_are_saved_and_the_bad_one_says_why(merchant: Merchant) -> None:
    contact = merchant.contact()
    good, bad = merchant.create(
        merchant.invoice(contact.contact_id, "SO-1"),
        merchant.invoice(contact.contact_id, "SO-2", tax_type="NOSUCHTAX"),
        summarize_errors=False,
    )
    assert (good.status_attribute_string, good.has_errors) == ("OK", False)
    assert (bad.status_attribute_string, bad.has_errors) == ("ERROR", True)
    assert "NOSUCHTAX" in bad.validation_errors[0].message
    assert [entry.reference for entry in merchant.running.run(_ledger(merchant))] == ["SO-1"]


def test_a_duplicate_number_is_the_sdks_bad_request(merchant: Merchant) -> None:
    from xero_python.exceptions import AccountingBadRequestException

    contact = merchant.contact()
    merchant.create(merchant.invoice(contact.contact_id))
    with pytest.raises(AccountingBadRequestException) as refused:
        merchant.create(merchant.invoice(contact.contact_id))
    assert refused.value.reason == "Invoice # must be unique."


def test_an_invoice_is_found_by_its_number(merchant: Merchant) -> None:
    contact = merchant.contact()
    merchant.create(*(merchant.invoice(contact.contact_id, number) for number in ("SO-1", "SO-10", "SO-2")))
    found = merchant.api.get_invoices(sandbox.TENANT, invoice_numbers=["SO-1", "SO-2"]).invoices
    assert [invoice.invoice_number for invoice in found] == ["SO-1", "SO-2"]
    found = merchant.api.get_invoices(sandbox.TENANT, where='Type=="ACCREC" AND InvoiceNumber=="SO-10"').invoices
    assert [invoice.invoice_number for invoice in found] == ["SO-10"]


def test_an_invoice_is_mailed_shown_and_voided(merchant: Merchant) -> None:
    from xero_python.accounting import Invoice, Invoices, RequestEmpty

    (made,) = merchant.create(merchant.invoice(merchant.contact().contact_id))
    merchant.api.email_invoice(sandbox.TENANT, made.invoice_id, RequestEmpty())
    (page,) = merchant.api.get_online_invoice(sandbox.TENANT, made.invoice_id).online_invoices
    assert page.online_invoice_url.startswith("https://")
    body = Invoices(invoices=[Invoice(status="VOIDED")])
    (voided,) = merchant.api.update_invoice(sandbox.TENANT, made.invoice_id, body).invoices
    assert (voided.status, voided.sent_to_contact) == ("VOIDED", True)
    assert merchant.running.run(lambda: _emulator(merchant).mails()) == [(made.invoice_id, "ada@example.com")]


def test_a_contacts_name_is_unique(merchant: Merchant) -> None:
    from xero_python.exceptions import AccountingBadRequestException

    first = merchant.contact()
    with pytest.raises(AccountingBadRequestException) as refused:
        merchant.contact()
    assert "already assigned to another contact" in refused.value.reason
    found = merchant.api.get_contacts(sandbox.TENANT, where='EmailAddress=="ada@example.com"').contacts
    assert [contact.contact_id for contact in found] == [first.contact_id]


def test_a_key_gives_the_first_answer_again(merchant: Merchant) -> None:
    from xero_python.exceptions import AccountingBadRequestException

    contact = merchant.contact()
    invoice = merchant.invoice(contact.contact_id)
    (first,) = merchant.create(invoice, idempotency_key="order-1")
    (again,) = merchant.create(invoice, idempotency_key="order-1")
    assert again.invoice_id == first.invoice_id
    with pytest.raises(AccountingBadRequestException) as refused:
        merchant.create(merchant.invoice(contact.contact_id, "SO-2"), idempotency_key="order-1")
    assert "different request" in refused.value.error_data["Detail"]


def test_the_sdk_refreshes_an_expired_token(merchant: Merchant, monkeypatch: pytest.MonkeyPatch) -> None:
    from xero_python.api_client.oauth2 import TokenApi
    from xero_python.identity import IdentityApi

    monkeypatch.setattr(TokenApi, "refresh_token_url", f"{merchant.running.url}/xero/connect/token")
    merchant.running.run(_emulator(merchant).expire_tokens)
    merchant.token["expires_at"] = time.time() - 1
    (connection,) = IdentityApi(merchant.client, f"{merchant.running.url}/xero").get_connections()
    assert connection.tenant_id == sandbox.TENANT
    assert merchant.token["refresh_token"] != sandbox.REFRESH_TOKEN


def test_settings_can_be_looked_up(merchant: Merchant) -> None:
    accounts = merchant.api.get_accounts(sandbox.TENANT, where='Class=="REVENUE"').accounts
    assert [account.code for account in accounts] == ["200", "260"]
    assert "OUTPUT2" in [rate.tax_type for rate in merchant.api.get_tax_rates(sandbox.TENANT).tax_rates]


def _emulator(merchant: Merchant) -> Any:
    return merchant.running.sandbox.hosted["xero"].emulator


def _ledger(merchant: Merchant) -> Any:
    return _emulator(merchant).ledger
