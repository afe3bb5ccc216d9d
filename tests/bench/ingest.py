"""`billhook bench ingest`: events accepted a second, each answered after its commit, and how long an answer takes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from tests.bench.client import client_name, drive
from tests.bench.world import BenchError, Side, circumstances, median, running

ARRAY = 500
"""Events of one request, where arrays are measured."""
ARRAY_CONNECTIONS = 4


def measure(
    *, seconds: float, runs: int, connections: Sequence[int], workers: int, database_url: str | None,
    client: str | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Runs each case `runs` times, each time on a fresh machine, for so many seconds.

    Returns medians: for each case `events_per_second`, `p50_ms` and `p99_ms` of a request, CPU in ms an event by
    process. Raises `BenchError` when not everything that was answered 202 is stored.
    """
    found: dict[tuple[bool, int, int], list[dict[str, Any]]] = {}
    client = client_name(client)
    cases = [(count, 1) for count in connections] + [(ARRAY_CONNECTIONS, ARRAY)]
    for _ in range(runs):
        for with_workers in (False, True):
            with running(
                platform="xero", workers=workers, database_url=database_url, start_workers=with_workers
            ) as bench:
                for case, result in zip(cases, run(bench, client, cases, seconds), strict=True):
                    found.setdefault((with_workers, *case), []).append(result)
    return {
        "what": "ingest",
        "client": client,
        "runs": runs,
        "seconds": seconds,
        **circumstances(database_url),
        "results": [summary(case, results) for case, results in found.items()],
    }


def run(side: Side, client: str, cases: Sequence[tuple[int, int]], seconds: float) -> Iterator[dict[str, Any]]:
    """Drives the cases, (connections, events a request), one after the other; see `client.drive` for what they give.

    Raises `BenchError` when not everything that was answered 202 is stored at the end.
    """
    first, accepted, unsure = 1, 0, 0
    for connections, each in cases:
        side.cpu_begins()
        result = drive(side, client=client, connections=connections, each=each, seconds=seconds, first=first)
        result["others"] = side.others()
        result["cpu"] = {**side.cpu_used(), "client": result["client_cpu_seconds"]}
        first = result["next"]
        accepted, unsure = accepted + result["accepted"], unsure + result["unsure"]
        yield result
    if not accepted <= (stored := side.stored()) <= accepted + unsure:
        raise BenchError(f"{accepted} events were answered 202, but {stored} are stored")


def summary(case: tuple[bool, int, int], results: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Medians of a case's runs: (workers running, connections, events a request)."""
    workers, connections, each = case
    return {
        "workers_running": workers,
        "connections": connections,
        "events_a_request": each,
        "events_per_second": median([result["per_second"] for result in results]),
        "p50_ms": median([result["p50_ms"] for result in results]),
        "p99_ms": median([result["p99_ms"] for result in results]),
        "refused": sum(count for result in results for status, count in result["statuses"].items() if status != "202"),
        "cpu_ms_per_event": {
            name: round(
                median([1e6 * result["cpu"].get(name, 0.0) / result["accepted"] for result in results]) / 1e3, 3
            )
            for name in results[0]["cpu"]
        },
        "each_run": [round(result["per_second"], 1) for result in results],
    }
