"""Stripe's invoicing, emulated: customers, tax rates, coupons, invoices, idempotency keys and rate limits (v1 API).

Written from docs.stripe.com/api. Keys that work: `sk_test_sandbox`, `sk_test_sandbox2` (another account),
`sk_live_sandbox`, and `sk_test_connected` of an account that is connected to the first one (Connect). Each account
begins with tax rates for 20, 5 and 0 percent, without and with tax included. Where the documents are silent this
emulator refuses; how it rounds tax and shares discounts out is a guess.
"""

from __future__ import annotations

import base64
import dataclasses
import json
import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from connectors.sandbox import stripe_forms as forms
from connectors.sandbox import stripe_invoices as invoices
from connectors.sandbox import stripe_notes as credits
from connectors.sandbox.base import Emulator, Entry, Request, Response, Rolling
from connectors.sandbox.replays import Replays
from connectors.sandbox.stripe_accounts import CONNECTED, Connections
from connectors.sandbox.stripe_books import TABLES, Books, Document
from connectors.sandbox.stripe_forms import BOOL, TEXT, Refused, Spec, checked, invalid, nested

KEYS = {
    "sk_test_sandbox": "acct_sandbox/test",
    "sk_test_sandbox2": "acct_sandbox2/test",
    "sk_live_sandbox": "acct_sandbox/live",
    "sk_test_connected": f"{CONNECTED}/test",
}
TAX_RATES = {"VAT20": 20, "VAT5": 5, "VAT0": 0}
OLDEST_VERSION = "2025-03-31"
"""Version "basil" gave invoices the shape that is emulated here."""
ZERO_DECIMAL = re.compile("bif|clp|djf|gnf|jpy|kmf|krw|mga|pyg|rwf|ugx|vnd|vuv|xaf|xof|xpf")
THREE_DECIMAL = re.compile("bhd|jod|kwd|omr|tnd")
LISTS: dict[str, tuple[str, dict[str, Spec]]] = {
    "customers": ("customer", {"email": TEXT, "created": forms.CREATED}),
    "tax_rates": ("tax_rate", {"active": BOOL, "inclusive": BOOL, "created": forms.CREATED}),
    "coupons": ("coupon", {"created": forms.CREATED}),
    "invoices": ("invoice", {"customer": TEXT, "status": TEXT, "collection_method": TEXT, "created": forms.CREATED}),
    "credit_notes": ("credit_note", {"customer": TEXT, "invoice": TEXT, "created": forms.CREATED}),
}
FINAL = {
    "issued": "issued",
    "open": "issued",
    "uncollectible": "issued",
    "paid": "paid",
    "void": "void",
    "draft": "draft",
}


KEY_LIVES = 24 * 3600
"""Seconds a key keeps its answer at least (docs.stripe.com/api/idempotent_requests)."""


class Stripe(Emulator):
    slug = "stripe"
    keyed = True
    refused = False
    """True after the merchant has rolled the keys: all are refused."""
    sample = f"""
api_key = "{next(iter(KEYS))}"
[shop.myshop.account.stripe.settings]
tax_rates = {{ "20" = "txr_VAT20", "5" = "txr_VAT5", "0" = "txr_VAT0" }}
inclusive_tax_rates = {{ "20" = "txr_VAT20_inclusive", "5" = "txr_VAT5_inclusive", "0" = "txr_VAT0_inclusive" }}
"""
    search_lag = 60.0
    """Seconds until the search index shows a document."""
    live_calls, test_calls, endpoint_calls, search_calls = 100, 25, 25, 20
    """Calls a second, of an account in live and in test mode, on one endpoint, and on search."""

    def setup(self) -> None:
        self.db.executescript(TABLES)
        self._limits: dict[str, Rolling] = {}
        mark = {"Idempotent-Replayed": "true"}
        self.replays = Replays(self, KEY_LIVES, mark=mark)
        self.connections = Connections(self.db, self.clock, KEYS)
        for book in KEYS.values():
            self._standing(Books(self.db, book, self.clock()))

    def _standing(self, books: Books) -> None:
        for name, percentage in TAX_RATES.items():
            for identifier, inclusive in ((f"txr_{name}", False), (f"txr_{name}_inclusive", True)):
                if books.find("tax_rate", identifier) is None:
                    given = {"display_name": "VAT", "percentage": percentage, "inclusive": inclusive, "country": "GB"}
                    books.add("tax_rate", _tax_rate(books, identifier, given))

    def creates(self, request: Request) -> bool:
        return (
            request.method == "POST"
            and re.match("/v1/(customers|coupons|invoices|credit_notes)", request.path) is not None
        )

    def tenant(self, request: Request) -> str:
        return f"{request.headers.get('authorization', '')} {request.headers.get('stripe-account', '')}"

    def too_many(self, retry_after: float) -> Response:
        error = {
            "type": "invalid_request_error",
            "code": "rate_limit",
            "message": "Request rate limit exceeded. Learn more about rate limits here https://docs.stripe.com/rate-limits.",
        }
        headers = {"Retry-After": str(max(1, round(retry_after))), "Stripe-Should-Retry": "true"}
        return Response.json(429, {"error": error}, headers)

    def failure(self, status: int) -> Response:
        error = {"type": "api_error", "message": "An error occurred with our connection to the database."}
        return Response.json(status, {"error": error})

    def answer(self, request: Request) -> Response:
        if found := re.fullmatch("/i/(in_[0-9a-f]+)(/pdf)?", request.path):
            return self._page(found[1], pdf=found[2] is not None)
        if request.path in self.connections.pages:
            return self.connections.answer(request)
        books = Books(self.db, self._book(request), self.clock())
        if wait := self.counted(*self._quotas(request, books)):
            return self.too_many(wait)
        version = request.headers.get("stripe-version", "")
        if not re.fullmatch(r"\d{4}-\d\d-\d\d(\.\w+)?", version) or version < OLDEST_VERSION:
            raise Refused(f"Invalid Stripe API version: {version!r}. Send the header Stripe-Version.", began=False)
        key = request.headers.get("idempotency-key")
        if request.method != "POST" or not key:
            return Response.json(200, self._carried_out(books, request))
        return self._under(key, books, request)

    def _book(self, request: Request) -> str:
        scheme, _, proof = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "basic":
            proof = base64.b64decode(proof + "==").decode("latin-1").partition(":")[0]
        if not proof:
            raise Refused("You did not provide an API key.", status=401)
        if (book := KEYS.get(proof)) is None or self.refused:
            raise Refused(f"Invalid API Key provided: {proof[:8]}***", status=401)
        account = request.headers.get("stripe-account")
        return book if account is None else self.connections.book(book, account, writes=request.method != "GET")

    def _quotas(self, request: Request, books: Books) -> list[Rolling]:
        """Of the account, and of this endpoint."""
        whole = self.live_calls if books.livemode else self.test_calls
        endpoint = f"{request.method} {re.sub('/(in|cus|txr|cn)_[^/]+', '/:id', request.path)}"
        most = self.search_calls if request.path.endswith("/search") else self.endpoint_calls
        return [
            self._limits.setdefault(name, Rolling(calls, 1.0))
            for name, calls in ((books.book, whole), (f"{books.book} {endpoint}", most))
        ]

    def _under(self, key: str, books: Books, request: Request) -> Response:
        """Carries a call out under its key, or answers as the first time. What failed validation is not kept."""
        if len(key) > 255:
            raise Refused("Idempotency keys are at most 255 characters.", began=False)
        sorted_form = repr(sorted(request.form())).encode()  # in whatever order they come
        once = dataclasses.replace(request, target=request.path, body=sorted_form)
        return self.replays.once(f"{books.book} {key}", once, lambda: self._kept(books, request), lambda: _reused(key))

    def _kept(self, books: Books, request: Request) -> Response:
        if request.fault == "error_stored":
            return self.failure(500)
        try:
            return Response.json(200, self._carried_out(books, request))
        except Refused as refused:
            if not refused.began:
                raise
            return refused.response

    def _carried_out(self, books: Books, request: Request) -> Document:
        version, _, path = request.path.strip("/").partition("/")
        given = nested(request.form() if request.method == "POST" else parse_qsl(urlsplit(request.target).query, True))
        found: Document | None = None
        match (version, request.method, path.split("/")):
            case "v1", "GET", [("customers" | "invoices") as what, "search"]:
                query = checked(given, forms.SEARCH, ("query",))
                found = books.search(LISTS[what][0], query, self.search_lag, request.path)
            case "v1", "GET", ["account"]:
                name = {"display_name": "Demo Company"}
                return {"id": books.book.partition("/")[0], "object": "account", "settings": {"dashboard": name}}
            case "v1", "GET", [what] if what in LISTS:
                found = self._listed(books, what, given)
            case "v1", "GET", [what, identifier] if what in LISTS:
                checked(given, {"expand": [TEXT]})
                found = books.get(LISTS[what][0], identifier)
            case "v1", "GET", ["invoices", identifier, "lines"]:
                query = checked(given, forms.PAGE)
                found = invoices.lines_page(books.get("invoice", identifier), query)
            case "v1", "POST", [what] if what in LISTS:
                found = self._made(books, what, given)
            case "v1", "POST", ["invoices", identifier, action]:
                found = self._changed(books, request, books.get("invoice", identifier), action, given)
            case "v1", "DELETE", ["invoices", identifier]:
                found = invoices.deleted(books, books.get("invoice", identifier))
        if found is None:
            message = f"Unrecognized request URL ({request.method}: {request.path})."
            raise Refused(message, status=404, began=False)
        if found["object"] in {"list", "search_result"}:
            return {**found, "data": [invoices.shown(document) for document in found["data"]]}
        return invoices.shown(found)

    def _listed(self, books: Books, what: str, given: Mapping[str, Any]) -> Document:
        kind, spec = LISTS[what]
        query = checked(given, {**forms.PAGE, **spec})
        owner = query.get("email" if kind == "customer" else "customer")
        if kind in {"invoice", "credit_note"} and owner is not None:
            books.get("customer", owner, "customer")
        page = books.page(kind, query, owner, f"/v1/{what}")
        wanted = {name: query[name] for name in ("active", "inclusive") if query.get(name) is not None}
        page["data"] = [raw for raw in page["data"] if all(raw[name] is value for name, value in wanted.items())]
        return page

    def _made(self, books: Books, what: str, given: Mapping[str, Any]) -> Document:
        if what == "customers":
            return _customer(books, checked(given, forms.CUSTOMER))
        if what == "coupons":
            return _coupon(books, checked(given, forms.COUPON))
        if what == "credit_notes":
            return credits.noted(books, checked(given, credits.NOTE, ("invoice", "lines")))
        if what == "invoices":
            return invoices.created(books, checked(given, forms.INVOICE, ("customer",)))
        values = checked(given, forms.TAX_RATE, ("display_name", "inclusive", "percentage"))
        if not 0 <= values["percentage"] <= 100:
            raise invalid("Invalid percentage", "parameter_invalid", "percentage")
        values["percentage"] = float(values["percentage"])
        return books.add("tax_rate", _tax_rate(books, books.new_id("tax_rate"), values))

    def _changed(
        self, books: Books, request: Request, invoice: Document, action: str, given: Mapping[str, Any]
    ) -> Document | None:
        address = f"http://{request.headers.get('host', 'localhost')}/{self.slug}"
        match action:
            case "add_lines":
                return invoices.lines_added(books, invoice, checked(given, forms.LINES, ("lines",))["lines"])
            case "finalize":
                advance = checked(given, {"auto_advance": BOOL}).get("auto_advance")
                invoice["auto_advance"] = invoice["auto_advance"] if advance is None else advance
                return invoices.finalized(books, invoice, address)
            case "pay":
                checked(given, {"paid_out_of_band": BOOL})
                return invoices.paid(books, invoice)
            case "send" | "void" | "mark_uncollectible":
                checked(given, {"expand": [TEXT]})
                if action == "send":
                    return invoices.sent(books, invoice, address)
                return (invoices.voided if action == "void" else invoices.written_off)(books, invoice)
        return None

    def _page(self, identifier: str, *, pdf: bool) -> Response:
        if pdf:
            return Response.pdf(identifier)
        return Response(200, f"<html><body>{identifier}</body></html>".encode(), {"Content-Type": "text/html"})

    def customers(self) -> list[tuple[str, str]]:
        rows = self.db.execute("SELECT document FROM stripe_objects WHERE kind = 'customer' ORDER BY seq")
        known = [json.loads(row[0]) for row in rows]
        return [(one.get("name") or "", one.get("email") or "") for one in known]

    def ledger(self) -> list[Entry]:
        statement = "SELECT document FROM stripe_objects WHERE kind = 'invoice' ORDER BY seq"
        every = [json.loads(row[0]) for row in self.db.execute(statement)]
        return [_entry(invoice, invoice, [_line(line) for line in invoice["_lines"]]) for invoice in every]

    def credits(self) -> list[Entry]:
        rows = self.db.execute(
            "SELECT n.document, i.document FROM stripe_objects n JOIN stripe_objects i ON i.book = n.book"
            " AND i.kind = 'invoice' AND i.id = json_extract(n.document, '$.invoice')"
            " WHERE n.kind = 'credit_note' ORDER BY n.seq"
        )
        every = [(json.loads(note), json.loads(invoice)) for note, invoice in rows]
        return [_entry(note, invoice, note["lines"]["data"]) for note, invoice in every]


def _reused(key: str) -> Response:
    said = (
        "Keys for idempotent requests can only be used for the same endpoint and with the same parameters "
        f"they were first used with. Try using a key other than '{key}' if you meant a different request."
    )
    return Refused(said, kind="idempotency_error").response


def _line(line: Document) -> Document:
    return {**line, "unit_amount_decimal": line["pricing"]["unit_amount_decimal"]}


def _entry(document: Document, invoice: Document, lines: Sequence[Document]) -> Entry:
    """An invoice or a credit note of one; the invoice says whose."""
    currency = document["currency"]
    digits = 0 if ZERO_DECIMAL.fullmatch(currency) else 3 if THREE_DECIMAL.fullmatch(currency) else 2
    return Entry(
        id=document["id"],
        reference=document["metadata"].get("billhook_order", ""),
        key=document["metadata"].get("billhook_key", ""),
        customer=invoice["customer_name"] or invoice["customer_email"] or "",
        lines=tuple(
            f"{line['description']} × {line['quantity']} @ {Decimal(line['unit_amount_decimal']).scaleb(-digits)}"
            for line in lines
        ),
        currency=currency.upper(),
        total=str(Decimal(document["total"]).scaleb(-digits)),
        status=FINAL[document["status"]],
    )


def _customer(books: Books, given: Mapping[str, Any]) -> Document:
    email = given.get("email")
    if email is not None and (len(email) > 512 or not re.fullmatch(r"[^@\s]+@[^@\s]+", email)):
        raise invalid(f"Invalid email address: {email}", "email_invalid", "email")
    identifier = books.new_id("customer")
    empty = dict.fromkeys(("name", "description", "phone", "address", "shipping", "currency", "default_source"))
    customer = {
        **{"id": identifier, "object": "customer", "livemode": books.livemode, "created": int(books.now)},
        **empty,
        **{"tax_exempt": "none", "metadata": {}, "email": None, "balance": 0, "delinquent": False},
        **{"invoice_prefix": identifier[4:12].upper(), "next_invoice_sequence": 1},
        **{name: value for name, value in given.items() if value is not None},
    }
    return books.add("customer", customer, owner=email)


def _coupon(books: Books, given: Mapping[str, Any]) -> Document:
    if (given.get("amount_off") is None) == (given.get("percent_off") is None):
        raise invalid("Specify one of amount_off and percent_off.", "parameter_missing", "percent_off")
    if given.get("amount_off") is not None and (given["amount_off"] <= 0 or not given.get("currency")):
        raise invalid("Missing required param: currency.", "parameter_missing", "currency")
    if len(given.get("name") or "") > 40:
        raise invalid("Invalid string: name must be at most 40 characters", "parameter_invalid", "name")
    if given.get("duration") not in {None, "once", "forever"}:
        raise invalid("Invalid duration", "parameter_invalid", "duration")
    identifier = given.get("id") or books.new_id("coupon")
    if books.find("coupon", identifier) is not None:
        raise Refused("Coupon already exists.", "resource_already_exists", "id")
    percent = given.get("percent_off")
    coupon = {
        **{"id": identifier, "object": "coupon", "livemode": books.livemode, "created": int(books.now)},
        **{"amount_off": given.get("amount_off"), "percent_off": None if percent is None else float(percent)},
        **{"currency": (given.get("currency") or "").lower() or None, "duration": given.get("duration") or "once"},
        **{"name": given.get("name"), "metadata": given.get("metadata") or {}, "valid": True, "times_redeemed": 0},
    }
    return books.add("coupon", coupon)


def _tax_rate(books: Books, identifier: str, given: Mapping[str, Any]) -> Document:
    empty = dict.fromkeys(("country", "state", "description", "jurisdiction", "tax_type"))
    return {
        **{"id": identifier, "object": "tax_rate", "livemode": books.livemode, "created": int(books.now)},
        **empty,
        **{"active": True, "metadata": {}},
        **{name: value for name, value in given.items() if value is not None},
    }
