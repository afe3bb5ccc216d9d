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

import json
from collections.abc import Mapping
from datetime import date, timedelta
from decimal import Decimal
from typing import Annotated, Any, ClassVar
from urllib.parse import quote

from pydantic import Field

from connectors.auth import OAuth2
from connectors.errors import Duplicate, Rejected, Unauthorized, Uncertain
from connectors.http import Answer
from connectors.model import RemoteInvoice, Status
from connectors.platforms import choosing, texts
from connectors.platforms import sage_words as words
from connectors.platforms.base import AppCredentials, Choice, Platform, choices
from connectors.platforms.crediting import SetOffLast, invoice_of, set_off
from connectors.platforms.documents import (
    CustomerDraft,
    Documents,
    Hit,
    Plan,
    PlannedInvoice,
    RemoteCustomer,
    Request,
    later,
    posted,
)
from connectors.platforms.facts import Facts, Key, Quota, Reference, Refusal
from connectors.platforms.rows import percent

API = "/v3.1"
STATUSES = {
    "DRAFT": Status.DRAFT,
    "PRO_FORMA": Status.DRAFT,
    "UNPAID": Status.ISSUED,
    "PART_PAID": Status.ISSUED,
    "PAID": Status.PAID,
    "VOID": Status.VOID,
}
SHOWN = ("reference", "notes", "status", "currency", "total_amount", "tax_amount", "outstanding_amount", "contact")
"""What `document` reads beside an element's id and `displayed_as`."""


class SageCredentials(AppCredentials):
    """An app of developer.sage.com; a merchant's consent by `billhook connect`."""

    client_id: Annotated[str, Field(description="client id of the app (developerselfservice.sageone.com)")]


class Customers(Documents[CustomerDraft, RemoteCustomer]):
    """Contacts of the type CUSTOMER. `reference` is unique in a business and made of our key."""

    look_first = True
    platform: Sage

    def plan(self, draft: CustomerDraft) -> Plan:
        return (posted("create", f"{API}/contacts", words.contact(draft)),)

    def look(self, draft: CustomerDraft) -> Hit[RemoteCustomer] | None:
        """By our reference, else by e-mail. A contact has one currency: those of another are not taken."""
        ours = words.contact_reference(draft)
        found = self._listed(search=ours)
        if not (near := [raw for raw in found if raw.get("reference") == ours]) and draft.party.email:
            near = self._listed(email=draft.party.email)
        paths = (f"{API}/contacts/{quote(raw['id'], safe='')}" for raw in near)
        raws = [self.platform.told(self.platform.ask(path), lambda body: {**body}) for path in paths]
        fitting = [raw for raw in raws if (raw.get("currency") or {}).get("id", draft.currency) == draft.currency]
        return choosing.known(draft, [self.document(raw) for raw in fitting], words.TITLE)

    def _listed(self, **query: str) -> list[words.Raw]:
        return self.platform.listed("contacts", {"contact_type_id": "CUSTOMER", "attributes": "reference", **query})

    def document(self, raw: words.Raw) -> RemoteCustomer:
        email = (raw.get("main_contact_person") or {}).get("email") or raw.get("email")
        name = raw.get("name") or raw.get("displayed_as")
        return RemoteCustomer(id=raw["id"], key=texts.key_in(raw.get("notes")), name=name, email=email)


class Released(Documents[PlannedInvoice, RemoteInvoice]):
    """What sales invoices and credit notes share: a draft, read back and compared, then released, which gives it its
    number."""

    calls = 3
    platform: Sage
    kind: ClassVar[str]
    """The name of one; the path has an s behind it."""

    def fields(self, draft: PlannedInvoice) -> tuple[dict[str, Any], str]:
        """What makes the draft, and what the trail should say of it. Raises `Rejected` as `plan`."""
        raise NotImplementedError

    def plan(self, draft: PlannedInvoice) -> Plan:
        fields, remark = self.fields(draft)
        path = f"{API}/{self.kind}s"
        create = posted("create", path, {self.kind: fields}, remark=remark)
        release = Request(step="release", path=f"{path}/{{create}}/release", issues=True)
        return (create, release) if self.platform.settings.issue else (create,)

    def look(self, draft: PlannedInvoice) -> Hit[RemoteInvoice] | None:
        """By `search`, which looks at several fields, and among the contact's of the invoice's date, of which one
        contact for all orders has a day's: how soon a search shows what was made is not documented. What has our
        reference is read whole."""
        day = draft.draft.issued_on.isoformat()
        about = [
            {"search": draft.draft.reference},
            {"contact_id": draft.customer_id, "from_date": day, "to_date": day},
        ]
        raws = [
            raw for one in about for raw in self.platform.listed(f"{self.kind}s", {"attributes": "reference", **one})
        ]
        near = {raw["id"]: None for raw in raws if raw.get("reference") == draft.draft.reference}
        step = "release" if self.platform.settings.issue else None
        return choosing.unfinished(draft, map(self.read, near), words.TITLE, step)

    def made(self, request: Request, answer: Answer) -> tuple[str, RemoteInvoice | None]:
        """The draft is shown to nobody from here, but read before it is released: under an id that was used before
        Sage answers as it did then."""
        found = document(answer.json())
        if request.step != "create":
            return found.id, found
        if found.reference != json.loads(request.body)[self.kind]["reference"]:
            raise Uncertain("Sage answered for another invoice: was the idempotency id used before?")
        return found.id, None if self.platform.settings.issue else found

    def read(self, remote_id: str) -> RemoteInvoice:
        return self.platform.told(self.platform.ask(f"{API}/{self.kind}s/{quote(remote_id, safe='')}"), document)


class Invoices(Released):
    """Sales invoices."""

    kind = "sales_invoice"

    def fields(self, draft: PlannedInvoice) -> tuple[dict[str, Any], str]:
        return words.invoice(draft.draft, draft.customer_id, self.platform.settings)


class CreditNotes(SetOffLast, Released):
    """Sales credit notes; once released they are allocated to their invoice as far as that is due. Of an allocation the
    sum is zero: what the invoice gets, the credit note loses."""

    calls = 4
    kind = "sales_credit_note"
    last = "allocate"

    def fields(self, draft: PlannedInvoice) -> tuple[dict[str, Any], str]:
        number = invoice_of(draft).number
        return words.credit_note(draft.draft, draft.customer_id, number, self.platform.settings)

    def plan(self, draft: PlannedInvoice) -> Plan:
        made, amount = super().plan(draft), set_off(draft)
        settings = self.platform.settings
        if not amount or not settings.issue or not settings.allocations:
            return made
        sides = [(invoice_of(draft).id, amount), (later("create"), -amount)]
        allocation = {
            "transaction_type_id": "CUSTOMER_ALLOCATION",
            "contact_id": draft.customer_id,
            "date": draft.draft.issued_on.isoformat(),
            "allocated_artefacts": [{"artefact_id": ident, "amount": part} for ident, part in sides],
        }
        return *made, posted("allocate", f"{API}/contact_allocations", {"contact_allocation": allocation})

    def made(self, request: Request, answer: Answer) -> tuple[str, RemoteInvoice | None]:
        return (str(answer.json()["id"]), None) if request.step == "allocate" else super().made(request, answer)


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


def document(raw: words.Raw) -> RemoteInvoice:
    """A sales invoice or credit note of an answer in our words."""
    status = STATUSES[raw["status"]["id"]]
    return RemoteInvoice(
        id=raw["id"],
        number=None if status is Status.DRAFT else raw["displayed_as"],
        reference=raw.get("reference"),
        key=texts.key_in(raw.get("notes")),
        status=status,
        currency=raw["currency"]["id"],
        total=Decimal(raw["total_amount"]),
        tax=Decimal(raw["tax_amount"]),
        due=abs(Decimal(raw["outstanding_amount"])),
        customer_id=raw["contact"]["id"],
    )
