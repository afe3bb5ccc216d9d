"""Our drafts in Xero's words, as pure functions: contacts, invoices, and the rounding Xero will do to them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import ROUND_HALF_UP, Decimal
from typing import Annotated, Any

from pydantic import Field

from connectors.errors import Rejected
from connectors.model import Address, Amount, InvoiceDraft
from connectors.platforms.base import Choice, PlatformSettings, choices
from connectors.platforms.documents import CustomerDraft
from connectors.platforms.rows import Row, coded, percent, rows
from connectors.platforms.texts import distinct_name, first_and_last, fits, marked, placed, short, without_empty

TITLE = "Xero"
NUMBER = 50
"""Characters of a ContactNumber."""
ADDRESS, LONGEST = ("AddressLine1", "AddressLine2", "City", "Region", "PostalCode", "Country"), (500, 500, 255, 255, 50)
CENT = Decimal("0.01")


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


def offered(collection: str, raws: Iterable[Mapping[str, Any]]) -> list[Choice]:
    """What the merchant can choose from a collection: income accounts, taxes on sales, branding themes."""
    found: list[Choice] = []
    for raw in raws:
        if raw.get("Status", "ACTIVE") != "ACTIVE":
            continue
        if collection == "Accounts" and raw.get("Class") == "REVENUE" and raw.get("Code"):
            names = ("sales_account", "shipping_account")
            found += [Choice(setting=name, value=raw["Code"], title=raw["Name"]) for name in names]
        elif collection == "TaxRates" and raw.get("CanApplyToRevenue"):
            found += choices("tax", [raw], "TaxType", "Name", lambda raw: percent(raw["EffectiveRate"]))
        elif collection == "BrandingThemes":
            found.append(Choice(setting="branding_theme", value=raw["BrandingThemeID"], title=raw["Name"]))
    return found


def messages(element: Mapping[str, Any]) -> str:
    """The validation messages of an element of an answer, in one line."""
    return "; ".join(str(error["Message"]) for error in element.get("ValidationErrors") or ())


def quotable(value: str) -> bool:
    """Whether the value can stand between quotes in a `where`; how Xero escapes quotes is not documented."""
    return '"' not in value and "\\" not in value


def contact(draft: CustomerDraft) -> dict[str, Any]:
    """A contact for PUT /Contacts. Raises `Rejected` naming what is longer than Xero takes; nothing is cut."""
    party = draft.party
    first, last = first_and_last(party)
    billing = draft.billing_address or draft.shipping_address
    shipping = draft.shipping_address or draft.billing_address
    addresses = [_address(kind, place) for kind, place in (("POBOX", billing), ("STREET", shipping)) if place]
    return without_empty(
        {
            "Name": fits("the customer's name", distinct_name(draft), 255, TITLE),
            "ContactNumber": short(draft.key, NUMBER),
            "FirstName": fits("the customer's first name", first, 255, TITLE),
            "LastName": fits("the customer's last name", last, 255, TITLE),
            "EmailAddress": fits("the customer's e-mail address", party.email, 255, TITLE),
            "TaxNumber": fits("the customer's tax number", party.tax_id, 50, TITLE),
            "Addresses": addresses,
            "Phones": [
                {"PhoneType": "DEFAULT", "PhoneNumber": fits("the customer's telephone", party.phone, 50, TITLE)}
            ]
            if party.phone
            else None,
        }
    )


def _address(kind: str, place: Address) -> dict[str, Any]:
    """POBOX is what invoices print, STREET where goods go; the country stays its two letters (letters only, ≤ 50)."""
    return {"AddressType": kind, **placed(place, ADDRESS, LONGEST, TITLE)}


def invoice(draft: InvoiceDraft, customer_id: str, settings: XeroSettings) -> dict[str, Any]:
    """A sales invoice for PUT /Invoices. Raises `Rejected` where Xero could not give the order's total.

    Only the ContactID goes along: other contact fields in an invoice would change the contact.
    """
    if len(draft.reference) > 255:
        raise Rejected(f"order {draft.order_ref}: Xero takes invoice numbers of up to 255 characters")
    head = {"Type": "ACCREC", "InvoiceNumber": draft.reference, "DueDate": draft.due_on.isoformat()}
    return _document(head, draft, customer_id, settings)


def credit_note(draft: InvoiceDraft, customer_id: str, settings: XeroSettings) -> dict[str, Any]:
    """A credit note to a customer for PUT /CreditNotes: positive amounts. Raises `Rejected` as an invoice does."""
    return _document({"Type": "ACCRECCREDIT", "CreditNoteNumber": draft.reference}, draft, customer_id, settings)


def _document(head: Mapping[str, Any], draft: InvoiceDraft, customer_id: str, settings: XeroSettings) -> dict[str, Any]:
    return without_empty(
        {
            **head,
            "Reference": marked(draft, 255, TITLE),
            "Contact": {"ContactID": customer_id},
            "Date": draft.issued_on.isoformat(),
            "CurrencyCode": draft.currency,
            "LineAmountTypes": "Inclusive" if draft.tax_included else "Exclusive",
            "Status": "AUTHORISED" if settings.issue else "DRAFT",
            "BrandingThemeID": settings.branding_theme,
            "LineItems": _line_items(draft, settings),
        }
    )


def _amount(row: Row) -> Decimal:
    """LineAmount = quantity × unit amount − discount amount (Xero-OpenAPI, LineItem), to two decimals."""
    return (row.quantity * row.unit - row.discount).quantize(CENT, ROUND_HALF_UP)


def _tax(row: Row) -> Decimal:
    """Xero rounds tax per line to two decimals, then sums (developer.xero.com, guide "Rounding in Xero")."""
    share = row.rate / (100 + row.rate) if row.included else row.rate / 100
    return (_amount(row) * share).quantize(CENT, ROUND_HALF_UP)


def _line_items(draft: InvoiceDraft, settings: XeroSettings) -> list[dict[str, Any]]:
    """Lines, shipping and the order's discount (a negative line), with TaxAmount set only where it must be.

    Xero asks not to post tax amounts, but lets them be overridden "if the calculated TaxAmount is not correct"
    (Xero-OpenAPI, LineItem): done on the lines that differ, and only if their sum would not be the order's.
    """
    found = rows(draft)
    for line in draft.lines:
        _four_decimals(draft, f"the unit price of line {line.ref}", line.unit_price)
        _four_decimals(draft, f"the quantity of line {line.ref}", line.quantity)
    taxes = [_tax(row) for row in found]
    net = sum((_amount(row) for row in found), Decimal(0))
    by_xero = sum(taxes, Decimal(0))
    agrees = by_xero == draft.tax_total and _total(draft, net, by_xero) == draft.total
    charged = _total(draft, net, sum((row.tax for row in found), Decimal(0)))
    if not agrees and charged != draft.total:
        raise Rejected(
            f"order {draft.order_ref}: Xero would make the total {charged}, the order says {draft.total} "
            f"{draft.currency} (difference {charged - draft.total:+}), because Xero rounds each line to two decimals"
        )
    items, shipping = [], settings.shipping_account or settings.sales_account
    for row, tax in zip(found, taxes, strict=True):
        item = {
            "Description": fits(f"order {draft.order_ref}: a line's description", row.description, 4000, TITLE),
            "Quantity": row.quantity,
            "UnitAmount": row.unit,
            "AccountCode": shipping if row.kind == "shipping" else settings.sales_account,
            "TaxType": coded(settings.tax, row.rate, draft, TITLE),
        }
        if row.discount:
            item["DiscountAmount"] = row.discount
        if not agrees and tax != row.tax:
            item["TaxAmount"] = row.tax
        items.append(item)
    return items


def _total(draft: InvoiceDraft, net: Decimal, tax: Decimal) -> Decimal:
    return net if draft.tax_included else net + tax


def _four_decimals(draft: InvoiceDraft, what: str, value: Decimal) -> None:
    """Xero keeps four decimals of unit prices (unitdp=4) and of quantities."""
    if value != round(value, 4):
        raise Rejected(f"order {draft.order_ref}: {what} is {value}; Xero keeps four decimals")
