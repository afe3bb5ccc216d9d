"""Invoiced's words: how an order is written for it, and how its answers are read.

Amounts are decimal numbers in major units, times Unix seconds, currencies lower case (github.com/Invoiced/api).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any

from connectors.model import InvoiceDraft, RemoteInvoice, Status, minor_units, rounded
from connectors.platforms import texts
from connectors.platforms.documents import CustomerDraft, RemoteCustomer
from connectors.platforms.rows import Row, charged, percent, priced, rows

METADATA_LIMIT = 255
"""Characters of a metadata value; ten values an object."""
REFERENCE, KEY, CUSTOMER = "billhook_order", "billhook_key", "billhook_customer"
NUMBER_LIMIT = 32
"""Of a customer's number; what Invoiced takes is not documented."""
ADDRESS = ("address1", "address2", "city", "state", "postal_code", "country")


def number(key: str) -> str:
    """The customer's number there: "a unique ID to help tie your customer to your external systems"."""
    return texts.short(key, NUMBER_LIMIT)


def customer(draft: CustomerDraft) -> dict[str, Any]:
    """The body that makes a customer."""
    party = draft.party
    fields = {
        "name": party.display_name,
        "number": number(draft.key),
        "type": "company" if party.company else "person",
        "attention_to": party.name if party.company else None,
        "email": party.email,
        "phone": party.phone,
        "tax_id": party.tax_id,
        **texts.placed(draft.billing_address, ADDRESS),
        "metadata": {CUSTOMER: texts.fits("the customer's key", draft.key, METADATA_LIMIT, "Invoiced's metadata")},
    }
    return texts.without_empty(fields)


def invoice(draft: InvoiceDraft, customer_id: str, *, autopay: bool) -> tuple[dict[str, Any], str]:
    """The body that makes the draft, and what is to be said of how it was rendered. Raises `Rejected` for what does
    not fit."""
    days = (draft.due_on - draft.issued_on).days
    fields = {
        **_document(draft, customer_id, f"Order {draft.order_ref}"),
        "autopay": autopay,
        "due_date": noon(draft.due_on),
        "payment_terms": f"NET {days}" if days > 0 else None,
        "ship_to": _ship_to(draft),
    }
    return texts.without_empty(fields), _stated(draft)


def credit_note(draft: InvoiceDraft, customer_id: str, number: str | None) -> tuple[dict[str, Any], str]:
    """The body that makes the draft of a credit note of the invoice of this number, and what is to be said of how it
    was rendered: "negative invoices, however, all of the amounts should be positive". Raises `Rejected` for what does
    not fit."""
    of = f", invoice {number}" if number else ""
    return texts.without_empty(_document(draft, customer_id, f"Credit note of order {draft.order_ref}{of}")), _stated(
        draft
    )


def _document(draft: InvoiceDraft, customer_id: str, name: str) -> dict[str, Any]:
    """What invoices and credit notes are both made of."""
    found = rows(draft)
    return {
        "customer": whole(customer_id),
        "name": name,
        "currency": draft.currency.lower(),
        "draft": True,
        "date": noon(draft.issued_on),
        "items": [_item(row, draft.currency) for row in found if row.kind != "discount"],
        "discounts": [{"amount": -row.net} for row in found if row.kind == "discount"],
        "taxes": _taxes(found, draft),
        "calculate_taxes": False,
        "notes": "\n".join([name, *_named(found)]),
        "metadata": {
            REFERENCE: texts.fits("the reference", draft.reference, METADATA_LIMIT, "Invoiced's metadata"),
            KEY: texts.fits("the business key", draft.key, METADATA_LIMIT, "Invoiced's metadata"),
        },
    }


def application(
    draft: InvoiceDraft, customer_id: str, invoice_id: str, note_id: str, amount: Decimal
) -> dict[str, Any]:
    """The body of a payment that brings no money and takes this much of a credit note off an invoice."""
    applied = {"type": "credit_note", "credit_note": note_id, "document_type": "invoice"}
    return {
        "customer": whole(customer_id),
        "currency": draft.currency.lower(),
        "date": noon(draft.issued_on),
        "amount": 0,
        "reference": draft.reference,
        "applied_to": [{**applied, "invoice": whole(invoice_id), "amount": amount}],
    }


def whole(ident: str) -> int | str:
    """An id as the API's own bodies have it."""
    return int(ident) if ident.isdecimal() else ident


def _stated(draft: InvoiceDraft) -> str:
    return "prices are stated without their tax, which Invoiced adds on top" if draft.tax_included else ""


def noon(day: date) -> int:
    """Noon in UTC: the same day in the time zone of almost every business."""
    return int(datetime.combine(day, time(12), UTC).timestamp())


def _item(row: Row, currency: str) -> dict[str, Any]:
    """Quantity × unit price with the line's discount beside it, where the prices are without tax and have no more
    decimals than the currency; else what gives the line's amount, with the calculation in words."""
    name, _, more = row.description.partition("\n")
    plain = not row.included and row.unit == rounded(row.unit, currency)
    if plain:
        quantity, unit, off = row.quantity, row.unit, row.discount
    else:
        places = minor_units(currency)
        shown = priced(row, row.net, currency, quantity_places=4, unit_places=places)
        (quantity, unit), off = shown or (Decimal(1), row.net), Decimal(0)
        more = "\n".join(filter(None, [more, row.calculation()]))
    return {
        "type": "shipping" if row.kind == "shipping" else "product",
        "name": name,
        "quantity": quantity,
        "unit_cost": unit,
        **({"description": more} if more else {}),
        **({"discounts": [{"amount": off}]} if off else {}),
        **({"metadata": {"sku": row.sku}} if row.sku and len(row.sku) <= METADATA_LIMIT else {}),
    }


def _taxes(found: Sequence[Row], draft: InvoiceDraft) -> list[dict[str, Decimal]]:
    """An amount for each tax; one for all where one of them alone would be negative."""
    amounts = list(charged(found).values())
    if any(amount < 0 for amount in amounts):
        amounts = [draft.tax_total] if draft.tax_total else []
    return [{"amount": amount} for amount in amounts]


def _named(found: Sequence[Row]) -> list[str]:
    return [f"{name} {percent(rate)} %: {amount:f}" for (name, rate), amount in charged(found).items()]


def _ship_to(draft: InvoiceDraft) -> dict[str, Any] | None:
    if draft.shipping_address is None:
        return None
    who = draft.customer.name or draft.customer.display_name
    return texts.without_empty({"name": who, **texts.placed(draft.shipping_address, ADDRESS)})


def read_customer(raw: Mapping[str, Any]) -> RemoteCustomer:
    key = (raw.get("metadata") or {}).get(CUSTOMER)
    return RemoteCustomer(id=str(raw["id"]), key=key, name=raw["name"], email=raw.get("email"))


def read_invoice(raw: Mapping[str, Any]) -> RemoteInvoice:
    """An invoice or credit note as Invoiced shows it; `tax` is that of the lines and of the whole."""
    marks = raw.get("metadata") or {}
    taxed = [raw, *raw["items"]]
    return RemoteInvoice(
        id=str(raw["id"]),
        number=raw.get("number"),
        reference=marks.get(REFERENCE),
        key=marks.get(KEY),
        status=_status(raw),
        currency=raw["currency"].upper(),
        total=raw["total"],
        tax=sum((Decimal(tax["amount"]) for one in taxed for tax in one.get("taxes") or ()), Decimal(0)),
        due=raw.get("balance"),
        customer_id=str(raw["customer"]),
        url=raw.get("url"),
    )


def _status(raw: Mapping[str, Any]) -> Status:
    """Clients of others know more words than the reference (`bad_debt`, `disputed`): all of them are issued."""
    if raw["status"] == "voided":
        return Status.VOID
    if raw["draft"]:
        return Status.DRAFT
    return Status.PAID if raw["paid"] else Status.ISSUED
