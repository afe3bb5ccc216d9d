"""Oracle Fusion Cloud ERP, Receivables: REST resources `receivablesInvoices` and `receivablesCreditMemos`, 11.13.18.05.

Sources: docs.oracle.com, REST API for Oracle Financials (Receivables Invoices: create, get, find, complete and
incomplete, error messages; Receivables Customer Account Site Activities and its finder by AccountNumber; the lists
outputTaxClassificationsLOV and finBusinessUnitsLOV), My Oracle Support 2800010.1 (AR-857798: "You can only create a
complete invoice"), REST API for Oracle CX (hubOrganizations and their addresses), SOAP Web Services for Oracle CX
("Create a Basic Customer Account", crmService/CustomerAccountService), the manual of AutoInvoice (a number is unique
inside a transaction source), configure_oauth (tokens of the identity domain) and "Client/User JWT Assertion".

Credit memos: "Create Receivables Credit Memos" with its examples (on account only, negative prices); SOAP Web Services
for Financials, "Receivables Credit Memo" and "Receivables On-Account Credit Memo Application Service" (namespace and
attributes of CreditMemoService); the fields of an answer from CData's tables and other people's clients of release 26.

"Perform Batch Actions" (all or none, worked off in order, no greatest size), "Perform Bulk Update on Multiple Invoices"
(the batch of this resource).

Traps: `/invoices` of the same service is Payables. An Upsert-Mode with an undocumented match. A batch names only the
part that failed, and keeps none. Errors are JSON or plain text. A refusal may mean that the number is taken, in words
nobody has published: after one it is looked.
"""

from __future__ import annotations

import base64
import html
import re
from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any, ClassVar
from urllib.parse import quote

from connectors.assertions import Asserted
from connectors.errors import Duplicate, Unauthorized
from connectors.http import Answer
from connectors.model import RemoteInvoice
from connectors.platforms import oracle_erp_documents as documents
from connectors.platforms import oracle_erp_words as words
from connectors.platforms.base import Choice, Platform
from connectors.platforms.documents import Request, posted
from connectors.platforms.facts import Facts, Reference, Refusal
from connectors.platforms.oracle_erp_documents import FINANCIALS, INVOICES, SOAP


class OracleErp(Platform):
    """In Oracle Fusion an invoice is a transaction of Receivables. It is complete (on the customer's balance) as soon
    as it is made, since Fusion takes no drafts this way. Create a transaction source of its own for Billhook with
    manual numbering: inside a source a number is given once, so Fusion itself refuses a second invoice, and without it
    Billhook would not find what it made. Numbers have at most 20 characters. The order's discount is spread over the
    lines, as negative lines need a special transaction type; prices are sent without tax and Fusion computes the tax by
    the tax classification code of each line. Where its rounding (`tax_rounding`) would differ from the order, each
    line's tax is stated (`tax_regime`), and the trail says so; without `tax_regime` such an order is held.

    A customer is a party with an address and a customer account, both numbered by Billhook; `reference_set` is needed
    to make them. Customers of yours are not recognised by their e-mail address, which Fusion cannot be asked for: the
    usual way of a web shop is one customer account for all its orders (`customer` of the account, and `bill_to_site`).
    In a currency other than the ledger's the conversion rate is that of `conversion_rate_type` on the invoice's day.
    Up to ten invoices leave in one batch, of which Fusion keeps all or none: a refused one is halved until the invoice
    at fault stands alone, and nothing is sent again before its number was looked for.
    Voiding sets an invoice back to Incomplete, which takes it off the balance; a person deletes it. Fusion mails by a
    process of its own; Billhook tells the customer.
    What is refunded becomes a credit memo (`credit_type`) on the customer's account, in the same source and under a
    number of its own, and is then applied to its invoice as far as that is due; with `apply_credits = false` your own
    matching does that.

    - **Proved with:** the emulator, written from Oracle's reference pages. There is no SDK for Python and no schema to
      check against.
    - **Open:** the names of the two amounts that are compared (`EnteredAmount`, `InvoiceBalanceAmount`) come from other
      people's clients, so try one invoice on a test pod first; the length of a number; the text of a number that is
      taken (a refusal is followed by a look, so it does not matter); whether the SOAP service for customer accounts
      keeps our account number and takes the token of the identity domain, whether the id of a party's address is that
      of its site, whether an account's only site need not be named, and whether your Fusion demands a customer profile
      besides; the fields of the list of tax codes; the exact scope; whether a batch takes new invoices (`create` is an
      operation of every batch, Oracle's example for invoices updates them): a pod that refuses it gets them one by one,
      at the price of refused calls, so set `bulk = 1` there. No limits are published: two calls at a time, ten invoices
      a batch. How long a line's description may be is Fusion's to say: a longer one is refused there.
      Credit memos: the name of the SOAP operation that applies one (it follows from those of its neighbours; after it
      is answered the credit memo is read, and one that is not applied is said to be open: then set
      `apply_credits = false`), `TransactionBalanceDue` and `CreditMemoStatus` (names from other people's clients),
      approvals of credit memos (releases from 26A on), flexfields that credit memos demand (`further` is for invoices).
      Lists: whether TransactionDate can be compared in `q`, and pages of 100.
    """

    facts = Facts(
        slug="oracle_erp",
        title=words.TITLE,
        docs="https://docs.oracle.com/en/cloud/saas/financials/25d/farfa/api-receivables-invoices.html",
        base_url="https://servername.fa.us2.oraclecloud.com",
        auth="OAuth 2 of the identity domain: client credentials, JWT; or an integration user",
        reference=Reference("TransactionNumber", max_length=words.NUMBER, unique=True),
        key_field="Comments",
        concurrent=2,
        bulk=documents.Invoices.bulk,
        quiet=timedelta(minutes=15),
        pause=timedelta(minutes=1),
        deadline=120.0,
        can=frozenset({"issue", "void", "credit", "list"}),
    )
    Settings = words.OracleErpSettings
    Credentials = words.OracleErpCredentials
    Customers = documents.Customers
    Invoices = documents.Invoices
    Credits = documents.CreditMemos
    invoices: documents.Invoices
    settings: words.OracleErpSettings
    headers: ClassVar[Mapping[str, str]] = {"Accept": "application/json", "REST-Framework-Version": "4"}
    refusals = (Refusal(Duplicate, 400, "already exists"),)

    @classmethod
    def tenant(cls, settings: words.OracleErpSettings, credentials: words.OracleErpCredentials) -> str:
        return settings.host.lower()

    @classmethod
    def address(cls, settings: words.OracleErpSettings) -> str:
        return f"https://{settings.host}"

    @classmethod
    def static_headers(cls, credentials: words.OracleErpCredentials) -> Mapping[str, str] | None:
        if credentials.password is None:
            return None
        user = f"{credentials.username}:{credentials.password.get_secret_value()}"
        return {"Authorization": f"Basic {base64.b64encode(user.encode()).decode()}"}

    @classmethod
    def grant(cls, settings: words.OracleErpSettings, credentials: words.OracleErpCredentials) -> Asserted | None:
        """Tokens of an application, or of a user whom it speaks for by a signed assertion."""
        if credentials.password is not None:
            return None
        if not settings.identity_domain or not settings.scope:
            raise Unauthorized("set identity_domain and scope in the account's settings: client_id needs both")
        return Asserted(
            f"https://{settings.identity_domain}/oauth2/v1/token",
            scopes=(settings.scope,),
            audience=("https://identity.oraclecloud.com/",),
            key_name="certificate_alias",
        )

    def leaving(self, request: Request, proof: Mapping[str, str]) -> Request:
        call = super().leaving(request, proof)
        return call.model_copy(update={"body": documents.parted(call.body)}) if call.path == SOAP else call

    def error_message(self, answer: Answer) -> tuple[str, str | None]:
        """JSON, a SOAP fault, or plain text."""
        text = answer.body.decode().strip()
        if fault := re.search(r"<faultstring>(.*?)</faultstring>", text, re.DOTALL):
            return html.unescape(fault[1]), None
        if text.startswith("{"):
            body = answer.json()
            details = body.get("o:errorDetails") or [{"detail": body["title"]}]
            return "; ".join(str(one["detail"]) for one in details), details[0].get("o:errorCode")
        if not text or text.startswith("<"):
            raise ValueError
        return text, None

    def items(self, path: str, query: Mapping[str, str]) -> list[Mapping[str, Any]]:
        """What a collection holds. Raises the errors of a read; an answer with more pages is not read."""
        answer = self.ask(path, {"onlyData": "true", "limit": "25", **query})

        def whole(body: Any) -> list[Mapping[str, Any]]:
            if body["hasMore"] is not False:
                raise ValueError
            return list(body["items"])

        return self.told(answer, whole)

    def read(self, remote_id: str) -> RemoteInvoice:
        return self.invoices.read(remote_id)

    def since(self, day: date) -> list[RemoteInvoice]:
        return self.invoices.since(day)

    def undo(self, found: RemoteInvoice, key: str) -> RemoteInvoice:
        """Possible while nothing is applied to it and it is not accounted for; else Fusion refuses."""
        path = f"{INVOICES}/{quote(found.id, safe='')}"
        self.execute(posted("void", path, {"InvoiceStatus": "Incomplete"}, method="PATCH"))
        return self.read(found.id)

    def whoami(self) -> str:
        """The business unit, whose invoices can be read."""
        unit, source = self.settings.business_unit, self.settings.transaction_source
        finder = f'invoiceSearch;BusinessUnit="{unit}",TransactionSource="{source}"'
        answer = self.ask(INVOICES, {"onlyData": "true", "limit": "1", "finder": finder})
        self.told(answer, lambda body: body["items"])
        return f"{unit} ({self.settings.host})"

    def options(self) -> list[Choice]:
        most = {"onlyData": "true", "limit": "500"}
        units = self.ask(f"{FINANCIALS}/finBusinessUnitsLOV", most)
        names = self.told(units, lambda body: [str(raw["BusinessUnitName"]) for raw in body["items"]])
        taxes = self.ask(f"{FINANCIALS}/outputTaxClassificationsLOV", most)
        codes = self.told(taxes, lambda body: {_code(raw): raw.get("Meaning") for raw in body["items"]})
        return [
            *(Choice(setting="business_unit", value=name, title=name) for name in names),
            *(Choice(setting="tax", value=code, title=title or code) for code, title in codes.items()),
        ]


def _code(raw: Mapping[str, Any]) -> str:
    """The code of a tax classification, by its name there or by that of a lookup."""
    return str(raw.get("TaxClassificationCode") or raw["LookupCode"])
