"""Counting invoices where they count: in the platforms' own books, by reference and by what they say."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from connectors.sandbox.shops import ShopOrder


@dataclass(frozen=True)
class Tally:
    """The books against the orders: which orders have no invoice, or more than one."""

    per_platform: Mapping[str, int]
    missing: tuple[str, ...]
    doubled: tuple[str, ...]
    strangers: tuple[str, ...]
    """References in the books that belong to no order."""


def count_books(orders: Sequence[ShopOrder], books: Mapping[str, Sequence[Mapping[str, Any]]]) -> Tally:
    """Counts every order twice: by its reference, and by customer, lines and total without looking at references."""
    issued = [entry for entries in books.values() for entry in entries if entry["status"] in {"issued", "paid"}]
    by_reference = Counter(str(entry["reference"]) for entry in issued)
    by_total: dict[Decimal, list[Mapping[str, Any]]] = defaultdict(list)
    for entry in issued:
        by_total[Decimal(entry["total"])].append(entry)
    missing, doubled = [], []
    for order in orders:
        alike = sum(_says(entry, order) for entry in by_total[order.total])
        if min(by_reference[order.ref], alike) == 0:
            missing.append(order.ref)
        if max(by_reference[order.ref], alike) > 1:
            doubled.append(order.ref)
    return Tally(
        {name: sum(e["status"] in {"issued", "paid"} for e in entries) for name, entries in books.items()},
        tuple(missing),
        tuple(doubled),
        tuple(sorted(set(by_reference) - {order.ref for order in orders})),
    )


def _says(entry: Mapping[str, Any], order: ShopOrder) -> bool:
    """Whether an invoice of this total is for this customer and these lines; platforms add SKU and engraving, and to a
    name what tells it from another of its kind: "Ada Lovelace (C-9)"."""
    who = str(entry["customer"])
    if not (who in {order.customer, order.email} or who.startswith(f"{order.customer} (")):
        return False
    if entry["currency"] != order.currency:
        return False
    return all(any(wanted in line for line in entry["lines"]) for wanted in order.lines)
