"""What the shop that an order comes from is told of its invoice, and of what was given back."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import Connection, select

from worker.store.rows import among
from worker.store.schema import documents, invoices, jobs, notices, orders


def sources_of(connection: Connection, order_ids: Iterable[str]) -> dict[str, str]:
    """By order id, the source that tells of it."""
    query = select(orders.c.id, orders.c.source).where(among(connection, orders.c.id, sorted(set(order_ids))))
    return {row.id: row.source for row in connection.execute(query)}


def posted(connection: Connection, notice_id: str) -> dict[str, Any]:
    """What that notice tells, as the fields of `Posted`."""
    query = (
        select(
            orders.c.source_id, invoices.c.account, invoices.c.part, invoices.c.total, invoices.c.currency,
            invoices.c.reference, invoices.c.kind, documents.c.remote_number, documents.c.remote_url, jobs.c.state,
        )
        .join(jobs, jobs.c.id == notices.c.invoice_id)
        .join(invoices, invoices.c.id == notices.c.invoice_id)
        .join(documents, documents.c.id == notices.c.invoice_id)
        .join(orders, orders.c.id == invoices.c.order_id)
        .where(notices.c.id == notice_id)
    )  # fmt: skip
    row = connection.execute(query).one()
    return {
        "order_id": row.source_id,
        "account": row.account,
        "part": row.part,
        "kind": "void" if row.kind == "credit" and row.state == "done" else row.kind,
        "number": row.remote_number or row.reference,
        "url": row.remote_url,
        "total": row.total,
        "currency": row.currency,
    }
