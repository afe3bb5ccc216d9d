"""Putting held work back, by a person's word: `billhook retry`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from sqlalchemy import Connection, Row, case, delete, literal, select, update

from worker.store.choosing import Choice, matching
from worker.store.dismissing import needed_again, sent
from worker.store.documents import DOUBTS, lock_customers
from worker.store.engine import Store
from worker.store.jobs import now
from worker.store.rows import among
from worker.store.schema import documents, invoices, jobs, orders, sightings
from worker.store.trail import Entry, append

_AT_ONCE = 1_000
"""Rows a statement names; databases bound the number of parameters."""


@dataclass(frozen=True, slots=True)
class PutBack:
    """One row that was held and is due again. `state`: pending, or uncertain (it is looked up before any create)."""

    label: str
    kind: str
    state: str


def put_back(
    store: Store,
    *,
    actor: str,
    shop: str | None = None,
    order: str | None = None,
    account: str | None = None,
    kind: str | None = None,
    reason_contains: str | None = None,
    dismissed: bool = False,
    tenants: Mapping[tuple[str, str], str] | None = None,
) -> list[PutBack]:
    """Makes held rows due again, those that match everything given, with one trail entry each, in one commit.

    What was surely never sent is rendered anew from the draft, under the same generation. A customer, an invoice or a
    credit note that may have been sent becomes uncertain, and keeps its bytes until a look-up says that it is not
    there. A notice is sent again: nobody can look it up, and a person has decided. Nothing is rung, `dispatch` does.

    Where an order or an account is named, so does what did not agree (`mismatch`) or was there twice (`doubled`): a
    person has put it right on the platform, it is looked up there and compared again.

    Args:
        actor: who asked, as the trail shall say it ("staff:ada").
        shop, order, account, kind, reason_contains: see `Choice`.
        dismissed: also what was dismissed; but not on an account that its order has left: `billhook reroute` brings
            that back.
        tenants: of each (shop, account) the tenant as it is configured now; what is put back goes there.
    """
    choice = Choice(shop, order, account, kind, reason_contains)
    states = (*choice.states, "dismissed") if dismissed else choice.states
    with store.write() as connection:
        held = _still_there(connection, _held(connection, choice, states))
        released: list[PutBack] = []
        for start in range(0, len(held), _AT_ONCE):
            some = held[start : start + _AT_ONCE]
            release(connection, some, actor)
            _rehome(connection, [row.id for row in some], tenants or {})
            released += _released(connection, [row.id for row in some])
        return released


def _rehome(connection: Connection, ids: list[str], tenants: Mapping[tuple[str, str], str]) -> None:
    """An account's key may have been changed meanwhile, and with it what the platform knows it by."""
    for (shop, account), tenant in tenants.items():
        connection.execute(
            update(jobs)
            .where(jobs.c.id.in_(ids), jobs.c.shop == shop, jobs.c.account == account, jobs.c.tenant != tenant)
            .where(jobs.c.kind.in_(("customer", "invoice", "credit")))
            .values(tenant=tenant)
        )


def _held(connection: Connection, choice: Choice, states: Sequence[str]) -> Sequence[Row[Any]]:
    """Ids and states of the rows, locked, and whether something of each may have been sent."""
    query = (
        select(jobs.c.id, jobs.c.state, sent().label("sent"))
        .outerjoin(documents, documents.c.id == jobs.c.id)
        .where(jobs.c.state.in_(states), *matching(connection, choice))
        .order_by(jobs.c.changed_at, jobs.c.id)
        .with_for_update(of=jobs)
    )
    return connection.execute(query).all()


def _still_there(connection: Connection, rows: Sequence[Row[Any]]) -> Sequence[Row[Any]]:
    """Without what was dismissed where its order went elsewhere: it would be invoiced twice."""
    dismissed = [row.id for row in rows if row.state == "dismissed"]
    if not dismissed:
        return rows
    query = (
        select(jobs.c.id, jobs.c.account, orders.c.accounts)
        .join(orders, orders.c.id == jobs.c.order_id)
        .where(among(connection, jobs.c.id, dismissed), jobs.c.kind.in_(("invoice", "credit")))
        .where(orders.c.accounts.is_not(None))
    )
    left = {row.id for row in connection.execute(query) if row.account not in orjson.loads(row.accounts)}
    return [row for row in rows if row.id not in left]


def release(connection: Connection, held: Sequence[Row[Any]], actor: str) -> None:
    """Makes these rows (`id`, `state`, `sent`), which the caller has locked, due again, as `put_back` says."""
    known = [row.id for row in held if row.sent or row.state in ("mismatch", "doubled")]
    fresh = [row.id for row in held if row.id not in set(known)]
    look = [row.id for row in held if row.id in set(known) and row.state != "held"]
    if look:
        # what a person has changed there is looked at, not sent again under its key; and what was seen before that
        # says nothing any more
        connection.execute(update(documents).where(documents.c.id.in_(look)).values(replays=DOUBTS))
        connection.execute(delete(sightings).where(sightings.c.job_id.in_(look)))
    _wait_again(connection, [row.id for row in held if row.state == "dismissed" and row.id in set(fresh)], actor)
    for ids, state in ((known, "uncertain"), (fresh, "pending")):
        if ids:
            _update(connection, ids, state, actor)
    if fresh:
        connection.execute(update(documents).where(documents.c.id.in_(fresh)).values(plan=None))


def _wait_again(connection: Connection, ids: Sequence[str], actor: str) -> None:
    """Of these rows, which were dismissed, invoices wait for their customer again where it is not done, and credit
    notes for their invoice."""
    if not ids:
        return
    mine = select(invoices.c.id, invoices.c.kind, invoices.c.customer_id, invoices.c.credits)
    rows = connection.execute(mine.where(among(connection, invoices.c.id, ids))).all()
    customers = sorted({row.customer_id for row in rows if row.kind == "invoice"})
    lock_customers(connection, customers)
    done = documents.c.remote_id.is_not(None)
    known = set(connection.execute(select(documents.c.id).where(documents.c.id.in_(customers), done)).scalars())
    needed_again(connection, [customer for customer in customers if customer not in known], actor)
    for row in rows:
        awaited = row.credits if row.kind == "credit" else None if row.customer_id in known else row.customer_id
        if awaited is not None:
            connection.execute(update(jobs).where(jobs.c.id == row.id).values(waits_for=awaited))


def _update(connection: Connection, ids: list[str], state: str, actor: str) -> None:
    at = now()
    query = (
        update(jobs)
        .where(jobs.c.id.in_(ids), jobs.c.lease_owner.is_(None))
        .values(
            state=state,
            unsure=state == "uncertain",
            due_at=case((jobs.c.waits_for.is_not(None), None), else_=literal(at, jobs.c.due_at.type)),
            attempts=0,
            reason=None,
            seq=jobs.c.seq + 1,
            changed_at=at,
        )
        .returning(jobs.c.id, jobs.c.kind, jobs.c.shop, jobs.c.order_id, jobs.c.seq)
    )
    changed = connection.execute(query).all()
    append(
        connection,
        (Entry(r.shop, r.order_id, f"{r.kind}:{r.id}", r.seq, "put_back", state, actor) for r in changed),
    )


def _released(connection: Connection, ids: Sequence[str]) -> list[PutBack]:
    query = select(jobs.c.id, jobs.c.label, jobs.c.kind, jobs.c.state).where(jobs.c.id.in_(ids))
    found = {row.id: PutBack(row.label, row.kind, row.state) for row in connection.execute(query)}
    return [found[one] for one in ids]
