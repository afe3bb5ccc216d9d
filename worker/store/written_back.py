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
    """What that notice tells, as the fields of `Posted`; of an invoice the newest there is of that order, account and
    part, as it stands now: a notice that comes late undoes nothing that was told after it was made."""
    about = select(notices.c.invoice_id).where(notices.c.id == notice_id)
    row = connection.execute(_DOCUMENT.where(invoices.c.id == about.scalar_subquery())).one()
    if row.kind == "invoice":
        return _told(_newest(connection, row))
    credited = connection.execute(_DOCUMENT.where(invoices.c.id == row.credits)).one()
    kind = "void" if row.state == "done" else row.kind
    return _told(row) | {"kind": kind, "of": _told(_newest(connection, credited))}


_DOCUMENT = (
    select(
        orders.c.source_id, invoices.c.id, invoices.c.order_id, invoices.c.account, invoices.c.part, invoices.c.total,
        invoices.c.currency, invoices.c.reference, invoices.c.kind, invoices.c.credits, documents.c.remote_number,
        documents.c.remote_url, jobs.c.state,
    )
    .join_from(invoices, jobs, jobs.c.id == invoices.c.id)
    .join(documents, documents.c.id == invoices.c.id)
    .join(orders, orders.c.id == invoices.c.order_id)
)  # fmt: skip
_ENDED = ("void", "credited")


def _newest(connection: Connection, row: Any) -> Any:
    """The last one made on the platform in the place of this one; itself where there is no other."""
    same = (invoices.c.order_id == row.order_id, invoices.c.account == row.account, invoices.c.part == row.part)
    made = _DOCUMENT.where(*same, invoices.c.kind == "invoice", jobs.c.state.in_(("issued", *_ENDED)))
    return connection.execute(made.order_by(invoices.c.revision.desc()).limit(1)).first() or row


def _told(row: Any) -> dict[str, Any]:
    return {
        "order_id": row.source_id,
        "account": row.account,
        "part": row.part,
        "kind": row.kind,
        "number": row.remote_number or row.reference,
        "url": row.remote_url,
        "total": row.total,
        "currency": row.currency,
        "state": row.state if row.state in _ENDED else "issued",
    }
