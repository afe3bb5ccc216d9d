"""The ERPs of the recipes, as far as the recipes ask them: a Service Layer and a Business Central."""

from __future__ import annotations

from typing import Any

from connectors.sandbox.base import Emulator, Entry, Refusal, Request, Response

NOTE: dict[str, Any] = {
    "DocEntry": 77, "DocNum": 1077, "DocDate": "2026-11-22T00:00:00Z", "UpdateDate": "2026-11-22",
    "CancelStatus": "csNo",
    "CardCode": "C20017", "CardName": "Analytical Engines Ltd", "DocCurrency": "GBP", "DocTotal": 117.54,
    "TotalDiscount": 0.0,
    "DocumentLines": [
        {"LineNum": 0, "ItemCode": "PLQ-BR", "ItemDescription": "Brass plaque", "Quantity": 3.0, "LineTotal": 90.0,
         "TaxPercentagePerRow": 20.0, "TaxTotal": 18.0},
    ],
    "DocumentAdditionalExpenses": [{"LineTotal": 7.95, "TaxPercent": 20.0, "TaxSum": 1.59}],
}  # fmt: skip
SALES_ORDER: dict[str, Any] = {
    "id": "5c3a1f0e-0000-4000-8000-00000000c001", "number": "S-ORD101001", "externalDocumentNumber": "",
    "customerNumber": "10000", "customerName": "Analytical Engines Ltd", "email": "ada@example.com",
    "currencyCode": "GBP", "fullyShipped": True, "lastModifiedDateTime": "2099-11-22T10:31:00.75Z",
    "totalAmountIncludingTax": 108.0,
    "salesOrderLines": [
        {"id": "aaaa", "lineType": "Item", "lineObjectNumber": "PLQ-BR", "description": "Brass plaque", "quantity": 7,
         "netAmount": 90.0, "taxCode": "VAT20", "taxPercent": 20, "netTaxAmount": 18.0},
        {"id": "bbbb", "lineType": "Comment", "lineObjectNumber": "", "description": "Thank you", "quantity": 0,
         "netAmount": 0, "taxCode": "", "taxPercent": 0, "netTaxAmount": 0},
    ],
}  # fmt: skip


class Stub(Emulator):
    """`documents` in pages of two; `asked` are the filters that were asked for, "" for a next page."""

    def setup(self) -> None:
        self.documents: list[dict[str, Any]] = []
        self.asked: list[str] = []

    def paged(self, request: Request, here: str) -> Response:
        start = int(request.query.get("$skip", "0"))
        self.asked.append(request.query.get("$filter", ""))
        page: dict[str, Any] = {"value": self.documents[start : start + 2]}
        if start + 2 < len(self.documents):
            page["@odata.nextLink"] = f"{here}?$skip={start + 2}"
        return Response.json(200, page)

    def too_many(self, retry_after: float) -> Response:
        return Response(429)

    def failure(self, status: int) -> Response:
        return Response(status)

    def ledger(self) -> list[Entry]:
        return []

    def customers(self) -> list[tuple[str, str]]:
        return []


class ServiceLayer(Stub):
    """SAP Business One: a session of two cookies, and relative links to the next page."""

    slug = "b1"

    def answer(self, request: Request) -> Response:
        if request.path == "/Login":
            said = request.json()
            if said != {"CompanyDB": "SBODEMOGB", "UserName": "billhook", "Password": "hush"}:
                raise Refusal(Response.json(401, {"error": {"code": "100000027", "message": "Login failed"}}))
            return Response.json(200, {"SessionTimeout": 30}, {"Set-Cookie": "B1SESSION=s1; path=/"})
        if "B1SESSION=s1" not in request.headers.get("cookie", ""):
            raise Refusal(Response.json(401, {"error": {"code": "301", "message": "Invalid session"}}))
        if request.path == "/BusinessPartners('C20017')":
            return Response.json(200, {"EmailAddress": "ada@example.com"})
        assert request.path == "/DeliveryNotes"
        return self.paged(request, "DeliveryNotes")


class CentralOrders(Stub):
    """Business Central behind Entra ID: links to the next page are whole addresses."""

    slug = "bc"
    here = ""

    def answer(self, request: Request) -> Response:
        if request.path == "/t1/oauth2/v2.0/token":
            given = dict(request.form())
            assert (given["client_id"], given["client_secret"], given["grant_type"]) == (
                "c1",
                "hush",
                "client_credentials",
            )
            return Response.json(200, {"access_token": "token-1", "expires_in": 3599})
        if request.bearer != "token-1":
            raise Refusal(Response(401))
        assert request.path == "/t1/production/api/v2.0/companies(co1)/salesOrders"
        return self.paged(request, self.here + request.path)
