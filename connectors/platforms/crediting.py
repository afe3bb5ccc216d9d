"""Giving back what was invoiced: by a credit note that names the invoice, or by voiding it while nothing is paid."""

from __future__ import annotations

from decimal import Decimal
from typing import ClassVar

from connectors.errors import ConnectorError, Rejected
from connectors.http import Answer
from connectors.model import RemoteInvoice, Status
from connectors.platforms.documents import Attempt, Documents, Hit, Outcome, Plan, PlannedInvoice, Request


def invoice_of(note: PlannedInvoice) -> RemoteInvoice:
    """The invoice that this credit note belongs to. Raises `Rejected` for what is no credit note."""
    if note.credited is None:
        raise Rejected(f"order {note.draft.order_ref}: a credit note without its invoice cannot be made")
    return note.credited


def set_off(note: PlannedInvoice) -> Decimal:
    """How much of the credit note is taken off what is still due of its invoice; the rest stays the customer's credit,
    to be refunded or used. In the draft's currency; 0 where the invoice is paid."""
    due = invoice_of(note).due
    return note.draft.total if due is None else max(Decimal(0), min(due, note.draft.total))


class SetOffLast(Documents[PlannedInvoice, RemoteInvoice]):
    """Credit notes whose last call sets them off against their invoice, as far as that is due: stands before the class
    that makes them. Of a note `due` is what remains of it."""

    last: ClassVar[str]
    """The step that sets off."""

    def credit_note(self, draft: PlannedInvoice) -> Plan:
        """The calls that make the credit note. Raises `Rejected` as `plan`."""
        return super().plan(draft)

    def application(self, draft: PlannedInvoice, amount: Decimal) -> Plan:
        """The calls that take this much off its invoice; none where the platform leaves that to a person."""
        raise NotImplementedError

    def applied(self, answer: Answer) -> str:
        """The id of what the last call made."""
        return str(answer.json()["id"])

    def found(self, draft: PlannedInvoice) -> Hit[RemoteInvoice] | None:
        """What exists of the note, whatever was set off."""
        return super().look(draft)

    def plan(self, draft: PlannedInvoice) -> Plan:
        made, amount = self.credit_note(draft), set_off(draft)
        issued = any(request.issues for request in made)  # a draft is set off by whoever issues it
        return (*made, *self.application(draft, amount)) if amount and issued else made

    def made(self, request: Request, answer: Answer) -> tuple[str, RemoteInvoice | None]:
        return (self.applied(answer), None) if request.step == self.last else super().made(request, answer)

    def look(self, draft: PlannedInvoice) -> Hit[RemoteInvoice] | None:
        return self.unapplied(draft, self.found(draft))

    def unapplied(self, draft: PlannedInvoice, hit: Hit[RemoteInvoice] | None) -> Hit[RemoteInvoice] | None:
        """One of ours that is final, and of which nothing is used though something is due, lacks what sets it off."""
        if hit is None or hit.resume_at:
            return hit
        note = hit.document
        if note.key != draft.key or note.status is not Status.ISSUED or note.due != note.total:
            return hit
        lacking = self.plan(draft)[len(self.credit_note(draft)) :]
        return Hit(note, lacking[0].step) if lacking else hit


class Voids(Documents[PlannedInvoice, RemoteInvoice]):
    """Invoices that are given back as a whole by voiding them. Voiding twice is voiding once: killed at any point, the
    invoice itself says whether it was done."""

    def plan(self, draft: PlannedInvoice) -> Plan:
        """No bytes of its own: `Platform.undo` says how, from what the invoice is then."""
        return ()

    def look(self, draft: PlannedInvoice) -> Hit[RemoteInvoice] | None:
        found = self.platform.read(invoice_of(draft).id)
        return Hit(found) if found.status is Status.VOID else None

    def create(self, attempt: Attempt[PlannedInvoice]) -> Outcome[RemoteInvoice]:
        invoice = invoice_of(attempt.draft)
        try:
            attempt.begin("void")
            document = self.platform.void(invoice.id, attempt.key("void"))
        except ConnectorError as error:
            return Outcome(error=error, sample=error.sample)
        attempt.done("void", document.id)
        return Outcome(document, voided=True)

    def differs(self, draft: PlannedInvoice, document: RemoteInvoice) -> str | None:
        """It is the invoice, and the order's total is no concern of it any more."""
        return None
