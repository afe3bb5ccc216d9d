"""Tokens and who refreshes them; tenants on hold. Everything is one short transaction."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from worker.store.engine import Store
from worker.store.jobs import now
from worker.store.schema import holds, jobs, refreshes, tokens


@dataclass(frozen=True, slots=True)
class StoredToken:
    """A token as it lies in the store, encrypted."""

    version: int
    sealed: bytes
    expires_at: datetime


def newest(store: Store, tenant: str) -> StoredToken | None:
    """The newest token of the tenant."""
    query = select(tokens.c.version, tokens.c.sealed, tokens.c.expires_at).where(tokens.c.tenant == tenant)
    with store.read() as connection:
        row = connection.execute(query.order_by(tokens.c.version.desc()).limit(1)).first()
    return StoredToken(*row) if row else None


def add(store: Store, tenant: str, version: int, sealed: bytes, expires_at: datetime) -> bool:
    """Appends a token; False when that version is there already."""
    row = {"tenant": tenant, "version": version, "sealed": sealed, "expires_at": expires_at, "stored_at": now()}
    try:
        with store.write() as connection:
            connection.execute(insert(tokens).values(**row))
    except IntegrityError:
        return False
    return True


def begin_refresh(store: Store, tenant: str, version: int, owner: str, deadline: datetime) -> int | None:
    """Commits that `owner` refreshes this version until `deadline`: which try it is, or None while another is at it."""
    me = {"owner": owner, "deadline": deadline}
    try:
        with store.write() as connection:
            connection.execute(insert(refreshes).values(tenant=tenant, version=version, tries=1, **me))
        return 1
    except IntegrityError:
        pass  # somebody has begun to; it is taken over only when their time is over
    here = (refreshes.c.tenant == tenant) & (refreshes.c.version == version) & (refreshes.c.deadline < now())
    over = update(refreshes).where(here).values(tries=refreshes.c.tries + 1, **me).returning(refreshes.c.tries)
    with store.write() as connection:
        return connection.execute(over).scalar()


def end_refresh(store: Store, tenant: str, version: int) -> None:
    """The call was sent and its outcome is unknown: the next one may follow at once, as another try."""
    here = (refreshes.c.tenant == tenant) & (refreshes.c.version == version)
    with store.write() as connection:
        connection.execute(update(refreshes).where(here).values(deadline=now() - timedelta(seconds=1)))


def refuse_refresh(store: Store, tenant: str, version: int) -> None:
    """It was refused, so nothing was used up: once its time is over, the next one is a first try again."""
    here = (refreshes.c.tenant == tenant) & (refreshes.c.version == version)
    with store.write() as connection:
        connection.execute(update(refreshes).where(here).values(tries=0))


def forget_refresh(store: Store, tenant: str, version: int) -> None:
    """Nothing was sent: as if nobody had begun."""
    here = (refreshes.c.tenant == tenant) & (refreshes.c.version == version)
    with store.write() as connection:
        connection.execute(delete(refreshes).where(here))


def hold(store: Store, tenant: str, reason: str) -> bool:
    """Puts the tenant on hold; True the first time (that is when somebody is told)."""
    try:
        with store.write() as connection:
            connection.execute(insert(holds).values(tenant=tenant, reason=reason, since=now()))
    except IntegrityError:
        return False
    return True


def held(store: Store) -> dict[str, str]:
    """Tenants on hold, with the reason."""
    with store.read() as connection:
        return {row.tenant: row.reason for row in connection.execute(select(holds.c.tenant, holds.c.reason))}


def release(store: Store, tenant: str) -> bool:
    """Ends a hold and forgets the tries that led to it; True when there was one. What waited to be retried is due."""
    retried = (jobs.c.tenant == tenant) & (jobs.c.state == "retry") & (jobs.c.due_at > now())
    with store.write() as connection:
        connection.execute(update(jobs).where(retried).values(due_at=now()))
        connection.execute(delete(refreshes).where(refreshes.c.tenant == tenant))
        return connection.execute(delete(holds).where(holds.c.tenant == tenant)).rowcount > 0
