"""Which of the documents that a look-up gave is the draft's: ours before others', living before voided ones."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from connectors.errors import Rejected
from connectors.model import RemoteInvoice, Status
from connectors.platforms.documents import CustomerDraft, Hit, PlannedInvoice, RemoteCustomer


def invoice(draft: PlannedInvoice, found: Iterable[RemoteInvoice], title: str) -> RemoteInvoice | None:
    """The one that carries our key, else one that has our reference (the caller of `find` judges it), else None.
    Raises `Rejected` for two living documents that carry our key."""
    order = draft.draft
    hits = [one for one in found if one.key == draft.key or one.reference == order.reference]
    hits.sort(key=lambda one: (one.key != draft.key, one.status is Status.VOID))
    live = [one.id for one in hits if one.key == draft.key and one.status is not Status.VOID]
    if len(live) > 1:
        raise Rejected(
            f"{title} has {len(live)} invoices of order {order.order_ref}: {', '.join(live)}; void all but one, "
            "then retry"
        )
    return hits[0] if hits else None


def unfinished(
    draft: PlannedInvoice,
    found: Iterable[RemoteInvoice],
    title: str,
    step: str | None | Callable[[RemoteInvoice], str | None] = None,
) -> Hit[RemoteInvoice] | None:
    """`invoice` as a point to resume from, where ours is still a draft: at `step`, or the one that it says this draft
    lacks; None leaves it to a person."""
    chosen = invoice(draft, found, title)
    if chosen is None or chosen.key != draft.key or chosen.status is not Status.DRAFT:
        return Hit(chosen) if chosen else None
    return Hit(chosen, step(chosen) if callable(step) else step)


def customer(
    draft: CustomerDraft, found: Iterable[RemoteCustomer], title: str, name: str = ""
) -> RemoteCustomer | None:
    """The one that carries our key, else the merchant's own with the same e-mail address that carries nobody's (of
    several the one of the same name), else the one of this `name`, where names are unique. Raises `Rejected` for two
    that carry our key."""
    every = list(found)
    ours = [one for one in every if one.key == draft.key]
    if len(ours) > 1:
        ids = ", ".join(one.id for one in ours)
        whose = draft.party.display_name
        raise Rejected(f"{title} has {len(ours)} customers with our key for {whose}: {ids}; merge them, then retry")
    email, own = (draft.party.email or "").casefold(), (name or draft.party.display_name).strip().casefold()
    alike = [one for one in every if not one.key and email and (one.email or "").strip().casefold() == email]
    alike.sort(key=lambda one: (one.name or "").strip().casefold() != own)
    named = [one for one in every if name and (one.name or "").casefold() == own]
    return next(iter(ours or alike or named), None)


def known(
    draft: CustomerDraft, found: Iterable[RemoteCustomer], title: str, name: str = ""
) -> Hit[RemoteCustomer] | None:
    """`customer` as what a look-up has found."""
    chosen = customer(draft, found, title, name)
    return Hit(chosen) if chosen else None
