"""The answers of BigCommerce's v2 API about one order, as far as an invoice needs them.

Facts: bigcommerce/docs, reference/orders.v2.oas2.yml.
"""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from email.utils import parsedate_to_datetime
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator

from connectors.model import Amount
from connectors.sources.reading import Body, Flag, Many, Said

_NOTHING = Decimal(0)


def rfc_2822(text: Any) -> datetime | None:
    """A time as the v2 API writes it, "Sun, 22 Nov 2026 10:59:50 +0000"; None for anything else."""
    try:
        time = parsedate_to_datetime(text)
        return time.astimezone(UTC) if time.tzinfo else time.replace(tzinfo=UTC)
    except (TypeError, ValueError, IndexError, AttributeError, OverflowError):
        return None


def has_amount(text: Any) -> bool:
    """Whether an amount as the v2 API writes it, "7.9500", is another than nothing."""
    return isinstance(text, str | int | float) and str(text).strip("0.") != ""


Number = Annotated[Amount, BeforeValidator(lambda value: 0 if value in (None, "") else value)]
Time = Annotated[datetime | None, BeforeValidator(rfc_2822)]


class Applied(Body):
    amount: Number = _NOTHING


class Product(Body):
    """A line; its totals are before discounts."""

    id: str
    name: Said = None
    sku: Said = None
    quantity: Amount
    price_ex_tax: Number
    price_inc_tax: Number
    total_ex_tax: Amount
    total_inc_tax: Amount
    total_tax: Number
    applied_discounts: Many[Applied] = ()
    product_options: Any = None
    configurable_fields: Any = None


class TaxRow(Body):
    name: Said = None
    rate: Number = _NOTHING
    priority: Number = _NOTHING
    order_product_id: Said = None
    line_item_type: Said = None


class Fee(Body):
    id: Said = None
    display_name_customer: Said = None
    cost_inc_tax: Number = _NOTHING
    cost_tax: Number = _NOTHING
    """The column without tax is written in two ways in the vendor's own examples: it is not read."""


class Fees(Body):
    fees: Many[Fee]


class Contact(Body):
    first_name: Said = None
    last_name: Said = None
    company: Said = None
    street_1: Said = None
    street_2: Said = None
    city: Said = None
    state: Said = None
    zip: Said = None
    country_iso2: Said = None
    email: Said = None
    phone: Said = None
    shipping_method: Said = None
    """Of shipping addresses."""


class Packed(Body):
    order_product_id: str
    quantity: Amount


class Parcel(Body):
    id: str
    tracking_number: Said = None
    tracking_carrier: Said = None
    shipping_provider: Said = None
    items: Many[Packed] = ()


class BigOrder(Body):
    """The fields of an order that an invoice needs."""

    id: str
    status_id: int
    customer_id: Said = None
    date_created: Time = None
    date_modified: Time = None
    currency_code: Said = None
    default_currency_code: Said = None
    is_tax_inclusive_pricing: Flag = False
    total_ex_tax: Amount
    total_inc_tax: Amount
    total_tax: Amount
    shipping_cost_ex_tax: Number = _NOTHING
    shipping_cost_inc_tax: Number = _NOTHING
    shipping_cost_tax: Number = _NOTHING
    handling_cost_ex_tax: Number = _NOTHING
    handling_cost_inc_tax: Number = _NOTHING
    handling_cost_tax: Number = _NOTHING
    wrapping_cost_ex_tax: Number = _NOTHING
    wrapping_cost_inc_tax: Number = _NOTHING
    wrapping_cost_tax: Number = _NOTHING
    discount_amount: Number = _NOTHING
    coupon_discount: Number = _NOTHING
    refunded_amount: Number = _NOTHING
    is_deleted: Flag = False
    order_source: Said = None
    billing_address: Contact = Contact()
    fees: Any = None
    """A list where it was asked for with `include=fees`, else an address."""


class Told(Body):
    """What was asked for, in one document."""

    order: BigOrder
    products: Many[Product]
    taxes: Many[TaxRow] = ()
    shipping_addresses: Many[Contact] = ()
    shipments: Many[Parcel] = ()

    @property
    def side(self) -> Literal["ex", "inc"]:
        return "inc" if self.order.is_tax_inclusive_pricing else "ex"

    @property
    def currency(self) -> str:
        return self.order.default_currency_code or self.order.currency_code or ""
