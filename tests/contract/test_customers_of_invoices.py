"""An invoice says whose it is in the words in which a customer's id is kept: who adopts one knows its customer."""

from __future__ import annotations

from datetime import date

from tests.contract import orders
from tests.contract.running import Books, Subject
from tests.contract.walking import customer_id, issued


def concerns(subject: Subject) -> bool:
    return "list" in subject.facts.can and subject.keeps_customers


def test_a_listed_invoice_names_its_customer_by_the_id_that_further_invoices_are_made_with(books: Books) -> None:
    draft = orders.simple("SO-1")
    issued(books.platform, draft)
    (listed,) = books.platform.since(date(2026, 11, 1))
    assert listed.customer_id == customer_id(books.platform, draft)
