"""What sources are asked: events that only point somewhere, what was missed since a cursor, parcels on their way."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta

from sqlalchemy import Connection, select, update

from worker.store.jobs import now
from worker.store.rows import among, insert_new, upsert
from worker.store.schema import cursors, inquiries, invoices, jobs, shipments
from worker.store.trail import Entry, append

QUEUE = "sources"
OPEN_FOR = timedelta(days=60)
"""A parcel that has not led to an invoice after so long is no longer asked about."""


def point(connection: Connection, events: Mapping[str, str]) -> None:
    """These events (by job id) are a matter for their source (`shop/source`) from now on."""
    for tenant in sorted(set(events.values())):
        ids = [job_id for job_id, theirs in events.items() if theirs == tenant]
        moved = update(jobs).where(among(connection, jobs.c.id, ids)).values(queue=QUEUE, tenant=tenant)
        connection.execute(moved)


def ensure(connection: Connection, sources: Iterable[tuple[str, str]]) -> int:
    """Each of these sources (shop, name) has a question that recurs; returns how many are new."""
    at = now()
    rows = [
        {
            "id": f"question:{shop}/{name}",
            "kind": "question",
            "queue": QUEUE,
            "tenant": f"{shop}/{name}",
            "shop": shop,
            "account": name,
            "label": "what was missed",
            "state": "pending",
            "due_at": at,
            "created_at": at,
            "changed_at": at,
        }
        for shop, name in sources
    ]
    new = insert_new(connection, jobs, rows, ("id",))
    fresh = [row for row in rows if row["id"] in new]
    told = (Entry(str(r["shop"]), None, f"question:{r['id']}", 0, "intend", "pending", "dispatch") for r in fresh)
    append(connection, told)
    return len(fresh)


def cursor(connection: Connection, shop: str, source: str) -> str | None:
    """How far the source was asked; None: never."""
    query = select(cursors.c.cursor).where(cursors.c.shop == shop, cursors.c.source == source)
    found: str | None = connection.execute(query).scalar()
    return found


def move_on(connection: Connection, shop: str, source: str, where: str) -> None:
    """Everything before this cursor is in the inbox."""
    row = {"shop": shop, "source": source, "cursor": where, "asked_at": now()}
    insert = upsert(connection, cursors).values(row)
    changed = {"cursor": insert.excluded.cursor, "asked_at": insert.excluded.asked_at}
    connection.execute(insert.on_conflict_do_update(index_elements=["shop", "source"], set_=changed))


def open_parcels(connection: Connection, shop: str, source: str, limit: int) -> Sequence[tuple[str, str, str]]:
    """Id, number and carrier of parcels whose orders have no invoice yet; first those of which this source was never
    asked, then those for which that is longest ago."""
    invoiced = select(invoices.c.id).where(invoices.c.order_id == shipments.c.order_id).exists()
    query = (
        select(shipments.c.id, shipments.c.tracking, shipments.c.carrier)
        .outerjoin(inquiries, (inquiries.c.shipment_id == shipments.c.id) & (inquiries.c.source == source))
        .where(shipments.c.shop == shop, shipments.c.known_at > now() - OPEN_FOR, ~invoiced)
        .order_by(inquiries.c.asked_at.is_not(None), inquiries.c.asked_at, shipments.c.id)
        .limit(limit)
    )
    return [(row.id, row.tracking.partition(":")[2], row.carrier) for row in connection.execute(query)]


def asked(connection: Connection, source: str, ids: Sequence[str]) -> None:
    """The source was asked about these parcels just now."""
    at = now()
    rows = [{"shipment_id": each, "source": source, "asked_at": at} for each in sorted(ids)]
    insert = upsert(connection, inquiries)
    again = {"asked_at": insert.excluded.asked_at}
    connection.execute(insert.on_conflict_do_update(index_elements=["shipment_id", "source"], set_=again), rows)
