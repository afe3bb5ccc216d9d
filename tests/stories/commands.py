"""What a person types, and orders that wait for a person."""

from __future__ import annotations

from typing import Any

from click.testing import Result
from typer.testing import CliRunner

from tests.kit.scene import order_event
from worker.cli.main import app

LATER = "2026-11-24T10:00:00Z"
NO_CODE = {"name": "VAT", "rate": "13", "amount": "11.70"}
UNKNOWN_RATE = [{**order_event(1)["order"]["lines"][0], "tax": NO_CODE}]


def unsendable(number: int, **order: Any) -> dict[str, Any]:
    """No account has a code for its rate: it is held before anything is sent."""
    return order_event(number, lines=UNKNOWN_RATE, total="105.24", **order)


def said(*words: str, code: int = 0, typed: str | None = None) -> str:
    """What the command prints."""
    done: Result = CliRunner().invoke(app, list(words), input=typed)
    assert done.exit_code == code, done.output
    return " ".join(done.output.split())


def dismiss(*words: str, code: int = 0) -> str:
    return said("dismiss", *words, "--why", "invoiced by hand", "--who", "Grace", "--yes", code=code)


def at(when: str, event: dict[str, Any], name: str) -> dict[str, Any]:
    return {**event, "occurred_at": when, "id": f"evt-{name}"}
