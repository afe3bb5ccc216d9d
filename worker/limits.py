"""Quotas of a platform tenant, shared by all workers through Redis, and the circuit breaker.

A permit is one call. It occupies a slot in each of the tenant's windows from before the call leaves until the
window's length after its answer came: so whenever the call arrived in between, no window of the platform's own
ever sees one call too many. Several windows and the concurrency are taken in one step, several permits at once.

Redis lost means permits lost: that may earn a 429, never a second invoice. Redis away means no permit.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import cache

import redis

from connectors.errors import Throttled
from connectors.platforms.facts import Facts
from worker import limit_scripts as scripts
from worker import runtime, testpoints
from worker.store.ids import new_id

log = logging.getLogger(__name__)

PATIENCE = 5.0
"""Seconds a call waits in the line for a further permit when its batch's permits are used up."""
SOON = 0.02
"""Seconds after which a line that is not empty is served again at the earliest."""
BREAKS_AFTER = 5
"""Failures in a row that open the breaker; then it stays open 5 s, 10 s, 20 s … up to five minutes."""


@dataclass
class Permits:
    """Some calls a tenant may make now. `wait`: with none granted, seconds until it is worth asking again."""

    tenant: str
    facts: Facts
    free: list[str]
    wait: float
    room: int = 0
    """How many calls the quotas leave beyond these, at the moment."""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def granted(self) -> int:
        return len(self.free)

    @contextmanager
    def call(self, kind: str = "") -> Iterator[None]:
        """Around one call: uses up a permit; where its `kind` has a quota of its own, one of these too. Raises
        `Throttled` (nothing sent) when a quota gives no more."""
        with self._lock:
            permit = self.free.pop() if self.free else None
        if permit is None:
            permit = line(self.tenant, self.facts).next()
        try:
            with _kind_of_call(self.tenant, self.facts, kind):
                yield
        finally:
            line(self.tenant, self.facts).put_back(permit)

    def give_back(self) -> None:
        """Returns what was not used; on return what was used is accounted for too."""
        with self._lock:
            unused, self.free = self.free, []
        if unused:
            _release(self.tenant, self.facts, unused, used=False)
        line(self.tenant, self.facts).settle()


class Line:
    """Where the calls of this process wait for further permits of a tenant, first come, first served.

    One question to Redis serves all who wait, and one message returns all permits that have been used meanwhile.
    """

    def __init__(self, tenant: str, facts: Facts) -> None:
        self.tenant, self.facts = tenant, facts
        self._lock = threading.Lock()
        self._waiting: deque[Future[str]] = deque()
        self._used: list[str] = []
        self._returning = False
        """Whether the clerk is on the way with what was used."""
        self._asked: list[Future[None]] = []
        self._wait = 0.0

    @property
    def waiting(self) -> bool:
        """Whether anybody stands here: whoever begins something new comes after them."""
        return bool(self._waiting)

    def next(self) -> str:
        """A permit. Raises `Throttled` when there is none within the patience."""
        mine: Future[str] = Future()
        with self._lock:
            self._waiting.append(mine)
        _clerk().serve(self)
        try:
            return mine.result(PATIENCE)
        except TimeoutError:
            if not mine.cancel():
                return mine.result()  # it came in the last moment
            raise Throttled("the account's quota is used up for now", retry_after=self._wait) from None

    def put_back(self, permit: str) -> None:
        """Says that the call is over; does not wait."""
        with self._lock:
            self._used.append(permit)
        _clerk().serve(self)

    def settle(self) -> None:
        """Waits until what was put back is accounted for: the process may end after this."""
        done: Future[None] = Future()
        with self._lock:
            if not self._used and not self._returning:
                return
            self._asked.append(done)
        _clerk().serve(self)
        with suppress(TimeoutError):
            done.result(PATIENCE)

    def serve(self) -> float | None:
        """For the clerk: returns what was used, hands out what there is. Seconds until the next round; None: none."""
        with self._lock:
            used, self._used = self._used, []
            asked, self._asked = self._asked, []
            want = len(self._waiting)
            self._returning = bool(used)
        if used:
            _release(self.tenant, self.facts, used, used=True)
            self._returning = False
        for done in asked:
            done.set_result(None)
        if not want:
            return None
        permits = take(self.tenant, self.facts, want)
        self._wait = permits.wait
        with self._lock:
            while self._waiting and (permits.free or self._waiting[0].cancelled()):
                first = self._waiting.popleft()
                if first.set_running_or_notify_cancel():
                    first.set_result(permits.free.pop())
            left = bool(self._waiting)
        if permits.free:
            _release(self.tenant, self.facts, permits.free, used=False)
        return min(max(permits.wait, SOON), PATIENCE) if left else None


class _Clerk:
    """One thread that serves every line of this process."""

    def __init__(self) -> None:
        self._calls: queue.SimpleQueue[Line] = queue.SimpleQueue()
        threading.Thread(target=self._run, name="permits", daemon=True).start()

    def serve(self, line: Line) -> None:
        self._calls.put(line)

    def _run(self) -> None:
        again: dict[Line, float] = {}
        while True:
            called = self._next(min(again.values(), default=None))
            now = time.monotonic()
            for one in called | {one for one, at in again.items() if at <= now}:
                again.pop(one, None)
                try:
                    pause = one.serve()
                except Exception:  # whoever waits gives up by itself; the others must not stand still for it
                    log.exception("the line for permits of %s could not be served", one.tenant)
                    pause = 1.0
                if pause is not None:
                    again[one] = time.monotonic() + pause

    def _next(self, until: float | None) -> set[Line]:
        called: set[Line] = set()
        with suppress(queue.Empty):
            called.add(self._calls.get(timeout=None if until is None else max(0.0, until - time.monotonic())))
            while True:
                called.add(self._calls.get_nowait())
        return called


@cache
def _clerk() -> _Clerk:
    return _Clerk()


@cache
def line(tenant: str, facts: Facts) -> Line:
    """The process's own line for the tenant."""
    return Line(tenant, facts)


@contextmanager
def _kind_of_call(tenant: str, facts: Facts, kind: str) -> Iterator[None]:
    """A permit of the quotas that count calls of this kind only; they stand beside the tenant's as another tenant's."""
    quotas = tuple(replace(quota, of="") for quota in facts.quotas if kind and quota.of == kind)
    if not quotas:
        yield
        return
    waiting = line(f"{tenant}:{kind}", replace(facts, quotas=quotas))
    permit = waiting.next()
    try:
        yield
    finally:
        waiting.put_back(permit)


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
def call(kind: str = "") -> Iterator[None]:
    """What platforms enter around every call, with its `Request.quota`."""
    permits: Permits | None = getattr(_here, "permits", None)
    if permits is None:
        yield
        return
    with permits.call(kind):
        yield


def take(tenant: str, facts: Facts, want: int) -> Permits:
    """Up to `want` permits, none when the tenant is paused or Redis is away."""
    batch = new_id()
    limits = _limits(facts)
    numbers = [value for calls, per in limits for value in (calls, per)]
    keys = [*_pause_keys(tenant, facts), *_window_keys(tenant, facts)]
    if testpoints.without("quota"):
        return Permits(tenant, facts, [f"{batch}:{n}" for n in range(want)], 0.0, want * 10)
    try:
        script = runtime.redis_client().register_script(scripts.NOW + scripts.TAKE)
        granted, wait, room = script(keys=keys, args=[want, _hold(facts), *numbers, batch])
    except redis.RedisError as error:
        log.warning("no permits for %s: %s", tenant, error)
        return Permits(tenant, facts, [], 2.0)
    return Permits(tenant, facts, [f"{batch}:{n}" for n in range(1, int(granted) + 1)], float(wait), int(room))


def _hold(facts: Facts) -> float:
    """Seconds for which a permit is kept for a worker that may have died with it."""
    timing = runtime.config().billhook.timing
    return (timing.deadline or facts.deadline) + 2 * timing.lease_margin


def _release(tenant: str, facts: Facts, permits: list[str], *, used: bool) -> None:
    pers = [per for _, per in _limits(facts)]
    try:
        script = runtime.redis_client().register_script(scripts.NOW + scripts.RELEASE)
        script(keys=_window_keys(tenant, facts), args=[*pers, "used" if used else "unused", *permits])
    except redis.RedisError as error:
        log.warning("permits of %s not returned, they expire by themselves: %s", tenant, error)


def _limits(facts: Facts) -> list[tuple[int, float]]:
    general = [(quota.calls, quota.per.total_seconds()) for quota in facts.quotas if not quota.of]
    return [(facts.concurrent, 0.0), *general]


def _window_keys(tenant: str, facts: Facts) -> list[str]:
    counted = _counted(tenant, facts)
    return [_key(counted, f"{calls}/{per:g}s") for calls, per in _limits(facts)]


def _pause_keys(tenant: str, facts: Facts) -> tuple[str, str]:
    """The pause of those who share the tenant's quotas, and that of its own breaker: it may be its tokens that fail."""
    return _key(_counted(tenant, facts), "pause"), _key(tenant, "broken")


def _counted(tenant: str, facts: Facts) -> str:
    """The tenant whose quotas these are: another one's with `Facts.quotas_of`."""
    return f"{facts.quotas_of}:{tenant.partition(':')[2]}" if facts.quotas_of else tenant


def _key(tenant: str, what: str) -> str:
    return f"billhook:limit:{tenant}:{what}"


def pause(tenant: str, facts: Facts, seconds: float) -> None:
    """Nobody who shares the tenant's quotas gets a permit for that long: a 429 said so. Never shortens."""
    _stay_away(_pause_keys(tenant, facts)[0], seconds)


def _stay_away(key: str, seconds: float) -> None:
    try:
        client = runtime.redis_client()
        if client.pttl(key) < seconds * 1000:
            client.set(key, "1", px=max(1, int(seconds * 1000)))
    except redis.RedisError as error:
        log.warning("%s cannot be kept: %s", key, error)


@dataclass(frozen=True, slots=True)
class State:
    """How a tenant stands: `left` calls by window ("60s", "at once"), seconds of pause, whether the breaker is open."""

    left: dict[str, int]
    paused: float
    broken: bool


def state(tenants: Mapping[str, Facts]) -> dict[str, State]:
    """How these tenants stand; only reads, in two questions for all. Raises `redis.RedisError`."""
    client = runtime.redis_client()
    seconds, micros = client.time()  # type: ignore[misc]
    pipe = client.pipeline(transaction=False)
    for tenant, facts in tenants.items():
        for key in _pause_keys(tenant, facts):
            pipe.pttl(key)
        pipe.get(_key(tenant, "failures"))
        for key in _window_keys(tenant, facts):
            pipe.zcount(key, float(seconds) + float(micros) / 1_000_000, "+inf")
    answers = iter(pipe.execute())
    found = {}
    for tenant, facts in tenants.items():
        paused, broken = (max(0, next(answers)) / 1000 for _ in range(2))
        failures = int(next(answers) or 0)
        left = {f"{per:g}s" if per else "at once": max(0, calls - next(answers)) for calls, per in _limits(facts)}
        found[tenant] = State(left, max(paused, broken), broken > 0 and failures >= BREAKS_AFTER)
    return found


def taken(tenant: str, facts: Facts) -> dict[str, list[float]]:
    """For each window of the tenant ("60s", "at once"), in how many seconds each of its slots that are taken is free
    again, soonest first. Only reads. Raises `redis.RedisError`."""
    script = runtime.redis_client().register_script(scripts.NOW + scripts.TAKEN)
    slots = script(keys=_window_keys(tenant, facts))
    names = [f"{per:g}s" if per else "at once" for _, per in _limits(facts)]
    return {name: [float(left) for left in found] for name, found in zip(names, slots, strict=True)}


def failed(tenant: str) -> None:
    """A call could not be made at all; enough of them in a row open the breaker."""
    try:
        count = int(runtime.redis_client().incr(_key(tenant, "failures")))
    except redis.RedisError:
        return
    if count >= BREAKS_AFTER:
        seconds = min(300.0, 5.0 * 2 ** min(count - BREAKS_AFTER, 6))
        said = {"tenant": tenant, "count": count, "seconds": seconds}
        log.warning("breaker opened: calls to %s failed in a row, nothing is sent for a while", tenant, extra=said)
        _stay_away(_key(tenant, "broken"), seconds)


def worked(tenant: str) -> None:
    """A call was answered: the breaker closes."""
    try:
        pipe = runtime.redis_client().pipeline(transaction=False)
        pipe.get(_key(tenant, "failures"))
        pipe.delete(_key(tenant, "failures"))
        failures, _ = pipe.execute()
        if int(failures or 0) >= BREAKS_AFTER:
            log.info("breaker closed: %s answers again", tenant, extra={"tenant": tenant})
    except redis.RedisError as error:
        log.debug("breaker of %s not reset: %s", tenant, error)
