"""Credit notes and payments of the emulated FreshBooks: a client's credit is taken off what an invoice has due.

Fields from freshbooks.com/api/credits and /api/payments, answers as FreshBooks' Postman collection shows them (a credit
note made through the API is "created" at once; `paid` is what of it is used). Not documented and awkward here: two
credit notes may have one number; more than is due, or than the credit note has left, is refused, in words of our own.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from connectors.sandbox.freshbooks_books import (
    MONEY,
    NOTE,
    PAYMENT,
    TYPES,
    Refused,
    eastern,
    known,
    money,
    priced,
    stage,
)
from connectors.sandbox.shelf import Doc
from connectors.sandbox.sums import exact


def note(ident: int, given: Any, now: float) -> Doc:
    """A new credit note; the caller has seen to it that its client exists."""
    fields = known(given, NOTE)
    if fields.get("credit_type", "goodwill") not in {"goodwill", "prepayment"}:
        raise Refused(1004, "credit_type must be goodwill or prepayment.", "credit_type")
    made = priced(fields)
    if exact(made["amount"]["amount"]) <= 0:
        raise Refused(1004, "A credit note needs an amount.", "lines")
    kept = {name: made[name] for name in ("lines", "currency_code", "amount", "paid")}
    return {
        **NOTE, "vis_state": 0, "notes": "", "credit_type": "goodwill", "credit_number": f"{ident:07}", **fields,
        **kept, "id": ident, "creditid": ident, "accounting_systemid": "ZyQ04o", "status": "created",
        "dispute_status": None, "display_status": "created", "payment_status": "unpaid", "payment_type": None,
        "updated": eastern(now),
    }  # fmt: skip


def payment(ident: int, given: Any, invoice: Doc, credit: Doc | None, now: float) -> Doc:
    """A new payment of this invoice, from the credit note that it names, if it names one; both are changed."""
    fields = known(given, PAYMENT)
    cost = fields.get("amount") or {}
    if fields.get("type") not in TYPES or not fields.get("date"):
        raise Refused(1001, "A payment needs a date and a type.", "type" if fields.get("date") else "date")
    if not isinstance(cost.get("amount"), str) or not MONEY.fullmatch(cost["amount"]):
        raise Refused(1004, "amount must be a decimal with two places.", "amount")
    amount, currency = exact(cost["amount"]), invoice["currency_code"]
    if amount <= 0 or cost.get("code", currency) != currency:
        raise Refused(1004, "The amount must be positive, in the invoice's currency.", "amount")
    if invoice["status"] not in {2, 8} or invoice["vis_state"] == 1:
        raise Refused(1004, "The invoice cannot be paid.", "invoiceid")
    if (credit is not None) != (fields["type"] == "Credit") or bool(fields.get("from_credit")) != (credit is not None):
        raise Refused(1004, "A payment from credit names the credit.", "creditid")
    left = exact(invoice["outstanding"]["amount"]) - amount
    if left < 0:
        raise Refused(1004, "The amount is more than is outstanding.", "amount")
    if credit is not None:
        _use(credit, amount, invoice)
    invoice |= {"outstanding": money(left, currency), "paid": _more(invoice, amount), **stage(8 if left else 4)}
    return {
        **PAYMENT, "vis_state": 0, "from_credit": False, **fields, "id": ident, "logid": ident,
        "clientid": invoice["customerid"], "accounting_systemid": "ZyQ04o", "updated": eastern(now),
    }  # fmt: skip


def _use(credit: Doc, amount: Decimal, invoice: Doc) -> None:
    mine = str(credit["clientid"]) == str(invoice["customerid"]) and credit["currency_code"] == invoice["currency_code"]
    left = exact(credit["amount"]["amount"]) - exact(credit["paid"]["amount"]) - amount
    if not mine or credit["vis_state"] == 1 or left < 0:
        raise Refused(1004, "The client has no such credit.", "creditid")
    credit |= {"paid": _more(credit, amount), "payment_status": "partial" if left else "paid"}


def _more(doc: Doc, amount: Decimal) -> dict[str, str]:
    return money(exact(doc["paid"]["amount"]) + amount, doc["currency_code"])
