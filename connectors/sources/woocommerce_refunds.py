"""WooCommerce's refunds: no webhook of their own; each save of their order lists them with id, reason and total.

Each is stored as a delivery of its own under its id, once, however often its order is told again. With the credentials
of the API it says where to look: the refund's own document has the lines. Its amounts are without tax and negative,
but for `amount`: that is positive and all of it, and may be more or less than the lines. A line names the order's line
in its meta data (`_refunded_item_id`); one that does not is left to what the total holds beside the lines.

Facts: WooCommerce REST API v3, "Orders" (`refunds`), "Order refunds", "Retrieve a refund";
woocommerce/woocommerce, class-wc-rest-order-refunds-v2-controller.php (an unknown refund is a 404) and
woocommerce/woocommerce-android, which reads `_refunded_item_id`. Deleting a refund takes no credit note back.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any

import orjson
from pydantic import AfterValidator

from connectors.errors import Rejected
from connectors.model import Amount, Charge, Event, EventType, Refund, RefundLine
from connectors.sources.asking import Api, Found
from connectors.sources.base import NotInvoiceable, digest, display, inbox_id
from connectors.sources.delivery import Delivery
from connectors.sources.reading import Body, Flag, Many, Said, TaxPart, one_tax, plain, speaking_of

TOLD = "refund/told"
"""The type of a refund as its order lists it."""
READ = "refund/read"
"""The type of a refund that was read."""
_NOTHING = Decimal(0)

GmtTime = Annotated[datetime, AfterValidator(lambda time: time if time.tzinfo else time.replace(tzinfo=UTC))]


class Listed(Body):
    """A refund as its order lists it; `total` is negative."""

    id: str
    reason: Said = None
    total: Amount


class Meta(Body):
    key: Any = None
    value: Any = None


class AppliedTax(Body):
    id: Said = None
    total: Said = None


class Item(Body):
    """A line, shipping or fee: what of it was given back, as negative amounts."""

    quantity: Amount = _NOTHING
    total: Amount = _NOTHING
    total_tax: Amount = _NOTHING
    method_title: Said = None
    taxes: Many[AppliedTax] = ()
    meta_data: Many[Meta] = ()

    @property
    def of(self) -> str | None:
        """The order's item."""
        return next((display(each.value) for each in self.meta_data if each.key == "_refunded_item_id"), None)


class TaxLine(Body):
    rate_id: Said = None
    label: Said = None
    rate_percent: Amount | None = None
    compound: Flag = False


class Full(Body):
    """A refund as it was read."""

    id: str
    date_created_gmt: GmtTime
    amount: Amount
    reason: Said = None
    line_items: Many[Item] = ()
    shipping_lines: Many[Item] = ()
    fee_lines: Many[Item] = ()
    tax_lines: Many[TaxLine] = ()


def listed(order: Any, name: str | None) -> Iterator[tuple[Delivery, bytes]]:
    """Each refund that an order lists, as it is stored. `name`: of the order, for display."""
    order_id = display(order.get("id")) if isinstance(order, dict) else None
    refunds = order.get("refunds") if order_id else None
    for each in refunds if isinstance(refunds, list) else ():
        refund_id = display(each.get("id")) if isinstance(each, dict) else None
        if order_id and refund_id:
            refund = {field: _plain(each.get(field)) for field in ("id", "reason", "total")}
            body = orjson.dumps({"order_id": order_id, "refund": refund}, option=orjson.OPT_SORT_KEYS)
            yield Delivery(inbox_id("refund", order_id, refund_id), TOLD, order_ref=name or order_id), body


def _plain(value: Any) -> Any:
    return None if isinstance(value, dict | list) else value


def fetch(api: Api, value: Any) -> Sequence[Found]:
    """The refund that a stored one points to; empty where it was deleted. Raises the errors of a read."""
    order_id, refund_id = (str(each) for each in _named(value))
    if not all(each.isascii() and each.isdigit() for each in (order_id, refund_id)):
        raise Rejected("WooCommerce named no refund that could be asked for")
    try:
        refund = api.document(f"/wp-json/wc/v3/orders/{order_id}/refunds/{refund_id}")
    except Rejected as error:
        if error.status == 404:
            return []
        raise
    body = orjson.dumps({"order_id": order_id, "refund": refund}, option=orjson.OPT_SORT_KEYS)
    key = inbox_id("refund", order_id, refund_id, digest(body))
    return [Found(Delivery(key, READ, order_ref=order_id), body)]


def refund_event(delivery: Delivery, value: Any) -> Event | None:
    """What was given back, read or only told; None where it is no money.

    Raises `NotInvoiceable`; never with a type or an order, so that it is held, invoiced or not.
    """
    order_id, refund_id = _named(value)
    with speaking_of(f"WooCommerce refund {refund_id or 'without id'} of order {order_id or 'without id'}", None, None):
        if order_id is None:
            raise NotInvoiceable("order_id is missing")
        read = _read(value["refund"]) if delivery.type == READ else _told(value["refund"])
        at, refund = read or (None, None)
        if refund is None:
            return None
        if (at := at or delivery.occurred_at) is None:
            raise NotInvoiceable("WooCommerce does not say when it was made")
        return Event(id=delivery.id, type=EventType.REFUND_CREATED, occurred_at=at, order_id=order_id, refund=refund)


def _named(value: Any) -> tuple[str | None, str | None]:
    match value:
        case {"order_id": order_id, "refund": {"id": refund_id}}:
            return display(order_id), display(refund_id)
        case {"order_id": order_id, "refund": _}:
            return display(order_id), None
    return None, None


def _told(value: Any) -> tuple[None, Refund] | None:
    theirs = Listed.model_validate(value)
    return (None, Refund(ref=theirs.id, total=-theirs.total, reason=theirs.reason)) if theirs.total else None


def _read(value: Any) -> tuple[datetime, Refund] | None:
    theirs = Full.model_validate(value)
    if not theirs.amount:
        return None
    lines = [*_lines("", theirs.line_items), *_lines("fee-", theirs.fee_lines)]
    refund = Refund(
        ref=theirs.id, lines=tuple(lines), shipping=_shipping(theirs), total=theirs.amount, reason=theirs.reason
    )
    return theirs.date_created_gmt, refund


def _lines(start: str, items: Sequence[Item]) -> Iterator[RefundLine]:
    """Those of which something came back; a negative fee that is taken back is none, it is what the total lacks."""
    for each in items:
        ref, back = each.of, -each.total
        if ref is None or back < 0 or each.total_tax > 0 or not (back or each.quantity):
            continue
        quantity = abs(each.quantity) if not start else _NOTHING  # of a fee some money comes back, once or more often
        yield RefundLine(ref=start + ref, quantity=quantity, amount=back, tax=-each.total_tax)


def _shipping(refund: Full) -> Charge | None:
    """All shipping that came back; its tax only where one rate is told for it, else the order's own counts."""
    amount = -sum((each.total for each in refund.shipping_lines), _NOTHING)
    if amount <= 0:
        return None
    tax = -sum((each.total_tax for each in refund.shipping_lines), _NOTHING)
    applied = {tax.id for each in refund.shipping_lines for tax in each.taxes if tax.id and tax.total}
    rates = [each for each in refund.tax_lines if not applied or each.rate_id in applied]
    parts = [
        TaxPart(each.label or "Tax", plain(each.rate_percent), each.compound)
        for each in rates
        if each.rate_percent is not None
    ]
    known = tax > 0 and parts and len(parts) == (len(applied) or 1)
    name = next((each.method_title for each in refund.shipping_lines if each.method_title), None)
    return Charge(amount=amount, tax=one_tax(parts, tax) if known else None, description=name or "Shipping")
