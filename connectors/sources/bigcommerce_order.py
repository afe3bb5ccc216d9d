"""BigCommerce's order in our words: one document of several answers of its v2 API, added up to the cent.

Amounts come in two columns, without and with tax. The column in which the shop enters its prices is exact, the other
an estimate; `is_tax_inclusive_pricing` says which. Lines are before discounts, and their taxes may be before or after
them: what the taxes of the parts and of the order say decides. Amounts have four decimals: they are rounded so that
the rounded ones have the rounded sum.

Facts: bigcommerce/docs, reference/orders.v2.oas2.yml (`default_currency_code` is what the shopper pays in,
`is_tax_inclusive_pricing`, `applied_discounts`, order fees, order taxes). In doubt: that taxes of different `priority`
are charged one on the other.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal

from connectors.model import (
    Address,
    Adjustment,
    Charge,
    Currency,
    Line,
    Order,
    Party,
    Shipment,
    ShipmentLine,
    Tax,
    from_minor,
    rounded,
)
from connectors.sources.base import NotInvoiceable
from connectors.sources.bigcommerce_words import BigOrder, Contact, Fees, Parcel, Product, TaxRow, Told
from connectors.sources.reading import (
    Body,
    TaxPart,
    attributes,
    check_tax,
    country_code,
    full_name,
    one_tax,
    party,
    plain,
    spread,
    unit_price,
)

_NOTHING = Decimal(0)


class _Currency(Body):
    currency: Currency


@dataclass(frozen=True, slots=True)
class Part:
    """Something that is charged: its amount in both columns, its tax, and what kind of tax row belongs to it."""

    ref: str
    name: str
    ex: Decimal
    inc: Decimal
    tax: Decimal
    row: str
    product: Product | None = None


def order_of(told: Told) -> Order:
    """Raises `ValidationError` or `NotInvoiceable` where it does not add up, or a tax rate is not told."""
    currency = _Currency(currency=told.currency).currency
    parts = list(_parts(told))
    amounts = spread([getattr(part, told.side) for part in parts], currency)
    taxes = spread([part.tax for part in parts], currency)
    charged = [(part, amounts[at], _tax(told, part, taxes[at], currency)) for at, part in enumerate(parts)]
    shares, discount = _discounts(told, parts, sum(amounts, _NOTHING), currency)
    shipping = next((Charge(amount=a, tax=t, description=p.name) for p, a, t in charged if p.row == "shipping"), None)
    contact = told.shipping_addresses[0] if told.shipping_addresses else Contact()
    order = Order(
        id=told.order.id,
        ref=told.order.id,
        currency=currency,
        placed_at=told.order.date_created,
        tax_included=told.side == "inc",
        customer=_customer(told.order),
        billing_address=_address(told.order.billing_address),
        shipping_address=_address(contact),
        lines=tuple(
            _line(part, amount, shares[at], tax, told.side, currency)
            for at, (part, amount, tax) in enumerate(charged)
            if part.row != "shipping"
        ),
        discount=discount,
        shipping=shipping,
        total=rounded(told.order.total_inc_tax, currency),
        channel=told.order.order_source,
        shipments=tuple(_shipment(each) for each in told.shipments),
    )
    check_tax(order, rounded(told.order.total_tax, currency))
    return order


def _parts(told: Told) -> Iterator[Part]:
    order = told.order
    for each in told.products:
        if each.quantity:
            name = each.name or each.sku or "Item"
            yield Part(each.id, name, each.total_ex_tax, each.total_inc_tax, each.total_tax, "item", each)
    for row, name in (("handling", "Handling"), ("wrapping", "Gift wrapping")):
        ex, inc, tax = (getattr(order, f"{row}_cost_{column}") for column in ("ex_tax", "inc_tax", "tax"))
        if ex or inc:
            yield Part(row, name, ex, inc, tax, "gift-wrapping" if row == "wrapping" else row)
    for at, fee in enumerate(Fees.model_validate({"fees": order.fees}).fees if isinstance(order.fees, list) else ()):
        name = fee.display_name_customer or "Fee"
        yield Part(f"fee-{fee.id or at}", name, fee.cost_inc_tax - fee.cost_tax, fee.cost_inc_tax, fee.cost_tax, "fee")
    if order.shipping_cost_ex_tax or order.shipping_cost_inc_tax:
        name = next((each.shipping_method for each in told.shipping_addresses if each.shipping_method), "Shipping")
        ex, inc, tax = order.shipping_cost_ex_tax, order.shipping_cost_inc_tax, order.shipping_cost_tax
        yield Part("shipping", name or "Shipping", ex, inc, tax, "shipping")


def _discounts(
    told: Told, parts: Sequence[Part], charged: Decimal, currency: str
) -> tuple[list[Decimal], Adjustment | None]:
    """What was taken off each part, or off the order as a whole.

    Where the taxes of the parts are those of the order, they are after the discount: it belongs to the lines then.
    """
    none = [_NOTHING] * len(parts)
    off = charged - rounded(getattr(told.order, f"total_{told.side}_tax"), currency)
    _explained(told, parts, off, currency)
    if not off:
        return none, None
    excess = rounded(sum((part.tax for part in parts), _NOTHING) - told.order.total_tax, currency)
    weights = [
        sum((each.amount for each in part.product.applied_discounts), _NOTHING) if part.product else _NOTHING
        for part in parts
    ]
    if not any(weights) and sum(part.row == "item" for part in parts) == 1:
        weights = [Decimal(part.row == "item") for part in parts]
    if not excess and any(weights):
        return spread([off * weight / sum(weights) for weight in weights], currency), None
    if not excess and told.order.total_tax:
        raise NotInvoiceable(
            f"{off} {currency} were taken off the order, and BigCommerce does not say how much off which line"
        )
    return none, Adjustment(amount=off, tax=_tax_taken_off(told, off, excess, len(parts), currency))


def _explained(told: Told, parts: Sequence[Part], off: Decimal, currency: str) -> None:
    """The parts may come to more than the order's total only by a discount that it states, in either column."""
    stated = rounded(told.order.discount_amount + told.order.coupon_discount, currency)
    other = "ex" if told.side == "inc" else "inc"
    elsewhere = sum((getattr(part, other) for part in parts), _NOTHING) - getattr(told.order, f"total_{other}_tax")
    if off not in (_NOTHING, stated) and not (off > 0 and rounded(elsewhere, currency) == stated):
        raise NotInvoiceable(
            f"its lines, shipping and fees come to {off} {currency} more than its total, but the discounts it states"
            f" are {stated}, a difference of {off - stated}"
        )


def _tax_taken_off(told: Told, off: Decimal, excess: Decimal, count: int, currency: str) -> Tax | None:
    if not excess:
        return None
    rates = _rates(told.taxes)
    if len(rates) != 1:
        raise NotInvoiceable(
            f"{off} {currency} were taken off lines with different taxes, and nobody says how much off"
        )
    rate = rates[0].rate
    due = off * rate / (100 + rate if told.side == "inc" else 100)
    if abs(due - excess) > from_minor(count + 1, currency) / 2:
        raise NotInvoiceable(
            f"the taxes of its lines and shipping are {excess} {currency} more than the order's, but the discount takes"
            f" only {rounded(due, currency)} off, a difference of {excess - rounded(due, currency)}"
        )
    return Tax(name=rates[0].name or "Tax", rate=plain(rate), amount=excess)


def _line(part: Part, amount: Decimal, off: Decimal, tax: Tax | None, side: str, currency: str) -> Line:
    product = part.product
    if product is None:
        return Line(ref=part.ref, description=part.name, quantity=Decimal(1), unit_price=amount, discount=off, tax=tax)
    price: Decimal = getattr(product, f"price_{side}_tax")
    fits = rounded(price * product.quantity, currency) == amount
    return Line(
        ref=part.ref,
        sku=product.sku,
        description=part.name,
        quantity=product.quantity,
        unit_price=plain(price) if fits else unit_price(amount, product.quantity, currency),
        discount=off,
        tax=tax,
        attributes={
            **attributes(product.configurable_fields, "name", "value"),
            **attributes(product.product_options, "display_name", "display_value"),
        },
    )


def _rates(rows: Sequence[TaxRow]) -> list[TaxRow]:
    """One row for each rate that is charged."""
    return list({row.rate: row for row in rows if row.rate}.values())


def _tax(told: Told, part: Part, amount: Decimal, currency: str) -> Tax | None:
    """By the part's own tax rows or, where it has none, at the only rate that the order has."""
    own = [
        row
        for row in told.taxes
        if row.line_item_type == part.row and (part.product is None or row.order_product_id == part.ref)
    ]
    if part.product is None:
        own = list({(row.name, row.rate, row.priority): row for row in own}.values())
    if not amount:
        return Tax(name=own[0].name or "Tax", rate=_NOTHING, amount=_NOTHING) if own and not _rates(own) else None
    only = _rates(told.taxes)
    rows = [row for row in own if row.rate] or (only if len(only) == 1 else [])
    if not rows:
        raise NotInvoiceable(
            f"{part.name!r} has {amount} {currency} of tax, but BigCommerce does not say at which rate"
        )
    first = min(row.priority for row in rows)
    return one_tax([TaxPart(row.name or "Tax", row.rate, row.priority > first) for row in rows], amount)


def _shipment(parcel: Parcel) -> Shipment:
    return Shipment(
        ref=parcel.id,
        carrier=parcel.tracking_carrier or parcel.shipping_provider,
        tracking_number=parcel.tracking_number,
        lines=tuple(
            ShipmentLine(ref=each.order_product_id, quantity=each.quantity) for each in parcel.items if each.quantity
        ),
    )


def _customer(order: BigOrder) -> Party:
    """A guest has the customer id 0, and then no reference."""
    contact = order.billing_address
    return party(
        ref=None if order.customer_id == "0" else order.customer_id,
        name=full_name(contact.first_name, contact.last_name),
        company=contact.company,
        email=contact.email,
        phone=contact.phone,
    )


def _address(theirs: Contact) -> Address | None:
    address = Address(
        line1=theirs.street_1,
        line2=theirs.street_2,
        city=theirs.city,
        region=theirs.state,
        postcode=theirs.zip,
        country=country_code(theirs.country_iso2),
    )
    return None if address == Address() else address
