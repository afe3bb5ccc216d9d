"""Square's refunds: an order of its own says what came back of which order, and the refunds by which money went back.

A line is told by its quantity; the order's own line says what that is worth, and what the total holds beside it
(charges, an amount without lines) is credited as an amount. A tip that went back was never invoiced. Nothing is
credited before all of its refunds are through: Square tells the refund again then (`refund.updated`).

Facts: square/connect-api-specification, api.json of 2025-08-20 (`OrderReturn`: one of them for each order, without
`source_order_id` where it is of none; `RefundStatus`); developer.squareup.com, orders-api/order-returns-exchanges.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

import orjson

from connectors.model import Event, EventType, Refund, RefundLine, from_minor
from connectors.sources import square_words as words
from connectors.sources.asking import Found
from connectors.sources.base import NotInvoiceable, digest, display, inbox_id, moment
from connectors.sources.delivery import Delivery
from connectors.sources.reading import speaking_of

READ = "read/refund"
"""The type of what came back of one order."""
_KEPT = ("id", "created_at", "refunds", "return_amounts")


def found(order: Mapping[str, Any]) -> Sequence[Found]:
    """What came back of each order that a refund's order speaks of, as a document of its own."""
    documents = []
    returns = words.dicts(order.get("returns"))
    for each in returns:
        source = display(each.get("source_order_id"))
        if source is None:
            continue
        kept = {name: order.get(name) for name in _KEPT} | {"returns": [each], "orders": len(returns)}
        body = orjson.dumps(kept, option=orjson.OPT_SORT_KEYS)
        key = inbox_id(READ, display(order.get("id")) or "", source, digest(body))
        documents.append(Found(Delivery(key, READ, moment(order.get("created_at")), source), body))
    return documents


def refund_event(delivery: Delivery, value: Mapping[str, Any]) -> Event | None:
    """What was given back; None where it is no money, or it is on its way.

    Raises `NotInvoiceable`; never with a type or an order, so that it is held, invoiced or not.
    """
    with speaking_of(f"Square refund of order {delivery.order_ref}", None, None):
        theirs = words.ReturnOrder.model_validate(value)
        back = theirs.returns[0] if theirs.returns else words.Return()
        if any(each.status == "PENDING" for each in theirs.refunds) or (
            theirs.refunds and all(each.failed for each in theirs.refunds)
        ):
            return None
        if not theirs.refunds or any(each.failed for each in theirs.refunds):
            raise NotInvoiceable("Square does not say that all of it was paid back; look there, and credit it by hand")
        total = _total(theirs, back, alone=value.get("orders") == 1)
        if not total:
            return None
        refund = Refund(
            ref=theirs.id,
            lines=tuple(
                RefundLine(ref=each.source_line_item_uid, quantity=each.quantity)
                for each in back.return_line_items
                if each.source_line_item_uid and each.quantity
            ),
            total=total,
            reason=next((each.reason for each in theirs.refunds if each.reason), None),
        )
        return Event(
            id=delivery.id,
            type=EventType.REFUND_CREATED,
            occurred_at=theirs.created_at,
            order_id=back.source_order_id,
            refund=refund,
        )


def _total(theirs: words.ReturnOrder, back: words.Return, *, alone: bool) -> Decimal:
    """All that came back of the order, but for the tip. `alone`: the refund is of no other order."""
    amounts = back.return_amounts or (theirs.return_amounts if alone else None)
    if amounts is None or not amounts.total_money.currency:
        raise NotInvoiceable("Square does not say how much of it came back")
    return from_minor(amounts.total_money.amount - amounts.tip_money.amount, amounts.total_money.currency)
