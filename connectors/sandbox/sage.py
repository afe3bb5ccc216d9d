"""Sage Business Cloud Accounting v3.1, emulated: tokens of five minutes, idempotency ids, drafts and their release.

Paths as in production, the three hosts on one: `/oauth2/auth/central` (www.sageone.com), `/token`
(oauth.accounting.sage.com) and `/v3.1/…` (api.accounting.sage.com). From developer.sage.com (authentication,
idempotency, invoicing, response codes, frequently raised errors). The limits for a business come from third parties; an
id that is used again for another body is refused in words of our own, for Sage's are not documented, and errors are
remembered too.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial
from typing import Any, ClassVar
from urllib.parse import unquote

from connectors.sandbox.base import Entry, Request, Response, Rolling
from connectors.sandbox.desk import App, State
from connectors.sandbox.gate import Gated
from connectors.sandbox.pages import paged
from connectors.sandbox.replays import Replays
from connectors.sandbox.sage_books import KINDS, LEDGER_ACCOUNTS, TAX_RATES, Books, Refused
from connectors.sandbox.shelf import Doc

BUSINESS = "0d40342d0287cd6b13555c54afca6c90"
APP = App(
    client_id="sandbox-sage-client/0001",
    client_secret="sandbox-sage-secret",  # noqa: S106 - opens nothing but this emulator
    access_token="sandbox-sage-access",  # noqa: S106
    refresh_token="sandbox-sage-refresh",  # noqa: S106
    access_lives=300,
    refresh_lives=31 * 86_400,
    rotates=True,
    client="body",
    pkce=True,
)
API = "/v3.1/"
SINGLE = {"sales_invoices": "sales_invoice", "sales_credit_notes": "sales_credit_note", "contacts": "contact"}
SEARCHED = {
    **dict.fromkeys(("sales_invoices", "sales_credit_notes"), ("reference", "displayed_as", "contact.displayed_as")),
    "contacts": ("reference", "displayed_as", "main_contact_person.email"),
}
DATED = {"search", "contact_id", "status_id", "from_date", "to_date", "updated_or_created_since"}
PARAMETERS = {
    "sales_invoices": DATED,
    "sales_credit_notes": DATED,
    "contacts": {"search", "email", "contact_type_id", "updated_or_created_since"},
    "tax_rates": set[str](),
    "ledger_accounts": {"visible_in", "search"},
    "businesses": set[str](),
}


class Sage(Gated):
    """One business, one app, and one merchant's consent to it."""

    slug = "sage"
    app = APP
    consent_at, grant_at = "/oauth2/auth/central", "/token"
    keyed = True
    sample = f"""
client_id = "{APP.client_id}"
client_secret = "{APP.client_secret}"
refresh_token = "{APP.refresh_token}"
[shop.myshop.account.sage.settings]
business = "{BUSINESS}"
ledger_account = "{next(iter(LEDGER_ACCOUNTS))}"
tax = {{ "20" = "GB_STANDARD", "5" = "GB_LOWER", "0" = "GB_ZERO" }}
"""
    concurrent: ClassVar[int | None] = 150

    def setup(self) -> None:
        super().setup()
        self.books = Books(self.shelf, self.clock)
        self.replays = Replays(self, lives=7 * 86_400)
        self.by_minute, self.by_day = Rolling(100, 60), Rolling(2500, 86_400)

    # -- what the frame asks ---------------------------------------------------------------------------------------

    def creates(self, request: Request) -> bool:
        known = tuple(
            API + name for name in ("sales_invoices", "sales_credit_notes", "contact_allocations", "contacts")
        )
        return request.method in {"POST", "PUT", "DELETE"} and request.path.startswith(known)

    def too_many(self, retry_after: float) -> Response:
        return Refused("Too many requests have been made against the API.", code="TooManyRequests", status=429).response

    def failure(self, status: int) -> Response:
        return Refused("An unexpected error occurred.", code="UnexpectedError", status=status).response

    def customers(self) -> list[tuple[str, str]]:
        living = [one for one in self.shelf.all("contact") if one["contact_types"] == [{"id": "CUSTOMER"}]]
        return [(one["name"], str(_at(one, "main_contact_person.email") or "")) for one in living]

    def ledger(self) -> list[Entry]:
        return [self._entry(found, "sales_invoice") for found in self.shelf.all("sales_invoice")]

    def credits(self) -> list[Entry]:
        return [self._entry(found, "sales_credit_note") for found in self.shelf.all("sales_credit_note")]

    def _entry(self, found: Doc, name: str) -> Entry:
        state, rows = found["status"]["id"], found[KINDS[name].lines]
        lines = [f"{line['description']} × {line['quantity']} @ {line['unit_price']}" for line in rows]
        shipping = [f"Shipping × 1 @ {found['shipping_net_amount']}"] if float(found["shipping_net_amount"]) else []
        return Entry(
            id=found["id"],
            reference=found["reference"] or "",
            key=found["notes"] or "",
            customer=found["contact"]["displayed_as"],
            lines=(*lines, *shipping),
            currency=found["currency"]["id"],
            total=found["total_amount"],
            status={"DRAFT": "draft", "PAID": "paid", "VOID": "void"}.get(state, "issued"),
        )

    # -- the door --------------------------------------------------------------------------------------------------

    def consent(self, request: Request) -> Response:
        central = request.query.get("filter") == "apiv3.1"
        return super().consent(request) if central else Response.json(400, {"error": "invalid_request"})

    def token(self, request: Request) -> Response:
        answer = self.desk.token(request, scope="full_access")
        return Response.json(400, {"error": "invalid_client"}) if answer.status == 401 else answer

    def unauthorized(self, state: State) -> Response:
        return Refused("Authorization failed.", code="AuthorizationFailure", status=401).response

    def limits(self, request: Request) -> list[Rolling]:
        return [self.by_minute, self.by_day]

    def route(self, request: Request) -> Response:
        """The idempotency layer: any answer is given again for seven days."""
        if request.headers.get("x-business", BUSINESS) != BUSINESS:
            raise Refused("Record not found", code="RecordNotFound", status=404)
        try:
            body = request.json() if request.body else {}
            inner: dict[str, Any] = next(iter(body.values())) if request.method == "POST" and body else {}
            key = inner.get("idempotency_id")
        except (ValueError, AttributeError):
            return _here(Refused("The body cannot be read.", status=400).response)
        if key is not None and not re.fullmatch("[0-9a-f]{32}", str(key)):
            return _here(Refused("must be a GUID without hyphens", "idempotency_id").response)
        parts = [unquote(part) for part in request.path.removeprefix(API).split("/")]
        act = partial(self.carried_out, request, lambda: self._route(request, parts, body))
        reused = Refused("The idempotency id was used for another request", "idempotency_id")
        return _here(self.replays.once(key, request, act, lambda: reused.response))

    def _route(self, request: Request, parts: list[str], body: Any) -> Response:
        match request.method, parts:
            case "GET", [kind] if kind in PARAMETERS:
                return Response.json(200, self._list(kind, request.query))
            case "GET", ["sales_invoices", ident] if request.headers.get("accept") == "application/pdf":
                found = self.books.need("sales_invoice", ident)
                return Response.pdf(found["displayed_as"], found["reference"])
            case "GET", [kind, ident] if kind in SINGLE:
                return Response.json(200, self.books.need(SINGLE[kind], ident))
            case "POST", ["contacts"]:
                return Response.json(201, self.books.add_contact(_named(body, "contact")))
            case "POST", ["sales_invoices"]:
                return Response.json(201, self.books.add_invoice(_named(body, "sales_invoice")))
            case "POST", ["sales_credit_notes"]:
                return Response.json(201, self.books.add("sales_credit_note", _named(body, "sales_credit_note")))
            case "POST", ["contact_allocations"]:
                return Response.json(201, self.books.allocate(_named(body, "contact_allocation")))
            case "POST", ["sales_invoices" | "sales_credit_notes" as kind, ident, "release"]:
                return Response.json(200, self.books.release(ident, SINGLE[kind]))
            case "DELETE", ["sales_invoices" | "sales_credit_notes" as kind, ident]:
                self.books.void(ident, body.get("void_reason"), SINGLE[kind])
                return Response(204)
        raise Refused("Record not found", code="RecordNotFound", status=404)

    def _list(self, kind: str, query: Mapping[str, str]) -> Any:
        wrong = Refused("parameter is invalid", status=400)
        if set(query) - PARAMETERS[kind] - {"items_per_page", "page", "attributes"}:
            raise wrong
        found = [one for one in self._all(kind) if _wanted(kind, one, query)]
        page = paged(found, query, ("page", "items_per_page"), 20, 200, wrong)
        shown = ["id", "displayed_as", "$path", *query.get("attributes", "").split(",")]
        items = [{name: one[name] for name in shown if name in one} for one in page.rows]
        more = f"/{kind}?page={page.number + 1}&items_per_page={page.size}" if page.more else None
        sizes = {"$total": page.total, "$page": page.number, "$itemsPerPage": page.size}
        return {**sizes, "$next": more, "$back": None, "$items": items}

    def _all(self, kind: str) -> list[Doc]:
        if kind in SINGLE:
            return self.shelf.all(SINGLE[kind])
        if kind == "tax_rates":
            return [{"id": rate, "displayed_as": rate, "percentage": share} for rate, share in TAX_RATES.items()]
        if kind == "ledger_accounts":
            return [{"id": ident, "displayed_as": name} for ident, name in LEDGER_ACCOUNTS.items()]
        return [{"id": BUSINESS, "displayed_as": "Engraver Ltd", "$path": f"/businesses/{BUSINESS}"}]


def _wanted(kind: str, doc: Doc, query: Mapping[str, str]) -> bool:
    """Whether a list with these parameters shows it; `search` finds parts of several fields, in any case."""
    words = [str(_at(doc, path) or "").lower() for path in SEARCHED.get(kind, ())]
    kinds = {one["id"] for one in doc.get("contact_types", ())}
    email = str(_at(doc, "main_contact_person.email") or "").lower()
    return (
        (not words or any(query.get("search", "").lower() in word for word in words))
        and query.get("contact_id") in {None, _at(doc, "contact.id")}
        and query.get("status_id") in {None, _at(doc, "status.id")}
        and query.get("from_date", "") <= str(doc.get("date", "")) <= query.get("to_date", "9999-12-31")
        and query.get("email", email).lower() == email
        and ("contact_type_id" not in query or query["contact_type_id"] in kinds)
    )


def _at(doc: Any, path: str) -> Any:
    for name in path.split("."):
        doc = (doc or {}).get(name)
    return doc


def _named(body: Any, name: str) -> Any:
    if set(body) != {name}:
        raise Refused("is missing", name, status=400)
    return body[name]


def _here(answer: Response) -> Response:
    """The answer, which says whose business it speaks of."""
    answer.headers["X-Business"] = BUSINESS
    return answer
