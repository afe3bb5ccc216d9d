"""Orders in parts: whatever the sequence of shipments, the parts together are the order, to the cent."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.model import Order, minor_units, rounded
from tasks.splitting import TooMuch, added, in_words, part_of, remaining


def amounts(most: int, currency: str, digits: int | None = None) -> st.SearchStrategy[Decimal]:
    places = minor_units(currency) if digits is None else digits
    return st.integers(0, most).map(lambda units: Decimal(units).scaleb(-places))


@st.composite
def tax(draw: st.DrawFn, currency: str) -> dict[str, Any] | None:
    if draw(st.booleans()):
        return None
    return {"name": "VAT", "rate": "20", "amount": draw(amounts(999, currency))}


@st.composite
def orders(draw: st.DrawFn) -> Order:
    """Any order that adds up: discounts up to all of it, free lines, prices with more decimals than the currency."""
    currency = draw(st.sampled_from(["GBP", "JPY", "KWD"]))
    lines, net = [], Decimal(0)
    for number in range(draw(st.integers(1, 4))):
        quantity = draw(st.one_of(st.integers(1, 12).map(Decimal), amounts(5000, currency, 3).filter(bool)))
        price = draw(amounts(20_000, currency, draw(st.integers(0, 4))))
        gross = rounded(quantity * price, currency)
        discount = min(gross, draw(st.sampled_from([Decimal(0), gross, draw(amounts(500, currency))])))
        net += gross - discount
        lines.append(
            {"ref": f"L{number}", "description": f"Thing {number}", "quantity": quantity, "unit_price": price,
             "discount": discount, "tax": draw(tax(currency))}
        )  # fmt: skip
    line_tax = sum((each["tax"]["amount"] for each in lines if each["tax"]), Decimal(0))
    off = min(net, draw(st.sampled_from([Decimal(0), net, draw(amounts(500, currency))])))
    off_tax = min(line_tax, draw(amounts(300, currency)))
    included = draw(st.booleans())
    discount_ = {"amount": off, "tax": {"rate": "20", "amount": off_tax}} if draw(st.booleans()) else None
    shipping = {"amount": draw(amounts(2000, currency)), "tax": draw(tax(currency))} if draw(st.booleans()) else None
    data = {"id": "1", "currency": currency, "tax_included": included, "lines": lines, "discount": discount_,
            "shipping": shipping, "total": "0"}  # fmt: skip
    return _adding_up(data)


def _adding_up(data: dict[str, Any]) -> Order:
    try:
        return Order.model_validate(data)
    except ValueError as error:
        found = next(each for each in error.errors() if each["type"] == "does_not_add_up")  # type: ignore[attr-defined]
        difference = Decimal(found["ctx"]["difference"])
        return Order.model_validate({**data, "total": -difference})


@st.composite
def shipments(draw: st.DrawFn, order: Order) -> list[dict[str, Decimal]]:
    """Parts of any size in any order, until nothing is left."""
    parts: list[dict[str, Decimal]] = []
    while left := remaining(order, added(parts)):
        now = {}
        for ref, quantity in left.items():
            take = draw(st.sampled_from([Decimal(0), quantity, min(quantity, Decimal(1)), quantity / 2]))
            if take:
                now[ref] = take.quantize(Decimal("0.000001")) if take != quantity else take
        parts.append({ref: quantity for ref, quantity in (now or left).items() if quantity} or left)
        if len(parts) > 6:
            parts.append(remaining(order, added(parts)))
            break
    return [part for part in parts if part]


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_any_sequence_of_parts_keeps_every_sum(data: st.DataObject) -> None:
    order = data.draw(orders())
    parts = data.draw(shipments(order))
    made = [part_of(order, added(parts[:number]), part) for number, part in enumerate(parts)]
    assert sum(part.total for part in made) == order.total
    assert sum(part.tax_total() for part in made) == order.tax_total()
    assert sum_of(part.shipping.amount for part in made if part.shipping) == (
        order.shipping.amount if order.shipping else 0
    )
    assert sum_of(part.discount.amount for part in made if part.discount) == (
        order.discount.amount if order.discount else 0
    )
    for line in order.lines:
        of_line = [each for part in made for each in part.lines if each.ref == line.ref]
        assert sum_of(each.amount(order.currency) for each in of_line) == line.amount(order.currency)
        assert sum_of(each.tax.amount for each in of_line if each.tax) == (line.tax.amount if line.tax else 0)
    assert remaining(order, added(parts)) == {}
    assert all(part.total >= 0 for part in made)


def sum_of(values: Iterable[Decimal]) -> Decimal:
    return sum(values, Decimal(0))


def order(**changed: Any) -> Order:
    vat = {"name": "VAT", "rate": "20"}
    lines = [
        {
            "ref": "1",
            "description": "Plaque",
            "quantity": "2",
            "unit_price": "45.00",
            "tax": {**vat, "amount": "18.00"},
        },
        {"ref": "2", "description": "Tag", "quantity": "1", "unit_price": "5.50", "tax": {**vat, "amount": "1.10"}},
    ]
    data = {"id": "1", "ref": "SO-1", "currency": "GBP", "lines": lines, "total": "118.14",
            "discount": {"amount": "5.00", "tax": {**vat, "amount": "1.00"}},
            "shipping": {"amount": "7.95", "tax": {**vat, "amount": "1.59"}}}  # fmt: skip
    return Order.model_validate({**data, **changed})


def test_all_at_once_is_the_order_itself() -> None:
    whole = order()
    assert part_of(whole, {}, {"1": Decimal(2), "2": Decimal(1)}) is whole


def test_the_last_part_takes_the_remainder() -> None:
    whole = order()
    parts = [{"1": Decimal(1)}, {"2": Decimal(1)}, {"1": Decimal(1)}]
    made = [part_of(whole, added(parts[:number]), part) for number, part in enumerate(parts)]
    assert [str(part.total) for part in made] == ["55.67", "6.80", "55.67"]
    assert [str(part.shipping.amount) for part in made if part.shipping] == ["3.75", "0.45", "3.75"]


def test_a_price_that_cannot_be_parted_is_written_out() -> None:
    thirds = order(
        lines=[{"ref": "1", "description": "Dot", "quantity": "3", "unit_price": "0.335"}],
        discount=None,
        shipping=None,
        total="1.01",
    )
    made = [part_of(thirds, {"1": Decimal(number)}, {"1": Decimal(1)}) for number in range(3)]
    assert [str(part.total) for part in made] == ["0.34", "0.33", "0.34"]
    assert made[1].lines[0].description == "Dot (1 × 0.335)"


@pytest.mark.parametrize(
    ("taken", "now", "said"),
    [
        ({"1": Decimal(1)}, {"1": Decimal(2)}, "2 were ordered, 1 are invoiced already, and 2 more are to be"),
        ({}, {"9": Decimal(1)}, "order SO-1 has no line '9'"),
    ],
)
def test_never_more_than_was_ordered(taken: dict[str, Decimal], now: dict[str, Decimal], said: str) -> None:
    with pytest.raises(TooMuch, match=said):
        part_of(order(), taken, now)


def test_lines_that_cannot_be_told_apart_are_not_parted() -> None:
    twins = [{"ref": "1", "description": "Tag", "quantity": "1", "unit_price": "1.00"}] * 2
    with pytest.raises(TooMuch, match="two lines of one ref"):
        part_of(order(lines=twins, discount=None, shipping=None, total="2.00"), {}, {"1": Decimal(1)})


def test_what_a_part_holds_in_words() -> None:
    assert in_words({"1": Decimal(2), "9": Decimal(1)}, order()) == ["2 × Plaque", "1 × 9"]
