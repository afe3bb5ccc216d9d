"""PayPal Invoicing v2, emulated: client credentials, drafts, send, search, cancel, delete, templates.

Written from `openapi/invoicing_v2.json` 2.3 and developer.paypal.com. Not documented, and so chosen here, the harder
way: an app that acts for a merchant without consent gets a 403 on every call, and "alg" of the assertion must be none;
a search matches parts of a number and shows neither memo nor items; a number is refused as long as an invoice has
it, with the issue that client code in public expects; `PayPal-Request-Id` is ignored; "too many" says nothing of when
to come back.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from typing import Any, ClassVar
from urllib.parse import unquote
from uuid import uuid4

from connectors.sandbox import paypal_books as books
from connectors.sandbox.base import Entry, Refusal, Request, Response
from connectors.sandbox.desk import App, State
from connectors.sandbox.gate import Gated
from connectors.sandbox.paypal_books import Refused
from connectors.sandbox.shelf import Doc

CLIENT_ID = "sandbox-paypal-client-id"
CLIENT_SECRET = "sandbox-paypal-client-secret"  # noqa: S105 - opens nothing but this emulator
ACCESS_TOKEN = "A21AA-sandbox-access-token"  # noqa: S105
EMAILS = ["seller@example.com", "billing@example.com"]
MERCHANT, OTHER_MERCHANT = "7KQ2MX9RTW4HN", "3VBZ8CJ5PL6YD"
"""Merchants whom the app can act for as a partner's. The first has agreed to it, the second has not."""
PROFILES = {
    "": EMAILS, MERCHANT: ["engraver@example.com", "billing@engraver.example"], OTHER_MERCHANT: ["else@example.com"],
}  # fmt: skip
"""The e-mail addresses of each account; "" is the app's own."""
UNREADABLE = partial(Refused, 400, "MALFORMED_REQUEST_JSON", "The request body is not a JSON object.")
API = "/v2/invoicing"
STATUSES = {
    **{"DRAFT": "draft", "SENT": "issued", "SCHEDULED": "issued", "PARTIALLY_PAID": "issued"},
    **{"PAID": "paid", "MARKED_AS_PAID": "paid", "CANCELLED": "void"},
}
CANNOT_CANCEL = {
    "DRAFT": ("CANNOT_CANCEL_DRAFT_INVOICE", "Draft invoice cannot be canceled."),
    "SCHEDULED": ("CANNOT_CANCEL_SCHEDULED_INVOICE", "Cannot cancel a scheduled invoice."),
    "CANCELLED": ("INVOICE_CANCELED_ALREADY", "Invoice is already cancelled."),
}
CANNOT_CANCEL_PAID = "CANNOT_CANCEL_PAID_INVOICE", "Cannot cancel a paid or partially paid invoice."
NOTICE = {
    **{"subject": 4000, "note": 4000, "send_to_invoicer": bool, "send_to_recipient": bool},
    "additional_recipients": [254],
}
SEARCH = {
    **{"invoice_number": 25, "reference": 120, "memo": 500, "recipient_email": 254, "currency_code": 3},
    "invoice_date_range": {"start": 10, "end": 10},
}
PAYMENT = {"method": 20, "payment_date": 10, "note": 2000, "amount": books.MONEY}


class PayPal(Gated):
    """The app's own account, and those of merchants who agreed that the app acts for them."""

    slug = "paypal"
    app = App(CLIENT_ID, CLIENT_SECRET, ACCESS_TOKEN, access_lives=32_400, grants=("client_credentials",))
    grant_at = "/v1/oauth2/token"
    sample: ClassVar[str] = f"""
client_id = "{CLIENT_ID}"
client_secret = "{CLIENT_SECRET}"
[shop.myshop.account.paypal.settings]
invoicer_email = "{EMAILS[0]}"
"""

    def setup(self) -> None:
        super().setup()
        self.today = "9999-12-31"
        """The merchant's own day: an invoice of a later one is scheduled. As it stands, none is."""
        self.agreed = {MERCHANT}
        """Who has granted the app the feature INVOICE_READ_WRITE."""
        self._whose = ""

    # -- what the frame asks ---------------------------------------------------------------------------------------

    def creates(self, request: Request) -> bool:
        return request.method == "POST" and request.path.startswith(f"{API}/invoices")

    def too_many(self, retry_after: float) -> Response:
        return Refused(429).response

    def failure(self, status: int) -> Response:
        return Refused(status).response

    def customers(self) -> list[tuple[str, str]]:
        return []

    def ledger(self) -> list[Entry]:
        return [_entry(invoice) for whose in PROFILES for invoice in self.shelf.all(f"invoice {whose}")]

    # -- the door --------------------------------------------------------------------------------------------------

    def token(self, request: Request) -> Response:
        return self.desk.token(request, scope="https://uri.paypal.com/services/invoicing", app_id="APP-80W")

    def unauthorized(self, state: State) -> Response:
        told = f"The token passed in was {'expired' if state == 'expired' else 'not found in the system'}"
        return Response.json(401, {"error": "invalid_token", "error_description": told})

    def _merchant(self, assertion: str | None) -> str:
        """Whose books a call is about: the app's own, or those of the merchant whom PayPal-Auth-Assertion names."""
        if assertion is None:
            return ""
        try:
            head, claims = (json.loads(base64.urlsafe_b64decode(part + "==")) for part in assertion.split(".")[:2])
            whom = claims.get("payer_id") or claims.get("email")
            good = head == {"alg": "none"} and claims["iss"] == CLIENT_ID and assertion.endswith(".") and whom
        except (ValueError, KeyError, AttributeError, TypeError):
            good, whom = False, None
        if not good:
            told = {"error": "invalid_subject", "error_description": "Subject Authentication failed"}
            raise Refusal(Response.json(401, told))
        found = next((one for one, emails in PROFILES.items() if whom == one or whom in emails), None)
        if found not in self.agreed:
            denied = "You do not have permission to access or perform operations on this resource."
            raise Refused(403, "PERMISSION_DENIED", denied)
        return found

    def route(self, request: Request) -> Response:
        self._whose = self._merchant(request.headers.get("paypal-auth-assertion"))
        body = request.object(UNREADABLE) if request.body else {}
        match request.method, [unquote(part) for part in request.path.strip("/").split("/")][1:]:
            case "POST", ["invoicing", "invoices"]:
                return self._created(request, books.checked(body))
            case "POST", ["invoicing", "search-invoices"]:
                return Response.json(200, self._found(request, body))
            case "GET", ["invoicing", "templates"]:
                return Response.json(200, {"emails": PROFILES[self._whose], "templates": [], "links": []})
            case "GET", ["invoicing", "invoices", found]:
                return Response.json(200, self._one(found))
            case "DELETE", ["invoicing", "invoices", found]:
                return self._deleted(self._one(found))
            case "POST", ["invoicing", "invoices", found, "send"]:
                return self._sent(self._one(found), books.checked(body, NOTICE))
            case "POST", ["invoicing", "invoices", found, "cancel"]:
                return self._cancelled(self._one(found), books.checked(body, NOTICE))
            case "POST", ["invoicing", "invoices", found, "payments"]:
                return self._paid(self._one(found), books.checked(body, PAYMENT))
        raise Refused(404)

    @property
    def _kind(self) -> str:
        """The shelf of the account that this call is about."""
        return f"invoice {self._whose}"

    def _one(self, found: str) -> Doc:
        one = self.shelf.get(self._kind, found)
        if one is None:
            raise Refused(404, "INVALID_RESOURCE_ID", "The requested resource ID was not found.")
        return one

    def _put(self, invoice: Mapping[str, Any]) -> Doc:
        return self.shelf.put(self._kind, invoice["id"], invoice)

    def _created(self, request: Request, given: Doc) -> Response:
        invoice = books.draft(given, PROFILES[self._whose])
        number = invoice["detail"].setdefault("invoice_number", f"{self.shelf.count(self._kind) + 1:04}")
        if any(one["detail"]["invoice_number"] == number for one in self.shelf.all(self._kind)):
            told = "Invoice number already exists. Please use a different invoice number."
            raise Refused(422, "DUPLICATE_INVOICE_NUMBER", told, "/detail/invoice_number")
        raw = uuid4().hex[:16].upper()
        ident = "INV2-" + "-".join(raw[at : at + 4] for at in range(0, 16, 4))
        moment = datetime.fromtimestamp(self.clock(), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        invoice["detail"].setdefault("invoice_date", moment[:10])
        view = f"https://www.paypal.com/invoice/p/#{raw}"
        invoice["detail"]["metadata"] = {"create_time": moment, "recipient_view_url": view}
        kept = self._put({**invoice, "id": ident, "status": "DRAFT"})
        whole = request.headers.get("prefer") == "return=representation"
        return Response.json(201, kept if whole else _link("self", f"https://api.paypal.com{API}/invoices/{ident}"))

    def _sent(self, invoice: Doc, told: Doc) -> Response:
        if invoice["status"] not in {"DRAFT", "SCHEDULED"}:
            raise Refused(422, "INVOICE_ALREADY_SENT", "Invoice has already been sent.")
        later = invoice["detail"].get("invoice_date", "") > self.today
        self._put({**invoice, "status": "SCHEDULED" if later else "SENT"})
        to = invoice["primary_recipients"][0]["billing_info"].get("email_address")
        if to and told.get("send_to_recipient", True) and not later:
            self.mail(invoice["id"], to)
        link = _link("payer-view", invoice["detail"]["metadata"]["recipient_view_url"])
        return Response.json(202 if later else 200, link)

    def _cancelled(self, invoice: Doc, told: Doc) -> Response:
        if invoice["status"] != "SENT":
            raise Refused(422, *CANNOT_CANCEL.get(invoice["status"], CANNOT_CANCEL_PAID))
        self._put({**invoice, "status": "CANCELLED"})
        return Response(204)

    def _paid(self, invoice: Doc, given: Doc) -> Response:
        """The merchant records a payment that was made elsewhere."""
        books.required(given, "", "method")
        due = Decimal(invoice["due_amount"]["value"])
        amount = Decimal(given["amount"]["value"]) if "amount" in given else due
        if invoice["status"] not in {"SENT", "PARTIALLY_PAID"}:
            told = "Current invoice state does not support payment processing."
            raise Refused(422, "CANNOT_PROCESS_PAYMENTS", told)
        if amount > due:
            told = "Payment amount is greater than the amount due."
            raise Refused(422, "PAYMENT_AMOUNT_GREATER_THAN_AMOUNT_DUE", told, "/amount")
        left = {**invoice["due_amount"], "value": str(due - amount)}
        status = "MARKED_AS_PAID" if amount == due else "PARTIALLY_PAID"
        self._put({**invoice, "status": status, "due_amount": left})
        return Response.json(200, {"payment_id": f"EXTR-{uuid4().hex[:17].upper()}"})

    def _deleted(self, invoice: Doc) -> Response:
        if invoice["status"] not in {"DRAFT", "SCHEDULED"}:
            raise Refused(422, "CANNOT_DELETE_INVOICE", "Only drafts and scheduled invoices can be deleted.")
        self.shelf.drop(self._kind, invoice["id"])
        return Response(204)

    def _found(self, request: Request, body: Doc) -> Mapping[str, Any]:
        body.pop("archived", None)
        asked = books.checked(body, SEARCH)
        if "invoice_date_range" in asked:
            books.dated(asked["invoice_date_range"], "/invoice_date_range", "start", "end")
        page, size = int(request.query.get("page", 1)), int(request.query.get("page_size", 20))
        if not (1 <= page <= 1000 and 1 <= size <= 100):
            raise Refused(400, "INVALID_INTEGER_MAX_VALUE", "The page is too large.", "/page_size")
        hits = [one for one in self.shelf.all(self._kind) if _matches(one, asked)][::-1]
        rows = [_short(one) for one in hits[(page - 1) * size : page * size]]
        counted = {"total_items": len(hits), "total_pages": -(-len(hits) // size)}
        return {**(counted if request.query.get("total_required") == "true" else {}), "items": rows, "links": []}


def _matches(invoice: Doc, asked: Mapping[str, Any]) -> bool:
    billed = invoice.get("primary_recipients", [{}])[0].get("billing_info", {})
    dates = asked.get("invoice_date_range")
    if dates and not dates["start"] <= invoice["detail"]["invoice_date"] <= dates["end"]:
        return False
    texts = {name: value for name, value in asked.items() if name != "invoice_date_range"}
    known = {**invoice["detail"], "recipient_email": billed.get("email_address", "")}
    return all(value.casefold() in known.get(name, "").casefold() for name, value in texts.items())


def _short(invoice: Doc) -> Doc:
    detail = {name: value for name, value in invoice["detail"].items() if name not in {"memo", "note"}}
    return {"id": invoice["id"], "status": invoice["status"], "detail": detail, "amount": invoice["amount"]}


def _link(rel: str, href: str) -> dict[str, str]:
    return {"rel": rel, "href": href, "method": "GET"}


def _entry(invoice: Doc) -> Entry:
    billed = invoice.get("primary_recipients", [{}])[0].get("billing_info", {})
    person = " ".join(filter(None, (billed.get("name", {}).get(part) for part in ("given_name", "surname"))))
    lines: list[str] = []
    for item in invoice["items"]:
        first, *more = f"{item['name']}\n{item.get('description', '')}".strip().split("\n")
        lines += [f"{first} × {item['quantity']} @ {item['unit_amount']['value']}", *more]
    return Entry(
        id=invoice["id"],
        reference=invoice["detail"]["invoice_number"],
        key=invoice["detail"].get("memo", ""),
        customer=billed.get("business_name") or person or billed.get("email_address", ""),
        lines=tuple(lines),
        currency=invoice["amount"]["currency_code"],
        total=invoice["amount"]["value"],
        status=STATUSES[invoice["status"]],
    )
