"""Square's orders, customers and refunds as its API answers them, as far as an invoice needs them.

Facts: square/connect-api-specification, api.json of 2025-08-20 (`Order`, `OrderLineItem`, `OrderServiceCharge`,
`OrderReturn`, `Fulfillment`, `Refund`, `Customer`).
"""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from connectors.model import Amount, Moment
from connectors.sources.reading import Body, Many, Said

Units = Annotated[int, Field(ge=-(10**15), le=10**15)]


class Money(Body):
    """An integer of the smallest units of its currency."""

    amount: Annotated[Units, BeforeValidator(lambda value: 0 if value is None else value)] = 0
    currency: Said = None


_Money = Annotated[Money, BeforeValidator(lambda value: {} if value is None else value)]
_NONE = Money()


class AppliedTax(Body):
    tax_uid: Said = None
    applied_money: _Money = _NONE


class TaxRow(Body):
    """A tax of the order. The percentage is missing where it is a fixed amount."""

    uid: Said = None
    name: Said = None
    type: Said = None
    percentage: Amount | None = None


class Modifier(Body):
    """Something chosen with a line. `total_price_money` is for all of the line's quantity."""

    name: Said = None
    total_price_money: _Money = _NONE


class LineItem(Body):
    """`variation_total_price_money` is without modifiers; taxes and discounts are applied by Square, to the unit."""

    uid: Said = None
    name: Said = None
    variation_name: Said = None
    note: Said = None
    quantity: Annotated[Amount, Field(ge=0)]
    metadata: Any = None
    modifiers: Many[Modifier] = ()
    applied_taxes: Many[AppliedTax] = ()
    variation_total_price_money: Money
    total_discount_money: _Money = _NONE
    total_service_charge_money: _Money = _NONE
    total_tax_money: _Money = _NONE
    total_money: Money

    @property
    def gross(self) -> int:
        """Before discount and taxes that are added; with its share of charges that are spread over the lines."""
        chosen = sum(each.total_price_money.amount for each in self.modifiers)
        return self.variation_total_price_money.amount + chosen + self.total_service_charge_money.amount


class ServiceCharge(Body):
    """`applied_money` holds inclusive tax, not tax that is added."""

    uid: Said = None
    name: Said = None
    treatment_type: Said = None
    applied_taxes: Many[AppliedTax] = ()
    applied_money: _Money = _NONE
    total_tax_money: _Money = _NONE
    total_money: _Money = _NONE


class Rounding(Body):
    amount_money: _Money = _NONE


class Address(Body):
    address_line_1: Said = None
    address_line_2: Said = None
    locality: Said = None
    administrative_district_level_1: Said = None
    postal_code: Said = None
    country: Said = None


class Recipient(Body):
    display_name: Said = None
    email_address: Said = None
    phone_number: Said = None
    address: Address | None = None


class Details(Body):
    """Of a fulfilment: of its shipping, its delivery, or its pickup."""

    recipient: Recipient | None = None
    carrier: Said = None
    tracking_number: Said = None


class Entry(Body):
    line_item_uid: Said = None
    quantity: Amount


class Fulfillment(Body):
    """What is handed over, and how; `entries` only where it is not all of the order."""

    uid: Said = None
    type: Said = None
    state: Said = None
    entries: Many[Entry] = ()
    shipment_details: Details | None = None
    delivery_details: Details | None = None
    pickup_details: Details | None = None

    @property
    def recipient(self) -> Recipient | None:
        details = self.shipment_details or self.delivery_details or self.pickup_details
        return details.recipient if details else None


class Tender(Body):
    """A payment; its amount holds the tip."""

    amount_money: _Money = _NONE


class PaidBack(Body):
    """A refund as an order lists it."""

    id: Said = None
    status: Said = None
    reason: Said = None
    amount_money: _Money = _NONE

    @property
    def failed(self) -> bool:
        return self.status in ("REJECTED", "FAILED")


class ReturnedLine(Body):
    source_line_item_uid: Said = None
    quantity: Annotated[Amount, Field(ge=0)] = Decimal(0)


class Amounts(Body):
    total_money: _Money = _NONE
    tip_money: _Money = _NONE


class Return(Body):
    """What came back of one order: there is one of them for each order."""

    source_order_id: Said = None
    return_line_items: Many[ReturnedLine] = ()
    return_amounts: Amounts | None = None


class Source(Body):
    name: Said = None


class SquareOrder(Body):
    """An order; what it holds of returns is read elsewhere."""

    id: str
    reference_id: Said = None
    customer_id: Said = None
    source: Source | None = None
    created_at: Moment | None = None
    updated_at: Moment | None = None
    line_items: Many[LineItem] = ()
    taxes: Many[TaxRow] = ()
    service_charges: Many[ServiceCharge] = ()
    fulfillments: Many[Fulfillment] = ()
    tenders: Many[Tender] = ()
    refunds: Many[PaidBack] = ()
    rounding_adjustment: Rounding | None = None
    total_money: Money
    total_tip_money: _Money = _NONE
    total_tax_money: _Money = _NONE
    net_amount_due_money: Money | None = None

    @property
    def due(self) -> int:
        """What is still to be paid of it."""
        if self.net_amount_due_money is not None:
            return self.net_amount_due_money.amount
        return self.total_money.amount - sum(each.amount_money.amount for each in self.tenders)


class TaxIds(Body):
    eu_vat: Said = None


class Customer(Body):
    id: Said = None
    given_name: Said = None
    family_name: Said = None
    company_name: Said = None
    email_address: Said = None
    phone_number: Said = None
    address: Address | None = None
    tax_ids: TaxIds | None = None


class Told(Body):
    """An order and its customer, in one document."""

    order: SquareOrder
    customer: Customer | None = None


class ReturnOrder(Body):
    """The order that a refund makes beside the one that was paid."""

    id: str
    created_at: Moment
    returns: Many[Return]
    refunds: Many[PaidBack] = ()
    return_amounts: Amounts | None = None


def dicts(value: Any) -> list[dict[str, Any]]:
    """The objects of a list; nothing for what is none."""
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []
