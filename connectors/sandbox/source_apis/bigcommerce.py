"""BigCommerce's v2 API as far as orders are read, and the metafields and refunds of an order and webhooks, which are of
v3.

Facts: bigcommerce/docs, reference/orders.v2.oas2.yml, reference/orders.v3.yml, reference/webhooks.v3.yml and docs/
api-docs/getting-started/api-rate-limits.mdx. The state is set by whoever runs it: `orders` and `hooks` (by id) and, by
order, what belongs to them (`parts`) and its `refunds`; `metafields` (by id) is what was written.
"""

from __future__ import annotations

from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any

from connectors.sandbox.base import Emulator, Refusal, Request, Response, Rolling

TOKEN = "bc-token"  # noqa: S105
READER = "bc-reads-only"
STORE = "abc123"
_PARAMETERS = {
    "orders": {"min_date_modified", "max_date_modified", "sort", "page", "limit", "status_id", "is_deleted"},
    "order": {"include", "consignment_structure"},
    "products": {"page", "limit"},
    "taxes": {"page", "limit", "details"},
    "shipping_addresses": {"page", "limit"},
    "shipments": {"page", "limit"},
    "refunds": {"transaction_id"},
    "hooks": {"page", "limit", "is_active", "scope", "destination"},
    "metafields": {"page", "limit", "key", "namespace", "direction"},
}
_PARTS = {"products", "taxes", "shipping_addresses", "shipments"}
_LONGEST = {"permission_set": 64, "namespace": 64, "key": 64, "value": 65535, "description": 255}
"""Of the fields of a metafield; all but the description are required."""
_PERMISSIONS = {"app_only", "read", "write", "read_and_sf_access", "write_and_sf_access"}
_DETAILS = {"order_product_id", "line_item_type"}


class BigCommerce(Emulator):
    """JSON only for those who ask for it; a parameter that the API does not know is refused."""

    slug = "bigcommerce"

    def setup(self) -> None:
        self.orders: dict[int, dict[str, Any]] = {}
        self.parts: dict[tuple[int, str], list[dict[str, Any]]] = {}
        self.refunds: dict[int, list[dict[str, Any]]] = {}
        self.metafields: dict[int, dict[str, Any]] = {}
        self.hooks: dict[int, dict[str, Any]] = {}
        self.written = 0
        """How often a metafield was made or changed."""
        self.asked: list[str] = []
        self.limit = Rolling(150, 30)

    def answer(self, request: Request) -> Response:
        self.asked.append(request.target)
        start, *where = request.path.removeprefix("/stores/").split("/")
        if request.headers.get("x-auth-token") not in {TOKEN, READER} or start != STORE:
            return _error(401, "You must be authenticated to access this resource.")
        if request.headers.get("accept") != "application/json":
            return Response(200, b'<?xml version="1.0"?><orders/>', {"Content-Type": "application/xml"})
        if wait := self.counted(self.limit):
            return self.too_many(wait)
        if request.method != "GET":
            return self._write(where, request)
        match where:
            case ["v3", "hooks"]:
                return self._hooks(request.query)
            case ["v3", "orders", number, "metafields"] if number.isdigit():
                return self._metafields(int(number), request.query)
            case ["v3", "orders", number, "payment_actions", "refunds"] if number.isdigit():
                return self._refunds(int(number), request.query)
            case ["v2", "orders"]:
                return self._list(request.query)
            case ["v2", "orders", number] if number.isdigit():
                return self._order(int(number), request.query)
            case ["v2", "orders", number, part] if number.isdigit() and part in _PARTS:
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

    def _refunds(self, number: int, query: dict[str, str]) -> Response:
        _known("refunds", query)
        if number not in self.orders:
            return _problem(404, "The requested resource was not found.")
        return Response.json(200, {"data": self.refunds.get(number, []), "meta": {}})

    def _metafields(self, number: int, query: dict[str, str]) -> Response:
        _known("metafields", query)
        if number not in self.orders:
            return _problem(404, "The requested resource was not found.")
        wanted = {name: query[name] for name in ("key", "namespace") if name in query}
        rows = [each for each in self.metafields.values() if each["resource_id"] == number]
        shown = [each for each in rows if all(each[name] == value for name, value in wanted.items())]
        pagination = {"total": len(shown), "count": len(shown), "per_page": 50, "current_page": 1, "total_pages": 1}
        return Response.json(200, {"data": shown, "meta": {"pagination": pagination}})

    def _hooks(self, query: dict[str, str]) -> Response:
        _known("hooks", query)
        active = {"true": True, "false": False}.get(query.get("is_active", ""))
        wanted = {name: query[name] for name in ("scope", "destination") if name in query}
        rows = [each for each in self.hooks.values() if active in (None, each["is_active"])]
        shown = [each for each in rows if all(each[name] == value for name, value in wanted.items())]
        return Response.json(200, {"data": shown, "meta": {}})

    def _switch(self, hook: dict[str, Any], request: Request) -> Response:
        given = request.object(lambda: Refusal(_problem(400, "Input is invalid")))
        if set(given) != {"is_active"} or not isinstance(given["is_active"], bool):
            return _problem(422, "Only is_active is emulated")
        hook |= given
        self.written += 1
        return Response.json(200, {"data": hook, "meta": {}})

    def _write(self, where: list[str], request: Request) -> Response:
        """Metafields of orders and the state of webhooks are all that may be written."""
        if request.headers["x-auth-token"] == READER:
            return _problem(403, "You don't have a required scope to access the endpoint")
        match request.method, where:
            case "PUT", ["v3", "hooks", one] if one.isdigit() and int(one) in self.hooks:
                return self._switch(self.hooks[int(one)], request)
            case "POST", ["v3", "orders", number, "metafields"] if number.isdigit() and int(number) in self.orders:
                ident = 0
            case "PUT", ["v3", "orders", number, "metafields", one] if one.isdigit() and int(one) in self.metafields:
                ident = int(one)
            case _:
                return _problem(404, "The requested resource was not found.")
        given = request.object(lambda: Refusal(_problem(400, "Input is invalid")))
        if wrong := _wrong(given):
            return _problem(422, f"The metafield is not valid: {wrong}")
        # All are of one API account, else its client id would be a part of what is unique.
        place = (int(number), given["namespace"], given["key"])
        for each in self.metafields.values():
            if each["id"] != ident and place == (each["resource_id"], each["namespace"], each["key"]):
                return _problem(409, "The metafield conflicts with another metafield.")
        ident = ident or 100 + len(self.metafields)
        self.metafields[ident] = {"id": ident, "resource_type": "order", "resource_id": int(number), **given}
        self.written += 1
        return Response.json(200, {"data": self.metafields[ident], "meta": {}})

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


def _problem(status: int, title: str) -> Response:
    """As v3 answers."""
    return Response.json(status, {"status": status, "title": title, "type": "about:blank"})


def _wrong(given: dict[str, Any]) -> str:
    """The first field that is unknown, missing, or not what it should be; "" where none is."""
    for name, value in given.items():
        if name not in _LONGEST or not isinstance(value, str) or len(value) > _LONGEST[name]:
            return name
    missing = min({"permission_set", "namespace", "key", "value"} - {name for name in given if given[name]}, default="")
    return missing or ("" if given["permission_set"] in _PERMISSIONS else "permission_set")


def _known(resource: str, query: dict[str, str]) -> None:
    if unknown := set(query) - _PARAMETERS[resource]:
        raise Refusal(_error(400, f"The field '{sorted(unknown)[0]}' is not supported by this resource."))


def _page(rows: list[dict[str, Any]], query: dict[str, str]) -> Response:
    size, page = int(query.get("limit", "50")), int(query.get("page", "1"))
    if not 1 <= size <= 250 or page < 1:
        raise Refusal(_error(400, "The field 'limit' is invalid."))
    shown = rows[(page - 1) * size : page * size]
    return Response.json(200, shown) if shown else Response(204)
