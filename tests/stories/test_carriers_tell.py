"""What carriers and shipping tools send and answer, in their own bodies, of parcels that a shop has told."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from tests.stories import senders
from tests.stories.conftest import MakeTale, Outside
from tests.stories.senders import Sent, by_address, configured, credentials, shopify
from tests.stories.tale import Tale, placed
from tests.unit import shipstation_bodies, test_sources_aftership, test_sources_dhl, test_sources_easypost
from tests.unit import test_sources_fedex as fedex_bodies
from tests.unit import test_sources_shippo as shippo_bodies
from tests.unit import test_sources_ups as ups_bodies
from tests.unit.bigcommerce_bodies import DOCUMENT, ORDER
from tests.unit.test_sources_bigcommerce import HOOK
from tests.unit.test_sources_shopify import order as shopify_order
from tests.unit.test_sources_shopify_asking import PARCEL
from tests.unit.test_sources_woocommerce import order as woo_order

SHIPPED, DELIVERED = 'trigger = ["shipment.shipped"]', 'trigger = ["shipment.delivered"]'
WEB = configured("web", "shopify")
ORDER_ID = 5123456789012
ROYAL_MAIL = ("RM123456789GB", "Royal Mail")
BOOKS = {"#1001": "118.14"}
NAMELESS = {"order_id": None, "order_number": None}


@dataclass(frozen=True)
class Teller:
    """Who tells of a parcel that it was delivered, pushed or asked; `parcel`: its number and carrier, as the shop
    writes them."""

    kind: str
    parcel: tuple[str, str]
    pushed: Callable[..., Sent]
    """Of that parcel; keywords of the vendor's own."""
    known: Callable[[Outside], object]
    """Puts the parcel into its API."""


def _shippo(**status: Any) -> Sent:
    return by_address(shippo_bodies.event(status, carrier="royal_mail", tracking_number=ROYAL_MAIL[0], metadata=""))


def _shippo_knows(outside: Outside, **status: Any) -> None:
    track = shippo_bodies.track(status, carrier="royal_mail", tracking_number=ROYAL_MAIL[0], metadata="")
    outside.put("shippo", track)


TELLERS = {
    "easypost": Teller(
        "easypost",
        ROYAL_MAIL,
        lambda **changes: senders.easypost(test_sources_easypost.event(**changes)),
        lambda outside: outside.put("easypost", test_sources_easypost.tracker()),
    ),
    "aftership": Teller(
        "aftership",
        ROYAL_MAIL,
        lambda **changes: senders.aftership(test_sources_aftership.event(**NAMELESS | changes)),
        lambda outside: outside.put("aftership", test_sources_aftership.tracking(**NAMELESS)),
    ),
    "shippo": Teller("shippo", ROYAL_MAIL, _shippo, _shippo_knows),
    "ups": Teller(
        "ups",
        (ups_bodies.NUMBER, "UPS"),
        lambda **changes: senders.ups(ups_bodies.push(**changes)),
        lambda outside: outside["ups"].packages.update(
            {ups_bodies.NUMBER: [ups_bodies.package(ups_bodies.HISTORY, delivered=True)]}
        ),
    ),
    "fedex": Teller(
        "fedex",
        (fedex_bodies.NUMBER, "FedEx"),
        lambda **changes: senders.fedex(fedex_bodies.push(fedex_bodies.RESULT | changes)),
        lambda outside: outside["fedex"].results.update(
            {fedex_bodies.NUMBER: [fedex_bodies.result("DL", *fedex_bodies.HISTORY)]}
        ),
    ),
    "dhl": Teller(
        "dhl",
        (test_sources_dhl.NUMBER, "DHL Parcel"),
        lambda **changes: senders.dhl(test_sources_dhl.push(test_sources_dhl.shipment("delivered", **changes))),
        lambda outside: outside["dhl"].shipments.update(
            {test_sources_dhl.NUMBER: [test_sources_dhl.shipment("delivered", events=test_sources_dhl.EVENTS)]}
        ),
    ),
}
every_teller = pytest.mark.parametrize("teller", TELLERS.values(), ids=TELLERS)


def parcel(number: str, carrier: str, **changes: Any) -> dict[str, Any]:
    return PARCEL | {"tracking_company": carrier, "tracking_number": number, "tracking_numbers": [number], **changes}


def told(*parcels: tuple[str, str], **changes: Any) -> Sent:
    """Shopify tells its order, with parcels of these numbers and carriers."""
    sent = [parcel(*each, id=31 + at) for at, each in enumerate(parcels)]
    return shopify("orders/updated", shopify_order(fulfillments=sent, **changes))


class TestDelivered:
    @every_teller
    def test_after_the_shop_told_the_parcel(self, tell: MakeTale, teller: Teller) -> None:
        tale = tell(shop=DELIVERED, sources=WEB + configured("carrier", teller.kind))
        tale.gets("web", told(teller.parcel))
        assert tale.books == {}
        tale.gets("carrier", teller.pushed(), teller.pushed())
        assert tale.books == BOOKS
        assert tale.states_of_events == ["done", "done"]

    @every_teller
    def test_before_the_shop_told_the_parcel(self, tell: MakeTale, teller: Teller) -> None:
        tale = tell(shop=DELIVERED, sources=WEB + configured("carrier", teller.kind))
        tale.gets("carrier", teller.pushed())
        tale.gets("web", told())
        assert tale.books == {}
        assert tale.states_of_events == ["waiting", "done"]
        tale.gets("web", told(teller.parcel, updated_at="2026-11-22T12:00:00Z"))
        assert tale.books == BOOKS
        assert tale.states_of_events == ["done"] * 3

    @every_teller
    def test_found_by_asking_and_pushed_all_the_same(self, tell: MakeTale, outside: Outside, teller: Teller) -> None:
        options = credentials(teller.kind, outside.url)
        tale = tell(shop=DELIVERED, sources=WEB + configured("carrier", teller.kind, **options))
        tale.gets("web", told(teller.parcel))
        tale.asks("carrier")
        assert tale.books == {}
        teller.known(outside)
        tale.asks("carrier")
        assert tale.books == BOOKS
        tale.gets("carrier", teller.pushed(), settle=False)
        tale.asks("carrier")
        assert tale.books == BOOKS

    def test_by_everybody_is_one_invoice(self, tell: MakeTale) -> None:
        """The shop, two tracking services and the carrier itself, about every step."""
        both = 'trigger = ["shipment.shipped", "shipment.delivered", "order.fulfilled"]'
        services = [each for each in TELLERS.values() if each.parcel == ROYAL_MAIL]
        tale = tell(shop=both, sources=WEB + "".join(configured(each.kind, each.kind) for each in services))
        tale.gets("web", shopify("fulfillments/create", parcel(*ROYAL_MAIL)), told(ROYAL_MAIL))
        for each in services:
            tale.gets(each.kind, each.pushed())
        tale.gets("web", shopify("orders/fulfilled", shopify_order(fulfillments=[parcel(*ROYAL_MAIL)])))
        assert tale.books == BOOKS
        assert set(tale.states_of_events) == {"done"}

    def test_one_push_about_the_parcels_of_two_orders_is_two_invoices(self, tell: MakeTale) -> None:
        tale = tell(shop=DELIVERED, sources=WEB + configured("dhl", "dhl"))
        other = "00340434292135100193"
        tale.gets("web", told(TELLERS["dhl"].parcel), told((other, "DHL"), id=7, name="#1007"))
        both = [test_sources_dhl.shipment("delivered", number=each) for each in (test_sources_dhl.NUMBER, other)]
        tale.gets("dhl", senders.dhl(test_sources_dhl.push(*both)))
        assert tale.books == BOOKS | {"#1007": "118.14"}

    def test_the_number_that_a_plugin_noted_at_woocommerce_s_order_is_enough(self, tell: MakeTale) -> None:
        tale = tell(shop=DELIVERED, sources=configured("shop", "woocommerce") + configured("carrier", "aftership"))
        noted = {"key": "_wc_shipment_tracking_items", "value": [{"tracking_number": "rm 123 456 789 gb"}]}
        tale.gets("shop", senders.woocommerce(woo_order(meta_data=[noted])))
        assert tale.books == {}
        tale.gets("carrier", TELLERS["aftership"].pushed())
        assert tale.books == {"W-1001": "118.14"}

    def test_the_number_at_bigcommerce_s_order_wakes_the_parcel_that_waits_for_it(
        self, tell: MakeTale, outside: Outside
    ) -> None:
        outside["bigcommerce"].orders = {1001: ORDER}
        parts = ("products", "taxes", "shipping_addresses", "shipments")
        outside["bigcommerce"].parts = {(1001, name): DOCUMENT[name] for name in parts}
        shop = configured("shop", "bigcommerce", **credentials("bigcommerce", outside.url))
        tale = tell(shop=DELIVERED, sources=shop + configured("carrier", "easypost"))
        tale.gets("carrier", TELLERS["easypost"].pushed())
        tale.gets("shop", senders.bigcommerce(HOOK, "msg-1"), settle=False)
        assert tale.books == {}
        tale.asks("shop")
        assert tale.books == {"1001": "118.14"}

    def test_on_its_way_is_not_there_yet(self, tell: MakeTale) -> None:
        tale = tell(shop=DELIVERED, sources=WEB + configured("ups", "ups"))
        tale.gets("web", told((ups_bodies.NUMBER, "UPS")))
        steps = [("M", "101010"), ("I", "102020"), ("X", "103030"), ("I", "104040")]
        tale.gets("ups", *(senders.ups(ups_bodies.status(code, gmtActivityTime=at)) for code, at in steps))
        assert tale.books == {}
        assert set(tale.states_of_events) == {"done"}


RETURNS: dict[str, tuple[str, Sent]] = {
    "easypost": ("easypost", TELLERS["easypost"].pushed(is_return=True)),
    "easypost_detail": ("easypost", TELLERS["easypost"].pushed(status_detail="return")),
    "aftership": ("aftership", TELLERS["aftership"].pushed(return_to_sender=True)),
    "shippo": ("shippo", _shippo(status="RETURNED")),
    "fedex": ("fedex", TELLERS["fedex"].pushed(returnDetail={"authorizationName": "Ada"})),
    "dhl": ("dhl", TELLERS["dhl"].pushed(returnFlag=True)),
}


@pytest.mark.parametrize(("kind", "sent"), RETURNS.values(), ids=RETURNS)
def test_a_parcel_that_comes_back_is_kept_and_changes_nothing(tell: MakeTale, kind: str, sent: Sent) -> None:
    tale = tell(shop=DELIVERED, sources=WEB + configured("carrier", kind))
    tale.gets("web", told(TELLERS[kind].parcel))
    tale.gets("carrier", sent)
    assert tale.books == {}
    assert tale.states_of_events == ["done", "done"]


def test_a_parcel_that_nobody_told_waits_and_is_shown(tell: MakeTale) -> None:
    tale = tell(shop=DELIVERED, sources=WEB + configured("ups", "ups"))
    tale.gets("ups", TELLERS["ups"].pushed())
    tale.gets("web", told(ROYAL_MAIL))
    assert tale.books == {}
    state, label, reason = tale.events[0]
    assert (state, label) == ("waiting", ups_bodies.NUMBER)
    assert f"nobody has told an order {ups_bodies.NUMBER} yet" in (reason or "")


class TestShippo:
    def test_what_only_an_address_proves_counts_once_its_api_says_so(self, tell: MakeTale, outside: Outside) -> None:
        options = credentials("shippo", outside.url)
        tale = tell(shop=DELIVERED, sources=WEB + configured("carrier", "shippo", **options))
        _shippo_knows(outside, status="TRANSIT")
        tale.gets("web", told(ROYAL_MAIL))
        tale.gets("carrier", _shippo(), settle=False)
        tale.asks("carrier")
        assert tale.books == {}
        _shippo_knows(outside, object_id="f2a7c0e2")
        tale.asks("carrier")
        assert tale.books == BOOKS

    def test_the_order_s_name_in_the_metadata_is_enough(self, tell: MakeTale) -> None:
        tale = tell(shop=DELIVERED, sources=WEB + configured("carrier", "shippo"))
        tale.gets("web", told())
        tale.gets("carrier", by_address(shippo_bodies.event(metadata="Order 1001")))
        assert tale.books == BOOKS


class TestAfterShip:
    @pytest.mark.parametrize(
        "named", [{"order_id": str(ORDER_ID)}, {"order_number": "#1001"}, {"order_number": "1001"}]
    )
    def test_the_order_that_it_names_is_enough(self, tell: MakeTale, named: dict[str, str]) -> None:
        tale = tell(shop=DELIVERED, sources=WEB + configured("carrier", "aftership"))
        tale.gets("web", told())
        tale.gets("carrier", TELLERS["aftership"].pushed(**named))
        assert tale.books == BOOKS

    def tale(self, tell: MakeTale, **options: Any) -> Tale:
        """A shop to which ready for pickup is as good as delivered."""
        said = '[shop.engraver.source.carrier.options.statuses]\nAvailableForPickup = "delivered"\n'
        made: Tale = tell(shop=DELIVERED, sources=WEB + configured("carrier", "aftership", **options) + said)
        made.gets("web", told(ROYAL_MAIL))
        return made

    @staticmethod
    def pushed(tag: str) -> Sent:
        return senders.aftership(test_sources_aftership.event(**NAMELESS, tag=tag) | {"event_id": tag})

    def test_what_counts_as_delivered_is_invoiced_and_the_delivery_later_is_nothing_more(self, tell: MakeTale) -> None:
        tale = self.tale(tell)
        tale.gets("carrier", self.pushed("InTransit"))
        assert tale.books == {}
        tale.gets("carrier", self.pushed("AvailableForPickup"))
        assert tale.books == BOOKS
        tale.gets("carrier", self.pushed("Delivered"))
        assert tale.books == BOOKS
        assert tale.states_of_events == ["done"] * 4

    def test_what_counts_as_delivered_does_so_when_it_was_asked_for_too(self, tell: MakeTale, outside: Outside) -> None:
        tale = self.tale(tell, **credentials("aftership", outside.url))
        outside.put("aftership", test_sources_aftership.tracking(**NAMELESS, tag="AvailableForPickup"))
        tale.asks("carrier")
        assert tale.books == BOOKS
        tale.gets("carrier", self.pushed("AvailableForPickup"), self.pushed("Delivered"))
        assert tale.books == BOOKS


class TestShipStation:
    def tale(self, tell: MakeTale, outside: Outside, number: str, shop: str = SHIPPED, **more: Any) -> Tale:
        """It has one parcel, of the order with this number, all of which is shipped."""
        outside["shipstation"].shipments = [shipstation_bodies.SHIPMENT | {"orderNumber": number}]
        outside["shipstation"].orders = [shipstation_bodies.ORDER | {"orderNumber": number}]
        own = configured("tool", "shipstation", **credentials("shipstation", outside.url), **more)
        tale: Tale = tell(shop=shop, sources=WEB + own + configured("easypost", "easypost"))
        return tale

    @staticmethod
    def notified(tale: Tale) -> None:
        """SHIP_NOTIFY comes in, and what it points to is fetched."""
        tale.gets("tool", by_address(shipstation_bodies.NOTIFY), settle=False)
        tale.asks("tool")

    @pytest.mark.parametrize("number", ["1001", "#1001"])
    def test_the_order_that_the_shop_told_is_invoiced(self, tell: MakeTale, outside: Outside, number: str) -> None:
        tale = self.tale(tell, outside, number)
        tale.gets("web", told())
        self.notified(tale)
        assert tale.books == BOOKS
        assert tale.states_of_events == ["done"] * 3

    def test_a_parcel_before_its_order_is_told_waits_for_it(self, tell: MakeTale, outside: Outside) -> None:
        tale = self.tale(tell, outside, "1001")
        self.notified(tale)
        assert tale.states_of_events == ["done", "waiting"]
        tale.gets("web", told())
        assert tale.books == BOOKS

    def test_its_notice_twice_and_its_list_are_one_invoice(self, tell: MakeTale, outside: Outside) -> None:
        tale = self.tale(tell, outside, "1001")
        tale.gets("web", told())
        for _ in range(2):
            self.notified(tale)
        assert tale.books == BOOKS
        assert tale.states_of_events == ["done"] * 3

    def test_a_label_tells_the_number_and_the_carrier_the_rest(self, tell: MakeTale, outside: Outside) -> None:
        """The order is not wholly shipped, and the shop knows no number."""
        tale = self.tale(tell, outside, "1001", shop=DELIVERED)
        outside["shipstation"].orders[0]["orderStatus"] = "awaiting_shipment"
        tale.gets("web", told())
        self.notified(tale)
        assert tale.books == {}
        tale.gets("easypost", TELLERS["easypost"].pushed())
        assert tale.books == BOOKS

    def test_a_voided_label_is_nothing(self, tell: MakeTale, outside: Outside) -> None:
        tale = self.tale(tell, outside, "1001")
        outside["shipstation"].shipments[0]["voided"] = True
        tale.gets("web", told())
        self.notified(tale)
        assert tale.books == {}
        assert tale.states_of_events == ["done"] * 3

    @pytest.mark.parametrize("orders", ["", "web"])
    def test_a_number_of_two_shops_is_for_a_person_unless_it_is_said_whose(
        self, tell: MakeTale, outside: Outside, orders: str
    ) -> None:
        tale = self.tale(tell, outside, "1001", orders=orders)
        tale.hears(placed(7, ref="1001"))
        tale.gets("web", told())
        self.notified(tale)
        assert tale.books == (BOOKS if orders else {})
        reason = tale.events[-1][2] or ""
        assert ("1001 may mean several orders (#1001 of web, 1001 of api)" in reason) is not bool(orders)


class TestParts:
    def test_each_carrier_s_parcel_is_the_part_that_the_shop_said_is_in_it(self, tell: MakeTale) -> None:
        per_shipment = 'invoice_per = "shipment"\ntrigger = ["shipment.shipped"]'
        tale = tell(shop=per_shipment, sources=WEB + configured("ups", "ups") + configured("dhl", "dhl"))
        first = parcel(ups_bodies.NUMBER, "UPS", line_items=[{"id": 11, "quantity": 1}])
        items = [{"id": 11, "quantity": 1}, {"id": 12, "quantity": 1}]
        second = parcel(test_sources_dhl.NUMBER, "DHL", id=32, line_items=items)
        tale.gets("web", shopify("orders/updated", shopify_order(fulfillments=[first, second])))
        tale.gets("dhl", TELLERS["dhl"].pushed())
        assert tale.books == {"#1001-1": "62.47"}
        tale.gets("ups", TELLERS["ups"].pushed(), senders.ups(ups_bodies.status("I")))
        assert tale.books == {"#1001-1": "62.47", "#1001-2": "55.67"}

    def test_where_nobody_says_what_is_in_it_and_nothing_else_would_invoice_it_it_is_held(self, tell: MakeTale) -> None:
        only = 'invoice_per = "shipment"\ntrigger = ["shipment.shipped"]'
        tale = tell(shop=only, sources=configured("shop", "woocommerce") + configured("carrier", "easypost"))
        noted = {"key": "_wc_shipment_tracking_items", "value": [{"tracking_number": ROYAL_MAIL[0]}]}
        tale.gets("shop", senders.woocommerce(woo_order(meta_data=[noted])))
        tale.gets("carrier", TELLERS["easypost"].pushed(status="in_transit"))
        assert tale.books == {}
        assert "nobody says what is in this parcel of order W-1001" in (tale.events[-1][2] or "")
        tale.configure('trigger = ["shipment.shipped"]', 'trigger = ["shipment.shipped", "order.completed"]')
        tale.gets("shop", senders.woocommerce(woo_order(meta_data=[noted], date_modified_gmt="2026-11-22T12:00:00")))
        assert tale.books == {"W-1001": "118.14"}


def test_one_shop_s_carrier_does_not_touch_the_other_shop_s_order(tell: MakeTale) -> None:
    """Both shops have told a parcel of this number."""
    sources = WEB + configured("ups", "ups") + configured("web", "shopify", shop="other")
    tale = tell(shop=DELIVERED, sources=sources, shops=("engraver", "other"))
    known = told((ups_bodies.NUMBER, "UPS"))
    tale.gets("web", known)
    tale.gets("web", known, shop="other")
    tale.gets("ups", TELLERS["ups"].pushed())
    assert tale.books == BOOKS
