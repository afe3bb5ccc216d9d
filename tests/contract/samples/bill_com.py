"""BILL: settings of the sandbox's organisation, and answers that BILL published."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from connectors.errors import Rejected, Throttled, Unauthorized, Uncertain
from connectors.sandbox import bill_com as sandbox
from tests.contract.samples.base import Recorded, Samples

DOCS = "developer.bill.com"

ISSUED = Recorded(
    source=f"{DOCS}, AR invoices, Response, with ids in the place of its placeholders",
    status=200,
    body={
        "id": "00e01LMNOPQRSTUV5678",
        "archived": False,
        "invoiceNumber": "202502",
        "invoiceDate": "2025-12-30",
        "dueDate": "2025-12-31",
        "customerId": "0cu01ABCDEFGHIJK1234",
        "totalAmount": 79.98,
        "dueAmount": 79.98,
        "status": "OPEN",
        "invoiceLineItems": [
            {"id": "0il01", "quantity": 2, "description": "Classic extreme drum sticks", "price": 14.99},
            {"id": "0il02", "quantity": 1, "description": "Metal guitar picks (5-pack)", "price": 50.00},
        ],
        "createdTime": "2025-12-30T00:00:00.000+00:00",
        "updatedTime": "2025-12-30T00:00:00.000+00:00",
    },
)


def problem(status: int, code: str, message: str, category: str = "REQUEST") -> Recorded:
    """An error in the shape of "Common API error codes", v3. BDC_1109, 1144, 1322, 1001, 1002 and 1150 are there with
    these words; which status comes with a code is not documented, so it is tried with several."""
    error = {"timestamp": "2024-12-25T00:00:00.000+00:00", "code": code, "severity": "ERROR", "category": category}
    known = "with a code and words made up" if code == "BDC_9999" else "with its words"
    return Recorded(
        f"{DOCS}, Common API error codes, the page's shape {known}", status, [{**error, "message": message}]
    )


HOURLY = "Max number of allowed requests per hour reached: 20000."
AT_ONCE = "Max number of concurrent requests per organization reached."
REFUSALS = (
    (problem(401, "BDC_1109", "Session is invalid.  Please log in.", "DOWNSTREAM"), Unauthorized),
    (problem(400, "BDC_1109", "Session is invalid.  Please log in."), Unauthorized),
    (problem(400, "BDC_1144", HOURLY), Throttled),
    (problem(429, "BDC_1144", HOURLY), Throttled),
    (problem(403, "BDC_1322", AT_ONCE), Throttled),
    (problem(400, "BDC_1001", "System error occurred."), Uncertain),
    (problem(500, "BDC_1002", "Unknown error occurred.", "SERVER"), Uncertain),
    (problem(422, "BDC_9999", "A service behind did not answer.", "DOWNSTREAM"), Uncertain),
    (problem(404, "BDC_1121", "No such API"), Rejected),
    (problem(400, "BDC_1150", "User cannot make online payments.", "APPLICATION"), Rejected),
    (Recorded("a gateway before the platform", 502, "<html>Bad Gateway</html>"), Uncertain),
)


def _unknown_tax(settings: Mapping[str, Any]) -> Mapping[str, Any]:
    return {**settings, "tax": {"20": "No such tax"}}


def _void_by_hand(emulator: Any, remote_id: str) -> None:
    emulator.books.archive(remote_id, archived=True)


def _steal_number(emulator: Any, reference: str) -> None:
    """Typed in by a person for the same customer: others' invoices cannot be asked for by number."""
    known = emulator.shelf.all("customer")
    customer = known[-1] if known else emulator.books.add_customer({"name": "Ann", "email": "ann@example.com"})
    line = {"quantity": 1, "description": "Typed in by hand", "price": 500}
    emulator.books.add_invoice(
        {"customer": {"id": customer["id"]}, "invoiceNumber": reference, "invoiceLineItems": [line]}
    )


SAMPLES = Samples(
    slug="bill_com",
    settings={
        "organization": sandbox.ORGANIZATION,
        "tax": {"20": "VAT 20 %", "5": "VAT 5 %", "0": "VAT 0 %"},
        "currencies": ["USD", "GBP", "EUR", "JPY"],
        "account": "0ca01SANDBOXINCOME002",
    },
    credentials={"username": sandbox.USERNAME, "password": sandbox.PASSWORD, "dev_key": sandbox.DEV_KEY},
    token=sandbox.SESSION,
    required_settings=("organization", "tax"),
    invoice=ISSUED,
    invoice_expected={
        "id": "00e01LMNOPQRSTUV5678",
        "number": "202502",
        "reference": "202502",
        "status": "issued",
        "currency": "USD",
        "total": "79.98",
        "due": "79.98",
        "customer_id": "0cu01ABCDEFGHIJK1234",
    },
    refusals=REFUSALS,
    unknown_tax=_unknown_tax,
    void_by_hand=_void_by_hand,
    steal_number=_steal_number,
)
