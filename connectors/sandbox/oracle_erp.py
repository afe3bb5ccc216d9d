"""Oracle Fusion, emulated: Receivables invoices, parties and customer accounts of one pod with its identity domain.

Paths as in production, hosts dropped: `/oauth2/v1/token` (identity domain), `/fscmRestApi/…`, `/crmRestApi/…` and the
SOAP services `/crmService/CustomerAccountService` and `/fscmService/CreditMemoService`. Fields and lengths from the
reference of release 25D; no limits are published for Fusion, and none are kept. Tax is rounded on each line; the period
of 2020 is closed. The texts of refusals follow the names on the page of error messages, the shapes the REST framework
version 4.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from html import unescape
from typing import Any

from connectors.sandbox.base import Entry, Request, Response
from connectors.sandbox.desk import App, State
from connectors.sandbox.gate import Gated
from connectors.sandbox.oracle_erp_answers import SPOILT, Refused, envelope, fault, page, problem
from connectors.sandbox.oracle_erp_credits import SOAP as APPLICATIONS
from connectors.sandbox.oracle_erp_credits import CreditMemos
from connectors.sandbox.shelf import Doc
from connectors.sandbox.sums import exact, half_up, places, total

CLIENT_ID = "sandboxfusionclient"
CLIENT_SECRET = "sandbox-fusion-secret"  # noqa: S105 - opens nothing but this emulator
ACCESS_TOKEN = "sandbox-fusion-access-token"  # noqa: S105
USERNAME, PASSWORD = "billhook.integration", "Sandbox#Fusion1"
ALIAS, ASSERTED = "billhook-key", "urn:ietf:params:oauth:grant-type:jwt-bearer"
SCOPE = "urn:opc:resource:fusion:sandbox:api"
UNIT, SOURCE, TYPE, TERMS, LEDGER = "Analytical UK BU", "Billhook", "Invoice", "14 Net", "GBP"
FINANCIALS = "/fscmRestApi/resources/11.13.18.05/"
PARTIES = "/crmRestApi/resources/11.13.18.05/hubOrganizations"
SOAP = "/crmService/CustomerAccountService"
HZ = "http://xmlns.oracle.com/apps/cdm/foundation/parties/customerAccountService/applicationModule/types/"
TAXES = {"VAT20": Decimal(20), "VAT5": Decimal(5), "VAT0": Decimal(0)}
HEAD = {
    "BusinessUnit": 240, "TransactionSource": 50, "TransactionType": 20, "TransactionNumber": 20, "TransactionDate": 10,
    "AccountingDate": 10, "DueDate": 10, "PaymentTerms": 15, "InvoiceCurrencyCode": 15, "ConversionRateType": 30,
    "ConversionDate": 10, "BillToCustomerNumber": 30, "BillToSite": 150, "Comments": 240, "InternalNotes": 1000,
    "SpecialInstructions": 240, "CrossReference": 20, "InvoiceStatus": 20,
}  # fmt: skip
LINE = {"LineNumber", "Description", "Quantity", "UnitSellingPrice", "TaxClassificationCode"}
LINE_TAXES = "receivablesInvoiceLineTaxLines"
CODES = {"BusinessUnit": "AR_BU_NOT_FOUND", "TransactionSource": "AR_BATCH_SOURCE_NOT_FOUND"}


class OracleErp(Gated):
    """The pod. A source with manual numbering exists, a customer set 202, and no customers."""

    slug = "oracle_erp"
    app = App(CLIENT_ID, CLIENT_SECRET, ACCESS_TOKEN, grants=("client_credentials", ASSERTED))
    grant_at = "/oauth2/v1/token"
    sample = f"""
client_id = "{CLIENT_ID}"
client_secret = "{CLIENT_SECRET}"
[shop.myshop.account.oracle_erp.settings]
host = "sandbox.fa.us2.oraclecloud.com"
business_unit = "{UNIT}"
transaction_source = "{SOURCE}"
transaction_type = "{TYPE}"
payment_terms = "{TERMS}"
ledger_currency = "{LEDGER}"
tax = {{ "20" = "VAT20", "5" = "VAT5", "0" = "VAT0" }}
tax_regime = "GB VAT"
reference_set = "202"
identity_domain = "idcs-sandbox.identity.oraclecloud.com"
scope = "{SCOPE}"
"""

    certificate = ""
    """The public key of the application's certificate, whose alias is `ALIAS`."""

    def setup(self) -> None:
        super().setup()
        self.memos = CreditMemos(self)

    def creates(self, request: Request) -> bool:
        return super().creates(request) and not request.path.startswith("/oauth2/")

    def too_many(self, retry_after: float) -> Response:
        return problem(429, "Too Many Requests", "", {"Retry-After": f"{retry_after:g}"})

    def failure(self, status: int) -> Response:
        return problem(status, "Internal Server Error", "JBO-29000: Unexpected exception caught")

    # -- the door --------------------------------------------------------------------------------------------------

    def state(self, request: Request) -> State:
        return "good" if request.basic == f"{USERNAME}:{PASSWORD}" else super().state(request)

    def unauthorized(self, state: State) -> Response:
        return Response(401, b"", {"WWW-Authenticate": 'Bearer realm="fusion"'})

    def unreadable(self, error: Exception) -> Response:
        return problem(400, "Bad Request", f"The request body cannot be read: {error!r}")

    def token(self, request: Request) -> Response:
        """Of the application; for a user by an assertion that the application signed with `certificate`."""
        form = dict(request.form())
        if form.get("scope") != SCOPE:
            return Response.json(400, {"error": "invalid_scope"})
        if form.get("grant_type") == ASSERTED:
            audience = "https://identity.oraclecloud.com/"
            claims = self.desk.claims(form.get("assertion", ""), self.certificate, audience, ALIAS)
            if claims is None or claims["sub"] != USERNAME:
                return Response.json(400, {"error": "invalid_grant"})
        return self.desk.token(request)

    # -- routes ----------------------------------------------------------------------------------------------------

    def route(self, request: Request) -> Response:
        if request.method == "POST" and request.path in {SOAP, APPLICATIONS}:
            return self._soap(request)
        if request.path == PARTIES:
            return self._party(request.json()) if request.method == "POST" else self._parties(request.query)
        if not request.path.startswith(FINANCIALS):
            raise Refused("The resource does not exist", 404)
        where = request.path.removeprefix(FINANCIALS).strip("/").split("/")
        if where[0] == "receivablesCreditMemos":
            return self.memos.answer(request, where[1:])
        match request.method, where:
            case "POST", ["" | "receivablesInvoices" as single]:
                return self._single(request) if single else self._batch(request)
            case "GET", ["receivablesInvoices"]:
                return self._invoices(request.query)
            case "GET", ["receivablesInvoices", ident]:
                return Response.json(200, self._shown(self.invoice(ident)))
            case "PATCH", ["receivablesInvoices", ident]:
                return Response.json(200, self._shown(self._changed(ident, request.json())))
            case "DELETE", ["receivablesInvoices", ident]:
                self.invoice(ident)
                self.shelf.drop("invoice", ident)
                return Response(204)
            case "GET", ["finBusinessUnitsLOV"]:
                return page([{"BusinessUnitId": 204, "BusinessUnitName": UNIT}], request.query)
            case "GET", ["outputTaxClassificationsLOV"]:
                return page(
                    [{"LookupCode": code, "Meaning": f"VAT {rate} %"} for code, rate in TAXES.items()], request.query
                )
            case "GET", ["receivablesCustomerAccountSiteActivities"]:
                return self._accounts(request.query)
        raise Refused("The resource does not exist", 404)

    def _soap(self, request: Request) -> Response:
        act = self._account if request.path == SOAP else self.memos.applied
        try:
            return act(request.body.decode())
        except Refused as refused:
            return fault(str(refused))

    # -- invoices --------------------------------------------------------------------------------------------------

    def _single(self, request: Request) -> Response:
        if request.fault == "refuse_element":
            raise Refused(SPOILT)
        return Response.json(201, self._shown(self._created(request.json())))

    def _batch(self, request: Request) -> Response:
        """All or none, one after the other; of those that fail the first is named, in the middle by the fault."""
        if request.headers.get("content-type") != "application/vnd.oracle.adf.batch+json":
            raise Refused("The media type of the request is not supported")
        parts = request.json()["parts"]
        spoilt = len(parts) // 2 if request.fault == "refuse_element" else None
        done: list[dict[str, Any]] = []
        for number, part in enumerate(parts):
            if (part["path"], part["operation"]) != ("/receivablesInvoices", "create"):
                raise Refused(f"The action {part['operation']} isn't enabled for batch execution")
            if number == spoilt:
                raise Refused(SPOILT)
            done.append({**part, "payload": self._shown(self._created(part["payload"]))})
        if len({part["id"] for part in done}) < len(done):
            raise ValueError("ids")
        return Response.json(200, {"parts": done})

    def _created(self, body: dict[str, Any]) -> Doc:
        lines = body.pop("receivablesInvoiceLines")
        self.checked(body, HEAD)
        self.known(body, {"TransactionType": TYPE, "PaymentTerms": TERMS})
        if body.get("InvoiceStatus", "Complete") != "Complete":
            said = "You can only create a complete invoice. You can't create an incomplete or frozen invoice."
            raise Refused(f"{said} (AR-857798)")
        self.numbered(body)
        digits = places(body["InvoiceCurrencyCode"])
        made = [self.line(line, digits) for line in lines]
        amount = total(line["amount"] + line["tax"] for line in made)
        if amount < 0 or not made:
            raise Refused("The sign of the transaction does not agree with its type.")
        ident = str(300_100_170_996_427 + self.shelf.count("invoice"))
        doc = {"InvoiceStatus": "Complete", **body, "lines": made, "EnteredAmount": amount}
        return self.shelf.put("invoice", ident, {"CustomerTransactionId": ident, "InvoiceBalanceAmount": amount, **doc})

    @staticmethod
    def checked(body: Mapping[str, Any], known: Mapping[str, int]) -> None:
        """Raises `Refused` for an attribute that is not known, or too long."""
        for name, value in body.items():
            if name not in known:
                raise Refused(f"The attribute {name} is not valid", code="27014")
            if not isinstance(value, str) or len(value) > known[name]:
                raise Refused(f"The value of {name} exceeds the maximum length of {known[name]}")

    def numbered(self, body: Mapping[str, Any]) -> None:
        """Inside a source a number is given once, whatever the class of the transaction."""
        number = body.get("TransactionNumber")
        if not number:
            raise Refused("Enter a transaction number: the transaction source has manual numbering.")
        same = {"TransactionNumber": number, "TransactionSource": body["TransactionSource"]}
        if self.shelf.all("invoice", **same) or self.shelf.all("memo", **same):
            raise Refused("The transaction number must be unique within the transaction source.")

    def known(self, body: Mapping[str, Any], names: Mapping[str, str]) -> None:
        """What the names of a header stand for must be set up; `names`: of this class of transactions."""
        wanted = {"BusinessUnit": UNIT, "TransactionSource": SOURCE, **names}
        for name in (*wanted, "InvoiceCurrencyCode"):
            if not body.get(name):
                raise Refused(f"You must provide a value for {name}.")
        for name, value in wanted.items():
            if body[name] != value:
                raise Refused(f"The value of {name} isn't valid. ({CODES.get(name, 'AR')})")
        if not self.shelf.all("account", AccountNumber=body.get("BillToCustomerNumber", "")):
            raise Refused("The bill-to customer isn't valid. (AR_BILL_TO_CUST_NOT_FOUND)")
        foreign = body["InvoiceCurrencyCode"] != LEDGER
        if foreign and not (body.get("ConversionRateType") == "Corporate" and body.get("ConversionDate")):
            raise Refused("Enter a conversion rate type and a conversion date for a foreign currency.")
        if body.get("AccountingDate", "2020").startswith("2020"):
            raise Refused("The accounting date is not in an open accounting period.")

    @staticmethod
    def line(line: dict[str, Any], digits: int) -> dict[str, Any]:
        for name in line:
            if name not in LINE and name != LINE_TAXES:
                raise Refused(f"The attribute {name} is not valid", code="27014")
        text, code = line.get("Description"), line.get("TaxClassificationCode")
        if not text:
            raise Refused("A line needs an item, a memo line or a description. (AR_LINE_ATTR_OPT_REQ)")
        if len(text) > 240:
            raise Refused("The value of Description exceeds the maximum length of 240")
        if code not in TAXES:
            raise Refused(f"The tax classification code {code} isn't valid.")
        amount = half_up(exact(line["Quantity"]) * exact(line["UnitSellingPrice"]), digits)
        if amount < 0:
            raise Refused("The sign of the transaction line does not agree with its type.")
        stated = line.get(LINE_TAXES)
        for tax in stated or ():
            if tax.get("TaxRegimeCode") != "GB VAT" or tax.get("TaxRateCode") not in TAXES:
                raise Refused("The tax regime or the tax rate of the manual tax line isn't valid.")
        taxes = total(exact(tax["TaxAmount"]) for tax in stated) if stated else amount * TAXES[code] / 100
        return {**line, "amount": amount, "tax": half_up(taxes, digits)}

    def _invoices(self, query: Mapping[str, str]) -> Response:
        found = self.shelf.all("invoice")
        if "q" in query:
            asked = re.fullmatch(r"TransactionNumber='([^']*)'|TransactionDate>='(\d{4}-\d\d-\d\d)'", query["q"])
            if asked is None:
                raise Refused(f"The filter {query['q']} is not valid")
            if asked[2]:
                found = [doc for doc in found if doc["TransactionDate"] >= asked[2]]
            else:
                found = [doc for doc in found if doc["TransactionNumber"].casefold() == asked[1].casefold()]
        elif "finder" in query:
            name, _, variables = query["finder"].partition(";")
            wanted = dict(re.findall(r'(\w+)="([^"]*)"', variables))
            if name != "invoiceSearch" or not wanted.keys() <= {"BusinessUnit", "TransactionSource"}:
                raise Refused(f"The finder {query['finder']} is not valid")
            found = [doc for doc in found if all(doc[field] == value for field, value in wanted.items())]
        return page([self._shown(doc) for doc in found], query)

    def invoice(self, ident: str) -> Doc:
        return self.shelf.need("invoice", ident, Refused("The requested resource is not found", 404))

    def _changed(self, ident: str, body: Mapping[str, Any]) -> Doc:
        doc = self.invoice(ident)
        if not body.keys() <= {"InvoiceStatus", "PaymentTerms", "TransactionDate"}:
            raise Refused("You can only update InvoiceStatus, PaymentTerms and TransactionDate.")
        if doc["InvoiceBalanceAmount"] != doc["EnteredAmount"]:
            raise Refused("You can't incomplete a transaction that has activity.")
        return self.shelf.put("invoice", ident, doc | dict(body))

    @staticmethod
    def _shown(doc: Doc) -> Doc:
        """Children are links unless expanded."""
        fields = {name: value for name, value in doc.items() if name != "lines"}
        nothing = dict.fromkeys(("CrossReference", "SpecialInstructions", "Comments", "BillToSite"))
        return {**nothing, **fields, "CustomerTransactionId": int(doc["CustomerTransactionId"]), "DocumentNumber": None}

    # -- customers -------------------------------------------------------------------------------------------------

    def _party(self, body: Mapping[str, Any]) -> Response:
        known = {"PartyNumber", "OrganizationName", "EmailAddress", "Address"}
        if not body.keys() <= known or not body.get("OrganizationName") or len(body["OrganizationName"]) > 360:
            raise Refused("An attribute of the organization is missing, too long or not valid")
        number = body["PartyNumber"]
        if len(number) > 30 or self.shelf.all("party", PartyNumber=number):
            raise Refused(f"A party with the registry ID {number} already exists.")
        for place in body["Address"]:
            if not place.get("Address1") or len(place.get("Country", "")) != 2:
                raise Refused("The address needs a first line and a country")
        ident = 300_000_248_939_071 + 10 * self.shelf.count("party")
        addresses = [{**place, "AddressId": ident + 1 + n} for n, place in enumerate(body["Address"])]
        doc = {**body, "PartyId": ident, "Address": addresses}
        return Response.json(201, self.shelf.put("party", str(ident), doc))

    def _parties(self, query: Mapping[str, str]) -> Response:
        asked = re.fullmatch(r"PartyNumber='([^']*)'", query.get("q", ""))
        if asked is None:
            raise Refused(f"The filter {query.get('q')} is not valid")
        expanded = query.get("expand") == "Address"
        found = self.shelf.all("party", PartyNumber=asked[1])
        return page([doc if expanded else {k: v for k, v in doc.items() if k != "Address"} for doc in found], query)

    def _account(self, body: str) -> Response:
        """`mergeCustomerAccount` makes an account where none is named by its id."""
        if f'"{HZ}"' not in body or "mergeCustomerAccount>" not in body:
            raise Refused("The operation is not supported")
        given = dict(
            re.findall(r"<cus:(PartyId|AccountNumber|AccountName|PartySiteId|SetId|SiteUseCode)>([^<]*)<", body)
        )
        party = self.shelf.get("party", given["PartyId"])
        sites = [str(place["AddressId"]) for place in party["Address"]] if party else []
        if given["PartySiteId"] not in sites or given["SetId"] != "202" or given["SiteUseCode"] != "BILL_TO":
            raise Refused("JBO-FND:::HZ_API_INVALID_FK: a party, a party site, a set or a site use isn't valid")
        if self.shelf.all("account", AccountNumber=given["AccountNumber"]):
            raise Refused("JBO-HZ:::HZ_API_DUPLICATE_COLUMN: the account number must be unique")
        assert party is not None
        ident = str(300_100_590_899_663 + self.shelf.count("account"))
        doc = {
            "AccountId": int(ident), "AccountNumber": given["AccountNumber"], "CustomerName": party["OrganizationName"],
            "AccountName": unescape(given["AccountName"]), "BillToSiteUseId": int(ident) + 1,
            "BillToSiteNumber": given["PartySiteId"],
        }  # fmt: skip
        self.shelf.put("account", ident, doc)
        value = f"<ns1:CustomerAccountId>{ident}</ns1:CustomerAccountId>"
        value += f"<ns1:AccountNumber>{given['AccountNumber']}</ns1:AccountNumber>"
        result = f"<ns0:result><ns1:Value>{value}</ns1:Value></ns0:result>"
        name = "ns0:mergeCustomerAccountResponse"
        return envelope(200, f'<{name} xmlns:ns0="{HZ}">{result}</{name}>')

    def _accounts(self, query: Mapping[str, str]) -> Response:
        asked = re.fullmatch(r"CustomerAccountSiteActivitiesFinder;AccountNumber=([\w-]+)", query.get("finder", ""))
        if asked is None:
            raise Refused(f"The finder {query.get('finder')} is not valid")
        return page(self.shelf.all("account", AccountNumber=asked[1]), query)

    # -- for strangers -----------------------------------------------------------------------------------------------

    def customers(self) -> list[tuple[str, str]]:
        mails = {doc["OrganizationName"]: doc.get("EmailAddress", "") for doc in self.shelf.all("party")}
        names = [doc["CustomerName"] for doc in self.shelf.all("account")]
        return [(name, mails.get(name, "")) for name in names]

    def credits(self) -> list[Entry]:
        return self.memos.entries()

    def ledger(self) -> list[Entry]:
        names = {doc["AccountNumber"]: doc["CustomerName"] for doc in self.shelf.all("account")}
        return [
            Entry(
                id=doc["CustomerTransactionId"],
                reference=doc["TransactionNumber"],
                key=doc.get("Comments", ""),
                customer=names[doc["BillToCustomerNumber"]],
                lines=tuple(
                    f"{row['Description']} × {row['Quantity']} @ {row['UnitSellingPrice']}" for row in doc["lines"]
                ),
                currency=doc["InvoiceCurrencyCode"],
                total=f"{half_up(exact(doc['EnteredAmount']), places(doc['InvoiceCurrencyCode']))}",
                status="issued" if doc["InvoiceStatus"] == "Complete" else "void",
            )
            for doc in self.shelf.all("invoice")
        ]
