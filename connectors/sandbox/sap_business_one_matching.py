"""Internal reconciliations of an emulated SAP Business One company: open credit notes against open invoices.

Names from the live metadata of `/b1s/v2` (InternalReconciliationOpenTransRow); what must agree from the DI API's
reference (InternalReconciliationsService): each row is one line of a journal entry, both sides come to the same amount,
and none to more than is open. Amounts are in the company's own currency. Texts of refusals are ours.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from connectors.sandbox.base import Refusal, Response
from connectors.sandbox.shelf import Doc, Shelf
from connectors.sandbox.sums import exact, half_up, total

KINDS = {"13": ("Invoices", "codDebit"), "14": ("CreditNotes", "codCredit")}
"""By object type, what is reconciled and the side that it stands on."""


class Refused(Refusal):
    """The Service Layer says no: status, code and words."""

    def __init__(self, status: int, code: int, text: str) -> None:
        error = {"code": str(code), "message": text, "details": []}
        super().__init__(Response.json(status, {"error": error}), text)


def reconcile(shelf: Shelf, raw: Doc) -> Doc:
    """The reconciliation, once what it names is paid by it. Raises `Refused`."""
    rows = [row for row in raw.get("InternalReconciliationOpenTransRows", []) if row.get("Selected") == "tYES"]
    found = [_open(shelf, row) for row in rows]
    sides = {
        side: total(exact(r["ReconcileAmount"]) for r in rows if r["CreditOrDebit"] == side)
        for _, side in KINDS.values()
    }
    if raw.get("CardOrAccount") != "coaCard" or not rows or len(set(sides.values())) != 1:
        raise Refused(400, -5002, "Reconciliation is not balanced  [OITR]")
    if len({row["ShortName"] for row in rows}) != 1:
        raise Refused(400, -5002, "Reconciliation of several business partners is not possible  [ITR1.ShortName]")
    for row, (collection, doc) in zip(rows, found, strict=True):
        _pay(shelf, collection, doc, exact(row["ReconcileAmount"]))
    number = 300 + shelf.count("InternalReconciliations")
    made = {"ReconNum": number, "ReconType": "rtManual", **raw, "InternalReconciliationRows": rows}
    return shelf.put("InternalReconciliations", str(number), made)


def _open(shelf: Shelf, row: Doc) -> tuple[str, Doc]:
    """The document of a row, of which at least so much is open."""
    collection, side = KINDS.get(row.get("SrcObjTyp", ""), ("", ""))
    doc = shelf.get(collection, str(row.get("SrcObjAbs")))
    numbers: tuple[Any, ...] = (row.get("TransId"), row.get("TransRowId"), row.get("SrcObjAbs"))
    if doc is None or numbers != (doc["TransNum"], 0, doc["DocEntry"]) or row.get("ShortName") != doc["CardCode"]:
        raise Refused(400, -5002, "The transaction to be reconciled does not exist  [ITR1.TransId]")
    amount = exact(row.get("ReconcileAmount"))
    if row.get("CreditOrDebit") != side or doc["CancelStatus"] != "csNo":
        raise Refused(400, -5002, "The transaction cannot be reconciled on this side  [ITR1.IsCredit]")
    if not 0 < amount <= exact(doc["DocTotal"]) - exact(doc["PaidToDate"]):
        raise Refused(400, -5002, f"{amount} is more than the open amount of the transaction  [ITR1.ReconSum]")
    return collection, doc


def _pay(shelf: Shelf, collection: str, doc: Doc, amount: Decimal) -> None:
    paid, whole = exact(doc["PaidToDate"]) + amount, exact(doc["DocTotal"])
    foreign = half_up(exact(doc["DocTotalFc"]) * paid / whole)
    state = "bost_Close" if paid == whole else "bost_Open"
    changed = {"PaidToDate": paid, "PaidToDateFC": foreign, "DocumentStatus": state}
    shelf.put(collection, str(doc["DocEntry"]), {**doc, **changed})
