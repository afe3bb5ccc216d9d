"""The commands that measure, as `billhook bench …` in a checkout or `python -m tests.bench …`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import typer

from worker.cli.terminal import MISUSED, AsJson, fail, print_json, say, show

bench = typer.Typer(
    help="Measure the speed on this machine, against the sandbox.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

Runs = Annotated[int, typer.Option(min=1, help="How often each case is run; medians are shown.")]
Workers = Annotated[int, typer.Option(min=1, max=64, help="Worker processes.")]
Database = Annotated[
    str | None,
    typer.Option("--database-url", help="A PostgreSQL server; a database is made there and dropped. Default: SQLite."),
]


@bench.command()
def ingest(
    seconds: Annotated[float, typer.Option(min=0.1, help="How long each case runs.")] = 3.0,
    connections: Annotated[list[int] | None, typer.Option(min=1, help="Keep-alive connections.")] = None,
    runs: Runs = 3,
    workers: Workers = 1,
    database_url: Database = None,
    as_json: AsJson = False,
) -> None:
    """Events accepted a second, durably, with the workers running and without."""
    from tests.bench.ingest import measure

    found = _measured(
        lambda: measure(
            seconds=seconds, runs=runs, connections=connections or [1, 8, 32], workers=workers,
            database_url=database_url,
        )
    )  # fmt: skip
    if as_json:
        print_json(found)
        return
    _show(
        found,
        {
            "workers": lambda row: "running" if row["workers_running"] else "none",
            "connections": lambda row: str(row["connections"]),
            "events a request": lambda row: str(row["events_a_request"]),
            "events/s": lambda row: f"{row['events_per_second']:,.0f}",
            "p50 ms": lambda row: f"{row['p50_ms']:.1f}",
            "p99 ms": lambda row: f"{row['p99_ms']:.1f}",
            "refused": lambda row: str(row["refused"]),
            "CPU ms an event": lambda row: _cpu(row["cpu_ms_per_event"], 3),
        },
    )


@bench.command()
def pipeline(
    orders: Annotated[int, typer.Option(min=1, help="Orders of a run, accepted before the clock starts.")] = 1000,
    case: Annotated[list[str] | None, typer.Option(help="single, bulk or steps; default: all.")] = None,
    latency: Annotated[list[int] | None, typer.Option(min=0, help="Milliseconds the platform takes a call.")] = None,
    runs: Runs = 3,
    workers: Workers = 1,
    database_url: Database = None,
    as_json: AsJson = False,
) -> None:
    """Invoices issued a second: one call an invoice (single), 50 a call (bulk), several calls an invoice (steps)."""
    from tests.bench.pipeline import CASES, measure

    wanted = case or list(CASES)
    if unknown := [name for name in wanted if name not in CASES]:
        fail(f"There is no case {unknown[0]!r}; there are {', '.join(CASES)}.", MISUSED)
    found = _measured(
        lambda: measure(
            orders=orders, runs=runs, cases=wanted, latencies=[0, 200] if latency is None else latency,
            workers=workers, database_url=database_url,
        )
    )  # fmt: skip
    if as_json:
        print_json(found)
        return
    _show(
        found,
        {
            "case": lambda row: f"{row['case']} ({row['platform']})",
            "latency ms": lambda row: str(row["latency_ms"]),
            "invoices/s": lambda row: f"{row['invoices_per_second']:,.0f}",
            "seconds": lambda row: f"{row['seconds']:.2f}",
            "calls": lambda row: f"{row['platform_calls']:.0f}",
            "CPU ms an invoice": lambda row: _cpu(row["cpu_ms_per_invoice"], 1),
        },
    )


def _measured(measure: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    from tests.bench.world import BenchError
    from worker.embedded.supervisor import StartError

    try:
        return measure()
    except (BenchError, StartError) as error:
        fail(str(error))


def _show(found: dict[str, Any], columns: dict[str, Callable[[dict[str, Any]], str]]) -> None:
    from rich.table import Table

    table = Table(*columns, box=None, header_style="bold")
    for row in found["results"]:
        table.add_row(*(cell(row) for cell in columns.values()))
    show(table)
    load = " ".join(str(value) for value in found["load_average"])
    say(f"\nMedians of {found['runs']}; {found['store']}, {found['cores']} cores, everything on them; load {load}.")


def _cpu(used: dict[str, float], digits: int) -> str:
    return ", ".join(f"{name} {spent:.{digits}f}" for name, spent in used.items())


if __name__ == "__main__":
    bench(prog_name="billhook bench")
