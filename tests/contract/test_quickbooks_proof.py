"""python-quickbooks drives the emulator: what a client by others sends is accepted, what it expects comes back."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

from connectors.sandbox import quickbooks as sandbox
from tests.contract.running import RunningSandbox

pytestmark = pytest.mark.proof("quickbooks", "intuitlib")


class Merchant:
    """The client, logged in to a sandbox of its own with Intuit's own OAuth client."""

    def __init__(self, running: RunningSandbox, patch: pytest.MonkeyPatch) -> None:
        from intuitlib.client import AuthClient
        from quickbooks import QuickBooks

        patch.setenv("OAUTHLIB_INSECURE_TRANSPORT", "1")
        patch.setattr(QuickBooks, "api_url_v3", f"{running.url}/quickbooks/v3")
        self.running = running
        self.auth = AuthClient(
            sandbox.CLIENT_ID,
            sandbox.CLIENT_SECRET,
            "https://shop.example/back",
            f"{running.url}/quickbooks{sandbox.DISCOVERY}",
        )
        self.client = QuickBooks(
            auth_client=self.auth, refresh_token=sandbox.REFRESH_TOKEN, company_id=sandbox.REALM, minorversion=75
        )

    @property
    def emulator(self) -> Any:
        return self.running.sandbox.hosted["quickbooks"].emulator

    def customer(self, name: str = "Analytical Engines Ltd") -> Any:
        from quickbooks.objects.base import EmailAddress
        from quickbooks.objects.customer import Customer

        made = Customer()
        made.DisplayName = made.CompanyName = name
        made.PrimaryEmailAddr = EmailAddress()
        made.PrimaryEmailAddr.Address = "ada@example.com"
        return made.save(qb=self.client)

    def invoice(self, customer: Any, number: str = "SO-1001", tax: str = "6") -> Any:
        from quickbooks.objects.base import EmailAddress, Ref
        from quickbooks.objects.detailline import SalesItemLine, SalesItemLineDetail
        from quickbooks.objects.invoice import Invoice

        made = Invoice()
        made.DocNumber, made.TxnDate, made.DueDate = number, "2026-11-22", "2026-12-06"
        made.GlobalTaxCalculation = "TaxExcluded"
        made.CustomerRef, made.CurrencyRef, made.BillEmail = customer.to_ref(), Ref(), EmailAddress()
        made.CurrencyRef.value, made.BillEmail.Address = "GBP", "ada@example.com"
        rows = (("Brass plaque", 2, 45), ("Steel tag", 1, 5.5), ("Shipping", 1, 7.95), ("Discount", 1, -5))
        for text, count, price in rows:
            line, detail = SalesItemLine(), SalesItemLineDetail()
            detail.Qty, detail.UnitPrice, detail.ItemRef, detail.TaxCodeRef = count, price, Ref(), Ref()
            detail.ItemRef.value, detail.TaxCodeRef.value = "1", tax
            line.Amount, line.Description, line.SalesItemLineDetail = count * price, text, detail
            made.Line.append(line)
        return made

    def ledger(self) -> list[str]:
        return [entry.reference for entry in self.running.run(self.emulator.ledger)]


@pytest.fixture
def merchant(monkeypatch: pytest.MonkeyPatch) -> Iterator[Merchant]:
    running = RunningSandbox([sandbox.QuickBooks])
    yield Merchant(running, monkeypatch)
    running.close()


def test_an_invoice_is_created_and_read_back(merchant: Merchant) -> None:
    from quickbooks.objects.invoice import Invoice

    made = merchant.invoice(merchant.customer()).save(qb=merchant.client)
    read = Invoice.get(made.Id, qb=merchant.client)
    assert (read.DocNumber, read.CurrencyRef.value, read.EmailStatus) == ("SO-1001", "GBP", "NotSet")
    assert (read.TotalAmt, read.Balance, read.TxnTaxDetail.TotalTax) == (118.14, 118.14, 19.69)
    assert [line.DetailType for line in read.Line] == ["SalesItemLineDetail"] * 4 + ["SubTotalLineDetail"]
    (tax,) = read.TxnTaxDetail.TaxLine
    assert (tax.Amount, tax.TaxLineDetail.TaxPercent, tax.TaxLineDetail.NetAmountTaxable) == (19.69, 20, 98.45)


def test_in_a_batch_the_good_ones_are_saved_and_the_bad_one_says_why(merchant: Merchant) -> None:
    from quickbooks.batch import batch_create

    customer = merchant.customer()
    good, bad = merchant.invoice(customer, "SO-1"), merchant.invoice(customer, "SO-2", tax="987654")
    answer = batch_create([good, bad], qb=merchant.client)
    assert [saved.DocNumber for saved in answer.successes] == ["SO-1"]
    (fault,) = answer.faults
    assert fault.original_object is bad
    assert fault.Error[0].code == "2500"
    assert merchant.ledger() == ["SO-1"]


def test_a_number_and_a_name_that_are_taken_are_refused_with_their_codes(merchant: Merchant) -> None:
    from quickbooks.exceptions import QuickbooksException

    customer = merchant.customer()
    merchant.invoice(customer).save(qb=merchant.client)
    with pytest.raises(QuickbooksException) as number:
        merchant.invoice(customer).save(qb=merchant.client)
    with pytest.raises(QuickbooksException) as name:
        merchant.customer()
    assert (number.value.error_code, name.value.error_code) == (6140, 6240)
    assert "Another customer, vendor or employee" in name.value.detail
    assert len(merchant.ledger()) == 1


def test_invoices_and_customers_are_found_by_query(merchant: Merchant) -> None:
    from quickbooks.objects.customer import Customer
    from quickbooks.objects.invoice import Invoice

    quoted = merchant.customer('Miles O\'Prower "Tails"')
    for number in ("SO-1", "SO-10", "SO-2"):
        merchant.invoice(quoted, number).save(qb=merchant.client)
    found = Invoice.choose(["SO-1", "SO-2"], field="DocNumber", qb=merchant.client)
    assert [invoice.DocNumber for invoice in found] == ["SO-1", "SO-2"]
    assert [each.Id for each in Customer.filter(DisplayName='miles o\'prower "tails"', qb=merchant.client)] == [
        quoted.Id
    ]
    assert Customer.filter(DisplayName="nobody", qb=merchant.client) == []
    assert Invoice.count(qb=merchant.client) == 3


def test_an_invoice_is_mailed_printed_and_voided(merchant: Merchant) -> None:
    from quickbooks.objects.invoice import Invoice

    made = merchant.invoice(merchant.customer()).save(qb=merchant.client)
    assert made.send(qb=merchant.client, send_to="bills@example.com")["Invoice"]["EmailStatus"] == "EmailSent"
    assert merchant.running.run(merchant.emulator.mails) == [(made.Id, "bills@example.com")]
    assert made.download_pdf(qb=merchant.client).startswith(b"%PDF")
    Invoice.get(made.Id, qb=merchant.client).void(qb=merchant.client)
    voided = Invoice.get(made.Id, qb=merchant.client)
    assert (voided.TotalAmt, voided.Balance, voided.PrivateNote[:6]) == (0, 0, "Voided")


def test_a_stale_sync_token_is_refused(merchant: Merchant) -> None:
    from quickbooks.exceptions import QuickbooksException

    made = merchant.invoice(merchant.customer()).save(qb=merchant.client)
    made.send(qb=merchant.client)
    with pytest.raises(QuickbooksException) as stale:
        made.void(qb=merchant.client)
    assert stale.value.error_code == 5010


def test_a_requestid_gives_the_first_answer_again(merchant: Merchant) -> None:
    customer = merchant.customer()
    first = merchant.invoice(customer).save(qb=merchant.client, request_id="order-1")
    again = merchant.invoice(customer).save(qb=merchant.client, request_id="order-1")
    other = merchant.invoice(customer, "SO-2").save(qb=merchant.client, request_id="order-1")
    assert first.Id == again.Id == other.Id
    assert merchant.ledger() == ["SO-1001"]


def test_intuits_client_refreshes_and_after_a_day_the_refresh_token_is_another(merchant: Merchant) -> None:
    from intuitlib.exceptions import AuthClientError
    from quickbooks.exceptions import AuthorizationException
    from quickbooks.objects.invoice import Invoice

    assert merchant.auth.refresh_token == sandbox.REFRESH_TOKEN
    merchant.running.pass_time(86_401)
    with pytest.raises(AuthorizationException):
        Invoice.count(qb=merchant.client)
    merchant.auth.refresh()
    assert merchant.auth.refresh_token != sandbox.REFRESH_TOKEN
    with pytest.raises(AuthClientError, match="invalid_grant"):
        merchant.auth.refresh(refresh_token=sandbox.REFRESH_TOKEN)


def test_settings_can_be_looked_up(merchant: Merchant) -> None:
    from quickbooks.objects.item import Item
    from quickbooks.objects.taxcode import TaxCode
    from quickbooks.objects.taxrate import TaxRate

    preferences = merchant.client.get(f"{merchant.client.api_url}/company/{sandbox.REALM}/preferences")["Preferences"]
    assert preferences["SalesFormsPrefs"]["CustomTxnNumbers"] is True
    assert "20.0% S" in [code.Name for code in TaxCode.all(qb=merchant.client)]
    assert Decimal(20) in [rate.RateValue for rate in TaxRate.all(qb=merchant.client)]
    assert "Services" in [item.Name for item in Item.where("Active = true", qb=merchant.client)]


def test_a_credit_memo_is_set_off_by_a_payment_of_nothing(merchant: Merchant) -> None:
    from quickbooks.objects.base import LinkedTxn, Ref
    from quickbooks.objects.creditmemo import CreditMemo
    from quickbooks.objects.invoice import Invoice
    from quickbooks.objects.payment import Payment, PaymentLine

    customer = merchant.customer()
    invoice = merchant.invoice(customer).save(qb=merchant.client)
    memo = CreditMemo()
    memo.CustomerRef, memo.CurrencyRef, memo.Line = customer.to_ref(), Ref(), merchant.invoice(customer).Line
    memo.CurrencyRef.value, memo.DocNumber, memo.GlobalTaxCalculation = "GBP", "SO-1001-C1", "TaxExcluded"
    memo.TxnDate = "2026-12-01"
    memo = memo.save(qb=merchant.client)
    assert (memo.TotalAmt, memo.RemainingCredit) == (118.14, 118.14)
    payment = Payment()
    payment.TotalAmt, payment.CustomerRef, payment.CurrencyRef = 0, customer.to_ref(), memo.CurrencyRef
    payment.TxnDate = memo.TxnDate
    for document in (invoice, memo):
        line, linked = PaymentLine(), LinkedTxn()
        line.Amount, linked.TxnId, linked.TxnType = 118.14, document.Id, document.qbo_object_name
        line.LinkedTxn.append(linked)
        payment.Line.append(line)
    payment.save(qb=merchant.client)
    assert Invoice.get(invoice.Id, qb=merchant.client).Balance == 0
    assert CreditMemo.get(memo.Id, qb=merchant.client).RemainingCredit == 0
    assert CreditMemo.filter(DocNumber="SO-1001-C1", qb=merchant.client)[0].Id == memo.Id
