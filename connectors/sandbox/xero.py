"""Xero, emulated: tokens that rotate, quotas, six-minute idempotency keys, PUT that creates and POST that overwrites.

Paths as in production, both hosts on one: `/connect/token` (identity.xero.com), `/connections` and `/api.xro/2.0/…`
(api.xero.com). Limits and bodies from developer.xero.com (limits, idempotency, OAuth 2) and Xero-OpenAPI 16.1.0.
A fresh emulator holds one organisation and one app; the constants below are what the demo and the tests use.
"""

from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, ClassVar
from urllib.parse import unquote
from uuid import uuid4

from connectors.sandbox import xero_bodies as bodies
from connectors.sandbox.base import Entry, Refusal, Request, Response, Rolling
from connectors.sandbox.desk import App, State
from connectors.sandbox.gate import Gated
from connectors.sandbox.replays import Replays
from connectors.sandbox.savepoint import savepoint
from connectors.sandbox.shelf import floats
from connectors.sandbox.xero_books import ACCOUNTS, CURRENCIES, TAX_RATES, Books, Invalid, ms_date
from connectors.sandbox.xero_credits import CreditNotes
from connectors.sandbox.xero_filter import order, where

TENANT = "5f1c7a52-9f0e-4b6a-8a55-0c3f5a1d2e01"
CLIENT_ID = "SANDBOXCLIENTID0000000000000000"
CLIENT_SECRET = "sandbox-client-secret"  # noqa: S105 - opens nothing but this emulator
REFRESH_TOKEN = "sandbox-refresh-token"  # noqa: S105
ACCESS_TOKEN = "sandbox-access-token"  # noqa: S105
ORGANISATION = "Demo Company (UK)"
BRANDING_THEME = "0e8c1f4a-3f43-4a53-9d0a-4f1f3e9f7a10"
API = "/api.xro/2.0/"
KEY_LIVES = 360
APP = App(
    CLIENT_ID, CLIENT_SECRET, ACCESS_TOKEN, REFRESH_TOKEN, access_lives=1800, refresh_lives=60 * 86_400, rotates=True,
    grace=1800, client="either", grants=("authorization_code", "refresh_token", "client_credentials"),
)  # fmt: skip
"""A used refresh token works for 30 more minutes (developer.xero.com, OAuth 2)."""
WRITTEN = tuple(API + collection for collection in ("Invoices", "Contacts", "CreditNotes"))
COLUMNS = {
    "Contacts": {"ContactNumber": "number", "Name": "name", "EmailAddress": "email", "ContactStatus": "status"},
    "Invoices": {
        "InvoiceNumber": "number",
        "Type": "type",
        "Status": "status",
        "InvoiceID": "id",
        "Date": "json_extract(doc, '$.DateString')",
    },
    "CreditNotes": {"CreditNoteNumber": "number", "Type": "type", "Status": "status", "CreditNoteID": "id"},
}
STATIC: dict[str, list[dict[str, Any]]] = {
    "Accounts": ACCOUNTS,
    "TaxRates": TAX_RATES,
    "Currencies": [dict(currency) for currency in CURRENCIES],
    "BrandingThemes": [{"BrandingThemeID": BRANDING_THEME, "Name": "Standard", "SortOrder": 0}],
    "Organisation": [
        {"OrganisationID": TENANT, "Name": "Demo Company (UK)", "BaseCurrency": "GBP", "CountryCode": "GB"}
    ],
}


class Xero(Gated):
    """The organisation and its app. `per_minute` and `per_day` may be changed on an instance."""

    slug = "xero"
    keyed = True
    app = APP
    consent_at, grant_at = "/identity/connect/authorize", "/connect/token"
    sample = f"""
client_id = "{CLIENT_ID}"
client_secret = "{CLIENT_SECRET}"
refresh_token = "{REFRESH_TOKEN}"
[shop.myshop.account.xero.settings]
tenant = "{TENANT}"
sales_account = "200"
tax = {{ "20" = "OUTPUT2", "5" = "RROUTPUT", "0" = "ZERORATEDOUTPUT" }}
"""
    concurrent: ClassVar[int | None] = 5

    def __init__(self, database: sqlite3.Connection, clock: Callable[[], float]) -> None:
        self.per_minute, self.per_day = Rolling(60, 60), Rolling(5000, 86_400)
        self.per_app_minute = Rolling(10_000, 60)
        super().__init__(database, clock)

    def setup(self) -> None:
        super().setup()
        self.books = Books(self.db, self.clock)
        self.notes = CreditNotes(self.books)
        self.replays = Replays(self, KEY_LIVES)

    # -- what the frame asks ---------------------------------------------------------------------------------------

    def creates(self, request: Request) -> bool:
        return request.method in {"POST", "PUT"} and request.path.startswith(WRITTEN)

    def tenant(self, request: Request) -> str:
        return request.headers.get("xero-tenant-id", "identity")

    def too_many(self, retry_after: float) -> Response:
        headers = {"X-Rate-Limit-Problem": "minute", "Retry-After": str(max(1, math.ceil(retry_after)))}
        return Response(429, b"", headers)

    def failure(self, status: int) -> Response:
        return Response.json(status, {"ErrorNumber": 0, "Type": "Error", "Message": "An error occurred in Xero."})

    def customers(self) -> list[tuple[str, str]]:
        rows = self.db.execute("SELECT name, coalesce(email, '') FROM xero_contacts WHERE status = 'ACTIVE'")
        return rows.fetchall()

    def ledger(self) -> list[Entry]:
        rows = self.db.execute(
            "SELECT i.doc, c.name, c.email FROM xero_invoices i"
            " JOIN xero_contacts c ON c.id = json_extract(i.doc, '$.Contact.ContactID')"
            " WHERE i.type = 'ACCREC' AND i.status <> 'DELETED' ORDER BY i.rowid"
        )
        return [bodies.entry(json.loads(doc), email or name) for doc, name, email in rows]

    def credits(self) -> list[Entry]:
        rows = self.db.execute(
            "SELECT n.doc, c.name, c.email FROM xero_creditnotes n"
            " JOIN xero_contacts c ON c.id = json_extract(n.doc, '$.Contact.ContactID') ORDER BY n.rowid"
        )
        return [bodies.entry(json.loads(doc), email or name) for doc, name, email in rows]

    # -- the door --------------------------------------------------------------------------------------------------

    def token(self, request: Request) -> Response:
        return self.desk.token(request, scope="accounting.invoices")

    def unauthorized(self, state: State) -> Response:
        said = "TokenExpired: token expired" if state == "expired" else "AuthenticationUnsuccessful"
        return bodies.problem(401, "Unauthorized", said)

    def admitted(self, request: Request) -> Response:
        """Which organisations a token opens may be asked at any time, before one is named."""
        if request.path.lower() == "/connections":  # the SDK writes /Connections
            connection = {"id": TENANT, "tenantId": TENANT, "tenantType": "ORGANISATION", "tenantName": ORGANISATION}
            return Response.json(200, [connection])
        if request.headers.get("xero-tenant-id") != TENANT:
            return bodies.problem(403, "Forbidden", "AuthenticationUnsuccessful")
        return super().admitted(request)

    def over(self, request: Request) -> Response | None:
        limits = {"minute": self.per_minute, "day": self.per_day, "appminute": self.per_app_minute}
        if not (longest := self.counted(*limits.values())):
            return None
        waits = ((name, limit.wait(self.clock())) for name, limit in limits.items())
        problem, wait = next((each for each in waits if each[1]), ("minute", longest))
        response = self.too_many(wait)
        response.headers.update({"X-Rate-Limit-Problem": problem, **self.stamp()})
        return response

    def stamp(self) -> dict[str, str]:
        left = {"Min": self.per_minute, "Day": self.per_day, "AppMin": self.per_app_minute}
        return {f"X-{name}Limit-Remaining": str(limit.remaining) for name, limit in left.items()}

    def route(self, request: Request) -> Response:
        """The idempotency layer: the first answer under a key is given again for six minutes, errors included."""
        key = request.headers.get("idempotency-key") if request.method in {"POST", "PUT", "PATCH"} else None
        if key and len(key) > 128:
            return bodies.problem(400, "Bad Request", "The Idempotency-Key must not be longer than 128 characters")
        other = bodies.problem(400, "Bad Request", "The Idempotency-Key is used with a different request")
        parts = [unquote(part) for part in request.path.removeprefix(API).strip("/").split("/")]
        spoil = request.fault == "refuse_element"
        act = partial(self.carried_out, request, lambda: self._route(request, parts, spoil))
        return self.replays.once(key, request, act, lambda: other)

    # -- routes ----------------------------------------------------------------------------------------------------

    def _route(self, request: Request, parts: list[str], spoil: bool) -> Response:
        collection, rest = parts[0], parts[1:]
        reads = request.method == "GET"
        if not request.path.startswith(API) or (collection not in COLUMNS and collection not in STATIC):
            return bodies.problem(404, "Not Found", "The resource you're looking for cannot be found")
        if collection in STATIC and reads and not rest:
            return self._static(collection, request.query)
        if collection in COLUMNS and not rest:
            return self._list(collection, request.query) if reads else self._write(request, collection, spoil=spoil)
        if collection == "Invoices" and rest:
            return self._one_invoice(request, rest)
        if collection == "CreditNotes" and rest:
            return self._one_note(request, rest)
        found = self.books.contact(TENANT, rest[0]) if reads and rest else None
        if found is None:
            return bodies.problem(404, "Not Found", "The resource you're looking for cannot be found")
        return self._answer("Contacts", [found])

    def _one_invoice(self, request: Request, rest: list[str]) -> Response:
        found = self.books.invoice(TENANT, rest[0])
        if found is None:
            return bodies.problem(404, "Not Found", "The resource you're looking for cannot be found")
        match (request.method, rest[1:]):
            case "GET", []:
                pdf = request.headers.get("accept") == "application/pdf"
                return paper(found) if pdf else self._answer("Invoices", [found])
            case "GET", ["pdf"]:
                return paper(found)
            case "GET", ["OnlineInvoice"]:
                if found["Status"] in {"DRAFT", "SUBMITTED", "DELETED"}:
                    raise Invalid("There is no online invoice for a draft")
                url = f"https://in.xero.com/{found['InvoiceID'].replace('-', '')}"
                return self._answer("OnlineInvoices", [{"OnlineInvoiceUrl": url}])
            case "POST", []:
                return self._write(request, "Invoices", found["InvoiceID"])
            case "POST", ["Email"]:
                return self._mail(found)
        return bodies.problem(405, "Method Not Allowed", "The method is not allowed for this resource")

    def _one_note(self, request: Request, rest: list[str]) -> Response:
        found = self.notes.get(TENANT, rest[0])
        if found is None:
            return bodies.problem(404, "Not Found", "The resource you're looking for cannot be found")
        match (request.method, rest[1:]):
            case "GET", []:
                return self._answer("CreditNotes", [found])
            case "PUT", ["Allocations"]:
                raws = request.json()["Allocations"]
                return self._answer("Allocations", [self.notes.allocate(TENANT, rest[0], raw) for raw in raws])
        return bodies.problem(405, "Method Not Allowed", "The method is not allowed for this resource")

    def _mail(self, invoice: Mapping[str, Any]) -> Response:
        contact = self.books.contact(TENANT, invoice["Contact"]["ContactID"]) or {}
        if invoice["Status"] not in {"AUTHORISED", "PAID", "SUBMITTED"} or invoice["Type"] != "ACCREC":
            raise Invalid("The document cannot be emailed in its current status")
        if not contact.get("EmailAddress"):
            raise Invalid("The contact has no email address")
        self.mail(invoice["InvoiceID"], contact["EmailAddress"])
        self.books.save_invoice(TENANT, {"InvoiceID": invoice["InvoiceID"], "SentToContact": True}, False, 4)
        return Response(204)

    def _write(self, request: Request, collection: str, ident: str | None = None, spoil: bool = False) -> Response:
        """PUT creates, POST creates or overwrites; one bad element spoils the call unless summarizeErrors=false."""
        invalid = {"ErrorNumber": 17, "Type": "PostDataInvalidException", "Message": "Invalid JSON"}
        unreadable = Refusal(Response.json(400, invalid))
        body = request.object(lambda: unreadable)
        raws = body.get(collection, [body])
        if request.method not in {"PUT", "POST"} or not isinstance(raws, list):
            raise unreadable
        if not all(isinstance(raw, dict) for raw in raws):
            raise unreadable
        apart = request.query.get("summarizeErrors", "true").lower() == "false"
        given = [{**raw, "InvoiceID": ident} if ident else raw for raw in raws]
        if spoil and given:
            given[-1] = bodies.spoilt(collection, given[-1])
        with savepoint(self.db):
            elements = [self._element(request, collection, raw) for raw in given]
            if not apart and any(element["StatusAttributeString"] == "ERROR" for element in elements):
                raise Refusal(bodies.refusal(elements))
        return self._answer(collection, elements)

    def _element(self, request: Request, collection: str, raw: Mapping[str, Any]) -> dict[str, Any]:
        places = 4 if request.query.get("unitdp") == "4" else 2
        create_only = request.method == "PUT"
        try:
            with savepoint(self.db):
                if collection == "CreditNotes":
                    saved = self.notes.save(TENANT, raw, places)
                elif collection == "Contacts":
                    saved = self.books.save_contact(TENANT, raw, create_only)
                else:
                    saved = self.books.save_invoice(TENANT, raw, create_only, places)
            return {**saved, "StatusAttributeString": "OK"}
        except Invalid as error:
            flag = "HasValidationErrors" if collection == "Contacts" else "HasErrors"
            ident = {collection.removesuffix("s") + "ID": bodies.EMPTY_ID}
            refused = floats({**ident, **raw, flag: True, "StatusAttributeString": "ERROR", **error.errors})
            return dict(refused)

    def _list(self, collection: str, query: Mapping[str, str]) -> Response:
        """Filters, then pages of 100 (pageSize up to 1,000). Archived contacts only with includeArchived."""
        conditions, values = ["tenant = ?"], [TENANT]
        columns = COLUMNS[collection]
        for name, column in (("InvoiceNumbers", "number"), ("IDs", "id"), ("Statuses", "status")):
            if query.get(name):
                wanted = query[name].split(",")
                conditions.append(f"{column} IN ({','.join('?' * len(wanted))})")
                values += wanted
        if query.get("where"):
            condition, found = where(query["where"], columns)
            conditions.append(condition)
            values += found
        if collection == "Contacts" and query.get("includeArchived", "").lower() != "true":
            conditions.append("status <> 'ARCHIVED'")
        if query.get("searchTerm"):
            searched = {"Contacts": "coalesce(name,'')||' '||coalesce(number,'')||' '||coalesce(email,'')"}
            text = searched.get(collection, "coalesce(number,'')||' '||json_extract(doc, '$.Reference')")
            conditions.append(f"instr(lower({text}), lower(?)) > 0")
            values.append(query["searchTerm"])
        page, size = int(query.get("page", 1)), min(1000, int(query.get("pageSize", 100)))
        source = f"FROM xero_{collection.lower()} WHERE {' AND '.join(conditions)}"
        count = self.db.execute(f"SELECT count(*) {source}", values).fetchone()[0]
        sort = order(query["order"]) if query.get("order") else "rowid"
        rows = self.db.execute(
            f"SELECT doc {source} ORDER BY {sort} LIMIT ? OFFSET ?", [*values, size, (page - 1) * size]
        )
        pages = {"page": page, "pageSize": size, "pageCount": -(-count // size), "itemCount": count}
        docs = [json.loads(doc) for (doc,) in rows]
        if query.get("summaryOnly", "").lower() == "true":
            docs = [{field: value for field, value in doc.items() if field != "LineItems"} for doc in docs]
        return self._answer(collection, docs, pagination=pages)

    def _static(self, collection: str, query: Mapping[str, str]) -> Response:
        entries = STATIC[collection]
        if query.get("where"):
            condition, values = where(query["where"], {}, "value")
            sql = f"SELECT value FROM json_each(?) WHERE {condition}"  # noqa: S608 - values are bound
            entries = [json.loads(value) for (value,) in self.db.execute(sql, [json.dumps(entries), *values])]
        return self._answer("Organisations" if collection == "Organisation" else collection, entries)

    def _answer(self, collection: str, elements: list[dict[str, Any]], **more: Any) -> Response:
        head = {"Id": str(uuid4()), "Status": "OK", "ProviderName": "Sandbox", "DateTimeUTC": ms_date(self.books.now())}
        return Response.json(200, {**head, **more, collection: elements})


def paper(invoice: Mapping[str, Any]) -> Response:
    return Response.pdf(invoice["InvoiceNumber"], f"{invoice['Total']:.2f}", invoice["CurrencyCode"])
