"""Odoo: settings of the sandbox's database, and answers of real servers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from connectors.errors import Duplicate, Rejected, Throttled, Unauthorized, Unavailable, Uncertain
from connectors.sandbox import odoo as sandbox
from connectors.sandbox.base import Request
from tests.contract.samples.base import Recorded, Samples

SEEN = "seen on a server of Odoo 19.0 community"

ISSUED = Recorded(
    source=f"{SEEN}: account.move.read by JSON-2 of an invoice that was loaded and posted",
    status=200,
    body=[
        {
            "id": 31,
            "name": "INV/2026/00006",
            "state": "posted",
            "payment_state": "not_paid",
            "amount_untaxed": 98.45,
            "amount_tax": 19.69,
            "amount_total": 118.14,
            "amount_residual": 118.14,
            "currency_id": [144, "GBP"],
            "partner_id": [8, "Analytical Engines Ltd"],
            "invoice_origin": "SO-1001",
            "ref": "SO-1001",
            "invoice_line_ids": [71, 72, 73, 74],
            "is_move_sent": False,
            "access_url": "/my/invoices/31",
        }
    ],
)


def refused(source: str, status: int, name: str, message: str) -> Recorded:
    """An error of JSON-2's shape."""
    body = {"name": name, "message": message, "arguments": [message], "context": {}, "debug": "Traceback …"}
    return Recorded(source, status, body)


REFUSALS = (
    (
        refused(SEEN, 422, "odoo.exceptions.UserError", "The entry INV/2026/00006 (id 31) must be in draft."),
        Duplicate,
    ),
    (refused(SEEN, 422, "builtins.TypeError", "missing a required argument: 'vals_list'"), Rejected),
    (refused(SEEN, 422, "builtins.ValueError", "Invalid field 'x' in 'account.move'"), Rejected),
    (refused(SEEN, 401, "werkzeug.exceptions.Unauthorized", "Invalid apikey"), Unauthorized),
    (
        refused(
            "odoo/documentation, external_api.rst: the status of an AccessError", 403, "odoo.exceptions.AccessError",
            "You are not allowed to modify 'Journal Entry' (account.move) records.",
        ),
        Rejected,
    ),
    (
        refused(SEEN, 404, "odoo.exceptions.MissingError", "Record does not exist or has been deleted."),
        Rejected,
    ),
    (
        refused(
            "odoo/odoo, odoo/service/model.py: what is left when the server's own retries are used up", 500,
            "psycopg2.errors.SerializationFailure", "could not serialize access due to concurrent update",
        ),
        Unavailable,
    ),
    (Recorded("a proxy in front of the server", 502, "<html><title>502 Bad Gateway</title></html>"), Uncertain),
    (Recorded("a proxy that limits calls", 429, "<html><title>429 Too Many Requests</title></html>"), Throttled),
)  # fmt: skip


def call(emulator: Any, model: str, method: str, server: str = "", **named: Any) -> Any:
    """A call of somebody else's, by JSON-2."""
    headers = {
        "authorization": f"bearer {sandbox.API_KEY}", "content-type": "application/json",
        "x-odoo-database": sandbox.DATABASE,
    }  # fmt: skip
    body = json.dumps(named).encode()
    answer = emulator.handle(Request("POST", f"{server}/json/2/{model}/{method}", headers, body))
    assert answer.status == 200, answer.body
    return json.loads(answer.body)


def _unknown_tax(settings: Mapping[str, Any]) -> Mapping[str, Any]:
    return {**settings, "tax": {**settings["tax"], "20": 999}}


def _void_by_hand(emulator: Any, remote_id: str) -> None:
    for method in ("button_draft", "button_cancel"):
        call(emulator, "account.move", method, ids=[int(remote_id)])


def _steal_number(emulator: Any, reference: str) -> None:
    (partner,) = call(emulator, "res.partner", "create", vals_list=[{"name": "Somebody Else Ltd"}])
    line = {"name": "Consulting", "quantity": 1, "price_unit": 500.0, "tax_ids": [[6, 0, [5]]]}
    move = {"move_type": "out_invoice", "partner_id": partner, "ref": reference, "invoice_line_ids": [[0, 0, line]]}
    (made,) = call(emulator, "account.move", "create", vals_list=[move])
    call(emulator, "account.move", "action_post", ids=[made])


SAMPLES = Samples(
    slug="odoo",
    settings={
        "url": "https://demo.odoo.example",
        "database": sandbox.DATABASE,
        "version": 19,
        "tax": {"20": 5, "5": 6, "0": 7},
        "inclusive_tax": {"20": 8, "5": 9, "0": 10},
    },
    credentials={"api_key": sandbox.API_KEY},
    token=None,
    required_settings=("url", "database", "version", "tax"),
    invoice=ISSUED,
    invoice_expected={
        "id": "31",
        "number": "INV/2026/00006",
        "reference": "SO-1001",
        "status": "issued",
        "currency": "GBP",
        "total": "118.14",
        "tax": "19.69",
        "due": "118.14",
        "customer_id": "8",
    },
    refusals=REFUSALS,
    unknown_tax=_unknown_tax,
    void_by_hand=_void_by_hand,
    steal_number=_steal_number,
)
