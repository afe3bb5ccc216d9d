"""Bodies of an emulated Xero's answers, and its invoices as entries of a ledger."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any
from uuid import uuid4

from connectors.sandbox.base import Entry, Response

EMPTY_ID = "00000000-0000-0000-0000-000000000000"
STATUSES = {"DRAFT": "draft", "SUBMITTED": "draft", "AUTHORISED": "issued", "PAID": "paid", "VOIDED": "void"}


def problem(status: int, title: str, detail: str) -> Response:
    """The body of the layers before the accounting API: tokens, tenants, idempotency."""
    body: dict[str, Any] = {"Type": None, "Title": title, "Status": status, "Detail": detail}
    return Response.json(status, {**body, "Instance": str(uuid4()), "Extensions": {}})


def refusal(elements: list[dict[str, Any]]) -> Response:
    """The 400 of a call with elements that are not valid (Xero-OpenAPI, schema Error)."""
    body: dict[str, Any] = {
        "ErrorNumber": 10,
        "Type": "ValidationException",
        "Message": "A validation exception occurred",
    }
    return Response.json(400, {**body, "Elements": elements})


def spoilt(collection: str, raw: Mapping[str, Any]) -> dict[str, Any]:
    """The element with something in it that Xero refuses."""
    if collection == "Contacts":
        return {**raw, "EmailAddress": "not an address"}
    lines = [{**line, "TaxType": "UNKNOWNTAX"} for line in raw.get("LineItems") or ()]
    return {**raw, "LineItems": lines}


def entry(doc: Mapping[str, Any], customer: str) -> Entry:
    """An invoice or a credit note as a stranger who counts sees it."""
    lines = (
        f"{line['Description']} × {Decimal(str(line['Quantity'])).normalize():f} @ {line['UnitAmount']:.4f}"
        for line in doc["LineItems"]
    )
    _label, separator, key = doc["Reference"].rpartition(" · ")
    return Entry(
        id=doc.get("InvoiceID") or doc["CreditNoteID"],
        reference=doc.get("InvoiceNumber") or doc["CreditNoteNumber"],
        key=key if separator else "",
        customer=customer,
        lines=tuple(lines),
        currency=doc["CurrencyCode"],
        total=f"{doc['Total']:.2f}",
        status=STATUSES[doc["Status"]],
    )
