"""What recurs, in a process of its own that never calls a platform: dispatch and seal."""

from __future__ import annotations

import logging
from collections import Counter
from datetime import timedelta

import redis

from worker import bells, runtime
from worker.accounts import accounts
from worker.app import DISPATCH, SEAL, celery
from worker.leases import LeaseWatch, longest
from worker.sources import askable
from worker.store import credits, jobs, matching, questions
from worker.store.due import due_tenants, peek
from worker.store.inbox import Inbox
from worker.store.seal import seal as seal_trail

log = logging.getLogger(__name__)
EVENTS_A_RING = 500
RINGS_IN_QUEUE = 20
"""With so many doorbells unanswered in a queue another one tells nobody anything."""
MISSED = timedelta(seconds=30)
"""An event that was parked and the order it waits for, told at the same moment, are brought together within this."""
_watch = LeaseWatch()


@celery.task(name=DISPATCH)
@runtime.turn()
def dispatch() -> dict[str, int]:
    """Finds, in SQL, everything due and unclaimed, and rings; frees the leases of workers that are gone."""
    counts: Counter[str] = Counter(freed=_free(), woken=_wake(), questions=_asking(), credits=_credits())
    late = Inbox(runtime.inbox()).untaken(EVENTS_A_RING * 4, jobs.now() - _period())
    for start in range(0, len(late), EVENTS_A_RING):
        counts["events"] += bells.ring_events(late[start : start + EVENTS_A_RING])
    with runtime.store().read() as connection:
        due = [
            (queue, tenant, peek(connection, queue, tenant, bells.SHOWN, jobs.now()))
            for queue, tenant in due_tenants(connection)
        ]
    for queue, tenant, rows in due:
        if rows and queue.startswith("invoices.") and tenant not in _tenants():
            counts["held"] += _hold_orphans(queue, tenant)
        elif rows and not _enough_rings(queue):
            counts[queue] += _ring(queue, tenant, rows)
    return {name: count for name, count in counts.items() if count}


def _period() -> timedelta:
    return timedelta(seconds=runtime.config().billhook.timing.dispatch_every)


def _free() -> int:
    with runtime.store().read() as connection:
        leased = jobs.leased(connection)
    over = _watch.over(leased, longest())
    if not over:
        return 0
    with runtime.store().write() as connection:
        freed = jobs.free(connection, over, attempts=runtime.config().billhook.timing.attempts)
    log.warning("leases of workers that are gone were ended", extra={"count": len(freed)})
    return len(freed)


def _wake() -> int:
    """Writers wait for each other on SQLite, so none misses what another has told."""
    if runtime.store().sqlite:
        return 0
    since = jobs.now() - MISSED
    with runtime.store().read() as connection:
        if not matching.parked(connection, since):
            return 0
    with runtime.store().write() as connection:
        return matching.wake_missed(connection, since)


def _credits() -> int:
    """Credit notes that waited for their invoice, which has been issued meanwhile."""
    with runtime.store().read() as connection:
        if not credits.waiting(connection):
            return 0
    with runtime.store().write() as connection:
        return credits.release(connection)


@runtime.with_config
def _asking() -> int:
    """Once a configuration: each source that can be asked what was missed has a question that recurs."""
    wanted = [(shop, name) for shop, name, _ in askable()]
    if not wanted:
        return 0
    with runtime.store().write() as connection:
        return questions.ensure(connection, wanted)


@runtime.with_config
def _tenants() -> frozenset[str]:
    return frozenset(ref.tenant for ref in accounts().values())


def _hold_orphans(queue: str, tenant: str) -> int:
    """Nobody works for a tenant that no account has any more; its rows must not wait in silence."""
    reason = (
        f"no account of the configuration reaches {tenant} any more (was its key or organisation changed?);"
        " put the account right, then `billhook retry`"
    )
    with runtime.store().write() as connection:
        held = jobs.hold_all(connection, queue, tenant, reason)
    log.warning("rows of a tenant held", extra={"tenant": tenant, "count": held, "reason": reason})
    return held


def _ring(queue: str, tenant: str, rows: list[tuple[str, str, str]]) -> bool:
    labels = [label for _, _, label in rows]
    if queue == "events":
        return bells.ring_events(())
    if queue == questions.QUEUE:
        return bells.ring_sources(tenant)
    if queue == "notify":
        return bells.ring_notify([shop for shop, _, _ in rows], labels)
    return bells.ring_invoices(tenant, [f"{shop}/{account}" for shop, account, _ in rows], labels)


def _enough_rings(queue: str) -> bool:
    try:
        return int(runtime.redis_client().llen(f"billhook:{queue}")) >= RINGS_IN_QUEUE  # type: ignore[arg-type]
    except redis.RedisError:
        return False


@celery.task(name=SEAL)
def seal() -> int:
    """Gives new entries of the trail their place in the Merkle tree. Returns how many."""
    return seal_trail(runtime.store())
