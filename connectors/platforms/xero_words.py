"""Our drafts in Xero's words, as pure functions: contacts, invoices, and the rounding Xero will do to them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from typing import Annotated, Any

from pydantic import Field

from connectors.errors import Rejected
from connectors.model import Address, Amount, InvoiceDraft, Line, Tax
from connectors.platforms.base import Choice, PlatformSettings
from connectors.platforms.documents import CustomerDraft

CENT = Decimal("0.01")
BEFORE_KEY = " · "


class XeroSettings(PlatformSettings):
    """What the merchant configures; each comes from a look-up in Xero, named in the field's description."""

    tenant: Annotated[
        str, Field(min_length=1, description="the organisation's tenantId, from `GET https://api.xero.com/connections`")
    ]
    sales_account: Annotated[str, Field(min_length=1, description="code of the sales account")]
    shipping_account: Annotated[
        str | None, Field(description="code for shipping; the sales account where left out")
    ] = None
    tax: Annotated[
        dict[Amount, str],
        Field(min_length=1, description='rate in percent to tax type: `{ "20" = "OUTPUT2", "0" = "NONE" }`'),
    ]
    payment_days: Annotated[
        int, Field(ge=0, le=365, description="not read by the pipeline: the shop's `payment_days` counts")
    ] = 14
    branding_theme: Annotated[str | None, Field(description="BrandingThemeID")] = None


CHOICES = ("Accounts", "TaxRates", "BrandingThemes")


def choices(collection: str, raws: Iterable[Mapping[str, Any]]) -> list[Choice]:
    """What the merchant can choose from a collection: income accounts, taxes on sales, branding themes."""
    found: list[Choice] = []
    for raw in raws:
        if raw.get("Status", "ACTIVE") != "ACTIVE":
            continue
        if collection == "Accounts" and raw.get("Class") == "REVENUE" and raw.get("Code"):
            names = ("sales_account", "shipping_account")
            found += [Choice(setting=name, value=raw["Code"], title=raw["Name"]) for name in names]
        elif collection == "TaxRates" and raw.get("CanApplyToRevenue"):
            rate = f"{Decimal(raw['EffectiveRate']).normalize():f}"
            found.append(Choice(setting="tax", key=rate, value=raw["TaxType"], title=raw["Name"]))
        elif collection == "BrandingThemes":
            found.append(Choice(setting="branding_theme", value=raw["BrandingThemeID"], title=raw["Name"]))
    return found


def messages(element: Mapping[str, Any]) -> str:
    """The validation messages of an element of an answer, in one line."""
    return "; ".join(str(error["Message"]) for error in element.get("ValidationErrors") or ())


def quotable(value: str) -> bool:
    """Whether the value can stand between quotes in a `where`; how Xero escapes quotes is not documented."""
    return '"' not in value and "\\" not in value


def contact_number(key: str) -> str:
    """The customer's key as ContactNumber (at most 50 characters), shortened to the same text for ever."""
    if len(key) <= 50:
        return key
    return f"{key[:29]}-{hashlib.sha256(key.encode()).hexdigest()[:20]}"


def contact_name(draft: CustomerDraft) -> str:
    """The company as it is; a person with what tells two of one name apart. Printed on the invoice."""
    party = draft.party
    if party.company:
        return party.company.strip()
    distinct = party.ref or party.email or hashlib.sha256(draft.key.encode()).hexdigest()[:8]
    if not party.name or party.display_name == distinct:
        return party.display_name.strip()
    return f"{party.name.strip()} ({distinct})"


def contact(draft: CustomerDraft) -> dict[str, Any]:
    """A contact for PUT /Contacts. Raises `Rejected` naming what is longer than Xero takes; nothing is cut."""
    party = draft.party
    first, _, last = (party.name or "").strip().rpartition(" ")
    billing = draft.billing_address or draft.shipping_address
    shipping = draft.shipping_address or draft.billing_address
    addresses = [_address(kind, place) for kind, place in (("POBOX", billing), ("STREET", shipping)) if place]
    return _without_empty(
        {
            "Name": _fits("the customer's name", contact_name(draft), 255),
            "ContactNumber": contact_number(draft.key),
            "FirstName": _fits("the customer's first name", first or last, 255),
            "LastName": _fits("the customer's last name", last if first else "", 255),
            "EmailAddress": _fits("the customer's e-mail address", party.email, 255),
            "TaxNumber": _fits("the customer's tax number", party.tax_id, 50),
            "Addresses": addresses,
            "Phones": [{"PhoneType": "DEFAULT", "PhoneNumber": _fits("the customer's telephone", party.phone, 50)}]
            if party.phone
            else None,
        }
    )


def _address(kind: str, place: Address) -> dict[str, Any]:
    """POBOX is what invoices print, STREET where goods go; the country stays its two letters (letters only, ≤ 50)."""
    return _without_empty(
        {
            "AddressType": kind,
            "AddressLine1": _fits("the first line of the address", place.line1, 500),
            "AddressLine2": _fits("the second line of the address", place.line2, 500),
            "City": _fits("the city of the address", place.city, 255),
            "Region": _fits("the region of the address", place.region, 255),
            "PostalCode": _fits("the postcode of the address", place.postcode, 50),
            "Country": place.country,
        }
    )


def reference(draft: InvoiceDraft) -> str:
    """The `Reference` field: for people the order, then our whole key, which `key_in` reads back. At most 255."""
    if BEFORE_KEY in draft.key or len(draft.key) > 255 - len(BEFORE_KEY):
        raise Rejected(f"order {draft.order_ref}: its key does not fit into Xero's Reference field: {draft.key!r}")
    label = f"Order {draft.order_ref}"[: 255 - len(BEFORE_KEY) - len(draft.key)]
    return f"{label}{BEFORE_KEY}{draft.key}"


def key_in(text: str | None) -> str | None:
    """The business key in a `Reference`, None where the document carries none of ours."""
    _, found, key = (text or "").rpartition(BEFORE_KEY)
    return key if found else None


def invoice(draft: InvoiceDraft, customer_id: str, settings: XeroSettings) -> dict[str, Any]:
    """A sales invoice for PUT /Invoices. Raises `Rejected` where Xero could not give the order's total.

    Only the ContactID goes along: other contact fields in an invoice would change the contact.
    """
    if len(draft.reference) > 255:
        raise Rejected(f"order {draft.order_ref}: Xero takes invoice numbers of up to 255 characters")
    return _without_empty(
        {
            "Type": "ACCREC",
            "InvoiceNumber": draft.reference,
            "Reference": reference(draft),
            "Contact": {"ContactID": customer_id},
            "Date": draft.issued_on.isoformat(),
            "DueDate": draft.due_on.isoformat(),
            "CurrencyCode": draft.currency,
            "LineAmountTypes": "Inclusive" if draft.tax_included else "Exclusive",
            "Status": "AUTHORISED" if settings.issue else "DRAFT",
            "BrandingThemeID": settings.branding_theme,
            "LineItems": _line_items(draft, settings),
        }
    )


@dataclass(frozen=True)
class _Row:
    """A line as Xero will see it. Amounts in the order's currency; `tax` as the order charged it."""

    description: str
    quantity: Decimal
    unit: Decimal
    discount: Decimal
    account: str
    rate: Decimal
    tax: Decimal

    @property
    def amount(self) -> Decimal:
        """LineAmount = quantity × unit amount − discount amount (Xero-OpenAPI, LineItem), to two decimals."""
        return (self.quantity * self.unit - self.discount).quantize(CENT, ROUND_HALF_UP)

    def tax_by_xero(self, included: bool) -> Decimal:
        """Xero rounds tax per line to two decimals, then sums (developer.xero.com, guide "Rounding in Xero")."""
        share = self.rate / (100 + self.rate) if included else self.rate / 100
        return (self.amount * share).quantize(CENT, ROUND_HALF_UP)


def _line_items(draft: InvoiceDraft, settings: XeroSettings) -> list[dict[str, Any]]:
    """Lines, shipping and the order's discount (a negative line), with TaxAmount set only where it must be.

    Xero asks not to post tax amounts, but lets them be overridden "if the calculated TaxAmount is not correct"
    (Xero-OpenAPI, LineItem): done on the lines that differ, and only if their sum would not be the order's.
    """
    rows = list(_rows(draft, settings))
    taxes = [row.tax_by_xero(draft.tax_included) for row in rows]
    net = sum((row.amount for row in rows), Decimal(0))
    by_xero = sum(taxes, Decimal(0))
    agrees = by_xero == draft.tax_total and _total(draft, net, by_xero) == draft.total
    charged = _total(draft, net, sum((row.tax for row in rows), Decimal(0)))
    if not agrees and charged != draft.total:
        raise Rejected(
            f"order {draft.order_ref}: Xero would make the total {charged}, the order says {draft.total} "
            f"{draft.currency} (difference {charged - draft.total:+}), because Xero rounds each line to two decimals"
        )
    items = []
    for row, tax in zip(rows, taxes, strict=True):
        item = {
            "Description": row.description,
            "Quantity": row.quantity,
            "UnitAmount": row.unit,
            "AccountCode": row.account,
            "TaxType": _tax_type(row, draft, settings),
        }
        if row.discount:
            item["DiscountAmount"] = row.discount
        if not agrees and tax != row.tax:
            item["TaxAmount"] = row.tax
        items.append(item)
    return items


def _total(draft: InvoiceDraft, net: Decimal, tax: Decimal) -> Decimal:
    return net if draft.tax_included else net + tax


def _rows(draft: InvoiceDraft, settings: XeroSettings) -> Iterator[_Row]:
    shipping_account = settings.shipping_account or settings.sales_account
    for line in draft.lines:
        unit = _decimals(draft, f"the unit price of line {line.ref}", line.unit_price)
        quantity = _decimals(draft, f"the quantity of line {line.ref}", line.quantity)
        text = _described(draft, line)
        yield _Row(text, quantity, unit, line.discount, settings.sales_account, *_taxed(line.tax, 1))
    one, none = Decimal(1), Decimal(0)
    if draft.shipping and draft.shipping.amount:
        extra = draft.shipping
        yield _Row(extra.description or "Shipping", one, extra.amount, none, shipping_account, *_taxed(extra.tax, 1))
    if draft.discount and draft.discount.amount:
        off = draft.discount
        yield _Row(
            off.description or "Order discount", one, -off.amount, none, settings.sales_account, *_taxed(off.tax, -1)
        )


def _taxed(tax: Tax | None, sign: int) -> tuple[Decimal, Decimal]:
    return (tax.rate, sign * tax.amount) if tax else (Decimal(0), Decimal(0))


def _described(draft: InvoiceDraft, line: Line) -> str:
    """Description, SKU and attributes (an engraving), at most 4,000 characters; SKUs need not exist in Xero."""
    text = f"{line.description} ({line.sku})" if line.sku else line.description
    text = "\n".join([text, *(f"{name}: {value}" for name, value in line.attributes.items())])
    return _fits(f"order {draft.order_ref}: the description of line {line.ref}", text, 4000) or ""


def _tax_type(row: _Row, draft: InvoiceDraft, settings: XeroSettings) -> str:
    rate = f"{row.rate.normalize():f}"
    if row.rate not in settings.tax:
        raise Rejected(
            f'order {draft.order_ref}: no Xero tax type is configured for {rate} % tax: set tax."{rate}" in the '
            "account's settings (GET /TaxRates lists the tax types)"
        )
    return settings.tax[row.rate]


def _decimals(draft: InvoiceDraft, what: str, value: Decimal) -> Decimal:
    """Xero keeps four decimals of unit prices (unitdp=4) and of quantities."""
    if value != round(value, 4):
        raise Rejected(f"order {draft.order_ref}: {what} is {value}; Xero keeps four decimals")
    return value


def _fits(what: str, text: str | None, most: int) -> str | None:
    if text and len(text) > most:
        raise Rejected(f"{what} is {len(text)} characters long, Xero takes {most}")
    return text


def _without_empty(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value not in (None, "", [])}
