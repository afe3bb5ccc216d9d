"""`billhook doctor`: what is wrong with what runs, and what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from worker.cli.terminal import AsJson, plain, print_json, show

if TYPE_CHECKING:
    from worker.doctor.findings import Finding

Late = Annotated[float, typer.Option(min=0, help="Minutes after which work that is due counts as standing still.")]
Address = Annotated[str | None, typer.Option(metavar="URL", help="Where ingest answers. Default: host and port.")]


def doctor(as_json: AsJson = False, late: Late = 10.0, ingest: Address = None) -> None:
    """Look at what runs: Redis, database, workers, clocks, disk, work that stands still. Exit code 1 if any is bad."""
    from dataclasses import asdict

    findings = _findings(late * 60, ingest)
    if as_json:
        print_json([asdict(finding) for finding in findings])
    else:
        _show(findings)
    raise typer.Exit(1 if any(finding.level == "bad" for finding in findings) else 0)


def _findings(late: float, ingest: str | None) -> list[Finding]:
    from worker import runtime
    from worker.config import ConfigError
    from worker.doctor.configuration import unusable

    try:
        config = runtime.config()
    except ConfigError as error:
        return unusable(error.problems)
    from worker.doctor.examination import examine

    return examine(config, late, ingest)


def _show(findings: list[Finding]) -> None:
    """What is bad stands last, where a terminal still shows it."""
    from rich.table import Table
    from rich.text import Text

    styles = {"ok": "green", "warning": "yellow", "bad": "bold red"}
    table = Table(box=None, show_header=False, pad_edge=False)
    for level, style in styles.items():
        for finding in findings:
            if finding.level == level:
                says = plain(finding.says) + (f"\n→ {plain(finding.do)}" if finding.do else "")
                table.add_row(Text(level, style), finding.check, says)
    show(table)
    counts = {level: sum(finding.level == level for finding in findings) for level in ("bad", "warning", "ok")}
    typer.echo(f"\n{counts['bad']} bad, {counts['warning']} warning(s), {counts['ok']} ok")
