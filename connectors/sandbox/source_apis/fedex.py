"""FedEx's Track API and its token endpoint, emulated: up to thirty numbers a question, the client in the form.

Written from developer.fedex.com, "Track API v1" and "API Authorization". A number that nobody knows is an error inside
a 200; an unknown field of the question is refused, which the real one may not do.
"""

from __future__ import annotations

import math
from typing import Any
from uuid import uuid4

from connectors.sandbox.base import Emulator, Refusal, Request, Response, Rolling
from connectors.sandbox.desk import App, Desk
from connectors.sandbox.shapes import flaw

APP = App(
    client_id="fedex-client",
    client_secret="fedex-client-secret-0123",  # noqa: S106 - the emulator's own
    access_token="fedex-access-0123456789",  # noqa: S106
    client="body",
    grants=("client_credentials",),
)
MOST = 30
QUESTION = {
    "includeDetailedScans": bool,
    "trackingInfo": [
        {
            "shipDateBegin": str,
            "shipDateEnd": str,
            "trackingNumberInfo": {"trackingNumber": 40, "carrierCode": str, "trackingNumberUniqueId": str},
        }
    ],
}


class FedexTracking(Emulator):
    """`results`: what is answered of each number, as `trackResults[]`."""

    slug = "fedex"

    def setup(self) -> None:
        self.desk = Desk(self.db, "fedex_tracking", self.clock, APP)
        self.results: dict[str, list[dict[str, Any]]] = {}
        self.limit = Rolling(100, 60)

    def expire_tokens(self) -> None:
        self.desk.expire()

    def answer(self, request: Request) -> Response:
        if request.path == "/oauth/token" and request.method == "POST":
            given = self.desk.token(request)
            return given if given.status == 200 else refusal(401, "NOT.AUTHORIZED.ERROR", "credentials were not valid")
        if self.desk.state(request.bearer) != "good":
            return refusal(
                401, "NOT.AUTHORIZED.ERROR", "Access token expired. Please modify your request and try again."
            )
        if wait := self.counted(self.limit):
            return self.too_many(wait)
        if request.path != "/track/v1/trackingnumbers" or request.method != "POST" or request.query:
            return refusal(404, "NOT.FOUND.ERROR", "The resource you requested is no longer available.")
        return self._track(self._numbers(request))

    def _numbers(self, request: Request) -> list[str]:
        """Those of the question, which must be right in every field."""
        body = request.object(lambda: Refusal(refusal(422, "INVALID.INPUT.EXCEPTION", "not JSON")))
        wrong = flaw(body, QUESTION)
        if wrong or set(body) != set(QUESTION) or request.headers.get("content-type") != "application/json":
            raise Refusal(refusal(422, "INVALID.INPUT.EXCEPTION", f"Invalid field value in the input: {wrong}"))
        numbers = [each.get("trackingNumberInfo", {}).get("trackingNumber", "") for each in body["trackingInfo"]]
        if not numbers or not all(numbers):
            raise Refusal(refusal(400, "TRACKING.TRACKINGNUMBER.EMPTY", "Please provide tracking number."))
        if len(numbers) > MOST:
            message = "Please limit your inquiry to 30 tracking numbers."
            raise Refusal(refusal(400, "TRACKING.TRACKINGNUMBERS.LIMITEXCEEDED", message))
        return numbers

    def _track(self, numbers: list[str]) -> Response:
        told = [
            {"trackingNumber": number, "trackResults": self.results.get(number, unknown(number))} for number in numbers
        ]
        return Response.json(200, {"transactionId": str(uuid4()), "output": {"completeTrackResults": told}})

    def too_many(self, retry_after: float) -> Response:
        refused = refusal(429, "TOO.MANY.REQUESTS", "We have received too many requests in a short duration.")
        refused.headers["Retry-After"] = str(max(1, math.ceil(retry_after)))
        return refused

    def failure(self, status: int) -> Response:
        return refusal(status, "INTERNAL.SERVER.ERROR", "We encountered an unexpected error.")


def unknown(number: str) -> list[dict[str, Any]]:
    """What FedEx says of a number that it does not know."""
    named = {"trackingNumber": number, "trackingNumberUniqueId": "", "carrierCode": ""}
    error = {"code": "TRACKING.TRACKINGNUMBER.NOTFOUND", "message": "Tracking number cannot be found."}
    return [{"trackingNumberInfo": named, "error": error}]


def refusal(status: int, code: str, message: str) -> Response:
    """FedEx's body of an error."""
    return Response.json(status, {"transactionId": str(uuid4()), "errors": [{"code": code, "message": message}]})
