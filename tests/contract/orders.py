"""Orders that platforms stumble over, as drafts; every tax is rounded half up per line, as most platforms do."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from decimal import Decimal
from typing import Any

from connectors.model import InvoiceDraft, Order, rounded
from connectors.platforms.documents import CustomerDraft

ADA = {"ref": "C-9", "name": "Ada Lovelace", "company": "Analytical Engines Ltd", "email": "ada@example.com"}
PLAQUE = {"ref": "1", "sku": "PLQ-BR", "description": "Brass plaque, engraved", "quantity": "2", "unit_price": "45.00"}
TAG = {"ref": "2", "sku": "TAG-ST", "description": "Steel tag", "quantity": "1", "unit_price": "5.50"}


def vat(net: str | Decimal, rate: str = "20", *, included: bool = False, currency: str = "GBP") -> dict[str, str]:
    """The tax on one amount."""
    amount, percent = Decimal(net), Decimal(rate)
    tax = amount * percent / (100 + percent) if included else amount * percent / 100
    return {"name": "VAT", "rate": rate, "amount": str(rounded(tax, currency))}


def line(
    part: dict[str, Any],
    rate: str | None = "20",
    *,
    included: bool = False,
    discount: str = "0",
    currency: str = "GBP",
) -> dict[str, Any]:
    """The part with its discount and tax."""
    net = rounded(Decimal(part["quantity"]) * Decimal(part["unit_price"]), currency) - Decimal(discount)
    tax = vat(net, rate, included=included, currency=currency) if rate else None
    return {**part, "discount": discount, "tax": tax}


def draft(reference: str, lines: list[dict[str, Any]], *, key: str | None = None, **fields: Any) -> InvoiceDraft:
    """The draft of a valid order of these lines; the total is what they add up to."""
    data = {"id": reference, "currency": "GBP", "customer": ADA, "lines": lines, **fields}
    data["billing_address"] = {"line1": "12 Engine Row", "city": "London", "postcode": "N1 7AA", "country": "GB"}
    data.setdefault("total", str(_sum(data)))
    order = Order.model_validate(data)
    return InvoiceDraft(
        key=key or f"shop-1/books/{reference}/order/invoice/1",
        reference=reference,
        order_ref=order.ref,
        currency=order.currency,
        issued_on=date(2026, 11, 22),
        due_on=date(2026, 12, 6),
        customer=order.customer,
        billing_address=order.billing_address,
        tax_included=order.tax_included,
        lines=order.lines,
        discount=order.discount,
        shipping=order.shipping,
        tax_total=order.tax_total(),
        total=order.total,
    )


def _sum(data: dict[str, Any]) -> Decimal:
    total = Decimal(0)
    for part in data["lines"]:
        amount = Decimal(part["quantity"]) * Decimal(part["unit_price"])
        total += rounded(amount, data["currency"]) - Decimal(part["discount"])
        total += Decimal(part["tax"]["amount"]) if part["tax"] and not data.get("tax_included") else 0
    for name, sign in (("shipping", 1), ("discount", -1)):
        if part := data.get(name):
            total += sign * (Decimal(part["amount"]) + Decimal(part["tax"]["amount"]))
    return total


def customer(of: InvoiceDraft) -> CustomerDraft:
    """The customer of an order; two orders of one customer have one key."""
    return CustomerDraft(
        key=f"shop-1/{of.customer.ref or of.customer.email}",
        party=of.customer,
        billing_address=of.billing_address,
        currency=of.currency,
    )


def simple(reference: str, **fields: Any) -> InvoiceDraft:
    """One line, 108.00."""
    return draft(reference, [line(PLAQUE)], **fields)


def full(reference: str, price: str) -> InvoiceDraft:
    """A line at this price, order discount, shipping."""
    lines = [line({**PLAQUE, "unit_price": price}), line(TAG)]
    return draft(reference, lines, discount=FIVE_OFF, shipping=COURIER)


COURIER = {"description": "Courier", "amount": "7.95", "tax": vat("7.95")}
FIVE_OFF = {"amount": "5.00", "tax": vat("5.00")}


def _example(*lines: dict[str, Any], total: str) -> InvoiceDraft:
    return draft("SO-1001", [line(part) for part in lines], discount=FIVE_OFF, shipping=COURIER, total=total)


def _tax_included() -> InvoiceDraft:
    lines = [line({**PLAQUE, "unit_price": "54.00"}, included=True), line({**TAG, "unit_price": "6.60"}, included=True)]
    return draft("SO-1004", lines, tax_included=True)


def _many() -> InvoiceDraft:
    parts = [
        {
            "ref": str(n),
            "description": f"Tag no. {n}",
            "quantity": str(n % 7 + 1),
            "unit_price": f"{n % 13 + 1}.{n % 100:02}",
        }
        for n in range(250)
    ]
    return draft("SO-1006", [line(part) for part in parts])


def _named(**party: Any) -> Callable[[], InvoiceDraft]:
    return lambda: simple("SO-1010", customer={"ref": "C-10", "email": "who@example.com", **party})


def _in(currency: str, price: str) -> InvoiceDraft:
    return draft("SO-1017", [line({**PLAQUE, "unit_price": price}, currency=currency)], currency=currency)


ORDERS: dict[str, Callable[[], InvoiceDraft]] = {
    "the event's example": lambda: _example(PLAQUE, total="111.54"),
    "two lines, discount, shipping": lambda: _example(PLAQUE, TAG, total="118.14"),
    "discount per line": lambda: draft("SO-1003", [line(PLAQUE, discount="9.00"), line(TAG, discount="0.55")]),
    "tax included": _tax_included,
    "two tax rates": lambda: draft("SO-1005", [line(PLAQUE), line(TAG, "5")]),
    "a line without tax": lambda: draft("SO-1016", [line(PLAQUE), line(TAG, "0")]),
    "250 lines": _many,
    "decimals in the quantity": lambda: draft("SO-1007", [line({**PLAQUE, "quantity": "2.5", "unit_price": "12.34"})]),
    "a free line": lambda: draft("SO-1008", [line(PLAQUE), line({**TAG, "unit_price": "0"})]),
    "only an e-mail": lambda: simple("SO-1009", customer={"email": "someone@example.com"}),
    "quotes": _named(name='Miles "Tails" O\'Prower'),
    "markup": _named(company="Bits & Bobs <script>alert(1)</script>"),
    "emoji": _named(name="Zoë 🦊 Fuchs"),
    "right to left": _named(name="עדה לאבלייס", company="شركة المحركات"),
    "300 characters": _named(name="Wolfeschlegelstein " * 15 + "hausen bergerdorff"[:15]),
    "no decimals": lambda: _in("JPY", "4503"),
    "three decimals": lambda: _in("KWD", "4.503"),
    "backslash and comma": _named(name="Back\\slash, Inc."),
}
