"""What of an order is in which of its parts, where each shipment has an invoice of its own."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal

import orjson
from sqlalchemy import Connection, select

from worker.store.ids import new_id
from worker.store.rows import among, insert_new
from worker.store.schema import parts

Quantities = Mapping[str, Decimal]
"""By the ref of the order's line."""
REST = "rest"
"""The part that holds whatever no shipment held."""


def load_parts(connection: Connection, order_ids: Iterable[str]) -> dict[str, dict[str, Quantities]]:
    """By order id, the quantities of each part by its name, in the order they were made. Whoever decides by them has
    locked the orders."""
    found: dict[str, dict[str, Quantities]] = defaultdict(dict)
    wanted = sorted(set(order_ids))
    if wanted:
        query = select(parts).where(among(connection, parts.c.order_id, wanted)).order_by(parts.c.id)
        for row in connection.execute(query):
            lines = {ref: Decimal(quantity) for ref, quantity in orjson.loads(row.lines).items()}
            found[row.order_id][row.part] = lines
    return found


def record_parts(connection: Connection, new: Sequence[tuple[str, str, Quantities]]) -> None:
    """Keeps (order id, name, quantities) of new parts."""
    rows = [
        {
            "id": new_id(),
            "order_id": order_id,
            "part": part,
            "lines": orjson.dumps({ref: f"{quantity:f}" for ref, quantity in lines.items()}).decode(),
        }
        for order_id, part, lines in new
    ]
    insert_new(connection, parts, rows, ("order_id", "part"))
