"""The mail that brings a customer an invoice or a credit note, or says that an invoice is cancelled.

Subject, plain text and HTML come from one set of facts.

Amounts are shown exactly as they are, with the currency's own number of decimals, never rounded.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from functools import cache
from typing import Any
from urllib.parse import urlsplit

from jinja2 import Environment, PackageLoader, StrictUndefined, Template, select_autoescape

from connectors.channels.letter import one_line
from connectors.model import InvoiceDraft, Tax, minor_units


@dataclass(frozen=True, slots=True)
class Rendered:
    subject: str
    text: str
    html: str


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the table: what, how many at what price (None for shipping and discount), amount."""

    description: str
    detail: str
    quantity: str | None
    unit_price: str | None
    amount: str


def money(amount: Decimal, currency: str) -> str:
    """`GBP 1,234.50`: at least the currency's decimals, more only where the amount has them (unit prices)."""
    text = f"{amount:f}"
    decimals = len(text.partition(".")[2].rstrip("0"))
    return f"{currency} {amount:,.{max(decimals, minor_units(currency))}f}"


def day(value: date) -> str:
    """`6 December 2026`: no reader takes the month for the day."""
    return f"{value.day} {value:%B %Y}"


@dataclass(frozen=True, slots=True)
class Words:
    """What differs between the mails; `opening` names the `order` and the `number`."""

    title: str
    opening: str
    to_pay: bool = False


WORDS = {
    "invoice": Words("Invoice {number}", "thank you for your order {order}. Here is your invoice.", to_pay=True),
    "credit": Words("Credit note {number}", "this credit note is for what was given back of your order {order}."),
    "void": Words(
        "Invoice {number} is cancelled",
        "your order {order} was given back, so invoice {number} is cancelled. There is nothing to pay.",
    ),
}
"""By purpose."""


def render(draft: InvoiceDraft, *, number: str, sender: str, pay_url: str | None, purpose: str = "invoice") -> Rendered:
    """The mail about an issued invoice, or with another `purpose` (invoice, credit, void) about what was given back of
    one. `sender` is the shop's name; a `pay_url` that is not http(s) is left out."""
    words = WORDS[purpose]
    named = {"number": one_line(number), "order": one_line(draft.order_ref)}
    facts: dict[str, Any] = {
        "title": words.title.format(**named),
        "opening": words.opening.format(**named),
        "label": words.title.partition(" {")[0],
        "to_pay": words.to_pay,
        "name": one_line(draft.customer.name or draft.customer.company or ""),
        "number": named["number"],
        "sender": one_line(sender),
        "issued": day(draft.issued_on),
        "due": day(draft.due_on),
        "rows": _rows(draft),
        "taxes": _taxes(draft),
        "tax_included": draft.tax_included,
        "total": money(draft.total, draft.currency),
        "pay_url": pay_url if words.to_pay and pay_url and urlsplit(pay_url).scheme in ("http", "https") else None,
    }
    subject = f"{facts['title']}{': ' if purpose == 'void' else ' from '}{facts['sender']}"
    return Rendered(subject, _template("invoice.txt").render(facts), _template("invoice.html").render(facts))


def _rows(draft: InvoiceDraft) -> list[Row]:
    currency = draft.currency
    rows = []
    for line in draft.lines:
        extra = [f"{key}: {value}" for key, value in line.attributes.items()]
        if line.discount:
            extra.append(f"discount {money(line.discount, currency)}")
        quantity = f"{line.quantity:f}"
        rows.append(
            Row(
                description=one_line(line.description),
                detail=one_line("; ".join(extra)),
                quantity=quantity.rstrip("0").rstrip(".") if "." in quantity else quantity,
                unit_price=money(line.unit_price, currency),
                amount=money(line.amount(currency), currency),
            )
        )
    if draft.shipping and (draft.shipping.amount or draft.shipping.tax):
        amount = money(draft.shipping.amount, currency)
        rows.append(Row(one_line(draft.shipping.description), "", None, None, amount))
    if draft.discount and draft.discount.amount:
        rows.append(Row(one_line(draft.discount.description), "", None, None, money(-draft.discount.amount, currency)))
    return rows


def _taxes(draft: InvoiceDraft) -> list[tuple[str, str]]:
    """Each tax with its rate and sum, the order discount's part taken off; together they are the draft's tax."""
    sums: dict[tuple[str, Decimal], Decimal] = {}

    def add(tax: Tax | None, sign: int) -> None:
        if tax:
            key = (one_line(tax.name), tax.rate)
            sums[key] = sums.get(key, Decimal(0)) + sign * tax.amount

    for line in draft.lines:
        add(line.tax, 1)
    add(draft.shipping.tax if draft.shipping else None, 1)
    add(draft.discount.tax if draft.discount else None, -1)
    return [(f"{name} {rate.normalize():f}%", money(amount, draft.currency)) for (name, rate), amount in sums.items()]


@cache
def _template(name: str) -> Template:
    environment = Environment(
        loader=PackageLoader("connectors.channels"),
        autoescape=select_autoescape(["html"], default=False),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template(name)
