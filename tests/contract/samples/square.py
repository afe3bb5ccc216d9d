"""What the contract suite needs to know of Square."""

from __future__ import annotations

import json
from typing import Any

from connectors.errors import Duplicate, Rejected, Throttled, Unauthorized, Uncertain
from connectors.sandbox import square as sandbox
from connectors.sandbox.base import Request
from tests.contract.samples.base import Recorded, Samples


def call(emulator: Any, path: str, body: Any = None) -> Any:
    """One call on the emulator itself, as another app of the same seller; without a body it reads."""
    headers = {"authorization": f"Bearer {sandbox.ACCESS_TOKEN}"}
    sent = b"" if body is None else json.dumps(body).encode()
    response = emulator.handle(Request("GET" if body is None else "POST", path, headers, sent))
    assert response.status == 200, response.body
    return json.loads(response.body)


def void_by_hand(emulator: Any, invoice: str) -> None:
    version = call(emulator, f"/v2/invoices/{invoice}")["invoice"]["version"]
    call(emulator, f"/v2/invoices/{invoice}/cancel", {"version": version})


def steal_number(emulator: Any, reference: str) -> None:
    """Somebody bills the newest customer under our reference."""
    found = call(emulator, "/v2/customers/search", {}).get("customers")
    who = found[-1] if found else call(emulator, "/v2/customers", {"email_address": "else@example.com"})["customer"]
    line = {"name": "Something else", "quantity": "1", "base_price_money": {"amount": 999, "currency": "GBP"}}
    order = call(emulator, "/v2/orders", {"order": {"location_id": "LGB1", "line_items": [line]}})["order"]
    given = {
        "location_id": "LGB1",
        "order_id": order["id"],
        "primary_recipient": {"customer_id": who["id"]},
        "payment_requests": [{"request_type": "BALANCE", "due_date": "2026-12-06"}],
        "delivery_method": "SHARE_MANUALLY",
        "invoice_number": reference,
        "accepted_payment_methods": {"card": True},
    }
    invoice = call(emulator, "/v2/invoices", {"invoice": given})["invoice"]
    call(emulator, f"/v2/invoices/{invoice['id']}/publish", {"version": 0})


INVOICE = {
    "invoice": {
        "id": "inv:0-ChCHu2mZEabLeeHahQnXDjZQECY",
        "version": 1,
        "location_id": "LGB1",
        "order_id": "CAISENgvlJ6jLWAzERDzjyHVybY",
        "status": "UNPAID",
        "invoice_number": "SO-1001",
        "title": "Order SO-1001",
        "description": "Order SO-1001 · engraver/books/8a61f0",
        "primary_recipient": {
            "customer_id": "JDKYHBWT1D4F8MFH63DBMEN8Y4",
            "given_name": "Ada",
            "family_name": "Lovelace",
            "company_name": "Analytical Engines Ltd",
            "email_address": "ada@example.com",
        },
        "payment_requests": [
            {
                "uid": "2da7964f-f3d2-4f43-81e8-5aa220bf3355",
                "request_type": "BALANCE",
                "due_date": "2026-12-06",
                "automatic_payment_source": "NONE",
                "computed_amount_money": {"amount": 11814, "currency": "GBP"},
                "total_completed_amount_money": {"amount": 0, "currency": "GBP"},
            }
        ],
        "next_payment_amount_money": {"amount": 11814, "currency": "GBP"},
        "delivery_method": "SHARE_MANUALLY",
        "public_url": "https://squareup.com/pay-invoice/invtmp:5e22a2c2-47c1-46d6-b061-808764dfe2b9",
        "timezone": "Europe/London",
        "created_at": "2026-11-22T12:00:02Z",
        "updated_at": "2026-11-22T12:00:03Z",
    }
}
"""Shape: developer.squareup.com/reference/square/invoices-api/publish-invoice; figures: an order of 118.14 GBP."""


def refusal(status: int, category: str, code: str, detail: str, field: str | None = None) -> Recorded:
    """An error answer in the shape of developer.squareup.com/docs/build-basics/handling-errors."""
    error = {"category": category, "code": code, "detail": detail, **({"field": field} if field else {})}
    return Recorded(
        "square/connect-api-specification, Error and ErrorCode; details are ours", status, {"errors": [error]}
    )


BAD = "INVALID_REQUEST_ERROR"
WHO = "AUTHENTICATION_ERROR"
SAMPLES = Samples(
    slug="square",
    settings={"locations": {"GBP": "LGB1", "EUR": "LIE1", "USD": "LUS1", "JPY": "LJP1"}},
    credentials={
        "client_id": sandbox.CLIENT_ID,
        "client_secret": sandbox.CLIENT_SECRET,
        "refresh_token": sandbox.REFRESH_TOKEN,
    },
    token=sandbox.ACCESS_TOKEN,
    required_settings=("locations",),
    invoice=Recorded("developer.squareup.com, PublishInvoice; figures are ours", 200, INVOICE),
    invoice_expected={
        "id": "inv:0-ChCHu2mZEabLeeHahQnXDjZQECY",
        "number": "SO-1001",
        "reference": "SO-1001",
        "key": "engraver/books/8a61f0",
        "status": "issued",
        "currency": "GBP",
        "total": "118.14",
        "due": "118.14",
        "customer_id": "JDKYHBWT1D4F8MFH63DBMEN8Y4",
        "url": "https://squareup.com/pay-invoice/invtmp:5e22a2c2-47c1-46d6-b061-808764dfe2b9",
    },
    refusals=(
        (refusal(400, BAD, "MISSING_REQUIRED_PARAMETER", "Missing required parameter.", "invoice.order_id"), Rejected),
        (refusal(400, BAD, "VALUE_TOO_LONG", "Too long.", "invoice.invoice_number"), Rejected),
        (refusal(400, BAD, "BAD_REQUEST", "It is in use.", "invoice.invoice_number"), Duplicate),
        (refusal(400, BAD, "BAD_REQUEST", "Order CAISEN already exists."), Uncertain),
        (refusal(400, BAD, "IDEMPOTENCY_KEY_REUSED", "Different request parameters."), Uncertain),
        (refusal(409, BAD, "CONFLICT", "A conflict occurred."), Uncertain),
        (refusal(401, WHO, "UNAUTHORIZED", "This request could not be authorized."), Unauthorized),
        (refusal(401, WHO, "ACCESS_TOKEN_EXPIRED", "The access token has expired."), Unauthorized),
        (refusal(401, WHO, "ACCESS_TOKEN_REVOKED", "The access token has been revoked."), Unauthorized),
        (refusal(403, WHO, "INSUFFICIENT_SCOPES", "The token lacks INVOICES_WRITE."), Unauthorized),
        (refusal(403, WHO, "FORBIDDEN", "The order is locked by its invoice."), Rejected),
        (refusal(404, BAD, "NOT_FOUND", "Invoice not found."), Rejected),
        (refusal(429, "RATE_LIMIT_ERROR", "RATE_LIMITED", "Too many requests."), Throttled),
        (refusal(500, "API_ERROR", "INTERNAL_SERVER_ERROR", "An internal error has occurred."), Uncertain),
        (refusal(503, "API_ERROR", "SERVICE_UNAVAILABLE", "The service is unavailable."), Uncertain),
    ),
    unknown_tax=lambda settings: settings,
    void_by_hand=void_by_hand,
    steal_number=steal_number,
)
