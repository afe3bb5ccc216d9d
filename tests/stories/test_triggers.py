"""Which event asks for an order's invoice: the shop says so, and a route may say otherwise for its own orders."""

from typing import Any

from tasks import handle_events as handling
from tests.kit.scene import order_event
from tests.stories.commands import said
from tests.stories.conftest import MakeTale
from tests.stories.tale import Tale, parcel, placed

BY_TAG = """
[[shop.engraver.route]]
to = ["xero"]
when = { tag = "wholesale" }
trigger = ["shipment.delivered"]

[[shop.engraver.route]]
to = ["xero"]
"""
FREIGHT = {"ref": "P-1", "carrier": "DHL", "tracking_number": "JJD1"}


def fulfilled(number: int, *tags: str) -> dict[str, Any]:
    return order_event(number, tags=list(tags))


def shop(tell: MakeTale) -> Tale:
    return tell(routes=BY_TAG)


def test_orders_of_a_route_are_invoiced_on_its_own_event_and_the_others_on_the_shop_s(tell: MakeTale) -> None:
    tale = shop(tell)
    tale.hears(fulfilled(1, "wholesale"), fulfilled(2, "retail"))
    assert tale.books == {"SO-2": "111.54"}
    tale.hears(parcel("delivered", "p1", order_ref="SO-1"), parcel("delivered", "p2", order_ref="SO-2"))
    assert tale.books == {"SO-1": "111.54", "SO-2": "111.54"}
    assert set(tale.states_of_events) == {"done"}


def test_what_a_route_wants_is_known_of_a_parcel_that_comes_before_its_order(tell: MakeTale) -> None:
    tale = shop(tell)
    tale.hears(parcel("delivered", "p1", number="JJD1"), parcel("delivered", "p2", number="JJD2"))
    tale.hears(placed(1, tags=["wholesale"], shipments=[FREIGHT]))
    tale.hears(placed(2, shipments=[{**FREIGHT, "tracking_number": "JJD2"}]))
    assert tale.books == {"SO-1": "111.54"}
    assert set(tale.states_of_events) == {"done"}


def test_staff_is_told_that_an_order_of_the_route_is_not_invoiced_when_it_is_completed(tell: MakeTale) -> None:
    tale = shop(tell)
    tale.hears(fulfilled(1, "wholesale"), placed(2))
    refused = said("complete", "SO-1", "--why", "handed over", code=1)
    assert "makes no invoice of order SO-1 when it is completed (the trigger: shipment.delivered)" in refused
    said("complete", "SO-2", "--why", "handed over")
    handling.handle_events()
    tale.settle()
    assert tale.books == {"SO-2": "111.54"}


def test_an_order_that_matches_no_route_is_held_on_what_the_shop_wants(tell: MakeTale) -> None:
    tale = tell(routes=BY_TAG.partition("\n\n")[0])
    tale.hears(fulfilled(1), parcel("delivered", "p1", order_ref="SO-1"))
    assert tale.states_of_events == ["held", "done"]
    assert "no route matches order SO-1" in (tale.events[0][2] or "")
    assert tale.books == {}
