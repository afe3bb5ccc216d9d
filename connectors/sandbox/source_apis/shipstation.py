"""ShipStation's V1 API as far as parcels and orders are read, and V2's list of public keys.

Facts: docs.shipstation.com, V1 "List Shipments", "List Fulfillments", "List Orders", "API Requirements" (40 calls a
minute, `X-Rate-Limit-…`). The state is set by whoever runs it: `shipments`, `fulfillments`, `orders`, `keys`.
"""

from __future__ import annotations

from typing import Any

from connectors.sandbox.base import Emulator, Refusal, Request, Response, Rolling

CREDENTIALS = "ss-key:ss-secret"
_FILTERS = {
    "/shipments": {"recipientName", "orderNumber", "orderId", "trackingNumber", "batchId", "storeID", "storeId",
                   "createDateStart", "createDateEnd", "includeShipmentItems"},
    "/fulfillments": {"fulfillmentId", "orderId", "orderNumber", "trackingNumber", "createDateStart", "createDateEnd",
                      "batchId", "storeId", "storeID"},
    "/orders": {"orderNumber", "orderStatus", "modifyDateStart", "modifyDateEnd", "storeId"},
}  # fmt: skip
_SHEET = {"page", "pageSize", "sortBy", "sortDir"}
_STATUSES = {"awaiting_payment", "awaiting_shipment", "pending_fulfillment", "shipped", "on_hold", "cancelled"}


class ShipStation(Emulator):
    """Lists with filters and pages; a filter that V1 does not know is refused here, which V1 would ignore."""

    slug = "shipstation"

    def setup(self) -> None:
        self.shipments: list[dict[str, Any]] = []
        self.fulfillments: list[dict[str, Any]] = []
        self.orders: list[dict[str, Any]] = []
        self.keys: list[dict[str, Any]] = []
        self.asked: list[str] = []
        self.limit = Rolling(40, 60)

    def answer(self, request: Request) -> Response:
        self.asked.append(request.target)
        if request.path == "/jwks":
            return Response.json(200, {"keys": self.keys})
        if request.method != "GET" or request.path not in _FILTERS:
            return Response.json(404, {"Message": "No HTTP resource was found that matches the request URI."})
        if request.basic != CREDENTIALS:
            return Response(401, b"401 Unauthorized")
        if wait := self.counted(self.limit):
            return self.too_many(wait)
        return self._list(request.path.removeprefix("/"), request.query)

    def _list(self, name: str, query: dict[str, str]) -> Response:
        if unknown := set(query) - _FILTERS[f"/{name}"] - _SHEET:
            raise _wrong(f"unknown filter {sorted(unknown)}")
        size, page = int(query.get("pageSize", "100")), int(query.get("page", "1"))
        if not 1 <= size <= 500 or page < 1:
            raise _wrong("pageSize must be 1 to 500")
        if query.get("orderStatus", "shipped") not in _STATUSES:
            raise _wrong("orderStatus")
        rows = [each for each in getattr(self, name) if _fits(each, query)]
        if query.get("sortBy") == "CreateDate":
            rows.sort(key=lambda each: str(each["createDate"]), reverse=query.get("sortDir") == "DESC")
        pages = -(-len(rows) // size)
        shown = rows[(page - 1) * size : page * size]
        return Response.json(200, {name: shown, "total": len(rows), "page": page, "pages": pages})

    def too_many(self, retry_after: float) -> Response:
        headers = {
            "X-Rate-Limit-Limit": "40",
            "X-Rate-Limit-Remaining": "0",
            "X-Rate-Limit-Reset": f"{retry_after:.0f}",
        }
        return Response(429, b"Too Many Requests", headers)

    def failure(self, status: int) -> Response:
        return Response.json(status, {"Message": "An error has occurred."})


def _wrong(what: str) -> Refusal:
    return Refusal(Response.json(400, {"Message": "The request is invalid.", "ModelState": {"apiModel": [what]}}))


def _fits(row: dict[str, Any], query: dict[str, str]) -> bool:
    for name in ("batchId", "orderStatus", "orderId", "orderNumber"):
        if name in query and str(row.get(name)) != query[name]:
            return False
    store = query.get("storeId") or query.get("storeID")
    if store and str(row.get("advancedOptions", {}).get("storeId")) != store:
        return False
    created, modified = _plain(row.get("createDate")), _plain(row.get("modifyDate"))
    return created >= query.get("createDateStart", "") and modified >= query.get("modifyDateStart", "")


def _plain(time: Any) -> str:
    """As it is compared with a filter, which is written without the T."""
    return str(time or "")[:19].replace("T", " ")
