"""Credit memos of an emulated Oracle Fusion: made on account by REST, applied to an invoice by SOAP.

Fields from the reference and the examples of receivablesCreditMemos (on-account credit memos only, prices and taxes
negative, quantities positive), lengths and what is shown of amounts (`EnteredAmount`, `TransactionBalanceDue`) from
clients of that resource; the application from "Receivables On-Account Credit Memo Application Service" of
CreditMemoService, whose operation is named by the rule of that family of services. Wordings are ours.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from connectors.sandbox.base import Entry, Request, Response
from connectors.sandbox.oracle_erp_answers import SPOILT, Refused, envelope, page
from connectors.sandbox.shelf import Doc
from connectors.sandbox.sums import exact, half_up, places, total

if TYPE_CHECKING:
    from connectors.sandbox.oracle_erp import OracleErp

TYPE = "Credit Memo"
SOAP = "/fscmService/CreditMemoService"
TYPES = "http://xmlns.oracle.com/apps/financials/receivables/transactions/creditMemos/creditMemoService/types/"
APPLY = "createApplyOnAccountCreditMemo"
HEAD = {
    "BusinessUnit": 240, "TransactionSource": 50, "TransactionType": 20, "TransactionNumber": 20, "TransactionDate": 10,
    "AccountingDate": 10, "CreditMemoCurrency": 15, "ConversionRateType": 30, "ConversionRateDate": 10,
    "BillToCustomerNumber": 30, "BillToSite": 150, "CreditMemoComments": 1760, "CreditReason": 255,
}  # fmt: skip
LINE = {"LineNumber", "LineDescription", "LineQuantityCredit", "UnitSellingPrice", "TaxClassificationCode"}
LINE_TAXES = "receivablesCreditMemoLineTaxLines"


class CreditMemos:
    """The credit memos of a pod, beside its invoices."""

    def __init__(self, pod: OracleErp) -> None:
        self.pod, self.shelf = pod, pod.shelf

    def answer(self, request: Request, where: list[str]) -> Response:
        """The REST resource; `where`: what follows its name in the path. Raises `Refused`."""
        if request.method == "POST" and not where:
            if request.fault == "refuse_element":
                raise Refused(SPOILT)
            return Response.json(201, self.shown(self._created(request.json())))
        if request.method == "GET":
            return Response.json(200, self.shown(self._get(where[0]))) if where else self._listed(request.query)
        raise Refused("The resource does not exist", 404)

    def _created(self, body: dict[str, Any]) -> Doc:
        lines = body.pop("receivablesCreditMemoLines")
        self.pod.checked(body, HEAD)
        currency = body.get("CreditMemoCurrency", "")
        self.pod.known({**body, "InvoiceCurrencyCode": currency, "ConversionDate": body.get("ConversionRateDate")},
                       {"TransactionType": TYPE})  # fmt: skip
        self.pod.numbered(body)
        made = [self._line(line, places(currency)) for line in lines]
        amount = total(line["amount"] + line["tax"] for line in made)
        if amount < 0 or not made:
            raise Refused("The sign of the transaction does not agree with its type.")
        ident = str(300_100_180_000_101 + self.shelf.count("memo"))
        sums = {"EnteredAmount": -amount, "TransactionBalanceDue": -amount, "CreditMemoStatus": "Complete"}
        return self.shelf.put("memo", ident, {**body, **sums, "CustomerTransactionId": ident, "lines": made})

    def _line(self, line: dict[str, Any], digits: int) -> dict[str, Any]:
        """As a line of an invoice with the signs turned."""
        for name in line:
            if name not in LINE and name != LINE_TAXES:
                raise Refused(f"The attribute {name} is not valid", code="27014")
        turned = {
            "Description": line.get("LineDescription"), "Quantity": line["LineQuantityCredit"],
            "UnitSellingPrice": -exact(line["UnitSellingPrice"]),
            "TaxClassificationCode": line.get("TaxClassificationCode"),
        }  # fmt: skip
        if stated := line.get(LINE_TAXES):
            turned["receivablesInvoiceLineTaxLines"] = [
                {**tax, "TaxAmount": -exact(tax["TaxAmount"])} for tax in stated
            ]
        return self.pod.line(turned, digits)

    def _get(self, ident: str) -> Doc:
        return self.shelf.need("memo", ident, Refused("The requested resource is not found", 404))

    def _listed(self, query: Mapping[str, str]) -> Response:
        asked = re.fullmatch(r"TransactionNumber='([^']*)'", query.get("q", ""))
        if asked is None:
            raise Refused(f"The filter {query.get('q')} is not valid")
        return page([self.shown(doc) for doc in self.shelf.all("memo", TransactionNumber=asked[1])], query)

    @staticmethod
    def shown(doc: Doc) -> Doc:
        fields = {name: value for name, value in doc.items() if name != "lines"}
        nothing = dict.fromkeys(("CreditMemoComments", "CreditReason", "BillToSite"))
        return {**nothing, **fields, "CustomerTransactionId": int(doc["CustomerTransactionId"])}

    # -- applications ----------------------------------------------------------------------------------------------

    def applied(self, body: str) -> Response:
        """The SOAP service. Raises `Refused`."""
        if f'"{TYPES}"' not in body or f"<typ:{APPLY}>" not in body:
            raise Refused("Unknown method")
        given = dict(re.findall(r"<cus:(\w+)>([^<]*)<", body))
        self._apply(given)
        name = f"ns0:{APPLY}Response"
        value = f"<ns1:CreditMemoTrxId>{given['CreditMemoTrxId']}</ns1:CreditMemoTrxId>"
        result = f"<ns0:result><ns1:Value>{value}</ns1:Value></ns0:result>"
        return envelope(200, f'<{name} xmlns:ns0="{TYPES}">{result}</{name}>')

    def _apply(self, given: Mapping[str, str]) -> None:
        memo, invoice = self._get(given["CreditMemoTrxId"]), self.pod.invoice(given["InvoiceCustomerTrxId"])
        amount, left = exact(given["AmountApplied"]), -exact(memo["TransactionBalanceDue"])
        due = exact(invoice["InvoiceBalanceAmount"])
        if invoice["InvoiceStatus"] != "Complete" or memo["CreditMemoStatus"] != "Complete":
            raise Refused("JBO-AR: only complete transactions can be applied.")
        if invoice["BillToCustomerNumber"] != memo["BillToCustomerNumber"]:
            raise Refused("JBO-AR: the transactions are of different customers.")
        if invoice["InvoiceCurrencyCode"] != memo["CreditMemoCurrency"]:
            raise Refused("JBO-AR: the transactions have different currencies.")
        if given["ApplyDate"] < max(memo["TransactionDate"], invoice["TransactionDate"]):
            raise Refused("JBO-AR: the apply date is before a transaction date.")
        if not 0 < amount <= min(left, due):
            raise Refused("JBO-AR: the amount applied must not be more than remains of the credit memo or the invoice.")
        self.shelf.put("memo", memo["CustomerTransactionId"], {**memo, "TransactionBalanceDue": amount - left})
        changed = {**invoice, "InvoiceBalanceAmount": due - amount}
        self.shelf.put("invoice", invoice["CustomerTransactionId"], changed)

    def entries(self) -> list[Entry]:
        names = {doc["AccountNumber"]: doc["CustomerName"] for doc in self.shelf.all("account")}
        return [
            Entry(
                id=doc["CustomerTransactionId"], reference=doc["TransactionNumber"],
                key=doc.get("CreditMemoComments", ""), customer=names[doc["BillToCustomerNumber"]],
                lines=tuple(f"{x['Description']} × {x['Quantity']} @ {x['UnitSellingPrice']}" for x in doc["lines"]),
                currency=doc["CreditMemoCurrency"],
                total=f"{half_up(-exact(doc['EnteredAmount']), places(doc['CreditMemoCurrency']))}",
                status="issued" if doc["CreditMemoStatus"] == "Complete" else "void",
            )
            for doc in self.shelf.all("memo")
        ]  # fmt: skip
