"""A sale of Cin7 Core in our words: one document of the answers of its API, added up to the cent.

Prices have four decimals and say by `TaxCalculation` whether tax is in them; a line names its tax by a rule, whose
percentage stands in a list of its own. Products are lines by their SKU, and additional charges (shipping, fees) are
lines, too; the one that is negative is the order's discount.

Facts: dearinventory.docs.apiary.io, "Sale" (fields and states), "Sale order" (four decimals), "Tax" (`TaxPercent`). In
doubt: whether a line's own `Total` holds tax (it is not read: quantity × price less the discount counts), and negative
charges.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any

from pydantic import AfterValidator

from connectors.countries import alpha_2
from connectors.model import (
    Address,
    Adjustment,
    Amount,
    Currency,
    Line,
    Order,
    Party,
    Refund,
    RefundLine,
    Shipment,
    ShipmentLine,
    Tax,
    rounded,
)
from connectors.sources.base import NotInvoiceable
from connectors.sources.reading import Body, Many, Said, check_tax, party, spread, unit_price

NOTHING = Decimal(0)
OPEN = ("DRAFT", "NOT AVAILABLE")
"""States of an order that is not one yet."""
UtcTime = Annotated[datetime, AfterValidator(lambda time: time if time.tzinfo else time.replace(tzinfo=UTC))]
"""Sale dates are UTC, and do not always say so."""


class Priced(Body):
    """What lines and charges have in common."""

    SKU: Said = None
    Name: Said = None
    Description: Said = None
    Quantity: Amount
    Price: Amount
    Discount: Amount = NOTHING
    """In percent."""
    Tax: Amount = NOTHING
    TaxRule: Said = None

    @property
    def amount(self) -> Decimal:
        return self.Quantity * self.Price * (100 - self.Discount) / 100


class SaleOrder(Body):
    SaleOrderNumber: Said = None
    Lines: Many[Priced] = ()
    AdditionalCharges: Many[Priced] = ()
    Tax: Amount = NOTHING
    Total: Amount


class Place(Body):
    Line1: Said = None
    Line2: Said = None
    City: Said = None
    State: Said = None
    Postcode: Said = None
    Country: Said = None


class CreditNote(Body):
    TaskID: Said = None
    CreditNoteNumber: Said = None
    CreditNoteDate: UtcTime | None = None
    Memo: Said = None
    Lines: Many[Priced] = ()
    Total: Amount


class Parcel(Body):
    """A line of a shipment; `holds` is what was packed, where the shipment is one parcel."""

    ID: Said = None
    Carrier: Said = None
    TrackingNumber: Said = None
    ShipmentDate: UtcTime | None = None
    holds: Many[Any] = ()


class Sale(Body):
    """The fields of a sale that an invoice needs."""

    ID: str
    CustomerCurrency: Currency
    TaxCalculation: Said = None
    SaleOrderDate: UtcTime | None = None
    LastModifiedOn: UtcTime | None = None
    Customer: Said = None
    CustomerID: Said = None
    Contact: Said = None
    Email: Said = None
    Phone: Said = None
    BillingAddress: Place | None = None
    ShippingAddress: Place | None = None
    SourceChannel: Said = None
    Order: SaleOrder


def order_of(sale: Sale, rates: Mapping[str, Decimal], parcels: Sequence[Parcel]) -> Order:
    """The sale's order; `rates`: percent by the name of the tax rule. Raises `ValidationError` (does not add up) or
    `NotInvoiceable` (unknown tax rule, several discounts)."""
    currency = sale.CustomerCurrency
    charged = [each for each in (*sale.Order.Lines, *sale.Order.AdditionalCharges) if each.Quantity]
    names = references(charged)
    amounts = spread([each.amount for each in charged], currency)
    taxes = spread([each.Tax for each in charged], currency)
    parts = list(zip(charged, names, amounts, taxes, strict=True))
    order = Order(
        id=sale.ID,
        ref=sale.Order.SaleOrderNumber or sale.ID,
        currency=currency,
        placed_at=sale.SaleOrderDate,
        tax_included=sale.TaxCalculation == "Inclusive",
        customer=_customer(sale),
        billing_address=_address(sale.BillingAddress),
        shipping_address=_address(sale.ShippingAddress),
        lines=tuple(
            _line(each, name, amount, _tax(each, tax, rates), currency)
            for each, name, amount, tax in parts
            if each.amount >= 0
        ),
        discount=_discount(parts, rates),
        total=rounded(sale.Order.Total, currency),
        channel=sale.SourceChannel,
        shipments=tuple(shipment_of(each, charged) for each in parcels)[:1000],
    )
    check_tax(order, rounded(sale.Order.Tax, currency))
    return order


def shipment_of(parcel: Parcel, charged: Sequence[Priced]) -> Shipment:
    """A parcel; what is in it is told where each of its SKUs stands in the order once. `charged`: the order's lines,
    none where they are not this sale's to name."""
    number = (parcel.TrackingNumber or "").strip() or None
    ref = parcel.ID or number
    if ref is None:
        raise NotInvoiceable("Cin7 Core tells of a parcel with neither id nor tracking number")
    return Shipment(ref=ref, carrier=parcel.Carrier, tracking_number=number, lines=_held(parcel, charged))


def refund_of(note: CreditNote, sale: Sale) -> Refund:
    """A credit note; its lines are told by their SKUs. Raises `ValidationError` or `NotInvoiceable`."""
    ref = note.CreditNoteNumber or note.TaskID
    if ref is None:
        raise NotInvoiceable("Cin7 Core tells of a credit note with neither number nor id")
    own = _once(sale.Order.Lines)
    lines = [
        RefundLine(
            ref=each.SKU,
            quantity=each.Quantity,
            amount=rounded(each.amount, sale.CustomerCurrency),
            tax=rounded(each.Tax, sale.CustomerCurrency),
        )
        for each in note.Lines
        if each.SKU in own and each.SKU in _once(note.Lines)
    ]
    return Refund(ref=ref, lines=tuple(lines), total=rounded(note.Total, sale.CustomerCurrency), reason=note.Memo)


def references(charged: Sequence[Priced]) -> list[str]:
    """A name for each line, the same each time: its SKU, or what it is called; with a number where that comes again."""
    seen: Counter[str] = Counter()
    found = []
    for each in charged:
        name = (each.SKU or each.Description or each.Name or "item")[:180]
        seen[name] += 1
        found.append(name if seen[name] == 1 else f"{name}#{seen[name]}")
    return found


def _once(lines: Sequence[Priced]) -> set[str]:
    count = Counter(each.SKU for each in lines if each.SKU)
    return {sku for sku, times in count.items() if times == 1}


def _held(parcel: Parcel, charged: Sequence[Priced]) -> tuple[ShipmentLine, ...]:
    own = _once(charged)
    held: dict[str, Decimal] = {}
    for each in parcel.holds:
        sku, quantity = (each.get("SKU"), each.get("Quantity")) if isinstance(each, dict) else (None, None)
        if not isinstance(sku, str) or sku not in own or isinstance(quantity, bool):
            return ()
        if not isinstance(quantity, int | float) or quantity <= 0:
            return ()
        held[sku] = held.get(sku, NOTHING) + Decimal(str(quantity))
    return tuple(ShipmentLine(ref=sku, quantity=quantity) for sku, quantity in held.items())


def _line(each: Priced, name: str, amount: Decimal, tax: Tax | None, currency: str) -> Line:
    """With the price that Cin7 Core shows where it gives the amount, else with one that does."""
    price, before = each.Price, rounded(each.Quantity * each.Price, currency)
    if before < amount or (before != amount and not each.Discount):
        price, before = unit_price(amount, each.Quantity, currency), amount
    return Line(
        ref=name,
        sku=each.SKU,
        description=each.Name or each.Description or each.SKU or "Item",
        quantity=each.Quantity,
        unit_price=price,
        discount=before - amount,
        tax=tax,
    )


def _discount(parts: Sequence[tuple[Priced, str, Decimal, Decimal]], rates: Mapping[str, Decimal]) -> Adjustment | None:
    negative = [part for part in parts if part[0].amount < 0]
    if not negative:
        return None
    if len(negative) > 1:
        raise NotInvoiceable(f"it has {len(negative)} negative lines, and an invoice can show only one order discount")
    ((each, _, amount, tax),) = negative
    return Adjustment(
        amount=-amount, tax=_tax(each, -tax, rates), description=each.Description or each.Name or "Discount"
    )


def _tax(each: Priced, amount: Decimal, rates: Mapping[str, Decimal]) -> Tax | None:
    rate = rates.get(each.TaxRule or "")
    if rate is not None:
        return Tax(name=each.TaxRule or "Tax", rate=rate, amount=amount)
    if not amount:
        return None
    raise NotInvoiceable(f"its tax rule {each.TaxRule!r} is not in Cin7 Core's list of tax rules")


def _customer(sale: Sale) -> Party:
    """By the e-mail address where there is one: one customer of Cin7 Core may stand for all buyers of a shop."""
    person = sale.Contact or sale.Customer
    return party(
        ref=None if sale.Email else sale.CustomerID,
        name=person,
        company=sale.Customer if sale.Customer != person else None,
        email=sale.Email,
        phone=sale.Phone,
    )


def _address(place: Place | None) -> Address | None:
    if place is None:
        return None
    address = Address(
        line1=place.Line1,
        line2=place.Line2,
        city=place.City,
        region=place.State,
        postcode=place.Postcode,
        country=alpha_2(place.Country),
    )
    return None if address == Address() else address


def parcels_of(sale: Any) -> Iterator[dict[str, Any]]:
    """The parcels of a sale that have left, each with its shipment's id and, where it is that one's only one, what is
    in it."""
    for fulfilment in _dicts(sale.get("Fulfilments")):
        ship = fulfilment.get("Ship")
        lines = _dicts(ship.get("Lines")) if isinstance(ship, dict) and ship.get("Status") == "AUTHORISED" else []
        for each in lines:
            if each.get("IsShipped") is True:
                kept = {name: each.get(name) for name in ("ID", "Carrier", "TrackingNumber", "ShipmentDate")}
                alone = len(lines) == 1
                yield {**kept, "task": fulfilment.get("TaskID"), "holds": _packed(fulfilment) if alone else []}


def _packed(fulfilment: Mapping[str, Any]) -> list[dict[str, Any]]:
    for stage in ("Pack", "Pick"):
        found = fulfilment.get(stage)
        if isinstance(found, dict) and (lines := _dicts(found.get("Lines"))):
            return [{name: each.get(name) for name in ("SKU", "Quantity")} for each in lines]
    return []


def _dicts(value: Any) -> list[dict[str, Any]]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []
