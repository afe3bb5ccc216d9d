"""Shippo's tracks, emulated: one a question, by carrier and number, 500 a minute; and transactions and orders by id.

Written from docs.goshippo.com, "Get a tracking status", "HTTP response status codes" and "Rate limits". What a number
that Shippo does not know is answered with is not documented: here a track without a status; a carrier that is none
of Shippo's is refused with 400, as the reference has it for wrong requests.
"""

from __future__ import annotations

from urllib.parse import unquote

from connectors.sandbox.base import Emulator, Entry, Request, Response, Rolling
from connectors.sandbox.shelf import Doc, Shelf

API_KEY = "shippo_live_sandbox4711"
CARRIERS = {"ups", "usps", "fedex", "dhl_express", "royal_mail", "shippo"}


class ShippoTracks(Emulator):
    slug = "shippo"

    def setup(self) -> None:
        self.shelf = Shelf(self.db, self.slug)
        self.quota = Rolling(500, 60.0)

    def put(self, track: Doc) -> None:
        """Keeps a track, in the place of the one of the same parcel."""
        self.shelf.put("tracks", f"{track['carrier']}/{track['tracking_number']}", track)

    def put_label(self, transaction: Doc, *orders: Doc) -> None:
        """Keeps a transaction, which is a label, and orders."""
        self.shelf.put("transactions", str(transaction["object_id"]), transaction)
        for order in orders:
            self.shelf.put("orders", str(order["object_id"]), order)

    def answer(self, request: Request) -> Response:
        if request.headers.get("authorization") != f"ShippoToken {API_KEY}":
            return _detail(401, "Token does not exist")
        if wait := self.counted(self.quota):
            return self.too_many(wait)
        match request.method, [unquote(part) for part in request.path.strip("/").split("/")]:
            case "GET", ["tracks", carrier, number] if not request.query:
                return self._track(carrier, number)
            case "GET", ["transactions" | "orders" as kind, ident] if not request.query and self.shelf.get(kind, ident):
                return Response.json(200, self.shelf.get(kind, ident))
        return _detail(404, "Not found.")

    def _track(self, carrier: str, number: str) -> Response:
        if carrier not in CARRIERS:
            return _detail(400, f"Carrier {carrier} is not supported")
        nothing: Doc = {"tracking_status": None, "tracking_history": [], "messages": []}
        known = self.shelf.get("tracks", f"{carrier}/{number}")
        return Response.json(200, known or {"carrier": carrier, "tracking_number": number, **nothing})

    def too_many(self, retry_after: float) -> Response:
        return _detail(429, "Request was throttled.")

    def failure(self, status: int) -> Response:
        return _detail(status, "Internal error")

    def ledger(self) -> list[Entry]:
        return []

    def customers(self) -> list[tuple[str, str]]:
        return []


def _detail(status: int, text: str) -> Response:
    return Response.json(status, {"detail": text})
