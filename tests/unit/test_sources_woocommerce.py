"""WooCommerce's webhooks: what is stored, what becomes an order, and what is refused with which sentence."""

import base64
import copy
import hashlib
import hmac
import re
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import orjson
import pytest

from connectors.model import Event, EventType
from connectors.sources.base import NotInvoiceable
from connectors.sources.reading import unit_price
from connectors.sources.woocommerce import WooCommerce

HEADERS = {"x-wc-webhook-topic": "order.updated", "x-wc-webhook-delivery-id": "b1946ac92492d2347c6235b4d2611184"}
ORDER: dict[str, Any] = {
    "id": 1001,
    "number": "W-1001",
    "order_key": "wc_order_h3x",
    "status": "completed",
    "currency": "GBP",
    "prices_include_tax": False,
    "discount_total": "5.00",
    "shipping_total": "7.95",
    "shipping_tax": "1.59",
    "total_tax": "19.69",
    "total": "118.14",
    "customer_id": 77,
    "date_modified_gmt": "2026-11-22T10:59:58",
    "date_completed_gmt": "2026-11-22T10:59:58",
    "billing": {
        "first_name": "Ada",
        "last_name": "Lovelace",
        "company": "Analytical Engines Ltd",
        "address_1": "12 St James's Square",
        "city": "London",
        "postcode": "SW1Y 4JH",
        "country": "GB",
        "email": "ada@example.com",
    },
    "line_items": [
        {
            "id": 1,
            "name": "Brass plaque, engraved",
            "product_id": 55,
            "sku": "PLQ-BR",
            "quantity": 2,
            "subtotal": "90.00",
            "total": "85.29",
            "total_tax": "17.06",
            "price": 42.645,
            "meta_data": [{"id": 1, "key": "Engraving", "value": "To Ada"}, {"id": 2, "key": "_stock", "value": "1"}],
        },
        {
            "id": 2,
            "name": "Steel tag",
            "product_id": 56,
            "sku": "TAG-ST",
            "quantity": 1,
            "subtotal": "5.50",
            "total": "5.21",
            "total_tax": "1.04",
            "price": 5.21,
        },
    ],
    "shipping_lines": [{"id": 3, "method_title": "Royal Mail 48", "total": "7.95", "total_tax": "1.59"}],
    "coupon_lines": [{"code": "thanks5", "discount": "5.00", "discount_tax": "1.00"}],
    "tax_lines": [{"label": "VAT", "rate_percent": 20, "tax_total": "18.10", "shipping_tax_total": "1.59"}],
}


def order(**changes: Any) -> dict[str, Any]:
    return copy.deepcopy(ORDER) | changes


def line(**changes: Any) -> dict[str, Any]:
    return {
        "id": 9,
        "name": "Sign",
        "quantity": 1,
        "subtotal": "10.00",
        "total": "10.00",
        "total_tax": "0.00",
    } | changes


def alone(item: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """An order of nothing but this item."""
    total = Decimal(item["total"]) + Decimal(item["total_tax"])
    return order(
        **({"line_items": [item], "shipping_lines": [], "total_tax": item["total_tax"], "total": str(total)} | changes)
    )


def normalised(document: dict[str, Any], topic: str = "order.updated", **options: Any) -> Event:
    tried, body = WooCommerce(["s"], options), orjson.dumps(document)
    event = tried.normalise(tried.receive(HEADERS | {"x-wc-webhook-topic": topic}, body), body)
    assert event is not None
    return event


def refusal(document: dict[str, Any], topic: str = "order.updated") -> NotInvoiceable:
    with pytest.raises(NotInvoiceable) as refused:
        normalised(document, topic)
    return refused.value


def test_the_ping_of_a_new_webhook_is_a_handshake_and_nothing_else_is() -> None:
    woo = WooCommerce(["s"])
    assert woo.handshake({"content-type": "application/x-www-form-urlencoded"}, b"webhook_id=12")
    assert not woo.handshake({"x-wc-webhook-signature": "x"}, b"webhook_id=12")
    for body in (b"", b"webhook_id=", b"webhook_id=1&x=2", b"webhook_id=1\n", b"xwebhook_id=1", b'{"webhook_id":1}'):
        assert not woo.handshake({}, body)


def test_a_secret_copied_with_html_entities_is_the_decoded_one() -> None:
    body = b"{}"
    signature = base64.b64encode(hmac.new(b"a&b", body, hashlib.sha256).digest()).decode()
    for secret in ("a&b", "a&amp;b"):
        WooCommerce([secret]).verify({"x-wc-webhook-signature": signature}, body, datetime.now(UTC))


def test_the_inbox_tells_two_saves_within_a_second_apart() -> None:
    woo = WooCommerce(["s"])
    first, second = (woo.receive(HEADERS, orjson.dumps(order(customer_note=note))) for note in ("a", "b"))
    assert first.id != second.id
    assert first.id == woo.receive(HEADERS, orjson.dumps(order(customer_note="a"))).id
    assert first.id.startswith("1001:completed:2026-11-22T10:59:58:")
    assert first.type == "order.updated"
    assert first.occurred_at == datetime(2026, 11, 22, 10, 59, 58, tzinfo=UTC)
    assert first.order_ref == "W-1001"


def test_the_example_order_becomes_an_event_to_the_cent() -> None:
    event = normalised(ORDER)
    ours = event.order
    assert (event.type, event.occurred_at) == (
        EventType.ORDER_COMPLETED,
        datetime(2026, 11, 22, 10, 59, 58, tzinfo=UTC),
    )
    assert (ours.id, ours.ref, ours.tax_included) == ("1001", "W-1001", False)
    assert (ours.total, ours.tax_total()) == (Decimal("118.14"), Decimal("19.69"))
    assert [(each.unit_price, each.discount) for each in ours.lines] == [
        (Decimal("45.00"), Decimal("4.71")),
        (Decimal("5.50"), Decimal("0.29")),
    ]
    assert ours.lines[0].tax is not None
    assert (ours.lines[0].tax.name, str(ours.lines[0].tax.rate)) == ("VAT", "20")
    assert ours.lines[0].attributes == {"Engraving": "To Ada"}
    assert (ours.customer.ref, ours.customer.display_name) == ("77", "Analytical Engines Ltd")


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ("completed", EventType.ORDER_COMPLETED),
        ("processing", EventType.ORDER_UPDATED),
        ("refunded", EventType.ORDER_UPDATED),
        ("shipped", EventType.ORDER_UPDATED),
        ("cancelled", EventType.ORDER_CANCELLED),
        ("trash", EventType.ORDER_CANCELLED),
    ],
)
def test_the_status_says_what_happened(status: str, expected: EventType) -> None:
    assert normalised(order(status=status)).type is expected


def test_what_was_refunded_before_is_told_with_what_a_person_must_decide() -> None:
    told = normalised(order(status="processing", refunds=[{"id": 5, "reason": "", "total": "-10.00"}])).order
    assert told is not None
    assert told.hold == "10.00 GBP of it were refunded, so it is not owed in full"


def test_a_status_of_a_plugin_can_mean_completed() -> None:
    event = normalised(order(status="shipped"), completed_statuses=["completed", "shipped"])
    assert event.type is EventType.ORDER_COMPLETED


@pytest.mark.parametrize("topic", ["order.deleted", "product.updated", "customer.created"])
def test_what_is_no_whole_order_is_kept_and_changes_nothing(topic: str) -> None:
    tried, body = WooCommerce(["s"]), b'{"id": 1001}'
    assert tried.normalise(tried.receive({"x-wc-webhook-topic": topic}, body), body) is None


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"total": "118.15"}, "total 118.15 differs from the sum of lines, discount, shipping and tax by 0.01"),
        ({"total_tax": "19.70"}, r"sum up to 19.69, a difference of 0.01 \(WooCommerce's setting “round tax"),
        ({"refunds": [{"id": 5, "reason": "", "total": "-10.00"}]}, "10.00 GBP of it were refunded"),
        ({"tax_lines": []}, "item 1 has 17.06 GBP of tax, but its rate is not in tax_lines"),
        ({"tax_lines": [{"label": "VAT"}]}, "its rate is not in tax_lines"),
        ({"line_items": []}, "lines must hold at least one line"),
        ({"date_modified_gmt": None}, "date_modified_gmt is not a time"),
        ({"currency": ""}, "currency"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_is_not_owed_or_does_not_add_up_is_refused_with_a_sentence(changes: dict[str, Any], sentence: str) -> None:
    refused = refusal(order(**changes))
    assert re.search(sentence, refused.reason), refused.reason
    assert refused.reason.startswith("WooCommerce order W-1001: ")
    assert (refused.type, refused.order_id) == (EventType.ORDER_COMPLETED, "1001")


def test_a_delivery_without_topic_is_refused_not_forgotten() -> None:
    assert "X-WC-Webhook-Topic was missing" in refusal(ORDER, topic="").reason


@pytest.mark.parametrize(
    ("subtotal", "quantity", "price"),
    [
        ("90.00", "2", "45.00"),
        ("10.00", "3", "3.333"),
        ("100.00", "7", "14.286"),
        ("0.01", "3", "0.003"),
        ("0.00", "5", "0.00"),
    ],
)
def test_a_unit_price_has_as_few_decimals_as_give_the_subtotal(subtotal: str, quantity: str, price: str) -> None:
    assert unit_price(Decimal(subtotal), Decimal(quantity), "GBP") == Decimal(price)


@pytest.mark.parametrize("quantity", [1, 3, 7, 13, 999, 12_345, 1_000_000])
def test_any_subtotal_is_kept_to_the_cent(quantity: int) -> None:
    for subtotal in ("0.01", "9.99", "33.33", "100.00", "98765.43"):
        ours = normalised(alone(line(quantity=quantity, subtotal=subtotal, total=subtotal))).order
        assert ours.lines[0].amount("GBP") == Decimal(subtotal)


def test_a_total_above_the_subtotal_is_no_negative_discount() -> None:
    ours = normalised(alone(line(subtotal="10.00", total="12.00"))).order
    assert (ours.lines[0].unit_price, ours.lines[0].discount) == (Decimal("12.00"), Decimal(0))


def test_prices_entered_with_tax_are_still_told_without() -> None:
    assert normalised(order(prices_include_tax=True)).order.tax_included is False


def test_each_line_has_the_rates_that_its_taxes_name() -> None:
    rates = [
        {"rate_id": 1, "label": "VAT", "rate_percent": 20},
        {"rate_id": 2, "label": "Reduced", "rate_percent": 5},
        {"rate_id": 3, "label": "Zero", "rate_percent": 0},
    ]
    lines = [
        line(id=1, total_tax="2.00", taxes=[{"id": 1, "total": "2"}, {"id": 2, "total": ""}]),
        line(id=2, total_tax="0.50", taxes=[{"id": 2, "total": "0.5"}]),
        line(id=3, taxes=[{"id": 3, "total": "0"}]),
        line(id=4, taxes=[]),
    ]
    ours = normalised(
        order(line_items=lines, shipping_lines=[], tax_lines=rates, total_tax="2.50", total="42.50")
    ).order
    assert [each.tax and str(each.tax.rate) for each in ours.lines] == ["20", "5", "0", None]


@pytest.mark.parametrize(("compound", "rate"), [(False, "14.975"), (True, "15.47375")])
def test_several_taxes_on_a_line_become_one(compound: bool, rate: str) -> None:
    rates = [
        {"rate_id": 2, "label": "QST", "rate_percent": 9.975, "compound": compound},
        {"rate_id": 1, "label": "GST", "rate_percent": 5},
    ]
    item = line(total_tax="1.50", taxes=[{"id": 1, "total": "0.5"}, {"id": 2, "total": "1"}])
    tax = normalised(alone(item, tax_lines=rates)).order.lines[0].tax
    assert tax is not None
    assert (tax.name, str(tax.rate), tax.amount) == ("GST + QST", rate, Decimal("1.50"))


def test_rates_beyond_all_arithmetic_are_refused_in_words() -> None:
    rates = [{"rate_id": each, "rate_percent": "9" * 14, "compound": True} for each in (1, 2)]
    item = line(total_tax="1.50", taxes=[{"id": 1, "total": "0.5"}, {"id": 2, "total": "1"}])
    assert (
        refusal(alone(item, tax_lines=rates)).reason == "WooCommerce order W-1001: one of its amounts is absurdly large"
    )


def test_a_fee_is_a_line_and_a_negative_one_the_order_discount() -> None:
    plus = {"id": 21, "name": "Gift wrap", "total": "3.00", "total_tax": "0.60"}
    minus = {"id": 22, "name": "Loyalty", "total": "-5.00", "total_tax": "-1.00"}
    ours = normalised(order(fee_lines=[plus, minus], total_tax="19.29", total="115.74")).order
    assert (ours.lines[-1].description, ours.lines[-1].unit_price) == ("Gift wrap", Decimal("3.00"))
    assert ours.discount is not None
    assert ours.discount.tax is not None
    assert (ours.discount.description, ours.discount.amount, ours.discount.tax.amount) == ("Loyalty", 5, 1)
    assert "2 negative fees" in refusal(order(fee_lines=[minus, minus])).reason


def test_a_second_shipping_line_becomes_a_line_and_free_shipping_nothing() -> None:
    second = {"id": 4, "method_title": "Bulky goods", "total": "3.00", "total_tax": "0.60"}
    free = {"id": 5, "method_title": "Collection", "total": "0.00", "total_tax": "0.00"}
    shipping = [free, *ORDER["shipping_lines"], second]
    ours = normalised(order(shipping_lines=shipping, total_tax="20.29", total="121.74")).order
    assert ours.shipping is not None
    assert (ours.shipping.description, ours.lines[-1].description) == ("Royal Mail 48", "Bulky goods")
    assert normalised(order(shipping_lines=[free], total_tax="18.10", total="108.60")).order.shipping is None


def test_a_guest_has_no_reference_and_may_have_no_name() -> None:
    assert normalised(order(customer_id=0)).order.customer.ref is None
    nobody = normalised(order(customer_id=0, billing={"email": "", "country": ""})).order
    assert (nobody.customer.display_name, nobody.billing_address) == ("Customer", None)
