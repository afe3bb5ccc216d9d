"""Credit notes that refunds and cancellations make due, on the invoices that an order has."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

from connectors.model import Event, InvoiceDraft, Refund
from tasks.crediting import Given, all_of, given_back, order_of
from tasks.placing import Handled
from tasks.reasons import Held, Nothing
from tasks.sharing import shared_out
from tasks.splitting import added, remaining
from worker import runtime
from worker.accounts import accounts
from worker.store.credits import GONE, Invoiced, Note, load_invoiced, record_notes
from worker.store.jobs import now
from worker.store.orders import Known

CANCELLED = "cancelled"
"""The part of a credit note that gives a cancelled order back; no shop calls a refund so."""
CHANGED = "changed:"
"""What the part of a credit note begins with after which the order is invoiced anew; then how the order was then."""


@dataclass(frozen=True, slots=True)
class _Due:
    """What is to be given back of which invoice, and for what."""

    invoice: Invoiced
    part: str
    what: Given


class Refunding:
    """The credit notes of one batch, whose orders are locked."""

    def __init__(self, connection: Any, order_ids: Iterable[str]) -> None:
        """`order_ids`: of the orders that are to be asked about; their invoices are read at once."""
        self._connection = connection
        self._known = load_invoiced(connection, order_ids)
        self._notes: list[Note] = []
        self.credited: list[Invoiced] = []
        """Invoices that have got a credit note."""

    def record(self) -> None:
        """Creates what is due so far."""
        record_notes(self._connection, self._notes)
        self.credited += [note.invoice for note in self._notes]
        self._notes = []

    def reload(self, order_id: str) -> None:
        """Invoices of the order have come to be, or have changed, in this batch."""
        self.record()
        self._known |= load_invoiced(self._connection, [order_id])

    def refunded(self, each: Handled, event: Event, order: Known, stopped: frozenset[str]) -> dict[str, Any]:
        """Adds the credit notes for what was given back, and says what they are; of invoices `stopped` before they were
        sent none is due. Raises `Nothing`, `Held`, `TooMuch`."""
        assert event.refund is not None
        refund, part = event.refund, f"refund:{each.job.account}:{event.refund.ref}"
        money = f"{refund.total} {order.order.currency}"
        by_account: dict[str, list[Invoiced]] = {}
        for invoice in self._invoices(order):
            if invoice.id not in stopped:
                by_account.setdefault(invoice.account, []).append(invoice)
        if not by_account:
            raise Nothing(f"{money} were refunded, and no account has an invoice of it that was sent")
        due = []
        for invoices in by_account.values():
            if any(_named(part, invoice) in invoice.notes for invoice in invoices):
                continue
            living = [invoice for invoice in invoices if invoice.left > 0]
            if not living:
                self._refuse_another_sum(order, invoices, refund)
                continue
            for invoice, mine in _meant(order, living, refund):
                _refuse(order, invoice, f"{money} were refunded")
                what = given_back(invoice.draft, list(invoice.notes.values()), mine)
                due.append(_Due(invoice, _named(part, invoice), what))
        if not due:
            raise Nothing(f"{money} were refunded: that is credited already")
        return self._add(each, order, due, refund.reason)

    @staticmethod
    def _refuse_another_sum(order: Known, invoices: Sequence[Invoiced], refund: Refund) -> None:
        """A cancelled order's invoices were credited as a whole: raises `Held` where the shop gave back another sum."""
        notes = [note for one in invoices if (note := one.notes.get(_named(CANCELLED, one))) is not None]
        credited = sum(note.total for note in notes)
        if notes and credited != refund.total:
            names, currency = ", ".join(one.reference for one in invoices), order.order.currency
            raise Held(
                f"order {order.order.ref} was cancelled, and {credited} {currency} of invoice {names} were credited;"
                f" but the shop says now that {refund.total} {currency} were refunded. Put it right on the platform"
            )

    def cancelled(self, each: Handled, order: Known, stopped: frozenset[str]) -> dict[str, Any]:
        """Adds credit notes for whatever is left of the order's invoices, but for those `stopped`. Raises `Nothing`,
        `Held`."""
        due = []
        for invoice in self._invoices(order):
            if invoice.id in stopped or invoice.left <= 0:
                continue
            _refuse(order, invoice, "it was cancelled in the shop after its invoice was made")
            if invoice.notes:
                raise Held(
                    f"order {order.order.ref} was cancelled after a part of its invoice {invoice.reference} was given"
                    f" back; whether the remaining {invoice.left} {invoice.draft.currency} are owed nobody says. If"
                    " not, credit them on the platform"
                )
            due.append(_Due(invoice, _named(CANCELLED, invoice), all_of(invoice.draft)))
        if not due:
            raise Nothing("cancelled: nothing of it is left to be given back")
        return self._add(each, order, due, None)

    def changed(self, each: Handled, order: Known, now: str) -> dict[str, Any]:
        """Adds credit notes for the order's invoices as a whole: it is another one `now` (its fingerprint). Raises
        `Held`, `Nothing`."""
        due = []
        for invoice in self._invoices(order):
            if invoice.left <= 0:
                continue
            _refuse(order, invoice, "it was changed in the shop after it was invoiced")
            if invoice.notes:
                raise Held(
                    f"order {order.order.ref} was changed in the shop after a part of its invoice {invoice.reference}"
                    " was given back: put that right on the platform"
                )
            due.append(_Due(invoice, f"{CHANGED}{now.rpartition(' ')[2]}", all_of(invoice.draft)))
        if not due:
            raise Nothing("it was changed; its invoice is given back already")
        return self._add(each, order, due, "the order was changed")

    def next_revision(self, order: Known, account: str, part: str) -> int:
        """Of the order's next invoice there: above those that are void or credited; the last one's if that is not."""
        mine = [one for one in self._known.get(order.id, ()) if (one.account, one.part) == (account, part)]
        last = max(mine, key=lambda one: one.revision, default=None)
        return 0 if last is None else last.revision + (last.state in GONE)

    def accounts_of(self, order: Known, ids: frozenset[str]) -> list[str]:
        """The accounts that these of the order's invoices are on."""
        return [one.account for one in self._known.get(order.id, ()) if one.id in ids]

    def whole(self, order: Known, refund: Refund) -> bool:
        """Whether the refund gives back each invoice of the order as a whole."""
        invoices = self._invoices(order)
        return all(not one.notes and one.draft.total == refund.total for one in invoices) and bool(invoices)

    def _invoices(self, order: Known) -> list[Invoiced]:
        """Those that exist, or will; in shadow mode nothing was sent, and where the order was moved away from nothing
        is left."""
        there = None if order.decision is None else order.decision.accounts
        return [
            invoice
            for invoice in self._known.get(order.id, ())
            if invoice.state != "shadow" and (there is None or invoice.account in there)
        ]

    def _add(self, each: Handled, order: Known, due: Sequence[_Due], reason: str | None) -> dict[str, Any]:
        assert each.row is not None
        for one in due:
            invoice = one.invoice
            note = Note(
                invoice=invoice,
                part=one.part,
                draft=_draft(invoice, one.what),
                identity=(order.source, order.order.id),
                number=len(invoice.notes) + 1,
                longest=accounts()[invoice.shop, invoice.account].facts.reference.max_length,
                accepted_at=each.row.received_at,
            )
            self._notes.append(note)
            invoice.notes[one.part] = note.draft
        told = [f"{one.what.order.total} {one.what.order.currency} of {one.invoice.reference}" for one in due]
        return {"credited": told} | ({"reason": reason} if reason else {})


def _draft(invoice: Invoiced, what: Given) -> InvoiceDraft:
    today = now().astimezone(ZoneInfo(runtime.config().shop[invoice.shop].timezone)).date()
    order = what.order
    return invoice.draft.model_copy(
        update={
            "issued_on": today, "due_on": today, "lines": order.lines, "discount": order.discount,
            "shipping": order.shipping, "tax_total": order.tax_total(), "total": order.total,
            "came_back": dict(what.came_back),
        }
    )  # fmt: skip


def _named(part: str, invoice: Invoiced) -> str:
    """What a credit note is for, where an order has an invoice a shipment: each of them may have one for it."""
    return part if invoice.part == "order" else f"{part}@{invoice.part}"


def _meant(order: Known, invoices: Sequence[Invoiced], refund: Refund) -> list[tuple[Invoiced, Refund]]:
    """Of several invoices of one account (one a shipment) the one that holds what came back; else each that holds some
    of it, with its part of the refund. Raises `Held`."""
    if len(invoices) == 1:
        return [(invoices[0], refund)]
    wanted = added({line.ref: line.quantity} for line in refund.lines if line.quantity)
    for invoice in invoices:
        parts = added({line.ref: line.quantity} for line in invoice.draft.lines)
        back = added(note.came_back for note in invoice.notes.values())
        enough = all(parts.get(ref, 0) - back.get(ref, 0) >= quantity for ref, quantity in wanted.items())
        if enough and invoice.left >= refund.total:
            return [(invoice, refund)]
    if sum(invoice.left for invoice in invoices) == refund.total:
        return [(invoice, _rest(invoice, refund)) for invoice in invoices]
    try:
        shared = shared_out([(one.draft, list(one.notes.values())) for one in invoices], refund)
    except Held as reason:
        names = ", ".join(invoice.reference for invoice in invoices)
        raise Held(
            f"order {order.order.ref}: {refund.total} {order.order.currency} were refunded, and its invoices ({names})"
            f" do not say how: {reason}. Credit it on the platform"
        ) from None
    return [(invoice, mine) for invoice, mine in zip(invoices, shared, strict=True) if mine is not None]


def _rest(invoice: Invoiced, refund: Refund) -> Refund:
    """All that is left of the invoice, as its part of a refund of all that is left of the order."""
    back = added(note.came_back for note in invoice.notes.values())
    left = remaining(order_of(invoice.draft), back) if invoice.notes else {}
    lines = [{"ref": ref, "quantity": quantity} for ref, quantity in left.items()]
    return Refund.model_validate({"ref": refund.ref, "lines": lines, "total": invoice.left, "reason": refund.reason})


def _refuse(order: Known, invoice: Invoiced, what: str) -> None:
    """What a person must give back. Raises `Held`."""
    ref = accounts().get((invoice.shop, invoice.account))
    if ref is None:
        raise Held(f"order {order.order.ref}: {what}, but account {invoice.account} no longer exists")
    if ref.account.refund == "hold" or invoice.state in ("mismatch", "doubled", "dismissed"):
        raise Held(f"order {order.order.ref}: {what} ({invoice.account}: {invoice.state}): credit or void it there")
