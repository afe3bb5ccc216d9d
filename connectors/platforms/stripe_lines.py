"""An order's lines in Stripe's words, so that Stripe's total is the order's to the cent.

Amounts here are integers in minor units, as Stripe counts them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import ROUND_HALF_UP, Decimal

from connectors.errors import Rejected
from connectors.model import InvoiceDraft, Tax
from connectors.platforms.documents import later
from connectors.platforms.rows import shared

Pairs = list[tuple[str, str]]

ZERO_DECIMAL = frozenset(
    {"BIF", "CLP", "DJF", "GNF", "JPY", "KMF", "KRW", "MGA", "PYG", "RWF", "UGX", "VND", "VUV", "XAF", "XOF", "XPF"}
)
THREE_DECIMAL = frozenset({"BHD", "JOD", "KWD", "OMR", "TND"})


def digits(currency: str) -> int:
    """Decimals of a currency as Stripe counts them, which is not ISO 4217: MGA has none, and ISK has two
    (docs.stripe.com/currencies; support.stripe.com, "Deprecation of fractional ISK charges and refunds")."""
    return 0 if currency in ZERO_DECIMAL else 3 if currency in THREE_DECIMAL else 2


def minor(amount: Decimal, currency: str) -> int:
    """Stripe's integer for an amount. Raises `Rejected` where it has more decimals than Stripe gives the currency."""
    scaled = amount.scaleb(digits(currency))
    if scaled != scaled.to_integral_value():
        raise Rejected(f"{amount} {currency} has more decimals than Stripe takes in {currency}")
    return int(scaled)


@dataclass(frozen=True)
class Row:
    """One line of the invoice. `unit` is set where quantity × unit price can be shown; `off` is a share of the order
    discount that is taken off `amount` already."""

    description: str
    quantity: Decimal
    amount: int
    tax: Tax | None
    tax_amount: int
    unit: int | None = None
    sku: str | None = None
    discountable: bool = True
    off: int = 0


def rows(draft: InvoiceDraft) -> list[Row]:
    """The draft's lines, then shipping. Raises `Rejected` for what Stripe cannot count."""
    currency = draft.currency
    if currency == "UGX":
        raise Rejected(f"order {draft.order_ref}: how Stripe counts UGX is not settled; invoice it by hand")
    found = [
        Row(
            line.description,
            line.quantity,
            minor(line.amount(currency), currency),
            line.tax,
            minor(line.tax.amount, currency) if line.tax else 0,
            unit=_unit(line.unit_price, line.quantity, currency) if not line.discount else None,
            sku=line.sku,
        )
        for line in draft.lines
    ]
    if any(row.amount < 0 for row in found):
        raise Rejected(f"order {draft.order_ref}: a line's discount is larger than the line")
    if ship := draft.shipping:
        tax = minor(ship.tax.amount, currency) if ship.tax else 0
        amount = minor(ship.amount, currency)
        found.append(Row(ship.description, Decimal(1), amount, ship.tax, tax, discountable=False))
    return found


def _unit(price: Decimal, quantity: Decimal, currency: str) -> int | None:
    scaled = price.scaleb(digits(currency))
    return int(scaled) if scaled == int(scaled) and quantity == int(quantity) else None


def coupon_gives_the_order(draft: InvoiceDraft, parts: Sequence[Row], off: int) -> bool:
    """Whether tax rates and a coupon of `off` give the draft's tax and total, however Stripe rounds: half up by
    line, or half up by rate (docs.stripe.com/tax/tax-rates says only that amounts become whole units)."""
    goods = sum(row.amount for row in parts if row.discountable)
    if off > goods:
        return False
    wanted = minor(draft.tax_total, draft.currency), minor(draft.total, draft.currency)
    net = sum(row.amount for row in parts) - off
    taxes = {
        sum(_tax(Decimal(row.amount), row.tax, draft.tax_included) for row in _less(parts, off)),
        _by_rate(parts, Decimal(off) / goods if off else Decimal(0), draft.tax_included),
    }
    return {(tax, net if draft.tax_included else net + tax) for tax in taxes} == {wanted}


def _by_rate(parts: Sequence[Row], share: Decimal, inclusive: bool) -> int:
    bases: dict[Decimal, Decimal] = {}
    for row in parts:
        if row.tax is not None:
            left = row.amount * (1 - share) if row.discountable else Decimal(row.amount)
            bases[row.tax.rate] = bases.get(row.tax.rate, Decimal(0)) + left
    return sum(_tax(base, Tax(rate=rate, amount=Decimal(0)), inclusive) for rate, base in bases.items())


def _tax(base: Decimal, tax: Tax | None, inclusive: bool) -> int:
    if tax is None:
        return 0
    part = base * tax.rate / (100 + tax.rate if inclusive else 100)
    # Twelve decimals first: a share of a discount is no finite fraction, and 0.4999… of a cent means a half.
    return int(part.quantize(Decimal("1e-12")).quantize(Decimal(1), ROUND_HALF_UP))


def _less(parts: Sequence[Row], off: int) -> list[Row]:
    """The rows with `off` spread over those that a discount falls on."""
    shares = iter(shared(off, [row.amount for row in parts if row.discountable]))
    return [replace(row, amount=row.amount - next(shares)) if row.discountable else row for row in parts]


def spread(draft: InvoiceDraft, parts: Sequence[Row], off: int) -> list[Row]:
    """The rows with the order discount and its tax taken off them: first off goods of the discount's own rate, else
    off all goods, else off everything. Raises `Rejected` when nothing carries that much."""
    tax = draft.discount.tax if draft.discount else None
    tax_off = minor(tax.amount, draft.currency) if tax else 0
    choices = (
        [row.discountable and tax is not None and row.tax is not None and row.tax.rate == tax.rate for row in parts],
        [row.discountable for row in parts],
        [True for _ in parts],
    )
    for chosen in choices:
        amounts = [row.amount if pick else 0 for row, pick in zip(parts, chosen, strict=True)]
        taxes = [row.tax_amount if pick else 0 for row, pick in zip(parts, chosen, strict=True)]
        if off <= sum(amounts) and tax_off <= sum(taxes):
            left = zip(parts, shared(off, amounts), shared(tax_off, taxes), strict=True)
            return _adds_up(draft, [_reduced(row, less, less_tax) for row, less, less_tax in left])
    raise Rejected(f"order {draft.order_ref}: the order discount is larger than what it is taken off")


def _reduced(row: Row, off: int, tax_off: int) -> Row:
    return replace(
        row, amount=row.amount - off, tax_amount=row.tax_amount - tax_off, unit=None if off else row.unit, off=off
    )


def _adds_up(draft: InvoiceDraft, parts: list[Row]) -> list[Row]:
    taxes = 0 if draft.tax_included else sum(row.tax_amount for row in parts)
    missing = minor(draft.total, draft.currency) - sum(row.amount for row in parts) - taxes
    if missing:
        amount = Decimal(missing).scaleb(-digits(draft.currency))
        raise Rejected(f"order {draft.order_ref}: its lines on Stripe would differ from its total by {amount}")
    return parts


def with_rates(parts: Sequence[Row], rates: Mapping[Decimal, str], currency: str) -> Pairs:
    """`add_lines` parameters where Stripe computes the tax from the merchant's tax rates."""
    pairs: Pairs = []
    for index, row in enumerate(parts):
        line = f"lines[{index}]"
        pairs += _line(line, row, currency)
        if not row.discountable:
            pairs.append((f"{line}[discountable]", "false"))
        if row.tax is not None and row.tax.rate in rates:
            pairs.append((f"{line}[tax_rates][0]", rates[row.tax.rate]))
    return pairs


def with_amounts(draft: InvoiceDraft, parts: Sequence[Row]) -> Pairs:
    """`add_lines` parameters where each line says its tax: nothing is left for Stripe to compute."""
    pairs: Pairs = []
    for index, row in enumerate(parts):
        line = f"lines[{index}]"
        pairs += _line(line, row, draft.currency)
        if row.tax is not None:
            net = row.amount - row.tax_amount if draft.tax_included else row.amount
            tax = f"{line}[tax_amounts][0]"
            pairs += [
                (f"{tax}[amount]", str(row.tax_amount)),
                (f"{tax}[taxable_amount]", str(net)),
                (f"{tax}[tax_rate_data][display_name]", row.tax.name),
                (f"{tax}[tax_rate_data][percentage]", f"{row.tax.rate.normalize():f}"),
                (f"{tax}[tax_rate_data][inclusive]", "true" if draft.tax_included else "false"),
            ]
    return pairs


def _line(line: str, row: Row, currency: str) -> Pairs:
    """Quantity × unit price where both are whole; else the line's amount, with the quantity in words."""
    if row.unit is not None:
        price = f"{line}[price_data]"
        pairs = [
            (f"{line}[description]", row.description),
            (f"{line}[quantity]", str(int(row.quantity))),
            (f"{price}[currency]", currency.lower()),
            (f"{price}[unit_amount]", str(row.unit)),
            (f"{price}[product_data][name]", row.description),
        ]
    else:
        pairs = [(f"{line}[description]", _in_words(row, currency)), (f"{line}[amount]", str(row.amount))]
    if row.sku:
        pairs.append((f"{line}[metadata][sku]", row.sku))
    return pairs


def _in_words(row: Row, currency: str) -> str:
    """What a line of one amount is for."""
    words = row.description if row.quantity == 1 else f"{row.quantity.normalize():f} × {row.description}"
    return f"{words} (order discount −{Decimal(row.off).scaleb(-digits(currency))})" if row.off else words


def credited(draft: InvoiceDraft, parts: Sequence[Row], rates: Mapping[Decimal, str] | None) -> Pairs:
    """The lines of a credit note, without those of nothing: with these tax rates, or else each with its tax as an
    amount, of a tax rate that is filled in `later` (`rate_name`).

    `custom_line_item`, for what comes back need not be a whole line of the invoice, and an amount that is taken off
    one line can later not be followed by a quantity (docs.stripe.com, "Generate credit notes programmatically").
    """
    pairs: Pairs = []
    for index, row in enumerate(row for row in parts if row.amount):
        line, unit = f"lines[{index}]", row.unit
        pairs += [
            (f"{line}[type]", "custom_line_item"),
            (f"{line}[description]", row.description if unit is not None else _in_words(row, draft.currency)),
            (f"{line}[quantity]", "1" if unit is None else str(int(row.quantity))),
            (f"{line}[unit_amount]", str(row.amount if unit is None else unit)),
        ]
        if row.tax is not None and rates is not None and row.tax.rate in rates:
            pairs.append((f"{line}[tax_rates][0]", rates[row.tax.rate]))
        if row.tax is not None and rates is None and row.tax_amount:
            net = row.amount - row.tax_amount if draft.tax_included else row.amount
            tax = f"{line}[tax_amounts][0]"
            pairs += [
                (f"{tax}[amount]", str(row.tax_amount)),
                (f"{tax}[taxable_amount]", str(net)),
                (f"{tax}[tax_rate]", later(rate_name(row.tax.rate))),
            ]
    return pairs


def rate_name(rate: Decimal) -> str:
    """How a tax rate that is not known yet is named in a plan."""
    return f"rate-{rate.normalize():f}"
