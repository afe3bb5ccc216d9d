"""Credit memos of an emulated QuickBooks company, and the payments by which they are set off against invoices.

From the API reference (CreditMemo, Payment) and Intuit's blog, "How to automatically apply credits". A payment of money
is not made here, only one that links credit memos and invoices. Where the documents are silent it is refused: more
applied than is open, documents of somebody else, voiding what a payment links.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from connectors.sandbox.qbo_bodies import Invalid, bad_reference, broken_rule, check_length, missing
from connectors.sandbox.qbo_invoices import INVOICE_FIELDS, compose, currency_of, customer_of, day_in
from connectors.sandbox.sums import exact

if TYPE_CHECKING:
    from connectors.sandbox.qbo_books import Books

MEMO_FIELDS = INVOICE_FIELDS - {
    "DueDate", "Deposit", "ShipDate", "TrackingNum", "BillEmailCc", "InvoiceLink", "AllowOnlineACHPayment",
    "AllowOnlineCreditCardPayment", "AllowIPNPayment", "AllowOnlinePayment",
} | {"InvoiceRef", "RemainingCredit", "PaymentMethodRef"}  # fmt: skip
PAYMENT_FIELDS = {
    "TotalAmt", "CustomerRef", "CurrencyRef", "ExchangeRate", "TxnDate", "PrivateNote", "PaymentMethodRef", "Line",
    "DepositToAccountRef", "PaymentRefNum", "UnappliedAmt", "ProcessPayment", "ARAccountRef",
}  # fmt: skip
LINKED = ("Invoice", "CreditMemo")


def memo(books: Books, given: Mapping[str, Any], old: Mapping[str, Any] | None) -> dict[str, Any]:
    """A credit memo, saved; what it names as its invoice must exist, and is not shown outside India."""
    if old:
        raise Invalid("500", "Unsupported Operation", "This sandbox does not change credit memos.")
    invoice = (given.get("InvoiceRef") or {}).get("value")
    if invoice is not None and books.get("Invoice", invoice) is None:
        raise bad_reference("Invoice", invoice)
    doc = compose(books, given, old)
    doc = {name: value for name, value in doc.items() if name not in {"DueDate", "Deposit", "InvoiceRef"}}
    saved = books.store("CreditMemo", {**doc, "RemainingCredit": doc["Balance"]}, old)
    return _applied_by_itself(books, saved) if books.applies_credits else saved


def payment(books: Books, given: Mapping[str, Any], old: Mapping[str, Any] | None) -> dict[str, Any]:
    """A payment of nothing that links credit memos and invoices of one customer; what is open of them falls."""
    if old:
        raise Invalid("500", "Unsupported Operation", "This sandbox does not change payments.")
    if given.get("TotalAmt") is None:
        raise missing("TotalAmt")
    customer = customer_of(books, given)
    currency = currency_of(books, given, customer)
    check_length("PrivateNote", given.get("PrivateNote"), 4000)
    total = exact(given["TotalAmt"])
    sums = dict.fromkeys(LINKED, Decimal(0))
    touched: dict[tuple[str, str], dict[str, Any]] = {}
    for line in given.get("Line") or ():
        amount, kind, ident = _link(line)
        doc = touched.setdefault((kind, ident), books.get(kind, ident) or _unknown(kind, ident))
        _check_owner(books, doc, customer["Id"])
        left = exact(doc["Balance"]) - amount
        if left < 0:
            raise broken_rule(f"The amount {amount} is more than is open of the {kind} {ident}")
        sums[kind] += amount
        doc |= {"Balance": left, **({"RemainingCredit": left} if kind == "CreditMemo" else {})}
    unapplied = total + sums["CreditMemo"] - sums["Invoice"]
    if total or not touched or unapplied:
        raise broken_rule("This sandbox takes payments of 0 only, which set credit memos off against invoices")
    doc = {
        **given, "CustomerRef": {"value": customer["Id"], "name": customer["FullyQualifiedName"]},
        "UnappliedAmt": unapplied, "ProcessPayment": False, "TxnDate": day_in(books, given, "TxnDate"),
    }  # fmt: skip
    saved = books.store("Payment", doc | ({"CurrencyRef": {"value": currency}} if books.multicurrency else {}), None)
    for (kind, _), doc in touched.items():
        linked = [*(doc.get("LinkedTxn") or ()), {"TxnId": saved["Id"], "TxnType": "Payment"}]
        books.store(kind, {**doc, "LinkedTxn": linked}, doc)
    return saved


def _link(line: Mapping[str, Any]) -> tuple[Decimal, str, str]:
    linked = line.get("LinkedTxn") or []
    if len(linked) != 1 or linked[0].get("TxnType") not in LINKED:
        raise missing("Line.LinkedTxn")
    amount = exact(line.get("Amount"))
    if amount <= 0:
        raise Invalid("2240", "Invalid Number", f"The amount of a line must be above zero. Supplied value:{amount}")
    return amount, linked[0]["TxnType"], str(linked[0].get("TxnId"))


def _unknown(kind: str, ident: str) -> dict[str, Any]:
    raise bad_reference(kind, ident)


def _check_owner(books: Books, doc: Mapping[str, Any], customer: str) -> None:
    """A job's documents may also be paid by its customer, who owes them where the job is billed with its parent."""
    owner = books.need("Customer", doc["CustomerRef"]["value"])
    parent = (owner.get("ParentRef") or {}).get("value") if owner.get("BillWithParent") else None
    if customer not in {owner["Id"], parent}:
        raise broken_rule("The linked transactions must be of the customer of the payment")


def _applied_by_itself(books: Books, saved: dict[str, Any]) -> dict[str, Any]:
    """To the customer's oldest open invoice. The answer shows the credit memo as it was made."""
    rows = books.db.execute(
        f"SELECT doc FROM {books.objects} WHERE kind = 'Invoice' AND customer = ? ORDER BY day, seq",  # noqa: S608
        (saved["CustomerRef"]["value"],),
    )
    for invoice in (json.loads(doc) for (doc,) in rows):
        if amount := min(invoice["Balance"], saved["Balance"]):
            linked = {"Invoice": invoice["Id"], "CreditMemo": saved["Id"]}
            lines = [
                {"Amount": amount, "LinkedTxn": [{"TxnId": ident, "TxnType": kind}]} for kind, ident in linked.items()
            ]
            note = "Created by QB Online to link credits to charges."
            named: dict[str, Any] = {name: saved[name] for name in ("CustomerRef", "CurrencyRef") if name in saved}
            payment(books, {"TotalAmt": 0, "Line": lines, "PrivateNote": note, **named}, None)
            break
    return saved


def check_unlinked(doc: Mapping[str, Any]) -> None:
    """Raises `Invalid` for what a payment links; it must be deleted first."""
    if doc.get("LinkedTxn"):
        raise broken_rule("The transaction is linked to others; unlink them first")
