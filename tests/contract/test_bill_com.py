"""What is BILL's own: sessions, names that cannot be quoted, currencies of customers, tax lines, long lists."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from connectors.errors import Rejected, Throttled, Unauthorized, Uncertain
from connectors.http import Http
from connectors.model import Address
from connectors.platforms.documents import PlannedInvoice
from connectors.sandbox.faults import Fault, Faults, Scripted
from tests.contract import orders
from tests.contract.attempts import found
from tests.contract.running import Books, RunningSandbox, subjects
from tests.contract.walking import attempt, customer_id, issued


@pytest.fixture
def bill() -> Iterator[Books]:
    sandbox = RunningSandbox([subjects()["bill_com"].emulator])
    yield Books(subjects()["bill_com"], sandbox)
    sandbox.close()


def login(books: Books, **changed: Any) -> Any:
    grant, credentials = books.subject.grant(), books.subject.credentials()
    assert grant is not None
    return grant.at(books.url).obtain(Http(10), credentials.model_copy(update=changed), None)


def lines(draft: Any) -> list[tuple[str, str, str]]:
    """Of a planned invoice: quantity, first line of the text, price."""
    (request,) = (
        subjects()["bill_com"].at("http://127.0.0.1:1").invoices.plan(PlannedInvoice(draft=draft, customer_id="0cu1"))
    )
    raws = json.loads(request.body, parse_float=str, parse_int=str)["invoiceLineItems"]
    return [(raw["quantity"], raw["description"].split("\n")[0], raw["price"]) for raw in raws]


def test_a_session_ends_after_35_quiet_minutes_and_each_call_begins_them_anew(bill: Books) -> None:
    for _ in range(3):
        bill.sandbox.pass_time(34 * 60)
        assert bill.platform.whoami() == "Engraver Inc"
    bill.sandbox.pass_time(35 * 60)
    with pytest.raises(Unauthorized, match="BDC_1109"):
        bill.platform.whoami()
    assert bill.renewed().whoami() == "Engraver Inc"


def test_a_wrong_password_is_not_tried_again_and_no_secret_is_told(bill: Books) -> None:
    wrong = type(bill.subject.credentials().password)("wrong-password")
    with pytest.raises(Unauthorized, match=r"books@engraver\.example") as refused:
        login(bill, password=wrong)
    assert "wrong-password" not in str(refused.value)
    assert len(bill.calls()) == 1


def test_the_201st_login_of_an_hour_is_throttled(bill: Books) -> None:
    bill.nearly_used_up(200, left=1)
    session = login(bill)
    with pytest.raises(Throttled):
        login(bill)
    assert bill.connected(headers=bill.subject.platform.proof(session.access, bill.subject.credentials())).whoami()


def test_tax_stands_in_a_line_for_each_rate_and_a_discount_is_taken_off_the_lines() -> None:
    shown = lines(orders.ORDERS["two lines, discount, shipping"]())
    assert shown == [
        ("1", "Brass plaque, engraved (PLQ-BR)", "85.29"),
        ("1", "Steel tag (TAG-ST)", "5.21"),
        ("1", "Courier", "7.95"),
        ("1", "VAT 20 %", "19.69"),
        ("1", "Order SO-1001 · shop-1/books/SO-1001/order/invoice/1", "0"),
    ]
    rates = lines(orders.ORDERS["two tax rates"]())
    assert [line for line in rates if line[1].startswith("VAT")] == [
        ("1", "VAT 20 %", "18.00"),
        ("1", "VAT 5 %", "0.28"),
    ]


def test_prices_that_include_tax_are_shown_without_it() -> None:
    assert lines(orders.ORDERS["tax included"]())[:3] == [
        ("2", "Brass plaque, engraved (PLQ-BR)", "45.00"),
        ("1", "Steel tag (TAG-ST)", "5.50"),
        ("1", "VAT 20 %", "19.10"),
    ]


def test_what_cannot_be_multiplied_to_the_cent_is_one_piece_whose_text_says_how() -> None:
    draft = orders.ORDERS["decimals in the quantity"]()
    (request,) = (
        subjects()["bill_com"].at("http://127.0.0.1:1").invoices.plan(PlannedInvoice(draft=draft, customer_id="0cu1"))
    )
    line = json.loads(request.body)["invoiceLineItems"][0]
    assert (line["quantity"], line["price"]) == (1, 30.85)
    assert line["description"].endswith("\n2.5 × 12.34")


@pytest.mark.parametrize(("currency", "why"), [("CHF", "currencies"), ("KWD", "currencies|decimals")])
def test_a_currency_that_the_account_does_not_have_is_not_billed_as_dollars(currency: str, why: str) -> None:
    draft = orders.simple("SO-1").model_copy(update={"currency": currency})
    with pytest.raises(Rejected, match=why):
        lines(draft)


def test_a_customer_of_another_currency_is_not_taken(bill: Books) -> None:
    person = {"ref": "C-1", "name": "Ann Smith", "email": "ann@example.com"}
    raw = {"name": "Ann Smith", "email": "ann@example.com", "invoiceCurrency": "EUR"}
    theirs = bill.sandbox.run(lambda: bill.emulator.books.add_customer(raw)["id"])
    made = customer_id(bill.platform, orders.simple("SO-1", customer=person))
    assert made != theirs
    assert customer_id(bill.platform, orders.simple("SO-2", customer=person, currency="EUR")) == theirs


def test_two_people_whose_names_begin_alike_are_told_apart_though_a_quote_cannot_be_asked_for(bill: Books) -> None:
    one = {"ref": "C-1", "name": 'Miles "Tails" Prower', "email": "miles@example.com"}
    other = {"ref": "C-2", "name": 'Miles "Knuckles" Prower', "email": "knuckles@example.com"}
    first = customer_id(bill.platform, orders.simple("SO-1", customer=one))
    assert customer_id(bill.platform, orders.simple("SO-2", customer=other)) != first
    assert customer_id(bill.platform, orders.simple("SO-3", customer=one)) == first


def test_an_address_that_bill_would_refuse_stands_in_the_description(bill: Books) -> None:
    wanted = orders.customer(orders.simple("SO-1"))
    place = Address(line1="1 Main St", city="Austin", postcode="78701", country="US")
    (request,) = bill.platform.customers.plan(wanted.model_copy(update={"billing_address": place}))
    body = json.loads(request.body)
    assert body["description"] == "Address: 1 Main St, Austin, 78701, US"
    assert not {"billingAddress", "shippingAddress"} & set(body)
    assert "description" in request.remark


def test_an_invoice_is_found_beyond_the_first_page(bill: Books) -> None:
    one = attempt(bill.platform, orders.simple("SO-1"))
    raw = {"customer": {"id": one.draft.customer_id}, "invoiceLineItems": [{"quantity": 1}]}
    bill.sandbox.run(lambda: [bill.emulator.books.add_invoice(raw) for _ in range(205)])
    document = bill.platform.invoices.create(one).document
    hit = found(bill.platform.invoices, one.draft)
    assert hit is not None
    assert hit.document == document


def test_an_invoice_whose_currency_cannot_be_asked_for_any_more_is_uncertain_not_undone(bill: Books) -> None:
    one = attempt(bill.platform, orders.simple("SO-1"))
    bill.fault(Fault.THROTTLE)
    assert type(bill.platform.invoices.create(one).error) is Throttled, "the create itself: surely not done"
    script = [Scripted(fault=Fault.THROTTLE, match="GET /connect/v3/customers/")]
    bill.sandbox.run(lambda: bill.hosted.injector.configure(Faults(script=script)))
    assert type(bill.platform.invoices.create(one).error) is Uncertain
    assert len(bill.entries("SO-1")) == 1


def test_what_is_partly_paid_is_not_archived(bill: Books) -> None:
    document = issued(bill.platform, orders.simple("SO-1"))

    def pay() -> None:
        raw = bill.emulator.shelf.get("invoice", document.id)
        bill.emulator.shelf.put("invoice", document.id, {**raw, "dueAmount": 50, "status": "PARTIAL_PAYMENT"})

    bill.sandbox.run(pay)
    with pytest.raises(Rejected, match="paid"):
        bill.platform.void(document.id, "v")
