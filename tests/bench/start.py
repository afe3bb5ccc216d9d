"""`billhook bench start`: from the command to the demo's first invoice, and how long `--help` takes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
import tomllib
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.bench.world import BenchError, control, environment, median

HELPS = 10
PATIENCE = 60.0
"""Seconds within which the demo must have an invoice, and again within which it must end."""
COMMAND = (sys.executable, "-m", "worker.cli")


def measure(*, runs: int) -> dict[str, Any]:
    """`seconds_to_first_invoice`: from the start of `billhook demo` until an invoice stands in the sandbox's books.

    `help_ms`: `billhook --help`, the median of ten. Medians of `runs`. Raises `BenchError` when the demo fails.
    """
    firsts = [_first_invoice() for _ in range(runs)]
    helps = [_help() for _ in range(HELPS)]
    return {
        "what": "start",
        "runs": runs,
        "seconds_to_first_invoice": median([first["invoice"] for first in firsts]),
        "seconds_to_running": median([first["running"] for first in firsts]),
        "help_ms": median(helps),
        "each_run": [round(first["invoice"], 2) for first in firsts],
        "each_help_ms": [round(took, 1) for took in helps],
        "cores": os.cpu_count(),
        "load_average": [round(load, 2) for load in os.getloadavg()],
    }


def _first_invoice() -> dict[str, float]:
    with tempfile.TemporaryDirectory(prefix="billhook-bench-") as folder:
        began = time.monotonic()
        demo = subprocess.Popen(
            [*COMMAND, "demo", "--orders", "10", "--seed", "1", "--json"],
            env={**environment(), "TMPDIR": folder}, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip
        try:
            while not _booked(Path(folder)):
                if demo.poll() is not None or time.monotonic() - began > PATIENCE:
                    raise BenchError("the demo had no invoice in its books before it ended, or within a minute")
                time.sleep(0.02)
            took = time.monotonic() - began
            printed, _ = demo.communicate(timeout=PATIENCE)
        finally:
            if demo.poll() is None:
                demo.terminate()
                demo.wait()
    if demo.returncode:
        raise BenchError(
            f"`billhook demo --orders 10 --seed 1` ends with exit code {demo.returncode}: see what it says"
        )
    return {"invoice": took, "running": json.loads(printed)["seconds_to_start"]}


def _booked(folder: Path) -> int:
    """Invoices in the books of the sandbox whose address stands in the demo's configuration."""
    for file in folder.glob("*/billhook.toml"):
        try:
            shops = tomllib.loads(file.read_text(encoding="utf-8"))["shop"].values()
            ports = {urlsplit(one["base_url"]).port for shop in shops for one in shop["account"].values()}
            return sum(
                len(control(port, "GET", f"/_sandbox/ledger/{slug}"))
                for port in ports if port
                for slug in control(port, "GET", "/_sandbox/report")
            )  # fmt: skip
        except (OSError, HTTPException, ValueError, KeyError):  # it is being written, or the sandbox is starting
            return 0
    return 0


def _help() -> float:
    began = time.perf_counter()
    subprocess.run([*COMMAND, "--help"], check=True, stdout=subprocess.DEVNULL, env=environment())
    return 1000 * (time.perf_counter() - began)
