"""UPS's Track API and its token endpoint, emulated: one number a question, client credentials by HTTP Basic.

Written from UPS-API/api-documentation (Tracking.yaml, OAuthClientCredentials.yaml). Where it is silent, this is the
awkward one: a parameter nobody knows is refused, and so is a request id that was used before.
"""

from __future__ import annotations

import math
import re
from typing import Any

from connectors.sandbox.base import Emulator, Request, Response, Rolling
from connectors.sandbox.desk import App, Desk

APP = App(
    client_id="ups-client",
    client_secret="ups-client-secret-0123",  # noqa: S106 - the emulator's own
    access_token="ups-access-0123456789",  # noqa: S106
    access_lives=14_399,
    grants=("client_credentials",),
)
PARAMETERS = {"locale", "returnSignature", "returnMilestones", "returnPOD"}


class UpsTracking(Emulator):
    """`packages`: what is answered of each number, as `trackResponse.shipment[].package[]`."""

    slug = "ups"

    def setup(self) -> None:
        self.desk = Desk(self.db, "ups_tracking", self.clock, APP)
        self.packages: dict[str, list[dict[str, Any]]] = {}
        self.limit = Rolling(100, 60)
        self.seen: set[str] = set()

    def expire_tokens(self) -> None:
        self.desk.expire()

    def answer(self, request: Request) -> Response:
        if request.path == "/security/v1/oauth/token":
            return self._token(request)
        if self.desk.state(request.bearer) != "good":
            return refusal(401, "250002", "Invalid Authentication Information.")
        if wait := self.counted(self.limit):
            return self.too_many(wait)
        found = re.fullmatch(r"/api/track/v1/details/([^/]+)", request.path)
        if found is None or request.method != "GET":
            return refusal(404, "404", "The requested resource was not found.")
        return self._wrong(request, found[1]) or self._details(found[1])

    def _token(self, request: Request) -> Response:
        if request.headers.get("content-type", "").partition(";")[0] != "application/x-www-form-urlencoded":
            return refusal(400, "10400", "Invalid/Missing Content-Type")
        given = self.desk.token(request)
        return given if given.status == 200 else refusal(401, "10401", "ClientId is Invalid")

    def _wrong(self, request: Request, number: str) -> Response | None:
        trans = request.headers.get("transid", "")
        if not trans or trans in self.seen:
            return refusal(400, "TV1001", "Missing or used transId")
        self.seen.add(trans)
        if not request.headers.get("transactionsrc"):
            return refusal(400, "TV1001", "Missing transactionSrc")
        if unknown := set(request.query) - PARAMETERS:
            return refusal(400, "TV1003", f"Unknown parameter {sorted(unknown)}")
        if not re.fullmatch("[0-9A-Za-z]{7,34}", number):
            return refusal(400, "TV1002", "Invalid inquiry number")
        return None

    def _details(self, number: str) -> Response:
        if number not in self.packages:
            return refusal(404, "TW0001", "Tracking Information Not Found")
        shipment = {"inquiryNumber": number, "package": self.packages[number]}
        return Response.json(200, {"trackResponse": {"shipment": [shipment]}})

    def too_many(self, retry_after: float) -> Response:
        refused = refusal(429, "10429", "Too Many Requests")
        refused.headers["Retry-After"] = str(max(1, math.ceil(retry_after)))
        return refused

    def failure(self, status: int) -> Response:
        return refusal(status, "10004", "Something went wrong while processing your request, please try again later")


def refusal(status: int, code: str, message: str) -> Response:
    """UPS's body of an error."""
    return Response.json(status, {"response": {"errors": [{"code": code, "message": message}]}})
