"""`billhook bench backlog`: whether the cost of an event grows with the number of those that wait.

The events are accepted with the workers stopped, in arrays; then the workers start and drain them. The rate is counted
from the first event that a worker takes to the last invoice that is committed as issued, by the store's own times.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any

from sqlalchemy import func, select

from tests.bench import contest
from tests.bench.contest import Contestant
from tests.bench.database import Server, postgresql
from tests.bench.pipeline import PATIENCE, accept
from tests.bench.world import Bench, BenchError, control, median
from worker.store.engine import Store
from worker.store.figures import figures, issuing
from worker.store.schema import invoices

LOOKS = 0.5
"""Seconds between two questions to the stub; the store is left in peace while it works."""


def measure(
    *, sizes: Sequence[int], stores: Sequence[str], case: str, runs: int, workers: int, database_url: str | None,
    say: Callable[[str], None],
) -> dict[str, Any]:  # fmt: skip
    """Drains backlogs of each size on each store `runs` times; medians, and ratios to the smallest of that store.

    `case` is single or bulk. Raises `BenchError` unless each order ends with exactly one invoice, and `StartError`.
    """
    found: dict[tuple[str, int], list[dict[str, Any]]] = {}
    with postgresql(database_url) if contest.POSTGRESQL in stores else nullcontext(Server("")) as server:
        for number in range(1, runs + 1):
            for store in stores:
                for size in sorted(sizes):
                    say(f"run {number} of {runs}: {size:,} events on {store}")
                    result = _drain(Contestant(contest.OURS, case, store, workers), server, size)
                    found.setdefault((store, size), []).append(result)
    return {
        "what": "backlog",
        "case": case,
        "runs": runs,
        "workers": workers,
        "cores": os.cpu_count(),
        "load_average": [round(load, 2) for load in os.getloadavg()],
        "results": _rows(found),
    }


def _drain(one: Contestant, server: Server, size: int) -> dict[str, Any]:
    with one.running(server, start_workers=False) as side:
        assert isinstance(side, Bench)
        began = time.monotonic()
        accept(side, size)
        accepting = time.monotonic() - began
        side.machine.start_workers()
        side.cpu_begins()
        _until_created(side, size)
        store = Store(side.store_url)
        try:
            _until_recorded(store, size)
            first, last = issuing(store)
            half = (last - first) / 2
            later = select(func.count()).select_from(invoices).where(invoices.c.issued_at > first + half)
            with store.read() as connection:
                second_half = int(connection.execute(later).scalar_one())
        finally:
            store.close()
        cpu, others = side.cpu_used(), side.others()
        side.platform_calls(size)
        return {
            "rate": size / (last - first).total_seconds(),
            "second_half": second_half / half.total_seconds(),
            "accepting": accepting,
            "seconds": (last - first).total_seconds(),
            "cpu": {name: 1000 * spent / size for name, spent in cpu.items()},
            "others": others,
            "memory": side.memory(),
        }


def _until_created(side: Bench, size: int) -> None:
    seen, since = -1, time.monotonic()
    while seen < size:
        side.look()
        count = control(side.platform_port, "GET", "/_stub/report")["invoices"]
        if count != seen:
            seen, since = count, time.monotonic()
        if time.monotonic() - since > PATIENCE:
            raise BenchError(f"{seen} of {size} invoices were created, and no further one for {PATIENCE:.0f} s")
        time.sleep(LOOKS)


def _until_recorded(store: Store, size: int) -> None:
    since = time.monotonic()
    while (issued := figures(store).issued) < size:
        if time.monotonic() - since > PATIENCE:
            raise BenchError(f"{issued} of {size} invoices are recorded as issued")
        time.sleep(LOOKS)


def _rows(found: dict[tuple[str, int], list[dict[str, Any]]]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for (store, size), results in found.items():
        rate = median([result["rate"] for result in results])
        smallest = next((row["invoices_per_second"] for row in rows if row["store"] == store), rate)
        rows.append(
            {
                "store": store,
                "orders": size,
                "invoices_per_second": rate,
                "second_half_per_second": median([result["second_half"] for result in results]),
                "ratio": round(rate / smallest, 3),
                "seconds": median([result["seconds"] for result in results]),
                "seconds_to_accept": median([result["accepting"] for result in results]),
                "cpu_ms_per_invoice": {
                    name: median([result["cpu"].get(name, 0.0) for result in results]) for name in results[0]["cpu"]
                },
                "memory_mib": results[-1]["memory"],
                "others_cores": [result["others"] for result in results],
                "each_run": [round(result["rate"], 1) for result in results],
            }
        )
    return rows
