"""An order is moved to other accounts, by a person's word."""

from __future__ import annotations

import json
from typing import Any

from tests.kit.scene import order_event
from tests.stories.commands import LATER, at, dismiss, said
from tests.stories.conftest import MakeTale
from tests.stories.switching import SINCE, adopt, by_hand
from tests.stories.tale import Tale, placed
from tests.stories.test_refunds import notes_of, refunded, states

TO_XERO = '[[shop.engraver.route]]\nto = ["xero"]\n'
PARTS = 'invoice_per = "shipment"\ntrigger = ["shipment.shipped", "order.fulfilled"]'


def moving(tell: MakeTale, **options: Any) -> Tale:
    """A shop with Xero and Square, whose routes say Xero."""
    return tell(platforms=("xero", "square"), routes=TO_XERO, **options)


def accounts_of(tale: Tale) -> list[str]:
    ((accounts,),) = tale.rows("SELECT accounts FROM orders")
    return list(json.loads(accounts))


def test_an_order_goes_by_the_routes_of_today_and_its_unsent_invoice_is_dismissed(tell: MakeTale) -> None:
    tale = moving(tell)
    tale.hears(order_event(1), settle=False)
    tale.configure(TO_XERO, TO_XERO.replace("xero", "square"))
    told = said("reroute", "SO-1", "--who", "Grace", "--why", "wrong books")
    assert "SO-1 on xero: is not sent any more SO-1 on square: is due" in told
    tale.settle()
    assert (tale.books, tale.books_on("square")) == ({}, {"SO-1": "111.54"})
    assert accounts_of(tale) == ["square"]
    assert states(tale, "invoice") == ["dismissed", "issued"]
    ((actor, detail),) = tale.rows("SELECT actor, detail FROM audit WHERE subject LIKE 'order:%'")
    assert actor == "staff:Grace"
    assert json.loads(detail) == {
        "who": "Grace", "why": "wrong books", "from": ["xero"], "to": ["square"], "due": ["SO-1 on square"],
    }  # fmt: skip


def test_moved_twice_is_once(tell: MakeTale) -> None:
    tale = moving(tell)
    tale.hears(order_event(1), settle=False)
    for _ in range(2):
        told = said("reroute", "SO-1", "--to", "square")
    assert told == "SO-1 goes to square already; nothing was changed."
    tale.settle()
    assert tale.books_on("square") == {"SO-1": "111.54"}
    assert len(tale.rows("SELECT id FROM audit WHERE subject LIKE 'order:%'")) == 1


def test_an_account_is_added_and_what_is_issued_stays(tell: MakeTale) -> None:
    tale = moving(tell)
    tale.hears(order_event(1))
    said("reroute", "SO-1", "--to", "xero", "--to", "engraver/square")
    tale.settle()
    assert tale.books == tale.books_on("square") == {"SO-1": "111.54"}
    tale.hears(at(LATER, order_event(1), "again"))
    assert accounts_of(tale) == ["xero", "square"]
    assert states(tale, "invoice") == ["issued", "issued"]


def test_an_invoice_that_exists_must_be_given_back_first(tell: MakeTale) -> None:
    tale = moving(tell)
    tale.hears(order_event(1))
    assert "SO-1 on xero is issued. Give it back first" in said("reroute", "SO-1", "--to", "square", code=1)
    assert accounts_of(tale) == ["xero"]
    tale.hears(refunded("111.54"))
    said("reroute", "SO-1", "--to", "square")
    tale.settle()
    assert tale.books_on("square") == {"SO-1": "111.54"}
    assert notes_of(tale) == {"SO-1-C1": "111.54"}


def test_what_was_refused_there_may_have_been_sent(tell: MakeTale) -> None:
    tale = moving(tell)
    lines = [{**order_event(1)["order"]["lines"][0], "tax": {"name": "VAT", "rate": "17", "amount": "15.30"}}]
    tale.hears(order_event(1, lines=lines, total="108.84"))
    refused = said("reroute", "SO-1", "--to", "square", code=1)
    assert "was sent, or nobody knows (held)" in refused
    assert "billhook dismiss SO-1 --account xero --even-if-sent" in refused
    dismiss("SO-1", "--account", "xero", "--even-if-sent")
    said("reroute", "SO-1", "--to", "square")
    assert states(tale, "invoice") == ["dismissed", "pending"]


def test_nothing_is_decided_yet_so_nothing_is_moved(tell: MakeTale) -> None:
    tale = moving(tell)
    tale.hears(placed(1))
    assert "its next event decides" in said("reroute", "SO-1", "--to", "square", code=1)
    assert tale.rows("SELECT accounts FROM orders") == [(None,)]
    assert "has no account books" in (tale.hears(order_event(1)) or said("reroute", "SO-1", "--to", "books", code=1))


def test_an_order_comes_back_to_the_account_that_it_left(tell: MakeTale) -> None:
    tale = moving(tell)
    tale.hears(order_event(1), settle=False)
    said("reroute", "SO-1", "--to", "square")
    assert "SO-1 on xero: is due" in said("reroute", "SO-1", "--to", "xero")
    tale.settle()
    assert (tale.books, tale.books_on("square")) == ({"SO-1": "111.54"}, {})
    assert states(tale, "invoice") == ["dismissed", "issued"]


def test_what_an_order_has_left_behind_is_not_put_back(tell: MakeTale) -> None:
    tale = moving(tell)
    tale.hears(order_event(1), settle=False)
    said("reroute", "SO-1", "--to", "square")
    assert "`billhook reroute` brings it back" in said("retry", "SO-1", "--dismissed", code=1)
    tale.settle()
    assert (tale.books, tale.books_on("square")) == ({}, {"SO-1": "111.54"})


def test_where_it_was_given_back_before_the_order_gets_another_invoice(tell: MakeTale) -> None:
    tale = moving(tell)
    tale.hears(order_event(1), refunded("111.54"))
    said("reroute", "SO-1", "--to", "square")
    said("reroute", "SO-1", "--to", "xero")
    tale.settle()
    assert tale.rows("SELECT account, revision FROM invoices WHERE kind = 'invoice' ORDER BY id") == [
        ("xero", 0), ("square", 0), ("xero", 1),
    ]  # fmt: skip
    assert states(tale, "invoice") == ["credited", "dismissed", "issued"]


def test_what_was_given_back_where_the_order_stays_is_not_invoiced_on_another_account(tell: MakeTale) -> None:
    tale = moving(tell)
    tale.hears(order_event(1), refunded("111.54"))
    said("reroute", "SO-1", "--to", "xero", "--to", "square")
    tale.settle()
    assert tale.books_on("square") == {}
    assert accounts_of(tale) == ["xero", "square"]


def test_where_somebody_else_has_invoiced_it_already_it_is_not_invoiced_again(tell: MakeTale) -> None:
    tale = tell(platforms=("xero", "square"), routes=TO_XERO.replace("xero", "square"))
    tale.hears(order_event(1), settle=False)
    by_hand(tale, "SO-1", "100.00")
    adopt(tale, *SINCE)
    refused = said("reroute", "SO-1", "--to", "xero", "--to", "square", code=1)
    assert "on engraver/xero an invoice SO-1 of 100.00 GBP has its name" in refused
    assert accounts_of(tale) == ["square"]
    assert states(tale, "invoice") == ["issued"]
    done = adopt(tale, "--not", "SO-1", account="engraver/xero")
    assert done.exit_code == 0, done.output
    said("reroute", "SO-1", "--to", "xero", "--to", "square")


def test_a_cancelled_order_is_not_moved(tell: MakeTale) -> None:
    tale = moving(tell)
    tale.hears(order_event(1), order_event(1, type="order.cancelled"), settle=False)
    assert "was cancelled in the shop" in said("reroute", "SO-1", "--to", "square", code=1)
    tale.hears(order_event(2), refunded("111.54", number=2), settle=False)
    assert "was stopped: order SO-2 was refunded as a whole" in said("reroute", "SO-2", "--to", "square", code=1)
    tale.settle()
    assert (tale.books, tale.books_on("square")) == ({}, {})


def test_a_refund_after_the_move_is_credited_where_the_order_is_now(tell: MakeTale) -> None:
    tale = moving(tell)
    tale.hears(order_event(1), settle=False)
    said("reroute", "SO-1", "--to", "square")
    tale.settle()
    tale.hears(refunded("111.54"))
    assert tale.books_on("square") == {}
    assert tale.states_of_events == ["done", "done"]
    assert states(tale, "invoice", "credit") == ["dismissed", "done", "void"]


def test_every_part_that_was_due_goes_along_and_later_ones_follow(tell: MakeTale) -> None:
    tale = moving(tell, shop=PARTS)
    first = {"ref": "P1", "carrier": "ups", "tracking_number": "1Z1", "lines": [{"ref": "1", "quantity": "1"}]}
    shipped = {"id": "evt-p1", "type": "shipment.shipped", "occurred_at": LATER, "order_id": "id-1", "shipment": first}
    tale.hears(placed(1), shipped, settle=False)
    said("reroute", "SO-1", "--to", "square")
    tale.settle()
    assert tale.books_on("square") == {"SO-1-1": "55.78"}
    tale.hears({**order_event(1), "occurred_at": LATER})
    assert (tale.books, tale.books_on("square")) == ({}, {"SO-1-1": "55.78", "SO-1-2": "55.76"})
