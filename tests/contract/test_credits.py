"""What was invoiced is given back by credit notes: exactly one each, to the cent, set off against their invoice."""

from __future__ import annotations

from decimal import Decimal
from functools import partial
from typing import Any

import pytest

from connectors.errors import Rejected, Unavailable
from connectors.model import InvoiceDraft, RemoteInvoice, Status
from connectors.platforms.documents import Outcome, PlannedInvoice
from connectors.sandbox.faults import Fault
from tests.contract import orders
from tests.contract.attempts import Try, found, settle
from tests.contract.running import Books, Subject
from tests.contract.walking import issued

FINAL = {Status.ISSUED, Status.PAID}
"""A note that is used up is paid, on some platforms."""
MAY_BE_TOO_MUCH = {"no decimals", "three decimals"}


def concerns(subject: Subject) -> bool:
    return "credit" in subject.facts.can


def note_of(books: Books, invoice: RemoteInvoice, draft: InvoiceDraft, name: str = "C1") -> PlannedInvoice:
    """All of this draft as a credit note of the invoice, which is read as the worker does."""
    changed = {"reference": f"{draft.reference}-{name}", "key": f"{draft.key}/credit/{name}"}
    credited = books.platform.read(invoice.id)
    return PlannedInvoice(
        draft=draft.model_copy(update=changed), customer_id=str(credited.customer_id), credited=credited
    )


def tried(books: Books, note: PlannedInvoice, **options: Any) -> Try[PlannedInvoice]:
    return Try(note, books.platform.credits.plan(note), **options)


def given_back(books: Books, note: PlannedInvoice, outcome: Outcome[RemoteInvoice]) -> None:
    """Exactly one note of these amounts is in the books, complete, and the invoice is still the only one."""
    assert outcome.error is None, outcome.error
    assert outcome.difference is None
    assert outcome.document is not None
    hit = found(books.platform.credits, note)
    assert hit is not None
    assert hit.resume_at is None
    for document in (hit.document, books.platform.credits.read(outcome.document.id)):
        assert (document.id, document.key) == (outcome.document.id, note.key)
        assert document.reference == note.draft.reference
        assert (document.total, document.currency) == (note.draft.total, note.draft.currency)
        assert document.status in FINAL
        assert document.tax in {None, note.draft.tax_total}
    (entry,) = [one for one in books.credits() if one.reference == note.draft.reference]
    assert (Decimal(entry.total), entry.currency) == (note.draft.total, note.draft.currency)
    assert entry.status in {"issued", "paid"}
    assert note.key in entry.key
    assert len(books.ledger()) == 1
    assert note.credited is not None
    assert found(books.platform.invoices, PlannedInvoice(draft=note.draft, customer_id=note.customer_id)) is None


@pytest.mark.parametrize(
    "order",
    [
        pytest.param("the event's example", marks=pytest.mark.slow),
        "two lines, discount, shipping",
        pytest.param("discount per line", marks=pytest.mark.slow),
        "tax included",
        "two tax rates",
        pytest.param("a line without tax", marks=pytest.mark.slow),
        pytest.param("decimals in the quantity", marks=pytest.mark.slow),
        pytest.param("a free line", marks=pytest.mark.slow),
        pytest.param("no decimals", marks=pytest.mark.slow),
        "three decimals",
        pytest.param("emoji", marks=pytest.mark.slow),
    ],
)
def test_a_whole_order_is_given_back(books: Books, order: str) -> None:
    draft = orders.ORDERS[order]()
    try:
        invoice = issued(books.platform, draft)
    except Rejected:
        if order not in MAY_BE_TOO_MUCH:
            raise
        return
    note = note_of(books, invoice, draft)
    assert found(books.platform.credits, note) is None
    one = tried(books, note)
    given_back(books, note, books.platform.credits.create(one))
    assert [what for what, _ in one.log] == ["begin", "done"] * len(one.plan)
    after = books.platform.read(invoice.id)
    assert after.status in FINAL
    assert after.due in {None, 0}


def test_an_order_is_given_back_in_parts(books: Books) -> None:
    """One of two plaques, then the rest; what is due of the invoice falls by each."""
    invoice = issued(books.platform, orders.ORDERS["two lines, discount, shipping"]())
    one_plaque = orders.draft("SO-1001", [orders.line({**orders.PLAQUE, "quantity": "1"})])
    rest = orders.draft(
        "SO-1001",
        [orders.line({**orders.PLAQUE, "quantity": "1"}), orders.line(orders.TAG)],
        discount=orders.FIVE_OFF,
        shipping=orders.COURIER,
    )
    for name, part, left in (("C1", one_plaque, "64.14"), ("C2", rest, "0")):
        note = note_of(books, invoice, part, name)
        given_back(books, note, books.platform.credits.create(tried(books, note)))
        assert books.platform.read(invoice.id).due in {None, Decimal(left)}
    assert sorted(entry.total for entry in books.credits()) == ["54.00", "64.14"]


def test_shipping_alone_is_given_back(books: Books) -> None:
    """As a line: what a shop pays back without saying for what is one, too."""
    invoice = issued(books.platform, orders.ORDERS["two lines, discount, shipping"]())
    courier = {"ref": "shipping", "description": "Courier", "quantity": "1", "unit_price": "7.95"}
    note = note_of(books, invoice, orders.draft("SO-1001", [orders.line(courier)]))
    given_back(books, note, books.platform.credits.create(tried(books, note)))
    assert books.platform.read(invoice.id).due in {None, Decimal("108.60")}


def test_of_a_paid_invoice_the_note_is_left_as_a_credit_of_the_customer(books: Books) -> None:
    draft = orders.simple("SO-1001")
    invoice = issued(books.platform, draft)
    if pay := books.subject.samples.pay_by_hand:
        books.sandbox.run(partial(pay, books.emulator, invoice.id))
    paid = note_of(books, invoice, draft)
    assert paid.credited is not None
    settled = {"due": Decimal(0), "status": Status.PAID}
    paid = paid.model_copy(update={"credited": paid.credited.model_copy(update=settled)})
    given_back(books, paid, books.platform.credits.create(tried(books, paid)))


@pytest.mark.parametrize(
    "fault",
    [
        "nothing sent",
        Fault.ANSWER_LOST,
        pytest.param(Fault.ERROR_AFTER, marks=pytest.mark.slow),
        pytest.param(Fault.ERROR_BEFORE, marks=pytest.mark.slow),
    ],
)
def test_whatever_goes_wrong_at_whatever_step_there_is_one_note(books: Books, fault: Any) -> None:
    invoice = issued(books.platform, orders.ORDERS["two lines, discount, shipping"]())
    draft = orders.ORDERS["two lines, discount, shipping"]()
    note = note_of(books, invoice, draft)
    steps = [request.step for request in books.platform.credits.plan(note)]
    for number, broken in enumerate(steps):

        def spoil(step: str, broken: str = broken) -> None:
            if step == broken and fault == "nothing sent":
                raise Unavailable("the worker has no time left")
            if step == broken:
                books.fault(fault)

        part = orders.draft("SO-1001", [orders.line({**orders.TAG, "unit_price": f"1.{number}0"})])
        note = note_of(books, invoice, part, f"C{number}")
        one = tried(books, note, on_begin=spoil)
        outcome = books.platform.credits.create(one)
        assert outcome.error is not None, broken
        books.heal()
        given_back(books, note, settle(books.platform.credits, one))
    assert len(books.credits()) == len(steps)


def test_a_note_that_somebody_else_made_is_not_ours(books: Books) -> None:
    """Of the same number, without our key: a person must look."""
    draft = orders.simple("SO-1001")
    invoice = issued(books.platform, draft)
    theirs = note_of(books, invoice, orders.draft("SO-1001", [orders.line(orders.TAG)]))
    theirs = theirs.model_copy(update={"draft": theirs.draft.model_copy(update={"key": "somebody-else"})})
    assert books.platform.credits.create(tried(books, theirs)).error is None
    ours = note_of(books, invoice, orders.draft("SO-1001", [orders.line(orders.TAG)]))
    hit = found(books.platform.credits, ours)
    assert hit is not None
    assert hit.document.key != ours.key
    assert hit.resume_at is None
