"""Our drafts in Sage's words, as pure functions: settings, contacts, invoices, credit notes and their lines."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Annotated, Any

from pydantic import Field

from connectors.model import Amount, InvoiceDraft, minor_units
from connectors.platforms import rows, texts
from connectors.platforms.base import PlatformSettings
from connectors.platforms.currencies import in_decimals
from connectors.platforms.documents import CustomerDraft

TITLE = "Sage"
LONGEST = 25
"""Of a reference. How long Sage takes is not documented; so much is safe."""
Raw = Mapping[str, Any]
ADDRESS = ("address_line_1", "address_line_2", "city", "region", "postal_code", "country_id")


class SageSettings(PlatformSettings):
    """One business; `billhook account options` lists what can be chosen."""

    business: Annotated[str, Field(min_length=1, description="id of the business: $items[].id of GET /businesses")]
    ledger_account: Annotated[
        str, Field(min_length=1, description="id of the sales account: GET /ledger_accounts?visible_in=sales")
    ]
    tax: Annotated[
        dict[Amount, str],
        Field(min_length=1, description='rate to id of GET /tax_rates: {"20": "GB_STANDARD", "0": "GB_ZERO"}'),
    ]
    allocations: Annotated[
        bool, Field(description="false where your Sage lets no program allocate: you set credit notes off yourself")
    ] = True


def contact_reference(draft: CustomerDraft) -> str:
    """What is unique in a business: the customer's key, or a shorter text made of it."""
    return texts.short(draft.key, LONGEST)


def contact(draft: CustomerDraft) -> dict[str, Any]:
    """A customer for POST /contacts. `notes`, which only the business sees, end in our key."""
    party = draft.party
    billing = draft.billing_address or draft.shipping_address
    person = {"name": party.name or party.display_name, "email": party.email, "telephone": party.phone}
    fields = {
        "name": party.display_name.strip(),
        "contact_type_ids": ["CUSTOMER"],
        "reference": contact_reference(draft),
        "tax_number": party.tax_id,
        "notes": f"Customer of Billhook{texts.BEFORE_KEY}{draft.key}",
        "currency_id": draft.currency,
        "main_address": texts.placed(billing, ADDRESS),
        "delivery_address": texts.placed(draft.shipping_address, ADDRESS),
        "main_contact_person": texts.without_empty(person),
    }
    return {"contact": texts.without_empty(fields)}


def invoice(draft: InvoiceDraft, customer_id: str, settings: SageSettings) -> tuple[dict[str, Any], str]:
    """A draft for POST /sales_invoices, and what the trail should say of it. Raises `Rejected` for a tax rate that is
    not configured and for currencies of three decimals.

    Every tax is stated as the order has it, so totals are sums of what was sent; only the tax on shipping is Sage's
    own, and where that would not be the order's, shipping is a line like the others."""
    head = {"due_date": draft.due_on.isoformat()}
    return _document(head, "invoice_lines", draft, customer_id, settings)


def credit_note(
    draft: InvoiceDraft, customer_id: str, invoice_number: str | None, settings: SageSettings
) -> tuple[dict[str, Any], str]:
    """A draft for POST /sales_credit_notes, as `invoice`. The terms are what is printed on it, so they name the invoice
    that it belongs to, for which there is no field."""
    head = {"terms_and_conditions": f"Credit for invoice {invoice_number}" if invoice_number else None}
    return _document(head, "credit_note_lines", draft, customer_id, settings)


def _document(
    head: Raw, lines: str, draft: InvoiceDraft, customer_id: str, settings: SageSettings
) -> tuple[dict[str, Any], str]:
    in_decimals(2, draft.currency, f"order {draft.order_ref}", TITLE)
    found = rows.spread(draft)
    header = [row for row in found if row.kind == "shipping" and _computed(row, draft) == row.tax]
    said = ["the order discount was taken off the lines"] if draft.discount and draft.discount.amount else []
    said += ["prices that include tax are shown without it"] if draft.tax_included else []
    if any(row.kind == "shipping" and row not in header for row in found):
        said.append("shipping is a line, so that its tax is the order's")
    fields: dict[str, Any] = {
        **head,
        "contact_id": customer_id,
        "date": draft.issued_on.isoformat(),
        "reference": texts.fits(f"order {draft.order_ref}: its reference", draft.reference, LONGEST, TITLE),
        "currency_id": draft.currency,
        "status_id": "DRAFT",
        "main_address": texts.placed(draft.billing_address, ADDRESS),
        "delivery_address": texts.placed(draft.shipping_address, ADDRESS),
        lines: [_line(row, draft, settings) for row in found if row not in header],
        "notes": texts.marked(draft, 1000, TITLE),
    }
    for row in header:
        rate = rows.coded(settings.tax, row.rate, draft, TITLE)
        fields |= {"shipping_net_amount": row.net, "shipping_tax_rate_id": rate}
    return texts.without_empty(fields), "; ".join(said)


def _computed(row: rows.Row, draft: InvoiceDraft) -> Decimal:
    """The tax that Sage computes for shipping."""
    return rows.computed_tax([replace(row, amount=row.net, included=False)], draft.currency, "line")


def _line(row: rows.Row, draft: InvoiceDraft, settings: SageSettings) -> dict[str, Any]:
    """Quantity × price − discount where two decimals carry them; else the net amount as one piece, and the text says
    how it came about."""
    quantity, unit, discount = row.quantity, row.unit, row.discount
    text = row.description
    if row.included or quantity != round(quantity, 2) or unit != round(unit, 2):
        places = minor_units(draft.currency)
        priced = rows.priced(row, row.net, draft.currency, quantity_places=2, unit_places=places)
        (quantity, unit), discount = priced or (rows.ONE, row.net), rows.NONE
        text = row.description if priced and not row.discount else f"{row.description}\n{row.calculation()}"
    line = {
        "description": text,
        "ledger_account_id": settings.ledger_account,
        "quantity": quantity,
        "unit_price": unit,
        "tax_rate_id": rows.coded(settings.tax, row.rate, draft, TITLE),
    }
    return line | ({"discount_amount": discount} if discount else {}) | ({"tax_amount": row.tax} if row.rate else {})
