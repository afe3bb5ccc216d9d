"""Zoho Books, emulated: one organisation in one data centre, its accounts server beside it.

Paths as in production, both hosts on one: `/oauth/v2/…` (accounts.zoho.eu) and `/books/v3/…` (www.zohoapis.eu). From
zoho.com/books/api/v3 (errors, limits: 100 calls a minute, 5,000 a day on the Professional plan), zoho.com/accounts
(ten access tokens of one refresh token in ten minutes; errors of the token endpoint come with a 200, "too often" with a
400, in published answers) and recorded answers of June 2026 (headers, bodies, that list rows lack lines and notes).
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any, ClassVar

from connectors.sandbox.base import Entry, Request, Response, Rolling
from connectors.sandbox.desk import App, State
from connectors.sandbox.gate import Gated
from connectors.sandbox.pages import paged
from connectors.sandbox.shelf import Doc
from connectors.sandbox.sums import places
from connectors.sandbox.zoho_books_books import (
    BASE_CURRENCY,
    CURRENCIES,
    ITEMS,
    NAME,
    ORGANIZATION,
    TAXES,
    TEMPLATE,
    Books,
    Refused,
    bad,
)
from connectors.sandbox.zoho_books_credits import CreditNotes

CLIENT_ID = "1000.SANDBOXCLIENTID0000000000000000"
CLIENT_SECRET = "sandbox-zoho-client-secret"  # noqa: S105 - opens nothing but this emulator
REFRESH_TOKEN = "1000.sandbox-zoho-refresh-token"  # noqa: S105
ACCESS_TOKEN = "1000.sandbox-zoho-access-token"  # noqa: S105
API = "/books/v3/"
UNREADABLE = partial(Refused, 400, 9, "JSON is not well formed")
OTHER = {code: ident for code, ident in CURRENCIES.items() if code != BASE_CURRENCY}
PARAMETERS = {
    "invoice": {"invoice_number", "reference_number", "customer_id", "date", "date_start", "date_end", "status"},
    "creditnote": {"creditnote_number", "reference_number", "customer_id", "date", "date_start", "date_end", "status"},
}
"""Of a list, those that are emulated (`invoices.yml`, `credit-notes.yml`)."""
STATIC: dict[str, tuple[str, list[Doc]]] = {
    "settings/taxes": (
        "taxes",
        [{"tax_id": ident, "tax_name": f"VAT {rate}%", "tax_percentage": rate} for ident, rate in TAXES.items()],
    ),
    "settings/currencies": (
        "currencies",
        [
            {
                "currency_id": ident,
                "currency_code": code,
                "currency_name": code,
                "price_precision": places(code),
                "is_base_currency": code == BASE_CURRENCY,
            }
            for code, ident in CURRENCIES.items()
        ],
    ),
    "items": (
        "items",
        [{"item_id": ident, "name": name, "sku": sku, "status": "active"} for ident, (name, sku) in ITEMS.items()],
    ),
    "invoices/templates": ("templates", [{"template_id": TEMPLATE, "template_name": "Standard Template"}]),
    "organizations": (
        "organizations",
        [{"organization_id": ORGANIZATION, "name": NAME, "currency_code": BASE_CURRENCY}],
    ),
}


class ZohoBooks(Gated):
    """`minute`, `day` and `tokens` are its limits; `books.tax_rounding` a preference of the organisation."""

    slug = "zoho_books"
    app = App(CLIENT_ID, CLIENT_SECRET, ACCESS_TOKEN, REFRESH_TOKEN, 3600, client="body")
    consent_at, grant_at = "/oauth/v2/auth", "/oauth/v2/token"
    sample = f"""
client_id = "{CLIENT_ID}"
client_secret = "{CLIENT_SECRET}"
refresh_token = "{REFRESH_TOKEN}"
[shop.myshop.account.zoho_books.settings]
organization_id = "{ORGANIZATION}"
data_centre = "eu"
base_currency = "{BASE_CURRENCY}"
currencies = {{ {", ".join(f'"{code}" = "{ident}"' for code, ident in OTHER.items())} }}
item = "{next(iter(ITEMS))}"
tax = {{ {", ".join(f'"{rate}" = "{ident}"' for ident, rate in TAXES.items())} }}
tax_rounding = "item_level"
"""
    concurrent: ClassVar[int | None] = 5

    def __init__(self, database: sqlite3.Connection, clock: Callable[[], float]) -> None:
        self.minute, self.day, self.tokens = Rolling(100, 60), Rolling(5000, 86_400), Rolling(10, 600)
        super().__init__(database, clock)

    def setup(self) -> None:
        super().setup()
        self.books = Books(self.shelf, self.mail)
        self.notes = CreditNotes(self.books)

    def creates(self, request: Request) -> bool:
        written = tuple(API + name for name in ("invoices", "creditnotes", "contacts"))
        return request.method == "POST" and request.path.startswith(written)

    def tenant(self, request: Request) -> str:
        return request.query.get("organization_id", "accounts")

    def too_many(self, retry_after: float) -> Response:
        text = "You have exceeded the maximum number of requests per minute that can be raised from one account."
        return Response.json(429, {"code": 44, "message": text}, self.stamp())

    def failure(self, status: int) -> Response:
        return Response.json(status, {"code": 1000, "message": "Internal error"})

    def customers(self) -> list[tuple[str, str]]:
        living = self.books.shelf.all("contact", contact_type="customer", status="active")
        return [(doc["contact_name"], doc["email"]) for doc in living]

    def ledger(self) -> list[Entry]:
        return [self.books.entry(doc) for doc in self.books.shelf.all("invoice")]

    def credits(self) -> list[Entry]:
        return [self.books.entry(doc, "creditnote") for doc in self.shelf.all("creditnote")]

    # -- the door --------------------------------------------------------------------------------------------------

    def state(self, request: Request) -> State:
        return self.desk.state(request.headers.get("authorization", "").removeprefix("Zoho-oauthtoken "))

    def unauthorized(self, state: State) -> Response:
        return Response.json(401, {"code": 57, "message": "You are not authorized to perform this operation"})

    def over(self, request: Request) -> Response | None:
        wait = self.counted(self.minute, self.day)
        if wait <= 60:
            return self.too_many(wait) if wait else None
        text = "The API call for this organization has exceeded the maximum call rate limit of the day."
        return Response.json(429, {"code": 45, "message": text}, self.stamp())

    def stamp(self) -> dict[str, str]:
        """What is left of the day's calls, as live answers say it."""
        reset = self.day.wait(self.clock()) or 86_400
        left = {"limit": self.day.calls, "remaining": max(0, self.day.remaining), "reset": int(reset)}
        return {f"x-rate-limit-{name}": str(value) for name, value in left.items()}

    def token(self, request: Request) -> Response:
        """A refresh token comes with the consent only, and stays. Errors are a 200."""
        if self.counted(self.tokens):
            text = "You have made too many requests continuously. Please try again after some time."
            return Response.json(400, {"error_description": text, "error": "Access Denied", "status": "failure"})
        given = self.desk.token(request, api_domain="https://www.zohoapis.eu")
        body = json.loads(given.body)
        if given.status != 200:
            return Response.json(200, {"error": {"invalid_grant": "invalid_code"}.get(body["error"], body["error"])})
        if dict(request.form()).get("grant_type") == "refresh_token":
            del body["refresh_token"]
        return Response.json(200, body)

    # -- routes ----------------------------------------------------------------------------------------------------

    def route(self, request: Request) -> Response:
        if request.query.get("organization_id") != ORGANIZATION and request.path != API + "organizations":
            raise bad("organization_id")
        path = request.path.removeprefix(API).strip("/")
        if request.method == "GET" and path in STATIC:
            return self._page(*STATIC[path], request.query)
        match request.method, path.split("/"):
            case "GET", ["contacts"]:
                return self._page("contacts", self._contacts(request.query), request.query)
            case "POST", ["contacts"]:
                made = self.books.add_contact(request.object(UNREADABLE))
                return self._done("The contact has been added.", 201, contact=made)
            case "GET", ["contacts", ident]:
                return self._done("success", contact=self.books.one("contact", ident))
            case "GET", ["invoices" | "creditnotes" as name]:
                return self._page(name, self._listed(name.removesuffix("s"), request.query), request.query)
            case "POST", ["invoices"]:
                dated = {"date": f"{datetime.fromtimestamp(self.clock(), UTC):%Y-%m-%d}", **request.object(UNREADABLE)}
                made = self.books.add_invoice(dated, _own_number(request))
                return self._done("The invoice has been created.", 201, invoice=made)
            case "POST", ["creditnotes"]:
                made = self.notes.add(request.object(UNREADABLE), _own_number(request))
                return self._done("The credit note has been created.", 201, creditnote=made)
            case method, ["invoices", ident, *rest]:
                return self._invoice(method, self.books.one("invoice", ident), rest, request)
            case method, ["creditnotes", ident, *rest]:
                return self._note(method, self.notes.one(ident), rest, request)
        raise Refused(404, 5, "Invalid URL Passed")

    def _invoice(self, method: str, doc: Doc, rest: list[str], request: Request) -> Response:
        match method, rest:
            case "GET", []:
                pdf = request.query.get("accept") == "pdf"
                return Response.pdf(doc["invoice_number"]) if pdf else self._done("success", invoice=doc)
            case "POST", ["status", ("sent" | "void") as status]:
                return self._done(self.books.turn(doc, status))
            case "POST", ["email"]:
                return self._done(self.books.mail(doc))
            case "DELETE", [] if doc["status"] == "draft":
                self.books.shelf.drop("invoice", doc["invoice_id"])
                return self._done("The invoice has been deleted.")
        raise Refused(405, 5, "Invalid URL Passed")

    def _note(self, method: str, doc: Doc, rest: list[str], request: Request) -> Response:
        match method, rest:
            case "GET", []:
                return self._done("success", creditnote=doc)
            case "POST", ["status", ("open" | "void") as status]:
                return self._done(self.notes.turn(doc, status))
            case "POST", ["invoices"]:
                return self._done(self.notes.apply(doc, request.object(UNREADABLE)))
        raise Refused(405, 5, "Invalid URL Passed")

    def _contacts(self, query: Mapping[str, str]) -> Iterable[Doc]:
        """Texts are compared without regard to case; a row has no notes, addresses or persons."""
        start, asked = query.get("contact_name_startswith", "").casefold(), ("contact_name", "email", "contact_type")
        for doc in self.books.shelf.all("contact"):
            alike = all(doc[name].casefold() == query[name].casefold() for name in asked if name in query)
            if alike and doc["contact_name"].casefold().startswith(start):
                hidden = {"notes", "billing_address", "shipping_address", "contact_persons"}
                yield {name: value for name, value in doc.items() if name not in hidden}

    def _listed(self, kind: str, query: Mapping[str, str]) -> Iterable[Doc]:
        """Those that have all of what is asked for; a row has neither notes nor lines."""
        if unknown := set(query) - PARAMETERS[kind] - {"organization_id", "page", "per_page"}:
            raise bad(unknown.pop())
        asked = [name for name in query if name in PARAMETERS[kind] and name not in {"date_start", "date_end"}]
        for doc in self.shelf.all(kind):
            alike = all(doc[name].casefold() == query[name].casefold() for name in asked)
            if alike and query.get("date_start", "") <= doc["date"] <= query.get("date_end", "9999"):
                yield {name: value for name, value in doc.items() if name not in {"notes", "line_items", "tax_total"}}

    def _page(self, name: str, rows: Iterable[Doc], query: Mapping[str, str]) -> Response:
        page = paged(rows, query, ("page", "per_page"), 200, 200, bad("per_page"))
        context = {"page": page.number, "per_page": page.size, "has_more_page": page.more}
        body: Doc = {name: page.rows, "page_context": context}
        return self._done("success", **body)

    def _done(self, message: str, status: int = 200, **more: Any) -> Response:
        return Response.json(status, {"code": 0, "message": message, **more})


def _own_number(request: Request) -> bool:
    return request.query.get("ignore_auto_number_generation") == "true"
