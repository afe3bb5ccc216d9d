"""A refund of goods that are on several invoices: its parts together are the refund, and no invoice gives too much."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.model import InvoiceDraft, Refund
from tasks.crediting import given_back, order_of
from tasks.reasons import Held
from tasks.sharing import shared_out
from tasks.splitting import added, part_of
from tests.contract import orders
from tests.unit.test_crediting import invoices, note

TWO = {"ref": "1", "quantity": "2", "amount": "90.00", "tax": "18.00"}


def invoice(*lines: dict[str, Any]) -> InvoiceDraft:
    return orders.draft("SO-1", list(lines))


PLAQUE = orders.line({**orders.PLAQUE, "quantity": "1"})
"""54.00 with tax."""
TAG = orders.line(orders.TAG)
"""6.60 with tax."""


def told(parts: list[Refund | None]) -> list[str | None]:
    return [None if part is None else f"{part.total}" for part in parts]


def refund(total: str, *lines: dict[str, Any], **more: Any) -> Refund:
    return Refund.model_validate({"ref": "R1", "total": total, "lines": lines, **more})


def test_a_line_comes_back_from_the_invoices_that_have_it() -> None:
    both = [(invoice(PLAQUE), []), (invoice(TAG), []), (invoice(PLAQUE), [])]
    parts = shared_out(both, refund("108.00", TWO))
    assert told(parts) == ["54.00", None, "54.00"]


def test_shipping_goes_to_the_first_that_has_room_for_it() -> None:
    """Of the first everything comes back already."""
    shipped = orders.draft("SO-1", [PLAQUE], shipping=orders.COURIER)
    both = [(invoice(PLAQUE), []), (shipped, [])]
    courier = {"amount": "7.95", "tax": {"rate": "20", "amount": "1.59"}}
    parts = shared_out(both, refund("117.54", TWO, shipping=courier))
    assert told(parts) == ["54.00", "63.54"]
    assert parts[1] is not None
    assert parts[1].shipping is not None


def test_what_was_kept_back_is_kept_of_the_first() -> None:
    assert told(shared_out([(invoice(PLAQUE), []), (invoice(PLAQUE), [])], refund("100.00", TWO))) == ["46.00", "54.00"]


@pytest.mark.parametrize(
    ("total", "line", "why"),
    [
        ("162.00", {**TWO, "quantity": "3"}, "the invoices hold 2 of it"),
        ("200.00", TWO, "92.00 of the refund are explained by no line"),
    ],
)
def test_what_the_invoices_do_not_hold_is_told(total: str, line: dict[str, Any], why: str) -> None:
    with pytest.raises(Held, match=why):
        shared_out([(invoice(PLAQUE), []), (invoice(PLAQUE), [])], refund(total, line))


@settings(max_examples=120, deadline=None)
@given(invoices(), st.data())
def test_the_parts_are_the_refund_and_each_invoice_can_give_its_part(whole: InvoiceDraft, data: st.DataObject) -> None:
    """An order in two parts, of which any quantities came back, at any amounts."""
    first = {line.ref: Decimal(data.draw(st.integers(0, int(line.quantity)))) for line in whole.lines}
    order = order_of(whole)
    second = {line.ref: line.quantity - first[line.ref] for line in whole.lines}
    drafts, taken = [], {}
    for now in (first, second):
        if any(now.values()):
            part = part_of(order, taken, {ref: n for ref, n in now.items() if n})
            drafts.append(
                whole.model_copy(update={"lines": part.lines, "shipping": part.shipping, "total": part.total})
            )
            taken = added((taken, now))
    lines = []
    for line in whole.lines:
        if back := data.draw(st.integers(0, int(line.quantity))):
            amount = {"amount": f"{line.unit_price * back:.2f}"} if data.draw(st.booleans()) else {}
            lines.append({"ref": line.ref, "quantity": str(back), **amount})
    total = Decimal(data.draw(st.integers(1, max(1, int(whole.total * 100))))) / 100
    asked = refund(str(total), *lines)
    try:
        parts = shared_out([(draft, []) for draft in drafts], asked)
    except Held:
        return
    assert sum((part.total for part in parts if part), Decimal(0)) == total
    for draft, part in zip(drafts, parts, strict=True):
        if part is not None and part.total <= draft.total:
            try:
                assert note(draft, given_back(draft, [], part)).total == part.total
            except Held:
                continue
