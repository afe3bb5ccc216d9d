"""BigCommerce's refunds, read from its v3 API: what came back of an order, and how much of it was paid back.

What was given back is the sum of the payments that were not declined; it is on its way when a refund is made, and
a payment that is declined only later was counted. A product is told by its quantity: nobody says whether what was
`requested` for it is with tax, or for one or all, so the order's own line counts. Shipping and handling are read in
the column of the order's prices, without tax where those are. All else (gift wrapping, fees, an amount of the whole
order, a correction of tax) is what the total holds beside them.

Facts: bigcommerce/docs, reference/orders.v3.yml (`getOrderRefunds`, `Refund`, `RefundItem`, `RefundPayment`) and
docs/store-operations/orders/refunds.mdx (asynchronous payments, `item_id` by `item_type`). In doubt: the column of
`requested_amount` (the vendor's example without tax adds up so), and that amounts are in the order's
`default_currency_code`, as the order's own are.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any

import orjson

from connectors.errors import Unavailable
from connectors.model import Amount, Charge, Event, EventType, Moment, Refund, RefundLine
from connectors.sources.asking import Api, Found
from connectors.sources.base import digest, display, inbox_id, moment
from connectors.sources.bigcommerce_words import Number, has_amount
from connectors.sources.delivery import Delivery
from connectors.sources.reading import Body, Flag, Many, Said, speaking_of

READ = "refund"
"""The type of a refund that was read."""
_NOTHING = Decimal(0)
_KEPT = ("id", "created", "reason", "items", "payments", "total_amount", "total_tax")


class Item(Body):
    item_type: str
    item_id: Said = None
    quantity: Number = _NOTHING
    requested_amount: Number = _NOTHING


class Payment(Body):
    amount: Amount
    is_declined: Flag = False


class Told(Body):
    """A refund as it is kept."""

    id: str
    created: Moment
    reason: Said = None
    items: Many[Item] = ()
    payments: Many[Payment] = ()
    total_amount: Number = _NOTHING


def read(api: Api, order_id: str, order: Mapping[str, Any]) -> Sequence[Found]:
    """Every refund of the order, each as a document of its own. Raises the errors of a read."""
    where = f"{api.base_url.removesuffix('/v2')}/v3/orders/{order_id}/payment_actions/refunds"
    listed = api.document(where)
    rows = listed.get("data") if isinstance(listed, dict) else None
    if not isinstance(rows, list):
        raise Unavailable(f"{api.name} answered with something that is no list of refunds")
    handled = has_amount(order.get("handling_cost_ex_tax")) or has_amount(order.get("handling_cost_inc_tax"))
    return [_found(each, order_id, handled) for each in rows if isinstance(each, dict)]


def _found(refund: Mapping[str, Any], order_id: str, handled: bool) -> Found:
    kept = {field: refund.get(field) for field in _KEPT}
    document = {"order_id": order_id, "handling_is_a_line": handled, "refund": kept}
    body = orjson.dumps(document, option=orjson.OPT_SORT_KEYS)
    key = inbox_id(READ, order_id, display(refund.get("id")) or "", digest(body))
    return Found(Delivery(key, READ, moment(refund.get("created")), order_id), body)


def refund_event(delivery: Delivery, value: Any) -> Event | None:
    """What was given back; None where it is no money.

    Raises `NotInvoiceable`; never with a type or an order, so that it is held, invoiced or not.
    """
    told = value if isinstance(value, dict) else {}
    order_id = display(told.get("order_id"))
    with speaking_of(f"BigCommerce refund of order {order_id or 'without id'}", None, None):
        theirs = Told.model_validate(told.get("refund"))
        paid = sum((each.amount for each in theirs.payments if not each.is_declined), _NOTHING)
        total = paid if theirs.payments else theirs.total_amount
        if not total:
            return None
        ours = Refund(
            ref=theirs.id,
            lines=tuple(_lines(theirs, handling=told.get("handling_is_a_line") is True)),
            shipping=_shipping(theirs),
            total=total,
            reason=theirs.reason,
        )
        return Event(
            id=delivery.id, type=EventType.REFUND_CREATED, occurred_at=theirs.created, order_id=order_id, refund=ours
        )


def _lines(refund: Told, *, handling: bool) -> Iterator[RefundLine]:
    for each in refund.items:
        if each.item_type == "PRODUCT" and each.item_id and each.quantity:
            yield RefundLine(ref=each.item_id, quantity=each.quantity)
        elif each.item_type == "HANDLING" and handling and each.requested_amount:
            yield RefundLine(ref="handling", amount=each.requested_amount)


def _shipping(refund: Told) -> Charge | None:
    amounts = [each.requested_amount for each in refund.items if each.item_type == "SHIPPING"]
    amount = sum(amounts, _NOTHING)
    return Charge(amount=amount) if amount else None
