"""Oracle Fusion: settings of the sandbox's pod, and answers in the shapes that Oracle's documentation shows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from connectors.errors import Duplicate, Rejected, Throttled, Unauthorized, Uncertain
from connectors.sandbox import oracle_erp as sandbox
from tests.contract.samples.base import Recorded, Samples

GUIDE = "docs.oracle.com, REST API for Oracle Financials"

ISSUED = Recorded(
    source=f"{GUIDE}, answers printed for Receivables Invoices (shortened; the two amounts as other clients name them)",
    status=200,
    body={
        "CustomerTransactionId": 300100170996427,
        "TransactionNumber": "BH-SO-1001",
        "TransactionDate": "2026-11-22",
        "DueDate": "2026-12-06",
        "TransactionType": "Invoice",
        "TransactionSource": "Billhook",
        "BusinessUnit": "Analytical UK BU",
        "BillToCustomerNumber": "1008",
        "BillToSite": "London",
        "PaymentTerms": "14 Net",
        "InvoiceCurrencyCode": "GBP",
        "CrossReference": None,
        "SpecialInstructions": None,
        "DocumentNumber": None,
        "Comments": "Order SO-1001 · shop-1/books/SO-1001/order/invoice/1",
        "InvoiceStatus": "Complete",
        "EnteredAmount": 118.14,
        "InvoiceBalanceAmount": 118.14,
    },
)


def problem(source: str, status: int, detail: str) -> Recorded:
    """An error of the REST framework, version 4."""
    details = [{"detail": detail, "o:errorCode": "AR", "o:errorPath": ""}]
    return Recorded(source, status, {"title": "Bad Request", "status": str(status), "o:errorDetails": details})


MESSAGES = f"{GUIDE}, Error Messages for Receivables Invoices"
INCOMPLETE = "You can only create a complete invoice. You can't create an incomplete or frozen invoice. (AR-857798)"

REFUSALS = (
    (problem(f"{MESSAGES}: AR_BILL_TO_CUST_NOT_FOUND", 400, "The bill-to customer isn't valid."), Rejected),
    (problem("support.oracle.com, document 2800010.1", 400, INCOMPLETE), Rejected),
    (Recorded(f"{MESSAGES}: AR_BU_NOT_FOUND, in an older framework version", 400, "The BU is not valid."), Rejected),
    (problem("the manual of AutoInvoice: a number is unique in its source (the words are ours)", 400,
             "The transaction number already exists."), Duplicate),
    (Recorded(f"{GUIDE}, Status Codes: no or ended credentials", 401, ""), Unauthorized),
    (Recorded(f"{GUIDE}, Status Codes: no privilege or no data access", 403, ""), Rejected),
    (Recorded(f"{GUIDE}, Status Codes", 429, ""), Throttled),
    (Recorded(f"{GUIDE}, Status Codes", 503, ""), Uncertain),
)  # fmt: skip


def _unknown_tax(settings: Mapping[str, Any]) -> Mapping[str, Any]:
    return {**settings, "tax": {**settings["tax"], "20": "NOSUCHTAX"}}


def _void_by_hand(emulator: Any, remote_id: str) -> None:
    doc = emulator.shelf.get("invoice", remote_id)
    emulator.shelf.put("invoice", remote_id, doc | {"InvoiceStatus": "Incomplete"})


def _steal_number(emulator: Any, reference: str) -> None:
    account = {"AccountId": 1, "AccountNumber": "1008", "CustomerName": "Somebody Else Ltd"}
    emulator.shelf.put("account", "1", account)
    ident = str(77 + emulator.shelf.count("invoice"))
    line = {"Description": "Consulting", "Quantity": 1, "UnitSellingPrice": 500, "amount": 500, "tax": 100}
    doc = {
        "CustomerTransactionId": ident,
        "TransactionNumber": reference,
        "TransactionDate": "2026-11-22",
        "TransactionSource": sandbox.SOURCE,
        "BusinessUnit": sandbox.UNIT,
        "BillToCustomerNumber": "1008",
        "InvoiceCurrencyCode": "GBP",
        "Comments": "typed in by hand",
        "InvoiceStatus": "Complete",
        "EnteredAmount": 600,
        "InvoiceBalanceAmount": 600,
        "lines": [line],
    }
    emulator.shelf.put("invoice", ident, doc)


SAMPLES = Samples(
    slug="oracle_erp",
    settings={
        "host": "sandbox.fa.us2.oraclecloud.com",
        "business_unit": sandbox.UNIT,
        "transaction_source": sandbox.SOURCE,
        "transaction_type": sandbox.TYPE,
        "payment_terms": sandbox.TERMS,
        "ledger_currency": sandbox.LEDGER,
        "tax": {"20": "VAT20", "5": "VAT5", "0": "VAT0"},
        "tax_regime": "GB VAT",
        "reference_set": "202",
        "identity_domain": "idcs-sandbox.identity.oraclecloud.com",
        "scope": sandbox.SCOPE,
    },
    credentials={"client_id": sandbox.CLIENT_ID, "client_secret": sandbox.CLIENT_SECRET},
    token=sandbox.ACCESS_TOKEN,
    required_settings=(
        "host",
        "business_unit",
        "transaction_source",
        "transaction_type",
        "payment_terms",
        "ledger_currency",
        "tax",
    ),
    invoice=ISSUED,
    invoice_expected={
        "id": "300100170996427",
        "number": "BH-SO-1001",
        "reference": "BH-SO-1001",
        "key": "shop-1/books/SO-1001/order/invoice/1",
        "status": "issued",
        "currency": "GBP",
        "total": "118.14",
        "due": "118.14",
        "customer_id": "1008",
    },
    refusals=REFUSALS,
    unknown_tax=_unknown_tax,
    void_by_hand=_void_by_hand,
    steal_number=_steal_number,
)
