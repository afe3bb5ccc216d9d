"""What the emulated FreshBooks checks and computes: clients, invoices and their lines."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from connectors.sandbox.base import Refusal, Response
from connectors.sandbox.shelf import Doc
from connectors.sandbox.sums import exact, half_up, total

_CLIENT = """fname lname organization email fax bus_phone home_phone mob_phone vat_name vat_number note p_street
p_street2 p_city p_province p_code p_country s_street s_street2 s_city s_province s_code s_country currency_code
language allow_late_fees allow_late_notifications pref_email pref_gmail company_industry company_size vis_state"""
_INVOICE = """customerid invoice_number po_number create_date due_offset_days currency_code language organization fname
lname address street street2 city province code country vat_name vat_number notes terms description discount_value
discount_description lines auto_bill deposit_amount deposit_percentage email estimateid fulfillment_date payment_details
return_uri show_attachments template vis_state"""
_NOTE = "clientid credit_number credit_type create_date currency_code language notes terms lines vis_state"
_PAYMENT = "invoiceid creditid from_credit type amount date note orderid send_client_notification vis_state"
_LINE = "type name description qty unit_cost taxName1 taxAmount1 taxName2 taxAmount2 expenseid"
CLIENT = dict.fromkeys(_CLIENT.split(), "")
INVOICE: Doc = dict.fromkeys(_INVOICE.split())
NOTE: Doc = dict.fromkeys(_NOTE.split())
PAYMENT: Doc = dict.fromkeys(_PAYMENT.split())
LINE = set(_LINE.split())
MONEY = re.compile(r"-?\d{1,15}(\.\d{1,2})?")
V3 = {1: "draft", 2: "sent", 4: "paid", 8: "partial"}
PAID = {4: "paid", 8: "partial"}
TYPES = {"Check", "Credit", "Cash", "Bank Transfer", "Credit Card", "Debit", "PayPal", "Other"}


class Refused(Refusal):
    """An answer that is an error: freshbooks.com/api/errors, the accounting API's shape."""

    def __init__(self, errno: int, message: str, field: str = "", status: int = 422) -> None:
        error = {"errno": errno, "field": field, "message": message, "object": "invoice", "value": None}
        super().__init__(Response.json(status, {"response": {"errors": [error]}}), message)


def known(given: Any, kind: Mapping[str, Any] | set[str]) -> dict[str, Any]:
    """The object, whose fields are all known."""
    if not isinstance(given, dict):
        raise Refused(1005, "The request body could not be parsed.", status=400)
    for field in given:
        if field not in kind:
            raise Refused(1004, f"Unknown field {field}.", field)
    return given


def client(ident: int, given: dict[str, Any], now: float) -> Doc:
    if not any(given.get(name) for name in ("fname", "lname", "organization", "email")):
        raise Refused(7012, "At least one of name, organization and email is required.", "email")
    return {
        **CLIENT, "currency_code": "USD", "language": "en", "note": None, "vat_number": None, "vis_state": 0,
        **given, "id": ident, "userid": ident, "accounting_systemid": "ZyQ04o", "role": "client",
        "updated": eastern(now),
    }  # fmt: skip


def eastern(now: float) -> str:
    """FreshBooks' stamps are naive Eastern time."""
    return f"{datetime.fromtimestamp(now, UTC) - timedelta(hours=5):%Y-%m-%d %H:%M:%S}"


def money(amount: Decimal, code: str) -> dict[str, str]:
    return {"amount": f"{amount:.2f}", "code": code}


def priced(given: dict[str, Any]) -> Doc:
    """The fields that follow from an invoice's own: lines, sums, the day it is due. Tax is rounded on each line."""
    currency = given.get("currency_code") or "USD"
    lines = [_line(number, line, currency) for number, line in enumerate(given.get("lines") or (), 1)]
    net = total(exact(line["amount"]["amount"]) for line in lines)
    tax = total(_tax(line) for line in lines)
    percent = exact(given.get("discount_value"))
    if not 0 <= percent <= 100:
        raise Refused(1004, "discount_value must be a percentage.", "discount_value")
    off = half_up((net + tax) * percent / 100)
    try:
        due = date.fromisoformat(given["create_date"]) + timedelta(days=given.get("due_offset_days") or 0)
    except (KeyError, TypeError, ValueError):
        raise Refused(1001, "create_date is required.", "create_date") from None
    amount = money(net + tax - off, currency)
    return {
        "lines": lines, "currency_code": currency, "amount": amount, "outstanding": amount, "due_date": due.isoformat(),
        "paid": money(Decimal(0), currency), "discount_total": money(-off, currency),
    }  # fmt: skip


def _line(number: int, given: Any, currency: str) -> Doc:
    line = known(given, LINE)
    cost = line.get("unit_cost") or {}
    if not line.get("name") and not line.get("description"):
        raise Refused(1001, "A line needs a name.", "name")
    if cost.get("code", currency) != currency:
        raise Refused(1004, "The currency of a line must be that of the invoice.", "unit_cost")
    if not isinstance(cost.get("amount"), str) or not MONEY.fullmatch(cost["amount"]):
        raise Refused(1004, "unit_cost must be a decimal with two places.", "unit_cost")
    for tax in "12":
        if exact(line.get(f"taxAmount{tax}")) and not line.get(f"taxName{tax}"):
            raise Refused(1001, "A tax needs a name.", f"taxName{tax}")
    quantity = exact(line.get("qty", 1))
    amount = half_up(quantity * exact(cost["amount"]))
    return {
        "description": "", "taxName1": None, "taxAmount1": "0", "taxName2": None, "taxAmount2": "0", "type": 0,
        **line, "lineid": number, "qty": f"{quantity:f}", "amount": money(amount, currency),
    }  # fmt: skip


def _tax(line: Doc) -> Decimal:
    amount = exact(line["amount"]["amount"])
    return total(half_up(amount * exact(line[f"taxAmount{tax}"]) / 100) for tax in "12")


def invoice(ident: int, given: dict[str, Any], now: float) -> Doc:
    """A new draft."""
    return {
        **INVOICE, "vis_state": 0, "notes": "", "discount_value": "0", **given, **priced(given),
        "id": ident, "invoiceid": ident, "accountid": "ZyQ04o", "created_at": eastern(now), "updated": eastern(now),
        "lock_status": "unlocked", **stage(1),
    }  # fmt: skip


def stage(status: int) -> Doc:
    """The fields that say how far an invoice is: 1 draft, 2 sent, 4 paid, 8 paid in part."""
    paid = PAID.get(status, "unpaid")
    return {"status": status, "display_status": V3[status], "v3_status": V3[status], "payment_status": paid}


def shown(doc: Doc, includes: bool) -> Doc:
    """An invoice as an answer shows it: its lines only where they are asked for."""
    return doc if includes else {name: value for name, value in doc.items() if name != "lines"}
