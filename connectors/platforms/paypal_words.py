"""PayPal's words: what the merchant configures, how an invoice is written, how one is read."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from decimal import Decimal
from typing import Annotated, Any

from pydantic import Field

from connectors.errors import Rejected
from connectors.http import dump_json
from connectors.model import Address, InvoiceDraft, Party, RemoteInvoice, Status, minor_units
from connectors.platforms import rows
from connectors.platforms.base import ClientCredentials, PlatformSettings
from connectors.platforms.documents import PlannedInvoice
from connectors.platforms.texts import (
    first_and_last,
    fits,
    key_in,
    marked,
    noted,
    on_one_line,
    placed,
    short,
    without_empty,
)

TITLE = "PayPal"
NUMBER, MOST_ITEMS, MOST_TAXES = 24, 100, 10
WHOLE = frozenset({"HUF", "JPY", "TWD"})
"""Of these PayPal takes no fractions, of HUF and TWD against ISO 4217 ("PayPal-supported currencies")."""
CURRENCIES = WHOLE | {
    "AUD", "BRL", "CAD", "CHF", "CNY", "CZK", "DKK", "EUR", "GBP", "HKD", "ILS", "MXN", "MYR", "NOK", "NZD", "PHP",
    "PLN", "SEK", "SGD", "THB", "USD",
}  # fmt: skip
STATUSES = {
    "DRAFT": Status.DRAFT,
    **dict.fromkeys(("SENT", "UNPAID", "SCHEDULED", "PARTIALLY_PAID", "PAYMENT_PENDING"), Status.ISSUED),
    **dict.fromkeys(("PAID", "MARKED_AS_PAID", "REFUNDED", "PARTIALLY_REFUNDED", "MARKED_AS_REFUNDED"), Status.PAID),
    "CANCELLED": Status.VOID,
}


class PayPalSettings(PlatformSettings):
    """Who bills. Taxes and customers are the order's own: PayPal keeps neither."""

    invoicer_email: Annotated[
        str | None, Field(description="an e-mail address of the PayPal account; left out, its primary one")
    ] = None
    business_name: Annotated[
        str | None, Field(max_length=300, description="the seller's name on the invoice; left out, the account's")
    ] = None
    merchant: Annotated[
        str | None,
        Field(
            pattern=r"^([2-9A-HJ-NP-Z]{13}|[^@\s]+@[^@\s]+)$",
            description="of a partner: whom its app acts for, the merchant's id at PayPal (13 characters) or e-mail",
        ),
    ] = None
    mail: Annotated[bool, Field(description="true: PayPal mails the invoice when it is issued; else we do")] = False


class PayPalCredentials(ClientCredentials):
    """The merchant's own app with the feature Invoicing, or a partner's."""

    client_id: Annotated[str, Field(description="the app's client id at developer.paypal.com")]


def assertion(client_id: str, merchant: str) -> str:
    """For whom a partner's app acts: a JSON web token, unsigned as PayPal recommends, for nothing in it is secret
    (developer.paypal.com, API requests, PayPal-Auth-Assertion)."""
    whom = {"iss": client_id, "email" if "@" in merchant else "payer_id": merchant}
    head, claims = (
        base64.urlsafe_b64encode(dump_json(part).encode()).decode().rstrip("=") for part in ({"alg": "none"}, whom)
    )
    return f"{head}.{claims}."


def money(amount: Decimal, draft: InvoiceDraft) -> dict[str, str]:
    if draft.currency in WHOLE:
        if amount != int(amount):
            raise Rejected(
                f"order {draft.order_ref}: {amount} {draft.currency} has decimals, and PayPal takes whole "
                f"{draft.currency} only"
            )
        return {"currency_code": draft.currency, "value": str(int(amount))}
    return {"currency_code": draft.currency, "value": f"{amount:.2f}"}


def invoice_body(planned: PlannedInvoice, settings: PayPalSettings) -> tuple[dict[str, Any], str]:
    """The draft, and what the trail should say of how it was rendered.

    PayPal computes the tax, and how it rounds is not documented: prices are sent without tax only where every way of
    rounding gives the order's; else with their tax, which leaves no cent of the total to PayPal's rounding.
    """
    draft = planned.draft
    if draft.currency not in CURRENCIES:
        raise Rejected(f"order {draft.order_ref}: PayPal does not bill in {draft.currency}")
    if settings.mail and not draft.customer.email:
        raise Rejected(
            f"order {draft.order_ref}: the customer has no e-mail address, and PayPal is to mail the invoice"
        )
    spread = rows.spread(draft)
    if any(row.amount < 0 for row in spread):
        raise Rejected(f"order {draft.order_ref}: a line's discount is larger than the line, which PayPal cannot bill")
    rows.rounded_off(draft, spread, "line", TITLE)
    found = merged(spread)
    sure = rows.agrees_anyhow(draft, found)
    finer = draft.currency in WHOLE and minor_units(draft.currency) > 0  # the order's taxes are rounded finer
    included = draft.tax_included or not sure or finer
    names = _tax_names(draft, found)
    body = {
        "detail": _detail(draft),
        "invoicer": without_empty({"business_name": settings.business_name, "email_address": settings.invoicer_email}),
        "primary_recipients": [_recipient(draft)],
        "items": [_item(at, row, draft, names, included) for at, row in enumerate(found, 1)],
        "configuration": {
            "tax_calculated_after_discount": True,
            "tax_inclusive": included,
            "allow_tip": False,
            "partial_payment": {"allow_partial_payment": False},
        },
    }
    return without_empty(body), _remark(draft, found is not spread, sure and included == draft.tax_included)


def merged(found: list[rows.Row]) -> list[rows.Row]:
    """Rows of one rate together where there are more than PayPal takes; the text of each stays."""
    if len(found) <= MOST_ITEMS:
        return found
    rates = list(dict.fromkeys(row.rate for row in found))
    size = -(-len(found) // (MOST_ITEMS - len(rates)))
    together = []
    for rate in rates:
        same = [row for row in found if row.rate == rate]
        together += [_one(same[at : at + size]) for at in range(0, len(same), size)]
    return together


def _one(group: Sequence[rows.Row]) -> rows.Row:
    amount, tax = sum((row.amount for row in group), rows.NONE), sum((row.tax for row in group), rows.NONE)
    text = "\n".join(f"{row.description} ({row.calculation()})" for row in group)
    first = group[0]
    return rows.Row(
        "line", f"{len(group)} items\n{text}", rows.ONE, amount, rows.NONE, amount, first.rate, tax, first.included,
        tax_name=first.tax_name,
    )  # fmt: skip


def _tax_names(draft: InvoiceDraft, found: Sequence[rows.Row]) -> dict[Decimal, str]:
    """By rate: a name may stand for one rate only (Invoicing Service API Guide, errors 570048 and 570051)."""
    names = {row.rate: row.tax_name for row in reversed(found) if row.rate}
    if len(names) > MOST_TAXES:
        raise Rejected(f"order {draft.order_ref} has {len(names)} tax rates, a PayPal invoice at most {MOST_TAXES}")
    if len(names) > 1:
        names = {rate: f"{name} {rate.normalize():f}%" for rate, name in names.items()}
    return {rate: fits("the name of a tax", name, 100, TITLE) or "Tax" for rate, name in names.items()}


def _item(at: int, row: rows.Row, draft: InvoiceDraft, names: dict[Decimal, str], included: bool) -> dict[str, Any]:
    """Quantity × unit price where PayPal's decimals give the amount, else once the amount, and how it came about."""
    off = row.discount if row.included == included else rows.NONE  # else it is in the price already
    amount = (row.gross if included else row.amount) + off
    places = 0 if draft.currency in WHOLE else 2
    shown = rows.priced(row, amount, draft.currency, quantity_places=5, unit_places=places)
    quantity, unit = shown or (rows.ONE, amount)
    name, _, more = row.description.strip().partition("\n")
    if len(name) > 200:
        name, more = f"Item {at}", row.description
    said = shown is not None and bool(off) == bool(row.discount)
    text = "\n".join(filter(None, (more, "" if said else row.calculation())))
    item = {
        "name": name or f"Item {at}",
        "description": fits(f"order {draft.order_ref}: the text of item {at}", text, 1000, TITLE),
        "quantity": f"{quantity.normalize():f}",
        "unit_amount": money(unit, draft),
        "tax": {"name": names[row.rate], "percent": f"{row.rate.normalize():f}"} if row.rate else None,
        "discount": {"amount": money(off, draft)} if off else None,
        "unit_of_measure": "QUANTITY",
    }
    return without_empty(item)


def _detail(draft: InvoiceDraft) -> dict[str, Any]:
    """What has no field of its own stands in the note; the memo is the merchant's alone."""
    billing = draft.billing_address
    where = on_one_line(billing) if billing and not billing.country else ""
    detail = {
        "invoice_number": fits(f"order {draft.order_ref}: the reference", draft.reference, NUMBER, TITLE),
        "reference": short(draft.order_ref, 120),
        "invoice_date": draft.issued_on.isoformat(),
        "currency_code": draft.currency,
        "note": noted({"Tax ID": draft.customer.tax_id, "Billing address": where}),
        "memo": marked(draft, 500, TITLE),
        "payment_term": {"term_type": "DUE_ON_DATE_SPECIFIED", "due_date": draft.due_on.isoformat()},
    }
    return without_empty(detail)


def _recipient(draft: InvoiceDraft) -> dict[str, Any]:
    party = draft.customer
    billed = {**_contact(party, draft.billing_address), "email_address": fits("the e-mail", party.email, 254, TITLE)}
    to = draft.shipping_address
    shipped = _contact(party, to) if to and to.country else {}
    return without_empty({"billing_info": without_empty(billed), "shipping_info": shipped})


def _contact(party: Party, address: Address | None) -> dict[str, Any]:
    """A person's name too long for its two parts stands where a business's does. A phone number is not sent: PayPal
    wants its country's code apart."""
    first, last = first_and_last(party)
    names = {"given_name": first, "surname": last} if last else {"surname": first}
    company = party.company or (None if party.name or party.email else party.display_name)
    if not company and any(len(name) > 140 for name in names.values()):
        company, names = party.name, {}
    contact = {
        "business_name": fits("the customer's company", company, 300, TITLE),
        "name": without_empty({part: fits("the customer's name", name, 140, TITLE) for part, name in names.items()}),
    }
    if address and address.country:
        keys = ("address_line_1", "address_line_2", "admin_area_2", "admin_area_1", "postal_code", "country_code")
        contact["address"] = placed(address, keys)
    return without_empty(contact)


def _remark(draft: InvoiceDraft, together: bool, plain: bool) -> str:
    said = []
    if draft.discount and draft.discount.amount:
        said.append(f"the order discount of {draft.discount.amount} {draft.currency} is taken off the lines")
    if together:
        said.append(f"lines stand together in items, of which PayPal takes {MOST_ITEMS}")
    if not plain:
        said.append(
            "prices are sent with their tax, because PayPal's rounding is not documented; the tax that PayPal states "
            "may differ from the order's by rounding, the total does not"
        )
    return "; ".join(said)


def invoice(raw: Any) -> RemoteInvoice:
    """From PayPal's JSON. The tax is read where prices have none in them: else PayPal's rounding may tell it apart."""
    detail, amount = raw["detail"], raw["amount"]
    billed = next(iter(raw.get("primary_recipients") or [{}])).get("billing_info") or {}
    name = billed.get("name") or {}
    person = " ".join(filter(None, (name.get("given_name"), name.get("surname"))))
    tax = (amount.get("breakdown") or {}).get("tax_total")
    included = (raw.get("configuration") or {}).get("tax_inclusive")
    return RemoteInvoice(
        id=raw["id"], number=detail.get("invoice_number"), reference=detail.get("invoice_number"),
        key=key_in(detail.get("memo")), status=STATUSES[raw["status"]], currency=amount["currency_code"],
        total=Decimal(amount["value"]), tax=Decimal(tax["value"]) if tax and not included else None,
        due=Decimal(raw["due_amount"]["value"]) if "due_amount" in raw else None,
        customer_id=billed.get("email_address") or billed.get("business_name") or person or None,
        url=(detail.get("metadata") or {}).get("recipient_view_url"),
    )  # fmt: skip
