"""What is Cin7 Core's own: steps that are found again, prices that must come out even, products, limits told oddly."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from connectors.errors import Duplicate, Rejected
from connectors.model import InvoiceDraft, Status
from connectors.platforms.documents import PlannedInvoice
from connectors.sandbox import cin7_core as sandbox
from tests.contract import orders
from tests.contract.attempts import Try, found, settle
from tests.contract.running import Books, RunningSandbox, subjects
from tests.contract.walking import attempt, customer_id, issued

SUBJECT = subjects()["cin7_core"]


@pytest.fixture
def company() -> Iterator[Books]:
    running = RunningSandbox([sandbox.Cin7Core])
    yield Books(SUBJECT, running)
    running.close()


def body(draft: InvoiceDraft, step: str = "order", **settings: Any) -> dict[str, Any]:
    """A step's body as it is sent, the ids of earlier steps filled with a letter."""
    made = SUBJECT.at("http://127.0.0.1:1", settings=SUBJECT.settings(**settings))
    plan = made.invoices.plan(PlannedInvoice(draft=draft, customer_id="1"))
    text = next(request.body for request in plan if request.step == step)
    sent: dict[str, Any] = json.loads(text.replace("\x1a", "x"), parse_float=Decimal)
    return sent


@pytest.mark.parametrize(("done", "resumes"), [(1, "order"), (2, "task"), (3, "task")])
def test_a_sale_is_continued_where_it_stopped(company: Books, done: int, resumes: str) -> None:
    one = attempt(company.platform, orders.full("SO-1", "45.00"))
    begun = Try(one.draft, one.plan[:done])
    company.platform.invoices.create(begun)
    hit = found(company.platform.invoices, one.draft)
    assert hit is not None
    assert (hit.resume_at, hit.document.status) == (resumes, Status.DRAFT)
    assert settle(company.platform.invoices, one).document.number
    assert [entry.status for entry in company.ledger()] == ["issued"]


def test_an_invoice_task_that_the_sale_does_not_show_is_asked_for(company: Books) -> None:
    company.sandbox.run(lambda: setattr(company.emulator, "shows_tasks", False))
    assert issued(company.platform, orders.simple("SO-1")).status is Status.ISSUED


def test_the_order_is_compared_before_there_is_an_invoice(company: Books) -> None:
    one = attempt(company.platform, orders.simple("SO-1"))
    other = attempt(company.platform, orders.full("SO-1", "45.00"))
    mixed = Try(one.draft, (one.plan[0], other.plan[1], *one.plan[2:]))
    assert "+10.14 GBP" in company.platform.invoices.create(mixed).difference
    assert [entry.status for entry in company.ledger()] == ["draft"]


def test_a_second_invoice_of_one_task_is_a_duplicate(company: Books) -> None:
    one = attempt(company.platform, orders.simple("SO-1"))
    made = company.platform.invoices.create(one)
    assert made.error is None
    last = Try(one.draft, one.plan, made={key: value for key, value in one.made.items() if key != "invoice"})
    last.document = made.document.model_copy(update={"status": Status.DRAFT})
    assert type(company.platform.invoices.create(last).error) is Duplicate, "told inside a 200"


def test_without_issuing_the_invoice_stays_a_draft(company: Books) -> None:
    platform = company.connected(settings=SUBJECT.settings(issue=False))
    one = attempt(platform, orders.simple("SO-1"))
    document = platform.invoices.create(one).document
    assert (document.status, document.total) == (Status.DRAFT, Decimal("108.00"))
    hit = found(platform.invoices, one.draft)
    assert hit is not None
    assert hit.resume_at is None


def test_what_the_shops_own_connection_made_is_shown_not_taken_over(company: Books) -> None:
    company.sandbox.run(lambda: SUBJECT.samples.steal_number(company.emulator, "SO-1"))
    hit = found(company.platform.invoices, attempt(company.platform, orders.simple("SO-1")).draft)
    assert hit is not None
    assert (hit.document.key, hit.resume_at) == (None, None)


def test_where_no_price_comes_out_even_the_last_thing_has_a_price_of_its_own(company: Books) -> None:
    part = {**orders.PLAQUE, "quantity": "7", "unit_price": "33.33"}
    draft = orders.draft("SO-1", [orders.line(part, discount="23.32")])
    lines = body(draft)["Lines"]
    assert [(line["Quantity"], line["Price"]) for line in lines] == [(6, Decimal("29.9986")), (1, Decimal("29.9984"))]
    assert sum(line["Total"] for line in lines) == Decimal("209.99")
    assert sum(line["Tax"] for line in lines) == Decimal("42.00")
    assert "7 × 33.33, discount 23.32" in lines[0]["Comment"]
    assert issued(company.platform, draft).total == Decimal("251.99")


def test_prices_that_include_tax_go_without_it_and_are_told() -> None:
    draft = orders.draft(
        "SO-1", [orders.line({**orders.PLAQUE, "unit_price": "54.00"}, included=True)], tax_included=True
    )
    sent = body(draft)
    assert [(line["Price"], line["Tax"], line["Comment"]) for line in sent["Lines"]] == [
        (45, 18, "2 × 54.00 including tax")
    ]


@pytest.mark.parametrize("quantity", ["0.5", "2.5"])
def test_less_than_one_and_parts_that_do_not_divide_become_one(quantity: str) -> None:
    part = {**orders.PLAQUE, "quantity": quantity, "unit_price": "33.33"}
    (line,) = body(orders.draft("SO-1", [orders.line(part, discount="0.01")]))["Lines"]
    assert line["Quantity"] in {1, Decimal(quantity)}
    assert line["Quantity"] * line["Price"] == line["Total"]


def test_lines_are_products_and_shipping_is_a_service() -> None:
    sent = body(orders.full("SO-1", "45.00"))
    assert [line["SKU"] for line in sent["Lines"]] == ["PLQ-BR", "SALES"]
    assert [charge["Description"] for charge in sent["AdditionalCharges"]] == ["Shipping"]
    assert [charge["Comment"] for charge in sent["AdditionalCharges"]] == ["Courier"]
    with pytest.raises(Rejected, match=r"set products\.NONE"):
        body(orders.full("SO-1", "45.00"), product="NONE")


def test_a_rate_of_exchange_that_is_missing_is_named() -> None:
    with pytest.raises(Rejected, match=r"currency_rates\.CHF"):
        body(orders.simple("SO-1", currency="CHF"))


def test_goods_leave_the_stock_where_the_merchant_wants_it() -> None:
    assert body(orders.simple("SO-1"))["AutoPickPackShipMode"] == "NOPICK"
    assert body(orders.simple("SO-1"), ship="AUTOPICKPACKSHIP")["AutoPickPackShipMode"] == "AUTOPICKPACKSHIP"


def test_an_address_without_a_street_is_told_in_a_note() -> None:
    draft = orders.simple("SO-1")
    assert draft.billing_address is not None
    bare = draft.model_copy(update={"billing_address": draft.billing_address.model_copy(update={"line1": None})})
    sent = body(bare, "sale")
    assert "BillingAddress" not in sent
    assert sent["Note"] == "London, N1 7AA, GB"
    assert body(draft, "sale")["BillingAddress"]["Country"] == "United Kingdom"


def test_who_orders_in_two_currencies_is_two_customers(company: Books) -> None:
    pounds = customer_id(company.platform, orders.simple("SO-1"))
    assert issued(company.platform, orders.simple("SO-2", currency="EUR")).customer_id != pounds


def test_a_sale_that_is_not_invoiced_yet_is_listed_as_a_draft_and_credit_notes_are_not(company: Books) -> None:
    one = attempt(company.platform, orders.simple("SO-1"))
    company.platform.invoices.create(Try(one.draft, one.plan[:2]))
    invoiced = issued(company.platform, orders.simple("SO-2"))

    def note() -> None:
        sale = company.emulator.books.sale(invoiced.id)
        company.emulator.books.shelf.put("sale", "note", {**sale, "ID": "note", "Type": "Simple Credit Note"})

    company.sandbox.run(note)
    listed = {document.reference: document.status for document in company.platform.since(date(2026, 11, 1))}
    assert listed == {"SO-1": Status.DRAFT, "SO-2": Status.ISSUED}


def test_a_customer_with_a_long_key_is_found_again(company: Books) -> None:
    draft = orders.customer(orders.simple("SO-1")).model_copy(update={"key": "k" * 300})
    customers = company.platform.customers
    made = customers.create(Try(draft, customers.plan(draft))).document
    hit = found(customers, draft)
    assert hit is not None
    assert (hit.document.id, hit.document.key) == (made.id, draft.key)
