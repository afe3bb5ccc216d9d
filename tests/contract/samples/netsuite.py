"""NetSuite: settings of the emulated account, and answers that Oracle and integrators published."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from connectors.errors import Duplicate, Rejected, Throttled, Unauthorized, Uncertain
from connectors.sandbox import netsuite as sandbox
from tests.contract.samples.base import Recorded, Samples

HELP = "docs.oracle.com, NetSuite help"
HOST = "https://1234567.suitetalk.api.netsuite.com/services/rest/record/v1"

ISSUED = Recorded(
    source="Oracle's REST API Browser 2026.1, record invoice: its fields, with values of an example order",
    status=200,
    body={
        "links": [{"rel": "self", "href": f"{HOST}/invoice/90210"}],
        "id": "90210",
        "externalId": "billhook-inv-SO-1001",
        "tranId": "INV3307",
        "tranDate": "2026-11-22",
        "dueDate": "2026-12-06",
        "otherRefNum": "SO-1001",
        "entity": {"id": "8421", "refName": "Analytical Engines Ltd"},
        "currency": {"id": "2", "refName": "British Pound"},
        "subtotal": 95.5,
        "discountTotal": -5.0,
        "shippingCost": 7.95,
        "taxTotal": 19.69,
        "total": 118.14,
        "amountPaid": 0.0,
        "amountRemaining": 118.14,
        "status": {"id": "A", "refName": "Open"},
        "paymentlink": None,
        "lastModifiedDate": "2026-11-22T10:15:00Z",
    },
)


def refusal(source: str, status: int, detail: str, code: str, title: str = "Bad Request") -> Recorded:
    kind = "https://www.w3.org/Protocols/rfc2616/rfc2616-sec10.html#sec10.4.1"
    details = [{"detail": detail, "o:errorCode": code}]
    return Recorded(source, status, {"type": kind, "title": title, "status": status, "o:errorDetails": details})


BLOCKED = "Concurrent request limit exceeded. Request blocked."
KNOWN_KEY = 'A request with the same idempotency key is already submitted. See the "Location" header'
FIELD = "Error while accessing a resource. You have entered an Invalid Field Value 53384 for the following field:"
LOCKED = "Error while accessing a resource. This record has been locked by a user defined workflow."
INTEGRATORS = "answers published by integrators on GitHub"

REFUSALS = (
    (refusal(f"{HELP}, section_156570709583", 429, BLOCKED, "CONCURRENCY_LIMIT_EXCEEDED"), Throttled),
    (refusal(f"{HELP}, section_156570709583", 401, "Invalid login attempt.", "INVALID_LOGIN"), Unauthorized),
    (refusal(f"{HELP}, subsect_164494900632", 400, KNOWN_KEY, "IDEMPOTENCY_ERROR", "Conflict"), Uncertain),
    (refusal(INTEGRATORS, 400, f"{FIELD} customer.", "USER_ERROR"), Rejected),
    (refusal(INTEGRATORS, 400, LOCKED, "USER_ERROR"), Rejected),
    (
        refusal(INTEGRATORS, 400, "Error while accessing a resource. This record already exists.", "USER_ERROR"),
        Duplicate,
    ),
    (refusal(INTEGRATORS, 403, "Your current role does not have permission.", "INSUFFICIENT_PERMISSION"), Rejected),
    (refusal(f"{HELP}, section_156570709583", 500, "Error ID: 1", "UNEXPECTED_ERROR", "Server Error"), Uncertain),
)


def _unknown_tax(settings: Mapping[str, Any]) -> Mapping[str, Any]:
    return {**settings, "tax": {**settings["tax"], "20": "99"}}


def _void_by_hand(emulator: Any, remote_id: str) -> None:
    found = emulator.shelf.get("invoice", remote_id)
    emulator.shelf.put("invoice", remote_id, {**found, "status": {"id": "V", "refName": "Voided"}})


def _steal_number(emulator: Any, reference: str) -> None:
    other = emulator.records.create("customer", {"companyName": "Somebody Else Ltd", "subsidiary": {"id": "3"}})
    lines = [{"item": {"id": "1510"}, "description": "Consulting", "quantity": 1, "rate": 500}]
    raw = {"entity": {"id": other}, "otherRefNum": reference, "memo": "typed in by hand", "item": {"items": lines}}
    emulator.records.create("invoice", raw)


SAMPLES = Samples(
    slug="netsuite",
    settings={
        "account": sandbox.ACCOUNT,
        "currencies": {"GBP": "2", "EUR": "4", "USD": "1", "JPY": "6"},
        "item": "1510",
        "items": {"PLQ-BR": "1501"},
        "shipping_item": "1520",
        "tax": {"20": "31", "5": "32", "0": "33"},
        "tax_type": "13",
        "subsidiary": "3",
        "terms": "7",
        "location": "1",
    },
    credentials={
        "client_id": sandbox.CLIENT_ID,
        "certificate_id": sandbox.CERTIFICATE_ID,
        "private_key": sandbox.PRIVATE_KEY,
    },
    token=sandbox.ACCESS_TOKEN,
    required_settings=("account", "currencies", "item", "tax", "tax_type"),
    invoice=ISSUED,
    invoice_expected={
        "id": "90210",
        "number": "INV3307",
        "reference": "SO-1001",
        "status": "issued",
        "currency": "GBP",
        "total": "118.14",
        "tax": "19.69",
        "due": "118.14",
        "customer_id": "8421",
    },
    refusals=REFUSALS,
    unknown_tax=_unknown_tax,
    void_by_hand=_void_by_hand,
    steal_number=_steal_number,
)
