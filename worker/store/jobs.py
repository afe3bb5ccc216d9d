"""The job machinery: claim, lease, fence, settle. Every transition is conditional and carries its trail entry.

    pending → claimed → sending → issued (invoices) or done (events, customers, notices)
    beside it: retry (due at a time), uncertain (look first), held, mismatch, void, credited, doubled,
    dismissed (a person has dealt with it elsewhere)

A row is due while `due_at` is set. `lease_owner` is a token that no two claims share, so a match on it is a match
on the fence. A row that something may have been done for is `unsure`, through any number of claims, until a look-up
says otherwise.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    Update,
    bindparam,
    case,
    func,
    literal,
    select,
    true,
    tuple_,
    update,
)
from sqlalchemy.sql.dml import ReturningUpdate

from worker import testpoints
from worker.store.due import due_shops
from worker.store.ids import new_id
from worker.store.rows import among, given_for, packed
from worker.store.schema import jobs
from worker.store.trail import Entry, append

ANY = true()
SYSTEM = "dispatch"


@dataclass(frozen=True, slots=True)
class Job:
    """A row as its holder knows it. `seq` is the number of its newest trail entry."""

    id: str
    kind: str
    tenant: str
    shop: str
    account: str
    order_id: str | None
    label: str
    state: str
    unsure: bool
    attempts: int
    seq: int
    created_at: datetime

    @property
    def subject(self) -> str:
        return f"{self.kind}:{self.id}"


@dataclass(frozen=True, slots=True)
class Change:
    """What becomes of a held row: its new state and what the trail says of it.

    `due_at` None: nobody needs to look at it again. `keep`: the lease stays (a step within one claim).
    """

    id: str
    state: str
    action: str
    due_at: datetime | None = None
    unsure: bool = False
    reason: str | None = None
    detail: dict[str, Any] = field(default_factory=dict)
    body: dict[str, Any] | None = None
    duration_us: int | None = None
    tried: bool = True
    """Whether this claim counts as an attempt; one that a quota turned away does not."""
    anew: bool = False
    """It begins anew: no attempt counts any more (what recurs, after it went well)."""
    order_id: str | None = None
    """The order that the row turned out to speak of; None leaves what is known."""


def now() -> datetime:
    return datetime.now(UTC)


def claim(
    connection: Connection,
    *,
    queue: str,
    kinds: Sequence[str],
    tenant: str,
    limit: int,
    owner: str,
    lease: timedelta,
    actor: str,
    turn: int = 0,
    only: ColumnElement[bool] = ANY,
) -> list[Job]:
    """Claims up to `limit` due rows under a fresh `owner` token, shops in turn (`turn` rotates who is first). `only`:
    of those for which this holds.

    A shop with little work leaves its share to the others.
    """
    at = now()
    shops = due_shops(connection, queue, tenant, at)
    if not shops or limit <= 0:
        return []
    first = turn % len(shops)
    shops = shops[first:] + shops[:first]
    ids: list[str] = []
    for index, shop in enumerate(shops):
        share = -(-(limit - len(ids)) // (len(shops) - index))
        ids += _due_ids(connection, queue, kinds, tenant, shop, share, at, only)
    if len(ids) < limit and len(shops) > 1:
        for shop in shops:
            more = _due_ids(connection, queue, kinds, tenant, shop, limit, at, only)
            ids = list(dict.fromkeys(ids + more))[:limit]
    return take(connection, ids, owner=owner, lease=lease, actor=actor)


def _due_ids(
    connection: Connection, queue: str, kinds: Sequence[str], tenant: str, shop: str, limit: int, at: datetime,
    only: ColumnElement[bool],
) -> list[str]:  # fmt: skip
    query = (
        select(jobs.c.id)
        .where(jobs.c.queue == queue, jobs.c.tenant == tenant, jobs.c.shop == shop, jobs.c.due_at <= at)
        .where(jobs.c.kind.in_(kinds), only)
        .order_by(jobs.c.due_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    return list(connection.execute(query).scalars())


def take(connection: Connection, ids: Sequence[str], *, owner: str, lease: timedelta, actor: str) -> list[Job]:
    """Claims those of these rows that are still due, oldest first."""
    if not ids:
        return []
    at = now()
    query = (
        update(jobs)
        .where(among(connection, jobs.c.id, ids), jobs.c.due_at.is_not(None), jobs.c.lease_owner.is_(None))
        .values(
            state="claimed",
            due_at=None,
            lease_owner=owner,
            lease_until=at + lease,
            fence=jobs.c.fence + 1,
            attempts=jobs.c.attempts + 1,
            seq=jobs.c.seq + 1,
            changed_at=at,
        )
        .returning(*(jobs.c[name] for name in Job.__slots__))
    )
    claimed = [Job(*row) for row in connection.execute(query)]
    append(connection, (_entry(job, job.seq, "claim", "claimed", actor, {"attempt": job.attempts}) for job in claimed))
    order = {job_id: place for place, job_id in enumerate(ids)}
    return sorted(claimed, key=lambda job: order[job.id])


def _entry(job: Job | Row[Any], seq: int, action: str, outcome: str, actor: str, detail: dict[str, Any]) -> Entry:
    return Entry(job.shop, job.order_id, f"{job.kind}:{job.id}", seq, action, outcome, actor, detail)


def sending(
    connection: Connection, held: Sequence[Job], *, owner: str, lease: timedelta, actor: str, details: dict[str, Any]
) -> dict[str, int]:
    """Commits that these rows' calls are about to leave. Returns the new `seq` of those that are still the owner's;
    the others must not be sent. `details`: per id, what the trail says (key, generation, bulk)."""
    at = now()
    query = (
        update(jobs)
        .where(among(connection, jobs.c.id, [job.id for job in held]), jobs.c.lease_owner == owner)
        .where(jobs.c.state == "claimed")
        .values(state="sending", lease_until=at + lease, seq=jobs.c.seq + 1, changed_at=at)
        .returning(jobs.c.id, jobs.c.seq)
    )
    mine = {row.id: row.seq for row in connection.execute(query)}
    append(
        connection,
        (_entry(job, mine[job.id], "send", "sending", actor, details[job.id]) for job in held if job.id in mine),
    )
    return mine


def renew(connection: Connection, owned: Iterable[tuple[str, str]], lease: timedelta) -> set[str]:
    """Renews the leases of (id, owner) pairs; returns the ids that are still their owners'."""
    query = _owned(owned).values(lease_until=now() + lease).returning(jobs.c.id)
    return set(connection.execute(query).scalars())


def step_on(connection: Connection, owned: Iterable[tuple[str, str]], lease: timedelta) -> dict[str, int]:
    """Renews leases for a next step; returns the ids that are still their owners' with the `seq` of its entry."""
    query = _owned(owned).values(lease_until=now() + lease, seq=jobs.c.seq + 1).returning(jobs.c.id, jobs.c.seq)
    return {row.id: row.seq for row in connection.execute(query)}


def _owned(owned: Iterable[tuple[str, str]]) -> Update:
    return update(jobs).where(tuple_(jobs.c.id, jobs.c.lease_owner).in_(list(owned)))


def settle(
    connection: Connection, held: dict[str, Job], changes: Sequence[Change], *, owner: str, actor: str
) -> set[str]:
    """Records what became of rows under this owner's lease and lets go of them.

    Returns the ids for which it was recorded. A row that is no longer the owner's is left as it is: the caller
    records a sighting if it got a remote id for it.
    """
    if not changes:
        return set()
    told = [
        {
            "id": change.id,
            "state": change.state,
            "due_at": change.due_at,
            "unsure": change.unsure,
            "reason": change.reason,
            "attempts": held[change.id].attempts if change.anew else int(not change.tried),
            "order_id": change.order_id,
        }
        for change in changes
    ]
    query = _settling(connection.dialect.name, testpoints.without("fence"))
    given = packed(connection, told) | {"owner": owner, "at": now()}
    mine = {row.id: row.seq for row in connection.execute(query, given)}
    append(connection, (_settled(held[c.id], mine[c.id], c, actor) for c in changes if c.id in mine))
    return set(mine)


@cache
def _settling(dialect: str, unfenced: bool) -> Update | ReturningUpdate[Any]:
    told = given_for(jobs, ("id", "state", "due_at", "unsure", "reason", "attempts", "order_id"), dialect)
    same = {name: told.c[name] for name in ("state", "due_at", "unsure", "reason")}
    # by the index of lease_owner SQLite would read all of `told` for each row of this owner; an expression has none
    owned_by: ColumnElement[Any] = func.coalesce(jobs.c.lease_owner, "") if dialect == "sqlite" else jobs.c.lease_owner
    mine = owned_by == bindparam("owner")
    return (
        update(jobs)
        .where(jobs.c.id == told.c.id, true() if unfenced else mine)
        .values(
            **same,
            attempts=jobs.c.attempts - told.c.attempts,
            order_id=func.coalesce(told.c.order_id, jobs.c.order_id),
            seq=jobs.c.seq + 1,
            lease_owner=None,
            lease_until=None,
            changed_at=bindparam("at", type_=jobs.c.changed_at.type),
        )
        .returning(jobs.c.id, jobs.c.seq)
    )


def _settled(job: Job, seq: int, change: Change, actor: str) -> Entry:
    detail = change.detail if change.reason is None else {**change.detail, "reason": change.reason}
    order_id = change.order_id or job.order_id
    return Entry(
        job.shop, order_id, job.subject, seq, change.action, change.state, actor, detail, change.duration_us,
        change.body,
    )  # fmt: skip


def leased(connection: Connection) -> dict[str, tuple[str, int, datetime]]:
    """Every row under a lease: owner, fence, end. `dispatch` frees those that stay as they are for a whole lease."""
    query = select(jobs.c.id, jobs.c.lease_owner, jobs.c.fence, jobs.c.lease_until).where(
        jobs.c.lease_owner.is_not(None)
    )
    return {row.id: (row.lease_owner, row.fence, row.lease_until) for row in connection.execute(query)}


def free(
    connection: Connection, stale: dict[str, tuple[str, int, datetime]], *, attempts: int, actor: str = SYSTEM
) -> list[str]:
    """Ends leases whose owner is gone: claimed → pending (or uncertain, if it was so before), sending → uncertain.

    A row that has used up its `attempts` is held: it may be what kills the workers. A notice that was being sent
    is held at once: mail has no look-up. Returns the ids freed.
    """
    if not stale:
        return []
    at = now()
    # a stopped process may hold the lock of one of them: the others must not wait for it
    at_hand = select(jobs.c.id).where(jobs.c.id.in_(list(stale))).with_for_update(skip_locked=True)
    unchanged = [(job_id, *stale[job_id]) for job_id in connection.execute(at_hand).scalars()]
    spent = jobs.c.attempts >= attempts
    sent = jobs.c.state == "sending"
    hold = spent | (sent & (jobs.c.kind == "notice"))
    why = case(
        (sent & (jobs.c.kind == "notice"), "the worker died while sending: the message may or may not have gone out"),
        (spent, f"{attempts} workers died or vanished while working on it"),
        else_=None,
    )
    query = (
        update(jobs)
        .where(tuple_(jobs.c.id, jobs.c.lease_owner, jobs.c.fence, jobs.c.lease_until).in_(unchanged))
        .values(
            state=case((hold, "held"), (sent | jobs.c.unsure, "uncertain"), else_="pending"),
            unsure=sent | jobs.c.unsure,
            due_at=case((hold, None), else_=literal(at, jobs.c.due_at.type)),
            reason=why,
            lease_owner=None,
            lease_until=None,
            seq=jobs.c.seq + 1,
            changed_at=at,
        )
        .returning(jobs.c.id, jobs.c.kind, jobs.c.shop, jobs.c.order_id, jobs.c.seq, jobs.c.state, jobs.c.reason)
    )
    freed = connection.execute(query).all()
    append(
        connection,
        (_entry(r, r.seq, "lease_lost", r.state, actor, {"reason": r.reason} if r.reason else {}) for r in freed),
    )
    return [row.id for row in freed]


def hold_all(connection: Connection, queue: str, tenant: str, reason: str, actor: str = SYSTEM) -> int:
    """Holds everything of a tenant that waits for a worker; returns how many rows that were."""
    query = (
        update(jobs)
        .where(jobs.c.queue == queue, jobs.c.tenant == tenant, jobs.c.due_at.is_not(None))
        .values(state="held", due_at=None, reason=reason, seq=jobs.c.seq + 1, changed_at=now())
        .returning(jobs.c.id, jobs.c.kind, jobs.c.shop, jobs.c.order_id, jobs.c.seq)
    )
    held = connection.execute(query).all()
    append(connection, (_entry(row, row.seq, "hold", "held", actor, {"reason": reason}) for row in held))
    return len(held)


def new_owner(process: str) -> str:
    """A token for one claim."""
    return f"{process}/{new_id()}"
