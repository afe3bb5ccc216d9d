"""An order that goes to other accounts than was decided with its first invoice: what is there, what becomes of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
from sqlalchemy import Connection, Row, func, select, update

from connectors.model import InvoiceDraft
from worker.store.credits import GONE, Invoiced, load_invoiced
from worker.store.dismissing import record_dismissed, sent
from worker.store.retry import release
from worker.store.rows import among
from worker.store.schema import audit, documents, invoices, jobs, orders
from worker.store.trail import Entry, append

HARMLESS = ("shadow", "dismissed")
"""States of an invoice of which nothing is there that Billhook would have to give back."""


@dataclass(frozen=True, slots=True)
class Made:
    """An invoice of the order, as it stands. `accepted_at`: when the event that made it due was."""

    id: str
    account: str
    part: str
    revision: int
    reference: str
    state: str
    draft: InvoiceDraft
    may_be_sent: bool
    leased: bool
    reason: str | None
    stopped: bool
    """It is held because the shop has given the order back, or cancelled it."""
    given_back: bool
    """It is void, or credited as a whole."""
    credited: bool
    """It has a credit note, whatever became of that."""
    accepted_at: datetime


def made_of(connection: Connection, order_id: str) -> list[Made]:
    """The order's invoices, in the order they were made; of those that took each other's place the last. The order must
    be locked; the invoices are, from now on."""
    query = (
        select(
            *(jobs.c.id, jobs.c.state, jobs.c.reason, jobs.c.lease_owner, invoices.c.event_at),
            *(audit.c.action, sent().label("sent")),
        )
        .join(invoices, invoices.c.id == jobs.c.id)
        .join(documents, documents.c.id == jobs.c.id)
        .join(audit, (audit.c.subject == jobs.c.kind + ":" + jobs.c.id) & (audit.c.seq == jobs.c.seq))
        .where(jobs.c.order_id == order_id, jobs.c.kind == "invoice")
        .order_by(jobs.c.id)
        .with_for_update(of=jobs)
    )
    rows = {row.id: row for row in connection.execute(query)}
    last: dict[tuple[str, str], Invoiced] = {}
    for one in sorted(load_invoiced(connection, [order_id])[order_id], key=lambda one: one.revision):
        last[one.account, one.part] = one
    return [_made(one, rows[one.id]) for one in sorted(last.values(), key=lambda one: one.id)]


def _made(one: Invoiced, row: Row[Any]) -> Made:
    return Made(
        id=one.id,
        account=one.account,
        part=one.part,
        revision=one.revision,
        reference=one.reference,
        state=row.state,
        draft=one.draft,
        may_be_sent=row.sent,
        leased=row.lease_owner is not None,
        reason=row.reason,
        stopped=row.state == "held" and row.action == "cancel",
        given_back=row.state in GONE,
        credited=bool(one.notes),
        accepted_at=row.event_at,
    )


def leave(connection: Connection, left: Sequence[Made], *, who: str, why: str) -> None:
    """These invoices, none of which was sent, are dismissed: the order is invoiced elsewhere."""
    record_dismissed(connection, [one.id for one in left], who=who, why=why, action="reroute")


def come_back(connection: Connection, back: Sequence[Made], actor: str) -> None:
    """These invoices, which were dismissed, are due again."""
    if not back:
        return
    query = (
        select(jobs.c.id, jobs.c.state, sent().label("sent"))
        .join(documents, documents.c.id == jobs.c.id)
        .where(among(connection, jobs.c.id, [one.id for one in back]), jobs.c.state == "dismissed")
    )
    release(connection, connection.execute(query).all(), actor)


def decide_anew(
    connection: Connection, shop: str, order_id: str, accounts: Sequence[str], actor: str, detail: Mapping[str, Any]
) -> None:
    """The order goes to these accounts from now on, with an entry of its own in the trail. It must be locked."""
    subject = f"order:{order_id}"
    told = orjson.dumps(list(accounts)).decode()
    connection.execute(update(orders).where(orders.c.id == order_id).values(accounts=told))
    seq = connection.execute(select(func.count()).select_from(audit).where(audit.c.subject == subject)).scalar_one()
    append(connection, [Entry(shop, order_id, subject, seq, "reroute", "decided", actor, dict(detail))])
