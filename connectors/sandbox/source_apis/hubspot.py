"""HubSpot's CRM API as far as won deals are read: deals, their search, what belongs to them, batch reads, tax rates.

Facts: HubSpot's public API specs of version 2026-03 (CRM/Deals, Associations, Line Items, Contacts, Companies,
Settings/Tax Rates); developers.hubspot.com, usage guidelines (429, no Retry-After; searches have a quota of their own).
The state is set by whoever runs it: `deals`, `line_items`, `contacts` and `companies` by id, `linked` by deal and kind,
`rates` by id. Only the properties that are asked for are shown.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from connectors.sandbox.base import Emulator, Refusal, Request, Response, Rolling

TOKEN = "pat-eu1-token"  # noqa: S105
_SEARCH = {"after", "filterGroups", "limit", "properties", "sorts"}
_BATCH = {"inputs", "properties", "propertiesWithHistory"}
_ONE = {"properties", "propertiesWithHistory", "associations", "archived", "idProperty"}
_KINDS = ("line_items", "contacts", "companies")
_SHOWN_ALWAYS = ("hs_object_id", "createdate", "hs_lastmodifieddate")


class HubSpotDeals(Emulator):
    """A body without a required field, or with an unknown one, is refused."""

    slug = "hubspot"

    def setup(self) -> None:
        self.deals: dict[str, dict[str, Any]] = {}
        self.stages: dict[str, list[dict[str, Any]]] = {}
        """By deal, the history of its stage as HubSpot tells it, newest first."""
        self.objects: dict[str, dict[str, dict[str, Any]]] = {kind: {} for kind in _KINDS}
        self.linked: dict[tuple[str, str], list[dict[str, Any]]] = {}
        self.rates: dict[str, dict[str, Any]] = {}
        self.asked: list[str] = []
        self.page = 200
        """Most deals of a page, where it is to be less than is asked for."""
        self.limit = Rolling(100, 10)
        self.searches = Rolling(5, 1)

    def answer(self, request: Request) -> Response:
        self.asked.append(request.target)
        if request.bearer != TOKEN:
            return _error(401, "INVALID_AUTHENTICATION", "Authentication credentials not found.")
        where = request.path.strip("/").split("/")
        quotas = (self.searches,) if where[-1] == "search" else (self.limit,)
        if self.counted(*quotas):
            return self._over("SECONDLY" if where[-1] == "search" else "TEN_SECONDLY_ROLLING")
        match request.method, where:
            case "POST", ["crm", "objects", "2026-03", "0-3", "search"]:
                return self._search(request)
            case "GET", ["crm", "objects", "2026-03", "0-3", ident]:
                return self._deal(ident, request.query)
            case "GET", ["crm", "objects", "2026-03", "deals", ident, "associations", kind] if kind in _KINDS:
                return self._linked(ident, kind, request.query)
            case "POST", ["crm", "objects", "2026-03", kind, "batch", "read"] if kind in _KINDS:
                return self._batch(kind, request)
            case "GET", ["tax-rates", "2026-03", "tax-rates", ident]:
                return Response.json(200, self.rates[ident]) if ident in self.rates else _gone()
        return _gone()

    def _deal(self, ident: str, query: dict[str, str]) -> Response:
        if unknown := set(query) - _ONE:
            return _error(400, "VALIDATION_ERROR", f"{min(unknown)} is not a parameter")
        if ident not in self.deals:
            return _gone()
        shown = _shown(self.deals[ident], query.get("properties", "dealname,dealstage").split(","))
        if query.get("propertiesWithHistory") == "dealstage":
            shown["propertiesWithHistory"] = {"dealstage": self.stages.get(ident, [])}
        return Response.json(200, shown)

    def _search(self, request: Request) -> Response:
        body = request.object(lambda: _bad("the body is not a JSON object"))
        if set(body) - {"query"} != _SEARCH or not isinstance(body["after"], str) or not 1 <= body["limit"] <= 200:
            raise _bad("after, filterGroups, limit, properties and sorts are required")
        rows = list(self.deals.values())
        for group in body["filterGroups"]:
            for each in group["filters"]:
                if each["operator"] != "BETWEEN" or each["propertyName"] != "hs_lastmodifieddate":
                    raise _bad("only times are searched for here")
                low, high = int(each["value"]), int(each["highValue"])
                rows = [one for one in rows if low <= _changed(one) <= high]
        if body["sorts"] != ["hs_lastmodifieddate"]:
            raise _bad("sorts is not a list of properties")
        rows.sort(key=_changed)
        start, size = int(body["after"]), min(body["limit"], self.page)
        if start + size > 10_000:
            raise _bad("the paging cursor must be under 10000")
        shown = [_shown(each, body["properties"]) for each in rows[start : start + size]]
        answer: dict[str, Any] = {"total": len(rows), "results": shown}
        if start + size < len(rows):
            answer["paging"] = {"next": {"after": str(start + size)}}
        return Response.json(200, answer)

    def _linked(self, ident: str, kind: str, query: dict[str, str]) -> Response:
        if set(query) - {"after", "limit"} or ident not in self.deals:
            return _gone()
        rows, start = self.linked.get((ident, kind), []), int(query.get("after", "0"))
        size = min(int(query.get("limit", "500")), 500)
        answer: dict[str, Any] = {"results": rows[start : start + size]}
        if start + size < len(rows):
            answer["paging"] = {"next": {"after": str(start + size)}}
        return Response.json(200, answer)

    def _batch(self, kind: str, request: Request) -> Response:
        body = request.object(lambda: _bad("the body is not a JSON object"))
        if set(body) - {"idProperty"} != _BATCH or not 1 <= len(body["inputs"]) <= 100:
            raise _bad("inputs (1 to 100), properties and propertiesWithHistory are required")
        asked = [each["id"] for each in body["inputs"]]
        found = [_shown(self.objects[kind][one], body["properties"]) for one in asked if one in self.objects[kind]]
        answer = {"status": "COMPLETE", "results": list(reversed(found))}
        return Response.json(200 if len(found) == len(asked) else 207, answer)

    def _over(self, policy: str) -> Response:
        refused = {"status": "error", "message": "You have reached your limit.", "errorType": "RATE_LIMIT"}
        return Response.json(429, refused | {"policyName": policy}, {"X-HubSpot-RateLimit-Remaining": "0"})

    def too_many(self, retry_after: float) -> Response:
        return self._over("TEN_SECONDLY_ROLLING")

    def failure(self, status: int) -> Response:
        return _error(status, "INTERNAL_ERROR", "internal error")


def _shown(told: dict[str, Any], wanted: list[str]) -> dict[str, Any]:
    theirs = told["properties"]
    names = [*wanted, *_SHOWN_ALWAYS]
    return {**told, "properties": {name: theirs[name] for name in names if name in theirs}}


def _changed(deal: dict[str, Any]) -> int:
    at = datetime.fromisoformat(deal["properties"]["hs_lastmodifieddate"]).astimezone(UTC)
    return int(at.timestamp()) * 1000 + at.microsecond // 1000


def _gone() -> Response:
    return _error(404, "OBJECT_NOT_FOUND", "resource not found")


def _bad(message: str) -> Refusal:
    return Refusal(_error(400, "VALIDATION_ERROR", message))


def _error(status: int, category: str, message: str) -> Response:
    return Response.json(status, {"status": "error", "category": category, "message": message})
