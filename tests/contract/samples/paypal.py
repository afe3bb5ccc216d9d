"""What the contract suite needs to know of PayPal."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from functools import partial
from typing import Any

from connectors.errors import Duplicate, Rejected, Throttled, Unauthorized, Uncertain
from connectors.platforms.paypal import PayPal
from connectors.sandbox import paypal as sandbox
from connectors.sandbox.base import Request
from tests.contract.samples.base import Recorded, Samples

# {"alg":"none"} and {"iss":"sandbox-paypal-client-id","payer_id":"7KQ2MX9RTW4HN"}, each in base64url
ASSERTION = "eyJhbGciOiJub25lIn0.eyJpc3MiOiJzYW5kYm94LXBheXBhbC1jbGllbnQtaWQiLCJwYXllcl9pZCI6IjdLUTJNWDlSVFc0SE4ifQ."
FOR_MERCHANT = {"paypal-auth-assertion": ASSERTION}


def call(emulator: Any, path: str, body: Any, more: Mapping[str, str] | None = None) -> Any:
    """One call on the emulator itself, as another app of the same merchant."""
    headers = {"authorization": f"Bearer {sandbox.ACCESS_TOKEN}", "prefer": "return=representation", **(more or {})}
    response = emulator.handle(Request("POST", f"/v2/invoicing/{path}", headers, json.dumps(body).encode()))
    assert 200 <= response.status < 300, response.body
    return json.loads(response.body or b"null")


def void_by_hand(emulator: Any, invoice: str, more: Mapping[str, str] | None = None) -> None:
    call(emulator, f"invoices/{invoice}/cancel", {"send_to_recipient": False}, more)


def steal_number(emulator: Any, reference: str, more: Mapping[str, str] | None = None) -> None:
    """Somebody bills somebody else under our reference."""
    given = {
        "detail": {"invoice_number": reference, "currency_code": "GBP"},
        "primary_recipients": [{"billing_info": {"email_address": "else@example.com"}}],
        "items": [
            {"name": "Something else", "quantity": "1", "unit_amount": {"currency_code": "GBP", "value": "9.99"}}
        ],
    }
    made = call(emulator, "invoices", given, more)
    call(emulator, f"invoices/{made['id']}/send", {"send_to_recipient": False}, more)


def gbp(value: str) -> dict[str, str]:
    return {"currency_code": "GBP", "value": value}


INVOICE = {
    "id": "INV2-Z56S-5LLA-Q52L-CPZ5",
    "status": "SENT",
    "detail": {
        "invoice_number": "SO-1001",
        "reference": "SO-1001",
        "invoice_date": "2026-11-22",
        "currency_code": "GBP",
        "memo": "Order SO-1001 · engraver/books/8a61f0",
        "payment_term": {"term_type": "DUE_ON_DATE_SPECIFIED", "due_date": "2026-12-06"},
        "metadata": {
            "create_time": "2026-11-22T12:00:02Z",
            "created_by_flow": "REGULAR_SINGLE",
            "recipient_view_url": "https://www.paypal.com/invoice/p/#Z56S5LLAQ52LCPZ5",
            "invoicer_view_url": "https://www.paypal.com/invoice/details/INV2-Z56S-5LLA-Q52L-CPZ5",
        },
    },
    "invoicer": {"business_name": "Tag & Plaque Ltd", "email_address": "seller@example.com"},
    "primary_recipients": [
        {
            "billing_info": {
                "business_name": "Analytical Engines Ltd",
                "name": {"given_name": "Ada", "surname": "Lovelace"},
                "email_address": "ada@example.com",
            }
        }
    ],
    "configuration": {"tax_calculated_after_discount": True, "tax_inclusive": False, "allow_tip": False},
    "amount": {
        **gbp("118.14"),
        "breakdown": {
            "item_total": gbp("95.50"),
            "discount": {"invoice_discount": {"amount": gbp("-5.00")}, "item_discount": gbp("0.00")},
            "tax_total": gbp("19.69"),
            "shipping": {"amount": gbp("7.95"), "tax": {"name": "VAT", "percent": "20", "amount": gbp("1.59")}},
        },
    },
    "due_amount": gbp("118.14"),
    "links": [{"rel": "self", "href": "https://api.paypal.com/v2/invoicing/invoices/INV2-Z56S-5LLA-Q52L-CPZ5"}],
}
"""Shape: developer.paypal.com/docs/api/invoicing/v2, "Show invoice details"; figures: an order of 118.14 GBP."""


def refusal(status: int, name: str, issue: str = "", field: str = "") -> Recorded:
    """An error answer in the shape of docs.paypal.ai/growth/grow-business/invoicing/errors."""
    detail = {"issue": issue, "description": "See the documentation.", **({"field": field} if field else {})}
    body = {"name": name, "message": "See details.", "debug_id": "04228dda78114", "details": [detail] if issue else []}
    return Recorded(
        "docs.paypal.ai, invoicing errors; openapi/invoicing_v2.json (texts are ours, and what names a taken number)",
        status,
        body,
    )


NO = "UNPROCESSABLE_ENTITY"
TOKEN = {"error": "invalid_token", "error_description": "The token passed in was not found in the system"}
SAMPLES = Samples(
    slug="paypal",
    settings={"invoicer_email": "billing@example.com"},
    credentials={"client_id": sandbox.CLIENT_ID, "client_secret": sandbox.CLIENT_SECRET},
    token=sandbox.ACCESS_TOKEN,
    required_settings=(),
    invoice=Recorded(
        "developer.paypal.com/docs/api/invoicing/v2, Show invoice details; figures are ours", 200, INVOICE
    ),
    invoice_expected={
        "id": "INV2-Z56S-5LLA-Q52L-CPZ5",
        "number": "SO-1001",
        "reference": "SO-1001",
        "key": "engraver/books/8a61f0",
        "status": "issued",
        "currency": "GBP",
        "total": "118.14",
        "tax": "19.69",
        "due": "118.14",
        "customer_id": "ada@example.com",
        "url": "https://www.paypal.com/invoice/p/#Z56S5LLAQ52LCPZ5",
    },
    refusals=(
        (refusal(400, "INVALID_REQUEST", "INVALID_STRING_MAX_LENGTH", "/detail/invoice_number"), Rejected),
        (refusal(400, "INVALID_REQUEST", "MISSING_REQUIRED_PARAMETER", "/items"), Rejected),
        (refusal(422, NO, "USER_NOT_FOUND", "/invoicer/email_address"), Rejected),
        (refusal(422, NO, "CANNOT_CANCEL_DRAFT_INVOICE"), Rejected),
        (refusal(422, NO, "DUPLICATE_INVOICE_NUMBER"), Duplicate),
        (refusal(422, NO, "VALUE_TAKEN", "/detail/invoice_number"), Duplicate),
        (refusal(409, "RESOURCE_CONFLICT"), Uncertain),
        (refusal(404, "RESOURCE_NOT_FOUND", "INVALID_RESOURCE_ID"), Uncertain),
        (refusal(401, "AUTHENTICATION_FAILURE"), Unauthorized),
        (Recorded("developer.paypal.com/api/rest/responses", 401, TOKEN), Unauthorized),
        (refusal(403, "NOT_AUTHORIZED", "PERMISSION_DENIED"), Unauthorized),
        (refusal(429, "RATE_LIMIT_REACHED"), Throttled),
        (refusal(500, "INTERNAL_SERVER_ERROR"), Uncertain),
        (refusal(503, "SERVICE_UNAVAILABLE"), Uncertain),
    ),
    unknown_tax=lambda settings: settings,
    void_by_hand=void_by_hand,
    steal_number=steal_number,
)

VARIANTS = {
    "partner": (
        PayPal,
        dataclasses.replace(
            SAMPLES,
            settings={"merchant": sandbox.MERCHANT, "invoicer_email": sandbox.PROFILES[sandbox.MERCHANT][1]},
            void_by_hand=partial(void_by_hand, more=FOR_MERCHANT),
            steal_number=partial(steal_number, more=FOR_MERCHANT),
        ),
    )
}
"""A partner's app acts for a merchant."""
