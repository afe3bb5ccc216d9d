"""Parcels that name their order by something else, before or after it was told."""

from tests.stories.conftest import MakeTale
from tests.stories.tale import Tale, parcel, placed

SHIPPED = 'trigger = ["shipment.shipped"]'
DELIVERED = 'trigger = ["shipment.delivered"]'
UPS = {"ref": "P-1", "carrier": "UPS", "tracking_number": "1Z 999 AA1"}


def sources(**orders_of: str) -> str:
    """Source sections; each value is the source whose orders it speaks of, "" for none."""
    head = '[shop.engraver.source.{}]\nkind = "standard"\nsecret = "whsec_c2VjcmV0"\n'
    return "\n".join(
        head.format(name) + (f'orders = "{value}"\n' if value else "") for name, value in orders_of.items()
    )


def test_an_order_told_first_is_invoiced_when_its_parcel_leaves(tell: MakeTale) -> None:
    tale = tell(shop=SHIPPED)
    tale.hears(placed(1, shipments=[UPS]))
    assert tale.books == {}
    tale.hears(parcel("shipped", "p1", number="1Z999AA1"))
    assert tale.books == {"SO-1": "111.54"}
    assert tale.states_of_events == ["done", "done"]


def test_a_parcel_that_comes_first_waits_for_its_order(tell: MakeTale) -> None:
    tale = tell(shop=SHIPPED)
    tale.hears(parcel("shipped", "p1", number="1Z999AA1"))
    ((state, _, reason),) = tale.events
    assert state == "waiting"
    assert "nobody has told an order 1Z999AA1 yet" in (reason or "")
    assert tale.books == {}
    tale.hears(placed(1, shipments=[UPS]))
    assert tale.books == {"SO-1": "111.54"}
    assert tale.states_of_events == ["done", "done"]


def test_a_parcel_is_matched_by_the_name_of_the_order(tell: MakeTale) -> None:
    tale = tell(shop=DELIVERED)
    tale.hears(placed(1, ref="#1001"), parcel("delivered", "p1", order_ref="1001"))
    assert tale.books == {"#1001": "111.54"}


def test_a_parcel_is_matched_by_the_shop_s_id_of_the_order(tell: MakeTale) -> None:
    tale = tell(shop=DELIVERED)
    tale.hears(parcel("delivered", "p1", order_id="id-1"), placed(1))
    assert tale.books == {"SO-1": "111.54"}


def test_what_one_event_says_of_a_parcel_helps_the_next(tell: MakeTale) -> None:
    """The label's event names order and number, the carrier's only the number; the carrier's comes first."""
    tale = tell(shop=DELIVERED)
    tale.hears(placed(1), parcel("delivered", "late", number="RM123"))
    assert tale.states_of_events == ["done", "waiting"]
    tale.hears(parcel("shipped", "label", number="RM 123", order_ref="SO-1"))
    assert tale.books == {"SO-1": "111.54"}


def test_several_parcels_of_one_order_make_one_invoice(tell: MakeTale) -> None:
    tale = tell(shop=SHIPPED)
    other = {"ref": "P-2", "carrier": "UPS", "tracking_number": "1Z999AA2"}
    tale.hears(placed(1, shipments=[UPS, other]))
    tale.hears(*(parcel("shipped", number, number=number) for number in ("1Z999AA1", "1Z999AA2", "1Z999AA1 ")))
    assert tale.books == {"SO-1": "111.54"}


def test_delivery_is_not_what_a_shop_wants_that_invoices_on_shipping(tell: MakeTale) -> None:
    tale = tell(shop=DELIVERED)
    tale.hears(placed(1), parcel("shipped", "p1", order_ref="SO-1"))
    assert tale.books == {}
    assert tale.states_of_events == ["done", "done"]
    tale.hears(parcel("delivered", "p2", order_ref="SO-1"))
    assert tale.books == {"SO-1": "111.54"}


def test_a_name_that_two_orders_have_is_held_and_says_so(tell: MakeTale) -> None:
    tale = tell(shop=DELIVERED, sources=sources(web="", till="", carrier=""))
    tale.hears(placed(1), source="web")
    tale.hears(placed(1), source="till")
    tale.hears(parcel("delivered", "p1", order_ref="SO-1"), source="carrier")
    assert tale.books == {}
    state, _, reason = tale.events[-1]
    assert state == "held"
    assert "SO-1 may mean several orders (SO-1 of till, SO-1 of web)" in (reason or "")


def test_a_source_of_parcels_is_told_whose_orders_it_speaks_of(tell: MakeTale) -> None:
    tale = tell(shop=DELIVERED, sources=sources(web="", till="", carrier="till"))
    tale.hears(
        placed(
            1,
            total="93.54",
            lines=[
                {
                    **placed(1)["order"]["lines"][0],
                    "unit_price": "37.50",
                    "tax": {"name": "VAT", "rate": "20", "amount": "15.00"},
                }
            ],
        ),
        source="web",
    )
    tale.hears(placed(1), source="till")
    tale.hears(parcel("delivered", "p1", order_ref="SO-1"), source="carrier")
    assert tale.books == {"SO-1": "111.54"}


def test_a_number_that_two_carriers_use_is_told_apart_by_the_carrier(tell: MakeTale) -> None:
    tale = tell(shop=DELIVERED)
    for number, carrier in ((1, "Royal Mail"), (2, "DHL")):
        tale.hears(placed(number, shipments=[{"ref": "P", "carrier": carrier, "tracking_number": "12345678"}]))
    tale.hears(parcel("delivered", "p1", number="12345678", carrier="dhl"))
    assert tale.books == {"SO-2": "111.54"}
    tale.hears(parcel("delivered", "p2", number="12345678", carrier="RoyalMail"))
    assert tale.books == {"SO-1": "111.54", "SO-2": "111.54"}


def test_a_number_that_is_used_again_after_months_means_the_new_order(tell: MakeTale) -> None:
    tale = tell(shop=DELIVERED)
    tale.hears(placed(1, shipments=[UPS]))
    _months_pass(tale)
    tale.hears(placed(2, shipments=[UPS]), parcel("delivered", "p1", number="1Z999AA1"))
    assert tale.books == {"SO-2": "111.54"}


def _months_pass(tale: Tale) -> None:
    with tale.store.write() as connection:
        past = "2026-01-01T00:00:00+00:00"
        connection.exec_driver_sql(f"UPDATE shipments SET known_at = '{past}'")


def test_one_shop_s_parcel_does_not_find_another_shop_s_order(tell: MakeTale) -> None:
    tale = tell(shop=DELIVERED)
    tale.hears(placed(1, shipments=[UPS]))
    with tale.store.write() as connection:
        connection.exec_driver_sql("UPDATE shipments SET shop = 'other'")
        connection.exec_driver_sql("UPDATE orders SET shop = 'other'")
    tale.hears(parcel("delivered", "p1", number="1Z999AA1"), parcel("delivered", "p2", order_ref="SO-1"))
    assert tale.states_of_events == ["done", "waiting", "waiting"]


def test_many_parcels_wake_with_one_order(tell: MakeTale) -> None:
    tale = tell(shop=SHIPPED)
    tale.hears(*(parcel("shipped", f"p{number}", order_ref="#SO-1") for number in range(20)))
    assert tale.states_of_events == ["waiting"] * 20
    tale.hears(placed(1))
    assert tale.books == {"SO-1": "111.54"}
    assert tale.states_of_events == ["done"] * 21


def test_what_was_delivered_was_shipped_though_nobody_said_so(tell: MakeTale) -> None:
    tale = tell(shop=SHIPPED)
    tale.hears(placed(1), parcel("delivered", "p1", order_ref="SO-1"))
    assert tale.books == {"SO-1": "111.54"}
