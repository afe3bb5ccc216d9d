"""Staff sets an order to completed: an ordinary event, which says who did it and why.

It enters under a source of its own, "staff:" before the name of the order's source: no configured source can be called
so, and it says whose order is meant where two sources use one id.
"""

from __future__ import annotations

from datetime import UTC, datetime

import orjson

from connectors.model import Event, EventType
from connectors.sources.base import one_line
from worker.config import Config
from worker.routing import asks, trigger_for
from worker.store.engine import Store
from worker.store.ids import new_id
from worker.store.inbox import Arrival
from worker.store.naming import Named, orders_named
from worker.store.orders import load_orders

STAFF = "staff:"


class Refused(Exception):
    """It is not done with the order; the sentence says why and what to do."""


class NoSuchOrder(Refused):
    """Nobody has told such an order yet."""


class SeveralOrders(Refused):
    """The name means more than one; the sentence names them."""


class NotWanted(Refused):
    """The shop makes no invoice of it."""


def orders_of(source: str) -> str | None:
    """The source whose orders an event of staff speaks of; None for events that came from elsewhere."""
    return source.removeprefix(STAFF) if source.startswith(STAFF) else None


def order_meant(store: Store, name: str, shop: str | None = None, then: str = "try again") -> Named:
    """The order that `name` means, of this shop (None: of any). `then`: what to do once it is known. Raises
    `NoSuchOrder`, `SeveralOrders`."""
    found = orders_named(store, name, shop)
    called = one_line(name)[:200]
    if not found:
        raise NoSuchOrder(
            f"No order {called!r} is known{f' in shop {shop}' if shop else ''}. Billhook must have been told of it"
            f" first: send it with POST /events, or import it; then {then}."
        )
    if len(found) > 1:
        listed = "; ".join(f"{each.source}:{each.ref} of shop {each.shop} (our id {each.id})" for each in found[:10])
        raise SeveralOrders(f"{called} means several orders: {listed}. Say which: source:name, or our id.")
    return found[0]


def order_to_complete(store: Store, config: Config, name: str, shop: str | None = None) -> Named:
    """The order that `name` means, of this shop (None: of any). Raises `Refused`."""
    order = order_meant(store, name, shop, "complete it")
    settings = config.shop.get(order.shop)
    if settings is None:
        raise NotWanted(f"The configuration has no shop {order.shop!r} any more, so nothing is done with its orders.")
    with store.read() as connection:
        (known,) = load_orders(connection, [order.id]).values()
    trigger = trigger_for(settings, order.source, known.order)
    if not asks(EventType.ORDER_COMPLETED, trigger):
        raise NotWanted(
            f"Shop {order.shop} makes no invoice of order {order.ref} when it is completed (the trigger: "
            f'{", ".join(trigger)}). Add "order.completed" to trigger under [shop.{order.shop}], or to that of the'
            " order's route, then complete the order."
        )
    return order


def completion(order: Named, who: str, why: str | None) -> Arrival:
    """The event for the inbox. Each call is an act of its own, with an id of its own; the order has one invoice.

    Raises `ValueError` (pydantic's) for a `who` or `why` that an event cannot carry.
    """
    told = {"id": new_id(), "type": EventType.ORDER_COMPLETED.value, "occurred_at": datetime.now(UTC).isoformat()}
    told |= {"order_id": order.source_id, "who": who} | ({"why": why} if why else {})
    event = Event.model_validate(told)
    return Arrival(
        shop=order.shop,
        source=STAFF + order.source,
        event_id=event.id,
        kind="standard",
        topic=event.type.value,
        label=order.ref,
        body=orjson.dumps(told, option=orjson.OPT_SORT_KEYS),
    )
