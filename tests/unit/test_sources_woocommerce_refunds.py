"""WooCommerce's refunds: each enters once, as its order lists it or, where the shop can be asked, with its lines."""

import copy
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import orjson
import pytest

from connectors.errors import Rejected, Unauthorized
from connectors.model import Event, EventType
from connectors.sandbox.source_apis.woocommerce import KEY, WooApi
from connectors.sources.asking import Found
from connectors.sources.base import Look, NotInvoiceable
from connectors.sources.delivery import Delivery
from connectors.sources.woocommerce import WooCommerce
from tests.contract.running import RunningSandbox
from tests.unit.test_sources_base import HOSTILE, paths, replaced
from tests.unit.test_sources_woocommerce import HEADERS, ORDER, normalised
from tests.unit.test_sources_woocommerce_asking import BEGAN, Shop, minutes

NOW = datetime(2026, 11, 23, 9, tzinfo=UTC)
LISTED = {"id": 726, "reason": "one had a scratch", "total": "-60.72"}


def of(item: Any) -> list[dict[str, Any]]:
    return [{"id": 9, "key": "_refunded_item_id", "value": item, "display_value": item}]


REFUND: dict[str, Any] = {
    "id": 726,
    "date_created": "2026-11-22T12:00:00",
    "date_created_gmt": "2026-11-22T11:00:00",
    "amount": "60.72",
    "reason": "one had a scratch",
    "refunded_by": 1,
    "line_items": [
        {
            "id": 31, "quantity": -1, "total": "-42.65", "total_tax": "-8.53",
            "taxes": [{"id": 4, "total": "-8.53", "subtotal": "-9.00"}], "meta_data": of("1"),
        },
        {"id": 32, "quantity": 0, "total": "0.00", "total_tax": "0.00", "taxes": [], "meta_data": of("2")},
    ],
    "shipping_lines": [
        {
            "id": 33, "method_title": "Royal Mail 48", "total": "-7.95", "total_tax": "-1.59",
            "taxes": [{"id": 4, "total": "-1.59"}], "meta_data": of("3"),
        }
    ],
    "fee_lines": [],
    "tax_lines": [{"id": 34, "rate_id": 4, "label": "VAT", "rate_percent": 20, "compound": False}],
}  # fmt: skip
"""Of one plaque and the shipping."""


def refund(**changes: Any) -> dict[str, Any]:
    return copy.deepcopy(REFUND) | changes


def stored(order: dict[str, Any], topic: str = "order.updated") -> Sequence[tuple[Delivery, bytes]]:
    return WooCommerce(["s"]).deliveries(HEADERS | {"x-wc-webhook-topic": topic}, orjson.dumps(order))


def read(document: Any) -> Event | None:
    """What a refund that was read says."""
    body = orjson.dumps({"order_id": "1001", "refund": document})
    said = WooCommerce(["s"]).normalise(Delivery("1", "refund/read", NOW), body)
    assert said is None or (isinstance(said, Event) and said.type is EventType.REFUND_CREATED)
    return said


def given(document: Any) -> Any:
    event = read(document)
    assert event is not None
    return event.refund


def test_each_refund_that_an_order_lists_is_stored_beside_it_and_once() -> None:
    first = stored(ORDER | {"refunds": [LISTED]})
    again = stored(ORDER | {"refunds": [LISTED, LISTED | {"id": 727}], "customer_note": "saved again"})
    assert [delivery.type for delivery, _ in first] == ["order.updated", "refund/told"]
    assert again[1] == first[1]
    assert first[1][0].order_ref == "W-1001"
    assert len({delivery.id for delivery, _ in (*first, *again)}) == 4


def test_without_the_shop_s_api_the_event_is_what_the_order_says() -> None:
    _, (delivery, body) = stored(ORDER | {"refunds": [LISTED]})
    event = WooCommerce(["s"]).normalise(Delivery(delivery.id, delivery.type, NOW), body)
    assert isinstance(event, Event)
    assert (event.type, event.order_id, event.occurred_at) == (EventType.REFUND_CREATED, "1001", NOW)
    assert event.refund is not None
    assert event.refund.model_dump(exclude_defaults=True) == {
        "ref": "726", "total": Decimal("60.72"), "reason": "one had a scratch",
    }  # fmt: skip


def test_a_refund_of_nothing_is_kept_for_the_record() -> None:
    _, (delivery, body) = stored(ORDER | {"refunds": [LISTED | {"total": "0.00"}]})
    assert WooCommerce(["s"]).normalise(delivery, body) is None
    assert read(refund(amount="0.00")) is None


@pytest.mark.parametrize("topic", ["product.updated", ""])
def test_what_is_no_telling_of_an_order_tells_no_refund(topic: str) -> None:
    assert len(stored(ORDER | {"refunds": [LISTED]}, topic)) == 1


@pytest.mark.parametrize("refunds", [None, {}, [], [None], [5], [{}], [{"id": None}], "x", 5])
def test_a_list_of_no_refunds_makes_none(refunds: Any) -> None:
    assert len(stored(ORDER | {"refunds": refunds})) == 1


def test_what_came_back_is_told_line_by_line_with_shipping_and_tax() -> None:
    event = read(REFUND)
    assert event is not None
    assert (event.order_id, event.occurred_at) == ("1001", datetime(2026, 11, 22, 11, tzinfo=UTC))
    ours = given(REFUND)
    assert (ours.ref, ours.total, ours.reason) == ("726", Decimal("60.72"), "one had a scratch")
    ((line),) = ours.lines
    assert (line.ref, line.quantity, line.amount, line.tax) == ("1", 1, Decimal("42.65"), Decimal("8.53"))
    assert (ours.shipping.amount, ours.shipping.tax.amount, str(ours.shipping.tax.rate)) == (
        Decimal("7.95"), Decimal("1.59"), "20",
    )  # fmt: skip


def test_a_fee_is_the_order_s_line_of_it_and_a_discount_that_is_taken_back_is_none() -> None:
    fees = [
        {"total": "-3.00", "total_tax": "-0.60", "meta_data": of(21)},
        {"total": "5.00", "total_tax": "1.00", "meta_data": of(22)},
    ]
    lines = given(refund(line_items=[], fee_lines=fees)).lines
    assert [(each.ref, each.quantity, each.amount) for each in lines] == [("fee-21", 0, Decimal("3.00"))]


def test_a_line_that_names_no_line_of_the_order_stays_in_the_total() -> None:
    lost = [{"quantity": -1, "total": "-42.65", "total_tax": "-8.53", "meta_data": [{"key": "x", "value": "1"}]}]
    assert given(refund(line_items=lost)).lines == ()


def test_shipping_at_a_rate_that_is_not_told_counts_at_the_order_s_own() -> None:
    shipping = given(refund(tax_lines=[])).shipping
    assert (shipping.amount, shipping.tax) == (Decimal("7.95"), None)


def test_a_wrong_value_anywhere_is_refused_in_words_or_harmless() -> None:
    for path in paths(REFUND):
        for value in HOSTILE:
            with suppress(NotInvoiceable):
                read(replaced(REFUND, path, value))
    for path in paths([LISTED]):
        for value in HOSTILE:
            for delivery, body in stored(ORDER | {"refunds": replaced([LISTED], path, value)})[1:]:
                with suppress(NotInvoiceable):
                    WooCommerce(["s"]).normalise(delivery, body)


def test_what_cannot_be_read_is_held_though_its_order_is_invoiced() -> None:
    with pytest.raises(NotInvoiceable, match="WooCommerce refund 726 of order 1001: amount is missing") as refused:
        read({name: value for name, value in REFUND.items() if name != "amount"})
    assert (refused.value.type, refused.value.order_id) == (None, None)


def test_an_order_stays_as_it_was_placed_when_a_part_of_it_is_refunded() -> None:
    before = normalised(ORDER | {"status": "processing"}).order
    after = normalised(ORDER | {"status": "refunded", "refunds": [LISTED]}).order
    assert before is not None
    assert after is not None
    assert after.hold is not None
    assert after.model_copy(update={"hold": None}) == before


# -- asking ------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def sandbox() -> Iterator[RunningSandbox]:
    running = RunningSandbox([WooApi])
    yield running
    running.close()


@pytest.fixture
def shop(sandbox: RunningSandbox) -> Shop:
    made = Shop(sandbox)
    sandbox.run(made.emulator.setup)
    made.put(1001, minutes(1))
    sandbox.run(lambda: made.emulator.refunds.update({1001: [REFUND]}))
    return made


def pointed(shop: Shop, order: str = "1001", ident: Any = 726) -> Sequence[Found]:
    body = orjson.dumps({"order_id": order, "refund": LISTED | {"id": ident}})
    delivery = Delivery("1", "refund/told", NOW)
    assert isinstance(shop.source.normalise(delivery, body), Look)
    return shop.source.fetch(shop.api, delivery, body)


def test_where_the_shop_can_be_asked_the_refund_is_read_with_its_lines(shop: Shop) -> None:
    (found,) = pointed(shop)
    assert (found.delivery.type, found.delivery.order_ref) == ("refund/read", "1001")
    event = shop.source.normalise(found.delivery, found.body)
    assert isinstance(event, Event)
    assert event.refund is not None
    assert [each.ref for each in event.refund.lines] == ["1"]
    assert pointed(shop) == [found]


@pytest.mark.parametrize(("order", "ident"), [("1001", 999), ("5", 726)])
def test_a_refund_that_is_gone_is_nothing(shop: Shop, order: str, ident: int) -> None:
    assert pointed(shop, order, ident) == []


@pytest.mark.parametrize("ident", ["../1", "1?x=1", "٣", None])
def test_an_id_that_is_none_is_not_asked_for(shop: Shop, ident: Any) -> None:
    with pytest.raises(Rejected, match="no refund that could be asked for"):
        pointed(shop, ident=ident)


def test_a_key_that_is_refused_is_told(sandbox: RunningSandbox, shop: Shop) -> None:
    with pytest.raises(Unauthorized, match="WooCommerce answered 401"):
        pointed(Shop(sandbox, "cs_wrong"))


def test_a_missed_refund_is_found_with_its_order_under_the_id_of_the_webhook(shop: Shop) -> None:
    _, cursor = shop.walk(None, BEGAN)
    order, found = shop.walk(cursor, minutes(10))[0]
    assert (order.delivery.type, found.delivery.order_ref) == ("order.updated", "W-1001")
    _, (delivery, body) = stored(ORDER | {"refunds": [LISTED]})
    assert (found.delivery.id, found.delivery.type, found.body) == (delivery.id, delivery.type, body)


def test_a_source_without_credentials_has_nobody_to_ask() -> None:
    tried = WooCommerce(["s"], {"base_url": "https://shop.example", "consumer_key": KEY, "consumer_secret": "x"})
    _, (delivery, body) = stored(ORDER | {"refunds": [LISTED]})
    assert isinstance(tried.normalise(delivery, body), Look)
    with pytest.raises(NotInvoiceable, match="when it was made"):
        WooCommerce(["s"]).normalise(delivery, body)
