"""What a platform can do with a currency, and what the merchant's books call it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from connectors.errors import Rejected
from connectors.model import minor_units

T = TypeVar("T")


def in_decimals(most: int, currency: str, what: str, title: str) -> None:
    """Raises `Rejected` for a currency of more decimals than the platform's amounts have."""
    if minor_units(currency) > most:
        raise Rejected(
            f"{what}: amounts on {title} have {most} decimals, {currency} has {minor_units(currency)}; route it to "
            "another account"
        )


def configured(table: Mapping[str, T], currency: str, what: str, title: str, setting: str = "currencies") -> T:
    """What a setting has for a currency: an id, a code, a rate. Raises `Rejected` naming the setting that lacks it."""
    if currency not in table:
        raise Rejected(
            f"{what}: nothing is configured on {title} for {currency}: set {setting}.{currency} in the account's "
            "settings (`billhook account options` lists the choices)"
        )
    return table[currency]
