"""Putting held work back, by a person's word: `billhook retry`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, Row, and_, case, literal, or_, select, update

from worker.store.engine import Store
from worker.store.jobs import now
from worker.store.schema import documents, jobs, orders
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
    reason_contains: str | None = None,
    tenants: Mapping[tuple[str, str], str] | None = None,
) -> list[PutBack]:
    """Makes held rows due again, those that match everything given, with one trail entry each, in one commit.

    What was surely never sent is rendered anew from the draft, under the same generation. A customer, an invoice or a
    credit note that may have been sent becomes uncertain, and keeps its bytes until a look-up says that it is not
    there. A notice is sent again: nobody can look it up, and a person has decided. Nothing is rung, `dispatch` does.

    Args:
        actor: who asked, as the trail shall say it ("staff:ada").
        order: the order as people call it, the source's id of it, or ours; with everything that hangs on it.
        account: `shop/name`, or the name alone.
        reason_contains: a part of the reason for which the rows are held, in any case.
        tenants: of each (shop, account) the tenant as it is configured now; what is put back goes there.
    """
    with store.write() as connection:
        conditions = _conditions(connection, shop, order, account, reason_contains)
        held = _held(connection, conditions)
        released: list[PutBack] = []
        for start in range(0, len(held), _AT_ONCE):
            released += _release(connection, held[start : start + _AT_ONCE], actor)
            _rehome(connection, [row.id for row in held[start : start + _AT_ONCE]], tenants or {})
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


def _conditions(
    connection: Connection, shop: str | None, order: str | None, account: str | None, reason_contains: str | None
) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if shop is not None:
        conditions.append(jobs.c.shop == shop)
    if order is not None:
        conditions.append(_of_order(connection, order))
    if account is not None:
        of_shop, _, name = account.rpartition("/")
        conditions.append(jobs.c.account == name)
        if of_shop:
            conditions.append(jobs.c.shop == of_shop)
    if reason_contains is not None:
        conditions.append(jobs.c.reason.icontains(reason_contains, autoescape=True))
    return conditions


def _of_order(connection: Connection, order: str) -> ColumnElement[bool]:
    """What hangs on the order: its own rows, the customers its invoices wait for, and events that never got to it."""
    named = or_(orders.c.ref == order, orders.c.source_id == order, orders.c.id == order)
    ids = list(connection.execute(select(orders.c.id).where(named)).scalars())
    awaited = select(jobs.c.waits_for).where(jobs.c.order_id.in_(ids), jobs.c.waits_for.is_not(None))
    unplaced = and_(jobs.c.kind == "event", jobs.c.order_id.is_(None), jobs.c.label == order)
    return or_(jobs.c.order_id.in_(ids), jobs.c.id.in_(awaited), unplaced)


def _held(connection: Connection, conditions: list[ColumnElement[bool]]) -> Sequence[Row[tuple[str, bool]]]:
    """Ids of the held rows, locked, and whether something of each may have been sent."""
    sent = or_(documents.c.first_sent_at.is_not(None), jobs.c.unsure)
    query = (
        select(jobs.c.id, and_(jobs.c.kind.in_(("customer", "invoice", "credit")), sent).label("sent"))
        .outerjoin(documents, documents.c.id == jobs.c.id)
        .where(jobs.c.state == "held", *conditions)
        .order_by(jobs.c.changed_at, jobs.c.id)
        .with_for_update(of=jobs)
    )
    return connection.execute(query).all()


def _release(connection: Connection, held: Sequence[Row[tuple[str, bool]]], actor: str) -> list[PutBack]:
    sent = [row.id for row in held if row.sent]
    unsent = [row.id for row in held if not row.sent]
    for ids, state in ((sent, "uncertain"), (unsent, "pending")):
        if ids:
            _update(connection, ids, state, actor)
    if unsent:
        connection.execute(update(documents).where(documents.c.id.in_(unsent)).values(plan=None))
    query = select(jobs.c.id, jobs.c.label, jobs.c.kind, jobs.c.state).where(jobs.c.id.in_([*sent, *unsent]))
    found = {row.id: PutBack(row.label, row.kind, row.state) for row in connection.execute(query)}
    return [found[row.id] for row in held]


def _update(connection: Connection, ids: list[str], state: str, actor: str) -> None:
    at = now()
    query = (
        update(jobs)
        .where(jobs.c.id.in_(ids), jobs.c.state == "held")
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
