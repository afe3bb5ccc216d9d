"""Microsoft Dynamics 365, emulated: a Business Central environment, a Finance & Operations one, tokens of one tenant.

Paths as in production, three hosts on one: `/{tenant}/oauth2/v2.0/token` (login.microsoftonline.com), `/v2.0/…`
(api.businesscentral.dynamics.com), `/data/…` and `/api/services/…` (an environment of operations.dynamics.com). Limits
from "Operational limits for Business Central online": 6,000 requests in five minutes, 100 operations in a batch; over
them 429 without Retry-After. Batches: JSON there (each request stands alone), multipart here (a change set is all or
nothing).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from email.message import Message
from email.parser import BytesParser
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from connectors.sandbox.base import Entry, Request, Response, Rolling
from connectors.sandbox.desk import App, State
from connectors.sandbox.dynamics365_answers import Invalid, paged
from connectors.sandbox.dynamics365_companies import Company
from connectors.sandbox.dynamics365_credits import CreditMemos
from connectors.sandbox.dynamics365_entities import SERVICE, Entity
from connectors.sandbox.gate import Gated
from connectors.sandbox.savepoint import savepoint
from connectors.sandbox.shelf import written

TENANT = "contoso.example"
CLIENT_ID = "00000000-0000-4000-8000-00000000c11e"
CLIENT_SECRET = "sandbox~client~secret"  # noqa: S105 - opens nothing but this emulator
ACCESS_TOKEN = "sandbox.entra.access-token"  # noqa: S105
COMPANY = "5c3a1f0e-0000-4000-8000-00000000c001"
TOKENS = f"/{TENANT}/oauth2/v2.0/token"
API = f"/v2.0/{TENANT}/production/api/v2.0"
SCOPES = {"https://api.businesscentral.dynamics.com/.default", "https://contoso.operations.dynamics.com/.default"}
MOST = 100
APP = App(CLIENT_ID, CLIENT_SECRET, ACCESS_TOKEN, access_lives=3599, client="body", grants=("client_credentials",))
HOLDS = "Customer Posting Group must have a value in Customer: No.=C00690."
"""What the fault refuse_element is answered with."""


class Dynamics365(Gated):
    """Both environments; their quotas and books are apart."""

    slug = "dynamics365"
    app, grant_at = APP, TOKENS
    central_rows, finops_rows = 20_000, 10_000
    """Rows of a page."""
    sample = f"""
client_id = "{CLIENT_ID}"
client_secret = "{CLIENT_SECRET}"
[shop.myshop.account.dynamics365.settings]
tenant_id = "{TENANT}"
company_id = "{COMPANY}"
sales_account = "40400"
rounding_account = "80990"
tax = {{ "20" = "VAT20", "5" = "VAT5", "0" = "VAT0" }}
"""

    def setup(self) -> None:
        self.per_five_minutes = Rolling(6000, 300)
        super().setup()
        self.company = Company(self.shelf, self.mail, lambda: str(datetime.fromtimestamp(self.clock(), UTC).date()))
        self.memos = CreditMemos(self.company)
        self.entity = Entity(self.shelf)

    # -- what the frame asks ---------------------------------------------------------------------------------------

    def creates(self, request: Request) -> bool:
        return request.method in {"POST", "DELETE"} and request.path != TOKENS

    def too_many(self, retry_after: float) -> Response:
        return Invalid(429, "Application_TooManyRequests", "Too many requests. CorrelationId: sandbox.").response

    def failure(self, status: int) -> Response:
        said = "Cannot establish a connection to the SQL Server/Database."
        return Invalid(status, "Internal_ServerError", said).response

    def customers(self) -> list[tuple[str, str]]:
        return self.company.customers() + self.entity.customers()

    def ledger(self) -> list[Entry]:
        return self.company.ledger() + self.entity.ledger()

    def credits(self) -> list[Entry]:
        return self.memos.entries()

    # -- the door --------------------------------------------------------------------------------------------------

    def token(self, request: Request) -> Response:
        if dict(request.form()).get("scope") not in SCOPES:
            return Response.json(400, {"error": "invalid_scope", "error_description": "AADSTS70011"})
        return self.desk.token(request)

    def unauthorized(self, state: State) -> Response:
        said = "The server has rejected the client credentials.  CorrelationId:  sandbox."
        return Invalid(401, "Authentication_InvalidCredentials", said).response

    def limits(self, request: Request) -> list[Rolling]:
        return [self.per_five_minutes] if request.path.startswith("/v2.0/") else []

    def route(self, request: Request) -> Response:
        return self._central(request) if request.path.startswith("/v2.0/") else self._finops(request)

    # -- Business Central ------------------------------------------------------------------------------------------

    def _central(self, request: Request) -> Response:
        if not request.path.startswith(f"{API}/"):
            raise Invalid(404, "Internal_TenantUnavailable", "The environment does not exist.")
        path = request.target.removeprefix(API).lstrip("/")
        spoils = request.fault == "refuse_element"
        if path == "$batch":
            return self._batch(_object(request.body), spoils)
        if spoils and request.method == "POST":
            raise Invalid(400, "Application_FieldValidationException", HOLDS)
        given = _object(request.body) if request.body else {}
        return self._one(request.method, path, given, request.headers)

    def _batch(self, body: Mapping[str, Any], spoils: bool) -> Response:
        """Each request by itself; what one did stays, whatever the others do."""
        asked = body.get("requests")
        if not isinstance(asked, list) or len(asked) > MOST:
            raise Invalid(400, "BadRequest", f"A batch has at most {MOST} operations.")
        last = max((place for place, each in enumerate(asked) if each["method"] != "GET"), default=-1)
        answers = []
        for place, each in enumerate(asked):
            headers = {name.lower(): value for name, value in (each.get("headers") or {}).items()}
            try:
                if spoils and place == last:
                    raise Invalid(400, "Application_FieldValidationException", HOLDS)
                response = self._one(each["method"], each["url"], each.get("body") or {}, headers)
            except Invalid as error:
                response = error.response
            shown = {"body": json.loads(response.body)} if response.body else {}
            answers.append({"id": each.get("id"), "status": response.status, "headers": {}, **shown})
        return Response.json(200, {"responses": answers})

    def _one(self, method: str, target: str, given: Mapping[str, Any], headers: Mapping[str, str]) -> Response:
        parts, query = urlsplit(target), dict(parse_qsl(urlsplit(target).query))
        found = re.fullmatch(r"companies\(([^)]*)\)(?:/(\w+)(?:\(([^)]*)\))?(?:/(.*))?)?", unquote(parts.path))
        if not found or found[1] != COMPANY:
            raise Invalid(404, "Internal_CompanyNotFound", "Can't process the request: the company can't be found.")
        _, name, ident, action = found.groups()
        match method, name, ident, action:
            case "GET", None, None, None:
                return _shown(200, {"id": COMPANY, "name": "CRONUS UK Ltd.", "displayName": "CRONUS UK Ltd."})
            case "GET", str(), None, None:
                return _shown(200, paged(self.company.rows(name, query), query, self.central_rows, parts.path))
            case "GET", "salesInvoices", str(), None:
                return _shown(200, self.company.shown(self.company.need(ident), query))
            case "GET", "salesCreditMemos", str(), None:
                return _shown(200, self.company.shown(self.memos.need(ident), query))
            case "GET", "salesInvoices", str(), str() if action == f"pdfDocument({ident})/content":
                doc = self.company.need(ident)
                return Response.pdf(doc["number"], doc["totalAmountIncludingTax"])
            case "POST", "customers", None, None:
                return _shown(201, self.company.create_customer(given))
            case "POST", "salesInvoices", None, None:
                return _shown(201, self.company.shown(self.company.create_invoice(given), {}))
            case "POST", "salesInvoices", str(), str() if action.startswith("Microsoft.NAV."):
                self.company.act(ident, action.removeprefix("Microsoft.NAV."))
                return Response(204)
            case "POST", "salesCreditMemos", None, None:
                return _shown(201, self.company.shown(self.memos.create(given), {}))
            case "POST", "salesCreditMemos", str(), str() if action.startswith("Microsoft.NAV."):
                self.memos.act(ident, action.removeprefix("Microsoft.NAV."))
                return Response(204)
            case "DELETE", "salesInvoices", str(), None:
                self.company.delete(ident, headers.get("if-match"))
                return Response(204)
        raise Invalid(405, "BadRequest_MethodNotAllowed", f"'{method}' requests for '{name}' are not allowed.")

    # -- Finance & Operations --------------------------------------------------------------------------------------

    def _finops(self, request: Request) -> Response:
        path = unquote(request.path)
        spoils = request.fault == "refuse_element" and request.method == "POST"
        if path == "/data/$batch":
            return self._change_sets(request, spoils)
        if spoils:
            raise Invalid(400, "", "Write failed for table row. Infolog: Error: Posting profile does not exist")
        if request.method == "POST" and path == SERVICE:
            return _shown(200, self.entity.post(_object(request.body)))
        found = re.fullmatch(r"/data/(\w+)(?:\(dataAreaId='gbsi',InvoiceIdentifier=(\d+)\))?", path)
        if not found:
            raise Invalid(404, "", "No HTTP resource was found that matches the request URI.")
        if request.method == "POST":
            return _shown(201, self.entity.create(found[1], _object(request.body)))
        if found[2]:
            return _shown(200, self.entity.need(found[2]))
        rows = self.entity.rows(found[1], request.query)
        return _shown(200, paged(rows, request.query, self.finops_rows, request.path))

    def _change_sets(self, request: Request, spoils: bool) -> Response:
        """Each change set is all or nothing, and apart from the others."""
        kind = request.headers.get("content-type", "")
        batch = BytesParser().parsebytes(f"Content-Type: {kind}\r\n\r\n".encode() + request.body)
        if not batch.is_multipart() or "boundary" not in kind:
            raise Invalid(400, "", "The batch is not multipart/mixed.")
        sets: list[Message] = [part for part in batch.get_payload() if isinstance(part, Message)]
        answers = [self._change_set(part, spoils and part is sets[-1]) for part in sets]
        body = "".join(f"--answers\r\n{answer}\r\n" for answer in answers) + "--answers--\r\n"
        return Response(200, body.encode(), {"Content-Type": "multipart/mixed; boundary=answers"})

    def _change_set(self, changes: Message, spoils: bool) -> str:
        operations: list[Any] = [part for part in changes.walk() if part.get_content_type() == "application/http"]
        shown = []
        try:
            with savepoint(self.db):
                for part in operations:
                    head, _, body = part.get_payload(decode=True).partition(b"\r\n\r\n")
                    method, path, _ = head.decode().splitlines()[0].split()
                    if method != "POST" or spoils:
                        said = "Write failed for table row. Infolog: Error: Posting profile does not exist"
                        raise Invalid(400, "", said)
                    made = self.entity.create(path.removeprefix("/data/"), _object(body))
                    shown.append(_part(part["Content-ID"], 201, made))
        except Invalid as error:
            return _part(part["Content-ID"], error.status, json.loads(error.response.body))
        inside = "".join(f"--set\r\n{each}\r\n" for each in shown)
        return f"Content-Type: multipart/mixed; boundary=set\r\n\r\n{inside}--set--"


def _part(name: str, status: int, body: Any) -> str:
    return (
        f"Content-Type: application/http\r\nContent-Transfer-Encoding: binary\r\nContent-ID: {name}\r\n\r\n"
        f"HTTP/1.1 {status} Status\r\nContent-Type: application/json\r\n\r\n{written(body)}"
    )


def _shown(status: int, body: Any) -> Response:
    return Response.json(status, body)


def _object(body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body, parse_float=Decimal)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise Invalid(400, "BadRequest", "Invalid Request Body")
    return found
