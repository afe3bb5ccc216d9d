"""Shopify's webhooks: what is stored, what becomes an order, and what is refused with which sentence."""

import copy
import re
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import orjson
import pytest

from connectors.model import Event, EventType
from connectors.sources.base import NotInvoiceable
from connectors.sources.delivery import Delivery
from connectors.sources.shopify import Shopify

HEADERS = {
    "x-shopify-topic": "orders/fulfilled",
    "x-shopify-webhook-id": "b54557e4-bdd9-4b37-8a5f-bf7d70bcd043",
    "x-shopify-triggered-at": "2026-11-22T11:00:00Z",
}
ADDRESS = {
    "company": "Analytical Engines Ltd",
    "first_name": "Ada",
    "last_name": "Lovelace",
    "address1": "12 St James's Square",
    "city": "London",
    "zip": "SW1Y 4JH",
    "country_code": "GB",
}
ORDER: dict[str, Any] = {
    "id": 5123456789012,
    "name": "#1001",
    "email": "ada@example.com",
    "currency": "GBP",
    "presentment_currency": "GBP",
    "taxes_included": False,
    "test": False,
    "cancelled_at": None,
    "financial_status": "paid",
    "fulfillment_status": "fulfilled",
    "created_at": "2026-11-20T09:00:00+00:00",
    "updated_at": "2026-11-22T10:59:58Z",
    "subtotal_price": "90.50",
    "total_discounts": "5.00",
    "total_tax": "19.69",
    "total_price": "118.14",
    "line_items": [
        {
            "id": 11,
            "sku": "PLQ-BR",
            "title": "Brass plaque, engraved",
            "quantity": 2,
            "price": "45.00",
            "discount_allocations": [{"amount": "4.71"}],
            "tax_lines": [{"title": "VAT", "rate": 0.2, "price": "17.06"}],
            "properties": [{"name": "Engraving", "value": "To Ada, 1843"}, {"name": "_plan", "value": "7"}],
        },
        {
            "id": 12,
            "sku": "TAG-ST",
            "title": "Steel tag",
            "quantity": 1,
            "price": "5.50",
            "discount_allocations": [{"amount": "0.29"}],
            "tax_lines": [{"title": "VAT", "rate": 0.2, "price": "1.04"}],
        },
    ],
    "shipping_lines": [
        {"title": "Royal Mail 48", "price": "7.95", "tax_lines": [{"title": "VAT", "rate": 0.2, "price": "1.59"}]}
    ],
    "customer": {"id": 77, "first_name": "Ada", "last_name": "Lovelace", "email": "ada@example.com"},
    "billing_address": ADDRESS,
    "fulfillments": [{"id": 31, "order_id": 5123456789012, "status": "success", "tracking_company": "Royal Mail"}],
}


def order(**changes: Any) -> dict[str, Any]:
    return copy.deepcopy(ORDER) | changes


def normalised(document: dict[str, Any], topic: str = "orders/fulfilled", **options: Any) -> Event:
    tried, body = Shopify(["s"], options), orjson.dumps(document)
    event = tried.normalise(tried.receive(HEADERS | {"x-shopify-topic": topic}, body), body)
    assert event is not None
    return event


def refusal(document: dict[str, Any], topic: str = "orders/fulfilled") -> NotInvoiceable:
    with pytest.raises(NotInvoiceable) as refused:
        normalised(document, topic)
    return refused.value


def test_the_inbox_knows_topic_delivery_time_and_order() -> None:
    assert Shopify(["s"]).receive(HEADERS, orjson.dumps(ORDER)) == Delivery(
        id="orders/fulfilled:b54557e4-bdd9-4b37-8a5f-bf7d70bcd043",
        type="orders/fulfilled",
        occurred_at=datetime(2026, 11, 22, 10, 59, 58, tzinfo=UTC),
        order_ref="#1001",
    )


def test_without_a_webhook_id_the_body_is_the_key() -> None:
    headers = {"x-shopify-topic": "orders/updated"}
    ids = {Shopify(["s"]).receive(headers, orjson.dumps(order(note=note))).id for note in ("a", "b", "a")}
    assert len(ids) == 2


def test_the_example_order_becomes_an_event_to_the_cent() -> None:
    event = normalised(ORDER)
    ours = event.order
    assert (event.type, event.occurred_at) == (
        EventType.ORDER_FULFILLED,
        datetime(2026, 11, 22, 10, 59, 58, tzinfo=UTC),
    )
    assert (ours.id, ours.ref, ours.currency) == ("5123456789012", "#1001", "GBP")
    assert (ours.total, ours.computed_total(), ours.tax_total()) == (
        Decimal("118.14"),
        Decimal("118.14"),
        Decimal("19.69"),
    )
    assert [line.amount("GBP") for line in ours.lines] == [Decimal("85.29"), Decimal("5.21")]
    assert ours.lines[0].tax is not None
    assert (ours.lines[0].tax.name, str(ours.lines[0].tax.rate)) == ("VAT", "20")
    assert ours.lines[0].attributes == {"Engraving": "To Ada, 1843"}
    assert (ours.customer.ref, ours.customer.name, ours.customer.email) == ("77", "Ada Lovelace", "ada@example.com")
    assert ours.customer.display_name == "Analytical Engines Ltd"
    assert ours.billing_address is not None
    assert ours.billing_address.country == "GB"


@pytest.mark.parametrize(
    ("topic", "expected"),
    [
        ("orders/updated", EventType.ORDER_UPDATED),
        ("orders/partially_fulfilled", EventType.ORDER_UPDATED),
        ("orders/cancelled", EventType.ORDER_CANCELLED),
    ],
)
def test_other_topics_of_an_order_are_told_even_when_it_is_not_owed(topic: str, expected: EventType) -> None:
    assert normalised(order(fulfillment_status=None, financial_status="voided"), topic).type is expected


def test_every_topic_of_a_cancelled_order_says_that_it_was_cancelled() -> None:
    for topic in ("orders/updated", "orders/paid", "orders/cancelled"):
        assert normalised(order(cancelled_at="2026-11-22T10:00:00Z"), topic).type is EventType.ORDER_CANCELLED


def test_a_test_order_is_not_even_told_unless_the_options_allow_it() -> None:
    body = orjson.dumps(order(test=True))
    for topic in ("orders/create", "orders/updated", "orders/cancelled"):
        tried = Shopify(["s"])
        assert tried.normalise(tried.receive(HEADERS | {"x-shopify-topic": topic}, body), body) is None
        assert normalised(order(test=True), topic, test_orders=True).order is not None


@pytest.mark.parametrize("topic", ["fulfillments/create", "fulfillments/update", "products/update"])
def test_what_is_no_whole_order_is_kept_and_changes_nothing(topic: str) -> None:
    body = orjson.dumps({"id": 31, "order_id": 5123456789012, "name": "#1001.1", "tracking_number": "RM123456789GB"})
    tried = Shopify(["s"])
    delivery = tried.receive(HEADERS | {"x-shopify-topic": topic}, body)
    assert tried.normalise(delivery, body) is None
    if topic.startswith("fulfillments/"):
        assert delivery.order_ref == "5123456789012"


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"test": True}, "Shopify order #1001: it is a test order"),
        ({"cancelled_at": "2026-11-22T10:00:00Z"}, "it was cancelled in the shop at 2026-11-22T10:00:00Z"),
        ({"fulfillment_status": "partial"}, "its fulfillment_status is “partial”, not “fulfilled”"),
        ({"fulfillment_status": None}, "its fulfillment_status is “unfulfilled”"),
        ({"financial_status": "voided"}, "its financial_status is “voided”, so it is not owed in full"),
        ({"financial_status": "refunded"}, "its financial_status is “refunded”"),
        ({"current_total_price": "112.64"}, "its total was 118.14 GBP and is now 112.64, a difference of -5.50"),
        ({"total_price": "118.15"}, "total 118.15 differs from the sum of lines, discount, shipping and tax by 0.01"),
        ({"total_tax": "19.70"}, "tax of the order is 19.70 GBP, but .* sum up to 19.69, a difference of 0.01"),
        ({"currency": "XYZ"}, "currency is not an ISO 4217 currency code"),
        ({"line_items": []}, "lines must hold at least one line"),
        ({"updated_at": "yesterday"}, "updated_at is not a time"),
        ({"total_price": "lots"}, r"total_price is not an amount; write it as text, like \"12.50\""),
        ({"line_items": None, "total_price": None}, "total_price is not an amount.*"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_is_not_owed_or_does_not_add_up_is_refused_with_a_sentence(changes: dict[str, Any], sentence: str) -> None:
    refused = refusal(order(**changes))
    assert re.search(sentence, refused.reason), refused.reason
    assert refused.reason.startswith("Shopify order #1001: ")
    assert (refused.type, refused.order_id) == (EventType.ORDER_FULFILLED, "5123456789012")


def test_a_wrong_field_is_named_as_shopify_names_it() -> None:
    document = order()
    del document["line_items"][1]["price"]
    assert refusal(document).reason == "Shopify order #1001: line_items.1.price is missing"


def test_a_delivery_without_topic_is_refused_not_forgotten() -> None:
    assert "X-Shopify-Topic was missing" in refusal(ORDER, topic="").reason


def test_test_orders_are_invoiced_where_the_merchant_wants_it() -> None:
    assert normalised(order(test=True), test_orders=True).order.total == Decimal("118.14")


def test_prices_with_tax_stay_prices_with_tax() -> None:
    line = {
        "id": 1,
        "title": "Sign",
        "quantity": 1,
        "price": "12.00",
        "tax_lines": [{"title": "VAT", "rate": 0.2, "price": "2.00"}],
    }
    ours = normalised(
        order(taxes_included=True, line_items=[line], shipping_lines=[], total_tax="2.00", total_price="12.00")
    ).order
    assert (ours.tax_included, ours.total, ours.tax_total()) == (True, Decimal("12.00"), Decimal("2.00"))


def test_several_taxes_on_a_line_become_one() -> None:
    taxes = [{"title": "GST", "rate": 0.05, "price": "0.50"}, {"title": "QST", "rate": 0.09975, "price": "1.00"}]
    line = {"id": 1, "title": "Sign", "quantity": 1, "price": "10.00", "tax_lines": taxes}
    tax = (
        normalised(order(line_items=[line], shipping_lines=[], total_tax="1.50", total_price="11.50"))
        .order.lines[0]
        .tax
    )
    assert tax is not None
    assert (tax.name, str(tax.rate), tax.amount) == ("GST + QST", "14.975", Decimal("1.50"))


def test_a_rate_that_binary_fractions_cannot_hold_is_read_as_written() -> None:
    line = {
        "id": 1,
        "title": "Sign",
        "quantity": 1,
        "price": "10.00",
        "tax_lines": [{"title": "T", "rate": 0.07, "price": "0.70"}],
    }
    tax = (
        normalised(order(line_items=[line], shipping_lines=[], total_tax="0.70", total_price="10.70"))
        .order.lines[0]
        .tax
    )
    assert tax is not None
    assert str(tax.rate) == "7"


def test_free_shipping_is_no_charge() -> None:
    free = [
        {"title": "Free", "price": "7.95", "discounted_price": "0.00", "discount_allocations": [{"amount": "7.95"}]}
    ]
    assert normalised(order(shipping_lines=free, total_tax="18.10", total_price="108.60")).order.shipping is None
    assert normalised(order(shipping_lines=[], total_tax="18.10", total_price="108.60")).order.shipping is None


def test_discounted_shipping_counts_at_its_discounted_price() -> None:
    half = [{"title": "Courier", "price": "10.00", "discounted_price": "5.00", "tax_lines": []}]
    ours = normalised(order(shipping_lines=half, total_tax="18.10", total_price="113.60")).order
    assert ours.shipping is not None
    assert ours.shipping.amount == Decimal("5.00")


def test_a_second_shipping_line_becomes_a_line_and_a_removed_one_nothing() -> None:
    shipping = [
        *ORDER["shipping_lines"],
        {"title": "Bulky goods", "price": "3.00", "tax_lines": []},
        {"title": "Old choice", "price": "99.00", "is_removed": True},
    ]
    ours = normalised(order(shipping_lines=shipping, total_price="121.14")).order
    assert (ours.lines[-1].ref, ours.lines[-1].description) == ("shipping-2", "Bulky goods")


def test_an_order_paid_in_another_currency_is_read_in_the_shops() -> None:
    document = order(presentment_currency="EUR", total_price_set={"presentment_money": {"amount": "141.77"}})
    assert (normalised(document).order.currency, normalised(document).order.total) == ("GBP", Decimal("118.14"))


def test_a_customer_of_whom_little_is_known_is_still_a_customer() -> None:
    ours = normalised(
        order(customer=None, email="", contact_email=None, billing_address=None, shipping_address=None)
    ).order
    assert (ours.customer.ref, ours.customer.email, ours.customer.display_name) == (None, None, "Customer")
    shipped = normalised(order(customer=None, email=None, billing_address=None, shipping_address=ADDRESS)).order
    assert (shipped.customer.name, shipped.customer.company) == ("Ada Lovelace", "Analytical Engines Ltd")
