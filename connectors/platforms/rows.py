"""An order's lines as rows of an invoice, before any platform's words, and the sums a platform will make of them.

Amounts are `Decimal` in the order's currency. A row's `amount` includes tax where the order's prices do.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any, Literal, TypeVar

from connectors.errors import Rejected
from connectors.model import InvoiceDraft, Line, Tax, from_minor, minor_units, rounded, to_minor

Kind = Literal["line", "shipping", "discount"]
Rounding = Literal["line", "rate", "total"]
"""Where a platform rounds tax: on each line, once per rate, or once for the whole invoice. Half up."""
T = TypeVar("T")
ONE, NONE = Decimal(1), Decimal(0)


@dataclass(frozen=True)
class Row:
    """One row. `tax` is what the order charges, negative on a discount; `discount` is off this row already."""

    kind: Kind
    description: str
    quantity: Decimal
    unit: Decimal
    discount: Decimal
    amount: Decimal
    rate: Decimal
    tax: Decimal
    included: bool
    """Whether `amount` and `unit` include the tax."""
    sku: str | None = None
    tax_name: str = "Tax"

    @property
    def net(self) -> Decimal:
        """The amount without tax, as the order has it."""
        return self.amount - self.tax if self.included else self.amount

    @property
    def gross(self) -> Decimal:
        """The amount with tax, as the order has it."""
        return self.amount if self.included else self.amount + self.tax

    def calculation(self) -> str:
        """How the amount came about, for where a platform's columns do not show it: "2 × 45.00, discount 9.00"."""
        off = f", discount {self.discount:f}" if self.discount else ""
        return f"{self.quantity:f} × {self.unit:f}{off}{' including tax' if self.included else ''}"


def rows(draft: InvoiceDraft) -> list[Row]:
    """The draft's lines, then shipping, then its discount as a negative row; those of no amount left out."""
    found = [_line(line, draft) for line in draft.lines]
    extras: list[tuple[Kind, int, str]] = [("shipping", 1, "Shipping"), ("discount", -1, "Order discount")]
    for kind, sign, word in extras:
        extra = draft.shipping if kind == "shipping" else draft.discount
        if extra and extra.amount:
            amount = sign * extra.amount
            taxed = _taxed(extra.tax, sign)
            text = extra.description or word
            found.append(Row(kind, text, ONE, amount, NONE, amount, *taxed[:2], draft.tax_included, tax_name=taxed[2]))
    return found


def _line(line: Line, draft: InvoiceDraft) -> Row:
    rate, tax, name = _taxed(line.tax, 1)
    return Row(
        "line", described(line), line.quantity, line.unit_price, line.discount, line.amount(draft.currency), rate, tax,
        draft.tax_included, line.sku, name,
    )  # fmt: skip


def _taxed(tax: Tax | None, sign: int) -> tuple[Decimal, Decimal, str]:
    return (tax.rate, sign * tax.amount, tax.name) if tax else (NONE, NONE, "Tax")


def described(line: Line) -> str:
    """Description, SKU and attributes (an engraving), a line each."""
    text = f"{line.description} ({line.sku})" if line.sku else line.description
    return "\n".join([text, *(f"{name}: {value}" for name, value in line.attributes.items())])


def spread(draft: InvoiceDraft) -> list[Row]:
    """The rows with the order's discount and its tax taken off them, for platforms without negative lines: first off
    lines of the discount's own rate, else off all lines, else off everything. Raises `Rejected` when nothing carries
    that much."""
    found = rows(draft)
    off = next((row for row in found if row.kind == "discount"), None)
    kept = [row for row in found if row.kind != "discount"]
    if off is None:
        return kept
    for chosen in (
        [row for row in kept if row.kind == "line" and row.rate == off.rate],
        [row for row in kept if row.kind == "line"],
        kept,
    ):
        if -off.amount <= sum(row.amount for row in chosen) and -off.tax <= sum(row.tax for row in chosen):
            amounts = shares(-off.amount, [row.amount for row in chosen], draft.currency)
            taxes = shares(-off.tax, [row.tax for row in chosen], draft.currency)
            less = {id(row): part for row, *part in zip(chosen, amounts, taxes, strict=True)}
            return [_less(row, *less.get(id(row), [NONE, NONE])) for row in kept]
    raise Rejected(f"order {draft.order_ref}: the order discount is larger than what it is taken off")


def _less(row: Row, amount: Decimal, tax: Decimal) -> Row:
    return replace(row, amount=row.amount - amount, discount=row.discount + amount, tax=row.tax - tax)


def shares(amount: Decimal, weights: Sequence[Decimal], currency: str) -> list[Decimal]:
    """`amount` in whole minor units by weight, what rounding leaves to the largest fractions; no share exceeds its
    weight."""
    found = shared(to_minor(amount, currency), [to_minor(weight, currency) for weight in weights])
    return [from_minor(one, currency) for one in found]


def shared(amount: int, weights: Sequence[int]) -> list[int]:
    """`shares` of amounts that are whole units already."""
    whole = sum(weights)
    if not amount or not whole:
        return [0 for _ in weights]
    found = [amount * weight // whole for weight in weights]
    largest = sorted(range(len(weights)), key=lambda at: (-(amount * weights[at] % whole), at))
    for at in largest[: amount - sum(found)]:
        found[at] += 1
    return found


def priced(
    row: Row, amount: Decimal, currency: str, *, quantity_places: int, unit_places: int
) -> tuple[Decimal, Decimal] | None:
    """Quantity and unit price whose product, rounded to the currency, is `amount` (the row's net or gross, say) within
    the platform's decimals; None where there are none: then the row is 1 × `amount`, and `calculation()` says how."""
    if row.quantity != round(row.quantity, quantity_places):
        return None
    for unit in (row.unit, round(amount / row.quantity, unit_places)):
        if unit == round(unit, unit_places) and rounded(row.quantity * unit, currency) == amount:
            return row.quantity, unit
    return None


def told(
    row: Row, amount: Decimal, currency: str, *, quantity_places: int, unit_places: int
) -> tuple[Decimal, Decimal, str]:
    """Quantity and unit price as `priced`, else 1 × `amount`; and the description, which says at its end how the amount
    came about where they are not the order's."""
    pair = priced(row, amount, currency, quantity_places=quantity_places, unit_places=unit_places) or (ONE, amount)
    plain = pair == (row.quantity, row.unit)
    return *pair, row.description if plain else f"{row.description}\n{row.calculation()}"


def computed_tax(found: Sequence[Row], currency: str, rounding: Rounding) -> Decimal:
    """The tax a platform computes from amounts and rates of the rows, rounding there."""
    if rounding == "line":
        return sum((rounded(_part(row.amount, row), currency) for row in found), NONE)
    if rounding == "total":
        return rounded(sum((_part(row.amount, row) for row in found), NONE), currency)
    return sum(taxes_by_rate(found, currency).values(), NONE)


def taxes_by_rate(found: Sequence[Row], currency: str) -> dict[Decimal, Decimal]:
    """The tax of each rate, computed from the sum of its rows and rounded once."""
    parts: dict[Decimal, Decimal] = {}
    for row in found:
        parts[row.rate] = parts.get(row.rate, NONE) + _part(row.amount, row)
    return {rate: rounded(part, currency) for rate, part in parts.items()}


def charged(found: Sequence[Row]) -> dict[tuple[str, Decimal], Decimal]:
    """What the order charges of each tax, by its name and rate, less what a discount takes off; those of nothing left
    out."""
    sums: dict[tuple[str, Decimal], Decimal] = {}
    for row in found:
        sums[row.tax_name, row.rate] = sums.get((row.tax_name, row.rate), NONE) + row.tax
    return {tax: amount for tax, amount in sums.items() if amount}


def _part(amount: Decimal, row: Row) -> Decimal:
    return amount * row.rate / (100 + row.rate if row.included else 100)


def without_tax(found: Sequence[Row]) -> list[Row]:
    """The rows at their amounts without tax, for platforms that always add the tax on top."""
    return [replace(row, amount=row.net, included=False) for row in found]


def off_by(draft: InvoiceDraft, found: Sequence[Row], rounding: Rounding) -> Decimal:
    """What must be added to the total that a platform computes from these rows to give the order's: the amount of a
    rounding line, 0 where none is needed."""
    tax = computed_tax([row for row in found if not row.included], draft.currency, rounding)
    return draft.total - sum((row.amount for row in found), NONE) - tax


def rounded_off(draft: InvoiceDraft, found: Sequence[Row], rounding: Rounding, title: str) -> Decimal:
    """`off_by`, where rounding can explain it: at most a minor unit a row. Raises `Rejected` where the order's tax is
    not what its rates give, which no rounding line may cover up."""
    off = off_by(draft, found, rounding)
    if abs(off) > from_minor(len(found), draft.currency):
        raise Rejected(
            f"order {draft.order_ref}: {title} computes tax from the rates, which gives {draft.total - off} "
            f"{draft.currency}, but the order's total is {draft.total}; correct the order's taxes"
        )
    return off


def agrees(draft: InvoiceDraft, found: Sequence[Row], rounding: Rounding) -> bool:
    """Whether tax and total as the platform computes them from these rows are the order's."""
    return computed_tax(found, draft.currency, rounding) == draft.tax_total and not off_by(draft, found, rounding)


def agrees_anyhow(draft: InvoiceDraft, found: Sequence[Row]) -> bool:
    """Whether tax and total are the order's however a platform rounds, where its way is not documented: by line, by
    rate or in total, halves up or to even."""
    unit = Decimal(1).scaleb(-minor_units(draft.currency))
    by_rate: dict[Decimal, Decimal] = {}
    for row in found:
        by_rate[row.rate] = by_rate.get(row.rate, NONE) + _part(row.amount, row)
    ways = [_part(row.amount, row) for row in found], list(by_rate.values()), [sum(by_rate.values(), NONE)]
    even = {sum((part.quantize(unit, ROUND_HALF_EVEN) for part in parts), NONE) for parts in ways}
    roundings: tuple[Rounding, ...] = ("line", "rate", "total")
    return even == {draft.tax_total} and all(agrees(draft, found, rounding) for rounding in roundings)


def coded(table: Mapping[Decimal, T], rate: Decimal, draft: InvoiceDraft, title: str, setting: str = "tax") -> T:
    """The platform's code for a tax rate in percent. Raises `Rejected` naming the setting that lacks it."""
    if rate not in table:
        shown = percent(rate)
        raise Rejected(
            f"order {draft.order_ref}: nothing is configured on {title} for {shown} % tax: set "
            f'{setting}."{shown}" in the account\'s settings (`billhook account options` lists the choices)'
        )
    return table[rate]


def coded_if_any(
    table: Mapping[Decimal, T], rate: Decimal, draft: InvoiceDraft, title: str, setting: str = "tax"
) -> T | None:
    """`coded`, where a line of 0 % may go without a code."""
    return coded(table, rate, draft, title, setting) if rate or rate in table else None


def percent(rate: Any) -> str:
    """A rate as settings name it: 20 for 20.00."""
    return f"{Decimal(str(rate)).normalize():f}"
