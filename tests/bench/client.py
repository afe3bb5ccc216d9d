"""The load: events over keep-alive connections, from a process of its own that is the same for both sides.

`wrk` where it is installed, else raw sockets (`load.py`). A certain number of events is always sent by raw sockets,
for wrk cannot stop at one.
"""

from __future__ import annotations

import json
import resource
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.bench.world import TEMPLATE, BenchError, Side

SCRIPT = Path(__file__).with_name("wrk.lua")
SOCKETS = "raw sockets"
WRK = "wrk"
CUSTOMERS = 50


def client_name(wanted: str | None = None) -> str:
    """The client to be used. Raises `BenchError` when wrk is wanted and not there."""
    if wanted == WRK and shutil.which(WRK) is None:
        raise BenchError("wrk is not installed")
    return wanted or (WRK if shutil.which(WRK) else SOCKETS)


def drive(
    side: Side, *, client: str, connections: int, each: int, seconds: float, first: int, customers: int = CUSTOMERS
) -> dict[str, Any]:
    """Sends for so many seconds, `each` events a request, numbered from `first`.

    Returns `accepted`, `unsure` (at most so many more may be stored: their answers were not waited for),
    `per_second`, `p50_ms`, `p99_ms` of a request, `statuses`, `client_cpu_seconds` and `next` (number). Raises
    `BenchError` when the client fails.
    """
    settings: dict[str, Any] = {
        "connections": connections, "each": each, "seconds": seconds, "first": first, "customers": customers,
    }  # fmt: skip
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    result = _wrk(side, **settings) if client == WRK else send(side, **settings)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    result["client_cpu_seconds"] = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    if not result["accepted"]:
        raise BenchError(f"nothing was accepted; the answers' statuses: {result['statuses']}")
    return result


def send(side: Side, **settings: Any) -> dict[str, Any]:
    """Sends by raw sockets; `total` events, where that is among the settings (see `load.Load`)."""
    given = {"port": side.port, "api_key": side.api_key, **settings}
    return {"unsure": 0, **_output([sys.executable, "-m", "tests.bench.load"], json.dumps(given))}


def _wrk(side: Side, *, connections: int, each: int, seconds: float, first: int, customers: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="billhook-bench-") as folder:
        template = Path(folder, "event.json")
        template.write_bytes(TEMPLATE)
        url = f"http://127.0.0.1:{side.port}/events"
        command = [
            WRK,
            "-t1",
            f"-c{connections}",
            f"-d{max(1, round(seconds))}s",
            "--timeout",
            "30s",
            "-s",
            str(SCRIPT),
        ]
        found = _output([*command, url, "--", str(template), side.api_key, *map(str, (first, each, customers))])
    accepted = (found["requests"] - found["refused"]) * each
    return {
        **found,
        "accepted": accepted,
        "unsure": connections * each,
        "per_second": accepted / found["seconds"],
        "statuses": {"202": found["requests"] - found["refused"], "other": found["refused"]},
        "next": first + (found["requests"] + 2 * connections) * each,
    }


def _output(command: list[str], given: str = "") -> dict[str, Any]:
    """The JSON in the last line that a command prints."""
    done = subprocess.run(command, input=given, capture_output=True, text=True, check=False)
    lines = done.stdout.strip().splitlines()
    if done.returncode or not lines:
        raise BenchError(f"the client failed: {done.stderr.strip().splitlines()[-1:] or lines[-1:]}")
    found: dict[str, Any] = json.loads(lines[-1])
    return found
