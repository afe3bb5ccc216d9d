"""`billhook bench quotas`: a day of orders against the platforms' quotas, in virtual time.

All orders wait from the start. The pipeline's own code runs in this process: tasks, limiter, connectors, a store and
a Redis; the platform is the emulator with its vendor's limits. Only time is made up: it is moved on to the next
moment at which anything can happen (`tests.bench.virtual`).
"""

from __future__ import annotations

import os
import sqlite3
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any
from unittest.mock import Mock, patch

from connectors.sandbox.base import emulators
from tasks import create_invoices as creating
from tasks import handle_events as handling
from tests.bench.platform_side import Door
from tests.bench.virtual import Clerk, Virtual
from tests.bench.world import BenchError, event
from tests.kit.inside import configured_by
from tests.kit.redis_server import RedisServer
from worker import accounts, forecast, limits, runtime
from worker.store import jobs
from worker.store.due import soonest
from worker.store.figures import figures, issuing
from worker.store.inbox import Arrival, Inbox
from worker.store.migrate import prepare

PLATFORMS = ("xero", "quickbooks", "zoho_books", "cin7_core", "bill_com")
ORDERS_A_CUSTOMER = 4
WARM = 20
"""Orders before the day, by which it is known what a call takes."""
START = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)
TASKS = 2
"""Tasks that a worker process spends on one account."""
DISPATCH_EVERY = 2.0
SHOP = "myshop"
"""As in the emulators' samples."""
_TIMES = (
    "tasks.create_invoices",
    "tasks.turn",
    "tasks.attempt",
    "worker.credentials",
    "worker.intending",
    "connectors.http",
)
_DATES = (
    "worker.store.jobs",
    "worker.store.trail",
    "connectors.auth",
    "connectors.http",
)
CLOCK = "billhook:bench:now"
_TOML = """\
[billhook]
data_dir = "{folder}"
redis_url = "{redis}"
[shop.myshop]
api_key = "myshop-key-0123456789"
[shop.myshop.account.{slug}]
platform = "{slug}"
base_url = "http://127.0.0.1:9/{slug}"
{sample}
"""


def measure(*, orders: int, platforms: Sequence[str], latency_ms: int) -> dict[str, Any]:
    """Lets so many orders be invoiced on each platform, a process each; a call takes `latency_ms` there.

    Returns a row a platform. Says on stderr what is expected, and what came. Raises `BenchError` unless each platform
    has exactly one invoice an order in its books.
    """
    begun = perf_counter()
    several = get_context("spawn")  # what is changed for virtual time is changed for a whole process
    with ProcessPoolExecutor(os.cpu_count(), mp_context=several, max_tasks_per_child=1) as pool:
        results = list(pool.map(_one, platforms, [orders] * len(platforms), [latency_ms / 1000] * len(platforms)))
    return {
        "what": "quotas",
        "orders": orders,
        "customers": customers(orders),
        "latency_ms": latency_ms,
        "cores": os.cpu_count(),
        "took_seconds": round(perf_counter() - begun, 1),
        "results": results,
    }


def _one(slug: str, orders: int, latency: float) -> dict[str, Any]:
    with TemporaryDirectory(prefix="billhook-bench-") as folder:
        return Day(Path(folder), slug, orders, latency).run()


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def customers(orders: int) -> int:
    """How many customers so many orders come from."""
    return -(-orders // ORDERS_A_CUSTOMER)


@dataclass
class Day:
    """One platform's day."""

    folder: Path
    slug: str
    orders: int
    latency: float
    permits_from: float = 0.0
    """Since permits were refused: when they are free again."""

    def run(self) -> dict[str, Any]:
        """The row of this platform. Raises `BenchError`."""
        redis = RedisServer(self.folder / "redis").start()
        try:
            file = self.folder / "billhook.toml"
            sample = emulators()[self.slug].sample
            file.write_text(_TOML.format(folder=self.folder, redis=redis.url, slug=self.slug, sample=sample))
            with configured_by(file):
                prepare(runtime.store(), runtime.inbox())
                clock = Virtual(START.timestamp(), lambda now: runtime.redis_client().set(CLOCK, repr(now)))
                self.door = self._door(clock)
                with self._living_by(clock):
                    return self._day(clock)
        finally:
            redis.stop()

    def _door(self, clock: Virtual) -> Door:
        books = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        emulator = emulators()[self.slug](books, lambda: clock.now)
        (ref,) = accounts.accounts().values()
        return Door(emulator, clock, self.latency, ref.facts.concurrent)

    def _day(self, clock: Virtual) -> dict[str, Any]:
        self._accept(clock, range(self.orders, self.orders + WARM))
        self._work(clock)
        self.door.begin()
        began = jobs.now()
        self._accept(clock, range(self.orders))
        (expected,) = forecast.forecasts(began)
        _say(expected.sentence())
        self._work(clock)
        self._check()
        _, came = issuing(runtime.store())
        _say(f"{SHOP}/{self.slug}: all posted by {came:%d %b %H:%M} UTC")
        return {
            "platform": self.slug,
            **self.door.report(),
            "calls_per_invoice": round(len(self.door.calls) / self.orders, 3),
            "began": began.isoformat(),
            "predicted": expected.by.isoformat(),
            "came": came.isoformat(),
            "off": round((came - expected.by) / (came - began), 4),
        }

    def _check(self) -> None:
        states, booked = figures(runtime.store()).invoice_states, self.door.emulator.ledger()
        every = self.orders + WARM
        if states != {"issued": every} or {len(booked), len({entry.reference for entry in booked})} != {every}:
            raise BenchError(f"{self.slug}: {every} orders, {len(booked)} invoices in the books; states: {states}")

    def _accept(self, clock: Virtual, numbers: range) -> None:
        """The events of these orders, as ingest commits them, and what `handle_events` makes of them."""
        inbox, many = Inbox(runtime.inbox()), customers(self.orders)
        received = datetime.fromtimestamp(clock.now - 1, UTC)
        inbox.accept([
            Arrival(
                SHOP, "api", f"evt-{number}", "standard", "order.fulfilled", f"SO-{number}", event(number, many),
                received_at=received,
            )
            for number in numbers
        ])  # fmt: skip
        while handling._turn() is not None:
            pass

    def _work(self, clock: Virtual) -> None:
        for _ in range(TASKS):
            clock.start(lambda: self._task(clock))
        clock.run()

    def _task(self, clock: Virtual) -> None:
        """What a worker does for the tenant, as often as dispatch rings."""
        (tenant,) = {ref.tenant for ref in accounts.accounts().values()}
        while True:
            if creating._once(tenant) is not None:
                continue
            if not figures(runtime.store()).on_the_way:
                return
            clock.sleep(self._next_ring(clock, tenant) - clock.now)

    def _next_ring(self, clock: Virtual, tenant: str) -> float:
        """When dispatch rings after the next moment at which a permit is free and a row is due."""
        with runtime.store().read() as connection:
            due = soonest(connection, f"invoices.{self.slug}", tenant)
        ready = max(due.timestamp() if due else 0.0, self.permits_from, clock.now)
        rounds = (ready - START.timestamp()) // DISPATCH_EVERY + 1
        return START.timestamp() + rounds * DISPATCH_EVERY

    @contextmanager
    def _living_by(self, clock: Virtual) -> Iterator[None]:
        """Tasks, limiter, store, connectors and the platform live by the clock; the doors lead to the platform."""
        clerk = Clerk(clock)
        with ExitStack() as patched:
            for name in _TIMES:
                patched.enter_context(patch(f"{name}.time", clock.time()))
            for name in _DATES:
                patched.enter_context(patch(f"{name}.datetime", clock.datetime()))
            for what, instead in {
                "tasks.turn.bells": Mock(),  # nobody rings: the tasks are there
                "tasks.handle_events.bells": Mock(),
                "tasks.calls.wait": clock.wait,
                "tasks.calls.pool": lambda: clock,
                "worker.limits._clerk": lambda: clerk,
                "worker.limits.Future": clock,
                "worker.limits.take": self._noted(clock),
                "worker.limit_scripts.NOW": f"local now = tonumber(redis.call('GET', '{CLOCK}'))",
                "connectors.http._watchdog": Mock(),
                "connectors.http.Http._adapter": lambda _: self.door,
            }.items():
                patched.enter_context(patch(what, instead))
            limits.line.cache_clear()
            yield
            limits.line.cache_clear()

    def _noted(self, clock: Virtual) -> Callable[..., limits.Permits]:
        """`limits.take`, which notes when permits are free again."""
        take = limits.take

        def taken(tenant: str, facts: Any, want: int) -> limits.Permits:
            permits = take(tenant, facts, want)
            self.permits_from = 0.0 if permits.granted else clock.now + permits.wait
            return permits

        return taken
