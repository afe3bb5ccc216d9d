"""Cin7 Core's API v2 as far as sales, their list and the tax rules are read.

From the vendor's reference (dearinventory.docs.apiary.io: parameters, 1,000 rows a page, the rows' fields) and notes of
its users (403 with "Incorrect credentials!", the quota told in three ways with "60 Seconds" in Retry-After, errors
inside a 200). Unknown parameters are refused; the list comes newest first, for nobody says in which order it comes.
"""

from __future__ import annotations

from typing import Any

from connectors.sandbox.base import Emulator, Entry, Refusal, Request, Response, Rolling

ACCOUNT, KEY = "5c3a1f0e-0000-4000-8000-0000000000a1", "9d7e2b1c-0000-4000-8000-0000000000b2"
RULES = {"20% (VAT on Income)": 20, "Zero Rated Income": 0}
_SALE = {"ID", "HideInventoryMovements", "CombineAdditionalCharges"}
_LIST = {"UpdatedSince", "CreatedSince", "Search", "ExternalID", "Status", "OrderStatus", "Page", "Limit"}


class Refused(Refusal):
    def __init__(self, status: int, text: str, sent: int | None = None) -> None:
        """`sent`: the status of the answer where it is another than the one in its body."""
        super().__init__(Response.json(sent or status, [{"ErrorCode": status, "Exception": text}]), text)


class Cin7Sales(Emulator):
    """`sales`: whole documents by id, as tests put them there."""

    slug = "cin7"

    def setup(self) -> None:
        self.sales: dict[str, dict[str, Any]] = {}
        self.rules = dict(RULES)
        self.limit = Rolling(60, 60)
        self.over = 503
        """With which status the quota is told."""
        self.inside = False
        """Whether what is not found is told inside a 200."""
        self.asked: list[str] = []

    def answer(self, request: Request) -> Response:
        given = (request.headers.get("api-auth-accountid"), request.headers.get("api-auth-applicationkey"))
        if given != (ACCOUNT, KEY):
            return Response(403, b"Incorrect credentials!", {"Content-Type": "text/plain"})
        if wait := self.counted(self.limit):
            return self.too_many(wait)
        self.asked.append(request.target)
        match request.method, request.path.removeprefix("/ExternalApi/v2"):
            case "GET", "/sale":
                return self._sale(request.query)
            case "GET", "/saleList":
                return self._list(request.query)
            case "GET", "/ref/tax":
                _known({"Page", "Limit", "IsTaxForSale", "IsActive", "Name"}, request.query)
                rules = [{"Name": name, "TaxPercent": rate, "IsActive": True} for name, rate in self.rules.items()]
                return _page(rules, "TaxRuleList", request.query)
        raise Refused(404, "Not found")

    def _sale(self, query: dict[str, str]) -> Response:
        _known(_SALE, query)
        found = self.sales.get(query.get("ID", ""))
        if found is None:
            raise Refused(400, f"Sale with ID {query.get('ID')} was not found", 200 if self.inside else None)
        return Response.json(200, found)

    def _list(self, query: dict[str, str]) -> Response:
        _known(_LIST, query)
        since, word = query.get("UpdatedSince", ""), query.get("Search", "").casefold()
        rows = [_row(each) for each in self.sales.values()]
        rows = [each for each in rows if each["Updated"] >= since.removesuffix("Z")]
        looked = ("OrderNumber", "Customer", "CustomerReference")
        rows = [each for each in rows if any(word in str(each[field]).casefold() for field in looked)]
        return _page(sorted(rows, key=lambda each: each["Updated"], reverse=True), "SaleList", query)

    def too_many(self, retry_after: float) -> Response:
        text = "You have reached 60 calls per 60 seconds API limit."
        return Response(self.over, text.encode(), {"Retry-After": "60 Seconds"} if self.over == 429 else {})

    def failure(self, status: int) -> Response:
        return Response(status, b"Internal Server Error")

    def ledger(self) -> list[Entry]:
        return []

    def customers(self) -> list[tuple[str, str]]:
        return []


def _row(sale: dict[str, Any]) -> dict[str, Any]:
    order = sale.get("Order") or {}
    same = ("Status", "Customer", "CustomerReference", "ExternalID", "Type", "SourceChannel")
    shown = {name: sale.get(name) for name in same}
    shown |= {"SaleID": sale["ID"], "OrderNumber": order.get("SaleOrderNumber"), "OrderStatus": order.get("Status")}
    return shown | {"Updated": sale["LastModifiedOn"]}


def _known(names: set[str], query: dict[str, str]) -> None:
    if unknown := set(query) - names:
        raise Refused(400, f"Unknown parameter {min(unknown)}")


def _page(rows: list[dict[str, Any]], name: str, query: dict[str, str]) -> Response:
    size, number = int(query.get("Limit", "100")), int(query.get("Page", "1"))
    if not 1 <= size <= 1000 or number < 1:
        raise Refused(400, "Page or Limit is out of range")
    part = rows[(number - 1) * size : number * size]
    return Response.json(200, {"Total": len(rows), "Page": number, name: part})
