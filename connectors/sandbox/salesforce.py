"""Salesforce, emulated: one org with a custom invoice object, the billing package and Revenue Cloud Billing.

Paths as in production: `/services/oauth2/…` and `/services/data/v67.0/…` (REST guide on developer.salesforce.com).
Several currencies are switched on; state and country picklists are not. The org counts its calls of 24 hours and says
so in every answer; over its limit it answers 403, as documented, without a time to come back.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from functools import partial
from typing import Any, ClassVar
from urllib.parse import unquote

from connectors.sandbox import salesforce_billing as billing
from connectors.sandbox.base import Entry, Request, Response, Rolling
from connectors.sandbox.desk import App, State
from connectors.sandbox.gate import Gated
from connectors.sandbox.salesforce_books import Books, Refused
from connectors.sandbox.salesforce_soql import query
from connectors.sandbox.savepoint import savepoint

CLIENT_ID = "3MVG9SANDBOX.CONSUMER.KEY"
CLIENT_SECRET = "SANDBOX0CONSUMER0SECRET"  # noqa: S105 - opens nothing but this emulator
ACCESS_TOKEN = "00D000000000001!SANDBOXsessionid"  # noqa: S105
REFRESH_TOKEN = "5AepSANDBOXrefresh"  # noqa: S105
USERNAME = "billhook@sandbox.example"
ASSERTED = "urn:ietf:params:oauth:grant-type:jwt-bearer"
DATA = "/services/data/v67.0/"
MOST_NODES, MOST_GRAPHS, MOST_FAILURES, MOST_PARTS = 500, 75, 14, 25
HALTED = "The transaction was rolled back since another operation in the same transaction failed."
STATUSES = {
    "Draft": "draft", "Issued": "issued", "Posted": "issued", "Paid": "paid", "Void": "void", "Voided": "void",
    "Rebilled": "void",
}  # fmt: skip


class Salesforce(Gated):
    """The org. `per_day` may be changed on an instance; `certificate` is the public key that assertions are signed
    for; an ingested invoice is there for readers after `working` seconds; `page`: records in an answer to a query."""

    slug = "salesforce"
    app = App(
        CLIENT_ID, CLIENT_SECRET, ACCESS_TOKEN, REFRESH_TOKEN, access_lives=7200, client="either",
        grants=("authorization_code", "refresh_token", "client_credentials"),
    )  # fmt: skip
    consent_at, grant_at = "/services/oauth2/authorize", "/services/oauth2/token"
    sample = f"""
client_id = "{CLIENT_ID}"
client_secret = "{CLIENT_SECRET}"
[shop.myshop.account.salesforce.settings]
my_domain = "sandbox.my.salesforce.com"
tax = {{ "20" = "GB-VAT-20", "5" = "GB-VAT-5", "0" = "GB-VAT-0" }}
"""
    concurrent: ClassVar[int | None] = 25

    def __init__(self, database: sqlite3.Connection, clock: Callable[[], float]) -> None:
        self.per_day = Rolling(100_000, 86_400)
        self.certificate = ""
        self.working = 0.0
        self.page, self.cursors = 2000, list[str]()
        super().__init__(database, clock)

    def setup(self) -> None:
        super().setup()
        self.books = Books(self.db, self.slug)

    def creates(self, request: Request) -> bool:
        return super().creates(request) and request.path.startswith(DATA)

    def too_many(self, retry_after: float) -> Response:
        return _errors(403, "REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.")

    def failure(self, status: int) -> Response:
        return _errors(status, "UNKNOWN_EXCEPTION", "An unexpected error occurred. Please include this ErrorId: 4711-1")

    # -- routes ----------------------------------------------------------------------------------------------------

    def unauthorized(self, state: State) -> Response:
        return _errors(401, "INVALID_SESSION_ID", "Session expired or invalid")

    def unreadable(self, error: Exception) -> Response:
        return _errors(400, "JSON_PARSER_ERROR", f"unreadable request: {error!r}")

    def limits(self, request: Request) -> list[Rolling]:
        return [self.per_day]

    def stamp(self) -> dict[str, str]:
        used = self.per_day.calls - self.per_day.remaining
        return {"Sforce-Limit-Info": f"api-usage={used}/{self.per_day.calls}"}

    def route(self, request: Request) -> Response:
        status, value = self._route(request)
        return Response(status) if value is None else Response.json(status, value)

    def token(self, request: Request) -> Response:
        """Answers name the org's own host, and never how long a token lives; refusals are a 400."""
        form = dict(request.form())
        more = {"instance_url": "https://sandbox.my.salesforce.com", "id": "https://login.salesforce.com/id/00D/005"}
        more["scope"] = "api"
        if form.get("grant_type") == ASSERTED:
            given = self._asserted(form.get("assertion", ""), more)
        else:
            given = self.desk.token(request, **more)
        body = _parsed(given)
        if given.status != 200:
            said = {"error": body["error"], "error_description": body.get("error_description", body["error"])}
            return Response.json(400, said)
        body.pop("expires_in", None)
        return Response.json(200, body)

    def _asserted(self, assertion: str, more: Mapping[str, str]) -> Response:
        claims = self.desk.claims(assertion, self.certificate, "https://login.salesforce.com")
        if claims is None:
            return Response.json(400, {"error": "invalid_grant", "error_description": "invalid assertion"})
        if claims["sub"] != USERNAME or float(claims["exp"]) - self.clock() > 300:
            said = "user hasn't approved this consumer"
            return Response.json(400, {"error": "invalid_grant", "error_description": said})
        return self.desk.given(None, more)

    def _route(self, request: Request) -> tuple[int, Any]:
        spoil = request.fault == "refuse_element"
        if not request.path.startswith(DATA):
            raise Refused("NOT_FOUND", "The requested resource does not exist", status=404)
        parts = [unquote(part) for part in request.path.removeprefix(DATA).strip("/").split("/")]
        match request.method, parts:
            case "GET", ["query"]:
                return 200, self._asked(request.query["q"])
            case "GET", ["query", locator]:
                number, _, start = locator.removeprefix("01gSANDBOX").partition("-")
                return 200, self._asked(self.cursors[int(number)], int(start))
            case "POST", ["composite"]:
                return 200, self._composite(request.json(), spoil)
            case "POST", ["composite", "graph"]:
                return 200, self._graphs(request.json()["graphs"], spoil)
            case "POST", ["composite", "batch"]:
                return 200, self._batch(request.json()["batchRequests"], spoil)
            case "GET", ["limits"]:
                left = {"Max": self.per_day.calls, "Remaining": self.per_day.remaining}
                return 200, {"DailyApiRequests": left}
        if spoil:
            raise Refused("FIELD_CUSTOM_VALIDATION_EXCEPTION", "refused by a validation rule")
        body = request.json() if request.body else {}
        return self._resource(request.method, parts, body, request.query)

    def _asked(self, text: str, start: int = 0) -> dict[str, Any]:
        """One page; where there are more it says where (REST guide, Query)."""
        found = query(self.books, text)
        hidden = self.clock() - self.working
        records = [
            one for one in found["records"] if one["attributes"]["type"] != "Invoice" or self._made(one) <= hidden
        ]
        end = start + self.page
        shown = {"totalSize": len(records), "done": end >= len(records), "records": records[start:end]}
        if not shown["done"]:
            self.cursors.append(text)
            shown["nextRecordsUrl"] = f"{DATA}query/01gSANDBOX{len(self.cursors) - 1}-{end}"
        return shown

    def _made(self, record: Mapping[str, Any]) -> float:
        ident = record["attributes"]["url"].rpartition("/")[2]
        doc = self.books.shelf.get("Invoice", ident) or {}
        return float(doc.get("made", 0))

    def _resource(self, method: str, parts: list[str], body: Any, asked: Mapping[str, str]) -> tuple[int, Any]:
        """One record, or an action of the invoicing API; what parts of composite calls may ask too."""
        match method, parts:
            case "POST", ["commerce", "invoicing", "invoices", "collection", "actions", "ingest"]:
                answer = billing.ingest(self.books, body)
                if (ident := answer["invoices"][0]["invoiceId"]) is not None:
                    doc = self.books.get("Invoice", ident)
                    self.books.shelf.put("Invoice", ident, doc | {"made": self.clock()})
                return 201, answer
            case "POST", ["commerce", "invoicing", "invoices", ident, "actions", "void"]:
                return 200, billing.void(self.books, ident)
            case "POST", ["sobjects", kind]:
                return 201, {"id": self.books.insert(kind, body), "success": True, "errors": []}
            case "GET", ["sobjects", kind, "describe"]:
                return 200, self.books.describe(kind)
            case "GET", ["sobjects", kind, ident]:
                doc = self.books.get(kind, ident)
                wanted = asked["fields"].split(",") if "fields" in asked else [*self.books.fields(kind), "Name"]
                return 200, {"attributes": {"type": kind}, "Id": ident, **{name: doc.get(name) for name in wanted}}
            case "PATCH", ["sobjects", kind, ident]:
                self.books.update(kind, ident, body)
                return 204, None
            case (("GET" | "PATCH"), ["sobjects", kind, field, value]):
                return self._by_field(method, kind, field, value, body)
            case "DELETE", ["sobjects", kind, ident]:
                self.books.get(kind, ident)
                self.books.shelf.drop(kind, ident)
                return 204, None
        raise Refused("METHOD_NOT_ALLOWED", f"HTTP Method '{method}' not allowed for {parts}", status=405)

    def _by_field(self, method: str, kind: str, field: str, value: str, body: Any) -> tuple[int, Any]:
        """By an external id: read, or made or changed (upsert)."""
        if not (known := self.books.fields(kind).get(field)) or not known.unique:
            raise Refused("NOT_FOUND", f"Provided external ID field does not exist: {field}", status=404)
        found = self.books.shelf.all(kind, **{field: value})
        if method == "GET":
            if not found:
                raise Refused("NOT_FOUND", "The requested resource does not exist", status=404)
            return 200, self.books.get(kind, found[0]["Id"])
        if found:
            self.books.update(kind, found[0]["Id"], body)
            return 200, {"id": found[0]["Id"], "success": True, "errors": [], "created": False}
        ident = self.books.insert(kind, {**body, field: value})
        return 201, {"id": ident, "success": True, "errors": [], "created": True}

    # -- many in one call --------------------------------------------------------------------------------------------

    def _composite(self, body: Mapping[str, Any], spoil: bool) -> dict[str, Any]:
        parts = body["compositeRequest"]
        if len(parts) > MOST_PARTS:
            raise Refused("INVALID_INPUT", f"Composite request exceeds the limit of {MOST_PARTS} subrequests")
        return {"compositeResponse": self._together(parts, spoil, all_or_none=body.get("allOrNone") is True)[0]}

    def _graphs(self, graphs: list[Mapping[str, Any]], spoil: bool) -> dict[str, Any]:
        """Answered in another order than asked, as nobody may rely on one."""
        nodes = sum(len(graph["compositeRequest"]) for graph in graphs)
        if len(graphs) > MOST_GRAPHS or nodes > MOST_NODES:
            raise Refused("INVALID_INPUT", f"at most {MOST_GRAPHS} graphs and {MOST_NODES} nodes; there are {nodes}")
        if len({graph["graphId"] for graph in graphs}) != len(graphs):
            raise Refused("INVALID_INPUT", "graphId must be unique")
        answers, failed = [], 0
        for place, graph in enumerate(graphs):
            parts = graph["compositeRequest"]
            if failed > MOST_FAILURES:
                answer, good = [_part(part, 400, [_halted()]) for part in parts], False
            else:
                answer, good = self._together(parts, spoil and place == len(graphs) - 1, all_or_none=True)
            failed += not good
            made = {"graphId": graph["graphId"], "graphResponse": {"compositeResponse": answer}, "isSuccessful": good}
            answers.append(made)
        return {"graphs": answers[::-1]}

    def _together(self, parts: list[Mapping[str, Any]], spoil: bool, *, all_or_none: bool) -> tuple[list[Any], bool]:
        answers: list[dict[str, Any]] = []
        ids: dict[str, str] = {}
        good = True
        self.db.execute("SAVEPOINT together")
        for place, part in enumerate(parts):
            spoilt = spoil and place == len(parts) - 1
            act = partial(self._composed, part, ids)
            status, value = self._attempted(act, "FIELD_CUSTOM_VALIDATION_EXCEPTION" if spoilt else "")
            good = good and status < 400
            if isinstance(value, dict) and "id" in value:
                ids[part["referenceId"]] = value["id"]
            answers.append(_part(part, status, value))
            if not good and all_or_none:
                self.db.execute("ROLLBACK TO together")
                real = answers[place]
                answers = [real if one is part else _part(one, 400, [_halted()]) for one in parts]
                break
        self.db.execute("RELEASE together")
        return answers, good

    def _batch(self, parts: list[Mapping[str, Any]], spoil: bool) -> dict[str, Any]:
        if len(parts) > MOST_PARTS:
            raise Refused("INVALID_INPUT", f"Batch request exceeds the limit of {MOST_PARTS} subrequests")
        results = []
        for place, part in enumerate(parts):
            path = part["url"].partition("/")[2].split("/")
            act = partial(self._resource, part["method"], path, part.get("richInput"), {})
            spoilt = spoil and place == len(parts) - 1
            status, value = self._attempted(act, "INVALID_API_INPUT" if spoilt else "")
            results.append({"statusCode": status, "result": value})
        return {"hasErrors": any(one["statusCode"] >= 400 for one in results), "results": results}

    def _composed(self, part: Mapping[str, Any], ids: Mapping[str, str]) -> tuple[int, Any]:
        return self._resource(part["method"], _address(part["url"], ids), _linked(part.get("body"), ids), {})

    def _attempted(self, act: Callable[[], tuple[int, Any]], spoilt: str) -> tuple[int, Any]:
        """Status and body of one part; `spoilt`: refused with this code."""
        try:
            with savepoint(self.db):
                if spoilt:
                    raise Refused(spoilt, "refused by a validation rule")
                return act()
        except Refused as refused:
            return refused.status, [refused.error]

    # -- for strangers -----------------------------------------------------------------------------------------------

    def customers(self) -> list[tuple[str, str]]:
        contacts = [doc for doc in self.books.all("Contact") if doc.get("AccountId")]
        return [(self.books.get("Account", doc["AccountId"])["Name"], doc.get("Email", "")) for doc in contacts]

    def ledger(self) -> list[Entry]:
        return [
            *self._entries("Billhook_Invoice__c", "Billhook_Invoice_Line__c", CUSTOM),
            *self._entries("blng__Invoice__c", "blng__InvoiceLine__c", PACKAGE),
            *self._entries("Invoice", "", STANDARD),
        ]

    def credits(self) -> list[Entry]:
        names = CUSTOM | {"invoice": "Credit_Note__c"}
        return list(self._entries("Billhook_Credit_Note__c", "Billhook_Credit_Note_Line__c", names))

    def _entries(self, kind: str, lines: str, names: Mapping[str, str]) -> Iterator[Entry]:
        for doc in self.books.all(kind):
            below = self.books.shelf.all(lines, **{names["invoice"]: doc["Id"]}) if lines else []
            rows = [f"{one[names['text']]} × {one.get(names['quantity'])} @ {one.get(names['price'])}" for one in below]
            account = self.books.get("Account", doc[names["account"]])
            amount = Decimal(doc.get(names["total"]) or 0)
            yield Entry(
                id=doc["Id"],
                reference=doc[names["reference"]] or "",
                key=doc.get(names["key"]) or "",
                customer=account["Name"],
                lines=tuple(doc.get("lines") or rows),
                currency=doc["CurrencyIsoCode"],
                total=f"{amount:.2f}" if amount == round(amount, 2) else f"{amount}",
                status=STATUSES[doc[names["status"]]],
            )


CUSTOM = {
    "key": "Billhook_Key__c", "reference": "Order_Reference__c", "account": "Account__c", "total": "Total__c",
    "status": "Status__c", "invoice": "Invoice__c", "text": "Description__c", "quantity": "Quantity__c",
    "price": "Unit_Price__c",
}  # fmt: skip
PACKAGE = {
    "key": "Billhook_Key__c", "reference": "Billhook_Reference__c", "account": "blng__Account__c",
    "total": "blng__TotalAmount__c", "status": "blng__InvoiceStatus__c", "invoice": "blng__Invoice__c",
    "text": "blng__Notes__c", "quantity": "blng__Quantity__c", "price": "blng__Subtotal__c",
}  # fmt: skip
STANDARD = {
    "key": "UniqueIdentifier", "reference": "InvoiceNumber", "account": "BillingAccountId",
    "total": "TotalAmountWithTax", "status": "Status",
}  # fmt: skip


def _errors(status: int, code: str, message: str) -> Response:
    return Response.json(status, [{"message": message, "errorCode": code}])


def _halted() -> dict[str, str]:
    return {"errorCode": "PROCESSING_HALTED", "message": HALTED}


def _part(part: Mapping[str, Any], status: int, value: Any) -> dict[str, Any]:
    return {"body": value, "httpHeaders": {}, "httpStatusCode": status, "referenceId": part["referenceId"]}


def _address(url: str, ids: Mapping[str, str]) -> list[str]:
    """The path of a part below the version, with the ids that earlier parts made."""
    return [unquote(_linked(part, ids)) for part in url.removeprefix(DATA).strip("/").split("/")]


def _linked(value: Any, ids: Mapping[str, str]) -> Any:
    """The value with `@{name.id}` replaced; every such text is taken for a reference, whoever wrote it."""
    if isinstance(value, dict):
        return {name: _linked(inner, ids) for name, inner in value.items()}
    if not isinstance(value, str) or "@{" not in value:
        return value
    found = re.search(r"@\{(\w+)\.id\}", value)
    if found is None or found[1] not in ids:
        raise Refused("PROCESSING_HALTED", f"Invalid reference specified: {value[:60]}")
    return value.replace(found[0], ids[found[1]])


def _parsed(response: Response) -> dict[str, Any]:
    return dict(Request("GET", "/", {}, response.body).json())
