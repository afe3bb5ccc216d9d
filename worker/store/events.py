"""Events on their way from the inbox to what they cause."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy import Connection, bindparam, select, tuple_, update

from worker.store.inbox import Held
from worker.store.intents import upsert
from worker.store.jobs import now
from worker.store.schema import invoices, jobs, orders
from worker.store.trail import Entry, append


def copy_in(connection: Connection, rows: Sequence[Held]) -> None:
    """Makes a due job of every inbox row that has none yet; doing it twice changes nothing."""
    if not rows:
        return
    at = now()
    insert = upsert(connection, jobs).on_conflict_do_nothing(index_elements=["id"]).returning(jobs.c.id)
    values = [
        {
            "id": row.id,
            "kind": "event",
            "queue": "events",
            "tenant": "",
            "shop": row.shop,
            "account": row.source,
            "label": row.label,
            "state": "pending",
            "due_at": at,
            "created_at": row.received_at,
            "changed_at": at,
        }
        for row in rows
    ]
    new = set(connection.execute(insert, values).scalars())
    append(
        connection,
        (
            Entry(
                row.shop, None, f"event:{row.id}", 0, "receive", "pending", row.source,
                {"event": row.event_id, "topic": row.topic, "received_at": row.received_at.isoformat()},
            )
            for row in rows
            if row.id in new
        ),
    )  # fmt: skip


_SET_ORDER = update(jobs).where(jobs.c.id == bindparam("_id")).values(order_id=bindparam("_order"))


def set_orders(connection: Connection, order_of: Mapping[str, str]) -> None:
    """Ties events to the orders they speak of."""
    if order_of:
        connection.execute(_SET_ORDER, [{"_id": job_id, "_order": order} for job_id, order in order_of.items()])


def no_invoice_yet(connection: Connection, identities: Sequence[tuple[str, str, str]]) -> set[tuple[str, str, str]]:
    """Those of these orders (shop, source, the source's id) that have no invoice, not even a pending one."""
    if not identities:
        return set()
    columns = (orders.c.shop, orders.c.source, orders.c.source_id)
    query = (
        select(*columns)
        .join(invoices, invoices.c.order_id == orders.c.id)
        .where(tuple_(*columns).in_(list(set(identities))))
    )
    return set(identities) - {tuple(row) for row in connection.execute(query)}
