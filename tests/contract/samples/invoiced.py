"""What the contract suite needs to know of Invoiced."""

from __future__ import annotations

import base64
import json
from typing import Any

from connectors.errors import Rejected, Throttled, Unauthorized, Uncertain
from connectors.sandbox import invoiced as sandbox
from connectors.sandbox.base import Request
from tests.contract.samples.base import Recorded, Samples

REFERENCE = "github.com/Invoiced/api, source/index.html.md.erb (Errors)"
INVOICE: dict[str, Any] = {
    "id": 46225,
    "object": "invoice",
    "customer": 15444,
    "ship_to": None,
    "name": None,
    "currency": "usd",
    "draft": False,
    "closed": False,
    "paid": False,
    "status": "not_sent",
    "autopay": False,
    "attempt_count": 0,
    "next_payment_attempt": None,
    "subscription": None,
    "number": "INV-0016",
    "date": 1416290400,
    "due_date": 1417500000,
    "payment_terms": "NET 14",
    "purchase_order": None,
    "items": [
        {
            "id": 7,
            "object": "line_item",
            "catalog_item": None,
            "type": "product",
            "name": "Copy Paper, Case",
            "description": None,
            "quantity": 1,
            "unit_cost": 45,
            "amount": 45,
            "discountable": True,
            "discounts": [],
            "taxable": True,
            "taxes": [],
            "metadata": {},
        },
    ],
    "notes": None,
    "subtotal": 55,
    "discounts": [],
    "taxes": [{"id": 20554, "object": "tax", "amount": 3.85, "tax_rate": None}],
    "total": 51.15,
    "balance": 51.15,
    "url": "https://dundermifflin.invoiced.com/invoices/IZmXbVOPyvfD3GPBmyd6FwXY",
    "payment_url": "https://dundermifflin.invoiced.com/invoices/IZmXbVOPyvfD3GPBmyd6FwXY/payment",
    "pdf_url": "https://dundermifflin.invoiced.com/invoices/IZmXbVOPyvfD3GPBmyd6FwXY/pdf",
    "updated_at": 1415229884,
    "created_at": 1415229884,
    "metadata": {"billhook_order": "SO-1001", "billhook_key": "engraver/books/8a61f0"},
    "payment_plan": None,
}
"""The vendor's sample (which does not add up), with our marks for its empty metadata."""


def call(emulator: Any, method: str, path: str, body: Any = None) -> Any:
    """One call on the emulator itself, as another client of the same business; past its quota of calls."""
    proof = base64.b64encode(f"{sandbox.API_KEY}:".encode()).decode()
    emulator.quota = type(emulator.quota)(emulator.calls, 1.0)
    request = Request(method, path, {"authorization": f"Basic {proof}"}, json.dumps(body).encode() if body else b"")
    response = emulator.handle(request)
    assert response.status < 300, response.body
    return json.loads(response.body)


def steal_number(emulator: Any, reference: str) -> None:
    who = call(emulator, "POST", "/customers", {"name": "Somebody else"})
    item = {"name": "Something else", "quantity": 1, "unit_cost": 9.99}
    made = {"customer": who["id"], "draft": False, "items": [item], "metadata": {"billhook_order": reference}}
    call(emulator, "POST", "/invoices", made)


def refusal(status: int, message: str, kind: str = "invalid_request", **more: str) -> Recorded:
    return Recorded(REFERENCE, status, {"type": kind, "message": message, **more})


SAMPLES = Samples(
    slug="invoiced",
    settings={},
    credentials={"api_key": sandbox.API_KEY},
    token=None,
    required_settings=(),
    invoice=Recorded("github.com/Invoiced/api, data/invoicing/invoices/object.json", 200, INVOICE),
    invoice_expected={
        "id": "46225",
        "number": "INV-0016",
        "reference": "SO-1001",
        "key": "engraver/books/8a61f0",
        "status": "issued",
        "currency": "USD",
        "total": "51.15",
        "tax": "3.85",
        "due": "51.15",
        "customer_id": "15444",
        "url": "https://dundermifflin.invoiced.com/invoices/IZmXbVOPyvfD3GPBmyd6FwXY",
    },
    refusals=(
        (refusal(400, "Name cannot be blank", param="name"), Rejected),
        (
            refusal(400, "New invoices cannot be created for this account because it has a credit hold."),
            Rejected,
        ),
        (refusal(401, "Incorrect or missing API key"), Unauthorized),
        (refusal(403, "You do not have permission to perform this action"), Unauthorized),
        (refusal(404, "The specified resource could not be found"), Rejected),
        (refusal(429, "You're moving too fast! Slow down!"), Throttled),
        (refusal(500, "There was a problem on our end", "api"), Uncertain),
    ),
    unknown_tax=lambda settings: settings,  # taxes are amounts
    void_by_hand=lambda emulator, invoice: call(emulator, "POST", f"/invoices/{invoice}/void"),
    steal_number=steal_number,
)
