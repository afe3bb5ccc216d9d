"""What concerns all processes together, as Prometheus reads it: the store, the queues, the quotas, the workers.

Asked when somebody scrapes, at most every few seconds, and at most a twentieth of the time: a scrape burdens nobody.
A part that is away is said to be (`billhook_up`), and its figures are left out; the others are there.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import ClassVar, Generic, TypeVar

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from worker import limits, pulse, runtime
from worker.accounts import accounts
from worker.queues import RECURRING, queue_names
from worker.store.gauges import Gauges, gauges
from worker.store.inbox import asking

log = logging.getLogger(__name__)
T = TypeVar("T")

LEAST = 3.0
"""Seconds for which an answer is used again."""
SHARE = 20
"""An answer that took long is used for this many times as long."""
PATIENCE = 2.0
"""Seconds a scrape waits for an answer; after that it gets the one before."""
HANGS = 30.0
"""Seconds after which a part that does not answer counts as away."""

METRICS: dict[str, tuple[str, tuple[str, ...]]] = {
    "billhook_up": ("1 if this part answers, 0 if it is away.", ("part",)),
    "billhook_due_rows": ("Rows that could be worked on now.", ("queue", "shop", "account")),
    "billhook_later_rows": ("Rows that are due at a later time.", ("queue", "shop", "account")),
    "billhook_oldest_due_seconds": ("How long the oldest of the due rows has waited.", ("queue", "shop", "account")),
    "billhook_rows": ("Unfinished rows on their way.", ("kind", "state")),
    "billhook_stopped_rows": ("Rows that stopped, or are in doubt.", ("kind", "state", "shop", "account")),
    "billhook_inbox_unhandled": ("Events accepted that no worker has taken yet.", ()),
    "billhook_inbox_oldest_seconds": ("The age of the oldest of them.", ()),
    "billhook_unsealed_entries": ("Entries of the trail that are not sealed yet.", ()),
    "billhook_unsealed_oldest_seconds": ("The age of the oldest of them.", ()),
    "billhook_on_hold": ("1 if the platform refuses this account's credentials.", ("platform", "shop", "account")),
    "billhook_queue_messages": ("Messages in a queue of Redis.", ("queue",)),
    "billhook_quota_left": ("Calls that a quota allows now.", ("platform", "shop", "account", "window")),
    "billhook_breaker_open": (
        "1 while nothing is sent because calls failed in a row.",
        ("platform", "shop", "account"),
    ),
    "billhook_paused_seconds": ("For how long nothing is sent: breaker, or a 429.", ("platform", "shop", "account")),
    "billhook_worker_heartbeat_seconds": ("Since this worker last reached Redis.", ("worker",)),
}


class Kept(Generic[T]):
    """An answer that is asked for anew when it is old, by one thread of its own."""

    def __init__(self, ask: Callable[[], T], least: float = LEAST) -> None:
        self._ask, self._least = ask, least
        self._lock = threading.Lock()
        self._done = threading.Event()
        self._began: float | None = None
        """When the question that is under way was asked."""
        self._again = 0.0
        self._answer: T | None = None

    def get(self) -> T | None:
        """The newest answer; None where the last question failed, or hangs."""
        with self._lock:
            if self._began is None and time.monotonic() >= self._again:
                self._began = time.monotonic()
                self._done.clear()
                threading.Thread(target=self._run, args=(self._began,), name="gauges", daemon=True).start()
        if self._began is not None:
            self._done.wait(PATIENCE)
        with self._lock:
            hangs = self._began is not None and time.monotonic() - self._began > HANGS
            return None if hangs else self._answer

    def _run(self, began: float) -> None:
        answer: T | None = None
        try:
            answer = self._ask()
        except Exception as error:  # whatever the part raises that is away: it is shown as such
            log.debug("metrics: %s", error)
        took = time.monotonic() - began
        with self._lock:
            self._answer, self._began = answer, None
            self._again = time.monotonic() + max(self._least, took * SHARE)
        self._done.set()


@dataclass(frozen=True, slots=True)
class Doorbells:
    """Redis at one moment."""

    queues: dict[str, int]
    tenants: dict[str, limits.State]
    workers: dict[str, float]


class Shared(Collector):
    """All of it; `store` False asks only whether the two parts answer."""

    def __init__(self, everything: bool = True) -> None:
        self._everything = everything
        self._store: Kept[Gauges | bool] = Kept(_store if everything else _store_answers)
        self._redis: Kept[Doorbells | bool] = Kept(_redis if everything else _redis_answers, least=1.0)

    def collect(self) -> Iterator[Metric]:
        store, doorbells = self._store.get(), self._redis.get()
        yield _family("billhook_up", [(("store",), float(bool(store))), (("redis",), float(bool(doorbells)))])
        if not self._everything:
            return
        yield from _of_store(store if isinstance(store, Gauges) else None)
        yield from _of_redis(doorbells if isinstance(doorbells, Doorbells) else None)


class OfIngest(Collector):
    """What one ingest has answered, by word: accepted, duplicate, conflict, invalid, unauthorized …"""

    NAMES: ClassVar = {
        "billhook_ingest_answers": ("Events and requests by how they were answered.", ("answer",)),
        "billhook_ingest_waiting": ("Events that wait for a commit.", ()),
    }

    def __init__(self, counters: dict[str, int], waiting: Callable[[], int]) -> None:
        self._counters, self._waiting = counters, waiting

    def collect(self) -> Iterator[Metric]:
        text, labels = self.NAMES["billhook_ingest_answers"]
        answers = CounterMetricFamily("billhook_ingest_answers", text, labels=labels)
        for word, count in list(self._counters.items()):
            answers.add_metric([word], count)
        yield answers
        yield GaugeMetricFamily(
            "billhook_ingest_waiting", self.NAMES["billhook_ingest_waiting"][0], value=self._waiting()
        )


Samples = list[tuple[tuple[str, ...], float]]


def _family(name: str, samples: Samples) -> Metric:
    text, labels = METRICS[name]
    family = GaugeMetricFamily(name, text, labels=labels)
    for values, value in samples:
        family.add_metric(values, value)
    return family


def _store() -> Gauges:
    return gauges(runtime.store(), runtime.inbox())


def _store_answers() -> bool:
    with asking(), runtime.store().read():
        return True


def _redis_answers() -> bool:
    return bool(runtime.redis_client().ping())


def _redis() -> Doorbells:
    client = runtime.redis_client()
    pipe = client.pipeline(transaction=False)
    names = [*queue_names(), RECURRING]
    for name in names:
        pipe.llen(f"billhook:{name}")
    lengths = pipe.execute()
    tenants = {ref.tenant: ref.facts for ref in accounts().values()}
    return Doorbells(dict(zip(names, lengths, strict=True)), limits.state(tenants), pulse.ages())


def _of_store(asked: Gauges | None) -> Iterator[Metric]:
    def family(name: str, samples: Callable[[Gauges], Samples]) -> Metric:
        return _family(name, samples(asked) if asked else [])

    yield family("billhook_due_rows", lambda g: [(_whose(*at), w.due) for at, w in g.waiting.items()])
    yield family("billhook_later_rows", lambda g: [(_whose(*at), w.later) for at, w in g.waiting.items()])
    yield family("billhook_oldest_due_seconds", lambda g: [(_whose(*at), w.oldest) for at, w in g.waiting.items()])
    yield family("billhook_rows", lambda g: [*g.on_the_way.items()])
    yield family("billhook_stopped_rows", lambda g: [*g.stopped.items()])
    yield family("billhook_inbox_unhandled", lambda g: [((), g.inbox[0])])
    yield family("billhook_inbox_oldest_seconds", lambda g: [((), g.inbox[1])])
    yield family("billhook_unsealed_entries", lambda g: [((), g.unsealed[0])])
    yield family("billhook_unsealed_oldest_seconds", lambda g: [((), g.unsealed[1])])
    yield family("billhook_on_hold", lambda g: [(who, float(t in g.on_hold)) for who, t in _accounts()])


def _of_redis(asked: Doorbells | None) -> Iterator[Metric]:
    def family(name: str, samples: Callable[[Doorbells], Samples]) -> Metric:
        return _family(name, samples(asked) if asked else [])

    yield family("billhook_queue_messages", lambda d: [((name,), count) for name, count in d.queues.items()])
    yield family(
        "billhook_quota_left",
        lambda d: [((*who, window), n) for who, t in _accounts() for window, n in d.tenants[t].left.items()],
    )
    yield family("billhook_breaker_open", lambda d: [(who, float(d.tenants[t].broken)) for who, t in _accounts()])
    yield family("billhook_paused_seconds", lambda d: [(who, d.tenants[t].paused) for who, t in _accounts()])
    yield family("billhook_worker_heartbeat_seconds", lambda d: [((name,), age) for name, age in d.workers.items()])


def _accounts() -> list[tuple[tuple[str, str, str], str]]:
    """(platform, shop, account) and tenant, of every account."""
    return [((ref.account.platform, ref.shop, ref.name), ref.tenant) for ref in accounts().values()]


def _whose(queue: str, tenant: str, shop: str) -> tuple[str, str, str]:
    """The labels of a group of rows: which account of the shop leads to the tenant (several: all of their names)."""
    names = sorted(ref.name for ref in accounts().values() if (ref.shop, ref.tenant) == (shop, tenant))
    return queue, shop, ",".join(names)
