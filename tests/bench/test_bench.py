"""The benchmarks run and give figures that can be true; how fast this machine is, is not tested."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.bench.client import SOCKETS
from tests.bench.processes import cpu_seconds, family_cpu_seconds, memory_mib
from tests.bench.world import event

ROOT = Path(__file__).parents[2]


def bench(folder: Path, *arguments: str) -> dict[str, Any]:
    """What `billhook bench … --json` prints, run in a folder without a configuration."""
    command = [sys.executable, "-m", "tests.bench", *arguments, "--json"]
    environ = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), "TMPDIR": str(folder)}
    done = subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, timeout=150, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_bench_ingest_measures_with_and_without_workers(tmp_path: Path) -> None:
    found = bench(tmp_path, "ingest", "--runs", "1", "--seconds", "0.3", "--connections", "2", "--client", SOCKETS)
    assert found["store"] == "SQLite"
    assert found["client"] == SOCKETS
    cases = [(row["workers_running"], row["connections"], row["events_a_request"]) for row in found["results"]]
    assert cases == [(False, 2, 1), (False, 4, 500), (True, 2, 1), (True, 4, 500)]
    for row in found["results"]:
        assert row["events_per_second"] > 0
        assert 0 < row["p50_ms"] <= row["p99_ms"]
        assert ("worker-1" in row["cpu_ms_per_event"]) is row["workers_running"]
    assert not list(tmp_path.iterdir()), "nothing is left behind"


def test_bench_pipeline_counts_an_invoice_for_each_order(tmp_path: Path) -> None:
    cases = ("--case", "single", "--case", "bulk", "--case", "steps")
    found = bench(tmp_path, "pipeline", "--orders", "21", "--runs", "1", "--latency", "20", *cases)
    assert (found["orders"], found["customers"]) == (21, 2)
    calls = {row["case"]: row["platform_calls"] for row in found["results"]}
    # two customers are looked for and created; then 21 invoices, one call each, one call for all, three calls each
    assert calls["single"] == pytest.approx(21 + 3, abs=1)
    assert calls["bulk"] == pytest.approx(1 + 2, abs=2)
    assert calls["steps"] == pytest.approx(3 * 21 + 4, abs=1)
    for row in found["results"]:
        assert row["invoices_per_second"] > 0
        assert row["seconds"] > 0.02, "the platform's latency is in it"
        assert row["cpu_ms_per_invoice"]["worker-1"] > 0


def test_bench_runs_on_postgresql_and_leaves_no_database(tmp_path: Path, postgres_url: str) -> None:
    import psycopg

    plain = postgres_url.replace("postgresql+psycopg", "postgresql")
    found = bench(
        tmp_path, "pipeline", "--orders", "5", "--runs", "1", "--latency", "0", "--case", "bulk",
        "--database-url", postgres_url,
    )  # fmt: skip
    assert found["store"] == "PostgreSQL"
    with psycopg.connect(plain) as connection:
        left = connection.execute("SELECT datname FROM pg_database WHERE datname LIKE 'billhook_bench_%'").fetchall()
    assert not left


def test_unknown_case_is_named(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "tests.bench",
        "pipeline",
        "--case",
        "triple",
    ]
    done = subprocess.run(
        command, cwd=tmp_path, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 2
    assert "There is no case 'triple'; there are single, bulk, steps." in done.stderr


def test_each_order_is_its_own_and_adds_up() -> None:
    from connectors.sources.standard import parse_events

    batch = parse_events(b"[" + b",".join(event(number, 3) for number in range(4)) + b"]")
    assert all(parsed.event is not None for parsed in batch.elements)
    orders = [parsed.event.order for parsed in batch.elements if parsed.event]
    assert len({order.id for order in orders}) == 4
    assert [order.customer.ref for order in orders] == ["C-0000", "C-0001", "C-0002", "C-0000"]


def test_what_a_process_costs_is_counted_with_all_that_it_started() -> None:
    assert cpu_seconds({"nobody": 2**22 + 1}) == {}
    mine = {"me": os.getpgid(0)}
    assert cpu_seconds(mine)["me"] > 0
    used = memory_mib(mine)["me"]
    assert 0 < used["pss"] <= used["rss"]
    assert used["processes"] >= 1
    assert family_cpu_seconds(os.getpid()) > 0


def test_bench_quotas_keeps_to_the_quota_and_says_before_when_all_is_posted(tmp_path: Path) -> None:
    found = bench(tmp_path, "quotas", "--orders", "70", "--platform", "zoho_books", "--platform", "xero")
    zoho, xero = found["results"]
    assert (zoho["platform"], zoho["quota"]) == ("zoho_books", "100 in 60 s")
    assert zoho["used"] > 0.9
    assert abs(zoho["off"]) < 0.1
    assert 2 <= zoho["calls_per_invoice"] < 4
    assert (xero["calls"], xero["creates"]) == (2, 2), "two bulks; the customers are known from the orders before"
    assert [row["refused"] for row in found["results"]] == [0, 0]
    assert not list(tmp_path.iterdir()), "nothing is left behind"
