"""HubSpot's deal in our words: its line items, and the company or contact that is billed.

The lines' own amounts count: `amount` is after the discount and without tax. A deal's amount can be typed over: where
it is neither what the lines come to without tax nor with it, the order is for a person. HubSpot's tax is on top of
prices. Its rate is that of the line's tax rate group, else `hs_tax_rate`; the amount must be that percentage.

Facts: developers.hubspot.com, line items guide (`hs_tax_rate_group_id`, `recurringbillingfrequency`); HubSpot's public
API specs, Settings/Tax Rates 2026-03 (`percentageRate`). In doubt, since no vendor's page lists them: the computed
properties `hs_pre_discount_amount`, `hs_total_discount`, `hs_tax_amount`, `hs_tax_rate` and `hs_post_tax_amount`, and
`hs_country_code`/`hs_country_region_code`, which are as seen in answers that others have published. A property that a
HubSpot account does not have is left out of its answer.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from connectors.model import Address, Amount, Currency, Line, Moment, Order, Party, Tax, rounded
from connectors.sources.base import NotInvoiceable
from connectors.sources.reading import Body, Many, Said, full_name, party, plain, unit_price

_NOTHING = Decimal(0)
_Number = Annotated[Amount | None, BeforeValidator(lambda value: None if value == "" else value)]
DEAL = ("dealname", "dealstage", "pipeline", "amount", "deal_currency_code", "closedate", "createdate")
LINE = (
    "name", "description", "hs_sku", "quantity", "price", "amount", "hs_pre_discount_amount", "hs_tax_rate_group_id",
    "hs_tax_rate", "hs_tax_amount", "hs_post_tax_amount", "tax", "recurringbillingfrequency",
    "hs_recurring_billing_period", "hs_line_item_currency_code", "hs_position_on_quote",
)  # fmt: skip
CONTACT = (
    "firstname", "lastname", "email", "phone", "company", "address", "city", "state", "zip", "hs_country_region_code",
)  # fmt: skip
COMPANY = ("name", "phone", "address", "address2", "city", "state", "zip", "hs_country_code")


class DealProperties(Body):
    amount: _Number = None
    deal_currency_code: Said = None
    createdate: Moment | None = None


class Deal(Body):
    id: str
    properties: DealProperties
    updatedAt: Moment  # noqa: N815


class LineProperties(Body):
    name: Said = None
    description: Said = None
    hs_sku: Said = None
    quantity: Amount
    price: _Number = None
    amount: Amount
    hs_pre_discount_amount: _Number = None
    hs_tax_rate_group_id: Said = None
    hs_tax_rate: _Number = None
    hs_tax_amount: _Number = None
    hs_post_tax_amount: _Number = None
    tax: _Number = None
    recurringbillingfrequency: Said = None
    hs_recurring_billing_period: Said = None
    hs_line_item_currency_code: Said = None

    @property
    def charged(self) -> Decimal:
        """The tax in HubSpot's words, whichever it has."""
        if self.hs_tax_amount is not None:
            return self.hs_tax_amount
        if self.hs_post_tax_amount is not None:
            return self.hs_post_tax_amount - self.amount
        return self.tax or _NOTHING


class LineItem(Body):
    id: str
    properties: LineProperties


class PersonProperties(Body):
    """Of a contact or a company: what either has."""

    name: Said = None
    firstname: Said = None
    lastname: Said = None
    company: Said = None
    email: Said = None
    phone: Said = None
    address: Said = None
    address2: Said = None
    city: Said = None
    state: Said = None
    zip: Said = None
    hs_country_code: Said = None
    hs_country_region_code: Said = None


class Person(Body):
    id: str
    properties: PersonProperties


class Rate(Body):
    """A tax rate group."""

    name: Said = None
    label: Said = None
    percentageRate: Amount  # noqa: N815


class Told(Body):
    """A deal and what belongs to it, in one document."""

    deal: Deal
    lines: Many[LineItem] = ()
    contact: Person | None = None
    company: Person | None = None
    rates: dict[str, Rate] = Field(default_factory=dict)


class _Currency(Body):
    currency: Currency


def order_of(told: Told, name: str | None, account_currency: str | None) -> Order:
    """`name`: what people call it. `account_currency`: where the deal names none.

    Raises `ValidationError` or `NotInvoiceable` where it cannot be told.
    """
    if not told.lines:
        raise NotInvoiceable("it has no line items in HubSpot, so nobody knows what to invoice; add them there")
    if told.contact is None and told.company is None:
        raise NotInvoiceable(
            "it has neither a contact nor a company in HubSpot, so nobody can be billed; add one there"
        )
    currency = _currency(told, account_currency)
    lines = tuple(_line(each, told.rates, currency) for each in told.lines)
    net = sum((line.amount(currency) for line in lines), _NOTHING)
    total = net + sum((line.tax.amount for line in lines if line.tax), _NOTHING)
    address = _address(told)
    stated = told.deal.properties.amount
    differs = stated is not None and rounded(stated, currency) not in (net, total)
    return Order(
        id=told.deal.id,
        ref=name or told.deal.id,
        currency=currency,
        placed_at=told.deal.properties.createdate,
        customer=_customer(told),
        billing_address=address,
        lines=lines,
        total=total,
        hold=f"the deal's amount is {stated} {currency}, but its line items come to {net}" if differs else None,
    )


def _currency(told: Told, account_currency: str | None) -> str:
    named = {each.properties.hs_line_item_currency_code for each in told.lines} - {None}
    code = told.deal.properties.deal_currency_code or (named.pop() if len(named) == 1 else None) or account_currency
    if code is None:
        raise NotInvoiceable("HubSpot does not say in which currency it is; set the option currency of this source")
    currency = _Currency(currency=code).currency
    if any((each.properties.hs_line_item_currency_code or currency).upper() != currency for each in told.lines):
        raise NotInvoiceable(f"it is in {currency}, but not all of its line items are")
    return currency


def _line(item: LineItem, rates: Mapping[str, Rate], currency: str) -> Line:
    theirs = item.properties
    name = theirs.name or theirs.hs_sku or "Item"
    if theirs.recurringbillingfrequency or theirs.hs_recurring_billing_period:
        raise NotInvoiceable(f"{name!r} is billed again and again, which is not a matter of one invoice")
    net = rounded(theirs.amount, currency)
    before = theirs.hs_pre_discount_amount
    gross = rounded(theirs.quantity * (theirs.price or _NOTHING) if before is None else before, currency)
    if gross < net:
        raise NotInvoiceable(f"the amount of {name!r} is {net} {currency}, more than its price comes to, {gross}")
    fits = theirs.price is not None and rounded(theirs.price * theirs.quantity, currency) == gross
    return Line(
        ref=item.id,
        sku=theirs.hs_sku,
        description=name,
        quantity=theirs.quantity,
        unit_price=plain(theirs.price)
        if fits and theirs.price is not None
        else _split(gross, theirs.quantity, currency),
        discount=gross - net,
        tax=_tax(name, theirs, net, rates, currency),
        attributes={"description": theirs.description[:4000]} if theirs.description else {},
    )


def _split(gross: Decimal, quantity: Decimal, currency: str) -> Decimal:
    if not quantity:
        raise NotInvoiceable("one of its line items has the quantity 0")
    return unit_price(gross, quantity, currency)


def _tax(name: str, theirs: LineProperties, net: Decimal, rates: Mapping[str, Rate], currency: str) -> Tax | None:
    """Raises `NotInvoiceable` where the rate of a tax is not told, or is not what was charged."""
    group = rates.get(theirs.hs_tax_rate_group_id or "")
    rate = group.percentageRate if group else theirs.hs_tax_rate
    amount = rounded(theirs.charged, currency)
    if rate is None:
        if amount or theirs.hs_tax_rate_group_id:
            raise NotInvoiceable(f"{name!r} has {amount} {currency} of tax, but HubSpot does not say at which rate")
        return None
    due = rounded(net * rate / 100, currency)
    if theirs.hs_tax_amount is None and theirs.hs_post_tax_amount is None and theirs.tax is None:
        amount = due
    if abs(due - amount) > rounded(Decimal("0.01"), currency) + abs(due) / 1000:
        raise NotInvoiceable(f"the tax of {name!r} is {amount} {currency}, but {plain(rate)}% of it is {due}")
    label = (group.label or group.name) if group else None
    return Tax(name=label or "Tax", rate=plain(rate), amount=amount)


def _customer(told: Told) -> Party:
    """The company where there is one, with the contact's name and address for mail."""
    person = told.contact.properties if told.contact else PersonProperties()
    firm = told.company.properties if told.company else PersonProperties()
    ref = f"company-{told.company.id}" if told.company else told.contact.id if told.contact else None
    return party(
        ref=ref,
        name=full_name(person.firstname, person.lastname),
        company=firm.name or person.company,
        email=person.email,
        phone=person.phone or firm.phone,
    )


def _address(told: Told) -> Address | None:
    """Of the company where it has one, else of the contact."""
    for owner in (told.company, told.contact):
        theirs = owner.properties if owner else PersonProperties()
        if not (theirs.address or theirs.city or theirs.zip):
            continue
        code = (theirs.hs_country_code or theirs.hs_country_region_code or "").upper()
        return Address(
            line1=theirs.address,
            line2=theirs.address2,
            city=theirs.city,
            region=theirs.state,
            postcode=theirs.zip,
            country=code if len(code) == 2 and code.isascii() and code.isalpha() else None,
        )
    return None


def properties(wanted: tuple[str, ...], document: Any) -> dict[str, Any]:
    """An object of the CRM with what is kept of it: its id and the properties that are asked for."""
    told = document if isinstance(document, dict) else {}
    theirs = told.get("properties")
    values = theirs if isinstance(theirs, dict) else {}
    return {"id": told.get("id"), "properties": {name: values.get(name) for name in wanted}}
