"""Square's own rules: what is left half-built is continued, the total survives its rounding, nothing is guessed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from functools import partial
from typing import Any

import pytest
from pydantic import ValidationError

from connectors.errors import Rejected, Unavailable, Uncertain
from connectors.model import Status
from connectors.platforms.documents import PlannedInvoice
from connectors.platforms.square import Square
from connectors.sandbox import square as sandbox
from tests.contract import orders
from tests.contract.attempts import found, look, settle
from tests.contract.running import Books, RunningSandbox, subjects
from tests.contract.samples.square import call, steal_number, void_by_hand
from tests.contract.walking import attempt, issued


@pytest.fixture
def books() -> Iterator[Books]:
    running = RunningSandbox([sandbox.Square])
    yield Books(subjects()["square"], running)
    running.close()


def ordered(books: Books, draft: Any) -> Any:
    """The order as our plan sends it."""
    plan = books.platform.invoices.plan(PlannedInvoice(draft=draft, customer_id="C"))
    return json.loads(plan[0].body)["order"], plan[0].remark


def test_an_order_without_its_invoice_is_continued(books: Books) -> None:
    one = attempt(books.platform, orders.simple("SO-1"))
    books.platform.execute(one.plan[0], key=one.key("order"))
    hit = found(books.platform.invoices, one.draft)
    assert hit is not None
    assert (hit.resume_at, hit.document.total) == ("invoice", Decimal("108.00"))
    assert settle(books.platform.invoices, one).error is None
    assert len(books.sandbox.run(lambda: books.emulator.shelf.all("order"))) == 1


def test_a_draft_that_somebody_changed_is_left_to_them(books: Books) -> None:
    books.platform = books.connected(settings=books.subject.settings(issue=False))
    draft = orders.simple("SO-1")
    document = books.platform.invoices.create(attempt(books.platform, draft)).document
    assert document.status == "draft"

    def change() -> None:
        books.emulator._put("invoice", {**books.emulator._one("invoice", document.id), "version": 3})

    books.sandbox.run(change)
    result = look(books.connected().invoices, attempt(books.platform, draft).draft)
    assert isinstance(result, Rejected)
    assert "version 3" in result.message
    assert [entry.status for entry in books.ledger()] == ["draft"]


def test_where_rounding_could_differ_the_lines_carry_their_tax(books: Books) -> None:
    """By line 250 taxes are rounded, by rate one. Ten percent of 0.05 is half a cent."""
    for name, draft in (
        ("many lines", orders.ORDERS["250 lines"]()),
        ("half a cent", orders.draft("SO-2", [orders.line({**orders.TAG, "unit_price": "0.05"}, "10")])),
    ):
        body, remark = ordered(books, draft)
        assert {tax["type"] for tax in body["taxes"]} == {"INCLUSIVE"}, name
        assert "tax included" in remark
        assert issued(books.platform, draft).total == draft.total
    body, remark = ordered(books, orders.ORDERS["two tax rates"]())
    assert ({tax["type"] for tax in body["taxes"]}, remark) == ({"ADDITIVE"}, "")


def test_an_order_whose_tax_is_not_what_its_rate_gives_is_refused(books: Books) -> None:
    line = orders.line(orders.PLAQUE)
    line["tax"]["amount"] = "17.00"
    with pytest.raises(Rejected, match=r"order SO-1: .*correct the order's taxes"):
        ordered(books, orders.draft("SO-1", [line]))


def test_a_currency_without_a_location_is_refused_by_name(books: Books) -> None:
    with pytest.raises(Rejected, match=r"order SO-1017 .*set locations\.KWD"):
        ordered(books, orders.ORDERS["three decimals"]())


def test_square_mails_the_invoice_where_it_is_to(books: Books) -> None:
    books.platform = books.connected(settings=books.subject.settings(delivery="EMAIL"))
    document = issued(books.platform, orders.simple("SO-1"))
    assert books.sandbox.run(books.emulator.mails) == [(document.id, "ada@example.com")]
    with pytest.raises(Rejected, match="no e-mail address"):
        ordered(books, orders.simple("SO-2", customer={"name": "Nobody"}))


def test_the_merchants_own_reference_of_a_customer_is_not_taken_for_ours(books: Books) -> None:
    mine = {"given_name": "Ada", "email_address": "ADA@example.com", "reference_id": "shop-1/C-9"}
    made = books.sandbox.run(lambda: call(books.emulator, "/v2/customers", mine))["customer"]
    assert issued(books.platform, orders.simple("SO-1")).customer_id == made["id"]


def test_what_a_customers_fields_cannot_hold_is_in_the_note(books: Books) -> None:
    party = {"name": "Ada", "email": "a@example.com", "phone": "ext. 12", "tax_id": "GB1"}
    plan = books.platform.customers.plan(orders.customer(orders.simple("SO-1", customer=party)))
    body = json.loads(plan[0].body)
    assert body["note"] == "Phone: ext. 12\nTax ID: GB1"
    assert "phone_number" not in body


def test_an_empty_answer_counts_only_where_square_surely_answers(books: Books) -> None:
    one = attempt(books.platform, orders.simple("SO-1"))
    calls = len(books.calls())
    assert found(books.platform.invoices, one.draft) is None
    assert [call["target"] for call in books.calls()[calls:]].count("/v2/locations") == 2
    books.sandbox.run(lambda: setattr(books.emulator, "_route", lambda request, body: {}))
    assert isinstance(look(books.platform.invoices, one.draft), Unavailable)


def test_a_personal_token_needs_no_consent() -> None:
    credentials = Square.Credentials.model_validate({"access_token": "EAAA-mine"})
    assert Square.static_headers(credentials) == {"Authorization": "Bearer EAAA-mine"}
    assert Square.grant(subjects()["square"].settings(), credentials) is None
    with pytest.raises(ValidationError, match="give an access_token, or client_id and client_secret"):
        Square.Credentials.model_validate({"client_id": "sq0idp"})


@pytest.mark.parametrize(("paid", "status"), [(5000, Status.ISSUED), (10800, Status.PAID)])
def test_what_is_paid_is_not_cancelled_although_square_would_cancel_the_half_paid(
    books: Books, paid: int, status: Status
) -> None:
    document = issued(books.platform, orders.simple("SO-1"))
    books.sandbox.run(partial(books.emulator.pay, document.id, paid))
    with pytest.raises(Rejected, match=r"invoice SO-1 is paid on Square, in whole or in part.* refund the payment"):
        books.platform.void(document.id, "v")
    now = books.platform.read(document.id)
    assert (now.status, now.due) == (status, Decimal(10800 - paid) / 100)
    if status is Status.PAID:
        with pytest.raises(AssertionError, match="PAID cannot be canceled"):
            books.sandbox.run(partial(void_by_hand, books.emulator, document.id))
    else:
        books.sandbox.run(partial(void_by_hand, books.emulator, document.id))
        assert [(entry.status, entry.total) for entry in books.ledger()] == [("void", "50.00")]


def test_what_is_paid_while_it_is_voided_is_not_cancelled(books: Books) -> None:
    """Each change makes another version, and Square cancels the one that was read only."""
    document = issued(books.platform, orders.simple("SO-1"))
    raw = books.platform._invoice(document.id)
    books.sandbox.run(partial(books.emulator.pay, document.id, 5000))
    books.platform._invoice = lambda remote_id: raw
    with pytest.raises(Uncertain):
        books.platform.void(document.id, "v")
    assert [entry.status for entry in books.ledger()] == ["issued"]


def test_a_list_goes_through_all_pages_of_all_locations(books: Books) -> None:
    """By the day of the sale, and where there is none by the day on which an invoice was made."""
    euro = orders.draft("SO-1", [orders.line(orders.PLAQUE)], currency="EUR")
    ahead = orders.simple("SO-2").model_copy(update={"issued_on": date(2098, 1, 1), "due_on": date(2098, 1, 1)})
    made = {issued(books.platform, draft).id for draft in (euro, ahead)}

    def more() -> None:
        for number in range(203):
            steal_number(books.emulator, f"SO-7{number}")

    books.sandbox.run(more)
    listed = books.platform.since(date(2026, 1, 1))
    assert len(listed) == len({one.id for one in listed}) == 205
    assert made <= {one.id for one in listed}
    assert [one.reference for one in books.platform.since(date(2098, 1, 1))] == ["SO-2"]
