"""Whether what is given back becomes a credit note, or its invoice is voided: decided by what the invoice is now."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from connectors.errors import ConnectorError
from connectors.model import RemoteInvoice, Status
from connectors.platforms.base import Platform
from connectors.platforms.crediting import Voids
from connectors.platforms.documents import Documents, Outcome, PlannedInvoice
from tasks.calls import pool
from tasks.verdict import Policy, Verdict, refused, verdict
from worker import limits
from worker.limits import Permits
from worker.store import jobs
from worker.store.documents import Work


@dataclass
class Ways:
    """What is settled already, and what is to be carried on with as documents of which kind."""

    settled: list[Verdict] = field(default_factory=list)
    open: list[tuple[Documents[Any, Any], list[Work]]] = field(default_factory=list)


def ways_of(platform: Platform, works: Sequence[Work], policy: Policy, prefers: str, permits: Permits) -> Ways:
    """Reads the invoice of each of these credit notes and says which way it goes. `prefers`: credit or void, as the
    account wants it."""
    found = Ways()
    voids: list[Work] = []
    notes: list[Work] = []
    for read, invoice in _read(platform, works, permits):
        if isinstance(invoice, ConnectorError):
            found.settled.append(_not_read(read, invoice, policy))
            continue
        work = _with(read, invoice)
        if work.plan:  # begun as a credit note: it stays one, whatever has become of the invoice
            notes.append(work)
        elif invoice.status is Status.VOID:
            found.settled.append(_success(work, invoice, policy))
        elif _may_be_voided(platform, work, invoice, prefers):
            voids.append(work)
        elif platform.credits is not None:
            notes.append(work)
        else:
            found.settled.append(_by_hand(platform, work, invoice))
    found.open.append((Voids(platform), voids))
    if platform.credits is not None:
        found.open.append((platform.credits, notes))
    return found


def _read(
    platform: Platform, works: Sequence[Work], permits: Permits
) -> list[tuple[Work, RemoteInvoice | ConnectorError]]:
    """The invoices, read side by side."""

    def read(work: Work) -> RemoteInvoice | ConnectorError:
        with limits.using(permits):
            try:
                return platform.read(work.credited_id or "")
            except ConnectorError as error:
                return error

    asked = [(work, pool().submit(read, work)) for work in works]
    return [(work, answer.result()) for work, answer in asked]


def _with(work: Work, invoice: RemoteInvoice) -> Work:
    assert isinstance(work.draft, PlannedInvoice)
    return replace(work, draft=work.draft.model_copy(update={"credited": invoice}))


def _may_be_voided(platform: Platform, work: Work, invoice: RemoteInvoice, prefers: str) -> bool:
    """All of it is given back and nothing of it is paid; and the account wants that, or there is no other way."""
    assert work.invoice is not None
    whole = work.invoice.total == invoice.total
    unpaid = invoice.status is not Status.PAID and invoice.due in (None, invoice.total)
    wanted = prefers == "void" or platform.credits is None
    return wanted and whole and unpaid and "void" in platform.facts.can


def _not_read(work: Work, error: ConnectorError, policy: Policy) -> Verdict:
    """Nothing was changed by reading it: asked again, or held where the invoice is not there any more."""
    outcome = Outcome[Any](error=error, sample=error.sample)
    return verdict(work, outcome, policy, jobs.now(), made=work.made, resolved=not work.job.unsure)


def _success(work: Work, invoice: RemoteInvoice, policy: Policy) -> Verdict:
    return verdict(work, Outcome[Any](invoice, voided=True), policy, jobs.now(), made=work.made, resolved=True)


def _by_hand(platform: Platform, work: Work, invoice: RemoteInvoice) -> Verdict:
    assert work.invoice is not None
    draft, title = work.invoice, platform.facts.title
    paid = invoice.status is Status.PAID or invoice.due not in (None, invoice.total)
    why = "it is paid" if paid else "only a part of it is given back"
    if "void" not in platform.facts.can:
        why = "it cannot be voided through its API either"
    number = invoice.number or invoice.id
    reason = (
        f"{title} has no credit notes in its API, and invoice {number} is not voided because {why}:"
        f" give {draft.total} {draft.currency} of order {draft.order_ref} back there by hand"
    )
    return refused(work, reason)
