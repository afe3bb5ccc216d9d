"""The language all parts share: what an order, an event, an invoice draft and a remote invoice are.

Amounts are `Decimal` in major units of the order's currency, never rounded silently; times are
timezone-aware UTC; ids are opaque strings. Everything is frozen.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime
from decimal import ROUND_HALF_UP, Context, Decimal
from enum import StrEnum
from functools import lru_cache
from typing import Annotated, Any, Self

import iso4217
from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

_EXACT = Context(prec=120)
"""Wide enough for any product and sum of the amounts below; the default 28 digits would round, or raise."""


@lru_cache
def minor_units(currency: str) -> int:
    """Decimal places of an ISO 4217 currency (GBP 2, JPY 0, KWD 3). Raises `ValueError` for an unknown code."""
    exponent = iso4217.Currency(currency).exponent
    return 0 if exponent is None else int(exponent)


def to_minor(amount: Decimal, currency: str) -> int:
    """The amount in the currency's minor units. Raises `ValueError` when it has a fraction of one."""
    scaled = amount.scaleb(minor_units(currency), context=_EXACT)
    if scaled != scaled.to_integral_value():
        raise ValueError(f"{amount} {currency} has more decimals than the currency")
    return int(scaled)


def from_minor(units: int, currency: str) -> Decimal:
    """Major units from the currency's minor units, with the currency's decimal places."""
    return Decimal(units).scaleb(-minor_units(currency), context=_EXACT)


def rounded(amount: Decimal, currency: str) -> Decimal:
    """The amount rounded half up to the currency's minor units."""
    return amount.quantize(_unit(currency), ROUND_HALF_UP, _EXACT)


@lru_cache
def _unit(currency: str) -> Decimal:
    return Decimal(1).scaleb(-minor_units(currency))


NO_NUL = r"^[^\x00]*$"
"""What databases cannot keep as text; as a pattern it is checked by pydantic's core, not by Python."""


def _known_currency(code: str) -> str:
    code = code.upper()
    try:
        minor_units(code)
    except ValueError:
        raise PydanticCustomError("unknown_currency", "is not an ISO 4217 currency code") from None
    return code


def _utc(moment: datetime) -> datetime:
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise PydanticCustomError("time_out_of_range", "is not a time between the years 1 and 9999 in UTC") from None


Text = Annotated[str, Field(max_length=4000, pattern=NO_NUL)]
Ref = Annotated[str, Field(min_length=1, max_length=200, pattern=NO_NUL)]
Currency = Annotated[str, Field(min_length=3, max_length=3), AfterValidator(_known_currency)]
Amount = Annotated[Decimal, Field(max_digits=24, decimal_places=10)]
"""A JSON number with a fraction counts as it is written shortest: 0.1 is one tenth."""
Moment = Annotated[AwareDatetime, AfterValidator(_utc)]


class Model(BaseModel):
    """Frozen; a field nobody knows is an error, so that a typo does not silently lose an amount."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Tax(Model):
    """A tax on one line: `rate` in percent, `amount` in the order's currency."""

    name: Text = "Tax"
    rate: Annotated[Amount, Field(ge=0, le=100)]
    amount: Annotated[Amount, Field(ge=0)]


class Line(Model):
    """One thing sold. `unit_price` before `discount`; both include tax where the order says `tax_included`."""

    ref: Ref
    sku: Text | None = None
    description: Annotated[Text, Field(min_length=1)]
    quantity: Annotated[Amount, Field(gt=0)]
    unit_price: Annotated[Amount, Field(ge=0)]
    discount: Annotated[Amount, Field(ge=0)] = Decimal(0)
    tax: Tax | None = None
    attributes: dict[Text, Text] = Field(default_factory=dict)

    def amount(self, currency: str) -> Decimal:
        """Quantity × unit price − discount, rounded to the currency."""
        return _EXACT.subtract(rounded(_EXACT.multiply(self.quantity, self.unit_price), currency), self.discount)


class Adjustment(Model):
    """An order-level discount, as a positive amount; its tax is what the discount takes off the tax."""

    amount: Annotated[Amount, Field(ge=0)]
    tax: Tax | None = None
    description: Text = "Order discount"


class Charge(Model):
    """Shipping, or another charge on top of the lines."""

    amount: Annotated[Amount, Field(ge=0)]
    tax: Tax | None = None
    description: Text = "Shipping"


class Address(Model):
    line1: Text | None = None
    line2: Text | None = None
    city: Text | None = None
    region: Text | None = None
    postcode: Text | None = None
    country: Annotated[str, Field(min_length=2, max_length=2, pattern="^[A-Z]{2}$")] | None = None
    """ISO 3166-1 alpha-2."""


class Party(Model):
    """The customer. `ref` is the shop's own id of the customer, if it has one."""

    ref: Ref | None = None
    name: Text | None = None
    company: Text | None = None
    email: Annotated[Text, Field(max_length=320)] | None = None
    phone: Text | None = None
    tax_id: Text | None = None

    @property
    def display_name(self) -> str:
        """What is printed on the invoice: company, else name, else e-mail, else the reference."""
        return self.company or self.name or self.email or self.ref or "Customer"


class ShipmentLine(Model):
    ref: Ref
    """Of the order's line."""
    quantity: Annotated[Amount, Field(gt=0)]


class Shipment(Model):
    """One parcel, as its sender or its carrier tells of it."""

    ref: Ref
    carrier: Text | None = None
    tracking_number: Text | None = None
    lines: tuple[ShipmentLine, ...] = ()
    """What is in it; empty where nobody says."""


class Order(Model):
    """An order as the shop tells it. Raises on amounts that do not add up, with the difference."""

    id: Ref
    """The source's immutable id: the identity."""
    ref: Ref = ""
    """What people call it; the id where the source has no other name."""
    currency: Currency
    placed_at: Moment | None = None
    tax_included: bool = False
    customer: Party = Party()
    billing_address: Address | None = None
    shipping_address: Address | None = None
    lines: Annotated[tuple[Line, ...], Field(max_length=1000)]
    discount: Adjustment | None = None
    shipping: Charge | None = None
    total: Annotated[Amount, Field(ge=0)]
    channel: Text | None = None
    """Where it was sold ("web", "pos"), as the shop calls it."""
    tags: tuple[Text, ...] = ()
    shipments: Annotated[tuple[Shipment, ...], Field(max_length=1000)] = ()
    """Its parcels as far as the shop knows them: a carrier that later names a number means this order."""
    hold: Text | None = None
    """Why a person must decide before it is invoiced ("12.00 GBP of it were refunded"); None: nothing is against it."""

    @model_validator(mode="before")
    @classmethod
    def _ref_defaults_to_id(cls, data: Any) -> Any:
        if isinstance(data, dict) and not data.get("ref"):
            return {**data, "ref": data.get("id")}
        return data

    @model_validator(mode="after")
    def _adds_up(self) -> Self:
        if not self.lines:
            raise PydanticCustomError("no_lines", "lines must hold at least one line")
        for amount, *path in self._amounts():
            if rounded(amount, self.currency) != amount:
                raise PydanticCustomError(
                    "too_many_decimals",
                    "{path} = {amount} has more decimals than {currency}",
                    {"path": ".".join(map(str, path)), "amount": str(amount), "currency": self.currency},
                )
        difference = _EXACT.subtract(self.total, self.computed_total())
        if abs(difference) > 10**15:  # a total has at most 14 digits before the point
            message = "lines have a quantity and unit price whose product is too large"
            raise PydanticCustomError("too_large", message)
        if difference:
            raise PydanticCustomError(
                "does_not_add_up",
                "total {total} differs from the sum of lines, discount, shipping and tax by {difference}",
                {"total": str(self.total), "difference": str(difference)},
            )
        return self

    def _amounts(self) -> Iterable[tuple[Any, ...]]:
        """Each amount in the order's currency, and the path to it."""
        for index, line in enumerate(self.lines):
            yield line.discount, "lines", index, "discount"
            if line.tax:
                yield line.tax.amount, "lines", index, "tax", "amount"
        for name, part in (("discount", self.discount), ("shipping", self.shipping)):
            if part:
                yield part.amount, name, "amount"
                if part.tax:
                    yield part.tax.amount, name, "tax", "amount"
        yield self.total, "total"

    def tax_total(self) -> Decimal:
        """All taxes, those that an order discount takes off deducted."""
        added = [line.tax for line in self.lines] + [self.shipping.tax if self.shipping else None]
        off = self.discount.tax.amount if self.discount and self.discount.tax else Decimal(0)
        total = Decimal(0)
        for tax in added:
            if tax:
                total = _EXACT.add(total, tax.amount)
        return _EXACT.subtract(total, off)

    def computed_total(self) -> Decimal:
        """What the parts add up to; equal to `total` in every order that exists."""
        net = self.shipping.amount if self.shipping else Decimal(0)
        for line in self.lines:
            net = _EXACT.add(net, line.amount(self.currency))
        if self.discount:
            net = _EXACT.subtract(net, self.discount.amount)
        return net if self.tax_included else _EXACT.add(net, self.tax_total())


class EventType(StrEnum):
    ORDER_FULFILLED = "order.fulfilled"
    ORDER_COMPLETED = "order.completed"
    JOB_COMPLETED = "job.completed"
    SHIPMENT_SHIPPED = "shipment.shipped"
    SHIPMENT_DELIVERED = "shipment.delivered"
    ORDER_UPDATED = "order.updated"
    ORDER_CANCELLED = "order.cancelled"
    REFUND_CREATED = "refund.created"


class RefundLine(Model):
    """What came back of one line. `amount` and `tax` as far as the shop says them: else the line's own, by quantity."""

    ref: Ref
    """Of the order's line."""
    quantity: Annotated[Amount, Field(ge=0)] = Decimal(0)
    """0: only money was given back."""
    amount: Annotated[Amount, Field(ge=0)] | None = None
    """After discounts; with tax where the order says `tax_included`."""
    tax: Annotated[Amount, Field(ge=0)] | None = None


class Refund(Model):
    """What was given back of an order, in its currency. What lines and shipping do not explain of `total` is credited
    (or, below them, kept back) as an amount of its own."""

    ref: Ref
    """The shop's own id of it: one refund is credited once."""
    lines: Annotated[tuple[RefundLine, ...], Field(max_length=1000)] = ()
    shipping: Charge | None = None
    total: Annotated[Amount, Field(gt=0)]
    """All of it, with tax."""
    reason: Text | None = None


class Event(Model):
    """Something that happened to an order. `id` is unique per shop and source, for ever.

    It carries the order, or else says which order it is about: by the shop's id of it, by its name, or by a shipment's
    tracking number.
    """

    id: Annotated[Ref, Field(max_length=256)]
    type: EventType
    occurred_at: Moment
    order: Order | None = None
    order_id: Ref | None = None
    """The order's immutable id at the shop, where `order` is not given."""
    order_ref: Ref | None = None
    """What people call the order, where `order` is not given."""
    shipment: Shipment | None = None
    refund: Refund | None = None
    who: Ref | None = None
    """The person who caused it, where a person did; stands in the trail."""
    why: Text | None = None
    """The person's reason."""

    @model_validator(mode="after")
    def _names_an_order(self) -> Self:
        tracked = self.shipment is not None and self.shipment.tracking_number
        if not (self.order or self.order_id or self.order_ref or tracked):
            raise PydanticCustomError(
                "no_order", "is missing; or name the order by order_id, order_ref or shipment.tracking_number"
            )
        if self.order and (self.order_id or self.order_ref):
            raise PydanticCustomError("order_twice", "is given; order_id and order_ref are for events without it")
        if (self.type is EventType.REFUND_CREATED) != (self.refund is not None):
            raise PydanticCustomError("refund", "is for events of type refund.created, which must have one")
        return self

    @property
    def about(self) -> str:
        """The order as the reader knows it."""
        if self.order is not None:
            return self.order.ref
        tracking = self.shipment.tracking_number if self.shipment else None
        return self.order_ref or self.order_id or tracking or ""


class InvoiceDraft(Model):
    """What is to be invoiced, before any platform's words. Stored with the intent; never changes afterwards."""

    key: str
    """The full business key, opaque and stable for ever; goes into the platform's second field."""
    reference: str
    """What goes into the field that people search by; unique per platform tenant."""
    order_ref: str
    currency: Currency
    issued_on: date
    due_on: date
    customer: Party
    billing_address: Address | None = None
    shipping_address: Address | None = None
    tax_included: bool = False
    lines: tuple[Line, ...]
    discount: Adjustment | None = None
    shipping: Charge | None = None
    tax_total: Amount
    total: Amount
    came_back: dict[Ref, Amount] = Field(default_factory=dict)
    """Of a credit note: how much of which line (by its ref) came back."""


class Status(StrEnum):
    """A document's state on the platform, in our words."""

    DRAFT = "draft"
    ISSUED = "issued"
    PAID = "paid"
    VOID = "void"


class RemoteInvoice(Model):
    """An invoice as the platform holds it, read from the platform's own answer."""

    id: str
    number: str | None = None
    reference: str | None = None
    key: str | None = None
    """Our business key, read back from the second field; None when the document does not carry one."""
    status: Status
    currency: str
    total: Decimal
    tax: Decimal | None = None
    due: Decimal | None = None
    customer_id: str | None = None
    url: str | None = None
    """Where the customer can see and pay it."""
