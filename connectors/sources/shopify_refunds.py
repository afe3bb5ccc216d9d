"""Shopify's refunds, told by the webhook `refunds/create` and by `refunds` of an order that was asked for.

Only what is needed is kept of a refund, so that the webhook and the order tell it in the same bytes, under the same
id: it enters once. What was given back is the sum of the refund's transactions that succeeded. Until none is pending
nothing is credited; Shopify has no webhook that tells a refund again then, but its order is `updated`, and is asked
for. The body does not say whether prices hold tax. The lines need not know: `subtotal` is meant as the order's prices
are. The shipping's `amount` is without tax ("the taxes that are added to `amount`"): where the rates in the body do
not tell which of the two the order wants, shipping is left to what the total holds beside the lines. Amounts of
`order_adjustments` are negative where money was given back. Transactions are in the currency that the customer paid;
where that is not the shop's, the total is the sum of the parts, which are in the shop's.

Facts: shopify.dev, REST "Refund" resource and webhook `refunds/create` (`order_adjustments`, `refund_shipping_lines`
since 2024-10, `transactions`), REST "Transaction" (kinds and statuses), GraphQL "Refund" ("the existence of a Refund
object doesn't guarantee that the money has been returned"). In doubt: that `subtotal` holds tax where
`taxes_included` is true (that it is after all discounts the vendor's examples say), that an adjustment of
`shipping_refund` never does, that an order is updated when the money of a refund arrives, and that webhook and order
write a number in one way (if not, a refund enters twice, and is credited once all the same, by its id).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any

import orjson

from connectors.model import Amount, Charge, Event, EventType, Refund, RefundLine, Tax
from connectors.sources.base import NotInvoiceable, digest, display, inbox_id, moment
from connectors.sources.delivery import Delivery
from connectors.sources.reading import Body, Flag, Many, Said, TaxPart, one_tax, plain, speaking_of

TOPIC = "refunds/create"
_NOTHING = Decimal(0)
_CENT = Decimal("0.01")
_PENDING = {"pending", "awaiting_response", "unknown"}
_MONEY: dict[str, Any] = {"shop_money": {"amount": None, "currency_code": None}}
_TAXES: dict[str, Any] = {"title": None, "rate": None, "price": None}
_KEPT: dict[str, Any] = {
    "id": None,
    "order_id": None,
    "created_at": None,
    "note": None,
    "total_duties_set": _MONEY,
    "refund_line_items": {
        "line_item_id": None,
        "quantity": None,
        "subtotal": None,
        "total_tax": None,
        "subtotal_set": _MONEY,
        "line_item": {"tax_lines": _TAXES},
    },
    "order_adjustments": {"amount": None, "tax_amount": None, "kind": None, "amount_set": _MONEY},
    "refund_shipping_lines": {
        "subtotal_amount_set": _MONEY,
        "shipping_line": {"title": None, "price": None, "discounted_price": None, "tax_lines": _TAXES},
    },
    "transactions": {"amount": None, "currency": None, "kind": None, "status": None, "test": None},
}
"""What is kept of a refund; of its lines no personal data, and nothing that changes later."""


class Money(Body):
    amount: Amount = _NOTHING
    currency_code: Said = None


class Both(Body):
    shop_money: Money = Money()


class TaxLine(Body):
    title: Said = None
    rate: Amount = _NOTHING
    """A fraction: 0.2 is 20 %."""
    price: Amount = _NOTHING


class Sold(Body):
    tax_lines: Many[TaxLine] = ()


class Line(Body):
    line_item_id: str
    quantity: Amount = _NOTHING
    subtotal: Amount
    total_tax: Amount = _NOTHING
    subtotal_set: Both | None = None
    line_item: Sold | None = None


class Adjusted(Body):
    """Beside the lines; negative where it was given back."""

    amount: Amount = _NOTHING
    tax_amount: Amount = _NOTHING
    kind: Said = None
    amount_set: Both | None = None


class ShippingLine(Body):
    title: Said = None
    price: Amount = _NOTHING
    discounted_price: Amount | None = None
    tax_lines: Many[TaxLine] = ()


class Shipped(Body):
    subtotal_amount_set: Both | None = None
    shipping_line: ShippingLine = ShippingLine()


class Transaction(Body):
    amount: Amount
    currency: Said = None
    kind: Said = None
    status: Said = None
    test: Flag = False


class Told(Body):
    """A refund as it is kept."""

    id: str
    order_id: str
    note: Said = None
    total_duties_set: Both | None = None
    refund_line_items: Many[Line] = ()
    order_adjustments: Many[Adjusted] = ()
    refund_shipping_lines: Many[Shipped] = ()
    transactions: Many[Transaction] = ()

    @property
    def shop_currency(self) -> str | None:
        """Of the parts; None where nothing says it."""
        sets = [
            self.total_duties_set,
            *(each.subtotal_set for each in self.refund_line_items),
            *(each.amount_set for each in self.order_adjustments),
            *(each.subtotal_amount_set for each in self.refund_shipping_lines),
        ]
        return next((each.shop_money.currency_code for each in sets if each and each.shop_money.currency_code), None)


def kept(refund: Any, name: str | None, order_id: Any = None) -> tuple[Delivery, bytes] | None:
    """A refund as it is stored: one state of it has one id, whoever told it. None for what is no refund.

    `name`: of the order, for display; `order_id`: where the refund itself does not say it.
    """
    told = {"order_id": order_id, **refund} if isinstance(refund, dict) else {}
    number = display(told.get("id"))
    if number is None or display(told.get("order_id")) is None:
        return None
    at = moment(told.get("created_at"))
    content = _only(told, _KEPT) | ({"created_at": at.isoformat()} if at else {})
    body = orjson.dumps(content, option=orjson.OPT_SORT_KEYS)
    return Delivery(inbox_id("refund", number, digest(body)), TOPIC, at, name or display(told.get("order_id"))), body


def _only(value: Any, fields: Mapping[str, Any] | None) -> Any:
    """Of objects and lists of objects these fields; nothing else that is not plain."""
    if isinstance(value, list):
        return [_only(each, fields) for each in value if isinstance(each, dict)] if fields else None
    if isinstance(value, dict):
        return {
            name: _only(value[name], inner) for name, inner in (fields or {}).items() if value.get(name) is not None
        }
    return value


def refund_event(delivery: Delivery, value: Any, *, tests: bool, told_again: bool) -> Event | None:
    """What was given back; None where it is no money, or not yet. `tests`: money of test orders counts, too.

    `told_again`: the shop is asked, so that a pending refund is found again. Raises `NotInvoiceable`; never with a
    type or an order, so that it is held, invoiced or not.
    """
    told = value if isinstance(value, dict) else {}
    with speaking_of(f"Shopify refund {display(told.get('id')) or 'without id'}", None, None):
        refund = Told.model_validate(told)
        given = [each for each in refund.transactions if each.kind == "refund"]
        if given and all(each.test for each in given) and not tests:
            return None
        if any(each.status in _PENDING for each in given):
            if told_again:
                return None
            raise NotInvoiceable(
                f"its money is still on the way back (order {refund.order_id}), and nobody tells when it has arrived:"
                " credit it on the platform then. A source that names an app of the shop asks for the next ones"
            )
        total = _total(refund, [each for each in given if each.status == "success"])
        at = moment(told.get("created_at")) or delivery.occurred_at
        if not total:
            return None
        if at is None:
            raise NotInvoiceable("created_at is missing")
        ours = Refund(
            ref=refund.id, lines=tuple(_lines(refund)), shipping=_shipping(refund), total=total, reason=refund.note
        )
        return Event(
            id=delivery.id, type=EventType.REFUND_CREATED, occurred_at=at, order_id=refund.order_id, refund=ours
        )


def _total(refund: Told, given: Sequence[Transaction]) -> Decimal:
    """All that was given back, in the shop's currency."""
    paid = sum((each.amount for each in given), _NOTHING)
    shop = refund.shop_currency
    others = {each.currency for each in given if each.currency and shop and each.currency != shop}
    if not others:
        return paid
    included = _included(refund)
    taxes = sum((each.total_tax for each in refund.refund_line_items), _NOTHING)
    if included is None and taxes:
        raise NotInvoiceable(
            f"{paid} {min(others)} were given back, and Shopify does not say how much that is in {shop}:"
            " credit it on the platform"
        )
    parts = sum((each.subtotal for each in refund.refund_line_items), _NOTHING)
    beside = sum((each.amount + each.tax_amount for each in refund.order_adjustments), _NOTHING)
    return parts + (_NOTHING if included else taxes) - beside


def _lines(refund: Told) -> Iterator[RefundLine]:
    for each in refund.refund_line_items:
        yield RefundLine(ref=each.line_item_id, quantity=each.quantity, amount=each.subtotal, tax=each.total_tax)


def _shipping(refund: Told) -> Charge | None:
    """What came back of shipping, in the order's terms; None where nothing did, or it is not known in them."""
    shipped = [each for each in refund.order_adjustments if each.kind == "shipping_refund"]
    lines = [each.shipping_line for each in refund.refund_shipping_lines]
    title = next((each.title for each in lines if each.title), None) or "Shipping"
    if not shipped:
        sets = [each.subtotal_amount_set for each in refund.refund_shipping_lines]
        amount = sum((each.shop_money.amount for each in sets if each), _NOTHING)
        return Charge(amount=amount, description=title) if amount else None
    net = -sum((each.amount for each in shipped), _NOTHING)
    tax = -sum((each.tax_amount for each in shipped), _NOTHING)
    included = _included(refund)
    if net <= 0 or tax < 0 or (tax and included is None):
        return None
    return Charge(amount=net + tax if included else net, tax=_tax(lines, tax), description=title)


def _tax(lines: Sequence[ShippingLine], amount: Decimal) -> Tax | None:
    """At the rates of the shipping; None where it has no tax or several lines, then the order's own rate counts."""
    if not amount or len(lines) != 1:
        return None
    parts = [TaxPart(name=each.title or "Tax", rate=plain(each.rate * 100)) for each in lines[0].tax_lines]
    return one_tax(parts, amount)


def _included(refund: Told) -> bool | None:
    """Whether prices hold tax, by the first amount whose tax tells; None where none does."""
    taxed = [
        (each.subtotal, each.total_tax, each.line_item.tax_lines) for each in refund.refund_line_items if each.line_item
    ]
    for shipping in (each.shipping_line for each in refund.refund_shipping_lines):
        price = shipping.price if shipping.discounted_price is None else shipping.discounted_price
        taxed.append((price, sum((each.price for each in shipping.tax_lines), _NOTHING), shipping.tax_lines))
    for amount, tax, lines in taxed:
        rate = sum((each.rate for each in lines), _NOTHING)
        beside, inside = amount * rate, amount * rate / (1 + rate)
        if tax > 0 and abs(beside - inside) > 2 * _CENT:
            return abs(tax - inside) < abs(tax - beside)
    return None
