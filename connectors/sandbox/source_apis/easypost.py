"""EasyPost's trackers, emulated: read by batch, newest first, cut at a page, five questions a second; and shipments.

Written from docs.easypost.com ("Authentication", "Errors", "Rate Limiting") and the answers recorded in
EasyPost/easypost-python, tests/cassettes/test_tracker_retrieve_batch.yaml, in which `is_return` does not stand.
Making trackers, which costs, is refused here.
"""

from __future__ import annotations

from typing import Any

from connectors.sandbox.base import Emulator, Entry, Refusal, Request, Response, Rolling
from connectors.sandbox.shelf import Doc, Shelf

API_KEY = "EZAKsandbox4711"
PAGE = 100


class EasyPostTrackers(Emulator):
    slug = "easypost"

    def setup(self) -> None:
        self.shelf = Shelf(self.db, self.slug)
        self.quota = Rolling(5, 1.0)
        self.page = PAGE

    def put(self, tracker: Doc) -> None:
        """Keeps a tracker, in the place of one with its id."""
        self.shelf.put("trackers", str(tracker["id"]), tracker)

    def put_shipment(self, shipment: Doc) -> None:
        self.shelf.put("shipments", str(shipment["id"]), shipment)

    def answer(self, request: Request) -> Response:
        if (
            request.bearer != API_KEY and request.basic != f"{API_KEY}:"
        ):  # the key is the name; the libraries use Bearer
            raise _refused(401, "APIKEY.INACTIVE", "This api key is no longer active.")
        if wait := self.counted(self.quota):
            return self.too_many(wait)
        match request.method, request.path:
            case "POST", "/v2/trackers/batch":
                return self._batch(request)
            case "GET", path if path.startswith("/v2/shipments/") and not request.query:
                missing = _refused(404, "NOT_FOUND", "The requested resource could not be found.")
                return Response.json(200, self.shelf.need("shipments", path.rpartition("/")[2], missing))
        raise _refused(404, "NOT_FOUND", "The requested resource could not be found.")

    def _batch(self, request: Request) -> Response:
        wrong = _refused(422, "PARAMETER.INVALID", "tracking_codes must be a list of codes, and nothing else is known")
        body = request.object(lambda: wrong)
        codes = body.pop("tracking_codes", None)
        if body or request.query or not isinstance(codes, list) or not codes:
            raise wrong
        if not all(isinstance(code, str) and code for code in codes):
            raise wrong
        rows = [row for row in reversed(self.shelf.all("trackers")) if row["tracking_code"] in codes]
        shown = [{name: value for name, value in row.items() if name != "is_return"} for row in rows[: self.page]]
        return Response.json(200, {"trackers": shown, "has_more": len(rows) > self.page})

    def too_many(self, retry_after: float) -> Response:
        return _refused(429, "RATE_LIMITED", "Too many requests, please try again later.").response

    def failure(self, status: int) -> Response:
        return _refused(status, "INTERNAL_SERVER_ERROR", "An unexpected error occurred.").response

    def ledger(self) -> list[Entry]:
        return []

    def customers(self) -> list[tuple[str, str]]:
        return []


def _refused(status: int, code: str, message: str) -> Refusal:
    error: dict[str, Any] = {"code": code, "message": message, "errors": []}
    return Refusal(Response.json(status, {"error": error}))
