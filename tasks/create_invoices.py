"""Claimed customers and invoices become documents on a platform, exactly one each.

permit → claim as much as it allows → look up what is uncertain → commit "sending" (attempt, key, bytes) → call →
outcome, trail and notices in one commit, where the fence still matches. Killed anywhere: the lease runs out, a row
that was being sent is uncertain, and is looked at before anything is sent again.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from functools import cache
from itertools import count

from tasks.turn import Turn, failed_completely
from worker import bells, limits, runtime
from worker.accounts import accounts
from worker.app import CREATE_INVOICES, celery
from worker.config_sections import AccountRef
from worker.gate import Gate
from worker.shutdown import stopping
from worker.store import jobs, tokens
from worker.store.due import soonest

log = logging.getLogger(__name__)
TURN_SECONDS = 20.0
ROWS = 200
"""Most rows of one claim."""
CALLS = 200
"""Most calls of one claim that are in flight at once."""
BUSY = 0.1
"""Seconds until it is worth asking again while calls that have begun wait for permits."""
PATIENCE = 1.0
"""Seconds a task waits for rows that gather, or for a permit, before it ends; nothing is held meanwhile."""

_turns = count()


@cache
def _gate() -> Gate:
    """Two tasks a tenant: one may commit while the other waits for answers. Half the threads stay free for events."""
    return Gate(each=2, together=max(2, runtime.config().billhook.threads // 2))


class NothingDone(Exception):
    """A turn whose every row was refused: raised after its commits, so that Flower is not green meanwhile."""


@celery.task(name=CREATE_INVOICES)
def create_invoices(tenant: str, accounts: Sequence[str] = (), orders: Sequence[str] = ()) -> dict[str, int]:
    """Works on what is due for the tenant. `accounts` and `orders` are for the reader in Flower.

    Returns counts by what became of the rows. Raises when a whole turn came to nothing, after its commit.
    """
    counts: Counter[str] = Counter()
    until = time.monotonic() + TURN_SECONDS
    with _gate().enter(tenant) as stay:
        while stay is not None and not stopping():
            if time.monotonic() > until:
                bells.ring_invoices(tenant, accounts, orders)
                break
            did = _once(tenant)
            if did is None and not stay():
                break
            counts += did or Counter()
    if failed_completely(counts):
        raise NothingDone(f"nothing could be done for {tenant}: {dict(counts)}")
    return dict(counts)


@runtime.turn()
def _once(tenant: str) -> Counter[str] | None:
    """One claim and its calls. None when there is nothing to do, or no permit, for now."""
    if tenant in tokens.held(runtime.store()) or not _anything_due(tenant):
        return None
    ref = next((ref for ref in accounts().values() if ref.tenant == tenant), None)
    if ref is None:
        return None  # the account left the configuration; its rows stay and `billhook status` shows them
    permits = _permits(tenant, ref)
    if not permits.granted:
        if permits.wait > PATIENCE:
            return None
        time.sleep(permits.wait)
        return Counter()
    try:
        turn = Turn(tenant, permits)
        for kind in _kinds():
            if turn.run(kind, _rows_for(ref, kind, permits)):
                return turn.counts
        return None
    finally:
        permits.give_back()


def _permits(tenant: str, ref: AccountRef) -> limits.Permits:
    """Permits for a claim; none while calls that have begun wait for theirs."""
    if limits.line(tenant, ref.facts).waiting:
        return limits.Permits(tenant, ref.facts, [], BUSY)
    return limits.take(tenant, ref.facts, min(ref.facts.concurrent, CALLS, -(-ROWS // ref.bulk)))


def _kinds() -> tuple[str, ...]:
    """In turn, so that a shop's thousand new customers do not keep another shop's invoice waiting."""
    return ("customer", "invoice") if next(_turns) % 2 else ("invoice", "customer")


def _rows_for(ref: AccountRef, kind: str, permits: limits.Permits) -> int:
    """How many rows may begin with these permits, so that the quotas carry their further calls too."""
    documents = ref.platform.Customers if kind == "customer" else ref.platform.Invoices
    units = min(permits.granted, (permits.granted + permits.room) // documents.calls)
    return min(ROWS, max(1, units) * min(documents.bulk, ref.account.bulk or documents.bulk))


def _anything_due(tenant: str) -> bool:
    """Whether rows are due; waits a moment for rows that still gather for a bulk call."""
    queue = "invoices." + tenant.partition(":")[0]
    with runtime.store().read() as connection:
        first = soonest(connection, queue, tenant)
    if first is None:
        return False
    wait = first - jobs.now()
    if wait > timedelta(seconds=PATIENCE):
        return False
    if wait > timedelta(0):
        time.sleep(wait.total_seconds())
    return True
