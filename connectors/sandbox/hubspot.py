"""HubSpot's CRM objects, emulated: contacts, invoices, line items, properties, tax rates, OAuth, quotas.

Written from the vendor's OpenAPI documents and the guides on developers.hubspot.com. Paths of version 2026-03, 2026-09
and v3 are the same objects. Errors inside a batch are answered one by one only where every input has an
`objectWriteTraceId`; else the whole batch is refused. The wording of errors is HubSpot's where its guides quote it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from connectors.sandbox.base import Entry, Request, Response, Rolling
from connectors.sandbox.desk import App, State
from connectors.sandbox.gate import Gated
from connectors.sandbox.hubspot_books import Books, Refused, correlation
from connectors.sandbox.savepoint import savepoint
from connectors.sandbox.sums import exact, half_up, places

ACCOUNT = 4711001
SERVICE_KEY = "pat-eu1-sandbox-4711"
ACCESS_TOKEN, REFRESH_TOKEN = "hubspot-access-0001", "hubspot-refresh-0001"
CLIENT_ID, CLIENT_SECRET = "hubspot-client", "hubspot-client-secret"
TAX_RATES = {"901": ("VAT 20", 20), "902": ("VAT 5", 5), "903": ("Zero rated", 0)}
SECONDS, DAY = (100, 10.0), (250_000, 86_400.0)
"""Calls and window of an app on Free and Starter, and of an account (usage guidelines)."""
MOST_INPUTS = MOST_LISTED = 100
UNREADABLE = partial(Refused, "Invalid input JSON")
OBJECTS = r"/crm/(?:objects/(?:v3|2026-03|2026-09)|v3/objects)/(contacts|invoices|line_items)(/.*)?"
PROPERTIES = r"/crm/(?:v3/properties|properties/(?:2026-03|2026-09))/(contacts|invoices|line_items)(?:/(\w+))?"
STATUSES = {"draft": "draft", "open": "issued", "paid": "paid", "voided": "void"}


class HubSpot(Gated):
    slug = "hubspot"
    app = App(CLIENT_ID, CLIENT_SECRET, ACCESS_TOKEN, REFRESH_TOKEN, access_lives=1800, client="body")
    consent_at = "/oauth/authorize"
    sample = f"""
client_id = "{CLIENT_ID}"
client_secret = "{CLIENT_SECRET}"
refresh_token = "{REFRESH_TOKEN}"
[shop.myshop.account.hubspot.settings]
account = "{ACCOUNT}"
tax = {{ "20" = "901", "5" = "902", "0" = "903" }}
"""

    def setup(self) -> None:
        super().setup()
        self.books = Books(self.shelf, self.clock, {name: rate for name, (_, rate) in TAX_RATES.items()})
        self.quotas = {"TEN_SECONDLY_ROLLING": Rolling(*SECONDS), "DAILY": Rolling(*DAY)}

    def creates(self, request: Request) -> bool:
        made = re.search(r"/batch/(create|update|upsert)$|/(contacts|invoices|line_items)$", request.path)
        return request.method == "PATCH" or (request.method == "POST" and made is not None)

    def too_many(self, retry_after: float) -> Response:
        policy = "DAILY" if retry_after > SECONDS[1] else "TEN_SECONDLY_ROLLING"
        body = {"errorType": "RATE_LIMIT", "policyName": policy, "message": f"You have reached your {policy} limit."}
        return Response.json(429, {"status": "error", "correlationId": correlation(policy), **body})

    def failure(self, status: int) -> Response:
        return Refused("internal error", "INTERNAL_ERROR", status=status).response

    def answer(self, request: Request) -> Response:
        if re.fullmatch(r"/oauth/(v1|2026-03|2026-09)/token", request.path):
            return self.desk.token(request)
        if found := re.fullmatch(r"/documents/(\d+)/pdf", request.path):
            return Response.pdf(found[1])
        return super().answer(request)

    def state(self, request: Request) -> State:
        return "good" if request.bearer == SERVICE_KEY else super().state(request)

    def unauthorized(self, state: State) -> Response:
        category = "EXPIRED_AUTHENTICATION" if state == "expired" else "INVALID_AUTHENTICATION"
        said = "Authentication credentials not found or no longer valid."
        return Refused(said, category, status=401).response

    def limits(self, request: Request) -> list[Rolling]:
        return [*self.quotas.values()]

    def stamp(self) -> dict[str, str]:
        left = self.quotas["TEN_SECONDLY_ROLLING"]
        return {"X-HubSpot-RateLimit-Max": str(left.calls), "X-HubSpot-RateLimit-Remaining": str(left.remaining)}

    def route(self, request: Request) -> Response:
        if request.path == "/account-info/2026-03/details" and request.method == "GET":
            about: dict[str, Any] = {
                "portalId": ACCOUNT,
                "uiDomain": "app-eu1.hubspot.com",
                "timeZone": "Europe/London",
            }
            about |= {
                "additionalCurrencies": [],
                "utcOffset": "+00:00",
                "utcOffsetMilliseconds": 0,
                "dataHostingLocation": "eu1",
            }
            return Response.json(200, {**about, "accountType": "STANDARD", "companyCurrency": "GBP"})
        if request.path == "/tax-rates/2026-03/tax-rates" and request.method == "GET":
            made = {"createdAt": Books.moment(0), "updatedAt": Books.moment(0)}
            rates = [
                {"id": name, "name": title, "label": title, "percentageRate": rate, "active": True, **made}
                for name, (title, rate) in TAX_RATES.items()
            ]
            return Response.json(200, {"results": rates})
        if found := re.fullmatch(PROPERTIES, request.path):
            return self._property(request, found[1], found[2])
        if found := re.fullmatch(OBJECTS, request.path):
            return self._object(request, found[1], (found[2] or "").strip("/"))
        raise Refused("resource not found", "OBJECT_NOT_FOUND", status=404)

    def _property(self, request: Request, kind: str, name: str | None) -> Response:
        if request.method == "POST" and name is None:
            return Response.json(201, self.books.add_property(kind, request.object(UNREADABLE)))
        if request.method == "GET" and name is not None:
            return Response.json(200, self.books.property(kind, name))
        raise Refused("Method not allowed", "METHOD_NOT_ALLOWED", status=405)

    def _object(self, request: Request, kind: str, rest: str) -> Response:
        host = f"http://{request.headers.get('host', 'localhost')}/{self.slug}"
        match request.method, rest.split("/"):
            case "POST", ["batch", "create"]:
                return self._batch(request, 201, lambda one: self.books.create(kind, one))
            case "POST", ["batch", "update"]:
                return self._batch(request, 200, lambda one: self.books.update(kind, one["id"], one, host))
            case "POST", ["batch", "read"]:
                return self._batch_read(kind, request.object(UNREADABLE))
            case "GET", [""]:
                return Response.json(200, self._listed(request, kind))
            case "POST", [""]:
                return Response.json(201, self.books.create(kind, request.object(UNREADABLE)))
            case "GET", [ident] if ident and ident != "batch":
                wanted, linked = _named(request, "properties"), _named(request, "associations")
                by = request.query.get("idProperty")
                return Response.json(200, self.books.shown(kind, unquote(ident), by, wanted, linked))
            case "PATCH", [ident]:
                return Response.json(200, self.books.update(kind, ident, request.object(UNREADABLE), host))
            case "DELETE", [ident]:
                self.books.delete(kind, ident)
                return Response(204)
        raise Refused("resource not found", "OBJECT_NOT_FOUND", status=404)

    def _listed(self, request: Request, kind: str) -> dict[str, Any]:
        """A page of all, oldest first, ten where nobody says how many; `after` is the cursor that the page before
        gave. Deleted objects are not kept here, so that there are no archived ones."""
        query = request.query
        if unknown := set(query) - {"limit", "after", "archived", "properties", "associations"}:
            raise Refused(f"unknown query parameters: {', '.join(sorted(unknown))}")
        limit, after = query.get("limit", "10"), query.get("after", "0")
        if not (limit.isdecimal() and 1 <= int(limit) <= MOST_LISTED and after.isdecimal()):
            raise Refused(f"limit must be a number from 1 to {MOST_LISTED}, and after a cursor of a page")
        every = [] if query.get("archived") == "true" else self.shelf.all(kind)
        wanted, linked = _named(request, "properties"), _named(request, "associations")
        start, end = int(after), int(after) + int(limit)
        results = [self.books.shown(kind, one["id"], None, wanted, linked) for one in every[start:end]]
        more = {"paging": {"next": {"after": str(end), "link": f"?after={end}"}}} if end < len(every) else {}
        return {"results": results, **more}

    def _batch(self, request: Request, good: int, act: Callable[[Any], Mapping[str, Any]]) -> Response:
        """Each input for itself; with an error and without trace ids none at all."""
        inputs = request.object(UNREADABLE).get("inputs", [])
        if not 1 <= len(inputs) <= MOST_INPUTS:
            raise Refused(f"The maximum number of inputs supported in a batch request is {MOST_INPUTS}")
        traces = [one.get("objectWriteTraceId") for one in inputs]
        traced = all(traces) and len(set(traces)) == len(traces)
        results, errors = [], []
        for number, one in enumerate(inputs):
            trace = {"objectWriteTraceId": traces[number]} if traced else {}
            try:
                if request.fault == "refuse_element" and number == 0:
                    raise Refused("Property values were not valid: refused by a validation rule of the account")
                with savepoint(self.db):
                    results.append({**act(one), **trace})
            except Refused as refused:
                if not traced:
                    raise
                errors.append(refused.body({"objectWriteTraceId": [traces[number]]}))
        whole = {"status": "COMPLETE", "results": results, **_times(self.clock())}
        return Response.json(207 if errors else good, whole | _errors(errors))

    def _batch_read(self, kind: str, body: Mapping[str, Any]) -> Response:
        found, missing = [], []
        for one in body.get("inputs", []):
            try:
                shown = self.books.shown(kind, one["id"], body.get("idProperty"), body.get("properties", []), [])
                found.append(shown)
            except Refused as refused:
                if refused.status != 404:
                    raise
                missing.append(one["id"])
        text = f"Could not get some {kind} objects, they may be deleted or not exist."
        errors = [Refused(text, "OBJECT_NOT_FOUND").body({"ids": missing})] if missing else []
        whole = {"status": "COMPLETE", "results": found, **_times(self.clock())}
        return Response.json(207 if errors else 200, whole | _errors(errors))

    def customers(self) -> list[tuple[str, str]]:
        known = [one["properties"] for one in self.shelf.all("contacts")]
        names = [f"{one.get('firstname', '')} {one.get('lastname', '')}".strip() for one in known]
        return [(name, one.get("email", "")) for name, one in zip(names, known, strict=True)]

    def ledger(self) -> list[Entry]:
        return [self._entry(raw) for raw in self.shelf.all("invoices")]

    def _entry(self, raw: Mapping[str, Any]) -> Entry:
        fields, currency = raw["properties"], raw["properties"]["hs_currency"]
        contacts = [self.books.get("contacts", one)["properties"] for one in raw["contacts"]]
        lines = [one["properties"] for one in self.books.lines(raw["id"])]
        return Entry(
            id=raw["id"],
            reference=fields.get("billhook_order_ref", ""),
            key=fields.get("billhook_key", ""),
            customer=contacts[0].get("email", "") if contacts else "",
            lines=tuple(f"{one['name']} × {one['quantity']} @ {one['price']}" for one in lines),
            currency=currency,
            total=str(half_up(exact(fields["hs_amount_billed"]), places(currency))),
            status=STATUSES[fields["hs_invoice_status"]],
        )


def _named(request: Request, field: str) -> list[str]:
    """A list in the query, with commas or as a field that comes again; both are documented."""
    pairs = parse_qsl(urlsplit(request.target).query)
    return [name for key, value in pairs if key == field for name in value.split(",") if name]


def _errors(errors: list[dict[str, Any]]) -> dict[str, Any]:
    return {"numErrors": len(errors), "errors": errors} if errors else {}


def _times(now: float) -> dict[str, str]:
    return {"startedAt": Books.moment(now), "completedAt": Books.moment(now)}
