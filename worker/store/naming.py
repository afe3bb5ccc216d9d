"""The orders and events that a person means by what they call them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import Connection, and_, or_, select

from worker.store.engine import Store
from worker.store.rows import among
from worker.store.schema import inbox, orders


@dataclass(frozen=True, slots=True)
class Named:
    """An order that is known: our id of it, and how its source calls it."""

    id: str
    shop: str
    source: str
    source_id: str
    ref: str


def orders_named(store: Store, name: str, shop: str | None = None) -> list[Named]:
    """Orders of one shop (None: of all) that `name` means: our id, the source's id, the name with or without "#", or
    each of these after "source:". Our id means one order only, whatever others are called. Empty if there is none."""
    bare = name.removeprefix("#")
    spellings = [bare, f"#{bare}"]
    means = or_(orders.c.ref.in_(spellings), orders.c.source_id == name, orders.c.id == name)
    source, colon, rest = name.partition(":")
    if colon:
        there = rest.removeprefix("#")
        called = or_(orders.c.ref.in_([there, f"#{there}"]), orders.c.source_id == rest)
        means = or_(means, and_(orders.c.source == source, called))
    columns = [orders.c[each] for each in Named.__dataclass_fields__]
    query = select(*columns).where(means, *([orders.c.shop == shop] if shop else [])).order_by(orders.c.created_at)
    with store.read() as connection:
        found = [Named(*row) for row in connection.execute(query)]
    return [each for each in found if each.id == name] or found


def orders_spelt(connection: Connection, shop: str, spellings: Iterable[str]) -> list[Named]:
    """The shop's orders whose name or whose id in their source is one of these, letter by letter."""
    wanted = sorted(set(spellings))
    if not wanted:
        return []
    means = or_(among(connection, orders.c.ref, wanted), among(connection, orders.c.source_id, wanted))
    columns = [orders.c[each] for each in Named.__dataclass_fields__]
    query = select(*columns).where(orders.c.shop == shop, means).order_by(orders.c.id)
    return [Named(*row) for row in connection.execute(query)]


def events_named(inbox_store: Store, name: str, shop: str | None = None) -> list[str]:
    """Our ids of the deliveries of one shop (None: of all) that `name` means: the sender's id of it, or ours."""
    means = or_(inbox.c.event_id == name, inbox.c.id == name)
    query = select(inbox.c.id).where(means, *([inbox.c.shop == shop] if shop else [])).order_by(inbox.c.id)
    with inbox_store.read() as connection:
        return list(connection.execute(query).scalars())
