"""Emulated Stripe credit notes: what one takes, what it takes off its invoice, what is given back elsewhere.

Written from docs.stripe.com/api/credit_notes and /invoicing/integration/programmatic-credit-notes. Lines of the invoice
(`invoice_line_item`), refunds of charges and the customer's balance are not emulated and refused, and so is, because
the documents are silent, the void of an invoice that has a credit note. How tax is rounded is a guess, as for invoices.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from connectors.sandbox.stripe_books import Books, Document
from connectors.sandbox.stripe_forms import DECIMAL, INT, METADATA, TEXT, Refused, Spec, invalid
from connectors.sandbox.stripe_invoices import (
    MOST_ITEMS,
    MOST_TAX_AMOUNTS,
    MOST_TAX_RATES,
    active_rate,
    by_rate,
    computed,
    kept,
    only,
    tax_of,
)
from connectors.sandbox.sums import half_up

NOTE: dict[str, Spec] = {
    "invoice": TEXT,
    "amount": INT,
    "credit_amount": INT,
    "refund_amount": INT,
    "out_of_band_amount": INT,
    "effective_at": INT,
    "email_type": TEXT,
    "memo": TEXT,
    "reason": TEXT,
    "metadata": METADATA,
    "expand": [TEXT],
    "lines": [
        {
            "type": TEXT,
            "invoice_line_item": TEXT,
            "description": TEXT,
            "quantity": INT,
            "unit_amount": INT,
            "unit_amount_decimal": DECIMAL,
            "amount": INT,
            "metadata": METADATA,
            "tax_rates": [TEXT],
            "tax_amounts": [{"amount": INT, "taxable_amount": INT, "tax_rate": TEXT}],
        }
    ],
}
"""Parameters of POST /v1/credit_notes."""
REASONS = {None, "duplicate", "fraudulent", "order_change", "product_unsatisfactory"}


def noted(books: Books, given: Mapping[str, Any]) -> Document:
    """A new credit note, final at once; what remains of its invoice falls first."""
    invoice = books.get("invoice", given["invoice"], "invoice")
    final = {"open", "paid", "uncollectible"}
    only(invoice, final, "invoice_not_editable", "A credit note is for a finalized invoice. This invoice is {status}.")
    for name in ("amount", "credit_amount", "refund_amount"):
        if given.get(name) is not None:
            raise invalid(f"This sandbox does not emulate {name}.", "parameter_invalid", name)
    if given.get("reason") not in REASONS or given.get("email_type") not in {None, "none", "credit_note"}:
        raise invalid("Invalid reason or email_type", "parameter_invalid", "reason")
    if not 0 < len(given["lines"]) <= MOST_ITEMS:
        raise invalid("Invalid lines", "parameter_invalid", "lines")
    lines = [_line(books, line, f"lines[{at}]") for at, line in enumerate(given["lines"])]
    taxes = by_rate([tax for line in lines for tax in line["taxes"]])
    subtotal = sum(line["amount"] for line in lines)
    total = subtotal + sum(tax["amount"] for tax in taxes if tax["tax_behavior"] == "exclusive")
    before, after = _split(invoice, total, given.get("out_of_band_amount") or 0)
    count = len(books.page("credit_note", {"invoice": invoice["id"], "limit": 100}, None, "")["data"])
    note = {
        **{"id": books.new_id("credit_note"), "object": "credit_note", "livemode": books.livemode},
        **{"created": int(books.now), "effective_at": given.get("effective_at") or int(books.now)},
        **{name: invoice[name] for name in ("customer", "currency")},
        **{"invoice": invoice["id"], "number": f"{invoice['number']}-CN-{count + 1:02d}", "status": "issued"},
        **{"memo": given.get("memo"), "reason": given.get("reason"), "metadata": given.get("metadata") or {}},
        **{"amount": total, "total": total, "subtotal": subtotal, "total_taxes": taxes, "discount_amount": 0},
        **{"pre_payment_amount": before, "post_payment_amount": after, "out_of_band_amount": after or None},
        "type": "mixed" if before and after else "post_payment" if after else "pre_payment",
        "lines": {"object": "list", "url": "/v1/credit_notes/lines", "has_more": False, "data": lines},
    }
    _taken_off(books, invoice, before, after)
    return books.add("credit_note", note, owner=invoice["customer"])


def _split(invoice: Document, total: int, elsewhere: int) -> tuple[int, int]:
    """What the credit note takes off what remains of the invoice, and what was paid and is given back elsewhere."""
    so_far = invoice["pre_payment_credit_notes_amount"] + invoice["post_payment_credit_notes_amount"]
    if not 0 < total <= invoice["total"] - so_far:
        raise Refused("The credit notes of an invoice can't be more than its total, and none is for nothing.")
    before = min(total, invoice["amount_remaining"])
    if total - before != elsewhere:
        raise Refused(
            "The sum of refunds, customer balance credits, and outside of Stripe credits must equal the "
            f"post_payment_amount, which is {total - before}.",
            param="out_of_band_amount",
        )
    return before, total - before


def _taken_off(books: Books, invoice: Document, before: int, after: int) -> None:
    """An open invoice of which nothing remains is paid."""
    invoice["amount_due"] -= before
    invoice["amount_remaining"] -= before
    invoice["pre_payment_credit_notes_amount"] += before
    invoice["post_payment_credit_notes_amount"] += after
    if before and not invoice["amount_remaining"]:
        invoice["status"] = "paid"
        invoice["status_transitions"]["paid_at"] = int(books.now)
    books.save("invoice", invoice)


def _line(books: Books, line: Mapping[str, Any], path: str) -> Document:
    if line.get("type") != "custom_line_item":
        raise invalid(f"This sandbox emulates custom_line_item only: {path}[type]", "parameter_invalid", path)
    if line.get("amount") is not None or line.get("invoice_line_item") is not None:
        raise invalid(f"{path}[amount] goes with an invoice_line_item.", "parameter_invalid", path)
    units = [line[name] for name in ("unit_amount", "unit_amount_decimal") if line.get(name) is not None]
    quantity = 1 if line.get("quantity") is None else line["quantity"]
    if len(units) != 1 or units[0] < 0 or quantity < 1 or not line.get("description"):
        raise invalid(f"Missing required param: {path}[unit_amount].", "parameter_missing", f"{path}[unit_amount]")
    rates, amounts = line.get("tax_rates") or [], line.get("tax_amounts") or []
    if (rates and amounts) or len(rates) > MOST_TAX_RATES or len(amounts) > MOST_TAX_AMOUNTS:
        raise invalid("Specify one of tax_rates and tax_amounts.", "parameter_invalid", f"{path}[tax_amounts]")
    made: Document = {
        **{"id": f"cnli_{books.new_id('credit_note')[3:]}{path[6:-1]}", "object": "credit_note_line_item"},
        **{"type": "custom_line_item", "description": line["description"], "quantity": quantity},
        **{"amount": int(half_up(Decimal(units[0]) * quantity, 0)), "discount_amounts": [], "discount_amount": 0},
        **{"unit_amount_decimal": f"{Decimal(units[0]):f}", "metadata": line.get("metadata") or {}},
    }
    given = [kept(active_rate(books, rate, f"{path}[tax_rates]")) for rate in rates]
    made["taxes"] = computed(made, given) or [_given(books, tax, f"{path}[tax_amounts]") for tax in amounts]
    return made


def _given(books: Books, tax: Mapping[str, Any], path: str) -> Document:
    """Only of a tax rate that Stripe made automatically: such are archived at once."""
    for name in ("amount", "taxable_amount", "tax_rate"):
        if tax.get(name) is None:
            raise invalid(f"Missing required param: {path}[{name}].", "parameter_missing", f"{path}[{name}]")
    rate = books.get("tax_rate", tax["tax_rate"], f"{path}[tax_rate]")
    if rate["active"]:
        raise Refused("The tax rate must have been automatically created by Stripe.", param=f"{path}[tax_rate]")
    return tax_of(rate["id"], tax["amount"], tax["taxable_amount"], rate["inclusive"])
