"""What the contract suite needs to know of HubSpot."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from connectors.errors import Duplicate, Rejected, Throttled, Unauthorized, Uncertain
from connectors.sandbox import hubspot as sandbox
from connectors.sandbox.base import Request
from tests.contract.samples.base import Recorded, Samples

OBJECTS = "/crm/objects/2026-03"
INVOICE: dict[str, Any] = {
    "id": "700",
    "createdAt": "2026-11-22T11:00:00.000Z",
    "updatedAt": "2026-11-22T11:00:04.000Z",
    "archived": False,
    "properties": {
        "billhook_order_ref": "SO-1001",
        "billhook_key": "engraver/books/8a61f0",
        "hs_number": "INV-1042",
        "hs_invoice_status": "open",
        "hs_currency": "GBP",
        "hs_amount_billed": "118.14",
        "hs_balance_due": "118.14",
        "hs_invoice_link": "https://invoices.example/abc",
        "hs_pdf_download_link": "https://invoices.example/abc/pdf",
    },
    "associations": {"contacts": {"results": [{"id": "501", "type": "invoice_to_contact"}]}},
}
"""Shape: SimplePublicObjectWithAssociations of the vendor's OpenAPI document; figures: an order of 118.14 GBP."""


def call(emulator: Any, method: str, path: str, body: Any = None) -> Any:
    """One call on the emulator itself, as another client of the same account."""
    headers = {"authorization": f"Bearer {sandbox.SERVICE_KEY}"}
    request = Request(method, path, headers, json.dumps(body).encode() if body is not None else b"")
    response = emulator.handle(request)
    assert response.status in {200, 201, 204}, response.body
    return json.loads(response.body) if response.body else None


def steal_number(emulator: Any, reference: str) -> None:
    fields = {"hs_currency": "GBP", "billhook_order_ref": reference}
    call(emulator, "POST", f"{OBJECTS}/invoices", {"properties": fields, "associations": []})


def void_by_hand(emulator: Any, invoice: str) -> None:
    """In HubSpot's screens; its API documents no way."""
    raw = emulator.shelf.get("invoices", invoice)
    voided = {**raw, "properties": {**raw["properties"], "hs_invoice_status": "voided"}}
    emulator.shelf.put("invoices", invoice, voided)


def unknown_tax(settings: Mapping[str, Any]) -> Mapping[str, Any]:
    return {**settings, "tax": {**settings["tax"], "20": "999"}}


def refusal(status: int, message: str, category: str, code: str = "", **more: Any) -> Recorded:
    """In the shape of the schema Error of the vendor's OpenAPI documents."""
    parts = [{"message": message, "code": code}] if code else []
    body = {"status": "error", "message": message, "category": category, "errors": parts, **more}
    source = (
        "developers.hubspot.com, error handling; CRM/Invoices 2026-03 invoices.json, schema Error; messages are ours"
    )
    return Recorded(source, status, body)


LIMIT = {"errorType": "RATE_LIMIT", "policyName": "TEN_SECONDLY_ROLLING"}
SAMPLES = Samples(
    slug="hubspot",
    settings={"account": str(sandbox.ACCOUNT), "tax": {"20": "901", "5": "902", "0": "903"}},
    credentials={
        "client_id": sandbox.CLIENT_ID,
        "client_secret": sandbox.CLIENT_SECRET,
        "refresh_token": sandbox.REFRESH_TOKEN,
    },
    token=sandbox.ACCESS_TOKEN,
    required_settings=("account", "tax"),
    invoice=Recorded(
        "CRM/Invoices 2026-03 invoices.json, schema SimplePublicObjectWithAssociations; values are ours", 200, INVOICE
    ),
    invoice_expected={
        "id": "700",
        "number": "INV-1042",
        "reference": "SO-1001",
        "key": "engraver/books/8a61f0",
        "status": "issued",
        "currency": "GBP",
        "total": "118.14",
        "due": "118.14",
        "customer_id": "501",
        "url": "https://invoices.example/abc",
    },
    refusals=(
        (refusal(400, "Property values were not valid", "VALIDATION_ERROR"), Rejected),
        (
            refusal(400, "Property values were not valid", "VALIDATION_ERROR", "CONFLICTING_UNIQUE_VALUE"),
            Duplicate,
        ),
        (refusal(409, "Contact already exists. Existing ID: 501", "CONFLICT"), Duplicate),
        (refusal(404, "resource not found", "OBJECT_NOT_FOUND"), Rejected),
        (refusal(415, "Unsupported media type", "VALIDATION_ERROR"), Rejected),
        (refusal(401, "The OAuth token used to make this call expired", "EXPIRED_AUTHENTICATION"), Unauthorized),
        (refusal(403, "This app hasn't been granted all required scopes", "MISSING_SCOPES"), Unauthorized),
        (refusal(423, "The resource is locked", "LOCKED"), Throttled),
        (refusal(429, "You have reached your ten_secondly_rolling limit.", "RATE_LIMITS", **LIMIT), Throttled),
        (refusal(477, "The account is being migrated", "MIGRATION_IN_PROGRESS"), Throttled),
        (refusal(500, "internal error", "INTERNAL_ERROR"), Uncertain),
        (refusal(524, "A timeout occurred", "INTERNAL_ERROR"), Uncertain),
    ),
    unknown_tax=unknown_tax,
    void_by_hand=void_by_hand,
    steal_number=steal_number,
)
