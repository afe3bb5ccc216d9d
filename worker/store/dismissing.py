"""What a person has dealt with elsewhere: `billhook dismiss`. Its rows are final and count as held no more."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, and_, case, delete, literal, or_, select, update

from worker.store.choosing import Choice, matching
from worker.store.documents import lock_customers
from worker.store.engine import Store
from worker.store.jobs import now
from worker.store.rows import among
from worker.store.schema import awaited, documents, jobs
from worker.store.trail import Entry, append

KINDS = ("event", "customer", "invoice", "credit", "notice")
_NAMED = 10
"""Rows that a refusal names; the rest is a number."""


class NotDismissed(Exception):
    """Nothing was dismissed; the sentence says why and what to do."""


class MayHaveBeenSent(NotDismissed):
    """An invoice or a credit note may exist on its platform."""


class StillNeeded(NotDismissed):
    """Invoices wait for a customer."""


@dataclass(frozen=True, slots=True)
class Dismissed:
    """One row: what people call it, what it is, and in which state it was."""

    id: str
    label: str
    kind: str
    account: str
    was: str
    reason: str | None


def dismissible(store: Store, choices: Sequence[Choice]) -> list[Dismissed]:
    """What `dismiss` would dismiss now; it changes nothing."""
    with store.read() as connection:
        return [_told(row) for row in _chosen(connection, choices)]


def dismiss(
    store: Store,
    choices: Sequence[Choice],
    *,
    who: str,
    why: str,
    even_if_sent: bool = False,
    only: Collection[str] | None = None,
) -> list[Dismissed]:
    """Dismisses what is held and matches any of the choices, with one trail entry each, in one commit; twice is once.

    An invoice that waits for a held customer counts as held; the credit notes that wait for a dismissed invoice go
    with it. What exists on a platform but is not as it should be, and events that wait for their order, are dismissed
    where an order or an account is named.

    Args:
        even_if_sent: also what may exist on its platform; else such an invoice or credit note refuses all.
        only: ids; nothing else is dismissed, whatever matches by now.

    Raises:
        MayHaveBeenSent, StillNeeded: naming the rows; nothing was dismissed.
    """
    with store.write() as connection:
        lock_customers(connection, [row.id for row in _chosen(connection, choices) if row.kind == "customer"])
        rows = [row for row in _chosen(connection, choices, lock=True) if only is None or row.id in only]
        if not even_if_sent:
            _refuse_sent(rows)
        _refuse_needed(connection, rows)
        record_dismissed(connection, [row.id for row in rows], who=who, why=why)
        return [_told(row) for row in rows]


def record_dismissed(
    connection: Connection, ids: Sequence[str], *, who: str, why: str, action: str = "dismiss", **detail: Any
) -> None:
    """These rows, which the caller has locked and no worker has, are dismissed; `detail`: what else the trail says."""
    if not ids:
        return
    before = connection.execute(select(jobs.c.id, jobs.c.state).where(among(connection, jobs.c.id, ids)))
    was = {row.id: row.state for row in before}
    query = (
        update(jobs)
        .where(among(connection, jobs.c.id, ids), jobs.c.lease_owner.is_(None))
        .values(
            state="dismissed", due_at=None, waits_for=None, reason=f"dismissed by {who}: {why}", seq=jobs.c.seq + 1,
            changed_at=now(),
        )
        .returning(jobs.c.id, jobs.c.kind, jobs.c.shop, jobs.c.order_id, jobs.c.seq)
    )  # fmt: skip
    connection.execute(delete(awaited).where(among(connection, awaited.c.job_id, ids)))
    told = {"who": who, "why": why, **detail}
    append(
        connection,
        [
            Entry(
                r.shop, r.order_id, f"{r.kind}:{r.id}", r.seq, action, "dismissed", f"staff:{who}",
                told | {"was": was[r.id]},
            )
            for r in connection.execute(query).all()
        ],
    )  # fmt: skip


def sent(kinds: Sequence[str] = ("customer", "invoice", "credit")) -> ColumnElement[bool]:
    """Whether something may have been sent of a row of these kinds, from `jobs` and `documents`."""
    return and_(jobs.c.kind.in_(kinds), or_(documents.c.first_sent_at.is_not(None), jobs.c.unsure))


def needed_again(connection: Connection, customers: Sequence[str], actor: str) -> None:
    """Of these customers those that were dismissed are due again: an invoice waits for them. Their documents must be
    locked: either this sees that one was dismissed, or whoever dismisses it sees the invoice."""
    if not customers:
        return
    begun = select(documents.c.id).where(documents.c.first_sent_at.is_not(None))
    unsure = or_(jobs.c.unsure, jobs.c.id.in_(begun))
    at = now()
    query = (
        update(jobs)
        .where(among(connection, jobs.c.id, customers), jobs.c.state == "dismissed")
        .values(
            state=case((unsure, "uncertain"), else_="pending"), unsure=unsure, attempts=0, reason=None,
            due_at=literal(at, jobs.c.due_at.type), seq=jobs.c.seq + 1, changed_at=at,
        )
        .returning(jobs.c.id, jobs.c.shop, jobs.c.order_id, jobs.c.seq, jobs.c.state)
    )  # fmt: skip
    why = {"reason": "it was dismissed, and an invoice needs it"}
    append(
        connection,
        [
            Entry(r.shop, r.order_id, f"customer:{r.id}", r.seq, "put_back", r.state, actor, why)
            for r in connection.execute(query).all()
        ],
    )


def _chosen(
    connection: Connection, choices: Sequence[Choice], *, lock: bool = False
) -> Sequence[Row[*tuple[Any, ...]]]:
    """Each row once, longest waiting first within its choice."""
    found = {row.id: row for choice in choices for row in _chosen_by(connection, choice, lock)}
    return list(found.values())


def _chosen_by(connection: Connection, choice: Choice, lock: bool) -> Sequence[Row[*tuple[Any, ...]]]:
    customer = jobs.alias("customer")
    held_customers = select(customer.c.id).where(customer.c.kind == "customer", customer.c.state == "held")
    states = [
        jobs.c.state.in_(choice.states),
        and_(jobs.c.kind == "invoice", jobs.c.state == "pending", jobs.c.waits_for.in_(held_customers)),
    ]
    if choice.named:
        states.append(and_(jobs.c.kind == "event", jobs.c.state == "waiting"))
    found = _rows(connection, [jobs.c.kind.in_(KINDS), or_(*states), *matching(connection, choice)], lock)
    mine = [row.id for row in found if row.kind == "invoice"]
    if not mine:
        return found
    notes = (jobs.c.kind == "credit") & (jobs.c.state == "pending") & among(connection, jobs.c.waits_for, mine)
    return [*found, *_rows(connection, [notes], lock)]


def _rows(connection: Connection, where: Sequence[ColumnElement[bool]], lock: bool) -> Sequence[Row[*tuple[Any, ...]]]:
    columns: list[Any] = [jobs.c[name] for name in ("id", "label", "kind", "account", "state", "reason")]
    query = (
        select(*columns, sent(("invoice", "credit")).label("sent"))
        .outerjoin(documents, documents.c.id == jobs.c.id)
        .where(jobs.c.lease_owner.is_(None), *where)
        .order_by(jobs.c.changed_at, jobs.c.id)
    )
    return connection.execute(query.with_for_update(of=jobs) if lock else query).all()


def _told(row: Row[*tuple[Any, ...]]) -> Dismissed:
    return Dismissed(row.id, row.label, row.kind, row.account, row.state, row.reason)


def _refuse_sent(rows: Sequence[Row[*tuple[Any, ...]]]) -> None:
    names = [f"{'credit note' if row.kind == 'credit' else row.kind} of {row.label}" for row in rows if row.sent]
    if names:
        raise MayHaveBeenSent(
            f"May exist on the platform, because it was sent or nobody knows: {_some(names)}. Look there first. If it"
            " exists and you dismiss it, Billhook follows and corrects it no more, and tells nobody of it; then say"
            " --even-if-sent. Nothing was dismissed."
        )


def _refuse_needed(connection: Connection, rows: Sequence[Row[*tuple[Any, ...]]]) -> None:
    mine = {row.id for row in rows}
    customers = [row.id for row in rows if row.kind == "customer"]
    if not customers:
        return
    query = select(jobs.c.id, jobs.c.label, jobs.c.account).where(among(connection, jobs.c.waits_for, customers))
    waiting = [f"{row.label} on {row.account}" for row in connection.execute(query) if row.id not in mine]
    if waiting:
        raise StillNeeded(
            f"Invoices wait for a customer that would be dismissed, and would wait for ever: {_some(waiting)}. Dismiss"
            " these orders too, by name, or leave the customer out (--kind invoice). Nothing was dismissed."
        )


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more
