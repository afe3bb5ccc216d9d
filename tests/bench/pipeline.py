"""`billhook bench pipeline`: events that are accepted already become invoices, as fast as the workers can.

The clock runs from the first event that a worker takes to the last invoice that is committed as issued, by the
store's own times. The invoices are counted where they count: on the platform.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from http.client import HTTPConnection
from typing import Any

from tests.bench.world import Bench, BenchError, circumstances, event, median, running

PATIENCE = 60.0
"""Seconds without a further invoice after which a run is given up."""
ORDERS_A_CUSTOMER = 20
AT_ONCE = 500


@dataclass(frozen=True)
class Case:
    """How a platform is used; `account` is TOML."""

    name: str
    platform: str
    account: str = ""


CASES = {
    case.name: case
    for case in (
        Case("single", "xero", "bulk = 1"),
        Case("bulk", "xero"),
        Case("steps", "stripe"),
    )
}
"""One call an invoice, 50 invoices a call, three calls an invoice."""


def measure(
    *, orders: int, runs: int, cases: Sequence[str], latencies: Sequence[int], workers: int, database_url: str | None
) -> dict[str, Any]:
    """Runs each case with each latency of the platform (ms) `runs` times, each time on a fresh machine.

    Returns medians: `invoices_per_second`, seconds, the platform's calls, CPU in ms an invoice by process. Raises
    `BenchError` when a run does not end with one invoice an order.
    """
    results = []
    for name in cases:
        for latency in latencies:
            found = [_run(CASES[name], orders, latency, workers, database_url) for _ in range(runs)]
            results.append(_summary(CASES[name], latency, found))
    return {
        "what": "pipeline",
        "orders": orders,
        "customers": customers(orders),
        "runs": runs,
        "workers": workers,
        **circumstances(database_url),
        "results": results,
    }


def customers(orders: int) -> int:
    """How many customers so many orders come from."""
    return -(-orders // ORDERS_A_CUSTOMER)


def _run(case: Case, orders: int, latency: int, workers: int, database_url: str | None) -> dict[str, Any]:
    from worker.store.engine import Store
    from worker.store.figures import issuing

    with running(
        platform=case.platform, account=case.account, workers=workers, database_url=database_url, start_workers=False,
        latency_ms=latency, stubbed=case.platform == "xero",
    ) as bench:  # fmt: skip
        accept(bench, orders)
        store = Store(bench.store_url)
        try:
            bench.machine.start_workers()
            bench.cpu_begins()
            until_issued(bench, store, orders)
            cpu = bench.cpu_used()
            began, ended = issuing(store)
        finally:
            store.close()
        calls = bench.platform_calls(orders)
    return {"seconds": (ended - began).total_seconds(), "calls": calls, "cpu": cpu, "orders": orders}


def accept(bench: Bench, orders: int) -> None:
    """Sends the orders' events in arrays, one after the other. Raises `BenchError` unless each is accepted."""
    connection = HTTPConnection("127.0.0.1", bench.port, timeout=60)
    headers = {"Authorization": f"Bearer {bench.api_key}", "Content-Type": "application/json"}
    for first in range(0, orders, AT_ONCE):
        some = (event(number, customers(orders)) for number in range(first, min(first + AT_ONCE, orders)))
        connection.request("POST", "/events", b"[" + b",".join(some) + b"]", headers)
        answer = connection.getresponse()
        answer.read()
        if answer.status != 202:
            raise BenchError(f"ingest answered {answer.status}")
    connection.close()


def until_issued(bench: Bench, store: Any, orders: int) -> None:
    """Returns when so many invoices are issued. Raises `BenchError` when there is no progress any more."""
    from worker.store.figures import figures

    last, since = -1, time.monotonic()
    while True:
        bench.look()
        seen = figures(store)
        if seen.issued >= orders:
            return
        if seen.issued != last:
            last, since = seen.issued, time.monotonic()
        if time.monotonic() - since > PATIENCE:
            raise BenchError(f"no further invoice for {PATIENCE:.0f} s; states: {seen.invoice_states}")
        time.sleep(0.2)


def _summary(case: Case, latency: int, found: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return {
        "case": case.name,
        "platform": case.platform,
        "latency_ms": latency,
        "invoices_per_second": median([run["orders"] / run["seconds"] for run in found]),
        "seconds": median([run["seconds"] for run in found]),
        "platform_calls": median([run["calls"] for run in found]),
        "cpu_ms_per_invoice": {
            name: median([1000 * run["cpu"].get(name, 0.0) / run["orders"] for run in found])
            for name in found[0]["cpu"]
        },
        "each_run": [round(run["orders"] / run["seconds"], 1) for run in found],
    }
