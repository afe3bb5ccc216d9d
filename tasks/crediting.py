"""What a refund gives back of an invoice: an order of its own that adds up, to be rendered as a credit note.

What the shop says of a line or of shipping counts; what it leaves unsaid is the line's own share, by quantity. What is
then left of the refund's total is an amount of its own, taxed as the invoice is; what is missing was kept back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from connectors.model import (
    Adjustment,
    Charge,
    InvoiceDraft,
    Line,
    Order,
    Refund,
    RefundLine,
    Tax,
    minor_units,
    rounded,
)
from tasks.reasons import Held
from tasks.splitting import ZERO, Quantities, TooMuch, added, part_of, remaining

HUNDRED = Decimal(100)
SHIPPING = "shipping"
"""The ref of the line that shipping becomes where nothing else is given back."""


@dataclass(frozen=True, slots=True)
class Given:
    """What is given back: amounts as an order, and the quantities that came back, by the ref of the line."""

    order: Order
    came_back: Quantities


def order_of(invoice: InvoiceDraft) -> Order:
    """The invoice as the order that it was made of."""
    same = ("currency", "customer", "billing_address", "shipping_address", "tax_included", "lines", "discount",
            "shipping", "total")  # fmt: skip
    return Order.model_validate({"id": invoice.key, "ref": invoice.order_ref, **invoice.model_dump(include=set(same))})


def all_of(invoice: InvoiceDraft) -> Given:
    """The whole invoice."""
    whole = order_of(invoice)
    return Given(whole, remaining(whole, {}))


def given_back(invoice: InvoiceDraft, before: Sequence[InvoiceDraft], refund: Refund) -> Given:
    """What `refund` gives back of the invoice, after the credit notes `before`. Raises `TooMuch`, `Held`."""
    whole = order_of(invoice)
    left = whole.total - sum((note.total for note in before), ZERO)
    if refund.total > left:
        raise TooMuch(
            f"order {whole.ref}: {refund.total} {whole.currency} were refunded, but of its invoice {invoice.reference}"
            f" only {left} {whole.currency} are left to be credited"
        )
    if rounded(refund.total, whole.currency) != refund.total:
        raise Held(f"order {whole.ref}: a refund of {refund.total} has more decimals than {whole.currency}")
    if not before and refund.total == whole.total:
        return all_of(invoice)
    taken = added(note.came_back for note in before)
    said = explained(whole, taken, refund)
    shipped = any(note.shipping or any(line.ref == SHIPPING for line in note.lines) for note in before)
    told = _with_the_rest(whole, said, refund.total, shipping_open=refund.shipping is None and not shipped)
    quantities = added({line.ref: line.quantity} for line in refund.lines if line.quantity)
    return Given(Order.model_validate(told.model_dump()), quantities)


def explained(whole: Order, taken: Quantities, refund: Refund) -> Order:
    """What lines and shipping of the refund say, after `taken` of the lines came back before; without any line where
    they say nothing. Raises `TooMuch`, `Held`."""
    quantities = added({line.ref: line.quantity} for line in refund.lines if line.quantity)
    silent = all(line.amount is None and line.quantity for line in refund.lines)
    base = whole.model_copy(update={"lines": (), "discount": None, "shipping": _charge(whole, refund.shipping)})
    if quantities:
        _never_more(whole, taken, quantities)
    if refund.lines and silent:
        part = part_of(whole, taken, quantities)
        return base.model_copy(update={"lines": part.lines, "discount": part.discount})
    known = {line.ref: line for line in whole.lines}
    return base.model_copy(update={"lines": tuple(_line(whole, known, taken, line) for line in refund.lines)})


def _never_more(whole: Order, taken: Quantities, now: Quantities) -> None:
    """Never more came back than was invoiced."""
    left = remaining(whole, taken)
    for ref, quantity in now.items():
        if quantity > left.get(ref, ZERO):
            raise TooMuch(
                f"order {whole.ref}: {quantity:f} of line {ref!r} came back, but {left.get(ref, ZERO):f} of it are"
                " invoiced and not credited yet"
            )


def _line(whole: Order, known: Mapping[str, Line], taken: Quantities, back: RefundLine) -> Line:
    """One line as the shop tells what of it is given back."""
    if back.ref not in known:
        raise TooMuch(f"order {whole.ref} has no line {back.ref!r}")
    line = known[back.ref]
    if back.amount is None:
        if not back.quantity:
            raise Held(f"order {whole.ref}: the refund of line {back.ref!r} has neither a quantity nor an amount")
        return part_of(whole, taken, {back.ref: back.quantity}).lines[0]
    tax = line.tax
    if tax is not None:
        amount = back.tax if back.tax is not None else _tax(back.amount, tax.rate, whole)
        tax = tax.model_copy(update={"amount": amount})
    off = rounded(back.quantity * line.unit_price, whole.currency) - back.amount
    changed: dict[str, object] = {"quantity": back.quantity, "discount": off}
    if off < 0 or not back.quantity:
        times = f" ({back.quantity:f} × {line.unit_price:f})" if back.quantity else ": refunded in part"
        words = f"{line.description[:3900]}{times}"
        changed = {"quantity": Decimal(1), "unit_price": back.amount, "discount": ZERO, "description": words}
    return line.model_copy(update={**changed, "tax": tax})


def _charge(whole: Order, shipping: Charge | None) -> Charge | None:
    """Shipping with its tax, which is the order's where the shop does not say it."""
    own = whole.shipping
    if shipping is None or shipping.tax is not None or own is None or own.tax is None:
        return shipping
    tax = own.tax.model_copy(update={"amount": _tax(shipping.amount, own.tax.rate, whole)})
    return shipping.model_copy(update={"tax": tax})


def _tax(amount: Decimal, rate: Decimal, whole: Order) -> Decimal:
    share = rate / (HUNDRED + rate) if whole.tax_included else rate / HUNDRED
    return rounded(amount * share, whole.currency)


# -- what is not explained ---------------------------------------------------------------------------------------------


def _with_the_rest(whole: Order, explained: Order, total: Decimal, *, shipping_open: bool) -> Order:
    """Explained so far, and what is left of the total. `shipping_open`: shipping may be what nobody spoke of."""
    rest = total - explained.computed_total()
    own = whole.shipping
    if shipping_open and own is not None and rest == _gross(own, whole):
        explained, rest = explained.model_copy(update={"shipping": own}), ZERO
    if rest > 0:
        more = tuple(_amounts(whole, rest))
        explained = explained.model_copy(update={"lines": (*explained.lines, *more)})
    elif rest < 0:
        explained = explained.model_copy(update={"discount": _kept_back(whole, explained, -rest)})
    if not explained.lines and explained.shipping is not None:  # an order has a line, and so has a credit note
        explained = explained.model_copy(update={"lines": (_as_line(explained.shipping),), "shipping": None})
    return explained.model_copy(update={"total": total})


def _gross(charge: Charge, whole: Order) -> Decimal:
    return charge.amount if whole.tax_included or charge.tax is None else charge.amount + charge.tax.amount


def _as_line(charge: Charge) -> Line:
    """Shipping as a line."""
    return Line(
        ref=SHIPPING, description=charge.description or "Shipping", quantity=Decimal(1), unit_price=charge.amount,
        tax=charge.tax,
    )  # fmt: skip


def _amounts(whole: Order, rest: Decimal) -> list[Line]:
    """An amount that nothing explains, shared out over the taxes of the invoice as they are in it."""
    weights = _by_tax(whole)
    everything = sum(weights.values(), ZERO)
    lines: list[Line] = []
    before = upto = ZERO
    for number, ((name, rate), weight) in enumerate(weights.items(), 1):
        upto += weight
        share = (rounded(rest * upto / everything, whole.currency) if everything else rest) - before
        before += share
        if share > 0:
            net, tax = _split(share, rate, whole)
            lines.append(
                Line(
                    ref=f"refund-{number}", description="Refund", quantity=Decimal(1),
                    unit_price=share if whole.tax_included else net,
                    tax=Tax(name=name, rate=rate, amount=tax) if name else None,
                )
            )  # fmt: skip
    return lines


def _by_tax(whole: Order) -> dict[tuple[str, Decimal], Decimal]:
    """What the invoice charges under each tax, with it; "" where there is none."""
    parts: list[tuple[Tax | None, Decimal]] = [(line.tax, line.amount(whole.currency)) for line in whole.lines]
    if whole.shipping:
        parts.append((whole.shipping.tax, whole.shipping.amount))
    if whole.discount:
        off = whole.discount.tax
        negative = off.model_copy(update={"amount": ZERO}) if off else None
        parts.append((negative, -whole.discount.amount - (off.amount if off and not whole.tax_included else ZERO)))
    sums: dict[tuple[str, Decimal], Decimal] = {}
    for tax, amount in parts:
        key = (tax.name, tax.rate) if tax else ("", ZERO)
        gross = amount if whole.tax_included or tax is None else amount + tax.amount
        sums[key] = sums.get(key, ZERO) + gross
    return {key: gross for key, gross in sums.items() if gross > 0} or {("", ZERO): whole.total}


def _split(gross: Decimal, rate: Decimal, whole: Order) -> tuple[Decimal, Decimal]:
    """An amount with its tax as the amount without, and the tax: such that the tax is that of the amount, where cents
    allow it."""
    currency = whole.currency
    if whole.tax_included:
        tax = _tax(gross, rate, whole)
        return gross - tax, tax
    net = rounded(gross * HUNDRED / (HUNDRED + rate), currency)
    cent = Decimal(1).scaleb(-minor_units(currency))
    for near in (net, net - cent, net + cent):
        if near >= 0 and near + rounded(near * rate / HUNDRED, currency) == gross:
            return near, gross - near
    return net, gross - net


def _kept_back(whole: Order, explained: Order, gross: Decimal) -> Adjustment:
    """What the shop did not pay back of what came back, as a discount of the credit note."""
    taxes = _by_tax(explained)
    if len(taxes) > 1:
        raise Held(
            f"order {whole.ref}: {gross} {whole.currency} of what came back were kept, and it is taxed at several"
            " rates: credit it on the platform by hand"
        )
    ((name, rate),) = taxes
    net, tax = _split(gross, rate, whole)
    own = explained.discount
    amount = (gross if whole.tax_included else net) + (own.amount if own else ZERO)
    taxed = tax + (own.tax.amount if own and own.tax else ZERO)
    return Adjustment(
        amount=amount, tax=Tax(name=name, rate=rate, amount=taxed) if name else None, description="Kept back"
    )
