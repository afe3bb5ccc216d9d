"""Which invoices exist on the platform already, whoever made them: what `billhook adopt` reads."""

from __future__ import annotations

from datetime import date
from functools import partial

from connectors.model import Status
from tests.contract import orders
from tests.contract.running import Books, Subject
from tests.contract.walking import issued

BEFORE, NEVER = date(2026, 11, 1), date(2099, 1, 1)


def concerns(subject: Subject) -> bool:
    return "list" in subject.facts.can


def test_every_invoice_of_a_time_is_listed_with_what_it_is_matched_by(books: Books) -> None:
    drafts = [orders.simple("SO-1"), orders.ORDERS["two lines, discount, shipping"]()]
    ours = {issued(books.platform, draft).id: draft for draft in drafts}
    listed = {one.id: one for one in books.platform.since(BEFORE)}
    assert listed.keys() == ours.keys()
    for ident, draft in ours.items():
        one = listed[ident]
        assert (one.reference, one.key) == (draft.reference, draft.key)
        assert (one.total, one.currency, one.status) == (draft.total, draft.currency, Status.ISSUED)
        assert one.number
    assert books.platform.since(NEVER) == []


def test_what_others_made_is_listed_too(books: Books) -> None:
    books.sandbox.run(partial(books.subject.samples.steal_number, books.emulator, "SO-77"))
    (theirs,) = books.platform.since(BEFORE)
    assert theirs.reference == "SO-77" or theirs.number == "SO-77"
    assert theirs.key is None or not theirs.key.startswith("shop-1/")


def test_all_pages_of_a_long_list_are_read(books: Books) -> None:
    for number in range(12):
        books.sandbox.pass_time(1)  # those who make them have a quota too
        books.sandbox.run(partial(books.subject.samples.steal_number, books.emulator, f"SO-{number}"))
    assert len(books.platform.since(BEFORE)) == 12
