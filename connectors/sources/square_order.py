"""Square's order in our words, added up to the unit as Square has computed it.

Square has spread every discount and tax over lines and charges already, and rounded them; nothing is computed anew.
Taxes are all in the prices, or all on top; where an order has both, its lines are told without tax and after their
discount, which is what comes to the same. A tip is the customer's gift: it is no part of an invoice, nor of the total.
Charges that are spread over the lines are in their prices; others are lines.

Facts: square/connect-api-specification, api.json of 2025-08-20; "gross_sales_money" is not read, for whether it holds
tax depends on the country. In doubt: that `total_money` holds the rounding of cash.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal

from connectors import model
from connectors.model import Adjustment, Currency, Line, Order, Party, Shipment, ShipmentLine, Tax, from_minor
from connectors.sources import square_words as words
from connectors.sources.base import NotInvoiceable
from connectors.sources.reading import Body, TaxPart, country_code, full_name, one_tax, party, unit_price

_GIVEN_UP = ("CANCELED", "FAILED")
_APPORTIONED = "APPORTIONED_TREATMENT"


class _Currency(Body):
    currency: Currency


class Reader:
    """Reads one order. Raises `ValidationError` or `NotInvoiceable` where it cannot be told."""

    def __init__(self, told: words.Told) -> None:
        self.told, self.theirs = told, told.order
        self.currency = _Currency(currency=told.order.total_money.currency or "").currency
        self._taxes: Mapping[str | None, words.TaxRow] = {each.uid: each for each in told.order.taxes}
        kinds = {self._kind(each) for part in self._parts() for each in part.applied_taxes if each.applied_money.amount}
        self._included, self._mixed = kinds == {"INCLUSIVE"}, len(kinds) > 1

    def order(self, hold: str | None) -> Order:
        """`hold`: why it is not to be invoiced without a person."""
        theirs, customer = self.theirs, self.told.customer
        adjustment = theirs.rounding_adjustment.amount_money.amount if theirs.rounding_adjustment else 0
        lines = [self._line(each, at) for at, each in enumerate(theirs.line_items) if each.quantity]
        lines += [self._charge(each, at) for at, each in enumerate(self._charges())]
        if adjustment > 0:
            rounding = self._money(adjustment)
            lines.append(Line(ref="rounding", description="Rounding", quantity=Decimal(1), unit_price=rounding))
        recipient = next((each.recipient for each in self._handed_over() if each.recipient), None)
        billing = _address(customer.address if customer else None)
        return Order(
            id=theirs.id,
            ref=theirs.reference_id or theirs.id,
            currency=self.currency,
            placed_at=theirs.created_at,
            tax_included=self._included,
            customer=_party(theirs.customer_id, customer, recipient),
            billing_address=billing,
            shipping_address=_address(recipient.address if recipient else None),
            lines=tuple(lines),
            discount=Adjustment(amount=self._money(-adjustment), description="Rounding") if adjustment < 0 else None,
            total=self._money(theirs.total_money.amount - theirs.total_tip_money.amount),
            channel=theirs.source.name if theirs.source else None,
            shipments=tuple(self._shipments()),
            hold=hold,
        )

    def said(self, units: int) -> str:
        """An amount for the reader."""
        return f"{self._money(units)} {self.currency}"

    def _money(self, units: int) -> Decimal:
        return from_minor(units, self.currency)

    def _kind(self, applied: words.AppliedTax) -> str:
        row = self._taxes.get(applied.tax_uid)
        return "INCLUSIVE" if row is not None and row.type == "INCLUSIVE" else "ADDITIVE"

    def _charges(self) -> list[words.ServiceCharge]:
        """Those that are not in the lines."""
        return [each for each in self.theirs.service_charges if each.treatment_type != _APPORTIONED]

    def _parts(self) -> list[words.LineItem | words.ServiceCharge]:
        return [*self.theirs.line_items, *self._charges()]

    def _tax(self, name: str, part: words.LineItem | words.ServiceCharge) -> Tax | None:
        """All of its taxes as one. Raises `NotInvoiceable` where nobody says at which rate."""
        amount = self._money(part.total_tax_money.amount)
        rows = [row for each in part.applied_taxes if (row := self._taxes.get(each.tax_uid)) is not None]
        rates = [TaxPart(row.name or "Tax", row.percentage) for row in rows if row.percentage is not None]
        if amount and (not rates or len(rates) < len(part.applied_taxes)):
            raise NotInvoiceable(f"{name!r} has {amount} {self.currency} of tax, but Square does not say at which rate")
        return one_tax(rates, amount)

    def _line(self, item: words.LineItem, at: int) -> Line:
        name = ", ".join(filter(None, (item.name, item.variation_name if item.variation_name != item.name else None)))
        gross, off = self._money(item.gross), self._money(item.total_discount_money.amount)
        if self._mixed:
            gross, off = self._money(item.total_money.amount - item.total_tax_money.amount), Decimal(0)
        chosen = ", ".join(each.name for each in item.modifiers if each.name)
        sku = item.metadata.get("sku") if isinstance(item.metadata, dict) else None
        said = {"with": chosen, "note": item.note}
        return Line(
            ref=item.uid or f"line-{at + 1}",
            sku=sku if isinstance(sku, str) else None,
            description=name or "Item",
            quantity=item.quantity,
            unit_price=unit_price(gross, item.quantity, self.currency),
            discount=off,
            tax=self._tax(name or "Item", item),
            attributes={key: value[:4000] for key, value in said.items() if value},
        )

    def _charge(self, charge: words.ServiceCharge, at: int) -> Line:
        name = charge.name or "Service charge"
        amount = charge.applied_money.amount
        if self._mixed:
            amount = charge.total_money.amount - charge.total_tax_money.amount
        price = self._money(amount)
        ref = charge.uid or f"charge-{at + 1}"
        return Line(ref=ref, description=name, quantity=Decimal(1), unit_price=price, tax=self._tax(name, charge))

    def _handed_over(self) -> list[words.Fulfillment]:
        return [each for each in self.theirs.fulfillments if each.state not in _GIVEN_UP]

    def _shipments(self) -> Iterator[Shipment]:
        for at, each in enumerate(self._handed_over()):
            if each.type == "SHIPMENT":
                yield shipment(each, each.uid or f"shipment-{at + 1}")


def shipment(fulfillment: words.Fulfillment, ref: str) -> Shipment:
    """A parcel; without lines where it is of the whole order, or nobody says."""
    details = fulfillment.shipment_details
    held = [each for each in fulfillment.entries if each.line_item_uid and each.quantity > 0]
    return Shipment(
        ref=ref,
        carrier=details.carrier if details else None,
        tracking_number=details.tracking_number if details else None,
        lines=tuple(ShipmentLine(ref=each.line_item_uid or "", quantity=each.quantity) for each in held),
    )


def _party(ref: str | None, customer: words.Customer | None, recipient: words.Recipient | None) -> Party:
    """The customer's profile, or whoever it was handed over to."""
    them, to = customer or words.Customer(), recipient or words.Recipient()
    return party(
        ref=ref,
        name=full_name(them.given_name, them.family_name) or to.display_name,
        company=them.company_name,
        email=them.email_address or to.email_address,
        phone=them.phone_number or to.phone_number,
        tax_id=them.tax_ids.eu_vat if them.tax_ids else None,
    )


def _address(theirs: words.Address | None) -> model.Address | None:
    if theirs is None:
        return None
    address = model.Address(
        line1=theirs.address_line_1,
        line2=theirs.address_line_2,
        city=theirs.locality,
        region=theirs.administrative_district_level_1,
        postcode=theirs.postal_code,
        country=None if theirs.country == "ZZ" else country_code(theirs.country),
    )
    return None if address == model.Address() else address
