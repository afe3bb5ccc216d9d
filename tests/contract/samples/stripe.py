"""What the contract suite needs to know of Stripe."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from functools import partial
from typing import Any
from urllib.parse import urlencode

from connectors.errors import Duplicate, Rejected, Throttled, Unauthorized, Uncertain
from connectors.platforms.stripe import Stripe
from connectors.sandbox.base import Request
from connectors.sandbox.stripe_accounts import CONNECTED
from tests.contract.samples.base import Recorded, Samples

KEY = "sk_test_sandbox"
VERSION = "2026-06-24.dahlia"


OWN_KEY = "sk_test_connected"
"""Of the account that is connected to the platform whose key is `KEY`."""


def call(emulator: Any, method: str, path: str, pairs: Mapping[str, str] | None = None, key: str = KEY) -> Any:
    """One call on the emulator itself, as another client of the same account."""
    headers = {"authorization": f"Bearer {key}", "stripe-version": VERSION, "host": "sandbox"}
    response = emulator.handle(Request(method, path, headers, urlencode(pairs or {}).encode()))
    assert response.status == 200, response.body
    return json.loads(response.body)


def void_by_hand(emulator: Any, invoice: str, key: str = KEY) -> None:
    call(emulator, "POST", f"/v1/invoices/{invoice}/void", key=key)


def steal_number(emulator: Any, reference: str, key: str = KEY) -> None:
    """Somebody bills the newest customer under our reference (which Stripe lets everyone use)."""
    customers = call(emulator, "GET", "/v1/customers?limit=1", key=key)["data"]
    who = customers[0] if customers else call(emulator, "POST", "/v1/customers", {"email": "else@example.com"}, key)
    terms = {"collection_method": "send_invoice", "days_until_due": "7", "metadata[billhook_order]": reference}
    draft = call(emulator, "POST", "/v1/invoices", {"customer": who["id"], "currency": "gbp", **terms}, key)
    line = {"lines[0][description]": "Something else", "lines[0][amount]": "999"}
    call(emulator, "POST", f"/v1/invoices/{draft['id']}/add_lines", line, key)
    call(emulator, "POST", f"/v1/invoices/{draft['id']}/finalize", key=key)


def pay_by_hand(emulator: Any, invoice: str, key: str = KEY) -> None:
    call(emulator, "POST", f"/v1/invoices/{invoice}/pay", {"paid_out_of_band": "true"}, key)


def unknown_tax(settings: Mapping[str, Any]) -> Mapping[str, Any]:
    return {**settings, "tax_rates": {"20": "txr_nobody_made_this"}}


INVOICE = {
    "id": "in_123",
    "object": "invoice",
    "livemode": True,
    "customer": "cus_Q1",
    "customer_email": "ada@example.com",
    "collection_method": "send_invoice",
    "auto_advance": False,
    "status": "open",
    "number": "A1B2C3D4-0042",
    "currency": "gbp",
    "created": 1795348800,
    "due_date": 1796558400,
    "subtotal": 10345,
    "total_discount_amounts": [{"amount": 500, "discount": "di_1"}],
    "total_excluding_tax": 9845,
    "total_taxes": [
        {
            "amount": 1969,
            "tax_behavior": "exclusive",
            "taxable_amount": 9845,
            "type": "tax_rate_details",
            "tax_rate_details": {"tax_rate": "txr_VAT20"},
        }
    ],
    "total": 11814,
    "amount_due": 11814,
    "amount_paid": 0,
    "amount_remaining": 11814,
    "hosted_invoice_url": "https://invoice.stripe.com/i/acct_1/live_x",
    "invoice_pdf": "https://pay.stripe.com/invoice/acct_1/live_x/pdf",
    "metadata": {"billhook_order": "SO-1001", "billhook_key": "engraver/books/8a61f0"},
    "lines": {"object": "list", "has_more": False, "url": "/v1/invoices/in_123/lines", "data": []},
}
"""Shape: docs.stripe.com/api/invoices/object, version 2026-06-24.dahlia; figures: an order of 118.14 GBP."""


def refusal(status: int, code: str | None, message: str, kind: str = "invalid_request_error") -> Recorded:
    """An error answer in the shape of docs.stripe.com/api/errors, with a code of docs.stripe.com/error-codes."""
    error = {"type": kind, "message": message, **({"code": code} if code else {})}
    return Recorded("docs.stripe.com/api/errors, docs.stripe.com/error-codes", status, {"error": error})


REUSED = "Keys for idempotent requests can only be used with the same parameters they were first used with."
SAMPLES = Samples(
    slug="stripe",
    settings={
        "tax_rates": {"20": "txr_VAT20", "5": "txr_VAT5", "0": "txr_VAT0"},
        "inclusive_tax_rates": {
            "20": "txr_VAT20_inclusive",
            "5": "txr_VAT5_inclusive",
            "0": "txr_VAT0_inclusive",
        },
    },
    credentials={"api_key": KEY},
    token=None,
    required_settings=("tax_rates",),
    invoice=Recorded("docs.stripe.com/api/invoices/object", 200, INVOICE),
    invoice_expected={
        "id": "in_123",
        "number": "A1B2C3D4-0042",
        "reference": "SO-1001",
        "key": "engraver/books/8a61f0",
        "status": "issued",
        "currency": "GBP",
        "total": "118.14",
        "tax": "19.69",
        "due": "118.14",
        "customer_id": "cus_Q1",
        "url": "https://invoice.stripe.com/i/acct_1/live_x",
    },
    refusals=(
        (refusal(400, "resource_missing", "No such tax rate: 'txr_x'"), Rejected),
        (refusal(400, "parameter_unknown", "Received unknown parameter: foo"), Rejected),
        (refusal(400, "invoice_not_editable", "This invoice is no longer editable."), Rejected),
        (refusal(404, "resource_missing", "No such invoice: 'in_x'"), Rejected),
        (refusal(402, None, "The parameters were valid but the request failed."), Rejected),
        (refusal(400, "resource_already_exists", "Coupon already exists."), Duplicate),
        (refusal(400, None, REUSED, "idempotency_error"), Uncertain),
        (refusal(409, "idempotency_key_in_use", "There is currently another request in progress."), Uncertain),
        (refusal(401, None, "Invalid API Key provided: sk_test_***"), Unauthorized),
        (refusal(401, "api_key_expired", "Expired API Key provided."), Unauthorized),
        (refusal(403, None, "The provided key does not have the required permissions."), Unauthorized),
        (refusal(429, "rate_limit", "Request rate limit exceeded."), Throttled),
        (refusal(429, "lock_timeout", "This object cannot be accessed right now."), Throttled),
        (refusal(424, None, "An external dependency failed.", "api_error"), Uncertain),
        (refusal(500, None, "An error occurred.", "api_error"), Uncertain),
    ),
    unknown_tax=unknown_tax,
    void_by_hand=void_by_hand,
    steal_number=steal_number,
    pay_by_hand=pay_by_hand,
)

VARIANTS = {
    "connect": (
        Stripe,
        dataclasses.replace(
            SAMPLES,
            settings={**SAMPLES.settings, "account": CONNECTED},
            void_by_hand=partial(void_by_hand, key=OWN_KEY),
            steal_number=partial(steal_number, key=OWN_KEY),
            pay_by_hand=partial(pay_by_hand, key=OWN_KEY),
        ),
    )
}
"""The platform's key acts for a connected account."""
