"""Square's orders in our words: what is due, what is paid already, and that it adds up; what came back of them."""

import contextlib
import copy
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.model import Event, EventType, ShipmentLine
from connectors.sources.base import NotInvoiceable
from connectors.sources.delivery import Delivery
from connectors.sources.square import Square
from tests.unit.square_bodies import BACK, COURIER, CUSTOMER, ORDER, PAID, PARCEL, PLAQUE, TAG, VAT, line, money

AT = datetime(2020, 11, 22, 10, 59, 50, 123000, tzinfo=UTC)


def read(order: Any, customer: Any = CUSTOMER, *, before: bool = False, **options: Any) -> Event | None:
    """The event of an order that was read."""
    document = {"order": order, "customer": customer} | ({"before": True} if before else {})
    delivery = Delivery("read/order:1", "read/order", None, "1")
    event = Square([], options).normalise(delivery, orjson.dumps(document))
    assert event is None or isinstance(event, Event)
    return event


def order(**changes: Any) -> Any:
    event = read(ORDER | changes)
    assert event is not None
    return event.order


class TestWhatIsDue:
    @pytest.mark.parametrize(
        ("changes", "type"),
        [
            ({}, EventType.ORDER_FULFILLED),
            ({"state": "COMPLETED"}, EventType.ORDER_COMPLETED),
            ({"state": "CANCELED"}, EventType.ORDER_CANCELLED),
            ({"fulfillments": []}, EventType.ORDER_UPDATED),
            ({"fulfillments": [PARCEL, PARCEL | {"uid": "f2", "state": "PREPARED"}]}, EventType.ORDER_UPDATED),
            ({"fulfillments": [PARCEL, PARCEL | {"uid": "f2", "state": "CANCELED"}]}, EventType.ORDER_FULFILLED),
            ({"fulfillments": [PARCEL | {"state": "FAILED"}]}, EventType.ORDER_UPDATED),
        ],
    )
    def test_the_state_decides(self, changes, type):
        event = read(ORDER | changes)
        assert (event.type, event.occurred_at, event.order.hold) == (type, AT, None)

    @pytest.mark.parametrize("state", ["DRAFT", None, 5, "SOMETHING", []])
    def test_what_is_no_order_yet_is_kept_for_the_record(self, state):
        assert read(ORDER | {"state": state}) is None

    def test_what_was_finished_before_anybody_asked_is_told_only(self):
        assert read(ORDER, before=True).type is EventType.ORDER_UPDATED
        assert read(ORDER | {"state": "CANCELED"}, before=True).type is EventType.ORDER_CANCELLED

    def test_an_order_that_is_paid_at_the_till_is_told_and_does_not_ask_to_be_paid_again(self):
        event = read(ORDER | PAID)
        assert event.type is EventType.ORDER_UPDATED
        assert event.order.hold == "all of its 118.14 GBP is paid at Square already, so nothing is owed"

    def test_a_document_for_it_is_an_option(self):
        event = read(ORDER | PAID, paid="invoice")
        assert (event.type, event.order.hold) == (EventType.ORDER_COMPLETED, None)

    def test_without_a_word_of_what_is_due_the_payments_say_it(self):
        told = {name: each for name, each in (ORDER | PAID).items() if name != "net_amount_due_money"}
        assert read(told).type is EventType.ORDER_UPDATED
        assert read(told | {"tenders": []}).type is EventType.ORDER_COMPLETED

    @pytest.mark.parametrize("paid", ["hold", "invoice"])
    def test_one_that_is_paid_in_part_is_for_a_person(self, paid):
        event = read(ORDER | {"net_amount_due_money": money(9814)}, paid=paid)
        assert event.type is EventType.ORDER_FULFILLED
        assert event.order.hold == "20.00 GBP of its 118.14 GBP are paid at Square already"

    def test_one_that_was_refunded_is_for_a_person(self):
        event = read(ORDER | PAID | {"refunds": BACK["refunds"]}, paid="invoice")
        assert event.order.hold == "something of it was refunded, so it is not owed in full"
        failed = [{"id": "R1", "status": "FAILED"}]
        assert read(ORDER | PAID | {"refunds": failed}, paid="invoice").order.hold is None

    def test_a_cancelled_order_is_cancelled_whatever_is_left_of_it(self):
        event = read(ORDER | {"state": "CANCELED", "line_items": [], "service_charges": []})
        assert (event.type, event.order, event.order_id) == (EventType.ORDER_CANCELLED, None, ORDER["id"])

    def test_an_exchange_is_for_a_person(self):
        with pytest.raises(NotInvoiceable, match="exchange") as told:
            read(ORDER | PAID | {"returns": BACK["returns"]})
        assert told.value.order_id == ORDER["id"]


class TestTheOrder:
    def test_it_is_told_with_all_of_it(self):
        told = order()
        assert (told.id, told.ref, told.channel) == (ORDER["id"], "SO-1001", "Square Online")
        assert (told.currency, told.total, told.tax_total()) == ("GBP", Decimal("118.14"), Decimal("19.69"))
        plaque, tag, courier = told.lines
        assert (plaque.description, plaque.quantity, plaque.unit_price) == ("Brass plaque, Engraved", 2, Decimal("45"))
        assert (plaque.discount, plaque.tax.rate, plaque.tax.amount) == (Decimal("4.71"), 20, Decimal("17.06"))
        assert plaque.attributes == {"note": "To Ada, 1843"}
        assert (tag.ref, tag.tax.name) == ("l2", "VAT")
        assert (courier.description, courier.unit_price, courier.tax.amount) == (
            "Courier",
            Decimal("7.95"),
            Decimal("1.59"),
        )
        assert (told.customer.ref, told.customer.name, told.customer.tax_id) == (
            "CUSTADA",
            "Ada Lovelace",
            "GB123456789",
        )
        assert (told.billing_address.city, told.shipping_address.city) == ("London", "Bath")
        assert told.shipments[0].tracking_number == "RM123456789GB"

    def test_without_a_name_its_id_is_its_name_and_the_recipient_its_customer(self):
        event = read(ORDER | {"reference_id": None, "customer_id": None}, None)
        assert event.order.ref == ORDER["id"]
        assert (event.order.customer.ref, event.order.customer.email) == (None, "ada@example.com")

    def test_a_tip_is_no_part_of_the_invoice(self):
        tipped = {"total_tip_money": money(1000), "total_money": money(12814), "net_amount_due_money": money(12814)}
        assert order(**tipped).total == Decimal("118.14")

    def test_what_is_chosen_with_a_line_is_in_its_price(self):
        gift = {"name": "Gift box", "base_price_money": money(150), "total_price_money": money(300)}
        plaque = line("l1", "Brass plaque", "2", 4500, 9000, 0, 1860, modifiers=[gift, {"name": "Polished"}])
        plaque["total_money"] = money(11160)
        (told,) = order(line_items=[plaque], service_charges=[], total_money=money(11160)).lines
        assert (told.unit_price, told.attributes) == (Decimal("46.5"), {"with": "Gift box, Polished"})

    def test_prices_with_tax_in_them(self):
        mug = line("l1", "Mug", "3", 400, 1200, 100, 183)
        mug |= {"total_money": money(1100)}
        tax = VAT | {"type": "INCLUSIVE"}
        told = order(line_items=[mug], taxes=[tax], service_charges=[], total_money=money(1100))
        assert (told.tax_included, told.total, told.lines[0].unit_price) == (True, Decimal("11.00"), Decimal("4"))

    def test_an_order_with_both_kinds_of_tax_is_told_without(self):
        mug = line("l1", "Mug", "1", 1200, 1200, 0, 200, total_money=money(1200))
        tag = line("l2", "Tag", "2", 500, 1000, 100, 90)
        tag["applied_taxes"] = [{"tax_uid": "city", "applied_money": money(90)}]
        taxes = [VAT | {"type": "INCLUSIVE"}, {"uid": "city", "name": "City", "percentage": "10", "type": "ADDITIVE"}]
        told = order(line_items=[mug, tag], taxes=taxes, service_charges=[], total_money=money(2190))
        assert (told.tax_included, told.total) == (False, Decimal("21.90"))
        assert [(each.unit_price, each.discount) for each in told.lines] == [(Decimal(10), 0), (Decimal("4.5"), 0)]

    def test_several_taxes_of_a_line_are_one_tax_of_their_sum(self):
        tag = line("l1", "Tag", "1", 1000, 1000, 0, 150)
        tag["applied_taxes"] = [
            {"tax_uid": "a", "applied_money": money(50)},
            {"tax_uid": "b", "applied_money": money(100)},
        ]
        taxes = [
            {"uid": uid, "name": uid.upper(), "percentage": rate, "type": "ADDITIVE"}
            for uid, rate in (("a", "5"), ("b", "10"))
        ]
        (told,) = order(line_items=[tag], taxes=taxes, service_charges=[], total_money=money(1150)).lines
        assert (told.tax.name, told.tax.rate, told.tax.amount) == ("A + B", 15, Decimal("1.50"))

    def test_a_tax_without_a_rate_is_for_a_person(self):
        with pytest.raises(NotInvoiceable, match="at which rate"):
            order(taxes=[VAT | {"percentage": None}])

    def test_a_charge_that_is_spread_over_the_lines_is_in_their_prices(self):
        tag = line("l1", "Tag", "2", 1000, 2000, 0, 440, total_service_charge_money=money(200), total_money=money(2640))
        spread = COURIER | {"treatment_type": "APPORTIONED_TREATMENT"}
        told = order(line_items=[tag], service_charges=[spread], total_money=money(2640))
        assert [(each.description, each.unit_price) for each in told.lines] == [("Tag", Decimal(11))]

    @pytest.mark.parametrize(("rounding", "total"), [(2, 11816), (-4, 11810)])
    def test_the_rounding_of_cash_adds_up(self, rounding, total):
        told = order(rounding_adjustment={"amount_money": money(rounding)}, total_money=money(total))
        assert told.total == Decimal(total) / 100

    def test_weights_and_currencies_without_cents(self):
        tea = line("l1", "Tea", "0.35", 1200, 420, 0, 42)
        for name in ("variation_total_price_money", "total_discount_money", "total_tax_money", "total_money"):
            tea[name] |= {"currency": "JPY"}
        told = order(
            line_items=[tea], taxes=[VAT | {"percentage": "10"}], service_charges=[], total_money=money(462, "JPY")
        )
        assert (told.total, told.lines[0].quantity) == (462, Decimal("0.35"))

    def test_a_line_of_nothing_is_left_out(self):
        assert len(order(line_items=[PLAQUE, TAG, line("l3", "Gone", "0", 100, 0, 0, 0)]).lines) == 3

    def test_parcels_say_what_is_in_them(self):
        entries = [{"uid": "e1", "line_item_uid": "l1", "quantity": "1"}]
        told = order(fulfillments=[PARCEL | {"entries": entries}, {"type": "PICKUP", "state": "COMPLETED"}])
        assert [each.lines for each in told.shipments] == [(ShipmentLine(ref="l1", quantity=Decimal(1)),)]

    def test_what_does_not_add_up_is_held_with_the_difference(self):
        with pytest.raises(NotInvoiceable, match=r"Square order Ord.*difference|0\.01") as told:
            order(total_money=money(11815))
        assert (told.value.type, told.value.order_id) == (EventType.ORDER_FULFILLED, ORDER["id"])

    @pytest.mark.parametrize("field", ["total_money", "id"])
    def test_a_missing_field_is_told(self, field):
        with pytest.raises(NotInvoiceable, match=f"order.{field}"):
            read({name: each for name, each in ORDER.items() if name != field})

    def test_an_unknown_country_is_none(self):
        told = read(ORDER, CUSTOMER | {"address": {"locality": "Nowhere", "country": "ZZ"}})
        assert told.order.billing_address.country is None


def back(**changes: Any) -> Event | None:
    """The event of a refund's order."""
    told = copy.deepcopy(BACK) | changes
    body = orjson.dumps({"orders": len(told["returns"])} | told)
    return Square([]).normalise(Delivery("r", "read/refund", None, ORDER["id"]), body)


class TestRefunds:
    def test_what_came_back_is_told_by_quantity_and_the_money_by_the_total(self):
        event = back()
        assert (event.type, event.order_id) == (EventType.REFUND_CREATED, ORDER["id"])
        assert (event.refund.total, event.refund.reason) == (Decimal("51.18"), "one had a scratch")
        assert [(each.ref, each.quantity) for each in event.refund.lines] == [("l1", 1)]

    def test_a_tip_that_went_back_was_never_invoiced(self):
        (told,) = copy.deepcopy(BACK["returns"])
        told["return_amounts"] |= {"total_money": money(6118), "tip_money": money(1000)}
        assert back(returns=[told]).refund.total == Decimal("51.18")

    def test_an_amount_without_lines_is_an_amount(self):
        (told,) = copy.deepcopy(BACK["returns"])
        told["return_line_items"] = [{"uid": "x", "item_type": "CUSTOM_AMOUNT", "quantity": "1"}]
        assert back(returns=[told]).refund.lines == ()

    @pytest.mark.parametrize("statuses", [["PENDING"], ["APPROVED", "PENDING"], ["REJECTED"], ["FAILED", "REJECTED"]])
    def test_money_that_is_on_its_way_or_never_went_is_kept_for_the_record(self, statuses):
        assert back(refunds=[BACK["refunds"][0] | {"status": each} for each in statuses]) is None

    @pytest.mark.parametrize("refunds", [[], [BACK["refunds"][0], {"id": "R2", "status": "FAILED"}]])
    def test_what_was_not_surely_paid_back_is_for_a_person(self, refunds):
        with pytest.raises(NotInvoiceable, match="credit it by hand") as told:
            back(refunds=refunds)
        assert told.value.type is None

    def test_a_sum_that_nobody_states_is_for_a_person(self):
        (told,) = copy.deepcopy(BACK["returns"])
        with pytest.raises(NotInvoiceable, match="how much"):
            back(returns=[told | {"return_amounts": None}])

    def test_nothing_given_back_is_nothing(self):
        (told,) = copy.deepcopy(BACK["returns"])
        assert back(returns=[told | {"return_amounts": {"total_money": money(0)}}]) is None


HOSTILE: list[Any] = [
    None, True, 0, -1, 1.5, 1e300, 10**18, "", "x", "NaN", "1e5000", "-0", "9" * 24, "x" * 5000, "\x1b[2J", [], [[]],
    [None], [{}], {}, {"a": [1]}, {"amount": 10**18, "currency": "GBP"}, {"amount": -5, "currency": "XXX"},
    [{"uid": "vat", "percentage": "x"}], "0001-01-01", "2026-13-01T00:00:00Z",
]  # fmt: skip


@given(st.sampled_from(sorted(ORDER)), st.sampled_from(HOSTILE), st.booleans())
def test_no_order_makes_it_crash(field, value, in_line):
    told = ORDER | {"line_items": [PLAQUE | {field: value}]} if in_line else ORDER | {field: value}
    with contextlib.suppress(NotInvoiceable):
        read(told)


@given(st.sampled_from(sorted(PLAQUE)), st.sampled_from(HOSTILE))
def test_no_line_makes_it_crash(field, value):
    with contextlib.suppress(NotInvoiceable):
        order(line_items=[PLAQUE | {field: value}, TAG])


@given(st.sampled_from(sorted(BACK)), st.sampled_from(HOSTILE))
def test_no_refund_makes_it_crash(field, value):
    body = orjson.dumps(BACK | {"orders": 1, field: value})
    with contextlib.suppress(NotInvoiceable):
        Square([]).normalise(Delivery("r", "read/refund", None, "1"), body)
