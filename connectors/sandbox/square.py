"""Square, emulated: customers, orders, invoices, OAuth. Written from Square's API description and documentation.

A seller has one country and one currency at Square; this one has a location for each currency of the demo. Not
published, and so chosen here: a key is forgotten after ten minutes; no rate limit but the faults', and "too many" says
nothing of when to come back; the number of a deleted draft is free again; an order has one invoice at most.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from typing import Any, ClassVar
from urllib.parse import unquote, urlencode
from uuid import uuid4

from connectors.sandbox import square_books as books
from connectors.sandbox.base import Entry, Request, Response
from connectors.sandbox.desk import App, State
from connectors.sandbox.gate import Gated
from connectors.sandbox.replays import Replays
from connectors.sandbox.shelf import Doc
from connectors.sandbox.square_books import Refused, checked
from connectors.sandbox.sums import places

CLIENT_ID = "sandbox-sq0idb-billhook"
CLIENT_SECRET = "sandbox-sq0csb-billhook-secret"  # noqa: S105 - opens nothing but this emulator
ACCESS_TOKEN = "EAAA-sandbox-access-token"  # noqa: S105
REFRESH_TOKEN = "EQAA-sandbox-refresh-token"  # noqa: S105
DAY = 86_400
LOCATIONS = {
    name: {
        **{"id": name, "name": f"Engraver {country}", "business_name": "Tag & Plaque Ltd", "country": country},
        **{"currency": currency, "status": "ACTIVE", "timezone": zone, "merchant_id": "MSANDBOX"},
    }
    for name, country, currency, zone in (
        ("LGB1", "GB", "GBP", "Europe/London"),
        ("LIE1", "IE", "EUR", "Europe/Dublin"),
        ("LUS1", "US", "USD", "America/New_York"),
        ("LJP1", "JP", "JPY", "Asia/Tokyo"),
    )
}
STATUSES = {"DRAFT": "draft", "UNPAID": "issued", "PARTIALLY_PAID": "issued", "PAID": "paid", "CANCELED": "void"}


class Square(Gated):
    """One seller and one app."""

    slug = "square"
    keyed = True
    app = App(
        CLIENT_ID, CLIENT_SECRET, ACCESS_TOKEN, REFRESH_TOKEN, access_lives=30 * DAY, refresh_lives=36_500 * DAY,
        client="body",
    )  # fmt: skip
    consent_at, grant_at = "/oauth2/authorize", "/oauth2/token"
    sample: ClassVar[str] = f"""
client_id = "{CLIENT_ID}"
client_secret = "{CLIENT_SECRET}"
refresh_token = "{REFRESH_TOKEN}"
[shop.myshop.account.square.settings]
locations = {{ GBP = "LGB1", EUR = "LIE1", USD = "LUS1" }}
"""

    def setup(self) -> None:
        super().setup()
        kept: Callable[[Response], bool] = lambda answer: answer.status == 200 or answer.status >= 500  # noqa: E731
        self.replays = Replays(self, 600, kept)

    # -- what the frame asks ---------------------------------------------------------------------------------------

    def creates(self, request: Request) -> bool:
        reads = request.path.endswith(("/search", "/calculate")) or request.path.startswith("/oauth2")
        return request.method in {"POST", "PUT"} and not reads

    def too_many(self, retry_after: float) -> Response:
        return Refused("RATE_LIMITED", "Too many requests.", "", 429, "RATE_LIMIT_ERROR").response

    def failure(self, status: int) -> Response:
        return Refused("INTERNAL_SERVER_ERROR", "An internal error has occurred.", "", status, "API_ERROR").response

    def customers(self) -> list[tuple[str, str]]:
        return [(_name(one), one.get("email_address", "")) for one in self.shelf.all("customer")]

    def ledger(self) -> list[Entry]:
        return [self._entry(invoice) for invoice in self.shelf.all("invoice")]

    def _entry(self, invoice: Doc) -> Entry:
        order = self.shelf.get("order", invoice["order_id"]) or {}
        customer = self.shelf.get("customer", invoice["primary_recipient"]["customer_id"]) or {}
        total = order["total_money"]
        digits = places(total["currency"])
        return Entry(
            id=invoice["id"],
            reference=invoice["invoice_number"],
            key=invoice.get("description", ""),
            customer=_name(customer) or customer.get("email_address", ""),
            lines=tuple(_line(line, digits) for line in order["line_items"]),
            currency=total["currency"],
            total=str(Decimal(total["amount"]).scaleb(-digits)),
            status=STATUSES[invoice["status"]],
        )

    def pay(self, invoice: str, amount: int) -> None:
        """A customer pays so much (minor units) of an invoice, on Square's page: the API has no call for that."""
        one = self._one("invoice", invoice)
        whole = self._one("order", one["order_id"])["total_money"]["amount"]
        self.shelf.put("payment", invoice, {"amount": amount})
        status = "PAID" if amount == whole else "PARTIALLY_PAID"
        self._put("invoice", {**one, "status": status, "version": one["version"] + 1})

    # -- the door --------------------------------------------------------------------------------------------------

    def unauthorized(self, state: State) -> Response:
        code = "ACCESS_TOKEN_EXPIRED" if state == "expired" else "UNAUTHORIZED"
        return _stranger(code, "This request could not be authorized.").response

    def token(self, request: Request) -> Response:
        """ObtainToken takes JSON and says when the token expires as a time."""
        form = urlencode(self._body(request)).encode()
        answer = self.desk.token(Request(request.method, request.target, request.headers, form))
        given = json.loads(answer.body)
        if answer.status != 200:
            raise _stranger("UNAUTHORIZED", str(given["error"]))
        until = _time(self.clock() + given.pop("expires_in"))
        return Response.json(200, {**given, "expires_at": until, "merchant_id": "MSANDBOX", "short_lived": False})

    def _body(self, request: Request) -> Doc:
        try:
            body = request.json() if request.body else {}
        except ValueError:
            raise Refused("EXPECTED_JSON_BODY", "Expected a JSON body.") from None
        if not isinstance(body, dict):
            raise Refused("EXPECTED_OBJECT", "Expected an object.")
        return body

    def route(self, request: Request) -> Response:
        """The first successful answer under a key is given again; another body under it is refused."""
        if not re.fullmatch(r"\d{4}-\d\d-\d\d", request.headers.get("square-version", "2026-08-19")):
            raise Refused("INVALID_SQUARE_VERSION_FORMAT", "The version is a date.")
        body = self._body(request)
        key = body.pop("idempotency_key", None) or None
        order = request.path == "/v2/orders"
        most = 192 if order else 128
        if key is not None and (not isinstance(key, str) or len(key) > most):
            raise Refused("VALUE_TOO_LONG", f"Field must not be greater than {most} in length", "idempotency_key")
        if key is not None and request.path.endswith("/cancel"):
            raise Refused("BAD_REQUEST", "Invalid field: idempotency_key", "idempotency_key")

        def conflict() -> Response:
            if order:
                return Refused("BAD_REQUEST", "Order with this idempotency key already exists.").response
            return Refused("IDEMPOTENCY_KEY_REUSED", "Different request parameters.", "idempotency_key").response

        act = partial(self.carried_out, request, lambda: Response.json(200, self._route(request, body)))
        return self.replays.once(key, request, act, conflict)

    # -- routes ----------------------------------------------------------------------------------------------------

    def _route(self, request: Request, body: Doc) -> Mapping[str, Any]:
        match request.method, [unquote(part) for part in request.path.strip("/").split("/")]:
            case "GET", ["v2", "locations"]:
                return {"locations": list(LOCATIONS.values())}
            case "GET", ["v2", "locations", found] if found in LOCATIONS:
                return {"location": LOCATIONS[found]}
            case "POST", ["v2", "customers"]:
                return {"customer": self._new_customer(checked(body, books.CUSTOMER))}
            case "POST", ["v2", "customers", "search"]:
                return self._customers(body)
            case "POST", ["v2", "orders"]:
                return {"order": self._new_order(body)}
            case "POST", ["v2", "orders", "calculate"]:
                return {"order": self._computed(body)}
            case "POST", ["v2", "orders", "search"]:
                return self._orders(body)
            case "POST", ["v2", "invoices"]:
                return {"invoice": self._shown(self._new_invoice(body))}
            case "POST", ["v2", "invoices", "search"]:
                return self._invoices(body)
            case "POST", ["v2", "invoices", found, ("publish" | "cancel") as action]:
                return {"invoice": self._shown(self._moved(self._one("invoice", found), action, body))}
            case "DELETE", ["v2", "invoices", found]:
                return self._deleted(self._one("invoice", found), request.query)
            case "GET", ["v2", ("invoices" | "orders" | "customers") as kind, found]:
                one = self._one(kind[:-1], found)
                return {kind[:-1]: self._shown(one) if kind == "invoices" else one}
        raise Refused("NOT_FOUND", f"API endpoint for URL path `{request.path}` is not found.", "", 404)

    def _one(self, kind: str, found: str) -> Doc:
        missing = Refused("NOT_FOUND", f"{kind.capitalize()} with ID {found} not found.", "", 404)
        return self.shelf.need(kind, found, missing)

    def _put(self, kind: str, one: Mapping[str, Any]) -> Doc:
        now = _time(self.clock())
        return self.shelf.put(kind, one["id"], {"created_at": now, **one, "updated_at": now})

    def _new_customer(self, given: Doc) -> Doc:
        if not any(given.get(name) for name in books.PUBLIC):
            raise Refused("BAD_REQUEST", "A name, a company, an e-mail address or a phone number is required.")
        if not re.fullmatch(r"[^@\s]+@[^@\s]+", given.get("email_address", "a@b")):
            raise Refused(
                "INVALID_EMAIL_ADDRESS", "Expected email_address to be a valid email address", "email_address"
            )
        if not re.fullmatch(r"\+?(\d[ -]?){9,16}", given.get("phone_number", "123456789")):
            raise Refused("INVALID_PHONE_NUMBER", "Expected phone_number to be a valid phone number", "phone_number")
        return self._put("customer", {**given, "id": uuid4().hex[:26].upper(), "version": 0})

    def _customers(self, body: Doc) -> Mapping[str, Any]:
        found = self.shelf.all("customer")
        for field, asked in body.get("query", {}).get("filter", {}).items():
            if field not in {"email_address", "reference_id"} or "exact" not in asked:
                raise Refused("INVALID_VALUE", f"Unknown filter {field}.", "query.filter")
            found = [one for one in found if one.get(field, "").casefold() == asked["exact"].casefold()]
        return _page(found, "customers", body, 100)

    def _computed(self, body: Doc) -> Doc:
        order = checked(body, {"order": books.ORDER}).get("order", {})
        if order.get("location_id") not in LOCATIONS:
            raise Refused("INVALID_LOCATION", "Location not found.", "order.location_id")
        return books.added_up(order, LOCATIONS[order["location_id"]]["currency"])

    def _new_order(self, body: Doc) -> Doc:
        order = self._computed(body)
        return self._put("order", {**order, "id": uuid4().hex, "state": "OPEN", "version": 1})

    def _orders(self, body: Doc) -> Mapping[str, Any]:
        where = body.get("location_ids") or []
        if not 1 <= len(where) <= 10:
            raise Refused("BAD_REQUEST", "1 to 10 locations are required.", "location_ids")
        only = body.get("query", {}).get("filter", {})
        customers = only.get("customer_filter", {}).get("customer_ids")
        states = only.get("state_filter", {}).get("states")
        found = [
            one
            for one in self.shelf.all("order")
            if one["location_id"] in where
            and (customers is None or one.get("customer_id") in customers)
            and (states is None or one["state"] in states)
        ]
        return _page(found[::-1], "orders", body, 1000)

    def _new_invoice(self, body: Doc) -> Doc:
        given = checked(body, {"invoice": books.INVOICE}).get("invoice", {})
        order = self.shelf.get("order", given.get("order_id", ""))
        here = self.shelf.all("invoice", location_id=given.get("location_id", ""))
        number = given.get("invoice_number") or f"{len(here) + 1:07}"
        billed = any(one["order_id"] == given.get("order_id") for one in here)
        books.invoiceable(given, order, billed, any(one["invoice_number"] == number for one in here))
        recipient = given.get("primary_recipient", {}).get("customer_id")
        if recipient is not None:
            self._one("customer", recipient)
        own = {"id": f"inv:0-{uuid4().hex}", "status": "DRAFT", "version": 0, "invoice_number": number}
        return self._put("invoice", {**given, **own})

    def _shown(self, invoice: Doc) -> Doc:
        """With the recipient and the sums as they are now."""
        order = self.shelf.get("order", invoice["order_id"]) or {}
        recipient = invoice.get("primary_recipient", {})
        who = self.shelf.get("customer", recipient.get("customer_id", "")) or {}
        copied = {
            name: who[name] for name in ("given_name", "family_name", "company_name", "email_address") if name in who
        }
        paid = {**self._paid(invoice), "currency": order["total_money"]["currency"]}
        sums = {"computed_amount_money": order["total_money"], "total_completed_amount_money": paid}
        asked = [{"uid": f"pr{at}", **one, **sums} for at, one in enumerate(invoice["payment_requests"])]
        zone = LOCATIONS[invoice["location_id"]]["timezone"]
        return {**invoice, "primary_recipient": {**recipient, **copied}, "payment_requests": asked, "timezone": zone}

    def _paid(self, invoice: Doc) -> Doc:
        return self.shelf.get("payment", invoice["id"]) or {"amount": 0}

    def _invoices(self, body: Doc) -> Mapping[str, Any]:
        checked(body, books.INVOICE_SEARCH)
        only = body.get("query", {}).get("filter", {})
        customers = only.get("customer_ids") or []
        if len(only.get("location_ids") or []) != 1 or len(customers) > 1:
            raise Refused("BAD_REQUEST", "Exactly one location, and at most one customer.", "query.filter")
        if body.get("query", {}).get("sort", {"field": "INVOICE_SORT_DATE"}).get("field") != "INVOICE_SORT_DATE":
            raise Refused("INVALID_SORT_ORDER", "Unknown field.", "query.sort.field")
        here = self.shelf.all("invoice", location_id=only["location_ids"][0])
        found = [one for one in here if not customers or one["primary_recipient"]["customer_id"] == customers[0]]
        return _page([self._shown(one) for one in found[::-1]], "invoices", body, 200)

    def _moved(self, invoice: Doc, action: str, body: Doc) -> Doc:
        checked(body, {"version": int})
        if body.get("version") != invoice["version"]:
            detail = f"The version is {invoice['version']}, not {body.get('version')}."
            raise Refused("CONFLICT", detail, "version", 409)
        if action == "cancel":
            return self._cancelled(invoice)
        recipient = invoice.get("primary_recipient", {}).get("customer_id")
        to = (self.shelf.get("customer", recipient or "") or {}).get("email_address")
        if invoice["status"] != "DRAFT" or not recipient:
            raise Refused("BAD_REQUEST", f"An invoice that is {invoice['status']} cannot be published.")
        if invoice["delivery_method"] == "EMAIL":
            if not to:
                raise Refused("BAD_REQUEST", "The recipient has no e-mail address.", "invoice.primary_recipient")
            self.mail(invoice["id"], to)
        link = f"https://squareup.com/pay-invoice/{invoice['id']}"
        issued = {"status": "UNPAID", "version": invoice["version"] + 1, "public_url": link}
        return self._put("invoice", {**invoice, **issued})

    def _cancelled(self, invoice: Doc) -> Doc:
        """Of a partly paid invoice the order becomes one of what was paid, which is not given back."""
        order = self._one("order", invoice["order_id"])
        if invoice["status"] not in {"SCHEDULED", "UNPAID", "PARTIALLY_PAID"}:
            raise Refused("BAD_REQUEST", f"An invoice that is {invoice['status']} cannot be canceled.")
        if invoice["status"] == "PARTIALLY_PAID":
            paid = {**order["total_money"], **self._paid(invoice)}
            line = {"item_type": "CUSTOM_AMOUNT", "name": "", "quantity": "1", "base_price_money": paid}
            self._put("order", {**order, "state": "COMPLETED", "line_items": [line], "total_money": paid})
        else:
            self._put("order", {**order, "state": "CANCELED"})
        return self._put("invoice", {**invoice, "status": "CANCELED", "version": invoice["version"] + 1})

    def _deleted(self, invoice: Doc, query: Mapping[str, str]) -> Mapping[str, Any]:
        if invoice["status"] != "DRAFT" or query.get("version", str(invoice["version"])) != str(invoice["version"]):
            raise Refused("BAD_REQUEST", "Only the current version of a draft can be deleted.", "version")
        self._put("order", {**self._one("order", invoice["order_id"]), "state": "CANCELED"})
        self.shelf.drop("invoice", invoice["id"])
        return {}


def _stranger(code: str, detail: str) -> Refused:
    return Refused(code, detail, "", 401, "AUTHENTICATION_ERROR")


def _page(found: list[Doc], name: str, body: Doc, most: int) -> Mapping[str, Any]:
    """`{}` where nothing is found."""
    limit, start = int(body.get("limit", most)), int(body.get("cursor") or 0)
    if not 1 <= limit <= most:
        raise Refused("VALUE_TOO_HIGH", f"At most {most}.", "limit")
    rows, rest = found[start : start + limit], found[start + limit :]
    return {**({name: rows} if rows else {}), **({"cursor": str(start + limit)} if rest else {})}


def _name(customer: Mapping[str, str]) -> str:
    return customer.get("company_name") or " ".join(
        customer[part] for part in ("given_name", "family_name") if part in customer
    )


def _line(line: Doc, digits: int) -> str:
    price = Decimal(line["base_price_money"]["amount"]).scaleb(-digits)
    return f"{line['name']} {line.get('note', '')} × {line['quantity']} @ {price}"


def _time(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
