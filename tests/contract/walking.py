"""The whole way of an order on a platform that is well, step by step, as the suites need it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from connectors.errors import Rejected
from connectors.model import InvoiceDraft, RemoteInvoice
from connectors.platforms.documents import Outcome, PlannedInvoice
from tests.contract import orders
from tests.contract.attempts import Try, found, settle
from tests.contract.running import Books


def customer_id(platform: Any, draft: InvoiceDraft) -> str:
    """The customer's remote id, found or else created."""
    wanted = orders.customer(draft)
    outcome = settle(platform.customers, Try(wanted, platform.customers.plan(wanted), generation=0))
    if outcome.error:
        raise outcome.error
    assert outcome.document is not None
    return str(outcome.document.id)


def attempt(platform: Any, draft: InvoiceDraft, **options: Any) -> Try[PlannedInvoice]:
    """A first try at the order's invoice; its customer exists afterwards."""
    planned = PlannedInvoice(draft=draft, customer_id=customer_id(platform, draft))
    return Try(planned, platform.invoices.plan(planned), **options)


def issued(platform: Any, draft: InvoiceDraft) -> RemoteInvoice:
    """The order's invoice, issued without any trouble."""
    outcome = platform.invoices.create(attempt(platform, draft))
    if outcome.error:
        raise outcome.error
    assert outcome.difference is None
    document: RemoteInvoice = outcome.document
    return document


def packed(platform: Any, tries: Sequence[Try[PlannedInvoice]], key: str = "bulk-1") -> list[Outcome[RemoteInvoice]]:
    """All of them in one call, which `key` names."""
    request = platform.invoices.pack([one.plan for one in tries])
    outcomes: list[Outcome[RemoteInvoice]] = platform.invoices.create_packed(request, tries, key)
    return outcomes


def halved(platform: Any, tries: Sequence[Try[PlannedInvoice]]) -> list[Outcome[RemoteInvoice]]:
    """All of them, as the worker sends them: a call that is refused as a whole is halved until one stands alone."""
    outcomes = packed(platform, tries) if len(tries) > 1 else [platform.invoices.create(tries[0])]
    first = outcomes[0].error
    if len(tries) == 1 or type(first) is not Rejected or any(one.error is not first for one in outcomes):
        return outcomes
    middle = -(-len(tries) // 2)
    return halved(platform, tries[:middle]) + halved(platform, tries[middle:])


def ends_with_one(books: Books, one: Try[PlannedInvoice], outcome: Outcome[RemoteInvoice], platform: Any) -> None:
    """After whatever happened: looks, completes, and finds exactly one issued invoice in the books, to the cent."""
    if outcome.error is not None:
        outcome = settle(platform.invoices, one)
    assert outcome.error is None, outcome.error
    assert outcome.document is not None
    assert outcome.difference is None
    hit = found(platform.invoices, one.draft)
    assert hit is not None
    assert hit.resume_at is None
    assert hit.document.id == outcome.document.id
    (entry,) = books.entries(one.draft.draft.reference)
    assert (entry.status, entry.id) == ("issued", outcome.document.id)
    assert entry.total == f"{one.draft.draft.total:.2f}"
    assert len({(entry.customer, entry.lines, entry.total) for entry in books.ledger()}) == len(books.ledger())
