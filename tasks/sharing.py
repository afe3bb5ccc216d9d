"""A refund whose goods are on several invoices of one order, shared out: what of it each invoice gives back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal, localcontext

from connectors.model import InvoiceDraft, Refund, RefundLine, rounded
from tasks.crediting import explained, order_of
from tasks.reasons import Held
from tasks.splitting import DIGITS, ZERO, Quantities, added

Open = tuple[InvoiceDraft, Sequence[InvoiceDraft]]
"""An invoice, and its credit notes so far."""


def shared_out(invoices: Sequence[Open], refund: Refund) -> list[Refund | None]:
    """For each invoice its part of the refund, None where it has none; together they are the refund, to the cent.

    Each line comes back from the first invoices that have it. What lines do not explain (shipping, an amount, what was
    kept) goes to the first that has room for it. Raises `Held` where the invoices do not hold all of it.
    """
    left = [_left(invoice, before) for invoice, before in invoices]
    lines: list[list[RefundLine]] = [[] for _ in invoices]
    for line in refund.lines:
        for place, piece in _pieces(line, left, invoices[0][0].currency).items():
            lines[place].append(piece)
    sums = [_sum(one, some, refund.ref) if some else ZERO for one, some in zip(invoices, lines, strict=True)]
    rest = refund.total - sum(sums, ZERO)
    place = _room(invoices, sums, rest)
    parts: list[Refund | None] = []
    for at, some in enumerate(lines):
        shipping = refund.shipping if at == place else None
        total = sums[at] + (rest if at == place else ZERO)
        told = {"ref": refund.ref, "lines": some, "shipping": shipping, "total": total, "reason": refund.reason}
        parts.append(Refund.model_validate(told) if total > 0 else None)
    return parts


def _left(invoice: InvoiceDraft, before: Sequence[InvoiceDraft]) -> dict[str, Decimal]:
    """What of each line came back from it yet to come."""
    back = added(note.came_back for note in before)
    return {line.ref: line.quantity - back.get(line.ref, ZERO) for line in invoice.lines}


def _pieces(line: RefundLine, left: Sequence[Mapping[str, Decimal]], currency: str) -> dict[int, RefundLine]:
    """The line, by the invoices that it comes back from; its amounts go along by quantity."""
    if not line.quantity:
        there = [place for place, mine in enumerate(left) if line.ref in mine]
        return {there[0]: line} if there else {0: line}  # an unknown line is refused with its name
    quantities: dict[int, Decimal] = {}
    wanted = line.quantity
    for place, mine in enumerate(left):
        if (here := min(wanted, mine.get(line.ref, ZERO))) > 0:
            quantities[place] = here
            wanted -= here
    if wanted:
        raise Held(
            f"{line.quantity:f} of line {line.ref!r} came back, but the invoices hold {line.quantity - wanted:f} of it"
            " that are not credited yet"
        )
    return _shared(line, quantities, currency)


def _shared(line: RefundLine, quantities: Mapping[int, Decimal], currency: str) -> dict[int, RefundLine]:
    """By running totals, so that the last takes the remainder."""
    found = {}
    before = ZERO
    for place, quantity in quantities.items():
        upto = before + quantity
        changed: dict[str, object] = {"quantity": quantity}
        for name in ("amount", "tax"):
            if (whole := getattr(line, name)) is not None:
                changed[name] = _upto(whole, upto, line, currency) - _upto(whole, before, line, currency)
        found[place] = line.model_copy(update=changed)
        before = upto
    return found


def _upto(whole: Decimal, quantity: Decimal, line: RefundLine, currency: str) -> Decimal:
    with localcontext() as context:
        context.prec = DIGITS
        return rounded(whole * quantity / line.quantity, currency)


def _sum(one: Open, lines: Sequence[RefundLine], ref: str) -> Decimal:
    """What these lines of an invoice come to, with tax."""
    invoice, before = one
    taken: Quantities = added(note.came_back for note in before)
    told = Refund.model_validate({"ref": ref, "lines": list(lines), "total": invoice.total or 1})
    return explained(order_of(invoice), taken, told).computed_total()


def _room(invoices: Sequence[Open], sums: Sequence[Decimal], rest: Decimal) -> int:
    """The first invoice of which so much more can be given back, or can be kept. Raises `Held`."""
    for place, ((invoice, before), mine) in enumerate(zip(invoices, sums, strict=True)):
        room = invoice.total - sum((note.total for note in before), ZERO) - mine
        if mine + rest >= 0 and rest <= room:
            return place
    raise Held(f"{rest} of the refund are explained by no line, and no single invoice has so much left")
