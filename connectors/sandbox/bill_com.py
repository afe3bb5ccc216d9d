"""BILL, emulated: sessions that end after 35 quiet minutes, limits by the hour and at once, lists with filters.

Paths as in production, below `/connect/v3`. From developer.bill.com: API login, AR customers, AR invoices, Search
operations with lists, Filterable fields, Common API error codes, API rate limits. Where the documents do not say which
status comes with a code, 400 is taken for what a code alone must tell; what is not documented is refused.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, ClassVar
from uuid import uuid4

from connectors.sandbox.base import Emulator, Entry, Request, Response, Rolling
from connectors.sandbox.bill_com_books import ACCOUNTS, Books, Refused, only, problem
from connectors.sandbox.shelf import Doc, Shelf

ORGANIZATION = "008SANDBOXORG000001"
USERNAME = "books@engraver.example"
PASSWORD = "sandbox-password"  # noqa: S105 - opens nothing but this emulator
DEV_KEY = "01SANDBOXDEVELOPERKEY"
SESSION = "sandbox-session-0001"
API = "/connect/v3/"
QUIET = 35 * 60
FILTERS = {
    "customers": {"id", "archived", "name", "accountType", "invoiceCurrency", "createdTime", "updatedTime"},
    "invoices": {"id", "archived", "customerId", "status", "createdTime", "updatedTime", "payToChartOfAccountId"},
}
FILTER = re.compile(r'(\w+):(eq|ne|gt|gte|lt|lte|in|nin|sw):("[^"]*"|[^",:]*)(?:,|$)')


class BillCom(Emulator):
    """One organisation, one user and one developer key; a session is there from the start."""

    slug = "bill_com"
    sample = f"""
username = "{USERNAME}"
password = "{PASSWORD}"
dev_key = "{DEV_KEY}"
[shop.myshop.account.bill_com.settings]
organization = "{ORGANIZATION}"
tax = {{ "20" = "VAT 20 %", "5" = "VAT 5 %", "0" = "VAT 0 %" }}
currencies = ["USD", "GBP", "EUR"]
"""
    concurrent: ClassVar[int | None] = 3

    def setup(self) -> None:
        self.shelf = Shelf(self.db, self.slug)
        self.books = Books(self.shelf, self.clock)
        self.by_hour, self.logins = Rolling(20_000, 3600), Rolling(200, 3600)
        self._seen(SESSION)

    def _seen(self, session: str) -> None:
        self.shelf.put("session", session, {"id": session, "at": self.clock()})

    # -- what the frame asks ---------------------------------------------------------------------------------------

    def creates(self, request: Request) -> bool:
        known = (f"{API}customers", f"{API}invoices")
        return request.method in {"POST", "PATCH", "PUT"} and request.path.startswith(known)

    def tenant(self, request: Request) -> str:
        return request.headers.get("devkey", "login")

    def too_many(self, retry_after: float) -> Response:
        return problem(429, "BDC_1322", "Max number of concurrent requests per organization reached.")

    def failure(self, status: int) -> Response:
        return problem(status, "BDC_1001", "System error occurred.", "SERVER")

    def expire_tokens(self) -> None:
        for found in self.shelf.all("session"):
            self.shelf.drop("session", found["id"])

    def customers(self) -> list[tuple[str, str]]:
        return [(one["name"], one["email"]) for one in self.shelf.all("customer") if not one["archived"]]

    def ledger(self) -> list[Entry]:
        return [self._entry(found) for found in self.shelf.all("invoice")]

    def _entry(self, found: Doc) -> Entry:
        customer, lines = self.books.need("customer", found["customerId"]), found["invoiceLineItems"]
        issued = "paid" if found["status"] == "PAID_IN_FULL" else "issued"
        return Entry(
            id=found["id"],
            reference=found["invoiceNumber"],
            key=lines[-1]["description"],
            customer=customer["name"],
            lines=tuple(f"{line['description']} × {line['quantity']} @ {line['price']}" for line in lines),
            currency=customer["invoiceCurrency"],
            total=f"{found['totalAmount']:.2f}",
            status="void" if found["archived"] else issued,
        )

    # -- the door --------------------------------------------------------------------------------------------------

    def answer(self, request: Request) -> Response:
        parts = request.path.removeprefix(API).split("/")
        body = request.json() if request.body else {}
        if not request.path.startswith(API):
            raise Refused("No such API", "BDC_1121", 404)
        if (request.method, parts) == ("POST", ["login"]):
            return self._login(body)
        self._session(request)
        if self.counted(self.by_hour):
            raise Refused("Max number of allowed requests per hour reached: 20000.", "BDC_1144")
        return Response.json(200, self._route(request, parts, body))

    def unreadable(self, error: Exception) -> Response:
        return problem(400, "BDC_1002", "Unknown error occurred.")

    def _login(self, body: Mapping[str, Any]) -> Response:
        only(body, ["username", "password", "organizationId", "devKey", "rememberMeId", "device"])
        if self.counted(self.logins, self.by_hour):
            raise Refused("Max number of allowed logins per hour reached: 200.", "BDC_1144")
        if body.get("devKey") != DEV_KEY:
            raise Refused("Developer key is invalid.", "BDC_1102")
        if (body.get("username"), body.get("password"), body.get("organizationId")) != (
            USERNAME, PASSWORD, ORGANIZATION,
        ):  # fmt: skip
            raise Refused("Invalid username or password.", "BDC_1101")
        session = uuid4().hex
        self._seen(session)
        return Response.json(200, {"sessionId": session, "organizationId": ORGANIZATION, "userId": "006SANDBOX1"})

    def _session(self, request: Request) -> None:
        found = self.shelf.get("session", request.headers.get("sessionid", ""))
        known = found is not None and self.clock() < float(found["at"]) + QUIET
        if found is None or not known or request.headers.get("devkey") != DEV_KEY:
            raise Refused("Session is invalid.  Please log in.", "BDC_1109", 401)
        self.lasts(lambda: self._seen(found["id"]))

    def _route(self, request: Request, parts: list[str], body: Any) -> Any:
        match request.method, parts:
            case "GET", ["login", "session"]:
                return {"organizationId": ORGANIZATION, "userId": "006SANDBOX1"}
            case "GET", ["organizations", ident] if ident == ORGANIZATION:
                return {"id": ORGANIZATION, "name": "Engraver Inc"}
            case "GET", ["classifications", "chart-of-accounts"]:
                return {"results": ACCOUNTS}
            case "GET", ["customers" | "invoices" as kind]:
                return self._list(kind, request.query)
            case "GET", ["customers" | "invoices" as kind, ident]:
                return self.books.need(kind.removesuffix("s"), ident)
            case "POST", ["customers"]:
                return self.books.add_customer(body)
            case "POST", ["invoices"]:
                return self.books.add_invoice(body)
            case "POST", ["invoices", ident, "archive" | "restore" as what]:
                return self.books.archive(ident, what == "archive")
            case "POST", ["invoices", ident, "payment-link"]:
                only(body, ["customerId", "email", "returnUrl"])
                if body.get("customerId") != self.books.need("invoice", ident)["customerId"] or not body.get("email"):
                    raise Refused("customerId and email must be those of the invoice's customer")
                return {"paymentLink": f"https://app.bill.example/pay/{ident}"}
        raise Refused("No such API", "BDC_1121", 404)

    def _list(self, kind: str, query: Mapping[str, str]) -> Any:
        size, start = int(query.get("max", "20")), int(query.get("page", "0"))
        if not 1 <= size <= 100 or set(query) - {"max", "page", "filters", "sort"}:
            raise Refused("max: must be between 1 and 100", "BDC_1002")
        tests = _tests(kind, query.get("filters", ""))
        found = [one for one in self.shelf.all(kind.removesuffix("s")) if all(_passes(one, *test) for test in tests)]
        more = {"nextPage": str(start + size)} if len(found) > start + size else {}
        return {"results": found[start : start + size], **more}


def _tests(kind: str, filters: str) -> list[tuple[str, str, str]]:
    """The conditions of `filters`, all of which must hold; a value with reserved characters stands in quotes."""
    found = [match.groups() for match in FILTER.finditer(filters)]
    if "".join(match.group() for match in FILTER.finditer(filters)) != filters:
        raise Refused("filters: cannot be read", "BDC_1002")
    if unknown := {name for name, _, _ in found} - FILTERS[kind]:
        raise Refused(f"filters: {sorted(unknown)} cannot be filtered", "BDC_1002")
    return [(name, how, value.strip('"')) for name, how, value in found]


def _passes(doc: Mapping[str, Any], name: str, how: str, value: str) -> bool:
    has = str(doc.get(name, "")).lower() if isinstance(doc.get(name), bool) else str(doc.get(name, ""))
    several = value.split(",")
    results = {
        "eq": has == value, "ne": has != value, "gt": has > value, "gte": has >= value, "lt": has < value,
        "lte": has <= value, "in": has in several, "nin": has not in several, "sw": has.startswith(value),
    }  # fmt: skip
    return results[how]
