"""Sage: settings of the sandbox's business, and answers that Sage published."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from connectors.errors import Duplicate, Rejected, Throttled, Unauthorized, Uncertain
from connectors.sandbox import sage as sandbox
from tests.contract.samples.base import Recorded, Samples

GUIDES = "developer.sage.com, Accounting guides"

ISSUED = Recorded(
    source="the answer of v3.1's specification (openintegrationhub/Sage-Accounting-Component), filled with an example",
    status=200,
    body={
        "id": "5d0f2c7b8a1e4f0c9b3a6d7e8f901234",
        "displayed_as": "SI-104",
        "$path": "/sales_invoices/5d0f2c7b8a1e4f0c9b3a6d7e8f901234",
        "invoice_number_prefix": "SI-",
        "invoice_number": "104",
        "reference": "SO-1001",
        "notes": "Order SO-1001 · shop-1/books/SO-1001/order/invoice/1",
        "status": {"id": "UNPAID", "displayed_as": "Unpaid", "$path": "/artefact_statuses/UNPAID"},
        "contact": {"id": "8a9b4b1f174c11e691e20a5d7cf84c3e", "displayed_as": "Analytical Engines Ltd"},
        "date": "2026-11-22",
        "due_date": "2026-12-06",
        "net_amount": "98.45",
        "tax_amount": "19.69",
        "total_amount": "118.14",
        "total_paid": "0.0",
        "outstanding_amount": "118.14",
        "currency": {"id": "GBP", "displayed_as": "Pound Sterling (GBP)"},
        "shipping_net_amount": "7.95",
        "shipping_tax_amount": "1.59",
        "sent": False,
    },
)


def problem(status: int, code: str, message: str, source: str = "", page: str = "frequently raised errors") -> Recorded:
    """An error in the shape of "frequently raised errors". That page has the words of the 401; of the others Sage
    documents status or code, not the words, which are assumed."""
    body = [{"$severity": "error", "$dataCode": code, "$message": message, "$source": source}]
    return Recorded(f"{GUIDES}, {page}", status, body)


REFUSALS = (
    (problem(401, "AuthorizationFailure", "No active subscription. (MSE)"), Unauthorized),
    (problem(403, "MultiUserAccessDenied", "The user has no access to this business."), Unauthorized),
    (problem(404, "RecordNotFound", "Record not found", page="response codes"), Rejected),
    (problem(422, "RecordInvalid", "is required", "invoice_lines[0].tax_amount", "response codes"), Rejected),
    (problem(422, "RecordInvalid", "can't find customer", "contact_id"), Rejected),
    (problem(422, "RecordInvalid", "has already been taken", "reference", "response codes (assumed)"), Duplicate),
    (problem(422, "RecordInvalid", "Idempotency id in use", page="idempotency (assumed)"), Uncertain),
    (problem(429, "TooManyRequests", "Too many requests", page="response codes"), Throttled),
    (problem(500, "UnexpectedError", "An unexpected error occurred.", page="response codes"), Uncertain),
    (Recorded("a gateway before the platform", 503, "<html>Service Unavailable</html>"), Uncertain),
)  # fmt: skip


def _unknown_tax(settings: Mapping[str, Any]) -> Mapping[str, Any]:
    return {**settings, "tax": {**settings["tax"], "20": "GB_NONE_SUCH"}}


def _void_by_hand(emulator: Any, remote_id: str) -> None:
    emulator.books.void(remote_id, "typed in by hand")


def _steal_number(emulator: Any, reference: str) -> None:
    who = emulator.books.add_contact({"name": f"Somebody Else Ltd ({reference})", "contact_type_ids": ["CUSTOMER"]})
    line = {
        "description": "Typed in by hand", "ledger_account_id": next(iter(sandbox.LEDGER_ACCOUNTS)), "quantity": 1,
        "unit_price": 500, "tax_rate_id": "GB_ZERO",
    }  # fmt: skip
    dates = {"date": "2026-11-22", "due_date": "2026-12-06"}
    emulator.books.add_invoice({"contact_id": who["id"], "reference": reference, "invoice_lines": [line], **dates})


SAMPLES = Samples(
    slug="sage",
    settings={
        "business": sandbox.BUSINESS,
        "ledger_account": next(iter(sandbox.LEDGER_ACCOUNTS)),
        "tax": {"20": "GB_STANDARD", "5": "GB_LOWER", "0": "GB_ZERO"},
    },
    credentials={
        "client_id": sandbox.APP.client_id,
        "client_secret": sandbox.APP.client_secret,
        "refresh_token": sandbox.APP.refresh_token,
    },
    token=sandbox.APP.access_token,
    required_settings=("business", "ledger_account", "tax"),
    invoice=ISSUED,
    invoice_expected={
        "id": "5d0f2c7b8a1e4f0c9b3a6d7e8f901234",
        "number": "SI-104",
        "reference": "SO-1001",
        "key": "shop-1/books/SO-1001/order/invoice/1",
        "status": "issued",
        "currency": "GBP",
        "total": "118.14",
        "tax": "19.69",
        "due": "118.14",
        "customer_id": "8a9b4b1f174c11e691e20a5d7cf84c3e",
    },
    refusals=REFUSALS,
    unknown_tax=_unknown_tax,
    void_by_hand=_void_by_hand,
    steal_number=_steal_number,
)
