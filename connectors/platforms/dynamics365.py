"""Microsoft Dynamics 365 in two variants of one slug: Business Central (API v2.0) and Finance & Operations (OData).

Sources: github.com/MicrosoftDocs/dynamics365smb-devitpro-pb (salesInvoice, salesInvoiceLine, salesCreditMemo, customer,
"Using OData transactional $batch requests", filter expressions, error codes, operational limits, service-to-service
authentication); microsoft/BCApps, page "APIV2 - Sales Credit Memos" (invoiceId becomes Applies-to Doc. No.);
dynamics-365-unified-operations-public (odata.md, service-protection-api-limits.md); recorded answers of July 2026 in
NangoHQ/integration-templates (FreeTextInvoiceHeaders, FreeTextInvoiceLines, CustomersV3, LegalEntities, TaxGroups);
Common Data Model, TaxItemGroupEntity; lengths of Business Central from its tables (microsoft/BCApps: customer names and
addresses 100, second lines 50, cities and counties 30, post codes 20, e-mail addresses 80, telephones 30, external
document numbers 35).

Traps: neither has a key for repeated calls nor refuses a second document, hence look first; Code fields turn into
capitals; "or" joins conditions on one field only; in F&O `*` in a filter is a wildcard and a header has no total.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from datetime import date, timedelta
from typing import Annotated, Any, ClassVar, Self
from urllib.parse import quote

from pydantic import Field

from connectors.auth import Grant, OAuth2
from connectors.errors import Duplicate, Unauthorized, Unavailable, Uncertain
from connectors.http import Answer
from connectors.model import RemoteInvoice, Status
from connectors.platforms import dynamics365_central as central
from connectors.platforms import dynamics365_finops as finops
from connectors.platforms import dynamics365_words as words
from connectors.platforms.base import Choice, ClientCredentials, Platform
from connectors.platforms.documents import Request
from connectors.platforms.facts import Facts, Quota, Reference, Refusal
from connectors.platforms.texts import literal

CENTRAL = "https://api.businesscentral.dynamics.com"


class DynamicsCredentials(ClientCredentials):
    """An app registration of the Entra tenant."""

    client_id: Annotated[str, Field(description="application (client) id of the app registration")]


class Dynamics365(Platform):
    """Two systems of Microsoft, chosen by `variant`; the app registration signs in with client credentials.

    **Business Central** (the default) finishes the job. An invoice is drafted with all its lines, read, compared with
    the order, and posted; up to 50 at once, in two calls. Your reference is the external document number (in capitals);
    a comment line at the end carries the order and our key. Lines are booked to the G/L account or to the item of the
    SKU that you configure, without tax, with your tax group of the rate; an order discount is taken off the lines.
    Business Central rounds tax once for each rate; where that gives another total, a line on `rounding_account` evens
    it out, and the trail says so. It can be mailed (with e-mail set up there), printed, and cancelled by a credit memo.
    What is refunded becomes a sales credit memo that names the invoice: posting it takes off what is due there, and of
    an invoice that is paid it stays the customer's credit.
    You grant the app `API.ReadWrite.All` and enter its client id on the page "Microsoft Entra applications".

    **Finance & Operations** (`variant = "finops"`) has no call that posts an invoice. We make a free text invoice with
    its lines, and compare them with the order. Then a custom service of yours posts it (`post_service`): it takes
    `{"dataAreaId", "invoiceIdentifier"}` and gives the number of the posted invoice as text. With `issue = false`
    invoices stay unposted for your posting batch. It mails, prints, cancels and credits nothing through its API: a
    correction is made and settled in the client ("Correct a free text invoice"), and no data entity sets a negative
    invoice off against another. The invoice shows the customer's address as it is there.

    Customers are found by e-mail address, for there is no field for our key; who has none, by the name that we give
    ("Ada Lovelace (C-9)"; a company as it is). In Finance & Operations such names are given to all. Nothing refuses a
    second document, so it is looked for before anything is made.

    - **Proved with:** the emulator, which runs the contract suite for both variants; names and shapes of fields were
      compared with Microsoft's pages of the API and with recorded answers of Finance & Operations.
    - **Open:** no SDK or schema was run against it. Business Central: several lines in one call, that a batch is worked
      off in its order (else one more read is made), lines of negative quantity (only for rounding), whether requests
      in a batch count one by one against 6,000 in five minutes, whether your country's version lets a credit memo
      apply to an invoice before any check of its own, an invoice without a status (a list with one is not read).
      Finance & Operations: what your legal entity requires or sets by itself, where it rounds tax (we compute it by
      line), lengths of CustomerReference and ExternalInvoiceId, Content-ID in answers, the shape of errors, whether a
      new customer's e-mail address is kept, that CorrectedInvoiceId shows what was cancelled, comparing dates with ge
      in a filter of InvoiceDate."""

    facts = Facts(
        slug="dynamics365",
        title="Microsoft Dynamics 365",
        docs="https://learn.microsoft.com/en-us/dynamics365/business-central/dev-itpro/api-reference/v2.0/",
        base_url=CENTRAL,
        auth="OAuth 2, client credentials of Entra ID",
        reference=Reference("externalDocumentNumber", max_length=35, unique=False),
        key_field="a comment line",
        quotas=(Quota(6000, timedelta(minutes=5)),),
        concurrent=5,
        bulk=50,
        quiet=timedelta(minutes=20),  # 8 minutes in the queue and 8 at work, then it is given up
        pause=timedelta(seconds=60),
        deadline=120.0,
        can=frozenset({"draft", "issue", "mail", "pdf", "void", "credit", "list"}),
    )
    finops_facts: ClassVar[Facts] = dataclasses.replace(
        facts,
        docs="https://learn.microsoft.com/en-us/dynamics365/fin-ops-core/dev-itpro/data-entities/odata",
        reference=Reference("CustomerReference", max_length=35, unique=False),
        key_field="ExternalInvoiceId",
        quotas=(),
        can=frozenset({"draft", "issue", "list"}),
    )
    Settings = words.DynamicsSettings
    Credentials = DynamicsCredentials
    Customers = central.Customers
    Invoices = central.Invoices
    Credits: ClassVar[Any] = central.CreditMemos
    invoices: central.Invoices | finops.Invoices
    headers: ClassVar[Mapping[str, str]] = {"Accept": "application/json"}
    refusals = (
        Refusal(Duplicate, contains="Internal_EntityWithSameKeyExists"),
        Refusal(Unavailable, 409, "Request_EntityChanged"),
        Refusal(Unauthorized, contains="Authentication_"),
        Refusal(Unauthorized, 403),
        Refusal(Uncertain, contains="Internal_ServerError"),
        Refusal(Uncertain, contains="Internal_TenantUnavailable"),
    )

    def __new__(cls, settings: words.DynamicsSettings, *args: Any, **options: Any) -> Self:
        """The variant that the settings name."""
        chosen: Any = FinanceOperations if settings.variant == "finops" else cls
        made: Self = super().__new__(chosen)
        return made

    @classmethod
    def facts_of(cls, settings: words.DynamicsSettings) -> Facts:
        return cls.finops_facts if settings.variant == "finops" else cls.facts

    @classmethod
    def tenant(cls, settings: words.DynamicsSettings, credentials: DynamicsCredentials) -> str:
        """What an app does in an environment is limited together."""
        where = settings.environment_url or settings.environment
        return f"{settings.tenant_id}/{where}/{credentials.client_id}".lower()

    @classmethod
    def grant(cls, settings: words.DynamicsSettings, credentials: DynamicsCredentials) -> Grant:
        url = f"https://login.microsoftonline.com/{quote(settings.tenant_id)}/oauth2/v2.0/token"
        return OAuth2(url, client="body", scopes=(f"{cls.address(settings)}/.default",))

    @classmethod
    def address(cls, settings: words.DynamicsSettings) -> str:
        return settings.environment_url.rstrip("/") if settings.variant == "finops" else CENTRAL

    def error_message(self, answer: Answer) -> tuple[str, str | None]:
        """F&O says the reason in an inner error."""
        error = answer.json()["error"]
        inside = (error.get("innererror") or {}).get("message")
        return f"{error['message']} {inside}" if inside else error["message"], error.get("code") or None

    @property
    def _company(self) -> str:
        return f"{central.root(self.settings)}/{central.company(self.settings)}"

    def _path(self, remote_id: str) -> str:
        return f"{self._company}/salesInvoices({quote(remote_id, safe='')})"

    def read(self, remote_id: str) -> RemoteInvoice:
        return self.invoices.read(remote_id)

    def since(self, day: date) -> list[RemoteInvoice]:
        return self.invoices.since(day)

    def send(self, remote_id: str, key: str) -> None:
        self._act(remote_id, "send", key)

    def pdf(self, remote_id: str) -> bytes:
        return self.asked_pdf(f"{self._path(remote_id)}/pdfDocument({quote(remote_id, safe='')})/content")

    def undo(self, found: RemoteInvoice, key: str) -> RemoteInvoice:
        """A posted invoice is cancelled by a corrective credit memo, a draft is deleted."""
        if found.status is Status.DRAFT:
            path, force = self._path(found.id), {"If-Match": "*"}
            self.execute(Request(step="void", method="DELETE", path=path, headers=force), key=key)
            return found.model_copy(update={"status": Status.VOID})
        self._act(found.id, "cancel", key)
        return self.read(found.id)

    def _act(self, remote_id: str, action: str, key: str) -> None:
        self.execute(Request(step=action, path=f"{self._path(remote_id)}/Microsoft.NAV.{action}"), key=key)

    def whoami(self) -> str:
        return self.told(self.ask(self._company), lambda body: str(body["displayName"] or body["name"]))

    def options(self) -> list[Choice]:
        def rows(name: str, condition: Mapping[str, str]) -> list[Any]:
            return self.told(self.ask(f"{self._company}/{name}", condition), words.rows_of)

        posting = {"$filter": "accountType eq 'Posting'"}
        accounts = [(raw["number"], raw["displayName"]) for raw in rows("accounts", posting) if raw["directPosting"]]
        return _choices(accounts, [(raw["code"], raw["displayName"]) for raw in rows("taxGroups", {})])


def _choices(accounts: list[tuple[str, str]], codes: list[tuple[str, str]]) -> list[Choice]:
    settings = ("sales_account", "shipping_account", "rounding_account")
    found = [Choice(setting=name, value=value, title=title or value) for name in settings for value, title in accounts]
    return found + [Choice(setting="tax", value=code, title=title or code) for code, title in codes]


class FinanceOperations(Dynamics365):
    """The variant `finops`."""

    Customers: ClassVar[Any] = finops.Customers
    Invoices: ClassVar[Any] = finops.Invoices
    Credits: ClassVar[Any] = None
    invoices: finops.Invoices
    send = Platform.send
    pdf = Platform.pdf
    undo = Platform.undo

    def read(self, remote_id: str) -> RemoteInvoice:
        area = literal(self.settings.data_area_id)
        path = f"/data/FreeTextInvoiceHeaders(dataAreaId={quote(area)},InvoiceIdentifier={quote(remote_id, safe='')})"
        raw = self.told(self.ask(path, finops.EVERYWHERE), lambda body: {**body, "IsPosted": body["IsPosted"]})
        ((found, _),) = self.invoices.documents([raw])
        return found

    def whoami(self) -> str:
        area = {"$filter": f"LegalEntityId eq {literal(self.settings.data_area_id)}"}
        return self.told(self.ask("/data/LegalEntities", area), lambda body: str(body["value"][0]["Name"]))

    def options(self) -> list[Choice]:
        def rows(name: str) -> list[Any]:
            return self.told(self.ask(f"/data/{name}", finops.EVERYWHERE), words.rows_of)

        accounts = [(raw["MainAccountId"], raw["Name"]) for raw in rows("MainAccounts")]
        codes = {raw["TaxItemGroupCode"]: raw["Description"] for raw in rows("TaxItemGroups")}  # a row a tax code of it
        found = _choices(accounts, list(codes.items()))
        groups = [(raw["TaxGroupCode"], raw["Description"]) for raw in rows("TaxGroups")]
        return found + [Choice(setting="sales_tax_group", value=code, title=said or code) for code, said in groups]
