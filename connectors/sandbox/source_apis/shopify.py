"""Shopify's Admin API as far as orders are listed (REST: windows of time, pages by the Link header, a leaky bucket)
and get metafields (GraphQL, in a file of its own).

From shopify.dev: REST "Order" resource, "Make paginated requests to the REST Admin API", "REST Admin API rate
limits" (40 calls, 2 more each second), "Get API access tokens for Dev Dashboard apps".
"""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs

from connectors.sandbox.base import Emulator, Entry, Refusal, Request, Response, Rolling
from connectors.sandbox.source_apis.shopify_metafields import Metafields, errors

TOKEN = "shpat_of-the-merchants-app"  # noqa: S105
READER = "shpat_reads-only"
CLIENT = {"client_id": "app-1", "client_secret": "shpss_app-secret"}
VERSIONS = ("2026-04", "2026-07", "2026-10")
_FILTERS = {"status", "limit", "updated_at_min", "updated_at_max"}


class Refused(Refusal):
    def __init__(self, status: int, errors: object) -> None:
        super().__init__(Response.json(status, {"errors": errors}), str(errors))


class ShopifyApi(Emulator):
    """`orders`: documents by id, as tests put them there. `metafields`: what was written to them."""

    slug = "shopify"

    def setup(self) -> None:
        self.orders: dict[int, dict[str, Any]] = {}
        self.metafields = Metafields(self.orders, self.clock)
        self.bucket = Rolling(40, 20)
        self.points = Rolling(200, 20)
        """GraphQL has a bucket of its own: 2,000 points, 100 more each second; the mutation costs 10."""
        self.tokens: set[str] = {TOKEN, READER}
        self.forgotten = False
        """Whether words for pages are no longer known."""

    def answer(self, request: Request) -> Response:
        if (request.method, request.path) == ("POST", "/admin/oauth/access_token"):
            return self._token(request)
        if request.headers.get("x-shopify-access-token") not in self.tokens:
            said = "[API] Invalid API key or access token (unrecognized login or wrong password)"
            raise Refused(401, said)
        if (request.method, request.path) in {("POST", f"/admin/api/{each}/graphql.json") for each in VERSIONS}:
            return self._graphql(request)
        if wait := self.counted(self.bucket):
            return self.too_many(wait)
        if request.method != "GET" or request.path not in {f"/admin/api/{each}/orders.json" for each in VERSIONS}:
            raise Refused(404, "Not Found")
        return self._listed(request)

    def _token(self, request: Request) -> Response:
        sent = {name: values[0] for name, values in parse_qs(request.body.decode()).items()}
        if sent != {"grant_type": "client_credentials", **CLIENT}:
            return Response.json(400, {"error": "invalid_client", "error_description": "The client is unknown."})
        token = f"shpat_day-{len(self.tokens)}"
        self.lasts(lambda: self.tokens.add(token))
        return Response.json(200, {"access_token": token, "scope": "read_orders,write_orders", "expires_in": 86399})

    def _graphql(self, request: Request) -> Response:
        if self.counted(self.points):
            status = {"maximumAvailable": 2000.0, "currentlyAvailable": 0, "restoreRate": 100.0}
            return errors("Throttled", "THROTTLED", cost={"requestedQueryCost": 10, "throttleStatus": status})
        may_write = request.headers["x-shopify-access-token"] != READER
        return self.metafields.answer(request, may_write=may_write)

    def _listed(self, request: Request) -> Response:
        query = request.query
        size = int(query.get("limit", "50"))
        if not 1 <= size <= 250:
            raise Refused(400, {"limit": "must be between 1 and 250"})
        window, after = self._place(query)
        found = [each for each in self.orders.values() if _inside(each, window)]
        # Newest order first; a page begins after an order, whatever has left the window meanwhile.
        rest = sorted((each for each in found if after is None or each["id"] < after), key=lambda each: -each["id"])
        page = rest[:size]
        headers = {}
        if len(rest) > size:
            word = base64.urlsafe_b64encode(json.dumps([window, page[-1]["id"]]).encode()).decode()
            address = f"https://{request.headers.get('host')}{request.path}?limit={size}&page_info={word}"
            headers["Link"] = f'<{address}>; rel="next"'
        return Response.json(200, {"orders": page}, headers)

    def _place(self, query: dict[str, str]) -> tuple[dict[str, str], int | None]:
        if "page_info" in query:
            if other := set(query) - {"page_info", "limit", "fields"}:
                raise Refused(400, {"page_info": f"{min(other)} cannot be passed when page_info is present."})
            if self.forgotten:
                raise Refused(400, {"page_info": "Invalid value."})
            window, after = json.loads(base64.urlsafe_b64decode(query["page_info"]))
            return window, after
        if unknown := set(query) - _FILTERS:
            raise Refused(400, f"{min(unknown)} is not a parameter")
        if query.get("status") != "any":
            raise Refused(400, "closed orders would be missing")
        return {name: query[name] for name in ("updated_at_min", "updated_at_max") if name in query}, None

    def too_many(self, retry_after: float) -> Response:
        said = "Exceeded 2 calls per second for api client. Reduce request rates to resume uninterrupted service."
        headers = {"Retry-After": "2.0", "X-Shopify-Shop-Api-Call-Limit": "40/40"}
        return Response.json(429, {"errors": said}, headers)

    def failure(self, status: int) -> Response:
        return Response.json(status, {"errors": "Internal Server Error"})

    def ledger(self) -> list[Entry]:
        return []

    def customers(self) -> list[tuple[str, str]]:
        return []


def _inside(order: dict[str, Any], window: dict[str, str]) -> bool:
    changed = datetime.fromisoformat(order["updated_at"]).astimezone(UTC)
    first, last = window.get("updated_at_min"), window.get("updated_at_max")
    late_enough = first is None or changed >= datetime.fromisoformat(first)
    return late_enough and (last is None or changed <= datetime.fromisoformat(last))
