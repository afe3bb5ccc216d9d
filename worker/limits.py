"""Quotas of a platform tenant, shared by all workers through Redis, and the circuit breaker.

A permit is one call. It occupies a slot in each of the tenant's windows from before the call leaves until the
window's length after its answer came: so whenever the call arrived in between, no window of the platform's own
ever sees one call too many. Several windows and the concurrency are taken in one step, several permits at once.

Redis lost means permits lost: that may earn a 429, never a second invoice. Redis away means no permit.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import redis

from connectors.errors import Throttled
from connectors.platforms.facts import Facts
from worker import runtime, testpoints
from worker.store.ids import new_id

log = logging.getLogger(__name__)

PATIENCE = 1.0
"""Seconds a call waits for a further permit when its batch's permits are used up."""
BREAKS_AFTER = 5
"""Failures in a row that open the breaker; then it stays open 5 s, 10 s, 20 s … up to five minutes."""

_TAKE = """
local now = tonumber(redis.call('TIME')[1]) + tonumber(redis.call('TIME')[2]) / 1000000
local paused = redis.call('PTTL', KEYS[1])
if paused > 0 then return {0, tostring(paused / 1000)} end
local want, hold = tonumber(ARGV[1]), tonumber(ARGV[2])
local wait = 0
for i = 2, #KEYS do
  redis.call('ZREMRANGEBYSCORE', KEYS[i], '-inf', now)
  local free = tonumber(ARGV[1 + (i - 1) * 2]) - redis.call('ZCARD', KEYS[i])
  if free < want then
    want = math.max(free, 0)
    if want == 0 then
      local first = redis.call('ZRANGE', KEYS[i], 0, 0, 'WITHSCORES')
      local left = first[2] and tonumber(first[2]) - now or 0
      local per = tonumber(ARGV[2 + (i - 1) * 2])
      -- the first slot may belong to a call in flight: nobody knows when it ends, so ask again soon
      wait = math.max(wait, left > per and 0.2 or left)
    end
  end
end
for i = 2, #KEYS do
  local per = tonumber(ARGV[2 + (i - 1) * 2])
  for n = 1, want do
    redis.call('ZADD', KEYS[i], now + hold + per, ARGV[#ARGV] .. ':' .. n)
  end
  if want > 0 then redis.call('PEXPIRE', KEYS[i], math.ceil((hold + per) * 1000)) end
end
return {want, tostring(wait)}
"""
_RELEASE = """
local now = tonumber(redis.call('TIME')[1]) + tonumber(redis.call('TIME')[2]) / 1000000
for i = 1, #KEYS do
  local per = tonumber(ARGV[i])
  for n = #KEYS + 2, #ARGV do
    if per > 0 and ARGV[#KEYS + 1] == 'used' then
      redis.call('ZADD', KEYS[i], 'XX', now + per, ARGV[n])
    else
      redis.call('ZREM', KEYS[i], ARGV[n])
    end
  end
end
return 0
"""


@dataclass
class Permits:
    """Some calls a tenant may make now. `wait`: with none granted, seconds until it is worth asking again."""

    tenant: str
    facts: Facts
    free: list[str]
    wait: float
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def granted(self) -> int:
        return len(self.free)

    @contextmanager
    def call(self) -> Iterator[None]:
        """Around one call: uses up a permit. Raises `Throttled` (nothing sent) when the quota gives no more."""
        permit = self._next()
        try:
            yield
        finally:
            _release(self.tenant, self.facts, [permit], used=True)

    def _next(self) -> str:
        until = time.monotonic() + PATIENCE
        while True:
            with self._lock:
                if self.free:
                    return self.free.pop()
            more = take(self.tenant, self.facts, 1)
            if more.free:
                return more.free.pop()
            if time.monotonic() + more.wait > until:
                raise Throttled("the account's quota is used up for now", retry_after=more.wait)
            time.sleep(min(max(more.wait, 0.01), PATIENCE))

    def give_back(self) -> None:
        """Returns what was not used."""
        with self._lock:
            unused, self.free = self.free, []
        if unused:
            _release(self.tenant, self.facts, unused, used=False)


_here = threading.local()


@contextmanager
def using(permits: Permits) -> Iterator[None]:
    """Calls of this thread draw on these permits."""
    _here.permits = permits
    try:
        yield
    finally:
        _here.permits = None


@contextmanager
def call() -> Iterator[None]:
    """What platforms enter around every call."""
    permits: Permits | None = getattr(_here, "permits", None)
    if permits is None:
        yield
        return
    with permits.call():
        yield


def take(tenant: str, facts: Facts, want: int) -> Permits:
    """Up to `want` permits, none when the tenant is paused or Redis is away."""
    batch = new_id()
    limits = _limits(facts)
    numbers = [value for calls, per in limits for value in (calls, per)]
    keys = [_key(tenant, "pause"), *_window_keys(tenant, facts)]
    if testpoints.without("quota"):
        return Permits(tenant, facts, [f"{batch}:{n}" for n in range(want)], 0.0)
    try:
        script = runtime.redis_client().register_script(_TAKE)
        granted, wait = script(keys=keys, args=[want, _hold(facts), *numbers, batch])
    except redis.RedisError as error:
        log.warning("no permits for %s: %s", tenant, error)
        return Permits(tenant, facts, [], 2.0)
    return Permits(tenant, facts, [f"{batch}:{n}" for n in range(1, int(granted) + 1)], float(wait))


def _hold(facts: Facts) -> float:
    """Seconds for which a permit is kept for a worker that may have died with it."""
    timing = runtime.config().billhook.timing
    return (timing.deadline or facts.deadline) + 2 * timing.lease_margin


def _release(tenant: str, facts: Facts, permits: list[str], *, used: bool) -> None:
    pers = [per for _, per in _limits(facts)]
    try:
        script = runtime.redis_client().register_script(_RELEASE)
        script(keys=_window_keys(tenant, facts), args=[*pers, "used" if used else "unused", *permits])
    except redis.RedisError as error:
        log.warning("permits of %s not returned, they expire by themselves: %s", tenant, error)


def _limits(facts: Facts) -> list[tuple[int, float]]:
    return [(facts.concurrent, 0.0), *((quota.calls, quota.per.total_seconds()) for quota in facts.quotas)]


def _window_keys(tenant: str, facts: Facts) -> list[str]:
    return [_key(tenant, f"{calls}/{per:g}s") for calls, per in _limits(facts)]


def _key(tenant: str, what: str) -> str:
    return f"billhook:limit:{tenant}:{what}"


def pause(tenant: str, seconds: float) -> None:
    """Nobody gets a permit of the tenant for that long (a 429 said so, or the breaker is open). Never shortens."""
    key = _key(tenant, "pause")
    try:
        client = runtime.redis_client()
        if client.pttl(key) < seconds * 1000:
            client.set(key, "1", px=max(1, int(seconds * 1000)))
    except redis.RedisError as error:
        log.warning("%s cannot be paused: %s", tenant, error)


def failed(tenant: str) -> None:
    """A call could not be made at all; enough of them in a row open the breaker."""
    try:
        count = int(runtime.redis_client().incr(_key(tenant, "failures")))
    except redis.RedisError:
        return
    if count >= BREAKS_AFTER:
        seconds = min(300.0, 5.0 * 2 ** min(count - BREAKS_AFTER, 6))
        log.warning("%s: %d calls failed in a row, nothing is sent for %.0f s", tenant, count, seconds)
        pause(tenant, seconds)


def worked(tenant: str) -> None:
    """A call was answered: the breaker closes."""
    try:
        runtime.redis_client().delete(_key(tenant, "failures"))
    except redis.RedisError as error:
        log.debug("breaker of %s not reset: %s", tenant, error)
