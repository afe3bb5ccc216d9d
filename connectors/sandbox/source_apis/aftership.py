"""AfterShip's trackings, emulated: read by number, in pages with a cursor, six questions a second.

Written from aftership.com/docs/tracking, "Get trackings", "Body Envelope", "Request Errors" and "Rate limit", version
2026-07.
"""

from __future__ import annotations

from connectors.sandbox.base import Emulator, Entry, Refusal, Request, Response, Rolling
from connectors.sandbox.shelf import Doc, Shelf

API_KEY = "asat_sandbox4711"
PATH = "/tracking/2026-07/trackings"
KNOWN = {"cursor", "limit", "keyword", "tracking_numbers", "slug", "tag", "order_id", "fields", "return_to_sender"}
MOST_NUMBERS = 50
MOST = 200


class AfterShipTrackings(Emulator):
    slug = "aftership"

    def setup(self) -> None:
        self.shelf = Shelf(self.db, self.slug)
        self.quota = Rolling(6, 1.0)
        self.page = MOST

    def put(self, tracking: Doc) -> None:
        """Keeps a tracking, in the place of one with its id."""
        self.shelf.put("trackings", str(tracking["id"]), tracking)

    def answer(self, request: Request) -> Response:
        if request.headers.get("as-api-key") != API_KEY:
            raise _refused(401, "Unauthorized", "The API key is invalid.")
        if wait := self.counted(self.quota):
            return self.too_many(wait)
        if (request.method, request.path) != ("GET", PATH):
            raise _refused(404, "NotFound", "The URI requested is invalid or the resource does not exist.")
        return self._list(request.query)

    def _list(self, query: dict[str, str]) -> Response:
        numbers = [each for each in query.get("tracking_numbers", "").split(",") if each]
        if unknown := set(query) - KNOWN:
            raise _refused(400, "BadRequest", f"unknown parameters: {', '.join(sorted(unknown))}")
        if len(numbers) > MOST_NUMBERS:
            raise _refused(400, "BadRequest", "tracking_numbers supports up to 50 tracking numbers.")
        limit, start = query.get("limit", "100"), query.get("cursor", "0")
        if not (limit.isdigit() and 1 <= int(limit) <= MOST and start.isdigit()):
            raise _refused(400, "BadRequest", "limit must be from 1 to 200, cursor one that was given.")
        rows = [row for row in reversed(self.shelf.all("trackings")) if row["tracking_number"] in numbers]
        end = int(start) + min(int(limit), self.page)
        more = end < len(rows)
        pages = {"total": len(rows), "next_cursor": str(end) if more else "", "has_next_page": more}
        data = {"pagination": pages, "trackings": rows[int(start) : end]}
        return Response.json(200, {"meta": {"code": 200}, "data": data}, self._limits())

    def _limits(self) -> dict[str, str]:
        return {
            "X-RateLimit-Reset": str(int(self.clock()) + 1),
            "X-RateLimit-Limit": str(self.quota.calls),
            "X-RateLimit-Remaining": str(max(0, self.quota.remaining)),
        }

    def too_many(self, retry_after: float) -> Response:
        response = _refused(429, "TooManyRequests", "You have exceeded the API call rate limit.").response
        response.headers.update(self._limits())
        return response

    def failure(self, status: int) -> Response:
        return _refused(status, "InternalError", "Something went wrong on AfterShip's end.").response

    def ledger(self) -> list[Entry]:
        return []

    def customers(self) -> list[tuple[str, str]]:
        return []


def _refused(status: int, kind: str, message: str) -> Refusal:
    return Refusal(Response.json(status, {"meta": {"code": status, "type": kind, "message": message}, "data": {}}))
