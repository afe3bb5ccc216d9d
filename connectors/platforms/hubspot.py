"""HubSpot, the CRM's invoice objects, API version 2026-03: a draft, its line items, then `open`, each by a batch call.

Sources: the vendor's OpenAPI documents (HubSpot-public-api-spec-collection: CRM invoices, line items, contacts,
properties; tax rates; account info; OAuth) and the guides on developers.hubspot.com (invoices, line items, error
handling, usage guidelines). The traps: search lags behind and must not decide whether to create; a line item has one
parent only; prices must not be negative; mixed batches are answered element by element only where every element has an
`objectWriteTraceId`; nothing but a unique property keeps a second invoice away; the search shows 10,000 objects at
most, so that what is dated since a day is picked from the list of all (where nobody gives a date HubSpot sets one, says
the guide).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any
from urllib.parse import quote

from connectors.auth import Grant, OAuth2
from connectors.errors import Duplicate, Rejected, Throttled, Unauthorized
from connectors.http import Answer
from connectors.model import RemoteInvoice
from connectors.platforms import hubspot_words as words
from connectors.platforms.base import Choice, Platform, choices
from connectors.platforms.facts import Facts, Quota, Reference, Refusal
from connectors.platforms.hubspot_documents import Customers, Invoices

SCOPES = (
    *("crm.objects.contacts.read", "crm.objects.contacts.write", "crm.objects.invoices.read"),
    *("crm.objects.invoices.write", "crm.objects.line_items.read", "crm.objects.line_items.write"),
    *("crm.schemas.contacts.read", "crm.schemas.invoices.read", "crm.schemas.line_items.read", "tax_rates.read"),
)
SET_UP = (
    ("invoices", words.REFERENCE, True),
    ("invoices", words.KEY, False),
    ("line_items", words.LINE, True),
    ("contacts", words.CUSTOMER, True),
)
"""The properties that the merchant adds once; whether their values must be unique."""


class HubSpot(Platform):
    """An invoice is made as a draft for its contact, gets its line items, is read back and compared with the order, and
    is then opened. All three go by HubSpot's batch calls, many orders at once. Taxes are your own tax rates
    (Settings → Tax rates), one a line. How HubSpot rounds them is not documented: where rounding line by line and
    rounding the sum would not both give the order's tax, the tax is stated as a line of its own instead ("VAT 20 %"),
    and the trail says so. Prices must not be negative there, so an order's discount is taken off its lines;
    and prices that include tax are stated without it.

    HubSpot's API has no credit notes (none among the objects of its OpenAPI documents), and voiding is not offered,
    because the documentation does not say how: what was refunded is for a person to book in HubSpot, who voids the
    invoice while nothing is paid on it, else refunds the payment.

    Once, before the first invoice, add four single-line text properties in HubSpot (Settings → Properties):
    `billhook_order_ref` (unique values) and `billhook_key` on invoices, `billhook_line_ref` (unique values) on
    line items, `billhook_customer` (unique values) on contacts. `billhook check --online` says which is missing. An
    order's invoice is found by `billhook_order_ref`, and HubSpot itself refuses a second one. A contact is found by
    `billhook_customer`, else by its e-mail address, which HubSpot keeps unique.

    - **Proved with:** the emulator, and HubSpot's own SDK (`hubspot-api-client`), which makes contacts, invoices and
      line items on it, reads them by our properties, opens them and meets its errors. Requests and answers were
      compared with the vendor's OpenAPI documents of version 2026-03.
    - **Open:** that invoices and line items take properties with unique values was not seen on a real account, nor the
      exact answer to a second value, nor that totals are up to date as soon as the lines are there (a difference stops
      the invoice before it is opened). One batch call is kept to 50 invoices and 100 lines; clients report 100 as the
      most. The wait after the day's quota is used up is an hour at a time. Whether records that only mirror another
      program's invoice have a status (those without are not listed), and at which moment of its day an invoice is dated
      (a list begins a day early). HubSpot mails no invoices through its API. Whether refresh tokens
      rotate is not documented: whatever comes back is kept. The company's name goes to the contact; company records are
      not made. References with a slash are looked for by an encoded one, which was not tried on a real account.
    """

    facts = Facts(
        slug="hubspot",
        title="HubSpot",
        docs="https://developers.hubspot.com/docs/api-reference/2026-03/crm/objects/invoices/guide",
        base_url="https://api.hubapi.com",
        auth="service key, or OAuth 2",
        oauth=OAuth2(
            "https://api.hubapi.com/oauth/2026-09/token",
            client="body",
            alone=False,
            authorize_url="https://app.hubspot.com/oauth/authorize",
            scopes=SCOPES,
            lifetime=timedelta(minutes=30),
        ),
        reference=Reference(words.REFERENCE, max_length=words.REFERENCE_LIMIT, unique=True),
        key_field=words.KEY,
        quotas=(Quota(100, timedelta(seconds=10)), Quota(250_000, timedelta(days=1))),
        bulk=Invoices.bulk,
        pause=timedelta(seconds=10),
        can=frozenset({"draft", "issue", "pdf", "link", "list"}),
    )
    Settings = words.HubSpotSettings
    Credentials = words.HubSpotCredentials
    Customers = Customers
    Invoices = Invoices
    refusals = (
        Refusal(Duplicate, 409),
        # CONFLICTING_UNIQUE_VALUE of our properties; CONFLICT of an e-mail address inside a batch.
        Refusal(Duplicate, 400, "CONFLICT"),
        # A scope is missing, for every document alike.
        Refusal(Unauthorized, 403),
        # Locked for a moment; the account is being moved to another data centre (Retry-After up to a day).
        Refusal(Throttled, 423),
        Refusal(Throttled, 477),
    )

    @classmethod
    def tenant(cls, settings: words.HubSpotSettings, credentials: words.HubSpotCredentials) -> str:
        return settings.account

    @classmethod
    def static_headers(cls, credentials: words.HubSpotCredentials) -> Mapping[str, str] | None:
        if credentials.service_key is None:
            return None
        return {"Authorization": f"Bearer {credentials.service_key.get_secret_value()}"}

    @classmethod
    def grant(cls, settings: words.HubSpotSettings, credentials: words.HubSpotCredentials) -> Grant | None:
        return cls.facts.oauth if credentials.service_key is None else None

    def retry_after(self, answer: Answer) -> float | None:
        """HubSpot names the quota that is used up, not a time: the day's ends at the account's own midnight."""
        if answer.retry_after is None and b'"DAILY"' in answer.body:
            return 3600.0
        return answer.retry_after

    def error_message(self, answer: Answer) -> tuple[str, str | None]:
        body = answer.json()
        return words.complaint(body), body.get("category") or body.get("errorType") or body["status"]

    def whoami(self) -> str:
        """The account's number and address. Raises `Rejected` where it is another one than the settings name, or lacks
        the properties that Billhook needs."""
        answer = self.ask("/account-info/2026-03/details")
        account, domain = self.told(answer, lambda body: (str(body["portalId"]), body["uiDomain"]))
        if account != self.settings.account:
            raise Rejected(f"the credentials are of HubSpot account {account}, not {self.settings.account}")
        for kind, name, unique in SET_UP:
            self._has(kind, name, unique)
        return f"HubSpot account {account} ({domain})"

    def _has(self, kind: str, name: str, unique: bool) -> None:
        what = f'the property "{name}" on {kind.replace("_", " ")}{" with unique values" if unique else ""}'
        try:
            answer = self.ask(f"/crm/properties/{words.VERSION}/{kind}/{name}")
        except Rejected as error:
            if error.status == 404:
                raise Rejected(f"HubSpot lacks {what}: add it in Settings → Properties") from None
            raise
        if unique and not self.told(answer, lambda body: bool(body.get("hasUniqueValue"))):
            raise Rejected(f"HubSpot must have {what}: delete it and add it anew, as that cannot be changed later")

    def options(self) -> list[Choice]:
        """The active tax rates; HubSpot's rates are numbers like 20."""
        answer = self.ask("/tax-rates/2026-03/tax-rates", {"active": "true", "limit": "100"})
        rates = self.told(answer, lambda body: [{**raw} for raw in body["results"]])
        named = [{**raw, "name": f"{raw['name']} ({words.rate(raw)} %)"} for raw in rates]
        return choices("tax", named, key=words.rate)

    def read(self, remote_id: str) -> RemoteInvoice:
        return self.told(self.found("invoices", remote_id), words.invoice)

    def since(self, day: date) -> list[RemoteInvoice]:
        """Picked from the list of all: a hundred a call, whatever the day."""
        asked = {"limit": "100", "properties": ",".join(words.LISTED), "associations": "contacts"}

        def read(body: Any) -> tuple[list[RemoteInvoice | None], str | None]:
            following = (body.get("paging") or {}).get("next") or {}
            return [words.dated_since(raw, day) for raw in body["results"]], following.get("after")

        def page(_: int, after: str | None) -> tuple[list[RemoteInvoice | None], str | None]:
            return self.told(self.ask(words.path("invoices"), {**asked, "after": after} if after else asked), read)

        return [one for one in self.every(page) if one]

    def found(self, kind: str, ident: str, by: str | None = None) -> Answer:
        """One object by its id, or by the value of a property that is unique. Raises the errors of a read."""
        query = {"properties": ",".join(words.PROPERTIES[kind])}
        query |= {"associations": "contacts"} if kind == "invoices" else {}
        return self.ask(words.path(kind, quote(ident, safe="")), {**query, "idProperty": by} if by else query)

    def pdf(self, remote_id: str) -> bytes:
        """From `hs_pdf_download_link`, an address of its own: our token is not sent there."""
        url = self.told(self.found("invoices", remote_id), words.pdf_link)
        if url is None:
            raise Rejected(f"HubSpot has no PDF of invoice {remote_id} before it is open")
        return self.linked_pdf(url)
