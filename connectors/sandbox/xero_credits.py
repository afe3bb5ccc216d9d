"""Credit notes of an emulated Xero organisation: made like invoices, then allocated to invoices that are due.

Fields and the endpoints from Xero-OpenAPI `xero_accounting.yaml` 16.1.0 (CreditNote, Allocation; an invoice of which
nothing is due any more is PAID, and so is a credit note of which nothing remains). Wordings are ours.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from decimal import Decimal
from typing import Any
from uuid import uuid4

from connectors.sandbox.sums import exact
from connectors.sandbox.xero_books import Books, Invalid, ms_date

OF_INVOICES = ("InvoiceID", "InvoiceNumber", "AmountDue", "AmountPaid", "AmountCredited", "IsDiscounted")
"""Fields that a credit note has not."""


class CreditNotes:
    """The credit notes of every tenant, beside the invoices of `books`."""

    def __init__(self, books: Books) -> None:
        self.books, self.db = books, books.db

    def get(self, tenant: str, ident: str) -> dict[str, Any] | None:
        """By CreditNoteID, else by CreditNoteNumber."""
        row = self.db.execute(
            "SELECT doc FROM xero_creditnotes WHERE tenant = ? AND (id = ? OR number = ?) ORDER BY id <> ?",
            (tenant, ident, ident, ident),
        ).fetchone()
        return json.loads(row[0]) if row else None

    def save(self, tenant: str, raw: Mapping[str, Any], places: int) -> dict[str, Any]:
        """Creates a credit note to a customer. Raises `Invalid`."""
        if raw.get("Type") != "ACCRECCREDIT":
            raise Invalid("A valid Type must be specified: ACCRECCREDIT")
        number = raw.get("CreditNoteNumber") or f"CN-{uuid4().hex[:8]}"
        made = self.books.composed(tenant, {**raw, "Type": "ACCREC", "InvoiceNumber": number}, places)
        doc = {field: value for field, value in made.items() if field not in OF_INVOICES}
        doc |= {
            "Type": "ACCRECCREDIT", "CreditNoteID": made["InvoiceID"], "CreditNoteNumber": number, "Allocations": [],
            "RemainingCredit": made["Total"], "AppliedAmount": 0.0, "HasErrors": False, "ValidationErrors": [],
            "UpdatedDateUTC": ms_date(self.books.now()),
        }  # fmt: skip
        row = (tenant, number, doc["Type"], doc["Status"], json.dumps(doc), doc["CreditNoteID"])
        try:
            self.db.execute(
                "INSERT INTO xero_creditnotes (tenant, number, type, status, doc, id) VALUES (?,?,?,?,?,?)", row
            )
        except sqlite3.IntegrityError:
            raise Invalid("Credit Note # must be unique.") from None
        return doc

    def allocate(self, tenant: str, ident: str, raw: Mapping[str, Any]) -> dict[str, Any]:
        """Takes an amount of the credit note off what is due of an invoice. Raises `Invalid`."""
        note = self.get(tenant, ident)
        invoice = self.books.invoice(tenant, (raw.get("Invoice") or {}).get("InvoiceID") or "")
        if note is None or invoice is None:
            raise Invalid("The credit note or the invoice could not be found")
        amount = exact(raw.get("Amount"))
        if note["Status"] != "AUTHORISED" or invoice["Status"] != "AUTHORISED":
            raise Invalid("Only an authorised credit note can be allocated to an authorised invoice")
        if invoice["Contact"]["ContactID"] != note["Contact"]["ContactID"]:
            raise Invalid("The credit note and the invoice must be of one contact")
        if amount <= 0 or amount > exact(note["RemainingCredit"]) or amount > exact(invoice["AmountDue"]):
            raise Invalid(f"The amount {amount} is more than remains of the credit note, or is due of the invoice")
        made = {"AllocationID": str(uuid4()), "Amount": float(amount), "Invoice": {"InvoiceID": invoice["InvoiceID"]}}
        self._off(note, "RemainingCredit", "AppliedAmount", amount)
        note["Allocations"].append(made)
        self._off(invoice, "AmountDue", "AmountCredited", amount)
        self.books.store(tenant, invoice, False)
        self.db.execute(
            "UPDATE xero_creditnotes SET status = ?, doc = ? WHERE id = ?",
            (note["Status"], json.dumps(note), note["CreditNoteID"]),
        )
        return {**made, "ValidationErrors": []}

    @staticmethod
    def _off(doc: dict[str, Any], left: str, taken: str, amount: Decimal) -> None:
        doc[left] = float(exact(doc[left]) - amount)
        doc[taken] = float(exact(doc[taken]) + amount)
        if not doc[left]:
            doc["Status"] = "PAID"
