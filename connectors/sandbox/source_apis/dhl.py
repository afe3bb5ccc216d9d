"""DHL's Shipment Tracking Unified and the subscriptions of Unified Push, emulated: one number a question, an API key.

Written from developer.dhl.com, "Shipment Tracking - Unified" and "Shipment Tracking - Unified - Push". A second
activation gets a 409, which is a guess.
"""

from __future__ import annotations

import math
import re
from typing import Any

from connectors.sandbox.base import Emulator, Request, Response, Rolling

API_KEY = "dhl-api-key-0123456789"
PARAMETERS = {
    "trackingNumber", "service", "requesterCountryCode", "originCountryCode", "recipientPostalCode", "language",
    "offset", "limit",
}  # fmt: skip
SUBSCRIPTION = r"/tracking/push/v1/subscription/([^/]+)"


class DhlTracking(Emulator):
    """`shipments`: what is answered of each number. `pending`: the secrets of subscriptions that wait for activation;
    `active`: those that were activated."""

    slug = "dhl"

    def setup(self) -> None:
        self.shipments: dict[str, list[dict[str, Any]]] = {}
        self.services: list[str | None] = []
        self.pending: dict[str, str] = {}
        self.active: set[str] = set()
        self.limit = Rolling(250, 86_400)

    def answer(self, request: Request) -> Response:
        if request.headers.get("dhl-api-key") != API_KEY:
            return problem(401, "Unauthorized", "Unauthorized for given resource.")
        if wait := self.counted(self.limit):
            return self.too_many(wait)
        if request.path == "/track/shipments" and request.method == "GET":
            return self._track(request)
        found = re.fullmatch(SUBSCRIPTION, request.path)
        if found and request.method == "POST":
            return self._activate(request, found[1])
        return problem(404, "Not Found", "The resource was not found.")

    def _track(self, request: Request) -> Response:
        number = request.query.get("trackingNumber", "")
        if not number or set(request.query) - PARAMETERS:
            return problem(400, "Bad Request", "Some or all parameters are not valid.")
        self.services.append(request.query.get("service"))
        if number not in self.shipments:
            return problem(404, "No result found", "No shipment with given tracking number found.")
        return Response.json(200, {"shipments": self.shipments[number], "possibleAdditionalShipmentsUrl": []})

    def _activate(self, request: Request, ident: str) -> Response:
        if ident in self.active:
            return problem(409, "Conflict", "The subscription is active already.")
        if ident not in self.pending:
            return problem(404, "Not Found", "Subscription not found.")
        if request.headers.get("dhl-api-hook-secret") != self.pending[ident]:
            return problem(403, "Forbidden", "The secret is not the subscription's.")
        self.active.add(ident)
        return Response(204)

    def too_many(self, retry_after: float) -> Response:
        refused = problem(429, "Too many requests", "Too many requests within defined time period.")
        refused.headers["Retry-After"] = str(max(1, math.ceil(retry_after)))
        return refused

    def failure(self, status: int) -> Response:
        return problem(status, "Internal Server Error", "Please try again later.")


def problem(status: int, title: str, detail: str) -> Response:
    """DHL's body of an error (RFC 7807)."""
    return Response.json(status, {"title": title, "status": status, "detail": detail})
