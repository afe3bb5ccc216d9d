"""Invoices that somebody typed in, and the command that adopts them."""

import json
from collections.abc import Sequence
from decimal import Decimal
from functools import partial
from typing import Any

from click.testing import Result
from typer.testing import CliRunner

from connectors.sandbox import xero
from connectors.sandbox.server import Hosted
from tests.stories.tale import Tale
from worker.cli.main import app

SINCE = ("--since", "2026-11-01")
NET = {"111.54": "92.95", "100.00": "83.33"}


def by_hand(tale: Tale, number: str, total: str = "111.54", reference: str = "by hand", **raw: Any) -> str:
    """Somebody types an invoice in on Xero. Returns its id there."""
    line = {"Description": "As agreed", "Quantity": 1, "AccountCode": "200", "TaxType": "OUTPUT2"}
    line |= {"UnitAmount": float(NET[total])}
    invoice = {
        "Type": "ACCREC", "InvoiceNumber": number, "Reference": reference, "Contact": {"Name": "Typed In Ltd"},
        "Date": "2026-11-20", "DueDate": "2026-12-24", "Status": "AUTHORISED", "CurrencyCode": "GBP",
        "LineItems": [line], **raw,
    }  # fmt: skip
    made: dict[str, Any] = tale.sandbox.ask("xero", partial(_typed_in, raw=invoice))
    assert Decimal(str(made["Total"])) == Decimal(total)
    return str(made["InvoiceID"])


def _typed_in(hosted: Hosted, raw: dict[str, Any]) -> dict[str, Any]:
    saved: dict[str, Any] = hosted.emulator.books.save_invoice(xero.TENANT, json.loads(json.dumps(raw)), True, 2)
    return saved


def adopt(tale: Tale, *words: str, account: str = "xero") -> Result:
    done = CliRunner().invoke(app, ["adopt", account, *words])
    tale.settle()
    return done


def counts(tale: Tale, *words: str) -> dict[str, int]:
    """What a run finds, but for zeros."""
    done = adopt(tale, *SINCE, "--json", *words)
    assert done.exit_code == 0, done.output
    told = json.loads(done.output)
    return {name: value for name, value in told.items() if isinstance(value, int) and value and name != "dry_run"}


def numbers(tale: Tale) -> Sequence[str]:
    return sorted(entry.reference for entry in tale.sandbox.ledger("xero"))
