"""Salesforce: settings of the sandbox's org, and answers in the shapes that Salesforce published."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from connectors.errors import Duplicate, Rejected, Throttled, Unauthorized, Unavailable, Uncertain
from connectors.sandbox import salesforce as sandbox
from tests.contract.samples.base import Recorded, Samples

GUIDE = "developer.salesforce.com, REST API guide"
SDK = "simple-salesforce/simple-salesforce, tests"
ROLLED_BACK = "The transaction was rolled back since another operation in the same transaction failed."

ISSUED = Recorded(
    source=f"{GUIDE}, answer of Query (totalSize, done, records with attributes); the fields are a merchant's own",
    status=200,
    body={
        "totalSize": 1,
        "done": True,
        "records": [
            {
                "attributes": {"type": "Billhook_Invoice__c", "url": "/services/data/v67.0/sobjects/…/a0XQy0000001AbC"},
                "Id": "a0XQy0000001AbC",
                "Name": "INV-00042",
                "Billhook_Key__c": "shop-1/books/SO-1001/order/invoice/1",
                "Order_Reference__c": "SO-1001",
                "Account__c": "001Qy00000AeLtdIAF",
                "Status__c": "Issued",
                "Tax__c": 19.69,
                "Total__c": 118.14,
                "CurrencyIsoCode": "GBP",
            }
        ],
    },
)


def errors(source: str, status: int, code: str, message: str) -> Recorded:
    """The list of errors that every call which failed as a whole is answered with."""
    return Recorded(source, status, [{"message": message, "errorCode": code, "fields": []}])


def rolled_back(source: str, code: str, message: str) -> Recorded:
    """A graph that was refused: the call itself is a 200 (guide, composite graph response)."""
    parts = [
        {
            "body": [{"errorCode": "PROCESSING_HALTED", "message": ROLLED_BACK}],
            "httpHeaders": {},
            "httpStatusCode": 400,
            "referenceId": "invoice",
        },
        {
            "body": [{"errorCode": code, "message": message}],
            "httpHeaders": {},
            "httpStatusCode": 400,
            "referenceId": "line1",
        },
    ]
    graph = {"graphId": "g1", "graphResponse": {"compositeResponse": parts}, "isSuccessful": False}
    return Recorded(source, 200, {"graphs": [graph]})


TAKEN = "duplicate value found: Billhook_Key__c duplicates value on record with id: a0XQy0000001AbC"
LOCKED = "unable to obtain exclusive access to this record or 1 records: 001Qy00000AeLtdIAF"

REFUSALS = (
    (rolled_back(f"{SDK}, text of DUPLICATE_VALUE", "DUPLICATE_VALUE", TAKEN), Duplicate),
    (
        rolled_back(
            f"{GUIDE}, Status Codes and Error Responses", "REQUIRED_FIELD_MISSING", "Required fields are missing"
        ),
        Rejected,
    ),
    (rolled_back(f"{GUIDE}, Status Codes and Error Responses", "UNABLE_TO_LOCK_ROW", LOCKED), Unavailable),
    (rolled_back(f"{GUIDE}, composite graph limits: after 14 failures", "PROCESSING_HALTED", ROLLED_BACK), Unavailable),
    (
        errors(f"{GUIDE}, Status Codes: a duplicate rule", 400, "DUPLICATES_DETECTED", "Use one of these records?"),
        Rejected,
    ),
    (errors(f"{GUIDE}, Status Codes", 401, "INVALID_SESSION_ID", "Session expired or invalid"), Unauthorized),
    (
        errors(f"{GUIDE}, Status Codes", 403, "REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded."),
        Throttled,
    ),
    (errors(f"{GUIDE}, Status Codes", 403, "INSUFFICIENT_ACCESS_OR_READONLY", "insufficient access rights"), Rejected),
    (errors(f"{GUIDE}, Status Codes", 404, "NOT_FOUND", "The requested resource does not exist"), Rejected),
    (
        errors(f"{GUIDE}, Status Codes", 500, "UNKNOWN_EXCEPTION", "An unexpected error occurred"),
        Uncertain,
    ),
    (errors(f"{GUIDE}, Status Codes", 503, "SERVER_UNAVAILABLE", "Too many requests waiting"), Uncertain),
)


def _unknown_tax(settings: Mapping[str, Any]) -> Mapping[str, Any]:
    return {**settings, "tax": {**settings["tax"], "20": "NOSUCHTAX"}}


def _void_by_hand(emulator: Any, remote_id: str) -> None:
    emulator.books.update("Billhook_Invoice__c", remote_id, {"Status__c": "Void"})


def _rebill_by_hand(emulator: Any, remote_id: str) -> None:
    emulator.books.update("blng__Invoice__c", remote_id, {"blng__InvoiceStatus__c": "Rebilled"})


def _void_posted(emulator: Any, remote_id: str) -> None:
    doc = emulator.books.get("Invoice", remote_id)
    emulator.books.shelf.put("Invoice", remote_id, doc | {"Status": "Voided"})


def _steal_number(emulator: Any, reference: str) -> None:
    books = emulator.books
    account = books.insert("Account", {"Name": "Somebody Else Ltd"})
    head = {"Order_Reference__c": reference, "Account__c": account, "Status__c": "Issued", "Total__c": 600}
    head |= {"Invoice_Date__c": "2026-11-22"}
    invoice = books.insert("Billhook_Invoice__c", head)
    line = {"Invoice__c": invoice, "Description__c": "typed in by hand", "Quantity__c": 1, "Unit_Price__c": 600}
    books.insert("Billhook_Invoice_Line__c", line)


def _steal_in_package(emulator: Any, reference: str) -> None:
    account = emulator.books.insert("Account", {"Name": "Somebody Else Ltd"})
    head = {"Billhook_Reference__c": reference, "blng__Account__c": account, "blng__InvoiceStatus__c": "Posted"}
    head |= {"blng__InvoiceDate__c": "2026-11-22"}
    invoice = emulator.books.insert("blng__Invoice__c", head)
    line = {"blng__Invoice__c": invoice, "blng__Notes__c": "typed in by hand", "blng__Subtotal__c": 600}
    emulator.books.insert("blng__InvoiceLine__c", line)


def _steal_posted(emulator: Any, reference: str) -> None:
    account = emulator.books.insert("Account", {"Name": "Somebody Else Ltd"})
    contact = emulator.books.insert("Contact", {"LastName": "Else", "AccountId": account})
    doc = {
        "Id": f"3ttTyped{reference}", "InvoiceNumber": reference, "InvoiceDate": "2026-11-22",
        "UniqueIdentifier": None, "Status": "Posted", "Balance": 600,
        "CurrencyIsoCode": "GBP", "TotalTaxAmount": 0, "TotalAmountWithTax": 600, "BillingAccountId": account,
        "BillToContactId": contact, "lines": ["typed in by hand"],
    }  # fmt: skip
    emulator.books.shelf.put("Invoice", doc["Id"], doc)


SAMPLES = Samples(
    slug="salesforce",
    settings={
        "my_domain": "sandbox.my.salesforce.com",
        "tax": {"20": "GB-VAT-20", "5": "GB-VAT-5", "0": "GB-VAT-0"},
        "credit_object": "Billhook_Credit_Note__c",
    },
    credentials={
        "client_id": sandbox.CLIENT_ID,
        "client_secret": sandbox.CLIENT_SECRET,
        "refresh_token": sandbox.REFRESH_TOKEN,
    },
    token=sandbox.ACCESS_TOKEN,
    required_settings=("my_domain", "tax"),
    invoice=ISSUED,
    invoice_expected={
        "id": "a0XQy0000001AbC",
        "number": "INV-00042",
        "reference": "SO-1001",
        "key": "shop-1/books/SO-1001/order/invoice/1",
        "status": "issued",
        "currency": "GBP",
        "total": "118.14",
        "tax": "19.69",
        "customer_id": "001Qy00000AeLtdIAF",
    },
    refusals=REFUSALS,
    unknown_tax=_unknown_tax,
    void_by_hand=_void_by_hand,
    steal_number=_steal_number,
)

PACKAGED = dataclasses.replace(
    ISSUED,
    source="the package's fields in mburnside999/learning4life, .sfdx/typings/lwc/sobjects/blng__Invoice__c.d.ts, "
    "with values of ours",
    body={
        "totalSize": 1,
        "done": True,
        "records": [
            {
                "attributes": {"type": "blng__Invoice__c", "url": "/services/data/v67.0/sobjects/blng__Invoice__c/a1X"},
                "Id": "a1X",
                "Name": "INV-000042",
                "Billhook_Key__c": "k",
                "Billhook_Reference__c": "SO-1001",
                "blng__Account__c": "001Qy00000AeLtdIAF",
                "blng__InvoiceStatus__c": "Posted",
                "blng__TaxAmount__c": 19.69,
                "blng__TotalAmount__c": 118.14,
                "blng__Balance__c": 18.14,
                "CurrencyIsoCode": "GBP",
            }
        ],
    },
)
INGESTED = dataclasses.replace(
    ISSUED,
    source="Object Reference, Invoice (fields, with values of ours); answer of Query",
    body={
        "totalSize": 1,
        "done": True,
        "records": [
            {
                "attributes": {"type": "Invoice", "url": "/services/data/v67.0/sobjects/Invoice/3ttQy0000000F1xIAE"},
                "Id": "3ttQy0000000F1xIAE",
                "InvoiceNumber": "SO-1001",
                "UniqueIdentifier": "k",
                "Status": "Posted",
                "TotalAmountWithTax": 118.14,
                "TotalTaxAmount": 19.69,
                "Balance": 0,
                "BillingAccountId": "001Qy00000AeLtdIAF",
                "BillToContactId": "003Qy00000AdaLvIAJ",
                "CurrencyIsoCode": "GBP",
            }
        ],
    },
)


def ingestion(source: str, code: str, message: str) -> Recorded:
    """An invoice that was not taken: everything of it is rolled back."""
    one = {"invoiceId": None, "requestIdentifier": "9f1c", "statusURL": None, "success": False}
    return Recorded(source, 200, {"invoices": [{**one, "errors": [{"errorCode": code, "message": message}]}]})


BILLING = "developer.salesforce.com, Revenue Management guide, graph input for ingestion (the words are ours)"
TREATMENT = "1tt000000000001"
MODES = {
    "package": dataclasses.replace(
        SAMPLES,
        settings={**SAMPLES.settings, "mode": "package"},
        invoice=PACKAGED,
        invoice_expected={"id": "a1X", "key": "k", "status": "issued", "total": "118.14", "due": "18.14"},
        void_by_hand=_rebill_by_hand,
        steal_number=_steal_in_package,
    ),
    "revenue": dataclasses.replace(
        SAMPLES,
        settings={
            **SAMPLES.settings,
            "mode": "revenue",
            "tax_treatments": {"20": TREATMENT},
        },
        invoice=INGESTED,
        invoice_expected={"id": "3ttQy0000000F1xIAE", "key": "k", "status": "paid", "total": "118.14", "due": "0"},
        refusals=(
            (ingestion(BILLING, "INVALID_API_INPUT", "A taxable line needs a tax record"), Rejected),
            (ingestion(BILLING, "DUPLICATE_VALUE", "duplicate value found: UniqueIdentifier"), Duplicate),
            *[(recorded, error) for recorded, error in REFUSALS if recorded.status >= 400],
        ),
        void_by_hand=_void_posted,
        steal_number=_steal_posted,
    ),
}
"""The other two ways of keeping invoices."""
