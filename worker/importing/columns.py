"""The columns of a table of orders, and the order that some rows of it make."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from connectors.sources.wording import FieldError
from worker.importing.items import Unreadable

Path = tuple[str, ...]
_ADDRESS = ("line1", "line2", "city", "region", "postcode", "country")
_PARTY = ("ref", "name", "company", "email", "phone", "tax_id")


def _taxed(column: str, field: str) -> dict[str, Path]:
    tax = {f"{column}_tax_{part}": (field, "tax", part) for part in ("name", "rate", "amount")}
    return {column: (field, "amount"), f"{column}_description": (field, "description"), **tax}


OF_ORDER: dict[str, Path] = {
    "order_id": ("id",),
    "order_ref": ("ref",),
    "currency": ("currency",),
    "total": ("total",),
    "placed_at": ("placed_at",),
    "occurred_at": (),
    "tax_included": ("tax_included",),
    "channel": ("channel",),
    "tags": ("tags",),
    **{f"customer_{part}": ("customer", part) for part in _PARTY},
    **{f"billing_{part}": ("billing_address", part) for part in _ADDRESS},
    **{f"shipping_{part}": ("shipping_address", part) for part in _ADDRESS},
    **_taxed("order_discount", "discount"),
    **_taxed("shipping", "shipping"),
}
"""Say the same on every row of an order, or stand on its first row only. Where each goes in the order."""
OF_LINE: dict[str, Path] = {
    "line_ref": ("ref",),
    "sku": ("sku",),
    "description": ("description",),
    "quantity": ("quantity",),
    "unit_price": ("unit_price",),
    "discount": ("discount",),
    "tax_name": ("tax", "name"),
    "tax_rate": ("tax", "rate"),
    "tax_amount": ("tax", "amount"),
}
REQUIRED = ("order_id", "currency", "total", "description", "quantity", "unit_price")
_COLUMN_OF_ORDER = {path: column for column, path in OF_ORDER.items()}
_COLUMN_OF_LINE = {path: column for column, path in OF_LINE.items()}


def checked(head: Sequence[str]) -> tuple[str, ...]:
    """The columns of a file by its head. Raises `Unreadable` with what is missing, unknown or twice, and what is."""
    names = tuple(name.strip().lower() for name in head)
    there = f"its columns are: {', '.join(filter(None, names))[:2000] or 'none'}"
    missing = [name for name in REQUIRED if name not in names]
    if missing:
        raise Unreadable(f"it has no column {', '.join(missing)} (its first row must name the columns); {there}")
    unknown = [name or "(empty)" for name in names if name not in OF_ORDER and name not in OF_LINE]
    if unknown:
        known = ", ".join((*OF_ORDER, *OF_LINE))
        raise Unreadable(f"nobody knows the column {', '.join(unknown)[:500]}; take it out. There are: {known}")
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise Unreadable(f"it has the column {', '.join(twice)} twice; {there}")
    return names


class Disagreement(Exception):
    """Two rows of one order say different things of it."""


class OrderRows:
    """The rows of one order, as they come. At most `most` are kept; who is told more has another problem."""

    def __init__(self, most: int = 1001) -> None:
        self._most = most
        self._said: dict[str, tuple[str, int]] = {}
        self._lines: list[dict[str, Any]] = []
        self._rows: list[int] = []

    def add(self, row: int, cells: Mapping[str, str]) -> None:
        """Raises `Disagreement` where the order's earlier rows say something else."""
        for column, value in cells.items():
            if not value or column not in OF_ORDER:
                continue
            if not self._rows:
                self._said[column] = value, row
            elif column not in self._said:
                raise Disagreement(f"row {row} says {column}, but the first row of the order (row {self._rows[0]}) not")
            elif self._said[column][0] != value:
                told = f"{column} {self._said[column][0][:60]!r} in row {self._said[column][1]}"
                raise Disagreement(f"one order has {told}, but {value[:60]!r} in row {row}")
        if len(self._lines) < self._most:
            line: dict[str, Any] = {"ref": str(len(self._lines) + 1)}
            _put(line, OF_LINE, cells.items())
            self._lines.append(line)
            self._rows.append(row)

    @property
    def occurred_at(self) -> str | None:
        return self._said["occurred_at"][0] if "occurred_at" in self._said else None

    def order(self) -> dict[str, Any]:
        """In the form of `connectors.model.Order`, not yet judged."""
        order: dict[str, Any] = {}
        _put(order, OF_ORDER, ((column, value) for column, (value, _) in self._said.items()))
        if "tags" in order:
            order["tags"] = [tag.strip() for tag in order["tags"].split("|") if tag.strip()]
        return order | {"lines": self._lines}

    def told(self, error: FieldError) -> str:
        """What is wrong, with row and column instead of the path in an event."""
        path = tuple(error.path.split("."))
        if path == ("occurred_at",):
            return f"occurred_at {error.message}"
        match path[1:]:
            case ("lines", index, *rest) if index.isdigit() and rest:
                column, row = _COLUMN_OF_LINE.get(tuple(rest), ".".join(rest)), self._rows[int(index)]
            case rest:
                column, row = _COLUMN_OF_ORDER.get(tuple(rest), ".".join(rest)), self._rows[0]
        return error.message if error.message.startswith(column) else f"row {row}: {column} {error.message}"


def _put(into: dict[str, Any], where: Mapping[str, Path], cells: Iterable[tuple[str, str]]) -> None:
    for column, value in cells:
        path = where.get(column)
        if not value or not path:
            continue
        part = into
        for name in path[:-1]:
            part = part.setdefault(name, {})
        part[path[-1]] = value
