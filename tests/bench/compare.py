"""`billhook bench compare`: Billhook and an idiomatic peer (`tests/bench/peer`), side by side in one run.

Both are given the same events by the same client, use the same PostgreSQL server and post invoices of the same size
to the same stub. In each run all contestants take their turn; every turn begins with everything fresh, a warm-up that
is not counted, and customers who are known to the platform.

The pipeline's clock runs, for both alike, from the first event that the client sends, with the workers running, to
the last notice that is recorded. Neither side mails anybody. Afterwards the stub must have exactly one invoice for
each order.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from typing import Any

from tests.bench import contest, ingest
from tests.bench.client import SOCKETS, client_name, send
from tests.bench.contest import Contestant
from tests.bench.database import Server, postgresql
from tests.bench.pipeline import PATIENCE
from tests.bench.processes import versions
from tests.bench.world import BenchError, Side, median

CONNECTIONS = 32
ARRAY_CONNECTIONS, ARRAY = 4, 500
CUSTOMERS = 50
WARM_UP = 150
"""Events before the clock starts: each customer's first, and enough to have every process and pool going."""
Found = dict[Any, list[dict[str, Any]]]


def measure(
    *, parts: Sequence[str], orders: int, peer_orders: int, latencies: Sequence[int], seconds: float, runs: int,
    workers: int, database_url: str | None, client: str | None, say: Callable[[str], None],
) -> dict[str, Any]:  # fmt: skip
    """Measures `parts` (ingest, pipeline) `runs` times and returns medians, with ratios to the best peer.

    `orders` (and `peer_orders` for the peer, whose rate counts) go through each pipeline; `latencies` are the
    platform's, in ms; ingest is driven for `seconds`; `workers` are our worker processes. `say` is told what goes on.
    Raises `BenchError` when a result is wrong (an event lost, an invoice missing or doubled), `StartError`.
    """
    client = client_name(client)
    accepted: Found = {}
    issued: Found = {}
    each = {contest.OURS: orders, contest.PEER: peer_orders}
    with postgresql(database_url) as server:
        settings = server.settings()
        for number in range(1, runs + 1):
            told = _teller(say, number, runs)
            if "ingest" in parts:
                _ingest_run(server, client, seconds, workers, accepted, told)
            if "pipeline" in parts:
                _pipeline_run(server, each, latencies, workers, issued, told)
    return {
        "what": "compare",
        "runs": runs,
        "workers": workers,
        "clients": {"ingest": client, "pipeline": SOCKETS},
        "customers": CUSTOMERS,
        "warm_up_events": WARM_UP,
        "cores": os.cpu_count(),
        "load_average": [round(load, 2) for load in os.getloadavg()],
        "versions": versions(),
        "postgresql": settings,
        "ingest": ingest_rows(accepted),
        "pipeline": pipeline_rows(issued),
    }


def _teller(say: Callable[[str], None], number: int, runs: int) -> Callable[[str], None]:
    return lambda text: say(f"run {number} of {runs}: {text}")


# -- ingest ------------------------------------------------------------------------------------------------------------


def _ingest_run(
    server: Server, client: str, seconds: float, workers: int, found: Found, say: Callable[[str], None]
) -> None:
    single, arrays = (CONNECTIONS, 1), (ARRAY_CONNECTIONS, ARRAY)
    turns: list[tuple[Contestant, bool, list[tuple[int, int]]]] = []
    for one in contest.ours("bulk", workers):
        turns += [(one, True, [single, arrays]), (one, False, [single, arrays])]
    turns += [(one, True, [single]) for web in (1, 2) for one in contest.peers(web)]
    for one, with_workers, cases in turns:
        say(f"ingest, {one.side} {one.setting}, {one.store}, {'with' if with_workers else 'without'} its workers")
        with one.running(server, start_workers=with_workers) as side:
            warm_up = [(CONNECTIONS, 1)]
            results = list(ingest.run(side, client, warm_up + cases, seconds))[len(warm_up) :]
        for case, result in zip(cases, results, strict=True):
            found.setdefault((one, with_workers, *case), []).append(result)


def ingest_rows(found: Found) -> list[dict[str, Any]]:
    """Medians of each case; `ratio` of ours, one event a request, to the best peer's events a second."""
    rows = [
        {
            "side": one.side,
            "setting": one.setting,
            "store": one.store,
            "processes": one.processes,
            **ingest.summary((with_workers, connections, each), results),
            "others_cores": [result["others"] for result in results],
        }
        for (one, with_workers, connections, each), results in found.items()
    ]
    best = max((row["events_per_second"] for row in rows if row["side"] == contest.PEER), default=None)
    for row in rows:
        row["ratio"] = round(row["events_per_second"] / best, 2) if best else None
    return rows


# -- pipeline ----------------------------------------------------------------------------------------------------------


def _pipeline_run(
    server: Server, orders: dict[str, int], latencies: Sequence[int], workers: int, found: Found,
    say: Callable[[str], None],
) -> None:  # fmt: skip
    contestants = [*contest.peers(), *contest.ours("single", workers), *contest.ours("bulk", workers)]
    for latency in latencies:
        for one in contestants:
            say(f"pipeline at {latency} ms, {one.side} {one.setting}, {one.store}")
            found.setdefault((one, latency), []).append(through(one, server, orders[one.side], latency))


def through(one: Contestant, server: Server, orders: int, latency_ms: int) -> dict[str, Any]:
    """Sends so many orders through a fresh contestant. Raises `BenchError` unless each gets exactly one invoice."""
    with one.running(server, latency_ms) as side:
        sent = send(side, connections=CONNECTIONS, first=0, total=WARM_UP, customers=CUSTOMERS)
        _until_told(side, WARM_UP, sent)
        calls = side.platform_calls(WARM_UP)
        side.cpu_begins()
        sent = send(side, connections=CONNECTIONS, first=WARM_UP, total=orders, customers=CUSTOMERS)
        ended = _until_told(side, WARM_UP + orders, sent)
        return {
            "orders": orders,
            "seconds": ended - sent["began_at"],
            "calls": side.platform_calls(WARM_UP + orders) - calls,
            "cpu": side.cpu_used(),
            "others": side.others(),
            "memory": side.memory(),
        }


def _until_told(side: Side, orders: int, sent: dict[str, Any]) -> float:
    """Waits for the last notice and returns when it was recorded (seconds since 1970)."""
    if set(sent["statuses"]) != {"202"}:
        raise BenchError(f"not every event was accepted; the answers' statuses: {sent['statuses']}")
    seen, since = -1, time.monotonic()
    while True:
        side.look()
        count, last = side.notices()
        if count >= orders and last is not None:
            return last.timestamp()
        if count != seen:
            seen, since = count, time.monotonic()
        if time.monotonic() - since > PATIENCE:
            raise BenchError(f"{count} of {orders} notices are recorded, and no further one for {PATIENCE:.0f} s")
        time.sleep(0.1)


def pipeline_rows(found: Found) -> list[dict[str, Any]]:
    """Medians of each case, with `ratio` to the invoices a second of the best peer at the same latency.

    `cpu_ratio` is how much less CPU time an invoice takes, all processes together, than at the thriftiest peer: it
    moves far less than `ratio` when the machine is busy with others.
    """
    rows = [_pipeline_row(one, latency, results) for (one, latency), results in found.items()]
    for row in rows:
        rivals = [each for each in rows if each["side"] == contest.PEER and each["latency_ms"] == row["latency_ms"]]
        rate = max((each["invoices_per_second"] for each in rivals), default=None)
        least = min((each["cpu_ms_per_invoice_in_all"] for each in rivals), default=None)
        spent = row["cpu_ms_per_invoice_in_all"]
        row["ratio"] = round(row["invoices_per_second"] / rate, 2) if rate else None
        row["cpu_ratio"] = round(least / spent, 2) if least and spent else None
    return rows


def _pipeline_row(one: Contestant, latency: int, results: Sequence[dict[str, Any]]) -> dict[str, Any]:
    rates = [run["orders"] / run["seconds"] for run in results]
    cpu = {
        name: median([1000 * run["cpu"].get(name, 0.0) / run["orders"] for run in results])
        for name in results[0]["cpu"]
    }
    return {
        "side": one.side,
        "setting": one.setting,
        "store": one.store,
        "processes": one.processes,
        "latency_ms": latency,
        "orders": results[0]["orders"],
        "invoices_per_second": median(rates),
        "seconds": median([run["seconds"] for run in results]),
        "platform_calls": median([run["calls"] for run in results]),
        "cpu_ms_per_invoice": cpu,
        "cpu_ms_per_invoice_in_all": round(sum(cpu.values()), 2),
        "memory_mib": results[-1]["memory"],
        "each_run": [round(rate, 1) for rate in rates],
        "others_cores": [run["others"] for run in results],
    }
