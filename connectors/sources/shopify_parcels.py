"""Shopify's fulfillments: the parcels of an order, inside it or in a webhook of their own.

Read leniently: a parcel that cannot be read must not keep an order from being invoiced. `status` is whether the
shop has shipped it ("success"), `shipment_status` what the carrier says of it since.

Facts: shopify.dev, REST "Fulfillment" resource and GraphQL `FulfillmentDisplayStatus` (the carrier's words, upper
case there). In doubt: the REST text lists fewer words than GraphQL, so those of both are known here.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic import ValidationError

from connectors.model import EventType, Shipment, ShipmentLine
from connectors.sources.base import display

NOT_ON_ITS_WAY = {
    "label_printed", "label_purchased", "label_voided", "ready_for_pickup", "ready_for_recipient_pickup",
    "failure", "not_delivered", "canceled", "returning_to_sender", "submitted",
}  # fmt: skip
"""A label was made, or something went wrong: neither shipped nor delivered."""
_UNDONE = {"cancelled", "error", "failure"}
_MOST = 1000


def shipment_event(fulfillment: dict[str, Any]) -> EventType | None:
    """Shipped, delivered, or None for all that is neither."""
    if fulfillment.get("status") != "success":
        return None
    carrier_says = fulfillment.get("shipment_status")
    if carrier_says == "delivered":
        return EventType.SHIPMENT_DELIVERED
    gone_wrong = isinstance(carrier_says, str) and carrier_says in NOT_ON_ITS_WAY
    return None if gone_wrong else EventType.SHIPMENT_SHIPPED


def shipments_of(order: Any) -> tuple[Shipment, ...]:
    """The parcels of an order's `fulfillments`, without those that were cancelled or failed."""
    listed = order.get("fulfillments") if isinstance(order, dict) else None
    found = (
        shipment
        for each in (listed if isinstance(listed, list) else ())
        if isinstance(each, dict) and display(each.get("status")) not in _UNDONE
        for shipment in shipments(each)
    )
    return tuple(found)[:_MOST]


def shipments(fulfillment: dict[str, Any]) -> list[Shipment]:
    """The fulfillment as parcels: one for each tracking number, one where there is none; what is in it in the first."""
    ref = display(fulfillment.get("id"))
    if ref is None:
        return []
    carrier = display(fulfillment.get("tracking_company"))
    several = fulfillment.get("tracking_numbers")
    given = [fulfillment.get("tracking_number"), *(several if isinstance(several, list) else ())]
    numbers = list(dict.fromkeys(number for each in given if (number := (display(each) or "").strip())))
    lines = tuple(_lines(fulfillment.get("line_items")))[:_MOST]
    return [
        Shipment(
            ref=ref if place == 1 else f"{ref[:190]}-{place}",
            carrier=carrier,
            tracking_number=number or None,
            lines=lines if place == 1 else (),
        )
        for place, number in enumerate(numbers[:_MOST] or [""], start=1)
    ]


def _lines(items: Any) -> Iterator[ShipmentLine]:
    for each in items if isinstance(items, list) else ():
        if isinstance(each, dict):
            try:
                yield ShipmentLine.model_validate({"ref": display(each.get("id")), "quantity": each.get("quantity")})
            except ValidationError:
                continue
