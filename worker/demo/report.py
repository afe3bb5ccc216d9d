"""What the demo shows while it runs, and what it says at the end."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from http.client import HTTPConnection
from typing import TYPE_CHECKING, Any

from rich.console import Group, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table
from rich.text import Text

from connectors.platforms.base import platform
from connectors.sandbox.faults import Fault, Faults
from connectors.sandbox.shops import ShopOrder
from worker.demo.books import Tally
from worker.store.engine import Store
from worker.store.figures import Figures, figures, seconds_to_invoice, sends_repeated
from worker.store.seal import seal
from worker.store.verify import verify

if TYPE_CHECKING:
    from worker.embedded.machine import Machine

RATES = {
    Fault.ANSWER_LOST: 0.03,
    Fault.ERROR_AFTER: 0.02,
    Fault.CUT_HEADERS: 0.02,
    Fault.TRUNCATED: 0.02,
    Fault.GARBAGE: 0.02,
    Fault.ERROR_BEFORE: 0.02,
    Fault.ERROR_STORED: 0.01,
    Fault.CUT_BEFORE: 0.02,
    Fault.LATE: 0.01,
    Fault.THROTTLE: 0.02,
    Fault.SLOW: 0.01,
    Fault.EXPIRE_TOKENS: 0.01,
}
"""Probability per unsafe call; every fifth call meets one."""


@dataclass
class Pushed:
    """What the shops saw of ingest."""

    sent: int = 0
    accepted: int = 0
    duplicates: int = 0
    repeated: int = 0
    """Deliveries sent again after no answer or a 429 or 503, as shops do."""


def set_faults(port: int, seed: int) -> None:
    """Switches faults on in every platform of the sandbox; but nobody watches for the minutes that a platform wants to
    be left alone after its "too many"."""
    for number, slug in enumerate(_ask(port, "GET", "/_sandbox/report")):
        patient = platform(slug).facts.pause is None
        rates = {fault: rate for fault, rate in RATES.items() if patient or fault is not Fault.THROTTLE}
        _ask(port, "PUT", f"/_sandbox/faults/{slug}", Faults(rates=rates, seed=seed + number).model_dump_json())


def _ask(port: int, method: str, path: str, body: str | None = None) -> Any:
    connection = HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request(method, path, body)
        return json.loads(connection.getresponse().read())
    finally:
        connection.close()


class Watch:
    """Looks at the store and at the sandbox from outside."""

    def __init__(self, machine: Machine, sandbox_port: int, mails: Sequence[tuple[str, ...]]) -> None:
        self.store = Store(machine.config.store_url)
        self.port = sandbox_port
        self.mails = mails
        self.rows = {
            name: Progress(TextColumn(f"{name:<26}"), BarColumn(40), MofNCompleteColumn())
            for name in ("deliveries accepted", "invoices issued", "customers told")
        }
        self.tasks = {name: row.add_task(name) for name, row in self.rows.items()}

    def look(self) -> Figures:
        return figures(self.store)

    def finished(self, seen: Figures, orders: int) -> bool:
        """Whether nothing is on its way any more."""
        return seen.invoices >= orders and not seen.on_the_way

    def ledgers(self) -> dict[str, list[Mapping[str, Any]]]:
        return {slug: _ask(self.port, "GET", f"/_sandbox/ledger/{slug}") for slug in self.reports()}

    def reports(self) -> dict[str, dict[str, Any]]:
        found: dict[str, dict[str, Any]] = _ask(self.port, "GET", "/_sandbox/report")
        return found

    def progress(self, seen: Figures, pushed: Pushed, orders: int) -> RenderableType:
        """The live view."""
        done = {
            "deliveries accepted": (pushed.accepted, max(pushed.accepted, seen.events)),
            "invoices issued": (seen.issued, orders),
            "customers told": (len(self.mails), orders),
        }
        for name, (completed, total) in done.items():
            self.rows[name].update(self.tasks[name], completed=completed, total=total)
        states = ", ".join(f"{count} {state}" for state, count in sorted(seen.invoice_states.items()))
        return Group(*self.rows.values(), Text(f"invoices: {states or 'none yet'}", style="dim"))

    def summary(
        self, orders: Sequence[ShopOrder], tally: Tally, pushed: Pushed, started: float, seed: int
    ) -> dict[str, Any]:
        """Everything that `--json` prints."""
        seal(self.store)
        checked = verify(self.store)
        seen = self.look()
        reports = self.reports()
        return {
            "seed": seed,
            "orders": len(orders),
            "events": seen.events,
            "deliveries": asdict(pushed),
            "invoices": dict(tally.per_platform),
            "doubles": len(tally.doubled),
            "missing": len(tally.missing),
            "strangers": len(tally.strangers),
            "invoice_states": dict(seen.invoice_states),
            "mails": len(self.mails),
            "retries": sends_repeated(self.store),
            "faults": {slug: told["faults"] for slug, told in reports.items()},
            "refused_for_quota": sum(told["refused_for_quota"] for told in reports.values()),
            "seconds_to_start": round(started, 2),
            "seconds_to_invoice": seconds_to_invoice(self.store),
            "audit_entries": checked.entries,
            "audit_verified": checked.ok,
            "audit_problem": checked.first_problem,
        }


def good(summary: Mapping[str, Any]) -> bool:
    """Whether every order has exactly one invoice, every customer one mail, and the trail is whole."""
    return (
        not summary["doubles"]
        and not summary["missing"]
        and not summary["strangers"]
        and summary["mails"] == summary["orders"]
        and bool(summary["audit_verified"])
    )


def table(summary: Mapping[str, Any], tally: Tally) -> RenderableType:
    """The summary for people."""
    faults: dict[str, int] = {}
    for per_platform in summary["faults"].values():
        for name, count in per_platform.items():
            faults[name] = faults.get(name, 0) + count
    shown = Table(box=None, show_header=False, pad_edge=False)
    shown.add_column(style="bold")
    shown.add_column()
    times = summary["seconds_to_invoice"]
    pushed = summary["deliveries"]
    per = ", ".join(f"{slug} {count}" for slug, count in summary["invoices"].items())
    for name, value in (
        ("orders", summary["orders"]),
        ("events", f"{summary['events']} stored; {pushed['sent']} deliveries, {pushed['duplicates']} duplicates"),
        ("invoices", f"{sum(summary['invoices'].values())} in the platforms' books ({per})"),
        ("doubles", _named(summary["doubles"], tally.doubled)),
        ("missing", _named(summary["missing"], tally.missing)),
        ("mails", summary["mails"]),
        ("faults injected", f"{sum(faults.values())} ({', '.join(f'{n} {c}' for n, c in sorted(faults.items()))})"),
        ("calls repeated", summary["retries"]),
        ("event to invoice", f"p50 {times['p50']:.1f} s, p99 {times['p99']:.1f} s"),
        ("audit trail", _audit(summary)),
    ):
        shown.add_row(name, str(value))
    verdict = (
        "[green]Every order has exactly one invoice.[/]" if good(summary) else "[red]This is not right; see above.[/]"
    )
    return Group(shown, Text.from_markup(verdict))


def _named(count: int, refs: Sequence[str]) -> str:
    return f"{count} ({', '.join(refs[:10])})" if refs else "0"


def _audit(summary: Mapping[str, Any]) -> str:
    if summary["audit_verified"]:
        return f"{summary['audit_entries']} entries, verified"
    return f"NOT verified: {summary['audit_problem']}"
