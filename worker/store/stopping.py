"""Invoices of an order that was cancelled: what nobody has sent yet is stopped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, select, update

from worker.store.jobs import now
from worker.store.schema import documents, jobs
from worker.store.trail import Entry, append

ACTOR = "handle_events"


@dataclass(frozen=True, slots=True)
class Stopped:
    """Invoices (by id) that nobody sends any more, and what is to be said of the others: "xero: issued"."""

    ids: frozenset[str]
    others: tuple[str, ...]


def stop_invoices(
    connection: Connection, order_id: str, accounts: Sequence[str], reason: str, state: str = "held"
) -> Stopped:
    """Holds the order's invoices on these accounts that were surely never sent and that no worker has; with `state`
    void another one takes their place."""
    of_order = (jobs.c.order_id == order_id) & (jobs.c.kind == "invoice") & jobs.c.account.in_(accounts)
    untouched = select(documents.c.id).where(documents.c.first_sent_at.is_(None))
    query = (
        update(jobs)
        .where(of_order, jobs.c.state.in_(("pending", "retry", "held")), jobs.c.lease_owner.is_(None), ~jobs.c.unsure)
        .where(jobs.c.id.in_(untouched))
        .values(state=state, due_at=None, reason=reason, seq=jobs.c.seq + 1, changed_at=now())
        .returning(jobs.c.id, jobs.c.shop, jobs.c.seq)
    )
    stopped = connection.execute(query).all()
    told = {"reason": reason}
    append(
        connection, (Entry(r.shop, order_id, f"invoice:{r.id}", r.seq, "cancel", state, ACTOR, told) for r in stopped)
    )
    ids = frozenset(row.id for row in stopped)
    others = connection.execute(select(jobs.c.id, jobs.c.account, jobs.c.state).where(of_order)).all()
    return Stopped(ids, tuple(f"{row.account}: {row.state}" for row in others if row.id not in ids))
