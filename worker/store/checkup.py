"""What `billhook doctor` asks of the store. It only reads, migrates nothing, and gives up after `PATIENCE` seconds."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, Connection, func, inspect, select, text

from worker.store.engine import Store
from worker.store.jobs import now
from worker.store.schema import audit, holds, inbox, jobs, tokens, unsealed

PATIENCE = 8
"""Seconds for one statement on PostgreSQL; on SQLite the caller has a deadline of its own."""
TRIED = ("retry", "uncertain")
NEEDS_A_PERSON = ("held", "mismatch", "doubled")


@dataclass(frozen=True, slots=True)
class Vitals:
    """The database itself. `own_clock`: it may differ from this machine's, which on SQLite it cannot.

    `revision`: of its tables; None where there are none. `newest`: time (UTC) and actor of the trail's newest entry.
    """

    server: str
    version: tuple[int, ...]
    own_clock: bool
    revision: str | None
    newest: tuple[datetime, str] | None


@dataclass(frozen=True, slots=True)
class Group:
    """Rows of one kind and account in one state, and how long (seconds) the one that waits longest has done so."""

    kind: str
    state: str
    tenant: str
    shop: str
    account: str
    count: int
    oldest: float
    reason: str = ""
    """One of their reasons."""


@dataclass(frozen=True, slots=True)
class Still:
    """What does not move. Ages in seconds; a pair is (how many, age of the oldest)."""

    due: tuple[Group, ...]
    """Rows that are due, however short."""
    trying: tuple[Group, ...]
    """Rows that were tried and will be again, with their age since they came."""
    stopped: tuple[Group, ...]
    """Rows in a state that only a person ends."""
    abandoned: tuple[int, float]
    """Rows whose lease has ended, and since when."""
    unsealed: tuple[int, float]
    holds: tuple[tuple[str, str, datetime], ...]
    """(tenant, reason, since) where credentials were refused."""
    tokens: dict[str, datetime]
    """By tenant, when its newest token was stored."""


def vitals(store: Store) -> Vitals:
    """Asks for the database's version, revision and newest entry. Raises `StoreError`."""
    with _asking(store) as connection:
        name, version = ("SQLite", "SELECT sqlite_version()") if store.sqlite else ("PostgreSQL", "SHOW server_version")
        said = str(connection.execute(text(version)).scalar()).split()[0]
        there = inspect(connection).has_table("alembic_version")
        revision = connection.execute(text("SELECT version_num FROM alembic_version")).scalar() if there else None
        newest = None
        if revision is not None:
            newest = connection.execute(select(audit.c.at, audit.c.actor).order_by(audit.c.id.desc()).limit(1)).first()
    numbers = tuple(int(part) for part in said.split(".") if part.isdigit())
    return Vitals(f"{name} {said}", numbers, not store.sqlite, revision, (newest.at, newest.actor) if newest else None)


def still(store: Store) -> Still:
    """Asks for everything that waits or stands. Raises `StoreError`."""
    at = now()
    with _asking(store) as connection:
        over = jobs.c.lease_owner.is_not(None) & (jobs.c.lease_until < at)
        leases = connection.execute(select(func.count(), func.min(jobs.c.lease_until)).where(over)).one()
        latest = select(tokens.c.tenant, func.max(tokens.c.stored_at)).group_by(tokens.c.tenant)
        refused = select(holds.c.tenant, holds.c.reason, holds.c.since).order_by(holds.c.since)
        return Still(
            due=_groups(connection, at, jobs.c.due_at, jobs.c.due_at <= at),
            trying=_groups(connection, at, jobs.c.created_at, jobs.c.state.in_(TRIED)),
            stopped=_groups(connection, at, jobs.c.changed_at, jobs.c.state.in_(NEEDS_A_PERSON)),
            abandoned=(leases[0], _age(leases[1], at)),
            unsealed=_unsealed(connection, at),
            holds=tuple((row.tenant, row.reason, row.since) for row in connection.execute(refused)),
            tokens={row[0]: row[1] for row in connection.execute(latest)},
        )


def untaken(inbox_store: Store) -> tuple[int, float]:
    """Accepted events that nobody has begun to handle: how many, and the age of the oldest in seconds."""
    with _asking(inbox_store) as connection:
        query = select(func.count(), func.min(inbox.c.received_at)).where(~inbox.c.taken)
        count, first = connection.execute(query).one()
    return count, _age(first, now())


def clock(store: Store) -> tuple[datetime, float]:
    """The PostgreSQL server's time (UTC), and half of how long the question took (s)."""
    with _asking(store) as connection:
        began = time.monotonic()
        said = connection.execute(select(func.clock_timestamp())).scalar_one()
        return said, (time.monotonic() - began) / 2


def due_by_queue(store: Store) -> Counter[str]:
    """How many rows are due in each queue."""
    query = select(jobs.c.queue, func.count()).where(jobs.c.due_at <= now()).group_by(jobs.c.queue)
    with _asking(store) as connection:
        return Counter({row[0]: row[1] for row in connection.execute(query)})


@contextmanager
def _asking(store: Store) -> Iterator[Connection]:
    with store.engine.connect() as connection:
        if not store.sqlite:  # for this transaction
            connection.execute(text(f"SET LOCAL statement_timeout = '{PATIENCE}s'"))
        yield connection


def _groups(
    connection: Connection, at: datetime, since: ColumnElement[datetime | None], which: ColumnElement[bool]
) -> tuple[Group, ...]:
    columns = (jobs.c.kind, jobs.c.state, jobs.c.tenant, jobs.c.shop, jobs.c.account)
    query = select(*columns, func.count(), func.min(since), func.max(jobs.c.reason)).where(which)
    return tuple(
        Group(kind, state, tenant, shop, account, count, _age(first, at), reason or "")
        for kind, state, tenant, shop, account, count, first, reason in connection.execute(
            query.group_by(*columns).order_by(*columns)
        )
    )


def _unsealed(connection: Connection, at: datetime) -> tuple[int, float]:
    # ids sort by time: the oldest entry is found without joining all of them
    oldest = select(func.min(unsealed.c.entry_id)).scalar_subquery()
    first = connection.execute(select(audit.c.at).where(audit.c.id == oldest)).scalar()
    return int(connection.execute(select(func.count()).select_from(unsealed)).scalar_one()), _age(first, at)


def _age(since: datetime | None, at: datetime) -> float:
    return max(timedelta(0), at - since).total_seconds() if since else 0.0
