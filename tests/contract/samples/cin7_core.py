"""Cin7 Core: settings of the sandbox's company, and answers from the vendor's reference and its users' notes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from connectors.errors import Duplicate, Rejected, Throttled, Unauthorized, Uncertain
from connectors.sandbox import cin7_core as sandbox
from connectors.sandbox.cin7_core_books import PRODUCTS, TAXES
from tests.contract.samples.base import Recorded, Samples

REFERENCE = "dearinventory.docs.apiary.io"
LINE = {"ProductID": "4aadd8f6-4d3d-46ca-acbb-1a9a662f9bc1", "SKU": "Bread", "Name": "Baked Bread", "Quantity": 1}
LINE |= {"Price": 8, "Discount": 0, "Tax": 0, "TaxRule": "Tax on Sales", "Comment": "", "Total": 8}
SUPPORT = "Desktop/network support via phone. Per month fixed fee for minimum 20 hours/month."
CHARGE = {"Description": SUPPORT, "Price": 350, "Quantity": 1, "Discount": 0, "Tax": 0, "Total": 350}
ISSUED = Recorded(
    source=f"{REFERENCE}, example of GET /sale (quote, fulfilments, credit notes and custom fields left out)",
    status=200,
    body={
        "ID": "916ab4c0-6ccb-4c93-873d-0603859050e4",
        "Customer": "Hamilton Smith Pty",
        "CustomerID": "6c18f8e9-90e1-418f-aebc-1219e67e4b9c",
        "Contact": "No Name",
        "Email": "infodemo@hsmithdemo.co",
        "DefaultAccount": "200",
        "SkipQuote": False,
        "BaseCurrency": "RUB",
        "CustomerCurrency": "RUB",
        "TaxRule": "Tax on Sales",
        "TaxCalculation": "Exclusive",
        "Terms": "30 days",
        "Location": "Main Warehouse",
        "SaleOrderDate": "2017-10-28T00:00:00",
        "CustomerReference": "",
        "Status": "ORDERED",
        "CombinedInvoiceStatus": "NOT AVAILABLE",
        "CombinedPaymentStatus": "UNPAID",
        "CurrencyRate": 1,
        "Type": "Advanced Sale",
        "Order": {
            "SaleOrderNumber": "SO-00001",
            "Memo": "",
            "Status": "AUTHORISED",
            "Lines": [LINE],
            "AdditionalCharges": [CHARGE],
            "TotalBeforeTax": 8,
            "Tax": 0,
            "Total": 8,
        },
        "Invoices": [
            {
                "TaskID": "b039f19e-66f8-4309-a4b1-abf928303c88",
                "InvoiceNumber": "INV-00001",
                "Memo": "",
                "Status": "AUTHORISED",
                "InvoiceDate": "2017-11-22T00:00:00",
                "InvoiceDueDate": "2017-12-22T00:00:00",
                "CurrencyConversionRate": 1,
                "Lines": [{**LINE, "Account": "200"}],
                "AdditionalCharges": [{**CHARGE, "Account": "200"}],
                "Payments": [],
                "TotalBeforeTax": 358,
                "Tax": 0,
                "Total": 358,
                "Paid": 0,
            }
        ],
        "ExternalID": None,
    },
)
LIMIT = "You have reached 60 calls per 60 seconds API limit."


def said(source: str, status: int, text: str, code: int = 400) -> Recorded:
    return Recorded(source, status, [{"ErrorCode": code, "Exception": text}])


REFUSALS = (
    (Recorded("users' notes: wrong credentials", 403, "Incorrect credentials!"), Unauthorized),
    (Recorded("vendor's article on status codes: over the limit", 503, LIMIT), Throttled),
    (Recorded("users' notes: over the limit", 429, LIMIT), Throttled),
    (said("users' notes: over the limit", 400, LIMIT), Throttled),
    (said("users' notes: a list of errors (text ours)", 400, "Product 'X' was not found"), Rejected),
    (said("users' notes: the same inside a 200", 200, "Product 'X' was not found"), Rejected),
    (
        Recorded(
            "users' notes: one error alone (text ours)", 400, {"ErrorCode": 400, "Exception": "Location is missing"}
        ),
        Rejected,
    ),
    (
        Recorded("users' notes: errors of a task inside a 200 (text ours)", 200, {"Errors": ["No such account"]}),
        Rejected,
    ),
    (said(f"{REFERENCE}: the order is authorised already (text ours)", 400, "Order status is not DRAFT"), Duplicate),
    (said(f"{REFERENCE}: status 500 (text ours)", 500, "Unexpected error", 500), Uncertain),
)


def _unknown_tax(settings: Mapping[str, Any]) -> Mapping[str, Any]:
    return {**settings, "tax": {**settings["tax"], "20": "No such tax rule"}}


def _void_by_hand(emulator: Any, remote_id: str) -> None:
    emulator.books.void(remote_id)


def _steal_number(emulator: Any, reference: str) -> None:
    books = emulator.books
    customer = {
        "Name": f"Somebody Else Ltd ({reference})",
        "Status": "Active",
        "Currency": "GBP",
        "PaymentTerm": "14 days",
    }
    customer |= {"AccountReceivable": "610", "RevenueAccount": "200", "TaxRule": "Zero Rated Income"}
    head = {"CustomerID": books.add_customer(customer)["ID"], "Location": "Main Warehouse", "CurrencyRate": 1}
    sale = books.add_sale({**head, "SkipQuote": True, "CustomerReference": reference})
    books.add_order({"SaleID": sale["ID"], "Memo": "", "Status": "AUTHORISED", "Lines": []})


SAMPLES = Samples(
    slug="cin7_core",
    settings={
        "base_currency": "GBP",
        "currency_rates": sandbox.RATES,
        "location": sandbox.LOCATION,
        "tax": {str(rate): name for name, rate in TAXES.items()},
        "revenue_account": "200",
        "receivable_account": "610",
        "payment_term": sandbox.TERM,
        "products": {sku: ident for sku, (ident, _, _) in PRODUCTS.items()},
        "product": "SALES",
        "shipping": "Shipping",
        "price_tier": sandbox.TIER,
    },
    credentials={"account_id": sandbox.ACCOUNT_ID, "application_key": sandbox.APPLICATION_KEY},
    token=None,
    required_settings=(
        "base_currency",
        "location",
        "tax",
        "revenue_account",
        "receivable_account",
        "payment_term",
        "products",
        "product",
        "shipping",
    ),
    invoice=ISSUED,
    invoice_expected={
        "id": "916ab4c0-6ccb-4c93-873d-0603859050e4",
        "number": "INV-00001",
        "reference": "",
        "key": None,
        "status": "issued",
        "currency": "RUB",
        "total": "358",
        "tax": "0",
        "due": "358",
        "customer_id": "6c18f8e9-90e1-418f-aebc-1219e67e4b9c",
    },
    refusals=REFUSALS,
    unknown_tax=_unknown_tax,
    void_by_hand=_void_by_hand,
    steal_number=_steal_number,
)
