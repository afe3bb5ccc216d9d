"""`billhook bench ingest`: events accepted a second, each answered after its commit, and how long an answer takes."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from typing import Any

from tests.bench.world import Bench, BenchError, circumstances, median, running

ARRAY = 500
"""Events of one request, where arrays are measured."""
ARRAY_CONNECTIONS = 4


def measure(
    *, seconds: float, runs: int, connections: Sequence[int], workers: int, database_url: str | None
) -> dict[str, Any]:
    """Runs each case `runs` times, each time on a fresh machine, for so many seconds.

    Returns medians: for each case `events_per_second`, `p50_ms` and `p99_ms` of a request, CPU in ms an event by
    process. Raises `BenchError` when not everything that was answered 202 is stored.
    """
    found: dict[tuple[bool, int, int], list[dict[str, Any]]] = {}
    cases = [(count, 1) for count in connections] + [(ARRAY_CONNECTIONS, ARRAY)]
    for _ in range(runs):
        for with_workers in (False, True):
            with running(
                platform="xero", workers=workers, database_url=database_url, start_workers=with_workers
            ) as bench:
                for case, result in zip(cases, _run(bench, cases, seconds), strict=True):
                    found.setdefault((with_workers, *case), []).append(result)
    return {
        "what": "ingest",
        "client": "raw sockets, keep-alive, in a process of its own",
        "runs": runs,
        "seconds": seconds,
        **circumstances(database_url),
        "results": [_summary(case, results) for case, results in found.items()],
    }


def _run(bench: Bench, cases: Sequence[tuple[int, int]], seconds: float) -> Iterator[dict[str, Any]]:
    from worker.store.engine import Store
    from worker.store.figures import inbox_rows

    inbox = Store(bench.inbox_url)
    first, accepted = 1, 0
    try:
        for connections, each in cases:
            bench.cpu_begins()
            result = _load(bench, connections=connections, each=each, seconds=seconds, first=first)
            result["cpu"] = {**bench.cpu_used(), "client": result["client_cpu_seconds"]}
            first, accepted = result["next"], accepted + result["accepted"]
            if not result["accepted"]:
                raise BenchError(f"nothing was accepted; the answers' statuses: {result['statuses']}")
            yield result
        if (stored := inbox_rows(inbox)) != accepted:
            raise BenchError(f"{accepted} events were answered 202, but {stored} are stored")
    finally:
        inbox.close()


def _load(bench: Bench, **settings: Any) -> dict[str, Any]:
    given = {"port": bench.machine.port, "api_key": bench.api_key, "customers": 50, **settings}
    command = [sys.executable, "-m", "tests.bench.load"]
    done = subprocess.run(command, input=json.dumps(given).encode(), capture_output=True, check=False)
    if done.returncode:
        raise BenchError(f"the client failed: {done.stderr.decode(errors='replace').strip().splitlines()[-1:]}")
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def _summary(case: tuple[bool, int, int], results: Sequence[dict[str, Any]]) -> dict[str, Any]:
    workers, connections, each = case
    return {
        "workers_running": workers,
        "connections": connections,
        "events_a_request": each,
        "events_per_second": median([result["per_second"] for result in results]),
        "p50_ms": median([result["p50_ms"] for result in results]),
        "p99_ms": median([result["p99_ms"] for result in results]),
        "refused": sum(result["statuses"].get("429", 0) + result["statuses"].get("503", 0) for result in results),
        "cpu_ms_per_event": {
            name: round(
                median([1e6 * result["cpu"].get(name, 0.0) / result["accepted"] for result in results]) / 1e3, 3
            )
            for name in results[0]["cpu"]
        },
        "each_run": [round(result["per_second"], 1) for result in results],
    }
