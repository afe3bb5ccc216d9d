"""What credit notes of an emulated Odoo take off invoices: posting the reversal of an invoice matches both (17 on).

From odoo/odoo, addons/account/models/account_move.py: `_post` matches a move that names a posted one as
`reversed_entry_id` with it (since 16.3, pull request 117961; not while that one is a draft, 134175); what is due of
either falls by the same amount, an invoice that notes alone have settled is `reversed`, a note that is used up `paid`
(`_compute_payment_state`); `button_draft` takes matches back.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from connectors.sandbox.sums import total

if TYPE_CHECKING:
    from connectors.sandbox.odoo_books import Books


def matched(doc: Mapping[str, Any]) -> Decimal:
    """How much of a document is taken off by others."""
    return total(Decimal(amount) for amount in doc.get("matched", {}).values())


def payment_state(doc: Mapping[str, Any], kind: str, left: Decimal) -> str:
    """Of a posted document of which so much is left."""
    if not doc.get("matched"):
        return "not_paid"
    if left:
        return "partial"
    return "reversed" if doc[kind] == "out_invoice" else "paid"


def match(books: Books, ident: int) -> None:
    """Takes a note that was just posted off the invoice that it reverses, as far as both go."""
    note = books.get(books.invoices, ident)
    if books.version < 17 or not note.get("reversed_entry_id"):
        return
    invoice = books.get(books.invoices, note["reversed_entry_id"])
    amount = min(Decimal(one["amount_residual"]) for one in (note, invoice))
    if invoice["state"] != "posted" or invoice["currency_id"] != note["currency_id"] or not amount:
        return
    for one, other in ((note, invoice), (invoice, note)):
        _set(books, one, {**one.get("matched", {}), str(other["id"]): str(amount)})


def unmatch(books: Books, ident: int) -> None:
    """Gives back what this document took off others, and they off it."""
    doc = books.get(books.invoices, ident)
    for other in doc.get("matched", {}):
        held = books.get(books.invoices, int(other))
        _set(books, held, {one: amount for one, amount in held["matched"].items() if one != str(ident)})
    if doc.get("matched"):
        _set(books, doc, {})


def _set(books: Books, doc: Mapping[str, Any], pairs: Mapping[str, str]) -> None:
    books.store(books.invoices, doc["id"], {**doc, "matched": pairs})
    books.total(doc["id"])
