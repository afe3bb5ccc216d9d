"""Invoiced, emulated: customers, invoices and credit notes with metadata, drafts, tax rules, payments that apply them,
mails, voiding, idempotency keys.

Written from github.com/Invoiced/api (the vendor's reference and its sample objects). The business has a tax rule of its
own, 20 % in Great Britain, which falls on every invoice that does not say `calculate_taxes: false`. The vendor
publishes neither quotas nor the life of a key: here four calls a second and one minute, so that clients must cope.
What an unknown field is answered with is not documented either; here it is refused.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any
from urllib.parse import urlencode

from connectors.sandbox.base import Emulator, Entry, Request, Response, Rolling
from connectors.sandbox.invoiced_books import Books, Refused
from connectors.sandbox.pages import paged
from connectors.sandbox.replays import Replays
from connectors.sandbox.shelf import Doc, Shelf
from connectors.sandbox.sums import exact, half_up, places

API_KEY = "sandbox-invoiced-key-4711"
PORTAL = "https://analyticalengines.invoiced.com"
KEY_LIVES = 60.0
FILTERS = {
    "customers": {"number", "email", "name"},
    "invoices": {"number", "customer", "status", "currency"},
    "credit_notes": {"number", "customer", "status", "currency"},
}

TIMES: dict[str, Callable[[int, int], bool]] = {"start_date": operator.ge, "end_date": operator.le}
"""Restrict a list to documents on or after, on or before a timestamp."""


class Invoiced(Emulator):
    slug = "invoiced"
    keyed = True
    concurrent = 4
    sample = f'api_key = "{API_KEY}"\n'
    calls = 4
    """A second; ours, as none is published."""

    def setup(self) -> None:
        self.shelf = Shelf(self.db, self.slug)
        self.books = Books(self.shelf, self.clock, PORTAL)
        self.replays = Replays(self, KEY_LIVES)
        self.quota = Rolling(self.calls, 1.0)

    def creates(self, request: Request) -> bool:
        return request.method in {"POST", "PATCH"} and not request.path.endswith("/emails")

    def too_many(self, retry_after: float) -> Response:
        return Refused("You're moving too fast! Slow down!", status=429).response

    def failure(self, status: int) -> Response:
        return Refused("There was a problem on our end.", status=status, kind="api").response

    def answer(self, request: Request) -> Response:
        if request.basic != f"{API_KEY}:":  # the key is the name, the password is empty
            raise Refused("We could not authenticate you with the API key given.", status=401)
        if wait := self.counted(self.quota):
            return self.too_many(wait)
        key = request.headers.get("idempotency-key") if request.method in {"POST", "PATCH"} else None
        other = Refused("This idempotency key was already used for another request.")
        act = partial(self.carried_out, request, lambda: self._routed(request))
        return self.replays.once(key, request, act, lambda: other.response)

    def _routed(self, request: Request) -> Response:
        body = _body(request)
        match request.method, request.path.strip("/").split("/"):
            case "GET", [("customers" | "invoices" | "credit_notes") as what]:
                return self._list(what, request)
            case "POST", [("customers" | "invoices" | "credit_notes" | "payments") as what]:
                return Response.json(201, self._adding()[what](body))
            case "GET", [("customers" | "invoices" | "credit_notes" | "payments") as what, ident]:
                found = self.books.get(what, ident)
                if request.headers.get("accept") == "application/pdf":
                    return Response.pdf(found["number"])
                return Response.json(200, found)
            case "PATCH", [("invoices" | "credit_notes") as what, ident]:
                return Response.json(200, self.books.change(what, ident, body))
            case "POST", [("invoices" | "credit_notes") as what, ident, "void"]:
                return Response.json(200, self.books.void(what, ident))
            case "POST", ["invoices", ident, "emails"]:
                return Response.json(201, self.books.mail(ident, body))
            case "DELETE", [("invoices" | "credit_notes") as what, ident]:
                self.books.get(what, ident)
                self.shelf.drop(what, ident)
                return Response(204)
        raise Refused("The requested resource could not be found.", status=404)

    def _adding(self) -> dict[str, Callable[[Mapping[str, Any]], Doc]]:
        books = self.books
        return {
            "customers": books.add_customer,
            "invoices": books.add_invoice,
            "credit_notes": books.add_credit_note,
            "payments": books.add_payment,
        }

    def _list(self, what: str, request: Request) -> Response:
        query = request.query
        fields = ("page", "per_page")
        asked: dict[str, str] = {name: query.pop(name) for name in fields if name in query}
        fitting = [row for row in self.shelf.all(what) if _fits(row, what, query)]
        page = paged(fitting, asked, fields, 25, 100, Refused("Invalid page", "page"), caps=True)
        if page.number > page.last:
            raise Refused("The preceding pages have not been fetched yet.", "page")

        def link(number: int, rel: str) -> str:
            address = f"{PORTAL.replace('analyticalengines', 'api')}/{what}"
            return f'<{address}?{urlencode({**query, "page": number, "per_page": page.size})}>; rel="{rel}"'

        links = [link(page.number, "self"), link(1, "first"), link(page.last, "last")]
        links += [link(page.number + 1, "next")] if page.more else []
        return Response.json(200, page.rows, {"Link": ", ".join(links), "X-Total-Count": str(page.total)})

    def mails(self) -> list[tuple[str, str]]:
        """The number of each invoice mailed, and to whom."""
        return [(mail["invoice"], mail["email"]) for mail in self.shelf.all("emails")]

    def customers(self) -> list[tuple[str, str]]:
        return [(one["name"], one["email"] or "") for one in self.shelf.all("customers")]

    def ledger(self) -> list[Entry]:
        return [self._entry(invoice) for invoice in self.shelf.all("invoices")]

    def credits(self) -> list[Entry]:
        return [self._entry(note) for note in self.shelf.all("credit_notes")]

    def _entry(self, invoice: Doc) -> Entry:
        customer = self.books.get("customers", str(invoice["customer"]))
        status = "void" if invoice["status"] == "voided" else "draft" if invoice["draft"] else "issued"
        return Entry(
            id=str(invoice["id"]),
            reference=invoice["metadata"].get("billhook_order", ""),
            key=invoice["metadata"].get("billhook_key", ""),
            customer=customer["name"],
            lines=tuple(f"{item['name']} × {item['quantity']} @ {item['unit_cost']}" for item in invoice["items"]),
            currency=invoice["currency"].upper(),
            total=str(half_up(exact(invoice["total"]), places(invoice["currency"]))),
            status="paid" if invoice["paid"] else status,
        )


def _body(request: Request) -> Any:
    if request.method not in {"POST", "PATCH"} or not request.body:
        return {}
    try:
        body = request.json()
    except ValueError:
        raise Refused("The request body is not valid JSON.") from None
    if not isinstance(body, dict):
        if body == []:  # an empty PHP-style object
            return {}
        raise Refused("The request body must be an object.")
    return body


def _fits(row: Mapping[str, Any], what: str, query: Mapping[str, str]) -> bool:
    """Whether `filter[field]` and `metadata[name]` match, exactly, and the date is in time."""
    for name, value in query.items():
        if name in TIMES and what != "customers":
            if not value.isdecimal():
                raise Refused(f"{name} is not a timestamp", name)
            if not TIMES[name](row["date"], int(value)):
                return False
            continue
        found = re.fullmatch(r"(filter|metadata)\[([\w-]+)\]", name)
        if found is None or (found[1] == "filter" and found[2] not in FILTERS[what]):
            raise Refused(f"Invalid query parameter: {name}", name)
        has = row[found[2]] if found[1] == "filter" else row["metadata"].get(found[2])
        if str(has) != value:
            return False
    return True
