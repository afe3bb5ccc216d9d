"""WooCommerce's REST API as far as orders are listed (filters by the time of change, pages by number) and get custom
fields, their refunds are read, and webhooks are listed and switched on.

From the WooCommerce REST API v3 documentation, "Orders", "Order refunds", "Webhooks" and "Authentication", WordPress's
REST API handbook (errors, `rest_invalid_param`, X-WP-Total) and woocommerce/woocommerce (`update_meta_data`,
`update_item`, `check_permissions`). WordPress ignores parameters and fields it does not know; here they are refused.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from connectors.sandbox.base import Emulator, Entry, Refusal, Request, Response, Rolling

KEY, SECRET = "ck_of-billhook", "cs_of-billhook"
READER = "ck_reads-only"
"""With the same secret."""
_KNOWN = {"modified_after", "modified_before", "dates_are_gmt", "orderby", "order", "per_page", "page", "exclude",
          "status"}  # fmt: skip
_STATUSES = {"all", "active", "paused", "disabled"}
_ORDERS = {"date", "modified", "id", "include", "title", "slug"}


class Refused(Refusal):
    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(Response.json(status, {"code": code, "message": message, "data": {"status": status}}))


class WooApi(Emulator):
    """`orders`: documents by id, as tests put them there; `refunds`: those of an order, by its id; `webhooks` by id."""

    slug = "woocommerce"

    def setup(self) -> None:
        self.orders: dict[int, dict[str, Any]] = {}
        self.refunds: dict[int, list[dict[str, Any]]] = {}
        self.webhooks: dict[int, dict[str, Any]] = {}
        self.host = Rolling(300, 60)
        """WooCommerce has no limit; hosts have theirs."""
        self.written = 0
        """How many custom fields were made or changed."""

    def answer(self, request: Request) -> Response:
        if wait := self.counted(self.host):
            return self.too_many(wait)
        if request.basic not in {f"{KEY}:{SECRET}", f"{READER}:{SECRET}"}:
            raise Refused(401, "woocommerce_rest_cannot_view", "Sorry, you cannot list resources.")
        if request.method != "GET" and request.basic == f"{READER}:{SECRET}":
            said = "The API key provided does not have write permissions."
            raise Refused(401, "woocommerce_rest_authentication_error", said)
        start, _, number = request.path.rpartition("/")
        if (request.method, start) == ("PUT", "/wp-json/wc/v3/orders") and number.isdigit():
            return self._noted(int(number), request)
        if (request.method, request.path) == ("GET", "/wp-json/wc/v3/webhooks"):
            return self._webhooks(request.query)
        if (request.method, start) == ("PUT", "/wp-json/wc/v3/webhooks") and number.isdigit():
            return self._webhook(int(number), request)
        if request.method == "GET" and start.startswith("/wp-json/wc/v3/orders/") and start.endswith("/refunds"):
            return self._refund(start.split("/")[5], number, request.query)
        if (request.method, request.path) != ("GET", "/wp-json/wc/v3/orders"):
            raise Refused(404, "rest_no_route", "No route was found matching the URL and request method.")
        query = request.query
        for name, value in query.items():
            if name not in _KNOWN or not _valid(name, value):
                raise Refused(400, "rest_invalid_param", f"Invalid parameter(s): {name}")
        if query.get("dates_are_gmt") != "true" and ("modified_after" in query or "modified_before" in query):
            raise Refused(400, "rest_invalid_param", "the site's own time zone is not emulated")
        return self._listed(query)

    def _listed(self, query: dict[str, str]) -> Response:
        excluded = set(query.get("exclude", "").split(","))
        after, before = query.get("modified_after", ""), query.get("modified_before", "9999")
        found = [
            each
            for each in self.orders.values()
            if str(each["id"]) not in excluded
            and after < each["date_modified_gmt"] < before
            and each["status"] != "trash"
        ]
        by = "date_modified_gmt" if query.get("orderby") == "modified" else "id"
        found.sort(key=lambda each: each[by], reverse=query.get("order", "desc") == "desc")
        size, number = int(query.get("per_page", "10")), int(query.get("page", "1"))
        pages = -(-len(found) // size)
        headers = {"X-WP-Total": str(len(found)), "X-WP-TotalPages": str(pages)}
        return Response.json(200, [self._shown(each) for each in found[(number - 1) * size : number * size]], headers)

    def _shown(self, order: dict[str, Any]) -> dict[str, Any]:
        """An order lists its refunds in few words."""
        listed = [
            {"id": each["id"], "reason": each["reason"], "total": f"-{each['amount']}"}
            for each in self.refunds.get(order["id"], [])
        ]
        return {"refunds": listed, **order}

    def _webhooks(self, query: dict[str, str]) -> Response:
        """Never more than are on a page."""
        if set(query) - {"status", "per_page"} or query.get("status", "all") not in _STATUSES:
            raise Refused(400, "rest_invalid_param", "Invalid parameter(s): status")
        wanted = query.get("status", "all")
        return Response.json(200, [each for each in self.webhooks.values() if wanted in ("all", each["status"])])

    def _webhook(self, number: int, request: Request) -> Response:
        body = request.object(lambda: Refused(400, "rest_invalid_json", "Invalid JSON body passed."))
        if number not in self.webhooks:
            raise Refused(404, "woocommerce_rest_shop_webhook_invalid_id", "Invalid ID.")
        if set(body) != {"status"} or body["status"] not in _STATUSES - {"all"} or set(request.query) - {"_fields"}:
            raise Refused(400, "rest_invalid_param", "Invalid parameter(s): status")
        self.webhooks[number] |= body
        self.written += 1
        return Response.json(200, {"id": number})

    def _refund(self, order: str, number: str, query: dict[str, str]) -> Response:
        if query:
            raise Refused(400, "rest_invalid_param", f"Invalid parameter(s): {min(query)}")
        if not order.isdigit() or int(order) not in self.orders:
            raise Refused(404, "woocommerce_rest_invalid_order_id", "Invalid order ID.")
        for each in self.refunds.get(int(order), []):
            if str(each["id"]) == number:
                return Response.json(200, each)
        raise Refused(404, "woocommerce_rest_invalid_order_refund_id", "Invalid order refund ID.")

    def _noted(self, number: int, request: Request) -> Response:
        if number not in self.orders:
            raise Refused(400, "woocommerce_rest_shop_order_invalid_id", "Invalid ID.")
        if set(request.query) - {"_fields"}:
            raise Refused(400, "rest_invalid_param", "Invalid parameter(s): only _fields is emulated")
        body = request.object(lambda: Refused(400, "rest_invalid_json", "Invalid JSON body passed."))
        sent = body.pop("meta_data", None)
        if body or not isinstance(sent, list) or not all(_is_meta(each) for each in sent):
            raise Refused(400, "rest_invalid_param", f"Invalid parameter(s): {min(body, default='meta_data')}")
        order = self.orders[number]
        for each in sent:
            self._update_meta(order.setdefault("meta_data", []), each["key"], each["value"])
        order["date_modified_gmt"] = datetime.fromtimestamp(self.clock(), UTC).strftime("%Y-%m-%dT%H:%M:%S")
        wanted = request.query.get("_fields")
        return Response.json(200, {name: order[name] for name in wanted.split(",")} if wanted else order)

    def _update_meta(self, entries: list[dict[str, Any]], key: str, value: str) -> None:
        """The first of the key gets the value, others of it go."""
        same = [each for each in entries if each.get("key") == key]
        if not same:
            same = [{"id": 9000 + len(entries), "key": key}]
            entries.append(same[0])
        for each in same[1:]:
            entries.remove(each)
        self.written += same[0].get("value") != value
        same[0]["value"] = value

    def too_many(self, retry_after: float) -> Response:
        return Response(429, b"<html>Too Many Requests</html>", {"Retry-After": f"{retry_after:.0f}"})

    def failure(self, status: int) -> Response:
        said = {"code": "internal_server_error", "message": "There has been a critical error on this website."}
        return Response.json(status, said)

    def ledger(self) -> list[Entry]:
        return []

    def customers(self) -> list[tuple[str, str]]:
        return []


def _is_meta(each: Any) -> bool:
    return isinstance(each, dict) and set(each) == {"key", "value"} and isinstance(each["key"], str)


def _valid(name: str, value: str) -> bool:
    match name:
        case "modified_after" | "modified_before":
            return _is_date(value)
        case "per_page":
            return value.isdigit() and 1 <= int(value) <= 100
        case "page":
            return value.isdigit() and int(value) >= 1
        case "exclude":
            return all(each.isdigit() for each in value.split(","))
        case "orderby":
            return value in _ORDERS
        case "order":
            return value in {"asc", "desc"}
    return True


def _is_date(text: str) -> bool:
    try:
        return datetime.fromisoformat(text).tzinfo is None
    except ValueError:
        return False
