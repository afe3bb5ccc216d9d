"""The comparison runs on both sides and gives figures that can be true; how fast either is, is not tested."""

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from tests.bench import compare
from tests.bench.contest import OURS, PEER, POSTGRESQL, SQLITE, Contestant
from tests.bench.database import Server, postgresql

ROOT = Path(__file__).parents[2]

with_the_peer = pytest.mark.skipif(find_spec("fastapi") is None, reason="the peer needs the extra [bench]")


def bench(folder: Path, *arguments: str) -> dict[str, Any]:
    """What `billhook bench …` writes with `--json`, run in a folder without a configuration."""
    file, scratch = folder / "found.json", folder / "tmp"
    scratch.mkdir()
    command = [sys.executable, "-m", "tests.bench", *arguments, "--json", str(file)]
    environ = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), "TMPDIR": str(scratch)}
    done = subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, timeout=550, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(file.read_text())
    return found


@with_the_peer
@pytest.mark.slow
@pytest.mark.parametrize(
    ("one", "most_calls"),
    [(Contestant(PEER, "prefork 2", POSTGRESQL), 8), (Contestant(OURS, "bulk", SQLITE), 7)],
    ids=["peer", "billhook"],
)
def test_each_side_makes_one_invoice_and_one_notice_an_order(
    one: Contestant, most_calls: int, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compare, "WARM_UP", 4)
    monkeypatch.setattr(compare, "CUSTOMERS", 2)
    found = compare.through(one, Server(postgres_url), orders=8, latency_ms=20)
    assert found["seconds"] > 0.02, "the platform's latency is in it"
    assert 1 <= found["calls"] <= most_calls, "the customers are known"
    assert set(found["cpu"]) >= {"redis", "stub"}
    assert all(used["pss"] > 0 for used in found["memory"].values())


def test_the_server_of_a_measurement_is_as_durable_as_in_production() -> None:
    with postgresql() as server:
        assert (server.settings()["fsync"], server.settings()["synchronous_commit"]) == ("on", "on")
        assert server.cpu_seconds() > 0


def test_ratios_are_to_the_best_peer_at_the_same_latency() -> None:
    def result(rate: float, cpu: float = 0.5) -> dict[str, Any]:
        spent = {"worker": cpu, "redis": 0.5}
        return {"orders": 100, "seconds": 100 / rate, "calls": 100, "cpu": spent, "memory": {}, "others": 0.0}

    rows = compare.pipeline_rows(
        {
            (Contestant(PEER, "prefork 2", POSTGRESQL), 0): [result(50, 3.5), result(80, 3.5), result(90, 3.5)],
            (Contestant(PEER, "prefork 8", POSTGRESQL), 0): [result(100, cpu=1.5)],
            (Contestant(PEER, "prefork 8", POSTGRESQL), 200): [result(40)],
            (Contestant(OURS, "single", SQLITE, 2), 0): [result(700, cpu=0.0)],
            (Contestant(OURS, "single", SQLITE, 2), 200): [result(600)],
        }
    )
    assert [row["ratio"] for row in rows] == [0.8, 1.0, 1.0, 7.0, 15.0]
    assert [row["cpu_ratio"] for row in rows] == [0.5, 1.0, 1.0, 4.0, 1.0]


@with_the_peer
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_bench_compare_ingest_sets_both_sides_beside_each_other(tmp_path: Path, postgres_url: str) -> None:
    given = ("--seconds", "0.5", "--runs", "1", "--database-url", postgres_url)
    found = bench(tmp_path, "compare", "--part", "ingest", *given)
    assert found["postgresql"]["fsync"] in ("on", "off")
    assert found["clients"]["ingest"] in ("wrk", "raw sockets")
    best = max(row["events_per_second"] for row in found["ingest"] if row["side"] == PEER)
    for row in found["ingest"]:
        assert row["events_per_second"] > 0
        assert row["ratio"] == pytest.approx(row["events_per_second"] / best, abs=0.01)
    assert {row["store"] for row in found["ingest"] if row["side"] == OURS} == {POSTGRESQL, SQLITE}
    assert {row["processes"] for row in found["ingest"] if row["side"] == PEER} == {1, 2}


@with_the_peer
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_bench_compare_pipeline_sets_both_sides_beside_each_other(tmp_path: Path, postgres_url: str) -> None:
    few = ("--database-url", postgres_url, "--orders", "20", "--peer-orders", "10", "--latency", "0", "--runs", "1")
    found = bench(tmp_path, "compare", "--part", "pipeline", *few)
    settings = [(row["side"], row["setting"]) for row in found["pipeline"]]
    assert settings[:3] == [(PEER, "prefork 2"), (PEER, "prefork 8"), (PEER, "threads 50")]
    assert settings[3:] == [(OURS, "single")] * 2 + [(OURS, "bulk")] * 2
    for row in found["pipeline"]:
        assert row["invoices_per_second"] > 0
        assert row["cpu_ms_per_invoice_in_all"] > 0
    assert not list((tmp_path / "tmp").glob("billhook-bench-*")), "nothing is left behind"


@pytest.mark.slow
def test_bench_backlog_drains_each_size(tmp_path: Path) -> None:
    sizes = ("--orders", "60", "--orders", "20")
    found = bench(tmp_path, "backlog", "--store", "SQLite", *sizes, "--workers", "1")
    assert [(row["store"], row["orders"]) for row in found["results"]] == [(SQLITE, 20), (SQLITE, 60)]
    assert found["results"][0]["ratio"] == 1
    assert all(row["second_half_per_second"] > 0 for row in found["results"])


@pytest.mark.slow
def test_bench_start_tells_when_the_first_invoice_was_there(tmp_path: Path) -> None:
    found = bench(tmp_path, "start", "--runs", "1")
    assert found["seconds_to_first_invoice"] > found["seconds_to_running"] > 0
    assert len(found["each_help_ms"]) == 10
