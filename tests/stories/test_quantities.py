"""How much of each line was ordered, shipped, invoiced and credited, as whoever is asked about an order sees it."""

from typing import Any

from tests.kit.scene import order_event
from tests.stories.commands import said
from tests.stories.conftest import MakeTale
from tests.stories.tale import Tale, placed
from tests.stories.test_changed_orders import LESS, POLICY, told
from tests.stories.test_parts import PER_SHIPMENT, shipped, two_lines
from tests.stories.test_refunds import refunded
from worker.store import views


def lines(tale: Tale) -> list[tuple[str, str, str | None, dict[str, Any]]]:
    (order,) = views.order_view(tale.store, "engraver", "SO-1")
    return [(line["ref"], line["ordered"], line["shipped"], line["accounts"]) for line in order["lines"]]


def counted(invoiced: str, credited: str = "0", account: str = "xero") -> dict[str, Any]:
    return {account: {"invoiced": invoiced, "credited": credited}}


def test_nothing_is_invoiced_before_it_is_due(tell: MakeTale) -> None:
    tale = tell()
    tale.hears(placed(1))
    assert lines(tale) == [("1", "2", None, {})]
    tale.hears(order_event(1))
    assert lines(tale) == [("1", "2", None, counted("2"))]
    assert "ordered" not in said("audit", "show", "SO-1")


def test_parcel_by_parcel(tell: MakeTale) -> None:
    tale = tell(shop=PER_SHIPMENT)
    tale.hears(two_lines(placed(1)), shipped("a", _1="1"))
    assert lines(tale) == [("1", "2", "1", counted("1")), ("2", "1", "0", counted("0"))]
    assert "1 Plaque: 2 ordered, 1 shipped; xero: 1 invoiced, 0 credited" in said("audit", "show", "SO-1")
    tale.hears(shipped("b", _1="1", _2="1"))
    assert lines(tale) == [("1", "2", "2", counted("2")), ("2", "1", "1", counted("1"))]


def test_what_came_back_is_credited_by_line(tell: MakeTale) -> None:
    tale = tell()
    tale.hears(order_event(1), refunded("55.77", {"ref": "1", "quantity": "1"}))
    assert lines(tale) == [("1", "2", None, counted("2", "1"))]
    assert "1 Brass plaque for order SO-1.: 2 ordered; xero: 2 invoiced, 1 credited" in said("audit", "show", "SO-1")


def test_a_changed_order_is_credited_and_invoiced_anew(tell: MakeTale) -> None:
    tale = tell(shop=POLICY)
    tale.hears(order_event(1), told(**LESS))
    assert lines(tale) == [("1", "2", None, counted("4", "2"))]


def test_of_a_voided_invoice_nothing_is_invoiced(tell: MakeTale) -> None:
    tale = tell(account='refund = "void"')
    tale.hears(order_event(1), refunded("111.54"))
    assert lines(tale) == [("1", "2", None, counted("0"))]
