"""Events on their way from the inbox to what they cause."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy import Connection, select

from worker.store.inbox import Held
from worker.store.jobs import now
from worker.store.rows import among_keys, insert_new, update_rows
from worker.store.schema import invoices, jobs, orders
from worker.store.trail import Entry, append


def copy_in(connection: Connection, rows: Sequence[Held]) -> None:
    """Makes a due job of every inbox row that has none yet; doing it twice changes nothing."""
    if not rows:
        return
    at = now()
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
    new = insert_new(connection, jobs, values, ("id",))
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


def set_orders(connection: Connection, order_of: Mapping[str, str]) -> None:
    """Ties events to the orders they speak of."""
    update_rows(connection, jobs, [{"id": job_id, "order_id": order} for job_id, order in order_of.items()])


def no_invoice_yet(connection: Connection, identities: Sequence[tuple[str, str, str]]) -> set[tuple[str, str, str]]:
    """Those of these orders (shop, source, the source's id) that have no invoice, not even a pending one."""
    if not identities:
        return set()
    columns = (orders.c.shop, orders.c.source, orders.c.source_id)
    query = (
        select(*columns)
        .join(invoices, invoices.c.order_id == orders.c.id)
        .where(among_keys(connection, columns, set(identities)))
    )
    return set(identities) - {tuple(row) for row in connection.execute(query)}
