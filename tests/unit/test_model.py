"""The shared language: exact money, orders that add up, and texts that every store can hold."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from connectors.model import Event, Order, Party, from_minor, minor_units, rounded, to_minor

LINE = {"ref": "1", "description": "Brass plaque", "quantity": "2", "unit_price": "45.00"}
VAT = {"name": "VAT", "rate": "20", "amount": "18.00"}
EXAMPLE: dict[str, Any] = {
    "id": "8a61f0",
    "ref": "SO-1001",
    "currency": "GBP",
    "lines": [{**LINE, "discount": "0", "tax": VAT}],
    "discount": {"amount": "5.00", "tax": {"rate": "20", "amount": "1.00"}},
    "shipping": {"description": "Courier", "amount": "7.95", "tax": {"rate": "20", "amount": "1.59"}},
    "total": "111.54",
}


def order(**changed: Any) -> Order:
    return Order.model_validate({**EXAMPLE, **changed})


def plain(**changed: Any) -> Order:
    """One line of 90.00, nothing else."""
    data = {"id": "1", "currency": "GBP", "lines": [LINE], "total": "90.00"}
    return Order.model_validate({**data, **changed})


def problems(**changed: Any) -> list[tuple[str, str]]:
    with pytest.raises(ValidationError) as caught:
        order(**changed)
    return [(".".join(map(str, error["loc"])), error["msg"]) for error in caught.value.errors()]


@pytest.mark.parametrize(("currency", "places"), [("GBP", 2), ("JPY", 0), ("KWD", 3), ("CLF", 4), ("XXX", 0)])
def test_minor_units(currency: str, places: int) -> None:
    assert minor_units(currency) == places


@pytest.mark.parametrize(
    ("currency", "amount", "units"),
    [("GBP", "118.14", 11814), ("JPY", "500", 500), ("KWD", "1.005", 1005), ("GBP", "-5", -500), ("GBP", "0", 0)],
)
def test_money_to_minor_units_and_back(currency: str, amount: str, units: int) -> None:
    assert to_minor(Decimal(amount), currency) == units
    assert from_minor(units, currency) == Decimal(amount)
    assert from_minor(units, currency).as_tuple().exponent == -minor_units(currency)


@pytest.mark.parametrize(("currency", "amount"), [("GBP", "1.001"), ("JPY", "0.5"), ("KWD", "0.0001")])
def test_a_fraction_of_a_minor_unit_is_refused(currency: str, amount: str) -> None:
    with pytest.raises(ValueError, match="more decimals"):
        to_minor(Decimal(amount), currency)
    with pytest.raises(ValueError, match=r"."):
        minor_units("ZZZ")


@pytest.mark.parametrize(
    ("amount", "currency", "result"),
    [("0.005", "GBP", "0.01"), ("-0.005", "GBP", "-0.01"), ("2.5", "JPY", "3"), ("1.0005", "KWD", "1.001")],
)
def test_rounding_is_half_up(amount: str, currency: str, result: str) -> None:
    assert str(rounded(Decimal(amount), currency)) == result


@given(st.integers(-(10**30), 10**30), st.sampled_from(["GBP", "JPY", "KWD"]))
def test_minor_units_are_exact_however_large(units: int, currency: str) -> None:
    assert to_minor(from_minor(units, currency), currency) == units


@given(st.decimals(0, 10**13, places=10), st.sampled_from(["GBP", "JPY", "KWD"]))
def test_rounding_moves_an_amount_by_half_a_unit_at_most_and_only_once(amount: Decimal, currency: str) -> None:
    once = rounded(amount, currency)
    assert abs(once - amount) * 2 <= Decimal(1).scaleb(-minor_units(currency))
    assert rounded(once, currency) == once


def test_the_example_adds_up() -> None:
    assert order().computed_total() == order().total == Decimal("111.54")
    assert order().tax_total() == Decimal("18.59")


@pytest.mark.parametrize(("total", "difference"), [("111.55", "0.01"), ("111.53", "-0.01"), ("0", "-111.54")])
def test_an_order_that_does_not_add_up_is_refused_with_the_difference(total: str, difference: str) -> None:
    ((_, message),) = problems(total=total)
    assert message.endswith(f"by {difference}")


def test_tax_that_is_included_is_not_added_again() -> None:
    included = {"lines": [{**LINE, "tax": {"rate": "20", "amount": "15.00"}}], "tax_included": True}
    assert plain(**included).computed_total() == 90
    with pytest.raises(ValidationError, match=r"by 15\.00"):
        plain(**included, total="105.00")


amounts = st.decimals(0, 10**6, places=2)


@given(
    st.lists(st.tuples(st.decimals("0.001", 10**4, places=3), st.decimals(0, 10**6, places=4), amounts), min_size=1),
    amounts,
    st.booleans(),
)
def test_any_order_is_accepted_at_its_own_sum_and_at_no_other(
    parts: list[tuple[Decimal, Decimal, Decimal]], shipping: Decimal, included: bool
) -> None:
    lines = [
        {**LINE, "quantity": quantity, "unit_price": price, "tax": {"rate": 20, "amount": tax}}
        for quantity, price, tax in parts
    ]
    total = sum((rounded(quantity * price, "GBP") for quantity, price, _ in parts), shipping)
    total += 0 if included else sum(tax for *_, tax in parts)
    data = {"lines": lines, "shipping": {"amount": shipping}, "tax_included": included}
    made = plain(**data, total=total)
    assert Order.model_validate_json(made.model_dump_json()) == made
    with pytest.raises(ValidationError, match=r"by 0\.01"):
        plain(**data, total=total + Decimal("0.01"))


@given(st.floats(0, 10**9, allow_nan=False).map(lambda number: round(number, 2)))
def test_a_json_number_is_taken_as_it_was_written(number: float) -> None:
    made = plain(lines=[{**LINE, "quantity": 1, "unit_price": number}], total=number)
    assert made.total == Decimal(repr(number))


def test_a_product_too_large_for_money_is_a_plain_refusal() -> None:
    huge = {**LINE, "quantity": "9" * 14, "unit_price": "9" * 14 + ".9999999999"}
    with pytest.raises(ValidationError, match="too large"):
        plain(lines=[huge])


@pytest.mark.parametrize(
    ("changed", "where"),
    [
        ({"shipping": {"amount": "7.955"}}, "shipping.amount"),
        ({"discount": {"amount": "0.001"}}, "discount.amount"),
        ({"lines": [{**LINE, "tax": {**VAT, "amount": "18.001"}}]}, "lines.0.tax.amount"),
        ({"lines": [{**LINE, "discount": "0.001"}]}, "lines.0.discount"),
        ({"currency": "JPY"}, "total"),
    ],
)
def test_amounts_with_more_decimals_than_the_currency_are_named(changed: dict[str, Any], where: str) -> None:
    assert any(where in message and "more decimals than" in message for _, message in problems(**changed)) or any(
        "more decimals than JPY" in message for _, message in problems(**changed)
    )


def test_a_unit_price_may_be_finer_than_the_currency() -> None:
    assert plain(lines=[{**LINE, "quantity": "3", "unit_price": "0.3333"}], total="1.00").total == 1


@pytest.mark.parametrize("value", [True, "nan", "inf", float("nan"), float("inf"), "1,5", "", None, [], "-1", "1" * 15])
def test_what_is_no_amount_is_refused(value: Any) -> None:
    assert [where for where, _ in problems(total=value)] == ["total"]


@pytest.mark.parametrize("text", ["a\x00b", "\x00", "\ud800", "a\udfffb"])
@pytest.mark.parametrize("field", ["id", "ref"])
def test_text_that_no_store_can_hold_is_refused(field: str, text: str) -> None:
    assert field in [where for where, _ in problems(**{field: text})]
    assert [where for where, _ in problems(customer={"name": text})] == ["customer.name"]
    assert problems(lines=[{**LINE, "attributes": {"engraving": text}}])
    assert problems(lines=[{**LINE, "attributes": {text: "engraving"}}])


def test_unknown_fields_are_refused_by_name() -> None:
    assert [where for where, _ in problems(totl="1")] == ["totl"]
    assert [where for where, _ in problems(lines=[{**LINE, "prize": "1"}])] == ["lines.0.prize"]


@pytest.mark.parametrize(
    ("currency", "known"), [("gbp", True), ("GBP", True), ("ZZZ", False), ("GB", False), ("£££", False)]
)
def test_currencies_are_iso_4217_in_capitals(currency: str, known: bool) -> None:
    if known:
        assert order(currency=currency).currency == "GBP"
    else:
        assert "currency" in [where for where, _ in problems(currency=currency)]


def test_an_order_without_lines_is_refused() -> None:
    assert "at least one line" in problems(lines=[])[0][1]


def test_the_ref_is_the_id_where_there_is_no_other() -> None:
    assert order(ref="").ref == order(ref=None).ref == "8a61f0"
    assert order().ref == "SO-1001"


def test_everything_is_frozen() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        order().total = Decimal(1)  # type: ignore[misc]


def test_times_are_kept_in_utc_and_need_a_zone() -> None:
    event = {"id": "e", "type": "order.fulfilled", "order": EXAMPLE}
    made = Event.model_validate({**event, "occurred_at": "2026-11-22T12:00:00+02:00"})
    assert made.occurred_at == datetime(2026, 11, 22, 10, tzinfo=UTC)
    assert made.occurred_at.tzinfo is UTC
    with pytest.raises(ValidationError, match="timezone"):
        Event.model_validate({**event, "occurred_at": "2026-11-22T12:00:00"})


@pytest.mark.parametrize(
    ("party", "shown"),
    [
        ({"company": "Analytical Engines Ltd", "name": "Ada"}, "Analytical Engines Ltd"),
        ({"name": "Ada", "email": "ada@example.com"}, "Ada"),
        ({"email": "ada@example.com", "ref": "C-9"}, "ada@example.com"),
        ({"ref": "C-9"}, "C-9"),
        ({}, "Customer"),
    ],
)
def test_what_is_printed_as_the_customers_name(party: dict[str, str], shown: str) -> None:
    assert Party.model_validate(party).display_name == shown
