"""Sage Business Cloud Accounting, API v3.1: drafts that are released, an idempotency id inside the resource.

Sources: developer.sage.com, Accounting: authentication, invoicing concepts (also statuses, and how a contact allocation
sets a credit note off against an invoice), idempotency (seven days; credit notes and allocations too), best practices
(one writer, 5xx), response codes and frequently raised errors; the operations' schemas that
openintegrationhub/Sage-Accounting-Component made of Sage's own v3.1 specification (fields, required fields, query
parameters); chrisjohnleah/sage-business-cloud-accounting-api and SynergiTech/sage-php, made of the same (what a
credit note shows; which plans may allocate). The traps: an access token lives 300 s and a refresh token works once;
without `X-Business` another company's books may be written; elements of a list have three fields unless `attributes`
names more; amounts are text.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta
from typing import Annotated, Any, ClassVar
from urllib.parse import quote

from pydantic import Field

from connectors.auth import OAuth2
from connectors.errors import Duplicate, Rejected, Unauthorized, Uncertain
from connectors.http import Answer
from connectors.model import RemoteInvoice, Status
from connectors.platforms import sage_words as words
from connectors.platforms.base import AppCredentials, Choice, Platform, choices
from connectors.platforms.documents import posted
from connectors.platforms.facts import Facts, Key, Quota, Reference, Refusal
from connectors.platforms.rows import percent
from connectors.platforms.sage_documents import API, CreditNotes, Customers, Invoices, document

SHOWN = ("reference", "notes", "status", "currency", "total_amount", "tax_amount", "outstanding_amount", "contact")
"""What `document` reads beside an element's id and `displayed_as`."""


class SageCredentials(AppCredentials):
    """An app of developer.sage.com; a merchant's consent by `billhook connect`."""

    client_id: Annotated[str, Field(description="client id of the app (developerselfservice.sageone.com)")]


class Sage(Platform):
    """An invoice is made as a draft, read back, compared with the order to the cent and then released, which gives it
    its number; with `issue = false` it stays a draft. Our order stands in `reference` (at most 25 characters), our key
    in the notes, which only the business sees. Creating carries an idempotency id, which Sage remembers for seven days;
    after that an invoice is looked for by reference and among the contact's of its date.

    Every line's tax is stated as the order has it, so Sage rounds nothing. Shipping is a field of the invoice's own,
    whose tax Sage computes; where that would not be the order's, shipping becomes a line. Sage has no discount on a
    whole invoice: it is taken off the lines. Prices that include tax are shown without it. Currencies with three
    decimals are refused.

    Contacts are found by our key in `reference`, which is unique in a business, else by their e-mail address; a contact
    has one currency. Sage asks for one writer at a time, so one call is made at a time. Voiding needs an unpaid
    invoice; a draft is deleted. An access token lives five minutes and each refresh token works once: connect with
    `billhook connect`, and no other program may use the same consent. A consent unused for 31 days is lost.

    What is given back becomes a credit note, made, compared and released like an invoice; its printed terms name the
    invoice. It is then allocated to the invoice as far as that is due; what is left stays the customer's credit. An
    invoice to which something is allocated cannot be voided. Accounting Start, and Accounting Standard
    outside the UK and Ireland, let no program allocate: set `allocations = false` there, and set off yourself.

    - **Proved with:** the emulator, written from developer.sage.com; the fields of every request against the schemas
      made of Sage's v3.1 specification. Sage has no SDK for Python.
    - **Open:** the limits of 100 calls a minute and 2,500 a day for a business come from third parties; what is
      answered to an idempotency id that is used again for another body (the answer's reference is compared); how long a
      `reference` (25 characters are used) and the notes (1,000) may be; how soon a search shows what was made; whether
      a contact's and its invoices' currencies may differ (they never do here); whether a plan without foreign
      currencies says so in words; businesses in Spain, where no tax may be stated; what is answered to an allocation
      where the plan has none; whether amounts of a credit note are shown as negative (what remains is read either way).
    """

    facts = Facts(
        slug="sage",
        title=words.TITLE,
        docs="https://developer.sage.com/accounting/guides/concepts/invoicing",
        base_url="https://api.accounting.sage.com",
        auth="OAuth 2, refresh tokens that work once",
        oauth=OAuth2(
            "https://oauth.accounting.sage.com/token",
            rotates=True,
            client="body",
            alone=False,
            authorize_url="https://www.sageone.com/oauth2/auth/central",
            scopes=("full_access",),
            pkce=True,
            consent=(("filter", "apiv3.1"),),
            lifetime=timedelta(seconds=300),
        ),
        reference=Reference("reference", max_length=words.LONGEST, unique=False),
        key_field="notes",
        key=Key("idempotency_id", max_length=32, lives=timedelta(days=7), place="inner", uuid=True),
        quotas=(Quota(100, timedelta(minutes=1)), Quota(2500, timedelta(days=1))),
        concurrent=1,
        one_currency=True,
        pause=timedelta(minutes=1),
        can=frozenset({"draft", "issue", "pdf", "void", "credit", "list"}),
    )
    Settings = words.SageSettings
    Credentials = SageCredentials
    Customers = Customers
    Invoices = Invoices
    Credits = CreditNotes
    settings: words.SageSettings
    headers: ClassVar[Mapping[str, str]] = {"Accept": "application/json"}
    refusals = (
        Refusal(Uncertain, contains="dempoten"),
        Refusal(Duplicate, 422, "already been taken"),
        Refusal(Unauthorized, 403),
    )

    @classmethod
    def tenant(cls, settings: words.SageSettings, credentials: SageCredentials) -> str:
        return settings.business

    def tenant_headers(self) -> Mapping[str, str]:
        return {"X-Business": self.settings.business}

    def status(self, answer: Answer) -> int:
        """An answer out of another business's books is no answer, and what it did there is not known."""
        return 500 if self._elsewhere(answer) else answer.status

    def error_message(self, answer: Answer) -> tuple[str, str | None]:
        if other := self._elsewhere(answer):
            return (
                f"answered for business {other} instead of {self.settings.business}: see what was written there",
                None,
            )
        found = answer.json()
        said = (f"{one['$message']} ({one['$source']})" if one.get("$source") else one["$message"] for one in found)
        return "; ".join(said), found[0].get("$dataCode")

    def _elsewhere(self, answer: Answer) -> str | None:
        business = answer.headers.get("X-Business")
        return business if business and business != self.settings.business else None

    def listed(self, kind: str, query: Mapping[str, str] | None = None) -> list[words.Raw]:
        """Every element of a list, page by page (at most 200 each). Raises the errors of a read."""

        def page(number: int, _: Any) -> tuple[list[words.Raw], Any]:
            answer = self.ask(f"{API}/{kind}", {**(query or {}), "items_per_page": "200", "page": str(number)})
            return self.told(answer, lambda body: (list(body["$items"]), body["$next"]))

        return self.every(page)

    def read(self, remote_id: str) -> RemoteInvoice:
        return self.invoices.read(remote_id)

    def since(self, day: date) -> list[RemoteInvoice]:
        """A list shows only what `attributes` names."""
        rows = self.listed("sales_invoices", {"from_date": day.isoformat(), "attributes": ",".join(SHOWN)})
        return [document(raw) for raw in rows]

    def pdf(self, remote_id: str) -> bytes:
        return self.asked_pdf(_path(remote_id))

    def whoami(self) -> str:
        """Raises `Rejected` where the consent does not reach the business that is configured."""
        return self.among(
            self.settings.business, {raw["id"]: str(raw["displayed_as"]) for raw in self.listed("businesses")}
        )

    def options(self) -> list[Choice]:
        rates = self.listed("tax_rates", {"attributes": "percentage"})
        accounts = self.listed("ledger_accounts", {"visible_in": "sales"})
        taxes = choices("tax", rates, title="displayed_as", key=lambda raw: percent(raw.get("percentage") or 0))
        return taxes + choices("ledger_account", accounts, title="displayed_as")

    def undo(self, found: RemoteInvoice, key: str) -> RemoteInvoice:
        """An issued one becomes VOID, a draft is deleted; refused by Sage once a payment is allocated."""
        if found.status is Status.PAID:
            raise Rejected(f"Sage: invoice {found.number} is paid; make a credit note")
        self.execute(posted("void", _path(found.id), {"void_reason": "Voided by Billhook"}, method="DELETE"))
        draft = found.status is Status.DRAFT
        return found.model_copy(update={"status": Status.VOID}) if draft else self.read(found.id)


def _path(remote_id: str) -> str:
    return f"{API}/sales_invoices/{quote(remote_id, safe='')}"
