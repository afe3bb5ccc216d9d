"""Which accounts an order goes to, and on which events its invoice is due."""

from __future__ import annotations

from collections.abc import Container

from connectors.model import EventType, Order
from worker.config import Route, Shop


class NoRoute(Exception):
    """No route matches; the sentence says what to do."""


def accounts_for(shop: Shop, source: str, order: Order) -> tuple[str, ...]:
    """The accounts of the first route that matches; without any route, the only account. Raises `NoRoute`."""
    if not shop.route:
        if len(shop.account) == 1:
            return tuple(shop.account)
        how_many = "no account" if not shop.account else f"{len(shop.account)} accounts and no route"
        raise NoRoute(f"the shop has {how_many}: add one in billhook.toml, then `billhook retry`")
    if route := _route(shop, source, order):
        return route.to
    raise NoRoute(
        f"no route matches order {order.ref} (source {source}, currency {order.currency}, country"
        f" {_country(order) or 'unknown'}): add one in billhook.toml, then `billhook retry`"
    )


def trigger_for(shop: Shop, source: str, order: Order) -> tuple[str, ...]:
    """The events that ask for an invoice of the order: those of its route, where that names some, else the shop's."""
    route = _route(shop, source, order)
    return shop.trigger if route is None or route.trigger is None else route.trigger


def asks(kind: EventType, wanted: Container[str]) -> bool:
    """Whether this kind of event is wanted. What was delivered was shipped before, though nobody may have said so."""
    return kind in wanted or (kind is EventType.SHIPMENT_DELIVERED and EventType.SHIPMENT_SHIPPED in wanted)


def _route(shop: Shop, source: str, order: Order) -> Route | None:
    return next((route for route in shop.route if _matches(route, source, order)), None)


def _matches(route: Route, source: str, order: Order) -> bool:
    facts: dict[str, set[str | None]] = {
        "source": {source},
        "currency": {order.currency},
        "country": {_country(order)},
        "tag": set(order.tags),
        "channel": {order.channel},
    }
    wanted = {name: {value} if isinstance(value, str) else set(value) for name, value in route.when.items()}
    return all(facts[name] & values for name, values in wanted.items())


def _country(order: Order) -> str | None:
    """Where it is delivered, else where it is billed."""
    for address in (order.shipping_address, order.billing_address):
        if address is not None and address.country:
            return address.country
    return None
