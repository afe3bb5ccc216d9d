"""What a person calls what they have dealt with elsewhere: an order, or an event that never got to one."""

from __future__ import annotations

from connectors.sources.base import one_line
from worker.completing import NoSuchOrder, order_meant
from worker.store.choosing import Choice
from worker.store.engine import Store
from worker.store.naming import events_named


def choice_of(
    store: Store,
    inbox: Store,
    name: str,
    shop: str | None = None,
    account: str | None = None,
    kind: str | None = None,
    reason_contains: str | None = None,
) -> Choice:
    """What hangs on the order, or the event, that `name` means, as far as the rest matches too (see `Choice`).

    An order goes before an event of the same name. A name that is neither still means the events that name an order
    which nobody has told. `inbox`: the store that has the inbox. Raises `SeveralOrders`.
    """
    try:
        order = order_meant(store, name, shop)
    except NoSuchOrder:
        return Choice(shop, name, account, kind, reason_contains, tuple(events_named(inbox, name, shop)))
    return Choice(order.shop, order.id, account, kind, reason_contains)


def nothing_of(name: str, shop: str | None = None) -> str:
    """The sentence for a name of which nothing can be dismissed."""
    where = f" in shop {shop}" if shop else ""
    called = one_line(name)[:200]
    return f"Nothing of {called!r} is held{where}; what goes on by itself, or is finished, cannot be dismissed."
