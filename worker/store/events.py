"""Events on their way from the inbox to what they cause."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy import Connection, select

from worker.store.inbox import Held
from worker.store.jobs import Job, now
from worker.store.rows import among_keys, insert_new
from worker.store.schema import invoices, jobs, orders
from worker.store.trail import Entry, append


def take_in(connection: Connection, rows: Sequence[Held], *, owner: str, lease: timedelta, actor: str) -> list[Job]:
    """Makes a job, claimed at once under a fresh `owner` token, of every inbox row that has none yet.

    Doing it twice changes nothing; rows that have a job already are not returned.
    """
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
            "state": "claimed",
            "lease_owner": owner,
            "lease_until": at + lease,
            "fence": 1,
            "attempts": 1,
            "created_at": row.received_at,
            "changed_at": at,
        }
        for row in rows
    ]
    new = insert_new(connection, jobs, values, ("id",))
    taken = [row for row in rows if row.id in new]
    append(connection, (_received(row, actor) for row in taken))
    return [
        Job(row.id, "event", "", row.shop, row.source, None, row.label, "claimed", False, 1, 0, row.received_at)
        for row in taken
    ]


def _received(row: Held, actor: str) -> Entry:
    detail = {
        "source": row.source,
        "event": row.event_id,
        "topic": row.topic,
        "received_at": row.received_at.isoformat(),
    }
    return Entry(row.shop, None, f"event:{row.id}", 0, "receive", "claimed", actor, detail)


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
