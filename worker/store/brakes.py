"""How many invoices a shop has made due this hour, against its bound."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, select, update

from worker.store.jobs import now
from worker.store.rows import upsert
from worker.store.schema import brakes


def this_hour() -> datetime:
    """The hour of the clock, UTC."""
    return now().replace(minute=0, second=0, microsecond=0)


def due_so_far(connection: Connection, shop: str) -> int:
    """Invoices that became due this hour."""
    query = select(brakes.c.invoices).where(brakes.c.shop == shop, brakes.c.hour == this_hour())
    return int(connection.execute(query).scalar() or 0)


def count(connection: Connection, shop: str, invoices: int) -> None:
    """So many more have become due."""
    insert = upsert(connection, brakes).values(shop=shop, hour=this_hour(), invoices=invoices)
    more = {"invoices": brakes.c.invoices + insert.excluded.invoices}
    connection.execute(insert.on_conflict_do_update(index_elements=["shop", "hour"], set_=more))


def first_alert(connection: Connection, shop: str) -> bool:
    """True once an hour: a person is to be told now."""
    silent = (brakes.c.shop == shop) & (brakes.c.hour == this_hour()) & ~brakes.c.alerted
    return connection.execute(update(brakes).where(silent).values(alerted=True)).rowcount > 0
