"""Zoho Books: settings of the sandbox's organisation, and answers that Zoho or its users published."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from connectors.errors import Duplicate, Rejected, Throttled, Unauthorized, Uncertain
from connectors.sandbox import zoho_books as sandbox
from connectors.sandbox.zoho_books_books import CURRENCIES, ITEMS, ORGANIZATION, TAXES
from tests.contract.samples.base import Recorded, Samples

RECORDED = "NangoHQ/integration-templates, integrations/zoho-books/tests"
ERRORS = "zoho.com/books/api/v3, Errors"
ISSUED = Recorded(
    source=f"{RECORDED}/get-invoice.test.json, answer of June 2026 (fields that nobody reads left out)",
    status=200,
    body={
        "code": 0,
        "message": "success",
        "invoice": {
            "invoice_id": "260815000000103001",
            "invoice_number": "INV-000001",
            "date": "2026-06-09",
            "due_date": "2026-07-09",
            "customer_id": "260815000000097001",
            "customer_name": "Acme Corp",
            "email": "",
            "currency_id": "260815000000000097",
            "currency_code": "USD",
            "status": "paid",
            "payment_terms": 30,
            "payment_made": 598,
            "reference_number": "",
            "line_items": [
                {
                    "line_item_id": "260815000000103006",
                    "item_id": "260815000000100002",
                    "name": "Software License",
                    "description": "Annual software license",
                    "quantity": 2,
                    "rate": 299,
                    "tax_id": "",
                    "item_total": 598,
                }
            ],
            "exchange_rate": 1,
            "sub_total": 598,
            "tax_total": 0,
            "discount_type": "item_level",
            "adjustment": 0,
            "total": 598,
            "balance": 0,
            "is_inclusive_tax": False,
            "tax_rounding": "entity_level",
            "is_emailed": False,
            "notes": "Thanks for your business.",
            "invoice_url": "https://zohosecurepay.com/books/nangodev/secure?CInvoiceID=2-1b4c7dc54eeb0203 ",
        },
    },
)


def said(source: str, status: int, code: int, message: str) -> Recorded:
    return Recorded(source, status, {"code": code, "message": message})


REFUSALS = (
    (said(ERRORS, 404, 1002, "Invoice does not exist."), Rejected),
    (said(f"{ERRORS}, the same inside a 200", 200, 1002, "Invoice does not exist."), Rejected),
    (said(ERRORS, 500, 1000, "Internal error"), Uncertain),
    (said(f"{ERRORS}, the same inside a 200", 200, 1000, "Internal error"), Uncertain),
    (said("published answers of Books v3", 401, 57, "You are not authorized to perform this operation"), Unauthorized),
    (said("published answers, inside a 200", 200, 57, "Invalid Access Token"), Unauthorized),
    (said("published answers of Books v3", 400, 2, "Invalid value passed for customer_id"), Rejected),
    (
        said(
            "published answers of Zoho's contacts", 400, 3062,
            'The customer "AIDevTeam" already exists. Please specify a different name.',
        ),
        Duplicate,
    ),
    (said("the same in another language", 400, 3062, "Le client existe."), Duplicate),
    (said("zoho.com/books/api/v3, API call limit (wording ours)", 429, 44, "Too many calls in a minute"), Throttled),
    (said("zoho.com/books/api/v3, API call limit (wording ours)", 429, 45, "Too many calls in a day"), Throttled),
    (said("zoho.com/books/api/v3, API call limit (wording ours)", 429, 1070, "Too many calls at once"), Throttled),
)  # fmt: skip


def _unknown_tax(settings: Mapping[str, Any]) -> Mapping[str, Any]:
    return {**settings, "tax": {**settings["tax"], "20": "999"}}


def _void_by_hand(emulator: Any, remote_id: str) -> None:
    emulator.books.turn(emulator.books.one("invoice", remote_id), "void")


def _steal_number(emulator: Any, reference: str) -> None:
    contact = emulator.books.add_contact({"contact_name": f"Somebody Else Ltd ({reference})"})
    line = {"item_id": next(iter(ITEMS)), "rate": 500, "quantity": 1}
    made = {"customer_id": contact["contact_id"], "invoice_number": reference, "line_items": [line]}
    made["date"] = "2026-11-20"
    emulator.books.turn(emulator.books.add_invoice(made, True), "sent")


SAMPLES = Samples(
    slug="zoho_books",
    settings={
        "organization_id": ORGANIZATION,
        "data_centre": "eu",
        "base_currency": "GBP",
        "currencies": {code: ident for code, ident in CURRENCIES.items() if code != "GBP"},
        "item": next(iter(ITEMS)),
        "items": {sku: ident for ident, (_, sku) in ITEMS.items() if sku},
        "tax": {str(rate): ident for ident, rate in TAXES.items()},
        "tax_rounding": "item_level",
    },
    credentials={
        "client_id": sandbox.CLIENT_ID,
        "client_secret": sandbox.CLIENT_SECRET,
        "refresh_token": sandbox.REFRESH_TOKEN,
    },
    token=sandbox.ACCESS_TOKEN,
    required_settings=("organization_id", "base_currency", "item", "tax"),
    invoice=ISSUED,
    invoice_expected={
        "id": "260815000000103001",
        "number": "INV-000001",
        "reference": "INV-000001",
        "key": None,
        "status": "paid",
        "currency": "USD",
        "total": "598",
        "tax": "0",
        "due": "0",
        "customer_id": "260815000000097001",
        "url": "https://zohosecurepay.com/books/nangodev/secure?CInvoiceID=2-1b4c7dc54eeb0203",
    },
    refusals=REFUSALS,
    unknown_tax=_unknown_tax,
    void_by_hand=_void_by_hand,
    steal_number=_steal_number,
)
