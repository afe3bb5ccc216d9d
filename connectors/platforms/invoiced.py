"""Invoiced, REST API (it has no version): a draft in one call, compared, then issued by a PATCH.

Sources: the vendor's API reference (github.com/Invoiced/api, of which developer.invoiced.com/api is made; March 2024),
and the vendor's SDKs invoiced-python and invoiced-go. The traps: without `calculate_taxes: false` the merchant's tax
rules add tax on top; without `autopay` a stored card of the customer may be charged; tags of ours in `metadata` are
not unique; what an idempotency key does beyond "the first object comes back" is not documented.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from datetime import date, timedelta
from decimal import Decimal
from typing import Annotated, Any, ClassVar
from urllib.parse import quote, urlsplit

from pydantic import Field, SecretStr

from connectors.errors import Unauthorized, Uncertain
from connectors.http import Answer
from connectors.model import Model, RemoteInvoice, Status
from connectors.platforms import choosing
from connectors.platforms import invoiced_words as words
from connectors.platforms.base import Platform, PlatformSettings
from connectors.platforms.crediting import SetOffLast, invoice_of
from connectors.platforms.documents import (
    JSON,
    PLACE,
    CustomerDraft,
    Documents,
    Hit,
    Plan,
    PlannedInvoice,
    RemoteCustomer,
    Request,
    later,
    posted,
    reading,
)
from connectors.platforms.facts import Facts, Key, Quota, Reference, Refusal


class InvoicedSettings(PlatformSettings):
    """Nothing must be chosen: taxes go as the amounts that the order has."""

    autopay: Annotated[
        bool, Field(description="true lets Invoiced charge the customer's stored card or bank account (AutoPay)")
    ] = False
    mark_sent: Annotated[
        bool,
        Field(description="true marks each issued invoice as sent, so that Invoiced's own automatic mail stays away"),
    ] = False


class InvoicedCredentials(Model):
    """One key belongs to one business."""

    api_key: Annotated[SecretStr, Field(description="API key (Settings → Developers → API Keys)")]


class Customers(Documents[CustomerDraft, RemoteCustomer]):
    """Found by the number we give them, else by e-mail, of which there may be several."""

    platform: Invoiced
    calls = 2
    look_first = True

    def plan(self, draft: CustomerDraft) -> Plan:
        return (posted("customer", "/customers", words.customer(draft)),)

    def look(self, draft: CustomerDraft) -> Hit[RemoteCustomer] | None:
        filters = {"filter[number]": words.number(draft.key)}
        found = self.platform.pages("/customers", filters)
        if not found and draft.party.email:
            found = self.platform.pages("/customers", {"filter[email]": draft.party.email})
        return choosing.known(draft, map(words.read_customer, found), "Invoiced")

    def made(self, request: Request, answer: Answer) -> tuple[str, RemoteCustomer]:
        customer = words.read_customer(answer.json())
        _same(request, customer.key, words.CUSTOMER, answer)
        return customer.id, customer


class Drafted(Documents[PlannedInvoice, RemoteInvoice]):
    """What invoices and credit notes share: the draft whole in one call; `draft: false` issues it."""

    platform: Invoiced
    calls = 2
    path: ClassVar[str]

    def steps(self, body: Mapping[str, Any], remark: str, change: Mapping[str, Any]) -> Plan:
        """The draft of this body, and the change that issues it, where drafts are not left to a person."""
        create = posted("create", self.path, body, remark=remark)
        if not self.platform.settings.issue:
            return (create,)
        return create, posted("issue", f"{self.path}/{{create}}", change, method="PATCH", issues=True)

    def listed(self, draft: PlannedInvoice) -> list[RemoteInvoice]:
        """Those that carry the draft's reference."""
        found = self.platform.pages(self.path, {f"metadata[{words.REFERENCE}]": draft.draft.reference})
        return [words.read_invoice(raw) for raw in found]

    def look(self, draft: PlannedInvoice) -> Hit[RemoteInvoice] | None:
        step = "issue" if self.platform.settings.issue else None
        return choosing.unfinished(draft, self.listed(draft), "Invoiced", step)

    def read(self, remote_id: str) -> RemoteInvoice:
        answer = self.platform.ask(f"{self.path}/{quote(remote_id, safe='')}")
        return self.platform.told(answer, words.read_invoice)

    def made(self, request: Request, answer: Answer) -> tuple[str, RemoteInvoice | None]:
        document = words.read_invoice(answer.json())
        if request.step == "create":
            _same(request, document.key, words.KEY, answer)
        return document.id, document


class Invoices(Drafted):
    """Invoices, which may be marked as sent by the call that issues them."""

    path = "/invoices"

    def plan(self, draft: PlannedInvoice) -> Plan:
        settings: InvoicedSettings = self.platform.settings
        body, remark = words.invoice(draft.draft, draft.customer_id, autopay=settings.autopay)
        return self.steps(body, remark, {"draft": False, **({"sent": True} if settings.mark_sent else {})})


class CreditNotes(SetOffLast, Drafted):
    """Credit notes; once issued, set off against their invoice as far as that is due by a payment that brings no money
    ("Payments encompass … application of credit note": its application names both)."""

    path = "/credit_notes"
    last = "apply"
    calls = 3

    def credit_note(self, draft: PlannedInvoice) -> Plan:
        body, remark = words.credit_note(draft.draft, draft.customer_id, invoice_of(draft).number)
        return self.steps(body, remark, {"draft": False})

    def application(self, draft: PlannedInvoice, amount: Decimal) -> Plan:
        against = invoice_of(draft).id
        fields = words.application(draft.draft, draft.customer_id, against, later("create"), amount)
        apply = posted(self.last, "/payments", fields)
        bare = apply.body.replace(f'"{PLACE}create{PLACE}"', f"{PLACE}create{PLACE}")  # an id is a number there
        return (apply.model_copy(update={"body": bare}),)


class Invoiced(Platform):
    """Each invoice is made as a draft, with its lines, the order's discount and the order's own tax amounts;
    its total is compared with the order's, and only then is it issued. Invoiced's tax rules are switched off for it, so
    nothing is computed there but quantity × price and the sum. Because Invoiced shows tax amounts without their names,
    the notes say which tax is how much. Prices that include tax are stated without it: Invoiced adds tax on top.

    A customer is found by the number that Billhook gave it, else by its e-mail address; else it is made. Invoices are
    found by `billhook_order` in their metadata, which you also see in the dashboard. If you let Invoiced send its
    "new invoice" mail by itself, set `mark_sent`, or have Billhook not tell the customer; or there are two mails.

    A credit note is made and issued in the same way, names its invoice, and is then applied to it as far as that is
    due: by a payment of 0, for Invoiced keeps such applications as payments. What is left stays open for the customer.

    - **Proved with:** the emulator, and Invoiced's own SDK (`invoiced`), which makes, lists, reads, mails, issues and
      voids invoices on it under idempotency keys, makes credit notes and applies them. The fields sent and read were
      compared with the vendor's published reference, sample objects and Go types.
    - **Open:** the vendor publishes no rate limit: Billhook keeps to four calls a second, and stays away for a minute
      after "too many calls". How long an idempotency key lives, and what it answers to another request, is not
      documented: it is sent, but after a lost answer Billhook always looks before it posts again. That the payment
      which applies a credit note has an amount of 0 is not stated either. Whether lists lag behind writes is not
      documented (hence fifteen minutes before "not there" is believed), nor are the longest texts and the decimals of
      currencies other than two (the comparison stops what differs). Logging in by OAuth is not built. `billhook check`
      can only name the business by the address of its customer portal.
    """

    facts = Facts(
        slug="invoiced",
        title="Invoiced",
        docs="https://developer.invoiced.com/api",
        base_url="https://api.invoiced.com",
        auth="API key",
        reference=Reference("metadata[billhook_order]", words.METADATA_LIMIT, unique=False),
        key_field="metadata[billhook_key]",
        key=Key("Idempotency-Key", max_length=64, lives=timedelta(minutes=1)),
        quotas=(Quota(4, timedelta(seconds=1)),),
        concurrent=4,
        pause=timedelta(minutes=1),
        can=frozenset({"draft", "issue", "mail", "pdf", "link", "void", "credit", "list"}),
    )
    Settings = InvoicedSettings
    Credentials = InvoicedCredentials
    Customers = Customers
    Invoices = Invoices
    Credits = CreditNotes
    refusals = (
        # No permission: the key's, for another document it would be the same.
        Refusal(Unauthorized, 403),
        # A key that came with another request: the first call may have been done.
        Refusal(Uncertain, 409),
        Refusal(Uncertain, 400, "dempotency"),
    )

    @classmethod
    def tenant(cls, settings: InvoicedSettings, credentials: InvoicedCredentials) -> str:
        """A key belongs to one business; the API does not name it, so its hash does."""
        key = credentials.api_key.get_secret_value()
        return f"key-{hashlib.sha256(b'billhook-invoiced:' + key.encode()).hexdigest()[:24]}"

    @classmethod
    def static_headers(cls, credentials: InvoicedCredentials) -> Mapping[str, str]:
        """HTTP Basic: the key is the user's name, the password is empty."""
        key = credentials.api_key.get_secret_value()
        return {"Authorization": f"Basic {base64.b64encode(f'{key}:'.encode()).decode()}"}

    def error_message(self, answer: Answer) -> tuple[str, str | None]:
        body = answer.json()
        field = f" (field {body['param']})" if body.get("param") else ""
        return f"{body['message']}{field}", body.get("type")

    def pages(self, path: str, query: Mapping[str, str]) -> list[Any]:
        """Everything a list holds, page after page in order, as the vendor wants it; `X-Total-Count` says how much
        that is. Raises the errors of a read."""

        def page(number: int, left: Any) -> tuple[list[Any], int]:
            answer = self.ask(path, {**query, "page": str(number), "per_page": "100"})
            total = self.told(answer, lambda _: int(answer.headers["X-Total-Count"]))
            rows = self.told(answer, lambda body: [{**row} for row in body])
            return rows, max(0, (left or total) - len(rows))

        return self.every(page)

    def whoami(self) -> str:
        """The API does not name its business: the customer portal's host does, which stands in each customer."""
        answer = self.ask("/customers", {"page": "1", "per_page": "1"})
        rows = self.told(answer, lambda body: [str(row["statement_pdf_url"]) for row in body])
        return urlsplit(rows[0]).netloc if rows else "a business that cannot be named before it has a customer"

    def read(self, remote_id: str) -> RemoteInvoice:
        return self.invoices.read(remote_id)

    def since(self, day: date) -> list[RemoteInvoice]:
        """`start_date` restricts a list to invoices "on or after the given timestamp". In which time zone the business
        dates them is not told: asked from where the day begins first on earth, so some of the day before may be there,
        too."""
        begins = words.noon(day) - 26 * 3600
        return [words.read_invoice(raw) for raw in self.pages("/invoices", {"start_date": str(begins)})]

    def send(self, remote_id: str, key: str) -> None:
        """Queued only: Invoiced mails a moment later, to the customer's address and its primary contacts."""
        self.execute(Request(step="send", path=f"{_path(remote_id)}/emails", headers=JSON, body="{}"), key=key)

    def pdf(self, remote_id: str) -> bytes:
        return self.asked_pdf(_path(remote_id))

    def undo(self, found: RemoteInvoice, key: str) -> RemoteInvoice:
        if found.status is Status.DRAFT:
            self.execute(Request(step="void", method="DELETE", path=_path(found.id)))
            return found.model_copy(update={"status": Status.VOID})
        answer = self.execute(Request(step="void", path=f"{_path(found.id)}/void", headers=JSON, body="{}"), key=key)
        return reading(lambda: words.read_invoice(answer.json()), answer)


def _path(remote_id: str) -> str:
    return f"/invoices/{quote(remote_id, safe='')}"


def _same(request: Request, key: str | None, field: str, answer: Answer) -> None:
    """Raises `Uncertain` where the answer shows another object than was sent: that of an earlier call under the key."""
    if key != json.loads(request.body)["metadata"][field]:
        raise Uncertain("Invoiced answered with another object than was sent", status=answer.status)
