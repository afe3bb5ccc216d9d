"""BigCommerce's v2 API as far as orders are read.

Facts: bigcommerce/docs, reference/orders.v2.oas2.yml and docs/api-docs/getting-started/api-rate-limits.mdx. The state
is set by whoever runs it: `orders` (by id) and, by order, what belongs to them (`parts`).
"""

from __future__ import annotations

from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any

from connectors.sandbox.base import Emulator, Refusal, Request, Response, Rolling

TOKEN = "bc-token"  # noqa: S105
STORE = "abc123"
_PARAMETERS = {
    "orders": {"min_date_modified", "max_date_modified", "sort", "page", "limit", "status_id", "is_deleted"},
    "order": {"include", "consignment_structure"},
    "products": {"page", "limit"},
    "taxes": {"page", "limit", "details"},
    "shipping_addresses": {"page", "limit"},
    "shipments": {"page", "limit"},
}
_DETAILS = {"order_product_id", "line_item_type"}


class BigCommerce(Emulator):
    """JSON only for those who ask for it; a parameter that the API does not know is refused."""

    slug = "bigcommerce"

    def setup(self) -> None:
        self.orders: dict[int, dict[str, Any]] = {}
        self.parts: dict[tuple[int, str], list[dict[str, Any]]] = {}
        self.asked: list[str] = []
        self.limit = Rolling(150, 30)

    def answer(self, request: Request) -> Response:
        self.asked.append(request.target)
        start, *where = request.path.removeprefix("/stores/").split("/")
        if request.headers.get("x-auth-token") != TOKEN or start != STORE:
            return _error(401, "You must be authenticated to access this resource.")
        if request.headers.get("accept") != "application/json":
            return Response(200, b'<?xml version="1.0"?><orders/>', {"Content-Type": "application/xml"})
        if wait := self.counted(self.limit):
            return self.too_many(wait)
        match where:
            case ["v2", "orders"]:
                return self._list(request.query)
            case ["v2", "orders", number] if number.isdigit():
                return self._order(int(number), request.query)
            case ["v2", "orders", number, part] if number.isdigit() and part in _PARAMETERS:
                return self._part(int(number), part, request.query)
        return _error(404, "The requested resource was not found.")

    def _list(self, query: dict[str, str]) -> Response:
        _known("orders", query)
        if query.get("sort", "id:asc") not in {"id:asc", "date_modified:asc"}:
            raise Refusal(_error(400, "The field 'sort' is invalid."))
        rows = list(self.orders.values())
        if since := query.get("min_date_modified"):
            rows = [
                each for each in rows if parsedate_to_datetime(each["date_modified"]) >= datetime.fromisoformat(since)
            ]
        if query.get("sort") == "date_modified:asc":
            rows.sort(key=lambda each: (parsedate_to_datetime(each["date_modified"]), each["id"]))
        return _page(rows, query)

    def _order(self, number: int, query: dict[str, str]) -> Response:
        _known("order", query)
        if number not in self.orders:
            return _error(404, "The requested resource was not found.")
        order = dict(self.orders[number])
        if query.get("include") != "fees":
            order["fees"] = {"url": f"https://api.bigcommerce.com/stores/{STORE}/v2/orders/{number}/fees"}
        return Response.json(200, order)

    def _part(self, number: int, part: str, query: dict[str, str]) -> Response:
        _known(part, query)
        if number not in self.orders:
            return _error(404, "The requested resource was not found.")
        rows = self.parts.get((number, part), [])
        if part == "taxes" and query.get("details") != "true":
            rows = [{name: value for name, value in row.items() if name not in _DETAILS} for row in rows]
        return _page(rows, query)

    def too_many(self, retry_after: float) -> Response:
        headers = {
            "X-Rate-Limit-Requests-Left": "0",
            "X-Rate-Limit-Requests-Quota": "150",
            "X-Rate-Limit-Time-Window-Ms": "30000",
            "X-Rate-Limit-Time-Reset-Ms": f"{retry_after * 1000:.0f}",
        }
        return Response.json(429, {"status": 429, "title": "Too many requests"}, headers)

    def failure(self, status: int) -> Response:
        return _error(status, "Internal Server Error")


def _error(status: int, message: str) -> Response:
    return Response.json(status, [{"status": status, "message": message}])


def _known(resource: str, query: dict[str, str]) -> None:
    if unknown := set(query) - _PARAMETERS[resource]:
        raise Refusal(_error(400, f"The field '{sorted(unknown)[0]}' is not supported by this resource."))


def _page(rows: list[dict[str, Any]], query: dict[str, str]) -> Response:
    size, page = int(query.get("limit", "50")), int(query.get("page", "1"))
    if not 1 <= size <= 250 or page < 1:
        raise Refusal(_error(400, "The field 'limit' is invalid."))
    shown = rows[(page - 1) * size : page * size]
    return Response.json(200, shown) if shown else Response(204)
