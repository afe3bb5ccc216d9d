"""The sums that a platform will make of an order's rows, and what may be put right by a rounding line."""

from decimal import Decimal

import pytest

from connectors.errors import Rejected
from connectors.platforms.rows import off_by, rounded_off, rows, without_tax
from tests.contract import orders


def test_rows_without_tax_give_the_total_of_an_order_whose_prices_include_it() -> None:
    draft = orders.ORDERS["tax included"]()
    assert off_by(draft, rows(draft), "line") == 0
    assert off_by(draft, without_tax(rows(draft)), "line") == 0
    assert [row.amount for row in without_tax(rows(draft))] == [Decimal("90.00"), Decimal("5.50")]


def test_a_cent_a_row_is_rounding_and_more_is_not() -> None:
    tags = [orders.line({**orders.TAG, "ref": str(n), "unit_price": "0.03"}) for n in range(3)]
    draft = orders.draft("SO-1", tags)
    assert rounded_off(draft, rows(draft), "line", "Toy") == 0
    assert rounded_off(draft, rows(draft), "rate", "Toy") == Decimal("0.01")
    wrong = orders.draft("SO-1", [{**orders.line(orders.TAG), "tax": {"name": "VAT", "rate": "20", "amount": "2.00"}}])
    with pytest.raises(Rejected, match=r"gives 6\.60 GBP, but the order's total is 7\.50"):
        rounded_off(wrong, rows(wrong), "line", "Toy")
