"""Sums as platforms make them: half up, to the places of a currency (ISO 4217)."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import ROUND_HALF_UP, Decimal

PLACES = {
    **dict.fromkeys(("JPY", "KRW", "CLP", "ISK", "VND", "XAF", "XOF", "XPF", "UGX", "PYG", "RWF"), 0),
    **dict.fromkeys(("KWD", "BHD", "JOD", "OMR", "TND", "IQD", "LYD"), 3),
}
"""Of currencies that have not two."""


def half_up(amount: Decimal, places: int = 2) -> Decimal:
    """The amount rounded half up to so many decimals."""
    return amount.quantize(Decimal(1).scaleb(-places), ROUND_HALF_UP)


def places(currency: str) -> int:
    return PLACES.get(currency.upper(), 2)


def total(amounts: Iterable[Decimal]) -> Decimal:
    return sum(amounts, Decimal(0))


def exact(value: object) -> Decimal:
    """A number or text of a body, exactly as written; 0 for nothing. Raises `ArithmeticError` for what is no number."""
    return Decimal(str(value)) if value not in (None, "") else Decimal(0)
