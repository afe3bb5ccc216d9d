"""Clients, invoices and credit notes in FreshBooks."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from connectors.http import Answer
from connectors.model import RemoteInvoice, Status
from connectors.platforms import choosing
from connectors.platforms import freshbooks_words as words
from connectors.platforms.crediting import SetOffLast, invoice_of
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
from connectors.platforms.freshbooks_words import TITLE
from connectors.platforms.texts import key_in

if TYPE_CHECKING:
    from connectors.platforms.freshbooks import FreshBooks


class Customers(Documents[CustomerDraft, RemoteCustomer]):
    """Clients: looked for by e-mail address, of which FreshBooks takes several; without one the whole list is read."""

    platform: FreshBooks
    calls = 2
    look_first = True

    def plan(self, draft: CustomerDraft) -> Plan:
        return (call("create", f"{books_of(self)}/users/clients", {"client": words.client(draft)}, method="POST"),)

    def look(self, draft: CustomerDraft) -> Hit[RemoteCustomer] | None:
        email = draft.party.email
        query = {"search[email]": email} if email else {}
        listed = self.platform.pages(f"{books_of(self)}/users/clients", "clients", query)
        living = sorted((raw for raw in listed if raw["vis_state"] == 0), key=lambda raw: int(raw["id"]))
        return choosing.known(draft, map(words.customer, living), TITLE)

    def document(self, raw: Any) -> RemoteCustomer:
        return words.customer(result(raw)["client"])


class Invoices(Documents[PlannedInvoice, RemoteInvoice]):
    """A draft with all its lines, compared, then marked as sent. Looked for by number before the first create too:
    what the API says to a number that is taken is not documented."""

    platform: FreshBooks
    calls = 3
    look_first = True

    def plan(self, draft: PlannedInvoice) -> Plan:
        settings = self.platform.settings
        body, remark = words.invoice(draft.draft, draft.customer_id, settings)
        path = f"{books_of(self)}/invoices/invoices"
        create = call("create", path, {"invoice": body}, method="POST").model_copy(update={"remark": remark})
        issue = call("issue", f"{path}/{{create}}", {"invoice": {"action_mark_as_sent": True}}, issues=True)
        return (create, issue) if settings.issue else (create,)

    def look(self, draft: PlannedInvoice) -> Hit[RemoteInvoice] | None:
        """Whether the search is exact is not documented: what it finds is compared."""
        query = {"search[invoice_number]": draft.draft.reference}
        listed = self.platform.pages(f"{books_of(self)}/invoices/invoices", "invoices", query)
        step = "issue" if self.platform.settings.issue else None
        return choosing.unfinished(draft, map(words.document, listed), TITLE, step)

    def document(self, raw: Any) -> RemoteInvoice:
        return words.document(result(raw)["invoice"])


class CreditNotes(SetOffLast):
    """One call makes it, and it is the client's at once. Its total is compared before a payment "from credit" takes it
    off its invoice. Which searches a list of credit notes takes is not documented: the whole list is read."""

    platform: FreshBooks
    calls = 2
    last = "apply"

    def credit_note(self, draft: PlannedInvoice) -> Plan:
        number, settings = invoice_of(draft).number, self.platform.settings
        body, remark = words.credit_note(draft.draft, draft.customer_id, number, settings)
        path = f"{books_of(self)}/credit_notes/credit_notes"
        made = call("create", path, {"credit_note": body}, method="POST", issues=True)
        return (made.model_copy(update={"remark": remark}),)

    def application(self, draft: PlannedInvoice, amount: Decimal) -> Plan:
        paid = {"payment": words.payment(draft.draft, invoice_of(draft).id, later("create"), amount)}
        return (call("apply", f"{books_of(self)}/payments/payments", paid, method="POST", issues=True),)

    def applied(self, answer: Answer) -> str:
        return str(result(answer.json())["payment"]["id"])

    def look(self, draft: PlannedInvoice) -> Hit[RemoteInvoice] | None:
        """Which of a client's credits a payment uses up may be FreshBooks' choice, so what remains of this one does not
        say whether it was applied: the invoice's payments do, of which ours carries our key."""
        listed = self.platform.pages(f"{books_of(self)}/credit_notes/credit_notes", "credit_notes", {})
        hit = choosing.unfinished(draft, map(words.credit, listed), TITLE)
        if hit is None or hit.document.key != draft.key or hit.document.status is not Status.ISSUED:
            return hit
        if all(request.step != self.last for request in self.plan(draft)):
            return hit
        query = {"search[invoiceid]": invoice_of(draft).id}
        payments = self.platform.pages(f"{books_of(self)}/payments/payments", "payments", query)
        done = any(key_in(one.get("note")) == draft.key and one["vis_state"] != words.DELETED for one in payments)
        return hit if done else Hit(hit.document, self.last)

    @staticmethod
    def issued(document: RemoteInvoice) -> bool:
        """The call before which it is compared takes it off its invoice: that it is in force does not say it was."""
        return False

    def document(self, raw: Any) -> RemoteInvoice:
        found = result(raw)
        return words.credit(found.get("credit_note") or found["credit_notes"])

    def read(self, remote_id: str) -> RemoteInvoice:
        answer = self.platform.ask(f"{books_of(self)}/credit_notes/credit_notes/{quote(remote_id, safe='')}")
        return self.platform.told(answer, self.document)


def call(step: str, path: str, body: Any, *, method: str = "PUT", issues: bool = False) -> Request:
    """A call that changes something."""
    return posted(step, path, body, method=method, quota="write", issues=issues)


def result(body: Any) -> Any:
    """What an answer is about."""
    return body["response"]["result"]


def books_of(documents: Documents[Any, Any]) -> str:
    """The path of the business."""
    return f"/accounting/account/{documents.platform.settings.account_id}"
