"""A shop's desk at which files are imported, and the rows of such files."""

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from typer.testing import CliRunner

from connectors.model import Event
from tests.stories.tale import Tale
from worker import runtime
from worker.cli.main import app
from worker.importing import run
from worker.store.inbox import Inbox
from worker.store.jobs import now

HEAD = (
    "order_id,order_ref,currency,placed_at,customer_name,line_ref,description,quantity,unit_price,"
    "tax_rate,tax_amount,shipping,total"
)


def row(number: int, line: int = 1, **cells: str) -> str:
    """A row of an order of 54.00 + 3.00 GBP for each of its two lines, as `HEAD` has the columns."""
    told = {
        "order_id": f"id-{number}", "order_ref": f"SO-{number}", "currency": "GBP",
        "placed_at": "2026-11-20T09:00:00Z", "customer_name": "Ada", "line_ref": str(line),
        "description": f"plaque {line}", "quantity": "1", "unit_price": "45.00", "tax_rate": "20", "tax_amount": "9.00",
        "shipping": "3.00", "total": "111.00",
    } | cells  # fmt: skip
    return ",".join(told[name] for name in HEAD.split(","))


def order(number: int) -> list[str]:
    return [row(number, 1), row(number, 2)]


class Desk:
    """A shop's tale, and the command."""

    def __init__(self, tale: Tale) -> None:
        self.tale = tale
        self.rung: list[str] = []

    def file(self, content: str | bytes, name: str = "orders.csv") -> Path:
        path = self.tale.folder / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    def table(self, *rows: str, head: str = HEAD, name: str = "orders.csv") -> Path:
        return self.file("\n".join((head, *rows, "")), name)

    def imports(self, file: Path, *options: str) -> Result:
        return CliRunner().invoke(app, ["import", str(file), "--shop", "engraver", *options])

    def events(self) -> list[Event]:
        inbox = Inbox(runtime.inbox())
        return [Event.model_validate_json(each.body) for each in inbox.waiting(10_000, now())]

    def refs(self) -> list[str]:
        return sorted(event.about for event in self.events())

    def rejected(self, file: Path) -> list[tuple[str, str, str]]:
        """First row, order and reason of each entry of the report."""
        report = file.with_name(file.name + ".rejected" + file.suffix)
        if not report.exists():
            return []
        if file.suffix == ".jsonl":
            told: list[dict[str, Any]] = [json.loads(line) for line in report.read_text().splitlines()]
        else:
            told = list(csv.DictReader(report.open(newline="")))
        return [(str(each["row"]), each["order"], each["reason"]) for each in told]


def a_desk(folder: Path, store_url: str, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    tale = Tale(folder, store_url, redis_url, monkeypatch)
    desk = Desk(tale)
    monkeypatch.setattr("worker.bells.ring_events", desk.rung.extend)
    monkeypatch.setattr(run, "BATCH", 2)
    yield desk
    tale.close()
