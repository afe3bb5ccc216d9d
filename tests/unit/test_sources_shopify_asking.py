"""Shopify asked for what its webhooks lost, over HTTP; and the parcels that its orders and webhooks tell of."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest

from connectors.errors import Throttled, Unauthorized
from connectors.http import Http
from connectors.model import Event, EventType
from connectors.sandbox.source_apis.shopify import CLIENT, TOKEN, ShopifyApi
from connectors.sources.asking import Found, Page
from connectors.sources.base import NotInvoiceable
from connectors.sources.shopify import Shopify
from tests.contract.running import RunningSandbox
from tests.unit.test_sources_shopify import HEADERS, ORDER

BEGAN = datetime(2026, 11, 22, 10, tzinfo=UTC)
PARCEL: dict[str, Any] = {
    "id": 31,
    "order_id": 5123456789012,
    "name": "#1001.1",
    "status": "success",
    "shipment_status": None,
    "created_at": "2026-11-22T10:30:00Z",
    "updated_at": "2026-11-22T10:31:00Z",
    "tracking_company": "Royal Mail",
    "tracking_number": "RM123456789GB",
    "tracking_numbers": ["RM123456789GB", "RM987654321GB"],
    "line_items": [{"id": 11, "quantity": 2}],
}


class Shop:
    """A shop that is asked, and its API."""

    def __init__(self, sandbox: RunningSandbox, **options: Any) -> None:
        self.sandbox = sandbox
        self.emulator: Any = sandbox.sandbox.hosted["shopify"].emulator
        given = options or {"access_token": TOKEN}
        self.source = Shopify(["s"], {"base_url": f"{sandbox.url}/shopify", **given})
        api = self.source.api(Http(10))
        assert api is not None
        self.api = api

    def put(self, number: int, changed: datetime, **changes: Any) -> None:
        order = copy.deepcopy(ORDER) | {"id": number, "name": f"#{number}", "updated_at": changed.isoformat()}
        order["fulfillments"] = []
        self.sandbox.run(lambda: self.emulator.orders.update({number: order | changes}))

    def page(self, cursor: str | None, now: datetime) -> Page:
        return self.source.pull(self.api, cursor, now)

    def walk(self, cursor: str | None, now: datetime) -> tuple[list[Found], str]:
        """Asks until there is no more."""
        found: list[Found] = []
        while True:
            page = self.page(cursor, now)
            found += page.found
            cursor = page.cursor
            if not page.more:
                return found, cursor


@pytest.fixture
def sandbox() -> Iterator[RunningSandbox]:
    running = RunningSandbox([ShopifyApi])
    yield running
    running.close()


@pytest.fixture
def shop(sandbox: RunningSandbox) -> Shop:
    return Shop(sandbox)


def names(found: list[Found]) -> list[str | None]:
    return [each.delivery.order_ref for each in found]


def minutes(number: float) -> datetime:
    return BEGAN + timedelta(minutes=number)


def test_orders_that_changed_are_found_and_those_from_before_the_first_question_are_not(shop: Shop) -> None:
    shop.put(1, minutes(-1))
    _, cursor = shop.walk(None, BEGAN)
    shop.put(2, minutes(1))
    found, _ = shop.walk(cursor, minutes(10))
    assert names(found) == ["#2"]


def test_six_hundred_orders_of_one_second_are_all_found(shop: Shop) -> None:
    _, cursor = shop.walk(None, BEGAN)
    for number in range(1, 601):
        shop.put(number, minutes(1))
    found, cursor = shop.walk(cursor, minutes(10))
    assert len(set(names(found))) == len(found) == 600
    again, _ = shop.walk(cursor, minutes(20))
    assert {each.delivery.id for each in again} <= {each.delivery.id for each in found}


def test_what_changes_between_two_pages_is_neither_lost_nor_makes_another_one_lost(shop: Shop) -> None:
    _, cursor = shop.walk(None, BEGAN)
    for number in range(1, 501):
        shop.put(number, minutes(1))
    first = shop.page(cursor, minutes(10))
    for number in (500, 400, 20):  # two that were told and one that was not
        shop.put(number, minutes(11), note="changed")
    rest, cursor = shop.walk(first.cursor, minutes(12))
    later, _ = shop.walk(cursor, minutes(30))
    assert {*names(list(first.found)), *names(rest), *names(later)} == {f"#{number}" for number in range(1, 501)}
    assert {"#20", "#400", "#500"} <= set(names(later))


def test_a_change_that_may_still_be_written_waits_for_the_next_question(shop: Shop) -> None:
    _, cursor = shop.walk(None, BEGAN)
    shop.put(1, minutes(9))
    found, cursor = shop.walk(cursor, minutes(10))
    shop.put(2, minutes(8.5))  # was written late
    later, _ = shop.walk(cursor, minutes(20))
    assert (names(found), names(later)) == ([], ["#2", "#1"])


def test_a_clock_that_is_ahead_of_shopifys_loses_nothing(shop: Shop) -> None:
    _, cursor = shop.walk(None, BEGAN)
    shop.put(1, minutes(1))
    _, cursor = shop.walk(cursor, minutes(60))
    shop.put(2, minutes(2))
    found, _ = shop.walk(cursor, minutes(61))
    assert "#2" in names(found)


def test_a_page_that_shopify_has_forgotten_is_asked_anew_from_the_window_s_beginning(shop: Shop) -> None:
    _, cursor = shop.walk(None, BEGAN)
    for number in range(1, 301):
        shop.put(number, minutes(1))
    first = shop.page(cursor, minutes(10))
    shop.emulator.forgotten = True
    assert first.more
    assert len(shop.page(first.cursor, minutes(10)).found) == 250


def test_the_same_state_has_the_same_id_and_another_state_another(shop: Shop) -> None:
    _, cursor = shop.walk(None, BEGAN)
    ids = []
    for note in ("a", "a", "b"):
        shop.put(1, minutes(1), note=note)
        [found] = shop.walk(cursor, minutes(10))[0]
        ids.append(found.delivery.id)
    assert ids[0] == ids[1] != ids[2]


def events(shop: Shop, found: list[Found]) -> list[Event]:
    told = [shop.source.normalise(each.delivery, each.body) for each in found]
    return [each for each in told if isinstance(each, Event)]


def test_a_missed_fulfilment_asks_for_the_invoice_and_tells_its_parcel(shop: Shop) -> None:
    _, cursor = shop.walk(None, BEGAN)
    parcel = PARCEL | {"order_id": 7, "shipment_status": "delivered"}
    shop.put(7, minutes(40), fulfillments=[parcel])
    fulfilled, delivered = events(shop, shop.walk(cursor, minutes(50))[0])
    assert fulfilled.type is EventType.ORDER_FULFILLED
    assert fulfilled.order is not None
    assert [each.tracking_number for each in fulfilled.order.shipments] == ["RM123456789GB", "RM987654321GB"]
    assert (delivered.type, delivered.order_id) == (EventType.SHIPMENT_DELIVERED, "7")


def test_an_order_fulfilled_before_anybody_asked_is_told_but_asks_for_no_invoice(shop: Shop) -> None:
    _, cursor = shop.walk(None, BEGAN)
    old = PARCEL | {"created_at": "2025-01-01T10:00:00Z", "updated_at": "2025-01-05T10:00:00Z"}
    shop.put(7, minutes(1), fulfillments=[old], note="edited a year later")
    assert [each.type for each in events(shop, shop.walk(cursor, minutes(10))[0])] == [EventType.ORDER_UPDATED]


def test_cancelled_and_test_orders_ask_for_nothing(shop: Shop) -> None:
    _, cursor = shop.walk(None, BEGAN)
    shop.put(7, minutes(40), cancelled_at="2026-11-22T10:35:00Z", fulfillments=[])
    shop.put(8, minutes(41), test=True, fulfillments=[PARCEL | {"order_id": 8}])
    cancelled, test = shop.walk(cursor, minutes(50))[0]
    assert cancelled.delivery.type == "orders/cancelled"
    with pytest.raises(NotInvoiceable, match="test order"):
        shop.source.normalise(test.delivery, test.body)


def test_wrong_credentials_and_too_many_calls_are_told_as_such(sandbox: RunningSandbox) -> None:
    shop, wrong = Shop(sandbox), Shop(sandbox, access_token="shpat_wrong")
    cursor = shop.walk(None, BEGAN)[1]
    with pytest.raises(Unauthorized, match="Shopify answered 401"):
        wrong.page(cursor, minutes(10))
    for _ in range(40):
        shop.page(cursor, minutes(10))
    with pytest.raises(Throttled) as throttled:
        shop.page(cursor, minutes(10))
    assert throttled.value.retry_after == 2.0


def test_an_app_of_the_dev_dashboard_gets_a_token_for_a_day_and_another_when_it_ends(sandbox: RunningSandbox) -> None:
    shop = Shop(sandbox, **CLIENT)
    _, cursor = shop.walk(None, BEGAN)
    shop.put(1, minutes(1))
    assert names(shop.walk(cursor, minutes(10))[0]) == ["#1"]
    sandbox.run(shop.emulator.tokens.clear)
    assert names(shop.walk(cursor, minutes(10))[0]) == ["#1"]
    wrong = Shop(sandbox, client_id="app-1", client_secret="wrong")
    with pytest.raises(Unauthorized, match="refuses the credentials"):
        wrong.walk(cursor, minutes(10))


def test_what_is_missing_to_ask_is_said_when_the_source_is_configured() -> None:
    assert Shopify(["s"]).api(Http(1)) is None
    with pytest.raises(ValueError, match="shop is missing"):
        Shopify(["s"], {"access_token": "t"})
    with pytest.raises(ValueError, match="belong together"):
        Shopify(["s"], {"shop": "engraver", "client_id": "t"})
    for name in ("engraver", "engraver.myshopify.com"):
        api = Shopify(["s"], {"shop": name, "access_token": "t"}).api(Http(1))
        assert api is not None
        assert api.base_url == "https://engraver.myshopify.com"


# -- parcels ----------------------------------------------------------------------------------------------------------


def told(document: Any, topic: str = "fulfillments/update", **options: Any) -> Any:
    tried, body = Shopify(["s"], options), orjson.dumps(document)
    return tried.normalise(tried.receive(HEADERS | {"x-shopify-topic": topic}, body), body)


def test_a_fulfilment_is_a_shipment_that_names_its_order_and_what_is_in_it() -> None:
    event = told(PARCEL, "fulfillments/create")
    assert (event.type, event.order_id, event.order) == (EventType.SHIPMENT_SHIPPED, "5123456789012", None)
    assert event.occurred_at == datetime(2026, 11, 22, 10, 31, tzinfo=UTC)
    parcel = event.shipment
    assert (parcel.ref, parcel.carrier, parcel.tracking_number) == ("31", "Royal Mail", "RM123456789GB")
    assert [(line.ref, str(line.quantity)) for line in parcel.lines] == [("11", "2")]


@pytest.mark.parametrize(
    ("status", "shipment_status", "expected"),
    [
        ("success", None, EventType.SHIPMENT_SHIPPED),
        ("success", "confirmed", EventType.SHIPMENT_SHIPPED),
        ("success", "carrier_picked_up", EventType.SHIPMENT_SHIPPED),
        ("success", "in_transit", EventType.SHIPMENT_SHIPPED),
        ("success", "out_for_delivery", EventType.SHIPMENT_SHIPPED),
        ("success", "attempted_delivery", EventType.SHIPMENT_SHIPPED),
        ("success", "delivered", EventType.SHIPMENT_DELIVERED),
        ("success", "label_printed", None),
        ("success", "label_purchased", None),
        ("success", "label_voided", None),
        ("success", "ready_for_pickup", None),
        ("success", "failure", None),
        ("success", "returning_to_sender", None),
        *((status, "delivered", None) for status in ("pending", "open", "cancelled", "error", "failure", None)),
    ],
)
def test_each_status_of_a_fulfilment(status: str | None, shipment_status: str | None, expected: Any) -> None:
    event = told(PARCEL | {"status": status, "shipment_status": shipment_status})
    assert (event.type if event else None) is expected


def test_a_test_fulfilment_counts_only_where_the_merchant_wants_it() -> None:
    assert told(PARCEL | {"receipt": {"testcase": True}}) is None
    assert told(PARCEL | {"receipt": {"testcase": True}}, test_orders=True) is not None


@pytest.mark.parametrize("field", ["id", "order_id"])
def test_a_fulfilment_that_names_no_order_says_so(field: str) -> None:
    with pytest.raises(NotInvoiceable, match="is missing"):
        told({name: value for name, value in PARCEL.items() if name != field})


def test_an_order_tells_its_parcels_tags_and_channel_and_what_cannot_be_read_of_them_is_left_out() -> None:
    wrong: list[Any] = [
        None,
        5,
        {},
        {"id": []},
        PARCEL | {"status": "cancelled"},
        {"id": 32, "line_items": [{"id": 1}]},
    ]
    order = ORDER | {"fulfillments": [PARCEL, *wrong], "tags": "wholesale, VIP,, ", "source_name": "pos"}
    ours = told(order, "orders/fulfilled").order
    assert [each.ref for each in ours.shipments] == ["31", "31-2", "32"]
    assert (ours.tags, ours.channel) == (("wholesale", "VIP"), "pos")
    plain = told(ORDER | {"tags": 5, "source_name": [], "fulfillments": "none"}, "orders/fulfilled").order
    assert (plain.tags, plain.channel, plain.shipments) == ((), None, ())


@pytest.mark.parametrize("field", sorted(PARCEL))
@pytest.mark.parametrize("value", [None, True, 0, -1, 1.5, 1e300, "", " ", "x" * 5000, [], [None], {}, {"a": [1]}])
def test_a_wrong_value_in_a_fulfilment_is_refused_in_words_or_harmless(field: str, value: Any) -> None:
    told(ORDER | {"fulfillments": [PARCEL | {field: value}]}, "orders/fulfilled")
    with suppress(NotInvoiceable):
        told(PARCEL | {field: value})
