"""The orders that a person means by what they call them."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import and_, or_, select

from worker.store.engine import Store
from worker.store.schema import orders


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
