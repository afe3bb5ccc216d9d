"""Contacts, invoices and credit notes in Zoho Books: drafts that are compared, then marked as sent or opened."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import quote

from connectors.http import Answer
from connectors.model import RemoteInvoice
from connectors.platforms import choosing
from connectors.platforms import zoho_books_words as words
from connectors.platforms.crediting import SetOffLast, invoice_of
from connectors.platforms.documents import (
    CustomerDraft,
    Documents,
    Hit,
    Plan,
    PlannedInvoice,
    RemoteCustomer,
    Request,
    posted,
)
from connectors.platforms.texts import distinct_name
from connectors.platforms.zoho_books_words import TITLE

if TYPE_CHECKING:
    from connectors.platforms.zoho_books import ZohoBooks

API = "/books/v3"


class Contacts(Documents[CustomerDraft, RemoteCustomer]):
    """Customers. The notes end in our key; names are unique, and a list shows no notes."""

    platform: ZohoBooks
    calls = 3
    look_first = True

    def plan(self, draft: CustomerDraft) -> Plan:
        return (posted("create", f"{API}/contacts", words.contact(draft, self.platform.settings)),)

    def look(self, draft: CustomerDraft) -> Hit[RemoteCustomer] | None:
        """Asks by name and by e-mail; one of another currency is left alone, for a contact has one."""
        settings = self.platform.settings
        name = distinct_name(draft, settings.base_currency)
        questions = [{"contact_name" if len(name) <= 100 else "contact_name_startswith": name[:100]}]
        if draft.party.email:
            questions.append({"email": draft.party.email})
        rows = [
            row for each in questions for row in self.platform.listed("contacts", {**each, "contact_type": "customer"})
        ]
        currency = draft.currency or settings.base_currency
        alike = {row["contact_id"] for row in words.active(rows) if row["currency_code"] == currency}
        found = [words.customer(self.platform.one("contact", ident)) for ident in sorted(alike)]
        return choosing.known(draft, found, TITLE, name)

    def document(self, raw: Any) -> RemoteCustomer:
        return words.customer(raw["contact"])


class Numbered(Documents[PlannedInvoice, RemoteInvoice]):
    """What invoices and credit notes share: a draft, compared, then turned final. Each is found again by its number."""

    platform: ZohoBooks
    kind: ClassVar[str]
    final_as: ClassVar[str]
    """The status that makes it final."""

    def body(self, draft: PlannedInvoice) -> tuple[dict[str, Any], str]:
        """What makes the draft, and what there is to say of it. Raises `Rejected` as `plan`."""
        raise NotImplementedError

    def plan(self, draft: PlannedInvoice) -> Plan:
        body, remark = self.body(draft)
        path = f"{API}/{self.kind}s"
        own = {"ignore_auto_number_generation": "true"}
        make = posted("draft", path, body, query=own, remark=remark)
        issue = Request(step="issue", path=f"{path}/{{draft}}/status/{self.final_as}", issues=True)
        return (make, issue) if self.platform.settings.issue else (make,)

    def look(self, draft: PlannedInvoice) -> Hit[RemoteInvoice] | None:
        number, field = draft.draft.reference, f"{self.kind}_number"
        rows = self.platform.listed(f"{self.kind}s", {field: number})
        found = [self.read(row[f"{self.kind}_id"]) for row in rows if row[field] == number]
        return choosing.unfinished(draft, found, TITLE, "issue" if self.platform.settings.issue else None)

    def made(self, request: Request, answer: Answer) -> tuple[str, RemoteInvoice | None]:
        if request.step != "draft":
            return done(answer), None
        made = words.document(answer.json()[self.kind], self.kind)
        return made.id, made

    def read(self, remote_id: str) -> RemoteInvoice:
        answer = self.platform.ask(f"{API}/{self.kind}s/{quote(remote_id, safe='')}")
        return self.platform.told(answer, lambda body: words.document(body[self.kind], self.kind))


class Invoices(Numbered):
    """A draft, compared, then marked as sent."""

    calls = 2
    kind = "invoice"
    final_as = "sent"

    def body(self, draft: PlannedInvoice) -> tuple[dict[str, Any], str]:
        return words.invoice(draft.draft, draft.customer_id, self.platform.settings)


class CreditNotes(SetOffLast, Numbered):
    """A draft, compared, then opened and applied to its invoice as far as that is due."""

    calls = 3
    kind = "creditnote"
    final_as = "open"
    last = "apply"

    def body(self, draft: PlannedInvoice) -> tuple[dict[str, Any], str]:
        number = invoice_of(draft).number
        return words.credit_note(draft.draft, draft.customer_id, number, self.platform.settings)

    def application(self, draft: PlannedInvoice, amount: Decimal) -> Plan:
        against = {"invoice_id": invoice_of(draft).id, "amount_applied": amount}
        return (posted("apply", f"{API}/creditnotes/{{draft}}/invoices", {"invoices": [against]}),)

    def applied(self, answer: Answer) -> str:
        return done(answer)


def done(answer: Answer) -> str:
    """Of an answer that only says it is done ("Invoice status has been changed to Sent."): no id. Raises for any
    other."""
    if answer.json()["code"] != 0:
        raise ValueError("not done")
    return ""
