"""What the benchmarks print for people."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import Any

from tests.bench.contest import OURS
from worker.cli.terminal import say, show

Columns = dict[str, Callable[[dict[str, Any]], str]]


def table(rows: Iterable[dict[str, Any]], columns: Columns, title: str | None = None) -> None:
    """One row for each result."""
    from rich.table import Table

    shown = Table(*columns, box=None, header_style="bold", title=title, title_justify="left", title_style="bold")
    for row in rows:
        shown.add_row(*(cell(row) for cell in columns.values()))
    show(shown)


def circumstances(found: dict[str, Any]) -> str:
    """The line under a table."""
    load = " ".join(str(value) for value in found["load_average"])
    return f"Medians of {found['runs']}; {found['cores']} cores, everything on them; load {load}."


def cpu(used: dict[str, float], digits: int = 1) -> str:
    return ", ".join(f"{name} {spent:.{digits}f}" for name, spent in used.items())


INGEST: Columns = {
    "workers": lambda row: "running" if row["workers_running"] else "none",
    "connections": lambda row: str(row["connections"]),
    "events a request": lambda row: str(row["events_a_request"]),
    "events/s": lambda row: f"{row['events_per_second']:,.0f}",
    "p50 ms": lambda row: f"{row['p50_ms']:.1f}",
    "p99 ms": lambda row: f"{row['p99_ms']:.1f}",
    "refused": lambda row: str(row["refused"]),
    "CPU ms an event": lambda row: cpu(row["cpu_ms_per_event"], 3),
}
PIPELINE: Columns = {
    "case": lambda row: f"{row['case']} ({row['platform']})",
    "latency ms": lambda row: str(row["latency_ms"]),
    "invoices/s": lambda row: f"{row['invoices_per_second']:,.0f}",
    "seconds": lambda row: f"{row['seconds']:.2f}",
    "calls": lambda row: f"{row['platform_calls']:.0f}",
    "CPU ms an invoice": lambda row: cpu(row["cpu_ms_per_invoice"]),
}
_SIDE: Columns = {
    "": lambda row: row["side"],
    "setting": lambda row: row["setting"] if row["side"] != OURS or "latency_ms" in row else "",
    "store": lambda row: row["store"],
}
_OTHERS: Columns = {"others' cores": lambda row: f"{max(row['others_cores']):.1f}"}
_RATIO: Columns = {"× best peer": lambda row: f"{row['ratio']:.1f}" if row["ratio"] else ""}
COMPARED_INGEST: Columns = {
    **_SIDE,
    "processes": lambda row: str(row["processes"]),
    **{name: cell for name, cell in INGEST.items() if name not in ("refused", "CPU ms an event")},
    **_RATIO,
    **_OTHERS,
}
COMPARED_PIPELINE: Columns = {
    **_SIDE,
    "latency ms": PIPELINE["latency ms"],
    "orders": lambda row: f"{row['orders']:,}",
    "invoices/s": PIPELINE["invoices/s"],
    **_RATIO,
    "× less CPU": lambda row: f"{row['cpu_ratio']:.1f}" if row["cpu_ratio"] else "",
    **_OTHERS,
    "calls": PIPELINE["calls"],
    "CPU ms an invoice": lambda row: f"{row['cpu_ms_per_invoice_in_all']:.1f} ({cpu(row['cpu_ms_per_invoice'])})",
}
BACKLOG: Columns = {
    "store": lambda row: row["store"],
    "backlog": lambda row: f"{row['orders']:,}",
    "invoices/s": PIPELINE["invoices/s"],
    "of the smallest": lambda row: f"{row['ratio']:.0%}",
    "in the second half": lambda row: f"{row['second_half_per_second']:,.0f}",
    "seconds": PIPELINE["seconds"],
    **_OTHERS,
    "CPU ms an invoice": PIPELINE["CPU ms an invoice"],
}
QUOTAS: Columns = {
    "platform": lambda row: row["platform"],
    "quota that decides": lambda row: row["quota"],
    "of it used": lambda row: f"{row['used']:.1%}",
    "answered 429": lambda row: str(row["refused"]),
    "calls": lambda row: f"{row['calls']:,}",
    "an invoice": lambda row: f"{row['calls_per_invoice']:.2f}",
    "of them create": lambda row: f"{row['creates']:,}",
    "expected": lambda row: _duration(row["began"], row["predicted"]),
    "came": lambda row: _duration(row["began"], row["came"]),
    "off": lambda row: f"{row['off']:+.1%}",
}


def _duration(began: str, ended: str) -> str:
    """As "2 d 0:37:12"."""
    lasted = datetime.fromisoformat(ended) - datetime.fromisoformat(began)
    rest = timedelta(seconds=round(lasted.total_seconds()) % 86_400)
    return f"{lasted.days} d {rest}" if lasted.days else str(rest)


def compared(found: dict[str, Any]) -> None:
    """Both tables of `billhook bench compare`, and the memory of each side."""
    if found["ingest"]:
        table(found["ingest"], COMPARED_INGEST, f"Events accepted (client: {found['clients']['ingest']})")
    if found["pipeline"]:
        table(found["pipeline"], COMPARED_PIPELINE, "From the event to the notice")
        table(list(_memory(found["pipeline"])), {
            "": lambda row: row["side"], "setting": lambda row: row["setting"], "store": lambda row: row["store"],
            "MiB by process (PSS)": lambda row: row["memory"],
        }, "Memory after the pipeline")  # fmt: skip
    say("\n" + circumstances(found))
    wanted = found["postgresql"]
    say(f"PostgreSQL {wanted['server_version']} with fsync {wanted['fsync']}; one invoice an order on the platform.")
    say("The pipeline's clock runs from the first event sent to the last notice recorded.")


def _memory(rows: list[dict[str, Any]]) -> Iterable[dict[str, Any]]:
    latency = min(row["latency_ms"] for row in rows)
    for row in rows:
        if row["latency_ms"] == latency and row["memory_mib"]:
            parts = (f"{name} {used['pss']:.0f}" for name, used in row["memory_mib"].items())
            yield {**row, "memory": ", ".join(parts)}
