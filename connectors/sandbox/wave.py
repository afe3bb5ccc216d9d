"""Wave's public GraphQL API, emulated: customers, products, sales taxes, invoices; OAuth.

Written from developer.waveapps.com (API Reference, Errors, OAuth guide) and from documents that others validate
against Wave's schema. A document is validated before anybody is asked who they are, as Wave does it. Where the
documentation is silent this emulator is the awkward one: a number may be used twice, a deleted invoice is gone,
refresh tokens work once, a fixed discount does not lower the tax. Two calls at once are the practice of others.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, ClassVar
from uuid import uuid4

from connectors.sandbox import graphql
from connectors.sandbox import wave_books as books
from connectors.sandbox.base import Entry, Request, Response
from connectors.sandbox.desk import App
from connectors.sandbox.gate import Gated
from connectors.sandbox.pages import paged
from connectors.sandbox.savepoint import savepoint
from connectors.sandbox.shelf import Doc
from connectors.sandbox.wave_books import SCHEMA, BadInput, Refused

APP = App(
    client_id="wave-app",
    client_secret="wave-client-secret-0123",  # noqa: S106 - the emulator's own
    access_token="wave-access-0123456789",  # noqa: S106
    refresh_token="wave-refresh-0123456789",  # noqa: S106
    rotates=True,
    client="body",
)


def opaque(*parts: str) -> str:
    """An id in Wave's manner: parts in Base64, joined by semicolons."""
    return ";".join(base64.b64encode(part.encode()).decode() for part in parts)


BUSINESS = opaque("Business:3ad4b1c2")
GOODS, SHIPPING = opaque("Business:3ad4b1c2", "Product:1"), opaque("Business:3ad4b1c2", "Product:2")
TAXES = {rate: opaque("Business:3ad4b1c2", f"SalesTax:{rate}") for rate in ("20", "5", "0")}
MUTATIONS = {"customerCreate": "customer", "invoiceDelete": ""}


class Wave(Gated):
    """Who asks is asked last, so that its gate is its own."""

    slug = "wave"
    app = APP
    sample = f"""
client_id = "{APP.client_id}"
client_secret = "{APP.client_secret}"
refresh_token = "{APP.refresh_token}"
[shop.myshop.account.wave.settings]
business_id = "{BUSINESS}"
product = "{GOODS}"
shipping_product = "{SHIPPING}"
tax = {{ "20" = "{TAXES["20"]}", "5" = "{TAXES["5"]}", "0" = "{TAXES["0"]}" }}
"""
    concurrent: ClassVar[int | None] = 2

    def setup(self) -> None:
        super().setup()
        self.host = "localhost"
        for ident, name in ((GOODS, "Shop goods"), (SHIPPING, "Shipping")):
            product = {"id": ident, "name": name, "unitPrice": "0", "isSold": True, "isArchived": False}
            self.shelf.put("product", ident, {**product, "description": "", "defaultSalesTaxes": [TAXES["20"]]})
        for rate, ident in TAXES.items():
            tax = {"id": ident, "name": f"VAT {rate} %", "abbreviation": f"VAT{rate}", "rate": f"{int(rate) / 100:g}"}
            self.shelf.put("salesTax", ident, {**tax, "isCompound": False, "isArchived": False})

    # -- what the frame asks ---------------------------------------------------------------------------------------

    def creates(self, request: Request) -> bool:
        return b"mutation" in request.body and b"invoiceSend" not in request.body

    def too_many(self, retry_after: float) -> Response:
        body = {"errors": [{"message": "Too many requests"}]}
        return Response.json(429, body, {"Retry-After": str(max(1, math.ceil(retry_after)))})

    def failure(self, status: int) -> Response:
        return Response.json(status, {"errors": [_error("Internal server error", "INTERNAL_SERVER_ERROR")]})

    def customers(self) -> list[tuple[str, str]]:
        return [(doc["name"], doc.get("email", "")) for doc in self.shelf.all("customer")]

    def ledger(self) -> list[Entry]:
        return [self._entry(doc) for doc in self.shelf.all("invoice")]

    def _entry(self, doc: Doc) -> Entry:
        who = self.shelf.get("customer", doc["customerId"]) or {}
        return Entry(
            id=doc["id"],
            reference=doc["invoiceNumber"],
            key=doc.get("memo") or "",
            customer=who.get("email") or who.get("name") or "",
            lines=tuple(
                f"{item.get('description')} × {item.get('quantity')} @ {item['price']}" for item in doc["items"]
            ),
            currency=doc["currency"],
            total=doc["total"]["value"].replace(",", ""),
            status={"DRAFT": "draft", "PAID": "paid"}.get(doc["status"], "issued"),
        )

    # -- the door --------------------------------------------------------------------------------------------------

    def answer(self, request: Request) -> Response:
        match request.path.strip("/").split("/"):
            case ["oauth2", "authorize"]:
                return self.desk.consent(request)
            case ["oauth2", "token"]:
                return self.desk.token(request, scope="invoice:write")
            case ["pdf", ident]:
                return Response.pdf(ident)
            case ["graphql", "public"] if request.method == "POST":
                self.host = request.headers.get("host", "localhost")
                return self._graphql(request)
        return Response.json(404, {"errors": [_error("No such page", "NOT_FOUND")]})

    def _graphql(self, request: Request) -> Response:
        try:
            body = request.json()
            operation = graphql.parsed(str(body["query"]))
            SCHEMA.check(operation)
            given = body.get("variables") or {}
            graphql.filled(operation, given)
            for name, kind in operation.variables.items():
                if kind.rstrip("!") in books.INPUTS:
                    books.checked(kind.rstrip("!"), given[name])
                if kind.rstrip("!") == "Date":
                    books.dated(given.get(name))
        except graphql.Invalid as error:
            return _failed(str(error), "GRAPHQL_VALIDATION_FAILED")
        except BadInput as error:
            return _failed(str(error), "BAD_USER_INPUT")
        except (ValueError, KeyError, TypeError) as error:
            return _failed(f'Variable "{error}" is wrong or missing.', "BAD_USER_INPUT")
        if self.desk.state(request.bearer) != "good":
            return _failed("User is not authenticated", "UNAUTHENTICATED")
        try:
            data = SCHEMA.chosen(operation.kind.capitalize(), {}, operation.selection, self._field)
        except LookupError as error:
            field = operation.selection[0].alias
            missing = _error(f"'{error.args[0]}' could not be found.", "NOT_FOUND", [field])
            return Response.json(200, {"errors": [missing], "data": {field: None}})
        return Response.json(200, {"data": data})

    # -- fields ----------------------------------------------------------------------------------------------------

    def _field(self, kind: str, value: Doc, name: str, arguments: Mapping[str, Any]) -> Any:
        """The value of a field: of the roots and of the business by what they ask for, else as it is kept."""
        if kind == "Mutation":
            return self._mutated(name, arguments["input"])
        if kind == "Query":
            return self._root(name, arguments)
        if kind == "Business":
            return self._of_business(value, name, arguments)
        if kind == "Invoice" and name in {"pdfUrl", "viewUrl"}:
            return f"http://{self.host}/{self.slug}/{'pdf' if name == 'pdfUrl' else 'view'}/{value['seq']}"
        if kind == "Invoice" and name == "customer":
            return self.shelf.get("customer", value["customerId"])
        if name == "currency" and isinstance(value.get(name), str):
            return {"code": value[name], "symbol": ""}
        return value.get(name)

    def _root(self, name: str, arguments: Mapping[str, Any]) -> Any:
        business = {"id": BUSINESS, "name": "Engraver Ltd", "currency": "GBP", "isClassicInvoicing": False}
        if name == "user":
            return {"id": opaque("User:1"), "defaultEmail": "owner@example.com"}
        if name == "businesses":
            return _page([{**business, "emailSendEnabled": True}], arguments)
        if arguments.get("id") != BUSINESS:
            raise LookupError(f"Business {arguments.get('id')}")
        return {**business, "emailSendEnabled": True}

    def _of_business(self, value: Doc, name: str, arguments: Mapping[str, Any]) -> Any:
        if name in {"customer", "invoice"}:
            return self._found(name, arguments.get("id"))
        kinds = {"customers": "customer", "invoices": "invoice", "products": "product", "salesTaxes": "salesTax"}
        if name not in kinds:
            return {"code": value[name], "symbol": ""} if name == "currency" else value.get(name)
        found = self.shelf.all(kinds[name])
        for field in ("email", "invoiceNumber", "customerId", "status", "isSold", "isArchived"):
            if arguments.get(field) is not None:
                found = [doc for doc in found if doc.get(field) == arguments[field]]
        first, last = arguments.get("invoiceDateStart") or "", arguments.get("invoiceDateEnd") or "9999-12-31"
        found = [doc for doc in found if first <= doc.get("invoiceDate", "") <= last]
        if "CREATED_AT_DESC" in (arguments.get("sort") or ()):
            found.reverse()
        return _page(found, arguments)

    def _found(self, kind: str, ident: Any) -> Doc:
        return self.shelf.need(kind, str(ident), LookupError(f"{kind.capitalize()} {ident}"))

    # -- mutations -------------------------------------------------------------------------------------------------

    def _mutated(self, name: str, given: Doc) -> Doc:
        actions: dict[str, Callable[[Doc], Doc]] = {
            "customerCreate": self._customer,
            "invoiceCreate": self._created,
            "invoiceApprove": self._approved,
            "invoiceSend": self._sent,
            "invoiceMarkSent": self._marked,
            "invoiceDelete": self._deleted,
        }
        if given.get("businessId", BUSINESS) != BUSINESS:
            raise LookupError(f"Business {given['businessId']}")
        what = MUTATIONS.get(name, "invoice")
        try:
            with savepoint(self.db):
                return {"didSucceed": True, "inputErrors": None, what: actions[name](given)}
        except Refused as refused:
            return {"didSucceed": False, "inputErrors": [refused.error], what: None}

    def _now(self) -> str:
        return datetime.fromtimestamp(self.clock(), UTC).isoformat()

    def _kept(self, kind: str, doc: Doc) -> Doc:
        return self.shelf.put(kind, doc["id"], {**doc, "modifiedAt": self._now()})

    def _customer(self, given: Doc) -> Doc:
        ident = opaque("Business:3ad4b1c2", f"Customer:{self.shelf.count('customer') + 1}")
        return self._kept("customer", {**given, "id": ident, "isArchived": False, "createdAt": self._now()})

    def _created(self, given: Doc) -> Doc:
        if self.shelf.get("customer", given["customerId"]) is None:
            raise Refused("customerId", "Customer not found.", "NOT_FOUND")
        for number, item in enumerate(given.get("items") or ()):
            if self.shelf.get("product", item["productId"]) is None:
                raise Refused(f"items.{number}.productId", "Product not found.", "NOT_FOUND")
            item.setdefault("taxes", [{"salesTaxId": TAXES["20"]}])  # the product's own
        seq = len(self.shelf.all("invoice")) + len(self.shelf.all("deleted")) + 1
        usual = {"currency": "GBP", "invoiceNumber": str(seq), "status": "DRAFT", "memo": ""}
        given = {**usual, "invoiceDate": self._now()[:10], **given}
        taxes = {doc["id"]: doc for doc in self.shelf.all("salesTax")}
        ident = opaque("Business:3ad4b1c2", f"Invoice:{seq}")
        made = {**given, **books.sums(given, taxes), "id": ident, "seq": seq, "createdAt": self._now()}
        return self._kept("invoice", made)

    def _approved(self, given: Doc) -> Doc:
        doc = self._found("invoice", given["invoiceId"])
        if doc["status"] != "DRAFT":
            raise Refused("invoiceId", "Invoice is approved already.")
        return self._kept("invoice", {**doc, "status": "SAVED"})

    def _sent(self, given: Doc) -> Doc:
        doc = self._found("invoice", given["invoiceId"])
        if doc["status"] == "DRAFT":
            raise Refused("invoiceId", "Invoice must be approved before it is sent.")
        if not given["to"]:
            raise Refused("to", "A recipient is required.")
        for recipient in given["to"]:
            self.mail(doc["id"], recipient)
        return self._kept("invoice", {**doc, "status": "SENT", "lastSentAt": self._now(), "lastSentVia": "WAVE"})

    def _marked(self, given: Doc) -> Doc:
        doc = self._found("invoice", given["invoiceId"])
        if doc["status"] == "DRAFT":
            raise Refused("invoiceId", "Invoice must be approved before it is sent.")
        return self._kept("invoice", {**doc, "status": "SENT", "lastSentAt": given.get("sentAt", self._now())})

    def _deleted(self, given: Doc) -> Doc:
        doc = self._found("invoice", given["invoiceId"])
        if doc["amountPaid"]["raw"]:
            raise Refused("invoiceId", "An invoice with payments cannot be deleted.")
        self.shelf.drop("invoice", doc["id"])
        self.shelf.put("deleted", doc["id"], doc)
        return {}


def _page(found: list[Doc], arguments: Mapping[str, Any]) -> Doc:
    """A connection; pages begin at 1 and hold at most 200."""
    page = paged(found, arguments, ("page", "pageSize"), 10, 200, LookupError("Page"), caps=True)
    info = {"currentPage": page.number, "totalPages": page.last, "totalCount": page.total}
    return {"pageInfo": info, "edges": [{"node": doc} for doc in page.rows]}


def _error(message: str, code: str, path: list[str] | None = None) -> Doc:
    error = {"extensions": {"id": str(uuid4()), "code": code}, "message": message}
    return {**error, "locations": [{"line": 1, "column": 1}], **({"path": path} if path else {})}


def _failed(message: str, code: str) -> Response:
    return Response.json(200, {"errors": [_error(message, code)]})
