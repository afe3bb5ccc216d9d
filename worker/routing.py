"""Which accounts an order goes to."""

from __future__ import annotations

from connectors.model import Order
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
    for route in shop.route:
        if _matches(route, source, order):
            return route.to
    raise NoRoute(
        f"no route matches order {order.ref} (source {source}, currency {order.currency}, country"
        f" {_country(order) or 'unknown'}): add one in billhook.toml, then `billhook retry`"
    )


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
