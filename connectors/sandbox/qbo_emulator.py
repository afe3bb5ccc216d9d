"""QuickBooks Online, emulated: tokens whose refresh token changes once a day, quotas, requestid, batches with bId.

Paths as in production, both hosts on one: `/oauth2/v1/tokens/bearer` (oauth.platform.intuit.com) and
`/v3/company/{realm}/…` (quickbooks.api.intuit.com). Limits from developer.intuit.com, "API call limits and throttles";
requestid from "Basic field definitions". How long a requestid is remembered is not documented: here ten minutes.
A fresh emulator holds one company in the UK and one app; the constants below are what the demo and the tests use.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, ClassVar
from urllib.parse import unquote
from uuid import uuid4

from connectors.sandbox import qbo_bodies as bodies
from connectors.sandbox.base import Entry, Request, Response, Rolling
from connectors.sandbox.desk import App, State
from connectors.sandbox.gate import Gated
from connectors.sandbox.qbo_bodies import Invalid
from connectors.sandbox.qbo_books import Books
from connectors.sandbox.replays import Replays
from connectors.sandbox.savepoint import savepoint

REALM = "9130350000000001"
CLIENT_ID = "ABSandboxClientId0000000000000000"
CLIENT_SECRET = "sandbox-client-secret"  # noqa: S105 - opens nothing but this emulator
REFRESH_TOKEN = "RT1-sandbox-refresh-token"  # noqa: S105
ACCESS_TOKEN = "sandbox-access-token"  # noqa: S105
TOKENS = "/oauth2/v1/tokens/bearer"
CONSENT = "/connect/oauth2"
DISCOVERY = "/.well-known/openid_configuration"
COMPANY = f"/v3/company/{REALM}"
REFRESH_LIVES, KEY_LIVES = 100 * 86_400, 600
APP = App(
    CLIENT_ID, CLIENT_SECRET, ACCESS_TOKEN, REFRESH_TOKEN, refresh_lives=REFRESH_LIVES, rotates=True,
    changes_after=86_400,
)  # fmt: skip
"""The refresh token stays the same for a day; then another comes and the old one ends."""
ENTITIES = {
    "customer": "Customer", "vendor": "Vendor", "invoice": "Invoice", "item": "Item", "taxcode": "TaxCode",
    "creditmemo": "CreditMemo", "payment": "Payment",
}  # fmt: skip
UNREADABLE = partial(Invalid, "2010", "Request has invalid or unsupported property", "The body is not a JSON object")
MOST_ITEMS = 30


def account_lines(slug: str) -> str:
    """Credentials and settings that work here, for the platform's `sample`."""
    return f"""
client_id = "{CLIENT_ID}"
client_secret = "{CLIENT_SECRET}"
refresh_token = "{REFRESH_TOKEN}"
[shop.myshop.account.{slug}.settings]
realm_id = "{REALM}"
home_currency = "GBP"
multicurrency = true
item = "1"
shipping_item = "23"
discount_item = "24"
tax = {{ "20" = "6", "5" = "5", "0" = "3" }}
tax_rates = {{ "20" = "11", "5" = "13" }}
"""


class Company(Gated):
    """The company and its app. The quotas, and what `books` says the merchant switched on, may be changed."""

    keyed = True
    app = APP
    consent_at, grant_at = CONSENT, TOKENS
    concurrent: ClassVar[int | None] = 10

    def __init__(self, database: sqlite3.Connection, clock: Callable[[], float]) -> None:
        self.per_second, self.per_minute = Rolling(10, 1), Rolling(500, 60)
        self.batches_per_minute = Rolling(40, 60)
        super().__init__(database, clock)

    def setup(self) -> None:
        super().setup()
        self.books = Books(self.db, self.slug, self.clock)
        self.replays = Replays(self, KEY_LIVES)

    # -- what the frame asks ---------------------------------------------------------------------------------------

    def creates(self, request: Request) -> bool:
        return request.method == "POST" and request.path.startswith("/v3/") and not request.path.endswith("/query")

    def tenant(self, request: Request) -> str:
        return "/".join(request.path.split("/")[:4])

    def too_many(self, retry_after: float) -> Response:
        return bodies.too_many(self.clock())

    def failure(self, status: int) -> Response:
        return bodies.failure(status, self.clock())

    def customers(self) -> list[tuple[str, str]]:
        """Without the jobs, which are sub-customers."""
        rows = self.db.execute(
            f"SELECT doc FROM {self.books.objects} WHERE kind = 'Customer' AND active = 1 ORDER BY seq"  # noqa: S608
        )
        living = [doc for doc in (json.loads(row[0]) for row in rows) if not doc["Job"]]
        return [(doc["DisplayName"], (doc.get("PrimaryEmailAddr") or {}).get("Address", "")) for doc in living]

    def ledger(self) -> list[Entry]:
        return self._entries("Invoice")

    def credits(self) -> list[Entry]:
        return self._entries("CreditMemo")

    def _entries(self, kind: str) -> list[Entry]:
        objects = self.books.objects
        rows = self.db.execute(
            f"SELECT i.doc, c.doc FROM {objects} i JOIN {objects} c"  # noqa: S608
            " ON c.kind = 'Customer' AND c.id = i.customer WHERE i.kind = ? ORDER BY i.seq",
            (kind,),
        ).fetchall()
        entries = []
        for invoice, customer in rows:
            who = json.loads(customer)
            email = (who.get("PrimaryEmailAddr") or {}).get("Address")
            entries.append(bodies.entry(json.loads(invoice), email or who["DisplayName"], self.books.home))
        return entries

    # -- the door --------------------------------------------------------------------------------------------------

    def answer(self, request: Request) -> Response:
        if request.path == DISCOVERY:
            response = Response.json(200, _discovery(request.headers.get("host", ""), self.slug))
        else:
            response = super().answer(request)
        response.headers.setdefault("intuit_tid", f"1-{uuid4().hex[:8]}-{uuid4().hex[:24]}")
        return response

    def consent(self, request: Request) -> Response:
        """The way back names the company too."""
        response = super().consent(request)
        if "Location" in response.headers:
            response.headers["Location"] += f"&realmId={REALM}"
        return response

    def token(self, request: Request) -> Response:
        return self.desk.token(request, x_refresh_token_expires_in=REFRESH_LIVES)

    def unauthorized(self, state: State) -> Response:
        said = "Token expired" if state == "expired" else "Malformed bearer token: too short or too long"
        return bodies.unauthorized(said, self.clock())

    def admitted(self, request: Request) -> Response:
        if not request.path.startswith(COMPANY + "/"):
            return bodies.wrong_company(self.clock())
        return super().admitted(request)

    def limits(self, request: Request) -> list[Rolling]:
        batches = [self.batches_per_minute] if request.path == f"{COMPANY}/batch" else []
        return [self.per_second, self.per_minute, *batches]

    def route(self, request: Request) -> Response:
        """Under a requestid the first answer is given again, whatever is sent; in a batch the bIds belong to it."""
        now = self.clock()
        if not request.path.endswith("/pdf") and "json" not in request.headers.get("accept", ""):
            return bodies.xml_fault(400, "ValidationFault", "2010", "This sandbox speaks JSON", "Accept: …/json", now)
        key = request.query.get("requestid") if request.method == "POST" else None
        scope = None if key is None else self._scope(request, key)
        act = partial(self.carried_out, request, lambda: self._route(request, request.fault == "refuse_element"))
        return self.replays.once(scope, request, act)

    def told(self, act: Callable[[], Response]) -> Response:
        try:
            return super().told(act)
        except Invalid as error:
            return bodies.refusal(error, self.clock())

    def _scope(self, request: Request, key: str) -> str:
        batch = request.path == f"{COMPANY}/batch"
        bodies.check_length("requestid", key, 36 if batch else 50)
        if not batch:
            return key
        ids = sorted(str(item.get("bId")) for item in _items(request))
        for ident in ids:
            bodies.check_length("bId", ident, 10)
        return "\n".join((key, *ids))

    # -- routes ----------------------------------------------------------------------------------------------------

    def _route(self, request: Request, spoil: bool) -> Response:
        reads, now = request.method == "GET", self.clock()
        match [unquote(part) for part in request.path.removeprefix(COMPANY).strip("/").split("/")]:
            case ["query"]:
                statement = request.query.get("query", "") if reads else request.body.decode()
                return Response.json(200, {"QueryResponse": self.books.query(statement), "time": bodies.moment(now)})
            case ["preferences"] if reads:
                return bodies.answer("Preferences", self._preferences(), now)
            case ["companyinfo", realm] if reads and COMPANY.endswith(f"/{realm}"):
                return bodies.answer(
                    "CompanyInfo", {"CompanyName": "Demo Company (UK)", "Country": "GB", "Id": "1"}, now
                )
            case ["batch"] if not reads:
                return self._batch(request, spoil)
            case [kind, ident] if reads and kind in ENTITIES:
                found = self.books.need(ENTITIES[kind], ident)
                return bodies.answer(ENTITIES[kind], self._with_link(found, request), now)
            case ["invoice", ident, "pdf"] if reads:
                found = self.books.need("Invoice", ident)
                return Response.pdf(found.get("DocNumber"), f"{found['TotalAmt']:.2f}")
            case ["invoice", ident, "send"] if not reads:
                return bodies.answer("Invoice", self._sent(ident, request.query.get("sendTo")), now)
            case [kind] if not reads and kind in ENTITIES:
                raw = request.object(UNREADABLE)
                raw = bodies.spoilt(ENTITIES[kind], raw) if spoil else raw
                return bodies.answer(ENTITIES[kind], self._change(ENTITIES[kind], raw, request.query), now)
        raise Invalid("500", "Unsupported Operation", f"Operation {request.path} is not supported.")

    def _change(self, kind: str, raw: Mapping[str, Any], options: Mapping[str, str]) -> dict[str, Any]:
        match options.get("operation", ""):
            case "void" if kind == "Invoice":
                return self.books.void(raw)
            case "delete" if kind != "Payment":
                return self.books.delete(kind, raw)
        allowed = "allowduplicatedocnum" in options.get("include", "")
        return self.books.save(kind, raw, allow_duplicates=allowed)

    def _with_link(self, found: dict[str, Any], request: Request) -> dict[str, Any]:
        """InvoiceLink is shown on demand, where online payments are on and there is an e-mail address."""
        asked = request.query.get("include", "").lower() == "invoicelink"
        if not (asked and self.books.online_payments and found.get("BillEmail")):
            return found
        return {**found, "InvoiceLink": f"https://connect.intuit.com/portal/app/CommerceNetwork/view/{found['Id']}"}

    def _sent(self, ident: str, address: str | None) -> dict[str, Any]:
        doc = self.books.sent(ident, address)
        self.mail(ident, doc["BillEmail"]["Address"])
        return doc

    def _preferences(self) -> dict[str, Any]:
        books = self.books
        return {
            "SalesFormsPrefs": {
                "CustomTxnNumbers": books.custom_numbers, "AllowShipping": True, "AllowDiscount": True,
                "ETransactionPaymentEnabled": books.online_payments,
            },
            "CurrencyPrefs": {"MultiCurrencyEnabled": books.multicurrency, "HomeCurrency": {"value": books.home}},
            "TaxPrefs": {"UsingSalesTax": True, "PartnerTaxEnabled": books.country == "US"},
            "Id": "1", "domain": "QBO", "sparse": False,
        }  # fmt: skip

    # -- batches ---------------------------------------------------------------------------------------------------

    def _batch(self, request: Request, spoil: bool) -> Response:
        """Each item by itself; the answers come in another order than the items, as they may."""
        items = _items(request)
        if len(items) > MOST_ITEMS:
            text = "The maximum number of batch items in a single request was exceeded"
            raise Invalid("1040", text, f"{text}. Maximum: {MOST_ITEMS}")
        answers = [self._item(item, spoil and place == len(items) - 1) for place, item in enumerate(items)]
        return Response.json(200, {"BatchItemResponse": answers[::-1], "time": bodies.moment(self.clock())})

    def _item(self, item: Mapping[str, Any], spoil: bool) -> dict[str, Any]:
        named = {"bId": item["bId"]} if "bId" in item else {}
        try:
            with savepoint(self.db):
                return {**named, **self._done(item, spoil)}
        except Invalid as error:
            return {**named, "Fault": error.fault}

    def _done(self, item: Mapping[str, Any], spoil: bool) -> dict[str, Any]:
        if "Query" in item:
            return {"QueryResponse": self.books.query(str(item["Query"]))}
        kind = next((kind for kind in ENTITIES.values() if kind in item), "")
        raw = item.get(kind) or {}
        options = str(item.get("optionsData", ""))
        operation = "void" if options == "void" else str(item.get("operation", ""))
        query = {"operation": operation, "include": options}
        return {kind: self._change(kind, bodies.spoilt(kind, raw) if spoil else raw, query)}


def _discovery(host: str, slug: str) -> dict[str, str]:
    """Where Intuit's own clients learn their endpoints; ours are all here."""
    here = f"http://{host}/{slug}"
    pages = {"authorization_endpoint": CONSENT, "token_endpoint": TOKENS, "jwks_uri": "/op/v1/jwks"}
    pages |= {"revocation_endpoint": "/v2/oauth2/tokens/revoke", "userinfo_endpoint": "/v1/openid_connect/userinfo"}
    return {"issuer": "https://oauth.platform.intuit.com/op/v1", **{name: here + path for name, path in pages.items()}}


def _items(request: Request) -> list[dict[str, Any]]:
    found = request.object(UNREADABLE).get("BatchItemRequest")
    if not isinstance(found, list) or not all(isinstance(item, dict) for item in found):
        raise bodies.missing("BatchItemRequest")
    return found
