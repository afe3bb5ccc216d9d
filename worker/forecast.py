"""By when everything that waits for a tenant is posted, if its quotas are all that slows it down.

Each call that is still to be made takes the slot that is free first, in each of the quotas' windows: as the limiter
hands them out, without the limiter. What fails, what a person holds and what comes in later is not in it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import redis

from connectors.platforms.base import Platform
from connectors.platforms.documents import LOOKED_FOR, Documents
from connectors.platforms.facts import Facts
from worker import limits, runtime
from worker.config import ConfigError
from worker.store.figures import seconds_a_call, waiting

SECONDS = 0.5
"""What a call takes where none was made lately."""
FINEST = 100_000
"""Calls that are gone through one by one; of more, several are taken as one."""


@dataclass(frozen=True)
class Calls:
    """Calls to be made: how many in all, and how many of each kind that has a quota of its own."""

    all: int = 0
    kinds: Mapping[str, int] = field(default_factory=dict)


def calls_for(platform: type[Platform], customers: int, invoices: int, bulk: int | None = None) -> Calls:
    """What so many rows usually take on the platform. `bulk`: the account's own maximum of documents in a call."""
    looks = creates = 0
    for kind, rows in ((platform.Customers, customers), (platform.Invoices, invoices)):
        looked, created = _looks_and_creates(kind, rows, bulk)
        looks, creates = looks + looked, creates + created
    return Calls(looks + creates, {quota.of: creates for quota in platform.facts.quotas if quota.of})


def _looks_and_creates(kind: type[Documents], rows: int, bulk: int | None) -> tuple[int, int]:  # type: ignore[type-arg]
    size = min(kind.bulk, bulk or kind.bulk)
    looks = -(-rows // LOOKED_FOR) if kind.look_first and kind.bulk > 1 else 0
    return looks, -(-rows // size) * kind.calls


def all_posted_in(
    facts: Facts, calls: Calls, taken: Mapping[str, Sequence[float]], seconds: float = SECONDS
) -> timedelta:
    """How long it takes until the last of these calls is answered.

    `taken`: what `limits.taken` says of the tenant. `seconds`: what a call takes; its slots are taken for that long,
    and for the windows' length after it.
    """
    general = [(quota.calls, quota.per.total_seconds()) for quota in facts.quotas if not quota.of]
    lasts = _last_begins(calls.all, [(facts.concurrent, 0.0), *general], taken, seconds)
    for quota in facts.quotas:
        if quota.of:
            windows = [(facts.concurrent, 0.0), (quota.calls, quota.per.total_seconds())]
            lasts = max(lasts, _last_begins(calls.kinds.get(quota.of, 0), windows, {}, seconds))
    return timedelta(seconds=lasts + seconds if calls.all else 0)


def _last_begins(
    calls: int, windows: Iterable[tuple[int, float]], taken: Mapping[str, Sequence[float]], seconds: float
) -> float:
    """When the last call begins, in seconds from now."""
    together = -(-calls // FINEST) or 1
    free = [_slots(limit, per + seconds, sorted(taken.get(_name(per), ())), together) for limit, per in windows]
    begins = 0.0
    for _ in range(-(-calls // together)):
        begins = max(begins, *(slots.popleft() for slots, _ in free))
        for slots, lasts in free:
            slots.append(begins + lasts)
    return begins


def _slots(limit: int, lasts: float, taken: Sequence[float], together: int) -> tuple[deque[float], float]:
    """When each of a window's slots is free, soonest first, and for how long a call takes one; so many calls are one,
    at the same rate."""
    every = [0.0] * (limit - len(taken)) + list(taken[-limit:])
    slots = max(1, limit // together)
    free = deque(every[min(limit, (place + 1) * together) - 1] for place in range(slots))
    return free, lasts * slots * together / limit


def _name(per: float) -> str:
    return f"{per:g}s" if per else "at once"


@dataclass(frozen=True)
class Forecast:
    """What waits for an account's tenant, and by when (UTC) it is all posted."""

    tenant: str
    account: str
    """The first account of the tenant, as `shop/name`."""
    customers: int
    invoices: int
    calls: int
    by: datetime

    def sentence(self) -> str:
        """For people."""
        return (
            f"{self.account}: {self.invoices:,} invoices wait, all posted by {self.by:%d %b %H:%M} UTC at the account's"
            f" quota ({self.calls:,} calls)"
        )


def forecasts(at: datetime) -> list[Forecast]:
    """For each tenant of the configuration whose invoices wait, at this time. Where Redis is away, as if no quota had
    been used yet. Raises `StoreError`."""
    found = []
    rows, lately = waiting(runtime.store()), seconds_a_call(runtime.store())
    first = {ref.tenant: ref for ref in reversed(list(runtime.config().accounts()))}
    for tenant in sorted(rows.keys() & first.keys()):
        ref, customers, invoices = first[tenant], rows[tenant]["customer"], rows[tenant]["invoice"]
        calls = calls_for(ref.platform, customers, invoices, ref.account.bulk)
        lasts = all_posted_in(ref.facts, calls, _taken(tenant, ref.facts), lately.get(tenant, SECONDS))
        if invoices:
            found.append(Forecast(tenant, str(ref), customers, invoices, calls.all, at + lasts))
    return found


def _taken(tenant: str, facts: Facts) -> dict[str, list[float]]:
    try:
        return limits.taken(tenant, facts)
    except (redis.RedisError, ConfigError):
        return {}
