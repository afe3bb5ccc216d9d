"""BigCommerce's orders: which status asks for the invoice, and amounts that add up to the cent."""

import contextlib
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.model import Event, EventType, Order
from connectors.sources.base import MalformedBody, NotInvoiceable
from connectors.sources.bigcommerce import BigCommerce
from connectors.sources.delivery import Delivery
from tests.unit.bigcommerce_bodies import DOCUMENT, PLAQUE, TAG, TAXES, told

NOW = datetime.fromtimestamp(1795345198, UTC)


def event(document: dict[str, Any], **options: Any) -> Event:
    said = BigCommerce([], options).normalise(Delivery("1", "order", NOW), orjson.dumps(document))
    assert isinstance(said, Event)
    return said


def order(document: dict[str, Any]) -> Order:
    made = event(document).order
    assert made is not None
    return made


def refusal(document: dict[str, Any]) -> str:
    with pytest.raises(NotInvoiceable) as refused:
        event(document)
    assert refused.value.order_id == "1001"
    return refused.value.reason


class TestStatus:
    @pytest.mark.parametrize(
        ("status", "type_"),
        [
            (2, EventType.ORDER_FULFILLED),
            (10, EventType.ORDER_COMPLETED),
            (5, EventType.ORDER_CANCELLED),
            (6, EventType.ORDER_CANCELLED),
            *((other, EventType.ORDER_UPDATED) for other in (1, 3, 4, 7, 8, 9, 11, 12, 13, 14)),
        ],
    )
    def test_each_status_has_its_event(self, status, type_):
        assert event(told(status_id=status)).type is type_

    def test_an_order_that_was_not_placed_is_none(self):
        body = orjson.dumps(told(status_id=0))
        assert BigCommerce([]).normalise(Delivery("1", "order", NOW), body) is None

    def test_a_deleted_order_is_cancelled(self):
        assert event(told(is_deleted=True)).type is EventType.ORDER_CANCELLED

    def test_the_merchant_may_choose_what_asks_for_the_invoice(self):
        assert event(told(status_id=2), fulfilled_statuses=[10]).type is EventType.ORDER_UPDATED
        assert event(told(status_id=9), fulfilled_statuses=[9]).type is EventType.ORDER_COMPLETED

    def test_it_happened_when_the_order_was_changed(self):
        assert event(DOCUMENT).occurred_at == datetime(2026, 11, 22, 10, 59, 50, tzinfo=UTC)
        assert event(told(date_modified="")).occurred_at == NOW

    def test_what_was_refunded_is_not_owed_in_full(self):
        assert "10 GBP of it were refunded" in refusal(told(refunded_amount="10.0000"))
        before = event(told(refunded_amount="10.0000", status_id=14))
        assert before.type is EventType.ORDER_UPDATED
        assert before.order.hold == "10 GBP of it were refunded, so it is not owed in full"


class TestTheOrder:
    def test_who_what_and_where(self):
        ours = order(DOCUMENT)
        assert (ours.id, ours.ref, ours.currency, ours.total) == ("1001", "1001", "GBP", Decimal("118.14"))
        assert ours.placed_at == datetime(2026, 11, 21, 9, tzinfo=UTC)
        assert (ours.customer.ref, ours.customer.company) == ("77", "Analytical Engines Ltd")
        assert ours.billing_address.city == "London"
        assert ours.shipping_address.city == "Bath"
        assert ours.channel == "www"
        assert ours.lines[0].attributes == {"Engraving": "To Ada"}
        [parcel] = ours.shipments
        assert (parcel.ref, parcel.carrier, parcel.tracking_number) == ("31", "royal-mail", "RM123456789GB")
        assert [(each.ref, each.quantity) for each in parcel.lines] == [("65", Decimal(2))]

    def test_a_guest_has_no_reference(self):
        assert order(told(customer_id=0)).customer.ref is None

    def test_taxes_before_the_discount_make_it_the_orders(self):
        ours = order(DOCUMENT)
        assert [(each.sku, each.unit_price, each.discount, each.tax.amount) for each in ours.lines] == [
            ("PLQ-BR", Decimal(45), Decimal(0), Decimal("18.00")),
            ("TAG-ST", Decimal("5.5"), Decimal(0), Decimal("1.10")),
        ]
        assert (ours.discount.amount, ours.discount.tax.amount, ours.discount.tax.rate) == (5, 1, 20)
        assert (ours.shipping.amount, ours.shipping.tax.amount) == (Decimal("7.95"), Decimal("1.59"))
        assert ours.shipping.description == "Courier"

    def test_taxes_after_the_discount_make_it_the_lines(self):
        plaque = PLAQUE | {"total_inc_tax": "107.0000", "total_tax": "17.0000"}
        ours = order(DOCUMENT | {"products": [plaque, TAG]})
        assert ours.discount is None
        assert [(each.discount, each.tax.amount) for each in ours.lines] == [(5, 17), (0, Decimal("1.10"))]
        assert ours.tax_total() == Decimal("19.69")

    def test_a_discount_after_which_no_line_can_be_taxed_is_told(self):
        plaque = PLAQUE | {"total_inc_tax": "107.0000", "total_tax": "17.0000", "applied_discounts": []}
        assert "5.00 GBP were taken off the order" in refusal(DOCUMENT | {"products": [plaque, TAG]})

    def test_on_an_order_of_one_line_the_discount_is_that_lines(self):
        plaque = PLAQUE | {"total_inc_tax": "107.0000", "total_tax": "17.0000", "applied_discounts": []}
        changed = told(total_ex_tax="92.9500", total_tax="18.5900", total_inc_tax="111.5400")
        [line] = order(changed | {"products": [plaque]}).lines
        assert line.discount == 5

    def test_prices_entered_with_tax_are_read_with_tax(self):
        """Three for 10.00 with 20 % in it: the column without tax is an estimate."""
        product = TAG | {"quantity": 3, "price_ex_tax": "2.7778", "price_inc_tax": "3.3333", "total_ex_tax": "8.3333",
                         "total_inc_tax": "10.0000", "total_tax": "1.6667"}  # fmt: skip
        changed = told(
            is_tax_inclusive_pricing=True, discount_amount="0.0000", shipping_cost_ex_tax="4.1667",
            shipping_cost_inc_tax="5.0000", shipping_cost_tax="0.8333",
            total_ex_tax="12.5000", total_tax="2.5000", total_inc_tax="15.0000",
        )  # fmt: skip
        ours = order(changed | {"products": [product], "taxes": TAXES[1:]})
        assert ours.tax_included
        assert (ours.lines[0].unit_price, ours.lines[0].amount("GBP")) == (Decimal("3.3333"), 10)
        assert ours.tax_total() == Decimal("2.50")
        assert ours.total == 15

    def test_a_discount_stated_with_tax_is_understood(self):
        plaque = PLAQUE | {"applied_discounts": [{"amount": "6.0000"}], "total_tax": "17.0000"}
        ours = order(told(discount_amount="6.0000") | {"products": [plaque, TAG]})
        assert ours.lines[0].discount == 5

    def test_coupons_count_as_discounts(self):
        assert order(told(discount_amount="2.0000", coupon_discount="3.0000")).discount.amount == 5

    def test_handling_wrapping_and_fees_are_lines(self):
        more = {"handling_cost_ex_tax": "2.0000", "handling_cost_inc_tax": "2.4000", "handling_cost_tax": "0.4000",
                "wrapping_cost_ex_tax": "1.0000", "wrapping_cost_inc_tax": "1.2000", "wrapping_cost_tax": "0.2000",
                "total_ex_tax": "105.4500", "total_tax": "21.0900", "total_inc_tax": "126.5400",
                "fees": [{"id": 9, "display_name_customer": "Insurance", "cost_exc_tax": "4.0000",
                          "cost_inc_tax": "4.8000", "cost_tax": "0.8000"}]}  # fmt: skip
        ours = order(told(**more))
        assert [(each.ref, each.description, each.unit_price, each.tax.rate) for each in ours.lines[2:]] == [
            ("handling", "Handling", 2, 20),
            ("wrapping", "Gift wrapping", 1, 20),
            ("fee-9", "Insurance", 4, 20),
        ]

    def test_an_order_without_tax_has_none(self):
        free = [each | {"total_inc_tax": each["total_ex_tax"], "total_tax": "0.0000"} for each in (PLAQUE, TAG)]
        changed = told(total_tax="0.0000", total_inc_tax="98.4500", shipping_cost_tax="0", shipping_cost_inc_tax="7.95")
        ours = order(changed | {"products": free, "taxes": []})
        assert (ours.tax_total(), ours.total) == (0, Decimal("98.45"))
        assert all(each.tax is None for each in ours.lines)

    def test_two_taxes_on_a_line_are_one_with_both_rates(self):
        city = TAXES[0] | {"id": 4, "name": "City", "rate": "5.0000"}
        ours = order(DOCUMENT | {"taxes": [*TAXES, city], "products": [PLAQUE | {"total_tax": "22.5"}, TAG]} | told(
            discount_amount="0", total_ex_tax="103.45", total_tax="25.19", total_inc_tax="128.64"
        ) | {"taxes": [*TAXES, city], "products": [PLAQUE | {"total_tax": "22.5"}, TAG]})  # fmt: skip
        assert (ours.lines[0].tax.rate, ours.lines[0].tax.name) == (25, "VAT + City")

    def test_a_rate_of_the_order_serves_where_the_rows_name_no_lines(self):
        ours = order(DOCUMENT | {"taxes": [{"id": 1, "name": "VAT", "rate": "20.0000", "priority": 0}]})
        assert {each.tax.rate for each in ours.lines} == {20}

    def test_a_tax_without_a_rate_is_told(self):
        assert "'Brass plaque, engraved' has 18.00 GBP of tax" in refusal(DOCUMENT | {"taxes": []})

    def test_the_thousandths_do_not_get_lost(self):
        thirds = [
            TAG | {"id": n, "price_ex_tax": "0.3333", "total_ex_tax": "0.3333", "total_inc_tax": "0.4000",
                   "total_tax": "0.0667"} for n in range(1, 4)
        ]  # fmt: skip
        rows = [TAXES[0] | {"order_product_id": str(n)} for n in range(1, 4)]
        changed = told(discount_amount="0", shipping_cost_ex_tax="0", shipping_cost_inc_tax="0", shipping_cost_tax="0",
                       total_ex_tax="1.0000", total_tax="0.2000", total_inc_tax="1.2000")  # fmt: skip
        ours = order(changed | {"products": thirds, "taxes": rows})
        assert sum(each.amount("GBP") for each in ours.lines) == 1
        assert ours.total == Decimal("1.20")

    @pytest.mark.parametrize(
        ("changes", "said"),
        [
            ({"total_inc_tax": "118.1500"}, "0.01"),
            ({"total_ex_tax": "98.4600", "total_inc_tax": "118.1500"}, "-0.01"),
            ({"discount_amount": "4.0000"}, "a difference of 1.00"),
            ({"total_tax": "19.6500", "total_inc_tax": "118.1000"}, "0.04"),
            ({"shipping_cost_ex_tax": "0.0000", "shipping_cost_inc_tax": "0.0000"}, "a difference of -7.95"),
            ({"default_currency_code": "XXQ"}, "currency"),
            ({"total_inc_tax": None}, "total_inc_tax"),
        ],
    )
    def test_what_does_not_add_up_is_told_with_the_difference(self, changes, said):
        assert said in refusal(told(**changes))


HOSTILE: list[Any] = [
    None, True, 0, -1, 1.5, 1e300, 10**18, "", "x", "NaN", "1e5000", "-0", "9" * 24, "x" * 5000, "\x1b[2J", [], [[]],
    {}, {"a": [1]}, "0001-01-01", "Sun, 99 Nov 2026 10:59:50 +0000",
]  # fmt: skip


def paths(value: Any, here: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    members = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [here, *(path for key, member in members for path in paths(member, (*here, key)))]


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(paths(DOCUMENT)[1:]), st.sampled_from(HOSTILE), st.sampled_from(["order", "changed/order"]))
def test_no_document_makes_it_crash(path, value, type_):
    document = orjson.loads(orjson.dumps(DOCUMENT))
    parent = document
    for key in path[:-1]:
        parent = parent[key]
    parent[path[-1]] = value
    with contextlib.suppress(NotInvoiceable, MalformedBody):
        BigCommerce([]).normalise(Delivery("1", type_, NOW), orjson.dumps(document))
