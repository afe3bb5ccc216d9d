"""Shopify's refunds: the webhook and the orders that are asked for tell each once, with what came back to the cent."""

import copy
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import orjson
import pytest

from connectors.model import Event, EventType
from connectors.sandbox.source_apis.shopify import ShopifyApi
from connectors.sources.base import NotInvoiceable
from connectors.sources.shopify import Shopify
from tests.contract.running import RunningSandbox
from tests.unit.test_sources_base import HOSTILE, paths, replaced
from tests.unit.test_sources_shopify import HEADERS, ORDER, normalised
from tests.unit.test_sources_shopify_asking import BEGAN, Shop, minutes

TOPIC = HEADERS | {"x-shopify-topic": "refunds/create"}
VAT = [{"title": "VAT", "rate": 0.2, "price": "1.59"}]


def money(amount: str, currency: str = "GBP") -> dict[str, Any]:
    return {"shop_money": {"amount": amount, "currency_code": currency}}


REFUND: dict[str, Any] = {
    "id": 929361466,
    "order_id": 5123456789012,
    "created_at": "2026-11-22T11:05:00+01:00",
    "note": "one had a scratch",
    "user_id": 548380009,
    "total_duties_set": money("0.00"),
    "refund_line_items": [
        {
            "id": 1,
            "line_item_id": 11,
            "quantity": 1,
            "subtotal": 42.65,
            "total_tax": 8.53,
            "subtotal_set": money("42.65"),
            "line_item": {"id": 11, "title": "Brass plaque", "fulfillable_quantity": 0, "tax_lines": VAT},
        }
    ],
    "order_adjustments": [
        {"id": 5, "amount": "-7.95", "tax_amount": "-1.59", "kind": "shipping_refund", "amount_set": money("-7.95")}
    ],
    "refund_shipping_lines": [
        {
            "subtotal_amount_set": money("7.95"),
            "shipping_line": {"title": "Royal Mail 48", "price": "7.95", "discounted_price": "7.95", "tax_lines": VAT},
        }
    ],
    "transactions": [{"id": 7, "kind": "refund", "status": "success", "amount": "60.72", "currency": "GBP"}],
}
"""Of one plaque and the shipping of an order whose prices are without tax."""


def refund(**changes: Any) -> dict[str, Any]:
    return copy.deepcopy(REFUND) | changes


def paid(amount: str, status: str = "success", currency: str = "GBP", **more: Any) -> dict[str, Any]:
    return {"kind": "refund", "status": status, "amount": amount, "currency": currency} | more


def told(document: Any, **options: Any) -> Event | None:
    tried, body = Shopify(["s"], options), orjson.dumps(document)
    ((delivery, stored),) = tried.deliveries(TOPIC, body)
    said = tried.normalise(delivery, stored)
    assert said is None or said.type is EventType.REFUND_CREATED
    return said


def given(document: Any, **options: Any) -> Any:
    event = told(document, **options)
    assert event is not None
    return event.refund


def test_what_came_back_is_told_line_by_line_with_shipping_and_the_money_that_was_paid() -> None:
    event = told(REFUND)
    assert event is not None
    assert (event.order, event.order_id) == (None, "5123456789012")
    assert event.occurred_at == datetime(2026, 11, 22, 10, 5, tzinfo=UTC)
    ours = event.refund
    assert ours is not None
    assert (ours.ref, ours.total, ours.reason) == ("929361466", Decimal("60.72"), "one had a scratch")
    ((line),) = ours.lines
    assert (line.ref, line.quantity, line.amount, line.tax) == ("11", 1, Decimal("42.65"), Decimal("8.53"))
    assert ours.shipping is not None
    assert ours.shipping.tax is not None
    assert (ours.shipping.amount, ours.shipping.tax.amount, ours.shipping.tax.rate) == (
        Decimal("7.95"), Decimal("1.59"), Decimal("20"),
    )  # fmt: skip


def test_one_refund_has_one_id_whatever_the_delivery_is_called_and_whatever_else_changed() -> None:
    tried = Shopify(["s"])
    later = refund(user_id=1)
    later["refund_line_items"][0]["line_item"]["fulfillable_quantity"] = 3
    kept = [
        tried.deliveries(TOPIC | {"x-shopify-webhook-id": name}, orjson.dumps(document))
        for name, document in (("a", REFUND), ("b", REFUND), ("c", later))
    ]
    assert kept[0] == kept[1] == kept[2]
    ((delivery, body),) = kept[0]
    assert (delivery.type, delivery.order_ref) == ("refunds/create", "5123456789012")
    assert b"Brass plaque" not in body


def test_prices_with_tax_are_told_by_the_rates_and_shipping_then_holds_its_tax() -> None:
    document: dict[str, Any] = refund(refund_line_items=[], transactions=[paid("9.54")])
    document["refund_shipping_lines"][0]["shipping_line"] |= {"price": "9.54", "discounted_price": "9.54"}
    shipping = given(document).shipping
    assert (shipping.amount, shipping.tax.amount) == (Decimal("9.54"), Decimal("1.59"))


def test_shipping_of_which_nobody_says_whether_its_price_holds_tax_stays_in_the_total() -> None:
    document = refund(refund_line_items=[], refund_shipping_lines=[], transactions=[paid("9.54")])
    assert (given(document).shipping, given(document).total) == (None, Decimal("9.54"))
    untaxed = [{"amount": "-7.95", "tax_amount": "0.00", "kind": "shipping_refund"}]
    assert given(document | {"order_adjustments": untaxed}).shipping.amount == Decimal("7.95")


def test_shipping_told_only_by_its_lines_counts_at_the_order_s_own_tax() -> None:
    shipping = given(refund(order_adjustments=[])).shipping
    assert (shipping.amount, shipping.tax) == (Decimal("7.95"), None)


def test_a_sum_given_back_out_of_goodwill_has_no_lines() -> None:
    difference = [{"amount": "-5.00", "tax_amount": "0.00", "kind": "refund_discrepancy"}]
    ours = given(
        refund(refund_line_items=[], refund_shipping_lines=[], order_adjustments=difference, transactions=[paid("5")])
    )
    assert (ours.lines, ours.shipping, ours.total) == ((), None, Decimal("5"))


def test_the_money_is_what_was_paid_back_whatever_the_lines_say() -> None:
    parts = [paid("20.00"), paid("30.00"), paid("10.72", "failure"), paid("1.00", kind="void")]
    assert given(refund(transactions=parts)).total == Decimal("50.00")


@pytest.mark.parametrize("transactions", [[], None, [paid("60.72", "failure")], [paid("0.00")]])
def test_a_refund_without_money_is_kept_for_the_record(transactions: Any) -> None:
    assert told(refund(transactions=transactions)) is None


def test_money_on_its_way_waits_for_the_next_question_or_for_a_person_where_nobody_can_be_asked() -> None:
    pending = refund(transactions=[paid("30.00"), paid("30.72", "pending")])
    assert told(pending, shop="engraver", access_token="t") is None
    with pytest.raises(NotInvoiceable, match="still on the way back") as refused:
        told(pending)
    assert (refused.value.type, refused.value.order_id) == (None, None), "it is held though its order is invoiced"


def test_the_money_of_a_test_order_counts_only_where_the_merchant_wants_it() -> None:
    document = refund(transactions=[paid("60.72", test=True)])
    assert told(document) is None
    assert given(document, test_orders=True).total == Decimal("60.72")


def test_money_in_the_customer_s_currency_is_told_in_the_shop_s() -> None:
    abroad = refund(transactions=[paid("70.44", currency="EUR")])
    assert given(abroad).total == Decimal("60.72")
    inside = copy.deepcopy(abroad)
    inside["refund_line_items"][0] |= {"subtotal": 51.18}
    assert given(inside).total == Decimal("60.72")


def test_money_in_another_currency_that_nobody_can_convert_is_held() -> None:
    abroad = refund(transactions=[paid("70.44", currency="EUR")], refund_shipping_lines=[])
    del abroad["refund_line_items"][0]["line_item"]
    with pytest.raises(NotInvoiceable, match=r"70.44 EUR were given back.* in GBP"):
        told(abroad)


def test_a_wrong_value_anywhere_is_refused_in_words_or_harmless() -> None:
    for path in paths(REFUND):
        for value in HOSTILE:
            with suppress(NotInvoiceable):
                told(replaced(REFUND, path, value))


def test_a_body_that_is_no_refund_is_stored_and_held() -> None:
    for document in (ORDER, {"id": 5}, [], None, 5):
        with pytest.raises(NotInvoiceable):
            told(document)


# -- asking ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def shop() -> Iterator[Shop]:
    running = RunningSandbox([ShopifyApi])
    yield Shop(running)
    running.close()


def test_a_missed_refund_is_found_under_the_id_of_its_webhook(shop: Shop) -> None:
    _, cursor = shop.walk(None, BEGAN)
    shop.put(7, minutes(40), refunds=[refund(order_id=7)])
    order, found = shop.walk(cursor, minutes(50))[0]
    ((delivery, body),) = shop.source.deliveries(TOPIC, orjson.dumps(refund(order_id=7)))
    assert (found.delivery.id, found.delivery.type, found.body) == (delivery.id, delivery.type, body)
    assert (order.delivery.type, found.delivery.order_ref) == ("orders/updated", "#7")
    event = shop.source.normalise(found.delivery, found.body)
    assert isinstance(event, Event)
    assert event.order_id == "7"


def test_money_that_was_on_its_way_is_found_once_it_has_arrived(shop: Shop) -> None:
    _, cursor = shop.walk(None, BEGAN)
    shop.put(7, minutes(10), refunds=[refund(transactions=[paid("60.72", "pending")])])
    (_, waiting), cursor = shop.walk(cursor, minutes(20))
    shop.put(7, minutes(30), refunds=[REFUND])
    (_, arrived), _ = shop.walk(cursor, minutes(40))
    assert shop.source.normalise(waiting.delivery, waiting.body) is None
    assert isinstance(shop.source.normalise(arrived.delivery, arrived.body), Event)
    assert waiting.delivery.id != arrived.delivery.id


def test_refunds_from_before_the_first_question_and_of_test_orders_are_not_told(shop: Shop) -> None:
    _, cursor = shop.walk(None, BEGAN)
    shop.put(7, minutes(40), refunds=[refund(created_at="2025-01-01T10:00:00Z")])
    shop.put(8, minutes(41), refunds=[REFUND], test=True)
    shop.put(9, minutes(42), refunds=[None, 5, {}, {"id": 3}])
    assert [each.delivery.type for each in shop.walk(cursor, minutes(50))[0]] == ["orders/updated"] * 3


def test_an_order_stays_as_it_was_placed_when_a_part_of_it_is_refunded() -> None:
    before = normalised(ORDER, "orders/updated").order
    after = copy.deepcopy(ORDER) | {
        "refunds": [REFUND],
        "financial_status": "partially_refunded",
        "current_total_price": "57.42",
        "current_subtotal_price": "47.85",
        "current_total_tax": "9.57",
    }
    after["line_items"][0] |= {"current_quantity": 1}
    now = normalised(after, "orders/updated").order
    assert before is not None
    assert now is not None
    assert now.hold is not None
    assert now.model_copy(update={"hold": None}) == before
