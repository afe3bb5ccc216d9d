"""Sales credit memos of an emulated Business Central company: drafted like invoices, posted, applied to an invoice.

Properties from the page of salesCreditMemo (no ship-to address, no remaining amount); from the source of its API page
(microsoft/BCApps, "APIV2 - Sales Credit Memos") that `invoiceId` must name a posted invoice and fills in what it
applies to, that `post` is for drafts, and the messages. Posting applies to the open ledger entry of that invoice, as
far as both reach; what is closed is Paid (Graph Mgt - Sal. Cr. Memo Buf.).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from connectors.sandbox.base import Entry
from connectors.sandbox.dynamics365_answers import Invalid
from connectors.sandbox.dynamics365_companies import INVOICE, PLACE, Company
from connectors.sandbox.sums import exact

LINES = "salesCreditMemoLines"
MEMO = INVOICE - {"invoiceDate", "salesInvoiceLines", "customerPurchaseOrderReference", "shipToName", "shipToContact"}
MEMO = MEMO - {f"shipTo{part}" for part in PLACE} | {"creditMemoDate", "invoiceId", "invoiceNumber", LINES}
NOWHERE = "00000000-0000-0000-0000-000000000000"


def refused(message: str) -> Invalid:
    return Invalid(400, "Application_DialogException", message)


class CreditMemos:
    """The credit memos of a company, beside its invoices."""

    def __init__(self, company: Company) -> None:
        self.company, self.shelf = company, company.shelf

    def need(self, ident: str) -> dict[str, Any]:
        said = f"The Sales Credit Memo Entity Aggregate does not exist. Identification fields: Id='{ident}'"
        return self.shelf.need("memo", ident, Invalid(404, "Internal_RecordNotFound", said))

    def create(self, given: Mapping[str, Any]) -> dict[str, Any]:
        doc = self.company.composed(given, MEMO, "salesCreditMemo", LINES)
        invoice = self.shelf.get("invoice", str(given["invoiceId"])) if given.get("invoiceId") else None
        if given.get("invoiceId") and (invoice is None or invoice["status"] == "Draft"):
            raise refused('The "invoiceId" does not match to an Invoice.')
        doc |= {
            "number": f"S-CR{self.shelf.count('memo') + 101001}",
            "creditMemoDate": given.get("creditMemoDate") or self.company.today(),
            "invoiceId": invoice["id"] if invoice else NOWHERE,
            "invoiceNumber": invoice["number"] if invoice else "",
        }
        return self.shelf.put("memo", doc["id"], doc)

    def act(self, ident: str, action: str) -> None:
        """A bound action: `post`. Raises `Invalid` where the status or the invoice does not allow it."""
        doc = self.need(ident)
        if action != "post":
            raise Invalid(404, "BadRequest_NotFound", f"No action {action}")
        if doc["status"] != "Draft":
            raise refused("The action can be applied to a draft credit memo only.")
        if not any(line["quantity"] for line in doc[LINES]):
            raise refused("Please add at least one line item to the credit memo.")
        amount = exact(doc["totalAmountIncludingTax"])
        if amount < 0:
            raise Invalid(400, "Application_FieldValidationException", "Amount must be positive in Sales Header")
        applied = self._applied(doc) if doc["invoiceNumber"] else exact(0)
        state = "Paid" if applied == amount else "Open"
        self.shelf.put("memo", ident, {**doc, "status": state, "number": f"PS-CR{doc['number'][4:]}"})

    def _applied(self, doc: Mapping[str, Any]) -> Any:
        """Takes it off what remains of the invoice."""
        invoice = self.company.need(doc["invoiceId"])
        remaining = exact(invoice["remainingAmount"])
        if not remaining or invoice["customerNumber"] != doc["customerNumber"]:
            said = f"There is no Cust. Ledger Entry within the filter. Document No.: {invoice['number']}, Open: Yes"
            raise Invalid(400, "Internal_RecordNotFound", said)
        if invoice["currencyCode"] != doc["currencyCode"]:
            raise refused("All entries in one application must be in the same currency.")
        if doc["postingDate"] < invoice["postingDate"]:
            raise refused("You cannot apply and post an entry to an entry with an earlier posting date.")
        applied = min(remaining, exact(doc["totalAmountIncludingTax"]))
        left = remaining - applied
        state = invoice["status"] if left else "Paid"
        self.shelf.put("invoice", invoice["id"], {**invoice, "remainingAmount": left, "status": state})
        return applied

    def entries(self) -> list[Entry]:
        return self.company.entries("memo", LINES)
