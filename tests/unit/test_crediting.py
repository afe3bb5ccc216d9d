"""What a refund gives back of an invoice: to the cent, never more than was invoiced."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.model import InvoiceDraft, Order, Refund, rounded
from tasks.crediting import Given, given_back
from tasks.reasons import Held
from tasks.splitting import TooMuch, added
from tests.contract import orders

EXAMPLE = orders.ORDERS["two lines, discount, shipping"]()


def refund(total: str, *lines: dict[str, Any], ref: str = "R1", **more: Any) -> Refund:
    return Refund.model_validate({"ref": ref, "total": total, "lines": lines, **more})


def back(ref: str, quantity: str = "1", **amounts: str) -> dict[str, Any]:
    return {"ref": ref, "quantity": quantity, **amounts}


def note(invoice: InvoiceDraft, what: Given) -> InvoiceDraft:
    """As it is stored."""
    order = what.order
    return invoice.model_copy(
        update={
            "lines": order.lines, "discount": order.discount, "shipping": order.shipping, "total": order.total,
            "came_back": dict(what.came_back),
        }
    )  # fmt: skip


def lines_of(what: Given) -> list[tuple[str, str, str, str]]:
    return [
        (line.description, f"{line.quantity:f}", f"{line.amount('GBP'):f}", f"{line.tax.amount if line.tax else 0:f}")
        for line in what.order.lines
    ]


def test_all_of_it_is_the_invoice_turned_round() -> None:
    what = given_back(EXAMPLE, [], refund("118.14"))
    assert (what.order.lines, what.order.discount, what.order.shipping) == (
        EXAMPLE.lines, EXAMPLE.discount, EXAMPLE.shipping,
    )  # fmt: skip
    assert what.came_back == {"1": 2, "2": 1}


def test_what_the_shop_says_of_a_line_counts() -> None:
    """One plaque, of whose price a part of the order's discount had been taken off."""
    what = given_back(EXAMPLE, [], refund("51.00", back("1", amount="42.50", tax="8.50")))
    assert lines_of(what) == [("Brass plaque, engraved", "1", "42.50", "8.50")]
    assert what.came_back == {"1": 1}


def test_what_it_does_not_say_is_the_share_of_the_line_and_of_the_discount() -> None:
    """One of two plaques: 45.00 less its share of the 5.00 off, 2.36, with 20 % on it."""
    what = given_back(EXAMPLE, [], refund("51.17", back("1")))
    assert what.order.discount is not None
    assert (what.order.discount.amount, what.order.computed_total()) == (Decimal("2.36"), Decimal("51.17"))


def test_shipping_that_is_in_the_total_and_that_nobody_spoke_of_is_recognised() -> None:
    what = given_back(EXAMPLE, [], refund("16.14", back("2", amount="5.50", tax="1.10")))
    assert what.order.shipping == EXAMPLE.shipping


def test_shipping_alone_is_a_line() -> None:
    what = given_back(EXAMPLE, [], refund("9.54", shipping={"amount": "7.95"}))
    assert lines_of(what) == [("Shipping", "1", "7.95", "1.59")]


def test_an_amount_that_nothing_explains_is_one_of_its_own_with_the_tax_of_the_invoice() -> None:
    what = given_back(EXAMPLE, [], refund("12.00"))
    assert lines_of(what) == [("Refund", "1", "10.00", "2.00")]
    assert what.came_back == {}


def test_an_amount_is_shared_out_over_the_taxes_of_the_invoice() -> None:
    """108.00 at 20 % and 5.78 at 5 %, rounded half up: the last takes the remainder."""
    invoice = orders.ORDERS["two tax rates"]()
    what = given_back(invoice, [], refund("10.00"))
    rates = {line.tax.rate: line.tax.amount + line.amount("GBP") for line in what.order.lines if line.tax}
    assert rates == {Decimal(20): Decimal("9.49"), Decimal(5): Decimal("0.51")}


def test_what_was_kept_back_is_a_discount_of_the_note() -> None:
    """A plaque came back, 6.00 of it were kept for the trouble."""
    what = given_back(EXAMPLE, [], refund("45.00", back("1", amount="42.50", tax="8.50")))
    assert what.order.discount is not None
    assert (what.order.discount.amount, what.order.discount.description) == (Decimal("5.00"), "Kept back")


def test_never_more_than_was_invoiced_is_given_back() -> None:
    first = note(EXAMPLE, given_back(EXAMPLE, [], refund("51.00", back("1", amount="42.50", tax="8.50"))))
    with pytest.raises(TooMuch, match=r"only 67\.14 GBP are left"):
        given_back(EXAMPLE, [first], refund("67.15"))
    with pytest.raises(TooMuch, match=r"2 of line '1' came back, but 1 of it"):
        given_back(EXAMPLE, [first], refund("20.00", back("1", "2", amount="15.00")))
    with pytest.raises(TooMuch, match="has no line '9'"):
        given_back(EXAMPLE, [], refund("20.00", back("9", "0", amount="15.00")))


def test_a_line_without_quantity_and_amount_is_told_to_a_person() -> None:
    with pytest.raises(Held, match="neither a quantity nor an amount"):
        given_back(EXAMPLE, [], refund("20.00", back("1", "0"), back("2", "1", amount="5.50")))


@st.composite
def invoices(draw: st.DrawFn) -> InvoiceDraft:
    included = draw(st.booleans())
    cents = st.integers(0, 9_999).map(lambda n: f"{Decimal(n) / 100:.2f}")
    lines = []
    for ref in range(draw(st.integers(1, 3))):
        part = {
            "ref": str(ref), "description": f"Thing {ref}", "quantity": str(draw(st.integers(1, 5))),
            "unit_price": draw(cents),
        }  # fmt: skip
        lines.append(orders.line(part, draw(st.sampled_from(["20", "5", None])), included=included))
    shipping = {"amount": (amount := draw(cents)), "tax": orders.vat(amount, included=included)}
    data = {
        "id": "1", "currency": "GBP", "lines": lines, "tax_included": included, "shipping": shipping, "total": "0",
    }  # fmt: skip
    total = Order.model_construct(**Order.model_validate(_summed(data)).__dict__).total
    order = Order.model_validate(_summed(data))
    return InvoiceDraft(
        key="k", reference="SO-1", order_ref="SO-1", currency="GBP", issued_on=date(2026, 11, 22),
        due_on=date(2026, 12, 6), customer=order.customer, tax_included=included, lines=order.lines,
        shipping=order.shipping, tax_total=order.tax_total(), total=total,
    )  # fmt: skip


def _summed(data: dict[str, Any]) -> dict[str, Any]:
    total = Decimal(data["shipping"]["amount"])
    for line in data["lines"]:
        total += rounded(Decimal(line["quantity"]) * Decimal(line["unit_price"]), "GBP")
    if not data["tax_included"]:
        taxes = [line["tax"] for line in data["lines"]] + [data["shipping"]["tax"]]
        total += sum((Decimal(tax["amount"]) for tax in taxes if tax), Decimal(0))
    return {**data, "total": str(total)}


@settings(max_examples=150, deadline=None)
@given(invoices(), st.data())
def test_any_sequence_of_refunds_keeps_every_sum(invoice: InvoiceDraft, data: st.DataObject) -> None:
    """Whatever comes back in whatever pieces: each note adds up to its refund, and all of them never pass the
    invoice, nor the quantities what was invoiced."""
    notes: list[InvoiceDraft] = []
    for number in range(data.draw(st.integers(1, 5))):
        left = invoice.total - sum((one.total for one in notes), Decimal(0))
        if left <= 0:
            break
        total = data.draw(st.integers(1, int(left * 100)).map(lambda n: Decimal(n) / 100))
        wanted = _some_lines(invoice, data)
        try:
            what = given_back(invoice, notes, refund(str(total), *wanted, ref=f"R{number}"))
        except (TooMuch, Held):
            continue
        assert what.order.total == what.order.computed_total() == total
        notes.append(note(invoice, what))
    _never_passed(invoice, notes)


def _some_lines(invoice: InvoiceDraft, data: st.DataObject) -> list[dict[str, Any]]:
    lines = []
    for line in invoice.lines:
        quantity = data.draw(st.integers(0, int(line.quantity)))
        if quantity:
            amount = {"amount": f"{line.unit_price * quantity:.2f}"} if data.draw(st.booleans()) else {}
            lines.append(back(line.ref, str(quantity), **amount))
    return lines


def _never_passed(invoice: InvoiceDraft, notes: Sequence[InvoiceDraft]) -> None:
    assert sum((one.total for one in notes), Decimal(0)) <= invoice.total
    back_again = added(one.came_back for one in notes)
    assert all(back_again.get(line.ref, 0) <= line.quantity for line in invoice.lines)


@settings(max_examples=80, deadline=None)
@given(invoices(), st.data())
def test_all_pieces_together_are_the_invoice(invoice: InvoiceDraft, data: st.DataObject) -> None:
    """Piece by piece by quantity alone, shipping last: what was given back is what was invoiced."""
    left = {line.ref: int(line.quantity) for line in invoice.lines}
    notes: list[InvoiceDraft] = []
    while any(left.values()):
        now = {ref: data.draw(st.integers(0, many)) for ref, many in left.items()}
        if not any(now.values()):
            now = dict(left)
        lines = [back(ref, str(many)) for ref, many in now.items() if many]
        quantities = added({ref: Decimal(many)} for ref, many in now.items() if many)
        total = _share(invoice, notes, quantities)
        if total:
            notes.append(note(invoice, given_back(invoice, notes, refund(str(total), *lines, ref=str(len(notes))))))
        else:
            notes.append(invoice.model_copy(update={"total": Decimal(0), "lines": (), "came_back": dict(quantities)}))
        left = {ref: many - now[ref] for ref, many in left.items()}
        if invoice.total and sum((one.total for one in notes), Decimal(0)) == invoice.total:
            break  # what is left costs nothing, and came back with the whole invoice
    rest = invoice.total - sum((one.total for one in notes), Decimal(0))
    shipping = invoice.shipping
    assert shipping is not None
    assert shipping.tax is not None
    assert rest == shipping.amount + (0 if invoice.tax_included else shipping.tax.amount)


def _share(invoice: InvoiceDraft, notes: Sequence[InvoiceDraft], now: dict[str, Decimal]) -> Decimal:
    from tasks.crediting import order_of
    from tasks.splitting import part_of

    whole = order_of(invoice)
    part = part_of(whole, added(one.came_back for one in notes), now).model_copy(update={"shipping": None})
    return part.computed_total()
