"""One invoice per shipment: the parts of an order, in whatever sequence its parcels leave."""

from typing import Any

from tests.kit.scene import order_event
from tests.stories.conftest import MakeTale
from tests.stories.tale import Tale, parcel, placed

PER_SHIPMENT = 'invoice_per = "shipment"\ntrigger = ["shipment.shipped", "order.fulfilled", "order.completed"]'
VAT = {"name": "VAT", "rate": "20"}
LINES: list[dict[str, Any]] = [
    {"ref": "1", "sku": "PLQ", "description": "Plaque", "quantity": "2", "unit_price": "45.00"},
    {"ref": "2", "sku": "TAG", "description": "Tag", "quantity": "1", "unit_price": "5.50"},
]
for _line, _tax in zip(LINES, ("18.00", "1.10"), strict=True):
    _line["tax"] = {**VAT, "amount": _tax}
"""With the discount and shipping of `order_event`: 118.14."""


def two_lines(event: dict[str, Any], **order: Any) -> dict[str, Any]:
    return {**event, "order": {**event["order"], "lines": LINES, "total": "118.14", **order}}


def shipped(name: str, **quantities: str) -> dict[str, Any]:
    """A parcel with so many of each line ("_1": of line "1")."""
    event = parcel("shipped", name, number=f"NO{name}", order_ref="SO-1")
    lines = [{"ref": ref.removeprefix("_"), "quantity": quantity} for ref, quantity in quantities.items()]
    return {**event, "shipment": {**event["shipment"], "lines": lines}}


def fulfilled(name: str = "f", **order: Any) -> dict[str, Any]:
    event = two_lines(order_event(1), **order)
    return {**event, "id": f"evt-{name}", "occurred_at": "2026-11-24T10:00:00Z"}


def sums(tale: Tale) -> dict[str, str]:
    return dict(sorted(tale.books.items()))


def test_two_parcels_make_two_invoices_that_sum_up_to_the_order(tell: MakeTale) -> None:
    tale = tell(shop=PER_SHIPMENT)
    tale.hears(two_lines(placed(1)), shipped("a", _1="1"), shipped("b", _1="1", _2="1"))
    assert sums(tale) == {"SO-1-1": "55.67", "SO-1-2": "62.47"}


def test_all_in_one_parcel_is_the_order_itself(tell: MakeTale) -> None:
    tale = tell(shop=PER_SHIPMENT)
    tale.hears(two_lines(placed(1)), shipped("a", _1="2", _2="1"), fulfilled())
    assert sums(tale) == {"SO-1": "118.14"}
    assert tale.states_of_events == ["done"] * 3


def test_what_no_parcel_held_is_invoiced_when_the_order_is_fulfilled(tell: MakeTale) -> None:
    tale = tell(shop=PER_SHIPMENT)
    tale.hears(two_lines(placed(1)), shipped("a", _2="1"), fulfilled())
    assert sums(tale) == {"SO-1-1": "6.80", "SO-1-2": "111.34"}


def test_fulfilled_first_is_the_whole_order_and_later_parcels_add_nothing(tell: MakeTale) -> None:
    tale = tell(shop=PER_SHIPMENT)
    tale.hears(fulfilled(), shipped("a", _1="2"), shipped("b", _2="1"))
    assert sums(tale) == {"SO-1": "118.14"}
    assert tale.states_of_events == ["done"] * 3


def test_one_parcel_told_twice_is_one_invoice(tell: MakeTale) -> None:
    """By the shop, and once more by the carrier under another name for it."""
    tale = tell(shop=PER_SHIPMENT)
    again = {**shipped("a", _1="1"), "id": "evt-other"}
    again["shipment"] = {**again["shipment"], "ref": "other", "tracking_number": "no a"}
    tale.hears(two_lines(placed(1)), shipped("a", _1="1"), again)
    assert sums(tale) == {"SO-1-1": "55.67"}


def test_a_parcel_whose_contents_the_shop_has_told(tell: MakeTale) -> None:
    """The carrier only knows its number."""
    tale = tell(shop=PER_SHIPMENT)
    known = {"ref": "S1", "carrier": "ups", "tracking_number": "1Z1", "lines": [{"ref": "1", "quantity": "2"}]}
    tale.hears(two_lines(placed(1), shipments=[known]), parcel("shipped", "p", number="1Z1"))
    assert sums(tale) == {"SO-1-1": "111.34"}


def test_a_parcel_of_unknown_contents_waits_for_the_end_of_the_order(tell: MakeTale) -> None:
    tale = tell(shop=PER_SHIPMENT)
    tale.hears(two_lines(placed(1)), parcel("shipped", "p", number="1Z1", order_ref="SO-1"))
    assert sums(tale) == {}
    tale.hears(fulfilled())
    assert sums(tale) == {"SO-1": "118.14"}


def test_more_shipped_than_ordered_is_held_and_says_so(tell: MakeTale) -> None:
    tale = tell(shop=PER_SHIPMENT)
    tale.hears(two_lines(placed(1)), shipped("a", _1="1"), shipped("b", _1="2"))
    assert sums(tale) == {"SO-1-1": "55.67"}
    state, _, reason = tale.events[-1]
    assert state == "held"
    assert "2 were ordered, 1 are invoiced already, and 2 more are to be" in (reason or "")


def test_a_line_that_the_order_does_not_have_is_held(tell: MakeTale) -> None:
    tale = tell(shop=PER_SHIPMENT)
    tale.hears(two_lines(placed(1)), shipped("a", _7="1"))
    assert tale.events[-1][0] == "held"
    assert "has no line '7'" in (tale.events[-1][2] or "")


def test_parcels_before_the_order_is_told_are_parted_when_it_is(tell: MakeTale) -> None:
    tale = tell(shop=PER_SHIPMENT)
    tale.hears(shipped("a", _1="1"), shipped("b", _1="1", _2="1"))
    assert tale.states_of_events == ["waiting", "waiting"]
    tale.hears(two_lines(placed(1)))
    assert sorted(sums(tale).values()) == ["55.67", "62.47"]


def test_the_policy_of_an_order_stays_as_it_was_decided(tell: MakeTale) -> None:
    tale = tell(shop=PER_SHIPMENT)
    tale.hears(two_lines(placed(1)), shipped("a", _1="1"))
    tale.configure('invoice_per = "shipment"', 'invoice_per = "order"')
    tale.hears(shipped("b", _1="1", _2="1"))
    assert sums(tale) == {"SO-1-1": "55.67", "SO-1-2": "62.47"}


def test_one_invoice_per_order_takes_the_first_parcel_for_all_of_it(tell: MakeTale) -> None:
    tale = tell(shop='trigger = ["shipment.shipped"]')
    tale.hears(two_lines(placed(1)), shipped("a", _1="1"), shipped("b", _1="1", _2="1"))
    assert sums(tale) == {"SO-1": "118.14"}


def test_the_trail_says_what_is_in_a_part(tell: MakeTale) -> None:
    tale = tell(shop=PER_SHIPMENT)
    tale.hears(two_lines(placed(1)), shipped("a", _1="1"))
    ((detail,),) = tale.rows("SELECT detail FROM audit WHERE action = 'handle' AND detail LIKE ?", "%holds%")
    assert "1 × Plaque" in detail


def test_a_part_that_the_brake_held_is_not_lost(tell: MakeTale) -> None:
    tale = tell(shop=PER_SHIPMENT + '\nbrake = { amount = "50.00" }')
    tale.hears(two_lines(placed(1)), shipped("a", _1="1"))
    assert sums(tale) == {}
    assert "over the brake of 50.00" in (tale.events[-1][2] or "")
    tale.hears(fulfilled() | {"type": "order.completed", "who": "ada", "why": "looked at"})
    assert sums(tale) == {"SO-1": "118.14"}


def test_an_order_that_changes_between_its_parts_has_no_more_of_them_by_itself(tell: MakeTale) -> None:
    tale = tell(shop=PER_SHIPMENT)
    tale.hears(two_lines(placed(1)), shipped("a", _1="1"))
    dearer = [{**LINES[0], "unit_price": "50.00"}, LINES[1]]
    tale.hears(fulfilled("changed", lines=dearer, total="128.14") | {"type": "order.updated"})
    tale.hears(shipped("b", _1="1"))
    assert sums(tale) == {"SO-1-1": "55.67"}
    assert tale.states_of_events == ["done", "done", "held", "held"]
    assert "was 118.14 GBP and is now 128.14 GBP" in (tale.events[-1][2] or "")
