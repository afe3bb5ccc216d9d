"""FreshBooks: settings of the sandbox's business, and answers that FreshBooks gave."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from connectors.errors import Duplicate, Rejected, Throttled, Unauthorized, Uncertain
from connectors.sandbox import freshbooks as sandbox
from connectors.sandbox.base import Request
from tests.contract.samples.base import Recorded, Samples

RECORDED = "NangoHQ/integration-templates, integrations/freshbooks/tests (recorded 29 June 2026)"
ERRORS = "freshbooks.com/api/errors"

SENT = Recorded(
    source=f"{RECORDED}, send-invoice.test.json",
    status=200,
    body={
        "response": {
            "result": {
                "invoice": {
                    "accountid": "ZyQ04o",
                    "accounting_systemid": "ZyQ04o",
                    "address": "",
                    "amount": {"amount": "200.00", "code": "KES"},
                    "auto_bill": False,
                    "create_date": "2026-06-29",
                    "created_at": "2026-06-29 12:51:48",
                    "currency_code": "KES",
                    "current_organization": "Nango Test Co",
                    "customerid": 567521,
                    "date_paid": None,
                    "deposit_status": "none",
                    "description": "Testing send invoice again",
                    "discount_total": {"amount": "0.00", "code": "KES"},
                    "discount_value": "0",
                    "display_status": "sent",
                    "due_date": "2026-06-29",
                    "due_offset_days": 0,
                    "id": 454055,
                    "invoice_number": "0000006",
                    "invoiceid": 454055,
                    "lock_status": "unlocked",
                    "notes": "",
                    "outstanding": {"amount": "200.00", "code": "KES"},
                    "paid": {"amount": "0.00", "code": "KES"},
                    "payment_status": "unpaid",
                    "po_number": None,
                    "status": 2,
                    "terms": None,
                    "updated": "2026-06-29 12:51:55",
                    "uuid": "74035a73-1582-4d29-8eff-1ea031b6cc27",
                    "v3_status": "sent",
                    "vis_state": 0,
                }
            }
        }
    },
)


def old(status: int, errno: int, message: str, field: str = "") -> Recorded:
    """An error of the accounting API's older shape, a number of FreshBooks' list of errors in it."""
    error = {"errno": errno, "field": field, "message": message, "object": "invoice", "value": None}
    return Recorded(
        f"{ERRORS}; shape of packages/api/src/models/Error.ts; messages are ours",
        status,
        {"response": {"errors": [error]}},
    )


def new(status: int, reason: str, message: str, field: str) -> Recorded:
    """The same of the newer shape."""
    metadata = {"message": message, "field": field, "object": "invoice", "value": ""}
    detail = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason, "metadata": metadata}
    return Recorded(
        f"{ERRORS}; messages are ours", status, {"code": 3, "message": "Request failed", "details": [detail]}
    )


REFUSALS = (
    (old(422, 1001, "This field is required.", "customerid"), Rejected),
    (old(404, 1012, "Invoice not found.", "invoiceid"), Rejected),
    (old(400, 1005, "The request body could not be parsed."), Rejected),
    (old(200, 1004, "Value is not valid.", "create_date"), Rejected),
    (old(200, 1003, "You do not have access."), Unauthorized),
    (old(403, 1003, "You do not have access."), Unauthorized),
    (old(422, 1004, "This number is in use.", "invoice_number"), Duplicate),
    (old(409, 1004, "Conflict"), Duplicate),
    (old(422, 1017, "Value is too long.", "invoice_number"), Rejected),
    (new(422, "1004", "Value is not valid.", "currency_code"), Rejected),
    (new(422, "1004", "This number is in use.", "invoice_number"), Duplicate),
    (
        Recorded(
            "freshbooks-sdk for Python, api/auth.py: the shape it reads",
            401,
            {"error": "unauthenticated", "error_description": "This action requires authentication to continue."},
        ),
        Unauthorized,
    ),
    (Recorded(ERRORS, 429, {"code": 8, "message": "Too many requests", "details": []}), Throttled),
    (Recorded(ERRORS, 503, ""), Uncertain),
)


def call(emulator: Any, method: str, path: str, body: Any) -> Any:
    """One call on the emulator itself, as a person at FreshBooks' own screens."""
    headers = {"authorization": f"Bearer {sandbox.APP.access_token}", "content-type": "application/json"}
    target = f"/accounting/account/{sandbox.ACCOUNT}/{path}"
    response = emulator.handle(Request(method, target, headers, json.dumps(body).encode()))
    assert response.status == 200, response.body
    return json.loads(response.body)["response"]["result"]


def _void_by_hand(emulator: Any, remote_id: str) -> None:
    emulator.desk.grant(sandbox.APP.access_token, "access", 3600)
    call(emulator, "PUT", f"invoices/invoices/{remote_id}", {"invoice": {"vis_state": 1}})


def _steal_number(emulator: Any, reference: str) -> None:
    who = call(emulator, "POST", "users/clients", {"client": {"organization": "Somebody Else Ltd"}})["client"]
    line = {"type": 0, "name": "Consulting", "qty": 1, "unit_cost": {"amount": "500.00", "code": "GBP"}}
    fields = {"customerid": who["id"], "invoice_number": reference, "create_date": "2026-11-20", "currency_code": "GBP"}
    made = call(emulator, "POST", "invoices/invoices", {"invoice": {**fields, "lines": [line]}})["invoice"]
    call(emulator, "PUT", f"invoices/invoices/{made['id']}", {"invoice": {"action_mark_as_sent": True}})


def _unknown_tax(settings: Mapping[str, Any]) -> Mapping[str, Any]:
    """FreshBooks takes any name for a tax, but a tax must have one."""
    return {**settings, "tax": {**settings["tax"], "20": ""}}


SAMPLES = Samples(
    slug="freshbooks",
    settings={"account_id": sandbox.ACCOUNT, "tax": {rate: name for name, rate in sandbox.TAXES}},
    credentials={
        "client_id": sandbox.APP.client_id,
        "client_secret": sandbox.APP.client_secret,
        "redirect_uri": sandbox.REDIRECT,
        "refresh_token": sandbox.APP.refresh_token,
    },
    token=sandbox.APP.access_token,
    required_settings=("account_id", "tax"),
    invoice=SENT,
    invoice_expected={
        "id": "454055",
        "number": "0000006",
        "reference": "0000006",
        "key": None,
        "status": "issued",
        "currency": "KES",
        "total": "200.00",
        "due": "200.00",
        "customer_id": "567521",
    },
    refusals=REFUSALS,
    unknown_tax=_unknown_tax,
    void_by_hand=_void_by_hand,
    steal_number=_steal_number,
)
