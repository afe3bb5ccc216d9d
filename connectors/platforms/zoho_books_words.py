"""Our drafts in Zoho Books' words, as pure functions: contacts, invoices, credit notes, and the rounding Zoho will do.

Field names and lengths from Zoho's own OpenAPI documents `invoices.yml`, `credit-notes.yml` and `contacts.yml` (Books
v3). A discount is taken off the rates: whether an invoice may have discounts, per line or at the foot, is a preference
of the merchant.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import Field

from connectors.countries import english
from connectors.model import Address, Amount, Currency, InvoiceDraft, RemoteInvoice, Status, minor_units
from connectors.platforms.base import PlatformSettings
from connectors.platforms.currencies import configured
from connectors.platforms.documents import CustomerDraft, RemoteCustomer
from connectors.platforms.rows import Rounding, Row, coded, computed_tax, percent, rounded_off, spread, told
from connectors.platforms.texts import (
    BEFORE_KEY,
    distinct_name,
    first_and_last,
    fits,
    key_in,
    marked,
    placed,
    sized,
    without_empty,
)

TITLE = "Zoho Books"
DAILY = {
    "free": 1000,
    "standard": 2000,
    "professional": 5000,
    **dict.fromkeys(("premium", "elite", "ultimate"), 10_000),
}
"""Calls a day and organisation by plan (zoho.com/books/api/v3, "API call limit")."""
Raw = Mapping[str, Any]
STATUSES = {
    "draft": Status.DRAFT,
    **dict.fromkeys(("sent", "viewed", "overdue", "unpaid", "partially_paid"), Status.ISSUED),
    "paid": Status.PAID,
    "void": Status.VOID,
    **dict.fromkeys(("pending_approval", "approved", "rejected"), Status.DRAFT),
    "open": Status.ISSUED,
    "closed": Status.PAID,
}
"""Of invoices, and of credit notes, which are closed once they are used up."""
LONGEST = {
    **{"contact_name": 200, "company_name": 200, "first_name": 100, "last_name": 100, "email": 100, "phone": 50},
}
"""Characters that fields of a contact hold (contacts.yml); of the contact's name what the company's holds."""
ADDRESS, LONGEST_PARTS = ("address", "street2", "city", "state", "zip", "country"), (500, 255, 100, 100, 50)
Id = Annotated[str, Field(pattern=r"^\d+$")]
"""Ids are strings of digits, too long for numbers of many languages."""


class ZohoBooksSettings(PlatformSettings):
    """What the merchant configures; `billhook account options` lists the ids."""

    organization_id: Annotated[
        str, Field(pattern=r"^\d+$", description="Settings > Organization Profile in Zoho Books")
    ]
    data_centre: Annotated[
        Literal["com", "eu", "in", "com.au", "jp", "ca", "com.cn", "sa"],
        Field(description="the ending of the address at which you log in: books.zoho.eu is `eu`"),
    ] = "com"
    plan: Annotated[
        Literal["free", "standard", "professional", "premium", "elite", "ultimate"],
        Field(description="what you subscribe to: how many calls a day Zoho allows"),
    ] = "professional"
    base_currency: Annotated[Currency, Field(description="the organisation's own currency")]
    currencies: Annotated[
        dict[Currency, Id],
        Field(default_factory=dict, description='currency_id of every other currency you sell in: {"EUR": "4600…"}'),
    ]
    exchange_rates: Annotated[
        dict[Currency, Amount],
        Field(
            default_factory=dict,
            description="base currency for one unit of another; without it Zoho takes the rate it has",
        ),
    ]
    item: Annotated[
        str, Field(pattern=r"^\d+$", description="item_id for whatever `items` does not name; shipping too")
    ]
    items: Annotated[
        dict[str, Id], Field(default_factory=dict, description="item_id by SKU, for sales per item in your reports")
    ]
    tax: Annotated[
        dict[Amount, Annotated[str, Field(pattern=r"^\d*$")]],
        Field(
            min_length=1, description='rate in percent to tax_id: {"20": "4600…"}; an empty one is a line without tax'
        ),
    ]
    tax_rounding: Annotated[
        Literal["entity_level", "item_level"],
        Field(description="where your organisation rounds tax: per invoice (entity_level) or per line (item_level)"),
    ] = "entity_level"
    template: Annotated[str | None, Field(description="template_id of the invoice's PDF; else the default one")] = None


def document(raw: Raw, kind: str = "invoice") -> RemoteInvoice:
    """An invoice or a "creditnote" as Zoho shows it alone; list rows lack the notes, which hold our key."""
    return RemoteInvoice(
        id=raw[f"{kind}_id"],
        number=raw[f"{kind}_number"],
        reference=raw[f"{kind}_number"],
        key=key_in(raw.get("notes")),
        status=STATUSES[raw["status"]],
        currency=raw["currency_code"],
        total=raw["total"],
        tax=raw.get("tax_total"),
        due=raw.get("balance"),
        customer_id=raw.get("customer_id"),
        url=(raw.get("invoice_url") or "").strip() or None,
    )


def customer(raw: Raw) -> RemoteCustomer:
    return RemoteCustomer(
        id=raw["contact_id"], key=key_in(raw.get("notes")), name=raw.get("contact_name"), email=raw.get("email")
    )


def currency_id(currency: str | None, settings: ZohoBooksSettings, what: str) -> str | None:
    """None for the organisation's own. Raises `Rejected` naming the setting that lacks it."""
    if currency is None or currency == settings.base_currency:
        return None
    return configured(settings.currencies, currency, what, TITLE)


def personal(fields: Mapping[str, str | None]) -> dict[str, Any]:
    return sized(fields, LONGEST, "the customer's", TITLE)


def contact(draft: CustomerDraft, settings: ZohoBooksSettings) -> dict[str, Any]:
    """A contact for POST /contacts. Raises `Rejected` naming what is longer than Zoho takes; nothing is cut.

    The tax number stands in the notes: its own field is another one in each country's edition.
    """
    party = draft.party
    first, last = first_and_last(party)
    billing = draft.billing_address or draft.shipping_address
    person = personal({"first_name": first, "last_name": last, "email": party.email, "phone": party.phone})
    names = personal({"contact_name": distinct_name(draft, settings.base_currency), "company_name": party.company})
    facts = {
        "contact_type": "customer",
        "customer_sub_type": "business" if party.company else "individual",
        "currency_id": currency_id(draft.currency, settings, party.display_name),
        "billing_address": address(billing),
        "shipping_address": address(draft.shipping_address or billing),
        "contact_persons": [{**person, "is_primary_contact": True}] if person else None,
        "notes": f"{f'Tax number {party.tax_id}' if party.tax_id else 'Billhook'}{BEFORE_KEY}{draft.key}",
    }
    return {**names, **without_empty(facts)}


def address(place: Address | None) -> dict[str, Any]:
    return placed(place, ADDRESS, LONGEST_PARTS, TITLE, english)


def invoice(draft: InvoiceDraft, customer_id: str, settings: ZohoBooksSettings) -> tuple[dict[str, Any], str]:
    """An invoice for POST /invoices, and what there is to say of its rounding. Raises `Rejected` where Zoho could not
    give the order's total. Neither `discount` nor `shipping_charge` is used: the tax of the latter cannot be set."""
    head = {
        "invoice_number": fits(f"order {draft.order_ref}: the invoice number", draft.reference, 100, TITLE),
        "reference_number": draft.reference,
        "due_date": draft.due_on.isoformat(),
        "template_id": settings.template,
    }
    return _document(head, draft, customer_id, settings, quantity_places=2)


def credit_note(
    draft: InvoiceDraft, customer_id: str, invoice_number: str | None, settings: ZohoBooksSettings
) -> tuple[dict[str, Any], str]:
    """A credit note for POST /creditnotes, as `invoice`; it names the number of its invoice. A draft, because it would
    be open at once; quantities are whole numbers there (credit-notes.yml)."""
    head = {
        "creditnote_number": fits(f"order {draft.order_ref}: the credit note's number", draft.reference, 100, TITLE),
        "reference_number": invoice_number,
        "is_draft": True,
    }
    return _document(head, draft, customer_id, settings, quantity_places=0)


def _document(
    head: Raw, draft: InvoiceDraft, customer_id: str, settings: ZohoBooksSettings, quantity_places: int
) -> tuple[dict[str, Any], str]:
    found = spread(draft)
    rounding: Rounding = "line" if settings.tax_rounding == "item_level" else "rate"
    off = rounded_off(draft, found, rounding, TITLE)
    tax = computed_tax(found, draft.currency, rounding)
    remark = f"{TITLE} computes {tax} {draft.currency} of tax, the order has {draft.tax_total}"
    if off:
        remark += f": an adjustment of {off:+} makes up for it"
    body = {
        **head,
        "customer_id": customer_id,
        "date": draft.issued_on.isoformat(),
        "currency_id": currency_id(draft.currency, settings, f"order {draft.order_ref}"),
        "exchange_rate": settings.exchange_rates.get(draft.currency),
        "is_inclusive_tax": draft.tax_included,
        "line_items": [line(row, draft, settings, quantity_places) for row in found],
        "adjustment": off or None,
        "adjustment_description": "Rounding" if off else None,
        "notes": marked(draft, 2000, TITLE),
    }
    return without_empty(body), remark if tax != draft.tax_total or off else ""


def line(row: Row, draft: InvoiceDraft, settings: ZohoBooksSettings, quantity_places: int) -> dict[str, Any]:
    """One line; where the decimals of rate and quantity cannot show a discount, the description does."""
    places = minor_units(draft.currency)
    quantity, rate, whole = told(row, row.amount, draft.currency, quantity_places=quantity_places, unit_places=places)
    name, _, text = whole.partition("\n")
    if len(name) > 100:
        name, text = "", whole
    return without_empty(
        {
            "item_id": settings.items.get(row.sku or "", settings.item),
            "name": name,
            "description": fits(f"order {draft.order_ref}: the description of a line", text, 2000, TITLE),
            "quantity": quantity,
            "rate": rate,
            "tax_id": coded(settings.tax, row.rate, draft, TITLE),
        }
    )


def percent_of(raw: Raw) -> str:
    return percent(raw["tax_percentage"])


def active(rows: Sequence[Raw]) -> list[Raw]:
    return [row for row in rows if row.get("status", "active") == "active"]
