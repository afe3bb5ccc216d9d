"""A company in QuickBooks Online, Accounting API v3, minor version 75. Invoices are posted at once: no drafts.

Sources: developer.intuit.com, API reference (Invoice, Customer, Batch, CreditMemo, Payment), "Basic field definitions"
(requestid), "Query operations and syntax", "API call limits and throttles", "Manage sales tax" for US and non-US
locales; error bodies as published in issue threads of Intuit's and others' SDKs. Our reference is the DocNumber,
which has 21 characters and needs custom transaction numbers to be on; PrivateNote ends in our business key.

Not documented, and so assumed cautiously: how long a requestid is remembered (ten minutes are relied on; a request
takes at most two) and what it answers to another body (the answer is compared with what was sent); how soon a query
sees what was created (hence the long quiet period, and the second look among the customer's invoices); whether a stated
tax is kept outside the US and whether negative lines are always taken (the total is compared after). The limit of a
batch is given as 10 and as 30: 10 are sent.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date, timedelta
from typing import Annotated, ClassVar
from urllib.parse import quote

from pydantic import Field

from connectors.auth import OAuth2
from connectors.errors import Duplicate, Rejected, Throttled, Unauthorized, Unavailable, Uncertain
from connectors.http import Answer, dump_json
from connectors.model import RemoteInvoice, Status
from connectors.platforms import qbo_documents as documents
from connectors.platforms import qbo_words as words
from connectors.platforms.base import AppCredentials, Choice, Platform
from connectors.platforms.documents import JSON, Request, reading
from connectors.platforms.facts import Facts, Key, Quota, Reference, Refusal
from connectors.platforms.qbo_credits import CreditMemos


class QuickBooksCredentials(AppCredentials):
    """An app of developer.intuit.com, which `billhook connect` asks a company to consent to."""

    client_id: Annotated[str, Field(description="Client ID under Keys and credentials of the app")]


def facts(slug: str, title: str, page: str) -> Facts:
    """What is the same whichever way invoices are made there; `page`: of the API reference, all entities."""
    return Facts(
        slug=slug,
        title=title,
        docs=f"https://developer.intuit.com/app/developer/qbo/docs/api/accounting/all-entities/{page}",
        base_url="https://quickbooks.api.intuit.com",
        auth="OAuth 2, rotating refresh tokens",
        oauth=OAuth2(
            "https://oauth.platform.intuit.com/oauth2/v1/tokens/bearer",
            rotates=True,
            alone=False,
            authorize_url="https://appcenter.intuit.com/connect/oauth2",
            scopes=("com.intuit.quickbooks.accounting",),
        ),
        reference=Reference("DocNumber", max_length=21, unique=True),
        key_field="PrivateNote",
        key=Key("requestid", max_length=36, lives=timedelta(minutes=10), place="query"),
        quotas=(
            Quota(10, timedelta(seconds=1)),
            Quota(500, timedelta(minutes=1)),
            Quota(40, timedelta(minutes=1), of="batch"),
        ),
        concurrent=10,
        bulk=10,
        one_currency=True,
        quiet=timedelta(minutes=15),
        pause=timedelta(seconds=60),
        deadline=120.0,
        can=frozenset({"issue", "mail", "pdf", "link", "void", "credit", "list"}),
    )


class Company(Platform):
    """One company in QuickBooks Online, for the platforms that speak to it."""

    Settings = words.QuickBooksSettings
    Credentials = QuickBooksCredentials
    Customers = documents.Customers
    Invoices = documents.Invoices
    Credits = CreditMemos
    customers: documents.Customers
    invoices: documents.Invoices
    credits: CreditMemos
    headers: ClassVar[Mapping[str, str]] = {"Accept": "application/json"}
    refusals = (
        Refusal(Duplicate, contains="6140 "),
        Refusal(Duplicate, contains="Duplicate Document Number"),
        Refusal(Duplicate, contains="6240 "),
        Refusal(Throttled, contains="ThrottleExceeded"),
        Refusal(Unavailable, contains="5010 Stale Object"),
        Refusal(Uncertain, contains="10000 "),
        Refusal(Unauthorized, 403),
        Refusal(Rejected, 400),
    )

    @classmethod
    def tenant(cls, settings: words.QuickBooksSettings, credentials: QuickBooksCredentials) -> str:
        return settings.realm_id

    def status(self, answer: Answer) -> int:
        """A Fault may come with 200 ("always look"); what kind it is says its type."""
        if answer.status != 200 or b"ault" not in answer.body[:4096]:
            return answer.status
        try:
            found = words.top_fault(answer)
        except ValueError:
            return 200  # not JSON (a PDF), or cut: whoever reads it says so
        if found is None:
            return 200
        kind = str(found.get("type", "")).lower()
        return next((status for word, status in words.FAULTS.items() if word in kind), 400)

    def error_message(self, answer: Answer) -> tuple[str, str | None]:
        found = words.xml_fault(answer.body) if answer.body.lstrip().startswith(b"<") else words.top_fault(answer)
        if found is None:
            raise ValueError("no Fault")
        return words.fault(found)

    def execute(self, request: Request, *, key: str | None = None, begin: Callable[[], None] | None = None) -> Answer:
        answer = super().execute(request, key=key, begin=begin)
        if "operation" not in request.query:
            told_by = {
                self.customers.address: (self.customers.entity, "DisplayName"),
                self.invoices.address: (self.invoices.entity, self.invoices.note),
                self.credits.address: (self.credits.entity, self.credits.note),
                self.credits.payments: ("Payment", self.credits.note),
            }
            if request.path in told_by:
                self._compare(request, answer, *told_by[request.path])
        return answer

    def _compare(self, request: Request, answer: Answer, entity: str, field: str) -> None:
        """A requestid that was used before gets the first answer again, whatever is sent under it."""
        try:
            shown = answer.json()[entity].get(field)
        except Exception:
            return  # it cannot be read: `made` says so
        if shown != words.parsed(request.body)[field]:
            raise Uncertain(
                "QuickBooks answered for another document: was the requestid used before?",
                status=answer.status, sample=answer.sample,
            )  # fmt: skip

    def read(self, remote_id: str) -> RemoteInvoice:
        return self.told(self._shown(remote_id), lambda body: self.invoices.document(body["Invoice"]))

    def send(self, remote_id: str, key: str) -> None:
        """To BillEmail, which every invoice of ours with an e-mail address has. Sandbox companies: 40 mails a day."""
        headers = {"Content-Type": "application/octet-stream"}
        self.execute(
            Request(step="send", path=f"{self._path(remote_id)}/send", query=documents.VERSION, headers=headers),
            key=key,
        )

    def pdf(self, remote_id: str) -> bytes:
        return self.asked_pdf(f"{self._path(remote_id)}/pdf", documents.VERSION)

    def whoami(self) -> str:
        realm = self.settings.realm_id
        answer = self.ask(f"{documents.company(self.settings)}/companyinfo/{realm}", documents.VERSION)
        return self.told(answer, lambda body: str(body["CompanyInfo"]["CompanyName"]))

    def options(self) -> list[Choice]:
        found = {kind: self.invoices.rows(f"select * from {kind}", kind) for kind in ("Item", "TaxCode", "TaxRate")}  # noqa: S608
        return words.offered(**found)

    def since(self, day: date) -> list[RemoteInvoice]:
        """By TxnDate, which can be filtered (API reference, Invoice)."""
        dated = f"select * from Invoice where TxnDate >= '{day.isoformat()}'"  # noqa: S608 - a date
        rows = self.invoices.rows(dated, "Invoice")
        return self.invoices.read_rows(rows)

    def link(self, remote_id: str) -> str | None:
        """Only where the company takes online payments and the invoice has an e-mail address."""
        answer = self._shown(remote_id, include="invoiceLink")
        return self.told(answer, lambda body: body["Invoice"].get("InvoiceLink") or None)

    def void(self, remote_id: str, key: str) -> RemoteInvoice:
        """All amounts become 0 and the note begins with "Voided"; refused by QuickBooks in a closed period."""
        answer = self._shown(remote_id)
        found = self.told(answer, lambda body: self.invoices.document(body["Invoice"]))
        if found.status is Status.VOID:
            return found
        token = self.told(answer, lambda body: str(body["Invoice"]["SyncToken"]))
        request = Request(
            step="void",
            path=self.invoices.address,
            query={**documents.VERSION, "operation": "void"},
            headers=JSON,
            body=dump_json({"Id": remote_id, "SyncToken": token}),
        )
        voided = self.execute(request, key=key)
        return reading(lambda: self.invoices.document(voided.json()["Invoice"]), voided)

    def _shown(self, remote_id: str, **more: str) -> Answer:
        return self.ask(self._path(remote_id), {**documents.VERSION, **more})

    def _path(self, remote_id: str) -> str:
        return f"{self.invoices.address}/{quote(remote_id, safe='')}"
