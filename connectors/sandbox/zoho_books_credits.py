"""The credit notes of an emulated Zoho Books organisation: drafts, opened, applied to invoices, closed when used up.

Fields, lengths and required fields from Zoho's OpenAPI document `credit-notes.yml` (Books v3), which shows whole
quantities only; that document shows `rate` and `adjustment` in no request, but answers have them: both are taken. Codes
12003 to 12007 and 12018 from zoho.com/invoice/api/v3/credit-notes; the others, and the wordings of amounts, are ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from connectors.sandbox.shelf import Doc
from connectors.sandbox.zoho_books_books import LINE, Books, Refused, bad, checked, fresh, number

NOTE = {
    "customer_id": 30, "currency_id": 30, "contact_persons_associated": 0, "date": 10, "is_draft": 0,
    "exchange_rate": 0, "line_items": 0, "creditnote_number": 100, "reference_number": 100, "notes": 5000,
    "terms": 10_000, "is_inclusive_tax": 0, "adjustment": 0, "adjustment_description": 500,
}  # fmt: skip
NUMBER_TAKEN = 12018
APPLIED = {"invoice_id": 30, "amount_applied": 0}
UNFIT_NOTES = {
    "closed": (12003, "in closed status"),
    "void": (12004, "in void status"),
    "draft": (2, "in draft status"),
}
UNFIT_INVOICES = {"draft": 12005, "paid": 12006, "void": 12007}


class CreditNotes:
    """The credit notes beside the invoices of `books`."""

    def __init__(self, books: Books) -> None:
        self.books, self.shelf = books, books.shelf

    def one(self, ident: str) -> Doc:
        return self.shelf.need("creditnote", ident, Refused(404, 1002, "Credit Note does not exist."))

    def add(self, raw: Mapping[str, Any], own_number: bool) -> Doc:
        checked(raw, NOTE)
        ident = raw.get("creditnote_number") if own_number else f"CN-{self.shelf.count('creditnote') + 1:05}"
        if not ident or not raw.get("date"):
            raise bad("date" if ident else "creditnote_number")
        if raw.get("is_draft", False) not in {True, False}:
            raise bad("is_draft")
        if self.shelf.all("creditnote", creditnote_number=ident):
            raise Refused(400, NUMBER_TAKEN, "The specified Credit Note Number already exists")
        doc = self.books.composed({"reference_number": "", **raw, "creditnote_number": ident}, LINE)
        if any(number(line, "quantity") % 1 for line in doc["line_items"]):
            raise bad("quantity")
        draft = doc.pop("is_draft", False)
        doc |= {"creditnote_id": fresh(), "status": "draft" if draft else "open", "invoices": []}
        return self.shelf.put("creditnote", doc["creditnote_id"], doc)

    def turn(self, note: Doc, status: str) -> str:
        """Into "open" or "void", with what Zoho then says."""
        if (note["status"], status) not in {("draft", "open"), ("draft", "void"), ("open", "void")} or note["invoices"]:
            raise Refused(400, 2, f"The status {note['status']} of the credit note cannot be changed to {status}")
        self.shelf.put("creditnote", note["creditnote_id"], {**note, "status": status})
        return f"Status of the credit note has been changed to {status}."

    def apply(self, note: Doc, raw: Mapping[str, Any]) -> str:
        """Takes amounts of the credit note off what is due of invoices of the same customer."""
        checked(raw, {"invoices": 0})
        if note["status"] in UNFIT_NOTES:
            code, state = UNFIT_NOTES[note["status"]]
            raise Refused(400, code, f"Credit notes that are {state} cannot be applied to invoices")
        if not raw.get("invoices"):
            raise bad("invoices")
        for one in raw["invoices"]:
            checked(one, APPLIED)
            invoice = self.books.one("invoice", str(one.get("invoice_id")))
            amount = number(one, "amount_applied")
            self._applicable(note, invoice, amount)
            left, due = Decimal(note["balance"]) - amount, Decimal(invoice["balance"]) - amount
            shown = {"invoice_id": invoice["invoice_id"], "invoice_number": invoice["invoice_number"], "amount": amount}
            note |= {"balance": left, "status": "open" if left else "closed", "invoices": [*note["invoices"], shown]}
            credits_applied = Decimal(invoice["credits_applied"]) + amount
            invoice |= {"balance": due, "status": "partially_paid" if due else "paid"}
            invoice["credits_applied"] = credits_applied
            self.shelf.put("invoice", invoice["invoice_id"], invoice)
        self.shelf.put("creditnote", note["creditnote_id"], note)
        return "Credits have been applied to the invoice(s)."

    @staticmethod
    def _applicable(note: Doc, invoice: Doc, amount: Decimal) -> None:
        if invoice["status"] in UNFIT_INVOICES:
            code, state = UNFIT_INVOICES[invoice["status"]], invoice["status"].replace("paid", "closed")
            raise Refused(400, code, f"Credits cannot be applied to invoices in the {state} status")
        if invoice["customer_id"] != note["customer_id"]:
            raise bad("invoice_id")
        if amount <= 0 or amount > Decimal(note["balance"]):
            raise bad("amount_applied")
        if amount > Decimal(invoice["balance"]):
            raise Refused(400, 2, "The amount applied is more than the balance of the invoice")
