"""The books of an emulated Xero organisation: contacts and sales invoices with the rules Xero keeps.

Fields, lengths and statuses from Xero-OpenAPI `xero_accounting.yaml` 16.1.0. Messages quoted from it or from issue
threads of the vendor's SDKs: "Invoice # must be unique.", "The contact name … is already assigned", "The TaxType code
… does not exist or cannot be used for this type of transaction.", "Account code '…' is not a valid code for this
document.", "The line total … does not match the expected line total …", "Organisation is not subscribed to currency
…". Other wordings are ours.
"""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any
from uuid import uuid4

from connectors.sandbox.base import Refusal
from connectors.sandbox.sums import half_up, total
from connectors.sandbox.xero_bodies import refusal

NEXT = {
    "DRAFT": {"DRAFT", "SUBMITTED", "AUTHORISED", "DELETED"},
    "SUBMITTED": {"SUBMITTED", "DRAFT", "AUTHORISED", "DELETED"},
    "AUTHORISED": {"AUTHORISED", "VOIDED"},
}
ACCOUNTS: list[dict[str, Any]] = [
    {"Code": code, "Name": name, "Class": "REVENUE", "Type": "REVENUE", "TaxType": "OUTPUT2", "Status": "ACTIVE"}
    for code, name in (("200", "Sales"), ("260", "Shipping"))
]
TAX_RATES: list[dict[str, Any]] = [
    {"Name": name, "TaxType": code, "EffectiveRate": rate, "Status": "ACTIVE", "CanApplyToRevenue": True}
    for name, code, rate in (
        ("20% (VAT on Income)", "OUTPUT2", 20),
        ("5% (VAT on Income)", "RROUTPUT", 5),
        ("Zero Rated Income", "ZERORATEDOUTPUT", 0),
        ("No VAT", "NONE", 0),
    )
]
CURRENCIES = [{"Code": code, "Description": code} for code in ("GBP", "EUR", "USD")]
RATES = {rate["TaxType"]: Decimal(rate["EffectiveRate"]) for rate in TAX_RATES}
CONTENT = {"Type", "Contact", "Date", "DueDate", "Reference", "LineItems", "LineAmountTypes", "CurrencyCode"}
TABLES = """
CREATE TABLE IF NOT EXISTS xero_contacts (id TEXT PRIMARY KEY, tenant TEXT, number TEXT, name TEXT, name_key TEXT,
    email TEXT, status TEXT, doc TEXT);
CREATE UNIQUE INDEX IF NOT EXISTS xero_contact_names ON xero_contacts (tenant, name_key) WHERE status = 'ACTIVE';
CREATE INDEX IF NOT EXISTS xero_contact_name ON xero_contacts (name);
CREATE INDEX IF NOT EXISTS xero_contact_number ON xero_contacts (number);
CREATE INDEX IF NOT EXISTS xero_contact_email ON xero_contacts (email);
CREATE TABLE IF NOT EXISTS xero_invoices (id TEXT PRIMARY KEY, tenant TEXT, number TEXT, type TEXT, status TEXT,
    doc TEXT);
CREATE TABLE IF NOT EXISTS xero_creditnotes (id TEXT PRIMARY KEY, tenant TEXT, number TEXT, type TEXT, status TEXT,
    doc TEXT);
CREATE UNIQUE INDEX IF NOT EXISTS xero_creditnote_numbers ON xero_creditnotes (tenant, number)
    WHERE status <> 'DELETED';
CREATE UNIQUE INDEX IF NOT EXISTS xero_invoice_numbers ON xero_invoices (tenant, number)
    WHERE type = 'ACCREC' AND status <> 'DELETED';
"""


class Invalid(Refusal):
    """Xero refuses an element, with these messages."""

    def __init__(self, *messages: str) -> None:
        self.messages = messages
        self.errors = {"ValidationErrors": [{"Message": text} for text in messages]}
        super().__init__(refusal([self.errors]), "; ".join(messages))


def ms_date(moment: datetime) -> str:
    """Xero's way to write a moment in JSON: `/Date(1552326816230+0000)/`."""
    return f"/Date({int(moment.timestamp() * 1000)}+0000)/"


def _day(value: Any, field: str) -> date | None:
    """A date as the API takes it: `2026-11-22`, with a time, or `/Date(ms)/`."""
    if value in (None, ""):
        return None
    text = str(value)
    if found := re.fullmatch(r"/Date\((-?\d+)(?:[+-]\d{4})?\)/", text):
        return (datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=int(found[1]))).date()
    try:
        return date.fromisoformat(text[:10])
    except ValueError:
        raise Invalid(f"{field} '{text}' is not a valid date") from None


def _amount(raw: Mapping[str, Any], field: str) -> Decimal | None:
    value = raw.get(field)
    if value in (None, ""):
        return None
    try:
        return Decimal(str(value))
    except InvalidOperation:
        raise Invalid(f"{field} '{value}' is not a number") from None


class Books:
    """Contacts and invoices of every tenant, as JSON documents in `database`. `clock` gives Unix seconds."""

    def __init__(self, database: sqlite3.Connection, clock: Callable[[], float]) -> None:
        self.db, self.clock = database, clock
        database.executescript(TABLES)

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.clock(), UTC)

    # -- contacts --------------------------------------------------------------------------------------------------

    def contact(self, tenant: str, ident: str) -> dict[str, Any] | None:
        """By ContactID, else by ContactNumber."""
        row = self.db.execute(
            "SELECT doc FROM xero_contacts WHERE tenant = ? AND (id = ? OR number = ?) ORDER BY id <> ?",
            (tenant, ident, ident, ident),
        ).fetchone()
        return json.loads(row[0]) if row else None

    def save_contact(self, tenant: str, raw: Mapping[str, Any], create_only: bool) -> dict[str, Any]:
        """Creates a contact, or (POST) changes the one of that ContactID or ContactNumber. Raises `Invalid`."""
        ident = raw.get("ContactID") or ("" if create_only else raw.get("ContactNumber"))
        old = self.contact(tenant, ident) if ident else None
        if raw.get("ContactID") and old is None:
            raise Invalid(f"The contact with ContactID '{raw['ContactID']}' could not be found")
        doc = {**(old or {"ContactID": str(uuid4()), "ContactStatus": "ACTIVE", "Addresses": [], "Phones": []}), **raw}
        self._check_contact(doc)
        doc |= {"UpdatedDateUTC": ms_date(self.now()), "HasValidationErrors": False}
        row = (
            doc["ContactID"], tenant, doc.get("ContactNumber"), doc["Name"], doc["Name"].strip().casefold(),
            doc.get("EmailAddress"), doc["ContactStatus"], json.dumps(doc),
        )  # fmt: skip
        try:
            self.db.execute("INSERT INTO xero_contacts VALUES (?,?,?,?,?,?,?,?)", row) if old is None else (
                self.db.execute(
                    "UPDATE xero_contacts SET id=?, tenant=?, number=?, name=?, name_key=?, email=?, status=?, doc=?"
                    " WHERE id=?", (*row, doc["ContactID"])
                )
            )  # fmt: skip
        except sqlite3.IntegrityError:
            raise Invalid(
                f"The contact name {doc['Name']} is already assigned to another contact. "
                "The contact name must be unique across all active contacts."
            ) from None
        return doc

    def _check_contact(self, doc: Mapping[str, Any]) -> None:
        wrong = []
        if not str(doc.get("Name") or "").strip():
            wrong.append("The contact name must be specified.")
        longest = {"Name": 255, "ContactNumber": 50, "AccountNumber": 50, "FirstName": 255, "LastName": 255,
                   "EmailAddress": 255, "TaxNumber": 50}  # fmt: skip
        wrong += [f"{field} must not be more than {n} characters long" for field, n in longest.items()
                  if len(str(doc.get(field) or "")) > n]  # fmt: skip
        email = doc.get("EmailAddress")
        if email and not re.fullmatch(r"[^@\s]+@[^@\s]+\.[^@\s]+", email):
            wrong.append("Email address must be valid.")
        for address in doc.get("Addresses") or ():
            if address.get("AddressType") not in {"POBOX", "STREET", "DELIVERY"}:
                wrong.append("AddressType must be POBOX or STREET")
            if not re.fullmatch(r"[^\W\d_][^\d_]{0,49}|", str(address.get("Country") or "")):
                wrong.append("Country must be letters only, at most 50")
        if wrong:
            raise Invalid(*wrong)

    def _contact_of(self, tenant: str, given: Any) -> dict[str, Any]:
        """The contact an invoice names. Other fields beside an id change the contact, a new name makes one."""
        given = given if isinstance(given, dict) else {}
        ident = given.get("ContactID") or given.get("ContactNumber")
        found = self.contact(tenant, ident) if ident else None
        if given.get("ContactID") and found is None:
            raise Invalid(f"The contact with ContactID '{ident}' could not be found")
        if found is None and given.get("Name"):
            row = self.db.execute(
                "SELECT doc FROM xero_contacts WHERE tenant = ? AND name_key = ? AND status = 'ACTIVE'",
                (tenant, given["Name"].strip().casefold()),
            ).fetchone()
            found = json.loads(row[0]) if row else self.save_contact(tenant, given, True)
        if found is None:
            raise Invalid(
                "The Contact must contain at least 1 of the following elements to identify the contact: "
                "Name, ContactID, ContactNumber"
            )
        if found["ContactStatus"] != "ACTIVE":
            raise Invalid(f"The contact '{found['Name']}' has been archived.")
        changes = {field: value for field, value in given.items() if value and found.get(field) != value}
        return self.save_contact(tenant, {**found, **changes}, False) if changes else found

    # -- invoices --------------------------------------------------------------------------------------------------

    def invoice(self, tenant: str, ident: str) -> dict[str, Any] | None:
        """By InvoiceID, else by InvoiceNumber (deleted ones by id only)."""
        row = self.db.execute(
            "SELECT doc FROM xero_invoices WHERE tenant = ? AND (id = ? OR (number = ? AND status <> 'DELETED'))"
            " ORDER BY id <> ?", (tenant, ident, ident, ident),
        ).fetchone()  # fmt: skip
        return json.loads(row[0]) if row else None

    def save_invoice(self, tenant: str, raw: Mapping[str, Any], create_only: bool, places: int) -> dict[str, Any]:
        """Creates an invoice, or (POST) overwrites the one of that InvoiceID or InvoiceNumber. Raises `Invalid`.

        `places`: decimals kept of unit amounts (4 with `unitdp=4`, else 2)."""
        ident = raw.get("InvoiceID") or ("" if create_only else raw.get("InvoiceNumber"))
        old = self.invoice(tenant, ident) if ident else None
        if raw.get("InvoiceID") and (old is None or create_only):
            raise Invalid(f"The invoice with InvoiceID '{raw['InvoiceID']}' could not be found")
        if old is not None and raw.get("Status", old["Status"]) not in NEXT.get(old["Status"], ()):
            raise Invalid("Invoice not of valid status for modification")
        if old is not None and raw.get("Status") == "VOIDED" and old.get("AmountCredited"):
            raise Invalid("Invoice not of valid status for modification: it has payments or credit notes allocated")
        if old is not None and (raw.get("Status") in {"VOIDED", "DELETED"} or not raw.keys() & CONTENT):
            changed = {field: raw[field] for field in ("Status", "SentToContact") if field in raw}
            doc = {**old, **changed}
            if doc["Status"] in {"VOIDED", "DELETED"}:
                doc["AmountDue"] = 0.0
        else:
            doc = self.composed(tenant, {**(old or {}), **raw}, places)
        doc |= {"UpdatedDateUTC": ms_date(self.now()), "HasErrors": False, "ValidationErrors": []}
        if doc["Status"] == "AUTHORISED" and not doc.get("DueDate"):
            raise Invalid("DueDate must be specified for an authorised invoice")
        self.store(tenant, doc, old is None)
        return doc

    def store(self, tenant: str, doc: dict[str, Any], new: bool) -> None:
        row = (tenant, doc["InvoiceNumber"], doc["Type"], doc["Status"], json.dumps(doc), doc["InvoiceID"])
        insert = "INSERT INTO xero_invoices (tenant, number, type, status, doc, id) VALUES (?,?,?,?,?,?)"
        update = "UPDATE xero_invoices SET tenant=?, number=?, type=?, status=?, doc=? WHERE id=?"
        try:
            self.db.execute(insert if new else update, row)
        except sqlite3.IntegrityError:
            raise Invalid("Invoice # must be unique.") from None

    def composed(self, tenant: str, raw: Mapping[str, Any], places: int) -> dict[str, Any]:
        """A whole invoice from what was sent, with the amounts as Xero computes them."""
        status, kinds = raw.get("Status") or "DRAFT", raw.get("LineAmountTypes") or "Exclusive"
        wrong = []
        if raw.get("Type") not in {"ACCREC", "ACCPAY"}:
            wrong.append("A valid Type must be specified: ACCREC or ACCPAY")
        if status not in NEXT:
            wrong.append(f"Status '{status}' is not valid for a new invoice")
        if kinds not in {"Exclusive", "Inclusive", "NoTax"}:
            wrong.append(f"LineAmountTypes '{kinds}' is not valid")
        if len(raw.get("InvoiceNumber") or "") > 255 or len(raw.get("Reference") or "") > 255:
            wrong.append("InvoiceNumber and Reference must not be more than 255 characters long")
        currency = raw.get("CurrencyCode") or "GBP"
        if currency not in {known["Code"] for known in CURRENCIES}:
            wrong.append(f"Organisation is not subscribed to currency {currency}")
        lines, line_errors = self._lines(raw.get("LineItems"), kinds, places, status)
        contact = self._contact_of(tenant, raw.get("Contact")) if not wrong + line_errors else {}
        if wrong or line_errors:
            raise Invalid(*wrong, *line_errors)
        day, due = _day(raw.get("Date"), "Date") or self.now().date(), _day(raw.get("DueDate"), "DueDate")
        doc = {
            "Type": raw["Type"], "InvoiceID": raw.get("InvoiceID") or str(uuid4()),
            "InvoiceNumber": raw.get("InvoiceNumber") or self._next_number(tenant),
            "Reference": raw.get("Reference") or "", "Status": status, "LineAmountTypes": kinds,
            "Contact": {field: contact[field] for field in ("ContactID", "Name", "EmailAddress") if field in contact},
            "CurrencyCode": currency, "CurrencyRate": 1.0, "SentToContact": bool(raw.get("SentToContact")),
            "BrandingThemeID": raw.get("BrandingThemeID"), "Payments": [], "IsDiscounted": False,
            "DateString": f"{day}T00:00:00", "Date": _midnight(day), "LineItems": lines, **_totals(lines, kinds),
        }  # fmt: skip
        if doc["Total"] < 0:
            raise Invalid("The invoice total must not be negative")
        return doc | ({"DueDateString": f"{due}T00:00:00", "DueDate": _midnight(due)} if due else {})

    def _lines(self, given: Any, kinds: str, places: int, status: str) -> tuple[list[dict[str, Any]], list[str]]:
        if not given or not isinstance(given, list):
            return [], ["One or more line items must be specified"]
        lines: list[dict[str, Any]] = []
        wrong: list[str] = []
        for raw in given:
            try:
                lines.append(_line(raw, kinds, places, status))
            except Invalid as error:
                wrong += error.messages
        return lines, wrong

    def _next_number(self, tenant: str) -> str:
        count = self.db.execute("SELECT count(*) FROM xero_invoices WHERE tenant = ?", (tenant,)).fetchone()[0]
        return f"INV-{count + 1:04d}"


def _midnight(day: date) -> str:
    return ms_date(datetime(day.year, day.month, day.day, tzinfo=UTC))


def _line(raw: Mapping[str, Any], kinds: str, places: int, status: str) -> dict[str, Any]:
    """A line item with its amounts: rounded to two decimals, tax per line (guide "Rounding in Xero")."""
    wrong: list[str] = []
    account, tax_type = raw.get("AccountCode"), raw.get("TaxType")
    known = next((entry for entry in ACCOUNTS if entry["Code"] == account), None)
    if not 1 <= len(raw.get("Description") or "") <= 4000:
        wrong.append("Description must be between 1 and 4000 characters long")
    if account and known is None:
        wrong.append(f"Account code '{account}' is not a valid code for this document.")
    if not account and status == "AUTHORISED":
        wrong.append("Account code must be specified")
    tax_type = tax_type or (known or {}).get("TaxType") or "NONE"
    if tax_type not in RATES:
        wrong.append(f"The TaxType code {tax_type} does not exist or cannot be used for this type of transaction.")
    if wrong:
        raise Invalid(*wrong)
    quantity = _amount(raw, "Quantity") or Decimal(1)
    unit = half_up(_amount(raw, "UnitAmount") or Decimal(0), places)
    full = half_up(quantity, 4) * unit
    discount = _amount(raw, "DiscountAmount") or full * (_amount(raw, "DiscountRate") or Decimal(0)) / 100
    if discount and abs(discount) > abs(full):
        raise Invalid(f"The discount '{discount}' is invalid. Discount must not be greater than the line total.")
    amount, stated = half_up(full - discount), _amount(raw, "LineAmount")
    if stated is not None and stated != amount:
        raise Invalid(f"The line total {stated} does not match the expected line total {amount}")
    rate = Decimal(0) if kinds == "NoTax" else RATES[tax_type]
    share = rate / (100 + rate) if kinds == "Inclusive" else rate / 100
    overridden = _amount(raw, "TaxAmount") if kinds != "NoTax" else None
    tax = half_up(amount * share if overridden is None else overridden)
    line = {
        "LineItemID": raw.get("LineItemID") or str(uuid4()), "Description": raw["Description"],
        "Quantity": float(quantity), "UnitAmount": float(unit), "AccountCode": account, "TaxType": tax_type,
        "TaxAmount": float(tax), "LineAmount": float(amount), "Tracking": [],
    }  # fmt: skip
    return line | ({"DiscountAmount": float(discount)} if discount else {})


def _totals(lines: Sequence[Mapping[str, Any]], kinds: str) -> dict[str, float]:
    amounts = total(Decimal(str(line["LineAmount"])) for line in lines)
    tax = total(Decimal(str(line["TaxAmount"])) for line in lines)
    net = amounts - tax if kinds == "Inclusive" else amounts
    whole = float(net + tax)
    return {"SubTotal": float(net), "TotalTax": float(tax), "Total": whole, "AmountDue": whole, "AmountPaid": 0.0,
            "AmountCredited": 0.0}  # fmt: skip
