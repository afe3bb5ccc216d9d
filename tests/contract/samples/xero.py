"""Xero: settings of the sandbox's organisation, and answers that Xero itself published."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from connectors.errors import Duplicate, Rejected, Throttled, Unauthorized, Uncertain
from connectors.sandbox import xero as sandbox
from tests.contract.samples.base import Recorded, Samples

OPENAPI = "XeroAPI/Xero-OpenAPI, xero_accounting.yaml 16.1.0"

ISSUED = Recorded(
    source=f"{OPENAPI}, example of PUT /Invoices, answer 200 (addresses, telephones and groups left out)",
    status=200,
    body={
        "Id": "ccece84a-075c-4fcd-9073-149d4f7a91cf",
        "Status": "OK",
        "ProviderName": "Provider Name Example",
        "DateTimeUTC": "/Date(1552327126164)/",
        "Invoices": [
            {
                "Type": "ACCREC",
                "InvoiceID": "ed255415-e141-4150-aab7-89c3bbbb851c",
                "InvoiceNumber": "INV-0007",
                "Reference": "Website Design",
                "Prepayments": [],
                "Overpayments": [],
                "AmountDue": 40.00,
                "AmountPaid": 0.00,
                "SentToContact": False,
                "CurrencyRate": 1.000000,
                "HasErrors": False,
                "IsDiscounted": False,
                "Contact": {
                    "ContactID": "430fa14a-f945-44d3-9f97-5df5e28441b8",
                    "ContactStatus": "ACTIVE",
                    "Name": "Liam Gallagher",
                    "FirstName": "Liam",
                    "LastName": "Gallagher",
                    "EmailAddress": "liam@rockstar.com",
                    "HasValidationErrors": False,
                },
                "DateString": "2019-03-11T00:00:00",
                "Date": "/Date(1552262400000+0000)/",
                "DueDateString": "2018-12-10T00:00:00",
                "DueDate": "/Date(1544400000000+0000)/",
                "Status": "AUTHORISED",
                "LineAmountTypes": "Exclusive",
                "LineItems": [
                    {
                        "Description": "Acme Tires",
                        "UnitAmount": 20.00,
                        "TaxType": "NONE",
                        "TaxAmount": 0.00,
                        "LineAmount": 40.00,
                        "AccountCode": "200",
                        "Tracking": [],
                        "Quantity": 2.0000,
                        "LineItemID": "5f7a612b-fdcc-4d33-90fa-a9f6bc6db32f",
                        "ValidationErrors": [],
                    }
                ],
                "SubTotal": 40.00,
                "TotalTax": 0.00,
                "Total": 40.00,
                "UpdatedDateUTC": "/Date(1552327126117+0000)/",
                "CurrencyCode": "NZD",
                "StatusAttributeString": "OK",
            }
        ],
    },
)


def refusal(source: str, *texts: str) -> Recorded:
    """A validation exception of Xero's shape (schema Error of the specification) with these messages."""
    elements = [{"ValidationErrors": [{"Message": text} for text in texts]}]
    body = {"ErrorNumber": 10, "Type": "ValidationException", "Message": "A validation exception occurred"}
    return Recorded(source, 400, {**body, "Elements": elements})


def problem(source: str, status: int, title: str, detail: str) -> Recorded:
    """An error of the layers in front of the accounting API."""
    body = {"Type": None, "Title": title, "Status": status, "Detail": detail, "Instance": "a233ca33-cdb9-48b0-81c2"}
    return Recorded(source, status, {**body, "Extensions": {}})


TAKEN_NAME = (
    "The contact name Buzz Lightyear is already assigned to another contact. "
    "The contact name must be unique across all active contacts."
)
NO_TAX = "The TaxType code GST on Income does not exist or cannot be used for this type of transaction."

REFUSALS = (
    (refusal(f"{OPENAPI}, example of /Invoices/{{InvoiceID}}", "Invoice # must be unique."), Duplicate),
    (refusal(f"{OPENAPI}, example of PUT /Contacts, answer 400", TAKEN_NAME), Duplicate),
    (refusal("github.com/XeroAPI/Xero-Java issue 336", NO_TAX), Rejected),
    (refusal("github.com/XeroAPI/Xero-Java issue 353", "Account must be valid.", "Tax rate must be valid."), Rejected),
    (
        problem(
            "developer.xero.com, guide Idempotency: a key used with a different request (the body's shape is ours)",
            400, "Bad Request", "The Idempotency-Key is used with a different request",
        ),
        Uncertain,
    ),
    (
        problem(
            "answers published by integrators: Unauthorized with TokenExpired",
            401, "Unauthorized", "TokenExpired: token expired at 08/12/2022 07:00:40",
        ),
        Unauthorized,
    ),
    (
        problem(
            "answers published by integrators: a tenant that is no longer connected",
            403, "Forbidden", "AuthenticationUnsuccessful",
        ),
        Unauthorized,
    ),
    (Recorded("developer.xero.com, guide OAuth 2 API limits: 429 with an empty body", 429, ""), Throttled),
    (Recorded("developer.xero.com, HTTP response codes: organisation offline", 503, ""), Uncertain),
)  # fmt: skip


def _unknown_tax(settings: Mapping[str, Any]) -> Mapping[str, Any]:
    return {**settings, "tax": {**settings["tax"], "20": "NOSUCHTAX"}}


def _save(emulator: Any, raw: Mapping[str, Any], create_only: bool) -> dict[str, Any]:
    saved: dict[str, Any] = emulator.books.save_invoice(sandbox.TENANT, raw, create_only, 2)
    return saved


def _void_by_hand(emulator: Any, remote_id: str) -> None:
    _save(emulator, {"InvoiceID": remote_id, "Status": "VOIDED"}, False)


def _steal_number(emulator: Any, reference: str) -> None:
    line = {"Description": "Consulting", "Quantity": 1, "UnitAmount": 500, "AccountCode": "200", "TaxType": "OUTPUT2"}
    raw = {
        "Type": "ACCREC",
        "InvoiceNumber": reference,
        "Reference": "typed in by hand",
        "Contact": {"Name": "Somebody Else Ltd"},
        "DueDate": "2026-12-24",
        "Status": "AUTHORISED",
        "LineItems": [line],
    }
    _save(emulator, json.loads(json.dumps(raw)), True)


SAMPLES = Samples(
    slug="xero",
    settings={
        "tenant": sandbox.TENANT,
        "sales_account": "200",
        "shipping_account": "260",
        "tax": {"20": "OUTPUT2", "5": "RROUTPUT", "0": "ZERORATEDOUTPUT"},
    },
    credentials={
        "client_id": sandbox.CLIENT_ID,
        "client_secret": sandbox.CLIENT_SECRET,
        "refresh_token": sandbox.REFRESH_TOKEN,
    },
    token=sandbox.ACCESS_TOKEN,
    required_settings=("tenant", "sales_account", "tax"),
    invoice=ISSUED,
    invoice_expected={
        "id": "ed255415-e141-4150-aab7-89c3bbbb851c",
        "number": "INV-0007",
        "reference": "INV-0007",
        "status": "issued",
        "currency": "NZD",
        "total": "40.0",
        "tax": "0.0",
        "due": "40.0",
        "customer_id": "430fa14a-f945-44d3-9f97-5df5e28441b8",
    },
    refusals=REFUSALS,
    unknown_tax=_unknown_tax,
    void_by_hand=_void_by_hand,
    steal_number=_steal_number,
)
