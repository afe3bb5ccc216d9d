"""Square's API as far as orders and their customers are read: single orders, the search of changed ones, customers.

Facts: square/connect-api-specification, api.json of 2025-08-20. The state is set by whoever runs it: `orders` and
`customers`, by id. The range of a search holds both of its ends, and a page's cursor is good for its own query only.
"""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from connectors.sandbox.base import Emulator, Refusal, Request, Response, Rolling

TOKEN = "sq-token"  # noqa: S105
LOCATION = "LGB1"
_SEARCH = {"location_ids", "cursor", "query", "limit", "return_entries"}
_FILTERS = {"state_filter", "date_time_filter", "fulfillment_filter", "source_filter", "customer_filter"}
_STATES = {"OPEN", "COMPLETED", "CANCELED", "DRAFT"}


class SquareOrders(Emulator):
    """Whoever names no version of the API, or another location's orders, is refused."""

    slug = "square"

    def setup(self) -> None:
        self.orders: dict[str, dict[str, Any]] = {}
        self.customers_by_id: dict[str, dict[str, Any]] = {}
        self.asked: list[str] = []
        self.page = 1000
        """Most orders of a page, where it is to be less than is asked for."""
        self.limit = Rolling(60, 10)

    def answer(self, request: Request) -> Response:
        self.asked.append(request.target)
        if request.bearer != TOKEN:
            return _error(401, "AUTHENTICATION_ERROR", "UNAUTHORIZED", "This request could not be authorized.")
        if not request.headers.get("square-version"):
            return _error(400, "INVALID_REQUEST_ERROR", "BAD_REQUEST", "Square-Version is missing.")
        if wait := self.counted(self.limit):
            return self.too_many(wait)
        if request.query:
            return _error(400, "INVALID_REQUEST_ERROR", "BAD_REQUEST", "These endpoints have no query parameters.")
        match request.method, request.path.strip("/").split("/"):
            case "POST", ["v2", "orders", "search"]:
                return self._search(request)
            case "GET", ["v2", "orders", ident]:
                return _one("order", self.orders.get(ident))
            case "GET", ["v2", "customers", ident]:
                return _one("customer", self.customers_by_id.get(ident))
        return _error(404, "INVALID_REQUEST_ERROR", "NOT_FOUND", "Resource not found.")

    def _search(self, request: Request) -> Response:
        body = request.object(lambda: _bad("The body is not a JSON object."))
        query = body.get("query", {})
        filters, sort = query.get("filter", {}), query.get("sort", {})
        unknown = (set(body) - _SEARCH) | (set(query) - {"filter", "sort"}) | (set(filters) - _FILTERS)
        if unknown:
            raise _bad(f"{min(unknown)} is not a field of this endpoint.")
        if not 1 <= len(body.get("location_ids", [])) <= 10 or not 1 <= body.get("limit", 500) <= 1000:
            raise _bad("location_ids must have 1 to 10 elements, limit must be 1 to 1000.")
        window = filters.get("date_time_filter", {})
        if len(window) > 1 or (window and sort.get("sort_field") != f"{next(iter(window))}".upper()):
            raise _bad("sort_field must match the date_time_filter.")
        states = set(filters.get("state_filter", {}).get("states", _STATES))
        if not states <= _STATES:
            raise _bad("states has a state that is none.")
        rows = self._wanted(body["location_ids"], states, window)
        rows.sort(key=lambda each: each["updated_at"], reverse=sort.get("sort_order", "DESC") == "DESC")
        return self._paged(rows, body)

    def _wanted(self, locations: list[str], states: set[str], window: dict[str, Any]) -> list[dict[str, Any]]:
        rows = [each for each in self.orders.values() if each["location_id"] in locations and each["state"] in states]
        for field, ends in window.items():
            start, end = ends.get("start_at"), ends.get("end_at")
            rows = [each for each in rows if not start or _time(each[field]) >= _time(start)]
            rows = [each for each in rows if not end or _time(each[field]) <= _time(end)]
        return rows

    def _paged(self, rows: list[dict[str, Any]], body: dict[str, Any]) -> Response:
        asked = {name: value for name, value in body.items() if name != "cursor"}
        mark = json.dumps(asked, sort_keys=True, default=str)
        start = 0
        if "cursor" in body:
            whose, _, at = body["cursor"].rpartition("|")
            if whose != mark:
                raise _bad("The cursor is not of this query.")
            start = int(at)
        size = min(body.get("limit", 500), self.page)
        answer: dict[str, Any] = {"orders": rows[start : start + size]} if rows[start:] else {}
        if start + size < len(rows):
            answer["cursor"] = f"{mark}|{start + size}"
        return Response.json(200, answer)

    def too_many(self, retry_after: float) -> Response:
        refused = _error(429, "RATE_LIMIT_ERROR", "RATE_LIMITED", "Too many requests.")
        refused.headers["Retry-After"] = f"{retry_after:.0f}"
        return refused

    def failure(self, status: int) -> Response:
        return _error(status, "API_ERROR", "INTERNAL_SERVER_ERROR", "Something went wrong.")


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _one(name: str, found: dict[str, Any] | None) -> Response:
    if found is None:
        return _error(404, "INVALID_REQUEST_ERROR", "NOT_FOUND", f"The {name} was not found.")
    return Response.json(200, {name: found})


def _bad(detail: str) -> Refusal:
    return Refusal(_error(400, "INVALID_REQUEST_ERROR", "BAD_REQUEST", detail))


def _error(status: int, category: str, code: str, detail: str) -> Response:
    return Response.json(status, {"errors": [{"category": category, "code": code, "detail": detail}]})
