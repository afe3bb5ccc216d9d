"""FreshBooks' accounting API, emulated: OAuth with refresh tokens that work once, clients, taxes, invoices, credits.

Written from freshbooks.com/api, from recorded answers (NangoHQ/integration-templates, June 2026) and from the models of
freshbooks/freshbooks-nodejs-sdk. Where those are silent this emulator is the awkward one: fields that no SDK knows are
refused, a search by number finds parts of numbers and deleted invoices, tax is rounded on each line, a number that is
taken is an error 1004 about `invoice_number` (that it is refused says freshbooks.com/support). The limits are those
of the recorded headers, counted by the minute.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any
from urllib.parse import urlencode

from connectors.sandbox import freshbooks_books as books
from connectors.sandbox import freshbooks_credits as credits
from connectors.sandbox.base import Entry, Request, Response, Rolling
from connectors.sandbox.desk import App, State
from connectors.sandbox.freshbooks_books import Refused
from connectors.sandbox.gate import Gated
from connectors.sandbox.pages import paged
from connectors.sandbox.shelf import Doc
from connectors.sandbox.sums import exact

ACCOUNT = "ZyQ04o"
APP = App(
    client_id="freshbooks-app",
    client_secret="freshbooks-client-secret-0123",  # noqa: S106 - the emulator's own
    access_token="freshbooks-access-0123456789",  # noqa: S106
    refresh_token="freshbooks-refresh-0123456789",  # noqa: S106
    access_lives=43_200,
    rotates=True,
    client="body",
)
REDIRECT = "https://billhook.example/callback"
TAXES = (("VAT", "20"), ("VAT reduced", "5"), ("VAT zero", "0"))
KINDS = {
    "users/clients": "client",
    "invoices/invoices": "invoice",
    "taxes/taxes": "tax",
    "credit_notes/credit_notes": "credit_note",
    "payments/payments": "payment",
}
PLURALS = {kind: path.partition("/")[2] for path, kind in KINDS.items()}
SEARCHES = {
    "client": {"email", "organization", "vis_state"},
    "invoice": {"invoice_number", "customerid", "vis_state", "date_min", "date_max"},
    "tax": set[str](),
    "credit_note": set[str](),
    "payment": {"invoiceid", "from_credit", "type"},
}
ENTRIES = {1: "draft", "paid": "paid"}
FIRST_ID = {"client": 567_521, "invoice": 454_063, "credit_note": 30_943, "payment": 10_318}


class FreshBooks(Gated):
    slug = "freshbooks"
    app = APP
    consent_at, grant_at = "/oauth/authorize", "/auth/oauth/token"
    sample = f"""
client_id = "{APP.client_id}"
client_secret = "{APP.client_secret}"
redirect_uri = "{REDIRECT}"
refresh_token = "{APP.refresh_token}"
[shop.myshop.account.freshbooks.settings]
account_id = "{ACCOUNT}"
tax = {{ "20" = "VAT", "5" = "VAT reduced", "0" = "VAT zero" }}
"""

    def setup(self) -> None:
        super().setup()
        self.all_calls, self.writes = Rolling(600, 60), Rolling(250, 60)
        for number, (name, amount) in enumerate(TAXES, 1):
            tax = {"id": number, "taxid": number, "name": name, "amount": amount, "compound": False, "number": None}
            self.shelf.put("tax", str(number), tax)

    # -- what the frame asks ---------------------------------------------------------------------------------------

    def creates(self, request: Request) -> bool:
        return request.method in {"POST", "PUT"} and request.path.startswith("/accounting/")

    def too_many(self, retry_after: float) -> Response:
        wait = max(1, math.ceil(retry_after))
        headers = {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": f"{self.clock() + wait:.0f}"}
        body = {"code": 8, "message": "Too many requests", "details": []}
        return Response.json(429, body, {"Retry-After": str(wait), **headers})

    def failure(self, status: int) -> Response:
        return Response.json(status, {"code": 13, "message": "Internal error", "details": []})

    def ledger(self) -> list[Entry]:
        return [self._entry(doc, str(doc["customerid"]), doc["invoice_number"]) for doc in self.shelf.all("invoice")]

    def credits(self) -> list[Entry]:
        notes = self.shelf.all("credit_note")
        return [self._entry(doc, str(doc["clientid"]), doc["credit_number"]) for doc in notes]

    def customers(self) -> list[tuple[str, str]]:
        living = [doc for doc in self.shelf.all("client") if doc["vis_state"] == 0]
        return [(doc["organization"] or f"{doc['fname']} {doc['lname']}".strip(), doc["email"]) for doc in living]

    def _entry(self, doc: Doc, client: str, number: str) -> Entry:
        who = self._found("client", client)
        return Entry(
            id=str(doc["id"]),
            reference=number,
            key=doc["notes"] or "",
            customer=who["email"] or who["organization"] or f"{who['fname']} {who['lname']}",
            lines=tuple(
                f"{line['name']} {line['description']} × {line['qty']} @ {line['unit_cost']['amount']}"
                for line in doc["lines"]
            ),
            currency=doc["currency_code"],
            total=doc["amount"]["amount"],
            status="void"
            if doc["vis_state"] == 1
            else ENTRIES.get(doc["status"], ENTRIES.get(doc["payment_status"], "issued")),
        )

    # -- the door --------------------------------------------------------------------------------------------------

    def unauthorized(self, state: State) -> Response:
        said = "This action requires authentication to continue."
        return Response.json(401, {"error": "unauthenticated", "error_description": said})

    def limits(self, request: Request) -> list[Rolling]:
        return [self.all_calls] if request.method == "GET" else [self.all_calls, self.writes]

    def unreadable(self, error: Exception) -> Response:
        return Refused(1005, "The request body could not be parsed.", status=400).response

    def token(self, request: Request) -> Response:
        """As a form or as JSON; the redirect address is wanted with each grant."""
        if "json" in request.headers.get("content-type", ""):
            request = dataclasses.replace(request, body=urlencode(request.json()).encode())
        if not dict(request.form()).get("redirect_uri"):
            return Response.json(400, {"error": "invalid_request", "error_description": "redirect_uri is missing"})
        return self.desk.token(request, created_at=int(self.clock()), scope="user:invoices:write")

    def route(self, request: Request) -> Response:
        match request.path.strip("/").split("/"):
            case ["auth", "api", "v1", "users", "me"]:
                business = {"id": 14_719_708, "name": "Engraver Ltd", "account_id": ACCOUNT, "active": True}
                membership = {"id": 1, "role": "owner", "business": business}
                me = {
                    "id": 1,
                    "identity_id": 1,
                    "first_name": "Ada",
                    "last_name": "Lovelace",
                    "email": "ada@example.com",
                }
                return Response.json(200, {"response": {**me, "business_memberships": [membership]}})
            case ["accounting", "account", account, *_] if account != ACCOUNT:
                raise Refused(1003, "You do not have access to this account.", status=403)
            case ["accounting", "account", _, group, name, *rest] if f"{group}/{name}" in KINDS:
                return self._resource(request, KINDS[f"{group}/{name}"], rest)
        raise Refused(1012, "No such page.", status=404)

    def _resource(self, request: Request, kind: str, rest: list[str]) -> Response:
        lines = "include[]" in request.query
        if not rest and request.method == "GET":
            return self._list(request, kind, lines)
        if rest and rest[1:] == ["pdf"]:
            return Response.pdf(self._found("invoice", rest[0])["invoice_number"])
        if rest and rest[1:] == ["share_link"]:
            return self._link(rest[0])
        if rest and request.method == "GET":
            return _one(kind, self._found(kind, rest[0]), lines)
        if kind == "tax":
            raise Refused(1003, "Taxes cannot be changed here.", status=403)
        if request.method == "DELETE":
            self._changed(kind, self._found(kind, rest[0]), {"vis_state": 1})
            return Response.json(200, {"response": {}})
        given = (request.json() or {}).get(kind)
        if request.method == "POST" and not rest:
            return _one(kind, self._made(kind, given), lines)
        if request.method == "PUT" and rest:
            return _one(kind, self._changed(kind, self._found(kind, rest[0]), given), lines)
        raise Refused(1012, "No such page.", status=404)

    def _list(self, request: Request, kind: str, lines: bool) -> Response:
        query = request.query
        found = self.shelf.all(kind)
        for name, wanted in query.items():
            field = name.removeprefix("search[").removesuffix("]")
            if not name.startswith("search["):
                continue
            if field not in SEARCHES[kind]:
                raise Refused(1004, f"Cannot search by {field}.", field)
            found = [doc for doc in found if _matches(doc, wanted, field)]
        wrong = Refused(1004, "The page cannot be shown.", "page")
        page = paged(found, query, ("page", "per_page"), 15, 100, wrong, caps=True)
        numbers = {"page": page.number, "pages": page.last, "per_page": page.size, "total": page.total}
        shown = [books.shown(doc, lines) for doc in page.rows]
        return Response.json(200, {"response": {"result": {PLURALS[kind]: shown, **numbers}}})

    # -- clients and invoices --------------------------------------------------------------------------------------

    def _found(self, kind: str, ident: str) -> Doc:
        missing = Refused(1012, f"{kind.capitalize()} not found.", f"{kind}id", status=404)
        return self.shelf.need(kind, ident, missing)

    def _made(self, kind: str, given: Any) -> Doc:
        ident = FIRST_ID[kind] + self.shelf.count(kind)
        if kind == "client":
            doc = books.client(ident, books.known(given, books.CLIENT), self.clock())
            return self.shelf.put("client", str(ident), doc)
        if kind == "credit_note":
            self._found("client", str((given or {}).get("clientid")))
            return self.shelf.put(kind, str(ident), credits.note(ident, given, self.clock()))
        if kind == "payment":
            return self._paid(ident, given or {})
        fields = books.known(given, books.INVOICE)
        if fields.get("customerid") is None:
            raise Refused(1001, "customerid is required.", "customerid")
        self._found("client", str(fields["customerid"]))
        fields.setdefault("invoice_number", f"{self.shelf.count('invoice') + 1:07}")
        self._free(str(fields["invoice_number"]), ident)
        return self.shelf.put("invoice", str(ident), books.invoice(ident, fields, self.clock()))

    def _paid(self, ident: int, given: Any) -> Doc:
        invoice = self._found("invoice", str(given.get("invoiceid")))
        named = given.get("creditid")
        credit = None if named is None else self._found("credit_note", str(named))
        made = credits.payment(ident, given, invoice, credit, self.clock())
        self.shelf.put("invoice", str(invoice["id"]), invoice)
        if credit is not None:
            self.shelf.put("credit_note", str(credit["id"]), credit)
        return self.shelf.put("payment", str(ident), made)

    def _free(self, number: str, ident: int) -> None:
        """No number twice, whether the invoice that has it is active, archived or deleted (freshbooks.com/support)."""
        if any(doc["id"] != ident for doc in self.shelf.all("invoice", invoice_number=number)):
            raise Refused(1004, "This invoice number is already in use.", "invoice_number")

    def _changed(self, kind: str, doc: Doc, given: Any) -> Doc:
        actions = {"action_email", "action_mark_as_sent"} & set(given or {})
        if kind == "invoice" and actions:
            return self._acted(doc, given, actions)
        fields = books.known(given, {"client": books.CLIENT, "invoice": books.INVOICE}.get(kind, {"vis_state": 0}))
        if kind == "invoice" and fields.get("vis_state") == 1 and exact(doc["paid"]["amount"]):
            raise Refused(1004, "The invoice has payments.", "vis_state")
        if kind == "invoice" and set(fields) != {"vis_state"}:
            self._free(str(fields.get("invoice_number", doc["invoice_number"])), doc["id"])
            lines = [{name: line[name] for name in books.LINE if name in line} for line in doc["lines"]]
            fields |= books.priced({**doc, "lines": lines, **fields})
        return self.shelf.put(kind, str(doc["id"]), {**doc, **fields, "updated": books.eastern(self.clock())})

    def _acted(self, doc: Doc, given: dict[str, Any], actions: set[str]) -> Doc:
        mailing = (
            {"email_recipients", "email_include_pdf", "invoice_customized_email"}
            if "action_email" in actions
            else set()
        )
        if len(actions) > 1 or set(given) - actions - mailing:
            raise Refused(1004, "An action must be alone in the request.", actions.pop())
        if doc["vis_state"] == 1:
            raise Refused(1011, "The invoice is deleted.", "invoiceid")
        if "action_email" in actions:
            own = self._found("client", str(doc["customerid"]))["email"]
            recipients = given.get("email_recipients") or ([own] if own else [])
            if not recipients:
                raise Refused(1001, "The client has no email address.", "email_recipients")
            for recipient in recipients:
                self.mail(doc["id"], recipient)
        stage = books.stage(2) if doc["status"] == 1 else {}
        return self.shelf.put("invoice", str(doc["id"]), {**doc, **stage, "updated": books.eastern(self.clock())})

    def _link(self, ident: str) -> Response:
        doc = self._found("invoice", ident)
        if doc["status"] == 1:
            raise Refused(1004, "The invoice has not been sent.", "status")
        link = {"share_link": f"https://my.freshbooks.com/#/link/{doc['id']}", "share_method": "share_link"}
        return Response.json(200, {"response": {"result": {"share_link": {"clientid": doc["customerid"], **link}}}})


def _one(kind: str, doc: Doc, lines: bool) -> Response:
    return Response.json(200, {"response": {"result": {kind: books.shown(doc, lines)}}})


def _matches(doc: Doc, wanted: str, field: str) -> bool:
    """Whether a search finds it; a minimum is within, a maximum is not (freshbooks.com/api/parameters)."""
    value = doc.get(field)
    if field in {"date_min", "date_max"}:
        return (str(doc["create_date"]) >= wanted) == (field == "date_min")
    if field == "invoice_number":
        return wanted.casefold() in str(value).casefold()
    return str(value).casefold() == wanted.casefold()
