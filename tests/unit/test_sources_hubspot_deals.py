"""HubSpot's deals in our words: their lines, their taxes, whoever is billed, and what is for a person."""

import contextlib
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.model import Event, EventType
from connectors.sources.base import NotInvoiceable
from connectors.sources.delivery import Delivery
from connectors.sources.hubspot import HubSpot
from tests.unit.hubspot_bodies import COMPANY, CONTACT, DEAL, DOCUMENT, LINES, PLAQUE, RATE, TAG


def read(document: Any, **options: Any) -> Event | None:
    """The event of a deal that was read."""
    event = HubSpot([], options).normalise(Delivery("d", "read/deal", None, "5001"), orjson.dumps(document))
    assert event is None or isinstance(event, Event)
    return event


def order(*lines: Any, deal: Any = None, **changes: Any) -> Any:
    """The order of a deal with these lines; `deal`: properties that it has in place of others."""
    told = DEAL | {"properties": DEAL["properties"] | (deal or {})}
    event = read(DOCUMENT | {"lines": list(lines) or LINES, "deal": told} | changes)
    assert event is not None
    return event.order


def changed(line: Any, **properties: Any) -> Any:
    return line | {"properties": line["properties"] | properties}


class TestWhatIsDue:
    def test_a_won_deal_is_completed(self):
        event = read(DOCUMENT)
        at = datetime(2020, 11, 22, 10, 59, 50, 123000, tzinfo=UTC)
        assert (event.type, event.occurred_at, event.order.hold) == (EventType.ORDER_COMPLETED, at, None)

    def test_one_that_was_won_before_anybody_asked_is_told_only(self):
        assert read(DOCUMENT | {"before": True}).type is EventType.ORDER_UPDATED

    @pytest.mark.parametrize("stage", ["closedlost", "", None, 5, []])
    def test_any_other_stage_is_kept_for_the_record(self, stage):
        deal = DEAL | {"properties": DEAL["properties"] | {"dealstage": stage}}
        assert read(DOCUMENT | {"deal": deal}) is None

    def test_leaving_the_won_stage_cancels_only_where_that_counts_and_it_was_there(self):
        deal = DEAL | {"properties": DEAL["properties"] | {"dealstage": "closedlost"}}
        lost = DOCUMENT | {"deal": deal}
        assert read(lost, cancel_when_lost=True).type is EventType.ORDER_CANCELLED
        for stages in (["open", "closedlost"], [], None):
            assert read(lost | {"stages": stages}, cancel_when_lost=True) is None

    def test_a_lost_deal_is_cancelled_whatever_is_left_of_it(self):
        deal = DEAL | {"properties": DEAL["properties"] | {"dealstage": "closedlost"}}
        event = read(DOCUMENT | {"deal": deal, "lines": []}, cancel_when_lost=True)
        assert (event.type, event.order, event.order_id) == (EventType.ORDER_CANCELLED, None, "5001")


class TestTheOrder:
    def test_it_is_told_with_all_of_it(self):
        told = order()
        assert (told.id, told.ref, told.currency, told.total) == ("5001", "5001", "GBP", Decimal("118.14"))
        plaque, _, courier = told.lines
        assert (plaque.ref, plaque.sku, plaque.description) == ("71", "PLQ-BR", "Brass plaque")
        assert (plaque.quantity, plaque.unit_price, plaque.discount) == (2, 45, 5)
        assert (plaque.tax.name, plaque.tax.rate, plaque.tax.amount) == ("VAT 20%", 20, 17)
        assert plaque.attributes == {"description": "To Ada, 1843"}
        assert (courier.unit_price, courier.tax.amount) == (Decimal("7.95"), Decimal("1.59"))
        assert (told.customer.company, told.customer.name) == ("Analytical Engines Ltd", "Ada Lovelace")
        assert (told.billing_address.city, told.billing_address.country) == ("London", "GB")

    def test_the_contact_s_address_is_used_where_the_company_has_none(self):
        bare = COMPANY | {"properties": {"name": "Analytical Engines Ltd"}}
        assert order(company=bare).billing_address.city == "Bath"

    def test_a_country_that_is_written_out_is_no_code(self):
        far = COMPANY | {"properties": COMPANY["properties"] | {"hs_country_code": "United Kingdom"}}
        assert order(company=far).billing_address.country is None

    @pytest.mark.parametrize("gone", ["contact", "company"])
    def test_either_a_contact_or_a_company_is_enough(self, gone):
        assert order(**{gone: None}).total == Decimal("118.14")

    def test_nobody_to_bill_is_for_a_person(self):
        with pytest.raises(NotInvoiceable, match=r"HubSpot deal 5001: .*neither a contact nor a company") as told:
            order(contact=None, company=None)
        assert (told.value.type, told.value.order_id) == (EventType.ORDER_COMPLETED, "5001")

    def test_a_deal_without_lines_is_for_a_person(self):
        with pytest.raises(NotInvoiceable, match="no line items"):
            read(DOCUMENT | {"lines": []})

    @pytest.mark.parametrize("amount", ["98.45", "118.14", "98.4500", "", None])
    def test_the_deal_s_amount_may_be_with_or_without_tax(self, amount):
        assert order(deal={"amount": amount}).hold is None

    def test_an_amount_that_was_typed_over_is_for_a_person(self):
        assert order(deal={"amount": "90"}).hold == "the deal's amount is 90 GBP, but its line items come to 98.45"

    @pytest.mark.parametrize("field", ["recurringbillingfrequency", "hs_recurring_billing_period"])
    def test_what_is_billed_again_and_again_is_for_a_person(self, field):
        with pytest.raises(NotInvoiceable, match="'Steel tag' is billed again and again"):
            order(changed(TAG, **{field: "monthly"}))


class TestAmounts:
    def test_an_amount_of_more_decimals_is_rounded(self):
        told = order(changed(TAG, quantity="3", price="3.3333", hs_pre_discount_amount=None, amount="9.9999",
                             hs_tax_amount="2.00"), deal={"amount": None})  # fmt: skip
        assert (told.lines[0].unit_price, told.total) == (Decimal("3.3333"), Decimal("12.00"))

    def test_a_price_in_tiers_is_the_amount_by_the_quantity(self):
        told = order(changed(TAG, quantity="3", price="5", hs_pre_discount_amount="10.00", amount="10.00",
                             hs_tax_amount="2.00"), deal={"amount": None})  # fmt: skip
        assert (told.lines[0].amount("GBP"), told.total) == (10, 12)

    def test_an_amount_over_the_price_is_for_a_person(self):
        with pytest.raises(NotInvoiceable, match="more than its price"):
            order(changed(TAG, amount="6.00"))

    @pytest.mark.parametrize("quantity", ["0", "", None, "-1"])
    def test_a_line_without_a_quantity_is_for_a_person(self, quantity):
        with pytest.raises(NotInvoiceable):
            order(changed(TAG, quantity=quantity))


class TestTax:
    def test_the_tax_is_what_stands_between_the_amounts(self):
        told = order(changed(TAG, hs_tax_amount=None, hs_post_tax_amount="6.60"), deal={"amount": None})
        assert told.lines[0].tax.amount == Decimal("1.10")

    def test_a_rate_alone_says_the_tax(self):
        assert order(changed(TAG, hs_tax_amount=None), deal={"amount": None}).total == Decimal("6.60")

    def test_a_rate_without_a_group_is_a_rate(self):
        bare = changed(TAG, hs_tax_rate_group_id=None, hs_tax_rate="20")
        assert order(bare, deal={"amount": None}).lines[0].tax.name == "Tax"

    def test_without_any_there_is_none(self):
        bare = changed(TAG, hs_tax_rate_group_id=None, hs_tax_amount=None)
        assert order(bare, deal={"amount": None}).lines[0].tax is None

    def test_a_tax_without_a_rate_is_for_a_person(self):
        with pytest.raises(NotInvoiceable, match=r"1\.10 GBP of tax.*at which rate"):
            order(changed(TAG, hs_tax_rate_group_id=None))

    @pytest.mark.parametrize(
        "changes", [{"hs_tax_amount": "1.15"}, {"hs_tax_rate_group_id": None, "hs_tax_rate": "0.2"}]
    )
    def test_a_tax_that_is_not_its_rate_is_for_a_person(self, changes):
        with pytest.raises(NotInvoiceable, match="the tax of 'Steel tag' is"):
            order(changed(TAG, **changes))


class TestCurrency:
    def test_the_lines_say_it_where_the_deal_does_not(self):
        assert order(deal={"deal_currency_code": None}).currency == "GBP"

    def test_the_option_says_it_where_nobody_does(self):
        bare = changed(TAG, hs_line_item_currency_code=None)
        deal = DEAL | {"properties": DEAL["properties"] | {"deal_currency_code": None, "amount": None}}
        document = DOCUMENT | {"lines": [bare], "deal": deal}
        with pytest.raises(NotInvoiceable, match="set the option currency"):
            read(document)
        assert read(document, currency="GBP").order.currency == "GBP"

    def test_two_currencies_are_for_a_person(self):
        with pytest.raises(NotInvoiceable, match="not all of its line items"):
            order(PLAQUE, changed(TAG, hs_line_item_currency_code="USD"))


HOSTILE: list[Any] = [
    None, True, 0, -1, 1.5, 1e300, 10**18, "", "x", "NaN", "1e5000", "-0", "9" * 24, "x" * 5000, "\x1b[2J", [], [[]],
    [None], [{}], {}, {"a": [1]}, {"properties": 5}, {"properties": {"amount": "x"}}, "0001-01-01",
]  # fmt: skip


@given(st.sampled_from([*DOCUMENT, "before"]), st.sampled_from(HOSTILE))
def test_no_document_makes_it_crash(field, value):
    with contextlib.suppress(NotInvoiceable):
        read(DOCUMENT | {field: value}, cancel_when_lost=True)


@given(st.sampled_from(sorted(DEAL["properties"])), st.sampled_from(HOSTILE))
def test_no_property_of_a_deal_makes_it_crash(field, value):
    with contextlib.suppress(NotInvoiceable):
        read(DOCUMENT | {"deal": DEAL | {"properties": DEAL["properties"] | {field: value}}}, cancel_when_lost=True)


@given(st.sampled_from(sorted(TAG["properties"])), st.sampled_from(HOSTILE))
def test_no_property_of_a_line_makes_it_crash(field, value):
    with contextlib.suppress(NotInvoiceable):
        order(PLAQUE, changed(TAG, **{field: value}))


@given(st.sampled_from(sorted(CONTACT["properties"])), st.sampled_from(HOSTILE), st.sampled_from(HOSTILE))
def test_no_contact_and_no_rate_make_it_crash(field, value, rate):
    with contextlib.suppress(NotInvoiceable):
        order(contact=changed(CONTACT, **{field: value}), rates={RATE["id"]: RATE | {"percentageRate": rate}})
