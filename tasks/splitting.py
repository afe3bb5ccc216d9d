"""An order in parts: what of it one shipment's invoice holds, so that all parts together are the order, to the cent.

Whatever belongs to the whole (a line's discount and tax, the order's discount, shipping) is shared out by running
totals: a part gets what the total is rounded to after it, less what it was rounded to before it. So the last part
takes the remainder, whichever it is, and no sequence of parts can drift.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, localcontext
from typing import TypeVar

from connectors.model import Adjustment, Charge, Line, Order, rounded

Shared = TypeVar("Shared", Adjustment | None, Charge | None)
DIGITS = 120
"""Enough for any product of amounts; the default 28 would round on the way."""

Quantities = Mapping[str, Decimal]
"""By the ref of the order's line."""
ZERO = Decimal(0)


class TooMuch(Exception):
    """More of a line would be invoiced than was ordered, or of a line that the order does not have."""


def remaining(order: Order, taken: Quantities) -> dict[str, Decimal]:
    """What no part has yet."""
    left = {line.ref: line.quantity - taken.get(line.ref, ZERO) for line in order.lines}
    return {ref: quantity for ref, quantity in left.items() if quantity > 0}


def part_of(order: Order, taken: Quantities, now: Quantities) -> Order:
    """The part with these quantities (`now`), after parts that together hold `taken`: an order of its own that adds up.

    The order itself, if that is all of it at once. Raises `TooMuch`.
    """
    _check(order, taken, now)
    after = added((taken, now))
    if not any(taken.values()) and not remaining(order, after):
        return order
    with localcontext() as context:
        context.prec = DIGITS
        lines = [
            _line(order, line, taken.get(line.ref, ZERO), now[line.ref]) for line in order.lines if now.get(line.ref)
        ]
        nets = _Running.of(order, taken, after, lambda line: line.amount(order.currency))
        taxes = _Running.of(order, taken, after, lambda line: line.tax.amount if line.tax else ZERO)
        part = order.model_copy(
            update={
                "lines": tuple(lines),
                "discount": _shared(order.discount, nets, taxes),
                "shipping": _shared(order.shipping, nets, nets),
            }
        )
    return Order.model_validate(part.model_copy(update={"total": part.computed_total()}).model_dump())


def _check(order: Order, taken: Quantities, now: Quantities) -> None:
    known = {line.ref: line for line in order.lines}
    if len(known) < len(order.lines):
        raise TooMuch(f"order {order.ref} has two lines of one ref, so nobody knows which of them was shipped")
    for ref, quantity in now.items():
        if ref not in known:
            raise TooMuch(f"order {order.ref} has no line {ref!r}")
        before = taken.get(ref, ZERO)
        if before + quantity > known[ref].quantity:
            raise TooMuch(
                f"of line {ref!r} ({known[ref].description[:60]}) {known[ref].quantity:f} were ordered,"
                f" {before:f} are invoiced already, and {quantity:f} more are to be"
            )


def _up_to(whole: Decimal, line: Line, quantity: Decimal, currency: str) -> Decimal:
    """The running total of an amount of the line, when `quantity` of it is in parts."""
    return rounded(whole * quantity / line.quantity, currency)


def _line(order: Order, line: Line, before: Decimal, quantity: Decimal) -> Line:
    """The line with that quantity, after `before` of it went into other parts."""

    def share(whole: Decimal) -> Decimal:
        return _up_to(whole, line, before + quantity, order.currency) - _up_to(whole, line, before, order.currency)

    net = share(line.amount(order.currency))
    off = rounded(quantity * line.unit_price, order.currency) - net
    changed: dict[str, object] = {"quantity": quantity, "discount": off}
    if off < 0 or (off and not line.discount):
        # a price with more decimals than the currency: its parts, each rounded, are not the whole
        words = f"{line.description[:3900]} ({quantity:f} × {line.unit_price:f})"
        changed = {"quantity": Decimal(1), "unit_price": net, "discount": ZERO, "description": words}
    if line.tax is not None:
        changed["tax"] = line.tax.model_copy(update={"amount": share(line.tax.amount)})
    return line.model_copy(update=changed)


@dataclass(frozen=True)
class _Running:
    """An amount of the lines of the order as its running total: before this part, after it, and of the whole."""

    before: Decimal
    after: Decimal
    whole: Decimal
    first: bool
    currency: str

    @classmethod
    def of(cls, order: Order, taken: Quantities, after: Quantities, amount: Callable[[Line], Decimal]) -> _Running:
        def total(quantities: Quantities) -> Decimal:
            each = (_up_to(amount(line), line, quantities.get(line.ref, ZERO), order.currency) for line in order.lines)
            return sum(each, ZERO)

        whole = sum((amount(line) for line in order.lines), ZERO)
        return cls(total(taken), total(after), whole, not any(taken.values()), order.currency)

    def share(self, amount: Decimal) -> Decimal:
        """Of an amount of the whole order what this part takes; the first part all of it, where there is no measure."""
        if not self.whole:
            return amount if self.first else ZERO
        upto_now = rounded(amount * self.after / self.whole, self.currency)
        return upto_now - rounded(amount * self.before / self.whole, self.currency)


def _shared(whole: Shared, nets: _Running, taxes: _Running) -> Shared:
    """The part's share of the order's discount or shipping, and of its tax."""
    if whole is None:
        return None
    tax = whole.tax.model_copy(update={"amount": taxes.share(whole.tax.amount)}) if whole.tax else None
    return whole.model_copy(update={"amount": nets.share(whole.amount), "tax": tax})


def added(parts: Iterable[Quantities]) -> dict[str, Decimal]:
    """What several parts hold together."""
    sums: dict[str, Decimal] = {}
    for part in parts:
        for ref, quantity in part.items():
            sums[ref] = sums.get(ref, ZERO) + quantity
    return sums


def in_words(quantities: Quantities, order: Order) -> Sequence[str]:
    """For the trail: "2 × Brass plaque"."""
    names = {line.ref: line.description for line in order.lines}
    return [f"{quantity:f} × {names.get(ref, ref)[:80]}" for ref, quantity in quantities.items()]
