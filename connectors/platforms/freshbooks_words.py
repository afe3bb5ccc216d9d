"""FreshBooks' words: what the merchant configures, how clients, invoices and credit notes are written and read.

Money is text with two decimals, tax a percentage on each line that is always added on top (freshbooks.com/api/invoices
and /api/credits; the models of freshbooks/freshbooks-nodejs-sdk).
"""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import Field

from connectors.countries import english
from connectors.errors import Rejected
from connectors.model import Address, InvoiceDraft, RemoteInvoice, Status, minor_units, rounded
from connectors.platforms.base import AppCredentials, PlatformSettings
from connectors.platforms.documents import CustomerDraft, RemoteCustomer
from connectors.platforms.rows import Row, coded_if_any, percent, rounded_off, rows, told, without_tax
from connectors.platforms.texts import (
    BEFORE_KEY,
    first_and_last,
    fits,
    key_in,
    marked,
    on_one_line,
    placed,
    without_empty,
)

TITLE = "FreshBooks"
NUMBER_LENGTH = 20
"""Of an invoice number. FreshBooks names no limit; a longer reference is shortened, to be on the safe side."""
NOTES_LENGTH = 4000
DELETED = 1
"""`vis_state`: 0 active, 1 deleted, 2 archived (freshbooks.com/api/active_deleted)."""
STATUSES = {1: Status.DRAFT, 4: Status.PAID, 5: Status.PAID, **dict.fromkeys((0, 2, 3, 6, 7, 8), Status.ISSUED)}
"""0 disputed, 1 draft, 2 sent, 3 viewed, 4 paid, 5 paid automatically, 6 to be retried, 7 failed, 8 paid in part."""
CREDITS = {"draft": Status.DRAFT, **dict.fromkeys(("created", "sent", "viewed"), Status.ISSUED)}
"""What `display_status` of a credit note means."""


ADDRESS = ("street", "street2", "city", "province", "code", "country")


class FreshBooksSettings(PlatformSettings):
    account_id: Annotated[str, Field(pattern="^[A-Za-z0-9]+$", description="the business, as FreshBooks' account id")]
    tax: Annotated[
        dict[Decimal, str],
        Field(description='the name your invoices show for each tax percentage: { "20" = "VAT" }; 0 may go without'),
    ]
    tax_rounding: Annotated[
        Literal["line", "rate", "total"],
        Field(description="where FreshBooks rounds your tax; change it if drafts differ from orders by a cent"),
    ] = "line"


class FreshBooksCredentials(AppCredentials):
    """An app of my.freshbooks.com/#/developer, and a merchant's consent to it."""

    redirect_uri: Annotated[
        str, Field(description="the app's redirect address (https), for `billhook connect` and for every refresh")
    ]


def money(amount: Decimal, currency: str) -> dict[str, str]:
    return {"amount": f"{rounded(amount, currency):f}", "code": currency}


def number(remote_id: str) -> int | str:
    """FreshBooks' ids are numbers in its JSON."""
    return int(remote_id) if remote_id.isdecimal() else remote_id


def _address(given: Address | None, prefix: str = "") -> dict[str, Any]:
    return placed(given, [prefix + name for name in ADDRESS], country=english)


def client(draft: CustomerDraft) -> dict[str, Any]:
    """The client of a customer; `note`, which only the merchant's staff sees, ends in our key."""
    party = draft.party
    first, last = first_and_last(party)
    named = party.company or party.name or party.email
    return without_empty(
        {
            "fname": first,
            "lname": last,
            "organization": party.company if named else party.display_name,
            "email": party.email,
            "bus_phone": party.phone,
            "vat_number": party.tax_id,
            "note": f"{party.display_name}{BEFORE_KEY}{draft.key}",
            "currency_code": draft.currency,
            "language": "en",
            **_address(draft.billing_address, "p_"),
            **_address(draft.shipping_address, "s_"),
        }
    )


def customer(raw: Any) -> RemoteCustomer:
    name = raw.get("organization") or f"{raw.get('fname') or ''} {raw.get('lname') or ''}".strip()
    return RemoteCustomer(
        id=str(raw["id"]), key=key_in(raw.get("note")), name=name or None, email=raw.get("email") or None
    )


def invoice(order: InvoiceDraft, customer_id: str, settings: FreshBooksSettings) -> tuple[dict[str, Any], str]:
    """The draft's invoice, and what the trail should say of it. Raises `Rejected` for what FreshBooks cannot hold."""
    lines, said = _lines(order, settings)
    first, last = first_and_last(order.customer)
    body = {
        "customerid": number(customer_id),
        "invoice_number": order.reference,
        "create_date": order.issued_on.isoformat(),
        "due_offset_days": max(0, (order.due_on - order.issued_on).days),
        "currency_code": order.currency,
        "language": "en",
        "organization": order.customer.company,
        "fname": first,
        "lname": last,
        "vat_number": order.customer.tax_id,
        **_address(order.billing_address),
        "notes": _notes(order),
        "lines": [{"type": 0, **line} for line in lines],
    }
    return without_empty(body), said


def credit_note(
    order: InvoiceDraft, customer_id: str, invoice_number: str | None, settings: FreshBooksSettings
) -> tuple[dict[str, Any], str]:
    """A credit note, as `invoice`; its terms name the invoice, for which there is no field. Raises `Rejected` also
    where only drafts are wanted: what the API makes is there for the client at once."""
    if not settings.issue:
        raise Rejected(
            f"order {order.order_ref}: {TITLE} makes no drafts of credit notes, and this account leaves drafts only: "
            "make the credit note by hand, or set issue = true"
        )
    lines, said = _lines(order, settings)
    body = {
        "clientid": number(customer_id),
        "credit_number": order.reference,
        "credit_type": "goodwill",
        "create_date": order.issued_on.isoformat(),
        "currency_code": order.currency,
        "language": "en",
        "terms": f"Credit for invoice {invoice_number}" if invoice_number else None,
        "notes": _notes(order),
        "lines": lines,
    }
    return without_empty(body), said


def payment(order: InvoiceDraft, invoice_id: str, credit_id: str, amount: Decimal) -> dict[str, Any]:
    """What takes this much of the credit note off its invoice; its note ends in our key, to be found again."""
    return {
        "invoiceid": number(invoice_id),
        "creditid": credit_id,
        "from_credit": True,
        "type": "Credit",
        "amount": money(amount, order.currency),
        "date": order.issued_on.isoformat(),
        "note": marked(order, NOTES_LENGTH, TITLE),
    }


def _lines(order: InvoiceDraft, settings: FreshBooksSettings) -> tuple[list[dict[str, Any]], str]:
    """The lines, with one that makes up for rounding where that is needed, and what there is to say of that."""
    if minor_units(order.currency) != 2:
        raise Rejected(
            f"order {order.order_ref} is in {order.currency}: amounts on {TITLE} have two decimals, this currency has "
            f"{minor_units(order.currency)}; route it to another account"
        )
    fits(f"order {order.order_ref}: the reference", order.reference, NUMBER_LENGTH, TITLE)
    found = rows(order)
    lines = [_line(row, order, settings) for row in found]
    off = rounded_off(order, without_tax(found), settings.tax_rounding, TITLE)
    if off:
        lines.append({"name": "Rounding", "qty": 1, "unit_cost": money(off, order.currency)})
    return lines, f"a line of {off} makes up for how {TITLE} rounds tax" if off else ""


def _line(row: Row, order: InvoiceDraft, settings: FreshBooksSettings) -> dict[str, Any]:
    """Prices without tax; where no price per piece gives the amount, one piece at the amount, and the text says how."""
    quantity, unit, text = told(row, row.net, order.currency, quantity_places=2, unit_places=2)
    name, _, more = text.partition("\n")
    line = {"name": name, "description": more, "qty": quantity, "unit_cost": money(unit, order.currency)}
    if tax := coded_if_any(settings.tax, row.rate, order, TITLE):
        line |= {"taxName1": tax, "taxAmount1": percent(row.rate)}
    return line


def _notes(order: InvoiceDraft) -> str:
    """There is one address on an invoice; where the goods went stands in the notes, and at their end our key."""
    where = order.shipping_address
    line = on_one_line(where) if where != order.billing_address else ""
    ship_to = f"Ship to: {line}\n" if line else ""
    return ship_to + marked(order, NOTES_LENGTH - len(ship_to), TITLE)


def document(raw: Any) -> RemoteInvoice:
    """An invoice of an answer. A deleted one is void: it keeps its number, so nothing can take its place."""
    return RemoteInvoice(
        id=str(raw["id"]),
        number=raw["invoice_number"],
        reference=raw["invoice_number"],
        key=key_in(raw.get("notes")),
        status=Status.VOID if raw["vis_state"] == DELETED else STATUSES[raw["status"]],
        currency=raw["amount"]["code"],
        total=Decimal(raw["amount"]["amount"]),
        due=Decimal(raw["outstanding"]["amount"]),
        customer_id=str(raw["customerid"]),
    )


def credit(raw: Any) -> RemoteInvoice:
    """A credit note of an answer: paid once it is used up; what is due of it is what remains."""
    total, used = Decimal(raw["amount"]["amount"]), Decimal(raw["paid"]["amount"])
    status = CREDITS[raw["display_status"]]
    if raw["vis_state"] == DELETED:
        status = Status.VOID
    elif raw["payment_status"] == "paid":
        status = Status.PAID
    return RemoteInvoice(
        id=str(raw["id"]),
        number=raw["credit_number"],
        reference=raw["credit_number"],
        key=key_in(raw.get("notes")),
        status=status,
        currency=raw["amount"]["code"],
        total=total,
        due=total - used,
        customer_id=str(raw["clientid"]),
    )
