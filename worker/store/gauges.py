"""Questions for the metrics: what waits, what stands, what is not sealed yet.

Each is one statement over an index that holds only what is unfinished (`jobs_due`, `inbox_waits`, the unfinished
part of `jobs_state`): millions of finished rows cost nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, case, func, select

from worker.store.engine import Store
from worker.store.inbox import UNTAKEN
from worker.store.jobs import now
from worker.store.schema import audit, holds, inbox, jobs, unsealed

ON_THE_WAY = ("pending", "claimed", "sending", "retry")
FOR_A_PERSON = ("held", "mismatch", "doubled", "uncertain")
"""Few rows, of which one wants to know whose they are; `uncertain` is looked up without a person."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """Rows of a (queue, tenant, shop): how many are due, how many will be, how long the first has been due (s)."""

    due: int
    later: int
    oldest: float


@dataclass(frozen=True, slots=True)
class Gauges:
    """The store at one moment; ages in seconds."""

    waiting: Mapping[tuple[str, str, str], Waiting]
    """By queue, tenant, shop."""
    on_the_way: Mapping[tuple[str, str], int]
    """By kind and state."""
    stopped: Mapping[tuple[str, str, str, str], int]
    """By kind, state, shop and account."""
    inbox: tuple[int, float]
    """Events accepted that nobody has taken, and the age of the oldest."""
    unsealed: tuple[int, float]
    """Entries of the trail without a place in the tree, and the age of the oldest."""
    on_hold: frozenset[str]
    """Tenants whose credentials were refused."""


def gauges(store: Store, inbox_store: Store) -> Gauges:
    """Asks all of it. Raises what the database raises."""
    at = now()
    with inbox_store.read() as connection:
        untaken = _untaken(connection, at)
    with store.read() as connection:
        return Gauges(
            waiting=_waiting(connection, at),
            on_the_way=_on_the_way(connection),
            stopped=_stopped(connection),
            inbox=untaken,
            unsealed=_unsealed(connection, at),
            on_hold=frozenset(connection.execute(select(holds.c.tenant)).scalars()),
        )


def _waiting(connection: Connection, at: datetime) -> dict[tuple[str, str, str], Waiting]:
    due = func.count(case((jobs.c.due_at <= at, 1)))
    query = (
        select(jobs.c.queue, jobs.c.tenant, jobs.c.shop, due, func.count(), func.min(jobs.c.due_at))
        .where(jobs.c.due_at.is_not(None))
        .group_by(jobs.c.queue, jobs.c.tenant, jobs.c.shop)
    )
    return {
        (queue, tenant, shop): Waiting(ready, every - ready, _age(first, at))
        for queue, tenant, shop, ready, every, first in connection.execute(query)
    }


def _on_the_way(connection: Connection) -> dict[tuple[str, str], int]:
    query = (
        select(jobs.c.kind, jobs.c.state, func.count())
        .where(jobs.c.state.in_(ON_THE_WAY))
        .group_by(jobs.c.state, jobs.c.kind)
    )
    return {(kind, state): count for kind, state, count in connection.execute(query)}


def _stopped(connection: Connection) -> dict[tuple[str, str, str, str], int]:
    columns = (jobs.c.kind, jobs.c.state, jobs.c.shop, jobs.c.account)
    query = select(*columns, func.count()).where(jobs.c.state.in_(FOR_A_PERSON)).group_by(*columns)
    return {(kind, state, shop, account): n for kind, state, shop, account, n in connection.execute(query)}


def _untaken(connection: Connection, at: datetime) -> tuple[int, float]:
    count, first = connection.execute(select(func.count(), func.min(inbox.c.received_at)).where(UNTAKEN)).one()
    return count, _age(first, at)


def _unsealed(connection: Connection, at: datetime) -> tuple[int, float]:
    # ids sort by time, so the oldest entry is found without joining all of them
    oldest = select(func.min(unsealed.c.entry_id)).scalar_subquery()
    first = connection.execute(select(audit.c.at).where(audit.c.id == oldest)).scalar()
    return connection.execute(select(func.count()).select_from(unsealed)).scalar_one(), _age(first, at)


def _age(since: datetime | None, at: datetime) -> float:
    return max(0.0, (at - since).total_seconds()) if since else 0.0
