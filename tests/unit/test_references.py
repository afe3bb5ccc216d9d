"""The reference that people search by: the order's name, within the platform's length, the same for ever."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from connectors.model import Order
from worker.store.intents import Intent

NOW = datetime(2026, 11, 22, tzinfo=UTC)
LINE = {"ref": "1", "description": "Plaque", "quantity": "1", "unit_price": "10.00"}


def intent(name: str, longest: int = 21, prefix: str = "", **changed: Any) -> Intent:
    order = Order.model_validate({"id": name, "currency": "GBP", "total": "10.00", "lines": [LINE]})
    return Intent(
        shop="engraver", source="web", account="books", tenant="t", order_id="o", order=order, prefix=prefix,
        longest=longest, issued_on=NOW, due_on=NOW, accepted_at=NOW, gather_until=NOW, **changed,
    )  # fmt: skip


def test_a_name_that_fits_is_the_reference() -> None:
    assert intent("#1001").reference == "#1001"
    assert intent("S" * 21).reference == "S" * 21
    assert intent("1001", prefix="north-").reference == "north-1001"


def test_a_name_that_is_too_long_is_shortened_and_still_one_orders_own() -> None:
    one, other = "0197b1e2-9d1c-7d44-b1a2-4f0c1d2e3f40", "0197b1e2-9d1c-7d44-b1a2-4f0c1d2e3f41"
    shortened = intent(one).reference
    assert len(shortened) == 21
    assert shortened.startswith("0197b1e2-9d1")
    assert shortened == intent(one).reference
    assert shortened != intent(other).reference
    assert intent(one, longest=255).reference == one


def test_who_orders_in_two_currencies_is_two_customers_only_where_the_platform_wants_it() -> None:
    assert intent("1001").customer_identity == "order:engraver:web:1001"
    assert intent("1001", one_currency=True).customer_identity == "order:engraver:web:1001:GBP"


def test_a_mark_against_a_taken_reference_keeps_within_the_length() -> None:
    assert intent("S" * 21).marked("abcde") == "S" * 15 + "-abcde"
    assert intent("1001").marked("abcde") == "1001-abcde"
